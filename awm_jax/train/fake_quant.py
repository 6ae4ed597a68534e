"""A network as the integer machine will play it, while it still learns: weights and codes are
rounded and end where their integers end, and gradients pass as if they were not.

What is rounded and how is that of `converters.quantize`: a weight by the largest of its row, a code
by its step in `Codes`, which the quantiser then keeps.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from awm_jax.fp32.layers import Heads
from awm_jax.fp32.network import Network
from awm_jax.int8.codes import Codes
from awm_jax.int8.fixed import I16_MAX, WIDE_MAX

MOST = 127
PLANE = 128
"""A code of the high plane of `fixed.split_wide`, in codes."""


def through(x: jax.Array, step: jax.Array | float, most: int = MOST) -> jax.Array:
    """x in whole steps, at most `most` of them; the gradient is that of x without the steps: 0
    beyond the end, or what is pushed there would be pushed on for ever."""
    step = jnp.asarray(step, x.dtype)
    limited = jnp.clip(x, -most * step, most * step)
    return limited + jax.lax.stop_gradient(jnp.round(limited / step) * step - limited)


def rounded(network: Network) -> Network:
    """The network with every matrix as int8 weights have it. Vectors stay: biases have 32 bits."""
    _, state = nnx.split(network.module())
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    params = [
        _rows(value, axis=1 if "_embed" in name else 0) if value.ndim == 2 else value
        for name, value in zip(names, network.params, strict=True)
    ]
    return dataclasses.replace(network, params=tuple(params))


def _rows(matrix: jax.Array, axis: int) -> jax.Array:
    largest = jnp.max(jnp.abs(matrix), axis=axis, keepdims=True)
    return through(matrix, jax.lax.stop_gradient(jnp.where(largest > 0, largest / MOST, 1.0)))


@dataclasses.dataclass(frozen=True)
class Rounding:
    """Rounds what it is called with to whole steps, at most `most` of them."""

    step: float
    most: int = MOST

    def __call__(self, x: jax.Array) -> jax.Array:
        return through(x, self.step, self.most)


class RoundedInput(nnx.Module):
    """A layer that takes rounded input."""

    def __init__(self, layer: Any, rounding: Rounding):
        self.layer, self.rounding = layer, rounding

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.layer(self.rounding(x))


class RoundedHeads(nnx.Module):
    """Output heads of whose input the categories see the high plane alone."""

    def __init__(self, heads: Heads, step: float):
        self.heads, self.step = heads, step
        self.widths = heads.widths
        fine = [i for i, (name, _) in enumerate(heads.widths) if not _is_category(name)]
        self.count = len(fine)
        if fine != list(range(self.count)):
            raise ValueError("the categories are to come last")

    def __call__(self, h: jax.Array) -> dict[str, jax.Array]:
        h = through(h, self.step, WIDE_MAX)
        coarse = through(h, self.step * PLANE)
        whole = self.heads.linear
        rows = sum(width for _, width in self.widths[: self.count])
        parts = {}
        for x, named, cut in (
            (h, self.widths[: self.count], slice(None, rows)),
            (coarse, self.widths[self.count :], slice(rows, None)),
        ):
            part = Heads(1, dict(named), rngs=nnx.Rngs(0))
            part.linear.kernel = nnx.Param(whole.kernel[...][:, cut])
            part.linear.bias = nnx.Param(whole.bias[...][cut])  # pyright: ignore[reportOptionalSubscript]
            parts |= part(x)
        return parts


def _is_category(name: str) -> bool:
    return name.endswith("_logits") and name != "binary_logits"


def as_integers(network: Network, codes: Codes) -> Any:
    """The module of a Mamba2 world, its weights and activations rounded."""
    model = rounded(network).module()
    for layer, steps in zip(model.layers, codes.layers, strict=True):
        block = layer.mamba
        block.in_proj = RoundedInput(block.in_proj, Rounding(steps.normed))
        block.out_proj = RoundedInput(block.out_proj, Rounding(steps.gated))
        block.norm = RoundedInput(block.norm, Rounding(steps.gate, I16_MAX))
        block.scan_out = Rounding(steps.y, I16_MAX)
    model.heads = RoundedHeads(model.heads, codes.pre_head)
    return model
