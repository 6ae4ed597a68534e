"""The crank of one session: waits for both inputs, turns one integer step, commits it.

It keeps nothing that the chain does not hold: killed at any moment, another goes on from the chain
alone, bit for bit. A frame is stepped as soon as both inputs are in; with a deadline, a frame that
has waited that long is stepped with the missing player's last input held. A frame's state is
written into the slot that the last frame does not use; the instruction that commits it checks the
slot's hash and that the inputs on chain are those that were used, so no frame is ever torn.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from awm_jax.errors import AwmError
from crank.integer import IntegerWorld
from crank.solana import accounts, chain_state, frame_parts, machine, weight_shards
from crank.solana.accounts import ACTIVE, WAITING, ControllerInput, FrameWork, InputBuffer
from crank.solana.chain_state import Machine, Snapshot
from crank.solana.program import CommitFrame, Error, RunParts, Session, sha256
from crank.solana.rpc import Node, Refused, Subscription

INSTRUCTION_BYTES = 60_000
"""State bytes in one instruction, which holds at most 65,535."""
TRANSACTION_BYTES = 480_000
"""State bytes in one transaction; a node takes some 780,000 at most, a hosted one perhaps less."""
POLL_SECONDS = 0.25
"""How often the inputs are read although a subscription stands: it may have died silently."""
FAST_POLL_SECONDS = 0.005
"""How often where none stands."""
UNITS = 1_400_000
BEHIND = {Error.WRONG_FRAME, Error.WRONG_STATUS, Error.WRONG_PART}
"""Another crank was faster, or the session has ended: look at the chain again."""
RETRY = {Error.INPUTS_CHANGED, Error.NOT_READY, Error.WRONG_HASH}
"""An input came in between, or another crank wrote into the slot: the same frame once more."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a crank works.

    Attributes:
      deadline: seconds after the last commit when a missing input is held; None waits for ever.
      transaction_bytes: see `TRANSACTION_BYTES`.
      subscribe: by WebSocket; False polls.
    """

    deadline: float | None = None
    transaction_bytes: int = TRANSACTION_BYTES
    instruction_bytes: int = INSTRUCTION_BYTES
    subscribe: bool = True


@dataclasses.dataclass(frozen=True)
class Report:
    """How a crank ended.

    Attributes:
      frame, digest: where the session stands.
      committed: frames that this crank committed; held: those of them with an input held.
      work: for each of them the seconds from having its inputs to having it committed, but for
        `waiting`: seconds in which the node had the word.
      cpu: seconds of processors that the whole process took from one frame to the next.
      at: when each was committed, in seconds of a clock that only rises.
    """

    frame: int
    digest: str
    committed: int
    held: int
    work: tuple[float, ...]
    waiting: tuple[float, ...]
    cpu: tuple[float, ...]
    at: tuple[float, ...]


class Inputs:
    """The InputBuffer as it comes in, by subscription and by polling."""

    def __init__(self, node: Node, session: Session, subscribe: bool) -> None:
        self._node, self._session = node, session
        self._event, self._latest = threading.Event(), None
        self._subscription = None
        if subscribe:
            key = session.of(InputBuffer)
            self._subscription = Subscription(node.ws_url, key, self._take)

    def _take(self, data: bytes) -> None:
        self._latest = accounts.decode(InputBuffer, data)[0]
        self._event.set()

    def wait(self, frame: int, until: float | None) -> InputBuffer:
        """The buffer when both inputs of a frame are in, or as it is at the monotonic time
        `until`, or after a poll."""
        poll = FAST_POLL_SECONDS
        if self._subscription is not None and self._subscription.connected.is_set():
            poll = POLL_SECONDS
        end = time.monotonic() + poll
        end = end if until is None else min(end, until)
        while True:
            latest = self._latest
            if latest is not None and complete(latest, frame):
                return latest
            left = end - time.monotonic()
            if left <= 0:
                break
            self._event.wait(left)
            self._event.clear()
        return chain_state.fetch_inputs(self._node, self._session)

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()


def complete(buffer: InputBuffer, frame: int) -> bool:
    """Both inputs of that frame are in."""
    return buffer.frame == frame and buffer.p1_ready and buffer.p2_ready


def missing(buffer: InputBuffer, frame: int) -> int:
    """Bit p: player p's input of that frame is not in."""
    if buffer.frame != frame:
        return 3
    return (not buffer.p1_ready) | (not buffer.p2_ready) << 1


