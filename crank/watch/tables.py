"""Names of actions, attacks and characters as people read them; `static/tables.json` holds them.

The page reads the same file. Source: match.md section 5.4, in the corrected form (M23, M24).
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any


@functools.cache
def tables() -> dict[str, Any]:
    """The content of `static/tables.json`."""
    file = resources.files("crank.watch") / "static" / "tables.json"
    return json.loads(file.read_text("utf-8"))


@functools.cache
def _categories() -> tuple[str, ...]:
    return tuple(
        name for first, last, name in tables()["categories"] for _ in range(first, last + 1)
    )


@functools.cache
def _attacks() -> dict[int, str]:
    return {number: name for name, ids in tables()["attacks"].items() for number in ids}


def category(action: int) -> str:
    """What kind of action it is: attack, damage, ledge ...; "other" beyond the vocabulary."""
    known = _categories()
    return known[action] if 0 <= action < len(known) else "other"


def action_name(action: int, character: int = -1) -> str:
    """An action's name; those of a single character by its move where that is known."""
    names = tables()["actions"]
    if 0 <= action < len(names):
        return names[action]
    return special_name(action, character) or f"Special {action}"


def special_name(action: int, character: int) -> str | None:
    """The move that a character's own action belongs to, None where it has no name here."""
    for first, last, name in tables()["specials"].get(str(character), ()):
        if first <= action <= last:
            return name
    return None


def attack_name(action: int, character: int) -> str | None:
    """What a hit by this action is called; None for an action that hits nobody."""
    if category(action) == "special":
        return special_name(action, character) or "Special"
    return _attacks().get(action)


def character_label(number: int) -> str:
    """A character's name for people."""
    return tables()["characters"].get(str(number), f"Character {number}")
