"""The shared console: one line for an error, exit codes, progress."""

from __future__ import annotations

import errno
import io
import os

import pytest
import typer

from awm_jax import console
from awm_jax.errors import AwmError

Capture = pytest.CaptureFixture[str]


def app_that(action) -> typer.Typer:
    app = typer.Typer(add_completion=False)

    @app.command()
    def go(count: int = 1) -> object:
        """Say so."""
        return action()

    @app.command()
    def other() -> None:
        """Do nothing."""

    return app


def raising(error: BaseException):
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (AwmError("w.pt: missing a"), 2, "prog: w.pt: missing a"),
        (AwmError("two\nlines\x1b[1m"), 2, r"prog: two lines\x1b[1m"),
        (KeyboardInterrupt(), 130, "prog: interrupted"),
        (OSError(errno.ENOSPC, "No space", "out.json"), 2, "prog: the disk is full: out.json"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "prog: Permission denied: x"),
        (MemoryError(), 2, "prog: not enough memory"),
        (typer.Exit(1), 1, ""),
        (typer.Abort(), 130, "prog: interrupted"),
    ],
)
def test_errors(error: BaseException, code: int, line: str, capsys: Capture) -> None:
    assert console.run(app_that(raising(error)), "prog", ["go"]) == code
    assert capsys.readouterr().err.rstrip("\n") == line


@pytest.mark.parametrize(("value", "code"), [(None, 0), (1, 1), ("text", 0)])
def test_a_command_may_return_its_exit_code(value: object, code: int) -> None:
    assert console.run(app_that(lambda: value), "prog", ["go"]) == code


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["nope"], "prog: No such command 'nope' (see prog --help)"),
        (["go", "--nope"], "prog: No such option: --nope (see prog go --help)"),
        (["go", "--count", "x"], "prog: Invalid value for '--count'"),
    ],
)
def test_usage_errors_are_one_line(args: list[str], line: str, capsys: Capture) -> None:
    assert console.run(app_that(lambda: None), "prog", args) == 2
    said = capsys.readouterr().err
    assert said.startswith(line) and said.count("\n") == 1


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        console.run(app_that(raising(ZeroDivisionError())), "prog", ["go"])


def test_no_arguments_show_the_help(capsys: Capture) -> None:
    assert console.run(app_that(lambda: None), "prog", []) == 0
    assert "Usage: prog" in capsys.readouterr().out


def test_progress_is_silent_for_short_work(capsys: Capture) -> None:
    with console.progress("playing", 10, "frames") as advance:
        for _ in range(10):
            advance()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_progress_counts_on_stderr(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 3.0, 3.5])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(now))
    with console.progress("playing", 10, "frames") as advance:
        advance(2)
        advance(3)
        advance()
    captured = capsys.readouterr()
    assert captured.err == "playing: 5/10 frames (3 s)\n"
    assert captured.out == ""


@pytest.mark.parametrize("total", [4, None])
def test_progress_draws_a_bar_in_a_terminal(
    total: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setitem(os.environ, "TERM", "xterm")
    with console.progress("playing", total, "frames") as advance:
        advance(2)
        advance()
    assert "playing" in screen.getvalue()
    assert ("3/4 frames" if total else "3 frames") in screen.getvalue()
