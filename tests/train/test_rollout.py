"""Rollouts, scores and baselines."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax import nnx
from support.golden import replays_dir

from awm_jax.encoding import EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.fp32 import FrameStackMamba2
from awm_jax.fp32.network import Network
from awm_jax.fp32.world import Fp32World
from awm_jax.game.frames import Frames, controllers
from awm_jax.train import baselines, data, evaluate, records, report, rollout
from awm_jax.variant import Variant

CFG = EncodingConfig(state_age_as_embed=True, state_flags=True, hitstun=True)


@pytest.fixture(scope="module")
def network():
    model = FrameStackMamba2(
        CFG,
        context_len=10,
        d_model=16,
        d_state=4,
        n_layers=1,
        headdim=16,
        variant=Variant(control_first=True, geometry=True, head_hidden=8),
        rngs=nnx.Rngs(0),
    )
    return Network.of(model)


def test_starts(games):
    starts = rollout.all_starts(games)
    for i, entry in enumerate(games.entries):
        rows = starts.row[starts.game == i]
        assert rows[0] == entry.go + 10 and rows[-1] == entry.rows - 21
    sample = rollout.sample_starts(starts, 50)
    assert len(sample) == 50 and len(set(zip(sample.game, sample.row, strict=True))) == 50
    assert rollout.sample_starts(starts, None) is starts


def test_baselines_by_hand(games):
    starts = rollout.sample_starts(rollout.all_starts(games), 40)
    tallies = baselines.all_baselines(games, starts, CFG)
    expected = {name: np.zeros(20) for name in tallies}
    for g, t in zip(starts.game, starts.row, strict=True):
        game = games.games[g]
        for h in range(1, 21):
            real, last, before = game[t - 1 + h], game[t - 1], game[t - 2]
            for player in (0, 1):
                for axis, own, push in (
                    ("x", "speed_air_x", "speed_attack_x"),
                    ("y", "speed_y", "speed_attack_y"),
                ):
                    now, goal = (float(row[axis][player]) for row in (last, real))
                    speed = float(last[own][player]) + float(last[push][player])
                    held = 0.0 if axis == "y" and last["bits"][player] & 4 else speed
                    moving = max(0.0, h - float(last["hitlag"][player]))
                    guesses = {
                        "copy last": now,
                        "linear": now + h * (now - float(before[axis][player])),
                        "held speeds": now + h * speed,
                        "held speeds, ground": now + h * held,
                        "held speeds, ground, hitlag": now + moving * held,
                    }
                    for name, guess in guesses.items():
                        expected[name][h - 1] += abs(guess - goal) / 4 / len(starts)
    for name, tally in tallies.items():
        assert report.by_horizon(tally, "position") == pytest.approx(expected[name], abs=1e-9)
        assert report.rc(tally) == pytest.approx(expected[name].mean())
        low, high = report.interval(tally)
        assert low <= report.rc(tally) <= high


def test_copying_scores_as_the_baseline_does(games):
    starts = rollout.sample_starts(rollout.all_starts(games), 24)
    copy = baselines.copy_last(games, starts, CFG)
    sums = 0
    for _, frames in rollout.batches(games, starts, CFG, 10, 20, 24):
        start = jax.tree.map(lambda v: v[:, -21], frames)
        real = jax.tree.map(lambda v: v[:, -20:], frames)
        still = jax.tree.map(lambda v: np.repeat(v[:, None], 20, axis=1), start)
        table, hits = jax.vmap(lambda *f: rollout.scores(CFG, *f))(start, still, real)
        sums += np.asarray(table, np.float64).sum(axis=0)
    names = rollout.score_names(CFG)
    for name in copy.names:
        expected = copy.sums[:, :, copy.names.index(name)].sum(axis=0)
        assert sums[:, names.index(name)] == pytest.approx(expected, rel=1e-4, abs=2e-3), name
    hits = np.asarray(hits).sum(axis=0)
    assert hits[0] > 0 and hits[1] == hits[3] == 0  # a copy never says "hit"


def test_scores_of_a_hit(games):
    window = games.games[0][100:121].copy()
    window["percent"] = 10
    window["percent"][8:, 0] = 17
    floats, ints = data.encode_records(window, 31, CFG)
    start, real = Frames(floats[0], ints[0]), Frames(floats[1:], ints[1:])
    table, hits = rollout.scores(CFG, start, real, real)
    names = rollout.score_names(CFG)
    errors = [i for i, name in enumerate(names) if not name.startswith("action_changed")]
    assert np.asarray(table)[:, errors].max() == 0
    assert hits.tolist() == [1, 1, 1, 0]
    swapped, _ = data.encode_records(records.swap(window), 31, CFG)
    _, hits = rollout.scores(CFG, start, Frames(swapped[1:], ints[1:]), real)
    assert hits.tolist() == [1, 0, 1, 1]


def test_a_rollout_is_what_the_world_plays(games, network):
    window = games.games[0][60 : 60 + 10 + 3]
    frames = Frames(*data.encode_records(window, 31, CFG))
    pads = controllers(CFG, frames.floats)
    step = jax.jit(lambda world, state, pads: world.step(state, pads))
    for mode in rollout.MODES:
        world = Fp32World(network, mode == "recurrent")
        state = world.reset(jax.tree.map(lambda v: v[:10], frames))
        rolled = rollout.roll(network, frames, mode=mode, horizon=3)
        for k in range(3):
            state, frame = step(world, state, pads[10 + k])
            assert np.allclose(rolled.floats[k], frame.floats, atol=2e-4), (mode, k)
            assert np.array_equal(rolled.ints[k], frame.ints)


def test_what_lies_ahead_is_not_looked_at(games, network):
    starts = rollout.sample_starts(rollout.all_starts(games), 2)
    where = columns(CFG)
    (_, frames), *_ = rollout.batches(games, starts, CFG, 12, 4, 2)
    one = jax.tree.map(lambda v: v[0], frames)
    spoiled = one.floats.copy().reshape(16, 2, -1)
    spoiled[-4:, :, : where.controller.start] = 9
    roll = rollout.roll(network, one, horizon=4)
    blind = rollout.roll(network, Frames(spoiled.reshape(16, -1), one.ints), horizon=4)
    assert np.array_equal(roll.floats, blind.floats)


def test_evaluate_reports(games, network, tmp_path):
    reports = evaluate.evaluate(games, network, starts=30, modes=("recurrent",))
    own, copy = reports["float recurrent"], reports[evaluate.COPY]
    assert own["starts"] == copy["starts"] == 30 and len(own["position"]) == 20
    assert own["rc"] > copy["rc"] and "y h 1" in own["worse_than_copy"]
    assert own["groups"]["FALCO"]["starts"] == 30
    assert own["groups"]["Battlefield"]["starts"] < 30
    assert "float recurrent" in report.table(reports)
    evaluate.save(reports, str(tmp_path / "r.json"))
    assert json.loads((tmp_path / "r.json").read_text())["linear"]["starts"] == 30
    with pytest.raises(AwmError, match="mode is one of"):
        evaluate.evaluate(games, network, modes=("sideways",))
    with pytest.raises(AwmError, match="too short"):
        evaluate.evaluate(short(games), network)


def short(games):
    entries = tuple(dataclasses.replace(e, rows=60) for e in games.entries)
    return dataclasses.replace(games, entries=entries)


README = {
    "copy last": ((0.7199, 3.398, 6.503, 11.836), 6.608, (2.070, 3.677)),
    "linear": ((0.2715, 2.239, 5.873, 14.856), 6.735, (1.181, 2.763)),
    "held speeds": ((0.2627, 2.016, 5.300, 13.886), 6.190, None),
    "held speeds, ground": ((0.2484, 1.944, 5.155, 13.604), 6.040, None),
    "held speeds, ground, hitlag": ((0.1996, 1.791, 4.961, 13.384), 5.862, (0.927, 2.269)),
}
"""README of the replays, "Baselines": h 1, 5, 10, 20; RC; means over h 1..5 and 1..10."""


@pytest.mark.long
def test_baselines_are_those_of_the_readme(tmp_path):
    pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")
    data.build([replays_dir() / "games"], tmp_path / "arrays")
    valid = data.open_data(tmp_path / "arrays", "valid")
    starts = rollout.all_starts(valid)
    assert len(starts) == 549_303
    for name, tally in baselines.all_baselines(valid, starts, CFG).items():
        at, rc, means = README[name]
        position = report.by_horizon(tally, "position")
        assert position[[0, 4, 9, 19]] == pytest.approx(at, abs=6e-4), name
        assert report.rc(tally) == pytest.approx(rc, abs=6e-4)
        if means:
            assert report.rc(tally, upto=5) == pytest.approx(means[0], abs=6e-4)
            assert report.rc(tally, upto=10) == pytest.approx(means[1], abs=6e-4)
        if name == "copy last":
            action = 1 - report.by_horizon(tally, "action")
            assert action[[0, 4, 9, 19]] == pytest.approx(
                (0.9072, 0.6443, 0.4582, 0.2635), abs=6e-4
            )
            percent = report.by_horizon(tally, "percent")
            assert percent[[0, 4, 9, 19]] == pytest.approx((0.0701, 0.351, 0.701, 1.402), abs=6e-4)
            speed = report.by_horizon(tally, "velocity")
            assert speed[[0, 4, 9, 19]] == pytest.approx((0.0595, 0.247, 0.393, 0.546), abs=6e-4)
