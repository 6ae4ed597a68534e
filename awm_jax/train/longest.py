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
HEAD = "action,frames,air,ground"


def longest(data: Data) -> dict[int, tuple[int, int, int]]:
    """action -> the most frames that it lasted, and what mostly followed it late.

    Only what is frequent, and lasts no longer than state_age counts; falls end by themselves. What
    follows is given for who stays in the air, and for who stays on the ground.
    """
    runs: list[np.ndarray] = []
    for game in data.games:
        grounded = np.asarray(game["bits"]) >> BITS.index("on_ground") & 1
        for action, ground in zip(np.asarray(game["action"], np.int64).T, grounded.T, strict=True):
            start = np.flatnonzero(np.diff(action, prepend=-1))
            frames = np.diff(start, append=len(action))
            after = np.append(action[start[1:]], -1)
            last = start + frames - 1
            stays = np.append(ground[last[:-1]] == ground[start[1:]], False)
            runs.append(np.stack([action[start], frames, after, ground[last], stays]))
    actions, frames, after, ground, stays = np.concatenate(runs, axis=1)
    seen = np.bincount(actions)
    most = np.zeros(len(seen), np.int64)
    np.maximum.at(most, actions, frames)
    wanted = (seen >= OFTEN) & (most < EncodingConfig().state_age_embed_vocab)
    wanted[: rules.WAITING + 1] = False
    wanted[list(rules.FALLS)] = False
    goes_on = (stays == 1) & (after > rules.WAITING)

    def follows(action: int, on_ground: int, otherwise: int) -> int:
        which = goes_on & (actions == action) & (ground == on_ground)
        if not which.any():
            return otherwise
        late = frames[which] >= np.quantile(frames[which], LATE)
        return int(np.bincount(after[which][late]).argmax())

    return {
        int(action): (
            int(most[action]),
            follows(action, 0, rules.FALLING),
            follows(action, 1, rules.STANDING),
        )
        for action in np.flatnonzero(wanted)
    }


def main() -> None:
    rows = longest(open_data(sys.argv[1], "train"))
    lines = [HEAD, *(",".join(map(str, (action, *row))) for action, row in rows.items())]
    write_atomically(FILE, "\n".join(lines) + "\n")
    print(f"{FILE}: {len(rows)} actions")


if __name__ == "__main__":
    main()
