"""The integer machine and the page in a headless browser: `python benchmarks/browser.py`.

Prints the time of a step and of a policy's act in the browser and in the native kernel, how fast a
recorded match is checked, and over a match of 28,800 frames, in each look: how long a frame takes
to draw (panels and pixels included), and time and CPU time from picture to picture while the page
plays it at four times the speed. Needs Chromium, Playwright and the extra serve.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from playwright.sync_api import sync_playwright  # noqa: E402
from support.serving import serving  # noqa: E402

from awm_jax.cartridges import EMBEDDED  # noqa: E402
from crank.playing import load_world, prepare  # noqa: E402
from crank.watch.library import Library  # noqa: E402
from crank.watch.server import make_app  # noqa: E402

TIMES = """async ({ frames }) => {
  const { Machine } = await import("/static/machine.js");
  const code = await (await fetch("/static/machine.wasm")).arrayBuffer();
  const cartridge = await (await fetch("/api/cartridge")).json();
  const [policy] = Object.keys(cartridge.policies);
  const image = new Uint8Array(await (await fetch(`/api/policy?name=${policy}`)).arrayBuffer());
  const of = async (agent) => {
    const machine = await Machine.of(code, cartridge);
    machine.seat(0, "random");
    machine.seat(1, agent);
    machine.begin(cartridge.seed, 1, 0);
    const times = [];
    for (let t = 0; t < frames; t++) {
      const started = performance.now();
      for (let k = 0; k < 10; k++) machine.step([null, null]);
      times.push((performance.now() - started) / 10);
    }
    return times;
  };
  return [await of("random"), await of(image)];
}"""


DRAW = """async (look) => {
  const { playback, worlds: [{ scene, hud, track }] } = awm;
  playback.playing = false;
  awm.setMode(look);
  const times = [];
  for (let i = 0; i < 360; i++) {
    const frame = (i * 7919) % track.count;
    const started = performance.now();
    scene.draw(frame, look);
    hud.update(track, frame, false);
    scene.ctx.getImageData(0, 0, 1, 1);  // waits until it is on the canvas
    times.push(performance.now() - started);
    if (i % 20 === 0) await new Promise((on) => setTimeout(on));
  }
  return times;
}"""
PLAY = """([look, first, last]) => new Promise((done) => {
  const { playback, frameTimes } = awm;
  awm.setMode(look);
  Object.assign(playback, { frame: first, speed: 4, playing: true, loop: null });
  frameTimes.length = 0;
  const wait = () => {
    if (playback.shown < last - 4) return requestAnimationFrame(wait);
    playback.playing = false;
    done(frameTimes.slice(1));
  };
  requestAnimationFrame(wait);
})"""
LOOKS = ("wire", "character", "data", "xray")


def frame_times(milliseconds: Any) -> str:
    values = np.asarray(milliseconds)
    middle, most = np.percentile(values, (50, 99))
    return f"median {middle:.1f} ms, 99 %: {most:.1f} ms, longest {values.max():.0f} ms"


def spread(milliseconds: Any) -> str:
    low, middle, high = np.percentile(np.asarray(milliseconds), (5, 50, 95))
    return f"{middle:.3f} ms (5 to 95 %: {low:.3f} to {high:.3f})"


def cpu_seconds() -> float:
    """CPU time that this process's descendants have used: the browser's, on any load the same."""
    parents, used = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        parents[pid], used[pid] = int(fields[1]), int(fields[11]) + int(fields[12])

    def ours(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return sum(ticks for pid, ticks in used.items() if ours(pid)) / os.sysconf("SC_CLK_TCK")


def native(frames: int) -> list[float]:
    """Milliseconds a frame of `random` against `random` in the native kernel through JAX."""
    world = load_world(EMBEDDED, None, "native")[0]
    setup = prepare(EMBEDDED, "noop", "noop", max_frames=1, seed_action=14)
    state = jax.jit(world.reset)(jax.tree.map(np.asarray, setup.start))
    rng = np.random.Generator(np.random.PCG64(1))
    pads = rng.integers(-80, 80, (10, 2, 8)).astype(np.int32)

    @jax.jit
    def ten(state, pads):
        return jax.lax.scan(lambda s, p: (world.step(s, p)[0], None), state, pads)[0]

    times = []
    for _ in range(frames):
        started = time.perf_counter()
        state = jax.block_until_ready(ten(state, pads))
        times.append((time.perf_counter() - started) * 100)
    return times[1:]


def long_match(folder: Path, frames: int) -> None:
    setup = prepare(
        EMBEDDED,
        "policy:fox",
        "policy:falco",
        stage="battlefield",
        characters=("fox", "falco"),
        max_frames=frames,
        early_ko=False,
        seed_action=14,
    )
    (folder / "long.json").write_text(json.dumps(setup.run().to_object()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=28_800, help="of the long match")
    parser.add_argument("--match", type=Path, help="a match file of the embedded cartridge instead")
    parser.add_argument("--size", default="1280x800", help="of the page")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    chromium = os.environ.get("AWM_CHROMIUM") or shutil.which("chromium")
    print(f"{os.cpu_count()} CPU cores, load {os.getloadavg()[0]:.1f}")
    print(f"native kernel, a step:             {spread(native(60))}")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        if args.match is None:
            long_match(Path(name), args.frames)
        else:
            shutil.copy(args.match, Path(name) / "long.json")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with serving(make_app(Library(Path(name)))) as place:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(600_000)
            page.goto(f"http://{place}/")
            print(f"Chromium {browser.version}, headless, no GPU, {args.size}")
            plain, trained = page.evaluate(TIMES, {"frames": 60})
            print(f"browser, random against random:    {spread(plain)}")
            print(f"browser, random against a policy:  {spread(trained)}")
            page.goto(f"http://{place}/?match=long.json&frame=0")
            page.wait_for_selector("[data-state=match]")
            page.evaluate("awm.proofs[0].end()")
            quarter = page.evaluate("awm.worlds[0].track.count") // len(LOOKS)
            for i, look in enumerate(LOOKS):
                times = page.evaluate(DRAW, look)
                print(f"{look:>10}, to draw a frame:       {frame_times(times)}")
                before = cpu_seconds()
                times = page.evaluate(PLAY, [look, i * quarter, (i + 1) * quarter])
                cpu = 1000 * (cpu_seconds() - before) / len(times)
                print(f"{look:>10}, picture to picture:    {frame_times(times)}")
                print(f"{look:>10}, CPU time of a picture: {cpu:.1f} ms, all processes")
            page.goto(f"http://{place}/?match=long.json&frame=0")
            page.wait_for_selector("[data-state=match]")
            page.evaluate("() => { awm.frameTimes.length = 0; awm.playback.playing = true; }")
            page.wait_for_function("() => awm.proofs[0].said?.state === 'verified'")
            times = page.evaluate("awm.frameTimes")
            print(f"pictures while it checks:          {frame_times(times)}")
            said = page.evaluate("awm.proofs[0].said")
            rate = 1000 * said["count"] / said["milliseconds"]
            print(f"checked {said['count']} frames: {rate:.0f} a second")
            print(f"load {os.getloadavg()[0]:.1f}")
        browser.close()


if __name__ == "__main__":
    main()
