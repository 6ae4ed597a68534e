"""Everything that can go wrong with a session on the real validator; each match is still whole."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("solders")
pytest.importorskip("websockets")

from solders.instruction import Instruction
from solders.keypair import Keypair
from support import faulty, int_worlds, solana_worlds

from awm_jax.errors import AwmError
from awm_jax.int8.world import Int8World
from crank.solana import accounts, chain_state, client, rpc
from crank.solana.accounts import ACTIVE, ControllerInput, InputBuffer, SessionState
from crank.solana.addresses import PROGRAM
from crank.solana.program import Error, Session
from crank.solana.rpc import Node, Refused
from crank.solana.session import Crank, Settings

pytestmark = pytest.mark.er


class Running:
    """Cranks at work, each in a thread of its own."""

    def __init__(self, *cranks: Crank) -> None:
        self.frames: list[int] = []
        self.reports: list[Any] = []
        self.failures: list[BaseException] = []
        work = [threading.Thread(target=self._run, args=(c,), daemon=True) for c in cranks]
        self._threads = work
        for thread in work:
            thread.start()

    def _run(self, crank: Crank) -> None:
        try:
            self.reports.append(crank.run(self.frames.append))
        except BaseException as failure:
            self.failures.append(failure)

    def reach(self, frame: int) -> None:
        until = time.monotonic() + 60
        while (not self.frames or self.frames[-1] < frame) and time.monotonic() < until:
            assert not self.failures, self.failures
            time.sleep(0.002)
        assert self.frames[-1] >= frame

    def end(self) -> list[Any]:
        for thread in self._threads:
            thread.join(180)
        assert not self.failures, self.failures
        assert len(self.reports) == len(self._threads)
        return self.reports


class Dying(Node):
    """Dies before its n-th call, as a process does that is killed between two actions."""

    def __init__(self, url: str, calls: int) -> None:
        super().__init__(url)
        self.left = calls

    def call(self, method: str, *params: Any) -> Any:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().call(method, *params)


def test_a_crank_dies_between_any_two_actions(table: Any) -> None:
    """Also between the writes of one frame: small transactions. Others go on from the chain."""
    seat = table(24)
    settings = Settings(transaction_bytes=600, instruction_bytes=600)
    whole = -(-seat.crank().layout.size // 600)
    assert whole >= 4
    calls, deaths = 1, 0
    with seat.agents():
        while seat.state().status == ACTIVE:
            with Dying(seat.rollup.rpc, calls) as node:
                try:
                    seat.crank(settings, node).run()
                except KeyboardInterrupt:
                    deaths += 1
            calls = calls % (3 * whole + 7) + 1
    assert deaths >= 10
    seat.played(24)


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
def test_the_validator_is_restarted(table: Any, kill: bool) -> None:
    """Killed with -9 in the middle, or stopped, and started again: crank and agents go on."""
    seat = table(100)
    with seat.agents():
        crank = Running(seat.crank())
        crank.reach(40)
        seat.rollup.restart(kill=kill)
        assert crank.end()[0].frame == 100
    # A frame whose answer went down with the validator is found on the chain, not reported twice.
    assert crank.frames == sorted(set(crank.frames))
    seat.played(100)


def test_two_cranks(table: Any) -> None:
    """One of them commits each frame; nothing is torn."""
    seat = table(80)
    parts = Settings(transaction_bytes=2000, instruction_bytes=2000)
    with seat.agents():
        cranks = Running(seat.crank(parts), seat.crank())
        reports = cranks.end()
    assert sorted(cranks.frames) == list(range(1, 81))
    assert sum(report.committed for report in reports) == 80
    seat.played(80)


def test_a_bad_line(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls answered with 503, garbage, late, lost or not at all; subscriptions cut."""
    monkeypatch.setattr(rpc, "TIMEOUT", faulty.LATE_SECONDS / 2)
    seat = table(40)
    with faulty.bad_line(seat.rollup.rpc) as line:
        with seat.agents(line.url):
            crank = Running(seat.crank(None, seat.connect(line.url)))
            assert crank.end()[0].held == 0
        assert set(line.met) == set(faulty.FAULTS)
        assert line.cuts >= 6  # more than there are subscriptions: they come again
    assert crank.frames == list(range(1, 41))
    seat.played(40)


