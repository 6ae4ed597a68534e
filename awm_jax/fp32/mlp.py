"""The MLP baseline world model. Source: networks.md section 2.4."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from awm_jax.encoding import EncodingConfig, world_outputs
from awm_jax.errors import AwmError
from awm_jax.fp32.layers import FrameEncoder, Heads, linear
from awm_jax.variant import Variant


class Trunk(nnx.Module):
    """Linear, ReLU, linear, ReLU."""

    def __init__(self, in_features: int, hidden_dim: int, trunk_dim: int, *, rngs: nnx.Rngs):
        self.hidden = linear(in_features, hidden_dim, rngs=rngs)
        self.out = linear(hidden_dim, trunk_dim, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(self.out(jax.nn.relu(self.hidden(x))))


def flatten_frames(encoder: FrameEncoder, floats, ints, context_len: int) -> jax.Array:
    """(*b, K, F), (*b, K, I) -> (*b, K frame_dim), oldest frame first."""
    if floats.shape[-2] != context_len:
        raise AwmError(f"the context has {floats.shape[-2]} frames, this network {context_len}")
    encoded = encoder(floats, ints)
    return encoded.reshape(*encoded.shape[:-2], context_len * encoded.shape[-1])


class FrameStackMLP(nnx.Module):
    """World model: exactly `context_len` frames and both next controllers -> the next frame.

    Its binary head has six outputs whatever the flags (T9): with `state_flags` it can be loaded and
    called, not played.
    """

    arch = "mlp"
    variant = Variant()

    def __init__(
        self,
        cfg: EncodingConfig,
        *,
        context_len: int = 10,
        hidden_dim: int = 512,
        trunk_dim: int = 256,
        rngs: nnx.Rngs,
    ):
        self.cfg, self.context_len = cfg, context_len
        self.hidden_dim, self.trunk_dim = hidden_dim, trunk_dim
        self.encoder = FrameEncoder(cfg, rngs=rngs)
        width = context_len * cfg.frame_dim + cfg.ctrl_conditioning_dim
        self.trunk = Trunk(width, hidden_dim, trunk_dim, rngs=rngs)
        self.heads = Heads(trunk_dim, world_outputs(cfg, "mlp"), rngs=rngs)

    @property
    def dims(self) -> dict[str, int]:
        return {"hidden_dim": self.hidden_dim, "trunk_dim": self.trunk_dim}

    def __call__(
        self, float_ctx: jax.Array, int_ctx: jax.Array, next_ctrl: jax.Array
    ) -> dict[str, jax.Array]:
        """float_ctx (*b, K, F), int_ctx (*b, K, I), next_ctrl (*b, C) -> name -> (*b, width)."""
        frames = flatten_frames(self.encoder, float_ctx, int_ctx, self.context_len)
        return self.heads(self.trunk(jnp.concatenate([frames, next_ctrl], axis=-1)))
