"""The choice of an engine, and what is said where the native one is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.int_worlds import arch_of, on_device, random_frames, random_pads, random_world

from awm_jax.errors import AwmError
from awm_jax.int8 import engine
from awm_jax.int8.engine import NativeWorld, make_world, native_available, native_paths
from awm_jax.int8.world import Int8World

ARCH = arch_of()
AVAILABLE, REASON = native_available()
native = pytest.mark.skipif(not AVAILABLE, reason=REASON)


@pytest.fixture
def params():
    return on_device(random_world(1, ARCH))


def test_without_the_library_xla_runs_and_the_reason_is_known(
    params, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "LIBRARY", tmp_path / "kernel.so")
    assert native_available() == (False, "no compiled kernel: kernel.so is not built")
    assert native_paths() == ()
    assert isinstance(make_world(params, ARCH), Int8World)
    with pytest.raises(AwmError, match=r"cannot run here: no compiled kernel: kernel.so"):
        make_world(params, ARCH, "native")


def test_a_damaged_library_is_a_missing_one(
    params, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = tmp_path / "kernel.so"
    library.write_bytes(b"no library")
    monkeypatch.setattr(engine, "LIBRARY", library)
    assert native_available()[0] is False
    assert isinstance(make_world(params, ARCH), Int8World)


def test_xla_can_be_forced_and_nonsense_is_refused(params) -> None:
    assert isinstance(make_world(params, ARCH, "xla"), Int8World)
    with pytest.raises(AwmError, match="none of auto, xla, native"):
        make_world(params, ARCH, "gpu")  # pyright: ignore[reportArgumentType]


@native
def test_auto_is_native(params) -> None:
    assert isinstance(make_world(params, ARCH), NativeWorld)
    assert native_paths()[-1] == "plain"


@native
def test_paths_and_threads_come_from_the_environment(params, monkeypatch) -> None:
    monkeypatch.setenv("AWM_PATH", "plain")
    monkeypatch.setenv("AWM_THREADS", "3")
    world = make_world(params, ARCH, "native")
    assert isinstance(world, NativeWorld)
    assert (world.path, world.threads) == (len(native_paths()), 3)
    for name, value in (("AWM_PATH", "mmx"), ("AWM_THREADS", "-1")):
        with monkeypatch.context() as patch, pytest.raises(AwmError, match=value):
            patch.setenv(name, value)
            make_world(params, ARCH, "native")


def _begin(world, seed, pads):
    state = world.reset(seed)
    return state, world.step(state, pads)[1]


@native
def test_the_rest_of_the_world_contract_is_the_same(params) -> None:
    worlds = [make_world(params, ARCH, e) for e in ("xla", "native")]
    seed = random_frames(2, ARCH.cfg, ARCH.context_len)
    pads = jnp.asarray(random_pads(3))
    states, frames = zip(*(jax.jit(_begin)(w, seed, pads) for w in worlds), strict=True)
    for ask in (
        lambda w, s, f: w.observe(s, 1),
        lambda w, s, f: w.knocked_out(f),
        lambda w, s, f: w.corrupt(f),
        lambda w, s, f: w.words(f, jnp.int32(3)),
    ):
        a, b = (ask(*row) for row in zip(worlds, states, frames, strict=True))
        jax.tree.map(np.testing.assert_array_equal, a, b)
    with pytest.raises(AwmError, match="seed frames"):
        worlds[1].reset(random_frames(2, ARCH.cfg, ARCH.context_len + 1))


@native
def test_a_damaged_image_is_refused(params) -> None:
    world = make_world(params, ARCH, "native")
    assert isinstance(world, NativeWorld)
    bad = dataclasses.replace(world, image=world.image.at[0].set(0))
    seed = random_frames(2, ARCH.cfg, ARCH.context_len)
    with pytest.raises(jax.errors.JaxRuntimeError, match="awm: no image"):
        jax.block_until_ready(jax.jit(lambda w, s: w.reset(s))(bad, seed))
