"""A rollup for the tests marked `er`, and sessions on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def rollup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from crank.solana import program
    from crank.solana.addresses import PROGRAM
    from crank.solana.rollup import Rollup

    elf = tmp_path_factory.mktemp("program") / program.ELF
    elf.write_bytes(program.elf())
    with Rollup({str(PROGRAM): str(elf)}, slot_ms=16, timeout=120) as running:
        yield running


@pytest.fixture(scope="session")
def world() -> Any:
    from support import int_worlds, solana_worlds

    from awm_jax.int8.world import Int8World

    arch = solana_worlds.arch_of()
    return Int8World(int_worlds.on_device(solana_worlds.calm_params(1, arch)), arch)


@pytest.fixture
def table(rollup: Any, world: Any) -> Iterator[Any]:
    """table(max_frames) -> a session with both seats taken; more: `sessions.open_table`."""
    from support import sessions

    with contextlib.ExitStack() as stack:

        def opened(max_frames: int, world: Any = world, **more: Any) -> sessions.Table:
            return sessions.open_table(rollup, world, stack, max_frames, **more)

        yield opened
