"""From decoder outputs to slices: clips and thresholds, no sigmoid. Source: mwm.md section 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.mwm.features import (
    AFFECT_DIM,
    GWM,
    GWM_DIM,
    GWM_NAMES,
    NONE_FROM,
    SELF_DIM,
    SELF_NAMES,
    unscale_gwm,
)

if TYPE_CHECKING:
    from awm_jax.mwm.types import AffectSlice, SelfSlice, WorldSlice

MAX_COUNT = 100
Vector = np.ndarray | Sequence[float]


def decode_world_slice(world: Vector, *, scaled: bool = False) -> WorldSlice:
    """The world slice of decoder output (16,).

    A distance of exactly 0 is a distance like any other, and none is negative (W12).

    Args:
      scaled: the output is in the units of `features.scale_gwm`.

    Raises:
      AwmError: names the feature that is no number.
    """
    from awm_jax.mwm.types import WorldSlice

    w = _vector("world", world, GWM_DIM, GWM_NAMES)
    w = unscale_gwm(w) if scaled else w
    enemy = _distance(w[GWM["nearest_enemy.distance"]])
    cover = _distance(w[GWM["best_cover_spot.distance"]])
    return WorldSlice(
        threat_level=_unit(w[GWM["threat_level"]]),
        num_enemies=_count(w[GWM["num_enemies_total"]]),
        num_enemies_in_los=_count(w[GWM["num_enemies_in_los"]]),
        nearest_enemy_id=None if enemy is None else "enemy_decoded",
        nearest_enemy_distance=enemy,
        nearest_enemy_bearing_deg=None
        if enemy is None
        else float(w[GWM["nearest_enemy.bearing_deg"]]),
        best_cover_spot_id=None if cover is None else "cover_decoded",
        best_cover_distance=cover,
        escape_vector_x=float(np.clip(w[GWM["escape_vector[0]"]], -1, 1)),
        escape_vector_y=float(np.clip(w[GWM["escape_vector[1]"]], -1, 1)),
        loot_available=bool(w[GWM["loot_opportunity_available"]] > 0.5),
    )


def decode_self_slice(own: Vector) -> SelfSlice:
    """The self slice of decoder output (8,).

    Raises:
      AwmError: names the feature that is no number.
    """
    from awm_jax.mwm.types import SelfSlice

    s = _vector("self", own, SELF_DIM, SELF_NAMES)
    return SelfSlice(
        health=_unit(s[0]),
        stamina=_unit(s[1]),
        magicka=_unit(s[2]),
        is_sneaking=bool(s[3] > 0.5),
        in_combat=bool(s[4] > 0.5),
        confidence=_unit(s[5]),
    )


def decode_affect_slice(affect: Vector) -> AffectSlice:
    """The affect slice of decoder output (4,).

    Raises:
      AwmError: names the value that is no number.
    """
    from awm_jax.mwm.types import AffectSlice

    names = tuple(AffectSlice.model_fields)
    a = _vector("affect", affect, AFFECT_DIM, names)
    return AffectSlice(
        threat=_unit(a[0]),
        curiosity=_unit(a[1]),
        value_estimate=float(a[2]),
        surprise=float(abs(a[3])),
    )


def squash_affect(affect: Any) -> Any:
    """The same as arrays, for `jit`: raw (*b, 4) -> threat, curiosity, value, surprise (*b, 4)."""
    import jax.numpy as jnp

    threat, curiosity, value, surprise = jnp.moveaxis(affect, -1, 0)
    parts = [threat.clip(0, 1), curiosity.clip(0, 1), value, abs(surprise)]
    return jnp.stack(parts, axis=-1)


def _vector(what: str, values: Vector, width: int, names: Sequence[str]) -> np.ndarray:
    array = np.asarray(values, np.float32)
    if array.shape != (width,):
        raise AwmError(f"decoded {what} has the shape {array.shape}, not ({width},)")
    bad = np.flatnonzero(np.isnan(array))
    if bad.size:
        raise AwmError(f"decoded {what}: {names[bad[0]]} is no number")
    return array


def _unit(value: np.floating) -> float:
    return float(np.clip(value, 0, 1))


def _count(value: np.floating) -> int:
    return int(np.clip(value, 0, MAX_COUNT))


def _distance(value: np.floating) -> float | None:
    return max(0.0, float(value)) if value < NONE_FROM else None
