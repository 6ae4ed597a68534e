"""The match file that `awm-replay-check` reads: seed frames, every controller, the digest.

Little endian: the magic; int32 K, columns a player (continuous, binary, int), T; the K seed frames
as int32 (cont, binary, ints, stage, pads); T x 2 x 8 bytes of controllers; the digest, 4 uint32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from awm_jax.int8.frame import GameFrame

MAGIC = b"AWMMAT1\0"


def match_bytes(seed: GameFrame, pads: np.ndarray, digest: np.ndarray) -> bytes:
    """A match as the bytes of a match file.

    Args:
      seed: K frames with a leading axis, oldest first.
      pads: (T, 2, 8) integers, -128..127 in the first four fields, 0..255 in the others.
      digest: (4,) uint32 after the T frames, `awm_jax.game.digest`; frame 0 of them has number K.
    """
    arrays = [np.asarray(v) for v in (seed.cont, seed.binary, seed.ints, seed.stage, seed.pads)]
    k = arrays[3].shape[0]
    head = np.array([k, *(a.shape[-1] for a in arrays[:3]), len(pads)], "<i4")
    parts = [head, *(a.astype("<i4") for a in arrays)]
    body = (np.asarray(pads) & 255).astype(np.uint8).tobytes()
    return (
        MAGIC
        + b"".join(p.tobytes() for p in parts)
        + body
        + np.asarray(digest, np.uint32).astype("<u4").tobytes()
    )


def write_match(path: Path, seed: GameFrame, pads: np.ndarray, digest: np.ndarray) -> None:
    """Writes a match file."""
    path.write_bytes(match_bytes(seed, pads, digest))
