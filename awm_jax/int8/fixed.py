"""The integer machine's arithmetic: every operation between two products. All values are int32.

docs/integer-spec.md section 2 defines each of them; nothing here divides, uses floats or leaves
32 bits. `floor` shifts are arithmetic; `rsh` rounds half up.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from awm_jax import codes

I16_MAX, WIDE_MAX = codes.SHORT_MAX, codes.WIDE_MAX


def i32(value) -> jax.Array:
    return jnp.asarray(value, jnp.int32)


def rsh(x: jax.Array, s: jax.Array | int) -> jax.Array:
    """floor(x / 2^s + 1/2): x int32 with |x| < 2^30 or x + 2^(s-1) < 2^31; 0 <= s <= 31.

    The half is added after a floor shift by s - 1, so that no sum can leave 32 bits.
    """
    if isinstance(s, int):
        if s == 0:
            return x
        return ((x >> (s - 1)) + 1) >> 1
    s = jnp.asarray(s, jnp.int32)
    rounded = (
        lax.shift_right_arithmetic(x, jnp.broadcast_to(jnp.maximum(s - 1, 0), x.shape)) + 1
    ) >> 1
    return jnp.where(jnp.broadcast_to(s, x.shape) == 0, x, rounded)


def clamp(x: jax.Array, most: jax.Array | int) -> jax.Array:
    """x limited to [-most, most]."""
    return jnp.minimum(jnp.maximum(x, -most), most)


def clamp16(x: jax.Array) -> jax.Array:
    """x limited to [-32768, 32767]."""
    return jnp.clip(x, -32768, I16_MAX)


def product(w: jax.Array, x: jax.Array) -> jax.Array:
    """sol_matmul_i8: w (rows, cols) int8, x (*b, cols) int8 -> (*b, rows) int32."""
    return _row_product(w, x) if x.ndim == 1 else _product(w, x)


def in_fours(x: jax.Array, w: jax.Array, summed: Any) -> tuple[jax.Array, jax.Array]:
    """Both factors with zeros appended to the axes that are summed, up to a multiple of four.

    XLA on NVIDIA GPUs (seen: JAX 0.11.2, H200) doubles int8 products over any other length.
    """
    (left,), (right,) = summed
    missing = -x.shape[left] % 4

    def longer(value, axis):
        return jnp.pad(value, [(0, missing if i == axis else 0) for i in range(value.ndim)])

    return (longer(x, left), longer(w, right)) if missing else (x, w)


def _product(w: jax.Array, x: jax.Array) -> jax.Array:
    dims = (((x.ndim - 1,), (1,)), ((), ()))
    return lax.dot_general(*in_fours(x, w, dims[0]), dims, preferred_element_type=jnp.int32)


@jax.custom_batching.custom_vmap
def _row_product(w: jax.Array, x: jax.Array) -> jax.Array:
    """Of a single row, twice: XLA:CPU widens the weights to int32 for a product of one row, and
    has a fast one of int8 for two."""
    twice = _product(w, lax.optimization_barrier(jnp.broadcast_to(x[None], (2, x.size))))
    return lax.optimization_barrier(twice)[0]


@_row_product.def_vmap
def _row_products(size, batched, w, x):
    if batched[0]:
        axes = tuple(0 if b else None for b in batched)
        return jax.vmap(_product, axes)(w, x), True
    return _product(w, x), True


def split_wide(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """|x| <= WIDE_MAX as two int8 planes: x = 128 high + low, -64 <= low <= 63."""
    high = (x + 64) >> 7
    return high.astype(jnp.int8), (x - (high << 7)).astype(jnp.int8)


def product_wide(w: jax.Array, x: jax.Array) -> jax.Array:
    """The exact product with x (*b, cols) int32, |x| <= WIDE_MAX, as two int8 products."""
    planes = jnp.stack(split_wide(x))
    acc = product(w, planes)
    return (acc[0] << 7) + acc[1]


def requant(acc: jax.Array, a: jax.Array, m: jax.Array) -> jax.Array:
    """acc * m / 2^(a + 15) as 16 bits: rsh(clamp16(rsh(acc, a)) * m, 15).

    Args:
      acc: (*b, n) int32.
      a: (n,) int32 shifts in 0..30.
      m: (n,) int32 multipliers, |m| <= 32767.
    """
    return rsh(clamp16(rsh(acc, _lined_up(a, acc))) * _lined_up(m, acc), 15)


def mulshift(x: jax.Array, m: jax.Array, s: jax.Array) -> jax.Array:
    """floor(x m / 2^s + 1/2) exactly: any int32 x, 0 <= m <= 32767, 17 <= s <= 46."""
    q = (x >> 16) * m + (((x & 0xFFFF) * m) >> 16)
    return rsh(q, s - 16)


def _lined_up(v: jax.Array, like: jax.Array) -> jax.Array:
    return v.reshape((1,) * (like.ndim - v.ndim) + v.shape)


def lookup(table: jax.Array, x: jax.Array) -> jax.Array:
    """Linear interpolation in a table (513,) over the whole range of a 16-bit x."""
    index = (x + 32768) >> 7
    low, high = table[index], table[index + 1]
    return low + rsh((high - low) * (x & 127), 7)


def silu(sigmoid: jax.Array, x: jax.Array) -> jax.Array:
    """x sigmoid(x), both in 2^-10; x 16-bit, `sigmoid` the table of `tables.sigmoid`."""
    return rsh(x * lookup(sigmoid, x), 15)


def bit_length(x: jax.Array) -> jax.Array:
    """Number of bits of x >= 0."""
    return 32 - lax.clz(x)


def exp2_neg(table: jax.Array, t: jax.Array) -> jax.Array:
    """2^-t in 2^-15, t in 2^-15 and >= 0; the result lies in 1..32767.

    `table` (257,) is `tables.exp2`.
    """
    t = jnp.minimum(t, (16 << 15) - 1)
    fraction = t & 32767
    index = fraction >> 7
    low, high = table[index], table[index + 1]
    mantissa = low - rsh((low - high) * (fraction & 127), 7)
    return jnp.clip(rsh(mantissa, t >> 15), 1, I16_MAX)


def sum_of_squares(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sum of x^2 over the last axis as 4096 high + low, low < 4096. x 16-bit, n <= 8192."""
    square = x * x
    low = jnp.sum(square & 4095, axis=-1, dtype=jnp.int32)
    return jnp.sum(square >> 12, axis=-1, dtype=jnp.int32) + (low >> 12), low & 4095


