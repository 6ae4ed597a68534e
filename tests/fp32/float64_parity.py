"""Our networks in true float64 against the PyTorch twins, to 1e-11.

Not collected by name: test_float64.py runs it in a process of its own with JAX_ENABLE_X64=1.
"""

import pytest

pytest.importorskip("torch", reason="the twins need PyTorch")

from support.twins_parity import (
    check_convolutions,
    check_norms,
    check_random_network,
    check_random_sequence,
    check_scans,
)


@pytest.mark.parametrize("shape", [(2, 7, 2, 4, 3), (1, 33, 2, 2, 2)], ids=str)
def test_scan(shape):
    check_scans(shape, draws=50, seed=64)


def test_convolution():
    check_convolutions(2, 5, 3, draws=50)


def test_norm():
    check_norms(24, rows=1000)


@pytest.mark.parametrize("seed", range(100, 107))
def test_network(seed):
    check_random_network(seed)


@pytest.mark.parametrize("seed", range(100, 102))
def test_sequence_in_two_parts(seed):
    check_random_sequence(seed)


@pytest.mark.long
def test_hundreds_of_networks():
    for seed in range(5000, 5400):
        check_random_network(seed)
    for seed in range(5000, 5100):
        check_random_sequence(seed)
