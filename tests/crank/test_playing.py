"""`crank.play`: what it takes, what it refuses, and that it is a function of its arguments."""

from __future__ import annotations

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import crank
from awm_jax.errors import AwmError
from awm_jax.fp32.weights import to_torch_dict
from awm_jax.fp32.world import Fp32World
from awm_jax.game.decode import decode
from awm_jax.game.frames import Frames
from converters.checkpoint import Checkpoint, Provenance, weights_sha256
from crank import Match, playing
from crank.match import Outcome
from crank.playing import prepare, synthetic_seed


@pytest.fixture(scope="session")
def checkpoint(model) -> Checkpoint:
    digest = weights_sha256(to_torch_dict(model))
    return Checkpoint(model, Provenance("small.pt", "0" * 64, "new", digest))


def play(checkpoint, **options) -> Match:
    """All matches of one context share one executable."""
    usual = {"p0": "random", "p1": "random", "max_frames": 20, "early_ko": False}
    return crank.play(checkpoint, **usual | options)


def test_equal_arguments_equal_bytes(checkpoint, tmp_path) -> None:
    for name in ("a", "b"):
        play(checkpoint, seed=7, seed_noise=2.0).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_seeds_other_matches(checkpoint) -> None:
    files = {play(checkpoint, seed=seed).to_json() for seed in (0, 1, 2, 1 << 32, (1 << 64) - 1)}
    assert len(files) == 5


def test_the_seed_reaches_the_agents_and_the_noise(checkpoint) -> None:
    still, noisy = (play(checkpoint, seed=3, seed_noise=s) for s in (0.0, 2.0))
    assert np.array_equal(still.pads, noisy.pads)
    assert not np.array_equal(still.frames.floats[0], noisy.frames.floats[0])


def test_what_a_match_says_of_itself(checkpoint) -> None:
    seen: list[Frames] = []
    match = play(
        checkpoint,
        stage="battlefield",
        characters=("marth", 1),
        seed=5,
        on_frame=seen.append,
        button_bias=1.5,
    )
    assert len(seen) == match.played == 20 and match.seed_count == 4
    assert len(match.frames.floats) == 24 and match.pads.shape == (20, 2, 13)
    assert np.array_equal(seen[-1].floats, match.frames.floats[-1])
    assert match.outcome is Outcome.TIMEOUT
    meta = match.to_object()["meta"]
    assert meta["characters"]["p0"] == {"id": 18, "name": "MARTH"}
    assert meta["stage"] == {"id": 31, "name": "Battlefield"} and meta["total_frames"] == 24
    assert meta["model_checkpoint"] == "small.pt" and meta["arch"] == "mamba2"
    assert meta["weights_sha256"] == {
        "world": checkpoint.provenance.weights_sha256,
        "p0": None,
        "p1": None,
    }
    assert (meta["seed"], meta["seed_noise"], meta["button_bias"]) == (5, 0.0, 1.5)
    assert meta["context"] == "windowed" and meta["outcome"] == "timeout"
    assert meta["winner"] == match.winner and meta["reason"] in match.sentence
    assert meta["versions"]["jax"] == jax.__version__
    last = decode(match.cfg, match.frames)
    for name in ("stocks", "percent"):
        want = np.floor(last[name][-1] + 0.5)
        assert np.array_equal(meta[f"final_{name}"], want)


@pytest.mark.parametrize("outcome", [Outcome.CORRUPT, Outcome.INTERRUPTED])
def test_a_match_without_an_end_has_no_winner(checkpoint, outcome) -> None:
    import dataclasses

    match = dataclasses.replace(play(checkpoint), outcome=outcome)
    assert match.winner is None and "nobody won" in match.sentence


def test_both_contexts(checkpoint) -> None:
    windowed, recurrent = (play(checkpoint, context=c) for c in ("windowed", "recurrent"))
    assert recurrent.meta["context"] == "recurrent"
    assert np.array_equal(windowed.pads, recurrent.pads)
    assert not np.array_equal(windowed.frames.floats, recurrent.frames.floats)


def test_noise_once_or_in_every_seed_frame(checkpoint) -> None:
    cfg = checkpoint.config
    once, every = (synthetic_seed(cfg, 4, 31, (2, 2), 0, 2.0, each) for each in (False, True))
    assert (once.floats == once.floats[0]).all()
    assert len(np.unique(every.floats[:, 1])) == 4
    assert np.array_equal(once.floats[0], every.floats[0])


