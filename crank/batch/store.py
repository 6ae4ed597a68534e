"""A run's folder, in which no kill can lose or double a finished match.

    run.json               what is played; written first, compared on resuming
    parts/part-NNNNNN.parquet     rows of finished matches, in the order in which they ended
    parts/frames/NNNNNNNNN.parquet   a recorded match
    matches.parquet        all rows in order; written last: where it is, the run is complete
    frames.parquet         all recorded frames in order, likewise

Every file is written beside its place and renamed. A recorded match is written before the row that
says it is done. The final files are functions of their content alone, not of how often the run was
interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from crank.batch.results import Row

RUN, MATCHES, FRAMES, PARTS = "run.json", "matches.parquet", "frames.parquet", "parts"
_TYPES = {"seed": "uint64", "match": "int64", "frames": "int32", "winner": "int8"}
_TEXT = ("p0", "p1", "reason", "digest")
_ROWS_A_GROUP = 1 << 16


def arrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet part.

    Raises:
      AwmError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise AwmError('Parquet needs pyarrow; install it: pip install "awm-jax[batch]"') from None
    return pyarrow, pyarrow.parquet


def schema() -> Any:
    """Arrow schema of the table of matches."""
    pa, _ = arrow()
    kinds = {name: pa.string() if name in _TEXT else pa.int32() for name in Row._fields}
    kinds |= {name: getattr(pa, kind)() for name, kind in _TYPES.items()}
    return pa.schema([pa.field(n, kinds[n], nullable=n == "winner") for n in Row._fields])


def table(rows: Sequence[Row]) -> Any:
    """Rows as an Arrow table."""
    pa, _ = arrow()
    return pa.Table.from_pylist([row._asdict() for row in rows], schema=schema())


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as Parquet, whole or not at all.

    Raises:
      AwmError: the file cannot be written.
    """
    _, pq = arrow()
    whole = table(rows)
    options = {"compression": "zstd", "row_group_size": _ROWS_A_GROUP}
    write_atomically(path, lambda file: pq.write_table(whole, file, **options))


def read_rows(path: Path) -> list[Row]:
    """Rows of a Parquet file of ours.

    Raises:
      AwmError: it is damaged, or none of ours.
    """
    pa, pq = arrow()
    try:
        found = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise AwmError(f"{path} is damaged: {_short(error)}") from None
    if found.schema.remove_metadata() != schema():
        raise AwmError(f"{path} is no table of matches")
    return [Row(**row) for row in found.to_pylist()]


