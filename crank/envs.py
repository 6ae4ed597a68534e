"""Matches as environments of Gymnasium: one player is you, the other an agent of the package.

A step is a frame. Its reward, of your player: new damage to the other less new damage to you, in
hundreds of percent, and one for every stock that the other loses, minus one for every one of yours.
Needs gymnasium: pip install "awm-jax[gym]".
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.cartridges import EMBEDDED
from awm_jax.contracts import View
from awm_jax.encoding import ANALOG, BUTTONS, int_vocabs
from awm_jax.errors import AwmError
from awm_jax.game import rng
from awm_jax.game.decode import decode
from awm_jax.game.frames import neutral_pad
from awm_jax.int8.frame import GameFrame, pads_from_floats, to_floats
from awm_jax.int8.frame import decode as decode_integers
from awm_jax.pytree import pytree
from crank.match import MatchState, Outcome, Rules, match_reset, match_step
from crank.playing import prepare

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
except ImportError:
    raise AwmError('environments need gymnasium: pip install "awm-jax[gym]"') from None

LONGEST = 28_800
STANDING = 14
FAR = float(1 << 14)
Observation = dict[str, np.ndarray]


@pytree
class Given:
    """An agent that plays the pad which lies in its state."""

    neutral: jax.Array

    def reset(self, seed: jax.Array, player: int) -> jax.Array:
        return self.neutral

    def act(self, state: jax.Array, view: View) -> tuple[jax.Array, jax.Array]:
        return state, state


class Matches:
    """N matches side by side, stepped together; what both environments are made of."""

    def __init__(self, count: int, world: Any, opponent: Any, player: int, **options: Any):
        if player not in (0, 1):
            raise AwmError(f"player is {player}; give 0 or 1")
        if count < 1:
            raise AwmError(f"{count} matches; give at least 1")
        both = ["noop", "noop"]
        both[1 - player] = opponent
        max_frames = options.pop("max_frames", LONGEST)
        options.setdefault("seed_action", STANDING)
        setup = prepare(world, both[0], both[1], max_frames=max_frames, **options)
        self.count, self.player, self.cfg = count, player, setup.world.cfg
        self.integer = isinstance(setup.start, GameFrame)
        self.neutral = self.pads(neutral_pad()[None])[0]
        agents = list(setup.agents)
        agents[player] = Given(jnp.asarray(self.neutral))
        self.world, self.agents, self.rules = setup.world, tuple(agents), Rules.of(max_frames)
        self.start = jax.tree.map(jnp.asarray, setup.start)
        self.state: MatchState | None = None

    def reset(self, seeds: np.ndarray, where: np.ndarray) -> None:
        """Begin anew the matches of a mask (N,) with seeds (N,)."""
        words = jnp.asarray(np.stack([rng.seed_words(int(seed)) for seed in seeds]))
        fresh = _reset(self.world, self.agents, self.start, self.world.context_len, words)
        old = self.state if self.state is not None else fresh
        self.state = _choose(jnp.asarray(where), fresh, old)

    def step(self, pads: np.ndarray) -> np.ndarray:
        """pads (N, ...) of your player -> outcomes (N,)."""
        assert self.state is not None
        minds = list(self.state.agents)
        minds[self.player] = jnp.asarray(pads)
        state = dataclasses.replace(self.state, agents=tuple(minds))
        self.state = state = _step(self.world, self.agents, self.rules, state)
        return np.asarray(state.outcome)

    def pads(self, values: np.ndarray) -> np.ndarray:
        """(N, 13) in [0, 1] as the world's own controllers."""
        values = np.asarray(values, np.float32)
        return np.asarray(pads_from_floats(values)) if self.integer else values

    def newest(self) -> Any:
        """The last frames (N, ...), your player first."""
        assert self.state is not None
        return _newest(self.world, self.state.world, self.player)

    def seen(self, frames: Any) -> Observation:
        """Frames (N, ...), your player first, as observations."""
        host = jax.tree.map(np.asarray, frames)
        pair = to_floats(self.cfg, host) if self.integer else (host.floats, host.ints)
        return dict(zip(("floats", "ints"), pair, strict=True))

    def score(self, frames: Any) -> tuple[np.ndarray, np.ndarray]:
        """Percent and stocks (N, 2) of frames, your player first."""
        host = jax.tree.map(np.asarray, frames)
        found = decode_integers(self.cfg, host) if self.integer else decode(self.cfg, host)
        return found["percent"], found["stocks"]


@functools.partial(jax.jit, static_argnums=3)
def _reset(world, agents, start, first, words):
    return jax.vmap(lambda seed: match_reset(world, agents, start, first, seed))(words)


