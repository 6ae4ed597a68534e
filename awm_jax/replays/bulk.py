"""Many replays read in processes of their own, so that no file can take the reader down."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from awm_jax.errors import AwmError
from awm_jax.replays.slippi import Game, read_game

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""

_AHEAD = 4
"""Games held per worker while an earlier one is still being read."""


def read_games(
    paths: Iterable[str | os.PathLike[str]],
    jobs: int | None = None,
    on_progress: Progress | None = None,
    *,
    faithful: bool = False,
) -> Iterator[tuple[Path, Game | AwmError]]:
    """Yields (path, game or why not) in the order of `paths`, read by `jobs` processes.

    A worker that dies costs its own file only: that file's result is an AwmError and another
    worker takes the place. Workers start by `spawn`: a script that calls this needs the usual
    `if __name__ == "__main__"`.

    Args:
      jobs: processes; the number of cores if None.
      faithful: see `read_game`.
    """
    queue = [Path(path) for path in paths]
    jobs = max(1, min(jobs or os.cpu_count() or 1, len(queue)))
    results: dict[int, Game | AwmError] = {}
    waiting = collections.deque(range(len(queue)))
    workers: list[_Worker] = []
    try:
        for number, path in enumerate(queue):
            while number not in results:
                _hand_out(waiting, workers, jobs, number, queue, faithful)
                busy = [w for w in workers if w.task is not None]
                ready = wait([w.connection for w in busy])
                for worker in (w for w in busy if w.connection in ready):
                    task, result = worker.result(queue)
                    results[task] = result
                    if not worker.alive:
                        workers.remove(worker)
                    if on_progress:
                        open_tasks = len(waiting) + sum(w.task is not None for w in workers)
                        on_progress(len(queue) - open_tasks, len(queue))
            yield path, results.pop(number)
    finally:
        for worker in workers:
            worker.stop()


def _hand_out(
    waiting: collections.deque[int],
    workers: list[_Worker],
    jobs: int,
    number: int,
    queue: list[Path],
    faithful: bool,
) -> None:
    """Gives every idle worker a file, but none so far ahead that results would pile up."""
    while waiting and waiting[0] < number + jobs * _AHEAD:
        idle = next((w for w in workers if w.task is None), None)
        if idle is None:
            if len(workers) == jobs:
                return
            idle = _Worker.start(faithful)
            workers.append(idle)
        idle.give(waiting.popleft(), queue)


@dataclasses.dataclass
class _Worker:
    process: Any
    connection: Connection
    task: int | None = None
    alive: bool = True

    @classmethod
    def start(cls, faithful: bool) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, faithful), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours)

    def give(self, task: int, queue: list[Path]) -> None:
        self.task = task
        # A worker that is dead already is found out by `result`.
        with contextlib.suppress(OSError):
            self.connection.send(queue[task])

    def result(self, queue: list[Path]) -> tuple[int, Game | AwmError]:
        """The file's number and what became of it."""
        task, self.task = self.task, None
        assert task is not None
        try:
            return task, self.connection.recv()
        except (EOFError, OSError):
            self.alive = False
            self.stop()
            code = self.process.exitcode
            path = queue[task]
            return task, AwmError(f"{path}: its reader died (exit code {code}); leave the file out")

    def stop(self) -> None:
        self.connection.close()
        self.process.join(0 if self.alive else 0.5)  # a dying one shall leave its exit code
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()


def _work(connection: Connection, faithful: bool) -> None:
    """A worker: paths in, games or errors out, until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):
        while True:
            path = connection.recv()
            try:
                answer = read_game(path, faithful=faithful)
            except AwmError as error:
                answer = error
            except Exception as error:
                answer = AwmError(f"{path}: cannot be read ({type(error).__name__}: {error})")
            connection.send(answer)
