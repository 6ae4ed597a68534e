"""Weights as the integer machine will have them, while they still learn: rounded as
`converters.quantize` rounds them, by the largest of a row, and gradients pass as if they were not.
Activations are the network's own affair (`awm_jax.codes`).
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from awm_jax.codes import NARROW_MAX, hold
from awm_jax.fp32.network import Network


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
    step = jax.lax.stop_gradient(jnp.where(largest > 0, largest / NARROW_MAX, 1.0))
    return hold(matrix, step, NARROW_MAX)
