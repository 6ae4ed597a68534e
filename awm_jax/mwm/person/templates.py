"""Six kinds of person. Source: mwm.md section 11.2 (the numbers; the goals' words are ours)."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from awm_jax.errors import AwmError
from awm_jax.mwm.person.types import (
    ConstraintProfile,
    Goal,
    IdentityProfile,
    Person,
    ValueProfile,
)
from awm_jax.mwm.types import CapabilityProfile, MentalWorldModelState, TraitProfile

# archetype, roles, traits, values (in the order of the fields), capabilities and constraints that
# are not default, goals as (id, priority, scope, description)
_TEMPLATES: dict[str, tuple[Any, ...]] = {
    "loyal_companion": (
        "loyal_warrior",
        ["companion", "warrior", "follower"],
        (0.6, 0.5, 0.3, 0.5, 0.4, 0.7),
        (0.7, 0.6, 0.9, 0.7, 0.9, 0.3, 0.5),
        {"combat_skill": 0.7, "stealth_skill": 0.4},
        {"risk_self_sacrifice": True},
        [("protect_player", 0.9, "long_term", "keep the player safe from harm")],
    ),
    "stealth_companion": (
        "sneaky_assassin",
        ["companion", "rogue", "assassin"],
        (0.5, 0.7, 0.9, 0.6, 0.3, 0.4),
        (0.8, 0.7, 0.7, 0.5, 0.8, 0.6, 0.7),
        {"can_pickpocket": True, "can_lockpick": True, "combat_skill": 0.6, "stealth_skill": 0.9},
        {},
        [("assist_player", 0.8, "long_term", "serve the player unseen")],
    ),
    "bandit": (
        "aggressive_bandit",
        ["enemy", "bandit", "hostile"],
        (0.8, 0.3, 0.2, 0.4, 0.7, 0.5),
        (0.7, 0.8, 0.4, 0.1, 0.0, 0.9, 0.3),
        {"can_sneak": False, "stealth_skill": 0.3},
        {"harm_civilians": True, "betray_player": True, "obey_player_orders": False},
        [("defeat_player", 0.8, "current", "beat the player and take what he has")],
    ),
    "cautious_guard": (
        "lawful_guard",
        ["guard", "law_enforcement"],
        (0.4, 0.7, 0.1, 0.3, 0.2, 0.6),
        (0.8, 0.4, 0.7, 0.9, 0.3, 0.1, 0.3),
        {
            "can_use_ranged": False,
            "can_sneak": False,
            "combat_skill": 0.6,
            "stealth_skill": 0.2,
        },
        {"break_law": False, "obey_player_orders": False, "risk_self_sacrifice": True},
        [("maintain_order", 0.8, "long_term", "see that the peace is kept")],
    ),
    "merchant": (
        "peaceful_merchant",
        ["merchant", "trader", "civilian"],
        (0.1, 0.8, 0.2, 0.4, 0.3, 0.9),
        (0.9, 0.1, 0.5, 0.6, 0.5, 0.7, 0.5),
        {
            "can_use_melee": False,
            "can_use_ranged": False,
            "can_sneak": False,
            "combat_skill": 0.2,
            "stealth_skill": 0.3,
        },
        {"break_law": False, "obey_player_orders": False},
        [("make_profit", 0.7, "long_term", "buy cheap and sell dear")],
    ),
    "player_agent": (
        "player_controlled",
        ["player", "protagonist"],
        (0.5, 0.5, 0.5, 0.7, 0.5, 0.6),
        (0.8, 0.6, 0.7, 0.6, 1.0, 0.6, 0.8),
        {
            "can_use_magic": True,
            "can_pickpocket": True,
            "can_lockpick": True,
            "combat_skill": 0.7,
            "stealth_skill": 0.7,
            "magic_skill": 0.7,
        },
        {},
        [],
    ),
}


def get_available_templates() -> list[str]:
    return list(_TEMPLATES)


def create_person_from_template(
    name: str, person_id: str, display_name: str, **overrides: Any
) -> Person:
    """A new person with a fresh mind.

    Args:
      overrides: whole fields of `Person` in place of the template's, checked like all others (W25).

    Raises:
      AwmError: no such template; or an override is no field of a person or not valid.
    """
    if name not in _TEMPLATES:
        raise AwmError(f"no template {name!r}; there are: {', '.join(_TEMPLATES)}")
    unknown = [key for key in overrides if key not in Person.model_fields]
    if unknown:
        raise AwmError(f"a person has no field {unknown[0]!r}")
    archetype, roles, traits, values, able, limits, goals = _TEMPLATES[name]
    fields: dict[str, Any] = {
        "identity": IdentityProfile(
            person_id=person_id, name=display_name, archetype=archetype, roles=list(roles)
        ),
        "mwm": MentalWorldModelState(),
        "traits": dict(zip(TraitProfile.model_fields, traits, strict=True)),
        "values": dict(zip(ValueProfile.model_fields, values, strict=True)),
        "capabilities": CapabilityProfile(**able),
        "constraints": ConstraintProfile(**limits),
    }
    try:
        person = Person(**{**fields, **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise AwmError(f"{where} of {display_name} is not valid: {first['msg']}") from error
    if "goals" not in overrides:
        for goal_id, priority, scope, text in goals:
            person.goals.add_goal(Goal(id=goal_id, description=text, priority=priority), scope)
    return person
