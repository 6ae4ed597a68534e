"""Packed replays (.slx, .slp.xz) back to the bytes of the .slp that they were made from.

An .slx file holds the events of one game sorted by command and player, field by field, each field
as the difference to what is known by then: the frame's seed, the state of the frame before, the
position plus the speeds. Everything here runs on whole columns; only the sums of positions, which
depend on one another, go run by run. Format: the README of the packed replays, "The .slx format".
"""

from __future__ import annotations

import functools
import hashlib
import lzma
import os
import struct
from pathlib import Path

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.replays.residuals import (
    by_key,
    carry,
    fit,
    follow,
    last_before,
    seeds_after,
    taken,
    to_bytes,
    to_int,
)

SLX_MAGIC = b"SLX1"
XZ_MAGIC = b"\xfd7zXZ\x00"
COMMON = "common.xz"
MAX_BYTES = 1 << 28
"""The most that a file may unfold to (the longest real game is some 8 MB)."""

_LZMA2 = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]
_GECKO, _PRE, _POST, _FRAME_START, _ITEM = 0x10, 0x37, 0x38, 0x3A, 0x3B

Key = tuple[int, ...]


def unpack(path: str | os.PathLike[str]) -> bytes:
    """The .slp bytes of one file: .slx (with `common.xz` in its folder), .slp.xz, or .slp itself.

    The kind is told by the content, not by the name.

    Raises:
      AwmError: the file cannot be read, is damaged, or lacks its `common.xz`.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AwmError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > MAX_BYTES:
        raise AwmError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not one replay")
    try:
        if data.startswith(XZ_MAGIC):
            return _inflate(lzma.LZMADecompressor(lzma.FORMAT_XZ), data)
        if data.startswith(SLX_MAGIC):
            return unpack_slx(data, functools.partial(_common_block, path.parent / COMMON))
    except (IndexError, KeyError, OverflowError, ValueError, struct.error, lzma.LZMAError) as error:
        reason = str(error) or type(error).__name__
        raise AwmError(f"{path}: damaged, cannot be unpacked ({reason})") from None
    return data


def unpack_slx(data: bytes, common) -> bytes:
    """The .slp bytes of one .slx file's bytes.

    Args:
      common: function from an 8-byte digest to the shared block of that digest; called only for
        games that refer to one.

    Raises:
      ValueError, IndexError, KeyError, OverflowError, struct.error or lzma.LZMAError: damaged.
    """
    return _Game(_Streams(data), common).slp()


@functools.cache
def load_common(path: Path) -> dict[bytes, bytes]:
    """The blocks that the games of a folder share, by the first 8 bytes of their sha256."""
    try:
        data = _inflate(lzma.LZMADecompressor(lzma.FORMAT_XZ), path.read_bytes())
    except OSError:
        raise AwmError(f"{path}: missing, and the packed games beside it need it") from None
    except (ValueError, lzma.LZMAError):
        raise AwmError(f"{path}: damaged; copy it anew") from None
    blocks, at = {}, 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        block = data[at + 4 : at + 4 + length]
        blocks[hashlib.sha256(block).digest()[:8]] = block
        at += 4 + length
    return blocks


def _common_block(path: Path, digest: bytes) -> bytes:
    blocks = load_common(path)
    if digest not in blocks:
        raise AwmError(f"{path}: lacks block {digest.hex()}; it belongs to other games")
    return blocks[digest]


def _inflate(decompressor: lzma.LZMADecompressor, data: bytes) -> bytes:
    out = decompressor.decompress(data, MAX_BYTES)
    if not decompressor.eof:
        raise ValueError("the compressed data ends early or is too large")
    return out


class _Streams:
    """The two streams of an .slx file: bytes (field by field, byte plane by byte plane), words."""

    def __init__(self, data: bytes):
        (size,) = struct.unpack_from(">I", data.ljust(8, b"\0"), 4)
        split = 8 + size
        raw = [
            _inflate(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA2), part)
            for part in (data[8:split], data[split:])
        ]
        self._bytes = raw[0]
        self._words = np.frombuffer(raw[1], ">u4")
        self._byte_at = self._word_at = 0

    def raw(self, count: int) -> bytes:
        self._byte_at += count
        if self._byte_at > len(self._bytes):
            raise ValueError("the byte stream ends early")
        return self._bytes[self._byte_at - count : self._byte_at]

    def u32(self) -> int:
        return int.from_bytes(self.raw(4), "big")

    def planes(self, rows: int, width: int) -> np.ndarray:
        """The next field of the byte stream, (rows, width) uint8."""
        return np.frombuffer(self.raw(rows * width), np.uint8).reshape(width, rows).T

    def words(self, rows: int) -> np.ndarray:
        """The next field of the word stream, (rows,) uint32."""
        self._word_at += rows
        if self._word_at > len(self._words):
            raise ValueError("the word stream ends early")
        return self._words[self._word_at - rows : self._word_at].astype(np.uint32)


class _Rows:
    """The events of one command (and player): (n, size) uint8 payloads after a command byte."""

    def __init__(self, command: int, rows: int, size: int):
        self.events = np.zeros((rows, 1 + size), np.uint8)
        self.events[:, 0] = command
        self.body = self.events[:, 1:]
        self.rows, self.size = rows, size

    def get(self, at: int, width: int) -> np.ndarray:
        return self.body[:, at : at + width]

    def word(self, at: int) -> np.ndarray:
        return to_int(self.get(at, 4))

    def put(self, at: int, field: np.ndarray) -> None:
        self.body[:, at : at + field.shape[1]] = field

    def put_words(self, at: int, values: np.ndarray) -> None:
        self.body[:, at : at + 4] = to_bytes(values)


class _Game:
    """Decodes the fields of one game, in the order in which they lie in the streams."""

    def __init__(self, streams: _Streams, common):
        self.streams = streams
        self.head = streams.raw(streams.u32())
        self.tail = streams.raw(streams.u32())
        count, length = streams.raw(2)
        shared = streams.raw(length)
        sizes = dict(struct.iter_unpack(">BH", self.head[17:]))
        self.rows: dict[Key, _Rows] = {}
        total = 0
        for _ in range(count):
            key = tuple(streams.raw(3))
            rows = streams.u32()
            total += rows * (1 + sizes[key[0]])
            if total > MAX_BYTES:
                raise ValueError("it claims more events than a replay can hold")
            self.rows[key] = _Rows(key[0], rows, sizes[key[0]])
        self.order = np.frombuffer(streams.raw(streams.u32()), np.uint8)
        if np.bincount(self.order, minlength=count).tolist() != [
            r.rows for r in self.rows.values()
        ]:
            raise ValueError("the order of its events does not fit their numbers")
        for key, rows in self.rows.items():
            if key[0] == _GECKO:
                rows.body[:] = np.frombuffer(common(shared), np.uint8).reshape(rows.body.shape)
        self._decode()

    def slp(self) -> bytes:
        queues = [
            iter(rows.events.view(f"V{1 + rows.size}")[:, 0].tolist()).__next__
            for rows in self.rows.values()
        ]
        return b"".join([self.head, *[queues[i]() for i in self.order.tolist()], self.tail])

    def _decode(self) -> None:
        frames = self.rows.get((_FRAME_START, 0, 0))
        if frames is not None:
            self._delta(frames, 0)
            self._delta(frames, 4)
            if frames.size > 8:
                self._delta(frames, 8)
            self._plain(frames, 12)
        seeds = frames.get(4, 4) if frames is not None else None
        for key, rows in self.rows.items():
            if key[0] == _PRE:
                self._player(rows, self.rows[(_POST, *key[1:])], seeds)
                if seeds is None:
                    seeds = rows.get(6, 4)
            elif key[0] in (_POST, _FRAME_START, _GECKO):
                continue
            elif key[0] == _ITEM and rows.size >= 0x26:
                self._items(rows)
            elif rows.size >= 4 and rows.rows > 9:
                self._delta(rows, 0)
                self._plain(rows, 4)
            else:
                self._plain(rows, 0)

    def _plain(self, rows: _Rows, at: int, width: int | None = None) -> None:
        """Bytes as they are; without a width all that is left of the payload."""
        width = max(rows.size - at, 0) if width is None else width
        rows.put(at, self.streams.planes(rows.rows, width))

    def _word(self, rows: _Rows, at: int) -> None:
        rows.put_words(at, self.streams.words(rows.rows))

    def _delta(self, rows: _Rows, at: int) -> None:
        changes = to_int(self.streams.planes(rows.rows, 4))
        rows.put_words(at, np.cumsum(changes, dtype=np.uint32))

    def _xor(self, rows: _Rows, at: int, known: np.ndarray) -> None:
        rows.put(at, self.streams.planes(*known.shape) ^ known)

    def _keyed(self, rows: _Rows, at: int, width: int, keys: np.ndarray) -> None:
        changes = to_int(self.streams.planes(rows.rows, width))
        rows.put(at, to_bytes(by_key(changes, keys), width))

    def _player(self, pre: _Rows, post: _Rows, seeds: np.ndarray | None) -> None:
        """The pre-frame and post-frame events of one player."""
        n, streams = pre.rows, self.streams
        if post.rows != n:
            raise ValueError("a player's frames are incomplete")
        self._delta(pre, 0)
        self._plain(pre, 4, 2)
        if seeds is None:
            steps = streams.planes(n, 1)[:, 0]
            pre.put_words(6, seeds_after(steps, streams.words(int((steps == 255).sum()))))
        else:
            self._xor(pre, 6, fit(seeds, n))
        ref = last_before(pre.word(0))
        self._xor(post, 0, pre.get(0, 4))
        for at, width in ((4, 2), (6, 3), (0x11, 4)):
            self._plain(post, at, width)
        self._word(post, 0x15)
        self._plain(post, 0x19, 4)
        self._plain(post, 0x1D, 4)
        speeds = self._post_later(post)

        def as_before(at: int, post_at: int, width: int) -> None:
            self._xor(pre, at, taken(post.get(post_at, width), ref))

        as_before(0xA, 7, 2)
        as_before(0x14, 0x11, 4)
        for at, post_at, v_at, k_at in ((0xC, 9, 0x34, 0x3C), (0x10, 0xD, 0x38, 0x40)):
            before, after = streams.words(n), streams.words(n)
            if speeds:
                before, after = follow(before, after, ref, post.word(v_at), post.word(k_at))
            else:
                before, after = carry(before, after, ref)
            pre.put_words(at, before)
            post.put_words(post_at, after)
        for at in range(0x18, 0x30, 4):
            self._word(pre, at)
        self._keyed(pre, 0x30, 2, pre.word(0x2C))
        self._word(pre, 0x32)
        self._word(pre, 0x36)
        end = 0x3A
        if pre.size > 0x3A:
            self._keyed(pre, 0x3A, 1, pre.word(0x18))
            end = 0x3B
        if pre.size >= 0x3F:
            as_before(0x3B, 0x15, 4)
            end = 0x3F
        if pre.size > 0x3F:
            self._keyed(pre, 0x3F, 1, pre.word(0x1C))
            end = 0x40
        if pre.size >= 0x42:
            self._keyed(pre, 0x40, 1, pre.word(0x20))
            self._keyed(pre, 0x41, 1, pre.word(0x24))
            end = 0x42
        self._plain(pre, end)

    def _post_later(self, post: _Rows) -> bool:
        """Post-frame fields that came with later versions; whether the speeds are among them."""
        end = 0x21
        if post.size >= 0x25:
            self._word(post, 0x21)
            end = 0x25
        if post.size >= 0x34:
            self._plain(post, 0x25, 5)
            self._word(post, 0x2A)
            self._plain(post, 0x2E, 6)
            end = 0x34
        if post.size >= 0x48:
            self._word(post, 0x44)
            grounded = post.get(0x2E, 1)[:, 0] == 0
            on_ground = np.where(grounded, post.word(0x44), np.uint32(0))
            post.put_words(0x34, self.streams.words(post.rows) ^ on_ground)
            for at in (0x38, 0x3C, 0x40):
                self._word(post, at)
            end = 0x48
        if post.size >= 0x4C:
            self._word(post, 0x48)
            end = 0x4C
        if post.size >= 0x50:
            self._keyed(post, 0x4C, 4, to_int(post.get(7, 2)))
            end = 0x50
        self._plain(post, end)
        return post.size >= 0x48

    def _items(self, rows: _Rows) -> None:
        """Items, ordered by their spawn id so that one item's frames follow one another."""
        n, streams = rows.rows, self.streams
        self._delta(rows, 0)
        self._plain(rows, 0x21, 4)
        order = np.argsort(rows.word(0x21), kind="stable")

        def planes(at: int, width: int) -> None:
            rows.body[order, at : at + width] = streams.planes(n, width)

        def words(at: int, values: np.ndarray) -> None:
            rows.body[order, at : at + 4] = to_bytes(values)

        planes(4, 3)
        for at in (7, 0xB, 0xF):
            words(at, streams.words(n))
        none = np.zeros(n, np.uint32)
        for at, v_at in ((0x13, 0xB), (0x17, 0xF)):
            above = np.arange(-1, n - 1)
            words(at, follow(none, streams.words(n), above, rows.word(v_at)[order], none)[1])
        planes(0x1B, 2)
        words(0x1D, streams.words(n))
        planes(0x25, rows.size - 0x25)
