"""Running things: agents, matches, match files. The command is `awm`.

Nothing heavy is imported before it is used, so that `awm --help` answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crank.batch import BatchSpec, run_batch
    from crank.playing import Match, play

FORMATS = ("object", "array")
"""Of match files."""

_HOMES = {
    "BatchSpec": "batch",
    "Match": "playing",
    "play": "playing",
    "run_batch": "batch",
}

__all__ = ["FORMATS", "BatchSpec", "Match", "play", "run_batch"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
