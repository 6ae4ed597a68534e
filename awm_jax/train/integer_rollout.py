"""The rollouts of `rollout`, made by the integer machine."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.errors import AwmError
from awm_jax.game.frames import Frames
from awm_jax.int8.engine import NativeWorld
from awm_jax.int8.frame import GameFrame, from_floats, to_floats
from awm_jax.int8.world import Int8World
from awm_jax.train.data import Data
from awm_jax.train.rollout import (
    DAMAGE_NAMES,
    HORIZON,
    Starts,
    Tally,
    batches,
    score_names,
    scores,
)

IntegerWorld = Int8World | NativeWorld


@jax.jit
def roll(world: IntegerWorld, seed: GameFrame, pads: jax.Array) -> GameFrame:
    """seed (b, K, ...), pads (b, H, 2, 8) of the frames to predict -> those frames (b, H, ...)."""

    def one(seed, pads):
        return jax.lax.scan(world.step, world.reset(seed), pads)[1]

    return jax.vmap(one)(seed, pads)


_scores = jax.jit(jax.vmap(scores, in_axes=(None, 0, 0, 0)), static_argnums=0)


def evaluate_world(
    world: IntegerWorld, data: Data, starts: Starts, *, horizon: int = HORIZON, size: int = 256
) -> Tally:
    """Roll a world out from every start, after the K real frames that a match begins with.

    Raises:
      AwmError: there are no starts, or some with fewer frames before them.
    """
    cfg, known = world.cfg, world.context_len
    if len(starts) == 0 or starts.row.min() < known:
        raise AwmError(f"there are no starts, or some with fewer than {known} frames before them")
    names, games = score_names(cfg), len(data)
    count = np.zeros(games, np.int64)
    sums, damage = np.zeros((games, horizon, len(names))), np.zeros((games, len(DAMAGE_NAMES)))
    size = min(size, len(starts))
    for game, frames in batches(data, starts, cfg, known, horizon, size):
        own = from_floats(cfg, np.asarray(frames.floats), np.asarray(frames.ints))
        seed = jax.tree.map(lambda v: jnp.asarray(v[:, :known]), own)
        made = jax.device_get(roll(world, seed, jnp.asarray(own.pads[:, known:])))
        predicted = Frames(*map(jnp.asarray, to_floats(cfg, made)))
        start, real = (
            jax.tree.map(lambda v, part=part: jnp.asarray(v[:, part]), frames)
            for part in (known - 1, slice(known, None))
        )
        table, hits = _scores(cfg, start, predicted, real)
        np.add.at(count, game, 1)
        np.add.at(sums, game, np.asarray(table, np.float64)[: len(game)])
        np.add.at(damage, game, np.asarray(hits, np.float64)[: len(game)])
    return Tally(names, count, sums, damage)
