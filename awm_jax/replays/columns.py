"""peppi-py's frames to the raw columns of the encoding, by networks.md section 1.3.

Own choices, where the reference loses or mixes something; `faithful` takes its way in the first
four:
- percent keeps its fraction (reference: truncated);
- shoulder is the trigger as the game took it, 0 below its dead zone (reference: the larger of the
  two physical triggers, above 0 in half of all frames at rest); both clipped to [0, 1], since the
  physical ones of versions 0.1 and 1.0 hold garbage;
- invulnerable is hurtbox != 0 (reference: always 0);
- hitstun counts only under its flag, bit 1 of byte 3 (reference: other states' values leak in);
- rollbacks are resolved, and rows that lack an event of a player are left out (reference: all rows
  as they come);
- items: see `items`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from awm_jax import encoding
from awm_jax.replays.items import PROJECTILES, nearest

BUTTON_BITS = {
    "button_a": 8,
    "button_b": 9,
    "button_x": 10,
    "button_y": 11,
    "button_z": 4,
    "button_l": 6,
    "button_r": 5,
    "button_d_up": 3,
}
"""Bits of the physical button mask."""
MAX_HITSTUN = 200
FILL = {"shield": 60.0, "stocks": 4.0, "on_ground": True}
"""What a column is filled with that a version lacks; 0 where the name is not here."""

_AIRBORNE = 65535
_HITSTUN_BYTE, _HITSTUN_BIT = 3, 2
_FLOATS = {
    "percent": ("percent",),
    "x": ("position", "x"),
    "y": ("position", "y"),
    "shield": ("shield",),
    "speed_air_x": ("velocities", "self_x_air"),
    "speed_y": ("velocities", "self_y"),
    "speed_ground_x": ("velocities", "self_x_ground"),
    "speed_attack_x": ("velocities", "knockback_x"),
    "speed_attack_y": ("velocities", "knockback_y"),
    "state_age": ("state_age",),
    "hitlag": ("hitlag",),
    "stocks": ("stocks",),
}
_INTS = {
    "combo_count": ("combo_count",),
    "action": ("state",),
    "jumps": ("jumps",),
    "character": ("character",),
    "l_cancel": ("l_cancel",),
    "hurtbox": ("hurtbox_state",),
    "last_attack": ("last_attack_landed",),
}
_DERIVED = ("facing", "invulnerable", "on_ground", "ground", "flags", "hitstun", "controller")
_ITEM_COLUMNS = ("item_dx", "item_dy", "item_count")
NAMES = (*_FLOATS, *_INTS, *_DERIVED, *_ITEM_COLUMNS)


def field(array: Any, *names: str) -> Any:
    """A nested field of an Arrow struct array, or None where a version lacks it."""
    for name in names:
        index = array.type.get_field_index(name)
        if index < 0:
            return None
        array = array.field(index)
    return array


def _values(array: Any, *names: str) -> np.ndarray:
    """A nested field that every version has."""
    return field(array, *names).to_numpy(zero_copy_only=False)


def _maybe(array: Any, keep: np.ndarray, *names: str) -> np.ndarray | None:
    return None if field(array, *names) is None else _values(array, *names)[keep]


def final_rows(frames: Any, ports: list[str]) -> np.ndarray:
    """The rows that count, sorted by frame id, (T,) int64.

    Of the copies of a frame, which rollbacks write, the last one holds; a row without the events
    of both players is no copy.
    """
    ids = frames.field("id").to_numpy()
    whole = np.ones(len(ids), bool)
    for port in ports:
        for path in ((), ("leader",), ("leader", "pre"), ("leader", "post")):
            part = field(frames, "ports", port, *path)
            if part.null_count:
                whole &= part.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(whole)[::-1]
    return rows[np.unique(ids[rows], return_index=True)[1]]


def read_columns(
    frames: Any, ports: list[str], keep: np.ndarray, faithful: bool = False
) -> tuple[dict[str, np.ndarray], frozenset[str]]:
    """The raw columns of both players and the names of those that the version lacks.

    Args:
      frames: the struct array of peppi-py's Rust half.
      ports: the two ports, such as ["P1", "P2"].
      keep: (T,) rows, see `final_rows`.

    Returns:
      name -> (T, 2) (flags (T, 2, 5), controller (T, 2, 13)) for every name of `NAMES`.
    """
    players, missing = [], set()
    for port in ports:
        columns = _player(field(frames, "ports", port, "leader"), keep, faithful)
        missing |= {name for name, values in columns.items() if values is None}
        players.append(columns)
    for columns, opponent in zip(players, reversed(ports), strict=True):
        threats = _threats(frames, opponent, keep, columns)
        missing |= set(_ITEM_COLUMNS) if threats is None else set()
        columns |= dict.fromkeys(_ITEM_COLUMNS) if threats is None else threats
    both = {}
    for name in NAMES:
        pair = [columns[name] for columns in players]
        if name in missing:
            shape = (len(keep), 5) if name == "flags" else (len(keep),)
            pair = [np.full(shape, FILL.get(name, 0), _dtype(name))] * 2
        both[name] = np.stack(pair, axis=1).astype(_dtype(name), copy=False)
    return both, frozenset(missing)


def _dtype(name: str) -> type:
    if name in ("facing", "invulnerable", "on_ground"):
        return np.bool_
    if name == "flags":
        return np.uint8
    return np.int32 if name in _INTS or name in ("ground", "item_count") else np.float32


def _player(leader: Any, keep: np.ndarray, faithful: bool) -> dict[str, Any]:
    pre, post = leader.field("pre"), leader.field("post")
    columns = {name: _maybe(post, keep, *path) for name, path in (_FLOATS | _INTS).items()}
    if faithful:
        columns["percent"] = np.trunc(_values(post, "percent")[keep])
    columns["facing"] = _values(post, "direction")[keep] > 0
    hurtbox = columns["hurtbox"]
    columns["invulnerable"] = None if hurtbox is None else (hurtbox != 0) & (not faithful)
    airborne = _maybe(post, keep, "airborne")
    columns["on_ground"] = None if airborne is None else airborne == 0
    ground = _maybe(post, keep, "ground")
    if ground is not None:
        ground = np.where(ground == _AIRBORNE, 0, ground.astype(np.int32) + 1)
    columns["ground"] = ground
    columns["flags"] = _flags(post, keep)
    columns["hitstun"] = _hitstun(_maybe(post, keep, "misc_as"), columns["flags"], faithful)
    columns["controller"] = _controller(pre, keep, faithful)
    return columns


def _flags(post: Any, keep: np.ndarray) -> np.ndarray | None:
    if field(post, "state_flags") is None:
        return None
    return np.stack([_values(post, "state_flags", str(i))[keep] for i in range(5)], axis=1)


def _hitstun(
    misc: np.ndarray | None, flags: np.ndarray | None, faithful: bool
) -> np.ndarray | None:
    """Frames of hitstun left. A subnormal is an integer whose bits were read as a float."""
    if misc is None or flags is None:
        return None
    as_integer = misc.view(np.uint32).astype(np.float32)
    frames = np.where((np.abs(misc) < 1e-10) & (misc != 0), as_integer, np.nan_to_num(misc))
    stunned = faithful or flags[:, _HITSTUN_BYTE] & _HITSTUN_BIT != 0
    return np.where(stunned, np.clip(frames, 0, MAX_HITSTUN), 0)


def _controller(pre: Any, keep: np.ndarray, faithful: bool) -> np.ndarray:
    """(T, 13) float32 in [0, 1], in the order of `encoding.CONTROLLER`."""
    sticks = [("joystick", "x"), ("joystick", "y"), ("cstick", "x"), ("cstick", "y")]
    analog = [_values(pre, *path)[keep] / 2 + 0.5 for path in sticks]
    if faithful:
        sides = (_values(pre, "triggers_physical", side)[keep] for side in "lr")
        analog.append(np.maximum(*sides))
    else:
        analog.append(_values(pre, "triggers")[keep])
    mask = _values(pre, "buttons_physical")[keep]
    buttons = [mask >> BUTTON_BITS[name] & 1 for name in encoding.BUTTONS]
    return np.clip(np.stack([*analog, *buttons], axis=1), 0, 1).astype(np.float32)


def _threats(
    frames: Any, opponent: str, keep: np.ndarray, columns: dict[str, Any]
) -> dict[str, np.ndarray] | None:
    lists = field(frames, "item")
    if lists is None or field(lists.values, "owner") is None:
        return None
    frame_of_row = np.full(len(lists), -1)
    frame_of_row[keep] = np.arange(len(keep))
    frame = np.repeat(frame_of_row, np.diff(lists.offsets.to_numpy()))
    items = lists.values
    wanted = (frame >= 0) & (_values(items, "owner") == int(opponent[1:]) - 1)
    wanted &= np.isin(_values(items, "type"), PROJECTILES)
    wanted &= (_values(items, "velocity", "x") != 0) | (_values(items, "velocity", "y") != 0)
    chosen = np.flatnonzero(wanted)
    return nearest(
        frame[chosen],
        _values(items, "position", "x")[chosen],
        _values(items, "position", "y")[chosen],
        columns["x"],
        columns["y"],
    )
