"""A mind that fights: it sees, imagines each action, takes the one of greatest value - threat."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from awm_jax.contracts import View
from awm_jax.encoding import EncodingConfig
from awm_jax.game.frames import Frames
from awm_jax.mwm.features import scale_gwm
from awm_jax.mwm.melee import (
    CANDIDATES,
    PERIOD,
    PRESSED,
    UNKNOWN,
    action_features,
    directions,
    observe,
    pad_of,
)
from awm_jax.mwm.network import MentalWorldModelModule, Mind
from awm_jax.mwm.slices import squash_affect
from awm_jax.mwm.update import surprise
from awm_jax.pytree import pytree, static


@pytree
class MindState:
    """Attributes:
    latent: (D,). imagined: (D,) what it expected of the next decision's latent.
    action: () int32 what it is doing. age: () int32 frames since it was last asked.
    affect: (4,) threat, curiosity, value and surprise, squashed, of the last decision.
    surprise: () the real one: how far the latent was from the imagined one.
    """

    latent: jax.Array
    imagined: jax.Array
    action: jax.Array
    age: jax.Array
    affect: jax.Array
    surprise: jax.Array


@pytree
class MindAgent:
    """Fills `awm_jax.contracts.Agent` for worlds of float frames.

    It decides every `melee.PERIOD` frames; the visual latent is zeros. No randomness.
    """

    mind: Mind
    cfg: EncodingConfig = static()

    @classmethod
    def of(cls, model: MentalWorldModelModule | Mind, cfg: EncodingConfig) -> MindAgent:
        return cls(Mind.of(model), cfg)

    def reset(self, seed: jax.Array, player: int) -> MindState:
        zero, still = jnp.zeros(self.mind.latent_dim), jnp.zeros(())
        return MindState(zero, zero, jnp.int32(UNKNOWN), jnp.int32(0), jnp.zeros(4), still)

    def think(self, state: MindState, floats: jax.Array, ints: jax.Array) -> MindState:
        """See a frame (F,), (I,), feel about it, and choose the next action."""
        model = self.mind.module()
        gwm, own = observe(self.cfg, floats, ints)
        gwm = scale_gwm(gwm) if self.mind.scaled else gwm
        z = model.encode(state.latent, gwm, None, own)
        ahead = model.predict(
            jnp.broadcast_to(z, (CANDIDATES, *z.shape)), jnp.asarray(action_features())
        )
        felt = squash_affect(model.decode(ahead).affect)
        best = jnp.argmax(felt[:, 2] - felt[:, 0]).astype(jnp.int32)
        first = jnp.all(state.imagined == 0)
        shock = jnp.where(first, 0.0, surprise(z, state.imagined))
        affect = squash_affect(model.decode(z).affect)
        return MindState(z, ahead[best], best, state.age, affect, shock)

    def act(self, state: MindState, view: View[Frames]) -> tuple[MindState, jax.Array]:
        floats, ints = view.context.floats[-1], view.context.ints[-1]
        phase = state.age % PERIOD
        state = jax.lax.cond(phase == 0, lambda s: self.think(s, floats, ints), lambda s: s, state)
        facing, side = directions(self.cfg, floats)
        pad = pad_of(state.action, facing, side, phase < PRESSED)
        return dataclasses.replace(state, age=state.age + 1), pad
