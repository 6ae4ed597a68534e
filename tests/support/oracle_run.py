"""Plays the same match in the package and in the oracle, and compares every integer."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.game import digest, rng
from awm_jax.int8.agents import HoldForward, Noop, Random, Recorded
from awm_jax.int8.frame import GameFrame
from awm_jax.int8.mind import Int8Mind
from awm_jax.int8.policy import Int8Policy
from awm_jax.int8.world import Int8World
from crank.match import Rules, match_reset, match_step
from support import oracle, oracle_mind

FOREVER = Rules.of(1 << 30, early_ko=False)


def advance(world, agents, state, lanes):
    """One frame: (state, digest lanes) -> the same, and (frame, trunk)."""
    number = state.number
    state, frame, _ = match_step(world, agents, FOREVER, state)
    lanes = digest.extend(lanes, world.words(frame, number))
    return (state, lanes), (frame, state.world.trunk)


def play(world, agents, seed_frames, words, frames: int):
    """The whole match as a function that can be jitted, vmapped or run op by op.

    Returns frames (T, ...), trunk states (T, ...) and the digest's lanes after each frame (T, 4).
    """
    first = world.context_len
    state = match_reset(world, agents, seed_frames, first, words)

    def body(carry, _):
        carry, made = advance(world, agents, *carry)
        return carry, (*made, carry[1])

    _, made = jax.lax.scan(body, (state, digest.start()), length=frames)
    return made


compiled_play = jax.jit(play, static_argnames="frames")
# Compiled in a third of the time; for comparisons in which other shapes are the point.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
quick_play = jax.jit(play, static_argnames="frames", compiler_options=QUICK)


def as_oracle(frames: GameFrame) -> list[oracle.Frame]:
    """Frames with a leading axis as the oracle's."""
    host = jax.tree.map(np.asarray, frames)
    return [
        oracle.Frame(
            *(oracle.i64(v[t]) for v in (host.cont, host.binary, host.ints)),
            int(host.stage[t]),
            oracle.i64(host.pads[t]),
        )
        for t in range(len(host.stage))
    ]


def as_oracle_agent(agent: Any, world: Int8World):
    if isinstance(agent, Int8Policy):
        params = jax.tree.map(np.asarray, agent.params)
        arch = agent.arch
        return oracle.Policy(params, arch.cfg, world.cfg, arch.context_len, int(agent.bias))
    if isinstance(agent, Int8Mind):
        return oracle_mind.Mind(jax.tree.map(np.asarray, agent.params), agent.cfg)
    if isinstance(agent, Recorded):
        pads, first = np.asarray(agent.pads), world.context_len
        return lambda view, number, player, seed: oracle.i64(
            pads[min(number - first, len(pads) - 1)]
        )
    scripted = {
        Noop: oracle.noop,
        HoldForward: oracle.hold_forward,
        Random: oracle.random_agent,
    }
    return scripted[type(agent)]


def recorded(pads: np.ndarray) -> tuple[Recorded, Recorded]:
    """Two agents that play pads (T, 2, 8)."""
    return Recorded(jnp.asarray(pads[:, 0])), Recorded(jnp.asarray(pads[:, 1]))


def jax_play(world, agents, seed_frames: GameFrame, seed: int, frames: int, compiled=compiled_play):
    words = jnp.asarray(rng.seed_words(seed))
    seed_frames = jax.tree.map(jnp.asarray, seed_frames)
    return jax.tree.map(np.asarray, compiled(world, agents, seed_frames, words, frames))


def assert_same_match(
    world, agents, seed_frames: GameFrame, seed: int, frames: int, compiled=compiled_play
) -> GameFrame:
    """Frames, states and digests of both are equal to the bit; returns the frames (T, ...)."""
    made, trunk, lanes = jax_play(world, agents, seed_frames, seed, frames, compiled)
    twin = oracle.World(jax.tree.map(np.asarray, world.params), world.arch)
    twin.reset(as_oracle(seed_frames))
    twins = [as_oracle_agent(agent, world) for agent in agents]
    sums = oracle.Digest()
    for t in range(frames):
        number = world.context_len + t
        pads = [a(twin.frames, number, p, seed) for p, a in enumerate(twins)]
        frame = twin.step(np.stack(pads))
        sums.add(frame, number)
        for name in ("pads", "ints", "binary", "cont", "stage"):
            ours = getattr(made, name)[t]
            np.testing.assert_array_equal(ours, getattr(frame, name), f"frame {t}: {name}")
        if world.arch.recurrent:
            np.testing.assert_array_equal(trunk.ssm[t], twin.ssm, f"frame {t}: ssm")
            np.testing.assert_array_equal(trunk.conv[t], twin.conv, f"frame {t}: conv")
        assert digest.hexdigest(lanes[t]) == sums.hex(), f"frame {t}: digest"
    return made


def alive(frames: GameFrame) -> dict[str, int]:
    """How many different values each kind of column took over time."""
    count = functools.partial(np.unique, axis=0)
    return {name: len(count(getattr(frames, name))) for name in ("cont", "ints", "binary", "pads")}
