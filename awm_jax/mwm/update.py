"""A mind sees: one being with its pydantic state, or thousands as arrays. Source: mwm.md section 5.

Bad input raises; the old state is never returned as if it had been updated (W6).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.errors import AwmError
from awm_jax.mwm.features import (
    AFFECT_DIM,
    GWM_DIM,
    SELF_DIM,
    action_name,
    pack_action_features,
    pack_gwm_features,
    pack_iwm_latent,
    pack_self_features,
    scale_gwm,
    vector,
)
from awm_jax.mwm.network import Decoded, MentalWorldModelModule, Mind
from awm_jax.mwm.slices import (
    decode_affect_slice,
    decode_self_slice,
    decode_world_slice,
)
from awm_jax.pytree import pytree

if TYPE_CHECKING:
    from awm_jax.mwm.types import MentalWorldModelState

Network = MentalWorldModelModule | Mind


@jax.jit
def see(
    mind: Mind, z_prev: jax.Array, gwm: jax.Array, iwm: jax.Array | None, own: jax.Array
) -> tuple[jax.Array, Decoded]:
    """One step of one mind or of many.

    Args:
      z_prev: (*b, D) latents.
      gwm: (*b, 16) world features as the network takes them (`scale_gwm` where `mind.scaled`).
      iwm: (*b, V) visual latents, None for zeros.
      own: (*b, 8) self features.

    Returns:
      The new latents (*b, D) and what they say.
    """
    z, decoded, _ = mind.module()(z_prev, gwm, iwm, own)
    return z, decoded


@jax.jit
def imagine_step(mind: Mind, z: jax.Array, action: jax.Array) -> tuple[jax.Array, Decoded]:
    """The imagined next latent (*b, D) for an action (*b, 16), and what it says."""
    model = mind.module()
    z_hat = model.predict(z, action)
    return z_hat, model.decode(z_hat)


@jax.jit
def surprise(z: jax.Array, z_hat: jax.Array) -> jax.Array:
    """The real surprise (*b): root mean square between the latent and the one imagined (W14)."""
    return jnp.sqrt(jnp.mean(jnp.square(z - z_hat), axis=-1))


def as_mind(network: Network) -> Mind:
    """A module or a `Mind` as a `Mind`; keep a `Mind` where speed matters."""
    return network if isinstance(network, Mind) else Mind.of(network)


def update_mwm_from_inputs(
    mwm_state: MentalWorldModelState,
    gwm_features: Any,
    iwm_latent: Any,
    being_state: Any,
    mwm_module: Network,
    device: Any = None,
    action_for_prediction: Any = None,
    *,
    now: float | None = None,
) -> MentalWorldModelState:
    """A new state of the mind after it has seen something.

    Args:
      mwm_state: the state before; not changed. Without a latent the mind begins at zero.
      gwm_features: mapping of world features; None for sixteen zeros.
      iwm_latent: V numbers, or None for zeros.
      being_state: holds `game_state` and the rest of `pack_self_features`.
      mwm_module: the network.
      device: a `jax.Device` to run on, None for JAX's choice.
      action_for_prediction: an action whose outcome is added to the hypotheses (the reference
        imagines it and throws it away, W15).
      now: timestamp of the new state; the wall clock by default (W30).

    Raises:
      AwmError: names what is wrong with an input.
    """
    from awm_jax.mwm.types import MentalWorldModelState

    mind = as_mind(mwm_module)
    z_prev = latent_of(mwm_state, mind)
    gwm = pack_gwm_features(gwm_features)
    gwm = scale_gwm(gwm) if mind.scaled else gwm
    iwm = pack_iwm_latent(iwm_latent, mind.iwm_dim)
    own = pack_self_features(being_state)
    inputs = jax.device_put((z_prev, gwm, iwm, own), device)
    z, decoded = see(mind, *inputs)
    new = MentalWorldModelState(
        latent=np.asarray(z),  # pyright: ignore[reportArgumentType]
        hypotheses=mwm_state.hypotheses,
        timestamp=time.time() if now is None else now,
        update_count=mwm_state.update_count + 1,
        **_slices(decoded, mind.scaled, "self_state"),
    )
    if action_for_prediction is not None:
        new = _with_outcome(new, action_for_prediction, mind)
    return new


def _with_outcome(state: MentalWorldModelState, action: Any, mind: Mind) -> MentalWorldModelState:
    from awm_jax.mwm.types import Hypothesis, HypothesisSlice

    affect = predict_action_outcome(state, action, mind)["affect"]
    hypothesis = Hypothesis(
        horizon_steps=1,
        expected_threat=affect.threat,
        expected_value=affect.value_estimate,
        action_sequence=[action_name(action)],
    )
    before = state.hypotheses.rollouts if state.hypotheses else []
    return state.model_copy(update={"hypotheses": HypothesisSlice(rollouts=[*before, hypothesis])})


def predict_action_outcome(
    mwm_state: MentalWorldModelState, action: Any, mwm_module: Network, device: Any = None
) -> dict[str, Any]:
    """What an action would lead to: `world`, `self` and `affect` slices of the imagined latent.

    Raises:
      AwmError: the state has no latent or one of another width, or the action a parameter that is
        no number.
    """
    mind = as_mind(mwm_module)
    z = latent_of(mwm_state, mind, needed=True)
    features = pack_action_features(action, action)
    _, decoded = imagine_step(mind, *jax.device_put((z, features), device))
    return _slices(decoded, mind.scaled, "self")


def latent_of(state: MentalWorldModelState, mind: Mind, *, needed: bool = False) -> np.ndarray:
    """The state's latent (D,) float32, zeros for a mind that has seen nothing.

    Raises:
      AwmError: it has another width, holds no numbers, or is absent though `needed`.
    """
    if state.latent is None:
        if needed:
            raise AwmError("this mind has no latent yet; update it before it imagines anything")
        return np.zeros(mind.latent_dim, np.float32)
    return vector("the latent", state.latent, mind.latent_dim)


def _slices(decoded: Decoded, scaled: bool, own: str) -> dict[str, Any]:
    return {
        "world": decode_world_slice(np.asarray(decoded.world), scaled=scaled),
        own: decode_self_slice(np.asarray(decoded.self)),
        "affect": decode_affect_slice(np.asarray(decoded.affect)),
    }


@pytree
class Beings:
    """Many minds as arrays, for `jit` and `vmap`.

    Attributes:
      latent: (N, D).
      decoded: world (N, 16), self (N, 8), affect (N, 4), raw.
      count: (N,) int32 updates.
    """

    latent: jax.Array
    decoded: Decoded
    count: jax.Array

    @classmethod
    def fresh(cls, mind: Mind, n: int) -> Beings:
        """N minds that have seen nothing."""
        decoded = Decoded(*(jnp.zeros((n, width)) for width in (GWM_DIM, SELF_DIM, AFFECT_DIM)))
        return cls(jnp.zeros((n, mind.latent_dim)), decoded, jnp.zeros(n, jnp.int32))


def _update_one(
    mind: Mind, being: Beings, gwm: jax.Array, iwm: jax.Array | None, own: jax.Array
) -> Beings:
    z, decoded = see(mind, being.latent, gwm, iwm, own)
    return Beings(z, decoded, being.count + 1)


@jax.jit
def update_beings(
    mind: Mind, beings: Beings, gwm: jax.Array, iwm: jax.Array | None, own: jax.Array
) -> Beings:
    """All minds see at once: gwm (N, 16), iwm (N, V) or None, own (N, 8)."""
    axes = (None, 0, 0, None if iwm is None else 0, 0)
    return jax.vmap(_update_one, in_axes=axes)(mind, beings, gwm, iwm, own)
