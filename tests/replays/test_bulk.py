"""Reading in processes: order, progress, and a worker that is killed."""

import multiprocessing
import os
import signal
import threading

import pytest
from support.golden import replays_dir

from awm_jax.errors import AwmError
from awm_jax.replays.bulk import read_games
from awm_jax.replays.slippi import Game

pytestmark = pytest.mark.usefixtures("read")  # skips without peppi-py


def test_games_come_in_order_with_errors_in_their_place(sample):
    good = [replays_dir() / "games" / row["file"] for row in sample[:4]]
    panics = replays_dir() / "bad" / "mode-cruel-melee.slp.xz"
    paths = [good[0], panics, *good[1:], replays_dir() / "absent.slp"]
    seen = []
    results = list(read_games(paths, 2, lambda done, total: seen.append((done, total))))
    assert [path for path, _ in results] == paths
    kinds = [type(result) for _, result in results]
    assert kinds == [Game, AwmError, Game, Game, Game, AwmError]
    assert [g.sha256 for _, g in results if isinstance(g, Game)] == [
        row["sha256"] for row in sample[:4]
    ]
    assert seen == [(i, len(paths)) for i in range(1, len(paths) + 1)]
    assert not multiprocessing.active_children()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_killed_worker_costs_its_own_file_only(sample, tmp_path):
    stuck = tmp_path / "stuck.slp"
    os.mkfifo(stuck)
    good = [replays_dir() / "games" / row["file"] for row in sample[2:4]]

    def kill_the_reader():
        end = os.open(stuck, os.O_WRONLY)  # returns when the worker has opened the other end
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
        os.close(end)

    killer = threading.Thread(target=kill_the_reader)
    killer.start()
    results = list(read_games([good[0], stuck, good[1]], 1))
    killer.join()
    assert [type(result) for _, result in results] == [Game, AwmError, Game]
    assert "its reader died (exit code -9)" in str(results[1][1])


def test_leaving_early_stops_the_workers(sample):
    paths = [replays_dir() / "games" / row["file"] for row in sample]
    games = read_games(paths, 2)
    next(games)
    games.close()
    assert not multiprocessing.active_children()


def test_no_paths_no_games():
    assert list(read_games([])) == []
