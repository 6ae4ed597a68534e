"""A match's bits do not depend on the run around it, and equal those of `crank.play`."""

from __future__ import annotations

import numpy as np
import pytest
from support.batches import FRAMES, PAIRS, entrants, small_spec, small_world, whole_digest

import crank
from awm_jax.errors import AwmError
from crank.batch import BatchSpec, Entrant, MatchSpec, draw_matches, run_batch
from crank.batch.loading import load
from crank.batch.memory import check_slots
from crank.batch.running import Progress


@pytest.fixture(scope="module")
def results():
    return run_batch(small_spec(60), slots=16)


def assert_as_played(spec: BatchSpec, rows) -> None:
    for row in rows:
        m = spec.matches[row.match]
        alone = crank.play(
            spec.world,
            spec.entrants[m.p0].agent,
            spec.entrants[m.p1].agent,
            stage=m.stage,
            characters=m.characters,
            max_frames=spec.max_frames,
            seed=m.seed,
        )
        assert row.digest == alone.digest, row
        assert (row.frames, row.reason) == (alone.played, alone.outcome.word), row
        assert row.winner == alone.winner
        assert (row.p0_stocks, row.p1_stocks) == alone.final_stocks
        assert (row.p0_percent, row.p1_percent) == alone.final_percent


def test_the_matches_are_alive(results) -> None:
    """Or nothing below would mean anything."""
    assert len({row.digest for row in results.rows}) == 60
    assert len({row.frames for row in results.rows}) > 2
    assert {row.reason for row in results.rows} == {"ko", "timeout"}
    assert {row.winner for row in results.rows} >= {0, 1}


def test_every_match_is_that_of_play(results) -> None:
    assert_as_played(small_spec(60), results.rows[::3])


@pytest.mark.long
def test_a_thousand_matches_are_those_of_play() -> None:
    """Whatever the slots, their number and the chunk: a row's slot is another in each run."""
    spec = small_spec(1000, [*PAIRS, ("random", "one"), ("noop", "two")])
    rows = run_batch(spec, slots=64).rows
    for slots, chunk in ((1, 60), (7, 13), (256, 1)):
        assert list(run_batch(spec, slots=slots, chunk=chunk).rows) == list(rows), (slots, chunk)
    assert_as_played(spec, rows)


def test_slots_chunk_and_neighbours_change_nothing(results) -> None:
    seen: list[Progress] = []
    other = run_batch(small_spec(60), slots=8, chunk=7, on_progress=seen.append)
    assert list(other.rows) == list(results.rows)
    assert seen[-1].matches == seen[-1].total == 60
    fewer = small_spec(60)
    some = [fewer.matches[i] for i in (5, 11, 40)]
    alone = run_batch(BatchSpec(fewer.world, fewer.entrants, some, max_frames=FRAMES), slots=8)
    assert [r.digest for r in alone.rows] == [results.rows[i].digest for i in (5, 11, 40)]


@pytest.mark.long
def test_both_engines_give_the_same() -> None:
    native, xla = (run_batch(small_spec(60, engine=e), slots=16) for e in ("auto", "xla"))
    assert whole_digest(native) == whole_digest(xla)


def test_weights_do_not_compile_anew(results) -> None:
    from crank.batch import slots as device
    from crank.batch.running import _devices

    programs = device.programs(tuple(_devices(None)))
    before = programs.advance._cache_size()
    run_batch(small_spec(8, [("two", "two")]), slots=8)
    grown = programs.advance._cache_size() - before
    run_batch(small_spec(8, [("one", "one")]), slots=8)
    assert programs.advance._cache_size() - before == grown


def test_the_summary_adds_up(results) -> None:
    summary = results.summary()
    assert summary["p0_wins"] + summary["p1_wins"] + summary["draws"] == 60
    assert sum(summary["ended"].values()) == 60
    assert summary["frames"] == sum(row.frames for row in results.rows)
    one, two = summary["agents"]["one"], summary["agents"]["two"]
    assert (one["wins"], one["losses"]) == (two["losses"], two["wins"])
    assert one["stocks_difference"] == -two["stocks_difference"]
    assert sum(s["matches"] for s in summary["stages"].values()) == 60
    assert results.columns()["digest"] == [row.digest for row in results.rows]


def test_the_plan_is_a_function_of_seed_and_index() -> None:
    few, many = (
        draw_matches(PAIRS, n, seed=5, stages=[2, 8], characters=([1], [2, 3])) for n in (10, 100)
    )
    assert many[:10] == few
    assert len({m.seed for m in many}) == 100
    assert {m.stage for m in many} == {2, 8} and {m.characters for m in many} == {(1, 2), (1, 3)}
    other = draw_matches(PAIRS, 10, seed=6, stages=[2], characters=([1], [2]))
    assert not {m.seed for m in other} & {m.seed for m in few}


class _Asks:
    def __init__(self, each: int, devices: int = 1):
        self.each = each
        self.programs = type("", (), {"devices": devices})()

    def largest(self) -> int:
        return self.each


def test_memory_is_bounded_and_said() -> None:
    said: list[str] = []
    field = _Asks(1 << 20)
    field.programs.mesh = small_mesh()
    assert check_slots(2048, 10_000, field, said.append, free=1 << 30) == 512
    assert "too much for memory; playing 512" in said[0]
    assert said[1] == "512 matches at once, 512.0 MiB of states (1.0 MiB each)"
    assert check_slots(64, 10, field, said.append, free=1 << 30) == 16
    with pytest.raises(AwmError, match="a match needs 1"):
        check_slots(64, 10, field, said.append, free=1 << 20)
    with pytest.raises(AwmError, match="0 slots"):
        check_slots(0, 10, field, said.append)


def small_mesh():
    from crank.batch.running import _devices
    from crank.batch.slots import programs

    return programs(tuple(_devices(1))).mesh


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_frames": 0}, "0 frames to play"),
        ({"entrants": {"one": Entrant("nobody")}}, "agent one: no agent 'nobody'"),
        ({"entrants": {"one": Entrant("noop")}}, "no agent is called 'two'"),
        ({"entrants": {"one": Entrant("noop", np.inf)}}, "button bias inf"),
        ({"matches": [MatchSpec("one", "two", 0, 99, (1, 2))]}, "no stage '99'"),
        ({"matches": [MatchSpec("one", "two", 0, 2, (1, 99))]}, "no character '99'"),
    ],
)
def test_bad_specs_are_refused(changes, message) -> None:
    usual = {"matches": [MatchSpec("one", "two", 0, 2, (1, 2))], "entrants": entrants()}
    with pytest.raises(AwmError, match=message):
        load(BatchSpec(small_world(), **usual | changes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record": [0]}, "recording frames needs a folder"),
        ({"record": [8], "out": "x"}, "there is no match 8"),
        ({"devices": 99}, "99 devices asked for"),
        ({"chunk": 0}, "0 frames between"),
    ],
)
def test_bad_options_are_refused(options, message) -> None:
    with pytest.raises(AwmError, match=message):
        run_batch(small_spec(8), **options)
    with pytest.raises(AwmError, match="0 matches to play"):
        run_batch(BatchSpec(small_world(), entrants(), []))
