"""Raw columns to frames, against the reference's encoder (golden/torch, encode.npz)."""

import numpy as np
import pytest
from support.golden import golden_dir, load_json, load_npz

from awm_jax import encoding
from awm_jax.encoding import EncodingConfig
from awm_jax.replays.encode import clipped, encode, encode_columns
from awm_jax.replays.items import nearest

CONFIGS = {
    "default": {},
    "state_age_as_embed": {"state_age_as_embed": True},
    "hitstun": {"hitstun": True},
    "state_flags": {"state_flags": True},
    "projectiles": {"projectiles": True},
    "world_production": {
        "state_age_as_embed": True,
        "projectiles": True,
        "state_flags": True,
        "hitstun": True,
    },
    "policy_production": {"state_age_as_embed": True, "state_flags": True, "hitstun": True},
}
RENAMED = {
    "shield": "shield_strength",
    "jumps": "jumps_left",
    "hurtbox": "hurtbox_state",
    "last_attack": "last_attack_landed",
    "hitstun": "hitstun_remaining",
}
STICKS = ("main_stick_x", "main_stick_y", "c_stick_x", "c_stick_y", "shoulder")


def raw_columns(golden, case):
    def player(name):
        return [golden[f"{case}/raw/p{p}/{RENAMED.get(name, name)}"] for p in (0, 1)]

    names = set(encoding.float_names(EncodingConfig(hitstun=True))) - set(encoding.CONTROLLER)
    names |= set(encoding.CATEGORICAL) | {"flags"}
    columns = {name: np.stack(player(name), axis=1) for name in names}
    controllers = [
        np.concatenate(
            [
                np.stack([golden[f"{case}/raw/p{p}/{s}"] for s in STICKS], axis=1),
                golden[f"{case}/raw/p{p}/buttons"],
            ],
            axis=1,
        )
        for p in (0, 1)
    ]
    columns["controller"] = np.stack(controllers, axis=1)
    frame, slot = np.nonzero(golden[f"{case}/raw/items_exists"])
    items = [golden[f"{case}/raw/items_{axis}"][frame, slot] for axis in "xy"]
    per_player = [nearest(frame, *items, columns["x"][:, p], columns["y"][:, p]) for p in (0, 1)]
    columns |= {n: np.stack([p[n] for p in per_player], axis=1) for n in per_player[0]}
    return columns, int(golden[f"{case}/raw/stage"])


@pytest.mark.parametrize("case", ["plain", "odd"])
@pytest.mark.parametrize("flags", CONFIGS)
def test_golden(case, flags):
    golden = load_npz(golden_dir("torch") / "encode.npz")
    cfg = EncodingConfig(**CONFIGS[flags])
    columns, stage = raw_columns(golden, case)
    floats, ints = encode_columns(columns, stage, cfg)
    expected = golden[f"{case}/enc/{flags}/floats"]
    assert floats.dtype == np.float32 and floats.shape == expected.shape
    np.testing.assert_allclose(floats, expected, rtol=1e-6, atol=0)
    assert ints.dtype == np.int32 and ints.shape == (len(floats), cfg.int_per_frame)
    if f"{case}/enc/{flags}/ints" in golden:
        np.testing.assert_array_equal(ints, golden[f"{case}/enc/{flags}/ints"])


def test_golden_bits():
    """Without items and hitstun the very bits: float32 products, combo_count in float64."""
    golden = load_npz(golden_dir("torch") / "encode.npz")
    columns, stage = raw_columns(golden, "plain")
    floats, _ = encode_columns(columns, stage, EncodingConfig())
    np.testing.assert_array_equal(floats, golden["plain/enc/default/floats"])


def test_state_age_is_truncated_toward_zero_and_clipped():
    golden = load_npz(golden_dir("torch") / "encode.npz")
    columns, stage = raw_columns(golden, "plain")
    ages = np.array([-3, -0.5, 0.99, 148.9, 149.7, 1e30, np.nan, -np.inf], np.float32)
    short = {name: values[: len(ages)] for name, values in columns.items()}
    short["state_age"] = np.stack([ages, ages[::-1]], axis=1)
    cfg = EncodingConfig(state_age_as_embed=True)
    _, ints = encode_columns(short, stage, cfg)
    at = encoding.columns(cfg).int_index["state_age"]
    assert ints[:, at].tolist() == [0, 0, 0, 148, 149, 149, 0, 0]


def test_golden_data_set_has_the_columns_where_we_put_them():
    """The data set of samples was encoded by the reference: stocks and buttons look like it."""
    golden = load_npz(golden_dir("torch") / "dataset.npz")
    cfg = EncodingConfig(
        **load_json(golden_dir("torch") / "training.json")["dataset"]["b002"]["encoding"]
    )
    floats = golden["b002/floats"].reshape(-1, 2, cfg.float_per_player)
    where = encoding.columns(cfg)
    assert set(np.unique(floats[:, :, where.binary])) <= {0.0, 1.0}
    assert set(np.unique(floats[:, :, where["button_a"] :])) <= {0.0, 1.0}


def test_real_game(sample, read):
    """Every value is found again in its column, at its scale; what was clipped is counted."""
    game = read(sample[-1])
    cfg = EncodingConfig(**CONFIGS["world_production"])
    floats, ints = encode(game, cfg)
    assert floats.shape == (len(game.frame_ids), cfg.float_per_frame)
    for p in (0, 1):
        for name in ("percent", "x", "shield", "speed_y", "hitlag", "item_dx", "on_ground"):
            column = floats[:, p * cfg.float_per_player + encoding.columns(cfg)[name]]
            decoded = column / encoding.column_scale(cfg, name)
            np.testing.assert_allclose(decoded, game.columns[name][:, p], rtol=1e-6)
    changed = dict.fromkeys(encoding.int_names(cfg), 0)
    for i, name in enumerate(encoding.int_names(cfg)):
        both = ints[:, [i, cfg.int_per_player + i]]
        changed[name] = int((both != np.trunc(game.columns[name])).sum())
    counts = clipped(game, cfg)
    assert {n: c for n, c in counts.items() if n != "state_age"} == {
        n: c for n, c in changed.items() if n != "state_age"
    }
    assert set(ints[:, -1]) == {game.stage}


def test_surfaces_of_pokemon_stadium_are_clipped_and_counted(index, read):
    rows = [row for row in index if row["stage_id"] == "3" and row["has_hitlag"] == "1"]
    game = read(min(rows, key=lambda row: int(row["rows"])))
    assert clipped(game, EncodingConfig())["ground"] > 0.9 * game.frames
