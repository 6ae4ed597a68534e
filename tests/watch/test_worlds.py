"""A world's match, live: the frames that viewers get are those that a match file would hold."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from support.int_worlds import arch_of, world_of

from crank.playing import prepare
from crank.watch.live import Hub
from crank.watch.worlds import matches

FRAMES = 12


class Heard(Hub):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, Any]] = []

    def publish(self, kind: str, text: str, match: int = 0, pads: bytes = b"") -> None:
        self.said.append((kind, json.loads(text)))


def test_a_live_match_is_the_match() -> None:
    world = world_of(3, arch_of())
    setup = prepare(world, "random", "random", max_frames=FRAMES, early_ko=False, seed=5)
    hub = Heard()
    matches(setup)(hub, 2, lambda: False)
    second = dataclasses.replace(setup, seed=6).run()
    assert [kind for kind, _ in hub.said] == [
        "start",
        *["frame"] * (world.context_len + FRAMES),
        "end",
    ]
    shown = [{k: v for k, v in f.items() if k in ("players", "stage")} for _, f in hub.said[1:-1]]
    assert shown == second.to_object()["frames"]
    end = hub.said[-1][1]
    assert end["winner"] == second.winner and end["reason"] == "timeout"
    assert end["final_stocks"] == list(second.final_stocks)
    start = hub.said[0][1]
    assert start["seed_frames"] == world.context_len and start["p0"]["agent"] == "random"


def test_a_stopped_match_ends_early() -> None:
    world = world_of(3, arch_of())
    setup = prepare(world, "random", "random", max_frames=FRAMES, early_ko=False, seed=5)
    hub = Heard()
    matches(setup)(hub, 1, lambda: True)
    assert sum(kind == "frame" for kind, _ in hub.said) == world.context_len + 1
