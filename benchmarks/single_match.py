"""One match of production size: JAX windowed and recurrent beside a plain PyTorch loop.

    python benchmarks/single_match.py [--frames 300] [--json]

Run in a checkout, with the extra `torch`. All players of one count of threads take turns of a few
dozen frames, each in a process of its own pinned to its cores, so that other work on the machine
hits all alike. PyTorch plays twice: with the scan as a loop over the window, as the founders' code
does in a match, and as products of matrices, which is the best that the same network allows there.
The first frame is timed from the start of the process, the checkpoint on disk, for JAX without and
with compiled programs kept from before. It prints and asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

DIMS = {"d_model": 384, "d_state": 64, "n_layers": 4, "headdim": 64}
FLAGS = {"state_age_as_embed": True, "state_flags": True, "hitstun": True, "projectiles": True}
CONTEXT_LEN = 10
PLAYERS = ("torch loop", "torch matrix", "jax windowed", "jax recurrent")
BURST = 30
SETTLE = 3  # frames at the start of a burst that are not counted


# What a process of its own does


def jax_frames(checkpoint: str, context: str):
    """Yields after every frame."""
    from crank import cache, match
    from crank.playing import prepare

    cache.enable()
    setup = prepare(
        checkpoint,
        "noop",
        "hold-forward",
        context=context,
        max_frames=match.MAX_FRAMES,
        early_ko=False,
    )
    for frame, *_ in match.iterate(setup.world, setup.agents, setup.start, setup.rules):
        yield frame


def torch_frames(checkpoint: str, matrix: bool, threads: int):
    """The founders' loop in a few lines: window, both controllers, network, transition, clamps."""
    import torch
    from safetensors.numpy import load_file
    from support import twins

    from awm_jax.encoding import PREDICTED_CATEGORICAL, EncodingConfig, column_scale, columns
    from awm_jax.game.frames import neutral_pad, seed_frames
    from awm_jax.game.transition import CLAMPS

    torch.set_num_threads(threads)
    if matrix:
        twins.scan = _matrix_scan
    cfg = EncodingConfig(**FLAGS)
    twin = twins.make_twin("mamba2", cfg, CONTEXT_LEN, DIMS)
    twins.load_twin(twin, load_file(checkpoint))
    start = seed_frames(cfg, CONTEXT_LEN, 32, (2, 2))
    floats, ints = (torch.from_numpy(v) for v in (start.floats, start.ints.astype("int64")))
    where, fp, ipp = columns(cfg), cfg.float_per_player, cfg.int_per_player
    neutral = torch.from_numpy(neutral_pad())
    number = CONTEXT_LEN
    while True:
        with torch.inference_mode():
            forward = neutral.clone()
            forward[0], forward[5] = 1.0, float(number % 10 < 3)
            pads = neutral, forward
            outputs = twin(floats[None], ints[None], torch.cat(pads)[None])
            halves = {name: value[0].chunk(2) for name, value in outputs.items()}
            new, row = floats[-1].clone(), ints[-1].clone()
            for p in (0, 1):
                block = new[p * fp : (p + 1) * fp]
                block[where.core] += halves["continuous_delta"][p]
                block[where.velocity] += halves["velocity_delta"][p]
                block[where.dynamics] = halves["dynamics_pred"][p]
                block[where.binary] = (halves["binary_logits"][p] > 0).float()
                block[where.controller] = pads[p]
                for name, (low, high) in CLAMPS.items():
                    scale = column_scale(cfg, name)
                    block[where[name]].clamp_(low * scale, high * scale)
                state = row[p * ipp : (p + 1) * ipp]
                before = state[0].clone()
                for name in PREDICTED_CATEGORICAL:
                    choice = outputs[f"p{p}_{name}_logits"][0].argmax()
                    state[where.int_index[name]] = choice
                age = state[where.int_index["state_age"]]
                age.copy_((age + 1).clamp(max=149) if state[0] == before else age * 0)
            floats = torch.cat([floats[1:], new[None]])
            ints = torch.cat([ints[1:], row[None]])
        number += 1
        yield floats[-1]


def _matrix_scan(x, dt, A, B, C, state=None):
    """The scan from zero state as products over one window; returns no state."""
    import torch

    length = x.shape[1]
    decay = torch.cumsum(A * dt, 1).transpose(1, 2)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    within = (decay[..., :, None] - decay[..., None, :]).masked_fill(~causal, float("-inf")).exp()
    weights = (C @ B.transpose(1, 2))[:, None] * within
    return torch.einsum("bhij,bjhp->bihp", weights, dt[..., None] * x), torch.zeros(0)


