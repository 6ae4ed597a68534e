"""The log, line by line; and a tiny run: losses fall, every weight learns, it can be resumed."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from support.golden import golden_dir, load_json

from awm_jax.errors import AwmError
from awm_jax.mwm.training import TrainingDataset, log_training_entry
from awm_jax.mwm.training.job import MindConfig, MindJob, window_loss, windows
from awm_jax.mwm.training.logs import arrays, parse_entry
from awm_jax.mwm.training.run import train_mwm_from_logs
from awm_jax.mwm.training.steps import Steps, affect_targets, returns, split
from awm_jax.mwm.weights import to_torch_dict
from awm_jax.train.trainer import TrainConfig, train
from converters.mwm import load_mwm

FIELDS = {37: "timestamp", 38: "timestamp", 39: "iwm_latent: the visual latent has 3 values"}
FIELDS |= {40: "iwm_latent", 41: "iwm_latent", 42: "self_state", 43: "player_health is"}
FIELDS |= {44: "reward_proxy", 45: "reward_proxy", 46: "gwm_features", 47: "threat_level is 'high'"}
FIELDS |= {49: "threat_level"}


def test_every_line_of_the_sample() -> None:
    folder = golden_dir("mwm") / "logs"
    expected = load_json(folder / "expected.json")["lines"]
    dataset = TrainingDataset.load_jsonl(folder / "sample.jsonl")
    skipped = dict(dataset.skipped)
    assert set(skipped) == {row["line"] for row in expected if row["do"].startswith("skip, count")}
    for line, word in FIELDS.items():
        assert word in skipped[line]
    entries = iter(dataset)
    for row in expected:
        if row["do"].startswith("skip"):
            continue
        entry = next(entries)
        found = arrays(entry)
        if "gwm" in row and row["kind"] != "old_flat_gwm":
            np.testing.assert_array_equal(found.gwm, np.array(row["gwm"], np.float32))
        if row["kind"] == "live_loop":
            assert entry.action_type in ("attack", "block", "heal", *TYPES)
            assert entry.cycle_number == row["line"] - 1
        if row["kind"] == "old_flat_gwm":
            assert found.gwm[[1, 4, 7]].tolist() == pytest.approx([2, 12.3, 4.0])
        if row["kind"] == "old_self_keys":
            assert found.own[0] == pytest.approx(0.3)
        elif "self" in row:
            np.testing.assert_array_equal(found.own[:3], np.array(row["self"], np.float32)[:3])
        assert entry.reward_proxy == pytest.approx(row.get("reward", entry.reward_proxy))
    assert next(entries, None) is None
    with pytest.raises(AwmError, match=r"sample.jsonl: line 30: not JSON"):
        TrainingDataset.load_jsonl(folder / "sample.jsonl", strict=True)


TYPES = ("move_forward", "move_backward", "sneak", "activate", "jump", "wait", "move_left")


def test_writing_and_reading(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "mwm.jsonl"
    for cycle in range(3):
        log_training_entry(
            {"threat_level": 0.5}, [0.5] * 4, {"health": 0.5}, "ActionType.JUMP", {"duration": 1},
            0.25, log, cycle_number=cycle,
        )  # fmt: skip
    found = TrainingDataset.load_jsonl(log, iwm_dim=4, strict=True)
    assert [e.cycle_number for e in found] == [0, 1, 2] and found[0].action_type == "jump"
    found.save_jsonl(tmp_path / "again.jsonl")
    again = TrainingDataset.load_jsonl(tmp_path / "again.jsonl", iwm_dim=4, strict=True)
    assert again.entries == found.entries
    with pytest.raises(AwmError, match="surprise"):
        log_training_entry(None, None, {}, "x", {}, 0.0, log, surprise="much")
    with pytest.raises(AwmError, match="cannot be read"):
        TrainingDataset.load_jsonl(tmp_path / "none.jsonl")
    with pytest.raises(AwmError, match="not an object"):
        parse_entry("[1]")


def test_returns_belong_to_the_arrival() -> None:
    link = np.array([True, True, False, True, False])
    found = returns(np.array([1.0, 2.0, 9.0, 4.0, 9.0]), link, 0.5)
    assert found.tolist() == pytest.approx([0.5 * (1 + 0.5 * 2), 1 + 0.5 * 2, 2, 0.5 * 4, 4])


def made_up(n: int, seed: int) -> Steps:
    """A world with a rule: the action moves the threat, the reward is how little there is."""
    rng = np.random.default_rng(seed)
    gwm = np.zeros((n, 16), np.float32)
    gwm[:, [4, 7, 14]] = 999
    action = np.eye(16, dtype=np.float32)[rng.integers(0, 3, n)]
    threat = 0.5
    for t in range(n):
        gwm[t, 0] = threat
        threat = float(np.clip(threat + (action[t, 0] - action[t, 1]) * 0.3, 0, 1))
    link = np.ones(n, bool)
    link[9::10] = False
    own = rng.random((n, 8)).astype(np.float32)
    return Steps(gwm, own, action, affect_targets(gwm, 1 - gwm[:, 0], link), link)


CONFIG = MindConfig(latent_dim=8, iwm_dim=4, window=6, batch=16, dropout=True)
SETTINGS = TrainConfig(steps=80, rate=1e-2, warmup=5, log_every=20, save_every=40, judge_every=80)


def test_every_weight_gets_a_gradient() -> None:
    job = MindJob(CONFIG, made_up(40, 0), made_up(40, 1))
    batch = windows(job.steps, np.arange(16), 6)
    mind = job.new()
    grads = jax.jit(jax.grad(lambda m: window_loss(m, batch, CONFIG, None)[0]))(mind)
    silent = [k for k, v in to_torch_dict(grads.module()).items() if not np.abs(v).max() > 0]
    assert silent == ["iwm_encoder.0.weight"]  # there is nothing to see


@pytest.mark.standard_promotion
def test_a_tiny_run_learns_and_can_be_resumed(tmp_path: Path) -> None:
    job = MindJob(CONFIG, *split(made_up(400, 0)))
    whole = train(job, SETTINGS, tmp_path / "whole")
    first = json.loads((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()[0])
    # pred_latent begins near zero, while all latents are still alike: it has nothing to fall from.
    for name in ("loss", "recon_world", "pred_world", "affect_seen", "affect_imagined"):
        assert whole[name] < 0.9 * first[name], name
    train(job, SETTINGS, tmp_path / "parts", stop_at=50)
    again = train(job, SETTINGS, tmp_path / "parts")
    assert again["loss"] == whole["loss"] and again["valid_loss"] == whole["valid_loss"]
    mind = load_mwm(tmp_path / "whole" / "mind.safetensors").model
    assert mind.scaled and mind.dims == {"latent_dim": 8, "iwm_dim": 4}


def test_too_little_is_said(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"timestamp": 1.0}\nnonsense\n')
    with pytest.raises(AwmError, match="1 usable entries are too few"):
        train_mwm_from_logs(log, tmp_path / "run", CONFIG)
