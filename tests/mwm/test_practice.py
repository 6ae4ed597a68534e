"""A float mind plays in an integer world, and its matches become steps."""

from __future__ import annotations

import json
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
from awm_jax.mwm.melee import CANDIDATES
from awm_jax.mwm.training.practice import Seen, practise, steps_of_matches
from awm_jax.variant import Variant
from crank.cli import PROG, app

CFG = FULL.replace(state_age_embed_vocab=140)
ARCH = arch_of(CFG, context_len=2, variant=Variant(game_rules=True))  # where stocks last


def begin(world: Any, count: int, rng: np.random.Generator) -> Any:
    frames = random_frames(int(rng.integers(100)), CFG, 2 * count)
    return on_device(
        type(frames)(*(v.reshape(count, 2, *v.shape[1:]) for v in vars(frames).values()))
    )


def test_matches_become_steps() -> None:
    mind = small_mind(scaled=True)
    world = world_of(1, ARCH)
    steps = practise(world, mind, 1.0, [Noop()], matches=4, decisions=20, begin=begin)
    ends = np.flatnonzero(~steps.link)
    assert 4 <= len(ends) <= 8 and ends[-1] == len(steps) - 1
    assert np.isfinite(steps.affect).all() and steps.gwm.shape == (len(steps), 16)
    taken = np.unique(steps.action[:, :12].argmax(1) + 12 * (steps.action[:, :12].sum(1) == 0))
    assert CANDIDATES // 2 < len(taken) <= CANDIDATES
    never = practise(world, mind, 0.0, [Noop()], matches=4, decisions=20, begin=begin)
    assert len(np.unique(never.action, axis=0)) < len(taken)


def test_a_match_ends_with_a_last_stock() -> None:
    stocks = np.full((6, 1, 2), UNIT, np.int32)
    stocks[4:, 0, 1] = 0
    percent = np.zeros((6, 1, 2), np.int32)
    percent[2:, 0, 1] = 20 * UNIT
    blank = np.zeros((6, 1, 16), np.int32), np.zeros((6, 1, 8), np.int32)
    seen = Seen(*blank, np.zeros((6, 1), np.int32), percent, stocks)
    steps = steps_of_matches(seen)
    assert len(steps) == 5 and steps.link.tolist() == [True] * 4 + [False]
    assert steps.affect[4, 2] == pytest.approx(2.0)  # the stock
    assert steps.affect[2, 2] == pytest.approx(1.0 + 0.9**2 * 2.0)  # the damage, and it
    gone = Seen(*blank, np.zeros((6, 1), np.int32), percent, jnp.zeros_like(stocks))
    with pytest.raises(AwmError, match="long enough"):
        steps_of_matches(gone)


@pytest.mark.parametrize("spec", ["mind", "mind=", "=0.5", "mind=2", "mind=x"])
def test_the_command_names_a_bad_share(spec: str, tmp_path: Any, capsys: Any) -> None:
    (tmp_path / "log.jsonl").write_text(
        "".join(json.dumps({"timestamp": i, "cycle": i}) + "\n" for i in range(20))
    )
    args = ["mind", "train", str(tmp_path / "log.jsonl"), str(tmp_path / "out")]
    assert run(app, PROG, [*args, "--practice", spec]) == 2
    assert "MIND=SHARE" in capsys.readouterr().err
