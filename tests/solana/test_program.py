"""The program's rules in LiteSVM: the reference's where it has them, and every refusal."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from support.golden import golden_dir, load_json, load_npz

pytest.importorskip("solders")

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from support.solana_chain import CRANK, P1, P2, PROGRAM, SESSION, STRANGER, Chain, keypair

from crank.solana import accounts, borsh
from crank.solana.accounts import (
    ACTIVE,
    ENDED,
    WAITING,
    ControllerInput,
    FrameLog,
    HiddenState,
    InputBuffer,
    InputHistory,
    PlayerState,
    SessionState,
    WeightShard,
)
from crank.solana.program import (
    OWN,
    CommitFrame,
    CreateShard,
    Error,
    Op,
    create_shard,
    finalize,
    sha256,
    upload,
)


@pytest.fixture
def chain() -> Chain:
    return Chain()


def borsh_part(chain: Chain, cls: type) -> str:
    """The fields of an account as the reference has them: without authority."""
    return chain.data(cls)[8 : accounts.account_size(cls) - 32].hex()


# ---- the reference's rules ----


def rules(part: str) -> list[dict[str, Any]]:
    return load_json(golden_dir("rust") / "rules.json")[part]


def rule(part: str, name: str) -> dict[str, Any]:
    return next(r for r in rules(part) if r["case"] == name)


def test_create_and_join_as_the_reference(chain: Chain) -> None:
    told = rule("lifecycle", "CREATE on fresh accounts")["post"]
    # The reference's players are the bytes 0x01.. and 0x02..; ours sign with their keys.
    old, new = "01" * 32, bytes(P1.pubkey()).hex()
    assert chain.create() is None
    assert borsh_part(chain, SessionState) == told["session"].replace(old, new)
    assert borsh_part(chain, HiddenState) == told["hidden"]
    told = rule("lifecycle", "JOIN by another player")
    assert chain.join(told["args"]["character"]) is None
    post = told["post"]["session"].replace(old, new)
    assert borsh_part(chain, SessionState) == post.replace("02" * 32, bytes(P2.pubkey()).hex())


def put_session(chain: Chain, hexed: str) -> SessionState:
    """A reference session with our players in the seats of 0x01.. and 0x02.."""
    session = borsh.decode(SessionState, bytes.fromhex(hexed) + borsh.ZERO_KEY)
    seats = {b"\1" * 32: bytes(P1.pubkey()), b"\2" * 32: bytes(P2.pubkey())}
    session = dataclasses.replace(
        session,
        player1=seats.get(session.player1, session.player1),
        player2=seats.get(session.player2, session.player2),
        authority=bytes(CRANK.pubkey()),
    )
    chain.put(SessionState, accounts.encode(session))
    return session


ENDS = {"END of an active session", "END while waiting for players"}


def test_status_transitions_as_the_reference(chain: Chain) -> None:
    assert chain.create() is None
    seen = 0
    for case in rules("lifecycle"):
        action = case["args"]["action"]
        if case["case"].startswith("status") and action in (1, 2):
            before = put_session(chain, case["pre"]["session"])
            fine = case["result"] == "ok"
            got = chain.join() if action == 1 else chain.send(chain.session.end(P1.pubkey()))
            after = chain.get(SessionState)
            assert (got is None) == fine, case["case"]
            if fine:
                assert after.status == (ACTIVE, ENDED)[action - 1]
            else:
                assert got == Error.WRONG_STATUS
                assert after == before
            seen += 1
    assert seen == 12


SUBMITS = {
    "ok": None,
    "UnauthorizedPlayer": Error.NOT_A_PLAYER,
    "SessionNotActive": Error.WRONG_STATUS,
}
# Where ours is stricter or the case can't occur: nobody signs for the zero key; the reference
# panics where a frame number would overflow.
OTHER_SEATS = ("both seats", "zero key", "2^32 - 1")


def test_inputs_as_the_reference(chain: Chain) -> None:
    assert chain.create() is None
    signers = {"01" * 32: P1, "02" * 32: P2}
    seen = 0
    for case in rules("submit_input"):
        if any(part in case["case"] for part in OTHER_SEATS):
            continue
        session = put_session(chain, case["pre"]["session"])
        buffer = borsh.decode(
            InputBuffer, bytes.fromhex(case["pre"]["input_buffer"]) + bytes(SESSION.pubkey())
        )
        chain.put(InputBuffer, accounts.encode(buffer))
        args = dict(case["args"])
        signer = signers.get(args.pop("player"), STRANGER)
        got = chain.submit(signer, ControllerInput(**args), session.frame + 1)
        assert got == SUBMITS[case["result"]], case["case"]
        if got is None:
            assert borsh_part(chain, InputBuffer) == case["post"]["input_buffer"], case["case"]
        seen += 1
    assert seen >= 15


def test_a_session_of_600_frames_as_the_reference() -> None:
    """Its inputs, frames and log; the players that its stub made are what our crank commits."""
    data = load_npz(golden_dir("rust") / "session_600.npz")
    chain = Chain().started()
    for t in range(600):
        pads = [ControllerInput(*map(int, row)) for row in data["controllers"][t]]
        order = [(P1, pads[0]), (P2, pads[1])]
        for player, pad in order if t % 3 else reversed(order):
            assert chain.submit(player, pad) is None
        told = borsh.decode(SessionState, data["session"][t + 1].tobytes() + borsh.ZERO_KEY)
        assert chain.data(InputBuffer)[8:30] == data["input_buffer"][t].tobytes()
        assert chain.commit(chain.state(t + 1), players=told.players) is None
        own = chain.get(SessionState)
        assert (own.players, own.frame) == (told.players, told.frame)
        log = chain.get(FrameLog)
        assert (log.write_index, log.total_frames) == ((t + 1) % 256, t + 1)
    assert chain.tail(FrameLog) == data["ring_after_600"].tobytes()
    assert chain.tail(InputHistory)[: 600 * 16] == data["controllers"].astype("i1").tobytes()
    assert chain.get(FrameLog).session == bytes(SESSION.pubkey())


# ---- what the reference lacks ----


def test_ready_flags_are_cleared_and_inputs_stay(chain: Chain) -> None:
    chain.started().frame()
    buffer = chain.get(InputBuffer)
    assert (buffer.p1_ready, buffer.p2_ready) == (False, False)
    assert buffer.player2 == ControllerInput(2)
    assert chain.commit(chain.state(2)) == Error.NOT_READY


def test_a_held_input(chain: Chain) -> None:
    chain.started().frame()
    assert chain.submit(P1, ControllerInput(9)) is None
    assert chain.commit(chain.state(2), held=1) == Error.NOT_READY
    assert chain.commit(chain.state(2), held=2) is None
    held = chain.tail(InputHistory)[16:32]
    assert held == borsh.encode(ControllerInput(9)) + borsh.encode(ControllerInput(2))


def test_slots_alternate_and_the_one_before_stays(chain: Chain) -> None:
    chain.started()
    for t in range(1, 5):
        chain.frame()
        assert chain.slot(t) == chain.state(t)
        assert chain.slot(t - 1) == chain.state(t - 1)


def test_the_end_by_frames_and_by_stocks() -> None:
    chain = Chain(max_frames=3).started()
    for _ in range(3):
        chain.frame()
    assert chain.get(SessionState).status == ENDED
    assert chain.submit(P1, ControllerInput()) == Error.WRONG_STATUS
    chain = Chain().started()
    gone = tuple(dataclasses.replace(p, stocks=i) for i, p in enumerate(players_of(chain)))
    for player in (P1, P2):
        assert chain.submit(player, ControllerInput()) is None
    assert chain.commit(chain.state(1), players=gone) is None
    assert chain.get(SessionState).status == ENDED


def players_of(chain: Chain) -> tuple[PlayerState, PlayerState]:
    return chain.get(SessionState).players


def both_in(chain: Chain) -> Chain:
    for player in (P1, P2):
        assert chain.submit(player, ControllerInput()) is None
    return chain


def changed(instruction: Instruction, place: int, **how: Any) -> Instruction:
    """The same with another account, or other flags, at a place."""
    metas = list(instruction.accounts)
    old = metas[place]
    values = {
        "pubkey": old.pubkey,
        "is_signer": old.is_signer,
        "is_writable": old.is_writable,
    } | how
    metas[place] = AccountMeta(**values)
    return Instruction(instruction.program_id, bytes(instruction.data), metas)


def other_session(chain: Chain) -> Chain:
    """A second session on the same chain, as far as the first."""
    import copy

    second = copy.copy(chain)
    from crank.solana.program import Session

    second.session = Session(PROGRAM, keypair(9).pubkey())
    for cls, length in second.lengths().items():
        second.put(cls, bytes(length))
    return second.started()


def test_every_account_is_checked(chain: Chain) -> None:
    """COMMIT_FRAME and SUBMIT_INPUT with each account foreign, unused, of another kind, read-only,
    of another session, or twice."""
    both_in(chain.started())
    second = both_in(other_session(chain))
    state = chain.state(1)
    who = CRANK.pubkey()
    write = chain.session.write_state(who, 1, 0, state)
    commit = chain.session.commit_frame(who, chain.commit_args(state))
    submit = chain.session.submit_input(P1.pubkey(), 1, ControllerInput(5))
    assert chain.send(write) is None
    before = chain.everything()
    for base, parts in ((commit, dict(enumerate(OWN, 2))), (submit, {2: InputBuffer})):
        for place, cls in parts.items():
            foreign = Pubkey.new_unique()
            chain.put(foreign, chain.data(cls), Pubkey.new_unique())
            unused = Pubkey.new_unique()
            chain.put(unused, bytes(len(chain.data(cls))))
            short = Pubkey.new_unique()
            chain.put(short, chain.data(cls)[: accounts.account_size(cls) - 1])
            cases = [
                (changed(base, place, pubkey=foreign), Error.WRONG_OWNER),
                (changed(base, place, pubkey=unused), Error.WRONG_KIND),
                (changed(base, place, pubkey=short), Error.WRONG_SIZE),
                (changed(base, place, pubkey=second.session.of(cls)), Error.WRONG_SESSION),
                (changed(base, place, is_writable=False), Error.NOT_WRITABLE),
                (changed(base, place, pubkey=chain.session.address), Error.BAD_ACCOUNTS),
            ]
            for instruction, error in cases:
                assert chain.send(instruction) == error, (cls, error)
    for base in (commit, submit):
        foreign = Pubkey.new_unique()
        chain.put(foreign, chain.data(SessionState), Pubkey.new_unique())
        assert chain.send(changed(base, 0, pubkey=foreign)) == Error.WRONG_OWNER
        assert chain.send(changed(base, 1, is_signer=False)) == Error.NOT_SIGNED
    long = Pubkey.new_unique()
    chain.put(long, chain.data(SessionState) + b"\0")
    assert chain.send(changed(submit, 0, pubkey=long)) == Error.WRONG_SIZE
    assert chain.everything() == before
    assert chain.send(commit) is None


def test_who_may_do_what(chain: Chain) -> None:
    session, frame = chain.session, chain.state(1)
    assert chain.create() is None
    assert chain.send(session.join(P1.pubkey(), 1)) == Error.OWN_SESSION
    assert chain.send(session.end(STRANGER.pubkey())) == Error.NOT_AUTHORITY
    assert chain.send(session.end(P2.pubkey())) == Error.NOT_AUTHORITY
    assert chain.join(33) == Error.BAD_VALUE
    assert chain.join() is None
    assert chain.commit(chain.state(0)) is None
    both_in(chain)
    for key in (STRANGER, P1, P2):
        args = chain.commit_args(chain.slot(1))
        commit = session.commit_frame(key.pubkey(), args)
        assert chain.send(commit) == Error.NOT_AUTHORITY
        write = session.write_state(key.pubkey(), 1, 0, frame)
        assert chain.send(write) == Error.NOT_AUTHORITY
    assert chain.submit(STRANGER, ControllerInput()) == Error.NOT_A_PLAYER
    assert chain.submit(CRANK, ControllerInput()) == Error.NOT_A_PLAYER
    for key in (P2, P1, CRANK):
        fresh = Chain()
        assert (fresh.create(), fresh.join()) == (None, None)
        assert fresh.send(session.end(key.pubkey())) is None
        assert fresh.get(SessionState).status == ENDED
        assert fresh.send(session.end(key.pubkey())) == Error.WRONG_STATUS


def test_frame_numbers_only_rise_by_one(chain: Chain) -> None:
    assert (chain.create(), chain.join()) == (None, None)
    assert chain.commit(chain.state(1), frame=1) == Error.WRONG_FRAME
    assert chain.commit(chain.state(0)) is None
    assert chain.commit(chain.state(0), frame=0) == Error.WRONG_FRAME
    for frame in (0, 2, 2**32 - 1):
        assert chain.submit(P1, ControllerInput(), frame) == Error.WRONG_FRAME
        assert chain.commit(chain.state(1), frame=frame) == Error.WRONG_FRAME
    chain.frame()
    assert chain.submit(P1, ControllerInput(), 1) == Error.WRONG_FRAME


def test_what_is_committed_must_fit(chain: Chain) -> None:
    both_in(chain.started())
    state = chain.state(1)
    assert chain.commit(state, digest=bytes(32)) == Error.WRONG_HASH
    pads = (ControllerInput(1), ControllerInput())
    assert chain.commit(state, inputs=pads) == Error.INPUTS_CHANGED
    first, second = players_of(chain)
    for name, value in (
        ("character", 5),
        ("stocks", 5),
        ("facing", 2),
        ("on_ground", 2),
        ("action_state", 400),
    ):
        bad = dataclasses.replace(second, **{name: value})
        assert chain.commit(state, players=(first, bad)) == Error.BAD_VALUE
    who = CRANK.pubkey()
    for at, data in ((1, state), (chain.size + 1, b""), (2**32 - 1, b"abc")):
        write = chain.session.write_state(who, 1, at, data)
        assert chain.send(write) == Error.OUT_OF_BOUNDS
    assert chain.commit(state) is None


def test_creating(chain: Chain) -> None:
    for bad in (
        {"character": 33},
        {"stage": 33},
        {"d_inner": 0},
        {"d_state": 0},
        {"num_layers": 0},
        {"d_inner": 65535, "d_state": 65535, "num_layers": 2},
        {"authority": bytes(32)},
        {"state_size": 8},
        {"state_size": 63},
        {"max_frames": 0},
    ):
        assert chain.create(**bad) == Error.BAD_VALUE, bad
    assert chain.create(state_size=72) == Error.WRONG_SIZE
    assert chain.create(max_frames=28801) == Error.WRONG_SIZE
    base = chain.session.create(P1.pubkey(), chain.create_args())
    for place in (0, 1):
        assert chain.send(changed(base, place, is_signer=False)) == Error.NOT_SIGNED
    for place, cls in dict(enumerate(OWN, 2)).items():
        elsewhere = Pubkey.new_unique()
        chain.put(elsewhere, bytes(chain.lengths()[cls]))
        assert chain.send(changed(base, place, pubkey=elsewhere)) == Error.WRONG_SESSION
    assert chain.create() is None
    assert chain.create() == Error.IN_USE
    assert chain.get(SessionState).status == WAITING
    used = Chain()
    used.put(FrameLog, chain.data(FrameLog))
    assert used.create() == Error.IN_USE


def test_data_of_other_lengths(chain: Chain) -> None:
    chain.started()
    metas = [AccountMeta(chain.session.address, False, True), AccountMeta(P1.pubkey(), True, False)]
    for data in (b"", *(bytes([op]) + bytes(300) for op in range(256)), bytes([Op.JOIN])):
        got = chain.send(Instruction(PROGRAM, data, metas))
        variable = data and data[0] in (Op.WRITE_STATE, Op.UPLOAD)
        assert got is not None if variable else got == Error.BAD_INSTRUCTION
    assert chain.send(Instruction(PROGRAM, b"\1\1", metas[:1])) == Error.BAD_ACCOUNTS
    many = [AccountMeta(Pubkey.new_unique(), False, False) for _ in range(9)]
    assert chain.send(Instruction(PROGRAM, b"\1\1", many)) == Error.BAD_ACCOUNTS


# ---- weights ----


def test_a_shard(chain: Chain) -> None:
    shard, owner = keypair(20).pubkey(), P1.pubkey()
    data = bytes(range(256)) * 12
    args = CreateShard(1, len(data), sha256(data))
    size = accounts.account_size(WeightShard) + accounts.TAIL_PADDING + len(data)
    chain.put(shard, bytes(size + 1))
    assert chain.send(create_shard(PROGRAM, shard, owner, args)) == Error.WRONG_SIZE
    chain.put(shard, bytes(size))
    base = create_shard(PROGRAM, shard, owner, args)
    assert chain.send(changed(base, 0, is_signer=False)) == Error.NOT_SIGNED
    assert chain.send(base) is None
    assert chain.send(base) == Error.IN_USE
    assert chain.send(upload(PROGRAM, shard, P2.pubkey(), 0, b"x")) == Error.NOT_AUTHORITY
    over = upload(PROGRAM, shard, owner, len(data) - 1, b"xy")
    assert chain.send(over) == Error.OUT_OF_BOUNDS
    assert chain.send(upload(PROGRAM, shard, owner, 2**32 - 1, b"xy")) == Error.OUT_OF_BOUNDS
    for at in range(0, len(data), 1000):
        assert chain.send(upload(PROGRAM, shard, owner, at, data[at : at + 1000])) is None
        if at == 0:
            assert chain.send(finalize(PROGRAM, shard, owner)) == Error.WRONG_HASH
    assert chain.send(finalize(PROGRAM, shard, P2.pubkey())) == Error.NOT_AUTHORITY
    assert chain.send(finalize(PROGRAM, shard, owner)) is None
    assert chain.send(upload(PROGRAM, shard, owner, 0, b"x")) == Error.FINALIZED
    assert chain.send(finalize(PROGRAM, shard, owner)) == Error.FINALIZED
    value, tail = accounts.decode(WeightShard, chain.data(shard), tail=2 + len(data))
    assert tail == bytes(2) + data
    assert value.finalized and value.shard_index == 1


def test_errors_are_sentences() -> None:
    assert len({e.sentence for e in Error}) == len(Error)
    assert [e.value for e in Error] == list(range(1, len(Error) + 1))
    assert borsh.record_size(CommitFrame) == 4 + 1 + 16 + 64 + 32