def _short(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


class Store:
    """One run's folder, open for the run.

    Attributes:
      rows: of all finished matches by index, also those not written yet.
      complete: the run had ended before.
      notes: sentences about what was found damaged.
    """

    def __init__(self, folder: str | os.PathLike[str], definition: Mapping[str, Any], resume: bool):
        """Make the folder, or open it again.

        Raises:
          AwmError: it holds something else, another run, or this one without `resume`.
        """
        arrow()
        self.folder = Path(folder)
        self.rows: dict[int, Row] = {}
        self.complete = False
        self.notes: list[str] = []
        self._new: list[Row] = []
        known = self._definition()
        if known is None:
            if self.folder.exists() and any(self.folder.iterdir()):
                raise AwmError(
                    f"{self.folder} is not empty and has no {RUN}; choose another folder"
                )
            self._make(definition)
        elif not resume:
            raise AwmError(f"{self.folder} holds a run already; pass --resume or choose another")
        else:
            self._check(known, definition)
            self._read()
        self._count = len(list(self._parts.glob("part-*.parquet")))

    def add(self, row: Row, frames: Mapping[str, np.ndarray] | None = None) -> None:
        """Take a finished match; `save` makes it last.

        Args:
          frames: columns of all its frames, to be recorded.
        """
        if frames is not None:
            pa, pq = arrow()
            made = pa.table(dict(frames))
            write_atomically(
                self._recorded(row.match),
                lambda file: pq.write_table(made, file, compression="zstd"),
            )
        self.rows[row.match] = row
        self._new.append(row)

    def save(self) -> None:
        """Write the matches that ended since the last call."""
        if not self._new:
            return
        while (path := self._parts / f"part-{self._count:06}.parquet").exists():
            self._count += 1
        write_rows(path, self._new)
        self._new = []

    def finish(self, recorded: Sequence[int]) -> None:
        """Write the final files and remove the parts.

        Args:
          recorded: the matches whose frames are kept.
        """
        self.save()
        if recorded:
            self._join_frames(sorted(recorded))
        write_rows(self.folder / MATCHES, [self.rows[i] for i in sorted(self.rows)])
        self.complete = True
        self._clean()

    @property
    def _parts(self) -> Path:
        return self.folder / PARTS

    def _recorded(self, match: int) -> Path:
        return self._parts / "frames" / f"{match:09}.parquet"

    def _definition(self) -> Mapping[str, Any] | None:
        path = self.folder / RUN
        if not path.exists():
            if self.folder.exists() and not self.folder.is_dir():
                raise AwmError(f"{self.folder} is a file, not a folder; choose another place")
            return None
        try:
            found = json.loads(path.read_text())
        except (ValueError, OSError):
            found = None
        if not isinstance(found, dict):
            raise AwmError(f"{path} is damaged; its run cannot be resumed, choose another folder")
        return found

    def _make(self, definition: Mapping[str, Any]) -> None:
        try:
            (self._parts / "frames").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise AwmError(f"cannot make the folder {self.folder}: {reason}") from error
        text = json.dumps(dict(definition), indent=2, sort_keys=True) + "\n"
        write_atomically(self.folder / RUN, text)

    def _check(self, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(dict(wanted)))
        other = [k for k in sorted({*known, *wanted}) if known.get(k) != wanted.get(k)]
        if other:
            raise AwmError(
                f"{self.folder} holds another run: its {', '.join(other)} differ; "
                "resume with the same arguments or choose another folder"
            )

    def _read(self) -> None:
        final = self.folder / MATCHES
        if final.exists():
            self.rows = {row.match: row for row in read_rows(final)}
            self.complete = True
            self._clean()
            return
        (self._parts / "frames").mkdir(parents=True, exist_ok=True)
        for left in self._parts.rglob(".*.tmp"):
            left.unlink(missing_ok=True)
        for part in sorted(self._parts.glob("part-*.parquet")):
            try:
                rows = read_rows(part)
            except AwmError as error:
                self.notes.append(f"{error}; its matches are played again")
                os.replace(part, part.with_suffix(".damaged"))
                continue
            self.rows |= {row.match: row for row in rows}

    def forget_unrecorded(self, recorded: Sequence[int]) -> None:
        """Take back matches whose frames are wanted but are not there or are damaged."""
        pa, pq = arrow()
        for match in recorded if not self.complete else ():
            if match not in self.rows:
                continue
            try:
                pq.read_metadata(self._recorded(match))
            except (pa.ArrowException, OSError):
                self.notes.append(f"the frames of match {match} are damaged; it is played again")
                del self.rows[match]

    def _join_frames(self, recorded: Sequence[int]) -> None:
        _, pq = arrow()

        def write(file) -> None:
            writer = None
            for match in recorded:
                part = pq.read_table(self._recorded(match), partitioning=None)
                writer = writer or pq.ParquetWriter(file, part.schema, compression="zstd")
                writer.write_table(part)
            if writer is not None:
                writer.close()

        write_atomically(self.folder / FRAMES, write)

    def _clean(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._parts)


def finished_rows(folder: Path, note: Callable[[str], object] = lambda _: None) -> list[Row]:
    """Rows of a run's folder, whether it is complete or was cut short."""
    final = folder / MATCHES
    files = [final] if final.exists() else sorted((folder / PARTS).glob("part-*.parquet"))
    rows: dict[int, Row] = {}
    for file in files:
        try:
            rows |= {row.match: row for row in read_rows(file)}
        except AwmError as error:
            note(f"{error}; its matches are played again")
    return [rows[i] for i in sorted(rows)]
