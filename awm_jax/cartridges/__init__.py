"""What ships trained with the package: `melee/` is the cartridge that `embedded` names wherever a
world is asked for, with its model card; `mind/` the Mental World Model that plays as `mwm`. Both
are cartridges as `converters.cartridge` reads them."""

from __future__ import annotations

from pathlib import Path

EMBEDDED = "embedded"


def embedded() -> Path:
    """The folder of the embedded cartridge."""
    return Path(__file__).parent / "melee"


def embedded_mind() -> Path:
    """The folder of the embedded mind."""
    return Path(__file__).parent / "mind"
