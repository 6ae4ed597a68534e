"""One match: agents act, the world steps, the rules decide. Source: match.md section 1.2."""

from __future__ import annotations

import collections
import dataclasses
import enum
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.compiler import PLAIN_PRODUCTS
from awm_jax.contracts import Agent, View, World
from awm_jax.errors import AwmError
from awm_jax.fp32.world import Fp32World
from awm_jax.game import digest as digests
from awm_jax.game import rng
from awm_jax.pytree import pytree


class Outcome(enum.IntEnum):
    """How a match stands or ended; `sentence` is what people read, `word` what programs do."""

    RUNNING = 0
    KO = 1
    TIMEOUT = 2
    CORRUPT = 3
    INTERRUPTED = 4

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]

    @property
    def word(self) -> str:
        return self.name.lower()


MAX_FRAMES = 1 << 30
"""Frames of the longest match: their numbers stay below 2^31."""

_SENTENCES = {
    Outcome.RUNNING: "still running",
    Outcome.KO: "a player lost the last stock",
    Outcome.TIMEOUT: "the frames asked for were played",
    Outcome.CORRUPT: "the world made a value that is no number",
    Outcome.INTERRUPTED: "interrupted",
}


@pytree
class Rules:
    """Attributes:
    max_frames: () int32 frames to generate, seeds not counted.
    early_ko: () bool end the match when a player has no stock left.
    """

    max_frames: jax.Array
    early_ko: jax.Array

    @classmethod
    def of(cls, max_frames: int, early_ko: bool = True) -> Rules:
        if not 1 <= max_frames <= MAX_FRAMES:
            raise AwmError(f"{max_frames} frames to play; give 1 to {MAX_FRAMES}")
        return cls(jnp.int32(max_frames), jnp.bool_(early_ko))


@pytree
class MatchState:
    """Attributes:
    world: the world's state.
    agents: both agents' states.
    number: () int32 number of the next frame; the first after K seeds is K.
    played: () int32 frames generated.
    outcome: () int32 an `Outcome`.
    digest: (4,) uint32 over the frames generated.
    """

    world: Any
    agents: tuple[Any, Any]
    number: jax.Array
    played: jax.Array
    outcome: jax.Array
    digest: jax.Array


Agents = tuple[Agent, Agent]


def match_reset(
    world: World, agents: Agents, seed_frames: Any, first: int, seed: jax.Array
) -> MatchState:
    """The state before the first frame.

    Args:
      first: number of that frame (K).
      seed: (2,) uint32 of the match, `rng.seed_words`.
    """
    states = (agents[0].reset(seed, 0), agents[1].reset(seed, 1))
    zero = jnp.int32(0)
    return MatchState(
        world.reset(seed_frames), states, jnp.int32(first), zero, zero, digests.start()
    )


def match_step(
    world: World, agents: Agents, rules: Rules, state: MatchState
) -> tuple[MatchState, Any, jax.Array]:
    """One frame. Neither agent sees the other's new controller.

    Returns the new state, the frame, and both controllers (2, ...).
    """
    acted = [
        agent.act(mind, View(world.observe(state.world, player), state.number))
        for player, (agent, mind) in enumerate(zip(agents, state.agents, strict=True))
    ]
    pads = jnp.stack([pad for _, pad in acted])
    world_state, frame = world.step(state.world, pads)
    played = state.played + 1
    outcome = jnp.where(played >= rules.max_frames, Outcome.TIMEOUT, Outcome.RUNNING)
    knocked_out = rules.early_ko & jnp.any(world.knocked_out(frame))
    outcome = jnp.where(knocked_out, Outcome.KO, outcome)
    outcome = jnp.where(world.corrupt(frame), Outcome.CORRUPT, outcome).astype(jnp.int32)
    minds = (acted[0][0], acted[1][0])
    digest = digests.extend(state.digest, world.words(frame, state.number))
    state = MatchState(world_state, minds, state.number + 1, played, outcome, digest)
    return state, frame, pads


