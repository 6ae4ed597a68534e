"""The trained cartridge that ships with the package: what `embedded` names wherever a world is
asked for. `melee/` is a cartridge as `converters.cartridge` reads it, with its model card."""

from __future__ import annotations

from pathlib import Path

EMBEDDED = "embedded"


def embedded() -> Path:
    """The folder of the embedded cartridge."""
    return Path(__file__).parent / "melee"
