"""The network in the virtual machine: the same bits as the JAX step, frame for frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

pytest.importorskip("solders")

from support import int_worlds, solana_worlds
from support.solana_chain import P1, P2, STRANGER, Chain, keypair

from awm_jax.errors import AwmError
from awm_jax.int8.world import Int8World
from crank.solana import accounts, borsh, chain_image, chain_state, machine
from crank.solana.accounts import (
    ENDED,
    REFUTED,
    ControllerInput,
    HiddenState,
    InputBuffer,
    SessionState,
    WeightShard,
)
from crank.solana.chain_state import Machine
from crank.solana.program import Error, sha256

SHARD, SCRATCH = keypair(21).pubkey(), keypair(22).pubkey()


@dataclasses.dataclass
class Play:
    """A session computed by the program, and the same match by the machine."""

    chain: Chain
    own: Machine

    @property
    def due(self) -> int:
        return self.own.frame + 1

    def inputs(self, pads: np.ndarray) -> None:
        for player, pad in zip((P1, P2), pads, strict=True):
            assert self.chain.submit(player, machine.controller_of(pad)) is None

    def run(self, frame: int | None = None) -> Any:
        session, due = self.chain.session, self.due if frame is None else frame
        return self.chain.send(session.run_inference(STRANGER.pubkey(), due, SHARD))

    def step(self, pads: np.ndarray) -> None:
        self.inputs(pads)
        got = self.run()
        assert got is None, got
        self.own = self.own.step(pads)


def shard_bytes(image: bytes, finalized: bool = True) -> bytes:
    value = WeightShard(0, len(image), bytes(P1.pubkey()), finalized, sha256(image))
    return accounts.encode(value, bytes(accounts.TAIL_PADDING) + image)


def begin(arch: Any, seed: int = 1, **changes: Any) -> Play:
    params = solana_worlds.calm_params(seed, arch)
    world = Int8World(int_worlds.on_device(params), arch)
    image = chain_image.pack(params, arch)
    shape = chain_state.create_shape(world)
    chain = Chain(size=shape["state_size"], max_frames=600, **changes)
    assert chain.create(**shape, model=sha256(image)) is None
    assert chain.join() is None
    own = Machine.at_start(world, chain.get(SessionState))
    assert chain.commit(own.slot(), players=own.players) is None
    chain.put(SHARD, shard_bytes(image))
    return Play(chain, own)


@pytest.fixture(scope="module")
def arch() -> Any:
    return solana_worlds.arch_of()


def test_frames_are_the_machines(arch: Any) -> None:
    play = begin(arch)
    for pads in int_worlds.random_pads(3, 60):
        play.step(pads)
        assert play.chain.slot(play.own.frame) == play.own.slot()
        assert play.chain.get(SessionState).players == play.own.players
    assert play.chain.get(HiddenState).frame == play.chain.get(SessionState).frame == 60
    entry = accounts.log_entries(
        play.chain.get(accounts.FrameLog), play.chain.tail(accounts.FrameLog)
    )[-1]
    buffer = play.chain.get(InputBuffer)
    told = accounts.compress(60, play.own.players, (buffer.player1, buffer.player2), 32)
    assert borsh.encode(entry) == borsh.encode(told)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_other_worlds(seed: int) -> None:
    """Odd sizes, two planes, every variant's head, one and three layers."""
    sizes = [
        {"d_model": 18, "d_state": 5, "headdim": 9, "n_layers": 1, "context_len": 1},
        {"planes": 2},
        {"n_layers": 3, "d_state": 16},
        {"d_model": 72, "headdim": 36},
        {"context_len": 10, "d_state": 3},
        {"d_model": 48, "planes": 2, "n_layers": 1},
    ]
    play = begin(solana_worlds.arch_of(**sizes[seed]), seed)
    for pads in int_worlds.random_pads(seed, 100):
        play.step(pads)
        assert play.chain.slot(play.own.frame) == play.own.slot()


def test_who_and_when(arch: Any) -> None:
    play = begin(arch)
    pads = int_worlds.random_pads(3, 3)
    assert play.run() == Error.NOT_READY
    assert play.chain.submit(P1, ControllerInput()) is None
    assert play.run() == Error.NOT_READY
    play.inputs(pads[0])
    for frame in (0, 2):
        assert play.run(frame) == Error.WRONG_FRAME
    good = play.chain.data(SHARD)
    image = good[accounts.account_size(WeightShard) + accounts.TAIL_PADDING :]
    for data, error in (
        (shard_bytes(image, finalized=False), Error.NOT_FINALIZED),
        (shard_bytes(image[:-1]), Error.WRONG_MODEL),
        (shard_bytes(image)[:100], Error.WRONG_SIZE),
        (bytes(len(good)), Error.WRONG_KIND),
    ):
        play.chain.put(SHARD, data)
        assert play.run() == error
    play.chain.put(SHARD, good, owner=STRANGER.pubkey())
    assert play.run() == Error.WRONG_OWNER
    play.chain.put(SHARD, good)
    assert play.run() is None


