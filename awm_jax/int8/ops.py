"""The reference's on-chain integer operations, bit for bit, in 32-bit arithmetic.

Right shifts floor, narrowing saturates to [-128, 127], -128 is an ordinary value. Where a sum or
product leaves 32 bits the result wraps modulo 2^32, as the native release build does; the checked
build on chain aborts the transaction instead. Functions take NumPy or JAX arrays of exactly the
dtypes named, check dtypes and shapes when they are traced, and run inside `jit`, `vmap` and `scan`.
In Rust lengths are arguments and longer buffers keep their tails; here the shapes are the lengths.
Source: onchain.md sections 2 and 3 (section numbers below).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from awm_jax.errors import AwmError
from awm_jax.int8.fixed import in_fours
from awm_jax.int8.luts import LUT_OFFSETS, LUT_SIZE

ArrayLike = np.ndarray | np.generic | jax.Array
Luts = bytes | ArrayLike

SYSCALL_BASE_COST = 100
SYSCALL_COST_PER_MAC = 1
MAX_D_STATE = 2**16 - 1  # d_state is a u16 on chain; the read-out's sum then fits int32
MAX_NORM_LENGTH = (2**31 - 1) // 128**2  # the sum of squares fits int32
_U64_MAX = 2**64 - 1


def as_array(
    name: str, value: Any, dtype: Any, shape: tuple[int, ...] | None = None, ndim: int | None = None
) -> jax.Array:
    """`value` as a JAX array, after checking its dtype and, where given, its shape or rank.

    Raises:
      AwmError: not an array, another dtype, shape or rank; the message begins with `name`.
    """
    dtype = jnp.dtype(dtype)
    if not isinstance(value, (np.ndarray, np.generic, jax.Array)):
        raise AwmError(f"{name} is a {type(value).__name__}, must be a {dtype} array")
    if value.dtype != dtype:
        raise AwmError(f"{name} has dtype {value.dtype}, must be {dtype}")
    if shape is not None and value.shape != shape:
        raise AwmError(f"{name} has shape {value.shape}, must be {shape}")
    if ndim is not None and value.ndim != ndim:
        raise AwmError(f"{name} has shape {value.shape}, must have {ndim} axes")
    return jnp.asarray(value)


def clamp8(value: jax.Array) -> jax.Array:
    """int32 of any shape, saturated to int8."""
    return jnp.clip(value, -128, 127).astype(jnp.int8)


def _scalar(name: str, value: Any, dtype: Any) -> Any:
    """A Python integer (range checked) or an array of shape () as a scalar of `dtype`."""
    dtype = jnp.dtype(dtype)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise AwmError(f"{name} is {value}, must be in {limits.min}..{limits.max}")
        return dtype.type(value)
    return as_array(name, value, dtype, shape=())


def matmul_i8(W: ArrayLike, x: ArrayLike) -> jax.Array:
    """W x, the syscall's product (sections 2, 3.1).

    Exact for up to 131,071 columns; beyond, sums that leave int32 wrap (the chain panics).

    Args:
      W: (rows, cols) int8. Zero rows give an empty result, zero columns give zeros.
      x: (cols,) int8.

    Returns: (rows,) int32.
    """
    W = as_array("W", W, jnp.int8, ndim=2)
    x = as_array("x", x, jnp.int8, shape=(W.shape[1],))
    dims = (((1,), (0,)), ((), ()))
    return lax.dot_general(*in_fours(W, x, dims[0]), dims, preferred_element_type=jnp.int32)


def _requantize(acc: jax.Array, scale: Any) -> jax.Array:
    # acc = hi * 65536 + lo, so acc * scale >> 16 = hi * scale + (lo * scale >> 16): no 64 bits.
    high = (acc >> 16) * scale.astype(jnp.int32)
    low = ((acc & 0xFFFF).astype(jnp.uint32) * scale.astype(jnp.uint32)) >> 16
    return clamp8(high + low.astype(jnp.int32))


def requantize_per_channel(acc: ArrayLike, scales: ArrayLike) -> jax.Array:
    """clamp8(acc * scales >> 16): int32 and uint16 of one shape to int8 (section 3.2)."""
    acc = as_array("acc", acc, jnp.int32)
    return _requantize(acc, as_array("scales", scales, jnp.uint16, shape=acc.shape))


def requantize_per_tensor(acc: ArrayLike, scale: int | ArrayLike) -> jax.Array:
    """clamp8(acc * scale >> 16): int32 of any shape and one uint16 to int8 (section 3.2)."""
    acc = as_array("acc", acc, jnp.int32)
    return _requantize(acc, _scalar("scale", scale, jnp.uint16))


def elementwise_mul_i8(a: ArrayLike, b: ArrayLike, shift: int) -> jax.Array:
    """clamp8(a * b >> shift): int8 and int8 of one shape to int8 (section 3.3).

    Raises:
      AwmError: shift is no integer known at trace time, or not in 0..31 (the chain panics; a
        native build would use `shift & 31`).
    """
    a = as_array("a", a, jnp.int8)
    b = as_array("b", b, jnp.int8, shape=a.shape)
    if isinstance(shift, bool) or not isinstance(shift, (int, np.integer)):
        raise AwmError(f"shift is a {type(shift).__name__}, must be an integer in 0..31")
    if not 0 <= shift <= 31:
        raise AwmError(f"shift is {shift}, must be in 0..31")
    return clamp8((a.astype(jnp.int32) * b.astype(jnp.int32)) >> int(shift))


def add_i8(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """clamp8(a + b): int8 and int8 of one shape to int8 (section 3.4)."""
    a = as_array("a", a, jnp.int8)
    b = as_array("b", b, jnp.int8, shape=a.shape)
    return clamp8(a.astype(jnp.int32) + b.astype(jnp.int32))


def as_luts(luts: Luts) -> jax.Array:
    """The tables as a one-dimensional uint8 array, from bytes or an array."""
    if isinstance(luts, (bytes, bytearray, memoryview)):
        luts = np.frombuffer(luts, np.uint8)
    return as_array("luts", luts, jnp.uint8, ndim=1)


def _lookup(luts: Luts, table: str, index: jax.Array) -> jax.Array:
    luts = as_luts(luts)
    start = LUT_OFFSETS[table]
    end = start + LUT_SIZE
    if luts.shape[0] < end:
        raise AwmError(f"luts has {luts.shape[0]} bytes, table {table} needs {end}")
    return luts[start:end].at[index.astype(jnp.int32)].get(mode="promise_in_bounds")


def _signed_lookup(luts: Luts, table: str, x: ArrayLike) -> jax.Array:
    index = lax.bitcast_convert_type(as_array("x", x, jnp.int8), jnp.uint8)
    return lax.bitcast_convert_type(_lookup(luts, table, index), jnp.int8)


def silu_lut(luts: Luts, x: ArrayLike) -> jax.Array:
    """Table silu at the byte of x: int8 of any shape to int8 (section 3.5).

    This and the next three raise AwmError where `luts` does not hold the whole table.
    """
    return _signed_lookup(luts, "silu", x)


def softplus_lut(luts: Luts, x: ArrayLike) -> jax.Array:
    """Table softplus at the byte of x: int8 of any shape to int8 (section 3.5)."""
    return _signed_lookup(luts, "softplus", x)


def rsqrt_lut(luts: Luts, x: ArrayLike) -> jax.Array:
    """Table rsqrt at x: uint8 of any shape to uint8 (section 3.5)."""
    return _lookup(luts, "rsqrt", as_array("x", x, jnp.uint8))


def exp_neg_lut(luts: Luts, x: ArrayLike) -> jax.Array:
    """Table exp_neg at x: uint8 of any shape to uint8 (section 3.5)."""
    return _lookup(luts, "exp_neg", as_array("x", x, jnp.uint8))


def rmsnorm_int8(
    luts: Luts, x: ArrayLike, weight: ArrayLike, weight_scale: int | ArrayLike
) -> jax.Array:
    """The reference's RMSNorm: clamp8(x * weight * r * weight_scale >> 16) (section 3.6).

    r is table rsqrt at min(mean of squares, 16320) / 64. The products wrap in 32 bits, which can
    happen only for |weight_scale| > 514 (the chain panics there).

    Args:
      luts: the 1,024 bytes.
      x, weight: (n,) int8, 1 <= n <= 131,071.
      weight_scale: an int32; the layer uses 256.

    Returns: (n,) int8.
    """
    x = as_array("x", x, jnp.int8, ndim=1)
    weight = as_array("weight", weight, jnp.int8, shape=x.shape)
    n = x.shape[0]
    if not 1 <= n <= MAX_NORM_LENGTH:
        raise AwmError(f"x has {n} values, rmsnorm_int8 takes 1 to {MAX_NORM_LENGTH}")
    scale = _scalar("weight_scale", weight_scale, jnp.int32)
    wide = x.astype(jnp.int32)
    mean_square = lax.div(jnp.sum(wide * wide, dtype=jnp.int32), jnp.int32(n))
    bucket = jnp.minimum(mean_square, 16320) >> 6
    r = rsqrt_lut(luts, bucket.astype(jnp.uint8)).astype(jnp.int32)
    return clamp8((wide * weight.astype(jnp.int32) * r * scale) >> 16)


def selective_scan_step(
    luts: Luts, x: ArrayLike, dt: ArrayLike, h: ArrayLike, a_log: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """One frame of the reference's state update and read-out (section 3.7).

    The read-out sees the new state before it is saturated; the state is stored saturated.

    Args:
      luts: the 1,024 bytes.
      x, dt, a_log: (d_inner,) int8; |a_log| is the decay rate itself, no exponential is taken.
      h: (d_inner, d_state) int8, d_state <= 65,535.

    Returns: the new h, (d_inner, d_state) int8, and y, (d_inner,) int8.
    """
    h = as_array("h", h, jnp.int8, ndim=2)
    d_inner, d_state = h.shape
    if d_state > MAX_D_STATE:
        raise AwmError(f"h has d_state {d_state}, must be at most {MAX_D_STATE}")
    x, dt, a_log = (
        as_array(name, value, jnp.int8, shape=(d_inner,)).astype(jnp.int32)[:, None]
        for name, value in (("x", x), ("dt", dt), ("a_log", a_log))
    )
    rate = jnp.minimum((jnp.abs(dt) * jnp.abs(a_log)) >> 4, 255)
    decay = exp_neg_lut(luts, rate.astype(jnp.uint8)).astype(jnp.int32)
    ramp = jnp.arange(1, d_state + 1, dtype=jnp.int32)[None, :]
    b = jnp.clip((x * ramp) >> 4, -128, 127)
    c = jnp.clip((x * ramp[:, ::-1]) >> 4, -128, 127)
    new_h = (decay * h.astype(jnp.int32) + dt * b) >> 8
    y = jnp.sum(c * new_h, axis=1, dtype=jnp.int32) >> 8
    return clamp8(new_h), clamp8(y)


def syscall_cost(rows: int, cols: int) -> int:
    """Compute units `sol_matmul_i8` charges: 100 + rows * cols, saturating at 2^64 - 1 (section 2).

    Raises:
      AwmError: rows or cols is no u64, or rows * cols leaves u64 ("matmul dimensions overflow").
    """
    for name, value in (("rows", rows), ("cols", cols)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise AwmError(f"{name} is a {type(value).__name__}, must be an integer")
        if not 0 <= value <= _U64_MAX:
            raise AwmError(f"{name} is {value}, must be in 0..2^64-1")
    macs = int(rows) * int(cols)
    if macs > _U64_MAX:
        raise AwmError(f"matmul dimensions overflow: {rows} x {cols} is above 2^64-1")
    return min(SYSCALL_BASE_COST + SYSCALL_COST_PER_MAC * macs, _U64_MAX)
