"""Windows of frames drawn from many games, some following one another, some anywhere.

A stream reads a game from a random place on, window after window, and now and then jumps to
another place, where the recurrent state begins at zero. All that a stream remembers is a few
integers, and what step n draws depends on the seed and n alone: a run that is resumed reads what
it would have read.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.train import records
from awm_jax.train.data import Data, encode_records


@dataclasses.dataclass(frozen=True)
class StreamConfig:
    """Attributes:
    streams: S, windows a step.
    window: T, frames by which a stream moves on a step.
    ahead: frames that a window shows beyond its end, in which nothing begins.
    jump: probability that a stream goes elsewhere before a step.
    swap, mirror: probability of either symmetry, drawn at a jump. Mirrored are only games on
      stages that look the same from both sides.
    balance: 0 draws places evenly over all frames, 1 evenly over the characters.
    """

    streams: int = 16
    window: int = 64
    ahead: int = 1
    jump: float = 0.15
    swap: float = 0.5
    mirror: float = 0.5
    balance: float = 0.3


@dataclasses.dataclass(frozen=True)
class Place:
    """Where S streams are: (S,) arrays. `game` -1 is nowhere yet."""

    game: np.ndarray
    row: np.ndarray
    swap: np.ndarray
    mirror: np.ndarray

    @classmethod
    def start(cls, streams: int) -> Place:
        none = np.zeros(streams, bool)
        return cls(np.full(streams, -1), np.zeros(streams, np.int64), none, none.copy())


@dataclasses.dataclass(frozen=True)
class Windows:
    """S windows of T + ahead frames: floats (S, n, F), ints (S, n, I); fresh (S,) bool where a
    window does not follow the one before."""

    floats: np.ndarray
    ints: np.ndarray
    fresh: np.ndarray


def game_weights(data: Data, rows: np.ndarray, balance: float) -> np.ndarray:
    """Probability of each game (G,): its rows, times its characters' rarity to the power."""
    frames = np.zeros(256)
    for entry, count in zip(data.entries, rows, strict=True):
        frames[list(entry.characters)] += count
    rarity = [
        np.mean([frames[c] ** -balance for c in entry.characters]) if count else 0.0
        for entry, count in zip(data.entries, rows, strict=True)
    ]
    weights = rows * np.array(rarity)
    return weights / weights.sum()


class Streams:
    """Draws windows from the games of a data folder."""

    def __init__(
        self,
        data: Data,
        cfg: EncodingConfig,
        config: StreamConfig,
        seed: int,
        *,
        counted_age: bool = True,
    ):
        """Raises:
        AwmError: no game is as long as a window.
        """
        self.data, self.cfg, self.config, self.seed = data, cfg, config, seed
        self.counted_age = counted_age
        self.span = config.window + config.ahead
        self.places = np.array([max(0, e.rows - self.span + 1) for e in data.entries])
        if not self.places.any():
            raise AwmError(f"no game has {self.span} frames; take a shorter window")
        self.weights = game_weights(data, self.places, config.balance)

    def next(self, step: int, place: Place) -> tuple[Windows, Place]:
        """The windows of one step, and where the streams are after it."""
        rng = np.random.default_rng([self.seed, step])
        config, streams = self.config, self.config.streams
        game = rng.choice(len(self.weights), streams, p=self.weights)
        row = (rng.random(streams) * self.places[game]).astype(np.int64)
        swap = rng.random(streams) < config.swap
        mirror = rng.random(streams) < config.mirror
        jump = rng.random(streams) < config.jump
        fresh = jump | (place.game < 0) | (place.row >= self.places[place.game])
        game, row = np.where(fresh, game, place.game), np.where(fresh, row, place.row)
        swap, mirror = np.where(fresh, swap, place.swap), np.where(fresh, mirror, place.mirror)
        stages = np.array([self.data.entries[g].stage for g in game])
        windows = []
        for g, r, s, m, stage in zip(game, row, swap, mirror, stages, strict=True):
            window = self.data.games[g][r : r + self.span]
            window = records.swap(window) if s else window
            if m and records.can_mirror(int(stage)):
                window = records.mirror(window, int(stage))
            windows.append(window)
        floats, ints = encode_records(
            np.stack(windows), stages[:, None], self.cfg, counted_age=self.counted_age
        )
        return Windows(floats, ints, fresh), Place(game, row + config.window, swap, mirror)
