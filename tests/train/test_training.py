"""Training: the loss falls, a broken-off run ends where an unbroken one does, and what is learned
from is what it says."""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
import time

import jax
import numpy as np
import pytest

from awm_jax.encoding import columns
from awm_jax.errors import AwmError
from awm_jax.fp32.weights import to_torch_dict
from awm_jax.game.frames import neutral_pad
from awm_jax.int8.codes import Codes, LayerCodes
from awm_jax.train import data, losses, policy, trainer, world
from awm_jax.train.streams import StreamConfig
from awm_jax.variant import Variant

SHORT = trainer.TrainConfig(
    steps=40, warmup=2, rate=1e-2, log_every=4, save_every=8, judge_every=40
)
WORLD = world.WorldConfig(
    d_model=16,
    n_layers=1,
    d_state=4,
    headdim=16,
    variant=Variant(control_first=True, geometry=True, head_hidden=8),
    judge_starts=8,
    streams=StreamConfig(streams=2, window=16),
    free=world.FreeConfig(share=0.0),
    train=SHORT,
)
FREE = dataclasses.replace(WORLD, free=world.FreeConfig(share=0.3, horizons=(2, 3), every=8))
POLICY = policy.PolicyConfig(
    hidden_dim=16, trunk_dim=8, batch=32, judge_samples=64, train=SHORT, context_len=4
)


@pytest.fixture(scope="module")
def world_job(games):
    return world.WorldJob(WORLD, games, games)


