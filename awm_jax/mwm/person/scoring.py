"""How a person judges an action: vetoes, then bonuses. Source: mwm.md section 11.3.

Names are tested by substring, as in the reference ("sneak_attack" is both, W23), on the name alone:
an Enum member counts as its value. `caution` is not centred (W22), and traits count only once the
mind has felt anything (W21); both are the reference's numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from awm_jax.mwm.person.types import PLAYER, Person

BASE = 0.5
VETO = -1e9
"""The reference's score of what must not be done."""
TRUSTED = 0.6
NEUTRAL = 0.5
HURT = 0.3


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Attributes:
    veto: why it must not be done, None when it may: no arithmetic can bring it back (W24).
    score: minus infinity under a veto.
    """

    veto: str | None
    score: float

    @property
    def allowed(self) -> bool:
        return self.veto is None


def _read(action: Any, name: str) -> Any:
    return action.get(name) if isinstance(action, Mapping) else getattr(action, name, None)


def _text(action: Any) -> str:
    """The name in which words are looked for."""
    kind = _read(action, "action_type")
    kind = action if kind is None else kind
    value = getattr(kind, "value", kind)
    return str(value).lower()


def _trust(person: Person, action: Any) -> float:
    target = _read(action, "target_id")
    relation = person.social.get_relationship(target) if target else None
    return relation.trust if relation else 0.0


def violates_constraints(person: Person, action: Any) -> str | None:
    """Which of the person's limits the action oversteps, as a sentence; None when none."""
    limits = person.constraints
    if "attack" in _text(action):
        if not limits.allow_friendly_fire and _trust(person, action) > TRUSTED:
            return "does not attack those it trusts"
        if not limits.harm_civilians and _read(action, "target_type") == "civilian":
            return "does not harm civilians"
        if not limits.betray_player and _read(action, "target_id") == PLAYER:
            return "does not betray the player"
    if limits.obey_player_orders and _read(action, "disobeys_player"):
        return "obeys the player"
    return None


def lacks_capability(person: Person, action: Any) -> str | None:
    """What the person cannot do of the action, as a sentence; None when it can."""
    able, text = person.capabilities, _text(action)
    needs = {"magic": able.can_use_magic, "sneak": able.can_sneak, "lockpick": able.can_lockpick}
    return next(
        (f"cannot do {word}" for word, can in needs.items() if word in text and not can), None
    )


def traits_bonus(person: Person, action: Any) -> float:
    """What the traits add; several words in one name add up."""
    traits, text = person.traits, _text(action)

    def says(*words: str) -> bool:
        return any(word in text for word in words)

    bonus = 0.0
    if says("attack", "power"):
        bonus += (traits.aggression - NEUTRAL) * 0.3
    if says("block", "heal", "flee"):
        bonus += traits.caution * 0.3
    if says("sneak", "stealth"):
        bonus += (traits.stealth_preference - NEUTRAL) * 0.3
    if says("activate", "investigate"):
        bonus += (traits.exploration_drive - NEUTRAL) * 0.2
    if says("wait", "observe"):
        bonus -= traits.impulsiveness * 0.2
    return bonus


def values_bonus(person: Person, action: Any) -> float:
    """What the values and the best active goal add."""
    values, text, mind = person.values, _text(action), person.mwm

    def says(*words: str) -> bool:
        return any(word in text for word in words)

    bonus = 0.0
    if mind.self_state and mind.self_state.health < HURT and says("heal", "flee"):
        bonus += values.survival_priority * 0.5
    if says("attack"):
        bonus += values.damage_priority * 0.3
    if says("block", "heal") and _trust(person, action) > TRUSTED:
        bonus += values.protect_allies * 0.4
    if says("activate", "loot") and mind.world and mind.world.loot_available:
        bonus += values.greed_for_loot * 0.3
    if says("investigate", "explore"):
        bonus += values.curiosity_drive * 0.2
    if _read(action, "is_player_command"):
        bonus += values.obedience_to_player * 0.4
    goal = person.goals.get_highest_priority_goal()
    if goal and text in goal.description.lower():
        bonus += goal.priority * 0.5
    return bonus


def judge_action(person: Person, action: Any, base_score: float = BASE) -> Verdict:
    """Veto or score of an action: base, plus the traits' bonus (once the mind has felt anything),
    plus the values'."""
    veto = violates_constraints(person, action) or lacks_capability(person, action)
    if veto:
        return Verdict(veto, -math.inf)
    traits = traits_bonus(person, action) if person.mwm.affect is not None else 0.0
    return Verdict(None, base_score + traits + values_bonus(person, action))


def score_action_for_person(person: Person, action: Any, base_score: float = BASE) -> float:
    """The reference's number: `judge_action`'s score, and -1e9 for a veto."""
    verdict = judge_action(person, action, base_score)
    return verdict.score if verdict.allowed else VETO


def choose_for_person(
    person: Person, candidates: Sequence[Any], base_scores: Sequence[float] | None = None
) -> int | None:
    """Index of the candidate that the person likes best, the first on ties; None if none may be."""
    bases = [BASE] * len(candidates) if base_scores is None else base_scores
    pairs = zip(candidates, bases, strict=True)
    verdicts = [judge_action(person, action, base) for action, base in pairs]
    allowed = [i for i, verdict in enumerate(verdicts) if verdict.allowed]
    return max(allowed, key=lambda i: verdicts[i].score, default=None)
