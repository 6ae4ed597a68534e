"""Real games: as match files, and as the start of a match."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any

import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig, float_names, int_names
from awm_jax.errors import AwmError
from awm_jax.game.frames import Frames
from awm_jax.replays.encode import encode
from awm_jax.replays.slippi import Game, read_game
from crank import viz


def replay_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A real game as the object of a match file, all frames of it, the countdown's too.

    Raises:
      AwmError: the file cannot be read or is not a game of two.
    """
    game = read_game(path)
    frames = viz.viz_frames(game.columns, np.full(len(game.frame_ids), game.stage))
    characters = game.columns["character"][0].tolist()
    meta = {
        "replay": os.path.basename(path),
        "replay_sha256": game.sha256,
        "slippi_version": ".".join(map(str, game.version)),
        "first_frame": int(game.frame_ids[0]),
        "ports": list(game.ports),
        "players": list(game.kinds),
        "missing": sorted(game.missing),
        "outcome": game.end_method,
        "winner": game.winner,
    }
    return viz.match_object(
        frames,
        mode="replay",
        seed_frames=0,
        stage=game.stage,
        characters=(characters[0], characters[1]),
        meta=meta,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class ReplaySeed:
    """Attributes:
    frames: (K, F) and (K, I) of the real game.
    missing: names of the world's columns that the replay's version lacks, filled with defaults.
    """

    frames: Frames
    missing: tuple[str, ...]


def replay_seed(
    path: str | os.PathLike[str],
    cfg: EncodingConfig,
    count: int,
    start_frame: int = 0,
    *,
    counted_age: bool = False,
) -> ReplaySeed:
    """`count` successive frames of a real game, for `play(seed_frames=...)`.

    Args:
      start_frame: the game's own number of the first one: -123 is its first frame, 0 is GO.
      counted_age: as in `awm_jax.replays.encode.encode`.

    Raises:
      AwmError: the file cannot be read, or the game has no such frames.
    """
    game = read_game(path)
    at = np.searchsorted(game.frame_ids, start_frame)
    ids = game.frame_ids[at : at + count]
    if not np.array_equal(ids, np.arange(start_frame, start_frame + count)):
        raise AwmError(
            f"{path}: has no frames {start_frame} to {start_frame + count - 1}, {_has(game)}"
        )
    rows = slice(at, at + count)
    floats, ints = (jnp.asarray(v[rows]) for v in encode(game, cfg, counted_age=counted_age))
    wanted = [re.sub("^flag_.*", "flags", name) for name in (*float_names(cfg), *int_names(cfg))]
    missing = tuple(name for name in dict.fromkeys(wanted) if name in game.missing)
    return ReplaySeed(Frames(floats, ints), missing)


def _has(game: Game) -> str:
    return f"it has {game.frame_ids[0]} to {game.frame_ids[-1]}"
