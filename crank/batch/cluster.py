"""A run's matches on a Ray cluster: blocks of them as tasks, every block on one worker.

A block's rows are functions of its matches, so neither the workers, nor their number, nor the order
in which blocks end show in a run's table. A block whose worker or node is lost is played again
elsewhere. Needs the extra `ray`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import os
import socket
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from awm_jax.errors import AwmError
from crank.batch.loading import BatchSpec, Loaded, load
from crank.batch.plan import MatchSpec

BLOCK = 256
"""Matches of a task: enough to fill a worker's slots some times over, few enough to lose."""
TRIES = 5
"""Workers that a block may lose before the run gives up."""
LOOK = 1.0
"""Seconds between two looks while no block ends."""
PATIENCE = 10.0
"""Seconds to wait for a cluster's address to answer."""

Finished = list[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where and how blocks are played.

    Attributes:
      address: of a running cluster, `HOST:PORT` or `auto`; `local` starts one on this machine.
      block: matches of a task.
      cpus: CPUs of a task, and threads of its native kernel.
    """

    address: str
    block: int = BLOCK
    cpus: int = 1


@dataclasses.dataclass(frozen=True)
class Order:
    """What every block of a run shares.

    Attributes:
      run: tells runs apart; a worker keeps what it has read of the last one.
      spec: without its matches.
      definition: of the run, without its matches; what a worker reads must be the same.
      keep_compiled: the driver keeps compiled programs between runs, and so shall the workers.
    """

    run: str
    spec: BatchSpec
    definition: dict[str, Any]
    slots: int | None
    chunk: int
    cpus: int
    keep_compiled: bool


def play(
    loaded: Loaded,
    left: Sequence[int],
    wanted: frozenset[int],
    cluster: Cluster,
    slots: int | None,
    chunk: int,
    say: Callable[[str], object],
) -> Generator[Finished, None, None]:
    """Yield what has ended, rows and columns of the recorded ones; nothing where none did for long.

    Args:
      left: indices of the matches to play.
      wanted: those whose every frame is recorded.

    Raises:
      AwmError: no Ray or no cluster, a worker that reads other files, or a block that was lost too
        often.
    """
    ray = _ray()
    if cluster.block < 1 or cluster.cpus < 1:
        raise AwmError("blocks need at least 1 match and tasks at least 1 CPU")
    with _connected(ray, cluster.address):
        order = ray.put(_order(loaded, cluster, slots, chunk))
        task = ray.remote(num_cpus=cluster.cpus, max_retries=0)(play_block)
        waiting = deque((block, 0) for block in blocks(loaded, left, cluster.block))
        playing: dict[Any, tuple[list[int], int]] = {}
        say(f"{len(waiting)} blocks on Ray: {_described(ray)}")
        try:
            while waiting or playing:
                room = max(1, 2 * int(ray.cluster_resources().get("CPU", 1)) // cluster.cpus)
                while waiting and len(playing) < room:
                    block, lost = waiting.popleft()
                    matches = [(i, loaded.spec.matches[i]) for i in block]
                    playing[task.remote(order, matches, wanted & set(block))] = block, lost
                ready, _ = ray.wait(list(playing), num_returns=1, timeout=LOOK)
                if not ready:
                    yield []
                for reference in ready:
                    block, lost = playing.pop(reference)
                    try:
                        yield ray.get(reference)
                    except ray.exceptions.RayTaskError as error:
                        raise _in_one_line(error) from None
                    except ray.exceptions.RayError as error:
                        if lost + 1 >= TRIES:
                            raise AwmError(
                                f"a block of {len(block)} matches was lost {TRIES} times: "
                                f"{type(error).__name__}"
                            ) from None
                        say(f"a worker was lost; its {len(block)} matches are played again")
                        waiting.appendleft((block, lost + 1))
        finally:
            for reference in playing:
                ray.cancel(reference, force=True)


def blocks(loaded: Loaded, left: Sequence[int], size: int) -> list[list[int]]:
    """The indices in blocks of at most `size`, each of one pair of agents."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for index in left:
        match = loaded.spec.matches[index]
        pairs.setdefault((match.p0, match.p1), []).append(index)
    return [pair[at : at + size] for pair in pairs.values() for at in range(0, len(pair), size)]


def play_block(
    order: Order, matches: Sequence[tuple[int, MatchSpec]], wanted: frozenset[int]
) -> Finished:
    """A task: all matches of a block, as (row, columns of the recorded).

    Raises:
      AwmError: this machine's files are not those of the run.
    """
    from crank.batch.running import play_here

    loaded = _read(order).with_matches([match for _, match in matches])
    numbers = [index for index, _ in matches]
    record = frozenset(i for i, index in enumerate(numbers) if index in wanted)
    out: Finished = []
    every = range(len(matches))
    _, playing = play_here(loaded, every, record, order.slots, None, order.chunk, lambda _: None)
    for finished in playing:
        for row, columns in finished:
            if columns is not None:
                columns["match"] = columns["match"] * 0 + numbers[row.match]
            out.append((row._replace(match=numbers[row.match]), columns))
    return out


_last: dict[str, Loaded] = {}


def _read(order: Order) -> Loaded:
    """The run's files as this machine has them; a worker reads them once."""
    if order.run in _last:
        return _last[order.run]
    if order.keep_compiled:
        from crank import cache

        cache.enable()
    os.environ.setdefault("AWM_THREADS", str(order.cpus))
    loaded = load(order.spec)
    found = loaded.rules() | {"agents": loaded.described()}
    if other := [key for key, value in order.definition.items() if found[key] != value]:
        raise AwmError(f"on {os.uname().nodename} the run's {', '.join(other)} differ")
    _last.clear()
    _last[order.run] = loaded
    return loaded


def _order(loaded: Loaded, cluster: Cluster, slots: int | None, chunk: int) -> Order:
    import jax

    spec = dataclasses.replace(loaded.spec, matches=())
    definition = loaded.rules() | {"agents": loaded.described()}
    kept = bool(jax.config.jax_compilation_cache_dir)  # pyright: ignore[reportAttributeAccessIssue]
    return Order(uuid.uuid4().hex, spec, definition, slots, chunk, cluster.cpus, kept)


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise AwmError('a cluster needs Ray; install it: pip install "awm-jax[ray]"') from None


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """Connected to the cluster, unless the program is already; then it stays so."""
    if ray.is_initialized():
        yield
        return
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        told = (getattr(error, "strerror", None) or str(error)).strip()
        reason = (told.splitlines() or [type(error).__name__])[0]
        raise AwmError(f"no Ray cluster at {address!r}: {reason}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """OSError where nobody listens at HOST:PORT: Ray itself would try for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()


def _described(ray: Any) -> str:
    nodes = sum(node["Alive"] for node in ray.nodes())
    return f"{nodes} nodes, {ray.cluster_resources().get('CPU', 0):.0f} CPUs"


def _in_one_line(error: Any) -> AwmError:
    cause = error.cause
    return cause if isinstance(cause, AwmError) else AwmError(f"a block failed: {cause!r}")
