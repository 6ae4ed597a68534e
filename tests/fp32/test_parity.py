"""Our networks and their parts against the PyTorch twins on random configurations and inputs."""

import pytest

pytest.importorskip("torch", reason="the twins need PyTorch")

import jax
import numpy as np
from support.twins_parity import (
    check_convolutions,
    check_many_weights,
    check_norms,
    check_random_network,
    check_random_sequence,
    check_scans,
)
from support.twins_random import Spec, random_config, random_spec

SCAN_SHAPES = (
    (2, 1, 1, 1, 1),
    (1, 2, 3, 2, 5),
    (2, 7, 2, 4, 3),
    (1, 16, 4, 3, 8),
    (1, 33, 2, 2, 2),
)


@pytest.mark.parametrize("shape", SCAN_SHAPES, ids=str)
def test_scan(shape):
    check_scans(shape, draws=200)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 5), (1, 9, 12)], ids=str)
def test_convolution(shape):
    check_convolutions(*shape, draws=300)


@pytest.mark.parametrize("width", [1, 2, 24, 384])
def test_norm(width):
    check_norms(width, rows=1000)


@pytest.mark.parametrize("arch", ["mamba2", "mlp", "policy"])
def test_many_weights(arch):
    dims = {"hidden_dim": 24, "trunk_dim": 16}
    if arch == "mamba2":
        dims = {"d_model": 16, "d_state": 4, "n_layers": 2, "headdim": 8, "chunk_size": 3}
    cfg = random_config(np.random.default_rng(7))
    check_many_weights(Spec(arch, cfg, 5, dims, batch=16), seed=0, draws=25)


@pytest.mark.parametrize("seed", range(16))
def test_network(seed):
    check_random_network(seed)


@pytest.mark.parametrize("seed", range(3))
def test_sequence_in_two_parts(seed):
    check_random_sequence(seed)


def test_the_draws_vary():
    specs = [random_spec(np.random.default_rng([seed, 1])) for seed in range(40)]
    assert {spec.arch for spec in specs} == {"mamba2", "mlp", "policy"}
    assert {spec.cfg.lookahead for spec in specs} == {0, 1, 2}
    assert len({spec.cfg for spec in specs}) > 30


def _each(seeds: range, check) -> None:
    """Compiled code of a hundred configurations at a time."""
    for seed in seeds:
        check(seed)
        if seed % 100 == 99:
            jax.clear_caches()


@pytest.mark.long
def test_thousands_of_networks():
    _each(range(1000, 3000), check_random_network)


@pytest.mark.long
def test_hundreds_of_sequences():
    _each(range(1000, 1300), check_random_sequence)


@pytest.mark.long
def test_scans_of_many_shapes():
    def check(seed):
        rng = np.random.default_rng(seed)
        shape = tuple(int(v) for v in rng.integers(1, (4, 50, 5, 9, 20)))
        check_scans(shape, draws=20, seed=seed)

    _each(range(150), check)
