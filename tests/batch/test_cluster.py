"""Blocks of a run on a cluster: the same table to the byte, whoever plays them and whoever dies."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")

from support.batches import PAIRS, small_spec

import crank
from awm_jax.errors import AwmError
from crank.batch import Cluster, run_batch
from crank.batch import cluster as blocks
from crank.batch.loading import load
from crank.batch.store import FRAMES, MATCHES, RUN

SCRIPTED = [("random", "noop")]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed"
)


def test_blocks_hold_every_match_once_and_one_pair_each() -> None:
    loaded = load(small_spec(25, PAIRS))
    left = [i for i in range(25) if i != 7]
    made = blocks.blocks(loaded, left, 5)
    assert sorted(i for block in made for i in block) == left
    assert all(len(block) <= 5 and len({i % 2 for i in block}) == 1 for block in made)


def standing_in(monkeypatch: pytest.MonkeyPatch, lost: set[int]) -> list[Any]:
    """A stand-in for Ray that plays a task when its result is asked for; the tasks with the numbers
    `lost` lose their worker. Returns what has been played."""
    ray: Any = types.ModuleType("ray")
    played: list[Any] = []

    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        def __init__(self, cause: Exception):
            self.cause = cause

    class Task:
        def __init__(self, function):
            self.function = function

        def remote(self, *arguments):
            played.append((self.function, arguments))
            return len(played) - 1

    def get(number: int):
        if number in lost:
            raise RayError
        function, arguments = played[number]
        try:
            return function(*arguments)
        except AwmError as error:
            raise RayTaskError(error) from error

    ray.exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
    ray.is_initialized = lambda: True
    ray.put = lambda value: value
    ray.remote = lambda **_: Task
    ray.cluster_resources = lambda: {"CPU": 2.0}
    ray.nodes = lambda: [{"Alive": True}, {"Alive": False}]
    ray.wait = lambda pending, **_: (pending[-1:], pending[:-1])  # out of their order
    ray.get = get
    ray.cancel = lambda *_, **__: None
    monkeypatch.setitem(sys.modules, "ray", ray)
    return played


def table(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in (MATCHES, FRAMES, RUN)]


def test_blocks_make_the_table_of_one_machine(monkeypatch, tmp_path: Path) -> None:
    spec, record = small_spec(20, SCRIPTED), (0, 3, 17)
    run_batch(spec, str(tmp_path / "whole"), slots=8, record=record)
    played, said = standing_in(monkeypatch, lost={1, 4}), []
    parts, cluster = str(tmp_path / "parts"), Cluster("auto", block=6)
    run_batch(spec, parts, slots=8, record=record, cluster=cluster, say=said.append)
    assert table(tmp_path / "parts") == table(tmp_path / "whole")
    assert len(played) == 4 + 2
    assert said[0] == "4 blocks on Ray: 1 nodes, 2 CPUs"
    assert sum("is played again" in s or "are played again" in s for s in said) == 2


def test_a_block_that_is_lost_again_and_again_ends_the_run(monkeypatch) -> None:
    standing_in(monkeypatch, lost=set(range(99)))
    with pytest.raises(AwmError, match="a block of 4 matches was lost 5 times: RayError"):
        run_batch(small_spec(4, SCRIPTED), cluster=Cluster("auto"))


def test_a_machine_with_other_files_is_found(monkeypatch) -> None:
    standing_in(monkeypatch, lost=set())
    described = blocks.load

    def other(spec):
        return dataclasses.replace(described(spec), world_hash="another")

    monkeypatch.setattr(blocks, "load", other)
    with pytest.raises(AwmError, match="the run's world differ"):
        run_batch(small_spec(4, SCRIPTED), cluster=Cluster("auto"))


def test_what_is_refused(monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        with pytest.raises(AwmError, match=r"install it: pip install \"awm-jax\[ray\]\""):
            run_batch(small_spec(4, SCRIPTED), cluster=Cluster("auto"))
    standing_in(monkeypatch, lost=set())
    with pytest.raises(AwmError, match="devices are this machine's"):
        run_batch(small_spec(4, SCRIPTED), cluster=Cluster("auto"), devices=1)
    with pytest.raises(AwmError, match="blocks need at least 1 match"):
        run_batch(small_spec(4, SCRIPTED), cluster=Cluster("auto", block=0))


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster on this machine: a head that plays nothing, and two nodes of one CPU."""
    here = [str(Path(crank.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(here))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    for patience in ("RAY_raylet_start_wait_time_s", "RAY_agent_register_timeout_ms"):
        monkeypatch.setenv(patience, "900000" if patience.endswith("ms") else "900")
    from ray.cluster_utils import Cluster as LocalCluster

    memory = {"object_store_memory": 80 << 20}
    head = {"num_cpus": 0, "include_dashboard": False, **memory}
    cluster = LocalCluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, **memory)
        yield cluster
    finally:
        cluster.shutdown()


@needs_ray
@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_a_node_killed_in_the_middle_changes_nothing(nodes, tmp_path: Path) -> None:
    spec, record = small_spec(60, SCRIPTED), (0, 3, 41)
    run_batch(spec, str(tmp_path / "whole"), slots=8, record=record)
    doomed, said = [nodes.list_all_nodes()[-1]], []

    def kill(progress) -> None:
        if progress.played and doomed:
            nodes.remove_node(doomed.pop(), allow_graceful=False)

    run_batch(
        spec,
        str(tmp_path / "spread"),
        slots=8,
        record=record,
        cluster=Cluster(nodes.address, block=5),
        on_progress=kill,
        say=said.append,
    )
    assert not doomed and any("played again" in sentence for sentence in said), said
    assert table(tmp_path / "spread") == table(tmp_path / "whole")


@needs_ray
@pytest.mark.filterwarnings("default")
def test_no_cluster_there() -> None:
    with pytest.raises(AwmError, match=r"no Ray cluster at '127\.0\.0\.1:1': Connection refused"):
        run_batch(small_spec(4, SCRIPTED), cluster=Cluster("127.0.0.1:1"))
