"""What players and creators send: create, join, end, inputs; an agent as a client; verification."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from solders.compute_budget import set_compute_unit_limit
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from awm_jax.contracts import Agent, View
from awm_jax.errors import AwmError
from awm_jax.game import rng
from awm_jax.int8.world import Int8State
from crank.integer import IntegerWorld
from crank.solana import accounts, chain_state, frame_parts, machine, weight_shards
from crank.solana.accounts import ACTIVE, CREATED, WAITING, HiddenState, SessionState
from crank.solana.chain_state import Machine
from crank.solana.program import OWN, Create, Dispute, Error, Session, history_tail
from crank.solana.rollup import BASE_OFFSET
from crank.solana.rpc import Node, Refused, Subscription

POLL_SECONDS = 0.25


def session_sizes(create: Create) -> dict[type, int]:
    """Bytes of a session's accounts."""
    tails = {
        accounts.HiddenState: accounts.TAIL_PADDING + accounts.SLOTS * create.state_size,
        accounts.FrameLog: accounts.RING_BYTES,
        accounts.InputHistory: history_tail(create.max_frames),
    }
    kinds = (SessionState, *OWN)
    return {cls: accounts.account_size(cls) + tails.get(cls, 0) for cls in kinds}


def base_of(node: Node) -> Node:
    """The base chain of a local rollup."""
    return Node(f"http://{node.host}:{(node.port or 0) + BASE_OFFSET}")


def make_accounts(node: Node, program: Pubkey, sizes: Mapping[Pubkey, int]) -> None:
    """Have a local rollup's base chain hold accounts of the program, zero and delegated."""
    with base_of(node) as base:
        for address, size in sizes.items():
            base.call("delegateAccount", str(address), str(program), size)


def create(
    node: Node,
    program: Pubkey,
    key: Keypair,
    player1: Keypair,
    args: Create,
    local: bool,
    work: int = 0,
) -> Session:
    """Open a session at the address of `key`.

    Args:
      local: have a local rollup make the accounts; else they stand already.
      work: bytes of a FrameWork, where the program computes the session's frames in parts.
    """
    session = Session(program, key.pubkey())
    if local:
        wanted = session_sizes(args) | ({accounts.FrameWork: work} if work else {})
        make_accounts(node, program, {session.of(cls): size for cls, size in wanted.items()})
    node.send([session.create(player1.pubkey(), args)], [player1, key])
    return session


def wait_for(node: Node, session: Session, status: int, seconds: float) -> SessionState:
    """The session once it has a status, or a later one."""
    until = time.monotonic() + seconds
    while True:
        found = chain_state.fetch_session(node, session)
        if found.status >= status:
            return found
        if time.monotonic() > until:
            raise AwmError(f"the session is still {accounts.STATUS[found.status]}")
        time.sleep(0.02)


def _act(agent: Any, world: Any, player: int, mind: Any, frames: Any, number: jax.Array):
    """The agent sees what `match.match_step` shows it."""
    context = world.observe(Int8State(frames, None), player)
    return agent.act(mind, View(context, number))


_compiled_act = jax.jit(_act, static_argnames="player")


@dataclasses.dataclass(frozen=True)
class Played:
    """What an agent did: frames it sent an input for, seconds from sending to the frame seen."""

    frames: int
    latency: tuple[float, ...]


