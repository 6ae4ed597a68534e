"""The reference's simplified network as its chain code has it, kept bit for bit.

Not Mamba2: no convolution, no B, C or dt projections, no heads, no final norm (onchain.md
section 7); `x` is the residual stream and channel i of it is read back as field i of a frame.
Everything is written for one match; `vmap` makes a batch. Source: onchain.md sections 4 and 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from awm_jax.errors import AwmError
from awm_jax.int8 import ops
from awm_jax.int8.ops import ArrayLike, Luts, as_array, clamp8
from awm_jax.pytree import pytree

NORM_WEIGHT_SCALE = 256
GATE_SHIFT = 7
SHARDS_READ = 2

_NARROW_INTS = tuple(jnp.dtype(t) for t in ("int8", "uint8", "int16", "uint16", "int32"))


@pytree
class LayerWeights:
    """Weights of one layer, or of L layers with a leading axis [L] on every array."""

    in_proj: ArrayLike
    """(2 * d_inner, d_model) int8: rows of z, then rows of x_ssm."""
    out_proj: ArrayLike
    """(d_model, d_inner) int8."""
    norm: ArrayLike
    """(d_model,) int8."""
    a_log: ArrayLike
    """(d_inner,) int8."""
    dt_bias: ArrayLike
    """(d_inner,) int8."""
    in_proj_scales: ArrayLike
    """(2 * d_inner,) uint16, in 1/65536."""
    out_proj_scales: ArrayLike
    """(d_model,) uint16, in 1/65536."""


@pytree
class HiddenState:
    """What is carried from frame to frame."""

    h: ArrayLike
    """(num_layers, d_inner, d_state) int8."""


@pytree
class LayerStep:
    """Every value of one layer's step, in the order of its computation."""

    x_norm: jax.Array
    """(d_model,) int8."""
    proj_i32: jax.Array
    """(2 * d_inner,) int32."""
    z: jax.Array
    """(d_inner,) int8."""
    x_ssm: jax.Array
    """(d_inner,) int8."""
    dt: jax.Array
    """(d_inner,) int8."""
    h: jax.Array
    """(d_inner, d_state) int8: the new state."""
    y_ssm: jax.Array
    """(d_inner,) int8."""
    gate: jax.Array
    """(d_inner,) int8."""
    y_gated: jax.Array
    """(d_inner,) int8."""
    out_i32: jax.Array
    """(d_model,) int32."""
    y_out: jax.Array
    """(d_model,) int8."""
    x: jax.Array
    """(d_model,) int8: the residual stream after the layer."""


@pytree
class PlayerState:
    """The 17 fields of both players, each (2,) of an integer type of at most 32 bits.

    Field order is the order of the network's channels and of the account's fields
    (onchain.md section 8).
    """

    x: ArrayLike
    y: ArrayLike
    percent: ArrayLike
    shield_strength: ArrayLike
    speed_air_x: ArrayLike
    speed_y: ArrayLike
    speed_ground_x: ArrayLike
    speed_attack_x: ArrayLike
    speed_attack_y: ArrayLike
    state_age: ArrayLike
    hitlag: ArrayLike
    stocks: ArrayLike
    facing: ArrayLike
    on_ground: ArrayLike
    action_state: ArrayLike
    jumps_left: ArrayLike
    character: ArrayLike


@pytree
class ControllerInput:
    """The eight fields of both controllers, each (2,) of an integer type of at most 32 bits."""

    stick_x: ArrayLike
    stick_y: ArrayLike
    c_stick_x: ArrayLike
    c_stick_y: ArrayLike
    trigger_l: ArrayLike
    trigger_r: ArrayLike
    buttons: ArrayLike
    buttons_ext: ArrayLike
    """Never read by the network."""


PLAYER_FIELDS = tuple(field.name for field in dataclasses.fields(PlayerState))
CONTROLLER_FIELDS = tuple(field.name for field in dataclasses.fields(ControllerInput))
_ENCODED_CONTROLS = CONTROLLER_FIELDS[:-1]
_BLOCK = len(PLAYER_FIELDS) + len(_ENCODED_CONTROLS)
ENCODED_SIZE = 2 * _BLOCK + 1

# Units of a field per unit of its channel; the other fields are flags or plain bytes.
_UNITS = {"x": 256, "y": 256, "percent": 4} | {
    name: 2 for name in PLAYER_FIELDS if name.startswith("speed_")
}
_FLAGS = ("facing", "on_ground")
_SIGN_EXTENDED = ("shield_strength", "state_age")
_DEFAULTS = {"stocks": (4, 4), "on_ground": (1, 1), "jumps_left": (2, 2), "facing": (1, 0)}


def init_state(num_layers: int, d_inner: int, d_state: int) -> HiddenState:
    """The state before the first frame: zeros."""
    return HiddenState(h=jnp.zeros((num_layers, d_inner, d_state), jnp.int8))


