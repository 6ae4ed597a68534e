"""The server of the page: recordings, a live stream, and nothing else.

It answers only to the host names that it was started for, streams only to its own page and to the
origins that were allowed, and sends a content-security policy under which no script of a match file
could run: only the page's own scripts and the WebAssembly that they compile. Needs starlette
and uvicorn (extra `serve`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from awm_jax.errors import AwmError
from crank.watch.library import Library
from crank.watch.live import Broadcast, Hub, Viewer
from crank.watch.machine import Cartridges
from crank.watch.page import STATIC

MAX_VIEWERS = 64
MAX_MESSAGE = 1024
"""Bytes of a message from a viewer; they have nothing to say."""
TOO_MANY = 1013
FORBIDDEN = 1008
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


class _Headers:
    """Puts `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def make_app(
    library: Library,
    hub: Hub | None = None,
    broadcast: Broadcast | None = None,
    *,
    beside: Hub | None = None,
    cartridges: Cartridges | None = None,
    hosts: Sequence[str] = LOOPBACK,
    origins: Sequence[str] = (),
    max_viewers: int = MAX_VIEWERS,
) -> Starlette:
    """The web application.

    Args:
      hub: where live frames come from; without one nothing is live.
      broadcast: what plays them; it is started and ended with the application.
      beside: where the same match's frames in another world come from.
      cartridges: what browsers may compute matches in; by default the embedded one.
      hosts: host names that it answers to; "*" to any.
      origins: other sites whose pages may read the stream, e.g. `http://localhost:3000`.
      max_viewers: of the stream at a time.
    """

    offered = cartridges or Cartridges()
    hubs = [h for h in (hub, beside) if h is not None]

    async def index(request: Request) -> Response:
        return FileResponse(str(STATIC / "index.html"))

    async def listing(request: Request) -> Response:
        matches = await run_in_threadpool(library.listing)
        ladder = await run_in_threadpool(library.ladder)
        live = None if hub is None else hub.title or "waiting for a match"
        found = {"live": live, "beside": beside is not None}
        return JSONResponse(found | {"matches": matches, "ladder": ladder})

    def answering(find: Callable[..., bytes], *names: str) -> Callable[[Request], Any]:
        """Answers with what `find` gives for the query's values, or with what is wrong."""

        async def answer(request: Request) -> Response:
            values = [request.query_params.get(name, "") for name in names]
            try:
                body = await run_in_threadpool(find, *values)
            except AwmError as error:
                return JSONResponse({"error": str(error)}, status_code=404)
            if find == offered.policy:
                return Response(body, media_type="application/octet-stream")
            headers = {"content-encoding": "gzip"}
            return Response(body, media_type="application/json", headers=headers)

        return answer

    async def pads(request: Request) -> Response:
        """What a live match's viewer has missed, see `Hub.pads`."""
        asked = {k: request.query_params.get(k, "") for k in ("world", "match", "first")}
        found = [h for h in hubs if str(h.world) == asked["world"]]
        try:
            if not found:
                raise AwmError("nothing is live there")
            body = found[0].pads(asked["match"], asked["first"])
        except AwmError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return Response(body, media_type="application/octet-stream")

    def streaming(hub: Hub | None) -> Callable[[WebSocket], Any]:
        async def stream(viewing: WebSocket) -> None:
            if not allowed_origin(viewing.headers, origins):
                await viewing.close(FORBIDDEN, "origin")
                return
            if hub is None or hub.viewers >= max_viewers:
                await viewing.close(TOO_MANY, "no stream" if hub is None else "too many viewers")
                return
            await viewing.accept()
            viewer = hub.join()
            try:
                await _serve(viewing, viewer)
            finally:
                hub.leave(viewer)

        return stream

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        for each in hubs:
            each.attach()
        if broadcast is not None:
            broadcast.start()
        yield
        if broadcast is not None:
            await run_in_threadpool(broadcast.stop)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/list", listing),
            Route("/api/match", answering(library.payload, "name")),
            Route("/api/record", answering(library.record, "name")),
            Route("/api/cartridge", answering(offered.payload, "hash", "context")),
            Route("/api/policy", answering(offered.policy, "hash", "name")),
            Route("/api/pads", pads),
            WebSocketRoute("/", streaming(hub)),
            WebSocketRoute("/ws", streaming(hub)),
            WebSocketRoute("/ws/beside", streaming(beside)),
            Mount("/static", StaticFiles(directory=str(STATIC))),
        ],
        middleware=[
            Middleware(_Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        ],
        lifespan=lifespan,
    )


def allowed_origin(headers: Any, origins: Sequence[str]) -> bool:
    """Whether who asks may read the stream: no browser, our own page, or an allowed site."""
    origin = headers.get("origin")
    if origin is None or origin in origins:
        return True
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


async def _serve(viewing: WebSocket, viewer: Viewer) -> None:
    async def send() -> None:
        while True:
            await viewing.send_text(await viewer.next())

    async def listen() -> None:
        while True:
            message = await viewing.receive()
            if message["type"] == "websocket.disconnect":
                return

    tasks = [asyncio.ensure_future(send()), asyncio.ensure_future(listen())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            gone = (WebSocketDisconnect, RuntimeError, OSError, asyncio.CancelledError)
            if isinstance(result, BaseException) and not isinstance(result, gone):
                raise result


@contextlib.contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket at a place.

    Raises:
      AwmError: the port is taken or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((host, port))
        except OSError as error:
            raise AwmError(
                f"cannot serve at {host}:{port}: {error.strerror}; choose another --port"
            ) from None
        yield door


def run(app: Starlette, door: socket.socket) -> None:
    """Serve until interrupted."""
    uvicorn.Server(settings(app)).run(sockets=[door])


def settings(app: Starlette) -> uvicorn.Config:
    """How uvicorn runs the application."""
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE,
        ws_max_queue=4,
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
