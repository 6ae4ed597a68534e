"""The committed program is what its sources give, byte for byte."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("solders")

from crank.solana.program import ELF, elf, header

ONCHAIN = Path(__file__).resolve().parents[2] / "onchain"
CLANG = "clang version 14."


def build() -> Any:
    spec = importlib.util.spec_from_file_location("onchain_build", ONCHAIN / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_hash_is_the_programs() -> None:
    told = (ONCHAIN / "awm_program.sha256").read_text()
    assert told == f"{hashlib.sha256(elf()).hexdigest()}  {ELF}\n"


def test_the_header_is_generated() -> None:
    assert (ONCHAIN / "layout.h").read_text() == header()


def test_a_rebuild_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang")
    version = subprocess.run([clang, "--version"], capture_output=True, text=True).stdout
    if CLANG not in version:
        pytest.skip(f"the program is built with {CLANG}x, here is {version.splitlines()[0]}")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert build().compile_program(clang) == elf()
