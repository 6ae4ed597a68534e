"""A cartridge's packed image in WeightShards: upload in chunks, resume, verify.

The image is `chain_image.pack` of the cartridge, so anybody with the cartridge makes the same
bytes; a shard's sha256 is its `data_hash`, which the program checks when it finalizes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from solders.compute_budget import set_compute_unit_limit
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from awm_jax.errors import AwmError
from crank.solana import accounts, chain_image, frame_parts, program
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
    accounts: int
    rent: int
    transactions: int
    fees: int


def cost(node: Node, image: bytes, chunk: int) -> Cost:
    """What an upload of an image would take."""
    sizes = [len(shard) for shard in chain_image.shards(image)]
    method = "getMinimumBalanceForRentExemption"
    rent = sum(int(node.call(method, account_bytes(size))) for size in sizes)
    transactions = sum(-(-size // chunk) + 2 for size in sizes)
    return Cost(len(image), len(sizes), rent, transactions, 5000 * (transactions + len(sizes)))


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


def fetch_model(node: Node, shards: Sequence[Pubkey]) -> bytes:
    """The model that these shards are; refuses one that is not finalized."""
    hashes = []
    for shard in shards:
        found = node.account(shard, 0, accounts.account_size(WeightShard))
        if found is None:
            raise AwmError(f"no account at {shard}")
        value = accounts.decode(WeightShard, found[1])[0]
        if not value.finalized:
            raise AwmError(f"the shard {shard} is not finalized; go on with: awm weights upload")
        hashes.append(value.data_hash)
    return chain_image.model_of(hashes)


def fetch_dims(node: Node, shard: Pubkey) -> dict[str, int]:
    """The dimensions of the world whose first shard this is, without its weights."""
    at = account_bytes(0)
    found = node.account(shard, at, chain_image.HEAD_BYTES)
    if found is None or len(found[1]) < chain_image.HEAD_BYTES:
        raise AwmError(f"no image of a world at {shard}; bring one there with: awm weights upload")
    return chain_image.dims_of(found[1])


def model_of(image: bytes) -> bytes:
    """The model that the shards of this image are."""
    return chain_image.model_of([program.sha256(shard) for shard in chain_image.shards(image)])


def upload(
    node: Node,
    program_id: Pubkey,
    key: Keypair,
    owner: Keypair,
    index: int,
    data: bytes,
    chunk: int = LOCAL_CHUNK_BYTES,
    on_bytes: Callable[[int], None] | None = None,
) -> Pubkey:
    """Bring shard `index` of an image into the account of `key`, which stands there with zeros;
    goes on with one that was begun. Chunks that are there already are not sent again.

    Raises:
      AwmError: the account holds another image, or the node refused.
    """
    shard, who = key.pubkey(), owner.pubkey()
    found = node.account(shard)
    if found is None:
        raise AwmError(f"no account at {shard}; it has to be made and delegated first")
    if not any(found[1][:8]):
        args = CreateShard(index, len(data), program.sha256(data))
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
        limit = set_compute_unit_limit(frame_parts.TRANSACTION_UNITS)
        node.send([limit, program.finalize(program_id, shard, who)], [owner])
    return shard


def verify(node: Node, shards: Sequence[Pubkey], image: bytes) -> str | None:
    """None where the shards hold exactly this image, finalized; else what is wrong."""
    pieces = chain_image.shards(image)
    if len(shards) != len(pieces):
        return f"this cartridge has {len(pieces)} shards, {len(shards)} are named"
    for shard, piece in zip(shards, pieces, strict=True):
        value, data = read(node, shard)
        if not value.finalized:
            return f"the shard {shard} is not finalized"
        if program.sha256(data) != value.data_hash:
            return f"the hash of the data in {shard} is not the one that it states"
        if data != piece:
            return f"{shard} holds another image than this cartridge gives"
    return None
