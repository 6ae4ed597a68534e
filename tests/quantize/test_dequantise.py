"""A cartridge turned back into floats is the network that it was made from, as it holds it."""

import numpy as np
import pytest
from support.cartridges import TINY
from support.cartridges import cartridge as without_scales
from support.quantised import EVERY, cfg_of, real, seeded, small_world

from awm_jax.errors import AwmError
from converters.checkpoint import Spec
from converters.quantize.dequantise import dequantise
from converters.quantize.quantise import quantise, quantise_policy
from converters.quantize.weights import dequantize, quantize_tensor
from converters.source import NO_VARIANT


@pytest.mark.parametrize("variant", [NO_VARIANT, EVERY], ids=["founders", "ours"])
def test_a_world_comes_back(variant):
    checkpoint = small_world(variant)
    made = quantise(checkpoint, real(cfg_of(variant), 64))
    back = dequantise(made)
    assert back.spec == checkpoint.spec
    assert back.provenance.sha256 == made.hash
    assert_close(back.state_dict(), checkpoint.state_dict())
    again = quantise(back, real(cfg_of(variant), 64))
    for key, entry in made.entries.items():
        if len(entry.shape) > 1:
            np.testing.assert_array_equal(again.weight(key), made.weight(key), err_msg=key)
    scales = made.manifest["int8"]["scales"]
    assert back.codes is not None and back.codes.to_dict()["pre_head"] == scales["pre_head"]
    kept = again.manifest["int8"]["scales"]["layers"]
    for before, after in zip(scales["layers"], kept, strict=True):
        assert after["normed"] == before["normed"] and after["gated"] == before["gated"]


def test_a_policy_comes_back():
    checkpoint = seeded(Spec("policy", TINY, 4, {"hidden_dim": 24, "trunk_dim": 12}), 9)
    back = dequantise(quantise_policy(checkpoint, real(checkpoint.config, 64)))
    assert back.spec == checkpoint.spec
    assert_close(back.state_dict(), checkpoint.state_dict())


def test_a_cartridge_without_scales_is_refused():
    with pytest.raises(AwmError, match="does not state its scales"):
        dequantise(without_scales())


def assert_close(found, wanted):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        if value.ndim > 1:
            value = dequantize(*quantize_tensor(value)).reshape(value.shape)
        most = np.abs(value).max()
        np.testing.assert_allclose(found[key], value, rtol=1e-3, atol=1e-3 * most, err_msg=key)
