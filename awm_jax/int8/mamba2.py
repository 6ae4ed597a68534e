"""The integer Mamba2 trunk, frame by frame. docs/integer-spec.md section 5."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from awm_jax.fp32.mamba2 import CONV_WIDTH
from awm_jax.int8 import fixed
from awm_jax.int8.fixed import clamp, clamp16, requant, rsh
from awm_jax.int8.params import Arch, Layer, MixedDense, Tables, WorldParams
from awm_jax.pytree import pytree

B_MAX = 2047
DRIVE_ROOM = 32767 // B_MAX


def c_max(d_state: int) -> int:
    """The largest code of C for which the read-out of d_state 16-bit states fits 32 bits."""
    return (2**31 - 1) // (d_state * fixed.I16_MAX)


@pytree
class TrunkState:
    """What is carried from frame to frame.

    Attributes:
      ssm: (n_layers, H, P, N) int16.
      conv: (n_layers, 3, E + 2N) int16, the last inputs of the convolution, oldest first.
    """

    ssm: jax.Array
    conv: jax.Array


def initial_state(arch: Arch) -> TrunkState:
    """All zero: where every match and every window starts."""
    ssm = (arch.n_layers, arch.heads, arch.headdim, arch.d_state)
    conv = (arch.n_layers, CONV_WIDTH - 1, arch.conv_channels)
    return TrunkState(ssm=jnp.zeros(ssm, jnp.int16), conv=jnp.zeros(conv, jnp.int16))


def project(w: jax.Array, code: jax.Array, planes: int) -> jax.Array:
    """The product with codes (cols,) int32 of one int8 plane or two."""
    if planes == 1:
        return fixed.product(w, code.astype(jnp.int8))
    return fixed.product_wide(w, code)


def mixed(dense: MixedDense, wide: jax.Array, narrow: jax.Array) -> jax.Array:
    """wide (n,) int32 codes, narrow (m,) int8 codes -> (rows,) 16-bit."""
    acc = fixed.product_wide(dense.w_wide, wide)
    acc = acc + (fixed.product(dense.w_narrow, narrow) << dense.k) + dense.bias
    return requant(acc, dense.out.a, dense.out.m)


def scan_step(
    layer: Layer,
    tables: Tables,
    arch: Arch,
    x: jax.Array,
    bc: jax.Array,
    dt: jax.Array,
    h: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The state update and read-out of one layer.

    Args:
      x: (E,) int32 in 2^-10; bc: (2N,) int32 in 2^-10; dt: (H,) int32 in 2^-10, before softplus.
      h: (H, P, N) int16.

    Returns y (H, P) 16-bit int32 and the new h.
    """
    p, n = layer.scan, arch.d_state
    x = x.reshape(arch.heads, arch.headdim)
    dt = fixed.lookup(tables.softplus, dt)
    decay = fixed.exp2_neg(tables.exp2, fixed.mulshift(dt, p.decay_m, p.decay_s))

    bits = fixed.bit_length(dt)
    mantissa = jnp.where(
        bits > 15, dt >> jnp.maximum(bits - 15, 0), dt << jnp.maximum(15 - bits, 0)
    )
    drive_m = rsh(mantissa * p.drive_m, 15)
    drive_s = jnp.clip(p.drive_s - (bits - 15), 1, 31)
    u = rsh(x * drive_m[:, None], drive_s[:, None])
    room = jnp.minimum((32768 - decay) * DRIVE_ROOM, fixed.I16_MAX)
    u = clamp(u, room[:, None])

    b = clamp(rsh(bc[:n] * p.b_m, p.b_s), B_MAX)
    c = clamp(rsh(bc[n:] * p.c_m, p.c_s), c_max(n))
    decay, u, b, c = (fixed.stored(v) for v in (decay, u, b, c))
    new = h.astype(jnp.int32) * decay[:, None, None] + u[:, :, None] * b[None, None, :]
    new = rsh(new, 15).astype(jnp.int16)
    dims = (((2,), (0,)), ((), ()))
    acc = lax.dot_general(new, c.astype(jnp.int16), dims, preferred_element_type=jnp.int32)
    y = requant(acc, p.out.a[:, None], p.out.m[:, None])
    y = clamp16(y + rsh(x * p.skip_m[:, None], p.skip_s))
    return y, new


def layer_step(
    layer: Layer, tables: Tables, arch: Arch, x: jax.Array, h: jax.Array, conv: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x (d_model,) 16-bit residual, h (H, P, N) int16, conv (3, E + 2N) int16 -> the same, new."""
    e, most = arch.d_inner, arch.code_max
    code = fixed.norm(x, layer.norm.eps, layer.norm.w, layer.norm.shift, tables.rsqrt, most)
    acc = project(layer.in_proj.w, code, arch.planes) + layer.in_proj.bias
    projected = requant(acc, layer.in_proj.out.a, layer.in_proj.out.m)
    z, conv_in, dt = jnp.split(projected, [e, e + arch.conv_channels])

    window = jnp.concatenate([conv, conv_in[None].astype(jnp.int16)])
    acc = jnp.sum(
        window.astype(jnp.int32) * layer.conv_w.T.astype(jnp.int32), axis=0, dtype=jnp.int32
    )
    mixed_in = requant(acc + layer.conv_bias, layer.conv_out.a, layer.conv_out.m)
    activated = fixed.silu(tables.sigmoid, mixed_in)
    y, h = scan_step(layer, tables, arch, activated[:e], activated[e:], dt, h)

    gated = clamp16(rsh(y.reshape(e) * fixed.silu(tables.sigmoid, z), layer.gate_s))
    norm = layer.gated_norm
    code = fixed.norm(gated, norm.eps, norm.w, norm.shift, tables.rsqrt, most)
    acc = project(layer.out_proj.w, code, arch.planes) + layer.out_proj.bias
    x = clamp16(x + requant(acc, layer.out_proj.out.a, layer.out_proj.out.m))
    return x, h, window[1:]


def trunk_step(
    params: WorldParams, arch: Arch, state: TrunkState, wide: jax.Array, narrow: jax.Array
) -> tuple[TrunkState, jax.Array]:
    """One frame's codes -> the new state and the final norm's output, (d_model,) wide codes."""
    x = mixed(params.frame_proj, wide, narrow)
    states, windows = [], []
    for layer, h, window in zip(params.layers, state.ssm, state.conv, strict=True):
        x, h, window = layer_step(layer, params.tables, arch, x, h, window)
        states.append(h)
        windows.append(window)
    norm = params.final_norm
    out = fixed.norm(x, norm.eps, norm.w, norm.shift, params.tables.rsqrt, fixed.WIDE_MAX)
    return TrunkState(ssm=jnp.stack(states), conv=jnp.stack(windows)), out
