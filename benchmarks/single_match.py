"""One match: ms per frame of our float worlds and of a plain PyTorch loop, side by side in one run.

`python benchmarks/single_match.py [--frames N] [--json]` from the checkout, with the extras torch
and dev. The network has the production size (4,347,748 parameters) and random weights. Every row is
a process of its own; "first cold" is the time from start of the imports to the first frame with an
empty cache of compiled programs, "first warm" the same with the cache that the cold one left.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FLAGS = {"state_age_as_embed": True, "projectiles": True, "state_flags": True, "hitstun": True}
DIMS = {"d_model": 384, "d_state": 64, "n_layers": 4, "headdim": 64}
ROWS = ("jax windowed", "jax recurrent", "torch windowed")


def measure_jax(mode: str, frames: int) -> dict:
    started = time.perf_counter()
    from crank import cache

    cache.enable()
    import jax
    from flax import nnx

    from awm_jax.encoding import EncodingConfig
    from awm_jax.fp32 import FrameStackMamba2
    from awm_jax.fp32.world import Fp32World
    from awm_jax.game.frames import seed_frames
    from crank import match
    from crank.agents import HoldForward, Noop

    cfg = EncodingConfig(**FLAGS)
    model = FrameStackMamba2(cfg, **DIMS, rngs=nnx.Rngs(0))
    world = Fp32World.of(model, recurrent=mode == "recurrent")
    seed = seed_frames(cfg, world.context_len, 32, (2, 2))
    rules = match.Rules.of(frames, early_ko=False)
    times, last = [], None
    for made in match.iterate(world, (Noop(), HoldForward()), seed, rules):
        jax.block_until_ready(made[0])
        now = time.perf_counter()
        times.append(now - (started if last is None else last))
        last = now
    return {"first": times[0], "times": times[1:]}


def measure_torch(threads: int, frames: int) -> dict:
    started = time.perf_counter()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    import torch
    from support.twins import TwinMamba2

    from awm_jax.encoding import EncodingConfig
    from awm_jax.game.frames import seed_frames

    torch.set_num_threads(threads)
    cfg = EncodingConfig(**FLAGS)
    model = TwinMamba2(cfg, **DIMS).eval()
    seed = seed_frames(cfg, 10, 32, (2, 2))
    floats = torch.from_numpy(seed.floats)[None]
    ints = torch.from_numpy(seed.ints)[None].long()
    ctrl = torch.full((1, cfg.ctrl_conditioning_dim), 0.5)
    times, last = [], started
    with torch.no_grad():
        for _ in range(frames):
            model(floats, ints, ctrl)
            now = time.perf_counter()
            times.append(now - last)
            last = now
    return {"first": times[0], "times": times[1:]}


def child(row: str, threads: int, frames: int, folder: str) -> dict:
    """Run one row in a process of its own, bound to that many cores."""
    env = os.environ | {"AWM_CACHE_DIR": folder, "OMP_NUM_THREADS": str(threads)}
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))
    command = ["taskset", "-c", cores, sys.executable, __file__, "--child", row]
    command += ["--threads", str(threads), "--frames", str(frames)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", choices=ROWS)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.child:
        kind, mode = args.child.split()
        result = (
            measure_jax(mode, args.frames)
            if kind == "jax"
            else measure_torch(args.threads, args.frames)
        )
        print(json.dumps(result))
        return
    table = []
    for row in ROWS:
        for threads in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                cold = child(row, threads, 2, folder)["first"] if row != ROWS[2] else None
                run = child(row, threads, args.frames, folder)
            table.append(
                {
                    "row": row,
                    "threads": threads,
                    "median_ms": 1e3 * quantile(run["times"], 0.5),
                    "p99_ms": 1e3 * quantile(run["times"], 0.99),
                    "first_cold_s": cold,
                    "first_warm_s": run["first"],
                }
            )
    best = min(r["median_ms"] for r in table if r["row"] == ROWS[2])
    for r in table:
        r["times_torch"] = best / r["median_ms"]
    load = os.getloadavg()
    if args.json:
        print(json.dumps({"load": load, "rows": table}, indent=2))
        return
    print(f"load average {load[0]:.1f}; PyTorch's best median is 1.0")
    print(
        f"{'':16}{'threads':>8}{'median ms':>11}{'p99 ms':>9}{'cold s':>8}{'warm s':>8}{'ratio':>7}"
    )
    for r in table:
        cold = "" if r["first_cold_s"] is None else f"{r['first_cold_s']:.1f}"
        print(
            f"{r['row']:16}{r['threads']:>8}{r['median_ms']:>11.2f}{r['p99_ms']:>9.2f}"
            f"{cold:>8}{r['first_warm_s']:>8.1f}{r['times_torch']:>7.1f}"
        )


if __name__ == "__main__":
    main()
