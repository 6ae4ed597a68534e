"""A float world and its ranges -> the integer machine's parameters.

docs/integer-spec.md section 4 defines each number; docs/quantisation.md says why the scales are
what they are. Everything here is float64; what leaves it is integers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from awm_jax.codes import Codes, LayerCodes
from awm_jax.encoding import (
    CORE,
    VELOCITY,
    EncodingConfig,
    column_scale,
    float_names,
    float_scales,
    player_embeddings,
    predicted_dynamics,
)
from awm_jax.errors import AwmError
from awm_jax.fp32.layers import RMS_EPS
from awm_jax.game.transition import CLAMPS
from awm_jax.int8 import tables
from awm_jax.int8.bounds import MULSHIFT
from awm_jax.int8.fixed import I16_MAX, WIDE_MAX, as_int32
from awm_jax.int8.frame import STICK_MAX, UNIT
from awm_jax.int8.mamba2 import B_MAX, c_max
from awm_jax.int8.params import (
    Arch,
    Dense,
    Heads,
    Inputs,
    Layer,
    MixedDense,
    Norm,
    Requant,
    Scan,
    Tables,
    WorldParams,
    control_columns,
    frame_columns,
)
from awm_jax.variant import (
    EDGE_REACH,
    HEIGHT_REACH,
    LEVELS,
    RIVAL_REACH,
    Variant,
    stage_levels,
)
from converters.quantize.calibrate import Ranges
from converters.quantize.template import BINARY, LOGITS, NUMERIC
from converters.quantize.weights import quantize_tensor

ACT = 2.0**-tables.ACT_BITS
UNIT_NORM = 2.0**-15
A_MAX = 88.0
SHIFTS = (0, 31)
DRIVE_SHIFTS = (-64, 64)
LEAST_CHANGE = {"speed_attack_x": 2.0**-7, "speed_attack_y": 2.0**-7, "speed_ground_x": 2.0**-6}
"""Game units a frame by whole numbers of which a column changes. Such speeds are exactly 0 most of
the time; what a network says of them then is noise, and adds up."""
# `fixed.requant` may saturate from half of its 16 bits on; what was seen stays below that.
HEADROOM = 2.2


@dataclasses.dataclass(frozen=True)
class Weight:
    """A quantised tensor: q int8 in its own rank, scale (rows,) float64 a row."""

    q: np.ndarray
    scale: np.ndarray


def integers(values) -> Any:
    """int32, of what must fit it.

    Raises:
      AwmError: it does not.
    """
    try:
        return as_int32(values)
    except ValueError as error:
        raise AwmError(f"a parameter of the integer machine is too large: {error}") from error


def normalise(
    value: np.ndarray | float, shifts: tuple[int, int] = MULSHIFT
) -> tuple[np.ndarray, np.ndarray]:
    """value >= 0 as m 2^-s, m < 2^15 and, where s may be so large, m >= 2^14.

    Args:
      shifts: least and most s; by default those of `fixed.mulshift`.

    Raises:
      AwmError: a value is too large for them.
    """
    value = np.asarray(value, np.float64)
    exponent = np.floor(np.log2(np.maximum(value, 1e-300)))
    s = np.clip(14 - exponent, *shifts)
    m = np.rint(value * 2.0**s)
    if np.any(m > I16_MAX + 1):
        raise AwmError(f"a factor of {value.max():g} is too large for the integer machine")
    return np.minimum(m, I16_MAX).astype(np.int64), s.astype(np.int64)


def shared_shift(values: np.ndarray, most: int = 30) -> tuple[np.ndarray, int]:
    """Multipliers m and one shift s with values = m 2^-s and the largest |m| in 2^14..2^15."""
    peak = float(np.max(np.abs(values)))
    s = most if peak == 0 else int(np.clip(np.floor(np.log2(I16_MAX / peak)), 1, most))
    return np.clip(np.rint(values * 2.0**s), -I16_MAX, I16_MAX), s


def requant(value: np.ndarray, bound: np.ndarray) -> Requant:
    """Shifts and multipliers for `fixed.requant`: acc * value, |acc| <= bound where that is known.

    The shift is the smallest that keeps acc in 16 bits, but never so large that the multiplier
    would not fit: then the output is what saturates.
    """
    value, bound = np.broadcast_arrays(np.asarray(value, np.float64), np.asarray(bound, np.float64))
    if np.any(value > 0.99997):
        raise AwmError(
            "a product is coarser than what it feeds: give its codes two planes (--planes 2)"
        )
    bits = np.ceil(np.log2(np.maximum(bound, 1) / I16_MAX))
    fits = np.floor(np.log2(I16_MAX / 2.0**15 / np.maximum(value, 1e-12)))
    a = np.clip(np.minimum(bits, fits), 0, 30)
    m = np.minimum(np.rint(value * 2.0 ** (a + 15)), I16_MAX)
    return Requant(integers(a), integers(m))


def not_finer(out: np.ndarray | float, lsb: np.ndarray | float) -> np.ndarray:
    """An output's scale, raised to what its accumulator resolves, which loses nothing."""
    return np.maximum(out, np.asarray(lsb) * 1.001)


