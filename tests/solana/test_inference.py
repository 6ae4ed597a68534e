"""The network in the virtual machine: the same bits as the JAX step, frame for frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

pytest.importorskip("solders")

from support import int_worlds, solana_build, solana_worlds
from support.solana_chain import CRANK, P1, PROGRAM, STRANGER, Direct
from support.solana_play import SCRATCH, SHARD, Parts, begin, disputed, shard_bytes

from awm_jax.errors import AwmError
from crank.solana import accounts, borsh, chain_image, frame_parts, machine, session, weight_shards
from crank.solana.accounts import (
    ACTIVE,
    ENDED,
    REFUTED,
    ControllerInput,
    FrameWork,
    HiddenState,
    InputBuffer,
    SessionState,
    WeightShard,
)
from crank.solana.program import Error, RunParts, sha256

MOST = 40_000
"""Bytes of a shard that make several of a small world's image."""


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
    work = play.chain.data(FrameWork)
    for data, owner, error in (
        (work[:-8], PROGRAM, Error.WRONG_SIZE),
        (work, STRANGER.pubkey(), Error.WRONG_OWNER),
        (work[:8] + bytes(32) + work[40:], PROGRAM, Error.WRONG_SESSION),
    ):
        play.chain.put(FrameWork, data, owner=owner)
        assert frame.send(0, total) == error
    play.chain.put(FrameWork, work)
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
        return session.Crank(node, own, CRANK, play.own.world, settings, None, [SHARD])

    with pytest.raises(AwmError, match="open the session with --on-chain"):
        crank().run()
    play.chain.put(work, bytes(frame_parts.work_bytes(dims, play.chain.size)))
    step = own.run_parts(STRANGER.pubkey(), RunParts(1, 0, 3), [SHARD])
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


def test_an_image_in_several_accounts(arch: Any) -> None:
    """Frames in parts from shards, which must be those of the session's model, in their order."""
    play = begin(arch, most=MOST)
    assert len(play.shards) == chain_image.MOST_SHARDS
    frame = Parts.of(play)
    total = len(frame_parts.parts(frame.dims))
    first, second, *others = play.shards
    pads = int_worlds.random_pads(3, 4)
    play.inputs(pads[0])
    for shards in ((first, *others), (second, first, *others), play.shards[:-1]):
        play.shards = shards
        assert frame.send(0, total) == Error.WRONG_MODEL
    play.shards = (first, second, *others)
    last = play.chain.data(others[-1])
    at = accounts.offset(WeightShard, "finalized")
    for data, owner, error in (
        (last[:at] + b"\0" + last[at + 1 :], PROGRAM, Error.NOT_FINALIZED),
        (last[:-1], PROGRAM, Error.WRONG_SIZE),
        (last, STRANGER.pubkey(), Error.WRONG_OWNER),
    ):
        play.chain.put(others[-1], data, owner=owner)
        assert frame.send(0, total) == error
    play.chain.put(others[-1], last)
    for pad in pads:
        frame.step(pad, [5, total - 5])
        assert play.chain.slot(play.own.frame) == play.own.slot()
        assert play.chain.get(SessionState).players == play.own.players
    image = b"".join(chain_image.shards(chain_image.pack(play.own.world.params, arch), MOST))
    assert image == chain_image.pack(play.own.world.params, arch)
    with pytest.raises(AwmError, match="fits no account"):
        chain_image.shards(image, 3_000)
    with pytest.raises(AwmError, match="the program takes 4 accounts"):
        chain_image.shards(image, 20_000)


def test_a_wrong_commit_is_refuted_in_parts(arch: Any) -> None:
    """While the match goes on: what was committed and what it came from are kept."""
    play = begin(arch, most=MOST)
    pads = int_worlds.random_pads(5, 4)
    stranger = disputed(play)
    total = stranger.total
    assert stranger.send(0, 0, 1) == Error.WRONG_FRAME
    play.inputs(pads[0])
    right = play.own.step(pads[0])
    assert play.chain.commit(right.slot(), players=right.players) is None
    for frame in (0, 2):
        assert stranger.send(frame, 0, 1) == Error.WRONG_FRAME
    assert stranger.send(1, 1, 1) == Error.WRONG_KIND
    assert stranger.send(1, 0, 2) is None
    other = dataclasses.replace(stranger, who=P1)
    assert other.send(1, 0, 1) == other.send(1, 2, 1) == Error.NOT_AUTHORITY
    for first in (1, 3):
        assert stranger.send(1, first, 1) == Error.WRONG_PART
    assert stranger.send(1, 2, total - 2) == Error.SAME_RESULT
    # The next frame is wrong, and two more follow before it is shown so.
    play.inputs(pads[1])
    wrong = bytearray(right.step(pads[1]).slot())
    wrong[-9] ^= 1
    assert play.chain.commit(bytes(wrong), players=right.step(pads[1]).players) is None
    assert stranger.send(2, 0, total - 1) is None
    for pad in pads[2:]:
        play.inputs(pad)
        assert play.chain.commit(bytes(wrong), players=right.players) is None
    assert stranger.send(2, total - 1, 1) is None
    assert play.chain.get(SessionState).status == REFUTED
    assert stranger.send(2, total, 1) == Error.WRONG_KIND
    assert stranger.send(4, 0, total) == Error.WRONG_STATUS


