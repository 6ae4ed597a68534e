"""Checkpoints in and out, and cartridges made of them. The command is `awm-convert`.

Nothing heavy is imported before it is used, so that `awm-convert --help` answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converters.checkpoint import Checkpoint, Provenance
    from converters.loading import LoadedCartridge, load, load_cartridge, load_torch
    from converters.mwm import MwmCheckpoint, load_mwm
    from converters.orbax_folder import save_orbax
    from converters.torch_file import save_torch

_HOMES = {
    "Checkpoint": "checkpoint",
    "LoadedCartridge": "loading",
    "MwmCheckpoint": "mwm",
    "Provenance": "checkpoint",
    "load": "loading",
    "load_cartridge": "loading",
    "load_mwm": "mwm",
    "load_torch": "loading",
    "save_orbax": "orbax_folder",
    "save_torch": "torch_file",
}

__all__ = [
    "Checkpoint",
    "LoadedCartridge",
    "MwmCheckpoint",
    "Provenance",
    "load",
    "load_cartridge",
    "load_mwm",
    "load_torch",
    "save_orbax",
    "save_torch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
