"""Widths, flags and context from shapes alone, and refusals that name the key."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.checkpoints import DIMS, configs, networks, small_config
from support.twins import make_twin, twin_shapes

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from converters.checkpoint import Spec
from converters.infer import MAX_POLICY_CONTEXT, infer
from converters.source import Settings


def shapes_of(arch, cfg, context_len, dims=None):
    """Shapes from the PyTorch twin, which knows nothing of our table."""
    with torch.device("meta"):
        return twin_shapes(make_twin(arch, cfg, context_len, dims or DIMS[arch]))


def stated(cfg: EncodingConfig, context_len: int | None = None, *left_out: str) -> Settings:
    fields = {k: v for k, v in cfg.to_dict().items() if k not in left_out}
    return Settings(form="new", fields=fields, context_len=context_len)


@given(networks())
def test_a_stated_config_is_taken_as_it_is(network):
    spec, notes = infer(shapes_of(*network), stated(network[1], network[2]))
    assert spec == Spec(*network)
    assert notes == ()


@given(configs(lookahead=0), st.integers(1, 12))
def test_a_bare_mamba2_shows_its_flags(cfg, context_len):
    cfg = cfg.replace(press_events=False, ctrl_threshold_features=False)
    spec, notes = infer(shapes_of("mamba2", cfg, context_len), Settings())
    # What no shape shows takes its default.
    hidden = ["xy_scale", "multi_position"]
    hidden += [] if cfg.state_age_as_embed else ["state_age_embed_vocab", "state_age_embed_dim"]
    default = EncodingConfig().to_dict()
    assert spec.config == cfg.replace(**{field: default[field] for field in hidden})
    assert spec.context_len == 10
    assert any("context_len" in note for note in notes)


@pytest.mark.parametrize(
    ("changes", "width"),
    [
        ({"press_events": True}, 42),
        ({"ctrl_threshold_features": True}, 36),
        ({"lookahead": 2}, 78),
        ({"press_events": True, "lookahead": 1}, 84),
    ],
)
def test_controller_features_by_width(changes, width):
    cfg = small_config(**changes)
    shapes = shapes_of("mamba2", cfg, 3)
    assert shapes["ctrl_proj.weight"][1] == width
    spec, notes = infer(shapes, Settings())
    assert spec.config == cfg
    assert all(any(flag in note for note in notes) for flag in changes)


def test_an_ambiguous_controller_width_is_refused():
    shapes = shapes_of("mamba2", small_config(lookahead=1), 3)  # 52: also presses + thresholds
    with pytest.raises(AwmError, match=r"ctrl_proj.weight is .* ambiguous: .*lookahead=1") as error:
        infer(shapes, Settings())
    assert "press_events=True, ctrl_threshold_features=True" in str(error.value)
    spec, _ = infer(shapes, Settings("new", {"lookahead": 1}))
    assert spec.config == small_config(lookahead=1)


@given(configs(lookahead=0), st.integers(1, 60))
def test_a_policy_shows_its_flags_at_a_known_context(cfg, context_len):
    settings = Settings("old", {}, context_len)
    spec, _ = infer(shapes_of("policy", cfg, context_len), settings)
    for flag in ("state_age_as_embed", "projectiles", "state_flags", "hitstun"):
        assert getattr(spec.config, flag) == getattr(cfg, flag)
    assert spec.config.frame_dim == cfg.frame_dim
    assert spec.context_len == context_len


@given(configs(lookahead=0), st.integers(1, 60))
def test_a_policy_of_unknown_context_is_taken_only_when_one_reading_fits(cfg, context_len):
    shapes = shapes_of("policy", cfg, context_len)
    width = shapes["trunk.0.weight"][1]
    readings = []
    for h, f, p in itertools.product((False, True), repeat=3):
        frame = cfg.replace(hitstun=h, state_flags=f, projectiles=p).frame_dim
        if width % frame == 0 and width // frame <= MAX_POLICY_CONTEXT:
            readings.append((h, f, p, width // frame))
    if len(readings) == 1:
        spec, _ = infer(shapes, Settings())
        got = spec.config
        assert (got.hitstun, got.state_flags, got.projectiles, spec.context_len) == readings[0]
    else:
        with pytest.raises(AwmError, match=r"trunk\.0\.weight is .* ambiguous"):
            infer(shapes, Settings())


def test_a_policy_width_that_fits_two_ways_is_refused():
    cfg = small_config()
    other = cfg.replace(state_flags=True)
    common = cfg.frame_dim * other.frame_dim // 2
    assert common // cfg.frame_dim <= MAX_POLICY_CONTEXT
    shapes = shapes_of("policy", cfg, common // cfg.frame_dim)
    with pytest.raises(AwmError, match="ambiguous"):
        infer(shapes, Settings())
    assert infer(shapes, Settings("old", {}, common // other.frame_dim))[0].config == other


def test_an_mlp_without_context_takes_ten_frames():
    cfg = small_config(hitstun=True, projectiles=True)
    spec, notes = infer(shapes_of("mlp", cfg, 10), Settings())
    assert (spec.config, spec.context_len) == (cfg, 10)
    assert any("10 assumed" in note for note in notes)
    with pytest.raises(AwmError, match=r"trunk\.0\.weight is .*no flags fit an input width"):
        infer(shapes_of("mlp", cfg, 9), Settings())


def test_missing_fields_of_a_partial_config_are_inferred():
    cfg = small_config(state_age_as_embed=True, projectiles=True, state_flags=True, hitstun=True)
    shapes = shapes_of("mamba2", cfg, 3)
    spec, notes = infer(shapes, stated(cfg, 3, "projectiles", "hitstun", "action_vocab"))
    assert spec.config == cfg
    assert "action_vocab=20, projectiles=True, hitstun=True" in notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state_age_as_embed": True}, None),
        ({"state_age_as_embed": False}, r"says state_age_as_embed=False.*state_age_embed\.weight"),
        (
            {"action_vocab": 21},
            r"action_embed\.weight is \(20, 4\), encoding_config wants \(21, 4\)",
        ),
        ({"stage_embed_dim": 5}, r"stage_embed\.weight is \(33, 4\), .* wants \(33, 5\)"),
    ],
)
def test_a_config_that_contradicts_the_shapes(change, message):
    cfg = small_config(state_age_as_embed=True)
    shapes = shapes_of("mamba2", cfg, 3)
    if message is None:
        infer(shapes, stated(cfg.replace(**change), 3))
        return
    with pytest.raises(AwmError, match=message):
        infer(shapes, stated(cfg.replace(**change), 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if "layers.0." not in k}, r"layers\.0\.\* missing"),
        (lambda s: {"fc.weight": (3, 3)}, "none of our networks"),
        (
            lambda s: {
                k: (3,) if k.endswith(("A_log", "dt_bias", ".D")) else v for k, v in s.items()
            },
            r"A_log: d_inner 16 is not a multiple of 3 heads",
        ),
        (
            lambda s: {
                k: (32,) if k.endswith("mamba.norm.weight") else (8, 32) if "out_proj" in k else v
                for k, v in s.items()
            },
            r"norm\.weight: d_inner is 32, not 2 x d_model 8",
        ),
    ],
)
def test_networks_that_contradict_themselves(change, message):
    shapes = change(shapes_of("mamba2", small_config(), 3))
    with pytest.raises(AwmError, match=message):
        infer(shapes, stated(small_config(), 3))


def test_a_stated_architecture_binds():
    shapes = shapes_of("mlp", small_config(), 3)
    with pytest.raises(AwmError, match="the file says policy, its keys are those of mlp"):
        infer(shapes, Settings("new", small_config().to_dict(), 3, arch="policy"))
