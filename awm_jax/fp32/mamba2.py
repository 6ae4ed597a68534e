"""The Mamba2 world model. Source: networks.md section 2.2.

Shapes: `*b` any batch axes, K or T frames, F and I columns, C width of `next_ctrl`, E = 2 d_model
channels, H = E / headdim heads of P = headdim channels, N = d_state.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from awm_jax.codes import NARROW_MAX, PLANE, SHORT_MAX, WIDE_MAX, Codes, LayerCodes, hold
from awm_jax.encoding import EncodingConfig, world_outputs
from awm_jax.errors import AwmError
from awm_jax.fp32.features import geometry, put_controls
from awm_jax.fp32.layers import FrameEncoder, Heads, RMSNorm, broadcast_last, linear, uniform
from awm_jax.fp32.ssd import ssd_chunked, ssd_sequential
from awm_jax.game.frames import controllers
from awm_jax.pytree import pytree
from awm_jax.variant import Variant

CONV_WIDTH = 4
EXPAND = 2
DEFAULT_CHUNK = 64

Outputs = dict[str, jax.Array]


@pytree
class Mamba2State:
    """What a recurrence carries from frame to frame.

    Attributes:
      ssm: for every layer (*b, H, P, N), the state of the scan.
      conv: for every layer (*b, E + 2N, 3), the last three inputs of the convolution, oldest first.
    """

    ssm: tuple[jax.Array, ...]
    conv: tuple[jax.Array, ...]


@pytree
class Projected:
    """What a network computes of single frames, whatever came before them.

    Attributes:
      x: (*b, T, d_model) input of the first layer.
      inner: (*b, T, 2E + 2N + H) what its block projects that to.
    """

    x: jax.Array
    inner: jax.Array


class Mamba2Block(nnx.Module):
    """One Mamba2 block: what `project` makes of (*b, T, d_model), called, gives (*b, T, d_model).

    Attributes:
      codes: what its activations are counted in; None lets them be.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        headdim: int,
        *,
        codes: LayerCodes | None = None,
        rngs: nnx.Rngs,
    ):
        self.codes = codes
        self.d_inner = EXPAND * d_model
        self.d_state = d_state
        self.headdim = headdim
        heads, channels = self.d_inner // headdim, self.d_inner + 2 * d_state
        conv_init = uniform(CONV_WIDTH**-0.5)
        self.in_proj = linear(
            d_model, 2 * self.d_inner + 2 * d_state + heads, use_bias=False, rngs=rngs
        )
        self.conv_kernel = nnx.Param(conv_init(rngs.params(), (CONV_WIDTH, channels)))
        self.conv_bias = nnx.Param(conv_init(rngs.params(), (channels,)))
        self.dt_bias = nnx.Param(uniform(1.0)(rngs.params(), (heads,)))
        self.A_log = nnx.Param(jnp.log(jnp.arange(1, heads + 1, dtype=jnp.float32)))
        self.D = nnx.Param(jnp.ones(heads))
        self.norm = RMSNorm(self.d_inner, rngs=rngs)
        self.out_proj = linear(self.d_inner, d_model, use_bias=False, rngs=rngs)

    def hold(self, name: str, most: int, x: jax.Array) -> jax.Array:
        """x as the code `name` holds it, if there are codes."""
        if self.codes is None:
            return x
        return hold(x, getattr(self.codes, name), most)

    def project(self, normed: jax.Array) -> jax.Array:
        """(*b, T, d_model) -> (*b, T, 2E + 2N + H), what is called next takes."""
        return self.in_proj(self.hold("normed", NARROW_MAX, normed))

    def __call__(
        self,
        projected: jax.Array,
        ssm: jax.Array,
        conv: jax.Array,
        chunk_size: int,
        last_only: bool,
    ) -> tuple[jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Returns the output, the new scan and convolution states, and every intermediate.

        Args:
          chunk_size: frames a chunk; 0 scans frame by frame.
          last_only: compute what follows the scan for the last frame alone.
        """
        d_inner, d_state = self.d_inner, self.d_state
        z, conv_in, dt = jnp.split(projected, [d_inner, 2 * d_inner + 2 * d_state], axis=-1)
        dt = jax.nn.softplus(dt + broadcast_last(self.dt_bias[...], dt))

        padded = jnp.concatenate([jnp.swapaxes(conv, -1, -2), conv_in], axis=-2)
        conv_out = causal_conv(padded, self.conv_kernel[...], self.conv_bias[...])
        conv = jnp.swapaxes(padded[..., -(CONV_WIDTH - 1) :, :], -1, -2)
        x, B, C = jnp.split(jax.nn.silu(conv_out), [d_inner, d_inner + d_state], axis=-1)
        x = x.reshape(*x.shape[:-1], d_inner // self.headdim, self.headdim)

        A = -jnp.exp(self.A_log[...])
        if chunk_size:
            scan, ssm = ssd_chunked(x, dt, A, B, C, ssm, chunk_size)
        else:
            scan, ssm = ssd_sequential(x, dt, A, B, C, ssm)
        if last_only:
            scan, z, skip = scan[..., -1:, :, :], z[..., -1:, :], x[..., -1:, :, :]
        else:
            skip = x
        y = scan + self.D[...].reshape((1,) * (x.ndim - 2) + (-1, 1)) * skip
        y = self.hold("y", SHORT_MAX, y.reshape(*y.shape[:-2], d_inner))
        gated = self.norm(self.hold("gate", SHORT_MAX, y * jax.nn.silu(z)))
        out = self.out_proj(self.hold("gated", NARROW_MAX, gated))
        taps = {"in_proj": projected, "conv": conv_out, "dt": dt, "A": A, "B": B, "C": C, "x": x}
        taps |= {"scan": scan, "y_plus_D": y, "z": z, "gated_norm": gated, "out_proj": out}
        return out, ssm, conv, taps | {"ssm_state": ssm, "conv_state": conv}


def causal_conv(padded: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Depthwise convolution over time: padded (*b, 3 + T, ch), kernel (4, ch) -> (*b, T, ch)."""
    length = padded.shape[-2] - CONV_WIDTH + 1
    out = broadcast_last(bias, padded)
    for j in range(CONV_WIDTH):
        window = jax.lax.slice_in_dim(padded, j, j + length, axis=padded.ndim - 2)
        out = out + broadcast_last(kernel[j], padded) * window
    return out


class Mamba2Layer(nnx.Module):
    """Pre-norm residual layer: x + mamba(norm(x))."""

    def __init__(
        self,
        d_model: int,
        d_state: int,
        headdim: int,
        *,
        codes: LayerCodes | None = None,
        rngs: nnx.Rngs,
    ):
        self.norm = RMSNorm(d_model, rngs=rngs)
        self.mamba = Mamba2Block(d_model, d_state, headdim, codes=codes, rngs=rngs)


class FrameStackMamba2(nnx.Module):
    """World model: K frames and both players' next controllers -> the next frame's outputs.

    Attributes:
      codes: what its activations are counted in, of one that has learned to be rounded; None lets
        them be.

    Raises:
      AwmError: 2 x d_model is not a multiple of headdim; the variant does not suit the encoding;
        the codes are of another number of layers.
    """

    arch = "mamba2"

    def __init__(
        self,
        cfg: EncodingConfig,
        *,
        context_len: int = 10,
        d_model: int = 256,
        d_state: int = 64,
        n_layers: int = 2,
        headdim: int = 64,
        chunk_size: int | None = None,
        variant: Variant = Variant(),  # noqa: B008
        codes: Codes | None = None,
        rngs: nnx.Rngs,
    ):
        if EXPAND * d_model % headdim:
            raise AwmError(f"d_inner {EXPAND * d_model} is not a multiple of headdim {headdim}")
        if codes is not None and len(codes.layers) != n_layers:
            raise AwmError(f"codes of {len(codes.layers)} layers, the network has {n_layers}")
        variant.check(cfg)
        self.codes = codes
        self.cfg, self.context_len = cfg, context_len
        self.d_model, self.d_state, self.headdim = d_model, d_state, headdim
        self.chunk_size, self.variant = chunk_size, variant
        self.encoder = FrameEncoder(cfg, rngs=rngs)
        self.frame_proj = linear(cfg.frame_dim + variant.extra_columns, d_model, rngs=rngs)
        ends = [None] * n_layers if codes is None else codes.layers
        self.layers = nnx.List(
            [Mamba2Layer(d_model, d_state, headdim, codes=own, rngs=rngs) for own in ends]
        )
        self.final_norm = RMSNorm(d_model, rngs=rngs)
        self.ctrl_proj = linear(cfg.ctrl_conditioning_dim, d_model, rngs=rngs)
        width = variant.head_hidden or d_model
        self.pre_head = linear(d_model, width, rngs=rngs) if variant.head_hidden else None
        self.heads = Heads(width, world_outputs(cfg), rngs=rngs)

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @property
    def dims(self) -> dict[str, int]:
        names = ("d_model", "d_state", "n_layers", "headdim")
        return {name: getattr(self, name) for name in names}

    def init_state(self, batch_shape: tuple[int, ...] = ()) -> Mamba2State:
        """The zero state from which every window and every match starts."""
        d_inner, dtype = EXPAND * self.d_model, self.final_norm.scale.dtype
        heads, channels = d_inner // self.headdim, d_inner + 2 * self.d_state
        ssm = (*batch_shape, heads, self.headdim, self.d_state)
        conv = (*batch_shape, channels, CONV_WIDTH - 1)
        layers = range(self.n_layers)
        return Mamba2State(
            ssm=tuple(jnp.zeros(ssm, dtype) for _ in layers),
            conv=tuple(jnp.zeros(conv, dtype) for _ in layers),
        )

    def __call__(self, float_ctx: jax.Array, int_ctx: jax.Array, next_ctrl: jax.Array) -> Outputs:
        """Windowed: float_ctx (*b, K, F), int_ctx (*b, K, I), next_ctrl (*b, C), any K >= 1.

        Returns the sixteen outputs of `world_outputs`, each (*b, width).
        """
        if self.variant.control_first:
            float_ctx = self._shift_controls(float_ctx, next_ctrl[..., None, :])
        return self.window(self._project(float_ctx, int_ctx)[0], next_ctrl)

    def project(
        self, float_seq: jax.Array, int_seq: jax.Array, next_ctrl_seq: jax.Array
    ) -> Projected:
        """What `window` takes, of each of T frames and the controllers after it."""
        if self.variant.control_first:
            float_seq = put_controls(self.cfg, float_seq, next_ctrl_seq)
        return self._project(float_seq, int_seq)[0]

    def window(self, frames: Projected, next_ctrl: jax.Array) -> Outputs:
        """`__call__` on frames that are projected: of a window all but the newest were before."""
        h, _, _ = self._backbone(frames, None, last_only=True)
        return self._heads(h[..., -1, :], next_ctrl)

    def step(
        self,
        state: Mamba2State,
        float_frame: jax.Array,
        int_frame: jax.Array,
        next_ctrl: jax.Array,
    ) -> tuple[Mamba2State, Outputs]:
        """Recurrent: absorb one frame (*b, F), (*b, I), then predict the next under next_ctrl."""
        floats = float_frame[..., None, :]
        if self.variant.control_first:
            floats = put_controls(self.cfg, floats, next_ctrl[..., None, :])
        frame, _ = self._project(floats, int_frame[..., None, :])
        h, state, _ = self._backbone(frame, state, chunk_size=0)
        return state, self._heads(h[..., 0, :], next_ctrl)

    def sequence(
        self,
        float_seq: jax.Array,
        int_seq: jax.Array,
        next_ctrl_seq: jax.Array,
        state: Mamba2State | None = None,
        chunk_size: int | None = None,
    ) -> tuple[Outputs, Mamba2State]:
        """`step` over T frames at once: (*b, T, F), (*b, T, I), (*b, T, C) -> (*b, T, width)."""
        h, state, _ = self.trunk(float_seq, int_seq, next_ctrl_seq, state, chunk_size)
        return self._heads(h, next_ctrl_seq), state

    def trunk(
        self,
        float_seq: jax.Array,
        int_seq: jax.Array,
        next_ctrl_seq: jax.Array,
        state: Mamba2State | None = None,
        chunk_size: int | None = None,
    ) -> tuple[jax.Array, Mamba2State, dict[str, jax.Array]]:
        """`sequence` up to the final norm: (*b, T, d_model), the state, every intermediate."""
        if self.variant.control_first:
            float_seq = put_controls(self.cfg, float_seq, next_ctrl_seq)
        frames, first = self._project(float_seq, int_seq)
        h, state, taps = self._backbone(frames, state, chunk_size=chunk_size)
        return h, state, first | taps

    def trace(
        self, float_ctx: jax.Array, int_ctx: jax.Array, next_ctrl: jax.Array
    ) -> dict[str, jax.Array]:
        """Every intermediate of a windowed pass, scanned frame by frame."""
        if self.variant.control_first:
            float_ctx = self._shift_controls(float_ctx, next_ctrl[..., None, :])
        frames, first = self._project(float_ctx, int_ctx)
        h, _, taps = self._backbone(frames, None, chunk_size=0)
        ctrl = self.ctrl_proj(next_ctrl)
        last = h[..., -1, :]
        return first | taps | {"final_norm": last, "ctrl_proj": ctrl, "h": last + ctrl}

    def _heads(self, h: jax.Array, next_ctrl: jax.Array) -> Outputs:
        h = h + self.ctrl_proj(next_ctrl)
        if self.pre_head is not None:
            h = jax.nn.relu(self.pre_head(h))
        if self.codes is None:
            return self.heads(h)
        step = self.codes.pre_head
        h = hold(h, step, WIDE_MAX)
        return self.heads(h, hold(h, step * PLANE, NARROW_MAX))

    def _shift_controls(self, floats: jax.Array, next_ctrl: jax.Array) -> jax.Array:
        """A window whose every row holds the controllers of the row after it."""
        pads = controllers(self.cfg, floats[..., 1:, :])
        pads = jax.lax.collapse(pads, -2)
        after = jnp.concatenate([pads, next_ctrl[..., : pads.shape[-1]]], axis=-2)
        return put_controls(self.cfg, floats, after)

    def _project(self, floats, ints):
        """Returns `Projected` and taps."""
        if floats.shape[-2] == 0:
            raise AwmError("the context has no frames; give at least one")
        encoded = self.encoder(floats, ints)
        if self.variant.geometry:
            extra = geometry(self.cfg, floats, ints)
            encoded = jnp.concatenate([encoded, extra.astype(encoded.dtype)], axis=-1)
        x = self.frame_proj(encoded)
        normed = self.layers[0].norm(x)
        taps = {"frame_enc": encoded, "frame_proj": x, "L0_norm": normed}
        return Projected(x, self.layers[0].mamba.project(normed)), taps

    def _backbone(self, frames, state, chunk_size=None, last_only=False):
        """Returns (*b, T, d_model) after the final norm (T = 1 if `last_only`), state, taps."""
        if chunk_size is None:
            chunk_size = self.chunk_size or DEFAULT_CHUNK
        if state is None:
            state = self.init_state(frames.x.shape[:-2])
        x, projected, taps = frames.x, frames.inner, {}
        ssm_states, conv_states = [], []
        for i, layer in enumerate(self.layers):
            only = last_only and i == self.n_layers - 1
            if i:
                taps[f"L{i}_norm"] = normed = layer.norm(x)
                projected = layer.mamba.project(normed)
            out, ssm, conv, inner = layer.mamba(
                projected, state.ssm[i], state.conv[i], chunk_size, only
            )
            x = (x[..., -1:, :] if only else x) + out
            ssm_states.append(ssm)
            conv_states.append(conv)
            taps |= {f"L{i}_{name}": value for name, value in inner.items()}
        state = Mamba2State(ssm=tuple(ssm_states), conv=tuple(conv_states))
        return self.final_norm(x), state, taps
