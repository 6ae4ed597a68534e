"""From outputs to the next frame: golden transitions bit for bit, clamps, the age of a state."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.golden import golden_dir, load_npz
from support.matches import golden_match, match_names

from awm_jax.encoding import (
    PREDICTED_CATEGORICAL,
    EncodingConfig,
    column_scale,
    columns,
    float_names,
    predicted_dynamics,
    world_outputs,
)
from awm_jax.game import rules
from awm_jax.game.decode import decode
from awm_jax.game.frames import Frames, seed_frames
from awm_jax.game.transition import (
    CLAMPS,
    clamp,
    evaluation_step,
    knocked_out,
    match_transition,
)

CONFIGS = {
    "base_embed": EncodingConfig(state_age_as_embed=True),
    "float_age": EncodingConfig(),
    "production": EncodingConfig(
        state_age_as_embed=True, state_flags=True, hitstun=True, projectiles=True
    ),
    "float_age_hitstun": EncodingConfig(hitstun=True),
}
transition = jax.jit(match_transition, static_argnums=0)
evaluation = jax.jit(evaluation_step, static_argnums=0)
clamped = jax.jit(clamp, static_argnums=0)


@pytest.mark.parametrize("name", match_names())
def test_golden_transitions(name: str) -> None:
    """The recorded outputs give the recorded next frames, to the last bit."""
    golden = golden_match(name)
    z, cfg, count = golden.arrays, golden.cfg, golden.info["context_len"]
    names = world_outputs(cfg, golden.info["arch"])
    outputs = {n: jnp.asarray(z[f"out_{n}"]) for n in names}
    steps = len(z["next_ctrl"])
    last = Frames(
        jnp.asarray(z["sim_floats"][count - 1 :][:steps]),
        jnp.asarray(z["sim_ints"][count - 1 :][:steps], jnp.int32),
    )
    got = transition(cfg, last, outputs, jnp.asarray(z["ctrl"][:steps]))
    assert np.array_equal(got.floats, z["sim_floats"][count:][:steps])
    assert np.array_equal(got.ints, z["sim_ints"][count:][:steps])


def vectors() -> dict[str, np.ndarray]:
    return load_npz(golden_dir("match") / "frames_seed_clamp.npz")


@pytest.mark.parametrize("name", CONFIGS)
def test_golden_clamps(name: str) -> None:
    z = vectors()
    got = clamped(CONFIGS[name], jnp.asarray(z[f"clamp_{name}_in"]))
    assert np.array_equal(got, z[f"clamp_{name}_out"])


@pytest.mark.parametrize("name", CONFIGS)
def test_golden_decoding(name: str) -> None:
    """Equal to the last bit, but for state_age (M5) and, with hitstun, combo_count (M4)."""
    z, cfg = vectors(), CONFIGS[name]
    got = decode(cfg, Frames(z[f"clamp_{name}_out"], z[f"clamp_{name}_int"]))
    renamed = {"shield_strength": "shield", "action_state": "action", "jumps_left": "jumps"}
    for i, key in enumerate(z[f"clamp_{name}_decoded_keys"].tolist()):
        want = z[f"clamp_{name}_decoded"][..., i]
        column = renamed.get(key, key)
        if key == "combo_count" and cfg.hitstun:
            hitstun = got["hitstun"] * cfg.hitstun_scale / cfg.combo_count_scale
            np.testing.assert_allclose(hitstun, want, rtol=1e-15)
        elif key == "state_age" and cfg.state_age_as_embed:
            assert not want.any()
            ages = z[f"clamp_{name}_int"][:, [7, 15]]
            assert np.array_equal(got[column], ages)
        else:
            assert np.array_equal(got[column], want), key


def outputs_for(cfg: EncodingConfig, floats: np.ndarray, actions: tuple[int, int] = (0, 0)):
    """Outputs for one frame out of a pool of numbers; the actions are chosen."""
    pool = itertools.cycle(floats.tolist())
    outputs = {
        name: np.array(list(itertools.islice(pool, width)), np.float32)
        for name, width in world_outputs(cfg).items()
    }
    for player, action in enumerate(actions):
        outputs[f"p{player}_action_logits"][:] = 0
        outputs[f"p{player}_action_logits"][action] = 1
    return {name: jnp.asarray(value) for name, value in outputs.items()}


anything = hnp.arrays(
    np.float32, 61, elements=st.floats(width=32, allow_nan=False, allow_subnormal=False)
)


@given(name=st.sampled_from(sorted(CONFIGS)), values=anything, stage=st.integers(0, 32))
def test_whatever_the_network_says_fields_stay_in_range(name, values, stage) -> None:
    cfg = CONFIGS[name]
    last = jax.tree.map(lambda v: jnp.asarray(v[0]), seed_frames(cfg, 1, stage, (3, 4)))
    frame = transition(cfg, last, outputs_for(cfg, values), jnp.full((2, 13), 0.25))
    decoded = decode(cfg, frame)
    for field, (low, high) in CLAMPS.items():
        value = decoded[field]
        assert ((value >= low - 1e-4) & (value <= high * (1 + 1e-6) + 1e-4)).all(), field
    assert (decoded["character"] == [3, 4]).all() and int(frame.ints[-1]) == stage
    binary = np.asarray(frame.floats).reshape(2, -1)[:, columns(cfg).binary]
    assert np.isin(binary, (0.0, 1.0)).all()


@given(name=st.sampled_from(sorted(CONFIGS)), values=anything)
def test_clamping_twice_is_clamping_once_and_leaves_what_is_in_range(name, values) -> None:
    cfg = CONFIGS[name]
    floats = np.resize(values, cfg.float_per_frame)
    once = np.asarray(clamped(cfg, jnp.asarray(floats)))
    assert np.array_equal(clamped(cfg, jnp.asarray(once)), once)
    for i, column in enumerate(float_names(cfg) * 2):
        low, high = CLAMPS.get(column, (-np.inf, np.inf))
        scale = column_scale(cfg, column)
        assert once[i] == np.clip(floats[i], np.float32(low * scale), np.float32(high * scale))


def test_a_value_that_is_no_number_stays_one() -> None:
    """So that the match stops (M10), rather than going on at a bound."""
    cfg = CONFIGS["base_embed"]
    floats = jnp.zeros(cfg.float_per_frame).at[columns(cfg)["x"]].set(jnp.nan)
    assert np.isnan(np.asarray(clamped(cfg, floats))).sum() == 1


@functools.cache
def _ages(name: str, start: float, actions: tuple[int, ...]) -> list[float]:
    cfg = CONFIGS[name]
    seed = seed_frames(cfg, 1, 31, (2, 2))
    last = jax.tree.map(lambda v: jnp.asarray(v[0]), seed)
    if cfg.state_age_as_embed:
        last = Frames(last.floats, last.ints.at[7].set(int(start)))
    else:
        age = columns(cfg)["state_age"]
        last = Frames(last.floats.at[age].set(start * cfg.state_age_scale), last.ints)
    ages = []
    for action in actions:
        outputs = outputs_for(cfg, np.zeros(1, np.float32), (action, 0))
        last = transition(cfg, last, outputs, jnp.zeros((2, 13)))
        ages.append(float(decode(cfg, last)["state_age"][0]))
    return ages


@pytest.mark.parametrize("name", CONFIGS)
def test_state_age_counts_while_the_action_stays(name: str) -> None:
    """Also as a float column, where the reference fails in the first frame (M1)."""
    got = _ages(name, 0, (0, 0, 0, 20, 20, 0, 14, 14))
    np.testing.assert_allclose(got, [1, 2, 3, 0, 1, 0, 0, 1], atol=1e-5)


def test_state_age_ends_at_its_table() -> None:
    assert _ages("base_embed", 147, (0, 0, 0, 0, 5)) == [148, 149, 149, 149, 0]
    np.testing.assert_allclose(_ages("float_age", 147, (0,) * 4), [148, 149, 150, 151], rtol=1e-6)


def test_dynamics_are_taken_in_the_order_of_training() -> None:
    """hitlag, stocks, combo_count, hitstun for each player (T1, M4)."""
    cfg = CONFIGS["production"]
    last = jax.tree.map(lambda v: jnp.asarray(v[0]), seed_frames(cfg, 1, 31, (2, 2)))
    outputs = outputs_for(cfg, np.zeros(1, np.float32))
    outputs["dynamics_pred"] = jnp.array([0.5, 0.75, 0.3, 0.2, 1.0, 0.25, 0.6, 0.4])
    got = decode(cfg, transition(cfg, last, outputs, jnp.zeros((2, 13))))
    values = [got[name] for name in predicted_dynamics(cfg)]
    np.testing.assert_allclose(values, [[5, 10], [3, 1], [3, 6], [10, 20]], rtol=1e-6)


def test_the_rule_of_evaluation_keeps_what_it_does_not_predict() -> None:
    cfg = CONFIGS["production"]
    last = jax.tree.map(lambda v: jnp.asarray(v[0]), seed_frames(cfg, 1, 31, (2, 2)))
    outputs = outputs_for(cfg, np.full(1, 7, np.float32), (20, 21))
    outputs |= {
        f"p{p}_{n}_logits": outputs[f"p{p}_{n}_logits"].at[2].set(9.0)
        for p in (0, 1)
        for n in PREDICTED_CATEGORICAL[1:]
    }
    frame = evaluation(cfg, last, outputs, jnp.zeros((2, 13)))
    got, before = decode(cfg, frame), decode(cfg, last)
    assert got["action"].tolist() == [20, 21] and got["jumps"].tolist() == [2, 2]
    for name in ("l_cancel", "hurtbox", "ground", "last_attack", "state_age", "character"):
        assert np.array_equal(got[name], before[name]), name
    np.testing.assert_allclose(got["x"], [-30 + 7 / 0.05, 30 + 7 / 0.05], rtol=1e-6)
    assert (got["shield"] > 60).all()  # no clamps


@pytest.mark.parametrize(
    ("stocks", "out"), [(4, False), (1, False), (0.51, False), (0.49, True), (0, True)]
)
def test_knocked_out_below_half_a_stock(stocks: float, out: bool) -> None:
    cfg = CONFIGS["production"]
    frame = jax.tree.map(lambda v: jnp.asarray(v[0]), seed_frames(cfg, 1, 31, (2, 2)))
    column = cfg.float_per_player + columns(cfg)["stocks"]
    frame = Frames(frame.floats.at[column].set(stocks * cfg.stocks_scale), frame.ints)
    assert np.asarray(knocked_out(cfg, frame)).tolist() == [False, out]


KNOCKED = st.tuples(*[st.floats(-6, 6, width=32)] * 4)


@given(KNOCKED, st.floats(0, 0.5, width=32))
def test_knockback_neither_grows_nor_turns_and_is_gone_in_the_end(parts, least) -> None:
    old, said = np.float32(parts[:2]), np.float32(parts[2:])
    worn = np.asarray(rules.worn(old, said, least))
    assert (np.abs(worn) <= np.abs(old)).all() and (worn * old >= 0).all()
    most = np.abs(old).max()
    assert np.abs(worn)[np.abs(old) == most].max() <= max(most - least, 0) + 1e-6
    within = (np.abs(said) <= np.maximum(np.abs(old) - np.float32(least), 0)) & (said * old > 0)
    assert (worn == said)[within].all()
    for _ in range(2 * 167):
        old = np.asarray(rules.worn(old, old, rules.WEAR))
    assert not old.any()


def test_what_a_hit_begins_counts_down() -> None:
    old, said = np.array([0, 0, 5, 5, 5]), np.array([3, -1, 5, 2, 9])
    assert np.array_equal(rules.lag(old, said, 1), [3, 0, 4, 4, 9])
    old, said = np.array([0, 9, 9, 9, 9]), np.array([30, 30, 9, 30, 0])
    hit, lag = np.array([1, 1, 0, 0, 0], bool), np.array([5, 5, 2, 0, 0])
    assert np.array_equal(rules.stun(old, said, 1, hit, lag), [30, 30, 9, 8, 0])


def test_the_last_attack_is_another_one_at_a_hit_and_none_at_birth() -> None:
    said, old = np.array([[3, 4], [3, 4], [3, 4]]), np.array([[1, 2], [1, 2], [1, 2]])
    hit = np.array([[0, 0], [0, 1], [1, 1]], bool)
    born = np.array([[0, 0], [0, 0], [1, 0]], bool)
    assert np.array_equal(rules.last_attack(said, old, hit, born), [[1, 2], [3, 2], [0, 4]])
