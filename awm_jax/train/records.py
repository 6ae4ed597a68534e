"""One frame of a game as a small record, and the two symmetries of the game upon it.

Records hold game units and integers, whatever the encoding: positions and speeds as they are
(float32), ages, hitlag and hitstun as float16 (whole numbers, exact), sticks and trigger in
1/40000 (a stick's 1/80 and its rest are exact), flags as the game's bytes.
"""

from __future__ import annotations

import numpy as np

from awm_jax.encoding import ANALOG, BUTTONS, VELOCITY
from awm_jax.replays.encode import action_ages

ANALOG_STEPS = 40_000
MAX_AGE = 65_535
SINGLE = ("percent", "x", "y", "shield", *VELOCITY, "item_dx", "item_dy")
HALF = ("state_age", "hitlag", "hitstun")
SHORT = ("action", "action_age")
BYTE = (
    *("stocks", "combo_count", "jumps", "character", "l_cancel", "hurtbox", "ground"),
    *("last_attack", "item_count"),
)
BITS = ("facing", "invulnerable", "on_ground")

PLAYER = np.dtype(
    [
        *((name, "<f4") for name in SINGLE),
        *((name, "<f2") for name in HALF),
        *((name, "<u2") for name in SHORT),
        ("analog", "<u2", (len(ANALOG),)),
        *((name, "u1") for name in BYTE),
        ("bits", "u1"),
        ("buttons", "u1"),
        ("flags", "u1", (5,)),
    ]
)
"""One player in one frame. `action_age` counts the frames since the action began, by rule."""

MIRRORED = ("x", "item_dx", "speed_air_x", "speed_ground_x", "speed_attack_x")
_MIRRORED_STICKS = (ANALOG.index("main_x"), ANALOG.index("c_x"))
MIRROR_ACTIONS = {1: 2, 2: 1}
"""Actions that name a side of the screen: death beyond the left and the right border."""
MIRROR_GROUND: dict[int, dict[int, int]] = {
    2: {0: 1, 1: 0, 3: 7, 7: 3, 4: 6, 6: 4},
    8: {1: 5, 5: 1, 2: 6, 6: 2},
    28: {0: 1, 1: 0, 3: 5, 5: 3},
    31: {0: 5, 5: 0, 2: 4, 4: 2},
    32: {0: 2, 2: 0},
}
"""Surfaces (the game's ids) that change places, by stage. Pokemon Stadium is left out: it
transforms, and not symmetrically."""


def pack(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Raw columns of a `Game`, name -> (T, 2) -> records (T, 2) of `PLAYER`."""
    records = np.zeros(columns["x"].shape, PLAYER)
    for name in (*SINGLE, *HALF, *BYTE, "flags"):
        records[name] = _fitted(columns[name], PLAYER[name].base)
    records["action"] = columns["action"]
    records["action_age"] = np.minimum(action_ages(columns["action"]), MAX_AGE)
    controller = columns["controller"]
    records["analog"] = np.rint(controller[..., : len(ANALOG)] * np.float64(ANALOG_STEPS))
    records["buttons"] = np.packbits(
        controller[..., len(ANALOG) :] > 0.5, axis=-1, bitorder="little"
    )[..., 0]
    bits = np.stack([columns[name] for name in BITS], axis=-1)
    records["bits"] = np.packbits(bits, axis=-1, bitorder="little")[..., 0]
    return records


def _fitted(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "u" and values.dtype != dtype:
        return np.clip(values, 0, np.iinfo(dtype).max)
    return values


def unpack(records: np.ndarray, *, counted_age: bool = True) -> dict[str, np.ndarray]:
    """Records (*t, 2) -> columns as `encode_columns` takes them, name -> (*t, 2).

    Args:
      counted_age: `state_age` is the count of frames since the action began, as a match keeps it,
        instead of the animation's frame.
    """
    columns = {name: np.ascontiguousarray(records[name]) for name in (*SINGLE, *BYTE, "flags")}
    columns |= {name: records[name].astype(np.float32) for name in HALF}
    columns["stocks"] = columns["stocks"].astype(np.float32)
    columns["action"] = records["action"].astype(np.int32)
    if counted_age:
        columns["state_age"] = records["action_age"].astype(np.float32)
    for i, name in enumerate(BITS):
        columns[name] = (records["bits"] >> i & 1).astype(bool)
    analog = records["analog"].astype(np.float32) / np.float32(ANALOG_STEPS)
    buttons = np.unpackbits(
        np.ascontiguousarray(records["buttons"])[..., None],
        axis=-1,
        bitorder="little",
        count=len(BUTTONS),
    )
    columns["controller"] = np.concatenate([analog, buttons.astype(np.float32)], axis=-1)
    return columns


def swap(records: np.ndarray) -> np.ndarray:
    """Exchange the players: (*t, 2) -> (*t, 2). An involution."""
    return records[..., ::-1]


def can_mirror(stage: int) -> bool:
    """Whether left and right are alike on a stage."""
    return stage in MIRROR_GROUND


def mirror(records: np.ndarray, stage: int) -> np.ndarray:
    """Exchange left and right: (*t, 2) -> (*t, 2), a copy. An involution, bit for bit."""
    out = records.copy()
    for name in MIRRORED:
        out[name] = -records[name]
    for stick in _MIRRORED_STICKS:
        out["analog"][..., stick] = ANALOG_STEPS - records["analog"][..., stick]
    out["bits"] ^= 1 << BITS.index("facing")
    out["action"] = _exchanged(records["action"], MIRROR_ACTIONS)
    above = {old + 1: new + 1 for old, new in MIRROR_GROUND.get(stage, {}).items()}
    out["ground"] = _exchanged(records["ground"], above)
    return out


def _exchanged(values: np.ndarray, table: dict[int, int]) -> np.ndarray:
    out = values.copy()
    for old, new in table.items():
        out[values == old] = new
    return out