def test_real_seed_frames_decide_stage_and_characters(checkpoint) -> None:
    seed = synthetic_seed(checkpoint.config, 4, 8, ("fox", "falco"), 0)
    match = play(checkpoint, seed_frames=seed)
    assert match.stage == 8 and match.characters == (1, 22)
    assert np.array_equal(match.frames.floats[:4], seed.floats)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_frames": 0}, "0 frames to play"),
        ({"max_frames": -5}, "-5 frames to play"),
        ({"stage": "moon"}, "no stage 'moon'"),
        ({"stage": 33}, "no stage '33'"),
        ({"stage": -1}, "no stage '-1'"),
        ({"characters": ("fox", "zzz")}, "no character 'zzz'"),
        ({"characters": (2, 99)}, "no character '99'"),
        ({"seed": -1}, "seed -1 is not between"),
        ({"seed": 2**64}, "is not between 0 and 2"),
        ({"seed_noise": -0.1}, "seed noise -0.1"),
        ({"seed_noise": float("nan")}, "seed noise nan"),
        ({"seed_noise": 1e9}, "seed noise"),
        ({"seed_action": 400}, "no action 400; give 0 to 399"),
        ({"button_bias": float("inf")}, "button bias inf"),
        ({"context": "both"}, "no context 'both'; give one of: windowed, recurrent"),
        ({"p0": "bot"}, "no agent 'bot'"),
        ({"p1": "policy:/no/such/bot.pt"}, "/no/such/bot.pt"),
        ({"seed_replay": "x.slp", "stage": 8}, "stage and characters are those of the real"),
        ({"seed_replay": "x.slp", "characters": (None, 1)}, "leave them out"),
        ({"seed_replay": "x.slp", "seed_noise": 1.0}, "made-up seed; leave them out"),
    ],
)
def test_refusals(checkpoint, options, says) -> None:
    with pytest.raises(AwmError) as error:
        prepare(checkpoint, **options)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_wrong_seed_frames(checkpoint) -> None:
    seed = synthetic_seed(checkpoint.config, 4, 8, (1, 2), 0)
    short = Frames(seed.floats[1:], seed.ints[1:])
    with pytest.raises(AwmError, match=r"seed frames are \(3, 144\)"):
        prepare(checkpoint, seed_frames=short)
    holes = Frames(seed.floats.copy(), seed.ints)
    holes.floats[0, 0] = np.nan
    with pytest.raises(AwmError, match="no number"):
        prepare(checkpoint, seed_frames=holes)
    outside = Frames(seed.floats, seed.ints.copy())
    outside.ints[0, 0] = 400
    with pytest.raises(AwmError, match="p0 action is 400"):
        prepare(checkpoint, seed_frames=outside)


def test_worlds_that_cannot_be_played(checkpoint) -> None:
    from awm_jax.fp32.weights import torch_shapes
    from converters.checkpoint import Spec, filled

    def made(arch: str, dims: dict[str, int], **flags) -> Checkpoint:
        cfg = checkpoint.config.replace(**flags)
        abstract = Spec(arch, cfg, 3, dims).abstract()
        zeros = {k: np.zeros(s, np.float32) for k, s in torch_shapes(abstract).items()}
        return Checkpoint(filled(abstract, zeros), checkpoint.provenance)

    hidden = {"hidden_dim": 4, "trunk_dim": 4}
    mamba = {"d_model": 8, "d_state": 4, "n_layers": 1, "headdim": 8}
    with pytest.raises(AwmError, match=r"^small\.pt: holds a policy, not a world"):
        prepare(made("policy", hidden))
    with pytest.raises(AwmError, match="an MLP world with state_flags"):
        prepare(made("mlp", hidden))
    with pytest.raises(AwmError, match="an MLP world has no state to carry"):
        prepare(made("mlp", hidden, state_flags=False), context="recurrent")
    with pytest.raises(AwmError, match="lookahead 2"):
        prepare(made("mamba2", mamba, lookahead=2))
    assert prepare(made("mlp", hidden, state_flags=False)).meta["arch"] == "mlp"


def test_a_ready_world_has_its_own_context(model) -> None:
    ready = Fp32World.of(model, recurrent=True)
    assert prepare(ready).meta["context"] == "recurrent"
    with pytest.raises(AwmError, match="the world is recurrent, not windowed"):
        prepare(ready, context="windowed")


def test_the_package_exports_lazily() -> None:
    code = "import sys, crank; assert 'jax' not in sys.modules; print(dir(crank))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "play" in done.stdout and "Match" in done.stdout
    assert crank.play is playing.play and crank.Match is Match
    with pytest.raises(AttributeError):
        _ = crank.nothing


def test_json_is_strict(checkpoint) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(play(checkpoint).to_json(), parse_constant=refuse)
