"""A float policy and its ranges -> the integer policy (docs/integer-spec.md section 7)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.errors import AwmError
from awm_jax.fp32.mlp import flatten_frames
from awm_jax.fp32.policy import PolicyMLP, swap_players
from awm_jax.fp32.weights import to_torch_dict
from awm_jax.int8 import tables
from awm_jax.int8.fixed import WIDE_MAX
from awm_jax.int8.params import NO_VARIANT
from awm_jax.int8.policy import PolicyArch, PolicyParams
from converters.quantize.build import (
    ACT,
    biases,
    dense,
    input_scales,
    inputs,
    mixed,
    quantised,
    stack,
)
from converters.quantize.template import POLICY_HEADS, policy_columns

MARGIN = 1.25
BATCH = 256


@dataclasses.dataclass(frozen=True)
class PolicyRanges:
    """Largest values seen after the two ReLUs."""

    hidden: float
    trunk: float


def policy_arch_of(model: PolicyMLP) -> PolicyArch:
    """The integer policy's shape."""
    return PolicyArch(model.cfg, model.context_len, model.hidden_dim, model.trunk_dim)


def calibrate_policy(
    model: PolicyMLP, sequences: Iterable[tuple[np.ndarray, np.ndarray]]
) -> PolicyRanges:
    """Ranges over encoded games, each floats (T, F) and ints (T, I), seen by both players.

    Raises:
      AwmError: no game is as long as the policy's context.
    """
    graphdef, params = nnx.split(model)
    most = jax.jit(lambda *args: _largest(graphdef, *args))
    found = [
        most(params, floats, ints) for floats, ints in _windows(sequences, model.context_len, BATCH)
    ]
    if not found:
        raise AwmError(f"no replay has {model.context_len} frames to calibrate the policy on")
    hidden, trunk = np.max(np.asarray(found, np.float64), axis=0)
    return PolicyRanges(float(hidden), float(trunk))


def _windows(sequences, length: int, batch: int) -> Iterator[tuple[jax.Array, jax.Array]]:
    """(batch, K, F) and (batch, K, I); the last batch of a game repeats its last window."""
    for floats, ints in sequences:
        starts = np.arange(len(floats) - length + 1)
        for i in range(0, len(starts), batch):
            rows = np.resize(starts[i : i + batch], batch)[:, None] + np.arange(length)
            yield jnp.asarray(floats[rows]), jnp.asarray(ints[rows], jnp.int32)


def _largest(graphdef, params, floats, ints) -> jax.Array:
    """(2,): after the first and the second ReLU."""
    model = nnx.merge(graphdef, params)
    peaks = []
    for seen in ((floats, ints), swap_players(model.cfg, floats, ints)):
        flat = flatten_frames(model.encoder, *seen, model.context_len)
        hidden = jax.nn.relu(model.trunk.hidden(flat))
        trunk = jax.nn.relu(model.trunk.out(hidden))
        peaks.append(jnp.stack([jnp.max(hidden), jnp.max(trunk)]))
    return jnp.max(jnp.stack(peaks), axis=0)


def build_policy(
    model: PolicyMLP, ranges: PolicyRanges
) -> tuple[PolicyParams, PolicyArch, dict[str, Any]]:
    """Integer parameters of a policy, its shape, and the real value of each code.

    Raises:
      AwmError: a number of it does not fit the machine.
    """
    arch, tensors = policy_arch_of(model), to_torch_dict(model)
    weights = {key: quantised(value) for key, value in tensors.items() if value.ndim >= 2}
    wide, narrow, k = input_scales(arch.cfg, tensors)
    hidden, trunk = (max(r, 1e-6) * MARGIN / WIDE_MAX for r in (ranges.hidden, ranges.trunk))
    params = PolicyParams(
        sigmoid=jnp.asarray(tables.sigmoid()),
        inputs=inputs(arch.cfg, NO_VARIANT, weights, wide, narrow),
        hidden=mixed(
            weights["trunk.0.weight"],
            tensors["trunk.0.bias"],
            policy_columns(arch),
            (wide, k),
            hidden,
        ),
        trunk=dense(weights["trunk.3.weight"], tensors["trunk.3.bias"], hidden, trunk, WIDE_MAX),
        heads=dense(
            stack(weights, POLICY_HEADS), biases(tensors, POLICY_HEADS), trunk, ACT, WIDE_MAX
        ),
    )
    return params, arch, {"wide": wide, "narrow": narrow, "hidden": hidden, "trunk": trunk}
