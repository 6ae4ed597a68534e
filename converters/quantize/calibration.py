"""Frames to calibrate and compare on: real replays, or where none are at hand a float match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import ANALOG, CONTROLLER, EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import FrameStackMamba2
from awm_jax.fp32.world import Fp32World
from awm_jax.game.frames import seed_frames
from awm_jax.replays.encode import encode
from awm_jax.replays.slippi import read_game

Sequences = list[tuple[np.ndarray, np.ndarray]]

SUFFIXES = (".slp", ".slx", ".slp.xz")
LEAST_OF_GAME = 512
PRESS_ABOVE = 0.9
SYNTHETIC_GAME = 600
STAGE, CHARACTERS = 32, (2, 2)


def find_replays(paths: Iterable[str | Path]) -> list[Path]:
    """Replay files, and those of folders and the folders in them, names ascending.

    Raises:
      AwmError: a path is absent, or there is no replay.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.name.lower().endswith(SUFFIXES))
            found += sorted(p for p in inside if p.is_file())
        elif path.exists():
            found.append(path)
        else:
            raise AwmError(f"{path}: no such file or folder")
    if not found:
        raise AwmError(f"no replay ({', '.join(SUFFIXES)}) in {', '.join(map(str, paths))}")
    return found


def real_sequences(
    files: Sequence[Path], cfg: EncodingConfig, frames: int, *, counted_age: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Encoded games, at most `frames` frames in all, from GO on.

    Where fewer files are enough (`LEAST_OF_GAME` frames of each), they are taken evenly from all.

    Args:
      counted_age: as in `encode`.

    Raises:
      AwmError: a file cannot be read; names it.
    """
    left = frames
    share = max(LEAST_OF_GAME, -(-frames // len(files)))
    wanted = min(len(files), -(-frames // share))
    for index in np.linspace(0, len(files) - 1, wanted).astype(int):
        game = read_game(files[index])
        floats, ints = encode(game, cfg, counted_age=counted_age)
        start = int(np.searchsorted(game.frame_ids, 0))
        rows = slice(start, start + min(share, left) + 1)
        if not np.isfinite(floats[rows]).all():
            raise AwmError(f"{files[index]}: holds values that are no numbers")
        if len(floats[rows]) > 1:
            left -= len(floats[rows]) - 1
            yield floats[rows], ints[rows]


def synthetic_sequences(model: FrameStackMamba2, frames: int, *, recurrent: bool) -> Sequences:
    """Matches of the float world's own under random controllers, by a fixed seed.

    Raises:
      AwmError: the world can't be played, or makes values that are no numbers.
    """
    world = Fp32World.of(model, recurrent=recurrent)
    rng = np.random.Generator(np.random.PCG64(0))
    play = jax.jit(lambda seed, pads: jax.lax.scan(world.step, world.reset(seed), pads)[1])
    games, left = [], frames
    while left > 0:
        length = min(left, SYNTHETIC_GAME)
        seed = seed_frames(model.cfg, model.context_len, STAGE, CHARACTERS, noise=None)
        if model.cfg.stage_vocab <= STAGE or model.cfg.character_vocab <= max(CHARACTERS):
            seed = seed_frames(model.cfg, model.context_len, 0, (0, 0), noise=None)
        pads = rng.random((length, 2, len(CONTROLLER)), np.float32)
        pads[..., len(ANALOG) :] = pads[..., len(ANALOG) :] > PRESS_ABOVE
        made = play(seed, jnp.asarray(pads))
        floats = np.concatenate([seed.floats, made.floats])
        if not np.isfinite(floats).all():
            raise AwmError("the float world makes values that are no numbers under random agents")
        games.append((floats, np.concatenate([seed.ints, made.ints])))
        left -= length
    return games