def _step(world: World, agents: Agents, rules: Rules, state: MatchState):
    state, frame, pads = match_step(world, agents, rules, state)
    # The next step writes into the state's memory, so what is read of it is given out beside it.
    return state, (frame, pads, state.outcome, state.digest)


compiled_reset = jax.jit(match_reset, static_argnames="first")
_float_step = jax.jit(_step, donate_argnames="state", compiler_options=PLAIN_PRODUCTS)
_integer_step = jax.jit(_step, donate_argnames="state")


def compiled_step(world: World, agents: Agents, rules: Rules, state: MatchState):
    """`match_step`, compiled once for each kind of world: (state, what is read of it)."""
    step = _float_step if isinstance(world, Fp32World) else _integer_step
    return step(world, agents, rules, state)


@dataclasses.dataclass(frozen=True)
class Played:
    """What `run` brought: NumPy pytrees with a leading time axis.

    Attributes:
      frames: seeds, then generated frames (K + T, ...).
      pads: (T, 2, ...) controllers of the generated frames.
      outcome: how it ended.
      digest: hexadecimal digest of the generated frames.
    """

    frames: Any
    pads: np.ndarray
    outcome: Outcome
    digest: str


def iterate(
    world: World, agents: Agents, seed_frames: Any, rules: Rules, seed: int = 0
) -> Iterator[tuple[Any, jax.Array, Outcome, jax.Array]]:
    """Yield (frame, pads, outcome, digest) for every generated frame, as soon as it is there."""
    first = jax.tree.leaves(seed_frames)[0].shape[0]
    words = jnp.asarray(rng.seed_words(seed))
    # The step writes into the state it is given, which must not be the caller's memory.
    seed_frames = jax.tree.map(jnp.array, seed_frames)
    state = compiled_reset(world, agents, seed_frames, first, words)
    under_way: collections.deque = collections.deque()
    left, outcome = int(rules.max_frames), Outcome.RUNNING
    while outcome is Outcome.RUNNING:
        # One frame ahead: its step is handed over while the machine works on this one.
        while left and len(under_way) < 2:
            state, made = compiled_step(world, agents, rules, state)
            under_way.append(made)
            left -= 1
        frame, pads, code, digest = under_way.popleft()
        outcome = Outcome(int(code))
        yield frame, pads, outcome, digest


def warm_up(world: World, agents: Agents, seed_frames: Any, rules: Rules, seed: int = 0) -> None:
    """Make the first frame and forget it: afterwards everything is compiled."""
    next(iterate(world, agents, seed_frames, rules, seed))


def run(
    world: World,
    agents: Agents,
    seed_frames: Any,
    rules: Rules,
    *,
    seed: int = 0,
    on_frame: Callable[[Any], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Played:
    """Play to the end. A KeyboardInterrupt ends it early and keeps what was played.

    A frame that holds no numbers ends the match and is left out.

    Args:
      on_frame: called with every generated frame.
      stop: asked after each; when it says so the match ends as by a KeyboardInterrupt.
    """
    made: list[tuple[Any, jax.Array]] = []
    outcome, digest = Outcome.RUNNING, digests.start()
    try:
        for frame, pads, outcome, after in iterate(world, agents, seed_frames, rules, seed):
            if outcome is Outcome.CORRUPT:
                break
            made.append((frame, pads))
            digest = after
            if on_frame is not None:
                on_frame(frame)
            if outcome is Outcome.RUNNING and stop():
                outcome = Outcome.INTERRUPTED
                break
    except KeyboardInterrupt:
        outcome = Outcome.INTERRUPTED
    host = [jax.tree.map(np.asarray, step) for step in made]
    seeds = jax.tree.map(np.asarray, seed_frames)

    def join(first, *rest):
        return np.concatenate([first, np.stack(rest)]) if rest else first

    frames = jax.tree.map(join, seeds, *(frame for frame, _ in host))
    pads = np.stack([pads for _, pads in host]) if host else np.zeros((0, 2), np.float32)
    return Played(frames, pads, outcome, digests.hexdigest(np.asarray(digest)))
