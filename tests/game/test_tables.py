"""Stages, characters and the result's rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import golden_dir, load_json

from awm_jax.errors import AwmError
from awm_jax.game.characters import CHARACTERS, character_name, parse_character
from awm_jax.game.result import whole, winner
from awm_jax.game.stages import STAGES, parse_stage, stage
from awm_jax.game.transition import KO_BELOW


def tables():
    return load_json(golden_dir("match") / "tables.json")


def test_stages() -> None:
    want = {int(number): geometry for number, geometry in tables()["stage_geometry"].items()}
    assert {number: s.geometry() for number, s in STAGES.items()} == want


def test_unknown_stage() -> None:
    want = tables()["stage_geometry_unknown"] | {"name": "Stage 5"}
    assert stage(5).geometry() == want


def test_characters() -> None:
    want = {int(number): name for number, name in tables()["characters_crank"].items()}
    assert want == CHARACTERS
    assert character_name(27) == "CHAR_27"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("32", 32),
        ("Final Destination", 32),
        ("final-destination", 32),
        ("BATTLEFIELD", 31),
        ("yoshis story", 8),
        ("5", 5),
    ],
)
def test_parsing_stages(text: str, number: int) -> None:
    assert parse_stage(text, 33) == number


@pytest.mark.parametrize(("text", "number"), [("2", 2), ("fox", 1), ("Marth", 18), ("27", 27)])
def test_parsing_characters(text: str, number: int) -> None:
    assert parse_character(text, 33) == number


@pytest.mark.parametrize("text", ["33", "-1", "", "nowhere", "1.5", "\n", "99999999999999999999"])
def test_unknown_names_are_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(AwmError, match="32 Final Destination"):
        parse_stage(text, 33)
    with pytest.raises(AwmError, match="1 FOX"):
        parse_character(text, 33)


@pytest.mark.parametrize(
    ("stocks", "percent", "who"),
    [
        ((4, 3), (150, 0), 0),
        ((1, 2), (0, 90), 1),
        ((2, 2), (50, 49), 1),
        ((2, 2), (49, 50), 0),
        ((2, 2), (50, 50), None),
        ((0, 0), (10, 90), None),
        ((0, 1), (0, 0), 1),
    ],
)
def test_winner(stocks, percent, who) -> None:
    assert winner(stocks, percent) == who


both = st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(stocks=both, percent=both)
def test_changing_sides_changes_the_winner(stocks, percent) -> None:
    who, other = winner(stocks, percent), winner(stocks[::-1], percent[::-1])
    assert other == (None if who is None else 1 - who)


@given(stocks=st.floats(0, 4))
def test_no_whole_stock_is_left_exactly_when_knocked_out(stocks: float) -> None:
    assert (whole([stocks, 4.0])[0] == 0) == (stocks < KO_BELOW)
