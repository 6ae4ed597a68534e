"""The steps in which the integer machine counts a network's activations, and where these end.

A world that has learned to be rounded is a poor one without its steps (RC 4.7 instead of 2.4): what
is below a step is nothing to it. So its float network counts in them too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from awm_jax.errors import AwmError

NARROW_MAX = 127
SHORT_MAX = 32767
PLANE = 128
"""A code of the high plane of two, in codes."""
WIDE_MAX = NARROW_MAX * PLANE + PLANE // 2 - 1


@dataclasses.dataclass(frozen=True)
class LayerCodes:
    """The real value of a code, for each of:

    normed, gated: what enters the layer's first and last product, `NARROW_MAX` codes each way.
    y, gate: the scan's output and its product with the gate, `SHORT_MAX` codes each way.
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


def hold(x: jax.Array, step: jax.Array | float, most: int) -> jax.Array:
    """x in whole steps, at most `most` of them.

    The gradient is that of the limits alone: as if there were no steps, and 0 beyond the end, or
    what is pushed there would be pushed on for ever.
    """
    limited = jnp.clip(x, -most * step, most * step)
    return limited + jax.lax.stop_gradient(jnp.round(limited / step) * step - limited)
