"""Cartridges: what is written comes back, under one identity, whole or not at all."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.cartridges import cartridge, given, shapes
from support.golden import seeded_weights

from awm_jax.errors import AwmError
from converters.cartridge import make_cartridge, read_cartridge, save_cartridge, write_cartridge
from converters.quantize.manifest import weight_fields
from converters.quantize.weights import quantize_state_dict


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def assert_equal(ours, theirs):
    assert ours.hash == theirs.hash and ours.manifest == theirs.manifest
    assert list(ours.manifest) == list(theirs.manifest)
    assert np.array_equal(ours.weights_int8, theirs.weights_int8) and ours.luts == theirs.luts
    assert list(ours.extra) == list(theirs.extra)
    for name, array in ours.extra.items():
        assert array.dtype == theirs.extra[name].dtype and array.shape == theirs.extra[name].shape
        assert np.array_equal(array, theirs.extra[name])
    assert list(ours.policies) == list(theirs.policies)
    for name, policy in ours.policies.items():
        assert_equal(policy, theirs.policies[name])


def edit(folder: Path, change) -> None:
    """Apply `change` to the parsed manifest.json."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.fixture
def folder(tmp_path):
    save_cartridge(cartridge(policy=True), tmp_path / "c")
    return tmp_path / "c"


@pytest.mark.parametrize("arch", ["mamba2", "mlp", "policy"])
@pytest.mark.parametrize("verify", [True, False])
def test_round_trip(tmp_path, arch, verify):
    arguments = given(arch)
    written = write_cartridge(tmp_path / "c", **arguments)
    found = read_cartridge(tmp_path / "c", verify=verify)
    assert_equal(found, written)
    assert found.model_type == arch and found.context_len == 3
    assert found.recurrent == (arch == "mamba2")
    assert found.config.to_dict() == arguments["manifest"]["encoding_config"]
    assert found.weights_int8.dtype == np.int8 and not found.weights_int8.flags.writeable
    assert found.weights_int8.tobytes() == arguments["weights"]
    assert (tmp_path / "c/weights_int8.bin").read_bytes() == arguments["weights"]
    assert found.manifest["int8"] == arguments["manifest"]["int8"]
    for name, array in arguments["extra"].items():
        assert np.array_equal(found.extra[name], array)
        assert found.extra[name].dtype == array.dtype and not found.extra[name].flags.writeable


def test_tensors():
    weights = seeded_weights(shapes("mamba2"), 0)
    quantized = quantize_state_dict(weights)
    found = cartridge()
    assert list(found.entries) == sorted(weights)
    for key, tensor in quantized.tensors.items():
        assert np.array_equal(found.weight(key), tensor.q)
        assert np.array_equal(found.entries[key].scales, tensor.scales)


def test_policies(folder):
    found = read_cartridge(folder)
    policy = found.policies["hold"]
    assert policy.model_type == "policy" and policy.policies == {}
    assert_equal(read_cartridge(folder / "policies/hold"), policy)
    assert found.manifest["policies"] == {"hold": policy.hash}
    assert found.hash != cartridge().hash


def test_same_content_same_bytes(tmp_path):
    def backwards(value):
        if isinstance(value, dict):
            return {key: backwards(value[key]) for key in reversed(value)}
        return tuple(backwards(v) for v in value) if isinstance(value, list) else value

    arguments = given()
    write_cartridge(tmp_path / "a", **arguments)
    other = arguments | {"manifest": backwards(arguments["manifest"])}
    other["extra"] = backwards(arguments["extra"])
    other["extra"]["a"] = other["extra"]["a"].astype(">u2")
    write_cartridge(tmp_path / "b", **other)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    save_cartridge(read_cartridge(tmp_path / "a"), tmp_path / "c")
    assert files(tmp_path / "a") == files(tmp_path / "c")


