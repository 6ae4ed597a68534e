"""Our networks in true float64 against every golden case of the reference, to 1e-11.

Not collected by name: test_float64.py runs it in a process of its own with JAX_ENABLE_X64=1."""

import numpy as np
import pytest
from support.twins_cases import case_params, first_then_long, from_file
from support.twins_golden import (
    check_recurrent,
    check_scan,
    check_trace,
    check_window_by_steps,
    check_windowed,
    has_blocks,
)
from support.twins_run import float_dtype


def test_this_process_is_float64():
    assert float_dtype() == np.float64


@pytest.mark.parametrize("case", case_params(lambda c: "float_ctx" in c.arrays))
def test_windowed(case):
    check_windowed(case)


@pytest.mark.parametrize("case", case_params(has_blocks))
def test_intermediates(case):
    check_trace(case)


@pytest.mark.parametrize("case", from_file("mamba2_recurrent"))
def test_recurrent(case):
    check_recurrent(case)


def _production_world(case):
    return case.file == "production.npz" and case.arch == "mamba2"


@pytest.mark.parametrize("case", first_then_long(case_params(_production_world)))
def test_production_by_steps(case):
    check_window_by_steps(case)


@pytest.mark.parametrize("case", from_file("ssd_scan"))
def test_scan(case):
    check_scan(case)
