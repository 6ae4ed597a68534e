"""A policy practises: rewards and advantages are what they should be, and it learns what pays."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from awm_jax.console import run
from awm_jax.encoding import BUTTONS, columns
from awm_jax.errors import AwmError
from awm_jax.fp32.network import Network
from awm_jax.fp32.world import Fp32World
from awm_jax.game.frames import Frames
from awm_jax.train import policy, practice, trainer, world
from awm_jax.train.export import write_checkpoint
from awm_jax.train.streams import StreamConfig
from awm_jax.variant import Variant
from crank.cli import PROG, app

FOX, FALCO = 1, 22
WORLD = world.WorldConfig(
    d_model=16,
    n_layers=1,
    d_state=4,
    headdim=16,
    context_len=4,
    variant=Variant(control_first=True, geometry=True, head_hidden=8, game_rules=True),
    streams=StreamConfig(streams=2, window=16),
    free=world.FreeConfig(share=0.0),
)
POLICY = policy.PolicyConfig(hidden_dim=16, trunk_dim=8, context_len=4)
SHORT = trainer.TrainConfig(
    steps=16, warmup=2, rate=1e-2, log_every=4, save_every=4, judge_every=16, average=0.5
)
CONFIG = practice.PracticeConfig(matches=8, frames=6, critic=8, longest=20, train=SHORT)


@pytest.fixture(scope="module")
def parts(games):
    net = Network.of(world.new_model(WORLD))
    return Fp32World(net, recurrent=True), policy.PolicyJob(POLICY, games).template


def job_of(parts, config=CONFIG, kind=practice.PracticeJob):
    where, clone = parts
    return kind(config, where, clone, FOX, [(clone, FALCO), (clone, FOX)])


def test_a_broken_off_run_ends_the_same(parts, tmp_path):
    job = job_of(parts)
    trainer.train(job, SHORT, tmp_path / "whole")
    trainer.train(job, SHORT, tmp_path / "broken", stop_at=10)
    trainer.train(job, SHORT, tmp_path / "broken")
    names = ("policy.safetensors", "policy.json")
    for name in names:
        whole, broken = ((tmp_path / run / name).read_bytes() for run in ("whole", "broken"))
        assert whole == broken


def test_who_plays_whom(parts):
    job = job_of(parts)
    ints = np.asarray(job.carry().world.frames.ints)[:, -1]
    width, at = job.world.cfg.int_per_player, columns(job.world.cfg).int_index["character"]
    pairs = ints[:, [at, width + at]]
    mine = np.where(job.second, pairs[:, 1], pairs[:, 0])
    other = np.where(job.second, pairs[:, 0], pairs[:, 1])
    assert (mine == FOX).all() and other.tolist() == [FALCO] * 4 + [FOX] * 4
    seen = job._seen(job.carry().world.frames)
    assert (np.asarray(seen.ints)[:, -1, at] == FOX).all()


def test_matches_are_shared_out(parts):
    job = job_of(parts, dataclasses.replace(CONFIG, matches=11))
    assert (job.each, job.matches, job.second.sum()) == (2, 8, 4)


def test_rewards(parts):
    job = job_of(parts)
    cfg, where = job.world.cfg, columns(job.world.cfg)
    before = np.zeros((8, cfg.float_per_frame), np.float32)
    blocks = before.reshape(8, 2, -1)
    blocks[..., where["stocks"]], blocks[..., where["percent"]] = 4 * cfg.stocks_scale, 0.5
    after = before.copy()
    own, rival = np.where(job.second, 1, 0), np.where(job.second, 0, 1)
    rows, changed = np.arange(8), after.reshape(8, 2, -1)
    changed[rows[:2], rival[:2], where["percent"]] += 20 * cfg.percent_scale
    changed[rows[2:4], own[2:4], where["stocks"]] -= cfg.stocks_scale
    changed[rows[2:4], own[2:4], where["percent"]] = 0
    changed[rows[4:6], rival[4:6], where["stocks"]] -= cfg.stocks_scale
    changed[rows[6], own[6], where["percent"]] += 20 * cfg.percent_scale
    ints = jnp.zeros((8, cfg.int_per_frame), jnp.int32)  # an action of the dead: no footing
    reward, what = job._reward(Frames(jnp.asarray(before), ints), Frames(jnp.asarray(after), ints))
    hit, harm = 0.2 * CONFIG.damage, -0.2 * CONFIG.harm
    assert np.asarray(reward).tolist() == pytest.approx([hit, hit, -1, -1, 1, 1, harm, 0], abs=1e-5)
    assert np.asarray(what["hits"]).tolist() == [1, 1] + [0] * 6
    assert np.asarray(what["hit_by"]).tolist() == [0] * 6 + [1, 0]
    assert np.asarray(what["lost"]).sum() == np.asarray(what["took"]).sum() == 2


def test_a_way_back_pays(parts):
    job = job_of(parts)
    cfg, where = job.world.cfg, columns(job.world.cfg)
    frames = []
    for x, y in ((150.0, -20.0), (140.0, -10.0)):  # of the learner, whose rival stands at 0, 0
        floats = np.zeros((8, 2, cfg.float_per_player), np.float32)
        own = job.second.astype(int)
        floats[np.arange(8), own, where["x"]] = x * cfg.xy_scale
        floats[np.arange(8), own, where["y"]] = y * cfg.xy_scale
        ints = np.full((8, cfg.int_per_frame), 29, np.int32)
        ints[:, -1] = 31
        frames.append(Frames(jnp.asarray(floats.reshape(8, -1)), jnp.asarray(ints)))
    reward, _ = job._reward(*frames)
    np.testing.assert_allclose(reward, 0.2 * (CONFIG.home + CONFIG.close), atol=1e-5)
    back, _ = job._reward(*frames[::-1])
    np.testing.assert_allclose(back, -reward, atol=1e-6)


def test_advantages(parts):
    """Against the sum that defines them."""
    job, rng = job_of(parts), np.random.default_rng(0)
    reward, value = rng.normal(size=(2, 6, 8)).astype(np.float32)
    ahead = rng.normal(size=8).astype(np.float32)
    over = rng.random((6, 8)) < 0.2
    up = (rng.random((6, 8)) < 0.2) & ~over
    found = job._advantages(*map(jnp.asarray, (reward, value, ahead, over, up)))
    config, expected = job.config, np.zeros((6, 8))
    following = np.concatenate([value[1:], ahead[None]])
    for t in range(6):
        for m in range(8):
            weight = 1.0
            for k in range(t, 6):
                later = 0.0 if over[k, m] else value[k, m] if up[k, m] else following[k, m]
                expected[t, m] += weight * (reward[k, m] + config.discount * later - value[k, m])
                if over[k, m] or up[k, m]:
                    break
                weight *= config.discount * config.trace
    np.testing.assert_allclose(found, expected, atol=1e-5)


class PressA(practice.PracticeJob):
    """What pays is to hold the first button."""

    def _reward(self, before, after):
        cfg = self.world.cfg
        pads = after.floats.reshape(-1, 2, cfg.float_per_player)[..., columns(cfg).controller]
        own = jnp.where(jnp.asarray(self.second)[:, None], pads[:, 1], pads[:, 0])
        pressed = own[:, -len(BUTTONS)]
        return pressed, {"pressed": pressed}


@pytest.mark.parametrize(
    ("near", "learns"), [(0.0, True), pytest.param(100.0, False, marks=pytest.mark.long)]
)
def test_it_learns_what_pays(parts, tmp_path, near, learns):
    config = dataclasses.replace(CONFIG, near=near, discount=0.5, train=SHORT)
    run = dataclasses.replace(SHORT, steps=60, judge_every=60)
    job = job_of(parts, config, PressA)
    last = trainer.train(job, run, tmp_path / "run")
    share = last["pressed"] / 3600
    assert (share > 0.8) if learns else (share < 0.7)


def test_what_cannot_be_is_said(parts):
    where, clone = parts
    with pytest.raises(AwmError, match="1 opponents"):
        job_of(parts, dataclasses.replace(CONFIG, matches=2))
    other = dataclasses.replace(clone, cfg=clone.cfg.replace(projectiles=True))
    with pytest.raises(AwmError, match="own encoding"):
        practice.PracticeJob(CONFIG, where, other, FOX, [(clone, FALCO)])


def test_command(parts, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        practice, "PracticeConfig", functools.partial(practice.PracticeConfig, 4, 2)
    )
    where, clone = parts
    variant = dataclasses.asdict(WORLD.variant)
    write_checkpoint(where.network.module(), tmp_path, "world", variant=variant)
    write_checkpoint(clone.module(), tmp_path, "policy")
    paths = {name: str(tmp_path / f"{name}.safetensors") for name in ("world", "policy")}
    out = tmp_path / "run"
    line = ["train", "practice", str(out), "--world", paths["world"], "--clone", paths["policy"]]
    line += ["--character", "fox", "--against", f"falco={paths['policy']}", "--steps", "2"]
    assert run(app, PROG, line) == 0
    assert "took" in capsys.readouterr().out
    assert (out / "policy.safetensors").exists()
    line[line.index("--clone") + 1] = paths["world"]
    assert run(app, PROG, line) != 0
    assert f"{paths['world']}: is no policy in float32" in capsys.readouterr().err