class Player:
    """An agent that plays in a session as any stranger would.

    Args:
      player: 0 or 1; must be the seat of `key`.
    """

    def __init__(
        self,
        node: Node,
        session: Session,
        key: Keypair,
        player: int,
        world: IntegerWorld,
        agent: Agent,
        subscribe: bool = True,
    ) -> None:
        self.node, self.session, self.key, self.player = node, session, key, player
        self.world, self.agent, self.subscribe = world, agent, subscribe
        self.layout = machine.state_layout(world.arch)
        self._changed, self._latest = threading.Event(), None

    def run(self, stop: Callable[[], bool] = lambda: False) -> Played:
        """Send an input for every frame until the session ends.

        Raises:
          AwmError: the key has no seat, or another one.
        """
        subscription = None
        if self.subscribe:
            subscription = Subscription(self.node.ws_url, self.session.address, self._take)
        try:
            return self._run(subscription, stop)
        finally:
            if subscription is not None:
                subscription.close()

    def _take(self, data: bytes) -> None:
        self._latest = accounts.decode(SessionState, data)[0]
        self._changed.set()

    def _seat(self, state: SessionState) -> None:
        if (state.player1, state.player2)[self.player] != bytes(self.key.pubkey()):
            raise AwmError(f"the key holds not seat {self.player} of this session; join first")

    def _run(self, subscription: Subscription | None, stop: Callable[[], bool]) -> Played:
        state = chain_state.fetch_session(self.node, self.session)
        while state.status in (CREATED, WAITING) and not stop():
            time.sleep(0.05)
            state = chain_state.fetch_session(self.node, self.session)
        self._seat(state)
        mind = self.agent.reset(jnp.asarray(rng.seed_words(state.seed)), self.player)
        self._wait_for_start(stop)
        answered, sent_at, latency = -1, 0.0, []
        pad, looked = None, 0.0
        while state.status == ACTIVE and not stop():
            if state.frame < answered:  # a validator began anew from an earlier frame
                answered = state.frame - 1
            if state.frame > answered:
                if answered >= 0:
                    latency.append(time.perf_counter() - sent_at)
                mind, pad = self._act(mind, state.frame)
                sent_at = time.perf_counter()
                if self._submit(state.frame + 1, pad):
                    answered, looked = state.frame, time.monotonic()
                else:
                    state = chain_state.fetch_session(self.node, self.session)
                    continue
            state = self._next(state, subscription)
            if state.frame == answered and time.monotonic() - looked >= POLL_SECONDS:
                looked = time.monotonic()
                self._send_again(answered + 1, pad)
        if answered >= 0 and state.frame > answered:
            latency.append(time.perf_counter() - sent_at)
        return Played(len(latency), tuple(latency))

    def _wait_for_start(self, stop: Callable[[], bool]) -> None:
        at = accounts.offset(HiddenState, "initialized")
        while not stop():
            found = self.node.account(self.session.of(HiddenState), at, 1)
            if found is not None and found[1] == b"\1":
                return
            time.sleep(0.05)

    def _act(self, mind: Any, frame: int) -> tuple[Any, np.ndarray]:
        at = self.layout.slot_at(frame)
        found = self.node.account(self.session.of(HiddenState), at, self.layout.window)
        if found is None:
            raise AwmError("the session's HiddenState is gone")
        frames = machine.decode_window(self.layout, found[1])
        number = np.int32(self.world.context_len + frame)
        mind, pad = _compiled_act(self.agent, self.world, self.player, mind, frames, number)
        return mind, np.asarray(pad)

    def _submit(self, frame: int, pad: np.ndarray) -> bool:
        """False where the session has gone on without it."""
        controller = machine.controller_of(pad)
        instruction = self.session.submit_input(self.key.pubkey(), frame, controller)
        try:
            self.node.send([instruction], [self.key])
        except Refused as refused:
            if refused.error in (Error.WRONG_FRAME, Error.WRONG_STATUS):
                return False
            raise
        return True

    def _send_again(self, frame: int, pad: np.ndarray | None) -> None:
        """Where the chain holds no input of that frame: it went down with a validator."""
        buffer = chain_state.fetch_inputs(self.node, self.session)
        ready = (buffer.p1_ready, buffer.p2_ready)[self.player]
        if pad is not None and (buffer.frame < frame or (buffer.frame == frame and not ready)):
            self._submit(frame, pad)

    def _next(self, state: SessionState, subscription: Subscription | None) -> SessionState:
        """The session when it has changed, or after a poll."""
        poll = POLL_SECONDS
        if subscription is None or not subscription.connected.is_set():
            poll = 0.005
        until = time.monotonic() + poll
        while True:
            latest = self._latest
            if latest is not None and (latest.frame > state.frame or latest.status > state.status):
                return latest
            left = until - time.monotonic()
            if left <= 0:
                return chain_state.fetch_session(self.node, self.session)
            self._changed.wait(left)
            self._changed.clear()


