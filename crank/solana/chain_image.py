"""The image of a world as the program reads it: `AWMCHN1`, a map to the record, the native image
with its int8 matrices in lanes.

A matrix (rows, cols) of the native image becomes blocks of 12 rows: column by column four 64-bit
words of three rows, word = w0 + w1 2^21 + w2 2^42 mod 2^64, signed. A product with 64 codes of 8
bits stays below 2^20 in every lane for any weight of +-127, which is checked; so a row never
reaches its neighbour. Rows are padded with zeros to 12, columns to 64.
"""

from __future__ import annotations

import numpy as np

from awm_jax.encoding import VELOCITY, EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import EXPAND
from awm_jax.int8.frame import RECORD_FIELDS
from awm_jax.int8.native import image as native
from awm_jax.int8.params import Arch, WorldParams

MAGIC = b"AWMCHN1\0"
LANE_BITS, LANE_WORDS = 21, 4
BLOCK_ROWS = 3 * LANE_WORDS
PARTS, WHOLE, BIT, INDEX = 1, 2, 3, 4
"""How a field of the record is made: 1/256 of a column, its whole part, a bit, an int column."""
ENTRY_BYTES = 8
IMAGE_AT = -(-(len(MAGIC) + ENTRY_BYTES * len(RECORD_FIELDS)) // native.ALIGN) * native.ALIGN
PARTIAL = ("x", "y", "shield_strength", *VELOCITY)
MOST = {"percent": 65535, "state_age": 65535, "hitlag": 255, "stocks": 4}
INTS = {"action_state": "action", "jumps_left": "jumps", "character": "character"}


def pack(params: WorldParams, arch: Arch) -> bytes:
    """The image of a world.

    Raises:
      AwmError: it is windowed, or the native kernel has no room for it.
    """
    if not arch.recurrent:
        raise AwmError("the program computes recurrent worlds only; quantize --mode recurrent")
    head = MAGIC + record_map(arch.cfg)
    return head.ljust(IMAGE_AT, b"\0") + relay(native.pack(params, arch))


def record_map(cfg: EncodingConfig) -> bytes:
    """kind u8, column u8, largest value u16, four zeros for every field of the record."""
    where = columns(cfg)
    out = b""
    for name in RECORD_FIELDS:
        most = MOST.get(name, 0)
        if name in INTS:
            kind, column = INDEX, where.int_index[INTS[name]]
        elif name == "state_age" and cfg.state_age_as_embed:
            kind, column = INDEX, where.int_index[name]
        elif name in MOST:
            kind, column = WHOLE, where[name]
        elif name in PARTIAL:
            kind, column = PARTS, where["shield" if name == "shield_strength" else name]
        else:
            kind, column = BIT, where[name] - cfg.continuous_dim
        out += bytes([kind, column]) + most.to_bytes(2, "little") + bytes(4)
    return out


def lanes(matrix: np.ndarray) -> bytes:
    """(rows, cols) int8, cols a multiple of 64 -> its words."""
    wide = np.abs(matrix.astype(np.int64))
    chunks = wide.reshape(len(matrix), -1, native.ALIGN).sum(2)
    if chunks.size and int(chunks.max()) * 128 >= 1 << (LANE_BITS - 1):
        raise AwmError("a row's weights are too large for lanes of 21 bits")
    rows = -(-len(matrix) // BLOCK_ROWS) * BLOCK_ROWS
    padded = np.zeros((rows, matrix.shape[1]), np.int64)
    padded[: len(matrix)] = matrix
    three = padded.reshape(-1, LANE_WORDS, 3, matrix.shape[1])
    words = three[:, :, 0] + (three[:, :, 1] << LANE_BITS) + (three[:, :, 2] << 2 * LANE_BITS)
    return np.ascontiguousarray(words.transpose(0, 2, 1)).astype("<i8").tobytes()


def relay(image: bytes) -> bytes:
    """A native image with its matrices in lanes; offsets and length are those of the new one."""
    start = len(native.MAGIC)
    count = len(native.DIMS)
    dims = dict(zip(native.DIMS, np.frombuffer(image, "<i4", count, start).tolist(), strict=True))
    names = [*native.TENSORS, *(native.LAYER_TENSORS * dims["n_layers"])]
    table = np.frombuffer(image, "<i4", len(names), start + 4 * count).tolist()
    ends = [*table[1:], len(image)]
    shapes = _shapes(dims)
    blobs, offsets, at = [], [], table[0]
    for name, begin, end in zip(names, table, ends, strict=True):
        blob = image[begin:end]
        rows, cols = shapes.get(name, (0, 0))
        if rows:
            width = -(-cols // native.ALIGN) * native.ALIGN
            matrix = np.frombuffer(blob, np.int8, rows * width).reshape(rows, width)
            blob = lanes(matrix)
            blob += bytes(-len(blob) % native.ALIGN)
        offsets.append(at)
        at += len(blob)
        blobs.append(blob)
    dims["bytes"] = at
    head = native.MAGIC + np.array([*dims.values(), *offsets], "<i4").tobytes()
    return b"".join([head.ljust(table[0], b"\0"), *blobs])


def _shapes(dims: dict[str, int]) -> dict[str, tuple[int, int]]:
    """(rows, cols) of every matrix."""
    d, inner = dims["d_model"], EXPAND * dims["d_model"]
    n = dims["head_hidden"] or d
    channels = inner + 2 * dims["d_state"]
    in_rows = inner + channels + inner // dims["headdim"]
    return {
        "frame_wide": (d, dims["n_wide"]),
        "frame_narrow": (d, dims["n_narrow"]),
        "ctrl_wide": (d, dims["ctrl_wide"]),
        "ctrl_narrow": (d, dims["ctrl_narrow"]),
        "hidden_w": (dims["head_hidden"], d),
        "numeric_w": (dims["numeric"], n),
        "binary_w": (2 * dims["binary"], n),
        "logits_w": (dims["logits"], n),
        "in_w": (in_rows, d),
        "out_w": (d, inner),
    }
