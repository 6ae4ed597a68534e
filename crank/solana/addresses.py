"""Where a local rollup has our program."""

from __future__ import annotations

from solders.pubkey import Pubkey

PROGRAM = Pubkey.find_program_address([b"awm-jax"], Pubkey.default())[0]
"""An address that nobody holds a key of."""
