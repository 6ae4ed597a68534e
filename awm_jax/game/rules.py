"""The rules of a match, for worlds with `Variant.game_rules`: lives, score and counters.

Where the fighters go, what they do and whether they hit is learned. Written here is what decides
a match: the lines beyond which a stock is lost, how long that takes, where a player begins anew,
and which numbers are whole. All of it holds to the frame in 389 recorded games (2.8 million
frames, 2,270 stocks), where action 4 goes on in place of `GONE`. So does what only a hit begins,
but for one frame in some thousands: nobody's knockback grows or his hitstun rises who is not hit,
hitlag and hitstun count down, the last attack that landed is another one only at a hit. And who
is in the air has no speed along the ground.
"""

from __future__ import annotations

import functools
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.game.stages import stage

STANDING, FALLING = 14, 29
"""What follows an action that has lasted its longest, where recorded games tell nothing better."""
FALLS = range(29, 39)
"""Actions that the ground or the lower line ends."""
CAUGHT = range(223, 233)
"""Actions of whom the other has grabbed."""
ACTIONS, OWN, FIGHTERS, ANYBODY = 400, 341, 33, -1
OWN_ACTIONS = ACTIONS - OWN
"""Actions from `OWN` on are specials, which are something else for each of the characters."""

GONE = 5
"""The end of action 4, which takes 176 frames in all: more than a world's state_age counts. No
recorded game has this action."""
DYING = {
    0: (60, 12),
    1: (60, 12),
    2: (60, 12),
    4: (150, GONE),
    GONE: (26, 12),
    6: (51, 7),
    7: (78, 12),
}
"""action -> frames that it takes, and the action after it: beyond the bottom, the left and the
right line, the two ways up and the second part of either."""
BEYOND_BOTTOM, BEYOND_LEFT, BEYOND_RIGHT = 0, 1, 2
UPWARDS = (4, 6)
"""What a world may choose above the upper line: who merely jumps that high lives."""
REBIRTH, REBIRTH_FRAMES, WAITING = 12, 60, 13
DEATHS = {0: 0, 1: 0, 2: 0, 4: 131, 7: 43}
"""action -> frames since it began at which it takes the stock."""
SHIELD = 60.0
LEAST_HIT = 0.5
"""No hit takes less percent than this. Whether there is one, a world says where others say stocks:
by the log-odds of new damage."""
WEAR = 0.036
"""Game units a frame that the larger part of knockback loses at least: in the air all of it loses
0.051, so that of two equal parts each loses 0.036; on the ground it loses more."""
KNOCKBACK = ("speed_attack_x", "speed_attack_y")
"""Its columns, side by side."""
COUNTERS = ("hitlag", "combo_count", "hitstun")
"""Always whole: worlds predict how they change, and that is rounded."""
BIRTH_PLACES = {
    2: (0.0, 0.0, 111.7, -0.81),
    3: (0.0, 0.0, 119.0, -1.0),
    8: (0.0, 0.0, 117.2, -1.1),
    28: (0.0, 0.0, 188.2, -1.76),
    31: (12.8, -40.0, 135.1, -0.93),
    32: (16.0, -50.0, 112.9, -1.15),
}
"""stage -> x of player 0 and of player 1, y and vertical speed in the first frame of `REBIRTH`."""
OTHER_BIRTH_PLACE = (0.0, 0.0, 120.0, -1.0)


@functools.cache
def lines(stages: int) -> np.ndarray:
    """(stages, 4) game units: bottom, left, right and upper line."""
    boxes = [stage(number).blast_zones for number in range(stages)]
    return _frozen([[b.bottom, b.left, b.right, b.top] for b in boxes])


@functools.cache
def birth_places(stages: int) -> np.ndarray:
    """(stages, 4) `BIRTH_PLACES` of every stage."""
    return _frozen([BIRTH_PLACES.get(number, OTHER_BIRTH_PLACE) for number in range(stages)])


@functools.cache
def lengths() -> np.ndarray:
    """(rows, 4) int32: the frames for which recorded games had an action last at least, if nobody
    interfered, and at most, 0 where they do not tell; then what follows the latter in the air, and
    on the ground. A row for each action of anybody, then `OWN_ACTIONS` for each character, whose
    end is 0 where he has it like anybody.

    `python -m awm_jax.train.lengths` made the file.
    """
    text = resources.files("awm_jax.game").joinpath("lengths.csv").read_text()
    who, action, *ends = np.array([r.split(",") for r in text.splitlines()[1:]], np.int32).T
    table = np.zeros((ACTIONS + OWN_ACTIONS * FIGHTERS, 4), np.int32)
    own = ACTIONS + OWN_ACTIONS * who + action - OWN
    table[np.where(who == ANYBODY, action, own)] = np.stack(ends, axis=-1)
    table.flags.writeable = False
    return table


