"""The packed games that the tests of this room read."""

import csv
import functools

import pytest
from support.golden import replays_dir

from awm_jax.replays.slippi import read_game


@functools.cache
def rows(name):
    with (replays_dir() / name).open(newline="") as file:
        return list(csv.DictReader(file))


@functools.cache
def _read(path, faithful):
    return read_game(path, faithful=faithful)


@pytest.fixture
def index():
    """Rows of index.csv."""
    return rows("index.csv")


@pytest.fixture
def bad_index():
    return rows("bad/index.csv")


@pytest.fixture
def sample(index):
    """Rows of seven games: oldest, without flags, without speeds, new, most rollbacks, others."""

    def shortest(condition):
        return min(filter(condition, index), key=lambda row: int(row["rows"]))

    chosen = [
        shortest(lambda row: row["version"] == "0.1.0"),
        shortest(lambda row: row["version"].startswith("1.7")),
        shortest(lambda row: row["version"] == "2.0.1" and row["p0_port"] != "1"),
        shortest(lambda row: row["version"].startswith("3.7")),
        max(index, key=lambda row: int(row["rollback_rows"]) / int(row["rows"])),
        shortest(lambda row: row["has_hitlag"] == "1" and "sheik" in row["file"]),
        shortest(lambda row: row["version"].startswith("3.1") and "falco-fox" in row["file"]),
    ]
    assert len({row["file"] for row in chosen}) == len(chosen)
    return chosen


@pytest.fixture
def read():
    """Function from a row of index.csv to its game, read once."""
    pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")

    def game(row, faithful=False):
        return _read(replays_dir() / "games" / row["file"], faithful)

    return game
