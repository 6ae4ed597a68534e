"""The integer machine in a real browser: the same digests, deviations where they are, a game."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle
from support.int_worlds import FULL, arch_of, random_frames, random_pads, random_world
from support.oracle_run import as_oracle
from support.serving import serving

pytest.importorskip("starlette")
import converters
from awm_jax.cartridges import EMBEDDED
from awm_jax.game import digest as digests
from awm_jax.int8.engine import NativeWorld, make_world, native_available
from awm_jax.int8.native.image import DIMS, MAGIC, TENSORS, pack
from awm_jax.variant import Variant
from crank.playing import load_world, prepare
from crank.verify import read_machine, verify
from crank.watch import machine
from crank.watch.library import Library
from crank.watch.server import make_app

Open = Callable[..., Any]
FRAMES = 90
SEED = (7 << 32) + 5
DONE = ", ".join(f".proof[data-state={state}]" for state in ("verified", "deviates", "unknown"))


@dataclasses.dataclass(frozen=True)
class Place:
    """A server of a folder of matches; `played` was made by `crank.playing`."""

    url: str
    folder: Path
    played: dict[str, Any]

    def put(self, name: str, match: dict[str, Any]) -> None:
        (self.folder / name).write_text(json.dumps(match))


def play(p0: str, p1: str, frames: int = FRAMES) -> dict[str, Any]:
    ready = prepare(
        EMBEDDED,
        p0,
        p1,
        stage="battlefield",
        characters=("fox", "falco"),
        max_frames=frames,
        seed=SEED,
        seed_action=14,
    )
    return ready.run().to_object()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("runs")
    played = play("policy:fox", "random")
    (folder / "match.json").write_text(json.dumps(played))
    with serving(make_app(Library(folder))) as where:
        yield Place(f"http://{where}", folder, played)


def proof(page: Any, number: int = 0) -> tuple[str, str]:
    """The badge's text and what it explains, when it has come to an end."""
    page.wait_for_selector(DONE)
    badge = page.locator(".proof").nth(number)
    return badge.inner_text().lower(), badge.get_attribute("title")


def test_a_match_is_verified(visit: Open, place: Place) -> None:
    page = visit(f"{place.url}/?match=match.json")
    text, why = proof(page)
    assert text == f"verified {FRAMES} frames"
    assert place.played["meta"]["digest"] in why
    assert place.played["meta"]["weights_sha256"]["world"] in why


def deviation(match: dict[str, Any], world: Any = None) -> int:
    """The frame at which Python finds that the match is not the recorded one."""
    found = verify(world or load_world(EMBEDDED, "recurrent", "auto")[0], match).deviation
    assert found is not None
    return found.frame


def test_a_flipped_input_deviates_at_its_frame(visit: Open, place: Place) -> None:
    pads = bytearray.fromhex(place.played["machine"]["pads"])
    pads[16 * 30] ^= 0x7F  # player 0's stick in the thirtieth frame
    machine_record = place.played["machine"] | {"pads": pads.hex()}
    changed = place.played | {"machine": machine_record}
    place.put("input.json", changed)
    page = visit(f"{place.url}/?match=input.json&frame=0")
    text, why = proof(page)
    frame = deviation(changed)
    assert frame >= 10 + 30
    assert text == f"deviates at frame {frame}"
    assert why.startswith(f"frame {frame}, player 0, ")
    page.locator(".proof").first.click()
    page.wait_for_timeout(150)
    assert page.locator("[data-role=frame]").first.inner_text().startswith(f"{frame} /")


def test_a_recorded_value_that_was_altered(visit: Open, place: Place) -> None:
    frames = json.loads(json.dumps(place.played["frames"]))
    frames[50]["players"][1]["percent"] += 2**-16
    place.put("value.json", place.played | {"frames": frames})
    text, why = proof(visit(f"{place.url}/?match=value.json"))
    assert text == "deviates at frame 50" and "player 1, percent" in why
    frames[3]["stage"] = 32
    place.put("seed.json", place.played | {"frames": frames})
    place.put("digest.json", place.played | {"machine": place.played["machine"] | {"digest": "0"}})
    page = visit(f"{place.url}/?match=seed.json&match=digest.json")
    page.wait_for_function("() => awm.proofs.every((p) => p.said?.state === 'deviates')")
    assert proof(page) == ("a deviates at frame 3", "frame 3, stage: recorded 32, computed 31")
    assert proof(page, 1)[0] == "b deviates: digest"


