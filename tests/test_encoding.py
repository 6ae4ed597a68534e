"""The column layout: sizes against the reference's table, columns against networks.md 1.2."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import golden_dir, load_json

from awm_jax.encoding import (
    ANALOG,
    BUTTONS,
    CATEGORICAL,
    CONTROLLER,
    CORE,
    NUM_FLAG_BITS,
    POLICY_OUTPUTS,
    PREDICTED_CATEGORICAL,
    VELOCITY,
    EncodingConfig,
    column_scale,
    columns,
    float_names,
    float_scales,
    int_names,
    int_vocabs,
    player_embeddings,
    predicted_dynamics,
    world_outputs,
)

FIELDS = {field.name: field for field in dataclasses.fields(EncodingConfig)}
SIZES = [name for name in vars(EncodingConfig) if name.endswith("_dim") and name not in FIELDS]
DEPLOYED = EncodingConfig(state_age_as_embed=True, projectiles=True, state_flags=True, hitstun=True)


def _named(kind: str) -> list[str]:
    return [name for name, field in FIELDS.items() if field.type == kind]


def _values(name: str) -> st.SearchStrategy:
    kind = FIELDS[name].type
    if kind == "bool":
        return st.booleans()
    if kind == "float":
        return st.floats(1e-6, 1e3)
    return st.integers(0, 3) if name in ("lookahead", "focal_offset") else st.integers(1, 500)


configs = st.builds(EncodingConfig, **{name: _values(name) for name in FIELDS})


@pytest.fixture(scope="module")
def table():
    return load_json(golden_dir("torch") / "encoding_dims.json")


def _sizes(cfg: EncodingConfig) -> dict[str, int]:
    return {name: getattr(cfg, name) for name in SIZES} | {
        "float_per_player": cfg.float_per_player,
        "int_per_player": cfg.int_per_player,
        "int_per_frame": cfg.int_per_frame,
    }


def test_defaults_and_field_order(table):
    defaults = EncodingConfig().to_dict()
    assert list(defaults) == table["field_order"]
    assert defaults == table["defaults"]
    for name, value in table["defaults"].items():
        assert type(defaults[name]) is type(value), name


def test_sizes_of_all_combinations(table):
    names = table["columns"]
    flags = names[: names.index("core_continuous_dim")]
    sizes = [name for name in names if name not in flags and not name.startswith("params_")]
    assert len(table["rows"]) == 192
    assert len({tuple(row[: len(flags)]) for row in table["rows"]}) == 192
    for row in table["rows"]:
        want = dict(zip(names, row, strict=True))
        chosen = {n: want[n] if FIELDS[n].type == "int" else bool(want[n]) for n in flags}
        got = _sizes(EncodingConfig(**chosen))
        assert got == {name: want[name] for name in sizes}, chosen


def test_sizes_of_other_vocabularies(table):
    other = table["other_vocab"]
    assert _sizes(EncodingConfig(**other["encoding"])) == other["sizes"]


def test_flags_that_change_no_size(table):
    for name in table["flags_that_change_no_size"]:
        changed = EncodingConfig().replace(**{name: 2 if FIELDS[name].type == "int" else True})
        assert _sizes(changed) == _sizes(EncodingConfig())
        assert float_names(changed) == float_names(EncodingConfig())


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({}, (13, 3, 29, 58, 7, 15, 182, 26)),
        ({"state_age_as_embed": True}, (12, 3, 28, 56, 8, 17, 196, 26)),
        (DEPLOYED.replace(projectiles=False).to_dict(), (13, 43, 69, 138, 8, 17, 278, 26)),
        (DEPLOYED.to_dict(), (16, 43, 72, 144, 8, 17, 284, 26)),
    ],
)
def test_sizes_of_networks_md(changes, sizes):
    """The table of networks.md 1.1."""
    cfg = EncodingConfig(**changes)
    assert sizes == (
        cfg.continuous_dim,
        cfg.binary_dim,
        cfg.float_per_player,
        cfg.float_per_frame,
        cfg.int_per_player,
        cfg.int_per_frame,
        cfg.frame_dim,
        cfg.ctrl_conditioning_dim,
    )


def _at(cfg: EncodingConfig, *spans: tuple[int, int]) -> list[tuple[str, ...]]:
    names = float_names(cfg)
    return [names[first : last + 1] for first, last in spans]


def test_columns_of_the_deployed_world():
    """networks.md 1.2, with the training's order of the dynamics (T1)."""
    spans = ((0, 3), (4, 8), (9, 12), (13, 15), (16, 18), (19, 58), (59, 63), (64, 71))
    core, velocity, dynamics, items, binary, flags, analog, buttons = _at(DEPLOYED, *spans)
    assert core == CORE == ("percent", "x", "y", "shield")
    assert velocity == VELOCITY
    assert dynamics == ("hitlag", "stocks", "combo_count", "hitstun")
    assert items == ("item_dx", "item_dy", "item_count")
    assert binary == ("facing", "invulnerable", "on_ground")
    assert flags == tuple(f"flag_{i}" for i in range(NUM_FLAG_BITS))
    assert analog == ANALOG == ("main_x", "main_y", "c_x", "c_y", "shoulder")
    assert buttons == BUTTONS
    assert [name.removeprefix("button_") for name in BUTTONS] == [
        "a",
        "b",
        "x",
        "y",
        "z",
        "l",
        "r",
        "d_up",
    ]
    assert len(float_names(DEPLOYED)) == 72


