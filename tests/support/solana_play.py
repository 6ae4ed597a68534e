"""Sessions in LiteSVM whose frames the program computes, beside the same match by the machine."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from awm_jax.int8.world import Int8World
from crank.solana import accounts, chain_image, chain_state, frame_parts, machine, weight_shards
from crank.solana.accounts import FrameWork, SessionState, WeightShard
from crank.solana.chain_state import Machine
from crank.solana.program import Dispute, RunParts, sha256
from support import int_worlds, solana_worlds
from support.solana_chain import P1, P2, STRANGER, Chain, keypair

SHARD, SCRATCH, DISPUTE = (keypair(n).pubkey() for n in (21, 22, 23))


@dataclasses.dataclass
class Play:
    """A session computed by the program, and the same match by the machine."""

    chain: Chain
    own: Machine
    shards: tuple[Pubkey, ...] = (SHARD,)

    @property
    def due(self) -> int:
        return self.own.frame + 1

    def inputs(self, pads: np.ndarray) -> None:
        for player, pad in zip((P1, P2), pads, strict=True):
            assert self.chain.submit(player, machine.controller_of(pad)) is None

    def run(self, frame: int | None = None) -> Any:
        own, due = self.chain.session, self.due if frame is None else frame
        return self.chain.send(own.run_inference(STRANGER.pubkey(), due, SHARD))

    def step(self, pads: np.ndarray) -> None:
        self.inputs(pads)
        got = self.run()
        assert got is None, got
        self.own = self.own.step(pads)


def shard_bytes(image: bytes, finalized: bool = True, index: int = 0) -> bytes:
    value = WeightShard(index, len(image), bytes(P1.pubkey()), finalized, sha256(image))
    return accounts.encode(value, bytes(accounts.TAIL_PADDING) + image)


def begin(
    arch: Any,
    seed: int = 1,
    most: int = chain_image.SHARD_BYTES,
    call: bool = False,
    **changes: Any,
) -> Play:
    """A session at its start; its image, as `chain_image.pack` makes it with `call`, in shards of
    at most so many bytes."""
    params = solana_worlds.calm_params(seed, arch)
    world = Int8World(int_worlds.on_device(params), arch)
    pieces = chain_image.shards(chain_image.pack(params, arch, call), most)
    model = chain_image.model_of([sha256(piece) for piece in pieces])
    shape = chain_state.create_shape(world)
    chain = Chain(size=shape["state_size"], max_frames=600, **changes)
    assert chain.create(**shape, model=model) is None
    assert chain.join() is None
    own = Machine.at_start(world, chain.get(SessionState))
    assert chain.commit(own.slot(), players=own.players) is None
    shards = (SHARD, *(keypair(30 + n).pubkey() for n in range(1, len(pieces))))
    for index, (shard, piece) in enumerate(zip(shards, pieces, strict=True)):
        chain.put(shard, shard_bytes(piece, index=index))
    return Play(chain, own, shards)


@dataclasses.dataclass
class Parts:
    """Frames of a Play in parts, with the account in which they are made."""

    play: Play
    dims: dict[str, int]

    @classmethod
    def of(cls, play: Play) -> Parts:
        shard = play.chain.data(SHARD)[accounts.account_size(WeightShard) + 2 :]
        dims = chain_image.dims_of(shard)
        play.chain.put(FrameWork, bytes(frame_parts.work_bytes(dims, play.chain.size)))
        return cls(play, dims)

    def send(self, first: int, count: int, frame: int | None = None) -> Any:
        args = RunParts(self.play.due if frame is None else frame, first, count)
        step = self.play.chain.session.run_parts(STRANGER.pubkey(), args, self.play.shards)
        return self.play.chain.send(step)

    def step(self, pads: np.ndarray, counts: list[int]) -> None:
        self.play.inputs(pads)
        at = 0
        for count in counts:
            assert self.send(at, count) is None
            at += count
        self.play.own = self.play.own.step(pads)


@dataclasses.dataclass
class Disputed:
    """A committed frame that `who` has computed again."""

    play: Play
    dims: dict[str, int]
    who: Keypair = STRANGER

    @property
    def total(self) -> int:
        return len(frame_parts.parts(self.dims))

    def send(self, frame: int, first: int, count: int) -> Any:
        args, own = Dispute(frame, first, count), self.play.chain.session
        return self.play.chain.send(
            own.dispute(self.who.pubkey(), args, DISPUTE, self.play.shards), payer=self.who
        )


def disputed(play: Play) -> Disputed:
    dims = chain_image.dims_of(play.chain.data(SHARD)[weight_shards.account_bytes(0) :])
    play.chain.put(DISPUTE, bytes(frame_parts.dispute_bytes(dims, play.chain.size)))
    return Disputed(play, dims)
