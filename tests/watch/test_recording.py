"""Match files of all dialects, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from awm_jax.errors import AwmError
from crank.viz import PLAYER_KEYS
from crank.watch import recording


def player(**changed: Any) -> dict[str, Any]:
    return {"x": 1.0, "y": 2.0, "action_state": 14, **changed}


def frame(**changed: Any) -> dict[str, Any]:
    return {"players": [player(**changed), player(character=1)], "stage": 32}


def load(tmp_path: Path, content: Any) -> list[dict[str, Any]]:
    file = tmp_path / "match.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return recording.load(file)


def test_a_bare_array_gets_its_defaults(tmp_path: Path) -> None:
    (track,) = load(tmp_path, [frame(), frame(percent=12.3456)])
    assert track["count"] == 2 and track["stage"]["name"] == "Final Destination"
    assert set(track["columns"]) == set(PLAYER_KEYS)
    assert track["columns"]["percent"][0] == [0, 12.346]
    assert track["columns"]["stocks"] == [[4, 4], [4, 4]]
    assert track["columns"]["shield_strength"][1] == [60, 60]


def test_the_object_names_agents_and_outcome(tmp_path: Path) -> None:
    meta = {
        "mode": "agent-vs-agent",
        "seed_frames": 1,
        "p0_agent": "policy:<script>alert(1)</script>",
        "p1_agent": "noop",
        "winner": 1,
        "digest": "ab" * 16,
    }
    (track,) = load(tmp_path, {"meta": meta, "frames": [frame(), frame()]})
    assert track["mode"] == "agent-vs-agent" and track["seeds"] == 1
    assert track["players"][0]["agent"] == "policy:<script>alert(1)</script>"
    assert track["players"][1]["label"] == "Fox"
    assert track["facts"]["digest"] == "ab" * 16 and track["facts"]["winner"] == 1


def test_a_comparison_gives_two_tracks(tmp_path: Path) -> None:
    three = {name: [frame()] for name in ("float", "integer", "third")}
    tracks = load(tmp_path, {"comparison": True, "tracks": three, "default_track": "float"})
    assert [track["name"] for track in tracks] == ["float", "integer"]


def test_the_old_rollouts_frames(tmp_path: Path) -> None:
    old = {"p0": player(shield=55.0, action=20), "p1": player(action=14), "stage": 31}
    for key in ("p0", "p1"):
        del old[key]["action_state"]
    (track,) = load(tmp_path, {"frames": [old], "num_frames": 1})
    assert track["columns"]["shield_strength"][0] == [55]
    assert track["columns"]["action_state"][0] == [20]


def test_facing_by_sign_or_truth(tmp_path: Path) -> None:
    (track,) = load(tmp_path, [frame(facing=f) for f in (-1, 0, 1, True, False)])
    assert track["columns"]["facing"][0] == [0, 0, 1, 1, 0]


def test_mirror_matches_get_numbers(tmp_path: Path) -> None:
    (track,) = load(tmp_path, [{"players": [player(character=1), player(character=1)]}])
    assert [p["label"] for p in track["players"]] == ["Fox 1", "Fox 2"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("3", "neither frames nor a match"),
        ([], "no frames"),
        ({"frames": 3}, "no frames"),
        ([1], "frame 0: is no object"),
        ([{"players": []}], "frame 0: has not two players"),
        ([{"players": [player()] * 3}], "frame 0: has not two players"),
        ([frame(), {"players": [player(), 1]}], "frame 1: player 1 is no object"),
        ([{"players": [{"x": 1}, player()]}], "player 0 has no y"),
        ([frame(percent="3")], "player 0's percent is no number"),
        ([frame(x=None)], "player 0's x is no number"),
        ('[{"players": [{"x": NaN, "y": 0, "action_state": 1}, {}]}]', "player 0's x is no number"),
        ([{**frame(), "stage": "32"}], "the stage is no number"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(AwmError, match=sentence):
        load(tmp_path, content)


def test_too_many_frames_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_FRAMES", 2)
    with pytest.raises(AwmError, match="more than 2 frames"):
        load(tmp_path, [frame()] * 3)
    monkeypatch.setattr(recording, "MAX_BYTES", 20)
    with pytest.raises(AwmError, match="larger than"):
        load(tmp_path, [frame()])


def test_an_absent_file() -> None:
    with pytest.raises(AwmError, match="cannot be read"):
        recording.load("nowhere/match.json")
