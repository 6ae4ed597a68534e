"""Playing on from real frames under real controllers, and how far that goes astray.

A start is a row of a game: the first frame to be predicted. Source: replays.md section 4.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import (
    PREDICTED_CATEGORICAL,
    VELOCITY,
    EncodingConfig,
    columns,
    float_names,
    float_scales,
)
from awm_jax.errors import AwmError
from awm_jax.fp32.network import Network
from awm_jax.game import rules
from awm_jax.game.frames import Frames, control_features, controllers
from awm_jax.game.transition import evaluation_step, match_transition
from awm_jax.train.data import Data, encode_records

HORIZON = 20
CONTEXT = 10
"""Real frames that every start has before it, after GO."""
WARM_UP = 48
"""Rows that a recurrent network absorbs first; it gains nothing beyond 10 (training-notes.md)."""
DAMAGE = 0.5
"""A rise of percent in one frame from which on it is a hit."""
RULES = ("match", "founders")
MODES = ("recurrent", "windowed")


@dataclasses.dataclass(frozen=True)
class Starts:
    """N starts: `game` (N,) into a Data, `row` (N,) the first row to predict."""

    game: np.ndarray
    row: np.ndarray

    def __len__(self) -> int:
        return len(self.game)


def all_starts(data: Data, *, context: int = CONTEXT, horizon: int = HORIZON) -> Starts:
    """Every row with `context` rows from GO on before it and `horizon` after it."""
    spans = [
        np.arange(max(entry.go + context, WARM_UP), entry.rows - horizon) for entry in data.entries
    ]
    game = np.repeat(np.arange(len(spans)), [len(span) for span in spans])
    return Starts(game, np.concatenate([np.zeros(0, np.int64), *spans]))


def sample_starts(starts: Starts, count: int | None, seed: int = 42) -> Starts:
    """`count` of them, drawn as the founders draw theirs; all if None or fewer."""
    if count is None or count >= len(starts):
        return starts
    draw = np.random.RandomState(seed).choice(len(starts), count, replace=False)
    draw.sort()
    return Starts(starts.game[draw], starts.row[draw])


@functools.cache
def score_names(cfg: EncodingConfig) -> tuple[str, ...]:
    """What is scored per horizon: mean errors over both players, in game units or shares."""
    continuous = float_names(cfg)[: cfg.continuous_dim]
    binary = ("facing", "invulnerable", "on_ground") + (("flags",) if cfg.state_flags else ())
    extra = ("action_changed", "action_changed_right")
    return ("position", "velocity", *continuous, *binary, *PREDICTED_CATEGORICAL, *extra)


DAMAGE_NAMES = ("damaged", "foreseen", "undamaged", "false_alarm")


def scores(
    cfg: EncodingConfig, start: Frames, predicted: Frames, real: Frames
) -> tuple[jax.Array, jax.Array]:
    """Errors of one rollout.

    Args:
      start: (F,), (I,) the last real frame before it.
      predicted, real: (H, F), (H, I). A world's `rules.GONE` is the action that it goes on with.

    Returns:
      (H, len(score_names)): errors; shares of wrong values for binaries and categories. (4,):
      number of players of `DAMAGE_NAMES` kind in this window.
    """
    where, scales = columns(cfg), jnp.asarray(float_scales(cfg), jnp.float32)

    def players(floats):
        return floats.reshape(*floats.shape[:-1], 2, cfg.float_per_player)

    def ints(frames):
        return frames.ints[..., :-1].reshape(*frames.ints.shape[:-1], 2, cfg.int_per_player)

    units = scales.reshape(1, 1, -1)
    error = jnp.abs(players(predicted.floats) - players(real.floats)) / units
    by_name = {n: error[..., i] for i, n in enumerate(float_names(cfg)[: cfg.continuous_dim])}
    out = {
        "position": (by_name["x"] + by_name["y"]) / 2,
        "velocity": sum(by_name[n] for n in VELOCITY) / len(VELOCITY),
        **by_name,
    }
    wrong = error[..., where.binary] > 0.5
    for i, name in enumerate(("facing", "invulnerable", "on_ground")):
        out[name] = wrong[..., i].astype(jnp.float32)
    if cfg.state_flags:
        out["flags"] = jnp.mean(wrong[..., 3:].astype(jnp.float32), axis=-1)
    for name in PREDICTED_CATEGORICAL:
        i = where.int_index[name]
        said = ints(predicted)[..., i]
        said = rules.recorded(said) if name == "action" else said
        out[name] = (said != ints(real)[..., i]).astype(jnp.float32)
    action = where.int_index["action"]
    before = jnp.concatenate([ints(start)[None], ints(real)[:-1]])[..., action]
    changed = (ints(real)[..., action] != before).astype(jnp.float32)
    out["action_changed"] = changed
    out["action_changed_right"] = changed * (1 - out["action"])
    table = jnp.stack([jnp.mean(out[name], axis=-1) for name in score_names(cfg)], axis=-1)

    def hit(frames):
        percent = players(jnp.concatenate([start.floats[None], frames.floats]))
        percent = percent[..., where["percent"]] / cfg.percent_scale
        return jnp.any(percent[1:] - percent[:-1] >= DAMAGE, axis=0)

    was, said = hit(real), hit(predicted)
    kinds = jnp.stack([was, was & said, ~was, ~was & said])
    return table, jnp.sum(kinds.astype(jnp.float32), axis=-1)


@functools.partial(jax.jit, static_argnames=("mode", "rule", "horizon"))
def roll(
    network: Network, frames: Frames, *, mode: str = "recurrent", rule: str = "match", horizon: int
) -> Frames:
    """Predict the last `horizon` of (n, F), (n, I) real frames from those before; (H, F), (H, I).

    Only the controllers of the frames to predict are looked at.
    """
    cfg, net = network.cfg, network.module()

    def transition(last, outputs, pads):
        if rule == "founders":
            return evaluation_step(cfg, last, outputs, pads)
        return match_transition(cfg, last, outputs, pads, net.variant.game_rules)

    pads = controllers(cfg, frames.floats)
    ctrl = control_features(cfg, pads[1:], pads[:-1])
    known = frames.floats.shape[0] - horizon
    seen = jax.tree.map(lambda v: v[:known], frames)
    ahead = ctrl[known - 1 :], pads[known:]

    if mode == "windowed":
        context = jax.tree.map(lambda v: v[-network.context_len :], seen)

        def body(context, given):
            outputs = net(context.floats, context.ints, given[0])
            last = jax.tree.map(lambda v: v[-1], context)
            frame = transition(last, outputs, given[1])
            return context.push(frame), frame

        return jax.lax.scan(body, context, ahead)[1]

    earlier = jax.tree.map(lambda v: v[:-1], seen)
    _, state = net.sequence(earlier.floats, earlier.ints, ctrl[: known - 1])

    def step(carry, given):
        state, last = carry
        state, outputs = net.step(state, last.floats, last.ints, given[0])
        frame = transition(last, outputs, given[1])
        return (state, frame), frame

    last = jax.tree.map(lambda v: v[-1], seen)
    return jax.lax.scan(step, (state, last), ahead)[1]


@functools.partial(jax.jit, static_argnames=("mode", "rule", "horizon"))
def _judge(network: Network, frames: Frames, *, mode: str, rule: str, horizon: int):
    def one(frames):
        predicted = roll(network, frames, mode=mode, rule=rule, horizon=horizon)
        start = jax.tree.map(lambda v: v[-horizon - 1], frames)
        real = jax.tree.map(lambda v: v[-horizon:], frames)
        return scores(network.cfg, start, predicted, real)

    return jax.vmap(one)(frames)


@dataclasses.dataclass(frozen=True)
class Tally:
    """Sums per game of what was scored.

    Attributes:
      names: (n) of the scores.
      count: (G,) starts.
      sums: (G, H, n) float64.
      damage: (G, 4) float64, `DAMAGE_NAMES`; None if not looked at.
    """

    names: tuple[str, ...]
    count: np.ndarray
    sums: np.ndarray
    damage: np.ndarray | None = None


def batches(
    data: Data, starts: Starts, cfg: EncodingConfig, known: int, horizon: int, size: int
) -> Iterator[tuple[np.ndarray, Frames]]:
    """(games (b,), frames (size, known + horizon, ...)); the last batch repeats its last start."""
    for first in range(0, len(starts), size):
        part = np.arange(first, min(first + size, len(starts)))
        padded = np.concatenate([part, np.full(size - len(part), part[-1])])
        game, row = starts.game[padded], starts.row[padded]
        windows = [data.games[g][r - known : r + horizon] for g, r in zip(game, row, strict=True)]
        stages = np.array([data.entries[g].stage for g in game])[:, None]
        floats, ints = encode_records(np.stack(windows), stages, cfg)
        yield starts.game[part], Frames(floats, ints)  # pyright: ignore[reportArgumentType]


def evaluate_network(
    network: Network,
    data: Data,
    starts: Starts,
    *,
    mode: str = "recurrent",
    rule: str = "match",
    warm_up: int = WARM_UP,
    horizon: int = HORIZON,
    size: int = 256,
) -> Tally:
    """Roll a world out from every start.

    Raises:
      AwmError: an unknown mode or rule, or `warm_up` is more than the starts have before them.
    """
    if mode not in MODES or rule not in RULES:
        raise AwmError(f"mode is one of {', '.join(MODES)}, rule one of {', '.join(RULES)}")
    known = network.context_len if mode == "windowed" else warm_up
    if len(starts) == 0 or starts.row.min() < known:
        raise AwmError(f"there are no starts, or some with fewer than {known} frames before them")
    names, games = score_names(network.cfg), len(data)
    count = np.zeros(games, np.int64)
    sums, damage = np.zeros((games, horizon, len(names))), np.zeros((games, len(DAMAGE_NAMES)))
    size = min(size, len(starts))
    for game, frames in batches(data, starts, network.cfg, known, horizon, size):
        table, hits = _judge(network, frames, mode=mode, rule=rule, horizon=horizon)
        np.add.at(count, game, 1)
        np.add.at(sums, game, np.asarray(table, np.float64)[: len(game)])
        np.add.at(damage, game, np.asarray(hits, np.float64)[: len(game)])
    return Tally(names, count, sums, damage)
