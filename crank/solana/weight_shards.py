"""A cartridge's packed image as a WeightShard: upload in chunks, resume, verify.

The image is `awm_jax.int8.native.image.pack` of the cartridge, so anybody with the cartridge makes
the same bytes; its sha256 is the shard's `data_hash`, which the program checks when it finalizes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from awm_jax.errors import AwmError
from crank.solana import accounts, chain_image, program
from crank.solana.accounts import WeightShard
from crank.solana.program import CreateShard
from crank.solana.rpc import Node

CHUNK_BYTES = 900
"""Fits a base-layer transaction of 1,232 bytes with its signatures; a local rollup takes 60,000."""
LOCAL_CHUNK_BYTES = 60_000


def account_bytes(size: int) -> int:
    """Of a shard with so much data."""
    return accounts.account_size(WeightShard) + accounts.TAIL_PADDING + size


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an upload takes; lamports as the chain says."""

    bytes: int
    rent: int
    transactions: int
    fees: int


def cost(node: Node, size: int, chunk: int) -> Cost:
    """What an upload of so many bytes would take."""
    rent = node.call("getMinimumBalanceForRentExemption", account_bytes(size))
    transactions = -(-size // chunk) + 2
    return Cost(size, int(rent), transactions, 5000 * (transactions + 1))


def read(node: Node, shard: Pubkey, owner: Pubkey | None = None) -> tuple[WeightShard, bytes]:
    """A shard and its data."""
    found = node.account(shard)
    if found is None:
        raise AwmError(f"no account at {shard}")
    told = str(owner) if owner is not None else found[0]
    value, tail = accounts.decode(WeightShard, found[1], tail=None, owner=found[0], program=told)
    data = tail[accounts.TAIL_PADDING :]
    if len(data) != value.data_size:
        raise AwmError(f"WeightShard: {len(data)} bytes of data, it says {value.data_size}")
    return value, data


def fetch(node: Node, shard: Pubkey) -> WeightShard:
    """A shard without its data; refuses one that is not finalized."""
    found = node.account(shard, 0, accounts.account_size(WeightShard))
    if found is None:
        raise AwmError(f"no account at {shard}")
    value = accounts.decode(WeightShard, found[1])[0]
    if not value.finalized:
        raise AwmError(f"the shard {shard} is not finalized; go on with: awm weights upload")
    return value


def fetch_dims(node: Node, shard: Pubkey) -> dict[str, int]:
    """The dimensions of the world in a shard, without its weights."""
    at = account_bytes(0)
    found = node.account(shard, at, chain_image.HEAD_BYTES)
    if found is None or len(found[1]) < chain_image.HEAD_BYTES:
        raise AwmError(f"no image of a world at {shard}; bring one there with: awm weights upload")
    return chain_image.dims_of(found[1])


def upload(
    node: Node,
    program_id: Pubkey,
    key: Keypair,
    owner: Keypair,
    data: bytes,
    chunk: int = LOCAL_CHUNK_BYTES,
    on_bytes: Callable[[int], None] | None = None,
) -> Pubkey:
    """Bring an image into the account of `key`, which stands there with zeros; goes on with one
    that was begun. Chunks that are there already are not sent again.

    Raises:
      AwmError: the account holds another image, or the node refused.
    """
    shard, who = key.pubkey(), owner.pubkey()
    found = node.account(shard)
    if found is None:
        raise AwmError(f"no account at {shard}; it has to be made and delegated first")
    if not any(found[1][:8]):
        args = CreateShard(0, len(data), program.sha256(data))
        node.send([program.create_shard(program_id, shard, who, args)], [owner, key])
    value, held = read(node, shard, program_id)
    if value.data_hash != program.sha256(data) or value.shard_authority != bytes(who):
        raise AwmError(f"{shard} is of another image or another owner; name another key")
    for at in range(0, len(data), chunk):
        piece = data[at : at + chunk]
        if held[at : at + chunk] != piece:
            if value.finalized:
                raise AwmError(f"{shard} is finalized with other bytes")
            node.send([program.upload(program_id, shard, who, at, piece)], [owner])
        if on_bytes is not None:
            on_bytes(len(piece))
    if not value.finalized:
        from crank.solana.session import set_compute_unit_limit

        limit = set_compute_unit_limit(1_400_000)
        node.send([limit, program.finalize(program_id, shard, who)], [owner])
    return shard


def verify(node: Node, shard: Pubkey, image: bytes) -> str | None:
    """None where the shard holds exactly this image, finalized; else what is wrong."""
    value, data = read(node, shard)
    if not value.finalized:
        return "the shard is not finalized"
    if program.sha256(data) != value.data_hash:
        return "the data's hash is not the one that the shard states"
    if data != image:
        return "the shard holds another image than this cartridge gives"
    return None
