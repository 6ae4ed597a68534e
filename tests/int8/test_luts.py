"""The tables and their manifest are the reference's files, byte for byte."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from support.golden import golden_dir, load_json

from awm_jax.errors import AwmError
from awm_jax.int8.luts import LUT_OFFSETS, LutScales, default_luts, luts_manifest, make_luts

SHA256 = "2bb0f81058f51b928e98cb8ae559992b97b1c6e9fba1e90f072693fdcc0d45d8"


def test_default_luts_have_the_published_hash():
    luts = default_luts()
    assert luts.shape == (1024,) and luts.dtype == np.uint8
    assert hashlib.sha256(luts.tobytes()).hexdigest() == SHA256
    with pytest.raises(ValueError):
        luts[0] = 1


@pytest.mark.parametrize("file", ["rust/luts.bin", "torch/quant/luts/luts.bin"])
def test_default_luts_equal_the_file(file):
    assert default_luts().tobytes() == golden_dir(file).read_bytes()


@pytest.mark.parametrize("variant", ["variant_a", "variant_b"])
def test_other_scales_equal_the_reference(variant):
    entry = load_json(golden_dir("torch/quant.json"))["luts"][variant]
    options = dict(zip(entry["args"][::2], entry["args"][1::2], strict=True))
    fields = {
        option[2:].removesuffix("-scale").replace("-", "_").replace("exp_", "exp_neg_"): value
        for option, value in options.items()
    }
    scales = LutScales(**{name: float(value) for name, value in fields.items()})
    made = make_luts(scales).tobytes()
    assert made == golden_dir(f"torch/quant/luts/luts_{variant}.bin").read_bytes()
    assert hashlib.sha256(made).hexdigest() == entry["sha256"]
    for table in luts_manifest(scales)["luts"]:
        assert (table["input_scale"], table["output_scale"]) == scales.of(table["name"])


def test_manifest_is_the_references_file():
    file = golden_dir("torch/quant/luts/luts.json").read_bytes()
    assert json.dumps(luts_manifest(), indent=2).encode() == file
    entry = load_json(golden_dir("torch/quant.json"))["luts"]["files"]["luts.json"]
    assert hashlib.sha256(file).hexdigest() == entry["sha256"]


def test_ties_go_to_even_and_rsqrt_has_a_floor():
    """Stated rules that no golden table shows: none of its values is a tie, index 0 saturates."""
    luts = make_luts(LutScales(softplus_input=1.0, softplus_output=2.0, rsqrt_output=10.0))
    assert luts[[256 + 21, 256 + 23, 256 + 25]].tolist() == [10, 12, 12]  # 10.5, 11.5, 12.5
    assert luts[512] == 100  # 1 / sqrt(1e-6) / 10


def test_tables_lie_back_to_back():
    assert LUT_OFFSETS == {"silu": 0, "softplus": 256, "rsqrt": 512, "exp_neg": 768}


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), "1", True])
def test_bad_scales_are_refused(bad):
    with pytest.raises(AwmError, match="rsqrt_input"):
        LutScales(rsqrt_input=bad)
