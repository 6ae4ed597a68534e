"""Small networks as state dicts, and cartridges of them, made from seeds."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32.weights import torch_shapes
from awm_jax.int8.luts import default_luts
from converters.cartridge import Cartridge, make_cartridge
from converters.checkpoint import Spec
from converters.quantize.manifest import weight_fields
from converters.quantize.weights import quantize_state_dict
from support.golden import seeded_weights

TINY = EncodingConfig(
    action_vocab=12,
    action_embed_dim=4,
    character_vocab=5,
    character_embed_dim=2,
    stage_vocab=4,
    stage_embed_dim=2,
    ground_vocab=6,
    ground_embed_dim=2,
    last_attack_vocab=7,
    last_attack_embed_dim=2,
)
DIMS = {
    "mamba2": {"d_model": 8, "d_state": 4, "n_layers": 2, "headdim": 8},
    "mlp": {"hidden_dim": 8, "trunk_dim": 4},
    "policy": {"hidden_dim": 8, "trunk_dim": 4},
}


@functools.cache
def shapes(
    arch: str, config: EncodingConfig = TINY, context_len: int = 3, dims: tuple = ()
) -> dict[str, tuple[int, ...]]:
    """State-dict shapes of a network; `dims` are pairs, by default `DIMS`."""
    return torch_shapes(Spec(arch, config, context_len, dict(dims) or DIMS[arch]).abstract())


def given(arch: str = "mamba2", seed: int = 0, **fields: Any) -> dict[str, Any]:
    """Arguments of `make_cartridge` for a tiny network with weights of a seed."""
    quantized = quantize_state_dict(seeded_weights(shapes(arch), seed))
    rng = np.random.Generator(np.random.PCG64(seed))
    kind = "recurrent" if arch == "mamba2" else "windowed"
    return {
        "weights": quantized.data,
        "luts": default_luts().tobytes(),
        "manifest": {
            **weight_fields(quantized),
            "encoding_config": TINY.to_dict(),
            "mode": {"kind": kind, "context_len": 3},
            "int8": {"x_shift": 7, "scales": [0.5, 1e-12], "note": "täglich"},
            "provenance": {"source": "seed", "versions": {"numpy": "2"}},
            **fields,
        },
        "extra": {
            "layers.0.bias": rng.integers(-(2**31), 2**31, (3, 5), np.int32),
            "a": rng.integers(0, 2**16, 7, np.uint16),
            "shift": np.int8(-3),
        },
    }


@functools.cache
def cartridge(arch: str = "mamba2", seed: int = 0, *, policy: bool = False) -> Cartridge:
    """A tiny cartridge, with a policy "hold" if asked."""
    policies = {"hold": cartridge("policy", seed + 1)} if policy else {}
    return make_cartridge(**given(arch, seed), policies=policies)
