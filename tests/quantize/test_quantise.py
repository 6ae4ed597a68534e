"""From checkpoints to cartridges that play: founders' files, variants, policies, the commands."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cartridges import TINY, cartridge
from support.golden import golden_dir, load_json
from support.quantised import EVERY, FRAMES, cfg_of, files, real, seeded, small_world

import converters
from awm_jax.console import run
from awm_jax.contracts import View
from awm_jax.encoding import ANALOG
from awm_jax.errors import AwmError
from awm_jax.fp32 import PolicyMLP
from awm_jax.int8 import fixed
from awm_jax.int8.frame import frame_codes, from_floats, pads_to_floats
from awm_jax.int8.mamba2 import mixed
from awm_jax.int8.policy import Int8Policy
from awm_jax.int8.world import Int8World
from awm_jax.variant import Variant
from converters.cartridge import make_cartridge, read_cartridge, save_cartridge
from converters.checkpoint import Spec
from converters.cli import PROG, app
from converters.quantize.calibrate import calibrate
from converters.quantize.cost import cost, products, state_bytes
from converters.quantize.pack import load_policy, load_world, narrow
from converters.quantize.policy import build_policy, calibrate_policy
from converters.quantize.quantise import arch_of, quantise, quantise_policy
from converters.quantize.report import compare
from converters.source import NO_VARIANT


@pytest.fixture(autouse=True, scope="module")
def quick_compiles():
    """Most of these tests' time is XLA's."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@functools.cache
def small_cartridge(variant: Variant = NO_VARIANT, planes: int = 1):
    return quantise(small_world(variant), real(cfg_of(variant), 64), planes=planes)


def assert_equal_trees(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and np.array_equal(x, y)


def without(whole, name=None, **arrays):
    """Another cartridge of the same weights, one extra array left out or replaced."""
    manifest = {
        k: v
        for k, v in whole.manifest.items()
        if k not in ("format", "hash", "files", "policies", "extra")
    }
    extra = {k: v for k, v in whole.extra.items() if k != name} | arrays
    return make_cartridge(
        weights=whole.weights_int8.tobytes(), luts=whole.luts, manifest=manifest, extra=extra
    )


def test_a_founders_checkpoint_end_to_end(tmp_path):
    """The reference's own parts byte for byte; read again the same; close to the float network."""
    folder = golden_dir("torch")
    checkpoint = converters.load(folder / "checkpoints/new_mamba2.pt")
    made = quantise(checkpoint, real(checkpoint.config), mode="recurrent")
    golden = folder / "quant/new_mamba2"
    assert made.weights_int8.tobytes() == (golden / "weights_int8.bin").read_bytes()
    assert made.luts == (folder / "quant/luts/luts.bin").read_bytes()
    theirs = load_json(golden / "manifest.json")
    for name in ("architecture", "total_weight_bytes", "shard_map"):
        assert made.manifest[name] == theirs[name]
    for group, entries in theirs["weights"].items():
        for key, entry in entries.items():
            ours = made.manifest["weights"][group][key]
            for field in set(entry) - {"error", "snr_db"}:
                assert ours[field] == entry[field], (key, field)

    save_cartridge(made, tmp_path / "c")
    loaded = converters.load_cartridge(tmp_path / "c")
    assert loaded.cartridge.hash == made.hash and loaded.world.arch.recurrent
    assert_equal_trees(loaded.world.params, load_world(made)[0])
    scales = made.manifest["int8"]["scales"]
    found = compare(checkpoint.model, loaded.world, scales, real(made.config, 128))
    assert found["frames"] > 100
    assert_close_to_float(found)
    with pytest.raises(AwmError, match="is a cartridge, not a checkpoint"):
        converters.load(tmp_path / "c")


def assert_close_to_float(found):
    assert min(found["snr_db"].values()) > 20
    for field in ("x", "y"):
        assert found["fields"][field]["mean"] < 0.1 * found["fields"][field]["step"]
    assert found["binaries"] > 0.97 and found["categorical"]["action"] > 0.85


@pytest.mark.parametrize(("variant", "planes"), [(EVERY, 2), (NO_VARIANT, 1)])
def test_round_trip(variant, planes, tmp_path):
    """Ours is recurrent by default, a founders' network windowed."""
    checkpoint, made = small_world(variant), small_cartridge(variant, planes)
    params, arch = load_world(made)
    assert arch == arch_of(checkpoint.model, None, planes) and arch.variant == variant
    assert arch.recurrent == (variant != NO_VARIANT)
    save_cartridge(made, tmp_path / "c")
    assert_equal_trees(load_world(read_cartridge(tmp_path / "c"))[0], params)
    world, cfg = Int8World(params, arch), cfg_of(variant)
    frames = from_floats(cfg, *real(cfg, 64)[0])
    seed = jax.tree.map(lambda v: jnp.asarray(v[:3]), frames)
    _, frame = jax.jit(lambda s, pads: world.step(world.reset(s), pads))(seed, frames.pads[3])
    assert frame.cont.shape == (2, cfg.continuous_dim)


def test_a_checkpoint_keeps_its_variant(tmp_path):
    checkpoint = small_world(EVERY)
    weights = checkpoint.state_dict()
    converters.save_orbax(checkpoint, tmp_path / "w")
    again = converters.load(tmp_path / "w")
    assert again.variant == EVERY and again.spec == checkpoint.spec
    config = json.loads((tmp_path / "w/config.json").read_text())
    assert config["variant"] == dataclasses.asdict(EVERY)

    from safetensors.numpy import save_file

    save_file(weights, tmp_path / "s.safetensors")
    shutil.copy(tmp_path / "w/config.json", tmp_path / "s.json")
    third = converters.load(tmp_path / "s.safetensors")
    assert third.variant == EVERY
    for key, value in third.state_dict().items():
        assert np.array_equal(value, weights[key])
    config["variant"]["head_hidden"] = True
    (tmp_path / "s.json").write_text(json.dumps(config))
    with pytest.raises(AwmError, match=r"variant\.head_hidden is a bool, not int"):
        converters.load(tmp_path / "s.safetensors")
    with pytest.raises(AwmError, match="is a variant, which the reference's PyTorch format"):
        converters.save_torch(again, tmp_path / "x.pt")
    converters.save_orbax(small_world(), tmp_path / "plain")
    assert "variant" not in json.loads((tmp_path / "plain/config.json").read_text())


def test_refusals_of_what_does_not_fit():
    made = small_cartridge()
    cases = [
        (without(made, "layers.0.in_proj.bias"), "layers.0.in_proj.bias is missing"),
        (without(made, more=np.int8(1)), "extra array more is none of this machine's"),
        (without(made, **{"inputs.one": np.int8([1, 2])}), r"inputs.one is \(2,\), not \(\)"),
        (without(made, **{"inputs.one": np.uint8(200)}), "inputs.one holds 200"),
        (without(made, **{"inputs.one": np.uint32(2**32 - 1)}), "outside 32 bits"),
        (cartridge("mamba2"), "int8.planes is None"),
        (cartridge("policy"), "it holds a policy, not a Mamba2 world"),
    ]
    for broken, message in cases:
        with pytest.raises(AwmError, match=message):
            load_world(broken)
    with pytest.raises(AwmError, match="not a policy"):
        load_policy(made)
    with pytest.raises(AwmError, match="no frames to calibrate on"):
        quantise(small_world(), [])
    spec = small_world().spec
    ahead = seeded(dataclasses.replace(spec, config=TINY.replace(lookahead=1)))
    with pytest.raises(AwmError, match="lookahead 1"):
        quantise(ahead, [])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([-128, 127], "i1"), ([0, 255], "u1"), ([-1, 255], "i2"), ([65535], "u2"), ([-(2**31)], "i4")],
)
def test_narrow(values, dtype):
    found = narrow(np.array(values, np.int64))
    assert found.dtype == np.dtype(dtype) and found.tolist() == values


