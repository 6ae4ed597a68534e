"""What the chain says about a session, and the world that plays it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.errors import AwmError
from awm_jax.game import digest as digests
from awm_jax.int8.frame import GameFrame, record
from crank import integer
from crank.integer import IntegerWorld
from crank.playing import synthetic_seed
from crank.solana import accounts, machine
from crank.solana.accounts import HiddenState, InputBuffer, InputHistory, SessionState
from crank.solana.machine import StateLayout
from crank.solana.program import Session, history_tail
from crank.solana.rpc import Node


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A session's small accounts, as they are at one moment, and the state if it was asked for."""

    session: SessionState
    hidden: HiddenState
    inputs: InputBuffer
    slot: bytes


def fetch(node: Node, session: Session, layout: StateLayout) -> Snapshot:
    """Read a session.

    Raises:
      AwmError: an account is missing, of another owner, size or kind; by name.
    """
    kinds = (SessionState, HiddenState, InputBuffer)
    found = node.accounts([session.of(cls) for cls in kinds])
    tails: dict[type, int] = {HiddenState: layout.tail}
    values = {}
    for cls, account in zip(kinds, found, strict=True):
        values[cls] = _decode(cls, account, session, tails.get(cls, 0))
    state, hidden = values[SessionState][0], values[HiddenState][0]
    at = accounts.TAIL_PADDING + state.frame % accounts.SLOTS * layout.size
    slot = values[HiddenState][1][at : at + layout.size]
    return Snapshot(state, hidden, values[InputBuffer][0], slot)


def fetch_session(node: Node, session: Session) -> SessionState:
    """Its SessionState alone."""
    return _decode(SessionState, node.account(session.address), session, 0)[0]


def fetch_inputs(node: Node, session: Session) -> InputBuffer:
    return _decode(InputBuffer, node.account(session.of(InputBuffer)), session, 0)[0]


def fetch_history(node: Node, session: Session, state: SessionState) -> np.ndarray:
    """(frames, 2, 8) int32 pads of all committed frames."""
    found = node.account(session.of(InputHistory))
    _, tail = _decode(InputHistory, found, session, history_tail(state.max_frames))
    raw = np.frombuffer(tail, np.uint8, 2 * accounts.INPUT_BYTES * state.frame)
    pads = raw.reshape(-1, 2, accounts.INPUT_BYTES).astype(np.int32)
    pads[..., :4] = (pads[..., :4] + 128) % 256 - 128
    return pads


def _decode(cls: type, account: Any, session: Session, tail: int) -> tuple[Any, bytes]:
    if account is None:
        raise AwmError(f"no {cls.__name__} at {session.of(cls)}; is it that session, that node?")
    owner, data = account
    program = str(session.program)
    return accounts.decode(cls, data, tail=tail, owner=owner, program=program)


def seed_frames(world: IntegerWorld, session: SessionState) -> GameFrame:
    """The K frames from which a session starts: those of `awm play` with its seed."""
    characters = [p.character for p in session.players]
    frames = synthetic_seed(world.cfg, world.context_len, session.stage, characters, session.seed)
    return integer.start(world, frames)


def _reset(world: Any, seed: GameFrame) -> Any:
    return world.reset(seed)


def _advance(world: Any, state: Any, digest: jax.Array, number: jax.Array, pads: jax.Array):
    """One frame: the new state and digest, and both players' record (2, 17)."""
    state, frame = world.step(state, pads)
    digest = digests.extend(digest, world.words(frame, number))
    return state, digest, record(world.cfg, frame)


reset = jax.jit(_reset)
advance = jax.jit(_advance)


@dataclasses.dataclass
class Machine:
    """A world that plays one session, its state, and the frame that it has come to."""

    world: IntegerWorld
    layout: StateLayout
    state: Any
    digest: Any
    frame: int
    players: tuple[accounts.PlayerState, accounts.PlayerState]

    @classmethod
    def at_start(cls, world: IntegerWorld, session: SessionState) -> Machine:
        """Before the first frame."""
        seed = seed_frames(world, session)
        state = reset(world, jax.tree.map(jnp.asarray, seed))
        layout = machine.state_layout(world.arch)
        last = jax.tree.map(lambda v: v[-1], seed)
        players = machine.players(world.arch, last)
        return cls(world, layout, state, digests.start(), 0, players)

    @classmethod
    def resumed(cls, world: IntegerWorld, snapshot: Snapshot) -> Machine:
        """Where the chain is."""
        layout = machine.state_layout(world.arch)
        state, digest = machine.decode_state(layout, snapshot.slot)
        frame, players = snapshot.session.frame, snapshot.session.players
        return cls(world, layout, state, digest, frame, players)

    def step(self, pads: np.ndarray) -> Machine:
        """pads (2, 8) int32 -> the machine after the next frame."""
        number = np.int32(self.world.context_len + self.frame)
        state, digest, rows = advance(self.world, self.state, self.digest, number, pads)
        values = np.asarray(rows).tolist()
        players = (accounts.PlayerState(*values[0]), accounts.PlayerState(*values[1]))
        return dataclasses.replace(
            self, state=state, digest=digest, frame=self.frame + 1, players=players
        )

    def slot(self) -> bytes:
        """The bytes of its slot."""
        return machine.encode_state(self.layout, self.state, np.asarray(self.digest))

    def hexdigest(self) -> str:
        return digests.hexdigest(np.asarray(self.digest))


def create_shape(world: IntegerWorld) -> dict[str, int]:
    """What CREATE needs to know of a world."""
    header = machine.hidden_header(world.arch)
    return {
        "d_inner": header.d_inner,
        "d_state": header.d_state,
        "num_layers": header.num_layers,
        "state_size": machine.state_layout(world.arch).size,
    }
