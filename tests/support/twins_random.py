"""Random configurations, weights and inputs for parity tests, all from one seed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from awm_jax.encoding import EncodingConfig, int_vocabs

TABLES = ["action", "jumps", "character", "stage", "l_cancel", "hurtbox", "ground", "last_attack"]
VOCABULARIES: tuple[dict[str, int], ...] = (
    {},
    {f"{n}_vocab": 2 + i for i, n in enumerate(TABLES)}
    | {f"{n}_embed_dim": 1 + i % 3 for i, n in enumerate(TABLES)}
    | {"state_age_embed_vocab": 5, "state_age_embed_dim": 1},
    {f"{n}_vocab": 41 - 5 * i for i, n in enumerate(TABLES)}
    | {f"{n}_embed_dim": 5 - i // 2 for i, n in enumerate(TABLES)}
    | {"state_age_embed_vocab": 30, "state_age_embed_dim": 7},
)


@dataclasses.dataclass(frozen=True)
class Spec:
    """A network to build: what a constructor needs, and a batch size for its inputs."""

    arch: str
    cfg: EncodingConfig
    context_len: int
    dims: dict[str, Any]
    batch: int


def random_config(rng: np.random.Generator) -> EncodingConfig:
    """Any combination of flags, over one of three sets of vocabularies."""
    flags = (
        "state_age_as_embed",
        "press_events",
        "projectiles",
        "state_flags",
        "hitstun",
        "multi_position",
        "ctrl_residual_to_action",
        "ctrl_threshold_features",
        "character_conditioning",
    )
    chosen: dict[str, Any] = {name: bool(rng.integers(2)) for name in flags}
    chosen |= {"lookahead": int(rng.integers(3)), "focal_offset": int(rng.integers(3))}
    return EncodingConfig(**VOCABULARIES[rng.integers(len(VOCABULARIES))], **chosen)


def random_spec(rng: np.random.Generator, arch: str | None = None) -> Spec:
    """Any flags and small sizes; the Mamba2 chunk often does not divide K."""
    arch = arch or str(rng.choice(["mamba2", "mamba2", "mlp", "policy"]))
    context_len, batch = int(rng.integers(1, 14)), int(rng.integers(1, 4))
    if arch == "mamba2":
        headdim = int(rng.choice([1, 2, 4, 8, 16]))
        d_model = headdim * int(rng.integers(1, 5)) // (1 if rng.integers(2) else 2) or headdim
        d_model += (2 * d_model) % headdim
        dims: dict[str, Any] = {
            "d_model": d_model,
            "d_state": int(rng.integers(1, 17)),
            "n_layers": int(rng.integers(1, 4)),
            "headdim": headdim,
            "chunk_size": int(rng.integers(1, 9)) if rng.integers(2) else None,
        }
        assert 2 * d_model % headdim == 0
    else:
        dims = {"hidden_dim": int(rng.integers(1, 33)), "trunk_dim": int(rng.integers(1, 33))}
    return Spec(arch, random_config(rng), context_len, dims, batch)


def random_frames(
    rng: np.random.Generator, cfg: EncodingConfig, shape: tuple[int, ...], dtype: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Frames (*shape, F) in [-2, 2], some columns 0 or 1, and (*shape, I) over whole tables."""
    floats = rng.uniform(-2, 2, (*shape, cfg.float_per_frame)).astype(np.float32)
    binary = rng.random(floats.shape) < 0.3
    floats[binary] = floats[binary] > 0
    vocabs = np.array(int_vocabs(cfg))
    ints = rng.integers(0, vocabs, (*shape, cfg.int_per_frame))
    edges = rng.random(ints.shape)
    ints = np.where(edges < 0.1, 0, np.where(edges > 0.9, vocabs - 1, ints))
    return floats.astype(dtype), ints.astype(np.int32)


def random_ctrl(
    rng: np.random.Generator, cfg: EncodingConfig, shape: tuple[int, ...], dtype: type = np.float32
) -> np.ndarray:
    """Controllers (*shape, C) in [0, 1]."""
    return rng.random((*shape, cfg.ctrl_conditioning_dim), np.float32).astype(dtype)


def random_inputs(
    rng: np.random.Generator, spec: Spec, dtype: type = np.float32
) -> list[np.ndarray]:
    """What the spec's network is called with."""
    inputs = list(random_frames(rng, spec.cfg, (spec.batch, spec.context_len), dtype))
    if spec.arch != "policy":
        inputs.append(random_ctrl(rng, spec.cfg, (spec.batch,), dtype))
    return inputs


def random_scan(
    rng: np.random.Generator, draws: int, shape: tuple[int, int, int, int, int], dtype: type
) -> list[np.ndarray]:
    """`draws` scans of shape (B, L, H, P, N): x, dt, A, B, C, state, each with a leading axis.

    dt has still stretches (0) and leaps (8), A reaches from slow to instant decay.
    """
    b, length, heads, width, n = shape
    x = rng.normal(size=(draws, b, length, heads, width)) * rng.choice(
        [0.1, 1, 10], (draws, 1, 1, 1, 1)
    )
    dt = np.log1p(np.exp(rng.normal(-1, 2, (draws, b, length, heads))))
    kind = rng.random((draws, b, length, 1))
    dt = np.where(kind < 0.15, 0.0, np.where(kind > 0.95, 8.0, dt))
    A = -np.exp(rng.uniform(-3, 3, (draws, heads)))
    B, C = rng.normal(size=(2, draws, b, length, n))
    state = rng.normal(size=(draws, b, heads, width, n))
    return [value.astype(np.float32).astype(dtype) for value in (x, dt, A, B, C, state)]