@pytest.mark.skipif(not native_available()[0], reason=native_available()[1])
def test_a_flipped_byte_of_the_cartridge(visit: Open, place: Place) -> None:
    world = load_world(EMBEDDED, "recurrent", "native")[0]
    assert isinstance(world, NativeWorld)
    image = np.array(world.image)
    table = np.frombuffer(image.tobytes(), "<i4", len(TENSORS), len(MAGIC) + 4 * len(DIMS))
    image[table[TENSORS.index("numeric_bias")] + 4 + 2] ^= 0x04  # of player 0's x
    other = dataclasses.replace(world, image=jnp.asarray(image))
    sent = json.loads(gzip.decompress(machine.Cartridges().payload("", "recurrent")))
    assert base64.b64decode(sent["image"]) == bytes(np.array(world.image))

    def with_image(data: bytes) -> tuple[str, str]:
        body = json.dumps(sent | {"image": base64.b64encode(data).decode()})
        page = visit("about:blank")
        page.route("**/api/cartridge*", lambda route: route.fulfill(body=body))
        page.goto(f"{place.url}/?match=match.json")
        return proof(page)

    assert with_image(image.tobytes())[0] == f"deviates at frame {deviation(place.played, other)}"
    for damaged in (image.tobytes()[:-64], b"\0" * 4096, b""):
        text, why = with_image(damaged)
        assert text == "not verified" and "the machine refuses it" in why


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": {}}, "the seed frames do not fit the cartridge"),
        ({"pads": "00"}, "seed frames and"),
    ],
)
def test_a_damaged_record_is_a_sentence(
    visit: Open, place: Place, change: dict[str, Any], says: str
) -> None:
    place.put("bad.json", place.played | {"machine": place.played["machine"] | change})
    text, why = proof(visit(f"{place.url}/?match=bad.json"))
    assert text == "not verified" and says in why


def test_another_cartridge_is_a_sentence(visit: Open, place: Place) -> None:
    meta = place.played["meta"] | {"weights_sha256": {"world": "f" * 64}}
    place.put("other.json", place.played | {"meta": meta})
    text, why = proof(visit(f"{place.url}/?match=other.json"))
    assert text == "not verified" and "start the server with --world" in why


# The machine itself, through the page's own module.

RUN = """async ({ image, columns, seed, pads, agents, low, high }) => {
  const { Machine } = await import("/static/machine.js");
  const code = await (await fetch("/static/machine.wasm")).arrayBuffer();
  const machine = await Machine.of(code, { image, columns });
  const named = async (name) => name.startsWith("policy:")
    ? new Uint8Array(await (await fetch(`/api/policy?name=${name.slice(7)}`)).arrayBuffer()) : name;
  for (const p of agents ? [0, 1] : []) machine.seat(p, await named(agents[p]));
  machine.begin(seed, low, high);
  const made = [];
  for (const pair of pads) { machine.step(pair); made.push(...machine.padBytes()); }
  return [machine.digest(), made.map((b) => b.toString(16).padStart(2, "0")).join("")];
}"""
NO_PADS = [[None, None]]


def as_agents(page: Any, match: dict[str, Any]) -> list[str]:
    """Digest and pads when the browser's own agents play a match again."""
    sent = json.loads(gzip.decompress(machine.Cartridges().payload("")))
    meta = match["meta"]
    frames = meta["total_frames"] - meta["seed_frames"]
    return page.evaluate(
        RUN,
        {
            "image": sent["image"],
            "columns": sent["columns"],
            "seed": match["machine"]["seed"],
            "pads": NO_PADS * frames,
            "agents": [meta["p0_agent"], meta["p1_agent"]],
            "low": SEED & 0xFFFFFFFF,
            "high": SEED >> 32,
        },
    )


def test_its_agents_press_the_same(visit: Open, place: Place) -> None:
    made = as_agents(visit(place.url), place.played)
    assert made == [place.played["machine"]["digest"], place.played["machine"]["pads"]]


@pytest.mark.long
@pytest.mark.parametrize("agents", [("hold-forward", "policy:falco"), ("noop", "policy:fox")])
def test_other_agents_press_the_same(visit: Open, place: Place, agents: tuple[str, str]) -> None:
    match = play(*agents, frames=600)
    made = as_agents(visit(place.url), match)
    assert made == [match["machine"]["digest"], match["machine"]["pads"]]