def test_windowed_calibration_starts_from_zero():
    """Ranges of windows equal those of each window as a game of its own."""
    model = small_world().model
    ((floats, ints),) = real(TINY, 30)
    whole = calibrate(model, [(floats, ints)], window=3)
    alone = [(floats[i : i + 4], ints[i : i + 4]) for i in range(0, 30, 3)]
    parts = calibrate(model, alone)
    for name, value in vars(whole).items():
        np.testing.assert_allclose(value, getattr(parts, name), rtol=1e-4, err_msg=name)


def test_policy_agrees_with_float():
    cfg = converters.load(golden_dir("torch") / "checkpoints/new_policy.pt").config
    checkpoint = seeded(Spec("policy", cfg, 4, {"hidden_dim": 96, "trunk_dim": 48}), 9)
    model = checkpoint.model
    assert isinstance(model, PolicyMLP)
    sequences = real(cfg, FRAMES)
    made = quantise_policy(checkpoint, sequences)
    params, arch = load_policy(made)
    built, _, _ = build_policy(model, calibrate_policy(model, sequences))
    assert_equal_trees(params, jax.tree.map(jnp.asarray, built))

    ((floats, ints),) = sequences
    rows = np.arange(0, 200, 2)[:, None] + np.arange(4)
    want = model(jnp.asarray(floats[rows]), jnp.asarray(ints[rows], jnp.int32))
    views = jax.tree.map(jnp.asarray, from_floats(cfg, floats[rows], ints[rows]))
    policy = Int8Policy.of(params, arch, cfg, 4)
    mind = policy.reset(jnp.zeros(2, jnp.uint32), 0)
    act = jax.jit(jax.vmap(lambda view: policy.act(mind, View(view, jnp.int32(9)))[1]))
    analog = pads_to_floats(np.asarray(act(views)))[:, : len(ANALOG)]
    error = np.abs(analog - np.asarray(want["analog_pred"]))
    assert error.mean() < 0.01 and np.quantile(error, 0.99) < 0.02

    chance = np.asarray(jax.jit(jax.vmap(lambda view: chances(params, arch, view)))(views)) / 32768
    error = np.abs(chance - np.asarray(jax.nn.sigmoid(want["button_logits"])))
    assert error.mean() < 0.01 and np.quantile(error, 0.99) < 0.02
    assert np.ptp(chance) > 0.2 and np.ptp(analog) > 0.2


