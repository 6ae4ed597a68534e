"""The machine's small tables, made once in float64; a cartridge carries their bytes.

docs/integer-spec.md section 3. No stored value lies near a rounding boundary by accident of libm:
`tests/int8/test_tables.py` checks the distance, so that every machine makes the same bytes.
"""

from __future__ import annotations

import numpy as np

from awm_jax.int8.fixed import WIDE_MAX

ACT_BITS = 10
SIGMOID_ONE = 1 << 15
DT_BITS = 24


def _arguments() -> np.ndarray:
    """The 513 arguments of a table over 16 bits of 2^-10: -32, -31.875, ... 32."""
    return (np.arange(513) - 256) / 8


def _round(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.int32)


def sigmoid() -> np.ndarray:
    """(513,) sigmoid in 2^-15 over -32..32."""
    return _round(SIGMOID_ONE / (1 + np.exp(-_arguments())))


def softplus() -> np.ndarray:
    """(513,) ln(1 + e^x) in 2^-24 over -32..32."""
    return _round(np.log1p(np.exp(_arguments())) * (1 << DT_BITS))


def exp2() -> np.ndarray:
    """(257,) 2^(-j/256) in 2^-15."""
    return _round(np.exp2(-np.arange(257) / 256) * (1 << 15))


def rsqrt() -> np.ndarray:
    """(193,) 2^22 / sqrt(256 j) for j = 64..256, at most 32767."""
    return np.minimum(_round(2.0**22 / np.sqrt(256.0 * np.arange(64, 257))), 32767)


def tanh() -> np.ndarray:
    """(513,) tanh in 1/16319, the unit of a mind's latents, over -8..8."""
    return _round(WIDE_MAX * np.tanh(_arguments() / 4))


def arc() -> np.ndarray:
    """(92,) arc sine of j/128 in 2^-13 of half a turn."""
    return _round(np.arcsin(np.arange(92) / 128) / np.pi * (1 << 13))
