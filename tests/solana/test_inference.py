"""The network in the virtual machine: the same bits as the JAX step, frame for frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

pytest.importorskip("solders")

from support import int_worlds, solana_worlds
from support.solana_chain import CRANK, P1, P2, PROGRAM, STRANGER, Chain, Direct, keypair

from awm_jax.errors import AwmError
from awm_jax.int8.world import Int8World
from crank.solana import (
    accounts,
    borsh,
    chain_image,
    chain_state,
    frame_parts,
    machine,
    session,
    weight_shards,
)
from crank.solana.accounts import (
    ENDED,
    REFUTED,
    ControllerInput,
    FrameWork,
    HiddenState,
    InputBuffer,
    SessionState,
    WeightShard,
)
from crank.solana.chain_state import Machine
from crank.solana.program import Error, sha256

SHARD, SCRATCH, WORK = (keypair(n).pubkey() for n in (21, 22, 23))


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
        own, due = self.chain.session, self.due if frame is None else frame
        return self.chain.send(own.run_inference(STRANGER.pubkey(), due, SHARD))

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
    told = play.chain.get(SessionState)
    play.chain.put(SessionState, accounts.encode(dataclasses.replace(told, model=sha256(image))))
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


@dataclasses.dataclass
class Parts:
    """Frames of a Play in parts, with the account in which they are made."""

    play: Play
    dims: dict[str, int]

    @classmethod
    def of(cls, play: Play) -> Parts:
        shard = play.chain.data(SHARD)[accounts.account_size(WeightShard) + 2 :]
        dims = chain_image.dims_of(shard)
        play.chain.put(WORK, bytes(frame_parts.work_bytes(dims, play.chain.size)))
        return cls(play, dims)

    def send(self, first: int, count: int, frame: int | None = None) -> Any:
        own, due = self.play.chain.session, self.play.due if frame is None else frame
        who = STRANGER.pubkey()
        return self.play.chain.send(own.run_parts(who, due, first, count, SHARD, WORK))

    def step(self, pads: np.ndarray, counts: list[int]) -> None:
        self.play.inputs(pads)
        at = 0
        for count in counts:
            assert self.send(at, count) is None
            at += count
        self.play.own = self.play.own.step(pads)


def test_frames_in_parts_are_the_machines(arch: Any) -> None:
    play = begin(arch)
    frame = Parts.of(play)
    total = len(frame_parts.parts(frame.dims))
    plans = [[1] * total, [total], [3, total - 4, 1]]
    for i, pads in enumerate(int_worlds.random_pads(3, 9)):
        if i % 4 == 3:  # whole frames in between
            play.step(pads)
        else:
            frame.step(pads, plans[i % 3])
        assert play.chain.slot(play.own.frame) == play.own.slot()
        assert play.chain.get(SessionState).players == play.own.players


@pytest.mark.long
def test_parts_fit_their_transactions() -> None:
    """Long products in slices, under the limit that a transaction really has."""
    arch = solana_worlds.arch_of(d_model=192, d_state=32, headdim=64, n_layers=2)
    play = begin(arch, units=frame_parts.TRANSACTION_UNITS)
    frame = Parts.of(play)
    counts = frame_parts.plan(frame.dims, 500_000)
    assert len(counts) > 2 and sum(counts) == len(frame_parts.parts(frame.dims))
    for pads in int_worlds.random_pads(3, 5):
        frame.step(pads, counts)
        assert play.chain.slot(play.own.frame) == play.own.slot()


def test_the_order_of_parts(arch: Any) -> None:
    """The cursor only goes forward, and nobody changes a frame that has begun."""
    play = begin(arch)
    frame = Parts.of(play)
    total = len(frame_parts.parts(frame.dims))
    pads = int_worlds.random_pads(3, 2)
    assert frame.send(0, 2) == Error.NOT_READY
    play.inputs(pads[0])
    assert frame.send(1, 1) == Error.WRONG_KIND
    assert frame.send(0, 2, frame=play.due + 1) == Error.WRONG_FRAME
    assert frame.send(0, total + 1) == Error.WRONG_PART
    assert frame.send(0, 0) == Error.WRONG_PART
    assert frame.send(0, 2) is None
    for first in (0, 1, 3):
        assert frame.send(first, 1) == Error.WRONG_PART
    assert play.chain.submit(P1, ControllerInput(99)) is None  # too late for this frame
    crank = play.chain.session.write_state(CRANK.pubkey(), play.due, 64, bytes([1]) * 64)
    assert play.chain.send(crank) is None
    assert frame.send(2, total - 2) is None
    play.own = play.own.step(pads[0])
    assert play.chain.slot(1) == play.own.slot()
    assert play.chain.get(InputBuffer).player1 == machine.controller_of(pads[0][0])
    play.inputs(pads[1])
    assert frame.send(total, 1) == Error.WRONG_PART
    work = play.chain.data(WORK)
    for data, owner, error in (
        (work[:-8], PROGRAM, Error.WRONG_SIZE),
        (work, STRANGER.pubkey(), Error.WRONG_OWNER),
        (work[:8] + bytes(32) + work[40:], PROGRAM, Error.WRONG_SESSION),
    ):
        play.chain.put(WORK, data, owner=owner)
        assert frame.send(0, total) == error
    play.chain.put(WORK, work)
    assert frame.send(0, total) is None


def test_a_crank_computes_in_parts(arch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a frame does not fit; another crank goes on with one that was begun."""
    monkeypatch.setattr(frame_parts, "fits_one", lambda dims: False)
    monkeypatch.setattr(session, "UNITS", 60_000)
    play = begin(arch)
    pads = int_worlds.random_pads(3, 3)
    node, own = Direct(play.chain), play.chain.session
    dims = weight_shards.fetch_dims(node, SHARD)
    work = own.of(FrameWork)
    play.inputs(pads[0])
    settings = session.Settings(subscribe=False)

    def crank() -> session.Crank:
        return session.Crank(node, own, CRANK, play.own.world, settings, None, SHARD)

    with pytest.raises(AwmError, match="open the session with --on-chain"):
        crank().run()
    play.chain.put(work, bytes(frame_parts.work_bytes(dims, play.chain.size)))
    step = own.run_parts(STRANGER.pubkey(), 1, 0, 3, SHARD, work)
    assert play.chain.send(step) is None
    frames: list[int] = []

    def on_frame(number: int) -> None:
        frames.append(number)
        play.own = play.own.step(pads[number - 1])
        assert play.chain.slot(number) == play.own.slot()
        if number < len(pads):
            play.inputs(pads[number])

    report = crank().run(on_frame, lambda: len(frames) == len(pads))
    assert frames == [1, 2, 3] and report.digest == play.own.hexdigest()
    assert node.sent > len(pads)