def test_columns_of_the_default():
    cfg = EncodingConfig()
    spans = ((9, 12), (13, 15), (16, 20), (21, 28))
    dynamics, binary, analog, buttons = _at(cfg, *spans)
    assert dynamics == ("state_age", "hitlag", "stocks", "combo_count")
    assert binary == ("facing", "invulnerable", "on_ground")
    assert (analog, buttons) == (ANALOG, BUTTONS)
    assert columns(cfg).dynamics == slice(10, 13)


def test_int_columns():
    names = ("action", "jumps", "character", "l_cancel", "hurtbox", "ground", "last_attack")
    assert int_names(EncodingConfig()) == CATEGORICAL == names
    assert int_names(DEPLOYED) == (*names, "state_age")
    assert tuple(name for name in names if name != "character") == PREDICTED_CATEGORICAL
    assert int_vocabs(EncodingConfig()) == (400, 8, 33, 3, 3, 32, 64) * 2 + (33,)
    assert int_vocabs(DEPLOYED) == (400, 8, 33, 3, 3, 32, 64, 150) * 2 + (33,)


@given(configs)
def test_columns_are_a_partition(cfg):
    """Every column has one name and one place; the spans meet without gaps."""
    names, where = float_names(cfg), columns(cfg)
    assert len(set(names)) == len(names) == cfg.float_per_player
    assert [where[name] for name in names] == list(range(len(names)))
    assert [where.int_index[name] for name in int_names(cfg)] == list(range(cfg.int_per_player))
    assert names[where.core] == CORE
    assert names[where.velocity] == VELOCITY
    assert names[where.dynamics] == predicted_dynamics(cfg)
    assert names[where.controller] == CONTROLLER
    assert where.core.start == 0
    assert where.velocity.start == where.core.stop
    assert where.binary.start == cfg.continuous_dim
    assert where.binary.stop == where.controller.start
    assert where.controller.stop == cfg.float_per_player
    assert len(names[where.binary]) == cfg.binary_dim
    assert ("state_age" in names) != cfg.state_age_as_embed
    assert ("hitstun" in names) == cfg.hitstun
    assert ("item_dx" in names) == cfg.projectiles
    assert ("flag_39" in names) == cfg.state_flags


@given(configs)
def test_sizes_add_up(cfg):
    embeddings = player_embeddings(cfg)
    assert cfg.embed_dim == sum(width for _, width in embeddings.values())
    assert cfg.player_dim == cfg.float_per_player + cfg.embed_dim
    assert cfg.frame_dim == 2 * cfg.player_dim + cfg.stage_embed_dim
    assert cfg.float_per_frame == 2 * cfg.float_per_player
    assert cfg.int_per_frame == len(int_vocabs(cfg)) == 2 * cfg.int_per_player + 1
    per_frame = 26 + 16 * cfg.press_events + 10 * cfg.ctrl_threshold_features
    assert cfg.ctrl_conditioning_dim == per_frame * (1 + cfg.lookahead)
    assert cfg.target_int_dim == 12
    for name in CATEGORICAL:
        want = (getattr(cfg, f"{name}_vocab"), getattr(cfg, f"{name}_embed_dim"))
        assert embeddings[name] == want
    assert int_vocabs(cfg)[-1] == cfg.stage_vocab


