"""A float mind plays in an integer world, and its matches become steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from support.int_worlds import FULL, arch_of, on_device, random_frames, world_of
from support.mwm import small_mind

from awm_jax.console import run
from awm_jax.errors import AwmError
from awm_jax.int8.agents import Noop
from awm_jax.int8.frame import UNIT
from awm_jax.int8.senses import ONE
from awm_jax.mwm.features import ACTION_NAMES, GWM, RANGE
from awm_jax.mwm.melee import CANDIDATES, UNKNOWN
from awm_jax.mwm.network import Mind
from awm_jax.mwm.training.practice import (
    Seen,
    Trials,
    ahead,
    practise,
    rule,
    steps_of_matches,
)
from awm_jax.mwm.training.replays import AHEAD, THREAT, VALUE
from awm_jax.mwm.training.rounds import RoundsConfig, improve, read_played
from awm_jax.variant import Variant
from converters.mwm import load_mwm
from crank.cli import PROG, app

CFG = FULL.replace(state_age_embed_vocab=140)
ARCH = arch_of(CFG, context_len=2, variant=Variant(game_rules=True))  # where stocks last


def begin(world: Any, count: int, rng: np.random.Generator) -> Any:
    frames = random_frames(int(rng.integers(100)), CFG, 2 * count)
    return on_device(
        type(frames)(*(v.reshape(count, 2, *v.shape[1:]) for v in vars(frames).values()))
    )


ANY = Trials(chance=1.0, guided=0.0)
NEVER = Trials(chance=0.0)


def test_matches_become_steps() -> None:
    mind = small_mind(scaled=True)
    world = world_of(1, ARCH)
    sizes = {"matches": 4, "decisions": 20, "begin": begin}
    steps = practise(world, mind, [Noop()], ANY, **sizes)
    ends = np.flatnonzero(~steps.link)
    assert 4 <= len(ends) <= 8 and ends[-1] == len(steps) - 1
    assert np.isfinite(steps.affect).all() and steps.gwm.shape == (len(steps), 16)
    taken = np.unique(steps.action[:, :12].argmax(1) + 12 * (steps.action[:, :12].sum(1) == 0))
    assert CANDIDATES // 2 < len(taken) <= CANDIDATES
    never = practise(world, mind, [Noop()], NEVER, **sizes)
    assert len(np.unique(never.action, axis=0)) < len(taken)


def seen(percent: np.ndarray, stocks: np.ndarray, worth: float = 0.0) -> Seen:
    """A match (T, 1, ...) of which only this is known; the numbers are whole."""
    n = len(percent)
    return Seen(
        np.zeros((n, 1, 16), np.int32),
        np.zeros((n, 1, 8), np.int32),
        np.zeros((n, 1), np.int32),
        np.full((n, 1), worth, np.float32),
        percent * UNIT,
        stocks * UNIT,
    )


def test_a_match_ends_with_a_last_stock() -> None:
    stocks, percent = np.ones((6, 1, 2), np.int32), np.zeros((6, 1, 2), np.int32)
    stocks[4:, 0, 1] = 0
    percent[2:, 0, 1] = 20
    steps = steps_of_matches(seen(percent, stocks, worth=100.0), 1.0)
    assert len(steps) == 5 and steps.link.tolist() == [True] * 4 + [False]
    assert steps.affect[4, VALUE] == pytest.approx(8.0)  # the stock, and nothing after it
    assert steps.affect[2, VALUE] == pytest.approx(4.0 + AHEAD**2 * 8.0)  # the damage, and it
    assert (steps.affect[:, THREAT] == 0).all()
    lost = steps_of_matches(seen(percent[..., ::-1], stocks[..., ::-1]), 1.0)
    np.testing.assert_allclose(lost.affect[[4, 3, 2], THREAT], [1, AHEAD, AHEAD**2], rtol=1e-6)
    np.testing.assert_allclose(lost.affect[:, VALUE], -steps.affect[:, VALUE])
    with pytest.raises(AwmError, match="long enough"):
        steps_of_matches(seen(percent, np.zeros_like(stocks)), 1.0)


def test_what_was_imagined_stands_for_what_was_not_waited_for() -> None:
    still, four = np.zeros((5, 1, 2), np.int32), np.full((5, 1, 2), 4, np.int32)
    steps = steps_of_matches(seen(still, four, worth=2.0), 0.0)  # a match that goes on
    np.testing.assert_allclose(steps.affect[1:, VALUE], 2.0 * AHEAD, rtol=1e-6)
    all_ = steps_of_matches(seen(still, four, worth=2.0), 1.0)
    np.testing.assert_allclose(all_.affect[1:, VALUE], 2.0 * AHEAD ** np.r_[4, 3, 2, 1], rtol=1e-6)
    reward, worth = np.array([1.0, 0.0, 5.0]), np.array([9.0, 2.0, 3.0, 4.0])
    last = 5.0 + AHEAD * 4.0
    middle = AHEAD * (0.5 * last + 0.5 * 3.0)
    first = 1.0 + AHEAD * (0.5 * middle + 0.5 * 2.0)
    np.testing.assert_allclose(ahead(reward, worth, False, 0.5), [first, middle, last, 4.0])
    np.testing.assert_allclose(ahead(reward, worth, True, 0.5)[2:], [5.0, 0.0])


def test_the_rule_for_beginners() -> None:
    def told(coin: bool, **features: float) -> int:
        world = np.zeros(16, np.int32)
        for name, value in features.items():
            world[GWM[name]] = round(value * ONE)
        return int(rule(jnp.asarray(world), jnp.asarray(coin)))

    far = {"nearest_enemy.distance": 10 / RANGE}
    assert ACTION_NAMES[told(True, **far)] == "sprint"
    near = {"nearest_enemy.distance": 1 / RANGE}
    assert ACTION_NAMES[told(True, **near)] == "attack" and told(False, **near) == UNKNOWN
    off = {"is_player_in_stealth_danger": 1, **near}
    assert ACTION_NAMES[told(True, **off)] == "heal"
    assert ACTION_NAMES[told(False, **off, **{"escape_vector[0]": 0.5})] == "move_right"
    assert ACTION_NAMES[told(False, **off, **{"escape_vector[0]": -0.5})] == "move_left"


def test_rounds_go_on_where_they_stopped(tmp_path: Path) -> None:
    world, mind = world_of(1, ARCH), small_mind(scaled=True)
    config = RoundsConfig(rounds=2, matches=4, decisions=20, learn=3, window=4, batch=4)

    def load(path: str) -> Mind:
        return Mind.of(load_mwm(path).model)

    def rounds(name: str, count: int, **change: Any) -> Mind:
        asked = RoundsConfig(**{**vars(config), "rounds": count, **change})
        return improve(world, mind, [Noop()], tmp_path / name, asked, load=load, begin=begin)

    once = rounds("once", 2)
    assert any((a != b).any() for a, b in zip(once.params, mind.params, strict=True))
    rounds("twice", 1)
    again = rounds("twice", 2)
    assert all((a == b).all() for a, b in zip(once.params, again.params, strict=True))
    first, second = (read_played(tmp_path / f"once/round-{i}/played.npz") for i in (0, 1))
    assert first.link.any() and not (len(first) == len(second) and (first.gwm == second.gwm).all())
    with pytest.raises(AwmError, match="other settings"):
        rounds("once", 2, learn=4)


def test_the_command_names_a_file_that_is_no_mind(tmp_path: Path, capsys: Any) -> None:
    args = ["mind", "practise", str(tmp_path / "none.safetensors"), str(tmp_path / "out")]
    assert run(app, PROG, args) == 2
    assert "none.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_round(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "played.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AwmError, match="not what a round of practice played"):
        read_played(path)
