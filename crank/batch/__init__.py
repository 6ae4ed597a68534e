"""Thousands of matches in one run. The command is `awm batch`, its text docs/batch.md."""

from __future__ import annotations

from crank.batch.cluster import Cluster
from crank.batch.loading import BatchSpec
from crank.batch.plan import Entrant, MatchSpec, draw_matches
from crank.batch.results import Results, Row
from crank.batch.running import run_batch

__all__ = [
    "BatchSpec",
    "Cluster",
    "Entrant",
    "MatchSpec",
    "Results",
    "Row",
    "draw_matches",
    "run_batch",
]
