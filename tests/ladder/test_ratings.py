"""Ratings: by hand, against the golden file, and of simulated fields whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("choix")

from hypothesis import given
from hypothesis import strategies as st
from support.golden import golden_dir, load_json

from crank import ratings
from crank.ratings import Game, bradley_terry, elo, scores


def won_of(rates: dict[tuple[int, int], float], n: int, games: int = 1000) -> np.ndarray:
    won = np.zeros((n, n))
    for (i, j), rate in rates.items():
        won[i, j], won[j, i] = games * rate, games * (1 - rate)
    return won


def simulate(rng: np.random.Generator, truth: np.ndarray, games: int) -> np.ndarray:
    won = np.zeros((len(truth), len(truth)))
    for i in range(len(truth)):
        for j in range(i):
            chance = ratings.expected(truth[i], truth[j])
            won[i, j] = rng.binomial(games, chance)
            won[j, i] = games - won[i, j]
    return won


def test_golden_elo() -> None:
    golden = load_json(golden_dir("match") / "elo.json")
    games, checked = [], 0
    for game in golden["sequence_of_ten"]:
        score = {"a": 1.0, "b": 0.0, "draw": 0.5}[game["result"]]
        games.append(Game(game["a"], game["b"], score))
        for name, rating in game["ratings"].items():
            assert elo(games, ["A", "B", "C"])[name] == pytest.approx(rating, abs=1e-9)
            checked += 1
    assert len(games) == 10 and checked == 30
    long = [Game("X", "Y", float(i % 3 != 0)) for i in range(120)]
    for point in golden["long_run"]["checkpoints"]:
        after = elo(long[: point["match"] + 1])
        assert after["X"] == pytest.approx(point["X"], abs=1e-9)
        assert after["Y"] == pytest.approx(point["Y"], abs=1e-9)
    for point in golden["k_boundaries"]:
        assert ratings.k_factor(point["matches_played"]) == point["k"]
    for point in golden["tiers"]:
        assert ratings.tier(point["rating"]) == point["tier"]


def test_three_players() -> None:
    fit = bradley_terry(won_of({(0, 1): 0.75, (1, 2): 0.75, (0, 2): 0.9}, 3))
    assert fit.prior == 0
    assert fit.ratings - ratings.START == pytest.approx([190.8485, 0, -190.8485], abs=1e-3)


def test_a_field_of_known_strengths_is_recovered() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    truth = ratings.START + np.linspace(-350, 350, 10)[rng.permutation(10)]
    fit = bradley_terry(simulate(rng, truth, 400))
    assert list(np.argsort(fit.ratings)) == list(np.argsort(truth))
    assert np.abs(fit.ratings - truth).max() < 40


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    truth = ratings.START + np.array([-200.0, -50, 0, 30, 220])
    held = []
    for _ in range(200):
        fit = bradley_terry(simulate(rng, truth, 60))
        low, high = fit.intervals.T
        held += list((low < truth) & (truth < high))
        gap = fit.ratings[3] - fit.ratings[2]
        held.append(abs(gap - 30) < ratings.Z95 * fit.error[3, 2])
    assert 0.93 < np.mean(held) < 0.97


@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_names_change_nothing(seed: int, n: int) -> None:
    rng = np.random.Generator(np.random.PCG64(seed))
    won = np.triu(rng.integers(0, 6, (n, n)) / 2.0, 1) + np.tril(rng.integers(0, 6, (n, n)), -1)
    order = rng.permutation(n)
    fit, other = bradley_terry(won), bradley_terry(won[np.ix_(order, order)])
    assert np.allclose(other.ratings, fit.ratings[order], atol=1e-4)
    assert np.allclose(np.diag(other.error), np.diag(fit.error)[order], atol=1e-4)
    assert np.isfinite(fit.ratings).all() and fit.ratings.mean() == pytest.approx(ratings.START)
    # A maximum of the likelihood: what is scored is what is expected.
    data = won + 0.5 * fit.prior * (1 - np.eye(n))
    chance = 1 / (1 + 10 ** ((fit.ratings[None] - fit.ratings[:, None]) / 400))
    assert np.allclose(data.sum(1), ((data + data.T) * chance).sum(1), atol=1e-3)


@pytest.mark.parametrize(
    ("won", "order"),
    [
        (np.triu(np.full((3, 3), 9.0), 1), [0, 1, 2]),  # everybody beats all below
        (np.array([[0, 5, 0, 0], [5, 0, 0, 0], [0, 0, 0, 5], [0, 0, 5, 0.0]]), None),  # two halves
        (np.zeros((3, 3)), None),  # no game
    ],
)
def test_fields_without_a_maximum_stay_finite(won, order) -> None:
    fit = bradley_terry(won)
    assert fit.prior > 0 and np.abs(fit.ratings - ratings.START).max() < 900
    assert np.isfinite(fit.error).all()
    if order is None:
        assert fit.ratings == pytest.approx(ratings.START)
    else:
        assert list(np.argsort(-fit.ratings)) == order


def test_all_draws() -> None:
    fit = bradley_terry(scores([Game("a", "b", 0.5)] * 8 + [Game("b", "c", 0.5)] * 8, "abc"))
    assert fit.prior == 0 and fit.ratings == pytest.approx(ratings.START)


def test_small_facts() -> None:
    games = [Game("a", "b", 1), Game("b", "a", 0.5), Game("a", "a", 1), Game("c", "a", 0)]
    won = scores(games, "abc")
    assert won.tolist() == [[0, 1.5, 1], [0.5, 0, 0], [0, 0, 0]]
    assert ratings.first_mover(games)["score"] == 0.5
    assert ratings.streaks(games, "abc") == {"a": 1, "b": 0, "c": -1}
    assert elo([Game("a", "a", 1)]) == {"a": 1200.0}
    ring = won_of({(0, 1): 0.6, (1, 2): 0.6, (2, 0): 0.6}, 3)
    assert ratings.intransitive(ring) == [(0, 1, 2)]
    assert ratings.intransitive(ring.T) == [(0, 2, 1)]
    assert ratings.intransitive(won_of({(0, 1): 0.6, (1, 2): 0.6, (0, 2): 0.5}, 3)) == []
    low, high = ratings.wilson(50, 100)
    assert (round(low, 3), round(high, 3)) == (0.404, 0.596)
