"""The six component accounts, the input history, and their raw tails. Pure.

An account is `discriminator (8) | fields | authority (32)`, then, where stated, a raw tail; the
authority is BOLT's metadata, the last field of every component (0.2.4). Sources: onchain.md
section 8; golden/bolt B13 to B16. What the reference leaves undefined is defined here, once:

- a tail starts right behind the authority: HiddenState 54, FrameLog 78, WeightShard 110;
- HiddenState's is two zero bytes, then three slots of one machine state each; frame f lies in slot
  f mod 3, so that a frame that is being written tears neither the one that holds nor the one
  before it, from which the last frame can be computed again;
- FrameLog's is 256 entries of 41 bytes; entry k is at slot k mod 256;
- WeightShard's is two zero bytes, then the data;
- the authority of a SessionState is the crank's key, that of every other account the address of
  the SessionState it belongs to (of a WeightShard: nobody).
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import TypeVar

from awm_jax.errors import AwmError
from crank.solana import borsh
from crank.solana.borsh import flag, key, keys, number, numbers, raw, record, records

T = TypeVar("T")

STATUS = ("created", "waiting", "active", "ended", "refuted")
CREATED, WAITING, ACTIVE, ENDED, REFUTED = range(len(STATUS))
LOG_ENTRIES = 256
SLOTS = 3
"""Of a HiddenState: the last frame, the one before it, the one that is due."""
TAIL_PADDING = 2
"""Zero bytes that bring what follows a HiddenState's or WeightShard's fields to a multiple of 8."""


@dataclasses.dataclass(frozen=True)
class PlayerState:
    """One player in units of 1/256; the machine's `frame.record`."""

    x: int = number("i32")
    y: int = number("i32")
    percent: int = number("u16")
    shield_strength: int = number("u16")
    speed_air_x: int = number("i16")
    speed_y: int = number("i16")
    speed_ground_x: int = number("i16")
    speed_attack_x: int = number("i16")
    speed_attack_y: int = number("i16")
    state_age: int = number("u16")
    hitlag: int = number("u8")
    stocks: int = number("u8")
    facing: int = number("u8")
    on_ground: int = number("u8")
    action_state: int = number("u16")
    jumps_left: int = number("u8")
    character: int = number("u8")


@dataclasses.dataclass(frozen=True)
class ControllerInput:
    """One player's controller, in the order of `awm_jax.int8.frame.PAD_FIELDS`."""

    stick_x: int = number("i8")
    stick_y: int = number("i8")
    c_stick_x: int = number("i8")
    c_stick_y: int = number("i8")
    trigger_l: int = number("u8")
    trigger_r: int = number("u8")
    buttons: int = number("u8")
    buttons_ext: int = number("u8")


@dataclasses.dataclass(frozen=True)
class CompressedPlayer:
    """One player in a log entry."""

    x: int = number("i16")
    y: int = number("i16")
    percent: int = number("u16")
    action_state: int = number("u16")
    state_age: int = number("u8")
    stocks: int = number("u8")
    facing: int = number("u8")
    on_ground: int = number("u8")
    speed_x: int = number("i8")
    speed_y: int = number("i8")


@dataclasses.dataclass(frozen=True)
class CompressedFrame:
    """A log entry, 41 bytes."""

    frame: int = number("u32")
    players: tuple[CompressedPlayer, CompressedPlayer] = records(CompressedPlayer, 2)
    p1_input: int = number("u32")
    p2_input: int = number("u32")
    stage: int = number("u8")


@dataclasses.dataclass(frozen=True)
class SessionState:
    """A session; `authority` is the key of its crank."""

    status: int = number("u8")
    frame: int = number("u32")
    max_frames: int = number("u32")
    player1: bytes = key()
    player2: bytes = key()
    stage: int = number("u8")
    players: tuple[PlayerState, PlayerState] = records(PlayerState, 2)
    model: bytes = key()
    created_at: int = number("i64")
    last_update: int = number("i64")
    seed: int = number("u64")
    authority: bytes = key()


@dataclasses.dataclass(frozen=True)
class HiddenState:
    """What the network carries; `data_size` counts the elements of h, as in the reference."""

    num_layers: int = number("u8")
    d_inner: int = number("u16")
    d_state: int = number("u16")
    data_size: int = number("u32")
    frame: int = number("u32")
    initialized: bool = flag()
    authority: bytes = key()


@dataclasses.dataclass(frozen=True)
class InputBuffer:
    """Both players' controllers of one frame."""

    frame: int = number("u32")
    player1: ControllerInput = record(ControllerInput)  # noqa: RUF009
    player2: ControllerInput = record(ControllerInput)  # noqa: RUF009
    p1_ready: bool = flag()
    p2_ready: bool = flag()
    authority: bytes = key()


@dataclasses.dataclass(frozen=True)
class FrameLog:
    """The ring of the last 256 frames; `total_frames` is the number of the newest."""

    write_index: int = number("u16")
    total_frames: int = number("u32")
    session: bytes = key()
    authority: bytes = key()


@dataclasses.dataclass(frozen=True)
class ModelManifest:
    """The reference's description of a model."""

    name: bytes = raw(32)
    version: int = number("u16")
    d_model: int = number("u16")
    d_inner: int = number("u16")
    d_state: int = number("u16")
    num_layers: int = number("u8")
    num_heads: int = number("u8")
    num_shards: int = number("u8")
    shard_keys: tuple[bytes, ...] = keys(4)
    shard_sizes: tuple[int, ...] = numbers("u32", 4)
    layer_input_scales: tuple[int, ...] = numbers("u16", 16)
    layer_output_scales: tuple[int, ...] = numbers("u16", 16)
    luts: bytes = raw(1024)
    num_continuous: int = number("u8")
    num_action_states: int = number("u16")
    num_binary: int = number("u8")
    input_size: int = number("u16")
    manifest_authority: bytes = key()
    ready: bool = flag()
    total_params: int = number("u32")
    total_weight_bytes: int = number("u32")
    authority: bytes = key()


