"""From a read file to a checkpoint: every key, shape, dtype and value is checked on the way."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.fp32.weights import torch_shapes
from converters.checkpoint import Checkpoint, Provenance, Spec, filled, versions, weights_sha256
from converters.infer import infer
from converters.source import Settings, Source, StoredTensor, naming

FLOATS = ("float32", "float16", "bfloat16", "float64")


def assemble(source: Source, *, allow_surplus: bool = False) -> Checkpoint:
    """Build the network of a file.

    Args:
      source: the file, read.
      allow_surplus: drop keys that the network does not have, instead of refusing.

    Raises:
      AwmError: one line that names the file and the key or field.
    """
    with naming(source.path):
        return _assemble(source, allow_surplus)


def _assemble(source: Source, allow_surplus: bool) -> Checkpoint:
    if not source.tensors:
        raise AwmError("no weights, its state dict is empty")
    for key, tensor in source.tensors.items():
        if 0 in tensor.shape:
            raise AwmError(f"{key} is empty, its shape is {tensor.shape}")
    spec, notes = infer(source.shapes, source.settings)
    abstract = spec.abstract()
    wanted = torch_shapes(abstract)
    surplus = check_keys(source.shapes, wanted, allow_surplus)
    for key, shape in wanted.items():
        if source.shapes[key] != shape:
            why = _because(key, spec, source.settings)
            raise AwmError(f"{key} is {source.shapes[key]}, not {shape}{why}")
    tensors = {key: source.tensors[key] for key in wanted}
    widened = sorted({t.dtype for t in tensors.values()} - {"float32"})
    arrays = {key: read_float32(key, tensor) for key, tensor in tensors.items()}
    for key, array in arrays.items():
        check_values(key, array)
    notes += tuple(f"stored as {dtype}, every value kept exactly" for dtype in widened)
    notes += (f"surplus keys dropped: {', '.join(surplus)}",) if surplus else ()
    provenance = Provenance(
        source=source.path.replace("\\", "/").rsplit("/", 1)[-1],
        sha256=source.sha256,
        form=source.settings.form,
        weights_sha256=weights_sha256(arrays),
        notes=notes,
        versions=versions(),
    )
    return Checkpoint(filled(abstract, arrays), provenance, source.settings.codes)


def check_keys(present: Iterable[str], wanted: Iterable[str], allow_surplus: bool) -> list[str]:
    """Compare the keys of a state dict with the network's; returns the surplus, if allowed."""
    present, wanted = list(present), list(wanted)
    missing = [key for key in wanted if key not in present]
    if missing:
        raise AwmError(f"missing {missing[0]}{_more(missing)}")
    surplus = [key for key in present if key not in wanted]
    if surplus and not allow_surplus:
        raise AwmError(
            f"surplus {surplus[0]}{_more(surplus)}, of which this network knows nothing "
            "(--allow-surplus drops it)"
        )
    return surplus


def _because(key: str, spec: Spec, settings: Settings) -> str:
    """What gives a tensor its width, for those where the fault may lie in the settings."""
    if key in ("frame_proj.weight", "ctrl_proj.weight"):
        return f" as {settings.section} wants"
    if key == "trunk.0.weight":
        return f": it does not fit context_len {spec.context_len} and {settings.section}"
    return ""


def _more(keys: list[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""


def read_float32(key: str, tensor: StoredTensor) -> np.ndarray:
    """The tensor as float32; a value that float32 cannot hold exactly is refused."""
    if tensor.dtype not in FLOATS:
        raise AwmError(f"{key} is {tensor.dtype}, weights must be floating point")
    array = np.asarray(tensor.read())
    with np.errstate(over="ignore", under="ignore"):
        narrow = np.array(array, np.float32)
    if array.dtype == np.float64 and np.isfinite(array).all() and (narrow != array).any():
        raise AwmError(
            f"{key} is float64 and holds values that float32 does not; convert it with .float()"
        )
    return narrow


def check_values(key: str, array: np.ndarray) -> None:
    """Refuse NaN, infinity, and a decay rate exp(A_log) that float32 cannot hold."""
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        what = "NaN" if np.isnan(array[where]) else "infinite value"
        raise AwmError(f"{what} in {key} at {where}")
    if key.endswith(".A_log"):
        with np.errstate(over="ignore"):
            rates = np.exp(array)
        if not np.isfinite(rates).all():
            raise AwmError(f"{key} reaches {array.max():g}, exp(A_log) is infinite in float32")