def chances(p, arch, view):
    """What `Int8Policy.act` compares its draws with."""
    wide, narrow = jax.vmap(lambda one: frame_codes(p.inputs, arch.cfg, one, one.pads))(view)
    h = jnp.clip(mixed(p.hidden, wide.reshape(-1), narrow.reshape(-1)), 0, fixed.WIDE_MAX)
    for dense in (p.trunk, p.heads):
        acc = fixed.product_wide(dense.w, h) + dense.bias
        h = fixed.requant(acc, dense.out.a, dense.out.m)
        if dense is p.trunk:
            h = jnp.clip(h, 0, fixed.WIDE_MAX)
    return fixed.lookup(p.sigmoid, fixed.clamp16(h[len(ANALOG) :]))


def test_cost():
    model = small_world().model
    recurrent, windowed = arch_of(model, "recurrent"), arch_of(model, "windowed")
    weights = 16 * (recurrent.in_proj_rows + recurrent.d_inner)
    assert products(recurrent)["in_proj"] + products(recurrent)["out_proj"] == weights
    a, b = cost(recurrent), cost(windowed)
    assert b["units"]["scan"] == pytest.approx(3 * a["units"]["scan"], abs=2)
    assert a["macs"] < b["macs"] < 3 * a["macs"]
    assert state_bytes(recurrent) - state_bytes(windowed) == 2 * (32 * 4 + 3 * 40)
    assert a["units_total"] == sum(a["units"].values()) and a["transactions"] == 1


def convert(capsys, *args: object) -> tuple[int, str, str]:
    code = run(app, PROG, [str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_commands(tmp_path, capsys):
    world = golden_dir("match") / "m7_world.pt"
    policy = golden_dir("torch") / "checkpoints/new_policy.pt"
    replay, c = files()[0], tmp_path / "c"
    made = ("quantize", world, c, "--calibrate", replay, "--frames", 100)
    code, out, _ = convert(capsys, *made, "--policy", f"bc={policy}")
    assert code == 0 and out.startswith("windowed cartridge ")
    digest = out.split()[2]
    code, _, err = convert(capsys, *made)
    assert code == 2 and "pass --overwrite" in err and err.count("\n") == 1
    assert list(converters.load_cartridge(c).policies) == ["bc"]

    code, out, _ = convert(capsys, "verify", c)
    assert code == 0 and out.startswith(f"sound: {digest}\n")
    code, out, _ = convert(capsys, "verify", c, "--json")
    assert code == 0 and json.loads(out)["sound"]

    code, out, _ = convert(capsys, "inspect", c, "--cost")
    assert code == 0 and "units a frame" in out and digest in out
    code, out, _ = convert(capsys, "inspect", c, "--json")
    assert code == 0 and "cost" not in json.loads(out)
    code, _, err = convert(capsys, "inspect", world, "--cost")
    assert code == 2 and "is no cartridge" in err

    picture = tmp_path / "r.png"
    told = ("report", world, c, "--replays", replay, "--frames", 60, "--picture", picture)
    code, out, _ = convert(capsys, *told, "--json")
    assert code == 0 and set(json.loads(out)["drift"]) == {"1", "5", "10", "20"}
    assert_close_to_float(json.loads(out))
    assert picture.read_bytes().startswith(b"\x89PNG")
    other = golden_dir("torch") / "checkpoints/new_mamba2.pt"
    code, _, err = convert(capsys, "report", other, c, "--replays", replay)
    assert code == 2 and "from other weights" in err

    data = bytearray((c / "extra.bin").read_bytes())
    data[100] ^= 1
    (c / "extra.bin").write_bytes(data)
    code, _, err = convert(capsys, "verify", c)
    assert code == 1 and "damaged" in err and err.count("\n") == 1
    code, out, _ = convert(capsys, "verify", c, "--json")
    assert code == 1 and not json.loads(out)["sound"]
    assert convert(capsys, "verify", tmp_path / "none")[0] == 2


def test_without_replays(tmp_path, capsys):
    world, c = golden_dir("match") / "m7_world.pt", tmp_path / "c"
    code, _, err = convert(capsys, "quantize", world, c)
    assert code == 2 and "or --synthetic" in err and not c.exists()
    mlp = golden_dir("torch") / "checkpoints/new_mlp.pt"
    code, _, err = convert(capsys, "quantize", mlp, c, "--synthetic")
    assert code == 2 and "runs Mamba2 worlds" in err
    code, out, _ = convert(
        capsys, "quantize", world, c, "--synthetic", "--frames", 60, "--mode", "recurrent", "--json"
    )
    assert code == 0 and json.loads(out)["hash"] == read_cartridge(c).hash
    calibration = read_cartridge(c).manifest["provenance"]["calibration"]
    assert calibration["from"] == "a random match of its own"
    code, _, err = convert(capsys, "quantize", world, c, "--synthetic", "--policy", "Bad=x")
    assert code == 2 and "a name is" in err
