"""A mind practises: it plays in an integer world, and what happened becomes steps to learn from.

People are where people go; a mind that acts on its own judgement soon is elsewhere. What it did
there, and what came of it, says what its actions are worth there.
"""

from __future__ import annotations

import dataclasses
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
from awm_jax.mwm.features import ACTION_NAMES, GWM, GWM_UNITS, RANGE
from awm_jax.mwm.melee import CANDIDATES, PERIOD, PRESSED, UNKNOWN, action_features
from awm_jax.mwm.network import Mind
from awm_jax.mwm.slices import squash_affect
from awm_jax.mwm.training.replays import AHEAD, felt_in_games, harms, joined
from awm_jax.mwm.training.steps import Steps
from awm_jax.pytree import pytree, static

FIGHTERS = (1, 2, 18, 22)
"""Fox, Captain Falcon, Marth, Falco."""
STAND, NOISE = 14, 15.0
MATCHES, DECISIONS = 64, 400
REACH = 2.5
"""Metres from which `rule` attacks."""
WORN = 120.0
"""Half of the matches begin with the players' percents anywhere below this."""
LEAST = 3
"""Decisions of the shortest match that teaches anything."""


@dataclasses.dataclass(frozen=True)
class Trials:
    """How a mind plays while it practises.

    Attributes:
      chance: of a decision to try what it would not choose.
      guided: of what is tried so, the share that `rule` says; the others are any action.
      trace: how far what came is trusted, a decision, against what was imagined; see `ahead`.
    """

    chance: float = 0.15
    guided: float = 0.3
    trace: float = 0.97


def rule(world: jax.Array, coin: jax.Array) -> jax.Array:
    """What a beginner is told, from its world features (16,) in 2^-13: run at the opponent, hit it
    when near, go home when off the stage. `coin` () bool says which of two things, where there are
    two: at home is left or right, or up; a hit is begun, or waited for. () int32."""

    def number(name: str) -> int:
        return ACTION_NAMES.index(name)

    home = jnp.where(world[GWM["escape_vector[0]"]] > 0, *map(number, ("move_right", "move_left")))
    home = jnp.where(coin, number("heal"), home)
    near = world[GWM["nearest_enemy.distance"]] < round(ONE * REACH / RANGE)
    fight = jnp.where(coin, number("attack"), UNKNOWN)
    found = jnp.where(near, fight, number("sprint"))
    off = world[GWM["is_player_in_stealth_danger"]] > 0
    return jnp.where(off, home, found).astype(jnp.int32)


@pytree
class Explorer:
    """A float mind in an integer world, which tries things as `Trials` say."""

    mind: Mind
    senses: Senses
    chance: jax.Array
    guided: jax.Array
    cfg: EncodingConfig = static()

    @classmethod
    def of(cls, mind: Mind, cfg: EncodingConfig, trials: Trials) -> Explorer:
        known = jax.tree.map(jnp.asarray, senses.make_senses(cfg.stage_vocab))
        return cls(mind, known, jnp.float32(trials.chance), jnp.float32(trials.guided), cfg)

    def decide(self, latent: jax.Array, frame: GameFrame, key: jax.Array) -> tuple[Any, ...]:
        """latent (D,), a frame with its player first -> latent, action, world (16,), self (8,),
        the value of what it would choose."""
        model = self.mind.module()
        world, own = senses.observe(self.senses, self.cfg, frame)
        z = model.encode(latent, world / ONE, None, own / ONE)
        actions = jnp.asarray(action_features())
        ahead = model.predict(jnp.broadcast_to(z[None], (CANDIDATES, *z.shape)), actions)
        felt = squash_affect(model.decode(ahead).affect)
        any_, ruled, guide, try_ = jax.random.split(key, 4)
        tried = jnp.where(
            jax.random.uniform(guide) < self.guided,
            rule(world, jax.random.bernoulli(ruled)),
            jax.random.randint(any_, (), 0, CANDIDATES),
        )
        best = jnp.argmax(felt[:, 2] - felt[:, 0])
        action = jnp.where(jax.random.uniform(try_) < self.chance, tried, best)
        return z, action.astype(jnp.int32), world, own, felt[best, 2]


