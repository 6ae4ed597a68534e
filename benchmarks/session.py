"""A session on the real validator: committed frames per second, latency of an input.

    python benchmarks/session.py [--frames 600] [--slots 50 16] [--on-chain]

Starts a rollup, opens a session, lets two agents play as clients (each a process of its own, as the
crank is), and prints one row for each block time. Latency is the time from sending an input to
seeing its frame committed. Work is the crank's own for a frame (step, encode, hash, sign); node is
the time in which it waits for the node's answer; cpu what its process takes of the processors from
one frame to the next, whatever else they do. Beside a median stands the tenth percentile: what the
machine does when nothing disturbs it. `--on-chain`: the program computes the frames.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

AWM = [sys.executable, "-m", "crank"]
PORT = 28899
POLICIES = ("random", "hold-forward")
WARM = 60
"""Frames left out at the start: they wait for compiling."""
COLUMNS = (
    "frames/s",
    "input p50",
    "p99",
    "p10",
    "work p50",
    "p10",
    "node p50",
    "p10",
    "cpu p50",
    "p10",
)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr or f"{command} failed")
    return done.stdout.strip()


def quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")


def measure(folder: Path, cartridge: str, slot_ms: int, frames: int, on_chain: bool) -> None:
    where = ["--rpc", f"http://127.0.0.1:{PORT}"]
    up = subprocess.Popen(
        [*AWM, "er", "up", "--port", str(PORT), "--slot-ms", str(slot_ms)],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert up.stdout is not None
        if not up.stdout.readline():
            sys.exit("the rollup did not start")
        shard = []
        if on_chain:
            made = run([*AWM, "weights", "upload", cartridge, *where], folder)
            shard = ["--on-chain", made.splitlines()[-1]]
        opened = [*AWM, "session", "create", "--world", cartridge, "--max-frames", str(frames)]
        session = ["--session", run([*opened, *shard, *where], folder)]
        run([*AWM, "session", "join", *session, *where], folder)
        world = ["--world", cartridge, "--json"]
        agents = [
            subprocess.Popen(
                [*AWM, "agent", *session, *world, "--player", str(p), "--policy", name, *where],
                cwd=folder,
                stdout=subprocess.PIPE,
                text=True,
            )
            for p, name in enumerate(POLICIES)
        ]
        cranked = json.loads(run([*AWM, "crank", *session, *world, *shard, *where], folder))
        told = [json.loads(agent.communicate()[0]) for agent in agents]
    finally:
        up.terminate()
        up.wait(20)
    latency = [v for one in told for v in one["latency_ms"][WARM:]]
    spent = [cranked[name][WARM:] for name in ("work_ms", "node_ms", "cpu_ms")]
    at = cranked["at_ms"][WARM:]
    row = [1000 * (len(at) - 1) / (at[-1] - at[0]) if len(at) > 1 else float("nan")]
    row += [quantile(latency, q) for q in (0.5, 0.99, 0.1)]
    row += [quantile(values, q) for values in spent for q in (0.5, 0.1)]
    cells = "".join(f"{value:>10.2f}" for value in row)
    print(f"{slot_ms:>7}{cranked['frame']:>8}{cells}  {cranked['digest']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--slots", type=int, nargs="+", default=[50, 16])
    parser.add_argument("--cartridge", default="embedded")
    parser.add_argument("--on-chain", action="store_true")
    args = parser.parse_args()
    given = args.cartridge
    cartridge = str(Path(given).resolve()) if Path(given).is_dir() else given
    print(f"all in ms but frames/s; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("slot ms  frames" + "".join(f"{name:>10}" for name in COLUMNS) + "  digest")
    for slot in args.slots:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), cartridge, slot, args.frames, args.on_chain)


if __name__ == "__main__":
    main()
