"""A frame in the integer world's own units, the record that the chain stores of it, its codes.

docs/integer-spec.md section 1 and 4. Own units: continuous columns in 2^-16 game units.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import (
    ANALOG_THRESHOLD,
    VELOCITY,
    EncodingConfig,
    columns,
    float_names,
    float_scales,
    int_names,
)
from awm_jax.game.frames import (
    SEED_FACING,
    SEED_GROUND,
    SEED_JUMPS,
    SEED_SHIELD,
    SEED_STOCKS,
    SEED_X,
)
from awm_jax.game.transition import CLAMPS, KO_BELOW
from awm_jax.int8.fixed import WIDE_MAX, clamp, mulshift, rsh
from awm_jax.int8.params import Array, Inputs
from awm_jax.pytree import pytree
from awm_jax.variant import EDGE_REACH, HEIGHT_REACH, LEVELS, RIVAL_REACH

UNIT_BITS = 16
UNIT = 1 << UNIT_BITS
HEIGHT, EDGE, RIVAL = (int(r) << UNIT_BITS for r in (HEIGHT_REACH, EDGE_REACH, RIVAL_REACH))
STICK_MAX = 80
PAD_FIELDS = (
    "stick_x",
    "stick_y",
    "c_stick_x",
    "c_stick_y",
    "trigger_l",
    "trigger_r",
    "buttons",
    "buttons_ext",
)
# (field, bit) of every button in the order of `awm_jax.encoding.BUTTONS`.
BUTTON_BITS = ((6, 0), (6, 1), (6, 2), (6, 3), (6, 4), (7, 2), (7, 3), (7, 0))
STICK_THRESHOLD = round((ANALOG_THRESHOLD - 0.5) * 2 * STICK_MAX)
TRIGGER_THRESHOLD = math.floor(ANALOG_THRESHOLD * 255)

# What the own state is limited to, in game units; the record's types hold all of it.
LIMITS = CLAMPS | dict.fromkeys(VELOCITY, (-127.0, 127.0)) | {"hitstun": (0.0, 200.0)}

RECORD_FIELDS = (
    *("x", "y", "percent", "shield_strength"),
    *VELOCITY,
    *("state_age", "hitlag", "stocks", "facing", "on_ground"),
    *("action_state", "jumps_left", "character"),
)


@pytree
class GameFrame:
    """One frame, or K of them with a leading axis.

    Attributes:
      cont: (2, continuous_dim) int32, 2^-16 game units.
      binary: (2, binary_dim) int32, 0 or 1.
      ints: (2, int_per_player) int32.
      stage: () int32.
      pads: (2, 8) int32, the controllers that made this frame (`PAD_FIELDS`).
    """

    cont: Array
    binary: Array
    ints: Array
    stage: Array
    pads: Array


def limits(cfg: EncodingConfig) -> tuple[np.ndarray, np.ndarray]:
    """(continuous_dim,) int32 least and most own values."""
    names = float_names(cfg)[: cfg.continuous_dim]
    pairs = [LIMITS.get(name, (-16383.0, 16383.0)) for name in names]
    low, high = np.rint(np.array(pairs).T * UNIT).astype(np.int32)
    return low, high


def seed_frame(cfg: EncodingConfig, stage: int, characters: tuple[int, int]) -> GameFrame:
    """The reference's start (match.md section 1.1) as NumPy arrays."""
    where = columns(cfg)
    cont = np.zeros((2, cfg.continuous_dim), np.int32)
    cont[:, where["x"]] = np.array(SEED_X) * UNIT
    cont[:, where["shield"]] = SEED_SHIELD * UNIT
    cont[:, where["stocks"]] = SEED_STOCKS * UNIT
    binary = np.zeros((2, cfg.binary_dim), np.int32)
    binary[:, where["facing"] - cfg.continuous_dim] = SEED_FACING
    binary[:, where["on_ground"] - cfg.continuous_dim] = 1
    ints = np.zeros((2, cfg.int_per_player), np.int32)
    ints[:, where.int_index["jumps"]] = SEED_JUMPS
    ints[:, where.int_index["character"]] = characters
    ints[:, where.int_index["ground"]] = SEED_GROUND
    return GameFrame(cont, binary, ints, np.int32(stage), np.zeros((2, 8), np.int32))


def from_floats(cfg: EncodingConfig, floats: np.ndarray, ints: np.ndarray) -> GameFrame:
    """Encoded float frames (*t, F), (*t, I) -> own units (round half to even), as NumPy arrays."""
    where = columns(cfg)
    lead = floats.shape[:-1]
    blocks = np.asarray(floats, np.float64).reshape(*lead, 2, cfg.float_per_player)
    scales = float_scales(cfg)[: cfg.continuous_dim]
    low, high = limits(cfg)
    cont = np.clip(np.rint(blocks[..., : cfg.continuous_dim] / scales * UNIT), low, high)
    binary = blocks[..., where.binary] > 0.5
    pads = pads_from_floats(blocks[..., where.controller])
    players = ints[..., :-1].reshape(*lead, 2, cfg.int_per_player)
    return GameFrame(
        cont.astype(np.int32),
        binary.astype(np.int32),
        players.astype(np.int32),
        ints[..., -1].astype(np.int32),
        pads,
    )


