"""Events, on real games and on the reference viewer's synthetic frames."""

from __future__ import annotations

import functools
import gzip
import itertools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import golden_dir, replays_dir

from awm_jax.game.stages import stage
from crank.watch.events import Detector, Event, detect, ticker_line
from crank.watch.recording import DEFAULTS, Source, read
from crank.watch.tables import action_name, attack_name, category, tables

FOX_PUFF = "0006-fox-puff-FoD.slx"
FOX_MARTH = "0192-fox-marth-BF.slx"
SHIELD_BREAK = ("0412-falco-fox-PS.slx", 8069, 0, 1)


@functools.cache
def game(name: str) -> tuple[Source, list[Event]]:
    pytest.importorskip("peppi_py")
    source = read(replays_dir() / "games" / name)[0]
    return source, detect(stage(source.frames[0]["stage"]), source.frames)


def found(name: str, kind: str) -> list[Event]:
    return [event for event in game(name)[1] if event.type == kind]


def percent(name: str, frame: int, player: int) -> float:
    return game(name)[0].frames[frame]["players"][player]["percent"]


def test_hit_in_a_real_game() -> None:
    # Fox's up-air: frame 274 is the first in which Jigglypuff's percent is 13.
    first = found(FOX_PUFF, "hit")[0]
    assert first == Event(274, "hit", 0, 1, attack="Uair", damage=13.0, percent=13.0)
    assert percent(FOX_PUFF, 273, 1) == 0


def test_the_shine_and_the_drill_have_their_names() -> None:
    names = {e.frame: (e.attack, e.count) for e in found(FOX_PUFF, "hit")}
    assert names[1028] == ("Dair", 3)
    assert names[1034] == ("Dair", 4)
    assert names[1047] == ("Shine", 5)


@pytest.mark.parametrize("name", [FOX_PUFF, FOX_MARTH])
@pytest.mark.parametrize("player", [0, 1])
def test_hits_account_for_all_damage(name: str, player: int) -> None:
    source, events = game(name)
    values = [frame["players"][player]["percent"] for frame in source.frames]
    lost = sum(max(0, b - a) for a, b in itertools.pairwise(values))
    told = sum(e.damage or 0 for e in events if e.type == "hit" and e.defender == player)
    assert told == pytest.approx(lost, abs=0.5)


def test_combo_in_a_real_game() -> None:
    # Two jabs, two drills, a shine: 18 percent, from frame 937 to 1047.
    combo = next(e for e in found(FOX_PUFF, "combo") if e.start == 937)
    assert (combo.attacker, combo.defender, combo.count, combo.end) == (0, 1, 5, 1047)
    assert combo.damage == pytest.approx(
        percent(FOX_PUFF, 1047, 1) - percent(FOX_PUFF, 936, 1), 0.01
    )
    assert combo.frame > 1047


def test_shield_in_a_real_game() -> None:
    source, _ = game(FOX_PUFF)
    first = found(FOX_PUFF, "shield")[0]
    assert (first.frame, first.attacker, first.defender, first.attack) == (824, 0, 1, "Usmash")
    now, before = (source.frames[f]["players"][1] for f in (824, 823))
    assert (now["action_state"], now["percent"]) == (181, before["percent"])


def test_shield_break_in_a_real_game() -> None:
    (broken,) = found(SHIELD_BREAK[0], "shield-break")
    assert (broken.frame, broken.attacker, broken.defender) == SHIELD_BREAK[1:]


def test_grab_in_a_real_game() -> None:
    source, _ = game(FOX_PUFF)
    grabs = found(FOX_PUFF, "grab")
    assert [e.frame for e in grabs] == [406, 1191, 2978, 3653, 4680]
    for event in grabs:
        assert (event.attacker, event.defender) == (1, 0)
        assert category(source.frames[event.frame]["players"][0]["action_state"]) == "grabbed"
        assert action_name(source.frames[event.frame]["players"][1]["action_state"]).startswith(
            "Catch"
        )


def test_tech_in_a_real_game() -> None:
    source, _ = game(FOX_PUFF)
    techs = found(FOX_PUFF, "tech")
    assert [(e.frame, e.defender, e.attacker) for e in techs] == [
        (1742, 0, None),
        (3627, 0, None),
        (4244, 1, None),
    ]
    for event in techs:
        name = action_name(source.frames[event.frame]["players"][event.defender]["action_state"])
        assert name.startswith("Passive")


def test_ko_in_a_real_game() -> None:
    kos = found(FOX_PUFF, "ko")
    assert [(e.frame, e.attacker, e.defender, e.edge) for e in kos] == [
        (1927, 1, 0, "right"),
        (2719, 0, 1, "bottom"),
        (3110, 1, 0, "right"),
        (3767, 1, 0, "right"),
        (4835, 1, 0, "right"),
    ]
    assert kos[0].percent == pytest.approx(96.64, abs=0.01)


def test_ko_at_the_top_is_the_deaths_own_side() -> None:
    sides = {e.frame: e.edge for e in found(FOX_MARTH, "ko")}
    assert sides == {2559: "top", 3889: "right", 5469: "top", 6458: "bottom", 7217: "bottom"}


def test_stock_in_a_real_game() -> None:
    stocks = found(FOX_PUFF, "stock")
    assert [(e.defender, e.stocks) for e in stocks] == [(0, 3), (1, 3), (0, 2), (0, 1), (0, 0)]


