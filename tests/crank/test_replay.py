"""Real games as match files and as the start of a match."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

import numpy as np
import pytest
from support import viewer
from support.golden import replays_dir

from awm_jax.encoding import EncodingConfig, float_names
from awm_jax.errors import AwmError
from awm_jax.game.decode import decode
from awm_jax.replays.slippi import read_game
from crank import viz
from crank.playing import prepare
from crank.replay import replay_object, replay_seed

pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")
CFG = EncodingConfig(state_age_as_embed=True, state_flags=True, hitstun=True, projectiles=True)


@functools.cache
def index(folder: str = "") -> list[dict[str, str]]:
    with (replays_dir() / folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def game_path(row: dict[str, str]) -> Path:
    return replays_dir() / "games" / row["file"]


@functools.cache
def shortest(version: str) -> dict[str, str]:
    rows = [row for row in index() if row["version"].startswith(version)]
    return min(rows, key=lambda row: int(row["rows"]))


def check_object(row: dict[str, str]) -> dict:
    made = replay_object(game_path(row))
    meta = made["meta"]
    assert meta["mode"] == "replay" and meta["seed_frames"] == 0
    assert meta["total_frames"] == len(made["frames"]) == int(row["frames_total"])
    assert meta["stage"]["id"] == int(row["stage_id"])
    assert meta["replay_sha256"] == row["sha256"]
    assert meta["slippi_version"] == row["version"]
    assert meta["winner"] == (int(row["winner"]) if row["winner"] else None)
    for player in ("p0", "p1"):
        # Zelda may begin as Sheik: then both are listed.
        ids = map(int, row[f"{player}_char_int"].split(";"))
        assert meta["characters"][player]["id"] in ids
    last = made["frames"][-1]["players"]
    assert [p["stocks"] for p in last] == [int(row[f"p{p}_stocks_end"]) for p in (0, 1)]
    viz.to_json(made)
    return made


@pytest.mark.parametrize("version", ["0.1", "1.7", "2.0", "3.1", "3.13"])
def test_match_files_of_real_games(version: str) -> None:
    made = check_object(shortest(version))
    kept = viewer.load(json.loads(viz.to_json(made, "array")))
    assert len(kept) == made["meta"]["total_frames"]
    x = np.array([[p["x"] for p in frame["players"]] for frame in made["frames"]])
    assert np.ptp(x, axis=0).min() > 20  # both are alive
    assert {p["facing"] for frame in made["frames"] for p in frame["players"]} == {0.0, 1.0}


@pytest.mark.long
def test_match_files_of_all_games() -> None:
    for row in index():
        check_object(row)


def test_seed_frames_are_the_games() -> None:
    path = game_path(shortest("3.13"))
    game = read_game(path)
    real = replay_seed(path, CFG, 10, start_frame=60)
    assert real.missing == ()
    first = int(np.flatnonzero(game.frame_ids == 60)[0])
    got = decode(CFG, real.frames)
    for name in ("x", "y", "percent", "stocks", "action", "character", "facing"):
        want = game.columns[name][first : first + 10]
        np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-5, err_msg=name)
    assert real.frames.floats.shape == (10, CFG.float_per_frame)


def test_an_old_game_says_what_it_lacks() -> None:
    missing = replay_seed(game_path(shortest("0.1")), CFG, 10).missing
    assert {"hitlag", "flags", "item_dx"} <= set(missing)
    assert not any(name.startswith("flag_") for name in missing)
    plain = EncodingConfig(state_age_as_embed=True)
    assert "flags" not in replay_seed(game_path(shortest("0.1")), plain, 10).missing
    assert "hitlag" in float_names(plain)


@pytest.mark.parametrize("start", [-124, 10**6])
def test_frames_that_the_game_does_not_have(start: int) -> None:
    with pytest.raises(AwmError, match=f"has no frames {start} to {start + 9}, it has -123 to"):
        replay_seed(game_path(shortest("3.13")), CFG, 10, start)


def test_playing_on_from_a_real_game(model) -> None:
    from awm_jax.fp32.world import Fp32World

    row = shortest("3.13")
    start = {"seed_replay": game_path(row), "start_frame": 30}
    setup = prepare(Fp32World.of(model), "random", "random", **start, max_frames=4)
    match = setup.run()
    assert match.stage == int(row["stage_id"])
    assert match.characters == (int(row["p0_char_int"]), int(row["p1_char_int"]))
    origin = match.to_object()["meta"]["seed_origin"]
    assert origin == {"replay": row["file"], "start_frame": 30, "missing": []}


def test_bad_files_are_refused_or_read_as_listed() -> None:
    for row in index("bad"):
        path = replays_dir() / "bad" / row["file"]
        if row["read"].startswith("refused"):
            with pytest.raises(AwmError) as error:
                replay_object(path)
            assert "\n" not in str(error.value) and row["file"] in str(error.value)
        else:
            made = replay_object(path)
            assert made["meta"]["total_frames"] == int(row["frames_total"])
            viz.to_json(made)
