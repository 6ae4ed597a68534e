"""What happened in a match, found in the differences between its frames.

A hit needs the defender to lose percent or to be knocked into a damage action, so that the
attacker's own hitlag is none, and one blow counts once. Stocks are compared as whole numbers, so
that a model's 3.7 stocks cost nobody a life, and none is lost twice. Source:
match.md section 5.4, mended by M23 and M27.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from awm_jax.game.result import whole
from awm_jax.game.stages import Stage
from crank.watch.tables import attack_name, category, special_name

Player = Mapping[str, Any]

DAMAGE = frozenset((*range(75, 92), 185, 193))
"""DamageHi1 to DamageFlyRoll, and being struck while down."""
GUARD_STRUCK, GUARD_BROKEN = 181, 205
COMMAND_GRABS = frozenset((275, 276, 278, 283, 288, 301, 302))
THROWN = range(239, 244)
DEATHS = {0: "bottom", 1: "left", 2: "right", **dict.fromkeys(range(3, 11), "top")}
LEAST_DAMAGE = 0.5
"""Percent; a model's percent drifts by less."""
KNOCK = 0.5
"""Game units per frame of knockback speed that make a blow."""
SAME_BLOW = 8
"""Frames in which knockback after a rise of percent belongs to it."""
COMBO_GRACE = 45
"""Frames on one's feet that end a combo."""
RECENT = 8
SHOT_LIFE = 120
"""Frames for which a special move may still have a shot in the air."""
OUT_OF_MIND = 600
"""Frames after which a KO is no longer owed to the last hit."""
HOGGED = 120


@dataclasses.dataclass(frozen=True)
class Event:
    """One event. What does not apply to its type is None.

    Attributes:
      frame: index of the frame at which it was known.
      type: hit, combo, shield, shield-break, grab, tech, edge-guard, ko or stock.
      attacker, defender: 0 or 1; the defender is who it happened to.
      attack: the attack's name.
      damage: percent lost.
      percent: the defender's percent; before it is set back for a KO.
      count: hits of the combo until now, from the second on.
      start, end: first and last hit of a combo.
      edge: left, right, top or bottom, where a KO happened.
      stocks: what a player has left.
    """

    frame: int
    type: str
    attacker: int | None
    defender: int
    attack: str | None = None
    damage: float | None = None
    percent: float | None = None
    count: int | None = None
    start: int | None = None
    end: int | None = None
    edge: str | None = None
    stocks: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The event under the reference's keys, without what is None."""
        named = {_KEYS.get(k, k): v for k, v in dataclasses.asdict(self).items()}
        return {k: v for k, v in named.items() if v is not None}


_KEYS = {
    "attacker": "attackerIdx",
    "defender": "defenderIdx",
    "attack": "attackName",
    "percent": "newPercent",
    "count": "comboCount",
}


@dataclasses.dataclass
class _Fighter:
    """What is remembered of one player."""

    before: Player | None = None
    attack: str | None = None
    attack_frame: int = -(10**9)
    shot: str | None = None
    shot_frame: int = -(10**9)
    hit_frame: int = -(10**9)
    off_stage: bool = False
    hit_off_stage: bool = False
    ledge_frame: int = -(10**9)
    count: int = 0
    damage: float = 0.0
    start: int = 0
    safe: int = 0
    fewest: int = 10**9