def commit_instructions(
    session: Session,
    authority: Keypair,
    ready: Machine,
    inputs: tuple[ControllerInput, ControllerInput],
    held: int,
    settings: Settings,
) -> list[list[Instruction]]:
    """The transactions that commit a frame: all but the last only write its slot."""
    slot, who = ready.slot(), authority.pubkey()
    step = settings.instruction_bytes
    writes = [
        session.write_state(who, ready.frame, at, slot[at : at + step])
        for at in range(0, len(slot), step)
    ]
    per = max(1, settings.transaction_bytes // step)
    groups = [writes[i : i + per] for i in range(0, len(writes), per)]
    args = CommitFrame(ready.frame, held, inputs, ready.players, sha256(slot))
    groups[-1].append(session.commit_frame(who, args))
    limit = set_compute_unit_limit(UNITS)
    return [[limit, *group] for group in groups]


class Crank:
    """See the module. `node` is used by the thread that calls `run` alone.

    Args:
      authority: the crank's key, or, once the start is committed and with an image, anybody's.
      model: what the session must play; None does not ask.
      shards: the WeightShards from which the program computes frames itself; then the crank only
        says that the next one is due.
    """

    def __init__(
        self,
        node: Node,
        session: Session,
        authority: Keypair,
        world: IntegerWorld,
        settings: Settings | None = None,
        model: bytes | None = None,
        shards: Sequence[Pubkey] = (),
    ) -> None:
        self.node, self.session, self.authority, self.world = node, session, authority, world
        self.settings = settings or Settings()
        self.layout = machine.state_layout(world.arch)
        self.model, self.shards = model, shards
        self._work: list[float] = []
        self._waiting: list[float] = []
        self._cpu: list[float] = []
        self._spent = 0.0
        self._at: list[float] = []
        self._held = 0
        self._dims: dict[str, int] | None = None

    def look(self) -> Snapshot:
        """The session as the chain has it.

        Raises:
          AwmError: it is no session of this world, or of another crank.
        """
        found = chain_state.fetch(self.node, self.session, self.layout)
        own = found.session.authority == bytes(self.authority.pubkey())
        if not own and (not self.shards or not found.hidden.initialized):
            raise AwmError("the session's crank has another key; give its keypair with --key")
        if self.model is not None and found.session.model != self.model:
            raise AwmError(
                f"the session plays the model {found.session.model.hex()}, "
                f"the world is {self.model.hex()}"
            )
        return found

    def run(
        self,
        on_frame: Callable[[int], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Turn frames until the session ends.

        Args:
          on_frame: called with each committed frame's number.
          stop: asked before each; when it says so the crank goes.
        """
        inputs = Inputs(self.node, self.session, self.settings.subscribe)
        try:
            return self._run(inputs, on_frame, stop)
        finally:
            inputs.close()

    def _run(self, inputs: Inputs, on_frame: Callable[[int], None] | None, stop) -> Report:
        current = self._from_chain(stop)
        self._spent = time.process_time()
        since, told = time.monotonic(), 0
        while current is not None and not stop():
            deadline = self.settings.deadline
            until = None if deadline is None else since + deadline
            buffer = inputs.wait(current.frame + 1, until)
            held = missing(buffer, current.frame + 1)
            waits = self.shards or until is None or time.monotonic() < until
            if held and waits:
                found = chain_state.fetch_session(self.node, self.session)
                if found.status != ACTIVE:
                    break
                if found.frame < current.frame:  # a validator began anew from an earlier frame
                    current = self._from_chain(stop)
                continue
            following = self._commit(current, buffer, held)
            if following is None:
                following = self._from_chain(stop)
            elif following.frame > current.frame:
                since = time.monotonic()
                if on_frame is not None and following.frame > told:
                    on_frame(following.frame)
                told = max(told, following.frame)
                if self._over(following):
                    break
            current = following
        return self._report()

    def _over(self, ready: Machine) -> bool:
        return ready.frame >= self._max_frames or any(p.stocks == 0 for p in ready.players)

    def _from_chain(self, stop: Callable[[], bool]) -> Machine | None:
        """The machine where the chain is; None when the session is over."""
        while not stop():
            found = self.look()
            self._max_frames = found.session.max_frames
            if found.session.status == ACTIVE:
                if found.hidden.initialized:
                    return Machine.resumed(self.world, found)
                start = Machine.at_start(self.world, found.session)
                nothing = (ControllerInput(), ControllerInput())
                if self._send(start, nothing, 0):
                    return start
            elif found.session.status == WAITING:
                time.sleep(0.05)
            else:
                return None
        return None

    def _commit(self, current: Machine, buffer: InputBuffer, held: int) -> Machine | None:
        """The machine after the frame; the same one to try again; None to look at the chain."""
        began, waited = time.perf_counter(), self.node.waited
        if self.shards:
            following, done = self._compute(current)
        else:
            pair = (buffer.player1, buffer.player2)
            pads = np.array([machine.pad_of(pad) for pad in pair], np.int32)
            following = current.step(pads)
            done = self._send(following, pair, held)
        if not done:
            return None if done is None else current
        waiting = self.node.waited - waited
        now = time.perf_counter()
        self._waiting.append(waiting)
        self._work.append(now - began - waiting)
        self._at.append(now)
        spent = time.process_time()
        self._cpu.append(spent - self._spent)
        self._spent = spent
        self._held += bool(held)
        return following

    def _compute(self, current: Machine) -> tuple[Machine, bool | None]:
        """The program computes the frame; the machine here only counts it."""
        frame = current.frame + 1
        if self._dims is None:
            self._dims = weight_shards.fetch_dims(self.node, self.shards[0])
        if frame_parts.fits_one(self._dims):
            steps = [self.session.run_inference(self.authority.pubkey(), frame, self.shards[0])]
        else:
            steps = self._parts(frame, self._dims)
        limit = set_compute_unit_limit(UNITS)
        done = self._attempt([[limit, step] for step in steps])
        return dataclasses.replace(current, frame=frame), done

    def _parts(self, frame: int, dims: dict[str, int]) -> list[Instruction]:
        """What is left of a frame in parts, which another crank may have begun."""
        work = self.session.of(FrameWork)
        found = self.node.account(work, 0, accounts.account_size(FrameWork))
        if found is None:
            raise AwmError(
                f"no account at {work}, in which the frames of so large a world are made; "
                "open the session with --on-chain"
            )
        first = 0
        if any(found[1][:8]):
            held = accounts.decode(FrameWork, found[1])[0]
            first = held.cursor if held.frame == frame else 0
        who = self.authority.pubkey()
        return [
            self.session.run_parts(who, RunParts(frame, at, count), self.shards)
            for at, count in frame_parts.steps(dims, UNITS, first)
        ]

    def _send(self, ready: Machine, pair, held: int) -> bool | None:
        """True: committed. False: again. None: look at the chain."""
        groups = commit_instructions(self.session, self.authority, ready, pair, held, self.settings)
        return self._attempt(groups)

    def _attempt(self, groups: list[list[Instruction]]) -> bool | None:
        try:
            for group in groups:
                self.node.send(group, [self.authority])
        except Refused as refused:
            if refused.error in BEHIND:
                return None
            if refused.error in RETRY:
                return False
            raise
        return True

    def _report(self) -> Report:
        found = self.look()
        machine_ = Machine.resumed(self.world, found) if found.hidden.initialized else None
        digest = machine_.hexdigest() if machine_ else ""
        times = (tuple(each) for each in (self._work, self._waiting, self._cpu, self._at))
        return Report(found.session.frame, digest, len(self._work), self._held, *times)