@given(configs)
def test_world_outputs(cfg):
    """networks.md 2.3; the MLP's binary head is always six wide (T9)."""
    heads = {
        "continuous_delta": 8,
        "binary_logits": 2 * cfg.binary_dim,
        "velocity_delta": 10,
        "dynamics_pred": 8 if cfg.hitstun else 6,
    }
    for name, player in itertools.product(PREDICTED_CATEGORICAL, (0, 1)):
        heads[f"p{player}_{name}_logits"] = getattr(cfg, f"{name}_vocab")
    assert list(world_outputs(cfg).items()) == list(heads.items())
    six = heads | {"binary_logits": 6}
    assert list(world_outputs(cfg, "mlp").items()) == list(six.items())


def test_policy_outputs():
    assert list(POLICY_OUTPUTS.items()) == [("analog_pred", 5), ("button_logits", 8)]


@given(configs)
def test_scales(cfg):
    scales = dict(zip(float_names(cfg), float_scales(cfg), strict=True))
    want = {"percent": cfg.percent_scale, "x": cfg.xy_scale, "y": cfg.xy_scale}
    want |= {"shield": cfg.shield_scale, "hitlag": cfg.hitlag_scale, "stocks": cfg.stocks_scale}
    want |= dict.fromkeys(VELOCITY, cfg.velocity_scale)
    want["combo_count"] = cfg.combo_count_scale
    if not cfg.state_age_as_embed:
        want["state_age"] = cfg.state_age_scale
    if cfg.hitstun:
        want["hitstun"] = cfg.hitstun_scale
    if cfg.projectiles:
        want |= {"item_dx": cfg.xy_scale, "item_dy": cfg.xy_scale, "item_count": 0.1}
    others = set(scales) - set(want)
    assert {name: scales[name] for name in want} == want
    assert {scales[name] for name in others} == {1.0}
    assert others == set(float_names(cfg)[columns(cfg).binary]) | set(CONTROLLER)
    assert all(column_scale(cfg, name) == scale for name, scale in scales.items())


def test_scales_are_read_only():
    scales = float_scales(EncodingConfig())
    assert scales.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        scales[0] = 1


@given(configs)
def test_a_config_goes_through_a_dict(cfg):
    assert EncodingConfig(**cfg.to_dict()) == cfg
    assert hash(EncodingConfig(**cfg.to_dict())) == hash(cfg)
    assert cfg.replace() == cfg


def test_a_config_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EncodingConfig().xy_scale = 1.0  # pyright: ignore[reportAttributeAccessIssue]


@given(st.sampled_from(_named("bool")), st.sampled_from([0, 1, None, "True", 1.0]))
def test_a_flag_is_true_or_false(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is not true or false"):
        EncodingConfig(**{name: value})


@given(st.sampled_from(_named("int")), st.sampled_from([True, None, "8", 8.0, math.nan]))
def test_an_integer_is_an_integer(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is not an integer"):
        EncodingConfig(**{name: value})


@given(st.sampled_from(_named("int")), st.integers(max_value=-1))
def test_an_integer_is_not_negative(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is {value}, must be [01] or more"):
        EncodingConfig(**{name: value})


@pytest.mark.parametrize("name", _named("int"))
def test_only_offsets_may_be_zero(name):
    if name in ("lookahead", "focal_offset"):
        assert getattr(EncodingConfig(**{name: 0}), name) == 0
    else:
        with pytest.raises(ValueError, match=rf"^{name} is 0, must be 1 or more"):
            EncodingConfig(**{name: 0})


@given(st.sampled_from(_named("float")), st.sampled_from([True, None, "0.05", [1.0]]))
def test_a_scale_is_a_number(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is not a number"):
        EncodingConfig(**{name: value})


@given(
    st.sampled_from(_named("float")),
    st.one_of(st.sampled_from([0, 0.0, -0.0, math.nan, math.inf]), st.floats(max_value=-1e-300)),
)
def test_a_scale_is_positive_and_finite(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is .*, must be positive and finite"):
        EncodingConfig(**{name: value})


def test_every_field_has_a_rule():
    assert {field.type for field in FIELDS.values()} == {"bool", "int", "float"}