@pytest.fixture(scope="module")
def unbroken(world_job, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "unbroken"
    return folder, trainer.train(world_job, SHORT, folder)


def lines(folder):
    timed = "steps_per_second"
    text = (folder / trainer.METRICS).read_text().splitlines()
    return [{n: v for n, v in json.loads(t).items() if n != timed} for t in text]


def test_the_loss_falls(unbroken):
    folder, last = unbroken
    first, *_ = lines(folder)
    assert last["step"] == 40 and last["loss"] < 0.8 * first["loss"]
    assert {"rc", "damage_foreseen"} <= set(last) and "rc" not in first
    assert (folder / trainer.CURVES).read_bytes().startswith(b"\x89PNG")


def test_a_broken_off_run_ends_the_same(world_job, unbroken, tmp_path):
    folder = tmp_path / "broken"
    trainer.train(world_job, SHORT, folder, stop_at=29)
    with (folder / trainer.METRICS).open("a") as file:
        file.write('{"step": 30, "lo')  # killed while it wrote
    trainer.train(world_job, SHORT, folder)
    assert lines(folder) == lines(unbroken[0])
    with np.load(folder / trainer.CHECKPOINT) as a, np.load(unbroken[0] / trainer.CHECKPOINT) as b:
        assert a.files == b.files
        assert all(np.array_equal(a[name], b[name]) for name in a.files)
    for name in ("world.safetensors", "world.json"):
        assert (folder / name).read_bytes() == (unbroken[0] / name).read_bytes()


def test_the_exported_world_is_the_average(world_job, unbroken):
    from safetensors.numpy import load_file

    stored = load_file(unbroken[0] / "world.safetensors")
    average = trainer.averaged(unbroken[0], world_job, SHORT)
    for name, value in to_torch_dict(world_job.network(average).module()).items():
        assert np.array_equal(stored[name], value)
    sidecar = json.loads((unbroken[0] / "world.json").read_text())
    assert sidecar["variant"]["control_first"] is True and sidecar["provenance"]["counted_age"]


def test_converters_read_the_export(unbroken):
    from converters import Checkpoint, load

    loaded = load(str(unbroken[0] / "world.safetensors"))
    assert isinstance(loaded, Checkpoint) and loaded.variant == WORLD.variant


def test_another_run_is_not_continued(games, unbroken):
    other = world.WorldJob(dataclasses.replace(WORLD, seed=1), games)
    with pytest.raises(AwmError, match="other settings"):
        trainer.train(other, SHORT, unbroken[0])


def test_a_damaged_checkpoint_is_named(world_job, tmp_path):
    folder = tmp_path / "run"
    trainer.train(world_job, SHORT, folder, stop_at=8)
    path = folder / trainer.CHECKPOINT
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(AwmError, match="damaged"):
        trainer.train(world_job, SHORT, folder)


def test_phases_and_the_loss_of_own_frames(games):
    job = world.WorldJob(FREE, games)
    assert [job.phase(step) for step in (0, 27, 28, 33, 34, 39)] == [0, 0, 2, 2, 3, 3]
    batch, _ = job.batch(0, job.place())
    loss = jax.jit(job.loss, static_argnums=3)
    total, (carry, metrics) = loss(job.init(), job.carry(), batch, 2)
    alone, (plain, _) = loss(job.init(), job.carry(), batch, 0)
    assert float(total) == pytest.approx(
        float(alone) + FREE.free.weight * float(metrics["free_loss"]), rel=1e-5
    )
    assert np.allclose(carry.ssm[0], plain.ssm[0], atol=1e-5)
    # What the network made itself errs more than what it was told.
    assert metrics["free_position_mae"] > metrics["position_mae"]


@pytest.mark.long
def test_learning_from_own_frames_breaks_off_and_ends_the_same(games, tmp_path):
    job = world.WorldJob(FREE, games)
    trainer.train(job, SHORT, tmp_path / "whole")
    trainer.train(job, SHORT, tmp_path / "broken", stop_at=33)
    trainer.train(job, SHORT, tmp_path / "broken")
    assert lines(tmp_path / "broken") == lines(tmp_path / "whole")
    weights = [(tmp_path / name / "world.safetensors").read_bytes() for name in ("broken", "whole")]
    assert weights[0] == weights[1]
    whole = lines(tmp_path / "whole")
    assert whole[-1]["free_loss"] < whole[7]["free_loss"]


def test_first_guesses_err_by_a_unit(world_job):
    cfg, params = WORLD.encoding, world_job.init()
    floats, ints, _ = world_job.batch(0, world_job.place())[0]
    ctrl = np.zeros(cfg.ctrl_conditioning_dim, np.float32)
    outputs = world_job.network(params).module()(floats[0, :2], ints[0, :2], ctrl)
    scales = np.tile([cfg.percent_scale, cfg.xy_scale, cfg.xy_scale, cfg.shield_scale], 2)
    assert 0.01 < np.abs(outputs["continuous_delta"] / scales).max() < 3


def test_state_is_carried_and_cleared(games):
    job = world.WorldJob(WORLD, games)
    params = job.init()
    (floats, ints, _), _ = job.batch(0, job.place())
    carry = jax.tree.map(lambda v: v + 1, job.carry())
    loss = jax.jit(job.loss, static_argnums=3)

    def run(carry, fresh):
        return loss(params, carry, (floats, ints, np.array(fresh)), 0)[1][0].ssm[0]

    kept, cleared = run(carry, [False, False]), run(carry, [True, False])
    assert not np.array_equal(kept[0], cleared[0])
    assert np.array_equal(kept[1], cleared[1])
    assert np.array_equal(cleared[0], run(job.carry(), [True, True])[0])


def test_gradients_flow_through_places_and_speeds_alone():
    cfg = WORLD.encoding
    flowing = world._flowing(cfg).reshape(2, -1)
    names = [name for name, i in columns(cfg).index.items() if flowing[0, i]]
    assert names == ["x", "y", *losses.VELOCITY] and np.array_equal(*flowing)


def test_hits_weigh_more(games):
    cfg, config = WORLD.encoding, losses.LossConfig()
    before = data.encode_records(games.games[0][100], 31, cfg)
    before = losses.Frames(*before)
    struck = games.games[0][100].copy()
    struck["percent"][0] += 7
    now = losses.Frames(*data.encode_records(struck, 31, cfg))
    outputs = {n: np.zeros(w, np.float32) for n, w in losses_outputs(cfg).items()}
    outputs["dynamics_pred"] = before.floats.reshape(2, -1)[:, columns(cfg).dynamics].reshape(-1)

    def loss(**changes):
        weights = dataclasses.replace(config, **changes)
        return float(losses.world_loss(cfg, weights, before.floats, outputs, before, now)[0])

    parts = losses.world_loss(cfg, config, before.floats, outputs, before, now)[1]
    assert parts["percent"] == pytest.approx((7**2 + 0.1**2) ** 0.5 / 2 - 0.05, rel=1e-4)
    assert loss(hit=5.0) - loss(hit=0.0) > 5 * float(parts["percent"])
    assert loss(hit_action=2.0) > loss(hit_action=0.0)


def test_a_run_that_learns_to_be_rounded(games, world_job, tmp_path):
    """It begins with another's weights and is told from a run that does not round."""
    trained = world_job.network(world_job.init())
    codes = Codes((LayerCodes(0.05, 0.05, 1e-3, 1e-3),) * WORLD.n_layers, 1e-3)
    job = world.WorldJob(WORLD, games, begin=trained, codes=codes)
    batch, _ = job.batch(0, job.place())
    loss = jax.jit(job.loss, static_argnums=3)
    plain = jax.jit(world.WorldJob(WORLD, games, begin=trained).loss, static_argnums=3)
    mine, other = (float(f(job.init(), job.carry(), batch, 0)[0]) for f in (loss, plain))
    assert mine != other and mine == pytest.approx(other, rel=0.1)
    trainer.train(job, SHORT, tmp_path, stop_at=SHORT.save_every)
    with pytest.raises(AwmError, match="other settings"):
        trainer.train(world.WorldJob(WORLD, games, begin=trained), SHORT, tmp_path)
    wider = dataclasses.replace(WORLD, d_model=2 * WORLD.d_model)
    with pytest.raises(AwmError, match="other sizes"):
        world.WorldJob(wider, games, begin=trained)


def test_a_hit_is_said_in_the_place_of_stocks(games):
    """By the game's rules: log-odds there, the damage in percent's change, learned from hits."""
    cfg, config = WORLD.encoding, losses.LossConfig(hit_likely=1.0)
    before = losses.Frames(*data.encode_records(games.games[0][100], 31, cfg))
    struck = games.games[0][100].copy()
    struck["percent"][1] += 7
    now = losses.Frames(*data.encode_records(struck, 31, cfg))
    quiet = {n: np.zeros(w, np.float32) for n, w in losses_outputs(cfg).items()}

    def parts(odds, damage):
        outputs = {name: value.copy() for name, value in quiet.items()}
        outputs["dynamics_pred"].reshape(2, -1)[:, 1] = np.multiply(odds, cfg.stocks_scale)
        outputs["continuous_delta"].reshape(2, -1)[:, 0] = np.multiply(damage, cfg.percent_scale)
        state = before.floats, outputs, before, now
        found = losses.world_loss(cfg, config, *state, game_rules=True)[1]
        return {name: float(value) for name, value in found.items()}

    right = parts((-5, 5), (0, 7))
    assert right["hit"] < 0.01 and right["percent"] == pytest.approx(0, abs=1e-4)
    assert parts((5, -5), (0, 7))["hit"] == pytest.approx(5.0067, abs=1e-3)
    assert parts((-5, 5), (30, 7))["percent"] == pytest.approx(right["percent"], abs=1e-6)
    assert parts((-5, 5), (0, 2))["percent"] > 0.5


def losses_outputs(cfg):
    from awm_jax.encoding import world_outputs

    return world_outputs(cfg)


def test_a_policy_learns(games, other_games, tmp_path):
    job = policy.PolicyJob(POLICY, games, other_games)
    last = trainer.train(job, SHORT, tmp_path / "run")
    first, *_ = lines(tmp_path / "run")
    assert last["loss"] < first["loss"] and 0 <= last["fresh_recall"] <= 1
    from converters import Checkpoint, load

    loaded = load(str(tmp_path / "run" / "policy.safetensors"))
    assert isinstance(loaded, Checkpoint) and loaded.arch == "policy"


def test_samples_are_of_the_chosen(games):
    config = dataclasses.replace(POLICY, character=1, mirror=0.0)
    samples = policy.Samples(games, config)
    floats, ints, pad, last, _ = samples.draw(np.random.default_rng(0), 64, 1.0)
    cfg = config.encoding
    assert (ints[:, :, columns(cfg).int_index["character"]] == 1).all()
    assert (np.abs(pad - last).max(axis=-1) > policy.MOVED).all()
    assert np.array_equal(last, floats[:, -1, columns(cfg).controller])
    with pytest.raises(AwmError, match="nobody"):
        policy.Samples(games, dataclasses.replace(POLICY, player="absent"))


def test_blind_samples_see_no_controllers_of_their_own(games):
    job = policy.PolicyJob(dataclasses.replace(POLICY, blind=1.0), games)
    (floats, *_), _ = job.batch(0, {})
    own = floats[:, :, columns(POLICY.encoding).controller]
    assert np.array_equal(own, np.broadcast_to(neutral_pad(), own.shape))


@pytest.mark.parametrize("module", [world, policy])
def test_presets_can_be_saved_when_judged(module):
    for config in module.PRESETS.values():
        t = config.train
        assert t.save_every % t.log_every == 0 and t.judge_every % t.log_every == 0


@pytest.mark.long
def test_killed_at_any_moment(tmp_path):
    """kill -9 again and again; the end is that of a run that was left alone."""
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, numpy as np
        sys.path[:0] = {[os.path.dirname(__file__), os.getcwd()]!r}
        from conftest import made_up_data
        from test_training import POLICY, SHORT
        from awm_jax.train import policy, trainer
        import dataclasses
        config = dataclasses.replace(SHORT, steps=1000, judge_every=1000)
        job = policy.PolicyJob(dataclasses.replace(POLICY, train=config), made_up_data(0))
        trainer.train(job, config, sys.argv[1])
        """)
    )

    def start(folder):
        return subprocess.Popen([sys.executable, str(script), str(tmp_path / folder)])

    assert start("whole").wait() == 0
    rng, kills = np.random.default_rng(0), 0
    checkpoint = tmp_path / "killed" / trainer.CHECKPOINT
    for _ in range(4):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = start("killed")
        while process.poll() is None:
            time.sleep(0.01)
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
                break
        time.sleep(0.3 * rng.random())
        kills += process.poll() is None
        process.kill()
        process.wait()
    process = start("killed")
    process.wait()
    assert process.returncode == 0 and kills > 0
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    one, two = (tmp_path / name / "policy.safetensors" for name in ("killed", "whole"))
    assert one.read_bytes() == two.read_bytes()
