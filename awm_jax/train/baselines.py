"""What needs no network: predictions that any world must beat.

Source: README of the replays, "Baselines". All errors in game units, summed per game.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from awm_jax.encoding import PREDICTED_CATEGORICAL, VELOCITY, EncodingConfig, float_names
from awm_jax.train import records
from awm_jax.train.data import Data
from awm_jax.train.rollout import HORIZON, Starts, Tally, score_names

Columns = dict[str, np.ndarray]


def copy_last(data: Data, starts: Starts, cfg: EncodingConfig, horizon: int = HORIZON) -> Tally:
    """The last known frame for ever: every score of `rollout.score_names`."""
    names = tuple(n for n in score_names(cfg) if not n.startswith("action_changed"))
    continuous = float_names(cfg)[: cfg.continuous_dim]

    def errors(c: Columns, t: np.ndarray, h: int) -> np.ndarray:
        def off(name):
            return np.abs(c[name][t - 1 + h] - c[name][t - 1]).astype(np.float64)

        out = {name: off(name) for name in continuous}
        out["position"] = (out["x"] + out["y"]) / 2
        out["velocity"] = np.mean([out[n] for n in VELOCITY], axis=0)
        for name in ("facing", "invulnerable", "on_ground", *PREDICTED_CATEGORICAL):
            out[name] = (c[name][t - 1 + h] != c[name][t - 1]).astype(np.float64)
        if cfg.state_flags:
            changed = c["flags"][t - 1 + h] ^ c["flags"][t - 1]
            out["flags"] = np.bitwise_count(changed).mean(axis=-1) / 8
        return np.stack([out[n].mean(axis=-1) for n in names], axis=-1)

    return _tally(data, starts, names, errors, horizon)


def linear(data: Data, starts: Starts, horizon: int = HORIZON) -> Tally:
    """x + h (x - x before): position only."""

    def at(c: Columns, t: np.ndarray, h: int) -> np.ndarray:
        now, before = _position(c, t - 1), _position(c, t - 2)
        return now + h * (now - before)

    return _moving(data, starts, at, horizon)


def held_speeds(
    data: Data,
    starts: Starts,
    *,
    grounded: bool = True,
    hitlag: bool = True,
    horizon: int = HORIZON,
) -> Tally:
    """The last speeds for ever: position only.

    Args:
      grounded: y stays for who stands on the ground.
      hitlag: who is in hitlag moves only when it is over.
    """

    def at(c: Columns, t: np.ndarray, h: int) -> np.ndarray:
        t = t - 1
        steps = np.maximum(0, h - c["hitlag"][t]) if hitlag else np.full(c["x"][t].shape, h)
        dx = c["speed_air_x"][t] + c["speed_attack_x"][t]
        dy = c["speed_y"][t] + c["speed_attack_y"][t]
        dy = np.where(c["on_ground"][t] & grounded, 0, dy)
        return _position(c, t) + np.stack([dx, dy], axis=-1) * steps[..., None]

    return _moving(data, starts, at, horizon)


def all_baselines(data: Data, starts: Starts, cfg: EncodingConfig) -> dict[str, Tally]:
    return {
        "copy last": copy_last(data, starts, cfg),
        "linear": linear(data, starts),
        "held speeds": held_speeds(data, starts, grounded=False, hitlag=False),
        "held speeds, ground": held_speeds(data, starts, hitlag=False),
        "held speeds, ground, hitlag": held_speeds(data, starts),
    }


def _position(c: Columns, t: np.ndarray) -> np.ndarray:
    return np.stack([c["x"][t], c["y"][t]], axis=-1)


def _moving(data: Data, starts: Starts, at: Callable[..., np.ndarray], horizon: int) -> Tally:
    def errors(c: Columns, t: np.ndarray, h: int) -> np.ndarray:
        off = np.abs(at(c, t, h) - _position(c, t - 1 + h))
        return off.mean(axis=(1, 2))[:, None]

    return _tally(data, starts, ("position",), errors, horizon)


def _tally(
    data: Data,
    starts: Starts,
    names: tuple[str, ...],
    errors: Callable[[Columns, np.ndarray, int], np.ndarray],
    horizon: int,
) -> Tally:
    count = np.bincount(starts.game, minlength=len(data))
    sums = np.zeros((len(data), horizon, len(names)))
    for game in np.flatnonzero(count):
        rows = starts.row[starts.game == game]
        c = records.unpack(data.games[game])
        wide = ("combo_count", "item_count")
        c = {
            n: v.astype(np.float64) if v.dtype == np.float32 or n in wide else v
            for n, v in c.items()
        }
        for h in range(1, horizon + 1):
            sums[game, h - 1] = errors(c, rows, h).sum(axis=0)
    return Tally(names, count, sums)
