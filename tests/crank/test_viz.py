"""Match files: keys, dialects, numbers that are none, speed."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from support import viewer

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.game.decode import decode, stages
from awm_jax.game.frames import Frames, seed_frames
from crank import viz

CFG = EncodingConfig(state_age_as_embed=True, state_flags=True, hitstun=True, projectiles=True)
KEYS = [
    *("percent", "x", "y", "shield_strength", "speed_air_x", "speed_y", "speed_ground_x"),
    *("speed_attack_x", "speed_attack_y", "state_age", "hitlag", "stocks", "combo_count"),
    *("facing", "on_ground", "action_state", "jumps_left", "character"),
]


def frames(count: int, cfg: EncodingConfig = CFG) -> Frames:
    made = seed_frames(cfg, count, 8, (18, 1))
    rng = np.random.default_rng(0)
    made.floats[:] += rng.normal(0, 1, made.floats.shape).astype(np.float32)
    made.ints[:, 7] = np.arange(count) % 150
    return made


def match(count: int = 3, **meta) -> dict:
    made = frames(count)
    return viz.match_object(
        viz.viz_frames(decode(CFG, made), stages(made)),
        mode="agent-vs-agent",
        seed_frames=3,
        stage=8,
        characters=(18, 27),
        meta=meta,
    )


def test_keys_in_the_reference_order() -> None:
    made = match(arch="mamba2", outcome="ko")
    assert list(made) == ["meta", "stage_geometry", "frames"]
    head = ["mode", "total_frames", "seed_frames", "stage", "characters"]
    assert list(made["meta"]) == [*head, "arch", "outcome"]
    assert made["meta"]["stage"] == {"id": 8, "name": "Yoshi's Story"}
    characters = {"p0": {"id": 18, "name": "MARTH"}, "p1": {"id": 27, "name": "CHAR_27"}}
    assert made["meta"]["characters"] == characters
    frame = made["frames"][0]
    assert list(frame) == ["players", "stage"] and frame["stage"] == 8
    for player in frame["players"]:
        assert list(player) == KEYS


def test_numbers_of_a_seed() -> None:
    """Unrounded: a float32 divided by a double scale."""
    made = seed_frames(CFG, 1, 31, (2, 9))
    first, second = viz.viz_frames(decode(CFG, made), stages(made))[0]["players"]
    assert first["shield_strength"] == 60.00000238418579 and first["x"] == -30.0
    assert first["facing"] == 1.0 and type(first["facing"]) is float
    assert second["facing"] == 0.0 and second["stocks"] == 4.0 and second["jumps_left"] == 2
    integers = ("state_age", "action_state", "jumps_left", "character")
    assert [type(first[key]) for key in integers] == [int] * 4


def test_mended_keys() -> None:
    """The age where it is embedded (M5); the combo count whatever the flags (M4)."""
    made = frames(5)
    where = {name: i for i, name in enumerate(("hitlag", "stocks", "combo_count", "hitstun"))}
    made.floats[:, 9 + where["combo_count"]] = 0.7
    made.floats[:, 9 + where["hitstun"]] = 0.2
    shown = [f["players"][0] for f in viz.viz_frames(decode(CFG, made), stages(made))]
    assert [player["state_age"] for player in shown] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([player["combo_count"] for player in shown], 7, rtol=1e-6)
    floating = frames(2, EncodingConfig())
    shown = viz.viz_frames(decode(EncodingConfig(), floating), stages(floating))
    assert type(shown[0]["players"][0]["state_age"]) is float


def test_the_site_takes_the_object_and_the_html_viewers_the_array() -> None:
    made = match(20)
    array, whole = (json.loads(viz.to_json(made, form)) for form in ("array", "object"))
    assert array == whole["frames"] == made["frames"]
    kept = viewer.load(array)
    assert len(kept) == 20
    assert kept[3]["players"][1]["action_state"] == made["frames"][3]["players"][1]["action_state"]
    with pytest.raises(ValueError, match="not an array"):  # M26: why there is the array
        viewer.load(whole)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_number_is_refused_never_written(value: float) -> None:
    """Bare NaN is not JSON (M10)."""
    made = frames(4)
    made.floats[2, CFG.float_per_player + 1] = value
    with pytest.raises(AwmError, match=r"frame 2: p1's x is -?(nan|inf), not a number"):
        viz.viz_frames(decode(CFG, made), stages(made))
    with pytest.raises(ValueError, match="JSON"):
        viz.to_json(match(meta=value))


def test_unknown_format() -> None:
    with pytest.raises(AwmError, match="no format 'csv'; give one of: object, array"):
        viz.to_json(match(), "csv")


def test_saving(tmp_path) -> None:
    path = tmp_path / "match.json"
    viz.save(match(), path)
    first = path.read_bytes()
    viz.save(match(), path)
    assert path.read_bytes() == first and first.endswith(b"}\n")
    assert [p.name for p in tmp_path.iterdir()] == ["match.json"]
    viz.save(match(), path, "array")
    assert path.read_bytes().startswith(b"[")
    with pytest.raises(AwmError, match=r"cannot write .*no/match\.json"):
        viz.save(match(), tmp_path / "no" / "match.json")


def test_a_full_disk_is_said() -> None:
    with pytest.raises(AwmError, match="cannot write /dev/full: the disk is full"):
        viz.save(match(), "/dev/full")


def test_eight_minutes_are_written_in_seconds() -> None:
    """28,800 frames; about one second of processor time on a 2.4 GHz core."""
    made = frames(28_800)
    began = time.process_time()
    shown = viz.viz_frames(decode(CFG, made), stages(made))
    text = viz.to_json({"frames": shown}, "array")
    assert time.process_time() - began < 8
    assert text.count('"players"') == 28_800
