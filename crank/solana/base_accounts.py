"""Accounts of a base layer as a rollup finds them: base58, rent, delegation records. Pure."""

from __future__ import annotations

import base64
import struct

from solders.pubkey import Pubkey

SYSTEM = "11111111111111111111111111111111"
CLOCK = "SysvarC1ock11111111111111111111111111111111"
SYSVAR = "Sysvar1111111111111111111111111111111111111"
DELEGATION_PROGRAM = "DELeGGvXpWV2fqJUhqcF5ZSYMS4JTLjteaAMARRSaeSh"
LOADER_V3 = "BPFLoaderUpgradeab1e11111111111111111111111"
VALIDATOR = "mAGicPQYBMvcYveUZA5F5UNNwyHvfYh5xkLS2Fr1mev"
"""Identity of an unconfigured validator, published by MagicBlock for local work."""
B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def raw(key: str) -> bytes:
    return bytes(Pubkey.from_string(key))


def find(seeds: list[bytes], program: str) -> str:
    return str(Pubkey.find_program_address(seeds, Pubkey.from_string(program))[0])


def b58encode(data: bytes) -> str:
    n, out = int.from_bytes(data, "big"), ""
    while n:
        n, r = divmod(n, 58)
        out = B58[r] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


class Account:
    __slots__ = ("data", "executable", "lamports", "owner")

    def __init__(self, lamports, owner=SYSTEM, data=b"", executable=False):
        self.lamports, self.owner, self.data, self.executable = (
            lamports,
            owner,
            bytes(data),
            executable,
        )

    def json(self):
        return {
            "lamports": self.lamports,
            "owner": self.owner,
            "executable": self.executable,
            "rentEpoch": 2**64 - 1,
            "space": len(self.data),
            "data": [base64.b64encode(self.data).decode(), "base64"],
        }


def rent(size: int) -> int:
    """Rent-exempt minimum of the base layer in lamports, 128 bytes of overhead included."""
    return (128 + size) * 6960


def delegation_record(
    authority: bytes, owner: bytes, lamports: int, slot: int = 0, commit_ms: int = 0
) -> bytes:
    """As the delegation program lays it out: number 100, then what the names say."""
    return struct.pack("<Q32s32sQQQ", 100, authority, owner, slot, lamports, commit_ms)


def delegation_metadata(
    rent_payer: bytes, seeds=(), last_commit: int = 0, undelegation: int = 0
) -> bytes:
    """Number 102, last commit, who asked for undelegation (0 nobody), seeds, rent payer."""
    body = struct.pack("<QQBI", 102, last_commit, undelegation, len(seeds))
    return body + b"".join(struct.pack("<I", len(s)) + s for s in seeds) + rent_payer


def passes(data, filters):
    for f in filters or []:
        if "dataSize" in f and len(data) != f["dataSize"]:
            return False
        m = f.get("memcmp")
        if m:
            raw = m["bytes"]
            want = (
                bytes(raw)
                if isinstance(raw, list)
                else base64.b64decode(raw)
                if m.get("encoding") == "base64"
                else b58any(raw)
            )
            if data[m["offset"] : m["offset"] + len(want)] != want:
                return False
    return True


def b58any(s: str) -> bytes:
    n = 0
    for c in s:
        n = n * 58 + B58.index(c)
    return b"\0" * (len(s) - len(s.lstrip("1"))) + n.to_bytes((n.bit_length() + 7) // 8, "big")
