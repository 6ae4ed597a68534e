"""Sessions on the real validator: whole matches, and everything that can go wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("solders")
pytest.importorskip("websockets")

from solders.instruction import Instruction
from solders.keypair import Keypair
from support import int_worlds, solana_worlds

from awm_jax.errors import AwmError
from awm_jax.int8.agents import HoldForward, Random
from awm_jax.int8.world import Int8World
from crank.playing import prepare
from crank.solana import chain_image, chain_state, client, program, weight_shards
from crank.solana.accounts import ACTIVE, ENDED, ControllerInput, HiddenState, SessionState
from crank.solana.addresses import PROGRAM
from crank.solana.program import Create, Error, Session
from crank.solana.rollup import Rollup
from crank.solana.rpc import Node, Refused
from crank.solana.session import Crank, Settings

pytestmark = pytest.mark.er
STAGE, CHARACTERS, SEED = 31, (2, 1), 7


@pytest.fixture(scope="module")
def rollup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollup]:
    elf = tmp_path_factory.mktemp("program") / program.ELF
    elf.write_bytes(program.elf())
    with Rollup({str(PROGRAM): str(elf)}, slot_ms=16, timeout=120) as running:
        yield running


@pytest.fixture(scope="module")
def world() -> Int8World:
    arch = solana_worlds.arch_of()
    return Int8World(int_worlds.on_device(solana_worlds.calm_params(1, arch)), arch)


@dataclasses.dataclass
class Table:
    """A session with both seats taken."""

    rollup: Rollup
    world: Int8World
    session: Session
    players: tuple[Keypair, Keypair]
    authority: Keypair
    node: Node
    image: Any = None

    def crank(self, settings: Settings | None = None, node: Node | None = None) -> Crank:
        node = node or Node(self.rollup.rpc)
        return Crank(node, self.session, self.authority, self.world, settings, None, self.image)

    @contextlib.contextmanager
    def agents(self, **options: Any) -> Iterator[None]:
        """Both agents play while this is open, and must come to an end by themselves."""
        failures: list[BaseException] = []

        def play(seat: int, agent: Any) -> None:
            node = Node(self.rollup.rpc)
            try:
                key = self.players[seat]
                client.Player(node, self.session, key, seat, self.world, agent, **options).run()
            except BaseException as failure:
                failures.append(failure)
            finally:
                node.close()

        acting = enumerate((Random(), HoldForward()))
        threads = [threading.Thread(target=play, args=pair) for pair in acting]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join(60)
        assert not failures, failures

    def state(self) -> SessionState:
        return chain_state.fetch_session(self.node, self.session)

    def submit(self, seat: int, frame: int, pad: ControllerInput, key: Keypair | None = None):
        who = key or self.players[seat]
        self.node.send([self.session.submit_input(who.pubkey(), frame, pad)], [who])

    def inputs(self, frame: int) -> None:
        for seat in (0, 1):
            self.submit(seat, frame, ControllerInput(frame % 80, seat))


def table(rollup: Rollup, world: Int8World, max_frames: int, image: Any = None) -> Table:
    key, first, second, authority = (Keypair() for _ in range(4))
    node = Node(rollup.rpc)
    model = bytes(32) if image is None else weight_shards.fetch(node, image).data_hash
    args = Create(
        character=CHARACTERS[0],
        stage=STAGE,
        max_frames=max_frames,
        seed=SEED,
        model=model,
        authority=bytes(authority.pubkey()),
        **chain_state.create_shape(world),
    )
    session = client.create(node, PROGRAM, key, first, args, True)
    node.send([session.join(second.pubkey(), CHARACTERS[1])], [second])
    return Table(rollup, world, session, (first, second), authority, node, image)


def offline(world: Int8World, frames: int) -> str:
    made = prepare(
        world,
        Random(),
        HoldForward(),
        stage=STAGE,
        characters=CHARACTERS,
        seed=SEED,
        max_frames=frames,
    )
    return made.run().digest


def test_a_whole_match(rollup: Rollup, world: Int8World) -> None:
    """600 frames by two clients: none lost, none doubled, the digest of the match played here."""
    seat = table(rollup, world, 600)
    frames: list[int] = []
    with seat.agents():
        report = seat.crank().run(frames.append)
    assert frames == list(range(1, 601))
    assert (report.frame, report.committed, report.held) == (600, 600, 0)
    assert report.digest == offline(world, 600)
    verdict = client.verify(seat.node, seat.session, world, bytes(32))
    assert (verdict.problem, verdict.digest, verdict.frames) == (None, report.digest, 600)
    assert seat.state().status == ENDED


def test_the_network_on_chain(rollup: Rollup, world: Int8World) -> None:
    """The program computes every frame; a stranger cranks; the same digest."""
    image = chain_image.pack(world.params, world.arch)
    owner, key = Keypair(), Keypair()
    size = weight_shards.account_bytes(len(image))
    Node(rollup.base_rpc).call("delegateAccount", str(key.pubkey()), str(PROGRAM), size)
    node = Node(rollup.rpc)
    shard = weight_shards.upload(node, PROGRAM, key, owner, image)
    assert weight_shards.verify(node, shard, image) is None
    assert weight_shards.verify(node, shard, image[:-1] + b"x") is not None
    seat = table(rollup, world, 60, shard)
    stranger = dataclasses.replace(seat, authority=Keypair())
    with pytest.raises(AwmError, match="another key"):
        stranger.crank().run()
    frames: list[int] = []
    with seat.agents():
        seat.crank().run(frames.append, lambda: len(frames) >= 5)
        report = stranger.crank().run()
    assert report.digest == offline(world, 60)
    verdict = client.verify(seat.node, seat.session, world, program.sha256(image))
    assert verdict.problem is None


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


def test_a_crank_dies_between_any_two_actions(rollup: Rollup, world: Int8World) -> None:
    """Also between the writes of one frame: small transactions. Others go on from the chain."""
    seat = table(rollup, world, 24)
    settings = Settings(transaction_bytes=600, instruction_bytes=600)
    whole = -(-seat.crank().layout.size // 600)
    assert whole >= 4
    calls, deaths = 1, 0
    with seat.agents():
        while seat.state().status == ACTIVE:
            try:
                seat.crank(settings, Dying(rollup.rpc, calls)).run()
            except KeyboardInterrupt:
                deaths += 1
            calls = calls % (3 * whole + 7) + 1
    assert deaths >= 10
    assert client.verify(seat.node, seat.session, world, bytes(32)).digest == offline(world, 24)
    assert client.verify(seat.node, seat.session, world, bytes(32)).problem is None


def test_the_validator_is_killed(rollup: Rollup, world: Int8World) -> None:
    """Killed with -9 in the middle and started again: crank and agents go on."""
    seat = table(rollup, world, 120)
    frames: list[int] = []
    reports: list[Any] = []
    with seat.agents():
        crank = seat.crank()
        thread = threading.Thread(target=lambda: reports.append(crank.run(frames.append)))
        thread.start()
        until = time.monotonic() + 60
        while len(frames) < 40 and time.monotonic() < until:
            time.sleep(0.005)
        rollup.restart(kill=True)
        thread.join(90)
    assert reports and reports[0].digest == offline(world, 120)
    assert client.verify(seat.node, seat.session, world, bytes(32)).problem is None


def test_two_cranks(rollup: Rollup, world: Int8World) -> None:
    """One of them commits each frame; nothing is torn."""
    seat = table(rollup, world, 80)
    reports: list[Any] = []
    cranks = [seat.crank(Settings(transaction_bytes=2000, instruction_bytes=2000)), seat.crank()]
    with seat.agents():
        threads = [threading.Thread(target=lambda c=c: reports.append(c.run())) for c in cranks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
    assert sum(r.committed for r in reports) == 80
    assert {r.digest for r in reports} == {offline(world, 80)}
    assert client.verify(seat.node, seat.session, world, bytes(32)).problem is None


def test_without_websocket(rollup: Rollup, world: Int8World, monkeypatch) -> None:
    """Nobody listens where the subscriptions should be: polling carries the match."""
    monkeypatch.setattr(Node, "ws_url", property(lambda self: "ws://127.0.0.1:9"))
    seat = table(rollup, world, 20)
    with seat.agents():
        report = seat.crank().run()
    assert report.digest == offline(world, 20)


def test_inputs_that_are_no_inputs(rollup: Rollup, world: Int8World) -> None:
    """Forged, late, early, doubled, by a stranger; and a commit by one."""
    seat = table(rollup, world, 10)
    frames: list[int] = []
    thread = threading.Thread(target=lambda: seat.crank().run(frames.append))
    thread.start()
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
            seat.submit(0, frame, ControllerInput(frame))
        seat.submit(1, frame, ControllerInput(0, frame))
        while seat.state().frame < frame:
            time.sleep(0.002)
    thread.join(30)
    assert frames == list(range(1, 11))
    pads = chain_state.fetch_history(seat.node, seat.session, seat.state())
    np.testing.assert_array_equal(pads[:, 0, 0], [5, *range(2, 11)])
    assert client.verify(seat.node, seat.session, world, bytes(32)).problem is None


def test_a_deadline_holds_the_last_input(rollup: Rollup, world: Int8World, monkeypatch) -> None:
    """Player 1 goes silent; a clock that jumps changes nothing."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    seat = table(rollup, world, 4)
    reports: list[Any] = []
    crank = seat.crank(Settings(deadline=1.0))
    thread = threading.Thread(target=lambda: reports.append(crank.run()))
    thread.start()
    thread.join(60)
    assert reports[0].frame == 4
    assert reports[0].held == 4
    assert client.verify(seat.node, seat.session, world, bytes(32)).problem is None


def test_a_session_of_another_shape(rollup: Rollup, world: Int8World) -> None:
    seat = table(rollup, world, 4)
    wider = solana_worlds.arch_of(d_state=16)
    other = Int8World(int_worlds.on_device(solana_worlds.calm_params(1, wider)), wider)
    with pytest.raises(AwmError, match=r"HiddenState: .* missing bytes"):
        dataclasses.replace(seat, world=other).crank().run()
    nowhere = dataclasses.replace(seat, session=Session(PROGRAM, Keypair().pubkey()))
    with pytest.raises(AwmError, match="no SessionState at"):
        nowhere.crank().run()
    elsewhere = dataclasses.replace(seat, session=Session(Keypair().pubkey(), seat.session.address))
    with pytest.raises(AwmError, match=r"belongs to|no HiddenState"):
        elsewhere.crank().run()
    with pytest.raises(AwmError, match="plays the model"):
        Crank(seat.node, seat.session, seat.authority, world, None, b"x" * 32).run()
    assert seat.session.of(HiddenState) != seat.session.address
    assert os.path.exists(rollup.log)
