"""Frames to many viewers: each has its own bounded queue, and none can hold up the match.

One text message is one frame, as the reference sends it, with its `number` and what happened in it;
`match_start` and `match_end` are those that the reference's site waits for. Source: match.md
sections 4.1 and 4.2.
"""

from __future__ import annotations

import asyncio
import collections
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from awm_jax.errors import AwmError
from awm_jax.game.stages import stage as stage_of
from crank.watch import recording
from crank.watch.events import Detector, ticker_line
from crank.watch.recording import Frame, describe_players

RING = 256
FRAME_SECONDS = 1 / 60
BEHIND = 0.25
"""Seconds after which a late match no longer tries to catch up."""
PAD_BYTES = 16
"""Of both players' controllers in a frame."""
PAUSE = 8.0
"""Seconds between two matches; the page shows the result for five."""


class Viewer:
    """One viewer's queue: at most `RING` frames; of more the oldest are left out."""

    def __init__(self) -> None:
        self._queue: collections.deque[tuple[str, str]] = collections.deque()
        self._frames = 0
        self._filled = asyncio.Event()
        self.dropped = 0

    def put(self, kind: str, text: str) -> None:
        """Add a message; a new match makes what is left of the old one void."""
        if kind == "start":
            self._queue.clear()
            self._frames = 0
        if kind == "frame":
            if self._frames >= RING:
                oldest = next(i for i, (k, _) in enumerate(self._queue) if k == "frame")
                del self._queue[oldest]
                self.dropped += 1
            else:
                self._frames += 1
        self._queue.append((kind, text))
        self._filled.set()

    async def next(self) -> str:
        """The next message, as soon as there is one."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        kind, text = self._queue.popleft()
        self._frames -= kind == "frame"
        return text


class Hub:
    """Gives what one match says to all viewers. `publish` may be called from any thread.

    Args:
      world: its number, where the same match is shown in two worlds.
    """

    def __init__(self, world: int = 1) -> None:
        self.world = world
        self._loop: asyncio.AbstractEventLoop | None = None
        self._viewers: set[Viewer] = set()
        self._start: str | None = None
        self._end: str | None = None
        self._ring: collections.deque[str] = collections.deque(maxlen=RING)
        self._pads = bytearray()
        self._match = 0
        self.someone = threading.Event()
        self.title = ""

    def attach(self) -> None:
        """Take the running event loop as the one that viewers live in."""
        self._loop = asyncio.get_running_loop()

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    def join(self) -> Viewer:
        """A new viewer; its queue begins with the match's start and its last `RING` frames."""
        viewer = Viewer()
        if self._start is not None:
            viewer.put("start", self._start)
        if self._ring:
            viewer.put("history", f"[{','.join(self._ring)}]")
        if self._end is not None:
            viewer.put("end", self._end)
        self._viewers.add(viewer)
        self.someone.set()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        if not self._viewers:
            self.someone.clear()

    def publish(self, kind: str, text: str, match: int = 0, pads: bytes = b"") -> None:
        """Say something to all: `kind` is start, frame or end. Never waits for anybody.

        Args:
          match: number of the match; counts at its start.
          pads: both players' controllers of a generated frame, see `pads`.
        """
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._deliver, kind, text, match, pads)

    def _deliver(self, kind: str, text: str, match: int, pads: bytes) -> None:
        if kind == "start":
            self._start, self._end = text, None
            self._match = match
            self._pads = bytearray()
            self._ring.clear()
        elif kind == "frame":
            self._ring.append(text)
            self._pads += pads
        else:
            self._end = text
        for viewer in self._viewers:
            viewer.put(kind, text)

    def pads(self, match: str, first: str) -> bytes:
        """The controllers of a match's generated frames from `first` (0 is the first) until now.

        16 bytes a frame: from them who joined late computes what he has not seen. Called in the
        event loop.

        Raises:
          AwmError: the match is over and another has begun, or `first` is no number.
        """
        if match != str(self._match):
            raise AwmError("that match is over")
        if not first.isdecimal() or len(first) > 9:
            raise AwmError(f"no frame {first[:20]!r}")
        return bytes(self._pads[PAD_BYTES * int(first) :])


def encode(content: Mapping[str, Any]) -> str:
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


