"""The larger person: who somebody is, wants and will not do, around a mind (the extra `mwm`)."""

from awm_jax.mwm.person.registry import (
    PersonRegistry,
    get_global_registry,
    get_llm_context,
    load_person,
    save_person,
    update_person_mwm,
)
from awm_jax.mwm.person.scoring import (
    Verdict,
    choose_for_person,
    judge_action,
    score_action_for_person,
)
from awm_jax.mwm.person.templates import create_person_from_template, get_available_templates
from awm_jax.mwm.person.types import (
    ConstraintProfile,
    Goal,
    GoalState,
    IdentityProfile,
    Person,
    Relationship,
    SocialModel,
    ValueProfile,
)

__all__ = [
    "ConstraintProfile",
    "Goal",
    "GoalState",
    "IdentityProfile",
    "Person",
    "PersonRegistry",
    "Relationship",
    "SocialModel",
    "ValueProfile",
    "Verdict",
    "choose_for_person",
    "create_person_from_template",
    "get_available_templates",
    "get_global_registry",
    "get_llm_context",
    "judge_action",
    "load_person",
    "save_person",
    "score_action_for_person",
    "update_person_mwm",
]