def _checked(weights: LayerWeights, axes: tuple[int, ...], d_model: int, d_inner: int):
    """`weights` as JAX arrays, every shape compared; `axes` come before each layer's own."""
    expected = {
        "in_proj": (jnp.int8, (2 * d_inner, d_model)),
        "out_proj": (jnp.int8, (d_model, d_inner)),
        "norm": (jnp.int8, (d_model,)),
        "a_log": (jnp.int8, (d_inner,)),
        "dt_bias": (jnp.int8, (d_inner,)),
        "in_proj_scales": (jnp.uint16, (2 * d_inner,)),
        "out_proj_scales": (jnp.uint16, (d_model,)),
    }
    return LayerWeights(
        **{
            name: as_array(name, getattr(weights, name), dtype, shape=axes + shape)
            for name, (dtype, shape) in expected.items()
        }
    )


def layer_step(luts: Luts, weights: LayerWeights, h: ArrayLike, x: ArrayLike) -> LayerStep:
    """One layer, one frame (section 4).

    Args:
      luts: the 1,024 bytes.
      weights: of one layer.
      h: (d_inner, d_state) int8.
      x: (d_model,) int8.

    Returns: every intermediate; `.x` and `.h` are the results.
    Raises:
      AwmError: an array has another dtype or length than `h` and `x` demand.
    """
    x = as_array("x", x, jnp.int8, ndim=1)
    h = as_array("h", h, jnp.int8, ndim=2)
    d_inner = h.shape[0]
    weights = _checked(weights, (), x.shape[0], d_inner)
    luts = ops.as_luts(luts)

    x_norm = ops.rmsnorm_int8(luts, x, weights.norm, NORM_WEIGHT_SCALE)
    proj_i32 = ops.matmul_i8(weights.in_proj, x_norm)
    proj = ops.requantize_per_channel(proj_i32, weights.in_proj_scales)
    z, x_ssm = proj[:d_inner], proj[d_inner:]
    dt = ops.softplus_lut(luts, ops.add_i8(x_ssm, weights.dt_bias))
    h, y_ssm = ops.selective_scan_step(luts, x_ssm, dt, h, weights.a_log)
    gate = ops.silu_lut(luts, z)
    y_gated = ops.elementwise_mul_i8(y_ssm, gate, GATE_SHIFT)
    out_i32 = ops.matmul_i8(weights.out_proj, y_gated)
    y_out = ops.requantize_per_channel(out_i32, weights.out_proj_scales)
    return LayerStep(
        x_norm=x_norm,
        proj_i32=proj_i32,
        z=z,
        x_ssm=x_ssm,
        dt=dt,
        h=h,
        y_ssm=y_ssm,
        gate=gate,
        y_gated=y_gated,
        out_i32=out_i32,
        y_out=y_out,
        x=ops.add_i8(x, y_out),
    )


def forward_pass(
    luts: Luts, weights: LayerWeights, state: HiddenState, x: ArrayLike
) -> tuple[HiddenState, jax.Array]:
    """All layers, one frame (section 5).

    Args:
      luts: the 1,024 bytes.
      weights: of all layers, with a leading axis [num_layers]; see `unpack_shards`.
      state: the state before the frame; its shape says num_layers (zero is allowed), d_inner and
        d_state. Rust takes a longer buffer and leaves its tail alone; here it must fit.
      x: (d_model,) int8, the encoded frame.

    Returns: the new state and the residual stream after the last layer, (d_model,) int8.
    Raises:
      AwmError: an array has another dtype or length than `state` and `x` demand.
    """
    x = as_array("x", x, jnp.int8, ndim=1)
    h = as_array("h", state.h, jnp.int8, ndim=3)
    weights = _checked(weights, h.shape[:1], x.shape[0], h.shape[1])
    luts = ops.as_luts(luts)

    def body(x: jax.Array, layer: tuple[LayerWeights, jax.Array]):
        step = layer_step(luts, *layer, x)
        return step.x, step.h

    x, h = lax.scan(body, x, (weights, h))
    return HiddenState(h=h), x


