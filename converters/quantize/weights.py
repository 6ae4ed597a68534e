"""Weights as int8, byte for byte as the reference's quantiser writes them.

Symmetric, one scale a row for matrices and convolutions and one scale for a vector, half to even,
never -128. Every tensor is quantised alike, biases and norms included. Source: networks.md 3.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from awm_jax.errors import AwmError

QMAX = 127
PEAK_FLOOR = 1e-8
ERROR_FLOOR = 1e-10
MAX_RANK = 3


@dataclasses.dataclass(frozen=True)
class QuantError:
    """How far dequantised values are from a tensor's own, in the reference's float32 arithmetic.

    A tensor whose squares overflow or vanish in float32 has figures that are not finite.

    Attributes:
      mse: mean squared difference.
      max_abs_error: largest difference.
      snr_db: 10 log10(mean square / max(mse, 1e-10)); the floor makes it far too low for tensors
        of small values.
      relative_error_pct: 100 x root of mse / root mean square.
    """

    mse: float
    max_abs_error: float
    snr_db: float
    relative_error_pct: float

    def to_dict(self) -> dict[str, float]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """One tensor of weights_int8.bin.

    Attributes:
      key: name in the state dict.
      offset: where its bytes start in the file.
      q: int8 in the tensor's own shape, each in -127..127.
      scales: float32, (rows,) for rank 2 and 3, () for rank 1; value = q x scale of its row.
      error: against the float32 weights.
    """

    key: str
    offset: int
    q: np.ndarray
    scales: np.ndarray
    error: QuantError


@dataclasses.dataclass(frozen=True, eq=False)
class Quantized:
    """A whole state dict in int8, keys ascending, tensors back to back."""

    tensors: Mapping[str, QuantizedTensor]

    @property
    def data(self) -> bytes:
        """The bytes of weights_int8.bin: C order, no header, no padding."""
        return b"".join(tensor.q.tobytes() for tensor in self.tensors.values())

    @property
    def size(self) -> int:
        """Length of `data`: the number of parameters."""
        return sum(tensor.q.size for tensor in self.tensors.values())


def quantize_tensor(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 values and scales of one tensor.

    Args:
      w: float32 of rank 1 (one scale), 2 (a scale for each row) or 3 (a scale for each index of the
        first axis), finite and not empty.

    Returns:
      q: int8 of the shape of `w`, in -127..127.
      scales: float32, (rows,), or () for rank 1.

    Raises:
      AwmError: another rank or dtype, no elements, or an element that is NaN or infinite.
    """
    _check(w)
    rows = w.reshape(1 if w.ndim == 1 else len(w), -1)
    peaks = np.abs(rows).max(axis=1)
    scales = np.maximum(peaks, np.float32(PEAK_FLOOR)) / np.float32(QMAX)
    # A quotient can round to above 127, never to 128: no clipping is needed.
    q = np.rint(rows / scales[:, None]).astype(np.int8)
    return q.reshape(w.shape), scales.reshape(() if w.ndim == 1 else (-1,))


def _check(w: np.ndarray) -> None:
    if w.dtype != np.float32:
        raise AwmError(f"is {w.dtype}, must be float32")
    if not 1 <= w.ndim <= MAX_RANK:
        raise AwmError(f"has {w.ndim} dimensions, must have 1 to {MAX_RANK}")
    if w.size == 0:
        raise AwmError(f"has no elements (shape {list(w.shape)})")
    if not np.isfinite(w).all():
        index = np.argwhere(~np.isfinite(w))[0]
        raise AwmError(f"holds {w[tuple(index)]} at {index.tolist()}; weights must be finite")


def dequantize(q: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """q x scale of its row, float32 in the shape of `q`; infinite beyond float32's range."""
    with np.errstate(over="ignore"):
        return q.astype(np.float32) * scales.reshape(scales.shape + (1,) * (q.ndim - scales.ndim))


def quant_error(w: np.ndarray, q: np.ndarray, scales: np.ndarray) -> QuantError:
    """The reference's four figures for float32 `w` and what `quantize_tensor` made of it."""
    difference, floor = w - dequantize(q, scales), np.float32(ERROR_FLOOR)
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        mse, power = np.mean(difference**2), np.mean(w**2)
        snr = np.float32(10) * np.log10(power / np.maximum(mse, floor))
        # The order of these three operations decides the last bit.
        relative = np.float32(100) * np.sqrt(mse) / np.maximum(np.sqrt(power), floor)
    return QuantError(float(mse), float(np.abs(difference).max()), float(snr), float(relative))


def quantize_state_dict(tensors: Mapping[str, Any]) -> Quantized:
    """Quantise every tensor of a state dict.

    Args:
      tensors: key -> float32 array, as `awm_jax.fp32.weights.to_torch_dict` gives.

    Raises:
      AwmError: names the first key whose tensor cannot be quantised, and why.
    """
    quantized, offset = {}, 0
    for key in sorted(tensors):
        w = np.asarray(tensors[key])
        try:
            q, scales = quantize_tensor(w)
        except AwmError as error:
            raise AwmError(f"weight {key} {error}") from error
        quantized[key] = QuantizedTensor(key, offset, q, scales, quant_error(w, q, scales))
        offset += q.size
    return Quantized(quantized)
