"""The live stream: order, history, slow viewers, life-cycle messages, and who may listen."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.serving import serving, walk

pytest.importorskip("starlette")
websockets = pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

from awm_jax.errors import AwmError  # noqa: E402
from crank.watch import live  # noqa: E402
from crank.watch.library import Library  # noqa: E402
from crank.watch.live import RING, Broadcast, Hub, Stage, Viewer, replays  # noqa: E402
from crank.watch.server import HEADERS, MAX_MESSAGE, make_app  # noqa: E402


async def drain(viewer: Viewer) -> list[Any]:
    found = []
    while True:
        try:
            found.append(json.loads(await asyncio.wait_for(viewer.next(), 0.05)))
        except TimeoutError:
            return found


def test_a_viewer_gets_all_in_order() -> None:
    async def watch() -> list[Any]:
        hub = Hub()
        hub.attach()
        viewer = hub.join()
        hub.publish("start", "0")
        for n in range(1, 200):
            hub.publish("frame", str(n))
        hub.publish("end", "200")
        return await drain(viewer)

    assert asyncio.run(watch()) == list(range(201))


def test_who_joins_late_gets_the_start_and_the_last_frames() -> None:
    async def watch() -> list[Any]:
        hub = Hub()
        hub.attach()
        hub.publish("start", '"start"')
        for n in range(1000):
            hub.publish("frame", str(n))
        await asyncio.sleep(0)
        viewer = hub.join()
        hub.publish("frame", "1000")
        return await drain(viewer)

    assert asyncio.run(watch()) == ["start", list(range(1000 - RING, 1000)), 1000]


def test_the_controllers_of_a_match_so_far() -> None:
    async def watch() -> None:
        hub = Hub()
        hub.attach()
        hub.publish("start", "{}", match=7)
        hub.publish("frame", "1")  # a seed frame
        for n in range(3):
            hub.publish("frame", "2", pads=bytes([n] * 16))
        await asyncio.sleep(0)
        assert hub.pads("7", "1") == bytes([1] * 16 + [2] * 16)
        assert hub.pads("7", "3") == hub.pads("7", "999999999") == b""
        for match, first in (("6", "0"), ("7", "-1"), ("7", "9" * 5000), ("7", "")):
            with pytest.raises(AwmError):
                hub.pads(match, first)
        hub.publish("start", "{}", match=8)
        await asyncio.sleep(0)
        assert hub.pads("8", "0") == b""

    asyncio.run(watch())


def test_a_slow_viewer_loses_the_oldest_frames_but_no_life_cycle() -> None:
    async def watch() -> tuple[list[Any], int]:
        viewer = Viewer()
        viewer.put("start", '"start"')
        for n in range(1000):
            viewer.put("frame", str(n))
        viewer.put("end", '"end"')
        dropped = viewer.dropped
        return await drain(viewer), dropped

    found, dropped = asyncio.run(watch())
    assert found == ["start", *range(1000 - RING, 1000), "end"]
    assert dropped == 1000 - RING


def test_a_new_match_makes_the_old_one_void() -> None:
    async def watch() -> list[Any]:
        viewer = Viewer()
        for n in range(10):
            viewer.put("frame", str(n))
        viewer.put("start", '"next"')
        viewer.put("frame", "0")
        return await drain(viewer)

    assert asyncio.run(watch()) == ["next", 0]


def test_publishing_waits_for_nobody() -> None:
    async def watch() -> float:
        hub = Hub()
        hub.attach()
        for _ in range(50):
            hub.join()
        started = time.perf_counter()
        for n in range(2000):
            hub.publish("frame", str(n))
        return time.perf_counter() - started

    assert asyncio.run(watch()) < 2


def published(frames: list[dict[str, Any]], meta: dict[str, Any]) -> list[tuple[str, Any]]:
    class Heard(Hub):
        def __init__(self) -> None:
            super().__init__()
            self.said: list[tuple[str, Any]] = []

        def publish(self, kind: str, text: str, match: int = 0, pads: bytes = b"") -> None:
            self.said.append((kind, json.loads(text)))

    hub = Heard()
    stage = Stage(hub, 7, frames[0], meta, len(frames), wait=lambda seconds: None)
    for frame in frames:
        stage.frame(frame)
    stage.end(meta, frames[-1])
    return hub.said


def test_messages_are_those_that_the_references_site_waits_for() -> None:
    said = published(walk(150), {"p0_agent": "noop", "seed_frames": 10})
    (kind, start), (last, end) = said[0], said[-1]
    assert (kind, last) == ("start", "end")
    assert start["type"] == "match_start" and start["match_id"] == 7
    assert start["p0"]["character"] == 1 and start["p0"]["character_name"] == "Fox"
    assert start["stage"] == 31 and start["max_frames"] == 150
    wanted = {"match_id": 7, "reason": "timeout", "total_frames": 150, "winner": 1}
    assert {k: end[k] for k in wanted} == wanted
    assert end["type"] == "match_end"
    assert end["final_stocks"] == [4, 4] and end["final_percent"] == [10, 0]
    frames = [content for kind, content in said if kind == "frame"]
    assert [f["number"] for f in frames] == list(range(150))
    assert all(len(f["players"]) == 2 and f["stage"] == 31 for f in frames)
    (hit,) = frames[100]["events"]
    assert hit["type"] == "hit" and hit["line"].startswith("[F 100] ")


def test_frames_keep_to_sixty_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    frames = walk(61)
    stage = Stage(Hub(), 1, frames[0], {}, 61, wait=wait)
    for frame in frames:
        stage.frame(frame)
    assert clock[0] - 100 == pytest.approx(1.0)
    # A late match goes on from there and does not rush.
    clock[0] += 5
    for frame in frames:
        stage.frame(frame)
    assert clock[0] - 106 == pytest.approx(1.0, abs=0.05)


def app(frames: int = 400, loop: bool = False, **options: Any) -> Any:
    hub = Hub()
    broadcast = Broadcast(hub, replays(walk(frames), {}), loop, pause=0.2)
    return make_app(Library(), hub, broadcast, **options)


def receive(place: str, seconds: float = 20.0, **options: Any) -> list[Any]:
    """All frames until the match ends, histories taken apart."""
    found: list[Any] = []
    with connect(f"ws://{place}/ws", **options) as socket:
        while True:
            content = json.loads(socket.recv(timeout=seconds))
            found += content if isinstance(content, list) else [content]
            if found[-1].get("type") == "match_end":
                return found


def test_ten_viewers_get_every_frame() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with serving(app(240)) as place, ThreadPoolExecutor(10) as pool:
        for found in pool.map(receive, [place] * 10):
            numbers = [content["number"] for content in found if "number" in content]
            assert numbers == list(range(240))
            assert [c["type"] for c in found if "type" in c] == ["match_start", "match_end"]


def test_a_viewer_who_reads_nothing_does_not_slow_the_others() -> None:
    with serving(app(180)) as place, connect(f"ws://{place}/ws", max_queue=1, close_timeout=0.5):
        started = time.monotonic()
        found = receive(place)
        assert len([c for c in found if "number" in c]) == 180
        assert time.monotonic() - started < 15


def test_viewers_come_and_go() -> None:
    with serving(app(300)) as place:
        for _ in range(40):
            with connect(f"ws://{place}/ws") as socket:
                socket.recv(timeout=10)
        with connect(f"ws://{place}/") as socket:
            assert json.loads(socket.recv(timeout=10))["type"] == "match_start"


def refused(place: str, **options: Any) -> None:
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        socket = connect(f"ws://{place}/ws", **options)
        with socket:
            socket.recv(timeout=10)


def test_too_many_viewers_are_turned_away() -> None:
    with serving(app(300, max_viewers=2)) as place, connect(f"ws://{place}/ws", close_timeout=1):
        with connect(f"ws://{place}/ws", close_timeout=1):
            refused(place)
        with connect(f"ws://{place}/ws") as socket:
            assert socket.recv(timeout=10)


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        (None, True),
        ("http://{place}", True),
        ("http://localhost:3000", True),
        ("http://evil.example", False),
        ("null", False),
        ("http://{place}.evil.example", False),
    ],
)
def test_only_our_own_page_and_allowed_sites_may_listen(origin: str | None, welcome: bool) -> None:
    with serving(app(300, origins=["http://localhost:3000"])) as place:
        given = None if origin is None else origin.format(place=place)
        if welcome:
            with connect(f"ws://{place}/ws", origin=given) as socket:
                assert "match_start" in socket.recv(timeout=10)
        else:
            with (
                pytest.raises((InvalidStatus, ConnectionClosed)),
                connect(f"ws://{place}/ws", origin=given) as socket,
            ):
                socket.recv(timeout=10)


def test_a_long_message_ends_the_connection() -> None:
    with serving(app(600)) as place, connect(f"ws://{place}/ws") as socket:
        socket.send("x" * (MAX_MESSAGE + 1))
        with pytest.raises(ConnectionClosed):
            for _ in range(600):
                socket.recv(timeout=10)


def get(place: str, path: str, host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(f"http://{place}{path}", headers={"Host": host or place})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def test_answers_carry_the_policy_and_foreign_hosts_get_none(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    with serving(make_app(Library(tmp_path))) as place:
        paths = ("/", "/static/main.js", "/api/list", "/api/match?name=bad.json", "/nothing")
        for path in paths:
            status, headers, _ = get(place, path)
            assert status in (200, 404)
            assert {k: headers[k] for k in HEADERS} == HEADERS
        assert get(place, "/", host="evil.example")[0] == 400
        status, _, body = get(place, "/api/match?name=bad.json")
        assert (status, json.loads(body)) == (
            404,
            {"error": "bad.json is not JSON, so it is no match file"},
        )
        for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py"):
            assert get(place, path)[0] == 404
        assert get(place, "/api/match?name=..%2F..%2Fetc%2Fpasswd")[0] == 404


def test_without_a_match_nothing_is_live() -> None:
    with serving(make_app(Library())) as place:
        assert json.loads(get(place, "/api/list")[2])["live"] is None
        with (
            pytest.raises((InvalidStatus, ConnectionClosed)),
            connect(f"ws://{place}/ws") as socket,
        ):
            socket.recv(timeout=10)


def test_a_failing_match_is_told(tmp_path: Path) -> None:
    def broken(hub: Hub, match_id: int, stopped: Any) -> None:
        raise ValueError("no")

    hub = Hub()
    broadcast = Broadcast(hub, broken, loop=True)
    app = make_app(Library(), hub, broadcast)
    with serving(app) as place, connect(f"ws://{place}/ws") as socket:
        told = json.loads(socket.recv(timeout=10))
    assert told == {"type": "match_error", "error": "the match broke off"}
    assert isinstance(broadcast.failure, ValueError)