class Detector:
    """Finds the events of one match, frame by frame.

    Args:
      stage: its geometry, for edges and blast zones.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._fighters = (_Fighter(), _Fighter())
        self._frame = -1

    def step(self, players: Sequence[Player]) -> list[Event]:
        """The events that the next frame brings; `players` are the two of a viewer's frame."""
        self._frame += 1
        found: list[Event] = []
        for i, (player, fighter) in enumerate(zip(players, self._fighters, strict=True)):
            self._remember_attack(player, fighter)
            if category(int(player["action_state"])) == "ledge":
                fighter.ledge_frame = self._frame
            self._place(player, fighter)
            if fighter.before is not None:
                found += self._happened(i, fighter.before, player)
        for player, fighter in zip(players, self._fighters, strict=True):
            fighter.before = player
        return found

    def close(self) -> list[Event]:
        """The combos that are still open when the match ends."""
        return [event for i in (0, 1) for event in self._end_combo(i)]

    def _remember_attack(self, player: Player, fighter: _Fighter) -> None:
        action, character = int(player["action_state"]), int(player["character"])
        name = attack_name(action, character)
        if name is not None:
            fighter.attack, fighter.attack_frame = name, self._frame
        if category(action) == "special":
            fighter.shot = special_name(action, character)
            fighter.shot_frame = self._frame

    def _place(self, player: Player, fighter: _Fighter) -> None:
        left, right = self._stage.ground_x_range
        beyond = not left - 1 <= player["x"] <= right + 1
        below = player["y"] < self._stage.ground_y - 6
        kind = category(int(player["action_state"]))
        fighter.off_stage = (beyond or below) and kind not in ("ledge", "dead", "respawn")
        if not fighter.off_stage and kind != "dead":
            fighter.hit_off_stage = False

    def _happened(self, i: int, before: Player, now: Player) -> list[Event]:
        action, last = int(now["action_state"]), int(before["action_state"])
        kind, was = category(action), category(last)
        again = action == last and now["state_age"] < before["state_age"]
        entered = action != last or again
        found: list[Event] = []

        def event(name: str, attacker: int | None = 1 - i, **more: Any) -> None:
            found.append(Event(self._frame, name, attacker, i, **more))

        if kind != "dead":
            found += self._hit(i, before, now, entered and action in DAMAGE)
        if entered and action == GUARD_STRUCK:
            event("shield", attack=self._blow(1 - i))
        if action == GUARD_BROKEN and last != GUARD_BROKEN:
            event("shield-break", attack=self._blow(1 - i))
        held = kind == "grabbed" and action not in THROWN and was != "grabbed"
        if held or (action in COMMAND_GRABS and last not in COMMAND_GRABS):
            event("grab")
        if kind == "tech" and was != "tech":
            event("tech", None)
        found += self._combo(i, kind)
        found += self._lost(i, before, now)
        return found

    def _hit(self, i: int, before: Player, now: Player, struck: bool) -> list[Event]:
        me = self._fighters[i]
        damage = now["percent"] - before["percent"]
        hurt = damage >= LEAST_DAMAGE
        knocked = struck and (
            _knockback(now) > _knockback(before) + KNOCK or now["hitlag"] > before["hitlag"] + 1
        )
        since = self._frame - me.hit_frame
        if not hurt and (not knocked or since <= SAME_BLOW):
            return []
        damage = max(damage, 0.0)
        if hurt and since <= 1:
            me.damage += damage
            return []
        me.hit_frame = self._frame
        if me.count == 0:
            me.start, me.damage = self._frame, 0.0
        me.count += 1
        me.damage += damage
        me.hit_off_stage = me.hit_off_stage or self._fighters[i].off_stage
        return [
            Event(
                self._frame,
                "hit",
                1 - i,
                i,
                attack=self._blow(1 - i) or "Hit",
                damage=round(damage, 2) if hurt else None,
                percent=round(now["percent"], 2),
                count=me.count if me.count > 1 else None,
            )
        ]

    def _blow(self, attacker: int) -> str | None:
        """What the attacker struck with: an attack just now, else a shot still in the air."""
        fighter = self._fighters[attacker]
        if self._frame - fighter.attack_frame <= RECENT:
            return fighter.attack
        if self._frame - fighter.shot_frame <= SHOT_LIFE:
            return fighter.shot
        return None

    def _combo(self, i: int, kind: str) -> list[Event]:
        me = self._fighters[i]
        if me.count == 0:
            return []
        helpless = kind in ("damage", "grabbed", "tech", "down", "broken")
        me.safe = 0 if helpless or self._frame == me.hit_frame else me.safe + 1
        return self._end_combo(i) if me.safe > COMBO_GRACE else []

    def _end_combo(self, i: int) -> list[Event]:
        me = self._fighters[i]
        count, damage = me.count, me.damage
        me.count, me.safe = 0, 0
        if count < 2:
            return []
        return [
            Event(
                self._frame,
                "combo",
                1 - i,
                i,
                damage=round(damage, 2),
                count=count,
                start=me.start,
                end=me.hit_frame,
            )
        ]

    def _lost(self, i: int, before: Player, now: Player) -> list[Event]:
        if now["stocks"] >= before["stocks"]:
            return []
        left, had = whole(np.array([now["stocks"], before["stocks"]]))
        me, other = self._fighters[i], self._fighters[1 - i]
        if left >= min(had, me.fewest):
            return []
        me.fewest = left
        owed = self._frame - me.hit_frame <= OUT_OF_MIND
        hogged = me.hit_frame >= 0 and self._frame - other.ledge_frame <= HOGGED
        guarded = me.hit_off_stage or (owed and hogged)
        attacker = 1 - i if owed else None
        combo = self._end_combo(i)
        edge = _edge(self._stage, now)
        percent = round(before["percent"], 2)
        ko = Event(self._frame, "ko", attacker, i, attack="KO", percent=percent, edge=edge)
        found = [*combo, ko]
        if guarded and edge != "top":
            found.append(Event(self._frame, "edge-guard", 1 - i, i, edge=edge))
        me.hit_frame, me.hit_off_stage = -(10**9), False
        return [*found, Event(self._frame, "stock", attacker, i, stocks=left)]