def to_floats(cfg: EncodingConfig, frame: GameFrame) -> tuple[np.ndarray, np.ndarray]:
    """Own units -> encoded float frames (*t, F) float32, (*t, I) int32, for viewers and metrics."""
    scales = float_scales(cfg)[: cfg.continuous_dim]
    cont = np.asarray(frame.cont, np.float64) / UNIT * scales
    pads = pads_to_floats(np.asarray(frame.pads))
    blocks = np.concatenate([cont, np.asarray(frame.binary), pads], axis=-1)
    lead = blocks.shape[:-2]
    ints = np.asarray(frame.ints).reshape(*lead, -1)
    ints = np.concatenate([ints, np.asarray(frame.stage)[..., None]], axis=-1)
    return blocks.reshape(*lead, -1).astype(np.float32), ints.astype(np.int32)


def pads_from_floats(controller: np.ndarray) -> np.ndarray:
    """(*b, 13) in [0, 1] -> (*b, 8) int32: 0.5 is exactly 0, 0 and 1 are -80 and 80 (M20)."""
    controller = np.asarray(controller, np.float64)
    pads = np.zeros((*controller.shape[:-1], 8), np.int32)
    sticks = np.rint((controller[..., :4] - 0.5) * 2 * STICK_MAX)
    pads[..., :4] = np.clip(sticks, -STICK_MAX, STICK_MAX)
    pads[..., 4] = np.clip(np.rint(controller[..., 4] * 255), 0, 255)
    for button, (field, bit) in enumerate(BUTTON_BITS):
        pads[..., field] |= (controller[..., 5 + button] > 0.5).astype(np.int32) << bit
    return pads


def pads_to_floats(pads: np.ndarray) -> np.ndarray:
    """(*b, 8) int32 -> (*b, 13) float64 in [0, 1]."""
    sticks = np.clip(pads[..., :4], -STICK_MAX, STICK_MAX) / (2 * STICK_MAX) + 0.5
    shoulder = np.max(pads[..., 4:6], axis=-1, keepdims=True) / 255
    bits = [(pads[..., field] >> bit) & 1 for field, bit in BUTTON_BITS]
    return np.concatenate([sticks, shoulder, np.stack(bits, axis=-1)], axis=-1)


def sticks(pads: jax.Array) -> jax.Array:
    """(*b, 8) -> (*b, 4) int32 counted from 0 (left, down) to 160."""
    return clamp(pads[..., :4], STICK_MAX) + STICK_MAX


def trigger(pads: jax.Array) -> jax.Array:
    """(*b, 8) -> (*b, 1) int32, the stronger of both."""
    return jnp.clip(jnp.maximum(pads[..., 4:5], pads[..., 5:6]), 0, 255)


def pressed(pads: jax.Array) -> jax.Array:
    """(*b, 8) -> (*b, 8) int32 bits in the order of `awm_jax.encoding.BUTTONS`."""
    bits = [(pads[..., field] >> bit) & 1 for field, bit in BUTTON_BITS]
    return jnp.stack(bits, axis=-1)


def analog_codes(p: Inputs, pads: jax.Array) -> jax.Array:
    """(*b, 8) -> (*b, 5) wide codes."""
    stick = rsh(sticks(pads) * p.stick_m, p.stick_s)
    shoulder = rsh(trigger(pads) * p.trigger_m, p.trigger_s)
    return jnp.concatenate([stick, shoulder], axis=-1)


