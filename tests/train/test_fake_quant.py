"""Rounded as `converters.quantize` rounds, with gradients as if nothing were."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32 import FrameStackMamba2
from awm_jax.fp32.network import Network
from awm_jax.fp32.weights import to_torch_dict
from awm_jax.int8.codes import Codes, LayerCodes
from awm_jax.train.fake_quant import as_integers, rounded, through
from converters.quantize.weights import dequantize, quantize_tensor

CFG = EncodingConfig(state_age_as_embed=True)


def model():
    return FrameStackMamba2(CFG, d_model=16, d_state=4, n_layers=2, headdim=8, rngs=nnx.Rngs(0))


def test_weights_are_those_of_the_cartridge():
    plain = to_torch_dict(model())
    played = to_torch_dict(rounded(Network.of(model())).module())
    for name, value in plain.items():
        want = dequantize(*quantize_tensor(value)) if value.ndim == 2 else value
        if "conv1d.weight" in name:
            want = dequantize(*quantize_tensor(value.reshape(len(value), -1))).reshape(value.shape)
        np.testing.assert_allclose(played[name], want, rtol=1e-5, atol=1e-7, err_msg=name)


def test_gradients_pass():
    x = jnp.array([0.04, 0.26, 90.0])
    np.testing.assert_allclose(through(x, jnp.float32(0.5)), [0, 0.5, 63.5])
    np.testing.assert_array_equal(jax.grad(lambda v: through(v, 0.5).sum())(x), [1, 1, 0])


def test_codes_are_rounded_where_products_begin():
    floats = jnp.asarray(np.random.default_rng(0).normal(0, 0.5, (1, 5, CFG.float_per_frame)))
    ints = jnp.zeros((1, 5, CFG.int_per_frame), jnp.int32)
    ctrl = jnp.zeros((1, CFG.ctrl_conditioning_dim))
    inputs = floats.astype(jnp.float32), ints, ctrl
    plain = model()(*inputs)

    def off(**steps: float) -> dict[str, float]:
        """How far either kind of output goes astray, codes but these being fine."""
        fine = {"normed": 0.1, "gated": 0.1, "y": 1e-4, "gate": 1e-4, "pre_head": 1e-3} | steps
        pre_head = fine.pop("pre_head")
        net = as_integers(Network.of(model()), Codes((LayerCodes(**fine),) * 2, pre_head))
        made = net(*inputs)
        return {name: float(np.abs(made[name] - plain[name]).max()) for name in plain}

    usual = off()
    for name in ("normed", "gated", "y", "gate"):
        assert off(**{name: 1.0})["velocity_delta"] > 2 * usual["velocity_delta"] > 0, name
    coarse = off(pre_head=1 / 128)  # seen by the categories as whole numbers
    assert coarse["p0_action_logits"] > 2 * usual["p0_action_logits"]
    assert coarse["velocity_delta"] < 2 * usual["velocity_delta"]
