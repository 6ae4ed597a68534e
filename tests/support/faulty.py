"""A bad line to a node: RPC calls that fail in every way in turn, subscriptions that are cut."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from crank.solana.rollup import HOST, free_ports

FAULTS = ("503", "garbage", "late", "lost", "dropped", "cut short", "no answer at all")
EVERY = 5
"""One call in so many meets a fault."""
LATE_SECONDS = 1.0


class BadLine(http.server.ThreadingHTTPServer):
    """Stands before a node: RPC at `url`, subscriptions at the port after, as a node has them.

    Attributes:
      met: the faults that calls met.
      cuts: subscriptions that were cut, each after a few messages.
    """

    daemon_threads = True

    def __init__(self, rpc: str) -> None:
        parts = urllib.parse.urlsplit(rpc)
        port = free_ports(2)
        super().__init__((HOST, port), _Rpc)
        self.behind, self.url = rpc, f"http://{HOST}:{port}"
        self.turns, self.met, self.cuts = itertools.count(1), [], 0
        self._port_behind = (parts.port or 0) + 1
        self._listener = socket.create_server((HOST, port + 1))

    def fault(self) -> str | None:
        turn = next(self.turns)
        if turn % EVERY:
            return None
        name = FAULTS[turn // EVERY % len(FAULTS)]
        self.met.append(name)
        return name

    def relay(self) -> None:
        """Hand on every subscription's bytes, and cut it after some from the node."""
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection((HOST, self._port_behind)) as node:

            def upstream() -> None:
                with contextlib.suppress(OSError):
                    while data := client.recv(65536):
                        node.sendall(data)

            threading.Thread(target=upstream, daemon=True).start()
            with contextlib.suppress(OSError):
                for _ in range(6):
                    data = node.recv(65536)
                    if not data:
                        break
                    client.sendall(data)
            self.cuts += 1
            for end in (client, node):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        # Wakes the accept, which closing alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class _Rpc(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        fault = server.fault()
        if fault == "503":
            return self._answer(503, b"busy")
        if fault == "garbage":
            return self._answer(200, b"<html>")
        if fault == "no answer at all":
            return self._hang_up()
        answer = self._ask(server.behind, body)
        if fault == "late":
            time.sleep(LATE_SECONDS)
        if fault == "lost":
            return self._answer(502, b"")
        if fault == "dropped":
            return self._hang_up()
        return self._answer(200, answer[: len(answer) // 2] if fault == "cut short" else answer)

    def _ask(self, url: str, body: bytes) -> bytes:
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def _answer(self, status: int, text: bytes) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    def _hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def bad_line(rpc: str) -> Iterator[BadLine]:
    """A bad line to the node at `rpc`, while this is open."""
    line = BadLine(rpc)
    threads = [
        threading.Thread(target=line.serve_forever, args=(0.05,), daemon=True),
        threading.Thread(target=line.relay, daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield line
    finally:
        line.close()
        for thread in threads:
            thread.join(5)
