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
        decay_m=int32_shape(heads),
        decay_s=int32_shape(heads),
        drive_m=int32_shape(heads),
        drive_s=int32_shape(heads),
        b_m=int32_shape(n),
        b_s=int32_shape(),
        c_m=int32_shape(n),
        c_s=int32_shape(),
        out=_requant(heads),
        skip_m=int32_shape(heads),
        skip_s=int32_shape(),
    )
    layer = Layer(
        norm=norm_shapes(d),
        in_proj=dense_shapes(arch.in_proj_rows, d),
        conv_w=_i8(arch.conv_channels, CONV_WIDTH),
        conv_bias=int32_shape(arch.conv_channels),
        conv_out=_requant(arch.conv_channels),
        scan=scan,
        gate_s=int32_shape(),
        gated_norm=norm_shapes(e),
        out_proj=dense_shapes(d, e),
    )
    wide, narrow = frame_columns(arch.cfg, arch.variant)
    ctrl_wide, ctrl_narrow = control_columns(arch.cfg)
    return WorldParams(
        tables=Tables(
            int32_shape(ACTIVATION), int32_shape(ACTIVATION), int32_shape(EXP2), int32_shape(RSQRT)
        ),
        inputs=_inputs(arch.cfg, arch.variant),
        frame_proj=_mixed(d, len(wide), len(narrow)),
        layers=(layer,) * arch.n_layers,
        final_norm=norm_shapes(d),
        ctrl_proj=_mixed(d, len(ctrl_wide), len(ctrl_narrow)),
        heads=_heads(arch),
    )


def policy_template(arch: PolicyArch) -> PolicyParams:
    """`PolicyParams` with a `jax.ShapeDtypeStruct` for each array."""
    wide, narrow = map(len, policy_columns(arch))
    return PolicyParams(
        sigmoid=int32_shape(ACTIVATION),
        inputs=_inputs(arch.cfg, NO_VARIANT),
        hidden=_mixed(arch.hidden_dim, wide, narrow),
        trunk=dense_shapes(arch.trunk_dim, arch.hidden_dim),
        heads=dense_shapes(len(ANALOG) + len(BUTTONS), arch.trunk_dim),
    )


def policy_columns(arch: PolicyArch) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Wide and narrow columns of the flattened context, each oldest frame first."""
    starts = range(0, arch.context_len * arch.cfg.frame_dim, arch.cfg.frame_dim)
    wide, narrow = (
        tuple(start + column for start in starts for column in part)
        for part in frame_columns(arch.cfg)
    )
    return wide, narrow


def int32_shape(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def _i8(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.int8)


def _requant(rows: int) -> Requant:
    return Requant(a=int32_shape(rows), m=int32_shape(rows))


def dense_shapes(rows: int, cols: int) -> Dense:
    return Dense(w=_i8(rows, cols), bias=int32_shape(rows), out=_requant(rows))


def _mixed(rows: int, wide: int, narrow: int) -> MixedDense:
    return MixedDense(
        w_wide=_i8(rows, wide),
        w_narrow=_i8(rows, narrow),
        k=int32_shape(),
        bias=int32_shape(rows),
        out=_requant(rows),
    )


def norm_shapes(width: int) -> Norm:
    return Norm(eps=int32_shape(2), w=int32_shape(width), shift=int32_shape())


def _inputs(cfg: EncodingConfig, variant: Variant) -> Inputs:
    features = GEOMETRY_PER_PLAYER * variant.geometry
    tables = player_embeddings(cfg) | {"stage": (cfg.stage_vocab, cfg.stage_embed_dim)}
    return Inputs(
        column_m=int32_shape(cfg.continuous_dim),
        column_s=int32_shape(cfg.continuous_dim),
        stick_m=int32_shape(),
        stick_s=int32_shape(),
        trigger_m=int32_shape(),
        trigger_s=int32_shape(),
        feature_m=int32_shape(features),
        feature_s=int32_shape(features),
        levels=int32_shape(cfg.stage_vocab * variant.geometry, LEVELS + 1),
        one=int32_shape(),
        embeddings={name: _i8(*shape) for name, shape in tables.items()},
    )


def _heads(arch: Arch) -> Heads:
    outputs = world_outputs(arch.cfg)
    width = arch.variant.head_hidden or arch.d_model
    numeric = sum(outputs[n] for n in ("continuous_delta", "velocity_delta", "dynamics_pred"))
    binary = outputs["binary_logits"]
    logits = 2 * sum(getattr(arch.cfg, f"{name}_vocab") for name in PREDICTED_CATEGORICAL)
    return Heads(
        hidden=dense_shapes(width, arch.d_model) if arch.variant.head_hidden else None,
        numeric_w=_i8(numeric, width),
        numeric_bias=int32_shape(numeric),
        numeric_m=int32_shape(numeric),
        numeric_s=int32_shape(numeric),
        numeric_l=int32_shape(numeric),
        binary_w=_i8(binary, width),
        binary_bias=int32_shape(binary),
        logits=dense_shapes(logits, width),
    )
