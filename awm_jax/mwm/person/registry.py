"""Many persons, their life on disk, and what a language model is told about one.

Source: mwm.md section 11.2. Nothing is swallowed (W29): a file that cannot be read or written says
so, a person that is there already is not replaced unasked.
"""

from __future__ import annotations

import collections
import functools
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.mwm.person.types import Person, Relationship
from awm_jax.mwm.update import Network, update_mwm_from_inputs

THREATENED = 0.3


class PersonRegistry:
    """Persons by their id."""

    def __init__(self) -> None:
        self._persons: dict[str, Person] = {}

    def add(self, person: Person, *, replace: bool = False) -> None:
        """Raises an AwmError where another one has this id, unless `replace`."""
        key = person.identity.person_id
        if key in self._persons and not replace:
            raise AwmError(f"there is a person {key!r} already; pass replace=True to replace it")
        self._persons[key] = person

    def get(self, person_id: str) -> Person | None:
        return self._persons.get(person_id)

    def remove(self, person_id: str) -> bool:
        """Whether there was one."""
        return self._persons.pop(person_id, None) is not None

    def all(self) -> list[Person]:
        return list(self._persons.values())

    def get_by_archetype(self, archetype: str) -> list[Person]:
        return [p for p in self.all() if p.identity.archetype == archetype]

    def get_by_role(self, role: str) -> list[Person]:
        return [p for p in self.all() if role in p.identity.roles]

    def get_companions(self) -> list[Person]:
        return self.get_by_role("companion")

    def get_enemies(self) -> list[Person]:
        return self.get_by_role("enemy")

    def count(self) -> int:
        return len(self._persons)

    def clear(self) -> None:
        self._persons.clear()

    def get_stats(self) -> dict[str, Any]:
        """`total_persons`, and how many of each of `archetypes` and `roles`."""
        archetypes = collections.Counter(p.identity.archetype for p in self.all())
        roles = collections.Counter(role for p in self.all() for role in p.identity.roles)
        return {
            "total_persons": self.count(),
            "archetypes": dict(archetypes),
            "roles": dict(roles),
        }


@functools.cache
def get_global_registry() -> PersonRegistry:
    """The one registry that a program shares."""
    return PersonRegistry()


def update_person_mwm(
    person: Person,
    gwm_features: Any,
    iwm_latent: Any,
    being_state: Any,
    mwm_module: Network,
    device: Any = None,
    *,
    now: float | None = None,
) -> Person:
    """Update a person's mind in place, and `last_updated`; neither when an input is refused.

    Raises:
      AwmError: see `update.update_mwm_from_inputs`.
    """
    person.mwm = update_mwm_from_inputs(
        person.mwm, gwm_features, iwm_latent, being_state, mwm_module, device, now=now
    )
    person.update_timestamp(now)
    return person


def save_person(person: Person, path: str | os.PathLike[str]) -> None:
    """Write a person as JSON, whole or not at all.

    Raises:
      AwmError: the place cannot be written.
    """
    write_atomically(path, person.model_dump_json(indent=2) + "\n")


def load_person(path: str | os.PathLike[str]) -> Person:
    """Read what `save_person` wrote.

    Raises:
      AwmError: the file is absent or no person; names the field.
    """
    name = os.fspath(path)
    try:
        return Person.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise AwmError(f"{name}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise AwmError(f"{name}: {where} is not valid: {first['msg']}") from error


def get_llm_context(person: Person, include_memory: bool = True) -> str:
    """What a language model should know of a person, as Markdown; absent parts are left out."""
    who, traits, mind = person.identity, person.traits, person.mwm
    sections = {
        "Identity": [
            f"Name: {who.name}",
            f"Archetype: {who.archetype}",
            f"Roles: {', '.join(who.roles)}" if who.roles else "",
            f"Background: {who.backstory_summary}" if who.backstory_summary else "",
        ],
        "Personality": [
            f"Aggression: {traits.aggression:.1f}/1.0",
            f"Caution: {traits.caution:.1f}/1.0",
            f"Stealth: {traits.stealth_preference:.1f}/1.0",
            f"Impulsiveness: {traits.impulsiveness:.1f}/1.0",
        ],
    }
    goals = sorted(person.goals.get_active_goals(), key=lambda goal: -goal.priority)[:3]
    sections["Current Goals"] = [f"- {g.description} (priority {g.priority:.2f})" for g in goals]
    sections["Relationships"] = [
        *_relations("Ally", person.social.get_allies()),
        *_relations("Enemy", person.social.get_enemies()),
    ]
    if mind.world and mind.affect:
        felt = mind.affect
        sections["Current Situation"] = [
            f"Threat: {felt.threat:.2f}",
            f"Curiosity: {felt.curiosity:.2f}",
            f"Value: {felt.value_estimate:.2f}",
        ]
        if mind.world.threat_level > THREATENED:
            sections["Current Situation"].append(f"Enemies: {mind.world.num_enemies}")
    if include_memory:
        recent = person.memory.get_recent_episodic(3)
        sections["Recent Events"] = [f"- {memory.summary}" for memory in recent]
    kept = {title: [line for line in lines if line] for title, lines in sections.items()}
    return "\n\n".join("\n".join([f"# {title}", *lines]) for title, lines in kept.items() if lines)


def _relations(kind: str, relations: list[Relationship]) -> list[str]:
    return [f"- {kind}: {r.other_id} (trust {r.trust:.1f})" for r in relations[:3]]
