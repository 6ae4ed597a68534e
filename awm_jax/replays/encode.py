"""Raw columns to the float and int arrays of the encoding (networks.md section 1.2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from awm_jax import encoding
from awm_jax.encoding import EncodingConfig
from awm_jax.replays.slippi import Game


def encode(
    game: Game, cfg: EncodingConfig, *, counted_age: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """All frames of a game: floats (T, F) float32 and ints (T, I) int32.

    Args:
      counted_age: `state_age` is `action_ages`, as worlds with `Variant.game_rules` learned it,
        instead of the animation's frame.
    """
    columns = game.columns
    if counted_age:
        columns = columns | {"state_age": action_ages(columns["action"])}
    return encode_columns(columns, game.stage, cfg)


def action_ages(action: np.ndarray) -> np.ndarray:
    """Frames since each player's action began, the rule of a match: (T, 2) -> (T, 2) int64."""
    rows = np.arange(len(action))[:, None]
    fresh = np.ones(action.shape, bool)
    fresh[1:] = action[1:] != action[:-1]
    return rows - np.maximum.accumulate(np.where(fresh, rows, 0), axis=0)


def encode_columns(
    columns: Mapping[str, np.ndarray], stage: int, cfg: EncodingConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Frames from raw columns.

    Args:
      columns: name -> (T, 2) in game units, flags (T, 2, 5) uint8, controller (T, 2, 13); names
        that `cfg` does not use may be absent.
      stage: external id.

    Returns:
      floats (T, F) float32, ints (T, I) int32 (clipped to their vocabularies).
    """
    frames = len(columns["x"])
    names = encoding.float_names(cfg)
    floats = np.empty((frames, 2, len(names)), np.float32)
    where = encoding.columns(cfg)
    for i, name in enumerate(names[: where.controller.start]):
        if name.startswith("flag_"):
            byte, bit = divmod(int(name.removeprefix("flag_")), 8)
            floats[:, :, i] = columns["flags"][:, :, byte] >> bit & 1
        else:
            floats[:, :, i] = _scaled(columns[name], encoding.column_scale(cfg, name))
    floats[:, :, where.controller] = columns["controller"]

    ints = np.empty((frames, cfg.int_per_frame), np.int32)
    players = ints[:, :-1].reshape(frames, 2, cfg.int_per_player)
    vocabs = encoding.int_vocabs(cfg)
    for i, name in enumerate(encoding.int_names(cfg)):
        # Clipping before the truncation toward zero gives the same and cannot overflow.
        players[:, :, i] = np.clip(np.nan_to_num(columns[name]), 0, vocabs[i] - 1)
    ints[:, :-1] = players.reshape(frames, -1)
    ints[:, -1] = min(max(stage, 0), cfg.stage_vocab - 1)
    return floats.reshape(frames, cfg.float_per_frame), ints


def clipped(game: Game, cfg: EncodingConfig) -> dict[str, int]:
    """How many values of each int column lie outside its vocabulary and are clipped (T8)."""
    counts = {}
    for name, vocab in zip(encoding.int_names(cfg), encoding.int_vocabs(cfg), strict=False):
        values = game.columns[name]
        counts[name] = int(((values < 0) | (values >= vocab)).sum())
    return counts


def _scaled(values: np.ndarray, scale: float) -> np.ndarray:
    """float32 values times the scale rounded to float32; integers in float64, rounded after."""
    return values * (np.float32(scale) if values.dtype == np.float32 else np.float64(scale))