def test_without_websocket(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens where the subscriptions should be: polling carries the match."""
    monkeypatch.setattr(Node, "ws_url", property(lambda self: "ws://127.0.0.1:9"))
    seat = table(20)
    with seat.agents():
        seat.crank().run()
    seat.played(20)


def test_inputs_that_are_no_inputs(table: Any) -> None:
    """Forged, late, early, doubled, by a stranger: only what its player sends in time counts."""
    seat = table(10)
    crank = Running(seat.crank())
    while not chain_state.fetch(seat.node, seat.session, seat.crank().layout).hidden.initialized:
        time.sleep(0.01)
    stranger = Keypair()
    for frame, key, error in (
        (1, stranger, Error.NOT_A_PLAYER),
        (0, None, Error.WRONG_FRAME),
        (2, None, Error.WRONG_FRAME),
    ):
        with pytest.raises(Refused) as refused:
            seat.submit(0, frame, ControllerInput(1), key)
        assert refused.value.error == error
    honest = seat.session.submit_input(seat.players[0].pubkey(), 1, ControllerInput(1))
    metas = list(honest.accounts)
    metas[1] = type(metas[1])(seat.players[0].pubkey(), False, False)
    forged = Instruction(honest.program_id, bytes(honest.data), metas)
    with pytest.raises(Refused) as refused:
        seat.node.send([forged], [stranger])
    assert refused.value.error == Error.NOT_SIGNED
    seat.submit(0, 1, ControllerInput(3))
    seat.submit(0, 1, ControllerInput(3))  # the same transaction once more
    seat.submit(0, 1, ControllerInput(5))  # and another one: the last counts
    for frame in range(1, 11):
        if frame > 1:
            with pytest.raises(Refused):
                seat.submit(0, frame - 1, ControllerInput(79))
            seat.submit(0, frame, ControllerInput(frame))
        seat.submit(1, frame, ControllerInput(0, frame))
        crank.reach(frame)
    crank.end()
    assert crank.frames == list(range(1, 11))
    pads = chain_state.fetch_history(seat.node, seat.session, seat.state())
    np.testing.assert_array_equal(pads[:, 0, 0], [5, *range(2, 11)])
    np.testing.assert_array_equal(pads[:, 1, 1], range(1, 11))
    assert seat.verify().problem is None


def test_a_deadline_holds_the_last_input(table: Any) -> None:
    """Player 0 sends one input, player 1 none at all."""
    seat = table(4)
    crank = Running(seat.crank(Settings(deadline=0.5)))
    while not crank.failures and not crank.reports:
        try:
            seat.submit(0, 1, ControllerInput(33))
            break
        except Refused:  # not before the start is committed, and then in time
            time.sleep(0.005)
    report = crank.end()[0]
    assert (report.frame, report.held) == (4, 4)
    pads = chain_state.fetch_history(seat.node, seat.session, seat.state())
    np.testing.assert_array_equal(pads[:, 0, 0], [33] * 4)
    assert not pads[:, 1].any()
    assert seat.verify().problem is None


def test_a_clock_that_jumps(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By decades, to and fro, at every look: no deadline passes because of it, none stays."""
    jumps = itertools.cycle([0.0, 4e9, 1e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    seat = table(30)
    with seat.agents():
        report = seat.crank(Settings(deadline=60.0)).run()
    assert report.held == 0
    seat.played(30)
    late = table(2)
    assert late.crank(Settings(deadline=0.2)).run().held == 2


def test_a_crank_that_lies_is_found_out(table: Any) -> None:
    """It steps another network of the same shape: the chain takes it, a verification doesn't."""
    seat = table(12)
    arch = solana_worlds.arch_of()
    other = Int8World(int_worlds.on_device(solana_worlds.calm_params(2, arch)), arch)
    with seat.agents():
        dataclasses.replace(seat, world=other).crank().run()
    assert "on chain" in (seat.verify().problem or "")
    assert dataclasses.replace(seat, world=other).verify().problem is None
    unlike = dataclasses.replace(seat, world=other, model=b"x" * 32).verify()
    assert "plays the model" in (unlike.problem or "")


def test_a_session_of_another_shape(table: Any, world: Any) -> None:
    """Accounts of another size, kind or owner are refused by name."""
    seat = table(4)
    wider = solana_worlds.arch_of(d_state=16)
    other = Int8World(int_worlds.on_device(solana_worlds.calm_params(1, wider)), wider)
    with pytest.raises(AwmError, match=r"HiddenState: .* missing bytes"):
        dataclasses.replace(seat, world=other).crank().run()
    with pytest.raises(AwmError, match="plays the model"):
        Crank(seat.node, seat.session, seat.authority, world, None, b"x" * 32).run()

    def refused(what: str, program: Any, sizes: dict[type, int]) -> None:
        session = Session(PROGRAM, Keypair().pubkey())
        made = {session.of(cls): size for cls, size in sizes.items()}
        client.make_accounts(seat.node, program, made)
        with pytest.raises(AwmError, match=what):
            dataclasses.replace(seat, session=session).crank().run()

    size = accounts.account_size(SessionState)
    refused("no SessionState at", PROGRAM, {})
    refused(r"SessionState: 1 missing bytes", PROGRAM, {SessionState: size - 1})
    refused("SessionState: the account is unused", PROGRAM, {SessionState: size})
    refused("SessionState: the account belongs to", Keypair().pubkey(), {SessionState: size})
    # An account that was planted before the session was opened, a byte too long.
    key, player = Keypair(), Keypair()
    planted = Session(PROGRAM, key.pubkey())
    wrong = accounts.account_size(InputBuffer) + 1
    client.make_accounts(seat.node, PROGRAM, {planted.of(InputBuffer): wrong})
    shape = chain_state.create_shape(world)
    args = client.Create(max_frames=4, model=bytes(32), authority=b"x" * 32, **shape)
    with pytest.raises(Refused) as failure:
        client.create(seat.node, PROGRAM, key, player, args, True)
    assert failure.value.error == Error.WRONG_SIZE
