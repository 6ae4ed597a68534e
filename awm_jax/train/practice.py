"""A cloned policy practises: it plays matches in a world, and learns to keep its stocks and to take
the other's, without moving far from the person it was cloned from.

A clone saw how people act where people are. In a match it drifts to where they never were, off the
stage above all, and falls. Here each step plays some frames of many matches and follows the
gradient of what came of them (actor and critic with generalised advantages, Schulman et al. 2016),
held back by the distance from the clone (its Kullback-Leibler divergence).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.encoding import columns, int_vocabs
from awm_jax.errors import AwmError
from awm_jax.fp32.network import Network
from awm_jax.fp32.policy import swap_players
from awm_jax.fp32.world import Fp32World
from awm_jax.game.frames import Frames, seed_frames
from awm_jax.game.rules import WAITING
from awm_jax.game.stages import STAGES, stage
from awm_jax.pytree import pytree
from awm_jax.train.export import write_checkpoint
from awm_jax.train.losses import robust
from awm_jax.train.trainer import Metrics, Params, TrainConfig

STAND = 14
"""The action with which both begin."""
HIT = 0.25
"""A rise of percent from which on it is a hit; less is a rounding of floats."""


TRAIN = TrainConfig(
    steps=500, rate=3e-4, warmup=20, average=0.98, log_every=10, save_every=100, judge_every=500
)


@dataclasses.dataclass(frozen=True)
class PracticeConfig:
    """Attributes:
    matches: played side by side, at most: as many against each opponent, half of them as player 1.
    frames: of each, a step.
    discount, trace: of rewards a frame later, and of the advantage's estimates.
    noise: deviation of what the sticks are moved by, to try.
    near: weight of the divergence from the clone, of all 13 inputs a frame.
    damage: what 100% of damage dealt is worth, beside a stock.
    harm: what 100% of damage taken costs: less, or nobody dares.
    home: what it costs to be 100 units beyond the edge or below the ground: the reward of a frame
      is how this changed, so that a way back pays at once and not only when a stock is kept.
    close: likewise, of 100 units between the players.
    longest: frames after which a match is given up.
    critic: width of the two layers that estimate what is to come.
    """

    matches: int = 192
    frames: int = 16
    discount: float = 0.995
    trace: float = 0.95
    noise: float = 0.05
    near: float = 0.03
    damage: float = 1.0
    harm: float = 0.3
    home: float = 1.0
    close: float = 0.1
    longest: int = 7200
    critic: int = 128
    seed: int = 0
    counted_age: bool = True
    train: TrainConfig = TRAIN


class Critic(nnx.Module):
    """What a frame is worth to the player whose block is first."""

    def __init__(self, cfg, width: int, *, rngs: nnx.Rngs):
        self.cfg = cfg
        self.vocab = int_vocabs(cfg)[columns(cfg).int_index["action"]]
        inputs = cfg.float_per_frame + 2 * self.vocab
        self.first = nnx.Linear(inputs, width, rngs=rngs)
        self.second = nnx.Linear(width, width, rngs=rngs)
        self.last = nnx.Linear(width, 1, rngs=rngs)

    def __call__(self, frame: Frames) -> jax.Array:
        """(*b, F), (*b, I) -> (*b)."""
        ipp = self.cfg.int_per_player
        action = columns(self.cfg).int_index["action"]
        acts = [
            jax.nn.one_hot(frame.ints[..., p * ipp + action], self.vocab, dtype=jnp.float32)
            for p in (0, 1)
        ]
        x = jnp.concatenate([frame.floats, *acts], axis=-1)
        x = jax.nn.relu(self.first(x))
        return self.last(jax.nn.relu(self.second(x)))[..., 0]


@pytree
class Playing:
    """Matches under way.

    Attributes:
      world: (M, ...) its states.
      age: (M,) int32 frames played.
      key: a random key's data.
    """

    world: Any
    age: jax.Array
    key: jax.Array


@pytree
class Played:
    """What happened in the frames of a step, (T, M, ...).

    Attributes:
      seen: windows that the learner saw, its own block first.
      tried: (.., 5) where it moved its sticks, before they are limited. pressed: (.., 8).
      reward: of the frame that came of it.
      over, given_up: whether the match ended with it, by a last stock or by its length.
      what: hits and stocks, by name.
    """

    seen: Frames
    tried: jax.Array
    pressed: jax.Array
    reward: jax.Array
    over: jax.Array
    given_up: jax.Array
    what: dict[str, jax.Array]


class PracticeJob:
    """Lets one policy practise against others that stay as they are."""

    def __init__(
        self,
        config: PracticeConfig,
        world: Fp32World,
        clone: Network,
        character: int,
        opponents: Sequence[tuple[Network, int]],
        *,
        start: Network | None = None,
    ):
        """
        Args:
          clone: what stays near: a `PolicyMLP` of the world's encoding.
          character: internal id of whom it plays.
          opponents: others and whom they play.
          start: where to begin, the clone if None.

        Raises:
          AwmError: an encoding that is not the world's, or matches that cannot be shared out.
        """
        nets = [clone, *(net for net, _ in opponents)]
        if any(net.cfg != world.cfg for net in nets):
            raise AwmError("policies practise in worlds of their own encoding only")
        if not 1 <= len(opponents) <= config.matches // 2:
            raise AwmError(f"give 1 to {config.matches // 2} opponents")
        self.config, self.world, self.clone = config, world, clone
        self.character, self.opponents = character, tuple(opponents)
        self.start = start or clone
        critic = Critic(world.cfg, config.critic, rngs=nnx.Rngs(config.seed))
        self.critic_def, state = nnx.split(critic)
        self.critic_params, self.critic_tree = jax.tree.flatten(state)
        self.each = config.matches // (2 * len(self.opponents))
        self.matches = self.each * 2 * len(self.opponents)
        self.second = np.arange(self.matches) // self.each % 2 == 1
        self.beginnings = self._beginnings()

    def _beginnings(self) -> Any:
        """(groups, stages, ...) states of the world in which matches begin."""
        cfg, k = self.world.cfg, self.world.context_len
        seeds = []
        for _, other in self.opponents:
            for pair in ((self.character, other), (other, self.character)):
                seeds.append([seed_frames(cfg, k, s, pair, action=STAND) for s in STAGES])
        stacked = jax.tree.map(
            lambda *v: np.stack(v), *(jax.tree.map(lambda *v: np.stack(v), *row) for row in seeds)
        )
        return jax.jit(jax.vmap(jax.vmap(self.world.reset)))(jax.tree.map(jnp.asarray, stacked))

    @property
    def settings(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self.config)
        del fields["train"]

        def sha(net):
            return hashlib.sha256(b"".join(np.asarray(p).tobytes() for p in net.params)).hexdigest()

        return {
            "kind": "practice",
            "practice": fields,
            "world": sha(self.world.network),
            "clone": sha(self.clone),
            "start": sha(self.start),
            "character": self.character,
            "opponents": [[sha(net), character] for net, character in self.opponents],
        }

    def init(self) -> Params:
        return tuple(jnp.array(p) for p in (*self.start.params, *self.critic_params))

    def carry(self) -> Playing:
        config = self.config
        key = jax.random.key(config.seed)
        key, draw, age = jax.random.split(key, 3)
        world = self._fresh(draw)
        ages = jax.random.randint(age, (self.matches,), 0, config.longest)
        return Playing(world, ages, jax.random.key_data(key))

    def _fresh(self, key: jax.Array) -> Any:
        groups = len(self.opponents) * 2
        chosen = jax.random.randint(key, (self.matches,), 0, len(STAGES))
        group = np.repeat(np.arange(groups), self.each)
        return jax.tree.map(lambda v: v[group, chosen], self.beginnings)

    def place(self) -> dict[str, np.ndarray]:
        return {}

    def phase(self, step: int) -> Hashable:
        return None

    def batch(self, step: int, place: dict[str, np.ndarray]) -> tuple[Any, dict[str, np.ndarray]]:
        return (), place

    def network(self, params: Params) -> Network:
        return dataclasses.replace(self.clone, params=tuple(params[: len(self.clone.params)]))

    def _critic(self, params: Params) -> Critic:
        state = jax.tree.unflatten(self.critic_tree, params[len(self.clone.params) :])
        return nnx.merge(self.critic_def, state)

    def _seen(self, frames: Frames) -> Frames:
        """Windows (M, K, ...) with the learner's own block first."""
        swapped = Frames(*swap_players(self.world.cfg, frames.floats, frames.ints))
        second = jnp.asarray(self.second)

        def choose(a, b):
            return jnp.where(second.reshape(-1, *(1,) * (a.ndim - 1)), b, a)

        return jax.tree.map(choose, frames, swapped)

    def _other(self, frames: Frames, key: jax.Array) -> jax.Array:
        """(M, 13) what the opponents do; frames are seen with their block first."""
        pads = []
        for i, (net, _) in enumerate(self.opponents):
            lanes = slice(2 * i * self.each, 2 * (i + 1) * self.each)
            pads.append(_act(net, jax.tree.map(lambda v, s=lanes: v[s], frames)))
        analog = jnp.concatenate([a for a, _ in pads])
        logits = jnp.concatenate([b for _, b in pads])
        pressed = jax.random.uniform(key, logits.shape) < jax.nn.sigmoid(logits)
        return jnp.concatenate([analog, pressed.astype(jnp.float32)], axis=-1)

    def _play(self, params: Params, carry: Playing) -> tuple[Playing, Played]:
        config, cfg = self.config, self.world.cfg
        second = jnp.asarray(self.second)
        actor = self.network(params)

        def play(carry: Playing, _: None):
            keys = jax.random.split(jax.random.wrap_key_data(carry.key), 6)
            mine = self._seen(carry.world.frames)
            theirs = Frames(*swap_players(cfg, mine.floats, mine.ints))
            mean, logits = _act(actor, mine)
            tried = mean + config.noise * jax.random.normal(keys[0], mean.shape)
            pressed = jax.random.uniform(keys[1], logits.shape) < jax.nn.sigmoid(logits)
            pressed = pressed.astype(jnp.float32)
            pad = jnp.concatenate([jnp.clip(tried, 0, 1), pressed], axis=-1)
            other = self._other(theirs, keys[2])
            pads = jnp.stack([pad, other], axis=1)
            pads = jnp.where(second[:, None, None], pads[:, ::-1], pads)
            state, frame = jax.vmap(self.world.step)(carry.world, pads)
            before = jax.tree.map(lambda v: v[:, -1], carry.world.frames)
            reward, what = self._reward(before, frame)
            over = jnp.any(self.world.knocked_out(frame), axis=-1)
            over |= ~jnp.all(jnp.isfinite(frame.floats), axis=-1)
            given_up = (carry.age >= config.longest) & ~over
            fresh = self._fresh(keys[3])

            def renew(old, new):
                ends = (over | given_up).reshape(-1, *(1,) * (old.ndim - 1))
                return jnp.where(ends, new, old)

            world = jax.tree.map(renew, state, fresh)
            age = jnp.where(over | given_up, 0, carry.age + 1)
            after = Playing(world, age, jax.random.key_data(keys[5]))
            return after, (mine, tried, pressed, reward, over, given_up, what)

        after, played = jax.lax.scan(play, carry, None, length=config.frames)
        return after, Played(*played)

    def loss(
        self, params: Params, carry: Playing, batch: Any, phase: Any
    ) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        config = self.config
        after, played = self._play(jax.lax.stop_gradient(params), carry)
        critic = self._critic(params)
        newest = jax.tree.map(lambda v: v[:, :, -1], played.seen)
        value = critic(newest)
        last = self._seen(after.world.frames)
        ahead = critic(jax.tree.map(lambda v: v[:, -1], last))
        known, ahead = jax.lax.stop_gradient((value, ahead))
        advantage = self._advantages(played.reward, known, ahead, played.over, played.given_up)
        target = advantage + known
        scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-3)

        flat = jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:]), played.seen)
        mean, logits = (
            v.reshape(*played.reward.shape, -1) for v in _act(self.network(params), flat)
        )
        clone = (v.reshape(*played.reward.shape, -1) for v in _act(self.clone, flat))
        clone_mean, clone_logits = jax.lax.stop_gradient(tuple(clone))
        likely = -0.5 * jnp.square((played.tried - mean) / config.noise).sum(-1)
        likely += (played.pressed * logits - jax.nn.softplus(logits)).sum(-1)
        away = 0.5 * jnp.square((mean - clone_mean) / config.noise).sum(-1)
        away += _divergence(logits, clone_logits).sum(-1)
        actor_loss = -jnp.mean(scaled * likely) + config.near * jnp.mean(away)
        critic_loss = jnp.mean(robust(value - target, 0.5))
        metrics = {
            "reward": played.reward.mean() * 3600,
            "away": away.mean(),
            "critic": critic_loss,
            **{name: v.mean() * 3600 for name, v in played.what.items()},
            "over": played.over.mean() * 3600,
        }
        return actor_loss + critic_loss, (after, metrics)

    def _reward(self, before: Frames, after: Frames) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Of one frame to the learner (M,), and what happened, by name (M,)."""
        cfg, where = self.world.cfg, columns(self.world.cfg)

        def both(frame, name, scale):
            blocks = frame.floats.reshape(-1, 2, cfg.float_per_player)[..., where[name]] / scale
            return jnp.where(jnp.asarray(self.second)[:, None], blocks[:, ::-1], blocks)

        scale = cfg.percent_scale
        rise = jnp.maximum(both(after, "percent", scale) - both(before, "percent", scale), 0)
        fall = both(before, "stocks", cfg.stocks_scale) - both(after, "stocks", cfg.stocks_scale)
        lost = jnp.clip(jnp.round(fall), 0, 1)
        (was, lived), (now, lives) = self._footing(before), self._footing(after)
        footing = jnp.where(lived & lives, now - was, 0)
        what = {
            "hits": (rise[:, 1] > HIT).astype(jnp.float32),
            "hit_by": (rise[:, 0] > HIT).astype(jnp.float32),
            "took": lost[:, 1],
            "lost": lost[:, 0],
        }
        worth = jnp.array([[-self.config.harm, self.config.damage]]) * rise / 100
        return worth.sum(-1) + lost[:, 1] - lost[:, 0] + footing, what

    def _footing(self, frame: Frames) -> tuple[jax.Array, jax.Array]:
        """How well the learner stands, (M,) from 0 down, and whether it is alive, (M,)."""
        cfg, config, where = self.world.cfg, self.config, columns(self.world.cfg)
        blocks = frame.floats.reshape(-1, 2, cfg.float_per_player)
        x, y = (blocks[..., where[name]] / cfg.xy_scale for name in ("x", "y"))
        edge = jnp.asarray(_edges(cfg.stage_vocab))[frame.ints[..., -1]][:, None]
        outside = jnp.maximum(jnp.abs(x) - edge, 0) + jnp.maximum(-y, 0)
        own = self.second.astype(int)
        actions = frame.ints[..., :-1].reshape(-1, 2, cfg.int_per_player)
        action = actions[..., where.int_index["action"]]
        apart = jnp.abs(x[:, 0] - x[:, 1]) + jnp.abs(y[:, 0] - y[:, 1])
        rows = np.arange(len(own))
        cost = config.home * outside[rows, own] + config.close * apart
        alive = action > WAITING
        return -cost / 100, alive[rows, own] & alive[rows, 1 - own]

    def _advantages(self, reward, value, ahead, over, given_up) -> jax.Array:
        config = self.config
        following = jnp.concatenate([value[1:], ahead[None]])
        # Given up: what was to come is not known from here on, and taken to be as now.
        following = jnp.where(given_up, value, following)
        error = reward + config.discount * jnp.where(over, 0, following) - value
        keep = config.discount * config.trace * (1 - (over | given_up).astype(jnp.float32))

        def back(later, given):
            error, keep = given
            now = error + keep * later
            return now, now

        return jax.lax.scan(back, jnp.zeros_like(ahead), (error, keep), reverse=True)[1]

    def judge(self, params: Params) -> Metrics:
        return {}

    def export(self, params: Params, folder: Path, note: Metrics) -> None:
        """`policy.safetensors` and its settings, as `awm-convert` reads them."""
        provenance = {"counted_age": self.config.counted_age, "practised": True, **note}
        write_checkpoint(self.network(params).module(), folder, "policy", provenance=provenance)


@functools.cache
def _edges(stages: int) -> np.ndarray:
    """(stages,) x of the ground's right edge."""
    return np.array([stage(n).ground_x_range[1] for n in range(stages)], np.float32)


def _act(net: Network, frames: Frames) -> tuple[jax.Array, jax.Array]:
    """Windows (*b, K, ...) -> sticks and triggers (*b, 5), logits of the buttons (*b, 8)."""
    out = net.module()(frames.floats, frames.ints)
    return out["analog_pred"], out["button_logits"]


def _divergence(logits: jax.Array, other: jax.Array) -> jax.Array:
    """Of a button's odds from the clone's."""
    p = jax.nn.sigmoid(logits)
    return p * (logits - other) - jax.nn.softplus(logits) + jax.nn.softplus(other)
