"""`awm-convert` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.checkpoints import content, state_dict, write_checkpoint

from awm_jax.console import run
from converters.cli import PROG, app

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def convert(capsys: Capture, *args: str) -> tuple[int, str, str]:
    code = run(app, PROG, list(args))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def process(*command: str, **options) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, *command], text=True, env=environment, **{**pipes, **options}
    )


def test_a_round_trip(capsys: Capture) -> None:
    write_checkpoint(Path("best.pt"))
    code, out, err = convert(capsys, "torch", "best.pt", "world")
    assert (code, err) == (0, "")
    assert out.startswith("Mamba2 world model 8/4/2/4, context 3, ")
    assert out.endswith(" parameters\nwritten to world\n")
    code, out, err = convert(capsys, "to-torch", "world", "again.pt", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["output"] == "again.pt"
    before, after = (torch.load(p, weights_only=True) for p in ("best.pt", "again.pt"))
    assert list(before) == list(after)
    assert before["encoding_config"] == after["encoding_config"]
    for key, value in before["model_state_dict"].items():
        assert torch.equal(after["model_state_dict"][key], value)


@pytest.mark.parametrize("arch", ["mamba2", "mlp", "policy"])
def test_inspect(arch: str, capsys: Capture) -> None:
    write_checkpoint(Path("best.pt"), content(arch))
    code, out, err = convert(capsys, "inspect", "best.pt", "--json")
    assert (code, err) == (0, "")
    summary = json.loads(out)
    state = state_dict(arch)
    assert summary["arch"] == arch
    assert summary["context_len"] == 3
    assert summary["tensors"] == len(state)
    parameters = summary["parameters"]
    assert parameters.pop("total") == sum(v.numel() for v in state.values())
    assert sum(parameters.values()) == sum(v.numel() for v in state.values())
    assert summary["sizes"]["floats_per_frame"] == 58
    code, out, err = convert(capsys, "inspect", "best.pt")
    assert code == 0
    assert "action_vocab 20" in out and "best.pt (new format)" in out


def test_notes_are_said_on_stderr(capsys: Capture) -> None:
    torch.save(state_dict(), "raw.pt")
    code, _, err = convert(capsys, "torch", "raw.pt", "world")
    assert code == 0
    assert "note: inferred from the shapes: action_vocab=20" in err
    assert "note: context_len is not stated: 10 assumed" in err


def test_surplus_needs_its_option(capsys: Capture) -> None:
    state = {**state_dict(), "extra.weight": torch.zeros(2)}
    write_checkpoint(Path("best.pt"), model_state_dict=state)
    code, out, err = convert(capsys, "torch", "best.pt", "world")
    assert (code, out) == (2, "")
    assert err.startswith("awm-convert: best.pt: surplus extra.weight")
    assert not Path("world").exists()
    code, _, err = convert(capsys, "torch", "best.pt", "world", "--allow-surplus")
    assert (code, err) == (0, "note: surplus keys dropped: extra.weight\n")


def test_what_is_there_is_not_overwritten(capsys: Capture) -> None:
    write_checkpoint(Path("best.pt"))
    before = Path("best.pt").read_bytes()
    assert convert(capsys, "to-torch", "best.pt", "best.pt")[::2] == (
        2,
        "awm-convert: best.pt exists; choose another name or pass --overwrite\n",
    )
    assert Path("best.pt").read_bytes() == before
    Path("world").mkdir()
    Path("world", "mine").write_text("x")
    code, _, err = convert(capsys, "torch", "best.pt", "world")
    assert (code, err.count("\n")) == (2, 1)
    assert "world is not empty" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["torch", "none.pt", "world"], "none.pt: no such file"),
        (["torch"], "Missing argument 'CKPT' (see awm-convert torch --help)"),
        (["inspect", "."], ".: no checkpoint folder, it has no config.json"),
        (["to-torch", "best.pt", "absent/out.pt"], "cannot write absent/out.pt: No such file"),
        (["inspekt", "x"], "No such command 'inspekt'. Did you mean 'inspect'? (see awm-convert"),
    ],
)
def test_mistakes_are_one_line(args: list[str], message: str, capsys: Capture) -> None:
    write_checkpoint(Path("best.pt"))
    code, out, err = convert(capsys, *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"awm-convert: {message}") and err.count("\n") == 1


def test_help_is_quick_and_complete(capsys: Capture) -> None:
    with process("-X", "importtime", "-m", "converters", "--help") as running:
        out, imported = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "awm-convert torch best.pt world" in out
    heavy = {"jax", "torch", "numpy", "flax", "orbax", "rich.console"}
    assert not heavy & {line.split("|")[-1].strip() for line in imported.splitlines()}
    for command in ("torch", "to-torch", "inspect"):
        code, out, _ = convert(capsys, command, "--help")
        assert code == 0 and f"Example: awm-convert {command}" in out


def test_exit_code_and_stderr_of_the_process() -> None:
    Path("bad.pt").write_text("hello")
    with process("-m", "converters", "inspect", "bad.pt") as running:
        out, err = running.communicate(timeout=120)
    assert (running.returncode, out, err) == (2, "", "awm-convert: bad.pt: not a torch file\n")


def test_a_missing_extra_names_its_command(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(Path("best.pt"))
    monkeypatch.setitem(sys.modules, "torch", None)
    for args in (["inspect", "best.pt"], ["to-torch", "best.pt", "out.pt"]):
        code, _, err = convert(capsys, *args)
        assert code == 2
        assert err.count("\n") == 1 and 'pip install "awm-jax[torch]"' in err


def test_an_interrupt_is_said_and_leaves_nothing() -> None:
    code = (
        "import sys, converters.loading as l; from converters.__main__ import main; import time\n"
        "l.read_torch = lambda path: (print('ready', flush=True), time.sleep(60)); main()"
    )
    with process("-c", code, "torch", "slow.pt", "world") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "awm-convert: interrupted\n")
    assert not Path("world").exists()


def test_a_reader_that_goes_away() -> None:
    write_checkpoint(Path("best.pt"))
    reader, writer = os.pipe()
    os.close(reader)
    with process("-m", "converters", "inspect", "best.pt", stdout=writer) as running:
        os.close(writer)
        _, err = running.communicate(timeout=120)
    assert (running.returncode, err) == (0, "")
