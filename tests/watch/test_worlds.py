"""A world's match, live: the frames that viewers get are those that a match file would hold."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import write_checkpoint
from support.golden import replays_dir
from support.int_worlds import arch_of, world_of

from awm_jax.cartridges import EMBEDDED
from awm_jax.errors import AwmError
from crank.playing import prepare
from crank.watch import recording
from crank.watch.live import Hub
from crank.watch.worlds import Twin, game_beside, matches, twin_of

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
    assert start["proof"] is None  # a world of no cartridge
    assert end["digest"] == second.digest
    generated = hub.said[1 + world.context_len : -1]
    assert "".join(f["pads"] for _, f in generated) == second.to_object()["machine"]["pads"]


def test_a_stopped_match_ends_early() -> None:
    world = world_of(3, arch_of())
    setup = prepare(world, "random", "random", max_frames=FRAMES, early_ko=False, seed=5)
    hub = Heard()
    matches(setup)(hub, 1, lambda: True)
    assert sum(kind == "frame" for kind, _ in hub.said) == world.context_len + 1


def players(hub: Heard) -> list[Any]:
    return [content["players"] for kind, content in hub.said if kind == "frame"]


def ready(world: Any, agents: tuple[str, str], **options: Any) -> Any:
    return prepare(world, *agents, max_frames=FRAMES, early_ko=False, **options)


def test_a_twin_plays_under_the_same_controllers() -> None:
    first, second = world_of(3, arch_of()), world_of(4, arch_of())
    agents = ("random", "hold-forward")
    hub, other = Heard(), Heard()
    setup = ready(first, agents, seed=5)
    twin = Twin(ready(second, ("noop", "noop")), other)
    matches(setup, twin)(hub, 1, lambda: False)
    # Scripted agents do not look at the world, so in the other alone they press the same.
    assert players(hub) == viewer_frames(setup)
    assert players(other) == viewer_frames(ready(second, agents, seed=5))
    assert players(hub) != players(other)
    assert other.said[0][1]["match_id"] == 1 and other.said[-1][0] == "end"


def viewer_frames(setup: Any) -> list[Any]:
    return [frame["players"] for frame in setup.run().to_object()["frames"]]


def test_a_float_world_beside_an_integer_one(tmp_path: Path) -> None:
    world = world_of(3, arch_of(context_len=3))
    setup = ready(world, ("random", "noop"), seed=2)
    hub, other = Heard(), Heard()
    twin = twin_of(str(write_checkpoint(tmp_path / "world.pt")), setup, other)
    matches(setup, twin)(hub, 1, lambda: False)
    assert len(players(other)) == len(players(hub)) == 3 + FRAMES
    assert other.said[0][1]["proof"] is None and "pads" not in other.said[-2][1]
    assert other.said[0][1]["name"] == "float32 world.pt"


def test_worlds_of_other_lengths_cannot_run_together() -> None:
    setup = ready(world_of(3, arch_of(context_len=4)), ("noop", "noop"))
    with pytest.raises(AwmError, match="cannot run together"):
        twin_of(EMBEDDED, setup, Heard())


def test_a_real_game_beside_a_model() -> None:
    pytest.importorskip("peppi_py")
    path = str(replays_dir() / "games" / "0006-fox-puff-FoD.slx")
    (source,) = recording.read(path)
    hub, other = Heard(), Heard()
    program = game_beside(path, EMBEDDED, other)
    program(hub, 1, lambda: len(players(hub)) == 40)
    assert players(hub) == [f["players"] for f in source.frames[123:163]]
    shown = players(other)
    assert len(shown) == 40
    # The seed frames are the game's; then the model goes its own way under its controllers.
    keys = ("x", "percent", "action_state")
    for number in range(10):
        for mine, real in zip(shown[number], players(hub)[number], strict=True):
            assert [mine[k] for k in keys] == pytest.approx([real[k] for k in keys], abs=1e-3)
    assert shown[39] != players(hub)[39]
    start = other.said[0][1]
    assert start["name"] == "int8 embedded" and start["proof"]["context"] == "recurrent"
