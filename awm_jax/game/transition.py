"""From a network's outputs to the next frame: the match's rule and the evaluation's rule.

Source: networks.md section 1.5, match.md section 1.2. Column order is that of training (T1).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import (
    CORE,
    PREDICTED_CATEGORICAL,
    VELOCITY,
    EncodingConfig,
    column_scale,
    columns,
    int_names,
)
from awm_jax.game import rules
from awm_jax.game.frames import Frames

CLAMPS = {
    "percent": (0.0, 999.0),
    "x": (-300.0, 300.0),
    "y": (-200.0, 300.0),
    "shield": (0.0, 60.0),
    "hitlag": (0.0, 50.0),
    "stocks": (0.0, 4.0),
    "combo_count": (0.0, 50.0),
}
KO_BELOW = 0.5

Outputs = dict[str, jax.Array]


def evaluation_step(cfg: EncodingConfig, last: Frames, outputs: Outputs, pads: jax.Array) -> Frames:
    """The founders' rule for rollouts: no clamps; state_age and four categories stay as they were.

    Args:
      last: one frame, (*b, F) and (*b, I).
      outputs: as `awm_jax.encoding.world_outputs` names them, (*b, width).
      pads: (*b, 2, 13) the controllers of the new frame.
    """
    floats = _next_floats(cfg, last.floats, outputs, pads)
    return Frames(floats, _next_ints(cfg, last.ints, outputs, ("action", "jumps")))


def match_transition(
    cfg: EncodingConfig, last: Frames, outputs: Outputs, pads: jax.Array, game_rules: bool = False
) -> Frames:
    """The match's rule: all categories, state_age counted, every field clamped to its range.

    Args:
      game_rules: as `Variant.game_rules`.
    """
    ints = _next_ints(cfg, last.ints, outputs, PREDICTED_CATEGORICAL)
    floats = _next_floats(cfg, last.floats, outputs, pads)
    blocks = _players(floats, cfg.float_per_player)
    before, after = _int_players(cfg, last.ints), _int_players(cfg, ints)
    action = columns(cfg).int_index["action"]
    if game_rules:
        old = _players(last.floats, cfg.float_per_player)
        blocks, after = _ruled(cfg, old, blocks, before, after, ints[..., -1])
    same = after[..., action] == before[..., action]
    if cfg.state_age_as_embed:
        age = columns(cfg).int_index["state_age"]
        counted = jnp.minimum(before[..., age] + 1, cfg.state_age_embed_vocab - 1)
        after = after.at[..., age].set(jnp.where(same, counted, 0))
        ints = _join(jax.lax.collapse(after, -2), ints[..., -1:])
    else:
        age = columns(cfg)["state_age"]
        old = _players(last.floats, cfg.float_per_player)[..., age]
        step = jnp.asarray(cfg.state_age_scale, old.dtype)
        blocks = blocks.at[..., age].set(jnp.where(same, old + step, jnp.zeros_like(old)))
    if game_rules:
        at, age = columns(cfg)["stocks"], columns(cfg).int_index["state_age"]
        lost = rules.takes_stock(after[..., action], after[..., age]).astype(blocks.dtype)
        stocks = _players(last.floats, cfg.float_per_player)[..., at]
        blocks = blocks.at[..., at].set(stocks - lost * cfg.stocks_scale)
    return Frames(clamp(cfg, blocks.reshape(floats.shape)), ints)


def clamp(cfg: EncodingConfig, floats: jax.Array) -> jax.Array:
    """(*b, F) with every field of `CLAMPS` in its range, for both players. NaN stays NaN."""
    blocks = _players(floats, cfg.float_per_player)
    low, high = _bounds(cfg)
    lead = (1,) * (blocks.ndim - 1)
    blocks = jnp.clip(blocks, low.reshape(*lead, -1), high.reshape(*lead, -1))
    return blocks.reshape(floats.shape)


def knocked_out(cfg: EncodingConfig, frame: Frames) -> jax.Array:
    """Whose stocks are gone: (*b, 2) bool."""
    stocks = _players(frame.floats, cfg.float_per_player)[..., columns(cfg)["stocks"]]
    return stocks < KO_BELOW * cfg.stocks_scale


def _ruled(cfg, old, new, before, after, stage):
    """Player blocks (*b, 2, fp) and ints (*b, 2, ip) of the new frame by the game's rules.

    Args:
      old, new: blocks of the frame before, and as the network has them.
      before, after: ints of the frame before, and as the network has them.
      stage: (*b,).
    """
    where = columns(cfg)
    action_at, attack_at = where.int_index["action"], where.int_index["last_attack"]

    def scaled(name):
        return column_scale(cfg, name)

    x, y = (new[..., where[name]] / scaled(name) for name in ("x", "y"))
    lines = jnp.asarray(rules.lines(cfg.stage_vocab), new.dtype)[stage][..., None, :]
    low, left, right, top = jnp.unstack(lines, axis=-1)
    beyond = jnp.stack([y < low, x < left, x > right, y > top], axis=-1)
    names = ("action", "state_age", "character")
    was, age, character = (before[..., where.int_index[name]] for name in names)
    stood = old[..., where["on_ground"]] > 0.5

    hit = new[..., where["stocks"]] > 0
    counted = [name for name in rules.COUNTERS if name in where.index]
    counts = {n: jnp.round(old[..., where[n]] / scaled(n)) for n in counted}
    said = {n: jnp.round((old + new)[..., where[n]] / scaled(n)) for n in counted}
    lag = said["hitlag"] = rules.lag(counts["hitlag"], said["hitlag"], 1)
    if cfg.hitstun:
        said["hitstun"] = rules.stun(counts["hitstun"], said["hitstun"], 1, hit, lag)
    for name in counted:
        new = new.at[..., where[name]].set((said[name] * scaled(name)).astype(new.dtype))
    struck = hit | (lag > counts["hitlag"])
    chosen = after[..., action_at]
    action = rules.next_action(chosen, was, age, stood, character, beyond, struck, lag)

    at = where["speed_ground_x"]
    stands = new[..., where["on_ground"]] > 0.5
    new = new.at[..., at].set(jnp.where(stands, new[..., at], 0))
    at = slice(where[rules.KNOCKBACK[0]], where[rules.KNOCKBACK[1]] + 1)
    worn = rules.worn(old[..., at], new[..., at], rules.WEAR * scaled(rules.KNOCKBACK[0]))
    free = ~hit & (counts["hitlag"] <= 0)
    new = new.at[..., at].set(jnp.where(free[..., None], worn, new[..., at]))
    at = where["percent"]
    struck = jnp.maximum(new[..., at], old[..., at] + rules.LEAST_HIT * scaled("percent"))
    new = new.at[..., at].set(jnp.where(hit, struck, old[..., at]))

    still = rules.is_still(action) & rules.is_still(was)
    for name in ("x", "y"):
        at = where[name]
        new = new.at[..., at].set(jnp.where(still, old[..., at], new[..., at]))
    born = (action == rules.REBIRTH) & (was != rules.REBIRTH)
    places = jnp.asarray(rules.birth_places(cfg.stage_vocab), new.dtype)[stage]
    fresh = {name: jnp.zeros((), new.dtype) for name in (*CORE, *VELOCITY, *rules.COUNTERS)}
    fresh |= {"x": places[..., :2], "y": places[..., 2:3], "speed_y": places[..., 3:]}
    fresh["shield"] = jnp.asarray(rules.SHIELD, new.dtype)
    for name, value in fresh.items():
        if name in where.index:
            at = where[name]
            new = new.at[..., at].set(jnp.where(born, value * scaled(name), new[..., at]))
    attacks = after[..., attack_at], before[..., attack_at]
    after = after.at[..., attack_at].set(rules.last_attack(*attacks, hit, born))
    return new, after.at[..., action_at].set(action)


def _bounds(cfg: EncodingConfig) -> tuple[np.ndarray, np.ndarray]:
    low = np.full(cfg.float_per_player, -np.inf, np.float32)
    high = np.full(cfg.float_per_player, np.inf, np.float32)
    for name, (least, most) in CLAMPS.items():
        column, scale = columns(cfg)[name], column_scale(cfg, name)
        low[column], high[column] = least * scale, most * scale
    return low, high


def _players(floats: jax.Array, width: int) -> jax.Array:
    return floats.reshape(*floats.shape[:-1], 2, width)


def _int_players(cfg: EncodingConfig, ints: jax.Array) -> jax.Array:
    return _players(ints[..., :-1], cfg.int_per_player)


def _join(*parts: jax.Array) -> jax.Array:
    return jnp.concatenate(parts, axis=-1)


def _next_floats(cfg, floats, outputs, pads):
    where = columns(cfg)
    blocks = _players(floats, cfg.float_per_player)

    def per_player(name):
        value = outputs[name]
        return _players(value, value.shape[-1] // 2)

    moved = _join(per_player("continuous_delta"), per_player("velocity_delta"))
    binary = (per_player("binary_logits") > 0).astype(blocks.dtype)
    # Joined rather than written into place: a tenth of a frame's time on the CPU.
    pieces = {
        where.core.start: blocks[..., : where.velocity.stop] + moved,
        where.dynamics.start: per_player("dynamics_pred"),
        where.binary.start: binary,
        where.controller.start: pads.astype(blocks.dtype),
    }
    parts, at = [], 0
    for start, piece in pieces.items():
        if start > at:
            parts.append(blocks[..., at:start])
        parts.append(piece)
        at = start + piece.shape[-1]
    return _join(*parts).reshape(floats.shape)


def _next_ints(cfg, ints, outputs, names):
    rows = []
    for player in (0, 1):
        for i, name in enumerate(int_names(cfg)):
            if name in names:
                choice = jnp.argmax(outputs[f"p{player}_{name}_logits"], axis=-1)
                rows.append(choice.astype(ints.dtype))
            else:
                rows.append(ints[..., player * cfg.int_per_player + i])
    rows.append(ints[..., -1])
    return jnp.stack(rows, axis=-1)