EVERYTHING = Variant(control_first=True, geometry=True, head_hidden=24)
ARCHES = {
    "windowed, all flags": arch_of(FULL, recurrent=False, planes=2, variant=EVERYTHING),
    "16 states": arch_of(d_state=16, n_layers=2),
    "odd widths": arch_of(d_model=24, d_state=5, headdim=6),
}


@jax.jit
def digest_of(world: NativeWorld, seed: Any, pads: jax.Array) -> jax.Array:
    """The digest of a match in the native kernel."""

    def body(carry, one):
        state, number, digest = carry
        state, frame = world.step(state, one)
        return (state, number + 1, digests.extend(digest, world.words(frame, number))), None

    start = (world.reset(seed), jnp.int32(world.context_len), digests.start())
    return jax.lax.scan(body, start, pads)[0][2]


@pytest.mark.skipif(not native_available()[0], reason=native_available()[1])
@pytest.mark.parametrize("saturating", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ARCHES)
def test_worlds_of_every_kind(visit: Open, place: Place, name: str, saturating: bool) -> None:
    arch = ARCHES[name]
    params = random_world(4, arch, saturating)
    seed = random_frames(5, arch.cfg, arch.context_len, extreme=saturating)
    pads = random_pads(6, 40)
    world = make_world(params, arch, "native")
    assert isinstance(world, NativeWorld)
    wanted = np.asarray(digest_of(world, seed, jnp.asarray(pads)))
    given = {
        "image": base64.b64encode(pack(params, arch)).decode(),
        "columns": machine._columns(arch.cfg),
        "seed": {name: np.asarray(value).tolist() for name, value in vars(seed).items()},
        "pads": pads.tolist(),
    }
    assert visit(place.url).evaluate(RUN, given)[0] == digests.hexdigest(wanted)


SURE = """async ({ seed, pads }) => {
  const { Machine } = await import("/static/machine.js");
  const code = await (await fetch("/static/machine.wasm")).arrayBuffer();
  const machine = await Machine.of(code, await (await fetch("/api/cartridge")).json());
  machine.begin(seed);
  return pads.map((pair) => { machine.step(pair); return Array.from(machine.confidence()); });
}"""


class Overheard(oracle.World):
    """The plain NumPy machine, which keeps what its heads said."""

    def next_frame(self, last: oracle.Frame, pads, numbers, on, logits) -> oracle.Frame:
        self.said = numbers, logits
        return super().next_frame(last, pads, numbers, on, logits)


def test_how_sure_the_model_was(visit: Open, place: Place) -> None:
    loaded = converters.load_cartridge(EMBEDDED)
    units = machine.confidence_units(loaded)
    seed, pads, _ = read_machine(place.played, loaded.world.cfg)
    pads = pads[:8]
    twin = Overheard(jax.tree.map(np.asarray, loaded.world.params), loaded.world.arch)
    twin.reset(as_oracle(seed))
    given = {"seed": place.played["machine"]["seed"], "pads": pads.tolist()}
    rows = np.array(visit(place.url).evaluate(SURE, given)).reshape(len(pads), 2, 5)
    vocab = loaded.world.cfg.action_vocab
    for row, pair in zip(rows, pads, strict=True):
        twin.step(pair)
        numbers, logits = twin.said
        for player in (0, 1):
            own = logits[player * vocab : (player + 1) * vocab] * units["action"]
            likely = np.exp(own - own.max()) / np.exp(own - own.max()).sum()
            # Core and velocity of both, then hitlag, stocks, combo and hitstun of each.
            hit = numbers[2 * 4 + 2 * 5 + 4 * player + 1] * units["hit"]
            first, second = np.sort(likely)[[-1, -2]]
            wanted = [first, likely.argmax(), second, 1 / (1 + np.exp(-hit))]
            np.testing.assert_allclose(row[player][[0, 1, 2, 4]], wanted, rtol=1e-5)
            assert likely[int(row[player][3])] == pytest.approx(second, rel=1e-5)


