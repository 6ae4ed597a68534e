"""Orbax folders: there and back bit for bit, whole or not at all, damage in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import pytest
from support.checkpoints import arrays, small_config, source, state_dict

from awm_jax.console import one_line
from awm_jax.errors import AwmError
from converters import Checkpoint, load, save_orbax, save_torch
from converters.assemble import assemble
from converters.orbax_folder import CONFIG, WEIGHTS, file_hashes
from converters.source import Settings

CONFIG_OF = {
    "mamba2": small_config(state_age_as_embed=True, projectiles=True, state_flags=True),
    "mlp": small_config(press_events=True, lookahead=1, xy_scale=0.1),
    "policy": small_config(hitstun=True),
}


def checkpoint_of(arch: str) -> Checkpoint:
    cfg = CONFIG_OF[arch]
    weights = arrays(state_dict(arch, cfg, 3))
    # Bits that a careless copy changes: negative zero, subnormals, the largest number.
    first = next(iter(weights))
    weights[first].reshape(-1)[:4] = np.array([-0.0, 1e-45, -1e-40, 3.4028235e38], np.float32)
    settings = Settings("new", cfg.to_dict(), 3, notes=("made here",))
    return assemble(source(weights, settings))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "world"
    save_orbax(checkpoint_of("mamba2"), folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "world"))


def refusal(folder: Path) -> str:
    with pytest.raises(AwmError) as error:
        load(folder)
    message = str(error.value)
    assert message == one_line(message) and str(folder) in message
    return message


@pytest.mark.parametrize("arch", ["mamba2", "mlp", "policy"])
def test_there_and_back(arch: str, tmp_path: Path) -> None:
    before = checkpoint_of(arch)
    save_orbax(before, tmp_path / "world")
    after = load(tmp_path / "world")
    assert after.spec == before.spec
    assert after.provenance == before.provenance
    save_torch(after, tmp_path / "again.pt")
    for again in (after, load(tmp_path / "again.pt")):
        assert again.spec == before.spec
        assert list(again.state_dict()) == list(before.state_dict())
        for key, value in before.state_dict().items():
            got = again.state_dict()[key]
            np.testing.assert_array_equal(got.view(np.uint32), value.view(np.uint32), key)


def test_the_folder_is_plain(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == [CONFIG, WEIGHTS]
    config = json.loads((saved / CONFIG).read_text())
    assert config["arch"] == "mamba2"
    assert config["context_len"] == 3
    assert config["encoding_config"] == CONFIG_OF["mamba2"].to_dict()
    assert config["provenance"]["source"] == "mine.pt"
    assert {"awm-jax", "jax", "flax", "torch"} <= set(config["provenance"]["versions"])
    # Plain Orbax reads the weights, without a word of ours.
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(saved / WEIGHTS)
    assert tree["layers"]["1"]["mamba"]["in_proj"]["kernel"].shape[0] == 8
    assert not [p for p in saved.rglob("*") if p.suffix in (".pkl", ".pickle")]


def test_a_taken_folder_is_left_alone(folder: Path, tmp_path: Path) -> None:
    before = checkpoint_of("mlp")
    with pytest.raises(AwmError, match="is not empty; choose another folder or pass --overwrite"):
        save_orbax(before, folder)
    assert load(folder).arch == "mamba2"
    save_orbax(before, folder, overwrite=True)
    assert load(folder).arch == "mlp"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters").write_text("dear")
    with pytest.raises(AwmError, match=r"has no config\.json, so it is none of ours"):
        save_orbax(before, tmp_path / "home", overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(AwmError, match="is a file, not a folder"):
        save_orbax(before, tmp_path / "file", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "home", "world"]


@pytest.mark.parametrize("failure", [RuntimeError("RESOURCE_EXHAUSTED: x\ny"), KeyboardInterrupt()])
def test_nothing_half_written_is_left(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, path: Path, tree: Any) -> None:
        Path(path).mkdir()
        raise failure

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", fail)
    expected = AwmError if isinstance(failure, RuntimeError) else KeyboardInterrupt
    with pytest.raises(expected):
        save_orbax(checkpoint_of("policy"), tmp_path / "world")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(AwmError, match=r"cannot write .*world: the disk is full"):
        save_orbax(checkpoint_of("policy"), tmp_path / "world")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place() -> None:
    with pytest.raises(AwmError, match="cannot write /proc/world"):
        save_orbax(checkpoint_of("policy"), "/proc/world")


def test_every_file_is_needed_or_noticed(folder: Path, saved: Path) -> None:
    """A cut or emptied file is refused; what loads all the same has the same weights."""
    before = load(saved).provenance.weights_sha256
    refused = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        for damage in (whole[: len(whole) // 2], None):
            if damage is None:
                path.unlink()
            else:
                path.write_bytes(damage)
            try:
                assert load(folder).provenance.weights_sha256 == before
            except AwmError as error:
                refused += 1
                assert str(error) == one_line(str(error))
            path.write_bytes(whole)
    assert refused >= 16


def test_foreign_folders(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert f"no checkpoint folder, it has no {CONFIG}" in refusal(tmp_path / "empty")
    shutil.rmtree(folder / WEIGHTS)
    assert f"holds no {WEIGHTS} folder" in refusal(folder)
    (folder / WEIGHTS).mkdir()
    assert f"incomplete: {WEIGHTS}/" in refusal(folder)
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"files": {}}))
    assert "no complete Orbax checkpoint" in refusal(folder)


def test_other_weights_under_the_same_config(folder: Path, tmp_path: Path) -> None:
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(folder / WEIGHTS)

    def store(changed: Any) -> None:
        shutil.rmtree(folder / WEIGHTS)
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder / WEIGHTS, changed)
        config = json.loads((folder / CONFIG).read_text())
        config["files"] = file_hashes(folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(config))

    tree["final_norm"]["scale"][0] += 1
    store(tree)
    assert "the weights are not those of config.json" in refusal(folder)
    tree["final_norm"]["scale"][0] = np.nan
    store(tree)
    assert "NaN in final_norm.weight" in refusal(folder)
    tree["final_norm"]["scale"] = np.ones(9, np.float32)
    store(tree)
    assert "final_norm.scale is (9,), not (8,)" in refusal(folder)
    tree["final_norm"]["scale"] = np.ones(8, np.float16)
    store(tree)
    assert "final_norm.scale is float16, not float32" in refusal(folder)
    del tree["final_norm"]
    store(tree)
    assert "missing final_norm.scale" in refusal(folder)


HUGE = 10**12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format is not"),
        ({"arch": "rnn"}, "arch is none of mamba2, mlp, policy"),
        ({"arch": ["mamba2"]}, "arch is none of"),
        ({"arch": "mlp"}, "0 layers, not 2|dims are not those of mlp|says"),
        ({"dims": 3}, "dims is not a mapping"),
        ({"dims": {"d_model": "8"}}, "dims.d_model is not an integer"),
        ({"dims": {"d_model": HUGE}}, "dims.d_model is not an integer from 1 to"),
        (
            {"dims": {"d_model": 8, "d_state": 4, "n_layers": 1 << 20, "headdim": 4}},
            "1048576 layers",
        ),
        ({"dims": {"n_layers": 2, "depth": 3}}, "dims are not those of mamba2"),
        ({"dims": {"n_layers": 2}}, "dims must be d_model, d_state, n_layers, headdim"),
        ({"dims": {"d_model": 8, "d_state": 4, "n_layers": 2, "headdim": 3}}, "d_inner 16"),
        ({"dims": {"d_model": 8, "d_state": 5, "n_layers": 2, "headdim": 4}}, r"is \("),
        ({"encoding_config": None}, "encoding_config is not a mapping"),
        ({"encoding_config": {"hitstun": 1}}, "encoding_config.hitstun is not true or false"),
        ({"encoding_config": {"action_vocab": 1 << 30}}, "encoder.action_embed.embedding is"),
        ({"context_len": 0}, "context_len is 0"),
        ({"context_len": None}, "context_len is not an integer"),
        ({"provenance": {}}, "provenance: the fields are not"),
        ({"provenance": None}, "provenance is not a mapping"),
        ({"files": ["_METADATA"]}, "files is not a mapping"),
        ({"files": {"../config.json": "0" * 64}}, r"weights/\.\./config\.json is missing"),
        ({"files": {"_METADATA": 3}}, "weights/_METADATA is not the file"),
    ],
)
def test_a_config_that_lies(folder: Path, change: dict, message: str) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | change))
    with pytest.raises(AwmError, match=message):
        load(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "[" * 100_000, '{"a": 1e999999}', "\xff", "0" * (1 << 21)]
)
def test_a_config_that_is_no_json_object(folder: Path, text: str) -> None:
    (folder / CONFIG).write_bytes(text.encode("latin1"))
    refusal(folder)
