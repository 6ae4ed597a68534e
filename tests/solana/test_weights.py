"""Weights on chain: an upload that is cut, what it costs, what is found there."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("solders")

from solders.keypair import Keypair
from support import solana_worlds
from support.solana_chain import P1, P2, PROGRAM, Chain, Direct, keypair

from awm_jax.errors import AwmError
from crank.solana import chain_image, weight_shards


class Cut(Direct):
    """A node that goes away after so many transactions."""

    left = 3

    def send(self, instructions: list[Any], signers: list[Keypair]) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().send(instructions, signers)


def image_of(seed: int) -> bytes:
    arch = solana_worlds.arch_of()
    return chain_image.pack(solana_worlds.calm_params(seed, arch), arch)


def test_an_upload_goes_on_where_it_was_cut() -> None:
    """Nothing that is there is sent again; what is there at the end is what the cartridge gives."""
    image, chain, shard, chunk = image_of(1), Chain(), keypair(40), 20_000
    address, whole = shard.pubkey(), -(-len(image) // chunk) + 2
    chain.put(address, bytes(weight_shards.account_bytes(len(image))))

    def upload(node: Any, owner: Keypair = P1, data: bytes = image) -> None:
        weight_shards.upload(node, PROGRAM, shard, owner, 0, data, chunk)

    sent, done = 0, False
    while not done:
        node: Any = Cut(chain)
        try:
            upload(node)
            done = True
        except KeyboardInterrupt:
            told = weight_shards.verify(node, [address], image)
            assert told == f"the shard {address} is not finalized"
        sent += node.sent
    assert sent == whole > Cut.left
    node = Direct(chain)
    assert weight_shards.verify(node, [address], image) is None
    assert weight_shards.fetch_model(node, [address]) == weight_shards.model_of(image)
    upload(node)
    assert node.sent == 0
    with pytest.raises(AwmError, match="another image or another owner"):
        upload(node, P2)
    with pytest.raises(AwmError, match="another image or another owner"):
        upload(node, data=image[:-1] + b"x")
    told = weight_shards.verify(node, [address], image_of(2))
    assert told == f"{address} holds another image than this cartridge gives"
    told = weight_shards.verify(node, [address] * 2, image)
    assert told == "this cartridge has 1 shards, 2 are named"


def test_what_an_upload_costs() -> None:
    """As the chain says: rent by byte, a signature for every transaction and every account."""

    class Told:
        def call(self, method: str, size: int) -> int:
            assert method == "getMinimumBalanceForRentExemption"
            return 6960 * (128 + size)

    image, node = image_of(1), Told()
    cost = weight_shards.cost(node, image, 900)  # pyright: ignore[reportArgumentType]
    chunks = -(-len(image) // 900)
    assert (cost.bytes, cost.accounts, cost.transactions) == (len(image), 1, chunks + 2)
    assert cost.rent == 6960 * (128 + weight_shards.account_bytes(len(image)))
    assert cost.fees == 5000 * (chunks + 3)
