"""Sessions on a running rollup, as tests open and play them."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from awm_jax.int8.agents import HoldForward, Random
from crank.integer import IntegerWorld
from crank.playing import prepare
from crank.solana import chain_state, client, frame_parts, weight_shards
from crank.solana.accounts import ControllerInput, SessionState
from crank.solana.addresses import PROGRAM
from crank.solana.program import Create, Session
from crank.solana.rollup import Rollup
from crank.solana.rpc import Node
from crank.solana.session import Crank, Settings

STAGE, CHARACTERS, SEED = 31, (2, 1), 7
AGENTS = (Random, HoldForward)
JOIN_SECONDS = 180


@dataclasses.dataclass
class Table:
    """A session with both seats taken. Nodes are closed with `stack`."""

    rollup: Rollup
    world: IntegerWorld
    session: Session
    players: tuple[Keypair, Keypair]
    authority: Keypair
    node: Node
    model: bytes
    shards: tuple[Pubkey, ...]
    stack: contextlib.ExitStack

    def connect(self, url: str | None = None) -> Node:
        return self.stack.enter_context(Node(url or self.rollup.rpc))

    def crank(self, settings: Settings | None = None, node: Node | None = None) -> Crank:
        who = (node or self.connect(), self.session, self.authority, self.world)
        return Crank(*who, settings, None, self.shards)

    @contextlib.contextmanager
    def agents(self, url: str | None = None) -> Iterator[None]:
        """Both agents play while this is open, and must come to an end by themselves."""
        failures: list[BaseException] = []

        def play(seat: int) -> None:
            key, agent, node = self.players[seat], AGENTS[seat](), self.connect(url)
            try:
                client.Player(node, self.session, key, seat, self.world, agent).run()
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=play, args=(seat,), daemon=True) for seat in (0, 1)]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join(JOIN_SECONDS)
        assert not failures, failures
        assert not any(thread.is_alive() for thread in threads)

    def state(self) -> SessionState:
        return chain_state.fetch_session(self.node, self.session)

    def submit(self, seat: int, frame: int, pad: ControllerInput, key: Keypair | None = None):
        who = key or self.players[seat]
        self.node.send([self.session.submit_input(who.pubkey(), frame, pad)], [who])

    def verify(self) -> client.SessionVerdict:
        return client.verify(self.node, self.session, self.world, self.model)

    def played(self, frames: int) -> None:
        """The chain holds exactly the match that is played without one."""
        verdict = self.verify()
        assert verdict.problem is None
        assert (verdict.frames, verdict.digest) == (frames, offline(self.world, frames))


def open_table(
    rollup: Rollup,
    world: IntegerWorld,
    stack: contextlib.ExitStack,
    max_frames: int,
    shards: tuple[Pubkey, ...] = (),
    model: bytes = bytes(32),
) -> Table:
    """Open a session and take both seats."""
    key, first, second, authority = (Keypair() for _ in range(4))
    node = stack.enter_context(Node(rollup.rpc))
    shape, work = chain_state.create_shape(world), 0
    if shards:
        model = weight_shards.fetch_model(node, shards)
        dims = weight_shards.fetch_dims(node, shards[0])
        if not frame_parts.fits_one(dims):
            work = frame_parts.work_bytes(dims, shape["state_size"])
    args = Create(
        character=CHARACTERS[0],
        stage=STAGE,
        max_frames=max_frames,
        seed=SEED,
        model=model,
        authority=bytes(authority.pubkey()),
        **shape,
    )
    session = client.create(node, PROGRAM, key, first, args, True, work)
    node.send([session.join(second.pubkey(), CHARACTERS[1])], [second])
    return Table(rollup, world, session, (first, second), authority, node, model, shards, stack)


def offline(world: IntegerWorld, frames: int) -> str:
    """The digest of the same match, played here."""
    fixed: dict[str, Any] = {"stage": STAGE, "characters": CHARACTERS, "seed": SEED}
    return prepare(world, *(agent() for agent in AGENTS), **fixed, max_frames=frames).run().digest
