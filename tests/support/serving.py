"""The page's server in a thread, on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest


def free_socket() -> Any:
    import socket

    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    return door


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """Yields `127.0.0.1:PORT`."""
    uvicorn = pytest.importorskip("uvicorn")
    from crank.watch.server import settings

    server = uvicorn.Server(settings(app))
    with free_socket() as door:
        place = f"127.0.0.1:{door.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < until and thread.is_alive(), "the server does not start"
            time.sleep(0.01)
        try:
            yield place
        finally:
            server.should_exit = True
            thread.join(timeout=20)


def walk(frames: int, character: int = 1) -> list[dict[str, Any]]:
    """Frames in which player 0 walks right and is hit for 10 percent at each hundredth."""
    from crank.watch.recording import check_frame

    def player(t: int, which: int) -> dict[str, Any]:
        hits = 0 if which else t // 100
        return {
            "x": -40 + t * 0.05 if which == 0 else 20.0,
            "y": 0.0,
            "percent": 10.0 * hits,
            "action_state": 88 if which == 0 and t % 100 < 20 and hits else 16,
            "state_age": t % 100,
            "character": character + which,
            "facing": 1 - which,
        }

    made = [{"players": [player(t, 0), player(t, 1)], "stage": 31} for t in range(frames)]
    return [check_frame(frame, "made") for frame in made]