def test_an_image_of_another_world_is_refused(arch: Any) -> None:
    """Whoever opens a session with it: its sizes must be those of the session's accounts."""
    play = begin(arch)
    other = solana_worlds.arch_of(d_state=16)
    image = chain_image.pack(solana_worlds.calm_params(1, other), other)
    play.chain.put(SHARD, shard_bytes(image))
    session = play.chain.get(SessionState)
    play.chain.put(SessionState, accounts.encode(dataclasses.replace(session, model=sha256(image))))
    play.inputs(int_worlds.random_pads(3, 1)[0])
    assert play.run() == Error.WRONG_SIZE
    with pytest.raises(AwmError, match="recurrent worlds only"):
        windowed = dataclasses.replace(arch, recurrent=False)
        chain_image.pack(solana_worlds.calm_params(1, arch), windowed)


def test_a_wrong_commit_is_refuted(arch: Any) -> None:
    """A crank's own commit, once right and once not, challenged by a stranger."""
    play = begin(arch)
    pads = int_worlds.random_pads(5, 4)
    play.step(pads[0])
    scratch = bytes(8 + play.chain.size)
    challenge = play.chain.session.challenge(STRANGER.pubkey(), SCRATCH, SHARD)
    play.inputs(pads[1])
    right = play.own.step(pads[1])
    assert play.chain.commit(right.slot(), players=right.players) is None
    play.chain.put(SCRATCH, scratch)
    assert play.chain.send(challenge) == Error.SAME_RESULT
    play.inputs(pads[2])
    wrong = bytearray(right.step(pads[2]).slot())
    wrong[-9] ^= 1
    players = right.step(pads[2]).players
    assert play.chain.commit(bytes(wrong), players=players) is None
    play.chain.put(SCRATCH, scratch)
    assert play.chain.send(challenge) is None
    assert play.chain.get(SessionState).status == REFUTED
    assert play.chain.submit(P1, ControllerInput()) == Error.WRONG_STATUS
    assert play.chain.send(challenge) == Error.WRONG_STATUS


def test_a_wrong_record_is_refuted_after_the_end(arch: Any) -> None:
    play = begin(arch)
    pads = int_worlds.random_pads(5, 1)[0]
    play.inputs(pads)
    right = play.own.step(pads)
    robbed = (dataclasses.replace(right.players[0], stocks=0), right.players[1])
    assert play.chain.commit(right.slot(), players=robbed) is None
    assert play.chain.get(SessionState).status == ENDED
    play.chain.put(SCRATCH, bytes(8 + play.chain.size))
    challenge = play.chain.session.challenge(STRANGER.pubkey(), SCRATCH, SHARD)
    assert play.chain.send(challenge) is None
    assert play.chain.get(SessionState).status == REFUTED


def test_lanes_hold_any_weights() -> None:
    """Products by lanes, as the program empties them, with the largest weights and codes."""
    rng = np.random.default_rng(0)
    for w in (
        np.full((12, 128), 127, np.int8),
        np.full((13, 64), -127, np.int8),
        rng.integers(-127, 128, (30, 192)).astype(np.int8),
    ):
        cols = w.shape[1]
        words = np.frombuffer(chain_image.lanes(w), "<u8")
        words = words.reshape(-1, cols, chain_image.LANE_WORDS)
        for x in (np.full(cols, 127), np.full(cols, -128), rng.integers(-128, 128, cols)):
            rows = []
            for block in words:
                sums = np.zeros(chain_image.BLOCK_ROWS, np.int64)
                for at in range(0, cols, 64):
                    for word in range(chain_image.LANE_WORDS):
                        total = sum(int(block[c, word]) * int(x[c]) for c in range(at, at + 64)) + (
                            1 << 20
                        ) * (1 + (1 << 21) + (1 << 42))
                        total %= 1 << 64
                        for lane in range(3):
                            bits = total >> 21 * lane
                            value = bits if lane == 2 else bits & ((1 << 21) - 1)
                            sums[3 * word + lane] += value - (1 << 20)
                rows.extend(sums)
            np.testing.assert_array_equal(rows[: len(w)], w.astype(np.int64) @ x)


def test_the_weights_that_lanes_cannot_hold() -> None:
    with pytest.raises(AwmError, match="too large for lanes"):
        chain_image.lanes(np.full((1, 64), -128, np.int8))
