"""What the integer mind senses in a frame. docs/integer-spec.md section 11.1.

`awm_jax.mwm.melee.observe` in integers: features are in 2^-13 (`ONE`), lengths in 2^-5 game units.
Written for one frame whose first player is the mind's.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig, columns
from awm_jax.int8 import fixed, tables
from awm_jax.int8.fixed import clamp, rsh
from awm_jax.int8.frame import UNIT, UNIT_BITS, GameFrame
from awm_jax.int8.params import Array
from awm_jax.mwm.features import GWM, GWM_UNITS, RANGE
from awm_jax.mwm.melee import (
    ALL_JUMPS,
    ATTACKING,
    CLOSE,
    FULL_SHIELD,
    FULL_STOCKS,
    GONE,
    HELPLESS,
    LETHAL,
    LONG_COMBO,
    NEAR,
    OFF_BELOW,
    UNITS_PER_METRE,
    covers,
)
from awm_jax.pytree import pytree

ONE_BITS, LENGTH_BITS = 13, 5
ONE, LENGTH = 1 << ONE_BITS, 1 << LENGTH_BITS
ABSENT = 1 << 14
"""Where a cover lies that there is not: farther than any that there is."""
ARC_MOST = 5823
"""The largest argument of `arc`: a little over the sine of 45 degrees."""
PERCENT_BITS = 8
ENEMY = round(ONE / GWM_UNITS[GWM["num_enemies_total"]])
THREAT_NEAR, THREAT_ATTACK = round(0.4 * 2**15), round(0.3 * 2**15)
THREAT_HIT, THREAT_HELPLESS = round(0.1 * ONE), round(0.2 * ONE)


@pytree
class Senses:
    """Attributes:
    rsqrt: (193,), arc: (92,) tables.
    places: (stages, 5, 2) ledges and platforms in 2^-5 units; ratings: (stages, 5) in 2^-13.
    edges: (stages,) half widths of the grounds in 2^-5 units.
    """

    rsqrt: Array
    arc: Array
    places: Array
    ratings: Array
    edges: Array


def make_senses(stages: int) -> Senses:
    """Those of the first `stages` stages, NumPy int32."""
    places, ratings, edges = covers(stages)
    there = (ratings > 0)[..., None]
    return Senses(
        rsqrt=tables.rsqrt(),
        arc=tables.arc(),
        places=np.where(there, np.rint(places * LENGTH), ABSENT).astype(np.int32),
        ratings=np.rint(ratings * ONE).astype(np.int32),
        edges=np.rint(edges * LENGTH).astype(np.int32),
    )


def share(x: jax.Array, full: float, bits: int) -> jax.Array:
    """x of `full` 2^bits units in 2^-13, limited to 0..1."""
    most = round(full * 2**bits)
    factor, shift = ratio(full, bits)
    return rsh(jnp.clip(x, 0, most) * factor, shift)


def ratio(full: float, bits: int) -> tuple[int, int]:
    """m and s, 2^13 <= m < 2^14, for which m 2^-s makes `full` 2^bits units 2^13."""
    value = ONE / (full * 2**bits)
    shift = 13 - math.floor(math.log2(value))
    return round(value * 2**shift), shift


def unit(rsqrt: jax.Array, v: jax.Array) -> jax.Array:
    """v (*b, 2) of 16 bits, of length one: in 2^-13. Zeros stay zeros."""
    tiny, half = jnp.array([0, 1], jnp.int32), jnp.full(2, ONE * 2, jnp.int32)
    return fixed.norm(v, tiny, half, jnp.int32(16), rsqrt, ONE)


def length(v: jax.Array, direction: jax.Array) -> jax.Array:
    """(*b,) the length of v, `direction` being its `unit`."""
    return rsh(jnp.sum(v * direction, axis=-1, dtype=jnp.int32), ONE_BITS)


def away_from(v: jax.Array, direction: jax.Array, distance: jax.Array) -> jax.Array:
    """v / max(|v|, 1 game unit) in 2^-13."""
    return jnp.where(distance < LENGTH, v << (ONE_BITS - LENGTH_BITS), direction)


def bearing(arc: jax.Array, c: jax.Array, s: jax.Array) -> jax.Array:
    """The angle of (c, s), in 2^-13 of half a turn: -1..1, -1 straight behind."""
    least = jnp.minimum(jnp.minimum(jnp.abs(c), jnp.abs(s)), ARC_MOST)
    low, high = arc[least >> 6], arc[(least >> 6) + 1]
    angle = low + rsh((high - low) * (least & 63), 6)
    angle = jnp.where(jnp.abs(s) > jnp.abs(c), ONE // 2 - angle, angle)
    angle = jnp.where(c < 0, ONE - angle, angle)
    return clamp(jnp.where(s > 0, angle, -angle), ONE)


def _within(action: jax.Array, spans: tuple[tuple[int, int], ...]) -> jax.Array:
    return functools.reduce(jnp.logical_or, [(action >= a) & (action <= b) for a, b in spans])


def facing(cfg: EncodingConfig, frame: GameFrame) -> jax.Array:
    """(2,) +1 or -1."""
    return frame.binary[:, columns(cfg)["facing"] - cfg.continuous_dim] * 2 - 1


def side(cfg: EncodingConfig, frame: GameFrame) -> jax.Array:
    """+1 where the opponent stands right of the first player or as far, else -1."""
    x = frame.cont[:, columns(cfg)["x"]]
    return jnp.where(x[1] >= x[0], 1, -1)


def observe(p: Senses, cfg: EncodingConfig, frame: GameFrame) -> tuple[jax.Array, jax.Array]:
    """World (16,) and self (8,) features in 2^-13, scaled as `features.scale_gwm` does."""
    where = columns(cfg)

    def cont(name: str) -> jax.Array:
        return frame.cont[:, where[name]]

    def bit(name: str) -> jax.Array:
        return frame.binary[:, where[name] - cfg.continuous_dim]

    def flag(holds: jax.Array) -> jax.Array:
        return jnp.where(holds, ONE, 0)

    action = frame.ints[:, where.int_index["action"]]
    jumps = frame.ints[:, where.int_index["jumps"]]
    here, there = jnp.stack([rsh(cont(n), UNIT_BITS - LENGTH_BITS) for n in ("x", "y")], axis=1)
    away = here - there
    direction = unit(p.rsqrt, away)
    distance = length(away, direction)
    looks = facing(cfg, frame)
    alive = cont("stocks") > UNIT // 2
    playing = alive[1] & ~_within(action[1], GONE)
    attacking = _within(action[1], ATTACKING)
    helpless = _within(action, HELPLESS)
    opening = playing & helpless[1]
    hitlag = cont("hitlag") > UNIT // 2

    near = ONE - share(distance, NEAR * UNITS_PER_METRE, LENGTH_BITS)
    weight = THREAT_NEAR + jnp.where(attacking, THREAT_ATTACK, 0)
    threat = rsh(near * weight, 15) + jnp.where(attacking & hitlag[1], THREAT_HIT, 0)
    threat = jnp.where(playing, threat, 0) + jnp.where(helpless[0], THREAT_HELPLESS, 0)

    percent = rsh(cont("percent"), UNIT_BITS - PERCENT_BITS)
    health = ONE - share(percent, LETHAL, PERCENT_BITS)
    spare = jnp.maximum(cont("stocks") - UNIT, 0)
    lives = rsh(rsh(spare, UNIT_BITS - ONE_BITS) + health, int(FULL_STOCKS).bit_length() - 1)

    gaps = here[None] - p.places[frame.stage]
    best = jnp.argmin(jnp.sum(gaps * gaps, axis=-1, dtype=jnp.int32))
    gap = gaps[best]
    reach = functools.partial(share, full=RANGE * UNITS_PER_METRE, bits=LENGTH_BITS)
    off = (jnp.abs(here[0]) > p.edges[frame.stage]) | (here[1] < round(OFF_BELOW * LENGTH))
    inward = unit(p.rsqrt, -here)
    home = away_from(-here, inward, length(-here, inward))
    flight = jnp.where(playing, away_from(away, direction, distance), 0)
    escape = jnp.where(off, home, flight)
    turn = bearing(p.arc, -direction[0] * looks[0], -direction[1])
    world = [
        jnp.clip(threat, 0, ONE),
        jnp.where(alive[1], ENEMY, 0),
        jnp.where(playing, ENEMY, 0),
        jnp.where(playing & (looks[1] * away[0] >= 0), ENEMY, 0),
        jnp.where(playing, reach(distance), ONE),
        jnp.where(playing, turn, 0),
        jnp.where(playing, lives[1], ONE),
        reach(length(gap, unit(p.rsqrt, gap))),
        p.ratings[frame.stage][best],
        escape[0],
        escape[1],
        jnp.maximum(bit("invulnerable")[0] * ONE, ONE - jnp.where(playing, near, 0)),
        flag(off),
        flag(opening),
        jnp.where(opening, reach(distance), ONE),
        jnp.int32(0),
    ]
    shield = rsh(cont("shield")[0], UNIT_BITS - PERCENT_BITS)
    combo = rsh(cont("combo_count")[0], UNIT_BITS - PERCENT_BITS)
    own = [
        health[0],
        share(shield, FULL_SHIELD, PERCENT_BITS),
        jnp.clip(jumps[0], 0, int(ALL_JUMPS)) << (ONE_BITS - 1),
        bit("invulnerable")[0] * ONE,
        flag((playing & (distance < round(CLOSE * UNITS_PER_METRE * LENGTH))) | helpless[0]),
        jnp.clip(ONE // 2 + rsh(lives[0] - lives[1], 1), 0, ONE),
        flag(helpless[0] | hitlag[0]),
        share(combo, LONG_COMBO, PERCENT_BITS),
    ]
    return jnp.stack(world), jnp.stack(own)
