"""Matches that nobody steers beside games of real people: do they fight, fall and end alike?

A game is measured by itself, frame after frame, whether people or policies played it.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.game.characters import CHARACTERS
from awm_jax.game.stages import STAGES, stage
from awm_jax.train.data import Data
from awm_jax.train.records import BITS
from crank.watch.tables import category

FPS = 60
STILL = 10 * FPS
"""Frames after which a player who neither moves nor acts, or floats off stage, is stuck."""
HIT = 0.5
"""A rise of percent in one frame from which on it is a hit."""
LEAP = 0.02
"""Game units a frame below which a player does not move."""
LONGEST = 28_800
FIELDS = ("x", "y", "percent", "stocks", "action", "on_ground")
_CATEGORIES = np.array([category(action) for action in range(400)])
_AWAY = np.isin(_CATEGORIES, ("dead", "respawn"))


@dataclasses.dataclass(frozen=True)
class Game:
    """Attributes:
    stage: external id.
    columns: name of `FIELDS` -> (T, 2) in game units.
    ended: whether a last stock was lost.
    """

    stage: int
    columns: dict[str, np.ndarray]
    ended: bool


def measure(game: Game) -> dict[str, Any]:
    """Counts of one game, over both players; `summarise` makes statistics of many."""
    c, where = game.columns, stage(game.stage)
    action = np.clip(c["action"].astype(int), 0, len(_CATEGORIES) - 1)
    kinds, away = _CATEGORIES[action], _AWAY[action]
    rise = np.diff(c["percent"], axis=0)
    lost, stocks = np.diff(c["stocks"], axis=0) < 0, np.diff(c["stocks"], axis=0)
    fell = rise < -HIT
    moved = np.hypot(np.diff(c["x"], axis=0), np.diff(c["y"], axis=0)) > LEAP
    still = ~moved & (np.diff(action, axis=0) == 0) & ~away[1:]
    outside = (np.abs(c["x"]) > where.ground_x_range[1]) & ~c["on_ground"].astype(bool)
    outside &= ~away & (kinds != "ledge")
    both = ~away.any(axis=1)
    apart = np.hypot(np.diff(c["x"][both]), np.diff(c["y"][both]))[:, 0]
    before = np.concatenate([c["percent"][:-1][lost[:, p], p] for p in (0, 1)])
    return {
        "frames": len(away),
        "alive": int((~away).sum()),
        "hits": int((rise >= HIT).sum()),
        "damage": float(rise[rise >= HIT].sum()),
        "stocks": int(lost.sum()),
        "percents": before.tolist(),
        "kinds": Counter(kinds.reshape(-1).tolist()),
        "distance": float(apart.sum()),
        "together": int(both.sum()),
        "ended": game.ended,
        "rising_stocks": int((stocks > 0).sum()),
        "percent_kept": int(_kept(c["percent"], lost)),
        "percent_fell": int((fell & (action[1:] > 13)).sum()),
        "stuck": max(_longest(still), _longest(outside)) > STILL,
    }


def _kept(percent: np.ndarray, lost: np.ndarray) -> int:
    """Lost stocks after which the player, 600 frames later at most, never had 0 percent."""
    count = 0
    for frame, player in np.argwhere(lost):
        after = percent[frame + 1 : frame + 1 + STILL, player]
        count += len(after) == STILL and after.min() >= HIT
    return count


def _longest(mask: np.ndarray) -> int:
    """The longest run of True in any column of (T, 2)."""
    best = 0
    for column in mask.T:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], column.astype(np.int8), [0]])))
        best = max(best, int(np.max(edges[1::2] - edges[::2], initial=0)))
    return best


def summarise(measured: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Statistics of many games, each frame weighing the same.

    Raises:
      AwmError: there are no games.
    """
    games = list(measured)
    if not games:
        raise AwmError("there are no games to measure")

    def total(name):
        return sum(game[name] for game in games)

    minutes = total("frames") / FPS / 60
    kinds: Counter[str] = sum((game["kinds"] for game in games), Counter())
    percents = [p for game in games for p in game["percents"]]
    return {
        "games": len(games),
        "ended by a last stock": total("ended") / len(games),
        "minutes a game": minutes / len(games),
        "hits a minute": total("hits") / minutes,
        "damage a hit": total("damage") / max(1, total("hits")),
        "stocks lost a minute": total("stocks") / minutes,
        "seconds a stock": total("alive") / FPS / max(1, total("stocks")),
        "percent at a lost stock": float(np.median(percents)) if percents else float("nan"),
        "distance between players": total("distance") / max(1, total("together")),
        "games in which somebody is stuck": total("stuck") / len(games),
        "stocks that rose": total("rising_stocks"),
        "percent kept after a lost stock": total("percent_kept"),
        "percent that fell while alive": total("percent_fell"),
        "share of frames": {name: count / kinds.total() for name, count in sorted(kinds.items())},
    }


