"""What minds felt: read with suspicion, and shown over the picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from awm_jax.errors import AwmError
from crank.watch import recording
from crank.watch.minds import FEELINGS, read_minds
from crank.watch_cli import write_html

FRAMES = 61


def mind(rows: int = 11, **changes: Any) -> dict[str, Any]:
    lines = {name: [i / 10 for i in range(rows)] for name in FEELINGS}
    return {"first": 0, "period": 6, **lines} | changes


def match(minds: Any) -> dict[str, Any]:
    players = [{"x": x, "y": 0, "action_state": 14} for x in (-20, 20)]
    return {"meta": {}, "frames": [{"players": players, "stage": 31}] * FRAMES, "minds": minds}


def test_a_file_with_a_mind() -> None:
    (track,) = [recording.track(s) for s in recording.sources(match([None, mind()]), "m")]
    assert track["minds"] == [None, mind()]
    (track,) = [recording.track(s) for s in recording.sources(match(None), "m")]
    assert track["minds"] is None


@pytest.mark.parametrize(
    "minds",
    [
        5,
        [],
        [None],
        [None, 3],
        [None, mind(threat=[])],
        [None, mind(rows=12)],
        [None, mind(value=["1"] * 11)],
        [None, mind(value=[float("nan")] * 11)],
        [None, mind(period=0)],
        [None, mind(period=True)],
        [None, mind(first=-1)],
        [{k: v for k, v in mind().items() if k != "surprise"}, None],
    ],
)
def test_what_is_refused(minds: Any) -> None:
    with pytest.raises(AwmError, match="mind"):
        read_minds({"minds": minds}, FRAMES)


def test_lines_of_unequal_length_are_refused() -> None:
    with pytest.raises(AwmError, match="curiosity"):
        read_minds({"minds": [mind(curiosity=[0.0]), None]}, FRAMES)


def test_over_the_picture(visit: Callable[..., Any], tmp_path: Path) -> None:
    """The numbers are those of the frame that is shown; who has no mind has no panel."""
    (tmp_path / "match.json").write_text(json.dumps(match([None, mind()])))
    write_html([str(tmp_path / "match.json")], str(tmp_path / "match.html"))
    page = visit((tmp_path / "match.html").as_uri())
    page.wait_for_selector(".feelings.f2")
    assert page.locator(".feelings.f1").is_hidden()
    for frame, row in ((0, 0), (17, 2), (60, 10)):
        page.evaluate(f"awm.playback.playing = false; awm.playback.seek({frame})")
        page.wait_for_timeout(200)
        for name in FEELINGS:
            shown = page.locator(f"[data-role={name}-1]").inner_text()
            assert shown == f"{row / 10:.2f}"
    drawn = page.evaluate(
        "[...document.querySelectorAll('.feelings.f2 canvas')].map((c) => "
        "c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0))"
    )
    assert drawn == [True] * 4
    page.locator("button[aria-label=Data]").click()
    page.wait_for_timeout(200)
    assert page.locator(".minds").is_hidden()


def test_no_mind_no_panel(visit: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "match.json").write_text(json.dumps(match(None)))
    write_html([str(tmp_path / "match.json")], str(tmp_path / "match.html"))
    page = visit((tmp_path / "match.html").as_uri())
    page.wait_for_selector("canvas.stage")
    assert page.locator(".minds").is_hidden()
