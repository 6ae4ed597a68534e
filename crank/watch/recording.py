"""A recorded match as the page wants it: checked, in columns, with its events.

All dialects of match files are taken: the object, the bare array, the comparison of several tracks
and the old rollout's frames. Source: match.md sections 1.4 and 5.1.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from awm_jax.errors import AwmError
from awm_jax.game.stages import stage as stage_of
from crank.viz import PLAYER_KEYS
from crank.watch.events import detect, ticker_line
from crank.watch.minds import read_minds
from crank.watch.tables import character_label

DEFAULTS: dict[str, float] = {
    **dict.fromkeys(PLAYER_KEYS, 0),
    "shield_strength": 60,
    "stocks": 4,
    "facing": 1,
    "on_ground": 1,
    "action_state": 14,
    "jumps_left": 2,
}
DEFAULT_STAGE = 31
WHOLE = ("action_state", "jumps_left", "character")
REPLAYS = (".slp", ".slx", ".slp.xz")
TABLE = ".parquet"
"""Ends the name of a table of recorded frames; `frames.parquet#7` is match 7 in it."""
RECORDINGS = (".json", TABLE, *REPLAYS)
MAX_BYTES = 256 << 20
MAX_FRAMES = 216_000
"""One hour."""
MAX_TRACKS = 2
DIGITS = 3
CONTEXTS = ("windowed", "recurrent")
_OLD_KEYS = {"shield": "shield_strength", "action": "action_state"}

Frame = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Source:
    """One checked sequence of frames and what its file says about it.

    Attributes:
      name: what to call it.
      frames: `{"players": [P, P], "stage": int}` each, every key of `DEFAULTS` present.
      meta: the file's own, unchecked.
      proof: the cartridge and context from which it can be computed again; None where it cannot.
      machine: the integer machine's record in the file, unchecked; None where there is none.
      minds: see `crank.watch.minds`.
    """

    name: str
    frames: list[Frame]
    meta: Mapping[str, Any]
    proof: Mapping[str, str] | None = None
    machine: Mapping[str, Any] | None = None
    minds: list[dict[str, Any] | None] | None = None


def read(path: str | os.PathLike[str]) -> list[Source]:
    """The frames of a match file or a real game.

    Raises:
      AwmError: the file cannot be read or is none; a sentence for the page.
    """
    name = Path(path).name
    if name.endswith(REPLAYS):
        from crank.replay import replay_object

        return sources(replay_object(path), name)
    file, match = split_match(os.fspath(path))
    if file.endswith(TABLE):
        from crank.watch.table import read_match

        return [Source(name, *read_match(file, match))]
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise AwmError(f"{name} is larger than {MAX_BYTES >> 20} MB")
        with open(path, "rb") as file:
            content = json.load(file)
    except OSError as error:
        raise AwmError(f"{name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise AwmError(f"{name} is not JSON, so it is no match file") from None
    return sources(content, name)


def split_match(name: str) -> tuple[str, int | None]:
    """The file and the number of the match of a name such as `frames.parquet#7`."""
    file, mark, number = name.rpartition("#")
    if mark and file.endswith(TABLE) and number.isdecimal():
        return file, int(number)
    return name, None


def sources(content: Any, name: str) -> list[Source]:
    """The same from a match file's content; of a comparison the first two tracks.

    Args:
      name: what to call it, where the content does not say.
    """
    found = list(_split(content, name))[:MAX_TRACKS]
    checked = [Source(label, check_frames(frames, label), meta) for label, frames, meta in found]
    if len(checked) != 1:
        return checked
    only, proof = checked[0], proof_of(content)
    machine = content["machine"] if proof is not None else None
    minds = read_minds(content, len(only.frames))
    return [dataclasses.replace(only, proof=proof, machine=machine, minds=minds)]


def proof_of(content: Any) -> dict[str, str] | None:
    """The cartridge's identity and the context of a match that the integer machine played."""
    if not isinstance(content, dict) or not isinstance(content.get("machine"), dict):
        return None
    meta = content.get("meta")
    hashes = meta.get("weights_sha256") if isinstance(meta, dict) else None
    world = hashes.get("world") if isinstance(hashes, dict) else None
    context = meta.get("context") if isinstance(meta, dict) else None
    if not isinstance(world, str) or context not in CONTEXTS:
        return None
    return {"cartridge": world[:64], "context": context}


