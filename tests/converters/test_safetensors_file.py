"""safetensors with and without their JSON sidecar."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file
from support.checkpoints import arrays, small_config, state_dict

from awm_jax.errors import AwmError
from converters import load

CFG = small_config(state_age_as_embed=True, hitstun=True)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(network: str = "mamba2", **sidecar: Any) -> dict[str, np.ndarray]:
    weights = arrays(state_dict(network, CFG, 3))
    save_file(weights, "w.safetensors")
    if sidecar:
        Path("w.json").write_text(json.dumps(sidecar))
    return weights


@pytest.mark.parametrize("arch", ["mamba2", "mlp", "policy"])
def test_with_a_sidecar(arch: str) -> None:
    weights = write(arch, encoding_config=CFG.to_dict(), context_len=3, arch=arch)
    checkpoint = load("w.safetensors")
    assert (checkpoint.arch, checkpoint.config, checkpoint.context_len) == (arch, CFG, 3)
    assert checkpoint.provenance.form == "new"
    assert checkpoint.provenance.source == "w.safetensors"
    for key, value in weights.items():
        np.testing.assert_array_equal(checkpoint.state_dict()[key], value)


def test_without_a_sidecar_it_is_bare() -> None:
    write()
    checkpoint = load("w.safetensors")
    assert (checkpoint.config, checkpoint.context_len) == (CFG, 10)
    assert checkpoint.provenance.form == "bare"


def test_bfloat16_is_widened() -> None:
    state = {k: v.bfloat16() for k, v in state_dict("policy", CFG, 3).items()}
    save_torch_file(state, "w.safetensors")
    checkpoint = load("w.safetensors")
    for key, value in checkpoint.state_dict().items():
        np.testing.assert_array_equal(value, state[key].float().numpy())
    assert "stored as bfloat16, every value kept exactly" in checkpoint.provenance.notes


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        ({"encodng_config": {}}, r"w\.json: unknown field encodng_config"),
        ({"arch": 3}, r"w\.json: arch is not text"),
        ({"arch": "mlp"}, "the file says mlp, its keys are those of mamba2"),
        ({"context_len": "3"}, r"w\.json: context_len is not an integer"),
        ({"encoding_config": {"hitstun": False}}, r"dynamics_head\.weight"),
        (
            {"encoding_config": {"absolute_y": True}},
            r"w\.json: encoding_config\.absolute_y is True",
        ),
    ],
)
def test_a_wrong_sidecar(sidecar: dict, message: str) -> None:
    write(**sidecar)
    with pytest.raises(AwmError, match=message):
        load("w.safetensors")


def test_surplus_keys() -> None:
    weights = write() | {"extra.weight": np.zeros(2, np.int32)}
    save_file(weights, "w.safetensors")
    with pytest.raises(AwmError, match=r"w\.safetensors: surplus extra\.weight"):
        load("w.safetensors")
    assert "extra.weight" in load("w.safetensors", allow_surplus=True).provenance.notes[-1]


def test_damaged_files() -> None:
    write("policy")
    whole, rng = Path("w.safetensors").read_bytes(), random.Random(3)
    for size in (0, 4, 100, len(whole) - 1):
        Path("w.safetensors").write_bytes(whole[:size])
        with pytest.raises(AwmError, match=r"^w\.safetensors: not a complete safetensors file"):
            load("w.safetensors")
    header = 8 + int.from_bytes(whole[:8], "little")
    for _ in range(40):
        changed = bytearray(whole)
        changed[rng.randrange(header)] = rng.randrange(256)
        Path("w.safetensors").write_bytes(changed)
        try:
            load("w.safetensors")
        except AwmError as error:
            assert "\n" not in str(error)
