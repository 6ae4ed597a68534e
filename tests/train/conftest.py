"""Games made up from a seed, in the layout of real ones, and some real ones."""

import jax
import numpy as np
import pytest

from awm_jax.train import records
from awm_jax.train.data import Data, Entry


def made_up(rng, rows):
    """Two players who walk, jump and hit as dice fall: records (rows, 2)."""
    game = np.zeros((rows, 2), records.PLAYER)
    stick = np.repeat(rng.integers(0, 3, (rows // 8 + 1, 2)), 8, axis=0)[:rows]
    game["analog"][..., :4] = records.ANALOG_STEPS // 2
    game["analog"][..., 0] = stick * (records.ANALOG_STEPS // 2)
    game["buttons"] = np.repeat(rng.integers(0, 4, (rows // 6 + 1, 2)), 6, axis=0)[:rows]
    speed = (stick - 1.0).astype(np.float32)
    game["speed_air_x"] = speed
    game["x"] = np.clip(np.cumsum(speed, axis=0), -80, 80)
    game["percent"] = np.cumsum(rng.random((rows, 2)) < 0.02, axis=0) * 7.0
    game["shield"], game["stocks"], game["jumps"] = 60, 4, 2
    game["character"] = (22, 1)
    game["bits"] = 0b100 | (stick > 1)
    game["action"] = 14 + stick
    game["action_age"] = records.action_ages(game["action"])
    game["flags"] = rng.integers(0, 256, (rows, 2, 5))
    game["ground"] = rng.integers(0, 6, (rows, 2))
    return game


def made_up_data(seed, games=3, rows=300):
    rng = np.random.default_rng(seed)
    entries = tuple(
        Entry(f"game{i}", rows + i, 39, (31, 32, 3)[i % 3], (22, 1), players=("a", "b"))
        for i in range(games)
    )
    return Data(entries, tuple(made_up(rng, entry.rows) for entry in entries))


@pytest.fixture(scope="module", autouse=True)
def quick_to_compile():
    """These networks run for moments: their compilation is what takes time."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def games():
    return made_up_data(0)


@pytest.fixture(scope="session")
def other_games():
    return made_up_data(1)