def opened(blocks: bytes, rows: int, cols: int, x: np.ndarray) -> list[int]:
    """A product by narrow blocks, as the program empties them."""
    words = np.frombuffer(blocks, "<u8").tolist()
    mask, out, at = (1 << 21) - 1, [], 0
    while len(out) < rows:
        chunk = words[at]
        sums = np.array(words[at + 1 : at + 19], np.uint64).astype(np.int64)
        at += 19
        for first in range(0, cols, chunk):
            columns = range(first, min(first + chunk, cols))
            for word in range(6):
                total = words[at + word]
                for i, c in enumerate(columns, 1):
                    total += words[at + 6 * i + word] * int(x[c])
                total %= 1 << 64
                lanes = total & mask, total >> 21 & mask, total >> 42
                sums[3 * word : 3 * word + 3] += np.array(lanes, np.int64)
            at += 6 * (1 + len(columns))
        out += sums.tolist()
    assert at == len(words)
    return out[:rows]


def test_lanes_hold_any_weights() -> None:
    """The largest weights and codes, whole rows and such that must be emptied on the way."""
    rng = np.random.default_rng(0)
    for w in (
        np.full((12, 128), 127, np.int8),
        np.full((19, 64), -127, np.int8),
        rng.integers(-127, 128, (30, 192)).astype(np.int8),
        rng.integers(-30, 31, (18, 136)).astype(np.int8),
    ):
        rows, cols = w.shape
        for least in (-127, 0):
            blocks = chain_image.narrow_blocks(w, least)
            signs = np.where(w[0] > 0, 127, least)
            for x in (np.full(cols, 127), signs, rng.integers(least, 128, cols)):
                np.testing.assert_array_equal(opened(blocks, rows, cols, x), w.astype(np.int64) @ x)


def test_the_weights_that_lanes_cannot_hold() -> None:
    with pytest.raises(AwmError, match="lanes of 32 bits"):
        chain_image.wide_blocks(np.full((1, 1040), 127, np.int8))
