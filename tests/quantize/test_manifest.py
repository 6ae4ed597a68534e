"""The reference's manifest: groups, shards, architecture, text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cartridges import DIMS, TINY, shapes
from support.golden import golden_dir, load_json, seeded_weights

from awm_jax.errors import AwmError
from converters.quantize.entries import read_entries
from converters.quantize.manifest import (
    architecture,
    classify,
    make_manifest,
    manifest_text,
    shard_map,
)
from converters.quantize.weights import quantize_state_dict


def quantized(arch):
    return quantize_state_dict(seeded_weights(shapes(arch), 7))


def test_golden_examples():
    examples = load_json(golden_dir("torch") / "quant.json")
    assert len(examples["shard_map_examples"]) == 13
    for total, expected in examples["shard_map_examples"].items():
        assert shard_map(int(total)) == expected, total
    for key, group in examples["classify"].items():
        assert classify(key) == group, key


@given(st.integers(0, 1 << 33))
def test_shards_tile_the_file(total):
    shards = shard_map(total)["shards"]
    assert shard_map(total)["num_shards"] == len(shards) == -(-total // (4 << 20))
    end = 0
    for i, shard in enumerate(shards):
        assert shard["index"] == i and shard["offset"] == end
        assert shard["offset"] % 4096 == 0 and 0 < shard["size"] < (4 << 20) + 4096
        end += shard["size"]
    assert end == total


@pytest.mark.parametrize("arch", DIMS)
def test_architecture(arch):
    found = architecture(shapes(arch))
    assert found.pop("model_type") == arch
    if arch == "mamba2":
        assert (found.pop("d_inner"), found.pop("nheads")) == (16, 2)
    assert found == DIMS[arch]


@pytest.mark.parametrize("arch", DIMS)
def test_text_and_entries(arch):
    whole = quantized(arch)
    manifest = make_manifest(whole, encoding_config=TINY.to_dict(), context_len=3)
    text = manifest_text(manifest)
    assert text.startswith(f'{{\n  "format": "{arch}_int8_v1",\n  "architecture": {{\n')
    assert text.endswith('  "context_len": 3\n}')
    entries = read_entries(json.loads(text))
    assert list(entries) == list(whole.tensors) == sorted(shapes(arch))
    for key, entry in entries.items():
        tensor = whole.tensors[key]
        assert (entry.offset, entry.shape) == (tensor.offset, tensor.q.shape)
        assert entry.scales.dtype == np.float32 and np.array_equal(entry.scales, tensor.scales)
    assert "encoding_config" not in make_manifest(whole)


def test_a_vector_of_zeros():
    weights = seeded_weights(shapes("policy"), 7)
    weights["trunk.0.bias"] = np.zeros_like(weights["trunk.0.bias"])
    weights["trunk.0.weight"][0] = 0
    entries = make_manifest(quantize_state_dict(weights))["weights"]["projections"]
    assert entries["trunk.0.bias"]["scale"] == 1e-8 / 127
    assert entries["trunk.0.bias"]["snr_db"] == -np.inf
    assert entries["trunk.0.weight"]["scales"][0] == float(np.float32(1e-8) / np.float32(127))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"w": (2, 2)}, "neither mamba2, nor mlp, nor policy"),
        ({"trunk.0.weight": (2, 2)}, "trunk.3.weight is missing"),
        ({"trunk.0.weight": (2,), "trunk.3.weight": (2, 2)}, "fit none"),
        ({"layers.0.mamba.D": (2,)}, "layers.0.mamba.out_proj.weight is missing"),
    ],
)
def test_unknown_networks_are_refused(tensors, said):
    weights = {key: np.ones(shape, np.float32) for key, shape in tensors.items()}
    with pytest.raises(AwmError, match=said):
        make_manifest(quantize_state_dict(weights))
