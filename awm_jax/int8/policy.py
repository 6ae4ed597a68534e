"""The integer policy: K frames of codes -> a controller. docs/integer-spec.md section 7."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from awm_jax.contracts import View
from awm_jax.encoding import ANALOG, BUTTONS, EncodingConfig, columns, float_names, int_names
from awm_jax.errors import AwmError
from awm_jax.game import rng
from awm_jax.int8 import fixed
from awm_jax.int8.agents import AgentState, Seeded, assemble_pad
from awm_jax.int8.frame import STICK_MAX, GameFrame, frame_codes
from awm_jax.int8.mamba2 import mixed
from awm_jax.int8.params import Dense, Inputs, MixedDense
from awm_jax.pytree import pytree, static

SIGMOID_BITS = 15


@dataclasses.dataclass(frozen=True)
class PolicyArch:
    """cfg: the policy's encoding; context_len: frames it looks at; its two hidden widths."""

    cfg: EncodingConfig
    context_len: int
    hidden_dim: int
    trunk_dim: int


@pytree
class PolicyParams:
    """Attributes:
    sigmoid: (513,) table.
    hidden: wide and narrow inputs of all frames, oldest first; to wide codes.
    trunk: to wide codes.
    heads: rows main_x, main_y, c_x, c_y, shoulder, then the buttons; to 2^-10.
    """

    sigmoid: jax.Array
    inputs: Inputs
    hidden: MixedDense
    trunk: Dense
    heads: Dense


@pytree
class Int8Policy(Seeded):
    """Fills `awm_jax.contracts.Agent` with integers alone.

    Attributes:
      bias: () int32 added to the button logits, in 2^-10.
      cont, binary, ints: the world's columns (of one player) that the policy sees.
    """

    params: PolicyParams
    bias: jax.Array
    arch: PolicyArch = static()
    cont: tuple[int, ...] = static()
    binary: tuple[int, ...] = static()
    ints: tuple[int, ...] = static()

    @classmethod
    def of(
        cls,
        params: PolicyParams,
        arch: PolicyArch,
        world: EncodingConfig,
        context_len: int,
        bias: float = 0.0,
    ) -> Int8Policy:
        """Fit a policy to a world of K = `context_len` frames, column by column, by name.

        Raises:
          AwmError: the world lacks something that the policy looks at.
        """
        if arch.context_len > context_len:
            raise AwmError(
                f"the policy looks at {arch.context_len} frames, the world keeps {context_len}"
            )
        return cls(params, jnp.int32(round(bias * 1024)), arch, *adapt(world, arch.cfg))

    def act(self, state: AgentState, view: View[GameFrame]) -> tuple[AgentState, jax.Array]:
        """view.context: K frames, the own player first. Returns the pad (8,) int32."""
        p, cfg, k = self.params, self.arch.cfg, self.arch.context_len
        f = jax.tree.map(lambda v: v[-k:], view.context)
        seen = GameFrame(
            f.cont[:, :, list(self.cont)],
            f.binary[:, :, list(self.binary)],
            f.ints[:, :, list(self.ints)],
            f.stage,
            f.pads,
        )
        wide, narrow = jax.vmap(lambda one: frame_codes(p.inputs, cfg, one, one.pads))(seen)
        h = jnp.clip(mixed(p.hidden, wide.reshape(-1), narrow.reshape(-1)), 0, fixed.WIDE_MAX)
        acc = fixed.product_wide(p.trunk.w, h) + p.trunk.bias
        h = jnp.clip(fixed.requant(acc, p.trunk.out.a, p.trunk.out.m), 0, fixed.WIDE_MAX)
        acc = fixed.product_wide(p.heads.w, h) + p.heads.bias
        out = fixed.requant(acc, p.heads.out.a, p.heads.out.m)
        analog, buttons = jnp.split(out, [len(ANALOG)])
        analog = fixed.lookup(p.sigmoid, analog)
        sticks = fixed.rsh(analog[:4] * (2 * STICK_MAX), SIGMOID_BITS) - STICK_MAX
        trigger = fixed.rsh(analog[4:] * 255, SIGMOID_BITS)
        chance = fixed.lookup(p.sigmoid, fixed.clamp16(buttons + self.bias))
        draws = rng.draw_bits(state.seed, view.number, state.player, len(BUTTONS))
        pressed = (draws >> jnp.uint32(32 - SIGMOID_BITS)).astype(jnp.int32) < chance
        return state, assemble_pad(sticks, trigger, pressed)


def adapt(world: EncodingConfig, policy: EncodingConfig) -> tuple[tuple[int, ...], ...]:
    """One player's continuous, binary and int columns of the world that make the policy's."""
    names = float_names(policy)[: columns(policy).controller.start]
    missing = [n for n in names if n not in columns(world).index]
    missing += [n for n in int_names(policy) if n not in columns(world).int_index]
    if missing:
        raise AwmError(f"the policy looks at {', '.join(missing[:4])}, which this world lacks")
    floats = [columns(world)[n] for n in names]
    cont = floats[: policy.continuous_dim]
    binary = [c - world.continuous_dim for c in floats[policy.continuous_dim :]]
    ints = [columns(world).int_index[n] for n in int_names(policy)]
    return tuple(cont), tuple(binary), tuple(ints)
