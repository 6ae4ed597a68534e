"""Proof, from the parameters alone, that no intermediate of the integer machine leaves 32 bits.

docs/integer-spec.md section 10 states the bounds. Python and NumPy int64 arithmetic, so that the
proof itself cannot overflow. Run when a cartridge is loaded; what fails is refused.
"""

from __future__ import annotations

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.int8.fixed import I16_MAX, WIDE_MAX
from awm_jax.int8.frame import EDGE, HEIGHT, RIVAL, STICK_MAX
from awm_jax.int8.mamba2 import c_max
from awm_jax.int8.params import (
    Arch,
    Dense,
    Inputs,
    Layer,
    MixedDense,
    Norm,
    Requant,
    Tables,
    WorldParams,
)
from awm_jax.int8.policy import PolicyArch, PolicyParams
from awm_jax.variant import LEVELS

CODE_MAX = 127
I16_MIN = -32768
# One less than 2^31 - 1: a rounding shift by one bit adds 1 before it shifts.
ACC_MAX = 2**31 - 2
LEVEL_MAX = 1 << 29
SHIFT_MAX = 31
REQUANT_SHIFT_MAX = 30
MULSHIFT = (17, 46)
DRIVE_SHIFT_MAX = 1 << 20
NARROW_SHIFT_MAX = 24
SOFTPLUS_MAX = (1 << 30) - 1

Bounds = dict[str, int]


def check(params: WorldParams, arch: Arch) -> Bounds:
    """The largest magnitude that each intermediate which could overflow can take, by its name.

    Args:
      params: of the shapes that `arch` gives; int8 and int32.

    Returns:
      name, such as "layers.0.in_proj", -> proven bound, at most 2^31 - 2.

    Raises:
      AwmError: names the first quantity that is out of its range or could leave 32 bits.
    """
    found: Bounds = {}
    _tables(params.tables)
    _inputs(params.inputs, found)
    norm("final_norm", params.final_norm, arch.d_model, found)
    found |= _mixed("frame_proj", params.frame_proj) | _mixed("ctrl_proj", params.ctrl_proj)
    for i, layer in enumerate(params.layers):
        _layer(f"layers.{i}", layer, arch, found)
    heads = params.heads
    if heads.hidden is not None:
        found |= dense("heads.hidden", heads.hidden, WIDE_MAX)
    found |= dense("heads.logits", heads.logits, CODE_MAX)
    found |= _product("heads.binary", heads.binary_w, heads.binary_bias, WIDE_MAX)
    rows = _rows("heads.numeric", heads.numeric_w, heads.numeric_bias, WIDE_MAX)
    within("heads.numeric_l", heads.numeric_l, 0, SHIFT_MAX - 1)
    moved = _mulshift("heads.numeric", heads.numeric_m, heads.numeric_s, rows)
    moved = [int(v) << int(s) for v, s in zip(moved, heads.numeric_l, strict=True)]
    found["heads.numeric"] = int(rows.max())
    found["heads.numeric change"] = _fits("heads.numeric, shifted left,", max(moved))
    return found


def check_policy(params: PolicyParams, arch: PolicyArch) -> Bounds:
    """`check` for a policy; `arch` gives its shapes.

    Raises:
      AwmError: as `check`.
    """
    found: Bounds = {}
    table("sigmoid", params.sigmoid, 1 << 15, 127)
    _inputs(params.inputs, found)
    found |= _mixed("hidden", params.hidden)
    found |= dense("trunk", params.trunk, WIDE_MAX)
    return found | dense("heads", params.heads, WIDE_MAX)


def _wide(values) -> np.ndarray:
    return np.asarray(values).astype(np.int64)


def within(name: str, values, least: int, most: int) -> None:
    values = _wide(values)
    if values.size and (values.min() < least or values.max() > most):
        worst = values.min() if values.min() < least else values.max()
        raise AwmError(f"{name} holds {worst}, allowed are {least}..{most}")


def _fits(name: str, bound: int) -> int:
    if bound > ACC_MAX:
        raise AwmError(f"{name} could reach {bound}, which 32 bits do not hold")
    return bound


def _tables(tables: Tables) -> None:
    table("tables.sigmoid", tables.sigmoid, 1 << 15, 127)
    table("tables.softplus", tables.softplus, SOFTPLUS_MAX, 127)
    table("tables.exp2", tables.exp2, 1 << 15, 127)
    table("tables.rsqrt", tables.rsqrt, I16_MAX, 255)


def table(name: str, values, most: int, fraction: int) -> None:
    """Entries in 0..most whose differences times the largest fraction fit."""
    within(name, values, 0, most)
    _fits(f"{name}, interpolated,", int(np.abs(np.diff(_wide(values))).max()) * fraction)


def _inputs(inputs: Inputs, found: Bounds) -> None:
    most = np.int64(1 << 31)
    _mulshift("inputs.column", inputs.column_m, inputs.column_s, most)
    for name, m, s, largest in (
        ("stick", inputs.stick_m, inputs.stick_s, 2 * STICK_MAX),
        ("trigger", inputs.trigger_m, inputs.trigger_s, 255),
    ):
        within(f"inputs.{name}_m", m, 0, I16_MAX)
        within(f"inputs.{name}_s", s, 0, SHIFT_MAX)
        _code(f"inputs.{name}", _shifted(largest * int(m), int(s)), WIDE_MAX)
    if np.size(inputs.feature_m):
        reach = np.array([HEIGHT] * 2 * LEVELS + [EDGE, RIVAL, RIVAL], np.int64)
        codes = _mulshift("inputs.feature", inputs.feature_m, inputs.feature_s, reach)
        _code("inputs.feature", int(codes.max()), WIDE_MAX)
    within("inputs.levels", inputs.levels, -LEVEL_MAX, LEVEL_MAX)
    within("inputs.one", inputs.one, 0, CODE_MAX)
    for name, table in inputs.embeddings.items():
        within(f"inputs.embeddings.{name}", table, -CODE_MAX, CODE_MAX)


