"""How long actions last in recorded games: makes the table of `awm_jax.game.rules.longest`.

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

OFTEN = 20
"""Actions seen less often have no end in the table."""
FILE = Path(rules.__file__).with_name("longest.csv")


def longest(data: Data) -> dict[int, int]:
    """action -> the most frames that it lasted, for what is frequent, and which ages can count."""
    runs: list[np.ndarray] = []
    for game in data.games:
        for action in np.asarray(game["action"], np.int64).T:
            changes = np.flatnonzero(np.diff(action, prepend=-1, append=-1))
            runs.append(np.stack([action[changes[:-1]], np.diff(changes)]))
    actions, frames = np.concatenate(runs, axis=1)
    seen = np.bincount(actions)
    most = np.zeros(len(seen), np.int64)
    np.maximum.at(most, actions, frames)
    wanted = (seen >= OFTEN) & (most < EncodingConfig().state_age_embed_vocab)
    wanted[: rules.WAITING + 1] = False
    return {int(action): int(most[action]) for action in np.flatnonzero(wanted)}


def main() -> None:
    rows = longest(open_data(sys.argv[1], "train"))
    text = "".join(f"{action},{frames}\n" for action, frames in rows.items())
    write_atomically(FILE, "action,frames\n" + text)
    print(f"{FILE}: {len(rows)} actions")


if __name__ == "__main__":
    main()
