"""Borsh for records of fixed size: little endian, declaration order, no padding.

A record is a frozen dataclass whose fields are made by the functions below. Source: onchain.md
section 8. No network, nothing but the standard library.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import Any, TypeVar

from awm_jax.errors import AwmError

T = TypeVar("T")
KEY_BYTES = 32
ZERO_KEY = bytes(KEY_BYTES)
_NUMBERS = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i"}
_NUMBERS |= {"u64": "Q", "i64": "q"}


@dataclasses.dataclass(frozen=True)
class Type:
    """kind: a number's name, "bool", "bytes" or "array"; `count` items of `item`."""

    kind: str
    count: int = 1
    item: Any = None

    @property
    def size(self) -> int:
        if self.kind in _NUMBERS:
            return struct.calcsize("<" + _NUMBERS[self.kind])
        if self.kind == "array":
            return self.count * self.item.size
        if self.kind == "record":
            return record_size(self.item)
        return self.count


def number(kind: str, default: int = 0) -> Any:
    """A field that is an integer: "u8" to "i64"."""
    return dataclasses.field(default=default, metadata={"type": Type(kind)})


def flag() -> Any:
    """A bool in one byte, 0 or 1."""
    return dataclasses.field(default=False, metadata={"type": Type("bool")})


def raw(count: int) -> Any:
    """Bytes of a fixed count, by default zero."""
    return dataclasses.field(default=bytes(count), metadata={"type": Type("bytes", count)})


def key() -> Any:
    """A public key, 32 bytes."""
    return raw(KEY_BYTES)


def numbers(kind: str, count: int) -> Any:
    """A tuple of integers."""
    type_ = Type("array", count, Type(kind))
    return dataclasses.field(default=(0,) * count, metadata={"type": type_})


def keys(count: int) -> Any:
    """A tuple of public keys."""
    type_ = Type("array", count, Type("bytes", KEY_BYTES))
    return dataclasses.field(default=(ZERO_KEY,) * count, metadata={"type": type_})


def record(cls: type) -> Any:
    """A record inside a record."""
    return dataclasses.field(default_factory=cls, metadata={"type": Type("record", 1, cls)})


def records(cls: type, count: int) -> Any:
    """A tuple of records."""
    type_ = Type("array", count, Type("record", 1, cls))
    return dataclasses.field(
        default_factory=lambda: tuple(cls() for _ in range(count)), metadata={"type": type_}
    )


def layout(cls: type) -> dict[str, tuple[int, Type]]:
    """Field name -> (offset from the record's start, type)."""
    at, found = 0, {}
    for field in dataclasses.fields(cls):
        type_ = field.metadata["type"]
        found[field.name] = (at, type_)
        at += type_.size
    return found


def record_size(cls: type) -> int:
    """Bytes of a record."""
    return sum(field.metadata["type"].size for field in dataclasses.fields(cls))


def encode(value: Any) -> bytes:
    """The bytes of a record.

    Raises:
      AwmError: a field is out of its type's range; the message names it.
    """
    parts = []
    for field in dataclasses.fields(value):
        where = f"{type(value).__name__}.{field.name}"
        parts.append(_encode(field.metadata["type"], getattr(value, field.name), where))
    return b"".join(parts)


def decode(cls: type[T], data: bytes) -> T:
    """A record from exactly its bytes.

    Raises:
      AwmError: missing or trailing bytes, or a bool that is neither 0 nor 1.
    """
    size = record_size(cls)
    if len(data) != size:
        what = "missing" if len(data) < size else "trailing"
        raise AwmError(f"{cls.__name__}: {abs(len(data) - size)} {what} bytes, it has {size}")
    values = {}
    for name, (at, type_) in layout(cls).items():
        values[name] = _decode(type_, data[at : at + type_.size], f"{cls.__name__}.{name}")
    return cls(**values)


def _encode(type_: Type, value: Any, where: str) -> bytes:
    if type_.kind == "record":
        return encode(value)
    if type_.kind == "array":
        if len(value) != type_.count:
            raise AwmError(f"{where} has {len(value)} items, must have {type_.count}")
        return b"".join(_encode(type_.item, v, f"{where}[{i}]") for i, v in enumerate(value))
    if type_.kind == "bytes":
        if len(value) != type_.count:
            raise AwmError(f"{where} has {len(value)} bytes, must have {type_.count}")
        return bytes(value)
    if type_.kind == "bool":
        return bytes([bool(value)])
    try:
        return struct.pack("<" + _NUMBERS[type_.kind], value)
    except struct.error:
        raise AwmError(f"{where} is {value}, out of range for {type_.kind}") from None


def _decode(type_: Type, data: bytes, where: str) -> Any:
    if type_.kind == "record":
        return decode(type_.item, data)
    if type_.kind == "array":
        n = type_.item.size
        return tuple(
            _decode(type_.item, data[i * n : (i + 1) * n], f"{where}[{i}]")
            for i in range(type_.count)
        )
    if type_.kind == "bytes":
        return bytes(data)
    if type_.kind == "bool":
        if data[0] > 1:
            raise AwmError(f"{where} is {data[0]}, a bool is 0 or 1")
        return bool(data[0])
    return struct.unpack("<" + _NUMBERS[type_.kind], data)[0]
