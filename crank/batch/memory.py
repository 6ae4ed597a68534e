"""How many slots fit: what a run asks for is known, said and bounded before it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from awm_jax.errors import AwmError
from crank.batch.slots import smallest

SHARE = 0.5
"""Of what is free, that slots may take; the rest is for a frame's own values."""


def free_bytes(device: Any) -> int | None:
    """Memory that is free for a device's arrays; None where that is not known."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(free[0]) * 1024 // jax.local_device_count() if free else None


def check_slots(
    asked: int, matches: int, field: Any, say: Callable[[str], object], free: int | None = None
) -> int:
    """How many slots each device gets: those asked for, or what memory and matches leave of them.

    Args:
      field: has `largest()`, the bytes of a slot, and `programs`.
      say: told what is asked for.

    Raises:
      AwmError: no slot at all fits, or none is asked for.
    """
    if asked < 1:
        raise AwmError(f"{asked} slots; give at least 1")
    devices = field.programs.devices
    each = field.largest()
    free = free_bytes(field.programs.mesh.devices.flat[0]) if free is None else free
    slots = smallest(asked, -(-matches // devices))
    if free is not None and slots * each > SHARE * free:
        fitting = int(SHARE * free) // each
        if fitting < 1:
            raise AwmError(f"a match needs {_size(each)}, {_size(free)} of memory are free")
        say(f"{slots} slots need {_size(slots * each)}, too much for memory; playing {fitting}")
        slots = fitting
    on = f" on each of {devices} devices" if devices > 1 else ""
    say(f"{slots} matches at once{on}, {_size(slots * each)} of states ({_size(each)} each)")
    return slots


def _size(count: int) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024  # pyright: ignore[reportAssignmentType]
    raise AssertionError
