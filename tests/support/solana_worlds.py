"""Random integer worlds whose matches last: nobody ever loses a stock."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from awm_jax.encoding import EncodingConfig, predicted_dynamics
from awm_jax.int8.params import Arch, WorldParams
from awm_jax.variant import Variant
from support import int_worlds

CFG = int_worlds.SMALL.replace(character_vocab=33)


def arch_of(**changes: Any) -> Arch:
    """A small recurrent architecture, every character and stage in it."""
    fields = {"d_model": 32, "d_state": 8, "n_layers": 2, "headdim": 16, "context_len": 4}
    return int_worlds.arch_of(CFG, **(fields | changes))


def large_arch(d_model: int, d_state: int, n_layers: int) -> Arch:
    """A recurrent architecture with everything that a world has learned from real games."""
    return Arch(
        EncodingConfig(state_age_as_embed=True, state_flags=True, hitstun=True),
        d_model=d_model,
        d_state=d_state,
        n_layers=n_layers,
        headdim=64,
        context_len=10,
        recurrent=True,
        variant=Variant(control_first=True, geometry=True, head_hidden=d_model),
    )


def calm_params(seed: int, arch: Arch) -> WorldParams:
    """`int_worlds.random_world` with the rows of both stocks held at their most."""
    params = int_worlds.random_world(seed, arch)
    cfg, heads = arch.cfg, params.heads
    dynamics = predicted_dynamics(cfg)
    first = 2 * (cfg.core_continuous_dim + cfg.velocity_dim) + dynamics.index("stocks")
    rows = [first, first + len(dynamics)]
    changed = {
        name: np.array(getattr(heads, name))
        for name in ("numeric_w", "numeric_bias", "numeric_m", "numeric_s", "numeric_l")
    }
    for name, value in zip(changed, (0, 1 << 30, 32767, 17, 0), strict=True):
        changed[name][rows] = value
    return dataclasses.replace(params, heads=dataclasses.replace(heads, **changed))
