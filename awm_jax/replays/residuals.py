"""Columns of a packed replay from what was left of them after prediction.

Values are bit patterns, (n,) uint32, also where they mean float32; a field is (n, width) uint8,
big-endian. Each function undoes one prediction of the packer (`packed.py`) for a whole column.
"""

from __future__ import annotations

import struct

import numpy as np

_LCG = (214013, 2531011)
"""The game's random numbers: seed -> seed x 214013 + 2531011 mod 2^32."""


def to_int(field: np.ndarray) -> np.ndarray:
    """(n, width <= 4) big-endian bytes -> (n,) uint32."""
    padded = np.zeros((len(field), 4), np.uint8)
    padded[:, 4 - field.shape[1] :] = field
    return padded.view(">u4")[:, 0].astype(np.uint32)


def to_bytes(values: np.ndarray, width: int = 4) -> np.ndarray:
    """(n,) uint32 -> (n, width) big-endian bytes."""
    return values.astype(">u4").view(np.uint8).reshape(-1, 4)[:, 4 - width :]


def fit(field: np.ndarray, rows: int) -> np.ndarray:
    """The first `rows` rows of a field, zeros where it has fewer."""
    out = np.zeros((rows, field.shape[1]), np.uint8)
    out[: len(field)] = field[:rows]
    return out


def by_key(changes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Values whose xor with the last value of an equal key is `changes`, (n,) uint32."""
    if not len(keys):
        return changes
    order = np.argsort(keys, kind="stable")
    running = np.bitwise_xor.accumulate(changes[order])
    grouped = keys[order]
    first = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]]))
    before = np.where(first > 0, running[first - 1], 0).astype(np.uint32)
    out = np.empty_like(changes)
    out[order] = running ^ np.repeat(before, np.diff(first, append=len(keys)))
    return out


def last_before(ids: np.ndarray) -> np.ndarray:
    """For every row the last row above it whose frame id is one less, or -1; (n,) int64."""
    rows = np.arange(len(ids), dtype=np.int64)
    # One number per (id, row): the wanted row is the largest number below (id - 1, own row).
    numbers = np.sort(ids.astype(np.int64) * len(ids) + rows)
    wanted = (ids - np.uint32(1)).astype(np.int64)
    at = np.searchsorted(numbers, wanted * len(ids) + rows) - 1
    found = numbers[np.maximum(at, 0)]
    hit = (at >= 0) & (found // max(len(ids), 1) == wanted)
    return np.where(hit, found % max(len(ids), 1), -1)


def seeds_after(steps: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Random seeds from the number of draws since the row before, (n,) uint32.

    Args:
      steps: (n,) uint8; 255 = not reached by drawing, the seed is the next one of `given`.
    """
    fresh = steps == 255
    draws = np.cumsum(np.where(fresh, 0, steps), dtype=np.uint32)
    start = np.cumsum(fresh)
    values = np.concatenate([np.zeros(1, np.uint32), given])[start]
    drawn_before = np.concatenate([np.zeros(1, np.uint32), draws[fresh]])[start]
    draws = draws - drawn_before
    multiplier, increment = (np.uint32(c) for c in _LCG)
    with np.errstate(over="ignore"):
        for bit in range(32):
            taken = (draws >> np.uint32(bit)) & 1 == 1
            values = np.where(taken, values * multiplier + increment, values)
            increment = increment * (multiplier + np.uint32(1))
            multiplier = multiplier * multiplier
    return values


_F32, _U32 = struct.Struct(">f"), struct.Struct(">I")


def moved(x: int, v: int, k: int) -> int:
    """Bits of f32(f32(x + v) + k) from bits; a sum that overflows leaves x as it is."""

    def value(bits: int) -> float:
        return _F32.unpack(_U32.pack(bits))[0]

    try:
        half = _F32.unpack(_F32.pack(value(x) + value(v)))[0]
        return _U32.unpack(_F32.pack(half + value(k)))[0]
    except OverflowError:
        return x


def follow(
    pre: np.ndarray, post: np.ndarray, ref: np.ndarray, v: np.ndarray, k: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions before and after each row from their residuals, all (n,) uint32 bit patterns.

    before[i] = after[ref[i]] ^ pre[i] (0 where ref[i] is -1) and
    after[i] = moved(before[i], v[i], k[i]) ^ post[i].
    """
    n = len(pre)
    sums = np.stack([v, k], axis=1).view(np.float32).reshape(2 * n)
    as_float, as_bits = sums.data, sums.view(np.uint32).data
    # Rows that merely add their speeds to the row above are summed in one go: accumulate rounds
    # to float32 after each term, as the game does.
    cut = (ref != np.arange(-1, n - 1)) | (pre != 0)
    cut[1:] |= post[:-1] != 0
    starts, ends = _runs(cut)
    runs = zip(
        starts.tolist(),
        ends.tolist(),
        ref[starts].tolist(),
        pre[starts].tolist(),
        post[ends - 1].tolist(),
        strict=True,
    )
    with np.errstate(all="ignore"):
        for start, end, source, pre_bits, post_bits in runs:
            x = (as_bits[2 * source + 1] if source >= 0 else 0) ^ pre_bits
            first = _F32.unpack(_U32.pack(x))[0] + as_float[2 * start]
            as_float[2 * start] = first
            if end == start + 1:
                as_float[2 * start + 1] += as_float[2 * start]
            else:
                run = sums[2 * start : 2 * end]
                np.add.accumulate(run, out=run)
            if as_bits[2 * end - 1] & 0x7F800000 == 0x7F800000:  # inf or NaN came up: bit by bit
                for i in range(start, end):
                    x = as_bits[2 * i + 1] = moved(x, int(v[i]), int(k[i]))
            as_bits[2 * end - 1] ^= post_bits
    after = sums.view(np.uint32)[1::2].copy()
    return taken(after, ref) ^ pre, after


def carry(pre: np.ndarray, post: np.ndarray, ref: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`follow` for versions without speeds: the position is expected to stay."""
    after = pre ^ post
    for start, end in zip(*_runs(ref != np.arange(-1, len(ref) - 1)), strict=True):
        if ref[start] >= 0:
            after[start] ^= after[ref[start]]
        np.bitwise_xor.accumulate(after[start:end], out=after[start:end])
    return taken(after, ref) ^ pre, after


def _runs(cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First rows and ends of the runs that begin at row 0 and wherever `cut` is set."""
    cut[:1] = True
    starts = np.flatnonzero(cut)
    return starts, np.append(starts, len(cut))[1:]


def taken(values: np.ndarray, ref: np.ndarray) -> np.ndarray:
    """values[ref], 0 where ref is -1 (along the first axis)."""
    out = values[ref]
    out[ref < 0] = 0
    return out
