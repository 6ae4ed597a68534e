"""Which item a player sees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from awm_jax.replays.items import PROJECTILES, nearest


@given(st.data(), st.integers(1, 6), st.integers(0, 12))
def test_nearest_is_the_plain_rule(data, frames, items):
    near = st.integers(-8, 8).map(np.float32)
    rows = data.draw(hnp.arrays(np.int64, items, elements=st.integers(0, frames - 1)))
    ix, iy = (data.draw(hnp.arrays(np.float32, items, elements=near)) for _ in "xy")
    x, y = (data.draw(hnp.arrays(np.float32, frames, elements=near)) for _ in "xy")
    got = nearest(rows, ix, iy, x, y)
    for t in range(frames):
        here = np.flatnonzero(rows == t)
        assert got["item_count"][t] == len(here)
        if not len(here):
            assert got["item_dx"][t] == got["item_dy"][t] == 0
            continue
        best = here[np.argmin(np.hypot(ix[here] - x[t], iy[here] - y[t]))]
        assert (got["item_dx"][t], got["item_dy"][t]) == (ix[best] - x[t], iy[best] - y[t])


def test_guns_trails_and_shy_guys_are_no_projectiles():
    assert not set(PROJECTILES) & {56, 57, 70, 71, 72, 73, 74, 75, 76, 77, 80, 85, 210}
    assert {54, 55, 79, 95, 99} <= set(PROJECTILES)


def test_lasers_are_seen_by_the_opponent_and_fly_by(index, read):
    """Falco alone shoots: only the other player sees items."""
    row = next(
        row
        for row in index
        if row["has_items"] == "1"
        and (row["p0_char"], row["p1_char"]) == ("Falco", "Captain Falcon")
        and int(row["rows"]) < 9000
    )
    columns = read(row).columns
    count = columns["item_count"]
    assert (count[:, 1] > 0).mean() > 0.02
    assert (count[:, 0] > 0).mean() < 0.1 * (count[:, 1] > 0).mean()  # reflected ones at most
    one = (count[1:, 1] == 1) & (count[:-1, 1] == 1)
    dx = columns["item_dx"][:, 1]
    change = (np.abs(dx[1:]) - np.abs(dx[:-1]))[one & (np.sign(dx[1:]) == np.sign(dx[:-1]))]
    assert np.median(np.abs(change)) == pytest.approx(5, abs=1)  # a Falco laser's speed
    assert min((change < 0).mean(), (change > 0).mean()) > 0.05  # they come, and pass
