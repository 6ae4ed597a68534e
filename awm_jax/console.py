"""What every command line shares: one line for an error, exit codes, progress on stderr.

Exit codes: 0 done, 1 found wanting, 2 usage or bad input, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from awm_jax.errors import AwmError


class Advance(Protocol):
    """Called with how much was done since the last call."""

    def __call__(self, count: int = 1) -> None: ...


def run(app: Callable[..., object], prog: str, args: list[str] | None = None) -> int:
    """Run a Typer app as a command and return its exit code; never a traceback for a user's error.

    Args:
      app: a `typer.Typer`. A command returns None (0) or its exit code, or raises `typer.Exit`.
      prog: the command's name, which starts every error line.
      args: arguments; None takes the process's. Without any, the help is shown.

    Returns:
      The exit code, for `sys.exit`.
    """
    from typer import Abort, TyperException

    args = sys.argv[1:] if args is None else args
    try:
        code = app(args or ["--help"], prog_name=prog, standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, Abort):
        code = 130
    except BrokenPipeError:
        # The reader went away: that is its right. Python's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as leaving:
        # Typer's answer to a broken pipe is exit code 1, which means something else here.
        if isinstance(leaving.__context__, BrokenPipeError):
            return 0
        raise
    except TyperException as error:
        hint = getattr(getattr(error, "ctx", None), "command_path", prog)
        return fail(prog, f"{error.format_message().rstrip('.')} (see {hint} --help)")
    except (AwmError, MemoryError, OSError) as error:
        return fail(prog, explain(error))
    if code == 130:
        return fail(prog, "interrupted", 130)
    return code if isinstance(code, int) else 0


def fail(prog: str, message: str, code: int = 2) -> int:
    """Print `prog: message` as one line on stderr and return the exit code."""
    print(f"{prog}: {one_line(message)}", file=sys.stderr)
    return code


def explain(error: BaseException) -> str:
    """The sentence for an error that is not ours to mend: a full disk, no permission, no memory."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if not isinstance(error, OSError):
        return str(error)
    where = f": {os.fsdecode(error.filename)}" if error.filename is not None else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}"
    return f"{error.strerror or error}{where}"


def one_line(text: str) -> str:
    """`text` without line ends and control characters, which names of files and keys may hold."""
    text = " ".join(text.splitlines())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@contextlib.contextmanager
def progress(label: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
    """Show how far some work is, on stderr: a bar in a terminal, else a line every few seconds.

    Use it as `with progress("playing", frames, "frames") as advance:` and call `advance(n)`
    (`advance()` for one).
    With an unknown total it shows a spinner and the elapsed time.
    """
    if sys.stderr.isatty():
        with _bar(label, total, unit) as advance:
            yield advance
        return
    started = last = time.monotonic()
    done = 0

    def advance(count: int = 1) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= _LINE_EVERY:
            last = now
            of = f"/{total}" if total is not None else ""
            print(f"{label}: {done}{of} {unit} ({now - started:.0f} s)", file=sys.stderr)

    yield advance


_LINE_EVERY = 2.0


@contextlib.contextmanager
def _bar(label: str, total: int | None, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    count = "{task.completed:.0f}" if total is None else "{task.completed:.0f}/{task.total:.0f}"
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{count} {unit}" if total is not None or unit else ""),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)

        def advance(count: int = 1) -> None:
            bar.advance(task, count)

        yield advance
