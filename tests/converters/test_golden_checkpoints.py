"""Every file of golden/torch/checkpoints: loaded with equal outputs, or refused by name."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from support.golden import golden_dir, load_json, load_npz

from awm_jax.console import one_line
from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from converters import load, load_torch, save_orbax, save_torch

# What we chose for the files where either is defensible: docs/faithfulness.md.
DECIDED = {
    "raw_state_dict.pt": "loads",
    "bare_with_flags.pt": "loads",
    "float16.pt": "loads",
    "bfloat16.pt": "loads",
    "float64.pt": "loads",
    "a_log_overflow.pt": "refused: exp(A_log) in A_log",
}
KEY = re.compile(r"\b[\w.]+\.(?:weight|bias|A_log|D|dt_bias|weight_ctrl)\b|\blayers\.\d+\b")
SHAPE = re.compile(r"\(\d+(?:, \d+)*,?\)")
WORDS = (
    "CRC|NaN|infinite|int64|complex|encoding_config|context_len|state_age_as_embed=False|absolute_y"
    "|not a torch file|not a complete torch file|not a tensor|model_state_dict|no weights|empty"
    "|not a multiple of|no flags fit|a list|not an integer|not a mapping|surplus|missing|exp"
    "|models.encoding.EncodingConfig|larger than its storage"
)


def cases(wanted: str) -> list[object]:
    try:
        folder = golden_dir("torch")
        listed = load_json(folder / "checkpoints.json")
    except (pytest.skip.Exception, OSError) as reason:
        return [pytest.param("", {}, id="absent", marks=pytest.mark.skip(reason=str(reason)))]
    found = []
    for name, info in listed.items():
        expected = info["expected"]
        if expected.startswith("decide"):
            expected = DECIDED.get(name, expected)
        if expected.startswith("loads") == (wanted == "loads"):
            found.append(pytest.param(name, info | {"expected": expected}, id=name))
    return found


def file(name: str) -> Path:
    return golden_dir("torch/checkpoints") / name


@functools.partial(nnx.jit, static_argnames="player")
def run(model, *inputs, player: int | None = None):
    """Compiled once for all checkpoints of the same shapes."""
    return model(*inputs, *(() if player is None else (player,)))


@pytest.mark.parametrize(("name", "info"), cases("loads"))
def test_loads(name: str, info: dict) -> None:
    checkpoint = load_torch(file(name))
    assert checkpoint.provenance.sha256 == info["sha256"]
    assert checkpoint.provenance.source == name
    if "arch" not in info:
        return
    assert checkpoint.arch == info["arch"]
    assert checkpoint.config == EncodingConfig(**info["encoding"])
    assert checkpoint.context_len == info["context_len"]
    assert checkpoint.dims == info["dims"]
    assert checkpoint.provenance.weights_sha256 == info["weights_sha256"]
    weights = checkpoint.state_dict().values()
    assert sum(w.size for w in weights) == info["params"]

    vectors = load_npz(golden_dir("torch") / info["vectors"])
    prefix = f"{name.removesuffix('.pt')}/"
    vectors = {k.removeprefix(prefix): v for k, v in vectors.items() if k.startswith(prefix)}
    inputs = [vectors["float_ctx"], vectors["int_ctx"]]
    outputs = {}
    if checkpoint.arch == "policy":
        for player in (0, 1):
            got = run(checkpoint.model, *inputs, player=player)
            outputs |= {f"p{player}_{output}": value for output, value in got.items()}
    else:
        outputs = run(checkpoint.model, *inputs, vectors["next_ctrl"])
    expected = {k.removeprefix("out_"): v for k, v in vectors.items() if k.startswith("out_")}
    assert set(expected) == set(outputs)
    for output, value in expected.items():
        np.testing.assert_allclose(outputs[output], value, atol=2e-5, rtol=0, err_msg=output)


@pytest.mark.parametrize(("name", "info"), cases("refused"))
def test_refused(name: str, info: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AwmError) as caught:
        load(file(name))
    message = str(caught.value)
    assert message.startswith(f"{file(name)}: ")
    assert message == one_line(message)
    expected = info["expected"]
    if "runs code" in expected or "names a class" in expected:
        assert "run code" in message
    if "runs code" not in expected:
        wanted = [*KEY.findall(expected), *SHAPE.findall(expected)]
        wanted += re.findall(WORDS, expected.split("; loads with")[0])
        assert not [part for part in wanted if part not in message], message
    assert not list(tmp_path.iterdir()), "code of the file ran"


OTHER_FAULTS = ("missing", "is (", "NaN", "integer", "runs code", "says", "fit")


@pytest.mark.parametrize(("name", "info"), cases("refused"))
def test_allow_surplus_is_for_surplus_alone(name: str, info: dict) -> None:
    if "surplus" not in info["expected"]:
        if not any(fault in info["expected"] for fault in OTHER_FAULTS):
            return
        with pytest.raises(AwmError):
            load_torch(file(name), allow_surplus=True)
        return
    checkpoint = load_torch(file(name), allow_surplus=True)
    key = KEY.findall(info["expected"])[0]
    assert any(key in note for note in checkpoint.provenance.notes)
    assert key not in checkpoint.state_dict()


MEASURE = """
import resource, sys
from awm_jax.errors import AwmError
from converters import load
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
load(sys.argv[1])
before = peak()
for name in sys.argv[2:]:
    try:
        load(name)
    except AwmError as error:
        print(error)
    else:
        raise SystemExit(name + " was loaded")
print(peak() - before)
"""


def test_refusals_take_no_memory() -> None:
    hostile = ("storage_claims_4tb.pt", "tensor_beyond_storage.pt")
    names = [str(file(name)) for name in ("new_mlp.pt", *hostile)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *names],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=True,
    )
    assert int(done.stdout.split()[-1]) < 64, done.stdout  # MiB


@pytest.mark.parametrize("name", ["new_mamba2.pt", "new_mlp.pt", "old_policy.pt"])
def test_round_trip_is_bit_identical(name: str, tmp_path: Path) -> None:
    import torch

    save_orbax(load(file(name)), tmp_path / "world")
    save_torch(load(tmp_path / "world"), tmp_path / "again.pt")
    before = torch.load(file(name), weights_only=True)
    after = torch.load(tmp_path / "again.pt", weights_only=True)
    assert list(after["model_state_dict"]) == list(before["model_state_dict"])
    for key, value in before["model_state_dict"].items():
        assert torch.equal(
            after["model_state_dict"][key].view(torch.int32), value.view(torch.int32)
        )
    if "encoding_config" in before:
        assert after["encoding_config"] == before["encoding_config"]
        assert list(after["encoding_config"]) == list(before["encoding_config"])
        assert after["context_len"] == before["context_len"]
    again = load(tmp_path / "again.pt")
    assert again.spec == load(file(name)).spec
