"""State-dict keys, shapes and order, and weights that come back bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.golden import golden_dir, load_json
from support.twins_cases import (
    NETWORKS,
    Case,
    abstract_network,
    case_network,
    case_params,
    filled,
    network_shapes,
    seeded_network,
)
from support.twins_random import random_spec
from support.twins_run import quick_jit

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32.weights import from_torch_dict, num_parameters, to_torch_dict, torch_shapes

DEPLOYED = EncodingConfig(state_age_as_embed=True, state_flags=True, hitstun=True)
SMALL = {
    "mamba2": {"d_model": 8, "d_state": 3, "n_layers": 2, "headdim": 4},
    "mlp": {"hidden_dim": 6, "trunk_dim": 5},
    "policy": {"hidden_dim": 6, "trunk_dim": 5},
}


def test_keys_of_the_reference():
    rows_of = load_json(golden_dir("torch") / "state_dict_keys.json")
    cases = load_json(golden_dir("torch") / "cases.json")
    for name, rows in rows_of.items():
        case = Case(name, cases[name])
        spec = (case.arch, case.cfg, case.info["context_len"], case.info["dims"])
        shapes = network_shapes(*spec)
        assert list(shapes.items()) == [(key, tuple(shape)) for key, shape, _ in rows]
        assert all(dtype == "float32" for _, _, dtype in rows)


@pytest.mark.parametrize("case", case_params(lambda c: c.arch in NETWORKS))
def test_parameter_count(case):
    spec = (case.arch, case.cfg, case.info["context_len"], case.info["dims"])
    assert num_parameters(abstract_network(*spec)) == case.info["params"]


@pytest.mark.parametrize(
    ("arch", "changes", "dims", "context_len", "count"),
    [
        ("mamba2", {"projectiles": True}, {"d_model": 384, "n_layers": 4}, 10, 4_347_748),
        ("policy", {}, {}, 10, 1_573_621),
        (
            "mamba2",
            {"ctrl_threshold_features": True},
            {"d_model": 384, "n_layers": 4},
            10,
            4_349_284,
        ),
        (
            "mamba2",
            {"ctrl_threshold_features": True},
            {"d_model": 768, "n_layers": 4},
            30,
            15_794_548,
        ),
    ],
)
def test_parameter_count_of_deployed_networks(arch, changes, dims, context_len, count):
    """networks.md 2.6; the founders' own statistics file has 82 tensors and 17."""
    network = abstract_network(arch, DEPLOYED.replace(**changes), context_len, dims)
    assert num_parameters(network) == count
    assert len(torch_shapes(network)) == {"mamba2": 82, "policy": 17}[arch]


@pytest.mark.parametrize(
    ("arch", "age", "dims", "count"),
    [
        ("mamba2", False, {"d_model": 384, "n_layers": 4}, 4_275_810),
        ("mamba2", True, {"d_model": 384, "n_layers": 4}, 4_282_386),
        ("mlp", False, {}, 1_360_722),
        ("policy", False, {}, 1_080_901),
        ("policy", True, {}, 1_153_781),
    ],
)
def test_parameter_count_of_defaults(arch, age, dims, count):
    network = abstract_network(arch, EncodingConfig(state_age_as_embed=age), 10, dims)
    assert num_parameters(network) == count


def test_parameter_bytes_by_group():
    """Bytes per group of the deployed world, confirmed by the founders' statistics file."""
    dims = {"d_model": 384, "n_layers": 4}
    groups = dict.fromkeys(("layers", "embeddings", "heads", "projections"), 0)
    for key, shape in network_shapes(
        "mamba2", DEPLOYED.replace(projectiles=True), 10, dims
    ).items():
        if key.startswith("layers."):
            group = "layers"
        elif key.endswith("_embed.weight"):
            group = "embeddings"
        else:
            group = "heads" if "_head." in key else "projections"
        groups[group] += int(np.prod(shape))
    assert groups == {
        "layers": 3_776_656,
        "embeddings": 15_080,
        "heads": 435_820,
        "projections": 120_192,
    }


