"""Scripted and random agents of the integer machine. A pad is (8,) int32, `PAD_FIELDS`."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from awm_jax.contracts import View
from awm_jax.encoding import BUTTONS
from awm_jax.game import rng
from awm_jax.int8.frame import BUTTON_BITS, STICK_MAX, GameFrame
from awm_jax.pytree import pytree

PRESS_FROM = 58982  # of 65536: nine tenths of the frames a button is up
HOLD_PERIOD, HOLD_PRESSED = 10, 3


@pytree
class AgentState:
    """Where an agent's randomness comes from: seed (2,) uint32 and its player () uint32."""

    seed: jax.Array
    player: jax.Array


class Seeded:
    def reset(self, seed: jax.Array, player: int) -> AgentState:
        return AgentState(jnp.asarray(seed, jnp.uint32), jnp.uint32(player))


def assemble_pad(sticks: jax.Array, trigger: jax.Array, pressed: jax.Array) -> jax.Array:
    """sticks (4,) in -80..80, trigger (1,) in 0..255, pressed (8,) bool -> (8,) int32."""
    masks = [jnp.int32(0), jnp.int32(0)]
    for button, (field, bit) in enumerate(BUTTON_BITS):
        masks[field - 6] = masks[field - 6] | (pressed[button].astype(jnp.int32) << bit)
    return jnp.concatenate([sticks, trigger, jnp.zeros(1, jnp.int32), jnp.stack(masks)])


@pytree
class Noop(Seeded):
    """Sticks neutral, nothing pressed."""

    def act(self, state: AgentState, view: View[GameFrame]) -> tuple[AgentState, jax.Array]:
        return state, jnp.zeros(8, jnp.int32)


@pytree
class HoldForward(Seeded):
    """Main stick right; A in three of ten frames."""

    def act(self, state: AgentState, view: View[GameFrame]) -> tuple[AgentState, jax.Array]:
        pad = jnp.zeros(8, jnp.int32).at[0].set(STICK_MAX)
        pressed = (view.number % HOLD_PERIOD < HOLD_PRESSED).astype(jnp.int32)
        return state, pad.at[6].set(pressed)


@pytree
class Random(Seeded):
    """Sticks uniform over their 161 positions, trigger over 256, buttons down in a tenth."""

    def act(self, state: AgentState, view: View[GameFrame]) -> tuple[AgentState, jax.Array]:
        draws = rng.draw_bits(state.seed, view.number, state.player, 5 + len(BUTTONS))
        high = (draws >> jnp.uint32(16)).astype(jnp.int32)
        sticks = (high[:4] * (2 * STICK_MAX + 1) >> 16) - STICK_MAX
        return state, assemble_pad(sticks, high[4:5] >> 8, high[5:] >= PRESS_FROM)


@pytree
class Recorded:
    """Plays pads (T, 8) int32 one after the other, the last one for ever."""

    pads: jax.Array

    def reset(self, seed: jax.Array, player: int) -> jax.Array:
        return jnp.int32(0)

    def act(self, state: jax.Array, view: View[GameFrame]) -> tuple[jax.Array, jax.Array]:
        return state + 1, self.pads[jnp.minimum(state, self.pads.shape[0] - 1)]