def _code(name: str, largest: int, most: int) -> None:
    if largest > most:
        raise AwmError(f"{name} gives a code of {largest}, the largest is {most}")


def _shifted(value: int, shift: int) -> int:
    return value if shift == 0 else ((value >> (shift - 1)) + 1) >> 1


def _mulshift(name: str, m, s, largest) -> np.ndarray:
    """Bounds of `fixed.mulshift` of inputs up to `largest`, after checking its constants."""
    within(f"{name}_m", m, 0, I16_MAX)
    within(f"{name}_s", s, *MULSHIFT)
    return (np.asarray(largest, np.int64) * _wide(m) >> _wide(s)) + 1


def _requant(name: str, out: Requant) -> None:
    within(f"{name}.a", out.a, 0, REQUANT_SHIFT_MAX)
    within(f"{name}.m", out.m, -I16_MAX, I16_MAX)


def _l1(name: str, w) -> np.ndarray:
    within(f"{name}.w", w, -CODE_MAX, CODE_MAX)
    return np.abs(_wide(w)).sum(axis=-1)


def _rows(name: str, w, bias, most: int) -> np.ndarray:
    """Per row: (sum of |w|) x the largest code + |bias|."""
    rows = _l1(name, w) * most + np.abs(_wide(bias))
    _fits(f"{name}'s sum", int(rows.max()))
    return rows


def _product(name: str, w, bias, most: int) -> Bounds:
    return {name: int(_rows(name, w, bias, most).max())}


def dense(name: str, part: Dense, most: int) -> Bounds:
    _requant(name, part.out)
    return _product(name, part.w, part.bias, most)


def _mixed(name: str, dense: MixedDense) -> Bounds:
    within(f"{name}.k", dense.k, 0, NARROW_SHIFT_MAX)
    _requant(name, dense.out)
    narrow = _l1(name, dense.w_narrow) * CODE_MAX << int(dense.k)
    rows = _l1(name, dense.w_wide) * WIDE_MAX + narrow + np.abs(_wide(dense.bias))
    return {name: _fits(f"{name}'s sum", int(rows.max()))}


def norm(name: str, part: Norm, width: int, found: Bounds) -> None:
    high, low = (int(v) for v in _wide(part.eps))
    within(f"{name}.eps", part.eps, 0, ACC_MAX)
    within(f"{name}.eps", low, 0, 4095)
    if high == low == 0:
        raise AwmError(f"{name}.eps is 0: the norm of zeros would be undefined")
    within(f"{name}.w", part.w, -I16_MAX, I16_MAX)
    within(f"{name}.shift", part.shift, 1, REQUANT_SHIFT_MAX)
    # x^2 <= 2^30 is kept as 4096 high + low; the low parts carry at most n + 1 upwards.
    total = width * (I16_MIN**2 >> 12) + width + 1 + high
    found[f"{name} sum of squares / 4096"] = _fits(f"{name}'s sum of squares", total)


def _layer(name: str, layer: Layer, arch: Arch, found: Bounds) -> None:
    norm(f"{name}.norm", layer.norm, arch.d_model, found)
    norm(f"{name}.gated_norm", layer.gated_norm, arch.d_inner, found)
    found |= dense(f"{name}.in_proj", layer.in_proj, arch.code_max)
    found |= dense(f"{name}.out_proj", layer.out_proj, arch.code_max)
    _requant(f"{name}.conv_out", layer.conv_out)
    found |= _product(f"{name}.conv", layer.conv_w, layer.conv_bias, -I16_MIN)
    within(f"{name}.gate_s", layer.gate_s, 0, SHIFT_MAX)
    _scan(f"{name}.scan", layer, arch, found)


def _scan(name: str, layer: Layer, arch: Arch, found: Bounds) -> None:
    """That |h| <= 32767 and |C| <= `c_max` follows from the machine's own clamps."""
    p = layer.scan
    _mulshift(f"{name}.decay", p.decay_m, p.decay_s, SOFTPLUS_MAX)
    within(f"{name}.drive_m", p.drive_m, 0, I16_MAX)
    within(f"{name}.drive_s", p.drive_s, -DRIVE_SHIFT_MAX, DRIVE_SHIFT_MAX)
    for field in ("b", "c", "skip"):
        within(f"{name}.{field}_m", getattr(p, f"{field}_m"), -I16_MAX, I16_MAX)
        within(f"{name}.{field}_s", getattr(p, f"{field}_s"), 0, SHIFT_MAX)
    _requant(f"{name}.out", p.out)
    if c_max(arch.d_state) < 1:
        raise AwmError(f"{name}: {arch.d_state} states leave no bit for C")
    read = arch.d_state * I16_MAX * c_max(arch.d_state)
    found[f"{name} read-out"] = _fits(f"{name}'s read-out", read)
