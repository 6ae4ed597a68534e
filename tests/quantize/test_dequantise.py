"""A cartridge turned back into floats is the network that it was made from, as it holds it."""

import numpy as np
import pytest
from support.cartridges import TINY
from support.cartridges import cartridge as without_scales
from support.quantised import EVERY, cfg_of, files, real, seeded, small_world

import converters
from awm_jax.console import run
from awm_jax.errors import AwmError
from converters.cartridge import save_cartridge
from converters.checkpoint import Spec
from converters.cli import PROG, app
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
    checkpoint, sequences = _policy()
    back = dequantise(quantise_policy(checkpoint, sequences))
    assert back.spec == checkpoint.spec
    assert_close(back.state_dict(), checkpoint.state_dict())


def test_a_cartridge_without_scales_is_refused():
    with pytest.raises(AwmError, match="does not state its scales"):
        dequantise(without_scales())


def test_the_command(tmp_path, capsys):
    """What it writes is a checkpoint, and `report` knows it for the cartridge's own."""
    made = quantise(
        small_world(EVERY),
        real(cfg_of(EVERY), 64),
        policies={"one": quantise_policy(*_policy())},
    )
    save_cartridge(made, tmp_path / "c")
    folders = [str(tmp_path / name) for name in ("c", "world", "policy")]
    assert run(app, PROG, ["dequantize", *folders[:2]]) == 0
    assert converters.load(folders[1]).codes == dequantise(made).codes
    assert run(app, PROG, ["dequantize", folders[0], folders[2], "--policy", "one"]) == 0
    assert converters.load(folders[2]).arch == "policy"
    replay = str(files()[0])
    assert run(app, PROG, ["report", *folders[1::-1], "--replays", replay, "--frames", "64"]) == 0
    capsys.readouterr()
    assert run(app, PROG, ["dequantize", *folders[:2], "--policy", "two", "--overwrite"]) == 2
    assert "no policy 'two'; it has one" in capsys.readouterr().err


def _policy():
    checkpoint = seeded(Spec("policy", TINY, 4, {"hidden_dim": 24, "trunk_dim": 12}), 9)
    return checkpoint, real(checkpoint.config, 64)


def assert_close(found, wanted):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        if value.ndim > 1:
            value = dequantize(*quantize_tensor(value)).reshape(value.shape)
        most = np.abs(value).max()
        np.testing.assert_allclose(found[key], value, rtol=1e-3, atol=1e-3 * most, err_msg=key)
