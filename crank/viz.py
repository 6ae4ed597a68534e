"""Match files: frames as viewers read them, and the JSON object around them.

Source: match.md sections 1.3, 1.4 and 5.1. Two keys are mended: `state_age` is the real count also
where the encoding embeds it (M5), and `combo_count` is the combo count whatever the flags (M4).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from awm_jax.encoding import VELOCITY
from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.game.characters import character_name
from awm_jax.game.stages import stage as stage_of
from crank import FORMATS

PLAYER_KEYS = {
    "percent": "percent",
    "x": "x",
    "y": "y",
    "shield_strength": "shield",
    **{name: name for name in VELOCITY},
    "state_age": "state_age",
    "hitlag": "hitlag",
    "stocks": "stocks",
    "combo_count": "combo_count",
    "facing": "facing",
    "on_ground": "on_ground",
    "action_state": "action",
    "jumps_left": "jumps",
    "character": "character",
}
"""Keys of a player in their order -> columns of `awm_jax.game.decode` or of a replay."""


def viz_frames(columns: Mapping[str, np.ndarray], stages: np.ndarray) -> list[dict[str, Any]]:
    """The frames that viewers show, `{"players": [P, P], "stage": int}`.

    Args:
      columns: name -> (T, 2) in game units, at least the values of `PLAYER_KEYS`.
      stages: (T,) external ids.

    Raises:
      AwmError: a value is no number; names the frame and the key.
    """
    keys = tuple(PLAYER_KEYS)
    players = []
    for player in (0, 1):
        values = [_values(columns, key, player) for key in keys]
        players.append([dict(zip(keys, row, strict=True)) for row in zip(*values, strict=True)])
    frames = zip(*players, stages.tolist(), strict=True)
    return [{"players": [first, second], "stage": stage} for first, second, stage in frames]


def _values(columns: Mapping[str, np.ndarray], key: str, player: int) -> list:
    """One key of all frames as Python numbers: ints where the column is an integer, else floats."""
    values = columns[PLAYER_KEYS[key]][:, player]
    if values.dtype.kind != "i":
        values = values.astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise AwmError(f"frame {bad[0]}: p{player}'s {key} is {values[bad[0]]}, not a number")
    return values.tolist()


def match_object(
    frames: list[dict[str, Any]],
    *,
    mode: str,
    seed_frames: int,
    stage: int,
    characters: tuple[int, int],
    meta: Mapping[str, Any],
) -> dict[str, Any]:
    """The object of a match file.

    Args:
      meta: what follows the reference's first keys of `meta`.
    """
    geometry = stage_of(stage)
    named = [{"id": c, "name": character_name(c)} for c in characters]
    head = {
        "mode": mode,
        "total_frames": len(frames),
        "seed_frames": seed_frames,
        "stage": {"id": stage, "name": geometry.name},
        "characters": {"p0": named[0], "p1": named[1]},
    }
    return {"meta": head | dict(meta), "stage_geometry": geometry.geometry(), "frames": frames}


def to_json(match: Mapping[str, Any], form: str = "object") -> str:
    """A match object as text; with `form` "array" its frames alone, for the HTML viewers (M26)."""
    if form not in FORMATS:
        raise AwmError(f"no format {form!r}; give one of: {', '.join(FORMATS)}")
    content = match if form == "object" else match["frames"]
    return json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n"


def save(match: Mapping[str, Any], path: str | os.PathLike[str], form: str = "object") -> None:
    """Write a match file, whole or not at all.

    Raises:
      AwmError: it cannot be written.
    """
    write_atomically(path, to_json(match, form))