def _knockback(player: Player) -> float:
    return math.hypot(player["speed_attack_x"], player["speed_attack_y"])


def _edge(stage: Stage, player: Player) -> str:
    """Where a player died: the action says it, else the nearest side within ten units."""
    if (action := int(player["action_state"])) in DEATHS:
        return DEATHS[action]
    zone, x, y = stage.blast_zones, player["x"], player["y"]
    gaps = {"left": x - zone.left, "right": zone.right - x, "top": zone.top - y}
    side = min(gaps, key=lambda name: gaps[name])
    return side if gaps[side] <= 10 else "bottom"


def detect(stage: Stage, frames: Iterable[Mapping[str, Any]]) -> list[Event]:
    """All events of a match.

    Args:
      frames: viewers' frames, `{"players": [P, P], ...}` (`crank.viz.viz_frames`).
    """
    detector = Detector(stage)
    found = [event for frame in frames for event in detector.step(frame["players"])]
    return found + detector.close()


def ticker_line(event: Event, names: Sequence[str]) -> str:
    """The event as one line of the ticker, e.g. `[F 46] Fox > FSMASH -> Marth (9.0%)`.

    The arrows are the reference's signs.
    """
    defender = names[event.defender]
    attacker = names[event.attacker] if event.attacker is not None else None
    attack = (event.attack or "").upper()
    match event.type:
        case "hit":
            combo = f" x{event.count}" if event.count else ""
            text = f"{attacker} ▸ {attack}{combo} → {defender} ({event.percent:.1f}%)"
        case "combo":
            text = f"{attacker} ▸ COMBO {event.count} HITS {event.damage:.1f}% → {defender}"
        case "ko":
            fell = f"{defender} FELL" if attacker is None else f"{attacker} KO'd {defender}"
            text = f"{fell} ({event.edge}, {event.percent:.0f}%)"
        case "stock":
            text = f"{defender}: {event.stocks} LEFT"
        case "grab":
            text = f"{attacker} ▸ GRAB → {defender}"
        case "edge-guard":
            text = f"{attacker} ▸ EDGE GUARD → {defender}"
        case "shield":
            text = f"{defender} SHIELDS {attack or 'A BLOW'}"
        case "shield-break":
            text = f"{attacker} BREAKS {defender}'s SHIELD"
        case _:
            text = f"{defender} ▸ {event.type.upper()}"
    return f"[F {event.frame}] {text}"
