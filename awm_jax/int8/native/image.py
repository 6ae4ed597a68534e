"""The image: one contiguous little-endian blob from which the C kernel runs a world.

The layout is written here once: `pack` makes an image, `header` the C declarations
(`awm_layout.h`, compared by a test). An image starts with the magic, then `DIMS` as int32, then the
byte offset of every tensor as int32: `TENSORS`, then `LAYER_TENSORS` of each layer. int8 weights
are row-major, their rows padded with zeros to `ALIGN` columns; everything else is int32. Every
tensor starts at a multiple of `ALIGN` bytes. A policy's image (`pack_policy`) is alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.encoding import (
    ANALOG,
    BUTTONS,
    PREDICTED_CATEGORICAL,
    VELOCITY,
    EncodingConfig,
    columns,
    int_names,
    player_embeddings,
    predicted_dynamics,
)
from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import CONV_WIDTH, EXPAND
from awm_jax.game import rules
from awm_jax.game.decode import BINARY
from awm_jax.game.digest import LANES
from awm_jax.int8 import frame, mamba2, world
from awm_jax.int8.fixed import WIDE_MAX
from awm_jax.int8.params import (
    NO_VARIANT,
    Arch,
    Dense,
    Inputs,
    Layer,
    MixedDense,
    WorldParams,
    control_columns,
    frame_columns,
)
from awm_jax.int8.policy import PolicyArch, PolicyParams
from awm_jax.variant import GEOMETRY_PER_PLAYER, LEVELS, Variant

MAGIC = b"AWMIMG1\0"
POLICY_MAGIC = b"AWMPOL1\0"
VERSION = 1
ALIGN = 64
MAX_LAYERS = 16
MAX_INTS = 8

CATEGORICAL_DIMS = tuple(f"at_{n}" for n in PREDICTED_CATEGORICAL)
DIMS = (
    *("version", "bytes", "d_model", "d_state", "n_layers", "headdim", "context_len"),
    *("recurrent", "planes", "control_first", "geometry", "head_hidden", "game_rules"),
    *("cont", "binary", "ints", "press_events", "thresholds", "age_embed"),
    *("n_wide", "n_narrow", "ctrl_wide", "ctrl_narrow", "numeric", "logits"),
    *("at_core", "at_velocity", "at_dynamics", "n_dynamics", "at_age"),
    *("at_percent", "at_shield", "at_stocks", "at_x", "at_y", "at_speed_y", "at_speed_attack_y"),
    *CATEGORICAL_DIMS,
    *(f"vocab_{i}" for i in range(MAX_INTS + 1)),
    *(f"width_{i}" for i in range(MAX_INTS + 1)),
    *("frame_k", "ctrl_k", "one", "stick_m", "stick_s", "trigger_m", "trigger_s"),
    *("final_shift",),
)
TENSORS = (
    *("sigmoid", "softplus", "exp2", "rsqrt", "low", "high"),
    *("column_m", "column_s", "feature_m", "feature_s", "levels", "embeddings"),
    *("lines", "birth_places"),
    *("frame_wide", "frame_narrow", "frame_bias", "frame_a", "frame_m"),
    *("final_eps", "final_w"),
    *("ctrl_wide", "ctrl_narrow", "ctrl_bias", "ctrl_a", "ctrl_m"),
    *("hidden_w", "hidden_bias", "hidden_a", "hidden_m"),
    *("numeric_w", "numeric_bias", "numeric_m", "numeric_s", "numeric_l"),
    *("binary_w", "binary_bias"),
    *("logits_w", "logits_bias", "logits_a", "logits_m"),
)
LAYER_TENSORS = (
    *("norm_eps", "norm_w", "in_w", "in_bias", "in_a", "in_m"),
    *("conv_w", "conv_bias", "conv_a", "conv_m"),
    *("decay_m", "decay_s", "drive_m", "drive_s", "b_m", "c_m", "y_a", "y_m", "skip_m"),
    *("gated_eps", "gated_w", "out_w", "out_bias", "out_a", "out_m"),
    *("scalars",),
)
# The int32 of a layer's `scalars`.
SCALARS = ("norm_shift", "b_s", "c_s", "skip_s", "gate_s", "gated_shift")
DYNAMICS = predicted_dynamics(EncodingConfig(hitstun=True))
CONSTANTS = {
    "version": VERSION,
    "align": ALIGN,
    "max_layers": MAX_LAYERS,
    "max_ints": MAX_INTS,
    "categorical": len(PREDICTED_CATEGORICAL),
    "analog": len(ANALOG),
    "buttons": len(BUTTONS),
    "pad_fields": len(frame.PAD_FIELDS),
    "expand": EXPAND,
    "conv_width": CONV_WIDTH,
    "wide_max": WIDE_MAX,
    "b_max": mamba2.B_MAX,
    "drive_room": mamba2.DRIVE_ROOM,
    "change_max": world.CHANGE_MAX,
    "unit": frame.UNIT,
    "stick_max": frame.STICK_MAX,
    "stick_threshold": frame.STICK_THRESHOLD,
    "trigger_threshold": frame.TRIGGER_THRESHOLD,
    "levels": LEVELS,
    "geometry_per_player": GEOMETRY_PER_PLAYER,
    "height": frame.HEIGHT,
    "edge": frame.EDGE,
    "rival": frame.RIVAL,
    "digest_lanes": LANES,
    "least_hit": world.LEAST_HIT,
    "wear": world.WEAR,
    "beyond_bottom": rules.BEYOND_BOTTOM,
    "beyond_left": rules.BEYOND_LEFT,
    "beyond_right": rules.BEYOND_RIGHT,
    "gone": rules.GONE,
    "up": rules.UPWARDS[0],
    "far_up": rules.UPWARDS[1],
    "rebirth": rules.REBIRTH,
    "rebirth_frames": rules.REBIRTH_FRAMES,
    "waiting": rules.WAITING,
    "caught": rules.CAUGHT[0],
    "caught_last": rules.CAUGHT[-1],
    "on_ground": BINARY.index("on_ground"),
    "character": int_names(EncodingConfig()).index("character"),
    "last_attack": int_names(EncodingConfig()).index("last_attack"),
    "ground_speed": VELOCITY.index("speed_ground_x"),
    "knockback": VELOCITY.index(rules.KNOCKBACK[0]),
    "hitlag": DYNAMICS.index("hitlag"),
    "hitstun": DYNAMICS.index("hitstun"),
    "actions": rules.ACTIONS,
    "own": rules.OWN,
    "fighters": rules.FIGHTERS,
    "ending": len(rules.lengths()),
    "speeds": len(VELOCITY),
    "shield": round(rules.SHIELD * frame.UNIT),
    "dying": len(rules.DYING),
    "deaths": len(rules.DEATHS),
}


def header() -> str:
    """The text of `awm_layout.h`."""
    lines = [
        "/* Made by `python -m awm_jax.int8.native.image` from the Python definitions. */",
        "#ifndef AWM_LAYOUT_H",
        "#define AWM_LAYOUT_H",
        "",
        f'#define AWM_MAGIC "{MAGIC[:-1].decode()}"',
        f'#define AWM_POLICY_MAGIC "{POLICY_MAGIC[:-1].decode()}"',
        *(f"#define AWM_{name.upper()} ({value})" for name, value in CONSTANTS.items()),
        f"#define AWM_BUTTON_BITS {_tuples(frame.BUTTON_BITS)}",
        f"#define AWM_DYING_FRAMES {_tuples((a, *v) for a, v in rules.DYING.items())}",
        f"#define AWM_DEATH_FRAMES {_tuples(rules.DEATHS.items())}",
        f"#define AWM_LENGTHS {_filled(rules.lengths())}",
        "",
    ]
    kinds = {"D": DIMS, "T": TENSORS, "L": LAYER_TENSORS, "S": SCALARS}
    for kind, names in kinds.items():
        body = "\n".join(f"  AWM_{kind}_{name.upper()}," for name in names)
        lines.append(f"enum {{\n{body}\n  AWM_{kind}_COUNT\n}};")
    return "\n".join([*lines, "", "#endif", ""])


def _filled(table: np.ndarray) -> str:
    rows = [f"[{i}] = {{{', '.join(map(str, row))}}}" for i, row in enumerate(table) if row.any()]
    return "{" + ", ".join(rows) + "}"


def _tuples(values: Iterable[tuple[int, ...]]) -> str:
    return "{" + ", ".join(f"{{{', '.join(map(str, v))}}}" for v in values) + "}"


def pack(params: WorldParams, arch: Arch) -> bytes:
    """A world as an image.

    Raises:
      AwmError: the kernel has no room for this architecture.
    """
    if arch.n_layers > MAX_LAYERS or arch.cfg.lookahead:
        raise AwmError(
            f"the native kernel runs up to {MAX_LAYERS} layers and no lookahead; use the xla engine"
        )
    values = _tensors(params, arch)
    tensors = [values[name] for name in TENSORS]
    for layer in params.layers:
        values = _layer(layer)
        tensors += [values[name] for name in LAYER_TENSORS]
    return _assemble(MAGIC, _dims(params, arch), tensors)


def pack_policy(params: PolicyParams, arch: PolicyArch) -> bytes:
    """A policy as an image of its own kind: `TENSORS` without layers, most of them empty.

    The frame projection is its first layer, over the inputs of all its frames; the layer before the
    heads is its trunk; the logits are its outputs, the analog ones first.
    """
    dims = dict.fromkeys(DIMS, 0) | _input_dims(params.inputs, arch.cfg, NO_VARIANT)
    dims |= {
        "version": VERSION,
        "d_model": arch.hidden_dim,
        "context_len": arch.context_len,
        "head_hidden": arch.trunk_dim,
        "logits": len(ANALOG) + len(BUTTONS),
        "frame_k": params.hidden.k,
    }
    values = dict.fromkeys(TENSORS, np.zeros(0, np.int32)) | {
        "sigmoid": params.sigmoid,
        **_input_tensors(params.inputs, arch.cfg),
        **_mixed_tensors("frame", params.hidden),
        **_dense_tensors("hidden", params.trunk),
        **_dense_tensors("logits", params.heads),
    }
    return _assemble(POLICY_MAGIC, dims, [values[name] for name in TENSORS])


def _assemble(magic: bytes, dims: Mapping[str, Any], tensors: Sequence[Any]) -> bytes:
    blobs = [_bytes(np.asarray(t)) for t in tensors]
    at = _aligned(len(magic) + 4 * (len(DIMS) + len(blobs)))
    offsets = []
    for blob in blobs:
        offsets.append(at)
        at += len(blob)
    whole = {name: int(np.asarray(value)) for name, value in dims.items()} | {"bytes": at}
    head = magic + np.array([whole[n] for n in DIMS] + offsets, "<i4").tobytes()
    return b"".join([head.ljust(_aligned(len(head)), b"\0"), *blobs])


def _aligned(n: int) -> int:
    return -(-n // ALIGN) * ALIGN


def _bytes(value: np.ndarray) -> bytes:
    """int8 (rows, cols) with padded rows, else int32; filled to a multiple of ALIGN bytes."""
    if value.dtype == np.int8 and value.ndim == 2:
        value = np.pad(value, ((0, 0), (0, _aligned(value.shape[1]) - value.shape[1])))
    elif value.dtype != np.int8:
        value = value.astype("<i4")
    blob = value.tobytes()
    return blob.ljust(_aligned(len(blob)), b"\0")


def _dims(params: WorldParams, arch: Arch) -> dict[str, Any]:
    cfg, where = arch.cfg, columns(arch.cfg)
    age = where.int_index if cfg.state_age_as_embed else where.index
    ctrl_wide, ctrl_narrow = control_columns(cfg)
    return _input_dims(params.inputs, cfg, arch.variant) | {
        "version": VERSION,
        "d_model": arch.d_model,
        "d_state": arch.d_state,
        "n_layers": arch.n_layers,
        "headdim": arch.headdim,
        "context_len": arch.context_len,
        "recurrent": arch.recurrent,
        "planes": arch.planes,
        "control_first": arch.variant.control_first,
        "geometry": arch.variant.geometry,
        "head_hidden": arch.variant.head_hidden,
        "game_rules": arch.variant.game_rules,
        "press_events": cfg.press_events,
        "thresholds": cfg.ctrl_threshold_features,
        "age_embed": cfg.state_age_as_embed,
        "ctrl_wide": len(ctrl_wide),
        "ctrl_narrow": len(ctrl_narrow),
        "numeric": 2 * (cfg.core_continuous_dim + cfg.velocity_dim + len(predicted_dynamics(cfg))),
        "logits": 2 * sum(getattr(cfg, f"{n}_vocab") for n in PREDICTED_CATEGORICAL),
        "at_core": where.core.start,
        "at_velocity": where.velocity.start,
        "at_dynamics": where.dynamics.start,
        "n_dynamics": len(predicted_dynamics(cfg)),
        "at_age": age["state_age"],
        "at_percent": where["percent"],
        "at_shield": where["shield"],
        "at_stocks": where["stocks"],
        "at_x": where["x"],
        "at_y": where["y"],
        "at_speed_y": where["speed_y"],
        "at_speed_attack_y": where["speed_attack_y"],
        **{f"at_{n}": where.int_index[n] for n in PREDICTED_CATEGORICAL},
        "frame_k": params.frame_proj.k,
        "ctrl_k": params.ctrl_proj.k,
        "final_shift": params.final_norm.shift,
    }


def _input_dims(inputs: Inputs, cfg: EncodingConfig, variant: Variant) -> dict[str, Any]:
    """What the codes of a frame need."""
    tables = list(player_embeddings(cfg).values())
    tables += [(0, 0)] * (MAX_INTS - len(tables)) + [(cfg.stage_vocab, cfg.stage_embed_dim)]
    wide, narrow = frame_columns(cfg, variant)
    return {
        "cont": cfg.continuous_dim,
        "binary": cfg.binary_dim,
        "ints": cfg.int_per_player,
        "n_wide": len(wide),
        "n_narrow": len(narrow),
        **{f"vocab_{i}": vocab for i, (vocab, _) in enumerate(tables)},
        **{f"width_{i}": width for i, (_, width) in enumerate(tables)},
        "one": inputs.one,
        "stick_m": inputs.stick_m,
        "stick_s": inputs.stick_s,
        "trigger_m": inputs.trigger_m,
        "trigger_s": inputs.trigger_s,
    }


def _tensors(params: WorldParams, arch: Arch) -> dict[str, np.ndarray]:
    cfg, heads = arch.cfg, params.heads
    ruled = cfg.stage_vocab * arch.variant.game_rules
    low, high = frame.limits(cfg)
    none = dict.fromkeys(("w", "bias", "a", "m"), np.zeros(0, np.int32))
    hidden = {f"hidden_{n}": v for n, v in none.items()}
    values = {
        **{n: getattr(params.tables, n) for n in ("sigmoid", "softplus", "exp2", "rsqrt")},
        "low": low,
        "high": high,
        **_input_tensors(params.inputs, cfg),
        "lines": world.in_units(rules.lines(ruled)),
        "birth_places": world.in_units(rules.birth_places(ruled)),
        "final_eps": params.final_norm.eps,
        "final_w": params.final_norm.w,
        **_mixed_tensors("frame", params.frame_proj),
        **_mixed_tensors("ctrl", params.ctrl_proj),
        **(_dense_tensors("hidden", heads.hidden) if heads.hidden else hidden),
        **{
            n: getattr(heads, n)
            for n in (
                *("numeric_w", "numeric_bias", "numeric_m", "numeric_s", "numeric_l"),
                *("binary_w", "binary_bias"),
            )
        },
        **_dense_tensors("logits", heads.logits),
    }
    return {name: np.asarray(value) for name, value in values.items()}


def _input_tensors(inputs: Inputs, cfg: EncodingConfig) -> dict[str, Any]:
    names = [*int_names(cfg), "stage"]
    return {
        **{n: getattr(inputs, n) for n in ("column_m", "column_s", "feature_m", "feature_s")},
        "levels": inputs.levels,
        "embeddings": np.concatenate([np.asarray(inputs.embeddings[n]).ravel() for n in names]),
    }


def _dense_tensors(name: str, dense: Dense) -> dict[str, Any]:
    values = {"w": dense.w, "bias": dense.bias, "a": dense.out.a, "m": dense.out.m}
    return {f"{name}_{n}": value for n, value in values.items()}


def _mixed_tensors(name: str, dense: MixedDense) -> dict[str, Any]:
    values = {"wide": dense.w_wide, "narrow": dense.w_narrow, "bias": dense.bias}
    values |= {"a": dense.out.a, "m": dense.out.m}
    return {f"{name}_{n}": value for n, value in values.items()}


def _layer(layer: Layer) -> dict[str, np.ndarray]:
    scan = layer.scan
    values = {
        "norm_eps": layer.norm.eps,
        "norm_w": layer.norm.w,
        "in_w": layer.in_proj.w,
        "in_bias": layer.in_proj.bias,
        "in_a": layer.in_proj.out.a,
        "in_m": layer.in_proj.out.m,
        "conv_w": np.asarray(layer.conv_w).T.astype(np.int32),
        "conv_bias": layer.conv_bias,
        "conv_a": layer.conv_out.a,
        "conv_m": layer.conv_out.m,
        **{n: getattr(scan, n) for n in ("decay_m", "decay_s", "drive_m", "drive_s")},
        "b_m": scan.b_m,
        "c_m": scan.c_m,
        "y_a": scan.out.a,
        "y_m": scan.out.m,
        "skip_m": scan.skip_m,
        "gated_eps": layer.gated_norm.eps,
        "gated_w": layer.gated_norm.w,
        "out_w": layer.out_proj.w,
        "out_bias": layer.out_proj.bias,
        "out_a": layer.out_proj.out.a,
        "out_m": layer.out_proj.out.m,
    }
    scalars = {
        "norm_shift": layer.norm.shift,
        "b_s": scan.b_s,
        "c_s": scan.c_s,
        "skip_s": scan.skip_s,
        "gate_s": layer.gate_s,
        "gated_shift": layer.gated_norm.shift,
    }
    values["scalars"] = np.array([int(np.asarray(scalars[n])) for n in SCALARS], np.int32)
    return {name: np.asarray(value) for name, value in values.items()}


if __name__ == "__main__":
    Path(__file__).with_name("awm_layout.h").write_text(header())
