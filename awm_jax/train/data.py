"""Games on disk as arrays: built once from replays, opened as memory maps.

A data folder holds `games/KEY.bin` (frames of one game as `records.PLAYER` pairs, from the first
frame in which the players have control) and `index.json`, written last. KEY is made from the
replay's content and the record's layout, so a build that was interrupted, or is repeated with more
games, reads only what is new. Nobody's name or connect code gets in.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.game.characters import character_name
from awm_jax.game.stages import stage
from awm_jax.replays.bulk import read_games
from awm_jax.replays.encode import encode_columns
from awm_jax.replays.slippi import Game, why_not_train
from awm_jax.train import records

FORMAT = "awm-jax data 1"
INDEX, GAMES = "index.json", "games"
FIRST_FRAME = -39
"""Before it the players have no control (README of the replays, "Before frame 0")."""
REQUIRED = ("speed_air_x",)
STRETCHES, STRETCH = 48, 256
"""Games that scales are calibrated on, and frames of each."""
SUFFIXES = (".slx", ".slp", ".slp.xz")
_LAYOUT = hashlib.sha256(repr((records.PLAYER.descr, FIRST_FRAME)).encode()).hexdigest()[:8]
_LISTED = ("file", "pair_id", "p0_id", "p1_id", "source", "licence", "split")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One game of a data folder.

    Attributes:
      key: name of its file, without ".bin".
      rows: frames stored; row `go` is frame 0.
      stage: external id. characters: internal ids, of the first frame.
      missing: columns that the recording lacked.
      split: "train", "valid" or whatever the list of the games says.
      file, pair, players, source, licence: from that list, "" where it says nothing.
    """

    key: str
    rows: int
    go: int
    stage: int
    characters: tuple[int, int]
    missing: tuple[str, ...] = ()
    split: str = "train"
    file: str = ""
    pair: str = ""
    players: tuple[str, str] = ("", "")
    source: str = ""
    licence: str = ""

    @property
    def frames(self) -> int:
        return self.rows - self.go


@dataclasses.dataclass(frozen=True)
class Data:
    """Games of a data folder, as memory maps.

    Attributes:
      entries: (G) what is known of each game.
      games: (G) records (T, 2) of `records.PLAYER`.
    """

    entries: tuple[Entry, ...]
    games: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def rows(self) -> int:
        return sum(entry.rows for entry in self.entries)

    def select(self, keep: Callable[[Entry], bool]) -> Data:
        chosen = [i for i, entry in enumerate(self.entries) if keep(entry)]
        return Data(tuple(self.entries[i] for i in chosen), tuple(self.games[i] for i in chosen))


def open_data(
    folder: str | os.PathLike[str], split: str | None = None, require: Sequence[str] = ()
) -> Data:
    """The games of a data folder.

    Args:
      split: only those of this split.
      require: leave out games that lack one of these columns.

    Raises:
      AwmError: no data folder, a damaged one, or none of its games is wanted.
    """
    folder = Path(folder)
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError):
        raise AwmError(f"{folder}: no data folder (no readable {INDEX}); build one first") from None
    if index.get("format") != FORMAT or index.get("layout") != _LAYOUT:
        raise AwmError(f"{folder}: built by another version; build it anew")
    entries = [_entry(row) for row in index["games"]]
    entries = [e for e in entries if split in (None, e.split) and not set(require) & set(e.missing)]
    if not entries:
        raise AwmError(f"{folder}: no game{f' of split {split}' if split else ''} can be used")
    return Data(tuple(entries), tuple(_map(folder, entry) for entry in entries))