def build_world(
    arch: Arch, tensors: dict[str, np.ndarray], ranges: Ranges, codes: Codes | None = None
) -> tuple[WorldParams, dict[str, Any]]:
    """Integer parameters of a Mamba2 world and the real value of each code, for the manifest.

    Args:
      tensors: the float32 state dict.
      ranges: from `calibrate`.
      codes: what the network has learned to live with; what the ranges say if None, or where codes
        have two planes.

    Raises:
      AwmError: a number is too large for the machine.
    """
    if codes is None or arch.planes > 1:
        codes = codes_of(arch, ranges)
    weights = {key: quantised(value) for key, value in tensors.items() if value.ndim >= 2}
    cfg = arch.cfg
    wide, narrow, k = input_scales(cfg, tensors)
    steps = [
        weights[f"layers.{i}.mamba.out_proj.weight"].scale.max() * codes.layers[i].gated
        for i in range(arch.n_layers)
    ]
    residual = float(not_finer(ranges.residual * HEADROOM / I16_MAX, max(steps)))
    hidden = float(ranges.hidden) * 1.25 / WIDE_MAX
    layers, scales = [], []
    for i in range(arch.n_layers):
        layer, layer_scales = _layer(arch, tensors, weights, ranges, codes.layers[i], i, residual)
        layers.append(layer)
        scales.append(layer_scales)
    params = WorldParams(
        tables=make_tables(),
        inputs=inputs(cfg, arch.variant, weights, wide, narrow),
        frame_proj=mixed(
            weights["frame_proj.weight"],
            tensors["frame_proj.bias"],
            frame_columns(cfg, arch.variant),
            (wide, k),
            residual,
        ),
        layers=tuple(layers),
        final_norm=norm(tensors["final_norm.weight"], residual, hidden),
        ctrl_proj=mixed(
            weights["ctrl_proj.weight"],
            tensors["ctrl_proj.bias"],
            control_columns(cfg),
            (wide, k),
            hidden,
        ),
        heads=_heads(cfg, tensors, weights, hidden, codes.pre_head, ranges),
    )
    named = {"wide": wide, "narrow": narrow, "residual": residual, "hidden": hidden}
    named["pre_head"] = codes.pre_head
    return params, {k: float(v) for k, v in named.items()} | {"layers": scales}


def make_tables() -> Tables:
    return Tables(tables.sigmoid(), tables.softplus(), tables.exp2(), tables.rsqrt())


def quantised(value: np.ndarray) -> Weight:
    """As the reference quantises it; a vector is never asked for."""
    q, scale = quantize_tensor(value)
    return Weight(q.reshape(value.shape), np.asarray(scale, np.float64))


def input_scales(cfg: EncodingConfig, tensors) -> tuple[float, float, int]:
    """Real value of a wide code, of a narrow code, and k: narrow = wide 2^k."""
    names = float_names(cfg)[: cfg.continuous_dim]
    reach = [CLAMPS[n][1] * column_scale(cfg, n) for n in names if n in CLAMPS]
    least = max(reach) / WIDE_MAX
    embeds = [np.abs(v).max() for key, v in tensors.items() if key.endswith("_embed.weight")]
    narrow = float(max(1.0, *embeds)) / 127
    k = max(0, int(np.floor(np.log2(narrow / least))))
    return narrow / 2**k, narrow, k


def inputs(
    cfg: EncodingConfig,
    variant: Variant,
    weights: dict[str, Weight],
    wide: float,
    narrow: float,
) -> Inputs:
    """From the game's units to codes: `wide` and `narrow` are the real values of one."""
    column_m, column_s = normalise(float_scales(cfg)[: cfg.continuous_dim] / UNIT / wide)
    stick_m, stick_s = normalise(1 / (2 * STICK_MAX) / wide, SHIFTS)
    trigger_m, trigger_s = normalise(1 / 255 / wide, SHIFTS)
    reach = [HEIGHT_REACH] * 2 * LEVELS + [EDGE_REACH, RIVAL_REACH, RIVAL_REACH]
    reach = np.array(reach if variant.geometry else [])
    feature_m, feature_s = normalise(1 / reach / UNIT / wide)
    levels = stage_levels(cfg) if variant.geometry else np.zeros((0, LEVELS + 1))
    embeddings = {}
    for name in [*player_embeddings(cfg), "stage"]:
        weight = weights[f"{name}_embed.weight"]
        codes = np.rint(weight.q * weight.scale[:, None] / narrow)
        embeddings[name] = np.clip(codes, -127, 127).astype(np.int8)
    return Inputs(
        column_m=integers(column_m),
        column_s=integers(column_s),
        stick_m=integers(stick_m),
        stick_s=integers(stick_s),
        trigger_m=integers(trigger_m),
        trigger_s=integers(trigger_s),
        feature_m=integers(feature_m),
        feature_s=integers(feature_s),
        levels=integers(np.rint(levels * UNIT)),
        one=integers(np.rint(1 / narrow)),
        embeddings=embeddings,
    )