def unpack_shards(
    shards: Sequence[bytes | np.ndarray], num_layers: int, d_model: int, d_inner: int
) -> tuple[np.ndarray, np.ndarray]:
    """The two products' weights of all layers, from the bytes of the weight shards (section 5).

    A layer is in_proj then out_proj, row-major, 3 * d_inner * d_model bytes. Only shards 0 and 1
    are read, and layers left over at the end are ignored, as in the reference. Where the
    reference reads across or past a shard's end (R13), this is an error: each shard has to hold
    whole layers.

    Args:
      shards: bytes, or one-dimensional uint8 or int8 arrays.

    Returns: in_proj (num_layers, 2 * d_inner, d_model) and out_proj (num_layers, d_model,
      d_inner), int8.
    Raises:
      AwmError: a dimension is not positive, a shard does not hold whole layers, or there are
        fewer than num_layers.
    """
    if num_layers < 0 or d_model < 1 or d_inner < 1:
        raise AwmError(
            f"num_layers {num_layers}, d_model {d_model}, d_inner {d_inner}: "
            "the first must be 0 or more, the others 1 or more"
        )
    layer_bytes = 3 * d_inner * d_model
    layers = [np.zeros((0, layer_bytes), np.int8)]
    for i, shard in enumerate(shards[:SHARDS_READ]):
        if isinstance(shard, (bytes, bytearray, memoryview)):
            shard = np.frombuffer(shard, np.int8)
        if shard.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)) or shard.ndim != 1:
            raise AwmError(
                f"shard {i} is {shard.dtype} of shape {shard.shape}, must be a row of bytes"
            )
        if shard.size % layer_bytes:
            raise AwmError(
                f"shard {i} has {shard.size} bytes, must hold whole layers of {layer_bytes} bytes"
            )
        layers.append(np.ascontiguousarray(shard).view(np.int8).reshape(-1, layer_bytes))
    found = np.concatenate(layers)
    if len(found) < num_layers:
        raise AwmError(
            f"shards 0 and 1 hold {len(found)} layers of {layer_bytes} bytes, "
            f"num_layers is {num_layers}; further shards are never read"
        )
    in_proj, out_proj = np.split(found[:num_layers], [2 * d_inner * d_model], axis=1)
    return (
        in_proj.reshape(num_layers, 2 * d_inner, d_model),
        out_proj.reshape(num_layers, d_model, d_inner),
    )


def _low_byte(value: jax.Array) -> jax.Array:
    """The low byte of an int32, read as a signed byte."""
    return (((value & 0xFF) ^ 0x80) - 0x80).astype(jnp.int8)


def _as_int32(name: str, value: Any, shape: tuple[int, ...]) -> jax.Array:
    dtype = getattr(value, "dtype", None)
    if dtype not in _NARROW_INTS:
        raise AwmError(f"{name} is {dtype or type(value).__name__}, must be an array up to int32")
    return as_array(name, value, dtype, shape=shape).astype(jnp.int32)


def _field_to_byte(name: str, value: jax.Array) -> jax.Array:
    if name in _UNITS:
        return clamp8(lax.div(value, jnp.full_like(value, _UNITS[name])))
    if name in _FLAGS:
        return jnp.where(value != 0, jnp.int8(64), jnp.int8(-64))
    return _low_byte(value)


def _byte_to_field(name: str, value: jax.Array) -> jax.Array:
    if name in _FLAGS:
        return (value > 0).astype(jnp.int32)
    if name in _SIGN_EXTENDED:
        return value & 0xFFFF
    if name in _UNITS and name != "percent":
        return value * _UNITS[name]
    return jnp.maximum(value * _UNITS.get(name, 1), 0)


def encode_input(
    players: PlayerState, controllers: ControllerInput, stage: int | ArrayLike, d_model: int
) -> jax.Array:
    """A frame as the network's input (section 5).

    Per player 17 state and 7 controller channels, then the stage: 49 in all, cut or padded with
    zeros to d_model. Most channels are the low byte of their field, so they alias (R15).

    Args:
      players, controllers: fields of shape (2,), values within their on-chain types.
      stage: 0..255, an integer or an array of shape ().
      d_model: length of the result, 0 or more.

    Returns: (d_model,) int8.
    """
    if isinstance(d_model, bool) or not isinstance(d_model, (int, np.integer)) or d_model < 0:
        raise AwmError(f"d_model is {d_model!r}, must be an integer, 0 or more")
    if isinstance(stage, int):
        if not 0 <= stage <= 255:
            raise AwmError(f"stage is {stage}, must be in 0..255")
        stage = np.int32(stage)
    channels = [
        _field_to_byte(name, _as_int32(name, getattr(players, name), (2,)))
        for name in PLAYER_FIELDS
    ] + [_low_byte(_as_int32(name, getattr(controllers, name), (2,))) for name in _ENCODED_CONTROLS]
    tail = _low_byte(_as_int32("stage", stage, ()))
    full = jnp.concatenate([jnp.stack(channels, axis=1).reshape(-1), tail[None]])
    return jnp.pad(full, (0, max(d_model - ENCODED_SIZE, 0)))[:d_model]


def decode_output(x: ArrayLike) -> PlayerState:
    """The network's output read back as a frame (section 5).

    Args:
      x: (d_model,) int8. Fields whose channel lies beyond its end have their default: 0, but
        stocks 4, on_ground 1, jumps_left 2 and facing 1 for player 0.

    Returns: fields of shape (2,), int32. A negative shield_strength or state_age becomes 65,xxx
      (R14).
    """
    x = as_array("x", x, jnp.int8, ndim=1)
    size = 2 * _BLOCK
    blocks = jnp.pad(x[:size], (0, max(size - x.shape[0], 0))).reshape(2, _BLOCK)
    present = np.arange(size).reshape(2, _BLOCK) < x.shape[0]
    fields = {}
    for i, name in enumerate(PLAYER_FIELDS):
        value = _byte_to_field(name, blocks[:, i].astype(jnp.int32))
        default = np.array(_DEFAULTS.get(name, (0, 0)), np.int32)
        fields[name] = jnp.where(present[:, i], value, default)
    return PlayerState(**fields)
