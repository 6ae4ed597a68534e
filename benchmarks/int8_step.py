"""The integer world step, native and XLA, at production size.

`PYTHONPATH=.:tests python benchmarks/int8_step.py` from the checkout. Random weights. Matches
are rolled inside one jitted scan, states donated. Wall-clock and CPU time are both given: on a
shared machine only the second says what the step costs. Prints a table, or JSON with --json.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from support.int_worlds import on_device, random_frames, random_pads, random_world

from awm_jax.encoding import EncodingConfig
from awm_jax.int8.engine import make_world, native_available
from awm_jax.int8.native.image import pack
from awm_jax.int8.native.programs import build
from awm_jax.int8.params import Arch

CFG = EncodingConfig(state_age_as_embed=True, projectiles=True, state_flags=True, hitstun=True)
ARCH = Arch(CFG, d_model=384, d_state=64, n_layers=4, headdim=64, context_len=10, recurrent=True)


@functools.partial(jax.jit, donate_argnums=1)
def roll_one(world, state, pads):
    def body(state, one):
        state, frame = world.step(state, one)
        return state, frame.cont[0, 0]

    return jax.lax.scan(body, state, pads)


@functools.partial(jax.jit, donate_argnums=1)
def roll_batch(world, state, pads):
    def body(state, one):
        state, frame = jax.vmap(world.step)(state, one)
        return state, frame.cont[:, 0, 0]

    return jax.lax.scan(body, state, pads)


def timed(roll, world, state, pads, repeats: int) -> dict[str, float]:
    """Best of `repeats` after one for compilation: seconds of wall and of CPU a match-frame."""
    count = pads.shape[0] * (pads.shape[1] if pads.ndim == 4 else 1)
    best = {"wall": float("inf"), "cpu": float("inf")}
    state = jax.block_until_ready(jax.tree.map(jnp.copy, state))
    for i in range(repeats + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        state, out = roll(world, state, pads)
        jax.block_until_ready(out)
        if i:
            best["wall"] = min(best["wall"], (time.perf_counter() - wall) / count)
            best["cpu"] = min(best["cpu"], (time.process_time() - cpu) / count)
    return best


def kernels(blob: bytes) -> dict[str, list[float]]:
    """`awm-bench`: per path GMAC/s of 8 rows and of 1, scan us in cache and from memory."""
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder), "awm-bench")
        image = Path(folder) / "image"
        image.write_bytes(blob)
        text = subprocess.run([program, image], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return {name: [float(v) for v in values] for name, *values in rows}


def macs(params) -> int:
    """Multiply-adds of one frame's products."""
    leaves = [v for v in jax.tree.leaves(params) if v.dtype == np.int8 and v.ndim == 2]
    tables = sum(v.size for v in params.inputs.embeddings.values())
    convs = sum(layer.conv_w.size for layer in params.layers)
    return sum(v.size for v in leaves) - tables - convs


def torch_frame(repeats: int = 20) -> float | None:
    """Seconds of one windowed frame of a PyTorch twin of the network; None without torch."""
    try:
        import torch
        from support.twins import TwinMamba2
    except ImportError:
        return None
    twin = TwinMamba2(
        CFG,
        context_len=ARCH.context_len,
        d_model=ARCH.d_model,
        d_state=ARCH.d_state,
        n_layers=ARCH.n_layers,
        headdim=ARCH.headdim,
    )
    floats = torch.zeros(1, ARCH.context_len, CFG.float_per_frame)
    ints = torch.zeros(1, ARCH.context_len, CFG.int_per_frame, dtype=torch.long)
    ctrl = torch.zeros(1, CFG.ctrl_conditioning_dim)
    best = float("inf")
    with torch.no_grad():
        for _ in range(repeats):
            start = time.perf_counter()
            twin(floats, ints, ctrl)
            best = min(best, time.perf_counter() - start)
    return best


def measure(batches: list[int], engines: list[str], budget: int) -> dict[str, Any]:
    params = random_world(1, ARCH)
    seed = random_frames(2, CFG, ARCH.context_len)
    out: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load before": os.getloadavg()[0],
        "native": native_available()[1],
        "kernels": kernels(pack(params, ARCH)),
        "MACs a frame": macs(params),
        "state bytes a match": ARCH.n_layers * ARCH.d_inner * ARCH.d_state * 2,
        "rows": [],
    }
    for engine in engines:
        world = make_world(on_device(params), ARCH, engine)  # pyright: ignore[reportArgumentType]
        state = jax.jit(lambda w: w.reset(seed))(world)
        frames = 1000 if engine == "native" else 200
        pads = jnp.asarray(random_pads(3, frames))
        out["rows"].append(
            {"engine": engine, "batch": 1, "threads": 1} | timed(roll_one, world, state, pads, 5)
        )
        for batch in batches:
            many = jax.tree.map(lambda v, n=batch: jnp.stack([v] * n), state)
            scale = 1 if engine == "native" else 4
            pads = jnp.asarray(random_pads(3, max(2, budget // batch // scale), batch))
            for threads in (1, os.cpu_count()) if engine == "native" else (0,):
                if engine == "native":
                    world = dataclasses.replace(world, threads=threads)
                row = timed(roll_batch, world, many, pads, 3)
                out["rows"].append({"engine": engine, "batch": batch, "threads": threads} | row)
    out["torch windowed frame ms"] = None if (t := torch_frame()) is None else t * 1e3
    out["load after"] = os.getloadavg()[0]
    return out


def report(r: dict[str, Any]) -> None:
    best = next(iter(r["kernels"]))
    of_eight, _, _, streamed = r["kernels"][best]
    product_us = r["MACs a frame"] / of_eight / 1e3
    bound = product_us + streamed
    print(f"{r['machine']}, {r['cores']} cores, load {r['load before']:.1f}..{r['load after']:.1f}")
    print(f"{r['native']}; {r['state bytes a match']:,} bytes of state a match")
    print(f"{r['MACs a frame']:,} MACs a frame")
    for name, (a, b, c, d) in r["kernels"].items():
        print(
            f"  {name:7} {a:6.1f} GMAC/s (8 rows) {b:6.1f} (1 row), scan {c:.0f} us in"
            f" cache, {d:.0f} from memory; one core, CPU time"
        )
    print(f"bound of one core: {product_us:.0f} products + {streamed:.0f} scan = {bound:.0f} us")
    print("engine  batch threads  wall us  match-frames/s   CPU us  of the bound")
    for row in r["rows"]:
        wall, cpu = row["wall"] * 1e6, row["cpu"] * 1e6
        threads = row["threads"] or "XLA's"
        print(
            f"{row['engine']:7} {row['batch']:5} {threads:>7} {wall:8.0f} {1e6 / wall:15,.0f}"
            f" {cpu:8.0f} {bound / cpu:12.0%}"
        )
    native = [x for x in r["rows"] if x["engine"] == "native" and x["batch"] >= 64]
    if native:
        cpu = min(x["cpu"] for x in native) * 1e6
        print(f"share of the step: products {product_us / cpu:.0%}, scan {streamed / cpu:.0%}")
    if r["torch windowed frame ms"] is not None:
        print(f"a PyTorch windowed frame: {r['torch windowed frame ms']:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--batches", type=int, nargs="*", default=[64, 512, 2048])
    parser.add_argument("--engines", nargs="*", default=["native", "xla"])
    parser.add_argument("--budget", type=int, default=8192, help="match-frames of one run")
    args = parser.parse_args()
    result = measure(args.batches, args.engines, args.budget)
    print(json.dumps(result, indent=1)) if args.json else report(result)


if __name__ == "__main__":
    main()
