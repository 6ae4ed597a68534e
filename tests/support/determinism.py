"""One sample match, and its digests in a process of its own."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.game import digest, rng
from awm_jax.int8.agents import Random
from awm_jax.int8.policy import PolicyArch
from support.int_worlds import FULL, arch_of, on_device, policy_of, random_frames, world_of
from support.oracle_run import play

ARCH = arch_of(FULL, context_len=2)
BATCH, FRAMES = 64, 40


@functools.cache
def sample(seed: int = 5):
    """(world, a policy and a random agent, seed frames) of a small match."""
    watcher = PolicyArch(FULL, context_len=2, hidden_dim=12, trunk_dim=10)
    agents = (policy_of(seed, watcher, ARCH), Random())
    return world_of(seed + 2, ARCH), agents, on_device(random_frames(seed + 3, FULL, 2))


def seeds(count: int) -> jax.Array:
    return jnp.asarray(np.stack([rng.seed_words(seed) for seed in range(count)]))


def batched_play(world, agents, seed_frames, words, frames: int):
    """`play` for words (B, 2): only the matches are batched, the weights are not."""
    return jax.vmap(lambda one: play(world, agents, seed_frames, one, frames))(words)


def batched_digests(count: int = BATCH, frames: int = FRAMES, **options) -> list[str]:
    """The last digest of the matches with seeds 0, 1, ... under compiler options."""
    run = jax.jit(batched_play, static_argnames="frames", **options)
    lanes = run(*sample(), seeds(count), frames)[2]
    return [digest.hexdigest(row[-1]) for row in np.asarray(lanes)]


def elsewhere(python: str = sys.executable, **environment: str) -> list[str]:
    """`batched_digests` by another interpreter or under other environment variables.

    The first line of the answer is the back end on which it was computed.
    """
    here = pathlib.Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(here.parent), str(here)])
    done = subprocess.run(
        [python, "-c", "from support import determinism; determinism.main()"],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout.split()


def main() -> None:
    print(jax.default_backend(), *batched_digests())
