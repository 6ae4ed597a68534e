"""A run's folder: kills, damage and full disks lose nothing and double nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")

from awm_jax.errors import AwmError
from crank.batch import Row
from crank.batch import store as stores
from crank.batch.store import Store, finished_rows, read_rows

DEFINITION = {"world": "w", "matches": 6}
ROOT = Path(__file__).resolve().parents[2]


def row(index: int) -> Row:
    winner = (0, 1, None)[index % 3]
    seed = (1 << 64) - 1 - index
    return Row(index, seed, "a", "b", 1, 2, 32, winner, 3, 4, 10, 900, 600, "timeout", "0" * 32)


def filled(folder: Path, *parts: list[int]) -> Store:
    store = Store(folder, DEFINITION, resume=False)
    for part in parts:
        for index in part:
            store.add(row(index))
        store.save()
    return store


def test_what_is_written_is_read(tmp_path) -> None:
    store = filled(tmp_path / "run", [2, 0], [1])
    assert list(Store(tmp_path / "run", DEFINITION, resume=True).rows) == [2, 0, 1]
    store.finish([])
    assert read_rows(tmp_path / "run" / stores.MATCHES) == [row(0), row(1), row(2)]
    again = Store(tmp_path / "run", DEFINITION, resume=True)
    assert again.complete and len(again.rows) == 3
    assert finished_rows(tmp_path / "run") == [row(0), row(1), row(2)]


def test_the_final_table_does_not_know_how_it_came_about(tmp_path) -> None:
    filled(tmp_path / "a", [0, 1, 2, 3]).finish([])
    filled(tmp_path / "b", [3], [1, 0])
    resumed = Store(tmp_path / "b", DEFINITION, resume=True)
    resumed.add(row(2))
    resumed.finish([])
    a, b = ((tmp_path / n / stores.MATCHES).read_bytes() for n in "ab")
    assert a == b


def test_a_damaged_part_costs_its_matches_alone(tmp_path) -> None:
    filled(tmp_path / "run", [0, 1], [2, 3])
    part = tmp_path / "run" / "parts" / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:-40])
    store = Store(tmp_path / "run", DEFINITION, resume=True)
    assert sorted(store.rows) == [2, 3]
    assert len(store.notes) == 1 and "part-000000.parquet is damaged" in store.notes[0]
    store.add(row(0))
    store.add(row(1))
    store.finish([])
    assert len(read_rows(tmp_path / "run" / stores.MATCHES)) == 4


def test_lost_frames_are_played_again(tmp_path) -> None:
    store = Store(tmp_path / "run", DEFINITION, resume=False)
    for index in (0, 1):
        store.add(row(index), {"match": np.full(2, index), "frame": np.arange(2)})
    store.save()
    (tmp_path / "run" / "parts" / "frames" / "000000001.parquet").write_bytes(b"PAR1")
    again = Store(tmp_path / "run", DEFINITION, resume=True)
    again.forget_unrecorded([0, 1])
    assert list(again.rows) == [0] and "the frames of match 1" in again.notes[0]


def test_what_may_not_be_resumed(tmp_path) -> None:
    filled(tmp_path / "run", [0])
    with pytest.raises(AwmError, match="holds a run already; pass --resume"):
        Store(tmp_path / "run", DEFINITION, resume=False)
    with pytest.raises(AwmError, match="holds another run: its world differ"):
        Store(tmp_path / "run", DEFINITION | {"world": "v"}, resume=True)
    (tmp_path / "run" / stores.RUN).write_text("{")
    with pytest.raises(AwmError, match="is damaged; its run"):
        Store(tmp_path / "run", DEFINITION, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(AwmError, match="is not empty and has no run"):
        Store(tmp_path / "other", DEFINITION, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(AwmError, match="is a file, not a folder"):
        Store(tmp_path / "file", DEFINITION, resume=True)


def test_a_full_disk_keeps_what_was_written(tmp_path, monkeypatch) -> None:
    store = filled(tmp_path / "run", [0, 1])

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        store.add(row(2))
        with pytest.raises(AwmError, match="the disk is full"):
            store.save()
    assert sorted(Store(tmp_path / "run", DEFINITION, resume=True).rows) == [0, 1]
    store.save()
    assert sorted(Store(tmp_path / "run", DEFINITION, resume=True).rows) == [0, 1, 2]


def program(
    out: Path, cache: Path, kill_at: int = 0, devices: int = 1, engine: str = "auto"
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    arguments = [str(out), str(kill_at), str(devices), engine]
    return subprocess.run(
        [sys.executable, "-m", "support.batches", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.long
def test_killed_and_resumed_is_the_same_to_the_byte(tmp_path) -> None:
    cache = tmp_path / "cache"
    whole = program(tmp_path / "whole", cache)
    assert whole.returncode == 0, whole.stderr
    for kill_at in (8, 10, 12):
        killed = program(tmp_path / "killed", cache, kill_at)
        assert killed.returncode == -9, killed.stderr
    assert 24 <= len(finished_rows(tmp_path / "killed")) < 60
    resumed = program(tmp_path / "killed", cache)
    assert (resumed.returncode, resumed.stdout) == (0, whole.stdout), resumed.stderr
    for name in (stores.MATCHES, stores.FRAMES, stores.RUN):
        a, b = ((tmp_path / run / name).read_bytes() for run in ("whole", "killed"))
        assert a == b, name
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == sorted(
        [stores.MATCHES, stores.FRAMES, stores.RUN]
    )


@pytest.mark.long
@pytest.mark.parametrize("engine", ["auto", "xla"])
def test_one_two_and_eight_devices_give_the_same(tmp_path, engine) -> None:
    tables = set()
    for devices in (1, 2, 8):
        out = tmp_path / str(devices)
        done = program(out, tmp_path / f"cache{devices}", devices=devices, engine=engine)
        assert done.returncode == 0, done.stderr
        tables.add((out / stores.MATCHES).read_bytes() + (out / stores.FRAMES).read_bytes())
    assert len(tables) == 1
