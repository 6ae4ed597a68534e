"""Encode, predict, decode, forward and sequences against the reference's numbers."""

from __future__ import annotations

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.golden import golden_dir, load_json, load_npz
from support.mwm import SETS, golden_mind, golden_module, golden_weights

from awm_jax.mwm.network import MentalWorldModelModule, Mind
from awm_jax.mwm.update import imagine_step, see
from awm_jax.mwm.weights import MODULES, table, to_torch_dict


def tolerance(file: str) -> float:
    return 1e-4 if file.endswith("_sat") else 5e-6


@pytest.mark.parametrize("name", sorted(SETS.values()))
def test_weights_are_those_of_the_recipe(name: str) -> None:
    weights = golden_weights(name)
    spec = load_json(golden_dir("mwm") / "weights.json")[name]
    for key, shape, digest, first, _ in spec["keys"]:
        assert list(weights[key].shape) == shape
        assert hashlib.sha256(weights[key].astype("<f4").tobytes()).hexdigest()[:16] == digest
        assert weights[key].flat[0] == np.float32(first)
    assert golden_module(name).get_parameter_count()["total"] == spec["parameters"]
    again = to_torch_dict(golden_module(name))
    assert all((again[key] == weights[key]).all() for key in weights)


def test_order_of_the_state_dict() -> None:
    spec = load_json(golden_dir("mwm") / "weights.json")["A"]
    assert [entry.key for entry in table()] == spec["order_of_state_dict"]


def test_parameter_counts_at_256() -> None:
    counts = nnx.eval_shape(lambda: MentalWorldModelModule(rngs=nnx.Rngs(0))).get_parameter_count()
    assert counts["total"] == 1_848_604
    assert counts["latent_update"] == 787_968 and counts["dynamics"] == 394_752
    assert set(counts) == {*MODULES, "total"}


@pytest.mark.parametrize("file", sorted(SETS))
def test_single_steps(file: str) -> None:
    golden = load_npz(golden_dir("mwm") / f"net_{file}.npz")
    model = golden_module(SETS[file])
    inputs = [jnp.asarray(golden[f"in_{n}"]) for n in ("z_prev", "gwm", "iwm", "self", "action")]
    z, decoded, z_hat = jax.jit(lambda m, *a: m(*a))(Mind.of(model).module(), *inputs)
    assert z_hat is not None
    _, hat = imagine_step(golden_mind(SETS[file]), jnp.asarray(golden["out32_z_t"]), inputs[-1])
    found = {"z_t": z, "z_hat": z_hat}
    found |= {f"dec_{name}": value for name, value in decoded._asdict().items()}
    found |= {f"dechat_{name}": value for name, value in hat._asdict().items()}
    for precision in ("out32", "out64"):
        for name, value in found.items():
            want = golden[f"{precision}_{name}"]
            np.testing.assert_allclose(value, want, rtol=0, atol=tolerance(file), err_msg=name)


def test_forward_without_an_action_imagines_nothing() -> None:
    model = golden_module("S")
    z, decoded, z_hat = model.forward(
        model.init_latent(2), jnp.zeros((2, 16)), None, jnp.zeros((2, 8))
    )
    assert z_hat is None and z.shape == (2, 8) and decoded.world.shape == (2, 16)


def test_no_visual_latent_is_zeros() -> None:
    golden = load_npz(golden_dir("mwm") / "net_d8.npz")
    arrays = [jnp.asarray(golden[f"in_{n}"]) for n in ("z_prev", "gwm", "self")]
    z_prev, gwm, own = arrays
    mind = golden_mind("S")
    without = see(mind, z_prev, gwm, None, own)[0]
    zeros = see(mind, z_prev, gwm, jnp.zeros((8, 16)), own)[0]
    np.testing.assert_allclose(without, zeros, atol=1e-6)


@pytest.mark.parametrize("file", ["d256", "d256_sat", "d8"])
def test_fifty_steps_seen_then_twenty_imagined(file: str) -> None:
    golden = load_npz(golden_dir("mwm") / f"seq_{file}.npz")
    mind = golden_mind(SETS[file])
    observed = golden["in_gwm"].shape[0]

    @jax.jit
    def run(gwm, iwm, own, actions):
        model = mind.module()

        def step(z, x):
            z, decoded, z_hat = model(z, *x)
            return z, (z, z_hat, *decoded)

        def dream(z, action):
            z = model.predict(z, action)
            return z, (z, model.decode(z).affect)

        z, seen = jax.lax.scan(
            step, model.init_latent(gwm.shape[1]), (gwm, iwm, own, actions[:observed])
        )
        return seen, jax.lax.scan(dream, z, actions[observed:])[1]

    seen, dreamt = run(*(jnp.asarray(golden[f"in_{n}"]) for n in ("gwm", "iwm", "self", "action")))
    names = ("z", "z_hat", "world", "self", "affect", "imag_z", "imag_affect")
    for name, value in zip(names, (*seen, *dreamt), strict=True):
        for precision in ("out32", "out64"):
            want = golden[f"{precision}_{name}"]
            np.testing.assert_allclose(value, want, rtol=0, atol=tolerance(file), err_msg=name)


def test_latents_stay_within_one() -> None:
    golden = load_npz(golden_dir("mwm") / "seq_d256_sat.npz")
    assert np.abs(golden["out32_z"]).max() <= 1
    rng = np.random.default_rng(0)
    z = jnp.zeros((4, 8))
    for _ in range(20):
        gwm, own = (jnp.asarray(rng.normal(0, 100, (4, n)), jnp.float32) for n in (16, 8))
        z, _ = see(golden_mind("S"), z, gwm, None, own)
        assert np.abs(z).max() <= 1