def load(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The tracks of a match file or a real game, ready for the page.

    Raises:
      AwmError: as `read`.
    """
    return [track(source) for source in read(path)]


def _split(content: Any, name: str) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    if isinstance(content, list):
        yield name, content, {}
        return
    if not isinstance(content, dict):
        raise AwmError(f"{name} holds neither frames nor a match")
    meta = content.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    several = content.get("tracks")
    if isinstance(several, dict) and several:
        for label, frames in several.items():
            yield label, frames, meta
    else:
        yield name, content.get("frames"), meta


def check_frames(frames: Any, name: str) -> list[Frame]:
    """Frames with two players of numbers, absent keys filled in; their place in the file if not."""
    if not isinstance(frames, list) or not frames:
        raise AwmError(f"{name} holds no frames")
    if len(frames) > MAX_FRAMES:
        raise AwmError(f"{name} has more than {MAX_FRAMES} frames")
    return [check_frame(frame, f"{name}, frame {i}") for i, frame in enumerate(frames)]


def check_frame(frame: Any, where: str) -> Frame:
    """One frame; `where` begins the sentence that says what is wrong with it."""
    if not isinstance(frame, dict):
        raise AwmError(f"{where}: is no object")
    players = frame.get("players")
    if players is None and isinstance(frame.get("p0"), dict):
        pair = [frame["p0"], frame.get("p1")]
        players = [
            {_OLD_KEYS.get(k, k): v for k, v in p.items()} for p in pair if isinstance(p, dict)
        ]
    if not isinstance(players, list) or len(players) != 2:
        raise AwmError(f"{where}: has not two players")
    stage = frame.get("stage", DEFAULT_STAGE)
    if type(stage) is not int:
        raise AwmError(f"{where}: the stage is no number")
    return {"players": [_player(p, i, where) for i, p in enumerate(players)], "stage": stage}


def _player(player: Any, number: int, where: str) -> dict[str, Any]:
    if not isinstance(player, dict):
        raise AwmError(f"{where}: player {number} is no object")
    for key in ("x", "y", "action_state"):
        if key not in player:
            raise AwmError(f"{where}: player {number} has no {key}")
    kept = {}
    for key, default in DEFAULTS.items():
        value = player.get(key, default)
        if type(value) not in (int, float, bool) or not math.isfinite(value):
            raise AwmError(f"{where}: player {number}'s {key} is no number")
        kept[key] = int(value) if key in WHOLE else value
    kept["facing"] = float(kept["facing"] > 0)
    kept["on_ground"] = float(kept["on_ground"] > 0)
    return kept


def track(source: Source) -> dict[str, Any]:
    """What the page needs of one sequence: names, geometry, columns, events."""
    meta, checked, name = source.meta, source.frames, source.name
    number = checked[0]["stage"]
    stage = stage_of(number)
    players = describe_players(checked[0], meta)
    names = [p["label"] for p in players]
    events = detect(stage, checked)
    first = meta.get("first_frame")
    return {
        "name": name,
        "mode": _text(meta.get("mode")) or "recording",
        "stage": {"id": number, **stage.geometry()},
        "players": players,
        "first": first if type(first) is int else 0,
        "seeds": _count(meta.get("seed_frames")),
        "count": len(checked),
        "columns": columns(checked),
        "events": [e.to_dict() | {"line": ticker_line(e, names)} for e in events],
        "facts": _facts(meta),
        "proof": source.proof,
        "minds": source.minds,
    }


def describe_players(frame: Frame, meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who the two are: label, character, agent and rating, as text that the page shows as text."""
    found = []
    for i, player in enumerate(frame["players"]):
        character = player["character"]
        found.append(
            {
                "label": character_label(character),
                "character": character,
                "agent": _text(meta.get(f"p{i}_agent")),
                "rating": _text(meta.get(f"p{i}_rating")),
            }
        )
    if found[0]["label"] == found[1]["label"]:
        for i, player in enumerate(found):
            player["label"] += f" {i + 1}"
    return found


def columns(frames: Sequence[Frame]) -> dict[str, list[list[float]]]:
    """Key -> both players' values over time, rounded to what a picture needs."""
    out: dict[str, list[list[float]]] = {}
    for key in DEFAULTS:
        pair = [[frame["players"][p][key] for frame in frames] for p in (0, 1)]
        out[key] = pair if key in WHOLE else [[round(v, DIGITS) for v in one] for one in pair]
    return out


_FACTS = {
    "outcome": "outcome",
    "reason": "reason",
    "winner": "winner",
    "digest": "digest",
    "seed": "seed",
    "arch": "network",
    "arithmetic": "arithmetic",
    "context": "context",
    "model_checkpoint": "world",
    "slippi_version": "recorded by Slippi",
}


def _facts(meta: Mapping[str, Any]) -> dict[str, str | int | float]:
    """What the page tells about a match, name -> value, short and plain."""
    known = {label: meta.get(key) for key, label in _FACTS.items()}
    return {
        label: value[:120] if isinstance(value, str) else value
        for label, value in known.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    }


def _text(value: Any) -> str:
    return str(value)[:80] if isinstance(value, str | int | float) else ""


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0
