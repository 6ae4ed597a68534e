"""How frames are stored, and the symmetries: exact, and their own inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awm_jax.encoding import EncodingConfig, columns
from awm_jax.train import records
from awm_jax.train.data import encode_records

CFG = EncodingConfig(state_age_as_embed=True, state_flags=True, hitstun=True)


def any_records(seed, rows=7):
    raw = np.random.default_rng(seed).integers(
        0, 256, (rows, 2, records.PLAYER.itemsize), dtype=np.uint8
    )
    out = raw.view(records.PLAYER)[..., 0].copy()
    out["analog"] %= records.ANALOG_STEPS + 1
    return out


def same(a, b):
    return a.tobytes() == np.ascontiguousarray(b).tobytes()


@given(st.integers(0, 2**32), st.sampled_from([2, 8, 28, 31, 32]))
def test_symmetries_undo_themselves(seed, stage):
    original = any_records(seed)
    assert same(original, records.swap(records.swap(original)))
    mirrored = records.mirror(original, stage)
    assert same(original, records.mirror(mirrored, stage))
    assert not same(original, mirrored)
    assert same(records.swap(mirrored), records.mirror(records.swap(original), stage))


def test_mirror_turns_what_has_a_side_and_nothing_else(games):
    game = games.games[0]
    floats, _ = encode_records(game, 31, CFG)
    turned, _ = encode_records(records.mirror(game, 31), 31, CFG)
    where = columns(CFG)
    before, after = (v.reshape(len(game), 2, -1) for v in (floats, turned))
    for name in ("x", "speed_air_x", "speed_ground_x", "speed_attack_x"):
        assert np.array_equal(after[..., where[name]], -before[..., where[name]])
    for name in ("main_x", "c_x", "facing"):
        assert np.allclose(after[..., where[name]], 1 - before[..., where[name]], atol=1e-7)
    rest = [
        i
        for name, i in where.index.items()
        if name
        not in ("x", "speed_air_x", "speed_ground_x", "speed_attack_x", "main_x", "c_x", "facing")
    ]
    assert np.array_equal(after[..., rest], before[..., rest])
    assert np.array_equal(records.mirror(game, 31)["ground"] == 3, game["ground"] == 5)


def test_only_symmetric_stages_are_mirrored():
    assert records.can_mirror(31) and not records.can_mirror(3)


def test_action_age_is_the_rule_of_a_match():
    action = np.array([[5, 1], [5, 2], [5, 2], [6, 2], [5, 2]])
    assert records.action_ages(action).tolist() == [[0, 0], [1, 0], [2, 1], [0, 2], [0, 3]]


def test_sticks_at_rest_and_their_steps_come_back():
    columns_in = records.unpack(np.zeros((161, 2), records.PLAYER))
    columns_in["controller"][..., 0] = (np.arange(161) / 160)[:, None]
    back = records.unpack(records.pack(columns_in))["controller"]
    assert back[80, 0, 0] == np.float32(0.5)
    assert np.array_equal(back, columns_in["controller"])


@pytest.mark.parametrize("counted", [True, False])
def test_packing_loses_nothing_that_is_used(games, counted):
    game = games.games[1]
    raw = records.unpack(game, counted_age=False)
    again = records.unpack(records.pack(raw), counted_age=counted)
    for name, values in records.unpack(game, counted_age=counted).items():
        assert np.array_equal(values, again[name]), name