def real_games(data: Data) -> Iterator[Game]:
    """The games of a data folder from GO on."""
    for entry, rows in zip(data.entries, data.games, strict=True):
        rows = rows[entry.go :]
        columns = {name: np.asarray(rows[name], np.float32) for name in FIELDS[:-1]}
        columns["on_ground"] = (rows["bits"] >> BITS.index("on_ground") & 1).astype(np.float32)
        yield Game(entry.stage, columns, bool((rows["stocks"][-1] == 0).any()))


def free_games(
    world: str,
    policies: list[str],
    count: int,
    *,
    seed: int = 0,
    engine: str = "auto",
    max_frames: int = LONGEST,
    on_progress: Callable[[Any], object] = lambda _: None,
) -> Iterator[Game]:
    """Matches between a cartridge's policies, each against each other one, played and measured.

    Args:
      policies: names, also of the characters they play where a character is called so.
      count: matches; each has a seed of its own, stages and sides in turn.

    Raises:
      AwmError: fewer than two policies, or what `crank.batch.run_batch` refuses.
    """
    import pyarrow.parquet as pq

    from crank.batch import BatchSpec, Entrant, run_batch
    from crank.batch.plan import MatchSpec, draw

    stages = sorted(STAGES)
    pairs = list(itertools.permutations(policies, 2))
    if not pairs:
        raise AwmError(f"{world}: a free run needs two policies, it has {len(policies)}")
    matches = []
    for index in range(count):
        p0, p1 = pairs[index % len(pairs)]
        drawn = draw(seed, index)
        where = stages[drawn.stage % len(stages)]
        matches.append(MatchSpec(p0, p1, drawn.seed, where, (_fighter(p0), _fighter(p1))))
    spec = BatchSpec(
        world,
        {name: Entrant(f"policy:{name}") for name in policies},
        matches,
        max_frames=max_frames,
        engine=engine,
        seed_action=14,
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        rows = run_batch(spec, str(out), record=range(count), on_progress=on_progress).rows
        names = ["stage", *(f"p{p}_{name}" for p in (0, 1) for name in FIELDS)]
        frames = pq.ParquetFile(out / "frames.parquet")
        for row, group in zip(rows, _matches(frames, ["match", *names]), strict=True):
            columns = {
                name: np.stack([group[f"p{p}_{name}"] for p in (0, 1)], axis=1) for name in FIELDS
            }
            yield Game(row.stage, columns, row.reason == "ko")


def _matches(frames: Any, names: list[str]) -> Iterator[dict[str, np.ndarray]]:
    """Columns of each match of a run's frames, in order."""
    parts: list[Any] = []
    for number in range(frames.num_row_groups):
        table = frames.read_row_group(number, columns=names)
        if parts and table["match"][0] != parts[0]["match"][0]:
            yield _joined(parts, names)
            parts = []
        parts.append(table)
    if parts:
        yield _joined(parts, names)


def _joined(parts: list[Any], names: list[str]) -> dict[str, np.ndarray]:
    import pyarrow as pa

    whole = pa.concat_tables(parts)
    return {name: whole[name].to_numpy() for name in names}


def _fighter(policy: str) -> int:
    """The character that a policy is named after; Fox if none."""
    named = {name.lower(): number for number, name in CHARACTERS.items()}
    return named.get(policy.lower(), named["fox"])


def table(free: dict[str, Any], real: dict[str, Any]) -> str:
    """Both summaries beside each other."""
    lines = [f"{'':36}{'free run':>12}{'real games':>12}"]
    for name, value in free.items():
        if name == "share of frames":
            continue
        whole = isinstance(value, int)
        cells = [f"{v:12,}" if whole else f"{v:12.3f}" for v in (value, real[name])]
        lines.append(f"{name:36}{''.join(cells)}")
    lines.append("share of frames, %")
    shares = free["share of frames"], real["share of frames"]
    for name in sorted({*shares[0], *shares[1]}):
        cells = [f"{100 * share.get(name, 0.0):12.2f}" for share in shares]
        lines.append(f"  {name:34}{''.join(cells)}")
    return "\n".join(lines)
