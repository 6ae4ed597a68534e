"""A spectator's own browser computes a live match as it is played, and says what it finds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.serving import serving, walk

pytest.importorskip("starlette")
from awm_jax.cartridges import EMBEDDED
from crank.playing import Setup, load_world, prepare
from crank.verify import verify
from crank.watch import live, machine, recording
from crank.watch.library import Library
from crank.watch.live import Broadcast, Hub, replays
from crank.watch.server import make_app
from crank.watch.worlds import matches, twin_of

Open = Callable[..., Any]
LONG = 560
"""Frames; who joins after the first 300 gets the last 256 alone."""


def setup(frames: int, **options: Any) -> Setup:
    agents = ("policy:fox", "policy:falco")
    where: dict[str, Any] = {"stage": "battlefield", "characters": ("fox", "falco")}
    return prepare(EMBEDDED, *agents, **where, max_frames=frames, seed_action=14, **options)


@pytest.fixture(scope="module", autouse=True)
def offered() -> None:
    """The cartridge as the page gets it, made before any match begins."""
    identity = setup(1).meta["weights_sha256"]["world"]
    machine.Cartridges().payload(identity, "recurrent")


@pytest.fixture(scope="module")
def match() -> dict[str, Any]:
    return setup(LONG).run().to_object()


@contextlib.contextmanager
def broadcast(program: Any, **options: Any) -> Iterator[str]:
    hub = Hub()
    app = make_app(Library(), hub, Broadcast(hub, program, loop=False), **options)
    with serving(app) as place:
        yield f"http://{place}"


def rerun(match: dict[str, Any]) -> Any:
    (source,) = recording.sources(match, "match")
    return broadcast(replays(source.frames, source.meta, source.machine))


def short(match: dict[str, Any], frames: int) -> dict[str, Any]:
    """The first frames of a match as a whole one; its digest is that of another."""
    pads = match["machine"]["pads"][: 32 * frames]
    seeds = match["meta"]["seed_frames"]
    cut = {"frames": match["frames"][: seeds + frames]}
    return match | cut | {"machine": match["machine"] | {"pads": pads}}


def said(page: Any, state: str) -> tuple[str, str]:
    """The badge's text and what it explains, once it has come to a state."""
    found = page.wait_for_function(
        """(state) => {
          const badge = document.querySelector(`.proof[data-state=${state}]`);
          return badge && [badge.textContent.toLowerCase(), badge.title];
        }""",
        arg=state,
        timeout=60_000,
    )
    text, why = found.json_value()
    return text, why


def test_a_live_match_is_verified_while_it_is_played(visit: Open) -> None:
    ready = setup(300)
    ready.compile()
    with broadcast(matches(ready)) as place:
        page = visit(f"{place}/?live")
        text, why = said(page, "following")
        assert text.startswith("verified to frame ") and "Every frame since 0 " in why
        assert said(page, "verified")[0] == "verified 300 frames"
        known = page.evaluate("() => awm.lives[0].track.confidence.count")
        assert known == 300


def test_a_planted_frame_deviates_where_it_is(visit: Open, match: dict[str, Any]) -> None:
    planted = json.loads(json.dumps(short(match, 120)))
    planted["frames"][77]["players"][1]["x"] += 2**-16
    with rerun(planted) as place:
        page = visit(f"{place}/?live")
        text, why = said(page, "deviates")
        assert text == "deviates at frame 77" and "player 1, x: recorded" in why
        page.locator(".proof").first.click()
        page.wait_for_timeout(150)
        assert page.locator("[data-role=frame]").first.inner_text().startswith("77 /")


def test_a_planted_controller_deviates_where_python_says(
    visit: Open, match: dict[str, Any]
) -> None:
    pads = bytearray.fromhex(match["machine"]["pads"])
    pads[16 * 40] ^= 0x7F
    planted = match | {"machine": match["machine"] | {"pads": pads.hex()}}
    found = verify(load_world(EMBEDDED, "recurrent", "auto")[0], planted).deviation
    assert found is not None and found.frame >= 50
    with rerun(planted) as place:
        assert said(visit(f"{place}/?live"), "deviates")[0] == f"deviates at frame {found.frame}"


