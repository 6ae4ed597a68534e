"""The image of a world as the program reads it: `AWMCHN2`, a map to the record, the native image
with its int8 matrices in lanes.

A matrix is a word that says how it is to be read, then blocks of rows. Each block is
six words for a start, then six for every column; the program adds to the start each column's words
times its code, modulo 2^64 (onchain/assembly.py).

Two rows of 32 bits (w0 + w1 2^32, signed), where the codes are wide: a row's sum fits 31 bits.
Three of 21 bits (w0 + w1 2^21 + w2 2^42), where they are narrow: the start makes every row's sum
positive, and it must stay below 2^21 whatever the codes. Where it would not, the block's columns
are cut into chunks that are emptied one by one: a block begins with its chunk's columns and 18
words that take all its starts back. Both conditions are checked here. Rows and columns are filled
with zeros.

For a program that calls the rollup's own product a matrix is, behind its first word, int8 row by
row, the columns filled with zeros to a multiple of 8.

All other tensors but the embeddings are int64, a bias holds the rounding of its shift, and the
convolution's parameters lie channel by channel: four taps, bias, shift, multiplier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from awm_jax.encoding import VELOCITY, EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import CONV_WIDTH, EXPAND
from awm_jax.int8.fixed import WIDE_MAX
from awm_jax.int8.frame import RECORD_FIELDS
from awm_jax.int8.native import image as native
from awm_jax.int8.params import Arch, WorldParams

MAGIC = b"AWMCHN2\0"
CALL_MAGIC = b"AWMCLL1\0"
"""Of an image for a program that calls the rollup's `sol_matmul_i8` (onchain/matmul.h)."""
LANE_BITS = 21
BLOCK_WORDS = 6
WIDE_ROWS, NARROW_ROWS = 2 * BLOCK_WORDS, 3 * BLOCK_WORDS
WIDE_FORM, SPARSE = 1, 2
"""Bits of a matrix's first word: two rows in a word; many codes will be zero."""
LEAST_COLUMNS = 8
SLICE_ROWS = 288
"""Rows of a long product that are one part of a frame; whole blocks of both forms."""
SHARD_BYTES, MOST_SHARDS = 10_485_000, 4
"""Of an image in one account, which holds 10,485,760; and accounts of an image."""
CODE_MAX = 127
WIDE = {"frame_wide", "ctrl_wide", "hidden_w", "numeric_w", "binary_w"}
"""Matrices whose inputs are wide codes; in a world of two planes also `PLANAR`."""
PLANAR = {"in_w", "out_w"}
DENSE = {"in_w", "hidden_w"}
"""Matrices whose codes are seldom zero."""
PARTS, WHOLE, BIT, INDEX = 1, 2, 3, 4
"""How a field of the record is made: 1/256 of a column, its whole part, a bit, an int column."""
ENTRY_BYTES = 8
IMAGE_AT = -(-(len(MAGIC) + ENTRY_BYTES * len(RECORD_FIELDS)) // native.ALIGN) * native.ALIGN
HEAD_BYTES = IMAGE_AT + len(native.MAGIC) + 4 * len(native.DIMS)
"""Of an image, in which `dims_of` finds what it says."""
PARTIAL = ("x", "y", "shield_strength", *VELOCITY)
MOST = {"percent": 65535, "state_age": 65535, "hitlag": 255, "stocks": 4}
INTS = {"action_state": "action", "jumps_left": "jumps", "character": "character"}


def pack(params: WorldParams, arch: Arch, call: bool = False) -> bytes:
    """The image of a world.

    Args:
      call: for a program that calls `sol_matmul_i8`.

    Raises:
      AwmError: it is windowed, or the native kernel has no room for it.
    """
    if not arch.recurrent:
        raise AwmError("the program computes recurrent worlds only; quantize --mode recurrent")
    head = (CALL_MAGIC if call else MAGIC) + record_map(arch.cfg)
    return head.ljust(IMAGE_AT, b"\0") + relay(native.pack(params, arch), call)


def shards(image: bytes, most: int = SHARD_BYTES) -> list[bytes]:
    """An image in as many pieces as accounts are needed; no tensor is cut.

    Raises:
      AwmError: a tensor is larger than a piece, or there are more than `MOST_SHARDS`.
    """
    dims = dims_of(image)
    count = len(native.TENSORS) + dims["n_layers"] * len(native.LAYER_TENSORS)
    at = IMAGE_AT + len(native.MAGIC) + 4 * len(native.DIMS)
    starts = (np.frombuffer(image, "<i4", count, at) + IMAGE_AT).tolist()
    cuts = [0]
    for start, end in zip(starts, [*starts[1:], len(image)], strict=True):
        if end - cuts[-1] > most:
            cuts.append(start)
        if end - cuts[-1] > most:
            raise AwmError(f"a tensor of {end - start} bytes fits no account")
    if len(cuts) > MOST_SHARDS:
        raise AwmError(f"{len(image)} bytes of weights; the program takes {MOST_SHARDS} accounts")
    return [image[a:b] for a, b in zip(cuts, [*cuts[1:], len(image)], strict=True)]


def model_of(hashes: Sequence[bytes]) -> bytes:
    """What a session names as its model: the hash of its shard, or of its shards' hashes."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(b"".join(hashes)).digest()


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


def narrow_blocks(matrix: np.ndarray, least: int = -CODE_MAX) -> bytes:
    """(rows, cols) int8 -> its blocks, for codes from `least` to `CODE_MAX`.

    A column that would take a row of a block out of its lane begins another chunk.
    """
    blocks = _blocks(matrix, NARROW_ROWS)
    low = np.minimum(blocks * least, blocks * CODE_MAX).cumsum(2)
    high = np.maximum(blocks * least, blocks * CODE_MAX).cumsum(2)
    out = []
    for block, below, above in zip(blocks, low, high, strict=True):
        chunk = _chunk(above - below)
        starts, before = [], np.zeros(NARROW_ROWS, np.int64)
        for at in range(0, block.shape[1], chunk):
            end = min(at + chunk, block.shape[1]) - 1
            starts.append(before - below[:, end])
            before = below[:, end]
        out += [_words([chunk]), _words(-np.sum(starts, axis=0))]
        for i, start in enumerate(starts):
            columns = np.concatenate([start[:, None], block[:, i * chunk : (i + 1) * chunk]], 1)
            out.append(_words(_joined(columns, 3, LANE_BITS)))
    return b"".join(out)


def _chunk(reach: np.ndarray) -> int:
    """Columns, a multiple of `LEAST_COLUMNS`, in which no row's sum spans more than a lane.

    reach: (rows, cols), how far the sum of the columns up to each one can vary.
    """
    cols = reach.shape[1]
    for chunks in range(1, cols // LEAST_COLUMNS + 1):
        size = -(-cols // chunks // LEAST_COLUMNS) * LEAST_COLUMNS
        ends = np.minimum(np.arange(size, cols + size, size), cols) - 1
        spans = np.diff(reach[:, ends], axis=1, prepend=0)
        if int(spans.max()) < 1 << LANE_BITS:
            return size
    raise AwmError("a row's weights are too large for lanes of 21 bits")


def wide_blocks(matrix: np.ndarray) -> bytes:
    """(rows, cols) int8 -> its blocks, for codes within `WIDE_MAX`."""
    blocks = _blocks(matrix, WIDE_ROWS)
    if int(np.abs(blocks).sum(2, initial=0).max(initial=0)) * WIDE_MAX >= 1 << 31:
        raise AwmError("a row's weights are too large for lanes of 32 bits")
    return b"".join(_words(_joined(np.pad(b, ((0, 0), (1, 0))), 2, 32)) for b in blocks)


def _blocks(matrix: np.ndarray, rows: int) -> np.ndarray:
    """(blocks, rows, cols) int64; rows and columns filled with zeros."""
    height, width = matrix.shape
    padded = np.pad(matrix.astype(np.int64), ((0, -height % rows), (0, -width % LEAST_COLUMNS)))
    return padded.reshape(len(padded) // rows, rows, padded.shape[1])


def _joined(columns: np.ndarray, lanes_: int, bits: int) -> np.ndarray:
    """(rows, cols) -> (cols, words): so many rows in a word, the first lowest, modulo 2^64."""
    parts = columns.reshape(len(columns) // lanes_, lanes_, columns.shape[1])
    words = sum(parts[:, i] << (i * bits) for i in range(lanes_))
    return np.asarray(words).T


def _words(values: np.ndarray | list[int]) -> bytes:
    return np.ascontiguousarray(values, "<i8").tobytes()


def plain_rows(matrix: np.ndarray) -> bytes:
    """(rows, cols) int8 row by row."""
    return np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % LEAST_COLUMNS))).tobytes()


def relay(image: bytes, call: bool) -> bytes:
    """A native image as the program reads it; offsets and length are those of the new one."""
    start, count = len(native.MAGIC), len(native.DIMS)
    dims = _dims(image)
    names = [*native.TENSORS, *(native.LAYER_TENSORS * dims["n_layers"])]
    table = np.frombuffer(image, "<i4", len(names), start + 4 * count).tolist()
    ends = [*table[1:], len(image)]
    sizes = shapes(dims)
    groups = [len(native.TENSORS), *[len(native.LAYER_TENSORS)] * dims["n_layers"]]
    blobs: list[bytes] = []
    for size in groups:
        at = len(blobs)
        raw = {
            name: image[begin:end]
            for name, begin, end in zip(
                names[at : at + size], table[at : at + size], ends[at : at + size], strict=True
            )
        }
        blobs += _relaid(raw, sizes, dims, call).values()
    blobs = [blob + bytes(-len(blob) % native.ALIGN) for blob in blobs]
    at, offsets = table[0], []
    for blob in blobs:
        offsets.append(at)
        at += len(blob)
    dims["bytes"] = at
    head = native.MAGIC + np.array([*dims.values(), *offsets], "<i4").tobytes()
    return b"".join([head.ljust(table[0], b"\0"), *blobs])


def _relaid(
    raw: dict[str, bytes], sizes: dict[str, tuple[int, int]], dims: dict[str, int], call: bool
) -> dict[str, bytes]:
    """The world's tensors, or a layer's: matrices in lanes, the rest but embeddings in 64 bits."""
    out = {}
    values: dict[str, np.ndarray] = {}
    for name, blob in raw.items():
        rows, cols = sizes.get(name, (0, 0))
        if name in sizes:
            width = -(-cols // native.ALIGN) * native.ALIGN
            matrix = np.frombuffer(blob, np.int8, rows * width).reshape(rows, width)[:, :cols]
            wide = is_wide(name, dims)
            least = 0 if name == "logits_w" and dims["head_hidden"] else -CODE_MAX
            form = WIDE_FORM * wide + SPARSE * (name not in DENSE)
            if call:
                rows_ = plain_rows(matrix)
            else:
                rows_ = wide_blocks(matrix) if wide else narrow_blocks(matrix, least)
            out[name] = _words([form]) + rows_
        elif name == "embeddings":
            out[name] = blob
        else:
            values[name] = np.frombuffer(blob, "<i4").astype(np.int64)
    for name in values:
        if name.endswith("_bias") and (shift := name.removesuffix("bias") + "a") in values:
            values[name] = values[name] + (1 << values[shift] >> 1)
    if "conv_w" in values:
        n = dims["d_model"] * EXPAND + 2 * dims["d_state"]
        taps = values["conv_w"][: CONV_WIDTH * n].reshape(CONV_WIDTH, n)
        more = [values[f"conv_{part}"][:n] for part in ("bias", "a", "m")]
        values["conv_w"] = np.stack([*taps, *more], 1)
    out |= {name: _words(value) for name, value in values.items()}
    return {name: out[name] for name in raw}


def _dims(image: bytes) -> dict[str, int]:
    values = np.frombuffer(image, "<i4", len(native.DIMS), len(native.MAGIC))
    return dict(zip(native.DIMS, values.tolist(), strict=True))


def dims_of(image: bytes) -> dict[str, int]:
    """The dimensions that an image of `pack`, or its first `HEAD_BYTES`, states; `call` is 1 in one
    for a program that calls `sol_matmul_i8`."""
    return _dims(image[IMAGE_AT:]) | {"call": int(image.startswith(CALL_MAGIC))}


def is_wide(name: str, dims: dict[str, int]) -> bool:
    """Whether a matrix holds two rows in a word, and not three."""
    return name in WIDE or (dims["planes"] > 1 and name in PLANAR)


def shapes(dims: dict[str, int]) -> dict[str, tuple[int, int]]:
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