def mixed(weight: Weight, bias, split, codes: tuple[float, int], out: float) -> MixedDense:
    """`split`: wide and narrow columns of `weight`; `codes`: value of a wide code and k."""
    wide, k = codes
    w_wide, w_narrow = weight.q[:, split[0]], weight.q[:, split[1]]
    lsb = weight.scale * wide
    bound = _l1(w_wide) * WIDE_MAX + (_l1(w_narrow) * 127 * 2**k)
    bias = np.rint(bias / lsb)
    return MixedDense(
        w_wide=np.ascontiguousarray(w_wide),
        w_narrow=np.ascontiguousarray(w_narrow),
        k=integers(k),
        bias=integers(bias),
        out=requant(lsb / out, bound + np.abs(bias)),
    )


def _l1(q: np.ndarray) -> np.ndarray:
    return np.abs(q.astype(np.int64)).sum(axis=-1)


def dense(weight: Weight, bias, code: float, out: np.ndarray | float, most: int = 127) -> Dense:
    """`code`, `out`: real values of an input and output code; `most`: the largest input code."""
    lsb = weight.scale * code
    bias = np.rint(bias / lsb)
    bound = _l1(weight.q) * most + np.abs(bias)
    return Dense(weight.q, integers(bias), requant(lsb / out, bound))


def reaching(value: np.ndarray) -> np.ndarray:
    """A factor of `requant` raised to just below a power of two: there its output has all 16 bits,
    elsewhere it may saturate from half of them on."""
    return 2.0 ** np.ceil(np.log2(value)) * 0.9999


def norm(weight: np.ndarray, code_in: float, code_out: float) -> Norm:
    n = len(weight)
    w, shift = shared_shift(np.sqrt(n) * weight.astype(np.float64) * UNIT_NORM / code_out)
    eps = max(1, int(np.rint(n * RMS_EPS / code_in**2)))
    return Norm(integers([eps >> 12, eps & 4095]), integers(w), integers(shift))


def codes_of(arch: Arch, ranges: Ranges) -> Codes:
    """The codes that hold what was seen."""
    layers = []
    for i in range(arch.n_layers):
        layers.append(
            LayerCodes(
                normed=ranges.code(i, "normed", arch.code_max),
                gated=ranges.code(i, "gated", arch.code_max),
                y=float(ranges.y[i]) * HEADROOM / I16_MAX,
                gate=float(ranges.gate[i]) * 1.5 / I16_MAX,
            )
        )
    return Codes(tuple(layers), float(ranges.pre_head) * 1.25 / WIDE_MAX)


def _layer(
    arch: Arch, tensors, weights, ranges: Ranges, codes: LayerCodes, i: int, residual: float
):
    key = f"layers.{i}.mamba"
    e = arch.d_inner
    code = codes.normed
    conv_in = np.maximum(ranges.conv_in[i], ranges.conv_in[i].max() * 1e-3) * HEADROOM / I16_MAX
    rows = weights[f"{key}.in_proj.weight"].scale[e : e + arch.conv_channels]
    conv = weights[f"{key}.conv1d.weight"]
    conv_in = reaching(not_finer(conv_in, rows * code) * conv.scale / ACT) * ACT / conv.scale
    in_out = np.concatenate([np.full(e, ACT), conv_in, np.full(arch.heads, ACT)])
    bias = np.zeros(arch.in_proj_rows)
    bias[-arch.heads :] = tensors[f"{key}.dt_bias"]
    in_proj = dense(weights[f"{key}.in_proj.weight"], bias, code, in_out, arch.code_max)

    conv_q = conv.q[:, 0, :]
    conv_lsb = conv.scale * conv_in
    conv_bias = np.rint(tensors[f"{key}.conv1d.bias"] / conv_lsb)
    conv_bound = _l1(conv_q) * 32768 + np.abs(conv_bias)

    scan, y = _scan(arch, tensors, ranges, codes.y, i)
    gate_s = max(0, int(np.ceil(np.log2(codes.gate / (y * ACT)) - 1e-6)))
    gate = y * ACT * 2.0**gate_s
    gated = codes.gated
    layer = Layer(
        norm=norm(tensors[f"layers.{i}.norm.weight"], residual, code),
        in_proj=in_proj,
        conv_w=conv_q,
        conv_bias=integers(conv_bias),
        conv_out=requant(conv_lsb / ACT, conv_bound),
        scan=scan,
        gate_s=integers(gate_s),
        gated_norm=norm(tensors[f"{key}.norm.weight"], gate, gated),
        out_proj=dense(
            weights[f"{key}.out_proj.weight"],
            np.zeros(arch.d_model),
            gated,
            residual,
            arch.code_max,
        ),
    )
    return layer, {"normed": float(code), "y": float(y), "gate": float(gate), "gated": float(gated)}


