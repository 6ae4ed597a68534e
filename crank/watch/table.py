"""A match out of a table of recorded frames, as `awm batch` writes it: one row a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from crank.viz import PLAYER_KEYS, viz_frames


def read_match(path: str, match: int | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The frames of one match, and what is known of it, as a match file's `meta`.

    Args:
      match: its number in the table; None for the first.

    Raises:
      AwmError: no such table or match, or pyarrow is absent.
    """
    name = Path(path).name
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise AwmError('Parquet needs pyarrow; install it: pip install "awm-jax[batch]"') from None
    wanted = [f"p{p}_{column}" for column in PLAYER_KEYS.values() for p in (0, 1)]
    try:
        if match is None:
            match = int(parquet.read_table(path, columns=["match"]).column("match")[0].as_py())
        table = parquet.read_table(
            path, columns=["frame", "stage", *wanted], filters=[("match", "=", match)]
        )
    except (pyarrow.ArrowException, OSError, IndexError, KeyError, TypeError):
        raise AwmError(f"{name} is no table of recorded frames") from None
    if table.num_rows == 0:
        raise AwmError(f"{name} holds no match {match}")
    table = table.sort_by("frame")
    values = {column: table.column(column).to_numpy() for column in table.column_names}
    columns = {
        column: np.stack([values[f"p{p}_{column}"] for p in (0, 1)], axis=1)
        for column in PLAYER_KEYS.values()
    }
    meta = {"mode": "agent-vs-agent", "first_frame": 0}
    return viz_frames(columns, values["stage"]), meta
