"""Who plays whom next, from the results so far. Everybody plays pairs of games with sides swapped.

- round-robin: every two agents play equally often.
- swiss: rounds in which agents of like score meet, those first who have met least.
- adaptive: after every two agents have met, games go where the order of two agents is least sure
  and a game between them tells most.

Every schedule is a function of the scores and counts alone, so a ladder that was killed makes the
same choices again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from awm_jax.errors import AwmError
from crank.ratings import bradley_terry

Pairings = list[tuple[int, int]]
"""Pairs of agents (i < j), one entry for every two games; their order is that of the games."""
ADAPTIVE_ROUNDS = 10
LEAST_ROUND = 16


def round_robin(won: np.ndarray, games: np.ndarray, left: int, total: int) -> Pairings:
    """All of it at once: every two agents in turn, until the games are used up."""
    pairs = list(itertools.combinations(range(len(won)), 2))
    return list(itertools.islice(itertools.cycle(pairs), left))


def swiss(won: np.ndarray, games: np.ndarray, left: int, total: int) -> Pairings:
    """One round: down the table by score a game, everybody once, the last of an odd field rests."""
    n = len(won)
    rounds = math.ceil(math.log2(n)) + 1
    each = max(1, total // (rounds * (n // 2)))
    played = games.sum(1)
    rate = np.divide(won.sum(1), played, out=np.full(n, 0.5), where=played > 0)
    # The one who has played most rests, so nobody rests twice before all have once.
    table = sorted(range(n), key=lambda i: (-rate[i], i))
    if n % 2:
        table.remove(max(table, key=lambda i: (played[i], -rate[i], i)))
    pairs: Pairings = []
    while table:
        first = table.pop(0)
        second = min(table, key=lambda j: (games[first, j], table.index(j)))
        table.remove(second)
        pairs.append((min(first, second), max(first, second)))
    return (pairs * each)[:left]


def adaptive(won: np.ndarray, games: np.ndarray, left: int, total: int) -> Pairings:
    """One round of `ADAPTIVE_ROUNDS`: games in proportion to doubt times information.

    Doubt is the chance that two agents stand in the wrong order by the fit and its error;
    information is p (1 - p) of a game between them.
    """
    pairs = list(itertools.combinations(range(len(won)), 2))
    new = [pair for pair in pairs if not games[pair]]
    if new:
        return new[:left]
    fit = bradley_terry(won)
    size = min(left, max(LEAST_ROUND, total // ADAPTIVE_ROUNDS))
    weights = np.empty(len(pairs))
    for k, (i, j) in enumerate(pairs):
        gap = abs(fit.ratings[i] - fit.ratings[j])
        doubt = 0.5 * math.erfc(gap / max(fit.error[i, j], 1e-9) / math.sqrt(2))
        chance = 1 / (1 + 10 ** (gap / 400))
        weights[k] = doubt * chance * (1 - chance)
    if not weights.sum():
        weights[:] = 1.0
    # Largest remainders: whole counts that sum to the round's size.
    share = size * weights / weights.sum()
    counts = np.floor(share).astype(int)
    for k in np.argsort(-(share - counts), kind="stable")[: size - counts.sum()]:
        counts[k] += 1
    return [pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)]


Schedule = Callable[[np.ndarray, np.ndarray, int, int], Pairings]
"""(scores (n, n), games (n, n), pairs of games left, pairs in all) -> the next ones."""

SCHEDULES: dict[str, Schedule] = {
    "round-robin": round_robin,
    "swiss": swiss,
    "adaptive": adaptive,
}


def schedule_of(name: str) -> Schedule:
    """The schedule of a name.

    Raises:
      AwmError: there is none.
    """
    if name not in SCHEDULES:
        raise AwmError(f"no schedule {name!r}; give one of: {', '.join(SCHEDULES)}")
    return SCHEDULES[name]
