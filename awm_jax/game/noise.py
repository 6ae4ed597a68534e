"""Where the players of a made-up seed stand: random offsets, a function of the match's seed."""

from __future__ import annotations

from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.game import rng

MATCH = 2
"""The player number of draws that belong to the match itself."""
_DRAWS = 4


def seed_noise(seed: int, scale: float, count: int = 1) -> np.ndarray:
    """Normal offsets for `frames.seed_frames`, (count, 4) float64 game units.

    The reference draws anew for each seed frame, unseeded (M9); `count` = 1 draws once, so that
    players stand still before a match.

    Args:
      scale: standard deviation.
      count: rows; row t is drawn from the counter of frame t.
    """
    words = jnp.asarray(rng.seed_words(seed))
    draw = jax.jit(jax.vmap(lambda frame: rng.draw_bits(words, frame, MATCH, _DRAWS)))
    bits = np.asarray(draw(jnp.arange(count, dtype=jnp.int32)))
    # Centres of 2^23 equal steps: never 0 or 1, whose normal is infinite.
    uniform = ((bits >> 9) + 0.5) * 2.0**-23
    normal = NormalDist().inv_cdf
    return scale * np.array([[normal(u) for u in row] for row in uniform.tolist()])
