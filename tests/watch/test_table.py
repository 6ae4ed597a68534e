"""Matches out of a table of recorded frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.serving import walk

from awm_jax.errors import AwmError
from crank.viz import PLAYER_KEYS
from crank.watch import recording
from crank.watch.library import Library

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    columns: dict[str, list[Any]] = {}
    for match, length in ((3, 5), (7, 120)):
        for number, frame in enumerate(walk(length, character=match)):
            columns.setdefault("match", []).append(match)
            columns.setdefault("frame", []).append(10 + number)
            columns.setdefault("stage", []).append(frame["stage"])
            for key, column in PLAYER_KEYS.items():
                for p in (0, 1):
                    columns.setdefault(f"p{p}_{column}", []).append(frame["players"][p][key])
    arrays = {name: np.array(values) for name, values in columns.items()}
    order = np.random.default_rng(0).permutation(len(arrays["match"]))
    path = tmp_path / "frames.parquet"
    parquet.write_table(pa.table({name: values[order] for name, values in arrays.items()}), path)
    return path


def test_a_match_by_its_number(file: Path) -> None:
    (track,) = recording.load(f"{file}#7")
    assert track["count"] == 120 and track["stage"]["name"] == "Battlefield"
    assert track["columns"]["x"][0] == [round(f["players"][0]["x"], 3) for f in walk(120)]
    assert [e["frame"] for e in track["events"] if e["type"] == "hit"] == [100]
    (track,) = recording.load(f"{file}#3")
    assert track["count"] == 5 and track["players"][0]["character"] == 3


def test_the_library_finds_it(file: Path) -> None:
    library = Library(file.parent)
    assert [m["name"] for m in library.listing()] == ["frames.parquet"]
    assert library.payload("frames.parquet#7") != library.payload("frames.parquet#3")
    assert Library.of([f"{file}#7"]).payload("frames.parquet#7")
    with pytest.raises(AwmError, match="there is no recording"):
        library.find("../frames.parquet#7")


def test_what_is_wrong_is_said(file: Path) -> None:
    with pytest.raises(AwmError, match="holds no match 4"):
        recording.load(f"{file}#4")
    other = file.parent / "other.parquet"
    parquet.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(AwmError, match="no table of recorded frames"):
        recording.load(other)
    other.write_bytes(b"none")
    with pytest.raises(AwmError, match="no table of recorded frames"):
        recording.load(other)
