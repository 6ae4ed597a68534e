"""What the server offers a browser to compute with: exact records, cartridges by identity alone."""

from __future__ import annotations

import base64
import copy
import dataclasses
import gzip
import hashlib
import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
import converters
from awm_jax.cartridges import EMBEDDED, embedded
from awm_jax.errors import AwmError
from crank import watch_cli
from crank.viz import PLAYER_KEYS
from crank.watch import machine, page, recording
from crank.watch.server import HEADERS

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "wasm/machine.sha256"
IDENTITY = json.loads((embedded() / "manifest.json").read_text())["hash"]


def test_the_committed_module_is_the_one_named() -> None:
    module = Path(str(page.STATIC / "machine.wasm")).read_bytes()
    assert module.startswith(b"\0asm") and len(module) < 128 << 10
    assert MODULE.read_text() == f"{hashlib.sha256(module).hexdigest()}  machine.wasm\n"


@pytest.mark.skipif(
    not (shutil.which("clang-14") and shutil.which("wasm-ld-14")), reason="no clang 14 and lld 14"
)
def test_the_sources_give_the_same_bytes() -> None:
    spec = importlib.util.spec_from_file_location("wasm_build", ROOT / "wasm/build.py")
    assert spec and spec.loader
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert build.compile_module() == Path(str(page.STATIC / "machine.wasm")).read_bytes()


def test_page_and_server_name_the_same_columns_in_the_same_order() -> None:
    listed = re.search(r"export const KEYS = \[(.*?)\];", page.read_static("track.js"), re.DOTALL)
    assert listed
    assert re.findall(r'"(\w+)"', listed[1]) == list(PLAYER_KEYS)


def test_the_policy_lets_webassembly_in_and_nothing_else() -> None:
    script = re.search(r"script-src ([^;]*);", HEADERS["content-security-policy"])
    assert script and script[1] == "'self' 'wasm-unsafe-eval'"


def player(**changes: Any) -> dict[str, Any]:
    return dict.fromkeys(PLAYER_KEYS, 0) | {"x": -12.0000152587890625, "facing": 1.0} | changes


def read_record(folder: Path, match: Any) -> tuple[dict[str, Any], np.ndarray]:
    (folder / "match.json").write_text(json.dumps(match))
    record = json.loads(gzip.decompress(machine.record(folder / "match.json")))
    frames = np.frombuffer(base64.b64decode(record["frames"]), "<i4")
    return record, frames.reshape(record["count"], -1)


def test_a_record_is_exact(tmp_path: Path) -> None:
    odd = [player(percent="12"), player(x=1e9), player(x=0.1), player(y=float("inf")), {}, None]
    frames = [{"players": [player(), p], "stage": 31} for p in odd]
    frames += [{"players": [player()], "stage": "x"}, None]
    kept = {"seed": {"cont": [1]}, "pads": "00ff", "digest": "ab"}
    record, values = read_record(tmp_path, {"machine": kept, "frames": frames})
    assert {key: record[key] for key in kept} == kept
    keys = list(PLAYER_KEYS)
    x, facing, n = keys.index("x"), keys.index("facing"), len(keys)
    assert values.shape == (len(frames), 2 * n + 1)
    assert (values[0, x], values[0, facing], values[0, -1]) == (-786433, 65536, 31)
    wrong = [n + keys.index(key) for key in ("percent", "x", "x", "y")]
    assert [values[i, at] for i, at in enumerate(wrong)] == [machine.NO_VALUE] * 4
    assert (values[4:6, n:-1] == machine.NO_VALUE).all()
    assert (values[6:] == machine.NO_VALUE).all()


@pytest.mark.parametrize("match", [[], {"frames": []}, {"machine": 1, "frames": []}, 3])
def test_what_no_machine_played_has_no_record(tmp_path: Path, match: Any) -> None:
    with pytest.raises(AwmError, match="not played by the integer machine"):
        read_record(tmp_path, match)


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"context": "recurrent"},
        {"context": "recurrent", "weights_sha256": {"world": 3}},
        {"context": "sideways", "weights_sha256": {"world": IDENTITY}},
        {"context": [], "weights_sha256": {"world": IDENTITY}},
        None,
    ],
)
def test_a_match_that_names_no_cartridge_is_not_checked(meta: Any) -> None:
    assert recording.proof_of({"machine": {}, "meta": meta}) is None


