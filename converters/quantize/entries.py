"""Reading a manifest's weight entries without believing them.

Everything but the scales follows from the keys and shapes, so it is computed and compared.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from converters.quantize.manifest import GROUPS, architecture, classify, layout, shard_map
from converters.quantize.weights import MAX_RANK, QuantError

MAX_DIM = 1 << 31
FIGURES = ("snr_db", "error")
_ERROR_FIELDS = {field.name for field in dataclasses.fields(QuantError)}
_DERIVED = ("architecture", "total_weight_bytes", "shard_map")


@dataclasses.dataclass(frozen=True, eq=False)
class WeightEntry:
    """Where a tensor lies in weights_int8.bin, and its scales.

    Attributes:
      offset: of its first byte; its size is the product of `shape`.
      shape: of the tensor, rank 1 to 3.
      scales: float32, (rows,) for rank 2 and 3, () for rank 1.
    """

    offset: int
    shape: tuple[int, ...]
    scales: np.ndarray

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def read_entries(manifest: Mapping[str, Any]) -> dict[str, WeightEntry]:
    """The weight entries of a manifest, keys ascending, and with them all that follows from them.

    Raises:
      AwmError: one line; an entry is malformed, or an offset, size, group, architecture or shard
        is not what the keys and shapes imply.
    """
    entries, offset = {}, 0
    for key, stated in sorted(_by_key(manifest["weights"]).items()):
        try:
            entries[key] = entry = _read_entry(stated, offset)
        except AwmError as error:
            raise AwmError(f"weight {show(key)}: {error}") from error
        offset += entry.size
    derived = {
        "architecture": architecture({key: entry.shape for key, entry in entries.items()}),
        "total_weight_bytes": offset,
        "shard_map": shard_map(offset),
    }
    for name in _DERIVED:
        if not same_json(manifest[name], derived[name]):
            raise AwmError(f"{name} contradicts the shapes of the weights")
    return entries


def read_shape(value: object, max_rank: int) -> tuple[int, ...]:
    """A stated shape: a list of at most `max_rank` integers from 1 to 2^31.

    Raises:
      AwmError: it is something else.
    """
    if not isinstance(value, list) or len(value) > max_rank:
        raise AwmError(f"shape {show(value)} is not a list of at most {max_rank} lengths")
    for length in value:
        if not is_int(length) or not 1 <= length <= MAX_DIM:
            raise AwmError(f"shape {show(value)} holds a length that is not in 1..{MAX_DIM}")
    return tuple(value)


def is_int(value: object) -> bool:
    """Whether it is an integer as JSON has them: true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def same_json(stated: object, derived: object) -> bool:
    """Equality as JSON, where 1, 1.0 and true differ."""
    return json.dumps(stated, sort_keys=True) == json.dumps(derived, sort_keys=True)


def show(value: object) -> str:
    """A value of a file that is not to be trusted, short and on one line."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _by_key(weights: object) -> dict[str, Any]:
    if not isinstance(weights, dict) or set(weights) != set(GROUPS):
        raise AwmError(f"weights does not hold exactly the groups {', '.join(GROUPS)}")
    merged: dict[str, Any] = {}
    for group, entries in weights.items():
        if not isinstance(entries, dict):
            raise AwmError(f"weights.{group} is not a mapping")
        for key, entry in entries.items():
            if classify(key) != group:
                raise AwmError(f"weight {show(key)} is in the group {group}, not {classify(key)}")
            merged[key] = entry
    return merged


def _read_entry(stated: object, offset: int) -> WeightEntry:
    if not isinstance(stated, dict):
        raise AwmError("its entry is not a mapping")
    shape = read_shape(stated.get("shape"), MAX_RANK)
    if not shape:
        raise AwmError("its shape is empty")
    name = "scale" if len(shape) == 1 else "scales"
    derived = layout(shape, offset)
    if set(stated) != {*derived, name, *FIGURES}:
        raise AwmError(f"its entry does not hold exactly {', '.join([*derived, name, *FIGURES])}")
    for field, value in derived.items():
        if not same_json(stated[field], value):
            raise AwmError(f"{field} is {show(stated[field])}, its shape implies {show(value)}")
    _check_figures(stated)
    return WeightEntry(offset, shape, _read_scales(stated[name], shape))


def _read_scales(stated: object, shape: tuple[int, ...]) -> np.ndarray:
    values = [stated] if len(shape) == 1 else stated
    rows = 1 if len(shape) == 1 else shape[0]
    if not isinstance(values, list) or len(values) != rows:
        raise AwmError(f"it needs {rows} scales")
    for value in values:
        if not isinstance(value, float):
            raise AwmError(f"its scale {show(value)} is not a decimal number")
    with np.errstate(over="ignore", under="ignore"):
        scales = np.array(values, np.float32)
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise AwmError("a scale is not a positive finite float32")
    return scales.reshape(() if len(shape) == 1 else (rows,))


def _check_figures(stated: Mapping[str, Any]) -> None:
    error = stated["error"]
    if not isinstance(error, dict) or set(error) != _ERROR_FIELDS:
        raise AwmError(f"its error does not hold exactly {', '.join(sorted(_ERROR_FIELDS))}")
    check_numbers(error)
    check_numbers({"snr_db": stated["snr_db"]})


def check_numbers(figures: Mapping[str, Any]) -> None:
    """Refuse a figure that is neither a number nor None (not finite, which JSON cannot say)."""
    for name, value in figures.items():
        if value is not None and not isinstance(value, float) and not is_int(value):
            raise AwmError(f"{show(name)} is {show(value)}, not a number")
