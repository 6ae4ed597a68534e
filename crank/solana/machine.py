"""The integer machine's state as the bytes of a HiddenState slot, and back, bit for bit.

A slot is the digest (16 bytes), then the arrays of `awm_match` (awm_jax/int8/native/awm.h) in its
order, little endian: cont, binary, ints, stage, pads of the last K frames (int32), in a recurrent
world ssm (uint16: 2^15 is added) and conv (int16), zeros up to a multiple of 8. The C step reads
and writes them there.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.errors import AwmError
from awm_jax.game.digest import LANES
from awm_jax.int8.frame import PAD_FIELDS, GameFrame, record
from awm_jax.int8.mamba2 import TrunkState, initial_state
from awm_jax.int8.params import Arch
from awm_jax.int8.world import Int8State
from crank.solana.accounts import (
    SLOTS,
    TAIL_PADDING,
    ControllerInput,
    HiddenState,
    PlayerState,
    account_size,
)

DIGEST_BYTES = 4 * LANES
SIGN = np.uint16(1 << 15)


@dataclasses.dataclass(frozen=True)
class StateLayout:
    """Attributes:
    fields: (name, dtype, shape, offset in the slot) of every array.
    size: bytes of a slot, a multiple of 8.
    window: bytes from the slot's start that hold the frames; a view needs no more.
    """

    arch: Arch
    fields: tuple[tuple[str, str, tuple[int, ...], int], ...]
    size: int
    window: int

    @property
    def tail(self) -> int:
        """Bytes of a HiddenState's tail."""
        return TAIL_PADDING + SLOTS * self.size

    def slot_at(self, frame: int) -> int:
        """Where the slot of a frame starts in the account."""
        return account_size(HiddenState) + TAIL_PADDING + frame % SLOTS * self.size


def state_layout(arch: Arch) -> StateLayout:
    """The layout of a world's state."""
    cfg, k = arch.cfg, arch.context_len
    shapes: list[tuple[str, str, tuple[int, ...]]] = [
        ("cont", "<i4", (k, 2, cfg.continuous_dim)),
        ("binary", "<i4", (k, 2, cfg.binary_dim)),
        ("ints", "<i4", (k, 2, cfg.int_per_player)),
        ("stage", "<i4", (k,)),
        ("pads", "<i4", (k, 2, len(PAD_FIELDS))),
    ]
    frames = len(shapes)
    if arch.recurrent:
        trunk = jax.eval_shape(lambda: initial_state(arch))
        shapes += [("ssm", "<u2", trunk.ssm.shape), ("conv", "<i2", trunk.conv.shape)]
    at, fields, window = DIGEST_BYTES, [], 0
    for i, (name, dtype, shape) in enumerate(shapes):
        fields.append((name, dtype, shape, at))
        at += int(np.prod(shape)) * np.dtype(dtype).itemsize
        window = at if i < frames else window
    return StateLayout(arch, tuple(fields), -(-at // 8) * 8, window)


def encode_state(layout: StateLayout, state: Int8State, digest: np.ndarray) -> bytes:
    """digest (4,) uint32 -> the bytes of a slot."""
    out = bytearray(layout.size)
    out[:DIGEST_BYTES] = np.asarray(digest, "<u4").tobytes()
    arrays = dict(vars(state.frames))
    if state.trunk is not None:
        arrays |= vars(state.trunk)
        arrays["ssm"] = np.asarray(arrays["ssm"]).view(np.uint16) ^ SIGN
    for name, dtype, shape, at in layout.fields:
        data = np.ascontiguousarray(np.asarray(arrays[name]), dtype)
        if data.shape != shape:
            raise AwmError(f"the state's {name} is {data.shape}, this world has {shape}")
        out[at : at + data.nbytes] = data.tobytes()
    return bytes(out)


def decode_state(layout: StateLayout, data: bytes) -> tuple[Int8State, np.ndarray]:
    """The state and the digest (4,) uint32 of a slot.

    Raises:
      AwmError: missing or trailing bytes.
    """
    if len(data) != layout.size:
        what = "missing" if len(data) < layout.size else "trailing"
        raise AwmError(f"HiddenState slot: {abs(len(data) - layout.size)} {what} bytes")
    arrays = _arrays(layout, data)
    trunk = None
    if layout.arch.recurrent:
        ssm = (arrays.pop("ssm") ^ SIGN).view(np.int16)
        trunk = TrunkState(jnp.asarray(ssm), jnp.asarray(arrays.pop("conv")))
    digest = np.frombuffer(data, "<u4", LANES).copy()
    return Int8State(GameFrame(**arrays), trunk), digest


def decode_window(layout: StateLayout, data: bytes) -> GameFrame:
    """The last K frames from the first `layout.window` bytes of a slot."""
    if len(data) != layout.window:
        raise AwmError(f"HiddenState slot: {len(data)} bytes, the frames are {layout.window}")
    return GameFrame(**_arrays(layout, data))


def _arrays(layout: StateLayout, data: bytes) -> dict[str, np.ndarray]:
    return {
        name: np.frombuffer(data, dtype, int(np.prod(shape)), at).reshape(shape).copy()
        for name, dtype, shape, at in layout.fields
        if at < len(data)
    }


def hidden_header(arch: Arch) -> HiddenState:
    """The header of a world's HiddenState, before the first frame."""
    size = arch.n_layers * arch.d_inner * arch.d_state
    return HiddenState(arch.n_layers, arch.d_inner, arch.d_state, size)


def players(arch: Arch, frame: GameFrame) -> tuple[PlayerState, PlayerState]:
    """What the chain stores of one frame of both players."""
    rows = np.asarray(record(arch.cfg, frame)).tolist()
    return PlayerState(*rows[0]), PlayerState(*rows[1])


def pad_of(controller: ControllerInput) -> list[int]:
    """The machine's pad, 8 integers in the order of `PAD_FIELDS`."""
    return list(dataclasses.astuple(controller))


def controller_of(pad: np.ndarray) -> ControllerInput:
    """The bytes that a pad is on chain."""
    return ControllerInput(*(int(v) for v in pad))
