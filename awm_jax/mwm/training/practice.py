"""A mind practises: it plays in an integer world, and what happened becomes steps to learn from.

People are where people go; a mind that acts on its own judgement soon is elsewhere. What it did
there, and what came of it, says what its actions are worth there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.contracts import Agent, View
from awm_jax.encoding import EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.game.frames import seed_frames
from awm_jax.game.noise import seed_noise
from awm_jax.game.stages import STAGES
from awm_jax.int8 import senses
from awm_jax.int8.frame import UNIT, GameFrame, from_floats
from awm_jax.int8.mind import pad_of
from awm_jax.int8.senses import ONE, Senses
from awm_jax.mwm.features import GWM_UNITS
from awm_jax.mwm.melee import CANDIDATES, PERIOD, PRESSED, action_features
from awm_jax.mwm.network import Mind
from awm_jax.mwm.slices import squash_affect
from awm_jax.mwm.training.replays import joined, rewards
from awm_jax.mwm.training.steps import Steps, affect_targets
from awm_jax.pytree import pytree, static

FIGHTERS = (1, 2, 18, 22)
"""Fox, Captain Falcon, Marth, Falco."""
STAND, NOISE = 14, 15.0
MATCHES, DECISIONS = 64, 400
LEAST = 3
"""Decisions of the shortest match that teaches anything."""


@pytree
class Explorer:
    """A float mind in an integer world that in `chance` of its decisions takes any action."""

    mind: Mind
    senses: Senses
    chance: jax.Array
    cfg: EncodingConfig = static()

    @classmethod
    def of(cls, mind: Mind, cfg: EncodingConfig, chance: float) -> Explorer:
        known = jax.tree.map(jnp.asarray, senses.make_senses(cfg.stage_vocab))
        return cls(mind, known, jnp.float32(chance), cfg)

    def decide(self, latent: jax.Array, frame: GameFrame, key: jax.Array) -> tuple[Any, ...]:
        """latent (D,), a frame with its player first -> latent, action, world (16,), self (8,)."""
        model = self.mind.module()
        world, own = senses.observe(self.senses, self.cfg, frame)
        z = model.encode(latent, world / ONE, None, own / ONE)
        actions = jnp.asarray(action_features())
        ahead = model.predict(jnp.broadcast_to(z[None], (CANDIDATES, *z.shape)), actions)
        felt = squash_affect(model.decode(ahead).affect)
        first, second = jax.random.split(key)
        tried = jax.random.randint(first, (), 0, CANDIDATES)
        best = jnp.argmax(felt[:, 2] - felt[:, 0])
        action = jnp.where(jax.random.uniform(second) < self.chance, tried, best)
        return z, action.astype(jnp.int32), world, own


@pytree
class Seen:
    """By decision and match (T, M, ...).

    Attributes:
      world, own: features in 2^-13. action: what it then did.
      percent, stocks: (.., 2) in 2^-16, its own first.
    """

    world: jax.Array
    own: jax.Array
    action: jax.Array
    percent: jax.Array
    stocks: jax.Array


@functools.partial(jax.jit, static_argnames=("side", "decisions"))
def play(
    world: Any,
    explorer: Explorer,
    other: Agent,
    begin: GameFrame,
    words: jax.Array,
    *,
    side: int,
    decisions: int,
) -> Seen:
    """Matches of an explorer as player `side` against an agent.

    Args:
      begin: (M, K, ...) seed frames. words: (M, 2) uint32 seeds.
    """
    cfg, count = explorer.cfg, len(words)
    where = columns(cfg)

    def newest(state: Any, player: int) -> GameFrame:
        return jax.tree.map(lambda v: v[-1], world.observe(state, player))

    def frame_step(carry: Any, phase: jax.Array) -> tuple[Any, None]:
        state, action, theirs, number = carry
        frame = newest(state, side)
        faces, stands = senses.facing(cfg, frame)[0], senses.side(cfg, frame)
        mine = pad_of(action, faces, stands, phase < PRESSED)
        theirs, pad = other.act(theirs, View(world.observe(state, 1 - side), number))
        pads = jnp.stack([mine, pad] if side == 0 else [pad, mine])
        return (world.step(state, pads)[0], action, theirs, number + 1), None

    def decision(carry: Any, key: jax.Array) -> tuple[Any, Seen]:
        state, latent, theirs, number = carry
        frame = jax.vmap(newest, (0, None))(state, side)
        keys = jax.random.split(key, count)
        latent, action, seen, own = jax.vmap(explorer.decide)(latent, frame, keys)
        acting = (state, action, theirs, number)
        step = jax.vmap(frame_step, (0, None))
        acting, _ = jax.lax.scan(step, acting, jnp.arange(PERIOD))
        stats = (frame.cont[..., where[name]] for name in ("percent", "stocks"))
        return (acting[0], latent, *acting[2:]), Seen(seen, own, action, *stats)

    first = jnp.full(count, world.context_len, jnp.int32)
    latent = jnp.zeros((count, explorer.mind.latent_dim))
    theirs = jax.vmap(lambda w: other.reset(w, 1 - side))(words)
    keys = jax.random.split(jax.random.wrap_key_data(words[0]), decisions)
    start = (jax.vmap(world.reset)(begin), latent, theirs, first)
    return jax.lax.scan(decision, start, keys)[1]


def steps_of_matches(seen: Seen) -> Steps:
    """Steps of all matches, each until somebody has no stock left."""
    host = jax.tree.map(np.asarray, seen)
    parts, features = [], action_features()
    percent, stocks = host.percent / UNIT, np.rint(host.stocks / UNIT)
    over = (stocks < 1).any(axis=2)
    for m in range(over.shape[1]):
        n = int(np.argmax(over[:, m])) + 1 if over[:, m].any() else len(over)
        if n < LEAST:
            continue
        reward = np.append(rewards(percent[:n, m], stocks[:n, m]), 0.0)
        link = np.arange(n) < n - 1
        gwm = (host.world[:n, m] / ONE * GWM_UNITS).astype(np.float32)
        own = (host.own[:n, m] / ONE).astype(np.float32)
        affect = affect_targets(gwm, reward, link)
        parts.append(Steps(gwm, own, features[host.action[:n, m]], affect, link))
    if not parts:
        raise AwmError("no match of practice lasted long enough to teach anything")
    return joined(parts)


def begin_matches(world: Any, count: int, rng: np.random.Generator) -> GameFrame:
    """Seed frames (M, K, ...) on all stages, of `FIGHTERS`, the players about their places."""
    seeds = []
    for _ in range(count):
        stage, *pair = (int(rng.choice(of)) for of in (tuple(STAGES), FIGHTERS, FIGHTERS))
        noise = seed_noise(int(rng.integers(1 << 62)), NOISE)
        frames = seed_frames(world.cfg, world.context_len, stage, (pair[0], pair[1]), noise, STAND)
        seeds.append(from_floats(world.cfg, np.asarray(frames.floats), np.asarray(frames.ints)))
    return jax.tree.map(lambda *v: jnp.asarray(np.stack(v)), *seeds)


def practise(
    world: Any,
    mind: Mind,
    chance: float,
    opponents: Sequence[Agent],
    *,
    seed: int = 0,
    matches: int = MATCHES,
    decisions: int = DECISIONS,
    begin: Callable[..., GameFrame] = begin_matches,
) -> Steps:
    """Steps of matches of a mind against each opponent, from both sides.

    Args:
      world: an integer world.
      chance: of a decision to take any action.
      matches: against each opponent on each side.

    Raises:
      AwmError: all matches ended at once.
    """
    explorer, found = Explorer.of(mind, world.cfg, chance), []
    for number, opponent in enumerate(opponents):
        for side in (0, 1):
            rng = np.random.default_rng([seed, number, side])
            words = jnp.asarray(rng.integers(0, 1 << 32, (matches, 2), dtype=np.uint32))
            seeds = begin(world, matches, rng)
            seen = play(world, explorer, opponent, seeds, words, side=side, decisions=decisions)
            found.append(steps_of_matches(seen))
    return joined(found)
