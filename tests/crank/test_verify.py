"""Matches of the integer machine: recorded, digested, computed again."""

from __future__ import annotations

import copy
import json

import jax
import numpy as np
import pytest
from support.int_worlds import arch_of, world_of

from awm_jax.errors import AwmError
from awm_jax.int8.native.match_file import match_bytes
from crank import playing
from crank.verify import export_match, open_match, verify

FRAMES = 60


@pytest.fixture(scope="module")
def world():
    return world_of(3, arch_of())


def play(world, **changes):
    options = {"max_frames": FRAMES, "seed": 5, "early_ko": False} | changes
    return playing.play(world, "random", "hold-forward", **options)


@pytest.fixture(scope="module")
def match(world):
    return play(world)


@pytest.fixture(scope="module")
def recorded(match):
    return json.loads(match.to_json())


def test_match_is_alive(match):
    columns = match.columns()
    assert len(np.unique(columns["x"])) > 10
    assert len(np.unique(columns["action"])) > 3


def test_same_seed_same_file_and_digest_others_differ(world, match):
    assert play(world).to_json() == match.to_json()
    assert play(world, seed=6).digest != match.digest


@pytest.mark.parametrize("resim", [0, 7])
def test_verifies(world, recorded, resim):
    verdict = verify(world, recorded, resim=resim)
    assert verdict.holds
    assert verdict.frames == FRAMES
    assert verdict.computed == recorded["meta"]["digest"]


def test_first_deviating_field_is_named(world, recorded):
    changed = copy.deepcopy(recorded)
    player = changed["frames"][33]["players"][1]
    player["x"] += 0.5
    deviation = verify(world, changed).deviation
    assert (deviation.frame, deviation.part, deviation.field) == (33, "player 1", "x")
    assert deviation.recorded - deviation.computed == 0.5


def test_changed_input_deviates(world, recorded):
    changed = copy.deepcopy(recorded)
    pads = bytearray.fromhex(changed["machine"]["pads"])
    pads[20 * 16] ^= 64
    changed["machine"]["pads"] = pads.hex()
    verdict = verify(world, changed)
    assert not verdict.holds
    assert verdict.deviation is None or verdict.deviation.frame > 20


def test_other_world_deviates(recorded):
    assert not verify(world_of(4, arch_of()), recorded).holds


@pytest.mark.parametrize("part", ["seed", "pads", "digest"])
def test_damaged_record_is_refused(world, recorded, part):
    changed = copy.deepcopy(recorded)
    del changed["machine"][part]
    with pytest.raises(AwmError, match="damaged"):
        verify(world, changed)


def test_float_match_is_refused(world, recorded, tmp_path):
    changed = {k: v for k, v in recorded.items() if k != "machine"}
    with pytest.raises(AwmError, match="integer machine"):
        verify(world, changed)
    path = tmp_path / "match.json"
    path.write_text(json.dumps(changed))
    with pytest.raises(AwmError, match="integer machine"):
        open_match(str(path), None, "xla")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"meta": 3}'])
def test_files_that_are_no_match(tmp_path, text):
    path = tmp_path / "match.json"
    path.write_text(text)
    with pytest.raises(AwmError, match=r"match\.json"):
        open_match(str(path), None, "xla")


def test_exported_for_the_checker(recorded, match, tmp_path):
    path = tmp_path / "match.json"
    path.write_text(json.dumps(recorded))
    data, frames, digest = export_match(str(path))
    start = jax.tree.map(lambda v: v[: match.seed_count], match.frames)
    lanes = np.array([int(match.digest[i : i + 8], 16) for i in range(0, 32, 8)], np.uint32)
    assert data == match_bytes(start, match.pads, lanes)
    assert (frames, digest) == (FRAMES, match.digest)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda m: m.pop("machine"), "not played by the integer machine"),
        (lambda m: m["machine"].update(digest="0" * 31), "a digest has 32 hexadecimal digits"),
        (lambda m: m["machine"].update(pads="00"), "record is damaged"),
        (lambda m: m["machine"]["seed"]["stage"].pop(), "do not fit each other: cont"),
        (lambda m: m["machine"]["seed"].update(binary=0), "do not fit each other: binary"),
    ],
)
def test_what_is_not_exported(recorded, tmp_path, damage, why):
    changed = copy.deepcopy(recorded)
    damage(changed)
    path = tmp_path / "match.json"
    path.write_text(json.dumps(changed))
    with pytest.raises(AwmError, match=rf"match\.json: .*{why}"):
        export_match(str(path))
