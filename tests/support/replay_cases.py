"""Recorded matches of small worlds for `awm-replay-check`, and its run over one."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.game import digest as digests
from awm_jax.int8.native.image import pack
from awm_jax.int8.native.match_file import match_bytes
from awm_jax.int8.params import Arch
from awm_jax.int8.world import Int8World
from awm_jax.variant import Variant
from support.int_worlds import FULL, arch_of, on_device, random_frames, random_pads, random_world

SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
EVERYTHING = Variant(control_first=True, geometry=True, head_hidden=24)
ARCHES = {
    "recurrent": arch_of(),
    "16 states": arch_of(d_state=16, n_layers=2),
    "windowed, all flags": arch_of(FULL, recurrent=False, planes=2, variant=EVERYTHING),
}
FRAMES = 40


@dataclasses.dataclass(frozen=True)
class Case:
    image: bytes
    match: bytes
    digest: str


@jax.jit
def digest_of(world: Int8World, seed, pads) -> jax.Array:
    """The digest of a match in the XLA step."""

    def body(carry, one):
        state, number, digest = carry
        state, frame = world.step(state, one)
        return (state, number + 1, digests.extend(digest, world.words(frame, number))), None

    start = (world.reset(seed), jnp.int32(world.context_len), digests.start())
    return jax.lax.scan(body, start, pads)[0][2]


@functools.cache
def case_of(arch: Arch, saturating: bool = False) -> Case:
    params = random_world(4, arch, saturating)
    seed = random_frames(5, arch.cfg, arch.context_len, extreme=saturating)
    pads = random_pads(6, FRAMES)
    digest = np.asarray(digest_of(Int8World(on_device(params), arch), seed, jnp.asarray(pads)))
    match = match_bytes(seed, pads, digest)
    return Case(pack(params, arch), match, digests.hexdigest(digest))


def check(
    program: Path,
    folder: Path,
    image: bytes,
    match: bytes,
    path: str = "",
    emulator: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """`awm-replay-check` over the two files, on one path of the kernel if it is named."""
    (folder / "image").write_bytes(image)
    (folder / "match").write_bytes(match)
    env = os.environ | ({"AWM_PATH": path} if path else {})
    return subprocess.run(
        [*emulator, program, folder / "image", folder / "match"],
        capture_output=True,
        text=True,
        env=env,
    )
