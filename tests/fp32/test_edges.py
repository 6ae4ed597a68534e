"""Edges of the networks: bad indices, NaN, empty batches, wrong lengths, batch axes, order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.twins_cases import seeded_network
from support.twins_random import Spec, random_inputs
from support.twins_run import both_players, compiled, functional, quick_jit

from awm_jax.encoding import POLICY_OUTPUTS, EncodingConfig, int_vocabs, world_outputs
from awm_jax.errors import AwmError
from awm_jax.fp32 import FrameStackMamba2, check_ints
from awm_jax.fp32.policy import swap_players
from awm_jax.variant import Variant

CFG = EncodingConfig(state_age_as_embed=True, projectiles=True, state_flags=True, hitstun=True)
DIMS = {
    "mamba2": {"d_model": 8, "d_state": 3, "n_layers": 2, "headdim": 4, "chunk_size": 4},
    "mlp": {"hidden_dim": 12, "trunk_dim": 8},
    "policy": {"hidden_dim": 12, "trunk_dim": 8},
}
K, BATCH = 6, 4
ARCHS = sorted(DIMS)


@pytest.fixture(scope="module", params=ARCHS)
def arch(request):
    return request.param


@pytest.fixture(scope="module")
def network(arch):
    return seeded_network(arch, CFG, K, DIMS[arch])


@pytest.fixture(scope="module")
def call(arch, network):
    return compiled(network, both_players if arch == "policy" else "__call__")


@pytest.fixture
def inputs(arch):
    return _inputs(arch)


def _inputs(arch: str, context_len: int = K, batch: int = BATCH) -> list[np.ndarray]:
    return random_inputs(np.random.default_rng(0), Spec(arch, CFG, context_len, DIMS[arch], batch))


def _widths(arch: str) -> dict[str, int]:
    return POLICY_OUTPUTS if arch == "policy" else world_outputs(CFG, arch)


def test_outputs_have_the_reference_s_names_order_and_widths(arch, network, inputs):
    """As the network returns them: behind `jit` a dict is sorted by key."""
    order = []

    def look(model, *inputs):
        outputs = model(*inputs)
        order.extend((name, value.shape) for name, value in outputs.items())
        return outputs

    call, weights = functional(network, look)
    outputs = jax.eval_shape(call, weights, *inputs)
    assert order == [(name, (BATCH, width)) for name, width in _widths(arch).items()]
    assert all(value.dtype == jnp.float32 for value in outputs.values())


def test_widths_in_total():
    """networks.md 2.3 and 2.5: 1,050 numbers by default, 1,132 deployed; the policy 13."""
    assert sum(world_outputs(EncodingConfig()).values()) == 1050
    assert sum(world_outputs(CFG).values()) == 1132
    assert len(world_outputs(CFG)) == 16
    assert sum(POLICY_OUTPUTS.values()) == 13


@pytest.mark.parametrize("flags", [False, True])
def test_mlp_has_six_binary_outputs_whatever_the_flags(flags):
    cfg = EncodingConfig(state_flags=flags)
    network = seeded_network("mlp", cfg, 2, DIMS["mlp"])
    inputs = random_inputs(np.random.default_rng(0), Spec("mlp", cfg, 2, DIMS["mlp"], 1))
    assert compiled(network)(*inputs)["binary_logits"].shape == (1, 6)


def test_nan_spoils_its_row_only(arch, call, inputs):
    clean = call(*inputs)
    for which, value in enumerate(inputs):
        if value.dtype.kind != "f":
            continue
        for at in [(2, 0, 5), (2, K - 1, 0), (2, 3, -1)] if value.ndim == 3 else [(2, 0)]:
            spoilt = [v.copy() for v in inputs]
            spoilt[which][at] = np.nan
            got = call(*spoilt)
            others = np.arange(BATCH) != 2
            for name, want in clean.items():
                assert np.isnan(got[name][2]).all(), (name, at)
                np.testing.assert_array_equal(got[name][others], want[others])


def test_batch_zero(arch, call, inputs):
    outputs = call(*(value[:0] for value in inputs))
    sizes = list(_widths(arch).values()) * (2 if arch == "policy" else 1)
    assert sorted(v.shape for v in outputs.values()) == sorted((0, width) for width in sizes)


def test_row_by_row(call, inputs):
    """A batch is its rows: alone in a batch of one, without a batch axis, and under vmap."""
    whole = call(*inputs)
    vmapped = jax.vmap(call)(*inputs)
    for row in range(BATCH):
        alone, bare = call(*(v[row : row + 1] for v in inputs)), call(*(v[row] for v in inputs))
        for name, value in whole.items():
            for got in (alone[name][0], bare[name], vmapped[name][row]):
                np.testing.assert_allclose(got, value[row], atol=5e-6, rtol=0)


def test_two_batch_axes(call, inputs):
    square = call(*(value.reshape(2, 2, *value.shape[1:]) for value in inputs))
    for name, value in call(*inputs).items():
        got = square[name].reshape(value.shape)
        np.testing.assert_allclose(got, value, atol=5e-6, rtol=0)


def test_no_frames(call, inputs):
    with pytest.raises(AwmError):
        call(inputs[0][:, :0], inputs[1][:, :0], *inputs[2:])


@pytest.mark.parametrize("frames", [1, K - 1, K + 1])
def test_a_wrong_number_of_frames(arch, call, inputs, frames):
    """The MLP and the policy take `context_len` frames; Mamba2 any number (T10)."""
    longer = [np.concatenate([v, v], axis=1)[:, :frames] for v in inputs[:2]]
    if arch == "mamba2":
        outputs = call(*longer, *inputs[2:])
        assert all(np.isfinite(v).all() for v in outputs.values())
    else:
        with pytest.raises(AwmError, match=f"{frames}.*{K}"):
            call(*longer, *inputs[2:])


def test_heads_must_divide():
    with pytest.raises(AwmError, match="headdim 5"):
        FrameStackMamba2(CFG, d_model=8, headdim=5, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("bad", [-1, "vocabulary", np.iinfo(np.int32).min])
def test_an_index_outside_its_table(bad):
    """Every column, both edges, before jit: a gather would take another row without a word."""
    vocabs = int_vocabs(CFG)
    edges = np.stack([np.zeros(len(vocabs), np.int32), np.array(vocabs, np.int32) - 1])
    check_ints(CFG, edges)
    check_ints(CFG, np.zeros((0, 3, len(vocabs)), np.int32))
    for column, vocab in enumerate(vocabs):
        value = vocab if bad == "vocabulary" else int(bad)
        ints = np.zeros((2, 3, len(vocabs)), np.int32)
        ints[1, 2, column] = value
        with pytest.raises(AwmError) as error:
            check_ints(CFG, ints)
        assert str(value) in str(error.value)
        assert str(vocab - 1) in str(error.value)
    assert "stage" in str(error.value)


def test_policy_swaps_blocks_and_nothing_else():
    floats, ints = (jnp.asarray(v) for v in _inputs("policy"))
    fp, ipp = CFG.float_per_player, CFG.int_per_player
    swapped = swap_players(CFG, floats, ints)
    order = np.array([*range(fp, 2 * fp), *range(fp)])
    np.testing.assert_array_equal(swapped[0], np.asarray(floats)[..., order])
    order = np.array([*range(ipp, 2 * ipp), *range(ipp), 2 * ipp])
    np.testing.assert_array_equal(swapped[1], np.asarray(ints)[..., order])
    call = compiled(seeded_network("policy", CFG, K, DIMS["policy"]), both_players)
    given, exchanged = call(floats, ints), call(*swapped)
    for name in POLICY_OUTPUTS:
        np.testing.assert_array_equal(given[f"p1_{name}"], exchanged[f"p0_{name}"])
        assert (given[f"p1_{name}"] != given[f"p0_{name}"]).any()


def test_policy_sticks_are_in_range():
    floats, ints = _inputs("policy")
    call = compiled(seeded_network("policy", CFG, K, DIMS["policy"]), both_players)
    pads = call(floats * 100, ints)["p0_analog_pred"]
    assert (pads >= 0).all()
    assert (pads <= 1).all()


def test_next_ctrl_does_not_touch_the_state():
    network = seeded_network("mamba2", CFG, K, DIMS["mamba2"])
    floats, ints, ctrl = _inputs("mamba2", context_len=1)
    step = compiled(network, "step")
    state = network.init_state((BATCH,))
    first, outputs = step(state, floats[:, 0], ints[:, 0], ctrl)
    second, others = step(state, floats[:, 0], ints[:, 0], 1 - ctrl)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert (outputs["continuous_delta"] != others["continuous_delta"]).any()


def test_weights_are_arguments():
    """Other weights of the same shapes run in the same executable."""
    traces = 0

    def count(weights, graph, *inputs):
        nonlocal traces
        traces += 1
        return nnx.merge(graph, weights)(*inputs)

    run = quick_jit(count, static_argnums=1)
    inputs = _inputs("mlp", context_len=2)
    results = []
    for seed in (0, 1):
        network = seeded_network("mlp", CFG, 2, DIMS["mlp"], seed)
        graph, weights = nnx.split(network)
        results.append(run(weights, graph, *inputs)["velocity_delta"])
    assert traces == 1
    assert (results[0] != results[1]).any()


def test_batch_zero_of_a_variant():
    cfg = EncodingConfig(press_events=True, state_flags=True, hitstun=True)
    variant = Variant(control_first=True, geometry=True, head_hidden=8)
    model = FrameStackMamba2(cfg, **DIMS["mamba2"], variant=variant, rngs=nnx.Rngs(0))
    shapes = (3, cfg.float_per_player * 2), (3, 2 * cfg.int_per_player + 1)
    floats, ints = jnp.zeros((0, *shapes[0])), jnp.zeros((0, *shapes[1]), jnp.int32)
    outputs = model(floats, ints, jnp.zeros((0, cfg.ctrl_conditioning_dim)))
    assert outputs["binary_logits"].shape == (0, cfg.predicted_binary_dim)


def test_a_policy_knows_two_players():
    policy, inputs = seeded_network("policy", CFG, K, DIMS["policy"]), _inputs("policy")
    with pytest.raises(AwmError, match="predict_player is 2"):
        policy(*inputs, predict_player=2)
