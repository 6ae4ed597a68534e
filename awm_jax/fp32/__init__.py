"""The reference's three networks in Flax NNX, in float32 (or float64 with x64 on)."""

from awm_jax.fp32.layers import check_ints
from awm_jax.fp32.mamba2 import FrameStackMamba2, Mamba2State
from awm_jax.fp32.mlp import FrameStackMLP
from awm_jax.fp32.policy import PolicyMLP

__all__ = ["FrameStackMLP", "FrameStackMamba2", "Mamba2State", "PolicyMLP", "check_ints"]
