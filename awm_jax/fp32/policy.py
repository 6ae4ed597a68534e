"""The behaviour-cloned policy. Source: networks.md section 2.5."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from awm_jax.encoding import POLICY_OUTPUTS, EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.fp32.layers import FrameEncoder, Heads
from awm_jax.fp32.mlp import Trunk, flatten_frames


def swap_players(
    cfg: EncodingConfig, floats: jax.Array, ints: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Exchange both players' blocks in (*b, F) and (*b, I). Nothing is mirrored."""
    fp, ipp = cfg.float_per_player, cfg.int_per_player
    floats = jnp.concatenate([floats[..., fp:], floats[..., :fp]], axis=-1)
    stage = ints[..., 2 * ipp :]
    return floats, jnp.concatenate([ints[..., ipp : 2 * ipp], ints[..., :ipp], stage], axis=-1)


class PolicyMLP(nnx.Module):
    """Agent: exactly `context_len` frames -> one player's controller."""

    arch = "policy"

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
        self.trunk = Trunk(context_len * cfg.frame_dim, hidden_dim, trunk_dim, rngs=rngs)
        self.heads = Heads(trunk_dim, POLICY_OUTPUTS, rngs=rngs)

    @property
    def dims(self) -> dict[str, int]:
        return {"hidden_dim": self.hidden_dim, "trunk_dim": self.trunk_dim}

    def __call__(
        self, float_ctx: jax.Array, int_ctx: jax.Array, predict_player: int = 0
    ) -> dict[str, jax.Array]:
        """float_ctx (*b, K, F), int_ctx (*b, K, I), predict_player 0 or 1 (static).

        Returns `analog_pred` (*b, 5) in [0, 1] and raw `button_logits` (*b, 8).

        Raises:
          AwmError: another player.
        """
        if predict_player not in (0, 1):
            raise AwmError(f"predict_player is {predict_player}; the players are 0 and 1")
        if predict_player == 1:
            float_ctx, int_ctx = swap_players(self.cfg, float_ctx, int_ctx)
        out = self.heads(
            self.trunk(flatten_frames(self.encoder, float_ctx, int_ctx, self.context_len))
        )
        return out | {"analog_pred": jax.nn.sigmoid(out["analog_pred"])}
