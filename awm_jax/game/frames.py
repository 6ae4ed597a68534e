"""Encoded frames, the seed of a match, and the controllers that a network is given.

Source: match.md sections 1.1 and 1.2, networks.md section 1.4.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import ANALOG, ANALOG_THRESHOLD, CONTROLLER, STICKS, EncodingConfig, columns
from awm_jax.pytree import pytree

SEED_X = (-30.0, 30.0)
SEED_FACING = (1.0, 0.0)
SEED_SHIELD, SEED_STOCKS, SEED_JUMPS, SEED_GROUND = 60.0, 4.0, 2, 1
NOISE_Y = 0.1


@pytree
class Frames:
    """Encoded frames.

    Attributes:
      floats: (*t, F) float32 normalised columns.
      ints: (*t, I) int32 columns.
    """

    floats: jax.Array
    ints: jax.Array

    def push(self, frame: Frames) -> Frames:
        """Drop the oldest of (K, ...) and append one frame (...)."""

        def append(window, new):
            return jnp.concatenate([window[1:], new[None]])

        return jax.tree.map(append, self, frame)


def neutral_pad() -> np.ndarray:
    """Sticks at 0.5, nothing pressed: (13,) float32."""
    return np.array([0.5 if name in STICKS else 0.0 for name in CONTROLLER], np.float32)


def seed_frames(
    cfg: EncodingConfig,
    count: int,
    stage: int,
    characters: tuple[int, int],
    noise: np.ndarray | None = None,
    action: int = 0,
) -> Frames:
    """The reference's synthetic start, `count` frames long, as NumPy arrays.

    Args:
      noise: (1, 4) or (count, 4) offsets in the order p0.x, p1.x, p0.y, p1.y, in game units; y
        moves by a tenth of them. None for no noise.
      action: of both players. 0 is the reference's, though it means falling dead (M7); 14 is
        standing.
    """
    where = columns(cfg)
    floats: Any = np.zeros((count, cfg.float_per_frame), np.float32)
    ints: Any = np.zeros((count, cfg.int_per_frame), np.int32)
    for player in (0, 1):
        block = floats[:, player * cfg.float_per_player :][:, : cfg.float_per_player]
        block[:, where["x"]] = SEED_X[player] * cfg.xy_scale
        block[:, where["shield"]] = SEED_SHIELD * cfg.shield_scale
        block[:, where["stocks"]] = SEED_STOCKS * cfg.stocks_scale
        block[:, where["facing"]] = SEED_FACING[player]
        block[:, where["on_ground"]] = 1
        block[:, where.controller] = neutral_pad()
        if noise is not None:
            block[:, where["x"]] += (noise[:, player] * cfg.xy_scale).astype(np.float32)
            drift = noise[:, 2 + player] * NOISE_Y * cfg.xy_scale
            block[:, where["y"]] += drift.astype(np.float32)
        row = ints[:, player * cfg.int_per_player :]
        row[:, where.int_index["action"]] = action
        row[:, where.int_index["jumps"]] = SEED_JUMPS
        row[:, where.int_index["character"]] = characters[player]
        row[:, where.int_index["ground"]] = SEED_GROUND
    ints[:, -1] = stage
    return Frames(floats, ints)


def controllers(cfg: EncodingConfig, floats: jax.Array) -> jax.Array:
    """Both players' controller columns of (*b, F) as (*b, 2, 13)."""
    blocks = floats.reshape(*floats.shape[:-1], 2, cfg.float_per_player)
    return blocks[..., columns(cfg).controller]


def control_features(cfg: EncodingConfig, pads: jax.Array, before: jax.Array) -> jax.Array:
    """One frame's part of `next_ctrl`: (*b, 26 + 16 press events + 10 threshold features).

    Args:
      pads: (*b, 2, 13) both controllers of the frame.
      before: (*b, 2, 13) those of the frame before (only press events look at them).
    """
    parts = [pads]
    if cfg.press_events:
        fresh = (pads > 0.5) & (before < 0.5)
        parts.append(fresh[..., len(ANALOG) :].astype(pads.dtype))
    if cfg.ctrl_threshold_features:
        beyond = jnp.abs(pads[..., : len(ANALOG)]) > ANALOG_THRESHOLD
        parts.append(beyond.astype(pads.dtype))
    return jnp.concatenate([jax.lax.collapse(part, -2) for part in parts], axis=-1)
