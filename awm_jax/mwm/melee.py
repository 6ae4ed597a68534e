"""Melee in the mind's terms: a frame as sixteen world and eight self features, an action as a
controller. docs/mwm.md has the tables and the reasons.

Written for one frame, seen by the player who comes first in it; `vmap` for more. Lengths are
metres of `UNITS_PER_METRE` game units: the guide's 20 m, within which an enemy threatens, are then
80 units, half a stage.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import CONTROLLER, EncodingConfig, columns
from awm_jax.game.frames import neutral_pad
from awm_jax.game.stages import stage
from awm_jax.mwm.features import ACTION_DIM, ACTION_NAMES, FAR, GWM_DIM

UNITS_PER_METRE = 4.0
NEAR, CLOSE = 20.0, 5.0
LETHAL, FULL_SHIELD, FULL_STOCKS, ALL_JUMPS, LONG_COMBO = 150.0, 60.0, 4.0, 2.0, 5.0
MAX_COVERS = 5
LEDGE_RATING, PLATFORM_RATING = 1.0, 0.6
OFF_BELOW = -5.0
"""Game units under which one is off the stage."""
UNKNOWN = len(ACTION_NAMES)
"""Index of the candidate that does nothing."""
CANDIDATES = UNKNOWN + 1
PERIOD = 6
"""Frames of one decision: a tenth of a second."""
PRESSED = 3
"""Frames of it in which buttons are down, so that the next decision can press them again."""

# Spans of action states, both ends included: game facts.
GONE = ((0, 13),)
ATTACKING = ((44, 69), (212, 222), (341, 399))
HELPLESS = ((75, 91), (183, 204), (223, 232), (239, 243))
FULL, TILT = 1.0, 0.6


def _flag(holds: jax.Array) -> jax.Array:
    return holds.astype(jnp.float32)


def _within(action: jax.Array, spans: tuple[tuple[int, int], ...]) -> jax.Array:
    """1 where the action lies in one of the spans, else 0."""
    inside = [(action >= a) & (action <= b) for a, b in spans]
    return _flag(functools.reduce(jnp.logical_or, inside))


@functools.cache
def covers(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By stage id: covers (n, 5, 2) in game units, their ratings (n, 5), half widths (n,)."""
    places = np.full((count, MAX_COVERS, 2), 1e6, np.float32)
    ratings = np.zeros((count, MAX_COVERS), np.float32)
    edges = np.zeros(count, np.float32)
    for number in range(count):
        s = stage(number)
        left, right = s.ground_x_range
        spots = [((left, s.ground_y), LEDGE_RATING), ((right, s.ground_y), LEDGE_RATING)]
        spots += [(((a + b) / 2, y), PLATFORM_RATING) for (a, b), y in s.platforms]
        for i, (place, rating) in enumerate(spots):
            places[number, i], ratings[number, i] = place, rating
        edges[number] = right
    return places, ratings, edges


