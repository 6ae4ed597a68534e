"""The real value of each code inside an integer world, as a network has learned to live with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from awm_jax.errors import AwmError


@dataclasses.dataclass(frozen=True)
class LayerCodes:
    """Attributes:
    normed, gated: of what enters the layer's first and last product, 127 codes each way.
    y, gate: of the scan's output and of its product with the gate, 32,767 codes each way.
    """

    normed: float
    gated: float
    y: float
    gate: float


@dataclasses.dataclass(frozen=True)
class Codes:
    """Attributes:
    layers: one each.
    pre_head: of what the heads take, `WIDE_MAX` codes; the categories see every 128th.
    """

    layers: tuple[LayerCodes, ...]
    pre_head: float

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Codes:
        """Raises:
        AwmError: these are no such fields, or a step is not above 0.
        """
        try:
            layers = tuple(
                LayerCodes(**{name: float(step) for name, step in layer.items()})
                for layer in fields["layers"]
            )
            found = cls(layers, float(fields["pre_head"]))
            steps = [found.pre_head, *(s for layer in layers for s in vars(layer).values())]
            if set(fields) == {"layers", "pre_head"} and all(s > 0 for s in steps):
                return found
        except (KeyError, TypeError, ValueError):
            pass
        raise AwmError("codes: a list of layers {normed, gated, y, gate} and pre_head, above 0")
