"""Schedules on simulated fields, without a match."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("choix")

from awm_jax.errors import AwmError
from crank import ratings
from crank.ladder_schedule import SCHEDULES, schedule_of


def play(name: str, truth: np.ndarray, total: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and counts after `total` pairs of games."""
    rng = np.random.Generator(np.random.PCG64(seed))
    n = len(truth)
    won, games, left = np.zeros((n, n)), np.zeros((n, n), int), total
    while left:
        pairings = schedule_of(name)(won, games, left, total)
        assert 0 < len(pairings) <= left
        for i, j in pairings:
            assert i < j
            score = rng.binomial(2, ratings.expected(truth[i], truth[j]))
            won[i, j] += score
            won[j, i] += 2 - score
            games[i, j] += 2
            games[j, i] += 2
        left -= len(pairings)
    return won, games


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_every_schedule_plays_what_is_asked(name: str, n: int) -> None:
    truth = ratings.START + np.linspace(-300, 300, n)
    won, games = play(name, truth, 120, seed=n)
    assert games.sum() == 2 * 2 * 120
    assert np.array_equal(won + won.T, games)
    assert (games.sum(1) > 0).all()


def test_round_robin_is_even() -> None:
    _, games = play("round-robin", np.full(5, 1200.0), 50, seed=1)
    assert set(games[np.triu_indices(5, 1)]) == {10}


def test_swiss_rounds_are_even_and_meet_new_rivals_first() -> None:
    _, games = play("swiss", ratings.START + np.linspace(-300, 300, 7), 4 * 3, seed=1)
    counts = games.sum(1)
    assert counts.max() - counts.min() <= 2
    assert (games[np.triu_indices(7)] > 2).sum() <= 1  # of twelve pairings


def test_adaptive_spends_games_where_the_order_is_in_doubt() -> None:
    truth = ratings.START + np.array([-400.0, -390, 0, 390, 400])
    _, games = play("adaptive", truth, 400, seed=3)
    near, far = games[0, 1] + games[3, 4], games[0, 4] + games[0, 3] + games[1, 3] + games[1, 4]
    assert near > 10 * far


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_true_order_is_found(name: str) -> None:
    truth = ratings.START + np.array([250.0, -250, 120, 0, -120])
    won, _ = play(name, truth, 1000, seed=5)
    fit = ratings.bradley_terry(won)
    assert list(np.argsort(fit.ratings)) == list(np.argsort(truth))


def test_no_such_schedule() -> None:
    with pytest.raises(AwmError, match="no schedule 'fair'; give one of: round-robin, swiss"):
        schedule_of("fair")
