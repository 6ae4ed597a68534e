"""The loader of the founders' HTML viewers, written from match.md section 5.1."""

from __future__ import annotations

from typing import Any

DEFAULTS = {
    "percent": 0,
    "x": 0,
    "y": 0,
    "shield_strength": 60,
    "speed_air_x": 0,
    "speed_y": 0,
    "speed_ground_x": 0,
    "speed_attack_x": 0,
    "speed_attack_y": 0,
    "state_age": 0,
    "hitlag": 0,
    "stocks": 4,
    "facing": 1,
    "on_ground": 1,
    "action_state": 14,
    "jumps_left": 2,
    "character": 0,
}


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def load(content: Any) -> list[dict[str, Any]]:
    """The frames as a viewer keeps them, or a ValueError with what it shows instead."""
    if not isinstance(content, list):
        raise ValueError("not an array")
    if not content:
        raise ValueError("empty")
    if not isinstance(content[0], dict) or len(content[0].get("players", ())) != 2:
        raise ValueError("first entry has not two players")
    first = content[0]["players"][0]
    if not all(_number(first.get(key)) for key in ("x", "y", "action_state")):
        raise ValueError("first player has no place or action")
    return [_frame(entry) for entry in content]


def _frame(entry: dict[str, Any]) -> dict[str, Any]:
    players = entry.get("players")
    if not isinstance(players, list) or len(players) != 2:
        raise ValueError("a frame has not two players")
    kept = []
    for player in players:
        wrong = [k for k in DEFAULTS if k in player and not _number(player[k])]
        if wrong:
            raise ValueError(f"{wrong[0]} is not numeric")
        kept.append(DEFAULTS | {k: player[k] for k in DEFAULTS if k in player})
    return {"players": kept, "stage": entry.get("stage", 31)}