def test_identity_as_documented(folder):
    """The hash from the files alone, by the words of the module's docstring."""

    def identity(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, stamp in manifest["files"].items():
            data = (folder / name).read_bytes()
            assert stamp == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, stated in manifest["policies"].items():
            assert identity(folder / "policies" / name) == stated
        stated = manifest["hash"]
        for name in ("hash", "provenance", "notes", "error_summary"):
            manifest.pop(name, None)
        for group in manifest["weights"].values():
            for entry in group.values():
                del entry["snr_db"], entry["error"]
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == stated
        return stated

    assert identity(folder) == read_cartridge(folder).hash


def test_the_manifest_begins_with_what_a_reader_wants(folder):
    lines = (folder / "manifest.json").read_text().splitlines()
    assert lines[1] == '  "format": "awm_cartridge_v1",'
    assert lines[2] == f'  "hash": "{cartridge(policy=True).hash}",'


def test_what_changes_the_hash():
    base = cartridge().hash
    assert make_cartridge(**given()).hash == base
    for name, value in [("provenance", {"data": "x"}), ("notes", ["x"]), ("error_summary", {})]:
        assert make_cartridge(**given(**{name: value})).hash == base
    worse = given()
    entry = worse["manifest"]["weights"]["heads"]["p0_action_head.bias"]
    entry["snr_db"] = entry["error"]["snr_db"] = -np.inf
    made = make_cartridge(**worse)
    assert made.hash == base
    assert made.manifest["weights"]["heads"]["p0_action_head.bias"]["snr_db"] is None

    hashes = {base}
    changes = [
        given(seed=1),
        given(int8={"x_shift": 8, "scales": [0.5, 1e-12], "note": "täglich"}),
        given(mode={"kind": "windowed", "context_len": 3}),
        given(mode={"kind": "recurrent", "context_len": 4}),
        given(encoding_config=given()["manifest"]["encoding_config"] | {"xy_scale": 0.06}),
        given() | {"luts": bytes(1024)},
        given() | {"extra": {}},
        given() | {"extra": given()["extra"] | {"shift": np.int16(-3)}},
        given() | {"policies": {"hold": cartridge("policy")}},
        given() | {"policies": {"held": cartridge("policy")}},
    ]
    for change in changes:
        hashes.add(make_cartridge(**change).hash)
    assert len(hashes) == len(changes) + 1


def test_a_zero_vector_can_be_stored(tmp_path):
    weights = seeded_weights(shapes("policy"), 3)
    weights["analog_head.bias"][:] = 0
    quantized = quantize_state_dict(weights)
    arguments = given("policy") | {"weights": quantized.data}
    arguments["manifest"] |= weight_fields(quantized)
    write_cartridge(tmp_path / "c", **arguments)
    found = read_cartridge(tmp_path / "c")
    assert found.manifest["weights"]["heads"]["analog_head.bias"]["snr_db"] is None
    assert found.entries["analog_head.bias"].scales == np.float32(1e-8 / 127)


def test_surplus_files_are_ignored(folder):
    before = read_cartridge(folder)
    (folder / "README.md").write_text("hello")
    (folder / "policies/other").mkdir()
    assert_equal(read_cartridge(folder), before)


def test_not_overwritten_unless_asked(folder):
    before = files(folder)
    with pytest.raises(AwmError, match="not empty"):
        save_cartridge(cartridge(seed=1), folder)
    assert files(folder) == before
    save_cartridge(cartridge(seed=1), folder, overwrite=True)
    assert read_cartridge(folder).hash == cartridge(seed=1).hash
    assert not (folder / "policies").exists()


def test_other_folders_are_never_overwritten(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(AwmError, match="none of ours"):
        save_cartridge(cartridge(), tmp_path, overwrite=True)
    assert files(tmp_path) == {"manifest.json": b"{}"}


@pytest.mark.parametrize("occupied", [False, True])
def test_nothing_half_written(tmp_path, monkeypatch, occupied):
    """Fail the n-th write, for n = 1, 2, ... until a run passes."""
    target = tmp_path / "c"
    if occupied:
        save_cartridge(cartridge(seed=1), target)
    before = files(tmp_path)
    write, left = Path.write_bytes, 0

    def failing(path, data):
        nonlocal left
        left -= 1
        if left == 0:
            write(path, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", failing)
    for n in range(1, 20):
        left = n
        try:
            save_cartridge(cartridge(policy=True), target, overwrite=True)
        except AwmError as error:
            assert "disk is full" in str(error)
            assert files(tmp_path) == before
        else:
            break
    assert n == 9  # four files of the world, four of its policy
    assert_equal(read_cartridge(target), cartridge(policy=True))


CRASH = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from converters.cartridge import read_cartridge, save_cartridge
source = read_cartridge(sys.argv[1])
write = Path.write_bytes
def killed(path, data):
    if path.name == "extra.bin":
        os.kill(os.getpid(), 9)
    return write(path, data)
Path.write_bytes = killed
save_cartridge(source, sys.argv[2])
"""


def test_a_killed_writer_leaves_nothing_visible(folder, tmp_path):
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(folder), str(tmp_path / "d"), str(root)], cwd=tmp_path
    )
    assert done.returncode == -9
    assert not (tmp_path / "d").exists()
    assert all(p.name.startswith(".") for p in tmp_path.iterdir() if p != folder)
    save_cartridge(read_cartridge(folder), tmp_path / "d")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "x"}, "format is made by the writer"),
        ({"hash": "x"}, "hash is made by the writer"),
        ({"surplus": 1}, "unknown field 'surplus'"),
        ({"mode": None}, "mode does not hold"),
        ({"mode": {"kind": "other", "context_len": 3}}, "mode.kind is 'other'"),
        ({"mode": {"kind": "windowed", "context_len": 0}}, "context_len is 0"),
        ({"mode": {"kind": "windowed", "context_len": True}}, "context_len"),
        ({"int8": []}, "int8 is not a mapping"),
        ({"int8": {"x": float("nan")}}, "int8.x' is nan"),
        ({"int8": {"x": [1, {"y": b"z"}]}}, "int8.x.1.y' is b'z'"),
        ({"int8": {1: 2}}, "has the key 1"),
        ({"notes": "x"}, "notes is not a list"),
        ({"provenance": "x"}, "provenance is not a mapping"),
        ({"error_summary": {"x": "y"}}, "not a number"),
        ({"encoding_config": {}}, "encoding_config.xy_scale is missing"),
        ({"total_weight_bytes": 1}, "total_weight_bytes contradicts"),
        ({"shard_map": {}}, "shard_map contradicts"),
        ({"architecture": {"model_type": "mamba2"}}, "architecture contradicts"),
        ({"weights": {}}, "weights does not hold"),
    ],
)
def test_not_made(change, said):
    with pytest.raises(AwmError, match=said):
        make_cartridge(**given(**change))


def test_not_made_of_other_bytes():
    arguments = given()
    for change, said in [
        ({"weights": arguments["weights"][:-1]}, "its tensors"),
        ({"weights": b"\x80" + arguments["weights"][1:]}, "holds a -128"),
        ({"luts": bytes(1023)}, "luts.bin has 1023 bytes"),
        ({"policies": {"../up": cartridge("policy")}}, "a name is"),
        ({"policies": {"Hold": cartridge("policy")}}, "a name is"),
        ({"policies": {"x": cartridge(policy=True)}}, "has policies of its own"),
    ]:
        with pytest.raises(AwmError, match=said):
            make_cartridge(**arguments | change)


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), np.bool_(True), np.float64(0.1)])
def test_numpy_numbers_are_taken(value):
    made = make_cartridge(**given(int8={"x": value}))
    assert made.manifest["int8"] == {"x": value.item()}


def test_not_a_cartridge(tmp_path, folder):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, said in [
        ("none", "no such folder"),
        ("file", "no such folder"),
        ("nul\0", "no such folder"),
        ("x" * 5000, "no such folder"),
        ("empty", "manifest.json: no such file"),
    ]:
        with pytest.raises(AwmError, match=said):
            read_cartridge(tmp_path / name)
    os.mkfifo(tmp_path / "empty/manifest.json")
    with pytest.raises(AwmError, match="not a regular file"):
        read_cartridge(tmp_path / "empty")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(format="awm_cartridge_v2"), "'awm_cartridge_v2' is not known"),
        (lambda m: m.pop("format"), "format None is not known"),
        (lambda m: m.update(format="mamba2_int8_v1"), "quantised model of the reference"),
        (lambda m: m.pop("hash"), "hash is missing"),
        (lambda m: m.update(hash="0" * 64), "hash is not its content's"),
        (lambda m: m.update(hash="0" * 63), "not a sha256"),
        (lambda m: m["int8"].update(x_shift=6), "hash is not its content's"),
        (lambda m: m["encoding_config"].update(xy_scale=0.06), "hash is not its content's"),
        (lambda m: m["files"].update({"../x": m["files"]["luts.bin"]}), "files does not hold"),
        (lambda m: m["files"].pop("luts.bin"), "files does not hold"),
        (lambda m: m["files"]["luts.bin"].update(size=1 << 60), "has 1024 bytes"),
        (lambda m: m["files"]["luts.bin"].update(size=10**4000), "has 1024 bytes"),
        (lambda m: m["files"]["luts.bin"].update(size=1024.0), "not an integer"),
        (lambda m: m["files"]["luts.bin"].update(sha256="0" * 64), "luts.bin: damaged"),
        (lambda m: m["policies"].update({"../c": "0" * 64}), "a name is"),
        (lambda m: m["policies"].update({"/etc": "0" * 64}), "a name is"),
        (lambda m: m["policies"].update({"gone": "0" * 64}), "gone: no such folder"),
        (lambda m: m["policies"].update({"hold": "0" * 64}), "policy hold is another"),
        (lambda m: m["extra"].update({"../x": {}}), "a name is"),
        (lambda m: m["extra"]["a"].update(shape=[1 << 60]), "holds a length"),
        (lambda m: m["extra"].pop("shift"), "extra arrays end at"),
        (lambda m: m["weights"].pop("heads"), "weights does not hold"),
        (lambda m: m["weights"]["heads"].update(x={}), "weight 'x' is in the group heads"),
        (lambda m: m["encoding_config"].update(surplus=1), "unknown field 'surplus'"),
        (lambda m: m["encoding_config"].update(hitstun=1), "hitstun is not true or false"),
    ],
)
def test_refused(folder, change, said):
    edit(folder, change)
    with pytest.raises(AwmError, match=said) as caught:
        read_cartridge(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


MATRIX, VECTOR = "layers.0.mamba.in_proj.weight", "layers.0.mamba.D"
ROWS = shapes("mamba2")[MATRIX][0]


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        (MATRIX, "offset", 0),
        (MATRIX, "size", 1 << 50),
        (MATRIX, "shape", [1 << 31, 1 << 31, 1 << 31]),
        (MATRIX, "shape", [1 << 40]),
        (MATRIX, "shape", []),
        (MATRIX, "shape", "x"),
        (MATRIX, "quantization", "per_tensor_symmetric"),
        (MATRIX, "scales", 1.0),
        (MATRIX, "scales", [1.0] * (ROWS - 1)),
        (MATRIX, "scales", [0.0] * ROWS),
        (MATRIX, "scales", [-1.0] * ROWS),
        (MATRIX, "scales", [1e300] * ROWS),
        (MATRIX, "scales", [1e-300] * ROWS),
        (MATRIX, "scales", [1] * ROWS),
        (MATRIX, "scales", [None] * ROWS),
        (MATRIX, "snr_db", "x"),
        (MATRIX, "error", {}),
        (MATRIX, "surplus", 1),
        (VECTOR, "scale", [1.0]),
        (VECTOR, "scale", True),
        (VECTOR, "scales", [1.0]),
    ],
)
def test_weight_entries_are_not_believed(folder, key, field, value):
    edit(folder, lambda m: m["weights"]["layer_weights"][key].update({field: value}))
    with pytest.raises(AwmError, match=f"weight '{key}'"):
        read_cartridge(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"format": NaN}', "NaN is no JSON"),
        (b'{"format": 1e999}', "format inf is not known"),
        (b'{"format": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"format": "awm_cartridge_v1", "format": "awm_cartridge_v1"}', "occurs twice"),
        (b'{"format": "awm_cartridge_v1"}', "hash is missing"),
        (b'{"format": "awm_cartridge_v1", "int8": {"x": 1e999}}', "JSON cannot hold"),
        (b'{"format": "awm_cartridge_v1", "int8": ' + b"[" * 40 + b"]" * 40 + b"}", "nested"),
        (
            b'{"format": "awm_cartridge_v1", "int8": ' + b"[" * 10**6 + b"]" * 10**6 + b"}",
            "nested|not JSON",
        ),
        (b'{"format": "awm_cartridge_v1", "\\ud800\\n": 1}', "hash is missing"),
        (b'{"format": "\\ud800\\n\\u0000' + b"x" * 10**6 + b'"}', "is not known"),
    ],
)
def test_strange_manifests(folder, text, said):
    (folder / "manifest.json").write_bytes(text)
    with pytest.raises(AwmError, match=said) as caught:
        read_cartridge(folder)
    line = str(caught.value).removeprefix(str(folder))
    assert line.isprintable() and len(line) < 300


def test_claims_take_no_memory(folder):
    huge = {"dtype": "u32", "shape": [1 << 31] * 3, "offset": 0, "size": 1 << 95}
    edit(folder, lambda m: m.update(extra={"a": huge}))
    with (folder / "extra.bin").open("r+b") as file:
        file.truncate(1 << 40)  # a hole: takes no disk either
    tracemalloc.start()
    try:
        with pytest.raises(AwmError, match="no more than"):
            read_cartridge(folder)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_verify_off_skips_only_the_files_sha256(folder):
    data = bytearray((folder / "luts.bin").read_bytes())
    data[5] ^= 1
    (folder / "luts.bin").write_bytes(data)
    with pytest.raises(AwmError, match="damaged"):
        read_cartridge(folder)
    assert read_cartridge(folder, verify=False).luts == bytes(data)
    edit(folder, lambda m: m["int8"].update(x_shift=6))
    with pytest.raises(AwmError, match="hash"):
        read_cartridge(folder, verify=False)


def test_swapped_policies(folder, tmp_path):
    shutil.rmtree(folder / "policies/hold")
    save_cartridge(cartridge("policy", 5), folder / "policies/hold")
    with pytest.raises(AwmError, match="policy hold is another"):
        read_cartridge(folder)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        cartridge().hash = ""
    with pytest.raises(ValueError, match="read-only"):
        cartridge().weights_int8[0] = 1


def test_the_callers_manifest_is_left_alone():
    arguments = given()
    before = copy.deepcopy(arguments["manifest"])
    made = make_cartridge(**arguments)
    assert arguments["manifest"] == before
    arguments["manifest"]["int8"]["x_shift"] = 99
    assert made.manifest["int8"]["x_shift"] == 7
