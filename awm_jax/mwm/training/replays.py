"""Steps to learn from in real games: each game twice, once as either player."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.fp32.policy import swap_players
from awm_jax.game.frames import controllers
from awm_jax.mwm.features import ACTION_NAMES, AFFECT_NAMES
from awm_jax.mwm.melee import PERIOD, action_features, directions, label_of, observe
from awm_jax.mwm.training.steps import Steps, affect_targets, coming

DAMAGE_OF_ONE, STOCK = 5.0, 8.0
"""5 percent dealt are a reward of 1, a stock taken 8; the same received counts against."""
AHEAD = 0.96
"""Discount of a decision: a reward 1.7 seconds ahead counts half."""
THREAT, VALUE = AFFECT_NAMES.index("threat"), AFFECT_NAMES.index("value_estimate")
BLOCK = 512
"""Decisions that are looked at together."""


def harms(percent: np.ndarray, stocks: np.ndarray) -> np.ndarray:
    """(T - 1, 2) what each player suffered between rows of percent and stocks (T, 2)."""
    damage = np.maximum(np.diff(percent, axis=0), 0) / DAMAGE_OF_ONE
    lost = np.maximum(-np.diff(stocks, axis=0), 0) * STOCK
    return np.where(lost > 0, lost, damage)


def felt_in_games(
    gwm: np.ndarray, harm: np.ndarray, link: np.ndarray, value: np.ndarray | None = None
) -> np.ndarray:
    """(T, 4) affect's targets in a game seen by its first player.

    A mind acts on value - threat, so threat is what will be suffered, not who is near: the greatest
    coming harm in stocks. One that feared nearness would never fight.

    Args:
      gwm: (T, 16). harm: (T - 1, 2) of `harms`. link: (T,).
      value: (T,) where it is known better than by the rewards that came.
    """
    affect = affect_targets(gwm, np.append(harm[:, 1] - harm[:, 0], 0.0), link, AHEAD)
    suffered = np.append(0.0, harm[:, 0] / STOCK).clip(0, 1)
    affect[:, THREAT] = coming(suffered, link, AHEAD)
    if value is not None:
        affect[:, VALUE] = value
    return affect


def steps_of_frames(cfg: EncodingConfig, floats: np.ndarray, ints: np.ndarray) -> Steps:
    """Steps of one game (T, F), (T, I), as its first player; one every `PERIOD` frames.

    Raises:
      AwmError: it is shorter than two decisions.
    """
    count = (len(floats) - 1) // PERIOD
    if count < 2:
        raise AwmError(f"{len(floats)} frames are too few; {2 * PERIOD + 1} are needed")
    rows = np.arange(count) * PERIOD
    world, own, facing, side = _seen(cfg, floats[rows], ints[rows])
    # The controller of row t made row t: what is done after row t is in the rows that follow.
    pads = np.asarray(controllers(cfg, jnp.asarray(floats)))[:, 0]
    follow = pads[rows[:, None] + 1 + np.arange(PERIOD)]
    labels = label_of(follow, facing[:, None], side[:, None])
    where, fp = columns(cfg), cfg.float_per_player
    percent = floats[rows][:, [where["percent"], fp + where["percent"]]] / cfg.percent_scale
    stocks = floats[rows][:, [where["stocks"], fp + where["stocks"]]] / cfg.stocks_scale
    link = np.arange(count) < count - 1
    action = action_features()[_of_window(labels)]
    affect = felt_in_games(world, harms(percent, np.rint(stocks)), link)
    return Steps(world, own, action, affect, link)


@functools.partial(jax.jit, static_argnames="cfg")
def _look(cfg: EncodingConfig, floats: jax.Array, ints: jax.Array) -> tuple[jax.Array, ...]:
    def one(floats, ints):
        return *observe(cfg, floats, ints), *directions(cfg, floats)

    return jax.vmap(one)(floats, ints)


def _seen(cfg: EncodingConfig, floats: np.ndarray, ints: np.ndarray) -> list[np.ndarray]:
    """World (n, 16), self (n, 8), facing (n,) and side (n,) of frames (n, F), (n, I), looked at in
    blocks of one size: games of every length share what was compiled."""
    spare = -len(floats) % BLOCK
    floats, ints = (np.pad(value, ((0, spare), (0, 0)), mode="edge") for value in (floats, ints))
    blocks = [
        _look(cfg, floats[at : at + BLOCK], ints[at : at + BLOCK])
        for at in range(0, len(floats), BLOCK)
    ]
    n = len(floats) - spare
    return [np.concatenate(parts)[:n] for parts in zip(*blocks, strict=True)]


def _of_window(labels: np.ndarray) -> np.ndarray:
    """One label a window (n, PERIOD): the first button pressed, else the stick's at its end."""
    buttons = [ACTION_NAMES.index(n) for n in ("heal", "activate", "attack", "back", "block")]
    pressed = np.isin(labels, [*buttons, ACTION_NAMES.index("jump")])
    first = np.argmax(pressed, axis=1)
    column = np.where(pressed.any(axis=1), first, labels.shape[1] - 1)
    return labels[np.arange(len(labels)), column]


def both_sides(cfg: EncodingConfig, floats: np.ndarray, ints: np.ndarray) -> list[Steps]:
    """Steps of one game as either player."""
    swapped = (np.asarray(a) for a in swap_players(cfg, jnp.asarray(floats), jnp.asarray(ints)))
    return [steps_of_frames(cfg, floats, ints), steps_of_frames(cfg, *swapped)]


def joined(parts: list[Steps]) -> Steps:
    """Games one after the other, unlinked."""
    fields = [f.name for f in dataclasses.fields(Steps) if f.name != "iwm"]
    return Steps(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in fields})
