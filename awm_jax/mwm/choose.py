"""Choosing by imagination: scores, heuristics, traits, and hypotheses over a horizon.

Source: mwm.md section 6. The guide gives value - threat and the weights 0.4 and 0.6. What it
promises without a formula is defined here, with its reason, and in docs/mwm.md:

- the heuristic scorer, `heuristic_score`: rules of thumb, each in [0, 1];
- how traits modulate: threat weighs 1 + caution - aggression, curiosity weighs
  exploration_drive - 0.5, and a heuristic gets the larger person's bonuses, all centred, so that a
  person with every trait at 0.5 chooses exactly as the guide's formula does;
- the rollout's rule: threat and value of a sequence are means over its steps, weighted by
  `discount` to the power of the step, so that they keep their ranges at any length and a sequence
  of one action scores as that action.

Scores are lists in the order of the candidates: actions need not be hashable (W5).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.errors import AwmError
from awm_jax.mwm.config import MWMConfig
from awm_jax.mwm.features import (
    GWM,
    SELF,
    UNKNOWN_ACTION,
    action_name,
    pack_action_features,
    pack_gwm_features,
    pack_self_features,
)
from awm_jax.mwm.network import Mind
from awm_jax.mwm.slices import squash_affect
from awm_jax.mwm.update import Network, as_mind, imagine_step, latent_of, predict_action_outcome

if TYPE_CHECKING:
    from awm_jax.mwm.types import Hypothesis, MentalWorldModelState, TraitProfile

DISCOUNT = 0.9
MAX_SEQUENCES = 4096
NEUTRAL = 0.5
Scorer = Callable[[Any, Any], float]


@dataclasses.dataclass(frozen=True)
class Action:
    """An action and its parameters, for those who have no class of their own."""

    action_type: str = UNKNOWN_ACTION
    magnitude: float = 1.0
    direction: float = 0.0
    duration: float = 0.5
    priority: float = 5.0


def score_action_with_mwm(
    action: Any, mwm_state: MentalWorldModelState, mwm_module: Network, device: Any = None
) -> float:
    """Value minus threat of what the action would lead to.

    Raises:
      AwmError: see `update.predict_action_outcome`; a failure is never a score (W6).
    """
    affect = predict_action_outcome(mwm_state, action, mwm_module, device)["affect"]
    return affect.value_estimate - affect.threat


def score_actions_with_mwm(
    candidates: Sequence[Any],
    being_state: Any,
    mwm_module: Network,
    device: Any = None,
    *,
    traits: TraitProfile | None = None,
) -> list[float]:
    """The scores of all candidates in one call, in their order, from the being's own mind.

    Args:
      traits: of who chooses, see `modulated`.

    Raises:
      AwmError: the being has no mind yet, or an action a parameter that is no number.
    """
    from awm_jax.mwm.types import MentalWorldModelState

    if not candidates:
        return []
    if not being_state.mwm:
        raise AwmError("this being has no mind yet; update it before it chooses")
    mind = as_mind(mwm_module)
    z = latent_of(MentalWorldModelState(**being_state.mwm), mind, needed=True)
    actions = np.stack([pack_action_features(action, action) for action in candidates])
    z, actions = jax.device_put((np.tile(z, (len(actions), 1)), actions), device)
    _, decoded = imagine_step(mind, z, actions)
    affect = np.asarray(squash_affect(decoded.affect))
    return [modulated(float(r[0]), float(r[1]), float(r[2]), traits) for r in affect]


def modulated(
    threat: float, curiosity: float, value: float, traits: TraitProfile | None = None
) -> float:
    """Value minus threat, as somebody with these traits sees it: caution makes threats weigh more,
    aggression less, a drive to explore makes the unknown attractive."""
    if traits is None:
        return value - threat
    weight = 1 + traits.caution - traits.aggression
    return value - weight * threat + (traits.exploration_drive - NEUTRAL) * curiosity


def heuristic_score(action: Any, being_state: Any) -> float:
    """How sensible an action looks by rules of thumb, in [0, 1], from the packed features.

    With t the threat level, h the own health, e whether there is an enemy, l whether there is loot,
    s stealth's safety: attack e h (1 - t/2); block 0.8 e t; move_backward and back t (1 - h/2);
    heal 1 - h; sneak s e / 2; activate l (1 - t); move_forward and sprint 0.4 (1 - t); move_left,
    move_right and jump 0.2; anything else 0.
    """
    gwm = np.clip(pack_gwm_features(being_state.game_world), 0, 1)
    own = np.clip(pack_self_features(being_state), 0, 1)
    t, h = float(gwm[GWM["threat_level"]]), float(own[SELF["player_health"]])
    e = float(gwm[GWM["num_enemies_total"]])
    scores = {
        "attack": e * h * (1 - t / 2),
        "block": 0.8 * e * t,
        "move_backward": t * (1 - h / 2),
        "back": t * (1 - h / 2),
        "heal": 1 - h,
        "sneak": float(gwm[GWM["stealth_safety_score"]]) * e / 2,
        "activate": float(gwm[GWM["loot_opportunity_available"]]) * (1 - t),
        "move_forward": 0.4 * (1 - t),
        "sprint": 0.4 * (1 - t),
        "move_left": 0.2,
        "move_right": 0.2,
        "jump": 0.2,
    }
    return scores.get(action_name(action), 0.0)


_BONUSES = {
    "attack": ("aggression", 0.3),
    "block": ("caution", 0.3),
    "heal": ("caution", 0.3),
    "back": ("caution", 0.3),
    "move_backward": ("caution", 0.3),
    "sneak": ("stealth_preference", 0.3),
    "activate": ("exploration_drive", 0.2),
    "wait": ("impulsiveness", -0.2),
}


def trait_bonus(action: Any, traits: TraitProfile | None) -> float:
    """What a trait adds to a heuristic score: the larger person's weights (section 11.3), centred,
    so that 0.5 adds nothing (there, caution is not, W22)."""
    trait, weight = _BONUSES.get(action_name(action), (None, 0.0))
    return 0.0 if traits is None or trait is None else (getattr(traits, trait) - NEUTRAL) * weight


def combine(
    mwm: Sequence[float], heuristic: Sequence[float], config: MWMConfig | None = None
) -> tuple[list[float], int]:
    """Weighted sums of both scores, and the index of the greatest, the first on ties."""
    config = MWMConfig() if config is None else config
    pairs = zip(mwm, heuristic, strict=True)
    final = [config.mwm_weight * m + config.heuristic_weight * h for m, h in pairs]
    if not final:
        raise AwmError("no action to choose from; give at least one candidate")
    if not np.isfinite(final).all():
        raise AwmError("a score is no finite number; see which action it belongs to")
    return final, int(np.argmax(final))


def select_action(
    candidates: Sequence[Any],
    being_state: Any,
    mwm_module: Network,
    device: Any = None,
    *,
    heuristic: Scorer = heuristic_score,
    traits: TraitProfile | None = None,
    config: MWMConfig | None = None,
) -> Any:
    """The candidate with the greatest 0.4 model + 0.6 heuristics, the first on ties.

    Args:
      candidates: actions of any kind that `features.action_name` understands.
      heuristic: (action, being) -> score.
      traits: of who chooses; None and all 0.5 are the guide's formula.
      config: holds the two weights; where it is not `enabled` only the heuristics count.

    Raises:
      AwmError: there is no candidate, or the being has no mind.
    """
    config = MWMConfig() if config is None else config
    if config.enabled:
        imagined = score_actions_with_mwm(
            candidates, being_state, mwm_module, device, traits=traits
        )
    else:
        imagined = [0.0] * len(candidates)
    sensible = [
        heuristic(action, being_state) + trait_bonus(action, traits) for action in candidates
    ]
    return candidates[combine(imagined, sensible, config)[1]]


@jax.jit
def imagine(
    mind: Mind, z: jax.Array, actions: jax.Array, discount: jax.Array | float = DISCOUNT
) -> tuple[jax.Array, jax.Array]:
    """Roll out a sequence of actions in the mind alone.

    Args:
      z: (D,) latent to start from.
      actions: (H, 16) packed.
      discount: weight of each step relative to the one before.

    Returns:
      The discounted means of threat, curiosity, value and surprise (4,), and the latents (H, D).
    """
    model = mind.module()

    def step(z: jax.Array, action: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        z = model.predict(z, action)
        return z, (z, squash_affect(model.decode(z).affect))

    _, (latents, affect) = jax.lax.scan(step, z, actions)
    weights = jnp.float32(discount) ** jnp.arange(actions.shape[0], dtype=jnp.float32)
    return weights @ affect / weights.sum(), latents


_imagine_all = jax.jit(jax.vmap(imagine, in_axes=(None, None, 0, None)))


def hypothesize(
    mwm_state: MentalWorldModelState,
    sequences: Sequence[Sequence[Any]],
    mwm_module: Network,
    device: Any = None,
    *,
    discount: float = DISCOUNT,
) -> list[Hypothesis]:
    """What would become of each sequence of actions, in their order.

    Raises:
      AwmError: the mind has no latent, a sequence is empty, or they differ in length.
    """
    from awm_jax.mwm.types import Hypothesis

    mind = as_mind(mwm_module)
    z = latent_of(mwm_state, mind, needed=True)
    lengths = {len(sequence) for sequence in sequences}
    if len(lengths) != 1 or 0 in lengths:
        raise AwmError("give sequences of actions, all of one length of 1 or more")
    packed = np.stack([[pack_action_features(a, a) for a in s] for s in sequences])
    inputs = jax.device_put((z, packed), device)
    expected = np.asarray(_imagine_all(mind, *inputs, discount)[0])
    return [
        Hypothesis(
            horizon_steps=len(sequence),
            expected_threat=float(np.clip(row[0], 0, 1)),
            expected_value=float(row[2]),
            action_sequence=[action_name(action) for action in sequence],
        )
        for sequence, row in zip(sequences, expected, strict=True)
    ]


def plan(
    mwm_state: MentalWorldModelState,
    candidates: Sequence[Any],
    horizon: int,
    mwm_module: Network,
    device: Any = None,
    *,
    discount: float = DISCOUNT,
) -> MentalWorldModelState:
    """The state with a hypothesis for every sequence of `horizon` candidates, the best first.

    Raises:
      AwmError: there are more than 4,096 sequences, or none.
    """
    from awm_jax.mwm.types import HypothesisSlice

    count = len(candidates) ** max(horizon, 0)
    if horizon < 1 or not 0 < count <= MAX_SEQUENCES:
        raise AwmError(
            f"{len(candidates)} actions over {horizon} steps are {count} sequences; "
            f"give 1 to {MAX_SEQUENCES}"
        )
    sequences = list(itertools.product(candidates, repeat=horizon))
    found = hypothesize(mwm_state, sequences, mwm_module, device, discount=discount)
    found.sort(key=lambda h: h.expected_threat - h.expected_value)
    return mwm_state.model_copy(update={"hypotheses": HypothesisSlice(rollouts=found)})