def work(player: str, checkpoint: str, threads: int) -> None:
    """Play as many frames as each line of stdin says; answer with their milliseconds."""
    if player.startswith("torch"):
        frames = torch_frames(checkpoint, player.endswith("matrix"), threads)
    else:
        frames = jax_frames(checkpoint, player.removeprefix("jax "))
    next(frames)
    print("first", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            began = time.perf_counter()
            next(frames)
            times.append((time.perf_counter() - began) * 1e3)
        print(json.dumps(times), flush=True)


# What starts and asks them


class Worker:
    """A process that plays, and how long its first frame took, in seconds."""

    def __init__(self, player: str, checkpoint: str, threads: int, cache: str):
        cores = sorted(os.sched_getaffinity(0))[:threads]
        environment = os.environ | {
            "AWM_CACHE_DIR": cache,
            "OMP_NUM_THREADS": str(threads),
            "JAX_PLATFORMS": "cpu",
        }
        if threads == 1:
            flags = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
            environment["XLA_FLAGS"] = flags.strip()
        command = [sys.executable, __file__, "--work", player, checkpoint, str(threads)]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.answer()
        self.first = time.perf_counter() - began

    def answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a player ended with {self.process.wait()}")
        return line

    def play(self, frames: int) -> list[float]:
        assert self.process.stdin is not None
        print(frames + SETTLE, file=self.process.stdin, flush=True)
        return json.loads(self.answer())[SETTLE:]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def make_checkpoint(path: Path) -> None:
    """A world of production size with random weights, and its settings."""
    import numpy as np
    from safetensors.numpy import save_file

    from awm_jax.encoding import EncodingConfig
    from awm_jax.fp32.weights import torch_shapes
    from converters.checkpoint import Spec

    spec = Spec("mamba2", EncodingConfig(**FLAGS), CONTEXT_LEN, DIMS)
    rng = np.random.default_rng(0)
    shapes = torch_shapes(spec.abstract())
    weights = {k: rng.normal(0, 0.03, s).astype(np.float32) for k, s in shapes.items()}
    save_file(weights, path)
    settings = spec.to_dict()
    kept = {key: settings[key] for key in ("arch", "encoding_config", "context_len")}
    path.with_suffix(".json").write_text(json.dumps(kept))


def measure(threads: int, frames: int, checkpoint: str) -> list[dict[str, Any]]:
    """One row for each player, all at one count of threads."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        workers = []
        for player in PLAYERS:
            row: dict[str, Any] = {"player": player, "threads": threads}
            worker = Worker(player, checkpoint, threads, cache)
            if player.startswith("jax"):
                worker.close()
                row["first_frame_cold_s"] = worker.first
                worker = Worker(player, checkpoint, threads, cache)
            row["first_frame_s"] = worker.first
            workers.append(worker)
            rows.append(row)
        times: list[list[float]] = [[] for _ in workers]
        for _ in range(-(-frames // BURST)):
            for worker, kept in zip(workers, times, strict=True):
                kept += worker.play(BURST)
        for worker in workers:
            worker.close()
    for row, kept in zip(rows, times, strict=True):
        ordered = sorted(kept)
        row["median_ms"] = ordered[len(ordered) // 2]
        row["p99_ms"] = ordered[len(ordered) * 99 // 100]
        row["frames"] = len(kept)
    return rows


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{report['machine']}, {report['cores']} cores, load {report['load'][0]:.1f}",
        "player          threads  median ms   p99 ms  first frame s (cold)",
    ]
    for row in report["rows"]:
        cold = row.get("first_frame_cold_s")
        lines.append(
            f"{row['player']:<15} {row['threads']:>7} {row['median_ms']:>10.2f} "
            f"{row['p99_ms']:>8.2f} {row['first_frame_s']:>14.1f}"
            + (f" ({cold:.1f})" if cold is not None else "")
        )
    for against in ("torch loop", "torch matrix"):
        best = min(r["median_ms"] for r in report["rows"] if r["player"] == against)
        for player in PLAYERS[2:]:
            mine = [r for r in report["rows"] if r["player"] == player]
            times = ", ".join(
                f"{best / r['median_ms']:.1f}x at {r['threads']} thread{'s' * (r['threads'] > 1)}"
                for r in mine
            )
            lines.append(f"{player} against the best {against}: {times}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--frames", type=int, default=300, help="frames of each player")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        player, checkpoint, threads = options.work
        work(player, checkpoint, int(threads))
        return
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "world.safetensors"
        make_checkpoint(checkpoint)
        rows = [
            row
            for threads in options.threads
            for row in measure(threads, options.frames, str(checkpoint))
        ]
    report = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "rows": rows,
    }
    print(json.dumps(report, indent=2) if options.json else table(report))


if __name__ == "__main__":
    main()
