"""Counter-based randomness: bits = f(seed, frame, player, draw), no state, the same everywhere.

The generator is Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011; the Random123 library has its known-answer vectors): 32-bit adds, rotations, xors.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def seed_words(seed: int) -> np.ndarray:
    """A seed 0 <= seed < 2^64 as (2,) uint32, low word first."""
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed} is not between 0 and 2^64 - 1")
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)


def threefry2x32(key: jax.Array, counter: jax.Array) -> jax.Array:
    """One block: key (2,) uint32, counter (2, ...) uint32 -> (2, ...) uint32."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    x0, x1 = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = (x1 << jnp.uint32(rotation)) | (x1 >> jnp.uint32(32 - rotation))
            x1 = x1 ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return jnp.stack([x0, x1])


def draw_bits(seed: jax.Array, frame: jax.Array, player: jax.Array | int, count: int) -> jax.Array:
    """`count` words (count,) uint32 for one player and frame.

    Block j has the counter (frame, player * 2^16 + j) and gives draws 2j and 2j + 1.

    Args:
      seed: (2,) uint32 from `seed_words`.
      frame: () int32 frame number.
      player: 0 or 1; 2 for the match itself.
    """
    blocks = (count + 1) // 2
    low = jnp.broadcast_to(jnp.asarray(frame, jnp.int32).astype(jnp.uint32), (blocks,))
    player = jnp.asarray(player, jnp.uint32)
    high = (player << jnp.uint32(16)) + jnp.arange(blocks, dtype=jnp.uint32)
    # Not .T: XLA without its pass "fusion" takes a transpose before a reshape for none.
    even, odd = threefry2x32(seed, jnp.stack([low, high]))
    return jnp.stack([even, odd], axis=-1).reshape(-1)[:count]


def uniform(bits: jax.Array) -> jax.Array:
    """uint32 words -> float32 in [0, 1), a multiple of 2^-24."""
    return (bits >> jnp.uint32(8)).astype(jnp.float32) * jnp.float32(2.0**-24)
