"""What the integer machine computes with, as pytrees of int8 and int32 arrays.

Each field is defined in docs/integer-spec.md section 4; a cartridge holds their bytes, and
`awm_jax.int8.bounds` proves from them that nothing can overflow.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from awm_jax.encoding import ANALOG, CONTROLLER, EncodingConfig, columns
from awm_jax.fp32.mamba2 import EXPAND
from awm_jax.int8.fixed import WIDE_MAX
from awm_jax.pytree import pytree
from awm_jax.variant import Variant

NO_VARIANT = Variant()
Array = Any  # a jax.Array, or an np.ndarray before it is put on a device


@dataclasses.dataclass(frozen=True)
class Arch:
    """The shape of an integer world: everything that is not a number in a tensor.

    Attributes:
      cfg: the encoding.
      d_model, d_state, n_layers, headdim: as in `FrameStackMamba2`.
      context_len: K; frames that agents see, and the window of a windowed world.
      recurrent: the Mamba2 state is carried; else each frame scans the last K from zero.
      planes: int8 planes of the codes that enter in_proj and out_proj: 1, or 2 for 15 bits.
      variant: what differs from the reference's network.
    """

    cfg: EncodingConfig
    d_model: int
    d_state: int
    n_layers: int
    headdim: int
    context_len: int
    recurrent: bool
    planes: int = 1
    variant: Variant = NO_VARIANT

    def __post_init__(self) -> None:
        self.variant.check(self.cfg)

    @property
    def code_max(self) -> int:
        """Largest code that enters in_proj and out_proj."""
        return 127 if self.planes == 1 else WIDE_MAX

    @property
    def d_inner(self) -> int:
        return EXPAND * self.d_model

    @property
    def heads(self) -> int:
        return self.d_inner // self.headdim

    @property
    def conv_channels(self) -> int:
        return self.d_inner + 2 * self.d_state

    @property
    def in_proj_rows(self) -> int:
        return self.d_inner + self.conv_channels + self.heads


def frame_columns(
    cfg: EncodingConfig, variant: Variant = NO_VARIANT
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Columns of the frame vector that are wide (two planes) and narrow (one).

    Wide are the continuous columns and the analog controls, player 0's then player 1's, then a
    variant's extra columns; narrow is the rest, in order: binaries, buttons, embeddings.
    """
    first = columns(cfg).controller.start
    player = [*range(cfg.continuous_dim), *range(first, first + len(ANALOG))]
    wide = player + [cfg.float_per_player + c for c in player]
    taken = set(wide)
    wide += range(cfg.frame_dim, cfg.frame_dim + variant.extra_columns)
    return tuple(wide), tuple(c for c in range(cfg.frame_dim) if c not in taken)


def control_columns(cfg: EncodingConfig) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same split of `next_ctrl`: analog controls are wide."""
    wide = [p * len(CONTROLLER) + c for p in (0, 1) for c in range(len(ANALOG))]
    taken = set(wide)
    return tuple(wide), tuple(c for c in range(cfg.ctrl_conditioning_dim) if c not in taken)


@pytree
class Tables:
    """`awm_jax.int8.tables`: sigmoid, softplus (513,), exp2 (257,), rsqrt (193,), int32."""

    sigmoid: Array
    softplus: Array
    exp2: Array
    rsqrt: Array


@pytree
class Requant:
    """(n,) int32 shifts `a` and multipliers `m` of `fixed.requant`."""

    a: Array
    m: Array


@pytree
class Dense:
    """w (rows, cols) int8, bias (rows,) int32 in accumulator units, then a requantisation."""

    w: Array
    bias: Array
    out: Requant


@pytree
class MixedDense:
    """A product with wide and narrow inputs: (w_wide . wide) + (w_narrow . narrow << k) + bias.

    k () int32: a narrow code counts 2^k wide ones.
    """

    w_wide: Array
    w_narrow: Array
    k: Array
    bias: Array
    out: Requant


@pytree
class Norm:
    """eps (2,), w (n,), shift () int32 of `fixed.norm`."""

    eps: Array
    w: Array
    shift: Array


@pytree
class Inputs:
    """From the game's units to codes.

    Attributes:
      column_m, column_s: (continuous_dim,) int32, `fixed.mulshift` of a 2^-16 value to a wide code.
      stick_m, stick_s, trigger_m, trigger_s: () int32, wide code = rsh(value m, s) of a stick
        counted from 0 (left or down, 160 at the other end) or of a trigger.
      feature_m, feature_s: (9,) int32, `fixed.mulshift` of a player's geometry features in 2^-16
        game units to wide codes; (0,) without them.
      levels: (stage_vocab, 4) int32, `awm_jax.variant.stage_levels` in 2^-16; (0, 4) without.
      one: () int32, the narrow code of a set bit.
      embeddings: name -> (vocabulary, width) int8 narrow codes.
    """

    column_m: Array
    column_s: Array
    stick_m: Array
    stick_s: Array
    trigger_m: Array
    trigger_s: Array
    feature_m: Array
    feature_s: Array
    levels: Array
    one: Array
    embeddings: dict[str, Array]


@pytree
class Scan:
    """One layer's scan, for H heads and N states.

    Attributes:
      decay_m, decay_s: (H,) A log2(e) dt as `fixed.mulshift` of dt to an exponent in 2^-15.
      drive_m, drive_s: (H,) from dt and x to the drive u.
      b_m, c_m: (N,) multipliers of B and C; b_s, c_s: () shifts.
      out: (H,) requantisation of the read-out.
      skip_m: (H,) D as a multiplier of x; skip_s: () its shift.
    """

    decay_m: Array
    decay_s: Array
    drive_m: Array
    drive_s: Array
    b_m: Array
    b_s: Array
    c_m: Array
    c_s: Array
    out: Requant
    skip_m: Array
    skip_s: Array


@pytree
class Layer:
    """One Mamba2 layer.

    Attributes:
      in_proj: rows z, x, B, C, dt; z and dt in 2^-10, the others in each channel's own scale.
      conv_w: (channels, 4) int8; conv_bias (channels,) int32; conv_out to 2^-10.
      gate_s: () shift after y silu(z).
    """

    norm: Norm
    in_proj: Dense
    conv_w: Array
    conv_bias: Array
    conv_out: Requant
    scan: Scan
    gate_s: Array
    gated_norm: Norm
    out_proj: Dense


@pytree
class Heads:
    """The outputs of a world, from a hidden vector of n wide codes.

    Attributes:
      hidden: the variant's layer before the heads, to wide codes; None without it.
      numeric_w: (rows, n) int8; rows continuous_delta, velocity_delta, dynamics_pred.
      numeric_bias: (rows,) int32; numeric_m, numeric_s: (rows,) `fixed.mulshift`;
      numeric_l: (rows,) left shift, to 2^-16 game units.
      binary_w: (predicted_binary_dim, n) int8; binary_bias (rows,) int32.
      logits: all categorical heads in order, requantised to one scale.
    """

    hidden: Dense | None
    numeric_w: Array
    numeric_bias: Array
    numeric_m: Array
    numeric_s: Array
    numeric_l: Array
    binary_w: Array
    binary_bias: Array
    logits: Dense


@pytree
class WorldParams:
    """A whole integer world."""

    tables: Tables
    inputs: Inputs
    frame_proj: MixedDense
    layers: tuple[Layer, ...]
    final_norm: Norm
    ctrl_proj: MixedDense
    heads: Heads