def frame_codes(
    p: Inputs, cfg: EncodingConfig, frame: GameFrame, pads: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One frame's input to the network: (n_wide,) int32 and (n_narrow,) int8 codes.

    Args:
      pads: (2, 8) the controllers that stand in the frame's controller columns.
    """
    cont = clamp(mulshift(frame.cont, p.column_m[None], p.column_s[None]), WIDE_MAX)
    wide = jnp.concatenate([cont, analog_codes(p, pads)], axis=-1).reshape(-1)
    if p.levels.shape[0]:
        wide = jnp.concatenate([wide, geometry_codes(p, cfg, frame).reshape(-1)])
    bits = jnp.concatenate([frame.binary, pressed(pads)], axis=-1) * p.one
    parts = [bits.reshape(-1).astype(jnp.int8)]
    for player in (0, 1):
        for column, name in enumerate(int_names(cfg)):
            parts.append(p.embeddings[name][frame.ints[player, column]])
    parts.append(p.embeddings["stage"][frame.stage])
    return wide, jnp.concatenate(parts)


def geometry_codes(p: Inputs, cfg: EncodingConfig, frame: GameFrame) -> jax.Array:
    """`awm_jax.fp32.features.geometry` of one frame as wide codes, (2, 9)."""
    where = columns(cfg)
    x, y = frame.cont[:, where["x"]], frame.cont[:, where["y"]]
    rise = frame.cont[:, where["speed_y"]] + frame.cont[:, where["speed_attack_y"]]
    levels = p.levels[frame.stage]
    heights = levels[None, :LEVELS]
    parts = [
        clamp(y[:, None] - heights, HEIGHT),
        clamp((y + rise)[:, None] - heights, HEIGHT),
        clamp(jnp.abs(x) - levels[LEVELS], EDGE)[:, None],
        clamp(x[::-1] - x, RIVAL)[:, None],
        clamp(y[::-1] - y, RIVAL)[:, None],
    ]
    return mulshift(jnp.concatenate(parts, axis=-1), p.feature_m[None], p.feature_s[None])


def control_codes(
    p: Inputs, cfg: EncodingConfig, pads: jax.Array, before: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """`next_ctrl` as wide (10,) int32 and narrow (C - 10,) int8 codes.

    Args:
      pads, before: (2, 8) controllers of the new frame and of the one before.
    """
    buttons = pressed(pads)
    narrow = [buttons.reshape(-1)]
    if cfg.press_events:
        narrow.append((buttons & (1 - pressed(before))).reshape(-1))
    if cfg.ctrl_threshold_features:
        stick = clamp(pads[..., :4], STICK_MAX) > STICK_THRESHOLD
        beyond = jnp.concatenate([stick, trigger(pads) > TRIGGER_THRESHOLD], axis=-1)
        narrow.append(beyond.astype(jnp.int32).reshape(-1))
    codes = jnp.concatenate(narrow) * p.one
    return analog_codes(p, pads).reshape(-1), codes.astype(jnp.int8)


def knocked_out(cfg: EncodingConfig, frame: GameFrame) -> jax.Array:
    """(2,) bool: fewer than half a stock left."""
    return frame.cont[..., columns(cfg)["stocks"]] < int(KO_BELOW * UNIT)


def record(cfg: EncodingConfig, frame: GameFrame) -> jax.Array:
    """The on-chain PlayerState of both players, (2, 17) int32 in the order of `RECORD_FIELDS`.

    Positions, speeds and shield are rounded to 1/256, counts to whole numbers, half up.
    """
    where = columns(cfg)

    def cont(name, bits):
        return rsh(frame.cont[..., where[name]], UNIT_BITS - bits)

    def whole(name, least, most):
        return jnp.clip(cont(name, 0), least, most)

    def bit(name):
        return frame.binary[..., where[name] - cfg.continuous_dim]

    def category(name):
        return frame.ints[..., where.int_index[name]]

    age = category("state_age") if cfg.state_age_as_embed else whole("state_age", 0, 65535)
    fields = {
        "x": cont("x", 8),
        "y": cont("y", 8),
        "percent": whole("percent", 0, 65535),
        "shield_strength": cont("shield", 8),
        **{name: cont(name, 8) for name in VELOCITY},
        "state_age": age,
        "hitlag": whole("hitlag", 0, 255),
        "stocks": whole("stocks", 0, 4),
        "facing": bit("facing"),
        "on_ground": bit("on_ground"),
        "action_state": category("action"),
        "jumps_left": category("jumps"),
        "character": category("character"),
    }
    return jnp.stack([fields[name] for name in RECORD_FIELDS], axis=-1)


def frame_words(frame: GameFrame, number: jax.Array) -> jax.Array:
    """What a frame adds to the digest, (n,) uint32.

    In order: its number; the stage; for each player the continuous columns, the int columns, the
    binaries packed 32 to a word (the first lowest), the pad's eight fields as bytes of two words.
    """
    words = [jnp.stack([jnp.asarray(number, jnp.int32), frame.stage])]
    place = jnp.arange(4, dtype=jnp.int32) * 8
    for player in (0, 1):
        bits = frame.binary[player]
        packed = [
            jnp.sum(bits[i : i + 32] << jnp.arange(len(bits[i : i + 32])), dtype=jnp.int32)
            for i in range(0, len(bits), 32)
        ]
        pad = (frame.pads[player] & 255).reshape(2, 4) << place[None]
        words += [
            frame.cont[player],
            frame.ints[player],
            jnp.stack(packed),
            jnp.sum(pad, axis=-1, dtype=jnp.int32),
        ]
    return jax.lax.bitcast_convert_type(jnp.concatenate(words), jnp.uint32)


def decode(cfg: EncodingConfig, frame: GameFrame) -> dict[str, np.ndarray]:
    """Columns by name in game units, exact: name -> (*t, 2) float64, bool or int32."""
    names = float_names(cfg)
    cont, binary, ints = (np.asarray(v) for v in (frame.cont, frame.binary, frame.ints))
    out: dict[str, np.ndarray] = {}
    for i, name in enumerate(names[: cfg.continuous_dim]):
        out[name] = cont[..., i] / UNIT
    for i, name in enumerate(names[cfg.continuous_dim : cfg.continuous_dim + cfg.binary_dim]):
        out[name] = binary[..., i] > 0
    return out | {name: ints[..., i] for i, name in enumerate(int_names(cfg))}
