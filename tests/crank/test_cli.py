"""The command `awm`, as people and programs call it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.golden import golden_dir, replays_dir
from support.matches import golden_match

import awm_jax
from awm_jax.console import run
from awm_jax.fp32.weights import to_torch_dict
from crank import cache, demo
from crank.cli import PROG, app

ROOT = Path(__file__).resolve().parents[2]


def awm(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The command in this process: exit code, stdout, stderr."""
    code = run(app, PROG, list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def command(*arguments: str, module: str = "crank", **options) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    options = {"capture_output": True, "text": True, "timeout": 300} | options
    return subprocess.run([sys.executable, "-m", module, *arguments], **options)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Processes find the packages and keep compiled programs here; this one keeps none."""
    paths = [os.environ.get("PYTHONPATH", "")]
    if os.environ.get("AWM_TEST_INSTALLED") != "1":
        paths.insert(0, str(ROOT))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("AWM_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "awm-cache"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setattr(cache, "enable", lambda: None)


@pytest.fixture
def small(model, tmp_path: Path) -> str:
    """A small world as a file."""
    path = tmp_path / "small.safetensors"
    save_file(to_torch_dict(model), path)
    settings = {"arch": "mamba2", "context_len": model.context_len}
    settings["encoding_config"] = model.cfg.to_dict()
    path.with_suffix(".json").write_text(json.dumps(settings))
    return str(path)


# Help


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["play", "--help"], ["replay", "--help"], ["demo", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from awm_jax.console import run; from crank.cli import app, PROG\n"
        f"code = run(app, PROG, {arguments!r})\n"
        "heavy = {'jax', 'numpy', 'flax', 'torch', 'rich', 'orbax'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)"
    )
    began = os.times()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    ended = os.times()
    assert done.returncode == 0, done.stderr
    assert "Usage: awm" in done.stdout and done.stderr == ""
    used = ended.children_user - began.children_user
    assert used < 1.0, f"{used:.2f} s of processor time"  # half of it where nothing else runs


def test_version(capsys) -> None:
    assert awm(capsys, "--version") == (0, f"awm {awm_jax.__version__}\n", "")


def test_every_command_is_in_the_help(capsys) -> None:
    _, out, _ = awm(capsys, "--help")
    for name in ("play", "replay", "demo", "doctor"):
        assert re.search(rf"^  {name}  ", out, re.MULTILINE)


# Errors: one line, exit code 2, nothing written


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--stage", "moon"], "no stage 'moon'"),
        (["--stage", "33"], "no stage '33'"),
        (["--p0-char", "bob"], "no character 'bob'"),
        (["--p1-char=-1"], "no character '-1'"),
        (["--p0", "robot"], "no agent 'robot'; give one of: noop, hold-forward, random"),
        (["--p1", "policy:nowhere.pt"], "nowhere.pt"),
        (["--max-frames", "0"], "0 frames to play; give 1"),
        (["--max-frames=-3"], "-3 frames to play; give 1"),
        (["--max-frames", "many"], "'--max-frames'"),
        (["--context", "both"], "no context 'both'"),
        (["--format", "csv"], "no format 'csv'"),
        (["--seed=-1"], "seed -1"),
        (["--seed-noise", "nan"], "seed noise nan"),
        (["--seed-action", "1000"], "no action 1000"),
        (["--seed-replay", "nowhere.slp"], "nowhere.slp"),
        (["--output", "no/such/folder/match.json"], "there is no folder"),
        (["--output", "."], "it is a folder"),
        (["--output", "/dev/null/match.json"], "there is no folder"),
        (["--unknown"], "--unknown"),
    ],
)
def test_bad_arguments(capsys, monkeypatch, tmp_path, small, arguments, says) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    code, out, err = awm(capsys, "play", "--world", small, *arguments)
    assert code == 2 and out == ""
    assert err.startswith("awm: ") and err.count("\n") == 1 and says in err, err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["play", "--world", "nowhere.pt"], "nowhere.pt"),
        (["play", "--world", "/dev/null"], "/dev/null"),
        (["replay"], "GAME"),
        (["replay", "nowhere.slp"], "nowhere.slp"),
        (["demo", "--out", "/dev/null/demo"], "cannot make the folder"),
        (["sing"], "sing"),
    ],
)
def test_bad_commands(capsys, monkeypatch, tmp_path, arguments, says) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = awm(capsys, *arguments)
    assert code == 2 and out == ""
    assert err.startswith("awm: ") and err.count("\n") == 1 and says in err, err
    assert not any(tmp_path.iterdir())


def test_an_unwritable_folder(capsys, monkeypatch, tmp_path, small) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    code, _, err = awm(capsys, "play", "--world", small, "--output", str(tmp_path / "m.json"))
    assert code == 2 and "permission denied" in err


def test_a_full_disk(capsys, small) -> None:
    arguments = ["--world", small, "--max-frames", "3", "--output", "/dev/full"]
    code, out, err = awm(capsys, "play", *arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "awm: cannot write /dev/full: the disk is full"


def test_a_world_that_makes_no_numbers(capsys, tmp_path, small) -> None:
    weights = load_file(small)
    weights["velocity_head.bias"][:] = 3e38  # finite, and infinite when added twice
    save_file(weights, small)
    output = tmp_path / "match.json"
    arguments = ["--world", small, "--no-early-ko", "--output", str(output)]
    code, out, err = awm(capsys, "play", *arguments)
    assert code == 1 and "no number" in err and "nobody won" in out
    match = json.loads(output.read_text())
    assert match["meta"]["outcome"] == "corrupt" and match["meta"]["total_frames"] < 10


# Playing


def test_playing(capsys, monkeypatch, tmp_path, small) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--world", small, "--max-frames", "12", "--no-early-ko", "--p0", "random"]
    arguments += ["--stage", "yoshis story", "--p0-char", "fox", "--seed", "4"]
    code, out, err = awm(capsys, "play", *arguments)
    assert code == 0, err
    assert "player 0   FOX, random" in out and "12 frames on Yoshi's Story" in out
    match = json.loads(Path("match.json").read_text())
    assert match["meta"]["model_checkpoint"] == small and match["meta"]["total_frames"] == 16

    code, out, _ = awm(capsys, "play", *arguments, "--format", "array", "--json", "-o", "a.json")
    summary = json.loads(out)
    assert code == 0 and json.loads(Path("a.json").read_text()) == match["frames"]
    assert summary["frames"] == 12 and summary["output"] == "a.json"
    assert summary["outcome"] == "timeout" and summary["seconds"] > 0
    for key in ("winner", "final_stocks", "final_percent", "reason"):
        assert summary[key] == match["meta"][key]


def test_a_replay(capsys, monkeypatch, tmp_path) -> None:
    pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")
    game = min((replays_dir() / "games").iterdir(), key=lambda path: path.stat().st_size)
    output = tmp_path / "match.json"
    code, out, err = awm(capsys, "replay", str(game), "--output", str(output))
    assert code == 0 and str(output) in out, err
    match = json.loads(output.read_text())
    assert match["meta"]["mode"] == "replay" and len(match["frames"]) > 1000
    code, out, _ = awm(capsys, "replay", str(game), "--output", str(output), "--json")
    assert json.loads(out) == {"output": str(output), **match["meta"]}


def test_from_a_pytorch_file_to_the_golden_match(tmp_path: Path) -> None:
    """m7: convert, play twice, compare; the second start finds its programs compiled."""
    pytest.importorskip("torch", reason="PyTorch is not installed (the extra `torch`)")
    golden = golden_match("m7")
    source = str(golden_dir("match") / "m7_world.pt")
    converted = command("torch", source, "world", module="converters", cwd=tmp_path)
    assert converted.returncode == 0, converted.stderr
    arguments = ["--world", "world", "--p0", "noop", "--p1", "noop", "--no-early-ko", "--json"]
    arguments += ["--stage", "5", "--p0-char", "27", "--p1-char", "32", "--max-frames", "40"]
    kept = []
    for name in ("first.json", "second.json"):
        done = command("play", *arguments, "--output", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["frames"] == 40
        kept.append({path for path in Path(os.environ["AWM_CACHE_DIR"]).rglob("*-cache")})
    assert kept[0] and kept[0] == kept[1]
    files = [(tmp_path / name).read_bytes() for name in ("first.json", "second.json")]
    assert files[0] == files[1]

    frames = json.loads(files[0])["frames"]
    assert len(frames) == len(golden.file["frames"]) == 50
    for got, want in zip(frames, golden.file["frames"], strict=True):
        assert got["stage"] == want["stage"]
        for ours, theirs in zip(got["players"], want["players"], strict=True):
            for key, value in theirs.items():
                if isinstance(value, int):
                    assert key == "state_age" or ours[key] == value
                else:
                    # 2e-4 in the units of the network; the smallest scale is percent's, 0.01.
                    np.testing.assert_allclose(ours[key], value, rtol=0, atol=2e-4 / 0.01)


def test_ctrl_c_saves_what_was_played(small: str, tmp_path: Path) -> None:
    output = tmp_path / "match.json"
    arguments = ["play", "--world", small, "--no-early-ko", "--max-frames", "100000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "crank", *arguments, "--output", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    assert re.match(r"playing: \d+/100000000 frames", line), line + process.stderr.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; nobody won" in out and str(output) in out
    assert err.endswith("awm: interrupted\n") and "Traceback" not in err
    match = json.loads(output.read_text())
    assert match["meta"]["outcome"] == "interrupted" and match["meta"]["winner"] is None
    assert len(match["frames"]) == match["meta"]["total_frames"] > 10
    assert sorted(p.name for p in tmp_path.glob("*")) == sorted(
        ["match.json", "small.json", "small.safetensors"]
    )


@pytest.mark.parametrize("after", [0.05, 0.6, 1.0])
def test_ctrl_c_before_the_first_frame_writes_nothing(
    small: str, tmp_path: Path, after: float
) -> None:
    """Also while compiled modules are being imported, where the exception would be lost."""
    # A shell starts what it leaves in the background deaf to Ctrl-C, which children would inherit.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "crank", "play", "--world", small, "--output", "match.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    signal.signal(signal.SIGINT, before)
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    # Before Python has started its own code the signal just ends the process.
    assert (process.returncode, err) == (130, "awm: interrupted\n") or after < 0.1
    assert out == ""
    assert not (tmp_path / "match.json").exists()


# First look


def test_the_demo_needs_the_core_packages_only(tmp_path: Path) -> None:
    blocked = ["torch", "peppi_py", "pyarrow", "matplotlib", "solders", "starlette"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from crank.__main__ import main\n"
        "sys.argv = ['awm', 'demo', '--max-frames', '60']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "demo-out"
    assert sorted(path.name for path in folder.iterdir()) == ["match.html", "match.json"]
    match = json.loads((folder / "match.json").read_text())
    assert match["meta"]["model_checkpoint"] == "embedded"
    assert "Try next: awm verify demo-out/match.json" in done.stdout


def test_the_made_up_demo_converts_a_checkpoint(capsys, tmp_path: Path) -> None:
    code, out, err = awm(
        capsys, "demo", "--made-up", "--out", str(tmp_path / "a"), "--max-frames", "30"
    )
    assert code == 0, err
    names = ["match.json", "world", "world.json", "world.safetensors"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    assert f"Try next: awm play --world {tmp_path / 'a' / 'world'}" in out


def test_the_demo_is_alive_and_repeatable(capsys, tmp_path: Path) -> None:
    """Both players move and act, and a second demo replaces the first."""
    texts = []
    for _ in range(2):
        code, out, err = awm(capsys, "demo", "--made-up", "--out", str(tmp_path), "--json")
        assert code == 0, err
        summary = json.loads(out)
        texts.append((tmp_path / "match.json").read_text())
    assert texts[0] == texts[1]
    assert summary["outcome"] == "timeout" and summary["frames"] == 600
    frames = json.loads(texts[0])["frames"]
    for player in (0, 1):
        shown = [frame["players"][player] for frame in frames]
        for key, least in (("x", 20), ("y", 5), ("percent", 50)):
            assert np.ptp([p[key] for p in shown]) > least, key
        assert len({p["action_state"] for p in shown}) > 20
        for key, low, high in (("x", -150, 150), ("y", -5, 100), ("percent", 0, 250)):
            assert all(low <= p[key] <= high for p in shown), key


def test_the_demo_takes_a_temporary_folder_where_it_cannot_write(monkeypatch, tmp_path) -> None:
    from crank.cli import _demo_folder

    monkeypatch.chdir(tmp_path)
    assert _demo_folder(None) == Path("demo-out")
    (tmp_path / "demo-out").rmdir()
    (tmp_path / "demo-out").write_text("a file")
    elsewhere = _demo_folder(None)
    assert elsewhere.is_dir() and elsewhere.is_absolute()
    elsewhere.rmdir()


def test_the_demo_weights_do_not_change(tmp_path) -> None:
    import hashlib

    demo.make_checkpoint(tmp_path / "w.safetensors")
    first = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    demo.make_checkpoint(tmp_path / "w.safetensors")
    assert hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest() == first