def test_edge_guard_in_a_real_game() -> None:
    # Jigglypuff hits Fox beyond the right edge (x 63.35) and he never comes back.
    first = found(FOX_PUFF, "edge-guard")[0]
    assert (first.frame, first.attacker, first.defender) == (1927, 1, 0)
    last_hit = [e for e in found(FOX_PUFF, "hit") if e.defender == 0 and e.frame < 1927][-1]
    assert game(FOX_PUFF)[0].frames[last_hit.frame]["players"][0]["x"] > 64.35


def test_events_come_in_order_and_every_one_has_a_line() -> None:
    for name in (FOX_PUFF, FOX_MARTH):
        events = game(name)[1]
        assert [e.frame for e in events] == sorted(e.frame for e in events)
        for event in events:
            line = ticker_line(event, ("A", "B"))
            assert line.startswith(f"[F {event.frame}] ") and "None" not in line


def test_the_reference_viewers_synthetic_frames() -> None:
    file = golden_dir("match") / "viewer_events.json.gz"
    content = json.loads(gzip.decompress(file.read_bytes()))
    frames = content["synthetic_frames"]
    events = detect(stage(frames[0]["stage"]), frames)
    told = [(e.frame, e.type, e.defender) for e in events]
    # Once each, where the reference says some of them twice and of both players (M27).
    assert (46, "hit", 1) in told and (90, "hit", 1) in told
    assert [t for t in told if t[1] == "ko"] == [(159, "ko", 1)]
    by_frame = {e.frame: e for e in events if e.type == "hit"}
    assert (by_frame[46].damage, by_frame[90].damage) == (9, 14)
    assert 300 in by_frame
    assert all(e.defender == 1 for e in events if e.frame in (46, 90, 159))


@pytest.mark.parametrize("name", ["m1_fd_noop_forward", "m2_bf_allflags", "m6_ps_early_ko"])
def test_fractional_stocks_of_a_model_are_no_lives(name: str) -> None:
    file = golden_dir("match") / f"{name}.json.gz"
    frames = json.loads(gzip.decompress(file.read_bytes()))["frames"]
    events = detect(stage(frames[0]["stage"]), frames)
    # The reference counts hundreds (606 in m1); nobody can lose more than the four they have.
    lost = Counter(e.defender for e in events if e.type == "ko")
    assert all(count <= 4 for count in lost.values())


def _player(**changed: float) -> dict[str, Any]:
    return {**DEFAULTS, "character": 1, **changed}


def test_the_attackers_hitlag_is_no_hit_on_him() -> None:
    detector = Detector(stage(32))
    detector.step([_player(action_state=60), _player()])
    struck = _player(percent=15, hitlag=7, action_state=88, speed_attack_x=2.0)
    events = detector.step([_player(action_state=60, state_age=1, hitlag=7), struck])
    assert [(e.type, e.attacker, e.defender) for e in events] == [("hit", 0, 1)]


def test_a_blow_whose_knockback_comes_later_counts_once() -> None:
    detector = Detector(stage(32))
    frames = [
        _player(),
        _player(percent=12, hitlag=5),
        _player(percent=12, hitlag=4, action_state=88),
        _player(percent=12, action_state=88, state_age=1, speed_attack_x=3.0),
    ]
    events = [e for p in frames for e in detector.step([_player(action_state=53), p])]
    assert [e.type for e in events] == ["hit"]


def test_a_fall_without_a_hit_is_nobodys() -> None:
    detector = Detector(stage(32))
    detector.step([_player(), _player(y=-130, x=90)])
    events = detector.step([_player(), _player(stocks=3, action_state=0, y=-141, x=90)])
    assert [(e.type, e.attacker) for e in events] == [("ko", None), ("stock", None)]
    assert "FELL" in ticker_line(events[0], ("A", "B"))


@given(
    st.lists(
        st.tuples(
            st.floats(0, 999),
            st.floats(0, 4),
            st.integers(0, 399),
            st.floats(-300, 300),
            st.floats(-200, 300),
            st.floats(0, 5),
        ),
        min_size=2,
        max_size=40,
    )
)
def test_nothing_a_model_makes_stops_the_detector(rows: list[tuple[float, ...]]) -> None:
    frames = [
        {
            "players": [
                _player(percent=p, stocks=s, action_state=a, x=x, y=y, speed_attack_x=k),
                _player(percent=k, stocks=s, action_state=399 - a, x=-x, y=y),
            ]
        }
        for p, s, a, x, y, k in rows
    ]
    events = detect(stage(2), frames)
    assert all(0 <= e.frame < len(rows) and e.defender in (0, 1) for e in events)
    assert all(ticker_line(e, ("A", "B")) for e in events)


def test_tables_agree_with_the_corrected_ones() -> None:
    golden = json.loads((golden_dir("match") / "tables.json").read_text())
    assert tables()["actions"] == golden["action_names"]
    renamed = {"captured_or_status": "status", "shield_break": "broken"}
    for number, name in enumerate(golden["action_category_corrected_by_us"]):
        assert category(number) == renamed.get(name, name)
    for number, name in golden["attack_display_names_corrected"].items():
        if name not in ("Grab", "Dash grab"):
            assert attack_name(int(number), -1) == name.replace("Upsmash", "Usmash")
