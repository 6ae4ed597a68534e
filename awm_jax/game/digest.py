"""The digest of a match: a hash chain over its frames, computed by the step itself.

Four lanes of XXH32 (the published 32-bit xxHash), each seeded by its own last value, make 128 bits:
a fingerprint against accident, not against an adversary with freedom to search. A stranger who
wants more re-computes the match.
"""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.errors import AwmError

LANES = 4
_P1, _P2, _P3, _P4, _P5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393


def _u32(value: int) -> jax.Array:
    return jnp.uint32(value & 0xFFFFFFFF)


def _rotl(x: jax.Array, r: int) -> jax.Array:
    return (x << jnp.uint32(r)) | (x >> jnp.uint32(32 - r))


def xxh32(words: jax.Array, seed: jax.Array) -> jax.Array:
    """XXH32 of n little-endian words (n,) uint32 under seeds (*b,) uint32 -> (*b,) uint32."""
    n = words.shape[0]
    start = 0
    if n >= 4:
        v = [seed + _u32(_P1 + _P2), seed + _u32(_P2), seed, seed - _u32(_P1)]
        while start + 4 <= n:
            for lane in range(4):
                v[lane] = _rotl(v[lane] + words[start + lane] * _u32(_P2), 13) * _u32(_P1)
            start += 4
        h = _rotl(v[0], 1) + _rotl(v[1], 7) + _rotl(v[2], 12) + _rotl(v[3], 18)
    else:
        h = seed + _u32(_P5)
    h = h + _u32(4 * n)
    for word in range(start, n):
        h = _rotl(h + words[word] * _u32(_P3), 17) * _u32(_P4)
    h = (h ^ (h >> jnp.uint32(15))) * _u32(_P2)
    h = (h ^ (h >> jnp.uint32(13))) * _u32(_P3)
    return h ^ (h >> jnp.uint32(16))


def start() -> jax.Array:
    """The digest before the first frame, (4,) uint32: 0, 1, 2, 3."""
    return jnp.arange(LANES, dtype=jnp.uint32)


def extend(digest: jax.Array, words: jax.Array) -> jax.Array:
    """Absorb the words (n,) uint32 of one frame into a digest (4,) uint32."""
    return xxh32(words, digest)


def hexdigest(digest: np.ndarray) -> str:
    """32 hexadecimal digits, lane 0 first."""
    return "".join(f"{int(lane):08x}" for lane in np.asarray(digest))


def from_hex(text: str) -> np.ndarray:
    """The digest (4,) uint32 that `hexdigest` prints as `text`.

    Raises:
      AwmError: it is not 32 hexadecimal digits.
    """
    if re.fullmatch(f"[0-9a-f]{{{8 * LANES}}}", text) is None:
        raise AwmError(f"a digest has {8 * LANES} hexadecimal digits, this one is damaged")
    return np.frombuffer(bytes.fromhex(text), ">u4").astype(np.uint32)
