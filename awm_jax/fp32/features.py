"""Extra inputs of a `Variant`, in floats. The integer machine computes the same from its units."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from awm_jax.encoding import CONTROLLER, EncodingConfig, columns
from awm_jax.variant import EDGE_REACH, HEIGHT_REACH, LEVELS, RIVAL_REACH, stage_levels


def put_controls(cfg: EncodingConfig, floats: jax.Array, next_ctrl: jax.Array) -> jax.Array:
    """(*b, F) with its controller columns replaced by the first 26 of next_ctrl (*b, C)."""
    fp, where = cfg.float_per_player, columns(cfg).controller
    first, second = floats[..., : where.start], floats[..., fp : fp + where.start]
    n = len(CONTROLLER)
    pads = next_ctrl[..., :n], next_ctrl[..., n : 2 * n]
    return jnp.concatenate([first, pads[0], second, pads[1]], axis=-1)


def geometry(cfg: EncodingConfig, floats: jax.Array, ints: jax.Array) -> jax.Array:
    """Where both players stand, finely, near what matters: (*b, F), (*b, I) -> (*b, 18) in -1..1.

    For each player: height over the ground and two platforms, now and one step of its speed later;
    distance beyond the ground's edge; the rival's distance in x and y.
    """
    where = columns(cfg)
    blocks = floats.reshape(*floats.shape[:-1], 2, cfg.float_per_player)
    x, y = (blocks[..., where[name]] / cfg.xy_scale for name in ("x", "y"))
    rise = (
        blocks[..., where["speed_y"]] + blocks[..., where["speed_attack_y"]]
    ) / cfg.velocity_scale
    levels = jnp.asarray(stage_levels(cfg), floats.dtype)[ints[..., -1]][..., None, :]
    heights, edge = levels[..., :LEVELS], levels[..., LEVELS]

    def near(value, reach):
        return jnp.clip(value / reach, -1, 1)

    parts = [
        near(y[..., None] - heights, HEIGHT_REACH),
        near((y + rise)[..., None] - heights, HEIGHT_REACH),
        near(jnp.abs(x) - edge, EDGE_REACH)[..., None],
        near(x[..., ::-1] - x, RIVAL_REACH)[..., None],
        near(y[..., ::-1] - y, RIVAL_REACH)[..., None],
    ]
    return jax.lax.collapse(jnp.concatenate(parts, axis=-1), -2)