@pytree
class Seen:
    """By decision and match (T, M, ...).

    Attributes:
      world, own: features in 2^-13. action: what it then did.
      worth: value imagined of what it would choose.
      percent, stocks: (.., 2) in 2^-16, its own first.
    """

    world: jax.Array
    own: jax.Array
    action: jax.Array
    worth: jax.Array
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
        latent, action, saw, own, worth = jax.vmap(explorer.decide)(latent, frame, keys)
        acting = (state, action, theirs, number)
        step = jax.vmap(frame_step, (0, None))
        acting, _ = jax.lax.scan(step, acting, jnp.arange(PERIOD))
        stats = (frame.cont[..., where[name]] for name in ("percent", "stocks"))
        return (acting[0], latent, *acting[2:]), Seen(saw, own, action, worth, *stats)

    first = jnp.full(count, world.context_len, jnp.int32)
    latent = jnp.zeros((count, explorer.mind.latent_dim))
    theirs = jax.vmap(lambda w: other.reset(w, 1 - side))(words)
    keys = jax.random.split(jax.random.wrap_key_data(words[0]), decisions)
    start = (jax.vmap(world.reset)(begin), latent, theirs, first)
    return jax.lax.scan(decision, start, keys)[1]


def ahead(reward: np.ndarray, worth: np.ndarray, over: bool, trace: float) -> np.ndarray:
    """(T,) what the action of each decision brought and will bring: a TD(lambda) return.

    Args:
      reward: (T - 1,) of each decision but the last. worth: (T,) imagined of what it would choose.
      over: whether the match ended with the last decision; else it would have gone on.
      trace: lambda; 1 counts all that came, 0 one reward and then what was imagined.
    """
    found = np.zeros(len(worth))
    found[-1] = 0.0 if over else worth[-1]
    for t in reversed(range(len(reward))):
        ended = over and t + 2 == len(worth)
        later = 0.0 if ended else trace * found[t + 1] + (1 - trace) * worth[t + 1]
        found[t] = reward[t] + AHEAD * later
    return found


def steps_of_matches(seen: Seen, trace: float) -> Steps:
    """Steps of all matches, each until somebody has no stock left; `trace` as `ahead` has it."""
    host = jax.tree.map(np.asarray, seen)
    parts, features = [], action_features()
    percent, stocks = host.percent / UNIT, np.rint(host.stocks / UNIT)
    over = (stocks < 1).any(axis=2)
    for m in range(over.shape[1]):
        n = int(np.argmax(over[:, m])) + 1 if over[:, m].any() else len(over)
        if n < LEAST:
            continue
        harm, ended = harms(percent[:n, m], stocks[:n, m]), bool(over[n - 1, m])
        reward = harm[:, 1] - harm[:, 0]
        come = ahead(reward, host.worth[:n, m], ended, trace)
        link = np.arange(n) < n - 1
        gwm = (host.world[:n, m] / ONE * GWM_UNITS).astype(np.float32)
        own = (host.own[:n, m] / ONE).astype(np.float32)
        value = np.append(AHEAD * come[0], come[:-1])
        affect = felt_in_games(gwm, harm, link, value)
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
        floats = np.array(frames.floats)
        if len(seeds) % 2:
            at = columns(world.cfg)["percent"] + world.cfg.float_per_player * np.arange(2)
            floats[:, at] = np.rint(rng.uniform(0, WORN, 2)) * world.cfg.percent_scale
        seeds.append(from_floats(world.cfg, floats, np.asarray(frames.ints)))
    return jax.tree.map(lambda *v: jnp.asarray(np.stack(v)), *seeds)


def practise(
    world: Any,
    mind: Mind,
    opponents: Sequence[Agent],
    trials: Trials,
    *,
    seed: int = 0,
    matches: int = MATCHES,
    decisions: int = DECISIONS,
    begin: Callable[..., GameFrame] = begin_matches,
) -> Steps:
    """Steps of matches of a mind against each opponent, from both sides.

    Args:
      world: an integer world.
      matches: against each opponent on each side.

    Raises:
      AwmError: all matches ended at once.
    """
    explorer, found = Explorer.of(mind, world.cfg, trials), []
    for number, opponent in enumerate(opponents):
        for side in (0, 1):
            rng = np.random.default_rng([seed, number, side])
            words = jnp.asarray(rng.integers(0, 1 << 32, (matches, 2), dtype=np.uint32))
            seeds = begin(world, matches, rng)
            seen = play(world, explorer, opponent, seeds, words, side=side, decisions=decisions)
            found.append(steps_of_matches(seen, trials.trace))
    return joined(found)