def lasts(
    action: jax.Array, age: jax.Array, stood: jax.Array, character: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Of an action, on for `age` frames: whether recorded games always have it for a frame more,
    and what follows where none has it so long, else the action. Shapes as in `next_action`."""
    table = jnp.asarray(lengths())
    anybody = table[jnp.where((action >= 0) & (action < ACTIONS), action, 0)]
    special = (action >= OWN) & (action < ACTIONS) & (character >= 0) & (character < FIGHTERS)
    own = table[jnp.where(special, ACTIONS + OWN_ACTIONS * character + action - OWN, 0)]
    shortest = jnp.where(special, own[..., 0], anybody[..., 0])
    ends = jnp.where(own[..., 1:2] > 0, own, anybody)[..., 1:]
    after = jnp.where(stood, ends[..., 2], ends[..., 1])
    over = (ends[..., 0] > 0) & (age + 1 >= ends[..., 0])
    return age + 1 < shortest, jnp.where(over, after, action)


def caught(action: jax.Array) -> jax.Array:
    """Whether it is what becomes of whom the other grabs."""
    return (action >= CAUGHT[0]) & (action <= CAUGHT[-1])


def recorded(action: jax.Array) -> jax.Array:
    """Actions by the numbers that recorded games give them."""
    return jnp.where(action == GONE, UPWARDS[0], action)


def is_still(action: jax.Array) -> jax.Array:
    """Whether a player stays where it is."""
    return (action >= BEYOND_BOTTOM) & (action <= BEYOND_RIGHT) | (action == GONE)


def next_action(
    said: jax.Array,
    old: jax.Array,
    age: jax.Array,
    stood: jax.Array,
    character: jax.Array,
    beyond: jax.Array,
    struck: jax.Array,
    lag: jax.Array,
) -> jax.Array:
    """The action of the new frame, (*b,) int32 like `said`. Who is neither struck nor grabbed goes
    on with his own in hitlag, and as long as recorded games always have it.

    Args:
      said: what the network chose.
      old, age: the action before, and for how many frames it has been on.
      stood: (*b,) bool, whether the player was on the ground before.
      character: (*b,) int32 internal id.
      beyond: (*b, 4) bool, whether the new place lies beyond each of `lines`.
      struck: (*b,) bool, whether the player takes new damage, or hitlag begins.
      lag: the hitlag of the new frame.
    """
    bottom, left, right, high = jnp.unstack(beyond, axis=-1)
    up = high & functools.reduce(jnp.logical_or, [said == a for a in UPWARDS])
    alive = jnp.where((said > REBIRTH) | up, said, old)
    goes_on, after = lasts(old, age, stood, character)
    alive = jnp.where(~struck & ~caught(said) & (goes_on | (lag > 0)), old, alive)
    alive = jnp.where(alive == old, after, alive)
    alive = jnp.where(right, BEYOND_RIGHT, alive)
    alive = jnp.where(left, BEYOND_LEFT, alive)
    alive = jnp.where(bottom, BEYOND_BOTTOM, alive)
    reborn = jnp.where(said > REBIRTH, said, WAITING)
    action = jnp.where(old == REBIRTH, jnp.where(age + 1 < REBIRTH_FRAMES, old, reborn), alive)
    for dying, (frames, after) in DYING.items():
        action = jnp.where(old == dying, jnp.where(age + 1 < frames, old, after), action)
    return action


def worn(old: jax.Array, said: jax.Array, least: float | int) -> jax.Array:
    """Knockback (*b, 2) of whoever is not hit: neither part grows or turns round.

    Args:
      old, said: x and y in the frame before, and as the network has them.
      least: `WEAR` in the same units.
    """
    size = jnp.abs(old)
    larger = size == jnp.max(size, axis=-1, keepdims=True)
    most = jnp.maximum(size - jnp.where(larger, least, 0), 0)
    return jnp.clip(said, jnp.where(old < 0, -most, 0), jnp.where(old > 0, most, 0))


def lag(old: jax.Array, said: jax.Array, one: float | int) -> jax.Array:
    """Hitlag: what the network has of it where it rises, else one frame less.

    Args:
      old, said: in the frame before, and as the network has it, whole.
      one: a frame in the same units.
    """
    return jnp.where(said > old, said, jnp.maximum(old - one, 0))


def stun(
    old: jax.Array, said: jax.Array, one: float | int, hit: jax.Array, lag: jax.Array
) -> jax.Array:
    """Hitstun: what the network has of it, which only who is `hit` gets; else at most as much as
    before in hitlag (`lag`, of the new frame), and one frame less out of it.

    Args:
      old, said, one: as in `lag`.
    """
    most = jnp.where(lag > 0, old, jnp.maximum(old - one, 0))
    return jnp.where(hit, said, jnp.minimum(said, most))


def last_attack(said: jax.Array, old: jax.Array, hit: jax.Array, born: jax.Array) -> jax.Array:
    """The last attack of each player that landed, (*b, 2) like all of these.

    Args:
      said: what the network chose; old: that of the frame before.
      hit: who is hit; born: who begins a new life.
    """
    return jnp.where(born, 0, jnp.where(jnp.flip(hit, -1), said, old))


def takes_stock(action: jax.Array, age: jax.Array) -> jax.Array:
    """Whether a frame with this action, on for `age` frames, costs a stock."""
    falls = [(action == a) & (age == frames) for a, frames in DEATHS.items()]
    return functools.reduce(jnp.logical_or, falls)


def _frozen(rows: list) -> np.ndarray:
    table = np.array(rows, np.float64).reshape(-1, 4)
    table.flags.writeable = False
    return table