def test_a_hit_is_said_where_there_is_one(visit: Open, place: Place) -> None:
    """Above one half the model says a hit, and then percent rises: the page's own numbers."""
    page = visit(f"{place.url}/?match=match.json&frame=60")
    proof(page)
    said = page.evaluate(
        """() => {
          const { track } = awm.worlds[0];
          const { count, first } = track.confidence;
          const frames = Array.from({ length: count }, (_, i) => i + first);
          return [0, 1].map((p) => frames.map((f) => [track.confidence.get("hit", p, f) > 0.5,
            track.get("percent", p, f) > track.get("percent", p, f - 1) + 0.4,
            track.confidence.get("action", p, f) === track.get("action_state", p, f)]));
        }"""
    )
    hits, rises, same = np.array(said).transpose(2, 0, 1)
    assert hits.shape == (2, FRAMES) and (hits == rises).all()
    assert same.mean() > 0.9  # the game's rules decide the others


# A game in the page.


def start_game(page: Any, **choices: str) -> None:
    page.wait_for_selector(".setup")
    for name, value in choices.items():
        page.locator(f"select[name={name}]").select_option(value)
    page.locator(".go").click()
    page.wait_for_selector("[data-playing]")


def saved_game(page: Any, folder: Path) -> dict[str, Any]:
    with page.expect_download() as waited:
        page.locator(".after .save").click()
    waited.value.save_as(folder / "mine.json")
    return json.loads((folder / "mine.json").read_text())


def pads_of(match: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(match["machine"]["pads"]), np.int8).reshape(-1, 2, 8)


def test_a_game_by_keyboard(visit: Open, place: Place, tmp_path: Path) -> None:
    page = visit(place.url)
    page.get_by_role("link", name="Take a controller").click()
    start_game(page)
    assert page.locator(".deck .controls").is_visible()
    for keys in (["ArrowRight"], ["a", "j"], ["ArrowDown", "k"], ["o", "ArrowUp"], ["i"], [" "]):
        for key in keys:
            page.keyboard.down(key)
        page.wait_for_timeout(200)
        for key in keys:
            page.keyboard.up(key)
    page.keyboard.press("Escape")
    page.wait_for_selector(".after")
    match = saved_game(page, tmp_path)
    pads = pads_of(match)
    sticks = {tuple(pad) for pad in pads[:, 0, :4].tolist()}
    assert {(80, 0, 0, 0), (-80, 0, 0, 0), (0, -80, 0, 0), (0, 0, 0, 80)} <= sticks
    assert {1, 2, 4} <= set(pads[:, 0, 6].tolist()) and 8 in pads[:, 0, 7]
    assert (pads[:, 1] != 0).any(), "the agent pressed nothing"
    assert match["meta"]["outcome"] == "interrupted"
    assert (match["meta"]["p0_agent"], match["meta"]["p1_agent"]) == ("human", "policy:falco")
    verdict = verify(load_world(EMBEDDED, "recurrent", "auto")[0], match)
    assert verdict.holds, verdict.sentence
    assert set(place.played["meta"]) == set(match["meta"])
    place.put("mine.json", match)
    assert proof(visit(f"{place.url}/?match=mine.json"))[0] == f"verified {len(pads)} frames"


@pytest.mark.long
def test_a_game_by_gamepad_on_the_other_side(visit: Open, place: Place, tmp_path: Path) -> None:
    page = visit(f"{place.url}/?play")
    page.evaluate(
        """() => {
          const buttons = Array.from({ length: 17 }, (_, i) => ({ value: Number(i % 6 === 0) }));
          const gamepad = { connected: true, axes: [-1, 0.1, 0, 0.5], buttons };
          navigator.getGamepads = () => [null, gamepad];
        }"""
    )
    start_game(page, seat="1", agent="random", stage="32", you="1", rival="1")
    page.wait_for_timeout(1000)
    page.keyboard.press("Escape")
    match = saved_game(page, tmp_path)
    pads = pads_of(match)
    assert pads[:, 1].tolist() == [[-80, 0, 0, -40, -1, 0, 1, 5]] * len(pads)
    assert verify(load_world(EMBEDDED, "recurrent", "auto")[0], match).holds
    names = page.locator(".panel .name").all_inner_texts()
    assert [name.lower() for name in names] == ["fox 1", "fox 2"]


@pytest.mark.parametrize("width", [360, 3840])
def test_the_panel_fits(visit: Open, place: Place, width: int) -> None:
    page = visit(
        f"{place.url}/?play", viewport={"width": width, "height": 2160 if width > 999 else 800}
    )
    page.wait_for_selector(".setup")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    button = page.locator(".go").bounding_box()
    assert button and button["x"] >= 0 and button["x"] + button["width"] <= width
