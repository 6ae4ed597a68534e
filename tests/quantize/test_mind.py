"""A float mind becomes a cartridge, keeps its judgement, and plays by its spec."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save

from awm_jax.cartridges import EMBEDDED, embedded_mind
from awm_jax.console import run
from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.game.frames import Frames, seed_frames
from awm_jax.int8.frame import GameFrame, from_floats
from awm_jax.int8.mind import Int8Mind, think
from awm_jax.int8.mind_bounds import check_mind
from awm_jax.mwm.agent import MindAgent
from awm_jax.mwm.network import MentalWorldModelModule, Mind
from awm_jax.mwm.training.replays import both_sides, joined
from awm_jax.mwm.weights import to_torch_dict
from converters.cartridge import Cartridge, read_cartridge, save_cartridge
from converters.checkpoint import Provenance
from converters.cli import PROG, app
from converters.mwm import MwmCheckpoint
from converters.quantize.mind import quantise_mind
from converters.quantize.mind_pack import load_mind
from crank import integer
from crank.mind import integer_trace, trace
from crank.playing import prepare

CFG = EncodingConfig()
MOST = 8 << 20


@functools.cache
def game() -> tuple[np.ndarray, np.ndarray]:
    """Two who wander over a stage, and now and then attack or are hit."""
    rng = np.random.default_rng(3)
    start = seed_frames(CFG, 1, 31, (2, 2), action=14)
    floats, ints = (np.repeat(np.array(v), 900, axis=0) for v in (start.floats, start.ints))
    for player in (0, 1):
        at = player * CFG.float_per_player
        walk = np.cumsum(rng.normal(0, 0.02, (900, 2)), axis=0)
        floats[:, at + 1 : at + 3] += walk.astype(np.float32)
        floats[:, at] = np.cumsum(rng.random(900) < 0.02) * 0.05
        held = np.repeat(rng.choice([14, 20, 44, 75, 85], 90), 10)
        ints[:, player * CFG.int_per_player] = held
    return floats, ints


@functools.cache
def checkpoint(scaled: bool = True) -> MwmCheckpoint:
    model = MentalWorldModelModule(16, iwm_dim=4, scaled=scaled, rngs=nnx.Rngs(2))
    return MwmCheckpoint(model, Provenance("seed", "0" * 64, "awm-jax", "0" * 64, (), {}))


@functools.cache
def cartridge() -> Cartridge:
    return quantise_mind(checkpoint(), both_sides(CFG, *game()), {"frames": 900})


def test_it_judges_as_the_float_mind() -> None:
    """Affect of the imagined to a percent of its range; nearly always the same action."""
    floats, ints = (v[::6] for v in game())
    params, _ = load_mind(cartridge())
    agent = MindAgent.of(Mind.of(checkpoint().model), CFG)
    seen = trace(agent, Frames(*game()))
    ours = integer_trace(Int8Mind(params, CFG), from_floats(CFG, *game()))
    assert (seen.action == ours.action).mean() > 0.9
    np.testing.assert_allclose(ours.affect, seen.affect, atol=0.01 * np.abs(seen.affect).max())
    np.testing.assert_allclose(ours.surprise, seen.surprise, atol=0.01)
    np.testing.assert_allclose(ours.damage, seen.damage, atol=1e-3)
    assert len(np.unique(ours.action)) > 1 or len(np.unique(seen.action)) == 1
    assert len(floats) == len(ints) == len(ours.frame)


def test_the_trace_is_what_was_thought() -> None:
    """Seen as player 1, the players change places."""
    params, _ = load_mind(cartridge())
    frames = from_floats(CFG, *game())
    found = integer_trace(Int8Mind(params, CFG), frames, player=1)
    halves = [
        np.asarray(v)[0][::-1] for v in (frames.cont, frames.binary, frames.ints, frames.pads)
    ]
    first = GameFrame(*halves[:3], np.asarray(frames.stage)[0], halves[3])
    thought = jax.jit(think, static_argnums=1)(
        params, CFG, jnp.zeros(16, jnp.int32), jax.tree.map(jnp.asarray, first)
    )
    assert int(thought.action) == found.action[0]
    value = int(thought.affect[2]) / int(params.one)
    assert found.affect[0, 2] == pytest.approx(value)


def test_only_scaled_minds() -> None:
    with pytest.raises(AwmError, match="unscaled"):
        quantise_mind(checkpoint(scaled=False), both_sides(CFG, *game()))


def test_bounds_are_checked() -> None:
    params, _ = load_mind(cartridge())
    host = jax.tree.map(np.asarray, params)
    assert max(check_mind(host).values()) < 2**31
    wrong = {
        "tanh": lambda p: jax.tree.map(lambda v: v * 3, p),
        "actions": lambda p: p * (1 << 16),
        "one": lambda p: p - (1 << 30),
    }
    for name, change in wrong.items():
        bad = {**vars(host), name: change(getattr(host, name))}
        with pytest.raises(AwmError, match=name):
            check_mind(type(host)(**bad))


def test_a_cartridge_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mind"
    save_cartridge(cartridge(), folder)
    again = read_cartridge(folder)
    assert again.hash == cartridge().hash and again.model_type == "mwm"
    for ours, theirs in zip(
        jax.tree.leaves(load_mind(again)), jax.tree.leaves(load_mind(cartridge())), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert run(app, PROG, ["verify", str(folder)]) == 0
    assert "bounds hold" in capsys.readouterr().out
    assert run(app, PROG, ["inspect", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hash"] == again.hash
    extra = folder / "extra.bin"
    extra.write_bytes(b"\x01" + extra.read_bytes()[1:])
    with pytest.raises(AwmError, match="damaged"):
        read_cartridge(folder)


def test_the_command_asks_for_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, PROG, ["quantize-mind", "none.safetensors", str(tmp_path / "out")]) == 2
    assert "--calibrate" in capsys.readouterr().err
    command = ["quantize-mind", "none.safetensors", str(tmp_path / "out"), "--calibrate", "none"]
    assert run(app, PROG, command) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_it_is_calibrated_on_what_it_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mind, played = tmp_path / "mind.safetensors", tmp_path / "played.npz"
    model = checkpoint().model
    mind.write_bytes(save(to_torch_dict(model)))
    sidecar = {"arch": "mwm", "dims": model.dims, "scaled": True, "provenance": {}}
    mind.with_suffix(".json").write_text(json.dumps(sidecar))
    steps = joined(both_sides(CFG, *game()))
    fields = {f.name: getattr(steps, f.name) for f in dataclasses.fields(steps) if f.name != "iwm"}
    np.savez(played, **fields)
    hashes = []
    for name, options in {
        "all": [],
        "first": ["--frames", "900"],
        "both": ["--calibrate", "x"],
    }.items():
        line = ["quantize-mind", str(mind), str(tmp_path / name), "--played", str(played)]
        code = run(app, PROG, [*line, "--json", *options])
        out = capsys.readouterr()
        assert code == (2 if name == "both" else 0), out.err
        hashes += [json.loads(out.out)["hash"]] if code == 0 else []
    assert hashes[0] != hashes[1]
    assert check_mind(load_mind(read_cartridge(tmp_path / "all"))[0])


def test_specs(tmp_path: Path) -> None:
    world, _ = integer.load_world(EMBEDDED, None, "auto")
    agent, digest = integer.parse_agent("mwm", world, EMBEDDED, 0.0)
    assert isinstance(agent, Int8Mind) and digest == read_cartridge(embedded_mind()).hash
    assert integer.parse_agent("mwm:embedded", world, None, 0.0)[1] == digest
    for spec, what in (
        (f"mwm:{tmp_path}/none", "quantize-mind"),
        (f"mwm:{EMBEDDED}d", "no mind cartridge"),
    ):
        with pytest.raises(AwmError, match=what):
            integer.parse_agent(spec, world, EMBEDDED, 0.0)
    save_cartridge(read_cartridge(EMBEDDED).policies["fox"], tmp_path / "fox")
    with pytest.raises(AwmError, match="not a mind"):
        integer.parse_agent(f"mwm:{tmp_path}/fox", world, EMBEDDED, 0.0)


def test_what_ships_is_small() -> None:
    files = [p for p in embedded_mind().parent.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < MOST
    assert check_mind(load_mind(read_cartridge(embedded_mind()))[0])


def test_a_match_tells_what_it_felt() -> None:
    played = prepare(EMBEDDED, "noop", "mwm", max_frames=20).run()
    found = played.to_object()["minds"]
    assert found[0] is None and found[1]["first"] == played.seed_count - 1
    assert all(len(found[1][name]) == 4 for name in ("threat", "curiosity", "value", "surprise"))
    assert "minds" not in prepare(EMBEDDED, "noop", "noop", max_frames=2).run().to_object()
