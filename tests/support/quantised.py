"""Worlds and policies of seeded weights, and real frames to quantise them on."""

from __future__ import annotations

import functools
from pathlib import Path

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32.weights import torch_shapes
from awm_jax.variant import Variant
from converters.checkpoint import Checkpoint, Provenance, Spec, filled, weights_sha256
from converters.quantize.calibration import real_sequences
from converters.source import NO_VARIANT
from support.cartridges import TINY
from support.golden import replays_dir, seeded_weights

FRAMES = 256
EVERY = Variant(control_first=True, geometry=True, head_hidden=24, game_rules=True)


def files() -> list[Path]:
    return sorted((replays_dir() / "games").glob("*.slx"))[300:301]


def real(cfg, frames: int = FRAMES):
    return list(real_sequences(files(), cfg, frames))


def seeded(spec: Spec, seed: int = 5) -> Checkpoint:
    abstract = spec.abstract()
    weights = seeded_weights(torch_shapes(abstract), seed)
    origin = Provenance("seed", "0" * 64, "new", weights_sha256(weights))
    return Checkpoint(filled(abstract, weights), origin)


@functools.cache
def small_world(variant: Variant = NO_VARIANT) -> Checkpoint:
    dims = {"d_model": 16, "d_state": 4, "n_layers": 1, "headdim": 8}
    return seeded(Spec("mamba2", cfg_of(variant), 3, dims, variant))


def cfg_of(variant: Variant) -> EncodingConfig:
    return TINY.replace(state_age_as_embed=variant.game_rules)
