"""How long actions last in recorded games, and what follows: `awm_jax.game.rules.longest`.

python -m awm_jax.train.longest DATA
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.files import write_atomically
from awm_jax.game import rules
from awm_jax.train.data import Data, open_data
from awm_jax.train.records import BITS

OFTEN = 20
"""Actions seen less often have no end in the table."""
LATE = 0.9
"""The quantile of an action's frames from which on what follows counts."""
FILE = Path(rules.__file__).with_name("longest.csv")
HEAD = "character,action,frames,air,ground"


def longest(data: Data) -> dict[tuple[int, int], tuple[int, int, int]]:
    """(character, action) -> the most frames that it lasted, and what mostly followed it late.

    Every action for `rules.ANYBODY`, and specials for each character beside. Only what is frequent,
    and lasts no longer than state_age counts; falls end by themselves. What follows is given for
    who stays in the air, and for who stays on the ground.
    """
    runs: list[np.ndarray] = []
    for game in data.games:
        grounded = np.asarray(game["bits"]) >> BITS.index("on_ground") & 1
        for player in (0, 1):
            action = np.asarray(game["action"][:, player], np.int64)
            ground = grounded[:, player]
            start = np.flatnonzero(np.diff(action, prepend=-1))
            frames = np.diff(start, append=len(action))
            after = np.append(action[start[1:]], -1)
            last = start + frames - 1
            stays = np.append(ground[last[:-1]] == ground[start[1:]], False)
            anybody = np.full(len(start), rules.ANYBODY)
            each = np.stack([anybody, action[start], frames, after, ground[last], stays])
            own = each[:, action[start] >= rules.OWN]
            own[0] = game["character"][start[action[start] >= rules.OWN], player]
            runs += [each, own]
    who, actions, frames, after, ground, stays = np.concatenate(runs, axis=1)
    kinds, kind = np.unique(np.stack([who, actions]), axis=1, return_inverse=True)
    seen = np.bincount(kind)
    most = np.zeros(len(seen), np.int64)
    np.maximum.at(most, kind, frames)
    wanted = (seen >= OFTEN) & (most < EncodingConfig().state_age_embed_vocab)
    wanted &= (kinds[1] > rules.WAITING) & ~np.isin(kinds[1], rules.FALLS)
    goes_on = (stays == 1) & (after > rules.WAITING)

    def follows(number: np.intp, on_ground: int, otherwise: int) -> int:
        which = goes_on & (kind == number) & (ground == on_ground)
        if not which.any():
            return otherwise
        late = frames[which] >= np.quantile(frames[which], LATE)
        return int(np.bincount(after[which][late]).argmax())

    return {
        (int(kinds[0, number]), int(kinds[1, number])): (
            int(most[number]),
            follows(number, 0, rules.FALLING),
            follows(number, 1, rules.STANDING),
        )
        for number in np.flatnonzero(wanted)
    }


def main() -> None:
    rows = longest(open_data(sys.argv[1], "train"))
    lines = [HEAD, *(",".join(map(str, (*who, *row))) for who, row in rows.items())]
    write_atomically(FILE, "\n".join(lines) + "\n")
    print(f"{FILE}: {len(rows)} rows")


if __name__ == "__main__":
    main()
