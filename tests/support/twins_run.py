"""Running our networks in tests: compiled once, weights as arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx

# Compiling is most of what these tests cost; this is six times quicker than XLA's defaults. What is
# computed is the same, and some tests compile with the defaults.
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


def quick_options() -> dict[str, Any]:
    """Compiler options for code that is run a few times only."""
    return QUICK if jax.default_backend() == "cpu" else {}


def quick_jit(function: Callable, **options: Any) -> Callable:
    """`jax.jit` with `quick_options`."""
    return jax.jit(function, compiler_options=quick_options(), **options)


def float_dtype() -> type:
    """float64 in a process with x64 on, else float32."""
    return np.float64 if jax.config.read("jax_enable_x64") else np.float32


def functional(
    network: Any, method: str | Callable = "__call__", **static: Any
) -> tuple[Callable, Any]:
    """A pure function of (weights, *inputs), and the network's weights.

    `method` is a method's name, or a function whose first argument is the network; `static` are
    keyword arguments for it.
    """
    graph, weights = nnx.split(network)

    def call(weights, *inputs):
        module = nnx.merge(graph, weights)
        if isinstance(method, str):
            return getattr(module, method)(*inputs, **static)
        return method(module, *inputs, **static)

    return call, weights


def compiled(
    network: Any, method: str | Callable = "__call__", *, quick: bool = True, **static: Any
) -> Callable:
    """`functional`, jitted, with the network's weights as its first argument."""
    call, weights = functional(network, method, **static)
    jitted = quick_jit(call) if quick else jax.jit(call)
    return functools.partial(jitted, weights)


def both_players(policy: Any, floats: Any, ints: Any) -> dict[str, Any]:
    """A policy's outputs for predict_player 0 and 1, as `p<player>_<output>`."""
    outputs = {}
    for player in (0, 1):
        found = policy(floats, ints, player)
        outputs |= {f"p{player}_{name}": value for name, value in found.items()}
    return outputs
