"""Encoded frames back to game units: the inverse of `awm_jax.replays.encode`."""

from __future__ import annotations

import numpy as np

from awm_jax.encoding import (
    CONTROLLER,
    NUM_FLAG_BITS,
    EncodingConfig,
    column_scale,
    columns,
    float_names,
    int_names,
)
from awm_jax.game.frames import Frames

BINARY = ("facing", "invulnerable", "on_ground", *(f"flag_{i}" for i in range(NUM_FLAG_BITS)))


def decode(cfg: EncodingConfig, frames: Frames) -> dict[str, np.ndarray]:
    """Columns by name, in game units.

    A float is its float32 widened to float64 and divided by the float64 scale, unrounded (match.md
    section 1.3). Names are those of `float_names` and `int_names`, the controller's left out.

    Args:
      frames: (*t, F) and (*t, I).

    Returns:
      name -> (*t, 2): float64, bool for the binary ones, int32 for the categorical ones.
    """
    floats, ints = np.asarray(frames.floats), np.asarray(frames.ints)
    blocks = floats.reshape(*floats.shape[:-1], 2, cfg.float_per_player)
    rows = ints[..., :-1].reshape(*ints.shape[:-1], 2, cfg.int_per_player)
    where = columns(cfg)
    out: dict[str, np.ndarray] = {}
    for name in float_names(cfg):
        if name in CONTROLLER:
            continue
        value = blocks[..., where[name]]
        if name in BINARY:
            out[name] = value > 0.5
        else:
            out[name] = value.astype(np.float64) / column_scale(cfg, name)
    return out | {name: rows[..., where.int_index[name]] for name in int_names(cfg)}


def stages(frames: Frames) -> np.ndarray:
    """The stage of each frame, (*t,) int32."""
    return np.asarray(frames.ints)[..., -1]
