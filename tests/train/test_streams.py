"""Streams go on where they were, jump now and then, and depend on seed and step alone."""

import numpy as np
import pytest

from awm_jax.encoding import EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.train.data import encode_records
from awm_jax.train.streams import Place, StreamConfig, Streams, game_weights

CFG = EncodingConfig(state_age_as_embed=True)
PLAIN = StreamConfig(streams=4, window=32, ahead=3, jump=0.3, swap=0, mirror=0)


def test_windows_follow_one_another(games):
    streams, place = Streams(games, CFG, PLAIN, 0), Place.start(4)
    earlier, jumps = None, 0
    for step in range(12):
        windows, after = streams.next(step, place)
        assert windows.floats.shape == (4, 35, CFG.float_per_frame)
        for i in range(4):
            game, row = after.game[i], after.row[i] - 32
            floats, ints = encode_records(
                games.games[game][row : row + 35], games.entries[game].stage, CFG
            )
            assert np.array_equal(windows.floats[i], floats)
            assert np.array_equal(windows.ints[i], ints)
            if not windows.fresh[i]:
                assert np.array_equal(windows.floats[i, :3], earlier.floats[i, 32:])
        jumps += windows.fresh.sum()
        earlier, place = windows, after
    assert 4 < jumps < 40


def test_a_step_can_be_drawn_again(games):
    streams, place = Streams(games, CFG, PLAIN, 7), Place.start(4)
    for step in range(3):
        first, after = streams.next(step, place)
        again, _ = Streams(games, CFG, PLAIN, 7).next(step, place)
        assert np.array_equal(first.floats, again.floats)
        place = after
    other = Streams(games, CFG, PLAIN, 8).next(0, Place.start(4))[0]
    assert not np.array_equal(other.floats, streams.next(0, Place.start(4))[0].floats)


def test_swap_and_mirror_reach_the_windows(games):
    x = columns(CFG)["x"]
    plain = Streams(games, CFG, PLAIN, 0).next(0, Place.start(4))[0].floats
    kinds = {}
    for name in ("swap", "mirror"):
        config = StreamConfig(**(vars(PLAIN) | {name: 1.0}))
        kinds[name] = Streams(games, CFG, config, 0).next(0, Place.start(4))
    other = CFG.float_per_player + x
    assert np.array_equal(kinds["swap"][0].floats[..., x], plain[..., other])
    windows, place = kinds["mirror"]
    turned = np.array([games.entries[g].stage != 3 for g in place.game])
    sign = np.where(turned, -1, 1)[:, None]
    assert turned.any() and np.array_equal(windows.floats[..., x], sign * plain[..., x])


def test_balance_prefers_the_rare(games):
    rows = np.array([100, 100, 100])
    assert np.allclose(game_weights(games, rows, 0.5), 1 / 3)
    import dataclasses

    rare = dataclasses.replace(games.entries[0], characters=(9, 9))
    mixed = dataclasses.replace(games, entries=(rare, *games.entries[1:]))
    assert game_weights(mixed, rows, 0.0)[0] == pytest.approx(1 / 3)
    assert game_weights(mixed, rows, 0.5)[0] > 0.36


def test_too_long_a_window_is_refused(games):
    with pytest.raises(AwmError, match="no game has"):
        Streams(games, CFG, StreamConfig(window=4096), 0)