class Stage:
    """Publishes one match, frame by frame, at most sixty a second.

    Args:
      first: its first frame, checked.
      meta: what a match file's `meta` says about it.
      proof: from what a browser computes the match itself: `recording.proof_of`, with the `seed`
        frames of the machine's record; None where it cannot.
      name: of the world, where two are shown.
      wait: sleeps; a test gives another.
    """

    def __init__(
        self,
        hub: Hub,
        match_id: int,
        first: Frame,
        meta: Mapping[str, Any],
        max_frames: int,
        proof: Mapping[str, Any] | None = None,
        name: str | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        geometry = stage_of(first["stage"])
        self._hub, self._id, self._wait = hub, match_id, wait
        self._detector = Detector(geometry)
        self._number, self._due = 0, time.monotonic()
        players = describe_players(first, meta)
        self._names = [p["label"] for p in players]
        hub.title = f"{self._names[0]} vs {self._names[1]}"
        start = {
            "type": "match_start",
            "match_id": match_id,
            **{f"p{i}": p | {"character_name": p["label"]} for i, p in enumerate(players)},
            "stage": first["stage"],
            "max_frames": max_frames,
            "stage_geometry": geometry.geometry(),
            "seed_frames": meta.get("seed_frames", 0),
            "first_frame": meta.get("first_frame", 0),
            "mode": str(meta.get("mode", "live")),
            "proof": proof,
            "world": hub.world,
        }
        if name is not None:
            start["name"] = name
        hub.publish("start", encode(start), match_id)

    def frame(self, frame: Frame, pads: bytes = b"") -> None:
        """Publish a frame when its time has come; `pads`: see `Hub.pads`, none of a seed frame."""
        shown: dict[str, Any] = {**frame, "number": self._number}
        if pads:
            shown["pads"] = pads.hex()
        events = self._detector.step(frame["players"])
        if events:
            shown["events"] = [e.to_dict() | {"line": ticker_line(e, self._names)} for e in events]
        late = time.monotonic() - self._due
        if late < 0:
            self._wait(-late)
        elif late > BEHIND:
            self._due += late
        self._due += FRAME_SECONDS
        self._hub.publish("frame", encode(shown), pads=pads)
        self._number += 1

    def end(self, meta: Mapping[str, Any], last: Frame) -> None:
        """Publish how it ended; what `meta` does not say is read off the last frame."""
        from awm_jax.game.result import whole, winner

        def pair(key: str) -> tuple[int, int]:
            return whole(_array([p[key] for p in last["players"]]))

        stocks, percent = pair("stocks"), pair("percent")
        result = {
            "type": "match_end",
            "match_id": self._id,
            "reason": "ko" if 0 in stocks else "timeout",
            "total_frames": self._number,
            "winner": meta.get("winner", winner(stocks, percent)),
            "final_stocks": list(stocks),
            "final_percent": list(percent),
        }
        if "digest" in meta:
            result["digest"] = meta["digest"]
        self._hub.publish("end", encode(result))
        self._hub.title = ""


def _array(values: Iterable[float]) -> Any:
    import numpy as np

    return np.array(list(values))


Program = Callable[["Hub", int, Callable[[], bool]], None]
"""Plays one match to a hub: its number, and whether to stop."""


def replays(
    frames: list[Frame], meta: Mapping[str, Any], machine: Mapping[str, Any] | None = None
) -> Program:
    """A program that shows a recording as if it were played now.

    Args:
      machine: the integer machine's record in the match file, where there is one.
    """
    proof = recording.proof_of({"meta": meta, "machine": machine})
    if proof is not None and machine is not None:
        proof = proof | {"seed": machine.get("seed")}
    log = _pads_of(machine)
    seeds = len(frames) - len(log)

    def play(hub: Hub, match_id: int, stopped: Callable[[], bool]) -> None:
        stage = Stage(hub, match_id, frames[0], meta, len(frames), proof)
        for number, frame in enumerate(frames):
            if stopped():
                return
            stage.frame(frame, log[number - seeds] if number >= seeds else b"")
        stage.end(meta, frames[-1])

    return play


def _pads_of(machine: Mapping[str, Any] | None) -> list[bytes]:
    """The controllers of each generated frame; none where there is no record, or a damaged one."""
    try:
        raw = bytes.fromhex((machine or {})["pads"])
    except (KeyError, TypeError, ValueError):
        return []
    return [raw[at : at + PAD_BYTES] for at in range(0, len(raw), PAD_BYTES)]


class Broadcast:
    """A thread that plays match after match to a hub, each as soon as somebody watches."""

    def __init__(self, hub: Hub, program: Program, loop: bool, pause: float = PAUSE) -> None:
        self._hub, self._program, self._loop, self._pause = hub, program, loop, pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broadcast", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the match under way and wait for the thread."""
        self._stop.set()
        self._hub.someone.set()
        self._thread.join(timeout=10)

    def _numbers(self) -> Iterator[int]:
        number = 1
        while not self._stop.is_set() and (self._loop or number == 1):
            self._hub.someone.wait()
            if self._stop.is_set():
                return
            yield number
            number += 1
            self._stop.wait(self._pause)

    def _run(self) -> None:
        try:
            for number in self._numbers():
                self._program(self._hub, number, self._stop.is_set)
        except BaseException as error:
            self.failure = error
            why = str(error) if isinstance(error, AwmError) else "the match broke off"
            self._hub.publish("end", encode({"type": "match_error", "error": why}))