def _scan(arch: Arch, tensors, ranges: Ranges, y: float, i: int) -> tuple[Scan, float]:
    key = f"layers.{i}.mamba"
    n = arch.d_state
    b_unit = np.maximum(ranges.b[i], ranges.b[i].max() * 1e-3) * 1.1 / B_MAX
    c_unit = np.max(ranges.c[i] * b_unit) * 1.1 / c_max(n)
    b_m, b_s = shared_shift(ACT / b_unit, most=15)
    c_m, c_s = shared_shift(ACT * b_unit / c_unit, most=15)
    state = np.maximum(np.max(ranges.state[i] / b_unit, axis=-1) * 1.2 / I16_MAX, ranges.drive[i])
    a = np.minimum(np.exp(tensors[f"{key}.A_log"].astype(np.float64)), A_MAX)
    decay_m, decay_s = normalise(a * np.log2(np.e) * 2.0 ** (15 - tables.DT_BITS))
    drive_m, drive_s = normalise(ACT * 2.0 ** (15 - tables.DT_BITS) / state, DRIVE_SHIFTS)
    read = state * c_unit
    y = float(not_finer(y, read.max()))
    acc = ranges.read[i].max(axis=-1) / read * 2
    skip_m, skip_s = shared_shift(tensors[f"{key}.D"] * ACT / y, most=30)
    scan = Scan(
        decay_m=integers(decay_m),
        decay_s=integers(decay_s),
        drive_m=integers(drive_m),
        drive_s=integers(drive_s - 15),
        b_m=integers(b_m),
        b_s=integers(b_s),
        c_m=integers(c_m),
        c_s=integers(c_s),
        out=requant(read / y, acc),
        skip_m=integers(skip_m),
        skip_s=integers(skip_s),
    )
    return scan, float(y)


def _heads(
    cfg: EncodingConfig, tensors, weights, hidden: float, pre_head: float, ranges: Ranges
) -> Heads:
    before = None
    if "pre_head.weight" in weights:
        code, hidden = hidden, pre_head
        bias = tensors["pre_head.bias"].astype(np.float64)
        before = dense(weights["pre_head.weight"], bias, code, hidden, WIDE_MAX)
    fields = [n for n in CORE * 2] + [n for n in VELOCITY * 2] + list(predicted_dynamics(cfg)) * 2
    numeric = stack(weights, NUMERIC)
    lsb = numeric.scale * hidden
    value = lsb * UNIT / np.array([column_scale(cfg, f) for f in fields])
    least = [LEAST_CHANGE.get(f, 0) * UNIT for f in fields]
    left = np.maximum(np.floor(np.log2(value)) + 3, np.log2(np.maximum(least, 1)))
    left = np.maximum(left, 0).astype(np.int64)
    m, s = normalise(value / 2.0**left)
    binary = stack(weights, BINARY)
    logits = stack(weights, LOGITS)
    out = not_finer(ranges.logits * HEADROOM / I16_MAX, logits.scale.max() * hidden * 128)
    return Heads(
        hidden=before,
        numeric_w=numeric.q,
        numeric_bias=integers(np.rint(biases(tensors, NUMERIC) / lsb)),
        numeric_m=integers(m),
        numeric_s=integers(s),
        numeric_l=integers(left),
        binary_w=binary.q,
        binary_bias=integers(np.rint(tensors["binary_head.bias"] / (binary.scale * hidden))),
        logits=dense(logits, biases(tensors, LOGITS), hidden * 128, out),
    )


def stack(weights: dict[str, Weight], names) -> Weight:
    """Several heads as one product."""
    parts = [weights[f"{name}.weight"] for name in names]
    return Weight(np.concatenate([p.q for p in parts]), np.concatenate([p.scale for p in parts]))


def biases(tensors, names) -> np.ndarray:
    return np.concatenate([tensors[f"{name}.bias"] for name in names]).astype(np.float64)
