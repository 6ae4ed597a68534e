"""Small runs of many matches, and a program that plays one and kills itself on the way.

`python -m support.batches OUT KILL_AT DEVICES ENGINE` plays `small_spec` into OUT and prints the
digest of all rows; KILL_AT matches after its start it dies by SIGKILL (0: never).
"""

from __future__ import annotations

import functools
import hashlib
import os
import signal
import sys

from awm_jax.int8.engine import make_world
from crank.batch import BatchSpec, Entrant, Results, draw_matches, run_batch
from support.int_worlds import SMALL, PolicyArch, arch_of, on_device, policy_of, random_world

FRAMES = 80
STAGES, CHARACTERS = (2, 8, 32), ((2, 9), (1, 20, 22))
ARCH = arch_of()
POLICY = PolicyArch(SMALL, 3, 16, 8)
PAIRS = [("one", "two"), ("two", "one")]


@functools.cache
def small_world(engine: str = "auto"):
    return make_world(on_device(random_world(3, ARCH)), ARCH, engine)  # pyright: ignore


@functools.cache
def entrants() -> dict[str, Entrant]:
    """Two policies of the same shapes, and two scripted agents."""
    policies = {
        name: Entrant(policy_of(seed, POLICY, ARCH)) for name, seed in (("one", 1), ("two", 2))
    }
    return policies | {name: Entrant(name) for name in ("random", "noop")}


def small_spec(matches: int, pairs=PAIRS, engine: str = "auto", **changes) -> BatchSpec:
    """Matches of at most `FRAMES` frames in a world where many end earlier."""
    drawn = draw_matches(pairs, matches, seed=5, stages=STAGES, characters=CHARACTERS)
    fields = {"max_frames": FRAMES} | changes
    return BatchSpec(small_world(engine), entrants(), drawn, **fields)


def whole_digest(results: Results) -> str:
    """Of all rows."""
    return hashlib.sha256(repr(list(results.rows)).encode()).hexdigest()


def main(out: str, kill_at: int, devices: int, engine: str) -> None:
    def maybe_die(progress) -> None:
        if kill_at and progress.played >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    results = run_batch(
        small_spec(60, [("random", "noop")], engine),
        out,
        resume=True,
        slots=8,
        devices=devices,
        chunk=15,
        record=(0, 3, 41),
        save_every=0.0,
        on_progress=maybe_die,
    )
    print(whole_digest(results))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
