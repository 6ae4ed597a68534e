"""The state-space scan of Mamba2, three ways: frame by frame, sequential, in chunks.

S[h,p,n] = exp(A[h] dt[h]) S[h,p,n] + dt[h] x[h,p] B[n];  y[h,p] = sum_n S[h,p,n] C[n]
(no D term here). Shapes: `*b` any batch axes, L frames, H heads, P channels a head, N states.
Source: networks.md section 2.2; Dao and Gu, "Transformers are SSMs" (2024), section 6.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def ssd_step(
    x: jax.Array, dt: jax.Array, A: jax.Array, B: jax.Array, C: jax.Array, state: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One frame: x (*b,H,P), dt (*b,H) after softplus, A (H,), B and C (*b,N), state (*b,H,P,N).

    Returns y (*b,H,P) and the new state.
    """
    decay = jnp.exp(A.reshape((1,) * (dt.ndim - 1) + A.shape) * dt)[..., None, None]
    drive = (dt[..., None] * x)[..., None] * B[..., None, None, :]
    state = decay * state + drive
    return jnp.einsum("...hpn,...n->...hp", state, C), state


def initial_state(x: jax.Array, B: jax.Array) -> jax.Array:
    """The zero state (*b,H,P,N) for x (*b,L,H,P) and B (*b,L,N)."""
    *batch, _, heads, width = x.shape
    return jnp.zeros((*batch, heads, width, B.shape[-1]), x.dtype)


def ssd_sequential(
    x: jax.Array,
    dt: jax.Array,
    A: jax.Array,
    B: jax.Array,
    C: jax.Array,
    state: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The oracle: `ssd_step` scanned over x (*b,L,H,P), dt (*b,L,H), B and C (*b,L,N).

    Returns y (*b,L,H,P) and the state after the last frame (*b,H,P,N).
    """
    axis = x.ndim - 3

    def body(state, frame):
        x, dt, B, C = frame
        y, state = ssd_step(x, dt, A, B, C, state)
        return state, y

    frames = tuple(jnp.moveaxis(v, axis, 0) for v in (x, dt, B, C))
    state, y = jax.lax.scan(body, initial_state(x, B) if state is None else state, frames)
    return jnp.moveaxis(y, 0, axis), state


def segment_sums(steps: jax.Array) -> jax.Array:
    """steps (*b,Q) -> (*b,Q,Q): at (i,j) the sum of steps over j < k <= i; -inf where j > i.

    Summed one by one: a difference of two running sums loses digits once those are large.
    """
    length = steps.shape[-1]
    later, earlier = jnp.arange(length)[:, None], jnp.arange(length)[None, :]
    lead = (1,) * (steps.ndim - 1)
    after = (later > earlier).reshape(*lead, length, length)
    causal = (later >= earlier).reshape(*lead, length, length)
    sums = jnp.cumsum(jnp.where(after, steps[..., :, None], 0.0), axis=-2)
    return jnp.where(causal, sums, -jnp.inf)


def ssd_chunked(
    x: jax.Array,
    dt: jax.Array,
    A: jax.Array,
    B: jax.Array,
    C: jax.Array,
    state: jax.Array | None = None,
    chunk_size: int = 64,
) -> tuple[jax.Array, jax.Array]:
    """The same values by products: quadratic inside a chunk, a scan over the chunks' end states.

    Any L: the last chunk is filled with frames of dt = 0, which neither decay nor drive the state.
    A frame whose dt, x or B is not finite makes its row NaN from there on, and nothing before it: a
    product alone would spread it over its chunk, since 0 times NaN is NaN.
    """
    length = x.shape[-3]
    batch = x.ndim - 3
    chunk = max(1, min(chunk_size, length))
    pad = -length % chunk

    def split(v):
        v = jnp.pad(v, [(0, 0)] * batch + [(0, pad)] + [(0, 0)] * (v.ndim - batch - 1))
        return v.reshape((*v.shape[:batch], (length + pad) // chunk, chunk, *v.shape[batch + 1 :]))

    x, dt, B, C = map(split, (x, dt, B, C))
    steps = jnp.swapaxes(A.reshape((1,) * (dt.ndim - 1) + A.shape) * dt, -1, -2)
    log_decay = jnp.cumsum(steps, axis=-1)  # (*b,c,H,Q)
    dtx = dt[..., None] * x
    finite = jnp.isfinite(dtx).all((-2, -1)) & jnp.isfinite(B).all(-1)  # (*b,c,Q)
    dtx, B = jnp.where(finite[..., None, None], dtx, 0), jnp.where(finite[..., None], B, 0)
    until = jax.lax.cumprod(finite.astype(jnp.int8), axis=batch + 1) > 0

    within = jnp.exp(segment_sums(steps))  # (*b,c,H,i,j)
    scores = jnp.einsum("...in,...jn->...ij", C, B)[..., None, :, :]
    y = jnp.einsum("...hij,...jhp->...ihp", scores * within, dtx)

    to_end = within[..., -1, :]  # (*b,c,H,Q)
    ends = jnp.einsum("...hj,...jhp,...jn->...hpn", to_end, dtx, B)
    ends = jnp.where(until[..., -1, None, None, None], ends, jnp.nan)
    decay = jnp.exp(log_decay[..., -1])[..., None, None]

    def body(state, chunk):
        decay, end = chunk
        return decay * state + end, state

    if state is None:
        state = jnp.zeros_like(ends[(slice(None),) * batch + (0,)])
    over_chunks = tuple(jnp.moveaxis(v, batch, 0) for v in (decay, ends))
    state, entering = jax.lax.scan(body, state, over_chunks)
    entering = jnp.moveaxis(entering, 0, batch)
    carried = jnp.einsum("...in,...hpn->...ihp", C, entering)
    y = y + carried * jnp.swapaxes(jnp.exp(log_decay), -1, -2)[..., None]
    y = jnp.where(until[..., None, None], y, jnp.nan)

    y = y.reshape((*y.shape[:batch], length + pad, *y.shape[batch + 2 :]))
    return jax.lax.slice_in_dim(y, 0, length, axis=batch), state
