"""What minds felt in a recorded match, as a match file's `minds` tells it: checked."""

from __future__ import annotations

import math
from typing import Any

from awm_jax.errors import AwmError

FEELINGS = ("threat", "curiosity", "value", "surprise")
"""Each a number a row; row i is of the frame `first` + i `period`."""


def read_minds(content: Any, frames: int) -> list[dict[str, Any] | None] | None:
    """The two players' feelings of a match file's object, None for a player without any.

    Returns None where the file tells of none.

    Raises:
      AwmError: it tells of them in another form.
    """
    minds = content.get("minds") if isinstance(content, dict) else None
    if minds is None:
        return None
    if not isinstance(minds, list) or len(minds) != 2:
        raise AwmError("minds is no pair")
    return [None if mind is None else _mind(mind, i, frames) for i, mind in enumerate(minds)]


def _mind(mind: Any, player: int, frames: int) -> dict[str, Any]:
    where = f"player {player}'s mind"
    if not isinstance(mind, dict):
        raise AwmError(f"{where} is no object")
    for key, least in (("first", 0), ("period", 1)):
        if type(mind.get(key)) is not int or not least <= mind[key] <= frames:
            raise AwmError(f"{where}: {key} is no frame")
    found = {"first": mind["first"], "period": mind["period"]}
    most = -(-(frames - found["first"]) // found["period"])
    count: int | None = None
    for name in FEELINGS:
        row = mind.get(name)
        if not isinstance(row, list) or not 0 < len(row) <= most or len(row) != (count or len(row)):
            raise AwmError(f"{where}: {name} has not a number for each decision")
        if not all(type(v) in (int, float) and math.isfinite(v) for v in row):
            raise AwmError(f"{where}: {name} holds what is no number")
        found[name], count = row, len(row)
    return found
