"""What a mind says, as pydantic models (the extra `mwm`). Source: mwm.md sections 1 and 11.

A profile has one class, whoever uses it: the guide's small person has the first fields of each, the
larger person (`awm_jax.mwm.person`) the others too, and either's dump loads as the other's (W20).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from awm_jax.errors import AwmError

try:
    from pydantic import BaseModel, ConfigDict, Field, field_validator
except ModuleNotFoundError:
    raise AwmError(
        'the types of the Mental World Model need pydantic: pip install "awm-jax[mwm]"'
    ) from None

MAX_EPISODES = 100


class Model(BaseModel):
    """Fields are checked at construction and, where `Checked`, at every assignment (W25)."""

    model_config = ConfigDict(extra="ignore")


class Checked(Model):
    model_config = ConfigDict(validate_assignment=True)


class WorldSlice(Model):
    """What the mind believes of the world; metres, degrees."""

    threat_level: float = Field(default=0.0, ge=0.0, le=1.0)
    num_enemies: int = Field(default=0, ge=0)
    num_enemies_in_los: int = Field(default=0, ge=0)
    nearest_enemy_id: str | None = None
    nearest_enemy_distance: float | None = None
    nearest_enemy_bearing_deg: float | None = None
    best_cover_spot_id: str | None = None
    best_cover_distance: float | None = None
    escape_vector_x: float = 0.0
    escape_vector_y: float = 0.0
    loot_available: bool = False


class SelfSlice(Model):
    """What the mind believes of itself."""

    health: float = Field(default=1.0, ge=0.0, le=1.0)
    stamina: float = Field(default=1.0, ge=0.0, le=1.0)
    magicka: float = Field(default=1.0, ge=0.0, le=1.0)
    is_sneaking: bool = False
    in_combat: bool = False
    confidence: float = Field(default=0.5, ge=0.0, le=1.0)


class AffectSlice(Model):
    """What the mind feels. `surprise` is decoded, a guess; the real one is `update.surprise`."""

    threat: float = Field(default=0.0, ge=0.0, le=1.0)
    curiosity: float = Field(default=0.0, ge=0.0, le=1.0)
    value_estimate: float = 0.0
    surprise: float = Field(default=0.0, ge=0.0)


class Hypothesis(Model):
    """What would become of a sequence of actions, see `choose.imagine`."""

    horizon_steps: int = Field(default=1, ge=1)
    expected_threat: float = Field(default=0.0, ge=0.0, le=1.0)
    expected_value: float = 0.0
    action_sequence: list[str] | None = None


class HypothesisSlice(Model):
    rollouts: list[Hypothesis] = Field(default_factory=list)

    def add_hypothesis(self, hypothesis: Hypothesis) -> None:
        self.rollouts.append(hypothesis)

    def clear(self) -> None:
        self.rollouts.clear()


class MentalWorldModelState(Model):
    """A mind at one moment: the latent and what it says."""

    latent: list[float] | None = None
    world: WorldSlice | None = None
    self_state: SelfSlice | None = None
    affect: AffectSlice | None = None
    hypotheses: HypothesisSlice | None = None
    timestamp: float = 0.0
    update_count: int = 0

    @field_validator("latent", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray) else value

    def get_latent_array(self) -> np.ndarray | None:
        """(D,) float32, or None."""
        return None if self.latent is None else np.array(self.latent, np.float32)

    def set_latent_array(self, latent: np.ndarray) -> None:
        self.latent = np.asarray(latent).tolist()


class TraitProfile(Checked):
    """The guide's four traits and the larger person's two."""

    aggression: float = Field(default=0.5, ge=0.0, le=1.0)
    caution: float = Field(default=0.5, ge=0.0, le=1.0)
    stealth_preference: float = Field(default=0.5, ge=0.0, le=1.0)
    exploration_drive: float = Field(default=0.5, ge=0.0, le=1.0)
    impulsiveness: float = Field(default=0.5, ge=0.0, le=1.0)
    sociability: float = Field(default=0.5, ge=0.0, le=1.0)


class EpisodicMemoryRef(Checked):
    id: str
    timestamp: float
    summary: str = ""
    importance: float = Field(default=0.5, ge=0.0, le=1.0)


class SemanticMemoryRef(Checked):
    id: str
    topic: str
    summary: str = ""
    confidence: float = Field(default=0.5, ge=0.0, le=1.0)


class MemoryProfile(Checked):
    """The guide's three numbers and the larger person's two lists."""

    episodic_capacity: int = Field(default=MAX_EPISODES, ge=1)
    semantic_patterns: int = 0
    consolidation_count: int = 0
    episodic: list[EpisodicMemoryRef] = Field(default_factory=list)
    semantic: list[SemanticMemoryRef] = Field(default_factory=list)

    def add_episodic(self, memory: EpisodicMemoryRef, now: float | None = None) -> None:
        """Remember; beyond the capacity, keep what is important for its age."""
        self.episodic.append(memory)
        if len(self.episodic) > self.episodic_capacity:
            now = time.time() if now is None else now
            self.episodic.sort(key=lambda m: -m.importance / (now - m.timestamp + 1))
            del self.episodic[self.episodic_capacity :]

    def add_semantic(self, memory: SemanticMemoryRef) -> None:
        self.semantic.append(memory)

    def get_recent_episodic(self, n: int = 5) -> list[EpisodicMemoryRef]:
        """The newest first."""
        return sorted(self.episodic, key=lambda m: -m.timestamp)[:n]


class CapabilityProfile(Checked):
    """The guide's three skills and what the larger person can do at all."""

    combat_skill: float = Field(default=0.5, ge=0.0, le=1.0)
    stealth_skill: float = Field(default=0.5, ge=0.0, le=1.0)
    magic_skill: float = Field(default=0.5, ge=0.0, le=1.0)
    can_use_melee: bool = True
    can_use_ranged: bool = True
    can_use_magic: bool = False
    can_sneak: bool = True
    can_pickpocket: bool = False
    can_lockpick: bool = False
    special_abilities: list[str] = Field(default_factory=list)


class PersonModel(Checked):
    """The guide's person: a mind and who has it. `awm_jax.mwm.person.Person` adds the rest."""

    mwm: MentalWorldModelState
    traits: TraitProfile = Field(default_factory=lambda: TraitProfile())
    memory: MemoryProfile = Field(default_factory=lambda: MemoryProfile())
    capabilities: CapabilityProfile = Field(default_factory=lambda: CapabilityProfile())
