"""Every command that README.md and docs/ show is run, and prints what they show.

A block fenced as `console` or `sh` is a session: lines after `$ ` are commands (going on after a
closing backslash), the lines below one are what it prints. The blocks of one file are run in their
order in one empty folder. Numbers may differ, but for the digests of matches, and a line `...`
stands for any lines. A comment on the line above a block says more about it: `<!-- long -->` (run
by `make test-long`),
`<!-- not run: reason -->`, `<!-- exit 2 -->` (the last command ends so). `make` is run by CI.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if path.exists()]

_BLOCK = re.compile(
    r"^(?:<!-- *(?P<note>.*?) *-->\n)?```(?:console|sh)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_DIGEST = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,}\b")
_MATCH = re.compile(r"\b[0-9a-f]{32}\b")
"""A match's digest, which is the same everywhere."""
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


class Command(NamedTuple):
    line: str
    shows: str


class Block(NamedTuple):
    note: str
    commands: list[Command]


def blocks(text: str) -> list[Block]:
    """The sessions in a Markdown text."""
    found = []
    for match in _BLOCK.finditer(text):
        body = match["body"].replace("\\\n", "")
        parts = re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]
        commands = [Command(line, shows) for line, _, shows in (p.partition("\n") for p in parts)]
        found.append(Block(match["note"] or "", commands))
    return found


def agree(shown: str, printed: str) -> bool:
    """Whether the output in a document is what was printed: digests of matches to the letter, other
    numbers, hashes and blanks aside."""

    def plain(text: str) -> str:
        text = _MATCH.sub(lambda match: match[0].translate(_LETTERS), text)
        text = _NUMBER.sub("0", _DIGEST.sub("0", text))
        return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())

    pieces = [re.escape(piece) for piece in re.split(r"^\.\.\.$", plain(shown), flags=re.MULTILINE)]
    return re.fullmatch(".*".join(pieces), plain(printed), re.DOTALL) is not None


def _run(block: Block, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}
    status = re.fullmatch(r"exit (\d+)", block.note)
    for command in block.commands:
        if command.line.startswith("make"):
            continue
        done = subprocess.run(
            command.line,
            shell=True,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
        )
        printed = f"$ {command.line}\n{done.stdout}{done.stderr}"
        expected = int(status[1]) if status and command is block.commands[-1] else 0
        assert done.returncode == expected, f"exit {done.returncode}: {printed}"
        if command.shows.strip():
            outputs = (done.stdout, done.stderr, done.stdout + done.stderr)
            assert any(agree(command.shows, output) for output in outputs), printed


def _run_file(file: Path, folder: Path, long: bool) -> None:
    if os.environ.get("AWM_TEST_INSTALLED") != "1":
        pytest.skip("runs on the installed wheel: make test")
    for block in blocks(file.read_text()):
        if not block.note.startswith("not run") and (long or block.note != "long"):
            _run(block, folder)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_commands_do_what_is_shown(file: Path, tmp_path: Path) -> None:
    _run_file(file, tmp_path, long=False)


@pytest.mark.long
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_long_commands_do_what_is_shown(file: Path, tmp_path: Path) -> None:
    if any(block.note == "long" for block in blocks(file.read_text())):
        _run_file(file, tmp_path, long=True)


def test_reading_blocks() -> None:
    text = "<!-- long -->\n```console\n$ awm a \\\n    b\none\n$ awm c\n```\n```python\n$ no\n```\n"
    assert blocks(text) == [Block("long", [Command("awm a     b", "one\n"), Command("awm c", "")])]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("12 frames, 3.4 ms", "900 frames, 12.25 ms\n", True),
        ("hash 0123abcd", "hash ffee0011", True),
        (f"digest {'0a' * 16}", f"digest {'0a' * 16}", True),
        (f"digest {'0a' * 16}", f"digest {'1a' * 16}", False),
        ("a\n...\nd", "a\nb\nc\nd\n", True),
        ("a\n...\nd", "a\nb\nc\n", False),
        ("player 1 won", "player 1 lost", False),
        ("p0 won", "", False),
    ],
)
def test_comparing_outputs(shown: str, printed: str, same: bool) -> None:
    assert agree(shown, printed) is same


def test_every_block_is_a_session() -> None:
    """No command hides in a block without `$ `, or under a comment that means nothing."""
    for file in FILES:
        for block in blocks(file.read_text()):
            assert block.commands, f"{file.name}: a console block without a line that starts with $"
            note = block.note
            assert not note or note == "long" or re.match(r"not run: .|exit \d+$", note), note