@dataclasses.dataclass(frozen=True)
class WeightShard:
    """A part of a model's weights, or a whole packed image."""

    shard_index: int = number("u8")
    data_size: int = number("u32")
    shard_authority: bytes = key()
    finalized: bool = flag()
    data_hash: bytes = key()
    authority: bytes = key()


@dataclasses.dataclass(frozen=True)
class InputHistory:
    """Ours alone: every committed frame's inputs, 16 bytes each behind the fields (R42).

    From it, the seed and the cartridge anybody computes the match again.
    """

    session: bytes = key()
    authority: bytes = key()


@dataclasses.dataclass(frozen=True)
class FrameWork:
    """Ours alone: a frame that the program computes in several transactions.

    cursor: the part that is due. inputs: those the frame began with, as in the InputBuffer.
    Behind the fields come the new state's slot and the program's scratch.
    """

    session: bytes = key()
    frame: int = number("u32")
    cursor: int = number("u32")
    inputs: tuple[ControllerInput, ControllerInput] = records(ControllerInput, 2)
    authority: bytes = key()


@dataclasses.dataclass(frozen=True)
class FrameDispute(FrameWork):
    """Ours alone: a committed frame that the program computes again; `authority` is who disputes.

    Behind the fields come the new state's slot, the state before the frame, what was committed,
    both players' records, and the program's scratch.
    """


COMPONENTS = (SessionState, HiddenState, InputBuffer, FrameLog, ModelManifest, WeightShard)
ENTRY_BYTES = borsh.record_size(CompressedFrame)
INPUT_BYTES = borsh.record_size(ControllerInput)
RING_BYTES = LOG_ENTRIES * ENTRY_BYTES


def discriminator(cls: type) -> bytes:
    """The first 8 bytes of sha256("account:Name")."""
    return hashlib.sha256(f"account:{cls.__name__}".encode()).digest()[:8]


def account_size(cls: type) -> int:
    """Bytes of an account without its tail; where the tail starts."""
    return 8 + borsh.record_size(cls)


def offset(cls: type, name: str) -> int:
    """Where a field starts in its account."""
    return 8 + borsh.layout(cls)[name][0]


def seed_of(cls: type) -> str:
    """The seed from which a session's account of this kind has its address: "hidden-state"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()


def encode(value: object, tail: bytes = b"") -> bytes:
    """An account's bytes."""
    return discriminator(type(value)) + borsh.encode(value) + tail


def decode(
    cls: type[T],
    data: bytes,
    *,
    tail: int | None = 0,
    owner: bytes | str | None = None,
    program: bytes | str | None = None,
) -> tuple[T, bytes]:
    """An account's fields and its tail.

    Args:
      tail: bytes that must follow the fields; None takes any.
      owner, program: the account's owner on chain, and the program that it must be.

    Raises:
      AwmError: another owner, another discriminator, missing or trailing bytes; by name.
    """
    name, size = cls.__name__, account_size(cls)
    if owner != program:
        raise AwmError(f"{name}: the account belongs to {owner}, not to the program {program}")
    if len(data) < size or (tail is not None and len(data) < size + tail):
        raise AwmError(f"{name}: {size + (tail or 0) - len(data)} missing bytes")
    if data[:8] != discriminator(cls):
        what = "unused" if not any(data[:8]) else f"no {name} ({data[:8].hex()})"
        raise AwmError(f"{name}: the account is {what}")
    if tail is not None and len(data) > size + tail:
        raise AwmError(f"{name}: {len(data) - size - tail} trailing bytes")
    return borsh.decode(cls, data[8:size]), data[size:]


def clamp8(value: int) -> int:
    """Limited to an i8."""
    return max(-128, min(127, value))


def _quotient(value: int, by: int) -> int:
    """Division that truncates towards zero."""
    return -(-value // by) if value < 0 else value // by


def _wrap16(value: int) -> int:
    return (value + 32768) % 65536 - 32768


def compress(
    frame: int,
    players: tuple[PlayerState, ...],
    inputs: tuple[ControllerInput, ...],
    stage: int,
) -> CompressedFrame:
    """The log entry of a frame. Source: onchain.md section 9.3."""
    small = tuple(
        CompressedPlayer(
            x=_wrap16(_quotient(p.x, 256)),
            y=_wrap16(_quotient(p.y, 256)),
            percent=p.percent,
            action_state=p.action_state,
            state_age=min(p.state_age, 255),
            stocks=p.stocks,
            facing=p.facing,
            on_ground=p.on_ground,
            speed_x=clamp8(_quotient(p.speed_ground_x, 4)),
            speed_y=clamp8(_quotient(p.speed_y, 4)),
        )
        for p in players
    )
    packed = [
        (i.stick_x & 255) << 24 | (i.stick_y & 255) << 16 | (i.c_stick_x & 255) << 8 | i.buttons
        for i in inputs
    ]
    return CompressedFrame(frame, (small[0], small[1]), packed[0], packed[1], stage)


def log_entries(log: FrameLog, ring: bytes) -> list[CompressedFrame]:
    """What the ring holds, oldest first."""
    held = min(log.total_frames, LOG_ENTRIES)
    slots = [(log.write_index - held + i) % LOG_ENTRIES for i in range(held)]
    return [
        borsh.decode(CompressedFrame, ring[s * ENTRY_BYTES : (s + 1) * ENTRY_BYTES]) for s in slots
    ]
