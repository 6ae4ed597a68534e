"""The larger person: identity, values, goals, relationships, limits. Source: mwm.md section 11.1.

`Person` is the guide's `PersonModel` with more; profiles that both have are the same classes.
"""

from __future__ import annotations

import time

from pydantic import Field

from awm_jax.mwm.types import Checked, PersonModel

PLAYER = "player"


class IdentityProfile(Checked):
    person_id: str
    name: str
    archetype: str = "generic"
    roles: list[str] = Field(default_factory=list)
    backstory_summary: str = ""
    avatar_tag: str | None = None


class ValueProfile(Checked):
    """What matters to a person, each from 0 to 1."""

    survival_priority: float = Field(default=0.8, ge=0.0, le=1.0)
    damage_priority: float = Field(default=0.5, ge=0.0, le=1.0)
    protect_allies: float = Field(default=0.7, ge=0.0, le=1.0)
    care_for_civilians: float = Field(default=0.5, ge=0.0, le=1.0)
    obedience_to_player: float = Field(default=0.6, ge=0.0, le=1.0)
    greed_for_loot: float = Field(default=0.4, ge=0.0, le=1.0)
    curiosity_drive: float = Field(default=0.5, ge=0.0, le=1.0)


class Goal(Checked):
    """`status` is "active", "achieved", "failed" or any other word."""

    id: str
    description: str
    priority: float = Field(default=0.5, ge=0.0, le=1.0)
    deadline: float | None = None
    status: str = "active"
    created_at: float = Field(default_factory=time.time)


class GoalState(Checked):
    long_term: list[Goal] = Field(default_factory=list)
    mid_term: list[Goal] = Field(default_factory=list)
    current_intentions: list[Goal] = Field(default_factory=list)

    def add_goal(self, goal: Goal, scope: str = "current") -> None:
        """Add to "long_term", "mid_term" or, with any other scope, the current intentions."""
        scopes = {"long_term": self.long_term, "mid_term": self.mid_term}
        scopes.get(scope, self.current_intentions).append(goal)

    def get_active_goals(self) -> list[Goal]:
        """Long, mid, current; those whose status is "active"."""
        goals = [*self.long_term, *self.mid_term, *self.current_intentions]
        return [goal for goal in goals if goal.status == "active"]

    def get_highest_priority_goal(self) -> Goal | None:
        """The active goal of the greatest priority, the first on ties."""
        return max(self.get_active_goals(), key=lambda goal: goal.priority, default=None)


class Relationship(Checked):
    other_id: str
    role: str = "neutral"
    trust: float = Field(default=0.5, ge=0.0, le=1.0)
    affection: float = Field(default=0.0, ge=-1.0, le=1.0)
    fear: float = Field(default=0.0, ge=0.0, le=1.0)
    respect: float = Field(default=0.5, ge=0.0, le=1.0)
    last_interaction_time: float = 0.0
    interaction_count: int = 0

    @property
    def is_ally(self) -> bool:
        return self.trust > 0.6 and self.affection > 0.3

    @property
    def is_enemy(self) -> bool:
        return self.trust < 0.4 or self.affection < -0.3


class SocialModel(Checked):
    relationships: list[Relationship] = Field(default_factory=list)

    def get_relationship(self, other_id: str) -> Relationship | None:
        return next((r for r in self.relationships if r.other_id == other_id), None)

    def add_or_update_relationship(self, relationship: Relationship) -> None:
        """Put it last, in place of an older one to the same person."""
        others = [r for r in self.relationships if r.other_id != relationship.other_id]
        self.relationships = [*others, relationship]

    def get_allies(self) -> list[Relationship]:
        return [r for r in self.relationships if r.is_ally]

    def get_enemies(self) -> list[Relationship]:
        return [r for r in self.relationships if r.is_enemy]


class ConstraintProfile(Checked):
    """What a person will not do, whatever it would bring."""

    allow_friendly_fire: bool = False
    harm_civilians: bool = False
    betray_player: bool = False
    break_law: bool = True
    obey_player_orders: bool = True
    risk_self_sacrifice: bool = False


class Person(PersonModel):
    """The larger person (the reference's other class `PersonModel`)."""

    identity: IdentityProfile
    values: ValueProfile = Field(default_factory=lambda: ValueProfile())
    goals: GoalState = Field(default_factory=lambda: GoalState())
    social: SocialModel = Field(default_factory=lambda: SocialModel())
    constraints: ConstraintProfile = Field(default_factory=lambda: ConstraintProfile())
    created_at: float = Field(default_factory=time.time)
    last_updated: float = Field(default_factory=time.time)

    def update_timestamp(self, now: float | None = None) -> None:
        self.last_updated = time.time() if now is None else now

    def get_summary(self) -> str:
        """Seven lines about who this is and how it does."""
        goal = self.goals.get_highest_priority_goal()
        traits, affect = self.traits, self.mwm.affect
        feeling = f"threat {affect.threat:.2f}" if affect else "nothing yet"
        return "\n".join(
            [
                f"{self.identity.name} ({self.identity.archetype})",
                f"roles: {', '.join(self.identity.roles) or 'none'}",
                f"traits: aggression {traits.aggression:.1f}, caution {traits.caution:.1f}",
                f"goal: {goal.description if goal else 'none'}",
                f"allies {len(self.social.get_allies())}, enemies {len(self.social.get_enemies())}",
                f"memories: {len(self.memory.episodic)}",
                f"feels: {feeling}",
            ]
        )
