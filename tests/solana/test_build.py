"""The committed program is what its sources give, byte for byte."""

from __future__ import annotations

import hashlib

import pytest

pytest.importorskip("solders")

from support import solana_build
from support.solana_build import ONCHAIN

from crank.solana.program import ELF, elf, header


def test_the_hash_is_the_programs() -> None:
    told = (ONCHAIN / "awm_program.sha256").read_text()
    assert told == f"{hashlib.sha256(elf()).hexdigest()}  {ELF}\n"


def test_the_header_is_generated() -> None:
    assert (ONCHAIN / "layout.h").read_text() == header()


def test_a_rebuild_gives_the_same_bytes() -> None:
    assert solana_build.compiled() == elf()
