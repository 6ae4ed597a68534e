"""Thousands of random instructions and accounts: nothing is written outside the rules."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("solders")

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from support.solana_chain import CRANK, P1, P2, PROGRAM, STRANGER, Chain

from crank.solana import accounts
from crank.solana.accounts import (
    ACTIVE,
    CREATED,
    ENDED,
    WAITING,
    FrameLog,
    HiddenState,
    InputBuffer,
    InputHistory,
    SessionState,
)
from crank.solana.program import OWN, Dispute, Op, RunParts

KINDS = (SessionState, *OWN)
MOVES = {CREATED: {WAITING}, WAITING: {ACTIVE, ENDED}, ACTIVE: {ENDED}, ENDED: set()}
CASES = 1500


def chain_at(stage: int) -> Chain:
    """Unused, waiting, active without a start, or some frames on."""
    chain = Chain(max_frames=50)
    if stage > 0:
        assert chain.create() is None
    if stage > 1:
        assert chain.join() is None
    if stage > 2:
        assert chain.commit(chain.state(0)) is None
        for _ in range(3):
            chain.frame()
    return chain


def valid(chain: Chain, rng: random.Random) -> Instruction:
    """An instruction that could go through, for some signer."""
    who = rng.choice((P1, P2, CRANK, STRANGER)).pubkey()
    due = 4
    session, state = chain.session, bytes(rng.randbytes(chain.size))
    parts = rng.randrange(3), rng.randrange(3)
    shards = [Pubkey.new_unique() for _ in range(rng.randrange(1, 4))]
    made = [
        session.create(who, chain.create_args()),
        session.join(who, rng.randrange(40)),
        session.end(who),
        session.submit_input(who, due, accounts.ControllerInput(rng.randrange(-128, 128))),
        session.write_state(
            who, rng.choice((0, due)), rng.randrange(80), state[: rng.randrange(64)]
        ),
        session.run_inference(who, due, Pubkey.new_unique()),
        session.run_parts(who, RunParts(due, *parts), shards),
        session.dispute(who, Dispute(due - 1, *parts), Pubkey.new_unique(), shards),
        session.challenge(who, Pubkey.new_unique(), Pubkey.new_unique()),
    ]
    return rng.choice(made)


def mutated(chain: Chain, made: Instruction, rng: random.Random) -> Instruction:
    """The same with bytes, lengths, accounts and flags changed."""
    data = bytearray(made.data)
    metas = [(m.pubkey, m.is_signer, m.is_writable) for m in made.accounts]
    known = [chain.session.of(cls) for cls in KINDS]
    known += [key.pubkey() for key in (P1, P2, CRANK, STRANGER)]
    for _ in range(rng.randrange(4)):
        what = rng.randrange(7)
        if what == 0 and data:
            data[rng.randrange(len(data))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif what == 1:
            data = data[: rng.randrange(len(data) + 1)]
        elif what == 2:
            data += rng.randbytes(rng.randrange(1, 40))
        elif what == 3 and metas:
            place = rng.randrange(len(metas))
            metas[place] = (rng.choice(known), *metas[place][1:])
        elif what == 4 and metas:
            place = rng.randrange(len(metas))
            metas[place] = (metas[place][0], rng.random() < 0.5, rng.random() < 0.5)
        elif what == 5 and metas:
            metas.pop(rng.randrange(len(metas)))
        else:
            metas.insert(rng.randrange(len(metas) + 1), (rng.choice(known), False, True))
    data[:1] = bytes([rng.choice(list(Op))]) if data and rng.random() < 0.1 else data[:1]
    return Instruction(PROGRAM, bytes(data), [AccountMeta(*m) for m in metas])


def signers_of(made: Instruction) -> set[bytes]:
    return {bytes(m.pubkey) for m in made.accounts if m.is_signer} | {bytes(STRANGER.pubkey())}


def check(
    before: dict[type, bytes], after: dict[type, bytes], made: Instruction, size: int
) -> None:
    """What a transaction may change, whoever signed it, whatever it says."""
    if before == after:
        return
    signed = signers_of(made)
    was = (
        accounts.decode(SessionState, before[SessionState])[0] if before[SessionState][0] else None
    )
    now = accounts.decode(SessionState, after[SessionState])[0]
    if was is None:
        assert now.status == WAITING and now.player1 in signed
        return
    op = made.data[0]
    assert now.status == was.status or now.status in MOVES[was.status]
    assert (now.player1, now.model, now.seed) == (was.player1, was.model, was.seed)
    assert (now.authority, now.max_frames) == (was.authority, was.max_frames)
    if now.player2 != was.player2:
        assert op == Op.JOIN and now.player2 in signed
    if now.status != was.status and now.status == ENDED:
        assert signed & {was.player1, was.player2, was.authority}
    assert now.frame == was.frame  # no frame goes through here: nobody knows the slot's hash
    assert before[FrameLog] == after[FrameLog]
    assert before[InputHistory] == after[InputHistory]
    if before[InputBuffer] != after[InputBuffer]:
        assert op == Op.SUBMIT_INPUT and was.status == ACTIVE
        assert signed & {was.player1, was.player2}
        old, new = (accounts.decode(InputBuffer, v[InputBuffer])[0] for v in (before, after))
        if was.player1 not in signed:
            assert (old.player1, old.authority) == (new.player1, new.authority)
        if was.player2 not in signed:
            assert old.player2 == new.player2
    if before[HiddenState] != after[HiddenState]:
        assert op == Op.WRITE_STATE and was.status == ACTIVE and was.authority in signed
        head = accounts.account_size(HiddenState) + accounts.TAIL_PADDING
        started = accounts.decode(HiddenState, before[HiddenState], tail=None)[0].initialized
        free = (was.frame + 1) % accounts.SLOTS if started else 0
        at = head + free * size
        for part in (slice(0, at), slice(at + size, None)):
            assert before[HiddenState][part] == after[HiddenState][part]


@pytest.mark.parametrize("stage", range(4))
def test_random_instructions(stage: int) -> None:
    rng = random.Random(stage)
    chain = chain_at(stage)
    start = chain.everything()
    done = 0
    for _ in range(CASES):
        made = valid(chain, rng)
        if rng.random() < 0.95:
            made = mutated(chain, made, rng)
        before = chain.everything()
        refused = chain.send(made)
        after = chain.everything()
        if refused is None:
            done += 1
            check(before, after, made, chain.size)
        else:
            assert before == after
        if after != start and rng.random() < 0.1:
            for cls, data in start.items():
                chain.put(cls, data)
    assert done >= 2


def test_random_bytes() -> None:
    """Instructions of noise, on accounts of noise that the program owns."""
    rng = random.Random(9)
    chain = chain_at(3)
    for _ in range(1000):
        for cls, data in chain.everything().items():
            noise = bytearray(data)
            for _ in range(rng.randrange(3)):
                noise[rng.randrange(min(300, len(noise)))] = rng.randrange(256)
            chain.put(cls, bytes(noise))
        before = chain.everything()
        metas = [
            AccountMeta(chain.session.of(rng.choice(KINDS)), False, True)
            for _ in range(rng.randrange(8))
        ]
        metas.append(AccountMeta(STRANGER.pubkey(), True, False))
        data = bytes([rng.choice(list(Op))]) + rng.randbytes(rng.randrange(150))
        assert chain.send(Instruction(PROGRAM, data, metas)) is not None
        assert chain.everything() == before
