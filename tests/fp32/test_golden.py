"""Our networks in float32 against every golden case of the reference, within its tolerances."""

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


def test_this_process_is_float32():
    assert float_dtype() == np.float32


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


@pytest.mark.parametrize("case", case_params(_production_world))
def test_production_by_steps(case):
    check_window_by_steps(case)


@pytest.mark.parametrize("case", first_then_long(case_params(lambda c: c.production)))
def test_production_compiled_as_users_compile_it(case):
    check_windowed(case, quick=False)


@pytest.mark.parametrize("case", from_file("ssd_scan"))
def test_scan(case):
    check_scan(case)
