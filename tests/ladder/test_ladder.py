"""A ladder's folder: reuse, kills, added agents; its files; what is refused."""

from __future__ import annotations

import itertools
import json

import pytest

pytest.importorskip("choix")
pytest.importorskip("pyarrow")
pytest.importorskip("matplotlib")

from support.batches import FRAMES, small_world

from awm_jax.errors import AwmError
from crank import ladder, ladder_cli
from crank.batch import Entrant, Row
from crank.batch.store import read_rows
from crank.ladder import Contender, LadderSpec, read_agents, run_ladder
from crank.watch.library import LADDER_COLUMNS, Library

NAMES = ("ann", "bob", "cyd", "<b>")


def spec_of(names=NAMES, matches=36, schedule="round-robin", **changes) -> LadderSpec:
    contenders = [
        Contender(name, Entrant("random"), 9 if i else None) for i, name in enumerate(names)
    ]
    fields = {"stages": (2, 8, 32), "characters": (1, 20), "options": {"max_frames": FRAMES}}
    return LadderSpec(small_world(), contenders, matches, schedule, **fields | changes)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ladder") / "whole"
    return folder, run_ladder(spec_of(), str(folder), slots=8)


def test_the_files(played) -> None:
    folder, standings = played
    rows = read_rows(folder / ladder.GAMES)
    assert [row.match for row in rows] == list(range(36))
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert (first.p0, first.p1) == (second.p1, second.p0)
        assert (first.seed, first.stage) == (second.seed, second.stage)
    assert len({row.seed for row in rows}) == 18
    board = json.loads((folder / ladder.LEADERBOARD).read_text())
    assert [entry["rank"] for entry in board["agents"]] == [1, 2, 3, 4]
    assert sorted(e["agent"] for e in board["agents"]) == sorted(NAMES)
    assert sum(e["wins"] for e in board["agents"]) == sum(e["losses"] for e in board["agents"])
    assert sum(e["matches"] for e in board["agents"]) == 2 * 36
    ratings = [entry["rating"] for entry in board["agents"]]
    assert ratings == sorted(ratings, reverse=True)
    assert all(low < e["rating"] < high for e in board["agents"] for low, high in [e["rating_95"]])
    page = (folder / ladder.REPORT).read_text()
    assert page.count("<svg") == 2 and "&lt;b&gt;" in page and "<b>" not in page
    assert "<script" not in page and "src=" not in page
    assert standings.board[0]["agent"] in ladder_cli.describe(standings, str(folder))


def test_the_index_page_lists_it(played) -> None:
    """And takes none of its files for a recording."""
    folder, standings = played
    for served in (folder, folder.parent):
        library = Library(served)
        rows = library.ladder()
        assert [row["agent"] for row in rows] == standings.names
        assert tuple(rows[0]) == LADDER_COLUMNS
        assert library.listing() == []


def test_again_plays_nothing_and_changes_no_byte(played) -> None:
    folder, _ = played
    names = (ladder.GAMES, ladder.LEADERBOARD, ladder.REPORT)
    before = [(folder / name).read_bytes() for name in names]
    again = run_ladder(spec_of(), str(folder), slots=8)
    assert (again.played, again.reused) == (0, 36)
    assert [(folder / name).read_bytes() for name in names] == before


def stop_after(looks: int):
    """Says stop at the given look."""
    count = itertools.count(1)
    return lambda: next(count) >= looks


