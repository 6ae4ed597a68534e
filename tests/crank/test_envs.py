"""Matches as environments: Gymnasium's own checks, and the same frames as `crank.play`."""

import jax
import numpy as np
import pytest

pytest.importorskip("gymnasium")
import gymnasium
from gymnasium.utils.env_checker import check_env

import crank
from awm_jax.cartridges import EMBEDDED
from awm_jax.errors import AwmError
from awm_jax.int8.frame import to_floats
from crank.envs import MatchEnv, MatchVectorEnv

REST = {"analog": np.array([0.5, 0.5, 0.5, 0.5, 0], np.float32), "buttons": np.zeros(8, np.int8)}


def many(action, count):
    return {name: np.stack([value] * count) for name, value in action.items()}


def test_gymnasium_is_content():
    check_env(MatchEnv(opponent="random", max_frames=20), skip_render_check=True)


def test_the_readme_s_ten_lines():
    env = MatchEnv(opponent="policy:fox", max_frames=30)
    seen, _ = env.reset(seed=3)
    total, over = 0.0, False
    while not over:
        seen, reward, terminated, truncated, info = env.step(env.action_space.sample())
        total, over = total + reward, terminated or truncated
    assert env.observation_space.contains(seen)
    assert info["outcome"] == "timeout" and np.isfinite(total)


def test_rest_is_noop_frame_for_frame():
    envs = MatchVectorEnv(3, opponent="random", max_frames=40)
    envs.reset(seed=5)
    for _ in range(30):
        seen, *_ = envs.step(many(REST, 3))
    for i in range(3):
        played = crank.play(
            EMBEDDED, "noop", "random", max_frames=30, seed=5 + i, seed_action=14, early_ko=False
        )
        last = jax.tree.map(lambda v: v[-1:], played.frames)
        np.testing.assert_array_equal(seen["floats"][i], to_floats(played.cfg, last)[0][0])


def test_finished_matches_begin_anew_beside_the_others():
    envs = MatchVectorEnv(2, opponent="random", max_frames=10)
    first, _ = envs.reset(seed=0)
    for t in range(10):
        seen, reward, terminated, truncated, info = envs.step(many(REST, 2))
        assert truncated.all() == (t == 9) and not terminated.any()
    assert (info["_final_obs"]).all()
    assert not np.array_equal(info["final_obs"]["floats"], seen["floats"])
    np.testing.assert_array_equal(first["floats"], seen["floats"])
    assert reward.shape == (2,)


def test_both_sides():
    left, right = (MatchEnv(opponent="noop", player=p, max_frames=5) for p in (0, 1))
    (a, _), (b, _) = left.reset(seed=0), right.reset(seed=0)
    half = a["floats"].size // 2
    np.testing.assert_array_equal(a["floats"][:half], b["floats"][half:])
    assert isinstance(left, gymnasium.Env)


@pytest.mark.parametrize("wrong", [{"player": 2}, {"opponent": "nobody"}])
def test_bad_arguments(wrong):
    with pytest.raises(AwmError):
        MatchEnv(**wrong)
    with pytest.raises(AwmError):
        MatchVectorEnv(0)
