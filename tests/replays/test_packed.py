"""Packed games unfold to the very bytes, and damaged ones to one line."""

import hashlib
import lzma
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.golden import replays_dir

from awm_jax.errors import AwmError
from awm_jax.replays import packed, residuals


def assert_unpacks(row):
    data = packed.unpack(replays_dir() / "games" / row["file"])
    assert len(data) == int(row["bytes"])
    assert hashlib.sha256(data).hexdigest() == row["sha256"]


def test_sample_is_byte_for_byte(sample):
    for row in sample:
        assert_unpacks(row)


@pytest.mark.long
def test_every_game_is_byte_for_byte(index):
    assert len(index) == 525
    for row in index:
        assert_unpacks(row)


def test_bad_files_unpack_too(bad_index):
    for row in bad_index:
        data = packed.unpack(replays_dir() / "bad" / row["file"])
        assert hashlib.sha256(data).hexdigest() == row["sha256"]


def test_plain_file_is_taken_as_it_is(tmp_path):
    (tmp_path / "a.slp").write_bytes(b"anything")
    assert packed.unpack(tmp_path / "a.slp") == b"anything"


def test_errors_are_one_line(tmp_path, sample):
    games = replays_dir() / "games"
    data = (games / sample[3]["file"]).read_bytes()
    (tmp_path / "alone.slx").write_bytes(data)
    with pytest.raises(AwmError, match=r"common\.xz: missing"):
        packed.unpack(tmp_path / "alone.slx")
    shutil.copy(games / "common.xz", tmp_path / "common.xz")
    packed.load_common.cache_clear()
    assert packed.unpack(tmp_path / "alone.slx")[:3] == b"{U\x03"

    with pytest.raises(AwmError, match="cannot be read"):
        packed.unpack(tmp_path / "absent.slx")
    with pytest.raises(AwmError, match="cannot be read"):
        packed.unpack(tmp_path)
    (tmp_path / "cut.slp.xz").write_bytes(lzma.compress(b"x" * 1000)[:-20])
    with pytest.raises(AwmError, match="damaged"):
        packed.unpack(tmp_path / "cut.slp.xz")
    other = lzma.compress((5).to_bytes(4, "big") + b"other")
    (tmp_path / "common.xz").write_bytes(other)
    packed.load_common.cache_clear()
    with pytest.raises(AwmError, match="belongs to other games"):
        packed.unpack(tmp_path / "alone.slx")


def test_a_file_that_unfolds_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MAX_BYTES", 1 << 16)
    (tmp_path / "bomb.slp.xz").write_bytes(lzma.compress(bytes(1 << 20)))
    with pytest.raises(AwmError, match="too large"):
        packed.unpack(tmp_path / "bomb.slp.xz")


def test_damaged_packed_games_never_escape_as_another_error(tmp_path, sample):
    """Cut anywhere, or any byte flipped: an AwmError, or bytes that the caller checks."""
    games = replays_dir() / "games"
    data = (games / sample[3]["file"]).read_bytes()
    shutil.copy(games / "common.xz", tmp_path / "common.xz")
    packed.load_common.cache_clear()
    rng = np.random.default_rng(0)
    refused = 0
    for case in range(40):
        damaged = bytearray(data)
        if case % 2:
            damaged = damaged[: rng.integers(4, len(data))]
        else:
            damaged[rng.integers(4, 2000)] ^= 1 << rng.integers(8)
        (tmp_path / "damaged.slx").write_bytes(damaged)
        try:
            packed.unpack(tmp_path / "damaged.slx")
        except AwmError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused >= 20


words = st.integers(0, 2**32 - 1)
floats = st.one_of(
    st.floats(-300, 300, width=32).map(lambda x: int(np.float32(x).view(np.uint32))),
    st.sampled_from([0, 1 << 31, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00001, 1]),
)
residual = st.one_of(st.just(0), st.just(0), st.just(0), floats)


@st.composite
def chains(draw):
    n = draw(st.integers(0, 30))
    column = {
        name: np.array(draw(st.lists(kind, min_size=n, max_size=n)), np.uint32)
        for name, kind in (("pre", residual), ("post", residual), ("v", floats), ("k", floats))
    }
    ref = [draw(st.one_of(st.just(i - 1), st.integers(-1, i - 1))) for i in range(n)]
    return column, np.array(ref, np.int64)


@given(chains())
@settings(max_examples=300, deadline=None)
def test_follow_is_the_row_by_row_rule(chain):
    column, ref = chain
    before, after = residuals.follow(column["pre"], column["post"], ref, column["v"], column["k"])
    want = []
    for i, source in enumerate(ref):
        x = (want[source] if source >= 0 else 0) ^ int(column["pre"][i])
        assert before[i] == x
        want.append(
            residuals.moved(x, int(column["v"][i]), int(column["k"][i])) ^ int(column["post"][i])
        )
    assert after.tolist() == want


@given(chains())
def test_carry_is_the_row_by_row_rule(chain):
    column, ref = chain
    before, after = residuals.carry(column["pre"], column["post"], ref)
    want = []
    for i, source in enumerate(ref):
        x = (want[source] if source >= 0 else 0) ^ int(column["pre"][i])
        assert before[i] == x
        want.append(x ^ int(column["post"][i]))
    assert after.tolist() == want


@given(st.lists(st.tuples(words, st.integers(0, 3)), max_size=40))
def test_by_key_is_the_row_by_row_rule(pairs):
    changes = np.array([c for c, _ in pairs], np.uint32)
    keys = np.array([k for _, k in pairs], np.uint32)
    last, want = {}, []
    for change, key in pairs:
        last[key] = last.get(key, 0) ^ change
        want.append(last[key])
    assert residuals.by_key(changes, keys).tolist() == want


@given(st.lists(st.integers(0, 255), max_size=40), st.data())
def test_seeds_are_drawn_one_by_one(steps, data):
    given_seeds = [data.draw(words) for step in steps if step == 255]
    seed, fresh, want = 0, iter(given_seeds), []
    for step in steps:
        if step == 255:
            seed = next(fresh)
        else:
            for _ in range(step):
                seed = (seed * 214013 + 2531011) % 2**32
        want.append(seed)
    got = residuals.seeds_after(np.array(steps, np.uint8), np.array(given_seeds, np.uint32))
    assert got.tolist() == want


@given(st.lists(st.integers(-3, 5), max_size=30))
def test_last_before_is_the_row_by_row_rule(ids):
    wrapped = np.array(ids, np.int64).astype(np.uint32)
    last, want = {}, []
    for i, number in enumerate(ids):
        want.append(last.get(number - 1, -1))
        last[number] = i
    assert residuals.last_before(wrapped).tolist() == want
