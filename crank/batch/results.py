"""What a run brings: a row a match, a summary of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from awm_jax.game.stages import stage as stage_of


class Row(NamedTuple):
    """One match. `match` is its index in the run; `winner` None is a draw or no result.

    Stocks and percent are those of the last frame, in whole numbers; `reason` is "ko", "timeout"
    or "corrupt"; `frames` are those generated; `digest` is that of `awm play --digest`.
    """

    match: int
    seed: int
    p0: str
    p1: str
    p0_character: int
    p1_character: int
    stage: int
    winner: int | None
    p0_stocks: int
    p1_stocks: int
    p0_percent: int
    p1_percent: int
    frames: int
    reason: str
    digest: str


@dataclasses.dataclass(frozen=True)
class Results:
    """Attributes:
    rows: in the order of their indices.
    seconds, slots: how long the matches of this call took, and on how many slots.
    """

    rows: Sequence[Row]
    seconds: float = 0.0
    slots: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def columns(self) -> dict[str, list]:
        """Name -> values, for a data frame."""
        columns = zip(*self.rows, strict=True) if self.rows else ([] for _ in Row._fields)
        return {name: list(values) for name, values in zip(Row._fields, columns, strict=True)}

    def summary(self) -> dict[str, Any]:
        """By agent and by stage: wins, stocks and percent difference, lengths, how they ended."""
        agents = {name for row in self.rows for name in (row.p0, row.p1)}
        stages = sorted({row.stage for row in self.rows})
        return {
            "matches": len(self.rows),
            "frames": sum(row.frames for row in self.rows),
            **_tally(self.rows),
            "agents": {name: _agent(name, self.rows) for name in sorted(agents)},
            "stages": {
                stage_of(stage).name: _tally([r for r in self.rows if r.stage == stage])
                | {"matches": sum(r.stage == stage for r in self.rows)}
                for stage in stages
            },
        }


def _tally(rows: Iterable[Row]) -> dict[str, Any]:
    rows = list(rows)
    lengths = np.array([row.frames for row in rows] or [0])
    return {
        "p0_wins": sum(row.winner == 0 for row in rows),
        "p1_wins": sum(row.winner == 1 for row in rows),
        "draws": sum(row.winner is None for row in rows),
        "length": {
            name: round(float(np.quantile(lengths, q)))
            for name, q in (("least", 0.0), ("median", 0.5), ("most", 1.0))
        },
        "ended": {
            reason: sum(row.reason == reason for row in rows)
            for reason in sorted({row.reason for row in rows})
        },
    }


def _agent(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """An agent's games from both sides; one against itself counts twice."""
    stocks, percent, won, lost, drawn = [], [], 0, 0, 0
    for row in rows:
        for side, sign in ((0, 1), (1, -1)):
            if (row.p0, row.p1)[side] != name:
                continue
            stocks.append(sign * (row.p0_stocks - row.p1_stocks))
            percent.append(sign * (row.p0_percent - row.p1_percent))
            won += row.winner == side
            lost += row.winner == 1 - side
            drawn += row.winner is None
    return {
        "matches": len(stocks),
        "wins": won,
        "losses": lost,
        "draws": drawn,
        "stocks_difference": round(float(np.mean(stocks)), 3),
        "percent_difference": round(float(np.mean(percent)), 2),
    }
