"""How long actions last in recorded games, and what follows: `awm_jax.game.rules.lengths`.

python -m awm_jax.train.lengths DATA
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from awm_jax.console import explain, fail
from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.game import rules
from awm_jax.train.data import Data, open_data
from awm_jax.train.records import BITS

OFTEN, OFTEN_ENOUGH = 20, 10
"""Actions seen less often have no end in the table, and are not held either."""
LATE = 0.9
"""The quantile of an action's frames from which on what follows counts."""
FILE = Path(rules.__file__).with_name("lengths.csv")
HEAD = "character,action,shortest,longest,air,ground"


def lengths(data: Data) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    """(character, action) -> the fewest and the most frames that it lasted, and what mostly
    followed it late, in the air and on the ground; 0 where that says nothing.

    Every action for `rules.ANYBODY`, and specials for each character beside. Only what is frequent.
    The fewest are of those that neither a hit nor a grab ended, and of specials each character's
    own; the most are no more than state_age counts, and falls end by themselves. What follows is
    what followed those who stayed in the air, or on the ground.
    """
    runs: list[np.ndarray] = []
    for game in data.games:
        percent, lag = (np.asarray(game[n], np.float64) for n in ("percent", "hitlag"))
        struck = (np.diff(percent, axis=0) >= rules.LEAST_HIT) | (np.diff(lag, axis=0) > 0)
        grounded = np.asarray(game["bits"]) >> BITS.index("on_ground") & 1
        for player in (0, 1):
            action = np.asarray(game["action"][:, player], np.int64)
            ground = grounded[:, player]
            start = np.flatnonzero(np.diff(action, prepend=-1))
            frames = np.diff(start, append=len(action))
            after = np.append(action[start[1:]], -1)
            last = start + frames - 1
            stays = np.append(ground[last[:-1]] == ground[start[1:]], False)
            itself = ~struck[last[:-1], player] & ~np.isin(after[:-1], rules.CAUGHT)
            itself = np.append(itself & (after[:-1] > rules.WAITING), False)
            itself[0] = False
            anybody = np.full(len(start), rules.ANYBODY)
            columns = anybody, action[start], frames, after, ground[last], stays, itself
            each = np.stack(columns)
            own = each[:, action[start] >= rules.OWN]
            own[0] = game["character"][start[action[start] >= rules.OWN], player]
            runs += [each, own]
    who, actions, frames, after, ground, stays, itself = np.concatenate(runs, axis=1)
    kinds, kind = np.unique(np.stack([who, actions]), axis=1, return_inverse=True)
    seen = np.bincount(kind)
    most = np.zeros(len(seen), np.int64)
    np.maximum.at(most, kind, frames)
    ends = (seen >= OFTEN) & (most < EncodingConfig().state_age_embed_vocab)
    ends &= (kinds[1] > rules.WAITING) & ~np.isin(kinds[1], rules.FALLS)
    fewest = np.full(len(seen), np.iinfo(np.int64).max)
    np.minimum.at(fewest, kind[itself == 1], frames[itself == 1])
    held = (np.bincount(kind[itself == 1], minlength=len(seen)) >= OFTEN_ENOUGH) & (fewest > 1)
    held &= (kinds[1] > rules.WAITING) & ((kinds[1] < rules.OWN) | (kinds[0] != rules.ANYBODY))
    goes_on = (stays == 1) & (after > rules.WAITING)

    def follows(number: np.intp, on_ground: int, otherwise: int) -> int:
        which = goes_on & (kind == number) & (ground == on_ground)
        if not which.any():
            return otherwise
        late = frames[which] >= np.quantile(frames[which], LATE)
        return int(np.bincount(after[which][late]).argmax())

    table = {}
    for number in np.flatnonzero(ends | held):
        row = (int(fewest[number]) if held[number] else 0,)
        if ends[number]:
            after_it = follows(number, 0, rules.FALLING), follows(number, 1, rules.STANDING)
            row += (int(most[number]), *after_it)
        table[int(kinds[0, number]), int(kinds[1, number])] = (*row, 0, 0, 0)[:4]
    return table


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: python -m awm_jax.train.lengths DATA", file=sys.stderr)
        return 2
    try:
        rows = lengths(open_data(sys.argv[1], "train"))
        lines = [HEAD, *(",".join(map(str, (*who, *row))) for who, row in rows.items())]
        write_atomically(FILE, "\n".join(lines) + "\n")
    except (AwmError, OSError) as error:
        return fail("lengths", explain(error))
    print(f"{FILE}: {len(rows)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
