"""Every golden match over all its frames, through `crank.play`: arrays, controllers, match file."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from support.matches import GoldenMatch, golden_match, match_names

import crank
from awm_jax.encoding import column_scale
from awm_jax.game.decode import decode
from crank import Match
from crank.viz import PLAYER_KEYS

ATOL = 2e-4
META_OF_THE_CLI = ["model_checkpoint", "arch", "context_len", "p0_agent", "p1_agent"]


@functools.cache
def played(name: str) -> tuple[GoldenMatch, Match]:
    golden = golden_match(name)
    info = golden.info
    match = crank.play(
        golden.world(),
        golden.agent(0),
        golden.agent(1),
        stage=info["stage"],
        characters=golden.characters,
        max_frames=info["max_frames"],
        early_ko=info["early_ko"],
    )
    return golden, match


@pytest.mark.parametrize("name", match_names())
def test_frames(name: str) -> None:
    golden, match = played(name)
    assert np.array_equal(match.frames.ints, golden.arrays["sim_ints"])
    assert match.frames.floats.shape == golden.arrays["sim_floats"].shape
    assert match.frames.floats.dtype == np.float32
    np.testing.assert_allclose(match.frames.floats, golden.arrays["sim_floats"], rtol=0, atol=ATOL)
    where = [n for n in decode(golden.cfg, match.frames) if n in ("facing", "on_ground")]
    assert where == ["facing", "on_ground"]


@pytest.mark.parametrize("name", match_names())
def test_controllers(name: str) -> None:
    golden, match = played(name)
    analog, buttons = np.split(match.pads, [5], axis=-1)
    want_analog, want_buttons = np.split(golden.arrays["ctrl"], [5], axis=-1)
    assert np.array_equal(buttons, want_buttons)
    np.testing.assert_allclose(analog, want_analog, rtol=0, atol=ATOL)


@pytest.mark.parametrize("name", match_names())
def test_outcome(name: str) -> None:
    golden, match = played(name)
    assert match.played == golden.info["generated_frames"]
    assert match.outcome.word == ("ko" if golden.info["ended_by_ko"] else "timeout")


@pytest.mark.parametrize("name", match_names())
def test_match_file(name: str) -> None:
    golden, match = played(name)
    ours, theirs = match.to_object(), golden.file
    assert list(ours) == list(theirs)
    assert ours["stage_geometry"] == theirs["stage_geometry"]
    assert list(ours["meta"])[: len(theirs["meta"])] == list(theirs["meta"])
    for key, value in theirs["meta"].items():
        if key not in ("model_checkpoint", "p0_agent", "p1_agent"):
            assert ours["meta"][key] == value, key
    assert len(ours["frames"]) == len(theirs["frames"]) == theirs["meta"]["total_frames"]
    for number, (got, want) in enumerate(zip(ours["frames"], theirs["frames"], strict=True)):
        assert list(got) == list(want) and got["stage"] == want["stage"]
        for player in (0, 1):
            compare_players(match, number, player, got["players"][player], want["players"][player])


def compare_players(
    match: Match, number: int, player: int, got: dict[str, Any], want: dict[str, Any]
) -> None:
    cfg = match.cfg
    assert list(got) == list(want)
    for key, value in want.items():
        if key == "state_age":  # M5: theirs is 0, ours the count
            column = cfg.int_per_player * player + cfg.int_per_player - 1
            assert got[key] == match.frames.ints[number, column]
            assert type(got[key]) is int
        elif key == "combo_count" and cfg.hitstun:  # M4: theirs is the hitstun column
            hitstun = match.frames.floats[number].reshape(2, -1)[player, 12] / cfg.combo_count_scale
            assert abs(hitstun - value) <= ATOL / cfg.combo_count_scale
        elif isinstance(value, int) or key in ("facing", "on_ground"):
            assert got[key] == value and type(got[key]) is type(value), key
        else:
            assert abs(got[key] - value) <= ATOL / column_scale(cfg, PLAYER_KEYS[key]), key
