"""Checkpoints for tests: made here from the PyTorch twins, so that no golden folder is needed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from awm_jax.encoding import EncodingConfig
from converters.source import Settings, Source, StoredTensor
from support.twins import make_twin

SMALL = {
    "action_vocab": 20,
    "action_embed_dim": 4,
    "character_embed_dim": 3,
    "ground_vocab": 8,
    "last_attack_vocab": 8,
    "last_attack_embed_dim": 3,
}
DIMS = {
    "mamba2": {"d_model": 8, "d_state": 4, "n_layers": 2, "headdim": 4},
    "mlp": {"hidden_dim": 12, "trunk_dim": 10},
    "policy": {"hidden_dim": 12, "trunk_dim": 10},
}
FLAGS = ("state_age_as_embed", "press_events", "projectiles", "state_flags", "hitstun")
FLAGS = (*FLAGS, "ctrl_threshold_features")


@functools.lru_cache(maxsize=64)
def twin_state(arch: str, cfg: EncodingConfig, context_len: int, dims: tuple) -> Any:
    """State dict of a twin, as torch tensors. Do not change it."""
    torch.manual_seed(0)
    return make_twin(arch, cfg, context_len, dict(dims)).state_dict()


def state_dict(
    arch: str = "mamba2",
    cfg: EncodingConfig | None = None,
    context_len: int = 3,
    dims: Mapping[str, int] | None = None,
) -> dict[str, torch.Tensor]:
    """A fresh state dict of a twin with torch's initial values."""
    cfg = small_config() if cfg is None else cfg
    dims = dims or DIMS[arch]
    state = twin_state(arch, cfg, context_len, tuple(dims.items()))
    return {key: value.clone() for key, value in state.items()}


def small_config(**flags: Any) -> EncodingConfig:
    """Small vocabularies, so that a test's file is small."""
    return EncodingConfig(**{**SMALL, **flags})


def content(arch: str = "mamba2", cfg: EncodingConfig | None = None, context_len: int = 3) -> Any:
    """What a checkpoint in the new format holds."""
    cfg = small_config() if cfg is None else cfg
    return {
        "model_state_dict": state_dict(arch, cfg, context_len),
        "encoding_config": cfg.to_dict(),
        "context_len": context_len,
    }


def write_checkpoint(path: Path, whole: Any = None, **changes: Any) -> Path:
    """Write `whole` (default `content()`) with entries changed; one of None is left out."""
    whole = content() if whole is None else whole
    if changes:
        whole = {k: v for k, v in {**whole, **changes}.items() if v is not None}
    torch.save(whole, path)
    return path


def arrays(state: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in state.items()}


def source(tensors: Mapping[str, np.ndarray], settings: Settings) -> Source:
    """A source without a file."""

    def stored(array: np.ndarray) -> StoredTensor:
        return StoredTensor(array.shape, array.dtype.name, lambda: array)

    return Source("mine.pt", "0" * 64, {k: stored(v) for k, v in tensors.items()}, settings)


@st.composite
def configs(draw: st.DrawFn, lookahead: int = 2) -> EncodingConfig:
    """Any flags, small vocabularies, odd scales."""
    flags = {flag: draw(st.booleans()) for flag in FLAGS}
    size = st.integers(1, 9)
    return small_config(
        **flags,
        lookahead=draw(st.integers(0, lookahead)),
        action_vocab=draw(size),
        stage_embed_dim=draw(size),
        state_age_embed_vocab=draw(size),
        state_age_embed_dim=draw(size),
        xy_scale=draw(st.floats(1e-6, 1e6)),
        multi_position=draw(st.booleans()),
    )


@st.composite
def networks(draw: st.DrawFn) -> tuple[str, EncodingConfig, int, dict[str, int]]:
    """An architecture, its encoding, context and widths."""
    arch = draw(st.sampled_from(["mamba2", "mlp", "policy"]))
    if arch == "mamba2":
        heads, headdim = draw(st.integers(1, 4)), 2 * draw(st.integers(1, 3))
        dims = {"d_model": heads * headdim // 2, "d_state": draw(st.integers(1, 5))}
        dims |= {"n_layers": draw(st.integers(1, 3)), "headdim": headdim}
    else:
        dims = {"hidden_dim": draw(st.integers(1, 9)), "trunk_dim": draw(st.integers(1, 9))}
    return arch, draw(configs()), draw(st.integers(1, 12)), dims