@pytest.mark.parametrize("case", case_params(lambda c: c.arch in NETWORKS and not c.production))
def test_golden_weights_come_back(case):
    network = case_network(case)
    shapes = torch_shapes(network)
    _assert_same_bits(to_torch_dict(network), case.weights(shapes))


@pytest.mark.parametrize("seed", range(10))
def test_any_bits_come_back(seed):
    """Every float32 pattern: negative zero, subnormal, infinite, NaN with a payload."""
    rng = np.random.default_rng(seed)
    spec = random_spec(rng)
    abstract = abstract_network(spec.arch, spec.cfg, spec.context_len, spec.dims)
    weights = {
        key: rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
        for key, shape in torch_shapes(abstract).items()
    }
    _assert_same_bits(to_torch_dict(filled(abstract, weights)), weights)


@pytest.fixture(scope="module", params=sorted(SMALL))
def initial(request):
    """A network with the initial values of its constructor."""
    arch = request.param

    def build():
        return nnx.state(NETWORKS[arch](DEPLOYED, context_len=3, **SMALL[arch], rngs=nnx.Rngs(3)))

    graph, _ = nnx.split(abstract_network(arch, DEPLOYED, 3, SMALL[arch]))
    return nnx.merge(graph, quick_jit(build)())


def test_initial_weights_move_to_another_network(initial):
    weights = to_torch_dict(initial)
    assert {key: value.shape for key, value in weights.items()} == torch_shapes(initial)
    other = seeded_network(initial.arch, DEPLOYED, 3, SMALL[initial.arch])
    assert all((to_torch_dict(other)[key] != value).any() for key, value in weights.items())
    from_torch_dict(other, weights)
    _assert_same_bits(to_torch_dict(other), weights)
    for a, b in zip(_leaves(initial), _leaves(other), strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("arch", sorted(SMALL))
def test_every_parameter_has_a_key(arch):
    """One distinct number per element of the state dict reaches one element of our parameters."""
    abstract = abstract_network(arch, DEPLOYED, 3, SMALL[arch])
    weights, start = {}, 0
    for key, shape in torch_shapes(abstract).items():
        size = int(np.prod(shape))
        weights[key] = np.arange(start, start + size, dtype=np.float32).reshape(shape)
        start += size
    found = np.concatenate([np.ravel(leaf) for leaf in _leaves(filled(abstract, weights))])
    np.testing.assert_array_equal(np.sort(found), np.arange(start))


@pytest.mark.parametrize("arch", sorted(SMALL))
def test_a_missing_key_is_an_error(arch):
    network = seeded_network(arch, DEPLOYED, 3, SMALL[arch])
    weights = to_torch_dict(network)
    del weights[list(weights)[-1]]
    with pytest.raises(KeyError):
        from_torch_dict(network, weights)


def test_initial_values(initial):
    """networks.md 2.6: Linear U(+-1/sqrt(in)), Embedding N(0,1), conv U(+-0.5), and so on."""
    weights = to_torch_dict(initial)
    for key, value in weights.items():
        if key.endswith("_embed.weight"):
            bound = 6.0
        elif key.endswith("A_log"):
            np.testing.assert_allclose(value, np.log(np.arange(1, value.size + 1)), rtol=1e-6)
            continue
        elif key.endswith((".D", "norm.weight")):
            np.testing.assert_array_equal(value, 1)
            continue
        elif key.endswith("dt_bias"):
            bound = 1.0
        elif ".conv1d." in key:
            bound = 0.5
        else:
            bound = weights[key.replace(".bias", ".weight")].shape[1] ** -0.5
        assert np.abs(value).max() <= bound, key
        assert value.size < 20 or np.abs(value).max() > bound / 4, key
    table = weights["action_embed.weight"]
    assert abs(table.std() - 1) < 0.05
    assert abs(table.mean()) < 0.05


def _leaves(network):
    return jax.tree.leaves(nnx.state(network))


def _assert_same_bits(got, want):
    assert list(got) == list(want)
    for key, value in want.items():
        assert got[key].dtype == np.float32
        assert got[key].shape == value.shape
        assert got[key].tobytes() == np.ascontiguousarray(value).tobytes(), key
