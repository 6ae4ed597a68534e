"""The page under fingers, on a telephone's screen (Playwright's touch emulation)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.serving import serving, walk

pytest.importorskip("starlette")
from awm_jax.cartridges import EMBEDDED
from crank.playing import load_world
from crank.verify import verify
from crank.watch.library import Library
from crank.watch.server import make_app

Open = Callable[..., Any]
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SMALLEST = 32
"""Points that a thing to tap measures at least in each direction."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "match.json").write_text(json.dumps(walk(600)))
    with serving(make_app(Library(folder))) as where:
        yield f"http://{where}"


class Fingers:
    """Several fingers at once, each at a place of its own."""

    def __init__(self, page: Any) -> None:
        self._session = page.context.new_cdp_session(page)
        self._at: dict[int, tuple[float, float]] = {}

    def _send(self, kind: str) -> None:
        points = [{"id": i, "x": x, "y": y} for i, (x, y) in self._at.items()]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def put(self, finger: int, x: float, y: float) -> None:
        kind = "touchMove" if finger in self._at else "touchStart"
        self._at[finger] = (x, y)
        self._send(kind)

    def lift(self, finger: int) -> None:
        del self._at[finger]
        self._send("touchEnd")


def middle(page: Any, selector: str) -> tuple[float, float]:
    box = page.locator(selector).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def frame_is(page: Any, frame: int) -> None:
    page.locator("[data-role=frame]", has_text=re.compile(f"^{frame} /")).first.wait_for()


def test_fingers_scrub_play_and_step(visit: Open, place: str) -> None:
    page = visit(f"{place}/?match=match.json&frame=200", **PHONE)
    page.wait_for_selector("[data-state=match]")
    frame_is(page, 200)
    for button, frame in ((".forward", 201), (".back", 200), (".start", 0)):
        page.tap(button)
        frame_is(page, frame)
    page.tap(".play")
    page.wait_for_function("() => awm.playback.shown > 3")
    page.tap("canvas.stage")
    page.wait_for_function("() => !awm.playback.playing")
    # A finger goes along the timeline.
    fingers, box = Fingers(page), page.locator(".scrub").bounding_box()
    y = box["y"] + box["height"] / 2
    fingers.put(1, box["x"] + box["width"] * 0.2, y)
    seen = []
    for part in (0.4, 0.6, 0.8):
        fingers.put(1, box["x"] + box["width"] * part, y)
        page.wait_for_timeout(120)
        seen.append(page.evaluate("() => awm.playback.shown"))
    fingers.lift(1)
    assert seen == sorted(set(seen)) and abs(seen[-1] - 480) < 30
    page.get_by_role("button", name="X-Ray", exact=True).tap()
    assert page.locator("#cabinet").get_attribute("data-mode") == "xray"


def test_everything_to_tap_is_large_enough(visit: Open, place: str) -> None:
    page = visit(f"{place}/?match=match.json&frame=200", **PHONE)
    page.wait_for_selector("[data-state=match]")
    for box in (b.bounding_box() for b in page.locator(".deck button:visible").all()):
        assert min(box["width"], box["height"]) >= SMALLEST
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360


def test_a_game_by_fingers(visit: Open, place: str, tmp_path: Path) -> None:
    page = visit(f"{place}/?play", **PHONE)
    page.wait_for_selector(".setup")
    page.locator(".go").tap()
    page.wait_for_selector("[data-playing]")
    keys = [".stick", *(f".glass-key.{name}" for name in "abxrzc"), ".quit"]
    for key in keys:
        box = page.locator(key).bounding_box()
        assert min(box["width"], box["height"]) >= SMALLEST
        assert box["y"] >= 0 and box["y"] + box["height"] <= 740, f"{key} is off the screen"
    fingers = Fingers(page)
    (x, y), reach = middle(page, ".stick"), page.locator(".stick").bounding_box()["width"]

    def hold(finger: int, at: tuple[float, float]) -> None:
        fingers.put(finger, *at)
        page.wait_for_timeout(250)

    hold(1, (x, y))  # in the middle it is neutral
    hold(1, (x + reach, y))  # beyond its edge: all the way right
    hold(2, middle(page, ".glass-key.a"))
    fingers.lift(2)
    hold(1, (x, y - reach / 4))  # half way up
    hold(3, middle(page, ".glass-key.c"))
    hold(4, middle(page, ".glass-key.r"))
    for finger in (1, 3, 4):
        fingers.lift(finger)
    hold(5, middle(page, ".glass-key.x"))
    fingers.lift(5)
    page.wait_for_timeout(150)
    page.locator(".quit").tap()
    page.wait_for_selector(".after")
    with page.expect_download() as waited:
        page.locator(".after .save").tap()
    waited.value.save_as(tmp_path / "mine.json")
    match = json.loads((tmp_path / "mine.json").read_text())
    raw = bytes.fromhex(match["machine"]["pads"])
    pads = [tuple(pad) for pad in np.frombuffer(raw, np.int8).reshape(-1, 2, 8)[:, 0].tolist()]
    right, half_up = (80, 0, 0, 0), (0, 40, 0, 0)
    neutral = (0,) * 8
    for wanted in (
        neutral,
        (*right, 0, 0, 0, 0),
        (*right, 0, 0, 1, 0),
        (*half_up, 0, 0, 0, 0),
        (0, 0, *half_up[:2], 0, 0, 0, 0),
        (0, 0, *half_up[:2], 0, -1, 0, 8),
        (0, 0, 0, 0, 0, 0, 4, 0),
    ):
        near = [p for p in pads if np.abs(np.subtract(p, wanted)).max() <= 2]
        assert near, f"nobody pressed {wanted}"
    assert pads[-1] == neutral
    assert verify(load_world(EMBEDDED, "recurrent", "auto")[0], match).holds


def test_a_mouse_gets_no_glass_controller(visit: Open, place: str) -> None:
    page = visit(f"{place}/?play")
    page.wait_for_selector(".setup")
    page.locator(".go").click()
    page.wait_for_selector("[data-playing]")
    assert not page.locator(".touch").is_visible()
