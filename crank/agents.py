"""Agents for worlds of float frames: scripted, random, recorded, and behaviour-cloned policies.

A pad is (13,) float32 in the order of `awm_jax.encoding.CONTROLLER`. Source: match.md section 2.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.contracts import Agent, View
from awm_jax.encoding import (
    ANALOG,
    BUTTONS,
    CONTROLLER,
    EncodingConfig,
    column_scale,
    float_names,
    int_names,
    int_vocabs,
)
from awm_jax.errors import AwmError
from awm_jax.fp32.network import Network
from awm_jax.fp32.policy import PolicyMLP
from awm_jax.game import rng
from awm_jax.game.frames import Frames, neutral_pad
from awm_jax.pytree import pytree, static
from crank.mind import mind_agent

RANDOM_PRESS_ABOVE = 0.9
HOLD_PERIOD, HOLD_PRESSED = 10, 3
REFERENCE_BUTTON_BIAS = 4.0


@pytree
class Draws:
    """Where an agent's randomness comes from: seed (2,) uint32 and its player () uint32."""

    seed: jax.Array
    player: jax.Array

    def uniform(self, frame: jax.Array, count: int) -> jax.Array:
        """(count,) float32 in [0, 1) for this player and frame."""
        return rng.uniform(rng.draw_bits(self.seed, frame, self.player, count))


class _Seeded:
    def reset(self, seed: jax.Array, player: int) -> Draws:
        return Draws(jnp.asarray(seed, jnp.uint32), jnp.uint32(player))


@pytree
class Noop(_Seeded):
    """Sticks neutral, nothing pressed."""

    def act(self, state: Draws, view: View[Frames]) -> tuple[Draws, jax.Array]:
        return state, jnp.asarray(neutral_pad())


@pytree
class HoldForward(_Seeded):
    """Main stick right, whichever way the player faces (M18); A in three of ten frames."""

    def act(self, state: Draws, view: View[Frames]) -> tuple[Draws, jax.Array]:
        pad = jnp.asarray(neutral_pad()).at[CONTROLLER.index("main_x")].set(1.0)
        pressed = (view.number % HOLD_PERIOD < HOLD_PRESSED).astype(pad.dtype)
        return state, pad.at[CONTROLLER.index("button_a")].set(pressed)


@pytree
class Random(_Seeded):
    """Analog values uniform in [0, 1), each button pressed in a tenth of the frames."""

    def act(self, state: Draws, view: View[Frames]) -> tuple[Draws, jax.Array]:
        draws = state.uniform(view.number, len(CONTROLLER))
        analog, buttons = jnp.split(draws, [len(ANALOG)])
        return state, jnp.concatenate([analog, (buttons > RANDOM_PRESS_ABOVE).astype(draws.dtype)])


@pytree
class Recorded:
    """Plays pads (T, 13) one after the other, the last one for ever."""

    pads: jax.Array

    def reset(self, seed: jax.Array, player: int) -> jax.Array:
        return jnp.int32(0)

    def act(self, state: jax.Array, view: View[Frames]) -> tuple[jax.Array, jax.Array]:
        last = self.pads.shape[0] - 1
        return state + 1, self.pads[jnp.minimum(state, last)]


@pytree
class Policy(_Seeded):
    """A behaviour-cloned policy: analog values as predicted, buttons Bernoulli(sigmoid(logit)).

    Attributes:
      network: a `PolicyMLP`.
      button_bias: () float32 added to the logits; the reference plays with +4.0 (T31).
      float_columns, int_columns: the world's columns that the policy sees.
    """

    network: Network
    button_bias: jax.Array
    float_columns: tuple[int, ...] = static()
    int_columns: tuple[int, ...] = static()

    @classmethod
    def of(cls, model: PolicyMLP, world: EncodingConfig, context_len: int, bias: float) -> Policy:
        """Fit a policy to a world of K = `context_len` frames, column by column, by name.

        Raises:
          AwmError: the world lacks something that the policy looks at.
        """
        if model.context_len > context_len:
            raise AwmError(
                f"the policy looks at {model.context_len} frames, the world keeps {context_len}"
            )
        floats, ints = adapt_columns(world, model.cfg)
        return cls(Network.of(model), jnp.float32(bias), floats, ints)

    def outputs(self, context: Frames) -> dict[str, jax.Array]:
        """The network's `analog_pred` (5,) and `button_logits` (8,) for the world's frames."""
        last = slice(-self.network.context_len, None)
        floats = context.floats[last, np.array(self.float_columns)]
        ints = context.ints[last, np.array(self.int_columns)]
        most = np.array(int_vocabs(self.network.cfg), np.int32) - 1
        return self.network.module()(floats, jnp.minimum(ints, most[None]))

    def act(self, state: Draws, view: View[Frames]) -> tuple[Draws, jax.Array]:
        out = self.outputs(view.context)
        chance = jax.nn.sigmoid(out["button_logits"] + self.button_bias)
        pressed = state.uniform(view.number, len(BUTTONS)) < chance
        return state, jnp.concatenate([out["analog_pred"], pressed.astype(jnp.float32)])


def adapt_columns(
    world: EncodingConfig, policy: EncodingConfig
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The world's float and int columns of a frame that make the policy's frame, by name.

    Raises:
      AwmError: names the columns that the world lacks or scales otherwise.
    """
    missing = [n for n in float_names(policy) if n not in float_names(world)]
    missing += [n for n in int_names(policy) if n not in int_names(world)]
    if missing:
        raise AwmError(f"the policy looks at {_short(missing)}, which this world does not have")
    rescaled = [n for n in float_names(policy) if column_scale(policy, n) != column_scale(world, n)]
    if rescaled:
        raise AwmError(f"the policy and the world scale {_short(rescaled)} differently")

    def both(names, world_names):
        block = [world_names.index(name) for name in names]
        return block + [len(world_names) + column for column in block]

    floats = both(float_names(policy), float_names(world))
    ints = [*both(int_names(policy), int_names(world)), 2 * world.int_per_player]
    return tuple(floats), tuple(ints)


def _short(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


SCRIPTED = {"noop": Noop, "hold-forward": HoldForward, "random": Random}


def parse_agent(
    spec: str, world: EncodingConfig, context_len: int, *, button_bias: float = 0.0
) -> tuple[Agent, str | None]:
    """The agent of a spec: `noop`, `hold-forward`, `random`, `policy:PATH` or `mwm:PATH`.

    Returns the agent and the sha256 of its weights, None without any.

    Raises:
      AwmError: no such agent, or a policy that doesn't fit the world.
    """
    if spec in SCRIPTED:
        return SCRIPTED[spec](), None
    kind, _, path = spec.partition(":")
    if kind == "mwm" and path:
        return mind_agent(path, world)
    if kind == "mwm":
        raise AwmError("the mind that ships here plays in cartridges; in this world give mwm:PATH")
    if kind != "policy" or not path:
        known = ", ".join([*SCRIPTED, "policy:PATH", "mwm:PATH"])
        raise AwmError(f"no agent {spec!r}; give one of: {known}")
    import converters

    checkpoint = converters.load(path)
    model = checkpoint.model
    if not isinstance(model, PolicyMLP):
        raise AwmError(f"{path} is a {checkpoint.arch} world model, not a policy")
    try:
        policy = Policy.of(model, world, context_len, button_bias)
    except AwmError as error:
        raise AwmError(f"{path}: {error}") from None
    return policy, checkpoint.provenance.weights_sha256