def test_a_planted_digest_is_found_at_the_end(visit: Open, match: dict[str, Any]) -> None:
    with rerun(short(match, 60)) as place:
        text, why = said(visit(f"{place}/?live"), "deviates")
        assert text == "deviates: digest" and match["meta"]["digest"] in why


def test_who_joins_late_computes_what_was_before(visit: Open, match: dict[str, Any]) -> None:
    with rerun(match) as place:
        first = visit(f"{place}/?live")
        first.wait_for_function("() => awm.lives?.[0].track?.last > 320")
        late = visit(f"{place}/?live")
        _, why = said(late, "following")
        base = late.evaluate("() => awm.lives[0].track.base")
        assert base > 40 and f"Every frame since {base} " in why and "controllers alone" in why
        assert said(late, "verified")[0] == f"verified {LONG} frames"
        # How sure the model was is known of the frames before, too.
        assert late.evaluate("() => awm.lives[0].track.confidence.first") == 10


def test_frames_left_out_are_computed_from_their_controllers(
    visit: Open, match: dict[str, Any]
) -> None:
    page = visit("about:blank")
    page.add_init_script(
        """(() => {
          const own = WebSocket.prototype.addEventListener;
          WebSocket.prototype.addEventListener = function (type, hear) {
            own.call(this, type, type !== "message" ? hear : (event) => {
              const { number } = JSON.parse(event.data);
              if (!(number > 60 && number < 110)) hear(event);
            });
          };
        })()"""
    )
    with rerun(match) as place:
        page.goto(f"{place}/?live")
        assert said(page, "verified")[0] == f"verified {LONG} frames"
        assert page.evaluate("() => awm.lives[0].missing") == 49


def test_the_log_is_of_the_match_that_is_played(visit: Open, match: dict[str, Any]) -> None:
    with rerun(match) as place:
        page = visit(f"{place}/?live")
        said(page, "following")
        ask = """async (query) => {
          const answer = await fetch(`api/pads?${query}`);
          return [answer.status, (await answer.arrayBuffer()).byteLength % 16];
        }"""
        assert page.evaluate(ask, "match=1&first=0&world=1") == [200, 0]
        for query in ("match=2&first=0&world=1", "match=1&first=-1&world=1", "match=1&first=0"):
            assert page.evaluate(ask, query)[0] == 404


def test_a_match_of_no_cartridge_is_not_verified(visit: Open) -> None:
    with broadcast(replays(walk(60), {"mode": "agent-vs-agent"})) as place:
        text, why = said(visit(f"{place}/?live"), "unknown")
        assert text == "not verified" and "cartridge" in why


# Two live worlds.


def test_two_live_worlds_run_together(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded cartridge twice: under the same controllers both are the same."""
    first, second = setup(90, seed=3), Hub(world=2)
    twin = twin_of(EMBEDDED, first, second)
    first.compile()
    twin.compile()
    monkeypatch.setattr(live, "PAUSE", 0)
    with broadcast(matches(first, twin), beside=second) as place:
        page = visit(f"{place}/?live&beside")
        page.wait_for_selector(".worlds .world:nth-child(2)")
        page.wait_for_selector("[data-state=match]")
        for _ in range(5):
            page.wait_for_timeout(100)
            shown = page.locator("[data-role=frame]").all_inner_texts()
            assert len(set(shown)) == 1 and len(shown) == 2
        page.wait_for_function("() => awm.proofs.every((p) => p.said?.state === 'verified')")
        texts = [text.lower() for text in page.locator(".proof").all_inner_texts()]
        assert texts == ["a verified 90 frames", "b verified 90 frames"]
        assert page.locator(".banner .big").get_attribute("aria-label") == "MATCH OVER"
        names = page.locator(".world-name").all_inner_texts()
        assert names == ["A  int8 embedded", "B  int8 embedded"]