def encode_records(
    rows: np.ndarray, stages: int | np.ndarray, cfg: EncodingConfig, *, counted_age: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Records (*t, 2) to frames: floats (*t, F) float32 and ints (*t, I) int32.

    Args:
      stages: external id, one for all or (*t) one a frame.
      counted_age: see `records.unpack`.
    """
    lead = rows.shape[:-1]
    columns = records.unpack(rows.reshape(-1, 2), counted_age=counted_age)
    floats, ints = encode_columns(columns, 0, cfg)
    ints[:, -1] = np.clip(np.broadcast_to(stages, lead).reshape(-1), 0, cfg.stage_vocab - 1)
    return floats.reshape(*lead, -1), ints.reshape(*lead, -1)


def stretches(data: Data, cfg: EncodingConfig) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Stretches of play evenly over the games, floats (T, F) and ints (T, I) each, their ages
    counted as in a match."""
    chosen = np.linspace(0, len(data) - 1, min(STRETCHES, len(data))).astype(int)
    for number, game in enumerate(chosen):
        entry = data.entries[game]
        spare = max(0, entry.rows - entry.go - STRETCH - 1)
        first = entry.go + spare * (number % 7) // 7
        rows = data.games[game][first : first + STRETCH + 1]
        yield encode_records(rows, np.full(len(rows), entry.stage), cfg)


def build(
    sources: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    require: Sequence[str] = REQUIRED,
    split: str = "train",
    licensed: bool = False,
    jobs: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Make or extend the data folder `out`; games that are there already are not read again.

    Args:
      sources: replays, or folders of them. An `index.csv` beside the replays, or one folder above,
        gives their splits and licences.
      require: columns that a game must have.
      split: of games that no index.csv lists.
      licensed: only games whose licence is stated.
      jobs: reading processes; the number of cores if None.
      on_progress: called with (files done, files in all).

    Returns:
      The summary: see `summary`, with "refused" {file: reason} and "read" (games read anew).

    Raises:
      AwmError: no replay is found, or `out` cannot be written.
    """
    out = Path(out)
    paths = _replays(sources)
    listed = _listings(paths)
    if licensed:
        paths = [p for p in paths if listed.get(p, {}).get("licence", "") not in ("", _NO_LICENCE)]
        if not paths:
            raise AwmError("none of these replays has a stated licence")
    try:
        (out / GAMES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AwmError(f"cannot write {out}: {error.strerror}") from error
    keys = {path: _key(path) for path in paths}
    unread = [path for path in paths if _cached(out, keys[path]) is None]
    already = len(paths) - len(unread)

    def report(done: int, total: int) -> None:
        if on_progress:
            on_progress(already + done, already + total)

    for path, game in read_games(unread, jobs, report) if unread else ():
        fault = str(game) if isinstance(game, AwmError) else why_not_train(game)
        if isinstance(game, Game) and fault is None:
            note = _store(out, keys[path], game)
        else:
            note = {"refused": (fault or "").removeprefix(f"{path}: ")}
        write_atomically(_note_path(out, keys[path]), json.dumps(note))

    entries, refused = [], {}
    for path in paths:
        note = _cached(out, keys[path]) or {}
        lacking = sorted(set(note.get("missing", ())) & set(require))
        if "refused" in note or lacking:
            refused[path.name] = note.get("refused") or f"did not record {', '.join(lacking)}"
            continue
        row = listed.get(path, {})
        note |= {name: row.get(name, "") for name in ("file", "source", "licence")}
        note |= {"split": row.get("split") or split, "pair": row.get("pair_id", "")}
        note |= {"players": [row.get("p0_id", ""), row.get("p1_id", "")]}
        entries.append(_entry(note))
    if len({entry.key for entry in entries}) < len(entries):  # one game under two names
        entries = list({entry.key: entry for entry in entries}.values())
    index = {"format": FORMAT, "layout": _LAYOUT, "games": [dataclasses.asdict(e) for e in entries]}
    write_atomically(out / INDEX, json.dumps(index, indent=1) + "\n")
    return summary(entries) | {"refused": refused, "read": len(unread)}


def summary(entries: Sequence[Entry]) -> dict[str, Any]:
    """Games and frames in all, by split, stage and character (player-frames), as plain data."""

    def tally(pairs: Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
        games, frames = collections.Counter(), collections.Counter()
        for name, count in pairs:
            games[name] += 1
            frames[name] += count
        return {name: {"games": games[name], "frames": n} for name, n in frames.most_common()}

    return {
        "games": len(entries),
        "frames": sum(e.frames for e in entries),
        "rows": sum(e.rows for e in entries),
        "splits": tally((e.split, e.frames) for e in entries),
        "stages": tally((stage(e.stage).name, e.frames) for e in entries),
        "characters": tally((character_name(c), e.frames) for e in entries for c in e.characters),
    }


_NO_LICENCE = "none stated"


def _replays(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    paths: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            files = source.rglob("*")
            paths += sorted(p for p in files if p.name.endswith(SUFFIXES) and p.is_file())
        elif source.is_file():
            paths.append(source)
        else:
            raise AwmError(f"{source}: no such file or folder")
    if not paths:
        raise AwmError(f"no replay found; they end in {', '.join(SUFFIXES)}")
    return paths


def _listings(paths: Iterable[Path]) -> dict[Path, dict[str, str]]:
    """What index.csv says of each file that one lists, without anything that names a person."""
    lists: dict[Path, dict[str, dict[str, str]]] = {}
    found = {}
    for path in paths:
        for folder in (path.parent, path.parent.parent):
            if folder not in lists:
                lists[folder] = _read_list(folder / "index.csv")
            if path.name in lists[folder]:
                found[path] = lists[folder][path.name]
                break
    return found


def _read_list(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {
            row["file"]: {name: row.get(name) or "" for name in _LISTED}
            for row in csv.DictReader(file)
            if row.get("file")
        }


def _key(path: Path) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AwmError(f"{path}: cannot be read ({error.strerror})") from None
    return f"{digest[:24]}-{_LAYOUT}"


def _note_path(out: Path, key: str) -> Path:
    return out / GAMES / f"{key}.json"


def _cached(out: Path, key: str) -> dict[str, Any] | None:
    try:
        note = json.loads(_note_path(out, key).read_text())
    except (OSError, ValueError):
        return None
    size = out / GAMES / f"{key}.bin"
    whole = "refused" in note or (
        size.is_file() and size.stat().st_size == note["rows"] * 2 * records.PLAYER.itemsize
    )
    return note if whole else None


def _store(out: Path, key: str, game: Game) -> dict[str, Any]:
    rows = records.pack(game.columns)[game.frame_ids >= FIRST_FRAME]
    write_atomically(out / GAMES / f"{key}.bin", rows.tobytes())
    return {
        "key": key,
        "rows": len(rows),
        "go": int((game.frame_ids[game.frame_ids >= FIRST_FRAME] < 0).sum()),
        "stage": int(game.stage),
        "characters": [int(c) for c in rows["character"][0]],
        "missing": sorted(game.missing),
    }


def _entry(row: dict[str, Any]) -> Entry:
    pairs: dict[str, Any] = {n: tuple(row[n]) for n in ("characters", "missing", "players")}
    return Entry(**{**row, **pairs})


def _map(folder: Path, entry: Entry) -> np.ndarray:
    path = folder / GAMES / f"{entry.key}.bin"
    try:
        flat = np.memmap(path, records.PLAYER, "r")
    except (OSError, ValueError):
        raise AwmError(f"{path}: is absent or damaged; build the data anew") from None
    if len(flat) != 2 * entry.rows:
        raise AwmError(f"{path}: is damaged; build the data anew")
    return np.asarray(flat.reshape(-1, 2))
