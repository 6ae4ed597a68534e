"""Our Solana program in LiteSVM: a session's accounts, transactions, and what was refused."""

from __future__ import annotations

import dataclasses
from typing import Any

from solders.account import Account
from solders.compute_budget import ComputeBudget
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata

from crank.solana import accounts, borsh
from crank.solana.accounts import (
    ControllerInput,
    FrameLog,
    HiddenState,
    InputBuffer,
    InputHistory,
    SessionState,
)
from crank.solana.program import (
    CommitFrame,
    Create,
    Error,
    Session,
    elf,
    history_tail,
    sha256,
)
from crank.solana.rpc import Refused
from crank.solana.session import INSTRUCTION_BYTES

PROGRAM = Keypair.from_seed(bytes([7]) * 32).pubkey()
RENT = 10**12


def keypair(number: int) -> Keypair:
    return Keypair.from_seed(bytes([number]) * 32)


P1, P2, CRANK, STRANGER, SESSION = (keypair(n) for n in (1, 2, 3, 4, 5))


class Chain:
    """One virtual chain with the program; `size` bytes of a state slot."""

    def __init__(
        self,
        size: int = 64,
        max_frames: int = 28800,
        units: int = 200_000_000,
        program: bytes | None = None,
    ) -> None:
        budget = ComputeBudget(False)
        budget.compute_unit_limit = units
        self.svm = LiteSVM().with_compute_budget(budget).with_sigverify(False)
        self.svm = self.svm.with_blockhash_check(False).with_transaction_history(0)
        self.svm = self.svm.with_log_bytes_limit(None)
        self.svm.add_program(PROGRAM, program or elf())
        for key in (P1, P2, CRANK, STRANGER):
            self.svm.airdrop(key.pubkey(), 10**12)
        self.session = Session(PROGRAM, SESSION.pubkey())
        self.size, self.max_frames = size, max_frames
        self.units = 0
        for cls, length in self.lengths().items():
            self.put(cls, bytes(length))

    def lengths(self) -> dict[type, int]:
        tails = {
            HiddenState: accounts.TAIL_PADDING + accounts.SLOTS * self.size,
            FrameLog: accounts.RING_BYTES,
            InputHistory: history_tail(self.max_frames),
        }
        kinds = (SessionState, HiddenState, InputBuffer, FrameLog, InputHistory)
        return {cls: accounts.account_size(cls) + tails.get(cls, 0) for cls in kinds}

    def put(self, where: type | Pubkey, data: bytes, owner: Pubkey = PROGRAM) -> None:
        address = self.session.of(where) if isinstance(where, type) else where
        self.svm.set_account(address, Account(RENT, data, owner, False, 0))

    def data(self, where: type | Pubkey) -> bytes:
        address = self.session.of(where) if isinstance(where, type) else where
        account = self.svm.get_account(address)
        assert account is not None
        return bytes(account.data)

    def get(self, cls: type) -> Any:
        return accounts.decode(cls, self.data(cls), tail=None)[0]

    def tail(self, cls: type) -> bytes:
        return accounts.decode(cls, self.data(cls), tail=None)[1]

    def slot(self, frame: int) -> bytes:
        at = accounts.TAIL_PADDING + frame % accounts.SLOTS * self.size
        return self.tail(HiddenState)[at : at + self.size]

    def everything(self) -> dict[type, bytes]:
        return {cls: self.data(cls) for cls in self.lengths()}

    def send(self, *instructions: Instruction, payer: Keypair = STRANGER) -> Error | str | None:
        """None where it went through, else the program's error or the machine's own words."""
        message = Message(list(instructions), payer.pubkey())
        done = self.svm.send_transaction(Transaction.new_unsigned(message))
        if not isinstance(done, FailedTransactionMetadata):
            self.units = done.compute_units_consumed()
            return None
        reason = done.err()
        code = getattr(getattr(reason, "err", None), "code", None)
        return Error(code) if code is not None else str(reason)

    def create_args(self, **changes: Any) -> Create:
        values = Create(
            character=18,
            stage=32,
            max_frames=self.max_frames,
            seed=42,
            d_inner=768,
            d_state=64,
            num_layers=4,
            state_size=self.size,
            model=bytes([3]) * 32,
            authority=bytes(CRANK.pubkey()),
        )
        return dataclasses.replace(values, **changes)

    def create(self, **changes: Any) -> Error | str | None:
        return self.send(self.session.create(P1.pubkey(), self.create_args(**changes)))

    def join(self, character: int = 1) -> Error | str | None:
        return self.send(self.session.join(P2.pubkey(), character))

    def submit(self, player: Keypair, pad: ControllerInput, frame: int | None = None):
        due = self.get(SessionState).frame + 1 if frame is None else frame
        return self.send(self.session.submit_input(player.pubkey(), due, pad))

    def commit_args(self, state: bytes, frame: int | None = None, **changes: Any) -> CommitFrame:
        session, buffer = self.get(SessionState), self.get(InputBuffer)
        started = self.get(HiddenState).initialized
        due = frame if frame is not None else session.frame + 1 if started else 0
        args = CommitFrame(due, 0, (buffer.player1, buffer.player2), session.players, sha256(state))
        return dataclasses.replace(args, **changes)

    def commit(self, state: bytes, frame: int | None = None, **changes: Any):
        args = self.commit_args(state, frame, **changes)
        who = CRANK.pubkey()
        writes = [
            self.session.write_state(who, args.frame, at, state[at : at + INSTRUCTION_BYTES])
            for at in range(0, len(state), INSTRUCTION_BYTES)
        ]
        return self.send(*writes, self.session.commit_frame(who, args))

    def started(self) -> Chain:
        """A session with both players and its start committed."""
        assert self.create() is None
        assert self.join() is None
        assert self.commit(self.state(0)) is None
        return self

    def state(self, frame: int) -> bytes:
        """Made-up bytes of a slot."""
        return bytes((frame * 7 + i) % 251 for i in range(self.size))

    def frame(self, pads: tuple[ControllerInput, ControllerInput] | None = None) -> None:
        """One whole frame."""
        first, second = pads or (ControllerInput(1), ControllerInput(2))
        due = self.get(SessionState).frame + 1
        assert self.submit(P1, first) is None
        assert self.submit(P2, second) is None
        assert self.commit(self.state(due)) is None


class Direct:
    """What a crank asks of a node, answered by a chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.sent = 0
        self.waited = 0.0

    def account(self, key: Pubkey, start: int = 0, length: int | None = None) -> Any:
        found = self.chain.svm.get_account(key)
        if found is None:
            return None
        end = None if length is None else start + length
        return str(found.owner), bytes(found.data)[start:end]

    def accounts(self, keys: list[Pubkey]) -> list[Any]:
        return [self.account(key) for key in keys]

    def send(self, instructions: list[Instruction], signers: list[Keypair]) -> None:
        self.sent += 1
        error = self.chain.send(*instructions, payer=signers[0])
        if error is not None:
            raise Refused(str(error), error if isinstance(error, Error) else None)


def borsh_session(data: bytes) -> SessionState:
    """A SessionState from the reference's fields, without authority."""
    return borsh.decode(SessionState, data + borsh.ZERO_KEY)
