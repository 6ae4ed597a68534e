"""How an instruction names its accounts."""

from __future__ import annotations

from solders.instruction import AccountMeta
from solders.pubkey import Pubkey


def readonly(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, False, False)


def writable(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, False, True)


def signing(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, True, False)


def paying(key: Pubkey) -> AccountMeta:
    """Signs, and is written."""
    return AccountMeta(key, True, True)
