"""extra.bin: named integer arrays in one file, little endian, names ascending, 16-byte aligned."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from converters.quantize.entries import read_shape, same_json, show

ALIGNMENT = 16
MAX_RANK = 8
DTYPES = {f"{kind}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (1, 2, 4)}
_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def pack_extra(arrays: Mapping[str, np.ndarray]) -> tuple[bytes, dict[str, dict[str, Any]]]:
    """The file's bytes and its index.

    Args:
      arrays: name (letters, digits, `_`, `.`, `-`) -> int8, int16, int32, uint8, uint16 or uint32
        array of rank 0 to 8, not empty.

    Returns:
      data: each array at the next multiple of 16, C order, zeros between.
      index: name -> {dtype: i8, i16, i32, u8, u16 or u32; shape; offset; size in bytes}.

    Raises:
      AwmError: names the array that cannot be stored.
    """
    index: dict[str, dict[str, Any]] = {}
    data = bytearray()
    for name, value in sorted(arrays.items()):
        array = np.asarray(value)
        dtype = _NAMES.get(array.dtype.newbyteorder("<"))
        _check_name(name)
        if dtype is None:
            raise AwmError(
                f"extra array {name} is {array.dtype}, must be one of {', '.join(DTYPES)}"
            )
        if array.size == 0 or array.ndim > MAX_RANK:
            raise AwmError(f"extra array {name} has the shape {list(array.shape)}")
        index[name] = _layout(dtype, array.shape, len(data))
        data.extend(bytes(index[name]["offset"] - len(data)))
        data.extend(array.astype(DTYPES[dtype]).tobytes())
    return bytes(data), index


def unpack_extra(index: object, data: bytes) -> dict[str, np.ndarray]:
    """The arrays, read-only views of `data`.

    Raises:
      AwmError: the index is malformed, or it or the padding is not what `pack_extra` makes of
        these dtypes and shapes.
    """
    if not isinstance(index, dict):
        raise AwmError("extra is not a mapping")
    arrays, end = {}, 0
    for name, stated in sorted(index.items()):
        _check_name(name)
        try:
            entry = _read_entry(stated, end)
        except AwmError as error:
            raise AwmError(f"extra array {name}: {error}") from error
        start, previous, end = entry["offset"], end, entry["offset"] + entry["size"]
        if end > len(data):
            raise AwmError(f"extra array {name} ends at {end}, the file at {len(data)}")
        if any(data[previous:start]):
            raise AwmError(f"the padding before extra array {name} is not zero")
        dtype = np.dtype(DTYPES[entry["dtype"]])
        array = np.frombuffer(data, dtype, entry["size"] // dtype.itemsize, start)
        arrays[name] = array.reshape(entry["shape"])
    if end != len(data):
        raise AwmError(f"the extra arrays end at {end}, the file at {len(data)}")
    return arrays


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise AwmError(f"extra array {show(name)}: a name is letters, digits, '_', '.' and '-'")


def _layout(dtype: str, shape: tuple[int, ...], end: int) -> dict[str, Any]:
    """The entry of an array behind one that ends at `end`."""
    return {
        "dtype": dtype,
        "shape": list(shape),
        "offset": -(-end // ALIGNMENT) * ALIGNMENT,
        "size": math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize,
    }


def _read_entry(stated: object, end: int) -> dict[str, Any]:
    if not isinstance(stated, dict):
        raise AwmError("its entry is not a mapping")
    dtype = stated.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise AwmError(f"dtype {show(dtype)} is none of {', '.join(DTYPES)}")
    entry = _layout(dtype, read_shape(stated.get("shape"), MAX_RANK), end)
    if not same_json(stated, entry):
        raise AwmError(f"its entry is not {show(entry)}, which follows from dtype and shape")
    return entry
