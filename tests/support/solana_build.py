"""The Solana program built anew, with Debian 12's clang 14."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ONCHAIN = Path(__file__).resolve().parents[2] / "onchain"
CLANG = "clang version 14."
CALL = Path(__file__).with_name("sol_matmul_i8.c")
"""A function in the place of the rollup's system call."""


@functools.cache
def compiled(*defines: str) -> bytes:
    """The program's bytes; skips the test where there is no such clang."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang")
    version = subprocess.run([clang, "--version"], capture_output=True, text=True).stdout
    if CLANG not in version:
        pytest.skip(f"the program is built with {CLANG}x, here is {version.splitlines()[0]}")
    spec = importlib.util.spec_from_file_location("onchain_build", ONCHAIN / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    paths = list(sys.path)
    try:
        spec.loader.exec_module(module)
        return module.compile_program(clang, defines)
    finally:
        sys.path[:] = paths


def calling(*defines: str) -> bytes:
    """The program that calls `sol_matmul_i8`, with that function in it."""
    return compiled("-DAWM_SYSCALL", "-include", str(CALL), *defines)