@jax.jit
def _choose(where, new, old):
    def one(a, b):
        return jnp.where(where.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(one, new, old)


@functools.partial(jax.jit, donate_argnums=3)
def _step(world, agents, rules, state):
    return jax.vmap(lambda one: match_step(world, agents, rules, one)[0])(state)


@functools.partial(jax.jit, static_argnums=2)
def _newest(world, state, player):
    seen = jax.vmap(lambda one: world.observe(one, player))(state)
    return jax.tree.map(lambda v: v[:, -1], seen)


def _spaces(matches: Matches) -> tuple[spaces.Dict, spaces.Dict]:
    cfg = matches.cfg
    sight = spaces.Dict(
        floats=spaces.Box(-FAR, FAR, (cfg.float_per_frame,), np.float32),
        ints=spaces.MultiDiscrete(np.array(int_vocabs(cfg)), dtype=np.int32),
    )
    pad = spaces.Dict(
        analog=spaces.Box(0.0, 1.0, (len(ANALOG),), np.float32),
        buttons=spaces.MultiBinary(len(BUTTONS)),
    )
    return sight, pad


class MatchVectorEnv(VectorEnv):
    """N matches at once. One that is over begins anew in the same step, with the next seed.

    Args:
      count: N.
      world, opponent: as `crank.play` takes world and p1.
      player: which one you are, 0 or 1.
      options: `stage`, `characters`, `max_frames`, `engine`, ... of `crank.playing.prepare`.

    Actions are `analog` (N, 5) in 0..1, 0.5 the stick's rest, and `buttons` (N, 8), in the order of
    `awm_jax.encoding`. Observations are the newest frame, your player first, as float worlds
    encode it: `floats` (N, F), `ints` (N, I). A match that ended leaves its last frame in
    `info["final_obs"]` and how it ended in `info["outcome"]`.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        count: int,
        world: Any = EMBEDDED,
        opponent: Any = "hold-forward",
        *,
        player: int = 0,
        **options: Any,
    ):
        self.matches = Matches(count, world, opponent, player, **options)
        self.num_envs = count
        sight, pad = _spaces(self.matches)
        self.single_observation_space, self.single_action_space = sight, pad
        self.observation_space = gymnasium.vector.utils.batch_space(sight, count)
        self.action_space = gymnasium.vector.utils.batch_space(pad, count)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin all matches, the i-th with seed + i; seed 0 if none is given."""
        count = self.num_envs
        self._next = (seed or 0) + count
        self.matches.reset(np.arange(count) + (seed or 0), np.ones(count, bool))
        return self._look(), {}

    def step(
        self, actions: Any
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One frame of every match. Terminated: a last stock is lost; truncated: out of frames."""
        matches, before = self.matches, self._score
        pads = np.concatenate([actions["analog"], actions["buttons"]], axis=-1)
        outcome = matches.step(matches.pads(pads))
        seen = self._look()
        percent, stocks = (new - old for new, old in zip(self._score, before, strict=True))
        hurt, lost = np.maximum(percent, 0), -stocks
        reward = (hurt[:, 1] - hurt[:, 0]) / 100 + lost[:, 1] - lost[:, 0]
        over = outcome != Outcome.RUNNING
        truncated = outcome == Outcome.TIMEOUT
        info: dict[str, Any] = {"outcome": outcome}
        if over.any():
            info |= {"final_obs": seen, "_final_obs": over}
            seeds = self._next + np.cumsum(over) - 1
            self._next += int(over.sum())
            matches.reset(seeds, over)
            seen = self._look()
        return seen, reward.astype(np.float32), over & ~truncated, truncated, info

    def _look(self) -> Observation:
        frames = self.matches.newest()
        self._score = self.matches.score(frames)
        return self.matches.seen(frames)


class MatchEnv(gymnasium.Env):
    """One match; the arguments, spaces and rewards are those of `MatchVectorEnv` without N."""

    def __init__(self, world: Any = EMBEDDED, opponent: Any = "hold-forward", **options: Any):
        self._one = MatchVectorEnv(1, world, opponent, **options)
        self.observation_space = self._one.single_observation_space
        self.action_space = self._one.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        seen, info = self._one.reset(seed=seed)
        return _first(seen), info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        one = {name: np.asarray(value)[None] for name, value in action.items()}
        seen, reward, terminated, truncated, info = self._one.step(one)
        last = _first(info.get("final_obs", seen))
        told = {"outcome": Outcome(int(info["outcome"][0])).word}
        return last, float(reward[0]), bool(terminated[0]), bool(truncated[0]), told


def _first(seen: Observation) -> Observation:
    return {name: value[0] for name, value in seen.items()}