def norm(
    x: jax.Array, eps: jax.Array, w: jax.Array, shift: jax.Array, rsqrt: jax.Array, most: int
) -> jax.Array:
    """RMS normalisation: x / ||x|| * w / 2^shift, limited to +-most.

    Args:
      x: (*b, n) 16-bit values of any common scale.
      eps: (2,) int32, n * 1e-5 in squared units of x as 4096 high + low; at least 1 in all.
      w: (n,) int32, |w| <= 32767: weight, sqrt(n) and output scale in one.
      shift: () int32, 1..30.
      rsqrt: (193,) table of `tables.rsqrt`.
    """
    high, low = sum_of_squares(x)
    low = low + eps[..., 1]
    high = high + eps[..., 0] + (low >> 12)
    low = low & 4095
    bits = jnp.where(high > 0, 12 + bit_length(high), bit_length(low))
    e = (bits - 15) >> 1  # the mantissa total / 4^e has 15 or 16 bits
    left = jnp.clip(12 - 2 * e, 0, 31)
    from_high = jnp.where(2 * e >= 12, high >> jnp.clip(2 * e - 12, 0, 31), high << left)
    from_low = jnp.where(e >= 0, low >> jnp.clip(2 * e, 0, 31), low << jnp.clip(-2 * e, 0, 31))
    mantissa = from_high | from_low
    index = (mantissa >> 8) - 64
    first, second = rsqrt[index], rsqrt[index + 1]
    r = first - rsh((first - second) * (mantissa & 255), 8)
    unit = clamp16(rsh(x * r[..., None], (7 + e)[..., None]))
    return clamp(rsh(unit * _lined_up(w, unit), shift), most)


def stored(v: jax.Array) -> jax.Array:
    """v itself, in memory before anything reads it.

    XLA:CPU fuses what makes a value into every loop that reads it, through barriers too, and so
    computes a head's decay anew for each of its states. It does not fuse a gather: this is one, of
    all elements in their order.
    """
    flat = v.reshape(-1)
    every = jnp.arange(flat.size, dtype=jnp.int32)
    return flat.at[every].get(mode="promise_in_bounds").reshape(v.shape)


def as_int32(values) -> np.ndarray:
    """Python or NumPy integers as an int32 array; refuses what does not fit."""
    wide = np.asarray(values, np.int64)
    if wide.size and (wide.min() < -(2**31) or wide.max() >= 2**31):
        raise ValueError("value outside 32 bits")
    return wide.astype(np.int32)
