"""The native kernel and the XLA step: equal bits, leaf by leaf."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.int_worlds import SMALL, arch_of, on_device, random_frames, random_pads, random_world

from awm_jax.encoding import EncodingConfig
from awm_jax.int8.engine import NativeWorld, make_world, native_available, native_paths
from awm_jax.int8.native import image as layout
from awm_jax.int8.params import Arch
from awm_jax.int8.world import Int8World
from awm_jax.variant import Variant

AVAILABLE, REASON = native_available()
pytestmark = pytest.mark.skipif(not AVAILABLE, reason=REASON)
EVERYTHING = Variant(control_first=True, geometry=True, head_hidden=48, game_rules=True)
PRODUCTION = EncodingConfig(
    state_age_as_embed=True, projectiles=True, state_flags=True, hitstun=True
)
ALL_FLAGS = dataclasses.replace(PRODUCTION, press_events=True, ctrl_threshold_features=True)

ARCHES = {
    "small": arch_of(),
    "windowed 12": arch_of(recurrent=False, context_len=12),
    "one frame": arch_of(context_len=1),
    "variants": arch_of(ALL_FLAGS, planes=2, variant=EVERYTHING),
    "variants, windowed": arch_of(ALL_FLAGS, recurrent=False, variant=EVERYTHING),
    "odd sizes": arch_of(d_model=36, d_state=5, headdim=9, n_layers=2),
    "64 states": arch_of(PRODUCTION, d_model=128, d_state=64, headdim=64, planes=2),
}
MORE = {
    "windowed": arch_of(recurrent=False),
    "one frame, windowed": arch_of(context_len=1, recurrent=False),
    "two planes": arch_of(planes=2),
    "no flags": arch_of(EncodingConfig()),
    "8 states": arch_of(d_model=64, d_state=8, headdim=16),
    "16 states": arch_of(d_model=32, d_state=16, headdim=4, n_layers=3),
    "32 states": arch_of(d_model=192, d_state=32, headdim=32, n_layers=1),
    "production": Arch(PRODUCTION, 384, 64, 4, 64, context_len=10, recurrent=True),
    "production, windowed": Arch(PRODUCTION, 384, 64, 4, 64, context_len=10, recurrent=False),
}
PADS = jnp.asarray(random_pads(3, 200))
EVERY = [*ARCHES, *(pytest.param(name, marks=pytest.mark.long) for name in MORE)]


def worlds(
    arch: Arch, seed: int = 1, saturating: bool = False, **how
) -> tuple[Int8World, NativeWorld]:
    params = random_world(seed, arch, saturating)
    native = make_world(on_device(params), arch, "native", **how)
    assert isinstance(native, NativeWorld)
    return Int8World(on_device(params), arch), native


def run(world, seed_frames, pads):
    """All states (without the trunk's, but the last) and frames of a match under pads (T, 2, 8)."""

    def body(state, one):
        state, frame = world.step(state, one)
        return state, frame

    return jax.lax.scan(body, world.reset(seed_frames), pads)


def same(a, b) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype, path
        np.testing.assert_array_equal(x, y, err_msg=jax.tree_util.keystr(path))


run_jit = jax.jit(run)
run_batch = jax.jit(jax.vmap(run, in_axes=(None, 0, 0)))


@pytest.mark.parametrize("saturating", [False, True], ids=["usual", "saturating"])
@pytest.mark.parametrize("name", EVERY)
def test_every_shape_and_path(name: str, saturating: bool) -> None:
    arch = (ARCHES | MORE)[name]
    frames = random_frames(2, arch.cfg, arch.context_len, extreme=saturating)
    expected = None
    for path in native_paths():
        xla, native = worlds(arch, saturating=saturating, path=path)
        if expected is None:
            expected = run_jit(xla, frames, PADS)
            alive = np.asarray(expected[1].cont)
            assert (alive[1:] != alive[:-1]).any()
        same(run_jit(native, frames, PADS), expected)


@pytest.mark.parametrize("name", ["small", "variants, windowed"])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_a_batch_is_one_call_and_its_rows_are_the_matches_alone(name: str, batch: int) -> None:
    arch = ARCHES[name]
    xla, native = worlds(arch)
    seeds = [random_frames(10 + i, arch.cfg, arch.context_len) for i in range(batch)]
    frames = jax.tree.map(lambda *v: np.stack(v), *seeds)
    pads = jnp.asarray(random_pads(5, batch, len(PADS)))
    alone = [run_jit(xla, seed, one) for seed, one in zip(seeds, pads, strict=True)]
    expected = jax.tree.map(lambda *v: np.stack(v), *alone)
    for threads in (1, 2, 3):
        native = dataclasses.replace(native, threads=threads)
        same(run_batch(native, frames, pads), expected)
    text = run_batch.lower(native, frames, pads).as_text()
    assert text.count("custom_call @awm_world_step") == 1


def test_op_by_op_and_state_kept() -> None:
    """Without jit the arguments are not donated: they must stay as they were."""
    xla, native = worlds(ARCHES["small"])
    frames = random_frames(2, SMALL, xla.context_len)
    expected = run_jit(xla, frames, PADS)[1]
    state = native.reset(frames)
    for t in range(3):
        before = jax.tree.map(lambda v: np.array(v, copy=True), state)
        after, frame = native.step(state, PADS[t])
        same(state, before)
        same(frame, jax.tree.map(lambda v, t=t: v[t], expected))
        state = after


def test_donated() -> None:
    xla, native = worlds(ARCHES["small"])
    frames = random_frames(2, SMALL, xla.context_len)
    step = jax.jit(lambda world, state, one: world.step(state, one), donate_argnums=1)
    state = jax.tree.map(jnp.copy, native.reset(frames))
    for one in PADS:
        state, _ = step(native, state, one)
    same(state, run_jit(xla, frames, PADS)[0])


def test_one_state_under_many_pads() -> None:
    """Only the pads carry a batch axis, in one vmap or two; then the state in the outer one."""
    _, native = worlds(ARCHES["small"])
    state = native.reset(random_frames(2, SMALL, native.context_len))
    pads = jnp.asarray(random_pads(3, 3, 5))

    @jax.jit
    def under(world, state):
        pads_alone = jax.vmap(world.step, in_axes=(None, 0))
        rows, _ = pads_alone(state, pads[:, 0])
        grid, _ = jax.vmap(pads_alone, in_axes=(None, 1))(state, pads)
        return rows, grid, jax.vmap(pads_alone)(rows, pads)[0]

    step = jax.jit(lambda world, state, one: world.step(state, one)[0])
    rows, grid, deep = under(native, state)
    for i in range(3):
        row = step(native, state, pads[i, 0])
        same(jax.tree.map(lambda v, i=i: v[i], rows), row)
        for j in range(5):
            same(jax.tree.map(lambda v, i=i, j=j: v[j, i], grid), step(native, state, pads[i, j]))
            same(jax.tree.map(lambda v, i=i, j=j: v[i, j], deep), step(native, row, pads[i, j]))


def test_other_weights_in_one_executable_and_in_one_batch() -> None:
    pairs = [worlds(ARCHES["small"], seed) for seed in (1, 2, 3)]
    frames = random_frames(2, SMALL, ARCHES["small"].context_len)
    traced = []

    def counted(world, *rest):
        traced.append(world)
        return run(world, *rest)

    step = jax.jit(counted)
    separate = [step(native, frames, PADS) for _, native in pairs]
    assert len(traced) == 1
    together = jax.tree.map(lambda *v: jnp.stack(v), *(native for _, native in pairs))
    batched = jax.jit(jax.vmap(run, in_axes=(0, None, None)))(together, frames, PADS)
    for i, (xla, _) in enumerate(pairs):
        expected = run_jit(xla, frames, PADS)
        same(separate[i], expected)
        same(jax.tree.map(lambda v, i=i: v[i], batched), expected)


def test_one_flipped_bit_changes_the_match() -> None:
    arch = ARCHES["small"]
    _, native = worlds(arch)
    frames = random_frames(2, SMALL, arch.context_len)
    image = np.array(native.image)
    table = image[len(layout.MAGIC) + 4 * len(layout.DIMS) :].view(np.int32)
    image[table[layout.TENSORS.index("frame_wide")]] ^= 1
    other = dataclasses.replace(native, image=jnp.asarray(image))
    a, b = (jax.tree.leaves(run_jit(w, frames, PADS)) for w in (native, other))
    assert any((np.asarray(x) != np.asarray(y)).any() for x, y in zip(a, b, strict=True))