def observe(cfg: EncodingConfig, floats: jax.Array, ints: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What the first player of a frame (F,), (I,) senses: unscaled world (16,) and self (8,).

    World: threat; opponents in the game, on the stage, facing here; the nearest one's distance,
    bearing from one's own facing, health; the nearest ledge or platform and its rating; away from
    the opponent, towards the stage when off it; how little an attack can hurt now; whether off the
    stage; whether the opponent is helpless, and how far it then is; age 0. Self: health by percent,
    shield, jumps, invulnerable, in combat, confidence by stocks and percent, unable to act, combo.
    """
    where = columns(cfg)
    scale = {"percent": cfg.percent_scale, "x": cfg.xy_scale, "y": cfg.xy_scale}
    scale |= {"shield": cfg.shield_scale, "stocks": cfg.stocks_scale}
    scale |= {"hitlag": cfg.hitlag_scale, "combo_count": cfg.combo_count_scale}

    def read(player: int, name: str) -> jax.Array:
        return floats[player * cfg.float_per_player + where[name]] / scale.get(name, 1.0)

    def whole(player: int, name: str) -> jax.Array:
        return ints[player * cfg.int_per_player + where.int_index[name]]

    me, you = 0, 1
    places, ratings, edges = (jnp.asarray(a) for a in covers(cfg.stage_vocab))
    ground = ints[2 * cfg.int_per_player]
    here = jnp.stack([read(me, "x"), read(me, "y")])
    there = jnp.stack([read(you, "x"), read(you, "y")])
    away = here - there
    distance = jnp.linalg.norm(away) / UNITS_PER_METRE
    facing = jnp.where(read(me, "facing") > 0.5, 1.0, -1.0)
    theirs = jnp.where(read(you, "facing") > 0.5, 1.0, -1.0)
    alive = _flag(read(you, "stocks") > 0.5)
    playing = alive * (1 - _within(whole(you, "action"), GONE))
    attacking = _within(whole(you, "action"), ATTACKING)
    helpless = _within(whole(me, "action"), HELPLESS)
    opening = playing * _within(whole(you, "action"), HELPLESS)
    near = jnp.clip(1 - distance / NEAR, 0, 1)
    hit = _flag(read(you, "hitlag") > 0.5) * attacking
    threat = playing * (0.4 * near + 0.3 * attacking * near + 0.1 * hit) + 0.2 * helpless
    health = [jnp.clip(1 - read(p, "percent") / LETHAL, 0, 1) for p in (me, you)]
    lives = [(jnp.maximum(read(p, "stocks") - 1, 0) + health[p]) / FULL_STOCKS for p in (me, you)]
    gaps = jnp.linalg.norm(places[ground] - here[None], axis=-1) / UNITS_PER_METRE
    best = jnp.argmin(gaps)
    off = (jnp.abs(here[0]) > edges[ground]) | (here[1] < OFF_BELOW)
    home = -here / jnp.maximum(jnp.linalg.norm(here), 1.0)
    escape = jnp.where(off, home, playing * away / jnp.maximum(jnp.linalg.norm(away), 1.0))
    safe = jnp.maximum(read(me, "invulnerable"), 1 - playing * near)
    bearing = jnp.degrees(jnp.arctan2(-away[1], -away[0] * facing))
    gwm = jnp.stack(
        [
            jnp.clip(threat, 0, 1),
            alive,
            playing,
            playing * _flag(theirs * away[0] >= 0),
            jnp.where(playing > 0, distance, FAR),
            jnp.where(playing > 0, bearing, 0.0),
            jnp.where(playing > 0, lives[you], 1.0),
            gaps[best],
            ratings[ground][best],
            escape[0],
            escape[1],
            safe,
            _flag(off),
            opening,
            jnp.where(opening > 0, distance, FAR),
            jnp.zeros(()),
        ]
    )
    own = jnp.stack(
        [
            health[me],
            jnp.clip(read(me, "shield") / FULL_SHIELD, 0, 1),
            jnp.clip(whole(me, "jumps").astype(jnp.float32) / ALL_JUMPS, 0, 1),
            read(me, "invulnerable"),
            jnp.maximum(playing * _flag(distance < CLOSE), helpless),
            jnp.clip(0.5 + (lives[me] - lives[you]) / 2, 0, 1),
            jnp.maximum(helpless, _flag(read(me, "hitlag") > 0.5)),
            jnp.clip(read(me, "combo_count") / LONG_COMBO, 0, 1),
        ]
    )
    assert gwm.shape == (GWM_DIM,)
    return gwm, own


def directions(cfg: EncodingConfig, floats: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of the first player: +1 or -1 for the way it faces, and for the side of its opponent."""
    where = columns(cfg)
    facing = jnp.where(floats[where["facing"]] > 0.5, 1.0, -1.0)
    other = floats[cfg.float_per_player + where["x"]]
    return facing, jnp.where(other >= floats[where["x"]], 1.0, -1.0)


@functools.cache
def recipes() -> np.ndarray:
    """(13, 13) by candidate: stick x times facing, times side, as it is; y; shoulder; buttons."""
    rows = {
        "move_forward": {"facing": TILT},
        "move_backward": {"facing": -TILT},
        "move_left": {"fixed": -FULL},
        "move_right": {"fixed": FULL},
        "attack": {"side": TILT, "button_a": 1},
        "block": {"shoulder": 1, "button_l": 1},
        "heal": {"up": FULL, "button_b": 1},
        "sneak": {"up": -FULL},
        "activate": {"button_b": 1},
        "jump": {"button_x": 1},
        "sprint": {"side": FULL},
        "back": {"side": -FULL, "shoulder": 1, "button_l": 1},
    }
    keys = ("facing", "side", "fixed", "up", *CONTROLLER[4:])
    table = np.zeros((CANDIDATES, len(keys)), np.float32)
    for i, name in enumerate(ACTION_NAMES):
        for key, value in rows[name].items():
            table[i, keys.index(key)] = value
    return table


def pad_of(
    action: jax.Array, facing: jax.Array, side: jax.Array, pressed: jax.Array | bool = True
) -> jax.Array:
    """The controller (13,) float32 of an action's index; `UNKNOWN` is a neutral one.

    Args:
      facing, side: see `directions`.
      pressed: whether buttons are down in this frame; sticks and trigger stay.
    """
    row = jnp.asarray(recipes())[action]
    x = row[0] * facing + row[1] * side + row[2]
    sticks = jnp.asarray(neutral_pad()[:4]).at[0].set((x + 1) / 2).at[1].set((row[3] + 1) / 2)
    return jnp.concatenate([sticks, row[4:5], row[5:] * jnp.asarray(pressed, jnp.float32)])


def label_of(pads: np.ndarray, facing: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The action (*b) that a controller (*b, 13) comes nearest to: the inverse of `pad_of`."""
    column = {name: pads[..., i] for i, name in enumerate(CONTROLLER)}
    x, y = column["main_x"] * 2 - 1, column["main_y"] * 2 - 1
    forward, toward = x * facing, x * side
    pressed = {name: column[f"button_{name}"] > 0.5 for name in ("a", "b", "x", "y", "z", "l", "r")}
    c_stick = np.maximum(abs(column["c_x"] * 2 - 1), abs(column["c_y"] * 2 - 1)) > 0.5
    guard = pressed["l"] | pressed["r"] | (column["shoulder"] > 0.3)
    rules = [
        ("heal", pressed["b"] & (y > 0.5)),
        ("activate", pressed["b"]),
        ("attack", pressed["a"] | pressed["z"] | c_stick),
        ("back", guard & (toward < -0.5)),
        ("block", guard),
        ("jump", pressed["x"] | pressed["y"] | (y > 0.8)),
        ("sneak", y < -0.7),
        ("sprint", toward > 0.8),
        ("move_left", x < -0.8),
        ("move_right", x > 0.8),
        ("move_forward", forward > 0.25),
        ("move_backward", forward < -0.25),
    ]
    found = np.full(pads.shape[:-1], UNKNOWN)
    for name, holds in reversed(rules):
        found = np.where(holds, ACTION_NAMES.index(name), found)
    return found


def action_features() -> np.ndarray:
    """(13, 16) float32: all candidates packed, `UNKNOWN` last: each lasts `PERIOD` frames."""
    table = np.zeros((CANDIDATES, ACTION_DIM), np.float32)
    table[:UNKNOWN, :UNKNOWN] = np.eye(UNKNOWN)
    table[:, UNKNOWN:] = (1.0, 0.0, PERIOD / 60, 0.5)
    return table
