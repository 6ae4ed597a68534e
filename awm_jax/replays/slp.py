"""What the bytes of an .slp file say before a parser is let loose on them."""

from __future__ import annotations

MAGIC = b"{U\x03raw[$U#l"
_EVENTS_AT = len(MAGIC) + 4
_PAYLOADS, _START = 0x35, 0x36
_METADATA = b"U\x08metadata"
_CUT = "the file ends in the middle of an event (the recording was cut off)"
_UNFINISHED = "the file ends in the middle of an event stream (the recording was cut off)"


def version(data: bytes) -> tuple[int, int, int] | None:
    """The Slippi version that wrote the file, or None where the header does not reach that far."""
    sizes = _payload_sizes(data)
    if not sizes:
        return None
    at = _first_event(data)
    if data[at : at + 1] != bytes([_START]) or len(data) < at + 4:
        return None
    major, minor, build = data[at + 1 : at + 4]
    return major, minor, build


def fault(data: bytes, *, thorough: bool = False) -> str | None:
    """Why these bytes are no whole .slp file, or None.

    Args:
      thorough: walk through all events; else only where the header already looks odd.
    """
    if not data:
        return "empty file"
    if not data.startswith(MAGIC):
        return "not a Slippi file"
    length = int.from_bytes(data[len(MAGIC) : _EVENTS_AT], "big")
    end = _EVENTS_AT + length
    if length == 0:  # the recorder writes the length at the end of the game
        end = len(data)
    if not thorough and length and end <= len(data):
        return None
    return _walk(data, min(end, len(data)))


def _payload_sizes(data: bytes) -> dict[int, int]:
    """Bytes of each kind of event, command byte included; empty where the header is broken."""
    head = data[_EVENTS_AT : _EVENTS_AT + 2]
    if len(head) < 2 or head[0] != _PAYLOADS:
        return {}
    table = data[_EVENTS_AT + 2 : _first_event(data)]
    return {table[i]: 1 + (table[i + 1] << 8 | table[i + 2]) for i in range(0, len(table) - 2, 3)}


def _first_event(data: bytes) -> int:
    """Where the events begin: after the table of their sizes, whose own size is its first byte."""
    return _EVENTS_AT + 1 + data[_EVENTS_AT + 1]


def _walk(data: bytes, end: int) -> str | None:
    sizes = _payload_sizes(data)
    if not sizes:
        return (
            _CUT if len(data) < _EVENTS_AT + 2 else "damaged (it does not begin with event sizes)"
        )
    at = _first_event(data)
    while at < end:
        if data[at] not in sizes:
            if data.startswith(_METADATA, at):
                return None
            return f"damaged (unknown event {data[at]:#04x})"
        at += sizes[data[at]]
    if at > end:
        return _CUT
    return _UNFINISHED if end == len(data) else None