def dispute(
    node: Node, session: Session, who: Keypair, shards: Sequence[Pubkey], work: Pubkey | None = None
) -> bool:
    """Have the program compute a session's last frame again, from weights on chain.

    Args:
      work: an account in which that is done, unused and of `dispute_size` bytes; None has a local
        rollup make one.

    Returns: whether the frame was wrong; the session is refuted then.

    Raises:
      AwmError: the session plays another model, or a node's refusal.
    """
    dims = weight_shards.fetch_dims(node, shards[0])
    if work is None:
        work = Keypair().pubkey()
        make_accounts(node, session.program, {work: dispute_size(node, session, dims)})
    limit = set_compute_unit_limit(frame_parts.TRANSACTION_UNITS)
    frame = chain_state.fetch_session(node, session).frame
    if frame_parts.fits_one(dims):
        steps = [session.challenge(who.pubkey(), work, shards[0])]
    else:
        steps = [
            session.dispute(who.pubkey(), Dispute(frame, at, count), work, shards)
            for at, count in frame_parts.steps(dims)
        ]
    try:
        for step in steps:
            node.send([limit, step], [who])
    except Refused as refused:
        if refused.error == Error.SAME_RESULT:
            return False
        raise
    return True


def dispute_size(node: Node, session: Session, dims: Mapping[str, int]) -> int:
    """Bytes of an account for `dispute`."""
    found = node.account(session.of(HiddenState))
    if found is None:
        raise AwmError(f"no HiddenState at {session.of(HiddenState)}; is it that session?")
    tail = len(found[1]) - accounts.account_size(HiddenState) - accounts.TAIL_PADDING
    return frame_parts.dispute_bytes(dict(dims), tail // accounts.SLOTS)


@dataclasses.dataclass(frozen=True)
class SessionVerdict:
    """What computing a session again from the chain found."""

    frames: int
    digest: str
    problem: str | None

    @property
    def holds(self) -> bool:
        return self.problem is None

    @property
    def sentence(self) -> str:
        if self.problem:
            return f"deviates: {self.problem}"
        return f"verified: {self.frames} frames, digest {self.digest}"

    def to_dict(self) -> dict[str, Any]:
        return {"holds": self.holds, "sentence": self.sentence} | dataclasses.asdict(self)


def verify(
    node: Node,
    session: Session,
    world: IntegerWorld,
    model: bytes,
    on_frame: Callable[[], None] | None = None,
) -> SessionVerdict:
    """Compute a session again: its start from its seed, its frames from the inputs on chain, and
    compare the whole state, the digest and both players' records."""
    layout = machine.state_layout(world.arch)
    found = chain_state.fetch(node, session, layout)
    pads = chain_state.fetch_history(node, session, found.session)
    own = Machine.at_start(world, found.session)
    for row in pads:
        own = own.step(row)
        if on_frame is not None:
            on_frame()
    slot, problem = own.slot(), None
    if found.session.model != model:
        problem = f"it plays the model {found.session.model.hex()}, the world is {model.hex()}"
    elif own.players != found.session.players:
        problem = f"frame {found.session.frame}: the players on chain are others"
    elif slot != found.slot:
        names = [(at, name) for name, _, _, at in layout.fields]
        first = next(i for i, (a, b) in enumerate(zip(slot, found.slot, strict=True)) if a != b)
        where = max(((0, "digest"), *(n for n in names if n[0] <= first)))[1]
        problem = f"frame {found.session.frame}: the state on chain differs in {where}"
    return SessionVerdict(len(pads), own.hexdigest(), problem)
