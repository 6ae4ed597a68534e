"""The quantiser against the reference's bytes, and against a scalar oracle."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from support.cartridges import shapes
from support.golden import golden_dir, load_json, load_npz, seeded_weights

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from converters.quantize.manifest import make_manifest, manifest_text
from converters.quantize.weights import (
    dequantize,
    quant_error,
    quantize_state_dict,
    quantize_tensor,
)

CHECKPOINTS = ["new_mamba2", "new_mamba2_with_optimizer", "old_policy", "new_mlp"]
FIGURES = {"mse", "max_abs_error", "snr_db", "relative_error_pct"}
FIGURES |= {"mean_snr_db", "min_snr_db", "max_snr_db"}


def golden(name):
    return load_json(golden_dir("torch") / name)


def seeded(arch, info, config, context_len, dims):
    weights = seeded_weights(shapes(arch, config, context_len, tuple(dims.items())), info)
    return weights, quantize_state_dict(weights)


def assert_same_but_figures(ours, theirs, path=""):
    """Equal, key order and types too; figures of the error to 1e-5."""
    assert type(ours) is type(theirs), path
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        for key in theirs:
            assert_same_but_figures(ours[key], theirs[key], f"{path}/{key}")
    elif path.rsplit("/", 1)[-1] in FIGURES:
        assert ours == pytest.approx(theirs, rel=1e-5, nan_ok=True), path
    else:
        assert ours == theirs, path


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_golden_checkpoint(name):
    info = golden("checkpoints.json")[f"{name}.pt"]
    config = EncodingConfig(**info["encoding"])
    weights, quantized = seeded(
        info["arch"], info["weight_seed"], config, info["context_len"], info["dims"]
    )
    digest = hashlib.sha256(b"".join(weights[key].tobytes() for key in sorted(weights)))
    assert digest.hexdigest() == info["weights_sha256"]
    folder = golden_dir("torch") / "quant" / name
    assert quantized.data == (folder / "weights_int8.bin").read_bytes()

    theirs = load_json(folder / "manifest.json")
    # An old policy's file has no encoding_config; the reference copies what it has instead.
    stated = theirs["encoding_config"]
    section = stated if info["arch"] == "policy" else config.to_dict()
    ours = make_manifest(quantized, encoding_config=section, context_len=info["context_len"])
    assert_same_but_figures(ours, theirs)
    text = (folder / "manifest.json").read_text()
    without = [[t for t in s.splitlines() if '": ' not in t] for s in (manifest_text(ours), text)]
    assert without[0] == without[1]
    summary = golden("quant.json")[name]
    assert {
        k: [len(v), sum(e["size"] for e in v.values())] for k, v in ours["weights"].items()
    } == {k: v for k, v in summary["groups"].items()}
    assert ours["shard_map"] == summary["shard_map"]


DIMS = {
    "world_production": (
        "mamba2",
        {"d_model": 384, "d_state": 64, "n_layers": 4, "headdim": 64},
    ),
    "policy_production": ("policy", {"hidden_dim": 512, "trunk_dim": 256}),
}


@pytest.mark.parametrize("name", DIMS)
def test_deployed_size(name):
    info = golden("quant.json")[name]
    arch, dims = DIMS[name]
    config = EncodingConfig(**info["encoding"])
    _, quantized = seeded(arch, info["weight_seed"], config, 10, dims)
    data = quantized.data
    assert len(data) == quantized.size == info["weights_int8_bytes"]
    assert hashlib.sha256(data).hexdigest() == info["weights_int8_sha256"]
    scales = np.concatenate([t.scales.reshape(-1) for t in quantized.tensors.values()])
    assert len(scales) == info["scales_count"]
    assert hashlib.sha256(scales.tobytes()).hexdigest() == info["scales_f32_sha256"]

    manifest = make_manifest(quantized)
    assert manifest["shard_map"] == info["shard_map"]
    assert manifest["architecture"] == info["architecture"]
    assert_same_but_figures(manifest["error_summary"], info["error_summary"])
    groups = manifest["weights"]
    assert {k: [len(v), sum(e["size"] for e in v.values())] for k, v in groups.items()} == info[
        "groups"
    ]
    assert sum(len(group) for group in groups.values()) == info["keys"]
    shards = [
        hashlib.sha256(data[s["offset"] : s["offset"] + s["size"]]).hexdigest()
        for s in manifest["shard_map"]["shards"]
    ]
    assert shards == info["shard_sha256"]


def test_golden_edges():
    vectors = load_npz(golden_dir("torch") / "quant_edges.npz")
    cases = golden("quant.json")["quant_edges"]["cases"]
    assert len(cases) == 16
    for case in cases:
        w = vectors[f"{case}/w"]
        q, scales = quantize_tensor(w)
        assert np.array_equal(q.reshape(vectors[f"{case}/q"].shape), vectors[f"{case}/q"]), case
        expected = vectors[f"{case}/scale"]
        assert scales.shape == expected.shape, case
        assert np.array_equal(scales, expected.astype(np.float32)), case
        ours = list(quant_error(w, q, scales).to_dict().values())
        theirs = vectors[f"{case}/err"].tolist()
        assert ours == pytest.approx(theirs, rel=1e-5, nan_ok=True), case


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
TENSORS = arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=6), elements=FINITE)


@given(TENSORS)
def test_scalar_oracle(w):
    q, scales = quantize_tensor(w)
    assert (q.dtype, q.shape, scales.dtype) == (np.int8, w.shape, np.float32)
    assert scales.shape == (() if w.ndim == 1 else w.shape[:1])
    rows = [w] if w.ndim == 1 else list(w)
    values = [q] if w.ndim == 1 else list(q)
    for row, ints, scale in zip(rows, values, scales.reshape(-1), strict=True):
        # A quotient of two float32, rounded to double and then to float32, is rounded once.
        peak = max(max(abs(float(v)) for v in row.flat), float(np.float32(1e-8)))
        assert scale == np.float32(peak / 127)
        for v, i in zip(row.flat, ints.flat, strict=True):
            assert i == round(float(np.float32(float(v) / float(scale))))
            assert -127 <= i <= 127


@given(TENSORS)
def test_error_bounds(w):
    w = np.clip(w, -1e38, 1e38)
    q, scales = quantize_tensor(w)
    bound = scales.astype(np.float64).reshape(scales.shape + (1,) * (w.ndim - scales.ndim))
    difference = np.abs(w.astype(np.float64) - dequantize(q, scales))
    assert (difference <= bound * (0.5 + 1e-4)).all()
    error = quant_error(w, q, scales)
    assert error.max_abs_error <= bound.max() * (0.5 + 1e-4)
    power = np.mean(w.astype(np.float64) ** 2)
    if 1e-5 < power < 1e30 and error.mse > 1e-9:
        assert error.mse == pytest.approx(np.mean(difference**2), rel=1e-3)
        assert error.snr_db == pytest.approx(10 * math.log10(power / error.mse), abs=1e-2)
        assert error.relative_error_pct == pytest.approx(100 * 10 ** (-error.snr_db / 20), rel=1e-2)


@given(TENSORS)
def test_negation_and_powers_of_two(w):
    q, scales = quantize_tensor(w)
    negative, same = quantize_tensor(-w)
    assert np.array_equal(negative, -q) and np.array_equal(scales, same)
    small = np.where(np.abs(w) < 1e-4, np.float32(0), np.clip(w, -1e30, 1e30))
    q, scales = quantize_tensor(small)
    if (scales > 1e-6).all():
        doubled, twice = quantize_tensor(2 * small)
        assert np.array_equal(doubled, q) and np.array_equal(twice, 2 * scales)


def test_the_largest_float32():
    w = np.full(2, np.finfo(np.float32).max)
    q, scales = quantize_tensor(w)
    assert q.tolist() == [127, 127]
    assert quant_error(w, q, scales).max_abs_error == np.inf


def test_layout_of_the_file():
    tensors = {"b": np.float32([[1, -1], [0, 0.5]]), "B": np.float32([-2, 1, 0])}
    quantized = quantize_state_dict(tensors)
    assert list(quantized.tensors) == ["B", "b"]
    assert np.frombuffer(quantized.data, np.int8).tolist() == [-127, 64, 0, 127, -127, 0, 127]
    assert [t.offset for t in quantized.tensors.values()] == [0, 3]
    transposed = {key: np.asfortranarray(value) for key, value in tensors.items()}
    assert quantize_state_dict(transposed).data == quantized.data


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.float32(1.0), "0 dimensions"),
        (np.zeros((1, 1, 1, 1), np.float32), "4 dimensions"),
        (np.zeros((2, 0), np.float32), "no elements"),
        (np.zeros(0, np.float32), "no elements"),
        (np.zeros((2, 2), np.float64), "float64"),
        (np.zeros(3, np.int64), "int64"),
        (np.zeros(3, np.complex64), "complex64"),
        (np.float32([[0, 1], [np.nan, 1]]), r"nan at \[1, 0\]"),
        (np.float32([1, np.inf]), r"inf at \[1\]"),
        (np.float32([1, -np.inf]), r"-inf at \[1\]"),
    ],
)
def test_refused(bad, said):
    with pytest.raises(AwmError, match=f"^weight layers.0.x .*{said}"):
        quantize_state_dict({"a": np.float32([1]), "layers.0.x": bad})
