"""Mamba2 three ways (windowed, by steps, whole sequences) and the state that they share."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.twins_cases import abstract_network, seeded_network
from support.twins_random import random_ctrl, random_frames
from support.twins_run import compiled, quick_jit

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.fp32 import Mamba2State
from awm_jax.fp32.ssd import ssd_chunked, ssd_sequential

CFG = EncodingConfig(state_age_as_embed=True, projectiles=True, state_flags=True, hitstun=True)
FRAMES, BATCH = 13, 3
ATOL = 1e-5


@pytest.fixture(scope="module")
def network():
    dims = {"d_model": 16, "d_state": 6, "n_layers": 3, "headdim": 8}
    return seeded_network("mamba2", CFG, 5, dims)


@pytest.fixture(scope="module")
def sequence():
    rng, shape = np.random.default_rng(0), (BATCH, FRAMES)
    arrays = (*random_frames(rng, CFG, shape), random_ctrl(rng, CFG, shape))
    return tuple(map(jnp.asarray, arrays))


@pytest.fixture(scope="module")
def step(network):
    return compiled(network, "step")


@pytest.fixture(scope="module")
def stepped(network, step, sequence):
    """Outputs after every frame, (B, T, width), and the state after every frame."""
    state, rows, states = network.init_state((BATCH,)), [], []
    for t in range(FRAMES):
        state, outputs = step(state, *(value[:, t] for value in sequence))
        rows.append(outputs)
        states.append(state)
    return {name: jnp.stack([row[name] for row in rows], 1) for name in rows[0]}, states


def _assert_close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=ATOL, rtol=0), got, want)


@pytest.mark.parametrize("length", [1, 2, FRAMES])
def test_window_equals_steps(network, sequence, stepped, length):
    floats, ints, ctrl = sequence
    got = compiled(network)(floats[:, :length], ints[:, :length], ctrl[:, length - 1])
    _assert_close(got, {name: value[:, length - 1] for name, value in stepped[0].items()})


@pytest.mark.parametrize("chunk_size", [None, 0, 1, 4])
def test_sequence_equals_steps(network, sequence, stepped, chunk_size):
    outputs, state = compiled(network, "sequence", chunk_size=chunk_size)(*sequence)
    _assert_close(outputs, stepped[0])
    _assert_close(state, stepped[1][-1])


@pytest.mark.parametrize("cut", [1, 2, 7])
def test_a_sequence_goes_on_from_a_state(network, sequence, stepped, cut):
    """Also cuts shorter than the convolution: its last inputs are part of the state."""
    rest = tuple(value[:, cut:] for value in sequence)
    call = compiled(network, "sequence", chunk_size=4)
    outputs, state = call(*rest, stepped[1][cut - 1])
    _assert_close(outputs, {name: value[:, cut:] for name, value in stepped[0].items()})
    _assert_close(state, stepped[1][-1])


def test_both_parts_of_the_state_matter(network, sequence, stepped):
    rest = tuple(value[:, 4:5] for value in sequence)
    right, call = stepped[1][3], compiled(network, "sequence")
    want = call(*rest, right)[0]["continuous_delta"]
    for name in ("ssm", "conv"):
        wrong = dataclasses.replace(right, **{name: getattr(network.init_state((BATCH,)), name)})
        assert np.abs(call(*rest, wrong)[0]["continuous_delta"] - want).max() > 1e-3


def test_steps_go_on_from_a_sequence(network, step, sequence, stepped):
    head = tuple(value[:, :6] for value in sequence)
    _, state = compiled(network, "sequence", chunk_size=4)(*head)
    for t in range(6, FRAMES):
        state, outputs = step(state, *(value[:, t] for value in sequence))
        _assert_close(outputs, {name: value[:, t] for name, value in stepped[0].items()})
    _assert_close(state, stepped[1][-1])


def test_scan_carries_the_state(network, sequence, stepped):
    """`lax.scan` refuses a carry whose structure, shape or dtype changes."""

    def frames(model, *sequence):
        def body(state, frame):
            return model.step(state, *frame)

        return jax.lax.scan(body, model.init_state(), sequence)

    one = tuple(value[1] for value in sequence)
    state, outputs = compiled(network, frames)(*one)
    _assert_close(outputs, {name: value[1] for name, value in stepped[0].items()})
    _assert_close(state, jax.tree.map(lambda v: v[1], stepped[1][-1]))


def test_vmap_over_matches(network, step, sequence, stepped):
    """Written for one match, batched by vmap."""
    states = jax.tree.map(lambda v: jnp.stack([v] * BATCH), network.init_state())
    for t in range(3):
        states, outputs = jax.vmap(step)(states, *(value[:, t] for value in sequence))
    _assert_close(outputs, {name: value[:, 2] for name, value in stepped[0].items()})
    _assert_close(states, stepped[1][2])


def test_the_conv_state_is_the_last_inputs_oldest_first(network, stepped):
    for before, after in zip(stepped[1], stepped[1][1:], strict=False):
        for new, old in zip(after.conv, before.conv, strict=True):
            np.testing.assert_array_equal(new[..., :2], old[..., 1:])


@pytest.mark.parametrize("batch", [(), (2,), (0,), (2, 3)])
def test_the_zero_state(network, batch):
    state = network.init_state(batch)
    assert isinstance(state, Mamba2State)
    assert [ssm.shape for ssm in state.ssm] == [(*batch, 4, 8, 6)] * 3
    assert [conv.shape for conv in state.conv] == [(*batch, 32 + 12, 3)] * 3
    for leaf in jax.tree.leaves(state):
        assert leaf.dtype == jnp.float32
        assert not leaf.any()


def test_size_of_the_production_state():
    """networks.md 2.2: 4 x (49,152 + 2,688) numbers."""
    network = abstract_network("mamba2", CFG, 10, {"d_model": 384, "n_layers": 4})
    state = jax.eval_shape(network.init_state)
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == 207_360


def test_the_state_is_an_immutable_typed_pytree(network, step, sequence):
    state = network.init_state((BATCH,))
    assert dataclasses.is_dataclass(state)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.ssm = state.ssm
    leaves, tree = jax.tree.flatten(state)
    assert len(leaves) == 6
    assert isinstance(jax.tree.unflatten(tree, leaves), Mamba2State)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert paths == [f".{name}[{layer}]" for name in ("ssm", "conv") for layer in range(3)]
    new, _ = step(state, *(value[:, 0] for value in sequence))
    assert isinstance(new, Mamba2State)
    assert not any(leaf.any() for leaf in jax.tree.leaves(state))
    assert jax.tree.structure(new) == tree


def test_a_step_compiles_once(network, sequence):
    traces = 0

    def count(model, *inputs):
        nonlocal traces
        traces += 1
        return model.step(*inputs)

    step, state = compiled(network, count), network.init_state((BATCH,))
    for t in range(4):
        state, _ = step(state, *(value[:, t] for value in sequence))
    assert traces == 1


def test_an_empty_sequence(network, sequence):
    with pytest.raises(AwmError):
        network.sequence(*(value[:, :0] for value in sequence))


def test_batch_zero(network, step, sequence):
    state, outputs = step(network.init_state((0,)), *(value[:0, 0] for value in sequence))
    assert [ssm.shape[0] for ssm in state.ssm] == [0] * 3
    assert outputs["binary_logits"].shape == (0, CFG.predicted_binary_dim)


def test_decay_stays_exact_after_large_steps():
    """A still stretch after leaps: float32 chunks must not take differences of large sums."""
    rng = np.random.default_rng(0)
    length = 64
    x, B, C = rng.normal(size=(1, length, 2, 4)), *rng.normal(size=(2, 1, length, 3))
    dt = np.where(np.arange(length) < 32, 8.0, 0.01).reshape(1, length, 1).repeat(2, 2)
    A = np.array([-15.0, -0.5])
    arrays = [jnp.asarray(v, jnp.float32) for v in (x, dt, A, B, C)]
    y, state = quick_jit(ssd_sequential)(*arrays)
    for size in (7, 64):
        got = quick_jit(ssd_chunked, static_argnums=6)(*arrays, None, size)
        for value, want in zip(got, (y, state), strict=True):
            scale = float(jnp.abs(want).max())
            np.testing.assert_allclose(value, want, atol=2e-6 * scale, rtol=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["x", "dt", "B", "C"])
def test_a_chunk_is_spoilt_from_the_bad_frame_on(which, value):
    """As frame by frame: nothing before it, no other row; later chunks through the state."""
    rng, length, bad = np.random.default_rng(1), 11, 6
    x, B, C = rng.normal(size=(2, length, 2, 4)), *rng.normal(size=(2, 2, length, 3))
    dt = rng.uniform(0.1, 1.0, (2, length, 2))
    clean = {"x": x, "dt": dt, "A": np.array([-1.0, -0.5]), "B": B, "C": C}
    clean = {name: v.astype(np.float32) for name, v in clean.items()}
    spoilt = {name: v.copy() for name, v in clean.items()}
    spoilt[which][1, bad] = value
    want, _ = quick_jit(ssd_sequential)(*spoilt.values())
    lost = ~np.isfinite(want).all((-2, -1))
    assert lost[1, bad] and not lost[0].any() and not lost[1, :bad].any()
    for size in (1, 4, 64):
        call = quick_jit(ssd_chunked, static_argnums=6)
        got, _ = call(*spoilt.values(), None, size)
        np.testing.assert_array_equal(~np.isfinite(got).all((-2, -1)), lost)
        before, _ = call(*clean.values(), None, size)
        np.testing.assert_array_equal(got[~lost], before[~lost])


@pytest.mark.parametrize("which", [0, 2])
def test_a_sequence_is_spoilt_from_the_bad_frame_on(network, sequence, which):
    spoilt = [np.array(value) for value in sequence]
    spoilt[which][1, 6, 0] = np.nan
    by_frames = compiled(network, "sequence", chunk_size=0)(*spoilt)
    lost = ~np.isfinite(by_frames[0]["continuous_delta"]).all(-1)
    assert lost[1, 6] and not lost[0].any() and not lost[1, :6].any()
    call = compiled(network, "sequence", chunk_size=None)
    outputs, state = call(*spoilt)
    for name, clean in call(*sequence)[0].items():
        np.testing.assert_array_equal(np.isnan(outputs[name]), np.isnan(by_frames[0][name]))
        np.testing.assert_array_equal(outputs[name][~lost], clean[~lost])
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(np.isnan(a), np.isnan(b)), state, by_frames[1]
    )
