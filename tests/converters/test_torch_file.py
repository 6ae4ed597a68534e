"""PyTorch files: what is read, what is refused, and that nothing in them ever runs."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from support.checkpoints import arrays, content, small_config, state_dict, write_checkpoint

from awm_jax.console import one_line
from awm_jax.errors import AwmError
from converters import load, load_torch, save_torch
from converters.infer import infer
from converters.torch_file import read_torch


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(path: str | Path) -> str:
    with pytest.raises(AwmError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and message == one_line(message)
    return message.removeprefix(f"{path}: ")


class Hostile:
    """Opens a file named pwned when it is unpickled freely."""

    def __reduce__(self):
        return open, ("pwned", "w")


def rewritten(path: Path, change, **options) -> Path:
    """The zip file with its entries changed by `change(name, data) -> data`, all CRCs right."""
    with zipfile.ZipFile(path) as old:
        entries = [(name, old.read(name)) for name in old.namelist()]
    with zipfile.ZipFile(path, "w", **options) as new:
        for name, data in entries:
            new.writestr(name, change(name, data))
    return path


@pytest.mark.parametrize("form", ["new", "legacy layout", "old", "bare", "raw"])
def test_every_form(form: str) -> None:
    cfg, state = small_config(), state_dict()
    whole = content()
    if form == "old":
        stated = {k: v for k, v in cfg.to_dict().items() if k.startswith(("action", "jumps"))}
        whole = {"model_state_dict": state, "config": {**stated, "context_len": 3}, "epoch": 1}
    elif form in ("bare", "raw"):
        whole = {"model_state_dict": state} if form == "bare" else state
    torch.save(whole, "w.pt", _use_new_zipfile_serialization=form != "legacy layout")
    checkpoint = load_torch("w.pt")
    assert checkpoint.config == cfg
    assert checkpoint.context_len == (10 if form in ("bare", "raw") else 3)
    expected = {"legacy layout": "new", "raw": "bare"}.get(form, form)
    assert checkpoint.provenance.form == expected
    for key, value in arrays(state).items():
        np.testing.assert_array_equal(checkpoint.state_dict()[key], value)


def test_saved_files_are_the_same_bytes_and_carry_the_config() -> None:
    write_checkpoint(Path("w.pt"))
    checkpoint = load("w.pt")
    save_torch(checkpoint, "a.pt")
    save_torch(load("a.pt"), "b.pt")
    assert Path("a.pt").read_bytes() == Path("b.pt").read_bytes()
    saved = torch.load("a.pt", weights_only=True)
    assert saved["encoding_config"] == checkpoint.config.to_dict()
    assert list(saved["model_state_dict"]) == list(content()["model_state_dict"])


@pytest.mark.parametrize("where", ["top", "config", "state", "optimizer", "legacy"])
def test_code_never_runs(where: str) -> None:
    whole = content()
    if where == "config":
        whole["encoding_config"] = Hostile()
    elif where == "state":
        whole["model_state_dict"]["x"] = Hostile()
    else:
        whole[where] = {"state": [Hostile()]}
    torch.save(whole, "w.pt", _use_new_zipfile_serialization=where != "legacy")
    assert refusal("w.pt") == (
        "refused: its pickle names io.open, and unpickling that would run code; nothing was run"
    )
    Path("p.pt").write_bytes(pickle.dumps(Hostile()))
    assert "plain pickle, which could run code; it was not opened" in refusal("p.pt")
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"\0" * 100, "not a torch file"),
        (b"hello", "not a torch file"),
        (b"PK\x03\x04" + b"\0" * 50, "not a complete torch file"),
        (b"\x89HDF\r\n\x1a\n", "not a torch file"),
    ],
)
def test_foreign_files(data: bytes, message: str) -> None:
    Path("w.pt").write_bytes(data)
    assert message in refusal("w.pt")


def test_places_that_hold_no_file() -> None:
    assert refusal("none.pt") == "no such file"
    assert refusal("/dev/zero") == "not a regular file"
    os.mkdir("folder")
    with pytest.raises(AwmError, match=r"folder: no checkpoint folder, it has no config\.json"):
        load("folder")


def test_an_unreadable_file() -> None:
    write_checkpoint(Path("w.pt"))
    os.chmod("w.pt", 0)
    if os.access("w.pt", os.R_OK):
        pytest.skip("this user reads everything")
    assert refusal("w.pt") == "cannot be read: Permission denied"


def test_zips_that_lie() -> None:
    write_checkpoint(Path("w.pt"))
    squeezed = Path("squeezed.pt")
    squeezed.write_bytes(Path("w.pt").read_bytes())
    rewritten(squeezed, lambda name, data: data, compression=zipfile.ZIP_DEFLATED)
    assert "claims more bytes than the file has" in refusal("squeezed.pt")
    rewritten(Path("w.pt"), lambda name, data: data)
    with zipfile.ZipFile("w.pt", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.namelist()[0], b"again")
    assert "names an entry twice" in refusal("w.pt")
    with zipfile.ZipFile("script.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"")
        archive.writestr("m/constants.pkl", b"")
    assert "TorchScript" in refusal("script.pt")


def test_a_flipped_bit_in_the_weights_is_seen() -> None:
    write_checkpoint(Path("w.pt"))
    data = bytearray(Path("w.pt").read_bytes())
    with zipfile.ZipFile("w.pt") as archive:
        entry = max(archive.infolist(), key=lambda e: e.file_size)
    data[entry.header_offset + 500] ^= 4
    Path("w.pt").write_bytes(data)
    message = refusal("w.pt")
    assert message.startswith(f"damaged: zip entry {entry.filename} does not match its CRC")


def test_views_that_multiply_their_storage() -> None:
    state = state_dict()
    state["frame_proj.weight"] = torch.zeros(1).expand(1 << 30, 1 << 30)
    write_checkpoint(Path("w.pt"), model_state_dict=state)
    assert refusal("w.pt") == "frame_proj.weight is a tensor larger than its storage"
    block = torch.zeros(1 << 15)
    state = {f"layers.{i}.mamba.D": block for i in range(50)}
    write_checkpoint(Path("w.pt"), model_state_dict=state)
    assert refusal("w.pt") == "its tensors claim more bytes than the file has"


def test_a_legacy_file_that_claims_terabytes() -> None:
    torch.save({"model_state_dict": {"D": torch.zeros(7777)}}, "w.pt")
    data = io.BytesIO()
    torch.save(
        {"model_state_dict": {"D": torch.zeros(7777)}}, data, _use_new_zipfile_serialization=False
    )
    size = pickle.BININT2 + (7777).to_bytes(2, "little")
    huge = pickle.LONG1 + b"\x06" + (10**12).to_bytes(6, "little")
    assert size in data.getvalue()
    Path("w.pt").write_bytes(data.getvalue().replace(size, huge))
    assert "not a complete torch file" in refusal("w.pt")


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        ([1, 2], "not a checkpoint but a list"),
        (3, "not a checkpoint but a int"),
        ({}, "no model_state_dict"),
        ({"epoch": 3}, "no model_state_dict"),
        ({"model_state_dict": 3}, "model_state_dict is not a mapping"),
        ({"model_state_dict": {}}, "no weights"),
        ({"model_state_dict": {3: torch.zeros(1)}}, "a key that is a int"),
        ({"model_state_dict": {"a.weight": [1.0]}}, "a.weight is not a tensor but a list"),
        (
            {"model_state_dict": {"a": torch.zeros(2).to_sparse()}},
            "a is not a plain tensor with its values",
        ),
    ],
)
def test_contents_that_are_no_checkpoint(whole: object, message: str) -> None:
    torch.save(whole, "w.pt")
    assert message in refusal("w.pt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context_len": 0}, "context_len is 0"),
        ({"context_len": -(10**600)}, "context_len is negative"),
        ({"context_len": 10**9}, "context_len is above"),
        ({"context_len": True}, "context_len is not an integer"),
        ({"context_len": 3.0}, "context_len is not an integer"),
        ({"context_len": torch.tensor(3)}, "context_len is not an integer"),
        ({"encoding_config": [1]}, "encoding_config is not a mapping"),
        ({"encoding_config": {"xy_scale": 10**400}}, "encoding_config.xy_scale is out of range"),
        ({"encoding_config": {"xy_scale": float("nan")}}, "encoding_config.xy_scale is nan"),
        ({"encoding_config": {"action_vocab": 40.0}}, "encoding_config.action_vocab is not an int"),
        ({"encoding_config": {"action_vocab": 10**600}}, "encoding_config.action_vocab is out of"),
        ({"encoding_config": {"hitstun": 1}}, "encoding_config.hitstun is not true or false"),
        ({"encoding_config": {"absolute_y": True}}, "encoding_config.absolute_y is True"),
        ({"encoding_config": {"new_scale": 0.5}}, "encoding_config.new_scale is a float"),
        ({"encoding_config": {3: True}}, "encoding_config has a field whose name is not text"),
        (
            {"encoding_config": None, "config": {"model_type": "policy_mlp"}},
            "says policy, its keys are those of mamba2",
        ),
        (
            {"encoding_config": None, "config": {"context_len": 4}},
            "context_len is 3 and in config 4",
        ),
    ],
)
def test_settings_that_are_wrong(changes: dict, message: str) -> None:
    write_checkpoint(Path("w.pt"), **changes)
    assert message in refusal("w.pt")


def test_unknown_fields_that_are_off_are_noted() -> None:
    off = {"absolute_y": False, "extra": None, "depth": 0, "name": ""}
    write_checkpoint(Path("w.pt"), encoding_config={**small_config().to_dict(), **off})
    notes = load("w.pt").provenance.notes
    assert notes == (
        "encoding_config: ignored unknown fields that are off: absolute_y, extra, depth, name",
    )


def test_bfloat16_is_widened_exactly() -> None:
    state = {k: v.bfloat16() for k, v in state_dict().items()}
    write_checkpoint(Path("w.pt"), model_state_dict=state)
    checkpoint = load("w.pt")
    for key, value in checkpoint.state_dict().items():
        np.testing.assert_array_equal(value, state[key].float().numpy())
    assert checkpoint.provenance.notes == ("stored as bfloat16, every value kept exactly",)


def read_or_refuse(path: Path) -> bool:
    """Whether the file is read; anything but AwmError is the test's failure."""
    try:
        source = read_torch(path)
        infer(source.shapes, source.settings)
    except AwmError as error:
        assert str(error) == one_line(str(error))
        return False
    finally:
        assert not Path("pwned").exists()
    return True


def mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    how = rng.random()
    if how < 0.3:
        return bytes(changed[: rng.randrange(len(changed))])
    if how < 0.4:
        at = rng.randrange(len(changed))
        return bytes(changed[:at] + rng.randbytes(rng.randrange(1, 20)) + changed[at:])
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_fuzzed_files(layout: str) -> None:
    data = io.BytesIO()
    whole = content("policy")
    torch.save(whole, data, _use_new_zipfile_serialization=layout == "zip")
    rng, path = random.Random(1), Path("w.pt")
    for _ in range(300):
        path.write_bytes(mutated(data.getvalue(), rng))
        read_or_refuse(path)


def test_fuzzed_pickles_in_whole_zips() -> None:
    path, good = Path("w.pt"), Path("good.pt")
    write_checkpoint(good, content("policy"))
    rng, read = random.Random(2), 0

    def change(name: str, data: bytes) -> bytes:
        return mutated(data, rng) if name.endswith("data.pkl") else data

    for _ in range(300):
        path.write_bytes(good.read_bytes())
        read += read_or_refuse(rewritten(path, change))
    assert read < 300
