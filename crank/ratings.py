"""Ratings of agents from games: the founders' Elo, and a Bradley-Terry fit over all games at once.

Elo (match.md section 6) depends on the order of games: it is what the arena shows. Bradley-Terry
does not: it is what a ladder ranks by. Its likelihood is maximised by `choix.ilsr_pairwise_dense`,
which takes a matrix of wins, so that draws can be halves; choix is small, kept, and needs numpy and
scipy alone. The 95% intervals come from the observed information of that likelihood.

A game is a win, a loss, or a draw, which counts half for each. A match that ran out of time has the
winner that `awm_jax.game.result.winner` names (stocks, then percent), else it is a draw. A match
that ended by a value that is no number is no game.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from awm_jax.errors import AwmError

START = 1200.0
SCALE = 400.0
K_FACTORS = ((30, 32.0), (100, 24.0))
K_LAST = 16.0
TIERS = ((1800.0, "FINAL DESTINATION"), (1500.0, "BATTLEFIELD"), (1200.0, "DREAMLAND"))
LOWEST_TIER = "FLAT ZONE"
PRIOR_GAMES = 1.0
"""Drawn games that every two agents are lent where results have no best fit: `bradley_terry`."""
Z95 = 1.959963984540054


class Game(NamedTuple):
    """first and second: names of agents (player 0 and 1); score: the first's, 1, 0.5 or 0."""

    first: str
    second: str
    score: float


def k_factor(played: int) -> float:
    """How far a game moves an agent that has played so many."""
    return next((k for below, k in K_FACTORS if played < below), K_LAST)


def expected(rating: float, other: float) -> float:
    """The score that Elo expects."""
    return 1.0 / (1.0 + 10.0 ** ((other - rating) / SCALE))


def tier(rating: float) -> str:
    """The founders' name for a rating."""
    return next((name for least, name in TIERS if rating >= least), LOWEST_TIER)


def elo(games: Iterable[Game], agents: Sequence[str] = ()) -> dict[str, float]:
    """Ratings after the games in their order. Those of a game are changed together."""
    ratings = dict.fromkeys(agents, START)
    played = dict.fromkeys(agents, 0)
    for first, second, score in games:
        for name in (first, second):
            ratings.setdefault(name, START)
            played.setdefault(name, 0)
        if first == second:
            continue
        surprise = score - expected(ratings[first], ratings[second])
        ratings[first] += k_factor(played[first]) * surprise
        ratings[second] -= k_factor(played[second]) * surprise
        played[first] += 1
        played[second] += 1
    return ratings


def scores(games: Iterable[Game], agents: Sequence[str]) -> np.ndarray:
    """(n, n) float64: what agent i scored against agent j, a draw half. Own games are left out."""
    index = {name: i for i, name in enumerate(agents)}
    out = np.zeros((len(agents), len(agents)))
    for first, second, score in games:
        i, j = index[first], index[second]
        if i != j:
            out[i, j] += score
            out[j, i] += 1.0 - score
    return out


@dataclasses.dataclass(frozen=True)
class Fit:
    """A Bradley-Terry fit in Elo units.

    Attributes:
      ratings: (n,) with a mean of `START`.
      error: (n, n) standard error of the difference of two ratings; its diagonal is that of a
        rating against the mean of all.
      prior: drawn games that every two agents were lent, 0 where results sufficed.
    """

    ratings: np.ndarray
    error: np.ndarray
    prior: float

    @property
    def intervals(self) -> np.ndarray:
        """(n, 2) 95% of each rating against the mean of all."""
        half = Z95 * np.diag(self.error)
        return np.stack([self.ratings - half, self.ratings + half], axis=1)


def bradley_terry(won: np.ndarray) -> Fit:
    """Fit strengths to a matrix of scores.

    Where agents fall in two groups of which one never scored against the other (all-win agents,
    agents that never met), the likelihood has no maximum. Then every two agents are lent
    `PRIOR_GAMES` drawn games: ratings stay finite and the order sensible, intervals are wide.

    Args:
      won: (n, n), `scores`.

    Raises:
      AwmError: choix is not installed.
    """
    try:
        import choix
        from scipy.sparse.csgraph import connected_components
    except ImportError:
        raise AwmError('ratings need choix; install it: pip install "awm-jax[ladder]"') from None
    n = len(won)
    if n < 2:
        return Fit(np.full(n, START), np.zeros((n, n)), 0.0)
    groups, _ = connected_components(won > 0, directed=True, connection="strong")
    prior = 0.0 if groups == 1 else PRIOR_GAMES
    data = won + 0.5 * prior * (1 - np.eye(n))
    theta = choix.ilsr_pairwise_dense(data, alpha=0.0, max_iter=1000, tol=1e-10)
    theta -= theta.mean()
    chance = 1.0 / (1.0 + np.exp(theta[None] - theta[:, None]))
    weights = (data + data.T) * chance * chance.T
    information = np.diag(weights.sum(1)) - weights
    # The common shift of all ratings is not determined; the pseudo-inverse fixes their mean.
    covariance = np.linalg.pinv(information, hermitian=True)
    variance = np.diag(covariance)
    of_difference = variance[:, None] + variance[None] - 2 * covariance
    np.fill_diagonal(of_difference, variance)
    unit = SCALE / math.log(10)
    return Fit(START + unit * theta, unit * np.sqrt(np.maximum(of_difference, 0.0)), prior)


def intransitive(won: np.ndarray) -> list[tuple[int, int, int]]:
    """Triples (a, b, c) in which a beats b, b beats c and c beats a, each by more than half."""
    beats = won > won.T
    found = []
    for a, b, c in itertools.combinations(range(len(won)), 3):
        for x, y, z in ((a, b, c), (a, c, b)):
            if beats[x, y] and beats[y, z] and beats[z, x]:
                found.append((x, y, z))
    return found


def wilson(score: float, games: int) -> tuple[float, float]:
    """95% interval of a rate: Wilson's score interval (1927)."""
    if not games:
        return 0.0, 1.0
    rate, z2 = score / games, Z95**2
    middle = (rate + z2 / (2 * games)) / (1 + z2 / games)
    half = Z95 * math.sqrt(rate * (1 - rate) / games + z2 / (4 * games**2)) / (1 + z2 / games)
    return middle - half, middle + half


def first_mover(games: Iterable[Game]) -> dict[str, Any]:
    """Player 0's score over all games of two different agents, with its 95% interval."""
    kept = [g.score for g in games if g.first != g.second]
    low, high = wilson(sum(kept), len(kept))
    return {
        "games": len(kept),
        "score": round(sum(kept) / len(kept), 4) if kept else None,
        "interval": [round(low, 4), round(high, 4)],
    }


def streaks(games: Iterable[Game], agents: Sequence[str]) -> dict[str, int]:
    """Wins in a row at the end, negative for losses; a draw ends either."""
    out = dict.fromkeys(agents, 0)
    for first, second, score in games:
        if first == second:
            continue
        for name, mine in ((first, score), (second, 1.0 - score)):
            sign = (mine > 0.5) - (mine < 0.5)
            out[name] = out[name] + sign if out[name] * sign > 0 else sign
    return out
