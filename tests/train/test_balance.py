"""Balance changes no output, and what is rounded afterwards is closer to the network."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32 import FrameStackMamba2
from awm_jax.fp32.network import Network
from awm_jax.train.balance import activations, balance, channel_scales, code_step, codes_of, prepare
from awm_jax.train.fake_quant import as_integers
from awm_jax.variant import Variant

CFG = EncodingConfig(state_age_as_embed=True)


@pytest.fixture(scope="module")
def model() -> FrameStackMamba2:
    """One with a channel that drowns the others in each of its norms."""
    made = FrameStackMamba2(
        CFG,
        d_model=24,
        d_state=4,
        n_layers=2,
        headdim=8,
        variant=Variant(head_hidden=16),
        rngs=nnx.Rngs(0),
    )
    for layer in made.layers:
        for norm, product in (
            (layer.norm, layer.mamba.in_proj),
            (layer.mamba.norm, layer.mamba.out_proj),
        ):
            norm.scale[...] = norm.scale[...].at[3].set(60.0)
            product.kernel[...] = product.kernel[...].at[3].divide(60.0)
    return made


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(0)
    floats = rng.normal(0, 0.5, (2, 40, CFG.float_per_frame)).astype(np.float32)
    return [(f, np.zeros((40, CFG.int_per_frame), np.int32)) for f in floats]


def outputs(net, sequences):
    ctrl = jnp.zeros((39, CFG.ctrl_conditioning_dim))
    made = [net.sequence(jnp.asarray(f[:-1]), jnp.asarray(i[:-1]), ctrl)[0] for f, i in sequences]
    return np.concatenate([np.concatenate([*out.values()], axis=-1) for out in made])


def test_it_stays_the_same_function(model, sequences):
    even = balance(model, activations(model, sequences))
    assert even.layers[0].norm.scale[3] < model.layers[0].norm.scale[3] / 5
    before, after = outputs(model, sequences), outputs(even, sequences)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())


def test_rounded_it_is_closer(model, sequences):
    real = outputs(model, sequences)
    even, codes = prepare(model, sequences)
    crooked = codes_of(activations(model, sequences))
    far, near = (
        np.abs(outputs(as_integers(Network.of(m), c), sequences) - real).mean()
        for m, c in ((model, crooked), (even, codes))
    )
    assert near < far / 2


def test_a_product_that_needs_no_balance_keeps_its_weights():
    """Equal channels, one large weight in each row: every share would only cost resolution."""
    rng = np.random.default_rng(1)
    values = rng.uniform(-1, 1, (500, 8))
    np.testing.assert_allclose(channel_scales(values, np.eye(8)), 1, rtol=0.05)


def test_the_step_with_the_least_error():
    """All values are whole steps: that one is found, whatever the largest is."""
    values = np.arange(-127, 128) * 0.25
    assert code_step(values) == pytest.approx(0.25)
    outlier = np.concatenate([np.random.default_rng(2).normal(0, 1, 100_000), [20.0]])
    assert code_step(outlier) < 0.8 * 20 / 127
