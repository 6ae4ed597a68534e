"""What goes into the network: sixteen world, eight self and sixteen action features.

The packing is the reference's, value for value, where the reference returns one (mwm.md section 3).
Where it crashes or lets a value through that is no number, this says so or, for a null, takes it as
absent. Networks that are trained here look at scaled features (`scale_gwm`); the scale is written
down here and nowhere else.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from awm_jax.errors import AwmError

GWM_NAMES = (
    "threat_level",
    "num_enemies_total",
    "num_enemies_in_los",
    "num_enemies_aware",
    "nearest_enemy.distance",
    "nearest_enemy.bearing_deg",
    "nearest_enemy.health",
    "best_cover_spot.distance",
    "best_cover_spot.cover_rating",
    "escape_vector[0]",
    "escape_vector[1]",
    "stealth_safety_score",
    "is_player_in_stealth_danger",
    "loot_opportunity_available",
    "nearest_loot_distance",
    "snapshot_age",
)
SELF_NAMES = (
    "player_health",
    "player_stamina",
    "player_magicka",
    "is_sneaking",
    "in_combat",
    "consciousness_phi",
    "is_stuck",
    "action_success_rate",
)
AFFECT_NAMES = ("threat", "curiosity", "value_estimate", "surprise")
ACTION_NAMES = (
    "move_forward",
    "move_backward",
    "move_left",
    "move_right",
    "attack",
    "block",
    "heal",
    "sneak",
    "activate",
    "jump",
    "sprint",
    "back",
)
ACTION_PARAMETERS = ("magnitude", "direction", "duration", "priority")
UNKNOWN_ACTION = "unknown"

GWM_DIM, SELF_DIM, AFFECT_DIM = len(GWM_NAMES), len(SELF_NAMES), len(AFFECT_NAMES)
ACTION_DIM = len(ACTION_NAMES) + len(ACTION_PARAMETERS)
IWM_DIM = 768
FAR = 999.0
"""The distance of what is not there."""
NONE_FROM = 900.0
"""A decoded distance from here on means that there is none."""

GWM = {name: i for i, name in enumerate(GWM_NAMES)}
SELF = {name: i for i, name in enumerate(SELF_NAMES)}
DISTANCES = tuple(i for i, name in enumerate(GWM_NAMES) if name.endswith("distance"))
GWM_DEFAULTS = np.zeros(GWM_DIM, np.float32)
GWM_DEFAULTS[list(DISTANCES)] = FAR
GWM_DEFAULTS[[GWM["nearest_enemy.health"], GWM["stealth_safety_score"]]] = 1.0
SELF_DEFAULTS = np.array([1, 1, 1, 0, 0, 0.5, 0, 0.5], np.float32)

RANGE = 50.0
"""Metres over which a scaled distance grows from 0 to 1; what is further, or absent, is 1."""
GWM_UNITS = np.ones(GWM_DIM, np.float32)
GWM_UNITS[list(DISTANCES)] = RANGE
GWM_UNITS[[GWM[f"num_enemies_{which}"] for which in ("total", "in_los", "aware")]] = 5.0
GWM_UNITS[GWM["nearest_enemy.bearing_deg"]] = 180.0
MEANINGLESS_WITHOUT = {
    GWM["nearest_enemy.bearing_deg"]: GWM["nearest_enemy.distance"],
    GWM["nearest_enemy.health"]: GWM["nearest_enemy.distance"],
    GWM["best_cover_spot.cover_rating"]: GWM["best_cover_spot.distance"],
}
"""Feature -> the distance that says whether it has any meaning."""


def pack_gwm_features(features: Mapping[str, Any] | None) -> np.ndarray:
    """World features (16,) float32, unscaled: metres, degrees, counts.

    None is sixteen zeros, an empty mapping the defaults (999 m for what is absent), as networks of
    the reference were trained (W11). A null inside counts as absent (W7).

    Raises:
      AwmError: names the feature that is no number, NaN, infinite or too large for float32.
    """
    if features is None:
        return np.zeros(GWM_DIM, np.float32)
    if not isinstance(features, Mapping):
        raise AwmError(f"world features are a {type(features).__name__}, not a mapping")
    return _numbers(GWM_NAMES, [_world_value(features, name) for name in GWM_NAMES], GWM_DEFAULTS)


def _world_value(features: Mapping[str, Any], name: str) -> Any:
    outer, dot, inner = name.partition(".")
    if dot:
        target = features.get(outer)
        if target is None:
            return None
        if not isinstance(target, Mapping):
            raise AwmError(f"{outer} is a {type(target).__name__}, not a mapping")
        return target.get(inner)
    if outer.endswith("]"):
        key, _, position = outer[:-1].partition("[")
        vector = features.get(key)
        if vector is None:
            return None
        if isinstance(vector, str) or not isinstance(vector, Sequence | np.ndarray):
            raise AwmError(f"{key} is a {type(vector).__name__}, not two numbers")
        return vector[int(position)] if len(vector) > int(position) else None
    return features.get(outer)


def pack_self_features(being: Any) -> np.ndarray:
    """Self features (8,) float32 of a being: five from its `game_state`, three of its own.

    Raises:
      AwmError: `game_state` is no mapping, or a value no finite number; names it.
    """
    state = getattr(being, "game_state", {})
    if not isinstance(state, Mapping):
        raise AwmError(f"game_state is a {type(state).__name__}, not a mapping")
    own = SELF_NAMES[5:]
    values = [state.get(name) for name in SELF_NAMES[:5]]
    return _numbers(SELF_NAMES, values + [getattr(being, n, None) for n in own], SELF_DEFAULTS)


def action_name(action: Any) -> str:
    """The name of an action: a text, an Enum member's value, or either as its `action_type`.

    Case does not matter, and the text of an Enum member (`ActionType.ATTACK`) is its name (W4).
    """
    kind = action.get("action_type", UNKNOWN_ACTION) if isinstance(action, Mapping) else action
    kind = getattr(kind, "action_type", kind)
    if isinstance(kind, enum.Enum):
        kind = kind.value if isinstance(kind.value, str) else kind.name
    if not isinstance(kind, str):
        return UNKNOWN_ACTION
    return kind.rpartition(".")[2].strip().lower()


def pack_action_features(action: Any, action_type: Any = UNKNOWN_ACTION) -> np.ndarray:
    """Action features (16,) float32: one-hot of the type, then magnitude, direction, duration and a
    tenth of the priority.

    Args:
      action: holds the parameters, as attributes or as items; may be None.
      action_type: a name, an Enum member or an action, see `action_name`. One that is not among the
        twelve gives twelve zeros, the explicit unknown.

    Raises:
      AwmError: a parameter is no finite number; names it.
    """
    features = np.zeros(ACTION_DIM, np.float32)
    name = action_name(action_type)
    if name in ACTION_NAMES:
        features[ACTION_NAMES.index(name)] = 1
    read = action.get if isinstance(action, Mapping) else lambda n: getattr(action, n, None)
    defaults = np.array([1.0, 0.0, 0.5, 5.0], np.float32)
    values = [read(name) for name in ACTION_PARAMETERS]
    parameters = _numbers(ACTION_PARAMETERS, values, defaults, np.float64)
    parameters[-1] /= 10
    with np.errstate(over="ignore"):
        features[len(ACTION_NAMES) :] = parameters
    if not np.isfinite(features).all():
        raise AwmError("a parameter of the action is too large for float32")
    return features


def pack_iwm_latent(latent: Any, width: int) -> np.ndarray:
    """A visual latent (width,) float32 of any sequence of numbers; None is zeros.

    Raises:
      AwmError: names the length found and wanted, or the first value that is no finite number.
    """
    if latent is None:
        return np.zeros(width, np.float32)
    return vector("the visual latent", latent, width)


def vector(what: str, values: Any, width: int) -> np.ndarray:
    """`values` as (width,) float32, or an AwmError that begins with `what`."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise AwmError(f"{what} is not made of numbers") from error
    if array.shape != (width,):
        found = f"{array.shape[0]} values" if array.ndim == 1 else f"the shape {array.shape}"
        raise AwmError(f"{what} has {found}, this network takes {width}")
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise AwmError(f"{what} holds a value that is no finite number, at {bad_index(narrow)}")
    return narrow


