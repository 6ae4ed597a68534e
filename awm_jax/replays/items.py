"""Which items matter to a player, and the nearest of them.

An item counts for a player while it is a projectile or a thrown thing, moves, and belongs to the
opponent: what threatens him. So every projectile is in the frame once, seen from the player whom
it can hit (a reflected one changes sides, as its owner does). The guns in hand, shields of light,
capes, a turnip that is only carried, a needle stuck in the floor and Yoshi's Story's Shy Guys do
not count. The reference takes the nearest of all items, its own included (replays.md section 2).
"""

from __future__ import annotations

import numpy as np

PROJECTILES = np.array(
    [
        *(6, 7, 12),  # Bob-omb, Mr. Saturn, Beam Sword: Peach's rare finds
        *(48, 49, 50, 54, 55),  # Mario, Dr. Mario, Kirby's cutter, lasers of Fox and Falco
        *(58, 59, 60, 61, 64, 65),  # bombs, boomerangs, arrows of Link and Young Link
        *(66, 68, 69),  # Ness: PK Fire, PK Flash, the head of PK Thunder
        *(79, 81, 82, 86, 88),  # Sheik's needles, Thunder of Pikachu and Pichu, Yoshi's egg, stars
        *(89, 90, 91, 92),  # Thunder Jolts
        *(93, 94, 95, 99, 100, 105),  # Samus's three, turnip, Bowser's breath, Luigi
        *(106, 107, 108, 110, 112, 122),  # ice, blizzard, Din's Fire, Disable, Shadow Ball, sausage
        *(130, 131, 132, 133, 136, 137, 140, 141, 144, 145),  # Kirby's copies of these
        *(147, 148, 149, 150, 151, 152, 154, 155),
    ]
)
"""Ids of the game's item kinds, in the order of its own enumeration."""


def nearest(
    rows: np.ndarray, item_x: np.ndarray, item_y: np.ndarray, x: np.ndarray, y: np.ndarray
) -> dict[str, np.ndarray]:
    """The nearest item of each frame, seen from a player.

    Args:
      rows: (n,) int, the frame in which each item is.
      item_x, item_y: (n,) float32, where it is, game units.
      x, y: (T,) float32, where the player is in each frame.

    Returns:
      item_dx, item_dy: (T,) float32, item minus player, 0 without any item (the first of equally
      near ones); item_count: (T,) int32.
    """
    frames = len(x)
    dx, dy = item_x - x[rows], item_y - y[rows]
    distance = dx.astype(np.float64) ** 2 + dy.astype(np.float64) ** 2
    order = np.lexsort((distance, rows))
    found, first = np.unique(rows[order], return_index=True)
    chosen = order[first]
    out = {
        "item_dx": np.zeros(frames, np.float32),
        "item_dy": np.zeros(frames, np.float32),
        "item_count": np.bincount(rows, minlength=frames).astype(np.int32),
    }
    out["item_dx"][found] = dx[chosen]
    out["item_dy"][found] = dy[chosen]
    return out
