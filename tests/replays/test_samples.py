"""Windows, controllers and targets, exactly as the reference's item path makes them."""

import numpy as np
import pytest
from support.golden import golden_dir, load_json, load_npz

from awm_jax.encoding import EncodingConfig
from awm_jax.replays import samples

# The whole data is stored for four flag sets; those below have the columns of one of them.
WHOLE = ("default", "b002", "world_production", "all_on")
SAME_COLUMNS = dict.fromkeys(
    ("press_events", "lookahead1", "lookahead2", "ctrl_threshold", "press_look_thresh"), "default"
)


def picked_samples(flags):
    """(what training.json says, config, array name -> the reference's picked samples)"""
    golden = load_npz(golden_dir("torch") / "dataset.npz")
    facts = load_json(golden_dir("torch") / "training.json")["dataset"][flags]
    items = {n.split("/")[-1]: v for n, v in golden.items() if n.startswith(f"{flags}/item/")}
    return facts, EncodingConfig(**facts["encoding"]), items


def whole_data(flags):
    golden = load_npz(golden_dir("torch") / "dataset.npz")
    source = SAME_COLUMNS.get(flags, flags)
    return [golden[f"{source}/{name}"] for name in ("floats", "ints", "game_offsets")]


@pytest.mark.parametrize("flags", [*WHOLE, *SAME_COLUMNS])
def test_golden(flags):
    facts, cfg, items = picked_samples(flags)
    floats, ints, offsets = whole_data(flags)
    train = samples.train_games(len(offsets) - 1)
    rows = samples.sample_rows(offsets[: train + 1], cfg, facts["context_len"])
    assert len(rows) == facts["n_train"]
    assert rows[:3].tolist() == facts["first_indices"] and rows[-1] == facts["last_index"]
    valid = samples.sample_rows(offsets[train:], cfg, facts["context_len"])
    assert len(valid) == facts["n_val"] and valid[0] == facts["val_first"]

    picked = rows[facts["picked"]]
    float_ctx, int_ctx = samples.contexts(floats, ints, picked, facts["context_len"])
    float_tgt, int_tgt = samples.targets(floats, ints, picked, cfg)
    got = {
        "float_ctx": float_ctx,
        "int_ctx": int_ctx,
        "next_ctrl": samples.next_ctrl(floats, picked, cfg),
        "float_tgt": float_tgt,
        "int_tgt": int_tgt,
    }
    assert got.keys() == items.keys()
    for name, expected in items.items():
        assert got[name].dtype == expected.dtype, name
        np.testing.assert_array_equal(got[name], expected, err_msg=name)
    assert got["next_ctrl"].shape[1] == cfg.ctrl_conditioning_dim


@pytest.mark.parametrize("flags", ["state_age_as_embed", "hitstun", "state_flags"])
def test_golden_windows(flags):
    """Flag sets whose whole data is not stored: rebuilt from the windows of neighbouring rows."""
    facts, cfg, items = picked_samples(flags)
    picked, k = facts["picked"], facts["context_len"]
    first = picked.index(0)
    assert picked[first : first + 3] == [0, 1, 2]
    # Sample 1's window ends with the row that sample 0 predicts.
    floats = np.concatenate([items["float_ctx"][first], items["float_ctx"][first + 1][-1:]])
    ints = np.concatenate([items["int_ctx"][first], items["int_ctx"][first + 1][-1:]])
    float_tgt, int_tgt = samples.targets(floats, ints, np.array([k]), cfg)
    np.testing.assert_array_equal(float_tgt[0], items["float_tgt"][first])
    np.testing.assert_array_equal(int_tgt[0], items["int_tgt"][first])
    ctrl = samples.next_ctrl(floats, np.array([k]), cfg)
    np.testing.assert_array_equal(ctrl[0], items["next_ctrl"][first])


def test_no_sample_crosses_a_game():
    offsets = np.array([0, 4, 20, 25])
    cfg = EncodingConfig(lookahead=2)
    rows = samples.sample_rows(offsets, cfg, 5)
    assert rows.tolist() == list(range(9, 18))
    assert samples.sample_rows(np.array([0, 3]), cfg, 5).shape == (0,)


@pytest.mark.parametrize("count, train", [(1, 1), (2, 1), (10, 9), (19, 17), (525, 472)])
def test_split(count, train):
    assert samples.train_games(count) == train
