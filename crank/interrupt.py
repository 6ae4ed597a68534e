"""Ctrl-C that cannot be lost, and that never stops in the middle of something.

Python raises KeyboardInterrupt wherever it happens to be. Inside a callback of JAX's (it has one
for the garbage collector) that exception is printed and forgotten, and inside the import of a
compiled module it turns into another one. Here the signal is only noted; the work looks at it where
it can stop. Who presses twice wants out at once.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether Ctrl-C was pressed since; a second press raises.

    Outside of the main thread, which gets no signals, the answer is always no.
    """
    pressed = threading.Event()

    def note(number, frame) -> None:
        if pressed.is_set():
            signal.default_int_handler(number, frame)
        pressed.set()

    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
