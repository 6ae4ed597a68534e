"""The recordings that a server shows: those of a folder, or the ones that were named."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from awm_jax.errors import AwmError
from crank.watch import machine, page, recording

MAX_LISTED = 500
MAX_DEPTH = 3
LADDER = "leaderboard.json"
LADDER_ROWS = 200
LADDER_COLUMNS = ("rank", "agent", "elo", "tier", "wins", "losses", "draws", "rating")
OTHERS = (LADDER, "ladder.json", "games.parquet", "run.json", "matches.parquet")
"""Files of the folders of a run and of a ladder that are no recordings."""


@dataclasses.dataclass(frozen=True)
class Library:
    """Recordings by name.

    Attributes:
      folder: every recording below it, by its path from there; symbolic links out of it are none.
      files: recordings named one by one; they win over the folder's.
    """

    folder: Path | None = None
    files: dict[str, Path] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, paths: Sequence[str]) -> Library:
        """A library of single files; two of the same name get numbers."""
        files: dict[str, Path] = {}
        for text in paths:
            path = Path(text)
            if not Path(recording.split_match(text)[0]).is_file():
                what = f"a folder, see awm serve {text}" if path.is_dir() else "no such file"
                raise AwmError(f"{text}: {what}; give a match file or a replay")
            name = path.name if path.name not in files else f"{len(files)}-{path.name}"
            files[name] = path
        return cls(None, files)

    def listing(self) -> list[dict[str, Any]]:
        """Name and size of each recording, the newest first."""
        named = ((name, Path(recording.split_match(str(p))[0])) for name, p in self._all())
        found = [(path.stat(), name) for name, path in named if path.is_file()]
        found.sort(key=lambda pair: (-pair[0].st_mtime, pair[1]))
        return [{"name": name, "bytes": stat.st_size} for stat, name in found[:MAX_LISTED]]

    def _all(self) -> list[tuple[str, Path]]:
        found = list(self.files.items())
        if self.folder is None:
            return found
        root = self.folder
        for at, folders, names in os.walk(root):
            here = Path(at)
            depth = len(here.relative_to(root).parts)
            folders[:] = sorted(n for n in folders if not n.startswith("."))
            if depth >= MAX_DEPTH:
                folders.clear()
            for name in sorted(names):
                path = here / name
                if (
                    name.endswith(recording.RECORDINGS)
                    and name not in OTHERS
                    and not path.is_symlink()
                ):
                    found.append((path.relative_to(root).as_posix(), path))
            if len(found) > 4 * MAX_LISTED:
                break
        return found

    def find(self, name: str) -> Path:
        """The file of a recording.

        Raises:
          AwmError: there is none of this name, or it lies outside of the folder.
        """
        if name in self.files:
            return self.files[name]
        missing = AwmError(f"there is no recording {name[:120]!r} here")
        file, _ = recording.split_match(name)
        if self.folder is None or "\0" in name or not file.endswith(recording.RECORDINGS):
            raise missing
        root = self.folder.resolve()
        try:
            path = (root / file).resolve()
            inside = path.is_relative_to(root) and path.is_file()
        except (OSError, ValueError):
            raise missing from None
        if not inside:
            raise missing
        return Path(str(path) + name[len(file) :])

    def payload(self, name: str) -> bytes:
        """What the page is sent of a recording: gzipped JSON.

        Raises:
          AwmError: no such recording, or a damaged one.
        """
        path = self.find(name)
        stat = os.stat(recording.split_match(str(path))[0])
        return _payload(path, stat.st_mtime_ns, stat.st_size)

    def record(self, name: str) -> bytes:
        """What a browser needs to compute a recording again, see `machine.record`.

        Raises:
          AwmError: no such recording, or not one of the integer machine's.
        """
        path = self.find(name)
        stat = os.stat(recording.split_match(str(path))[0])
        return _record(path, stat.st_mtime_ns, stat.st_size)

    def ladder(self) -> list[dict[str, str]]:
        """The table that `awm ladder` left in the folder, or the newest in a folder in it, by
        `LADDER_COLUMNS`; none where it is absent or no table."""
        if self.folder is None:
            return []
        root = self.folder.resolve()
        below = [p for p in root.glob(f"*/{LADDER}") if p.resolve().is_relative_to(root)]
        below.sort(key=lambda path: path.stat().st_mtime)
        for path in (root / LADDER, *reversed(below)):
            try:
                rows = json.loads(path.read_text("utf-8"))["agents"]
                return [
                    {name: str(row[name])[:40] for name in LADDER_COLUMNS if name in row}
                    for row in map(dict, rows[:LADDER_ROWS])
                ]
            except (OSError, ValueError, LookupError, TypeError, RecursionError):
                continue
        return []


@functools.lru_cache(maxsize=8)
def _payload(path: Path, modified: int, size: int) -> bytes:
    return page.payload(recording.load(path))


@functools.lru_cache(maxsize=8)
def _record(path: Path, modified: int, size: int) -> bytes:
    return machine.record(path)