def bad_index(array: np.ndarray) -> int:
    """Where the first value lies that is not finite."""
    return int(np.flatnonzero(~np.isfinite(array))[0])


def _numbers(
    names: Sequence[str], values: Sequence[Any], defaults: np.ndarray, dtype: Any = np.float32
) -> np.ndarray:
    packed = defaults.astype(dtype)
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        if value is None:
            continue
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            shown = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
            raise AwmError(f"{name} is {shown}, not a number") from error
        with np.errstate(over="ignore"):
            packed[i] = number
        if not math.isfinite(packed[i]):
            raise AwmError(f"{name} is {number}, not a finite float32")
    return packed


def scale_gwm(raw: Any) -> Any:
    """Unscaled world features (*b, 16) in the order of one, for networks trained here (W3).

    Distances saturate at `RANGE`, so that 999 and 50 m are both 1. NumPy and JAX arrays.
    """
    scaled = raw / GWM_UNITS.reshape((1,) * (raw.ndim - 1) + (GWM_DIM,))
    far = np.zeros(GWM_DIM, bool)
    far[list(DISTANCES)] = True
    top = np.where(far, 1.0, np.inf).astype(np.float32)
    return scaled.clip(max=top.reshape((1,) * (raw.ndim - 1) + (GWM_DIM,)))


def unscale_gwm(scaled: Any) -> Any:
    """The inverse of `scale_gwm` for decoded features; from 0.98 `RANGE` on a distance is 999."""
    shape = (1,) * (scaled.ndim - 1) + (GWM_DIM,)
    far = np.zeros(GWM_DIM, bool)
    far[list(DISTANCES)] = True
    xp = np if isinstance(scaled, np.ndarray) else _jnp()
    absent = far.reshape(shape) & (scaled >= 0.98)
    return xp.where(absent, np.float32(FAR), scaled * GWM_UNITS.reshape(shape))


def gwm_mask(scaled: Any) -> Any:
    """(*b, 16) float32: 0 for features that mean nothing, as the bearing of no enemy, else 1."""
    xp = np if isinstance(scaled, np.ndarray) else _jnp()
    columns = [
        (scaled[..., MEANINGLESS_WITHOUT[i]] < 1).astype(np.float32)
        if i in MEANINGLESS_WITHOUT
        else xp.ones(scaled.shape[:-1], np.float32)
        for i in range(GWM_DIM)
    ]
    return xp.stack(columns, axis=-1)


def _jnp() -> Any:
    import jax.numpy

    return jax.numpy