def test_a_frame_being_written_does_not_refute_the_last_one(arch: Any) -> None:
    """What a crank writes for the next frame leaves alone what the last one is computed from."""
    play = begin(arch)
    for pads in int_worlds.random_pads(5, 3):
        play.step(pads)
        write = play.chain.session.write_state(CRANK.pubkey(), play.due, 64, bytes([1]) * 640)
        assert play.chain.send(write) is None
        play.chain.put(SCRATCH, bytes(8 + play.chain.size))
        challenge = play.chain.session.challenge(STRANGER.pubkey(), SCRATCH, SHARD)
        assert play.chain.send(challenge) == Error.SAME_RESULT
        stranger = disputed(play)
        assert stranger.send(play.own.frame, 0, stranger.total) == Error.SAME_RESULT


@pytest.mark.long
def test_the_production_size() -> None:
    """Hundreds of frames, each in transactions of the ordinary limit, from an image in two
    accounts; and a wrong one among them is refuted."""
    play = begin(solana_worlds.large_arch(384, 64, 4), units=frame_parts.TRANSACTION_UNITS)
    frame = Parts.of(play)
    counts = frame_parts.plan(frame.dims)
    for pads in int_worlds.random_pads(3, 200):
        frame.step(pads, counts)
        assert play.chain.slot(play.own.frame) == play.own.slot()
        assert play.chain.get(SessionState).players == play.own.players
    pads = int_worlds.random_pads(9, 1)[0]
    play.inputs(pads)
    right = play.own.step(pads)
    wrong = bytearray(right.slot())
    wrong[2000] ^= 1
    assert play.chain.commit(bytes(wrong), players=right.players) is None
    stranger = disputed(play)
    for first, count in frame_parts.steps(frame.dims):
        assert play.chain.get(SessionState).status == ACTIVE
        assert stranger.send(right.frame, first, count) is None
    assert play.chain.get(SessionState).status == REFUTED


# ---- the rollup's own product ----


@pytest.mark.parametrize("planes", [1, 2])
def test_frames_by_the_rollups_own_product(planes: int) -> None:
    """The build that calls it, with a function in its place: whole frames and parts."""
    program = solana_build.calling()
    play = begin(solana_worlds.arch_of(planes=planes), call=True, program=program)
    frame = Parts.of(play)
    total = len(frame_parts.parts(frame.dims))
    for i, pads in enumerate(int_worlds.random_pads(3, 12)):
        if i % 2:
            play.step(pads)
        else:
            frame.step(pads, [4, total - 4])
        assert play.chain.slot(play.own.frame) == play.own.slot()
        assert play.chain.get(SessionState).players == play.own.players


def test_an_image_for_the_other_build_is_refused(arch: Any) -> None:
    pads = int_worlds.random_pads(3, 1)[0]
    play = begin(arch, call=True)
    play.inputs(pads)
    assert play.run() == Error.WRONG_MODEL
    play = begin(arch, program=solana_build.calling())
    play.inputs(pads)
    assert play.run() == Error.WRONG_MODEL


def test_without_the_rollups_own_product(arch: Any) -> None:
    """A machine that lacks the call ends a frame where it is wanted; nothing is written."""
    program = solana_build.compiled("-DAWM_SYSCALL")
    assert b"\0sol_matmul_i8\0" in program
    assert b"sol_matmul_i8" not in solana_build.compiled()
    play = begin(arch, call=True, program=program)
    play.inputs(int_worlds.random_pads(3, 1)[0])
    before = play.chain.everything()
    assert "ProgramFailedToComplete" in play.run()
    assert play.chain.everything() == before


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
