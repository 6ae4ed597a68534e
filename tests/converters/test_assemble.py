"""State dicts of any network load bit for bit; one wrong tensor is found and named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import arrays, networks, small_config, source, state_dict
from support.twins import load_twin, make_twin, run_twin

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from converters.assemble import assemble
from converters.checkpoint import weights_sha256
from converters.source import Settings

CONFIG = small_config(state_age_as_embed=True, hitstun=True)
CONTEXT = 3


def full(cfg: EncodingConfig = CONFIG, context_len: int = CONTEXT) -> Settings:
    return Settings("new", cfg.to_dict(), context_len)


def odd_floats(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Any finite float32 bits: subnormals, negative zero, the largest."""
    bits = rng.integers(0, 1 << 32, shape, dtype=np.uint32)
    values = bits.view(np.float32)
    return np.where(np.isfinite(values), values, np.float32(-0.0))


@settings(max_examples=15)
@given(networks(), st.integers(0, 1 << 30))
def test_every_bit_key_and_setting_survives(network, seed):
    arch, cfg, context_len, dims = network
    rng = np.random.default_rng(seed)
    weights = arrays(state_dict(arch, cfg, context_len, dims))
    weights = {k: odd_floats(rng, v.shape) for k, v in weights.items()}
    weights |= {k: v * 0 + np.float32(88.0) for k, v in weights.items() if k.endswith("A_log")}
    checkpoint = assemble(source(weights, full(cfg, context_len)))
    assert checkpoint.spec.to_dict() == {
        "arch": arch,
        "dims": dims,
        "encoding_config": cfg.to_dict(),
        "context_len": context_len,
    }
    again = checkpoint.state_dict()
    assert list(again) == list(weights)
    for key, value in weights.items():
        np.testing.assert_array_equal(again[key].view(np.uint32), value.view(np.uint32), key)
    assert checkpoint.provenance.weights_sha256 == weights_sha256(weights)


@pytest.mark.parametrize("arch", ["mamba2", "mlp", "policy"])
def test_outputs_are_those_of_the_twin(arch):
    weights = arrays(state_dict(arch, CONFIG, CONTEXT))
    checkpoint = assemble(source(weights, full()))
    twin = load_twin(make_twin(arch, CONFIG, CONTEXT, checkpoint.dims), weights)
    rng = np.random.default_rng(1)
    floats = rng.uniform(-1, 1, (2, CONTEXT, CONFIG.float_per_frame)).astype(np.float32)
    ints = rng.integers(0, 3, (2, CONTEXT, CONFIG.int_per_frame)).astype(np.int32)
    pads = rng.uniform(0, 1, (2, CONFIG.ctrl_conditioning_dim)).astype(np.float32)
    inputs = [floats, ints] + ([] if arch == "policy" else [pads])
    expected = run_twin(twin, *inputs)
    outputs = checkpoint.model(*inputs)
    assert list(outputs) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=2e-5, rtol=0)


def reshaped(array: np.ndarray, draw: st.DrawFn) -> np.ndarray:
    how = draw(st.sampled_from(["longer", "axis", "flat", "last"]))
    if how == "longer":
        return np.concatenate([array, array[:1]])
    if how == "axis":
        return array[None]
    if how == "flat" and array.ndim > 1:
        return array.reshape(-1)
    return np.concatenate([array, array[..., :1]], axis=-1)


def spoiled(array: np.ndarray, value: float, draw: st.DrawFn) -> np.ndarray:
    changed = array.copy()
    changed.reshape(-1)[draw(st.integers(0, array.size - 1))] = value
    return changed


@st.composite
def damaged(draw: st.DrawFn) -> tuple[dict[str, np.ndarray], str]:
    """A state dict with one fault, and the key that must be named."""
    arch = draw(st.sampled_from(["mamba2", "mlp", "policy"]))
    weights = arrays(state_dict(arch, CONFIG, CONTEXT))
    key = draw(st.sampled_from(list(weights)))
    fault = draw(st.sampled_from(["gone", "surplus", "shape", "nan", "inf", "int", "empty", "f64"]))
    array = weights[key]
    if fault == "gone":
        del weights[key]
    elif fault == "surplus":
        key = draw(st.sampled_from([key + "_ctrl", "extra_head.weight", "x" + key]))
        weights[key] = array
    elif fault == "shape":
        weights[key] = reshaped(array, draw)
    elif fault == "nan":
        weights[key] = spoiled(array, np.nan, draw)
    elif fault == "inf":
        weights[key] = spoiled(array, -np.inf, draw)
    elif fault == "int":
        weights[key] = array.astype(np.int64)
    elif fault == "empty":
        weights[key] = array[:0]
    else:
        weights[key] = spoiled(array.astype(np.float64), 1 / 3, draw)
    return weights, key


@settings(max_examples=80)
@given(damaged())
def test_one_wrong_tensor_is_named(case):
    weights, key = case
    with pytest.raises(AwmError) as error:
        assemble(source(weights, full()))
    assert str(error.value).startswith("mine.pt: ")
    assert key in str(error.value)


def test_surplus_keys_are_dropped_on_request_and_noted():
    weights = arrays(state_dict("mlp", CONFIG, CONTEXT))
    extra = weights | {"extra.weight": np.zeros(3, np.int64)}
    checkpoint = assemble(source(extra, full()), allow_surplus=True)
    assert list(checkpoint.state_dict()) == list(weights)
    assert checkpoint.provenance.notes == ("surplus keys dropped: extra.weight",)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_taken_when_exact(dtype):
    weights = arrays(state_dict("policy", CONFIG, CONTEXT))
    halves = {k: v.astype(np.float16) for k, v in weights.items()}
    checkpoint = assemble(source({k: v.astype(dtype) for k, v in halves.items()}, full()))
    for key, value in checkpoint.state_dict().items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, halves[key].astype(np.float32))
    assert f"stored as {dtype}" in checkpoint.provenance.notes[0]


@pytest.mark.parametrize("value", [0.1, 1e300, 1e-300])
def test_float64_that_would_lose_bits_is_refused(value):
    weights = arrays(state_dict("policy", CONFIG, CONTEXT))
    weights["trunk.3.bias"] = np.full(weights["trunk.3.bias"].shape, value)
    with pytest.raises(AwmError, match=r"trunk\.3\.bias is float64"):
        assemble(source(weights, full()))


def test_an_infinite_decay_rate_is_refused():
    weights = arrays(state_dict("mamba2", CONFIG, CONTEXT))
    weights["layers.1.mamba.A_log"][2] = 89.0
    with pytest.raises(AwmError, match=r"layers\.1\.mamba\.A_log reaches 89"):
        assemble(source(weights, full()))
