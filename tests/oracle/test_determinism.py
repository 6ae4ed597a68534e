"""One match has one digest: alone, in a batch, op by op, compiled in whatever way, anywhere."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import determinism, oracle
from support.determinism import ARCH, BATCH, FRAMES, batched_play, sample, seeds
from support.int_worlds import FULL, arch_of, on_device, random_frames, world_of
from support.oracle_run import QUICK, advance, as_oracle, as_oracle_agent, play, quick_play

from awm_jax.game import digest
from awm_jax.int8.agents import HoldForward, Noop
from crank.match import match_reset


@functools.cache
def alone(seed: int, frames: int = FRAMES) -> np.ndarray:
    """Digests (T, 4) after every frame of one compiled match."""
    return np.asarray(quick_play(*sample(), seeds(seed + 1)[seed], frames)[2])


@functools.cache
def expected() -> list[str]:
    return [digest.hexdigest(alone(seed)[-1]) for seed in range(BATCH)]


def test_matches_differ():
    assert len({row.tobytes() for row in alone(0)}) == FRAMES
    assert len(set(expected())) == BATCH


def test_op_by_op():
    """Two frames with nothing compiled but single operations, against the oracle."""
    arch = arch_of(FULL, context_len=1)
    world, agents, frames = world_of(1, arch), (HoldForward(), Noop()), random_frames(2, FULL, 1)
    with jax.disable_jit():
        lanes = play(world, agents, on_device(frames), seeds(1)[0], 2)[2]
    twins = [as_oracle_agent(agent, world) for agent in agents]
    expected = oracle.play(oracle.World(world.params, arch), twins, as_oracle(frames), 0, 2)[1]
    assert digest.hexdigest(lanes[-1]) == expected


batched_quick = jax.jit(batched_play, static_argnames="frames", compiler_options=QUICK)


def _rows(count: int, frames: int) -> None:
    run = batched_quick if count < BATCH else jax.jit(batched_play, static_argnames="frames")
    lanes = np.asarray(run(*sample(), seeds(count), frames)[2])
    for row in range(count):
        np.testing.assert_array_equal(lanes[row], alone(row)[:frames])


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.long), 3, 64])
def test_row_of_a_batch(count):
    _rows(count, FRAMES)


@pytest.mark.long
def test_row_of_a_thousand():
    _rows(1000, FRAMES)


def in_chunks(frames: int, length: int, donate: bool) -> str:
    """The digest of a match played `length` frames a call, the state perhaps given away."""
    world, agents, seed_frames = sample()

    def chunk(state, lanes, world, agents):
        def body(carry, _):
            return advance(world, agents, *carry)[0], None

        return jax.lax.scan(body, (state, lanes), length=length)[0]

    options = QUICK if donate else None
    run = jax.jit(chunk, donate_argnums=(0, 1) if donate else (), compiler_options=options)
    words = jnp.array(seeds(1)[0])
    seed_frames = jax.tree.map(jnp.array, seed_frames)
    reset = jax.jit(match_reset, static_argnames="first", compiler_options=QUICK)
    state = reset(world, agents, seed_frames, 2, words)
    # The agents share the seed's memory, which can be given away only once.
    state, lanes = jax.tree.map(jnp.array, state), digest.start()
    for _ in range(0, frames, length):
        state, lanes = run(state, lanes, world, agents)
    return digest.hexdigest(lanes)


def oracle_digest(frames: int) -> str:
    world, agents, seed_frames = sample()
    twin = oracle.World(jax.tree.map(np.asarray, world.params), ARCH)
    twins = [as_oracle_agent(agent, world) for agent in agents]
    return oracle.play(twin, twins, as_oracle(seed_frames), 0, frames)[1]


def test_chunks_and_donation():
    """2048 frames, one by one in given-away memory and 256 at a time; 512 in the oracle."""
    found = {in_chunks(2048, length, donate) for length, donate in ((1, True), (256, False))}
    assert len(found) == 1
    assert in_chunks(512, 256, False) == oracle_digest(512)


@pytest.mark.long
def test_other_chunks_and_donation():
    assert in_chunks(512, 1, False) == in_chunks(512, 256, True) == oracle_digest(512)


@pytest.mark.long
def test_a_hundred_thousand_frames():
    found = {in_chunks(100_000, length, donate) for length, donate in ((1, True), (250, False))}
    assert found == {oracle_digest(100_000)}


OPTIONS = {
    "plain": QUICK,
    "vectors of 128 bits": {"xla_cpu_prefer_vector_width": 128},
    "vectors of 512 bits": {"xla_cpu_prefer_vector_width": 512},
    "no YNN": {"xla_cpu_experimental_ynn_fusion_type": ""},
    "fast math": {"xla_cpu_enable_fast_math": True},
    "small code": {"xla_cpu_enable_concurrency_optimized_scheduler": False},
}


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="options of XLA:CPU")
@pytest.mark.long
@pytest.mark.parametrize("name", list(OPTIONS))
def test_compiler_options(name):
    assert determinism.batched_digests(compiler_options=OPTIONS[name]) == expected()


def first_now_others_long(names):
    first, *others = names
    return [first, *(pytest.param(name, marks=pytest.mark.long) for name in others)]


FLAGS = {
    "no YNN, one thread, old instructions": (
        "--xla_cpu_experimental_ynn_fusion_type= "
        "--xla_cpu_multi_thread_eigen=false --xla_cpu_max_isa=SSE4_2"
    ),
    "nothing fused": "--xla_disable_hlo_passes=fusion,cpu-instruction-fusion",
    "narrow vectors": "--xla_cpu_prefer_vector_width=128",
    "wide vectors": "--xla_cpu_prefer_vector_width=512",
}


@pytest.mark.parametrize("name", first_now_others_long(FLAGS))
def test_other_flags_in_another_process(name):
    where, *found = determinism.elsewhere(XLA_FLAGS=FLAGS[name], JAX_PLATFORMS="cpu")
    assert (where, found) == ("cpu", expected())


def test_python_312():
    python = shutil.which("python3.12")
    if python is None:
        pytest.skip("no python3.12 on PATH")
    seen = subprocess.run([python, "-c", "import jax, flax, numpy"], capture_output=True)
    if seen.returncode:
        pytest.skip("the python3.12 on PATH has no jax, flax and numpy")
    where, *found = determinism.elsewhere(python, JAX_PLATFORMS="cpu")
    assert (where, found) == ("cpu", expected())


def test_gpu():
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin")
    if not any(importlib.util.find_spec(name) for name in plugins):
        pytest.skip("no CUDA plugin of JAX installed")
    if shutil.which("nvidia-smi") is None:
        pytest.skip("no NVIDIA GPU here")
    where, *found = determinism.elsewhere(JAX_PLATFORMS="cuda,cpu")
    assert (where, found) == ("gpu", expected())
