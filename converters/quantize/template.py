"""The shapes and dtypes of every integer parameter, from the architecture alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from awm_jax.encoding import (
    ANALOG,
    BUTTONS,
    PREDICTED_CATEGORICAL,
    EncodingConfig,
    player_embeddings,
    world_outputs,
)
from awm_jax.fp32.mamba2 import CONV_WIDTH
from awm_jax.int8.params import (
    NO_VARIANT,
    Arch,
    Dense,
    Heads,
    Inputs,
    Layer,
    MixedDense,
    Norm,
    Requant,
    Scan,
    Tables,
    WorldParams,
    control_columns,
    frame_columns,
)
from awm_jax.int8.policy import PolicyArch, PolicyParams
from awm_jax.variant import GEOMETRY_PER_PLAYER, LEVELS, Variant

# The reference's heads in the machine's order of rows.
NUMERIC = ("continuous_head", "velocity_head", "dynamics_head")
BINARY = ("binary_head",)
LOGITS = tuple(f"p{p}_{name}_head" for name in PREDICTED_CATEGORICAL for p in (0, 1))
POLICY_HEADS = ("analog_head", "button_head")

ACTIVATION, EXP2, RSQRT = 513, 257, 193


def world_template(arch: Arch) -> WorldParams:
    """`WorldParams` with a `jax.ShapeDtypeStruct` for each array."""
    d, e, n, heads = arch.d_model, arch.d_inner, arch.d_state, arch.heads
    scan = Scan(
        decay_m=_i32(heads),
        decay_s=_i32(heads),
        drive_m=_i32(heads),
        drive_s=_i32(heads),
        b_m=_i32(n),
        b_s=_i32(),
        c_m=_i32(n),
        c_s=_i32(),
        out=_requant(heads),
        skip_m=_i32(heads),
        skip_s=_i32(),
    )
    layer = Layer(
        norm=_norm(d),
        in_proj=_dense(arch.in_proj_rows, d),
        conv_w=_i8(arch.conv_channels, CONV_WIDTH),
        conv_bias=_i32(arch.conv_channels),
        conv_out=_requant(arch.conv_channels),
        scan=scan,
        gate_s=_i32(),
        gated_norm=_norm(e),
        out_proj=_dense(d, e),
    )
    wide, narrow = frame_columns(arch.cfg, arch.variant)
    ctrl_wide, ctrl_narrow = control_columns(arch.cfg)
    return WorldParams(
        tables=Tables(_i32(ACTIVATION), _i32(ACTIVATION), _i32(EXP2), _i32(RSQRT)),
        inputs=_inputs(arch.cfg, arch.variant),
        frame_proj=_mixed(d, len(wide), len(narrow)),
        layers=(layer,) * arch.n_layers,
        final_norm=_norm(d),
        ctrl_proj=_mixed(d, len(ctrl_wide), len(ctrl_narrow)),
        heads=_heads(arch),
    )


def policy_template(arch: PolicyArch) -> PolicyParams:
    """`PolicyParams` with a `jax.ShapeDtypeStruct` for each array."""
    wide, narrow = map(len, policy_columns(arch))
    return PolicyParams(
        sigmoid=_i32(ACTIVATION),
        inputs=_inputs(arch.cfg, NO_VARIANT),
        hidden=_mixed(arch.hidden_dim, wide, narrow),
        trunk=_dense(arch.trunk_dim, arch.hidden_dim),
        heads=_dense(len(ANALOG) + len(BUTTONS), arch.trunk_dim),
    )


def policy_columns(arch: PolicyArch) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Wide and narrow columns of the flattened context, each oldest frame first."""
    starts = range(0, arch.context_len * arch.cfg.frame_dim, arch.cfg.frame_dim)
    wide, narrow = (
        tuple(start + column for start in starts for column in part)
        for part in frame_columns(arch.cfg)
    )
    return wide, narrow


def _i32(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def _i8(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.int8)


def _requant(rows: int) -> Requant:
    return Requant(a=_i32(rows), m=_i32(rows))


def _dense(rows: int, cols: int) -> Dense:
    return Dense(w=_i8(rows, cols), bias=_i32(rows), out=_requant(rows))


def _mixed(rows: int, wide: int, narrow: int) -> MixedDense:
    return MixedDense(
        w_wide=_i8(rows, wide),
        w_narrow=_i8(rows, narrow),
        k=_i32(),
        bias=_i32(rows),
        out=_requant(rows),
    )


def _norm(width: int) -> Norm:
    return Norm(eps=_i32(2), w=_i32(width), shift=_i32())


def _inputs(cfg: EncodingConfig, variant: Variant) -> Inputs:
    features = GEOMETRY_PER_PLAYER * variant.geometry
    tables = player_embeddings(cfg) | {"stage": (cfg.stage_vocab, cfg.stage_embed_dim)}
    return Inputs(
        column_m=_i32(cfg.continuous_dim),
        column_s=_i32(cfg.continuous_dim),
        stick_m=_i32(),
        stick_s=_i32(),
        trigger_m=_i32(),
        trigger_s=_i32(),
        feature_m=_i32(features),
        feature_s=_i32(features),
        levels=_i32(cfg.stage_vocab * variant.geometry, LEVELS + 1),
        one=_i32(),
        embeddings={name: _i8(*shape) for name, shape in tables.items()},
    )


def _heads(arch: Arch) -> Heads:
    outputs = world_outputs(arch.cfg)
    width = arch.variant.head_hidden or arch.d_model
    numeric = sum(outputs[n] for n in ("continuous_delta", "velocity_delta", "dynamics_pred"))
    binary = outputs["binary_logits"]
    logits = 2 * sum(getattr(arch.cfg, f"{name}_vocab") for name in PREDICTED_CATEGORICAL)
    return Heads(
        hidden=_dense(width, arch.d_model) if arch.variant.head_hidden else None,
        numeric_w=_i8(numeric, width),
        numeric_bias=_i32(numeric),
        numeric_m=_i32(numeric),
        numeric_s=_i32(numeric),
        numeric_l=_i32(numeric),
        binary_w=_i8(binary, width),
        binary_bias=_i32(binary),
        logits=_dense(logits, width),
    )
