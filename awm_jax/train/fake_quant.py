"""A network as the integer machine will play it, while it still learns: weights and the codes that
enter a layer's products are rounded, and gradients pass as if they were not.

What is rounded and how is that of `converters.quantize`: a weight by the largest of its row, a code
by the step that was calibrated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from awm_jax.fp32.network import Network

MOST = 127.0


def through(x: jax.Array, step: jax.Array) -> jax.Array:
    """x in whole steps, at most `MOST` of them; the gradient is that of x."""
    whole = jnp.clip(jnp.round(x / step), -MOST, MOST) * step
    return x + jax.lax.stop_gradient(whole - x)


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


class RoundedInput(nnx.Module):
    """A layer whose input is rounded to whole steps."""

    def __init__(self, layer: Any, step: float):
        self.layer, self.step = layer, step

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.layer(through(x, jnp.asarray(self.step, x.dtype)))


def with_codes(model: Any, steps: Sequence[tuple[float, float]]) -> Any:
    """A Mamba2 world whose blocks take rounded codes: for each layer the steps of what enters its
    first and its last product."""
    for layer, (first, last) in zip(model.layers, steps, strict=True):
        layer.mamba.in_proj = RoundedInput(layer.mamba.in_proj, first)
        layer.mamba.out_proj = RoundedInput(layer.mamba.out_proj, last)
    return model