def test_interrupted_and_resumed_is_the_same_to_the_byte(played, tmp_path) -> None:
    folder, _ = played
    out = tmp_path / "cut"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_ladder(spec_of(), str(out), slots=8, stop=stop_after(5))
    part = sorted((out / "rounds").rglob("part-*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:100])
    notes: list[str] = []
    resumed = run_ladder(spec_of(), str(out), slots=8, say=notes.append)
    assert any("damaged" in note for note in notes)
    assert 0 < resumed.reused < 36
    for name in (ladder.GAMES, ladder.LEADERBOARD):
        assert (out / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.long
def test_an_agent_added_later_finds_the_games_of_the_others(tmp_path) -> None:
    out = str(tmp_path / "grown")
    few = spec_of(NAMES[:3], matches=18)
    assert run_ladder(few, out, slots=8).played == 18
    grown = run_ladder(spec_of(NAMES[::-1]), out, slots=8)
    # The agent's place in the list does not matter; a first one without character plays others.
    kept = [r for r in read_rows(tmp_path / "grown" / ladder.GAMES) if "<b>" not in (r.p0, r.p1)]
    assert grown.reused == sum("ann" not in (row.p0, row.p1) for row in kept)
    assert grown.reused + grown.played == 36


def test_other_rules_do_not_mix(played, tmp_path) -> None:
    folder, _ = played
    with pytest.raises(AwmError, match=r"holds a ladder under other rules \(seed\)"):
        run_ladder(spec_of(seed=1), str(folder))
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(AwmError, match="holds something else"):
        run_ladder(spec_of(), str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": NAMES[:1]}, "1 agents; a ladder needs at least 2"),
        ({"matches": 7}, "7 matches; give an even number"),
        ({"matches": 0}, "0 matches; give an even number"),
        ({"schedule": "fair"}, "no schedule 'fair'"),
        ({"stages": ()}, "nothing to draw from"),
        ({"stages": (99,)}, "no stage '99'"),
    ],
)
def test_bad_ladders_are_refused(changes, message, tmp_path) -> None:
    with pytest.raises(AwmError, match=message):
        run_ladder(spec_of(**changes), str(tmp_path / "out"))


GOOD = '[[agent]]\nname = "a"\nagent = "noop"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[agent", "is no TOML"),
        ("", r"must hold tables \[\[agent\]\]"),
        ('[agent]\nname = "a"', r"must hold tables \[\[agent\]\]"),
        ("x = 1\n" + GOOD, r"must hold tables \[\[agent\]\]"),
        (GOOD + GOOD, "agent 2: there is an agent 'a' already"),
        (GOOD + "weights = 1", "agent 1: unknown key 'weights'; known: agent, button_bias"),
        ('[[agent]]\nname = "a"', "agent 1: agent is missing"),
        ('[[agent]]\nagent = "noop"\nname = ""', "agent 1: name is missing"),
        (GOOD + 'button_bias = "4"', "agent 1: button_bias is no number"),
        (GOOD + 'character = "pikachuu"', "agent 1: no character 'pikachuu'"),
    ],
)
def test_bad_agents_files_are_refused(tmp_path, text, message) -> None:
    (tmp_path / "agents.toml").write_text(text)
    with pytest.raises(AwmError, match=message):
        read_agents(str(tmp_path / "agents.toml"))


def test_an_agents_file(tmp_path) -> None:
    path = tmp_path / "agents.toml"
    path.write_text(GOOD + '[[agent]]\nname="b"\nagent="policy:x"\nbutton_bias=4\ncharacter="fox"')
    first, second = read_agents(str(path))
    assert first == Contender("a", Entrant("noop"))
    assert second == Contender("b", Entrant("policy:x", 4.0), second.character)
    assert isinstance(second.character, int)
    with pytest.raises(AwmError, match="cannot read"):
        read_agents(str(tmp_path / "absent.toml"))


def test_what_counts() -> None:
    def row(winner, reason: str) -> Row:
        return Row(0, 1, "a", "b", 1, 2, 32, winner, 3, 3, 0, 0, 9, reason, "")

    rows = [row(0, "ko"), row(1, "timeout"), row(None, "timeout"), row(None, "corrupt")]
    standings = ladder.rate(
        rows, [Contender("a", Entrant("noop")), Contender("b", Entrant("noop"))]
    )
    assert standings.facts["void"] == 1
    for entry in standings.board:
        assert (entry["wins"], entry["losses"], entry["draws"]) == (1, 1, 1)
        assert entry["rating"] == pytest.approx(1200)
