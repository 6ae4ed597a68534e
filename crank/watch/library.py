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
LADDER = "ladder.json"
LADDER_ROWS = 200
OTHERS = (LADDER, "run.json", "matches.parquet")
"""Files of a run's folder that are no recordings."""


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
                raise AwmError(f"{text}: no such file; give a match file or a replay")
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
        """The rows of `ladder.json` in the folder; none where it is absent or no table."""
        if self.folder is None:
            return []
        try:
            content = json.loads((self.folder / LADDER).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return []
        rows = content.get("agents") if isinstance(content, dict) else content
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return []
        return [
            {str(k)[:24]: str(v)[:40] for k, v in list(row.items())[:8] if not _nested(v)}
            for row in rows[:LADDER_ROWS]
        ]


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


@functools.lru_cache(maxsize=8)
def _payload(path: Path, modified: int, size: int) -> bytes:
    return page.payload(recording.load(path))


@functools.lru_cache(maxsize=8)
def _record(path: Path, modified: int, size: int) -> bytes:
    return machine.record(path)