def test_only_what_was_offered_is_found(tmp_path: Path) -> None:
    offered = machine.Cartridges()
    assert offered.find("") == offered.find(IDENTITY) == EMBEDDED
    for name in ("../secret", str(embedded()), "0" * 64, "embedded"):
        with pytest.raises(AwmError, match="is not here"):
            offered.payload(name)
    with pytest.raises(AwmError, match="no context"):
        offered.payload(IDENTITY, "../x")
    assert machine.identity_of(str(tmp_path)) == ""


def test_the_embedded_cartridge_for_the_page() -> None:
    content = json.loads(gzip.decompress(machine.Cartridges().payload("")))
    image = base64.b64decode(content["image"])
    assert content["hash"] == IDENTITY and content["name"] == EMBEDDED
    assert hashlib.sha256(image).hexdigest() == content["image_sha256"]
    assert content["columns"]["x"] == ["cont", 1] and content["columns"]["character"] == ["ints", 2]
    assert set(content["policies"]) == {"fox", "falco", "marth"}
    assert machine.Cartridges().policy("", "fox").startswith(b"AWMPOL1\0")
    with pytest.raises(AwmError, match="no policy"):
        machine.Cartridges().policy("", "../fox")


def test_the_cartridges_that_files_name(tmp_path: Path) -> None:
    def put(name: str, content: Any) -> str:
        (tmp_path / name).write_text(json.dumps(content))
        return str(tmp_path / name)

    names = [
        put("a.json", {"machine": {}, "meta": {"model_checkpoint": str(embedded())}}),
        put("b.json", {"machine": {}, "meta": {"model_checkpoint": str(tmp_path)}}),
        put("c.json", {"meta": {"model_checkpoint": str(embedded())}}),
        put("d.json", {"machine": {}, "meta": {"model_checkpoint": ["x"]}}),
        put("e.json", []),
        str(tmp_path / "game.slp"),
    ]
    assert machine.named_by(names) == [str(embedded())]


def test_playing_needs_no_file_and_takes_none() -> None:
    with pytest.raises(AwmError, match="nothing to watch"):
        watch_cli.watch([])
    with pytest.raises(AwmError, match="leave the files out"):
        watch_cli.watch(["a.json"], play=True)
    with pytest.raises(AwmError, match="nothing to watch"):
        watch_cli.watch(None, play=True, html="out.html")
    with pytest.raises(AwmError, match="no cartridge"):
        watch_cli.watch(None, play=True, world="none")


def test_beside_needs_something_to_play_beside() -> None:
    for options in ({}, {"rerun": "match.json"}):
        with pytest.raises(AwmError, match="nothing to play beside"):
            watch_cli.serve(".", beside=EMBEDDED, **options)


def test_the_scale_of_the_heads_is_the_stated_one() -> None:
    """Where the manifest is of before it was stated, that of the layer itself."""
    loaded = converters.load_cartridge(EMBEDDED)
    stated = loaded.cartridge.manifest["int8"]["scales"]["pre_head"]

    def action(**scales: float) -> float | None:
        manifest = copy.deepcopy(loaded.cartridge.manifest)
        manifest["int8"]["scales"].pop("pre_head")
        manifest["int8"]["scales"] |= scales
        cartridge = dataclasses.replace(loaded.cartridge, manifest=manifest)
        return machine.confidence_units(dataclasses.replace(loaded, cartridge=cartridge))["action"]

    wanted = machine.confidence_units(loaded)["action"]
    assert wanted is not None and action(pre_head=stated) == wanted
    assert action(pre_head=2 * stated) == 2 * wanted
    assert action() == pytest.approx(wanted, rel=1e-3)
