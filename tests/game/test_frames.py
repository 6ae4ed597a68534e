"""Seed frames and controller features against the golden vectors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.golden import golden_dir, load_npz
from support.matches import golden_match, match_names

from awm_jax.encoding import EncodingConfig, columns
from awm_jax.game.decode import decode
from awm_jax.game.frames import control_features, controllers, seed_frames

BASE = {"state_age_as_embed": True}
PRODUCTION = BASE | {"state_flags": True, "hitstun": True, "projectiles": True}
CONFIGS = {
    "base_embed": EncodingConfig(**BASE),
    "production": EncodingConfig(**PRODUCTION),
    "float_age": EncodingConfig(),
    "float_age_hitstun": EncodingConfig(hitstun=True),
    "all": EncodingConfig(**PRODUCTION, ctrl_threshold_features=True),
}


def vectors() -> dict[str, np.ndarray]:
    return load_npz(golden_dir("match") / "frames_seed_clamp.npz")


@pytest.mark.parametrize("name", ["base_embed", "production", "float_age", "all"])
def test_seed(name: str) -> None:
    frames = seed_frames(CONFIGS[name], 10, 31, (18, 1))
    assert frames.floats.dtype == np.float32 and frames.ints.dtype == np.int32
    for row in range(10):
        assert np.array_equal(frames.floats[row], vectors()[f"{name}_float"])
        assert np.array_equal(frames.ints[row], vectors()[f"{name}_int"])


def test_noise() -> None:
    draws = 2.0 * vectors()["noise2_draws_p0x_p1x_p0y_p1y"].astype(np.float64)
    frames = seed_frames(CONFIGS["base_embed"], 10, 32, (2, 2), draws)
    np.testing.assert_allclose(frames.floats, vectors()["noise2_float"], rtol=0, atol=2.5e-7)
    one = seed_frames(CONFIGS["base_embed"], 10, 32, (2, 2), draws[:1])
    assert (one.floats == one.floats[0]).all()
    assert np.array_equal(one.floats[0], frames.floats[0])


def test_standing_seed() -> None:
    """The option of M7: another action, nothing else."""
    cfg = CONFIGS["production"]
    dead, standing = (seed_frames(cfg, 3, 32, (2, 9), action=action) for action in (0, 14))
    assert np.array_equal(dead.floats, standing.floats)
    assert (decode(cfg, standing)["action"] == 14).all()
    changed = dataclasses.replace(standing, ints=standing.ints.copy()).ints
    changed[:, [0, cfg.int_per_player]] = 0
    assert np.array_equal(changed, dead.ints)


@pytest.mark.parametrize("name", match_names())
def test_next_ctrl(name: str) -> None:
    """What the network is given for both new controllers, threshold features included (M12)."""
    golden = golden_match(name)
    z, cfg, count = golden.arrays, golden.cfg, golden.info["context_len"]
    steps = len(z["next_ctrl"])
    before = np.asarray(controllers(cfg, z["sim_floats"][count - 1 : count - 1 + steps]))
    got = control_features(cfg, z["ctrl"][:steps], before)
    assert np.array_equal(got, z["next_ctrl"])


def test_press_events() -> None:
    cfg = EncodingConfig(press_events=True, ctrl_threshold_features=True)
    before, pads = np.zeros((2, 13), np.float32), np.zeros((2, 13), np.float32)
    before[0, 5] = 1.0
    pads[0, 5:7] = 1.0  # A held, B fresh
    pads[1, 0] = 0.31
    features = np.asarray(control_features(cfg, pads, before))
    presses, beyond = features[26:42], features[42:]
    assert np.flatnonzero(presses).tolist() == [1]
    assert np.flatnonzero(beyond).tolist() == [5]
    assert features.shape == (cfg.ctrl_conditioning_dim,)


def test_controllers_are_the_controller_columns() -> None:
    cfg = CONFIGS["production"]
    floats = np.arange(cfg.float_per_frame, dtype=np.float32)
    got = np.asarray(controllers(cfg, floats))
    first = columns(cfg).controller.start
    assert got[:, 0].tolist() == [first, first + cfg.float_per_player]
    assert got.shape == (2, 13)
