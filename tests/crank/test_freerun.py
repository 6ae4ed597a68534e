"""Statistics of whole games: made-up ones whose answers are known, and a few of the cartridge."""

import numpy as np
import pytest

from awm_jax.cartridges import EMBEDDED
from awm_jax.errors import AwmError
from crank import freerun

T = 1000


def made_up(**changes) -> freerun.Game:
    """Both players walk to and fro on Battlefield, 40 units apart; nobody is hit."""
    x = 10 * np.sin(np.arange(T) / 50.0)
    columns = {
        "x": np.stack([x, x + 40], axis=1),
        "y": np.zeros((T, 2)),
        "percent": np.zeros((T, 2)),
        "stocks": np.full((T, 2), 4.0),
        "action": np.full((T, 2), 15),
        "on_ground": np.ones((T, 2), bool),
    }
    return freerun.Game(31, columns | changes, False)


def summary(**changes):
    return freerun.summarise([freerun.measure(made_up(**changes))])


def test_a_quiet_game():
    found = summary()
    assert found["hits a minute"] == found["stocks lost a minute"] == 0
    assert found["distance between players"] == pytest.approx(40)
    assert found["games in which somebody is stuck"] == 0
    assert found["share of frames"] == {"movement": 1.0}


def test_hits_and_a_lost_stock():
    percent, stocks = np.zeros((T, 2)), np.full((T, 2), 4.0)
    percent[100:, 1], percent[150:, 1], percent[300:, 1] = 7, 16, 0
    stocks[300:, 1] = 3
    found = summary(percent=percent, stocks=stocks)
    assert found["hits a minute"] == pytest.approx(2 * 3600 / T)
    assert found["damage a hit"] == pytest.approx(8)
    assert found["percent at a lost stock"] == 16
    assert found["percent kept after a lost stock"] == 0
    percent[300:, 1] = 16
    assert summary(percent=percent, stocks=stocks)["percent kept after a lost stock"] == 1


def test_what_must_not_be():
    stocks, percent = np.full((T, 2), 4.0), np.full((T, 2), 30.0)
    stocks[:500, 0], percent[700:, 0] = 3, 10
    found = summary(stocks=stocks, percent=percent)
    assert found["stocks that rose"] == found["percent that fell while alive"] == 1


@pytest.mark.parametrize("still", [freerun.STILL - 5, freerun.STILL + 5])
def test_standing_still(still):
    x = made_up().columns["x"].copy()
    x[:still] = x[0]
    assert summary(x=x)["games in which somebody is stuck"] == (still > freerun.STILL)


def test_floating_off_stage():
    high = {"y": np.full((T, 2), 50.0), "on_ground": np.zeros((T, 2), bool)}
    assert summary(**high)["games in which somebody is stuck"] == 0
    away = made_up().columns["x"] + 100
    assert summary(x=away, **high)["games in which somebody is stuck"] == 1


def test_no_games():
    with pytest.raises(AwmError, match="no games"):
        freerun.summarise([])


def test_the_embedded_policies_fight():
    pytest.importorskip("pyarrow")
    games = list(freerun.free_games(EMBEDDED, ["falco", "fox"], 2, max_frames=150))
    assert [len(game.columns["x"]) for game in games] == [150, 150]
    assert games[0].stage != 0 and not games[0].ended
    with pytest.raises(AwmError, match="two policies"):
        list(freerun.free_games(EMBEDDED, ["fox"], 2))
