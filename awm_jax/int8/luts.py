"""The reference's four look-up tables: 1,024 bytes indexed by the machine's activations.

`silu` and `softplus` hold int8 and are indexed by the byte of an int8 (0..127, then -128..-1);
`rsqrt` and `exp_neg` hold uint8 and are indexed by a uint8. Values are rounded half to even and
clipped to their type. Source: onchain.md section 6, networks.md section 3.2.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from awm_jax.errors import AwmError

LUT_SIZE = 256
LUT_NAMES = ("silu", "softplus", "rsqrt", "exp_neg")
LUT_OFFSETS = {name: LUT_SIZE * i for i, name in enumerate(LUT_NAMES)}
_SIGNED = ("silu", "softplus")
_DESCRIPTIONS = {
    "silu": "SiLU(x) = x * sigmoid(x), gate activation",
    "softplus": "softplus(x) = ln(1 + exp(x)), dt computation",
    "rsqrt": "1/sqrt(x), RMSNorm normalization",
    "exp_neg": "exp(-x), A_bar decay in selective scan",
}


@dataclasses.dataclass(frozen=True)
class LutScales:
    """What one step of a table's index and of its stored value is worth, table by table.

    Raises:
      AwmError: a scale is not a positive finite number.
    """

    silu_input: float = 1 / 16
    silu_output: float = 1 / 16
    softplus_input: float = 1 / 16
    softplus_output: float = 1 / 32
    rsqrt_input: float = 0.01
    rsqrt_output: float = 0.05
    exp_neg_input: float = 1 / 32
    exp_neg_output: float = 0.00392157

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value > 0):
                raise AwmError(f"LUT scale {name} is {value!r}, must be a positive finite number")

    def of(self, table: str) -> tuple[float, float]:
        """(input scale, output scale) of one of `LUT_NAMES`."""
        return getattr(self, f"{table}_input"), getattr(self, f"{table}_output")


DEFAULT_SCALES = LutScales()


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-np.clip(x, -20, 20)))


def _softplus(x: np.ndarray) -> np.ndarray:
    inner = np.log1p(np.exp(np.clip(x, -20, 20)))
    return np.where(x > 20, x, np.where(x < -20, 0.0, inner))


def _rsqrt(x: np.ndarray) -> np.ndarray:
    return 1 / np.sqrt(np.maximum(x, 1e-6))


def _exp_neg(x: np.ndarray) -> np.ndarray:
    return np.exp(-x)


_FUNCTIONS = {"silu": _silu, "softplus": _softplus, "rsqrt": _rsqrt, "exp_neg": _exp_neg}


def make_luts(scales: LutScales = DEFAULT_SCALES) -> np.ndarray:
    """The tables for the given scales: (1024,) uint8, in the order of `LUT_NAMES`."""
    tables = []
    for name in LUT_NAMES:
        dtype = np.int8 if name in _SIGNED else np.uint8
        step, unit = scales.of(name)
        values = _FUNCTIONS[name](np.arange(LUT_SIZE).astype(dtype) * np.float64(step)) / unit
        limits = np.iinfo(dtype)
        tables.append(np.clip(np.rint(values), limits.min, limits.max).astype(dtype).view(np.uint8))
    return np.concatenate(tables)


@functools.cache
def default_luts() -> np.ndarray:
    """The reference's luts.bin: (1024,) uint8, read-only.

    sha256 2bb0f81058f51b928e98cb8ae559992b97b1c6e9fba1e90f072693fdcc0d45d8.
    """
    luts = make_luts()
    luts.flags.writeable = False
    return luts


def luts_manifest(scales: LutScales = DEFAULT_SCALES) -> dict[str, Any]:
    """What luts.json says about tables of these scales; `json.dumps(..., indent=2)` is the file."""
    tables = []
    for name in LUT_NAMES:
        step, unit = scales.of(name)
        tables.append(
            {
                "name": name,
                "offset": LUT_OFFSETS[name],
                "size": LUT_SIZE,
                "input_signed": name in _SIGNED,
                "output_signed": name in _SIGNED,
                "input_scale": step,
                "output_scale": unit,
                "description": _DESCRIPTIONS[name],
            }
        )
    return {
        "format": "int8_luts_v1",
        "num_luts": len(LUT_NAMES),
        "lut_size": LUT_SIZE,
        "total_bytes": LUT_SIZE * len(LUT_NAMES),
        "luts": tables,
    }
