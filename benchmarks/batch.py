"""Match-frames a second of many matches at once, by engine, batch and agents, side by side.

`PYTHONPATH=.:tests python benchmarks/batch.py` from the checkout. A network of production size with
random weights (or `--cartridge FOLDER`), matches of `--frames` without early KO, so that all slots
are busy; each figure is the second of two equal runs, compilation left out. `--profile` adds the
world's step alone. Beside wall-clock time the CPU time a match-frame is given, which a busy
machine disturbs less. Prints a table, or JSON with --json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from typing import Any

import jax
import jax.numpy as jnp
from int8_step import ARCH, CFG, torch_frame
from support.int_worlds import on_device, policy_of, random_world

from awm_jax.int8.engine import make_world, native_available
from awm_jax.int8.policy import PolicyArch
from crank.batch import BatchSpec, Entrant, draw_matches, run_batch
from crank.batch import slots as device
from crank.batch.loading import load
from crank.playing import load_world

POLICY = PolicyArch(CFG, ARCH.context_len, hidden_dim=512, trunk_dim=256)
STAGES, CHARACTERS = (2, 3, 8, 28, 31, 32), ((2, 9, 20), (1, 20, 22))
PEAK_BYTES = 3.35e12  # H100 SXM, a second


def spec_of(world: Any, pair: tuple[str, str], matches: int, frames: int) -> BatchSpec:
    entrants = {
        name: Entrant(policy_of(seed, POLICY, ARCH)) for name, seed in (("one", 1), ("two", 2))
    } | {name: Entrant(name) for name in ("random", "hold-forward")}
    drawn = draw_matches([pair], matches, seed=1, stages=STAGES, characters=CHARACTERS)
    return BatchSpec(world, entrants, drawn, max_frames=frames, early_ko=False)


def timed(spec: BatchSpec, slots: int) -> dict[str, float]:
    """The second of two equal runs."""
    loaded = load(spec)
    run_batch(loaded, slots=slots)
    wall, cpu = time.perf_counter(), time.process_time()
    results = run_batch(loaded, slots=slots)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    frames = sum(row.frames for row in results.rows)
    return {
        "frames/s": frames / wall,
        "cpu us": cpu / frames * 1e6,
        "matches/s": len(results) / wall,
    }


def state_bytes(spec: BatchSpec) -> int:
    """Bytes of one match on the device."""
    loaded = load(spec)
    match = spec.matches[0]
    pair = (loaded.agents[match.p0], loaded.agents[match.p1])
    return device.bytes_of(device.shapes(loaded.world, pair, loaded.start(match), 1))


def world_alone(world: Any, count: int, repeats: int = 50) -> dict[str, float]:
    """Microseconds a match-frame of the world's step; the agents' share is what a row adds."""
    loaded = load(spec_of(world, ("one", "two"), 1, 10))
    start = loaded.start(loaded.spec.matches[0])
    starts = jax.tree.map(lambda v: jnp.stack([jnp.asarray(v)] * count), start)
    state = jax.vmap(loaded.world.reset)(starts)
    pads = jnp.zeros((count, 2, 8), jnp.int32)

    @jax.jit
    def roll(world, state):
        step = jax.vmap(lambda s, p: world.step(s, p)[0])
        return jax.lax.fori_loop(0, repeats, lambda _, s: step(s, pads), state)

    jax.block_until_ready(roll(loaded.world, state))
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(roll(loaded.world, state))
    scale = 1e6 / (count * repeats)
    return {
        "wall": (time.perf_counter() - wall) * scale,
        "cpu": (time.process_time() - cpu) * scale,
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    rows = []
    for engine in args.engines:
        if args.cartridge:
            world = load_world(args.cartridge, None, engine)[0]
        else:
            params = on_device(random_world(1, ARCH))
            world = make_world(params, ARCH, engine)
        for pair in (("one", "two"), ("random", "hold-forward")):
            for slots in args.slots:
                matches = max(slots * args.fills, 1)
                spec = spec_of(world, pair, matches, args.frames)
                row = {"engine": engine, "agents": "/".join(pair), "slots": slots}
                rows.append(row | {"matches": matches, "state": state_bytes(spec)})
                rows[-1] |= timed(spec, slots)
                print(json.dumps(rows[-1]), flush=True) if args.verbose else None
        if args.profile:
            alone = world_alone(world, max(args.slots))
            rows.append({"engine": engine, "world alone us": alone})
            print(json.dumps(rows[-1]), flush=True) if args.verbose else None
    frame = torch_frame()
    return {
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "native": native_available()[1],
        "rows": rows,
        "torch frames/s": None if frame is None else 1 / frame,
        "peak resident MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def report(r: dict[str, Any]) -> None:
    print(f"{r['device']}, {r['cores']} cores, load {r['load']:.1f}, {r['native']}")
    print("engine  agents               slots  matches  match-frames/s  cpu us   of memory bound")
    for row in r["rows"]:
        if alone := row.get("world alone us"):
            print(f"{row['engine']:7} world alone: {alone['wall']:.0f} us, cpu {alone['cpu']:.0f}")
            continue
        share = row["frames/s"] * 2 * row["state"] / PEAK_BYTES
        bound = f"{share:.0%}" if jax.default_backend() == "gpu" else "-"
        print(
            f"{row['engine']:7} {row['agents']:20} {row['slots']:5} {row['matches']:8}"
            f" {row['frames/s']:15,.0f} {row['cpu us']:7.0f} {bound:>17}"
        )
    if r["torch frames/s"]:
        print(f"PyTorch, one match, world alone: {r['torch frames/s']:.0f} frames/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="each row as soon as it is there")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--cartridge", help="instead of random weights")
    parser.add_argument("--engines", nargs="*", default=["native", "xla"])
    parser.add_argument("--slots", type=int, nargs="*", default=[1, 64, 512, 2048])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--fills", type=int, default=1, help="matches a slot")
    args = parser.parse_args()
    result = measure(args)
    print(json.dumps(result, indent=1)) if args.json else report(result)


if __name__ == "__main__":
    main()
