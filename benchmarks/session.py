"""A session on the real validator: committed frames per second, latency of an input.

    python benchmarks/session.py [--frames 600] [--slots 50 16] [--on-chain]

Starts a rollup, opens a session in a made-up world, lets two agents play as clients (each a process
of its own, as the crank is), and prints one row for each block time. Latency is the time from
sending an input to seeing its frame committed. `--on-chain`: the program computes the frames.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

AWM = [sys.executable, "-m", "crank"]
CONVERT = [sys.executable, "-m", "converters"]
PORT = 28899


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
            for p, name in enumerate(("random", "hold-forward"))
        ]
        cranked = json.loads(run([*AWM, "crank", *session, *world, *shard, *where], folder))
        told = [json.loads(agent.communicate()[0]) for agent in agents]
    finally:
        up.terminate()
        up.wait(20)
    # The first frames wait for compiling; a second of the match's own is left out.
    latency = [v for one in told for v in one["latency_ms"][60:]]
    work, send = cranked["work_ms"][60:], cranked["send_ms"][61:]
    per_frame = sum(told[0]["latency_ms"][60:]) / max(1, len(told[0]["latency_ms"][60:]))
    print(
        f"{slot_ms:>7} {cranked['frame']:>7} {1000 / per_frame:>9.1f} "
        f"{quantile(latency, 0.5):>9.2f} {quantile(latency, 0.99):>8.2f} "
        f"{quantile(work, 0.5):>8.2f} {quantile(send, 0.5):>8.2f}  {cranked['digest']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--slots", type=int, nargs="+", default=[50, 16])
    parser.add_argument("--cartridge", help="default: a made-up one")
    parser.add_argument("--on-chain", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cartridge = str(Path(args.cartridge).resolve()) if args.cartridge else "made/cartridge"
        if not args.cartridge:
            run([*AWM, "demo", "--out", "made", "--max-frames", "1"], folder)
            made = ["quantize", "made/world", cartridge, "--synthetic", "--mode", "recurrent"]
            run([*CONVERT, *made], folder)
        print("slot ms  frames  frames/s  input ms, median and p99   step ms  send ms  digest")
        for slot in args.slots:
            measure(folder, cartridge, slot, args.frames, args.on_chain)


if __name__ == "__main__":
    main()
