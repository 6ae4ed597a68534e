"""Checkpoints of the reference, sound, damaged and hostile; ours, there and back."""

from __future__ import annotations

import gzip
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from support.golden import golden_dir, load_json
from support.mwm import small_mind

from awm_jax.errors import AwmError
from awm_jax.mwm import MWMConfig
from awm_jax.mwm.update import see
from converters.mwm import (
    load_mwm,
    mwm_from_config,
    save_mwm_orbax,
    save_mwm_torch,
)

pytest.importorskip("torch")

NAMED = {
    "missing_key.pt": "missing dynamics.weight_hh",
    "surplus_key.pt": "surplus extra.weight",
    "transposed.pt": r"self_encoder.4.weight is \(64, 4\), not \(4, 64\)",
    "nan_weight.pt": "NaN in world_decoder.1.weight",
    "inf_weight.pt": "infinite value in latent_update.bias_ih",
    "int_weight.pt": "gwm_encoder.0.bias is int64",
    "inconsistent_latent.pt": r"\.\w+ is \(",
    "no_model_state_dict.pt": "no model_state_dict",
    "a_list.pt": "not a checkpoint but a list",
    "a_tensor.pt": "not a checkpoint but a Tensor",
    "truncated.pt": "not a complete torch file",
    "empty.pt": "empty file",
    "text.pt": "not a torch file",
    "flipped_bytes.pt": "does not match its CRC",
    "hostile_zip.pt": "nothing was run",
    "hostile_raw.pt": "could run code",
    "hostile_optimizer.pt": "nothing was run",
}
LOADS_HERE = {"prefixed_module.pt", "wrong_latent_dim.pt"}


def z_of(model, row: dict) -> tuple[np.ndarray, np.ndarray]:
    d, v = model.latent_dim, model.iwm_dim
    start = np.zeros(d) if "zeros" in row["z_t_inputs"] else np.tanh(np.arange(d) - 1.5)
    inputs = (start, np.linspace(-1, 1, 16), np.sin(np.arange(v)), np.linspace(0, 1, 8))
    from awm_jax.mwm import Mind

    z, decoded = see(Mind.of(model), *(jnp.asarray(a, jnp.float32) for a in inputs))
    return np.asarray(z), np.asarray(decoded.affect)


def test_every_file_of_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = golden_dir("mwm") / "checkpoints"
    monkeypatch.chdir(tmp_path)
    seen = 0
    for row in load_json(folder / "expected.json")["files"]:
        path = folder / row["file"]
        if path.suffix == ".gz":
            path = tmp_path / path.stem
            path.write_bytes(gzip.decompress((folder / row["file"]).read_bytes()))
        if row["good"] or row["file"] in LOADS_HERE:
            loaded = load_mwm(path)
            dims = [loaded.model.latent_dim, loaded.model.iwm_dim]
            assert dims == row["load_state_dict_into"] or row["file"] == "wrong_latent_dim.pt"
            if "z_t_float64" in row:
                z, affect = z_of(loaded.model, row)
                np.testing.assert_allclose(z, row["z_t_float64"], rtol=0, atol=5e-6)
                np.testing.assert_allclose(
                    affect, row.get("affect_float64", affect), rtol=0, atol=5e-6
                )
                seen += 1
            noted = any("every value kept" in note for note in loaded.provenance.notes)
            assert noted == ("_f16" in row["file"] or "_f64" in row["file"])
            continue
        with pytest.raises(AwmError, match=NAMED[row["file"]]) as error:
            load_mwm(path)
        assert row["file"] in str(error.value) and "\n" not in str(error.value)
    assert seen >= 6
    assert not (tmp_path / "pwned").exists()


def test_configured_width_is_compared() -> None:
    path = golden_dir("mwm") / "checkpoints" / "wrong_latent_dim.pt"
    with pytest.raises(AwmError, match="has 6 numbers, latent_dim is configured as 4"):
        load_mwm(path, latent_dim=4)
    config = MWMConfig(latent_dim=6, checkpoint_path=str(path))
    assert mwm_from_config(config).latent_dim == 6


def test_orbax_and_torch_and_back(tmp_path: Path) -> None:
    first = load_mwm(golden_dir("mwm") / "checkpoints" / "wrapped_trained_d6_v8.pt")
    save_mwm_orbax(first, tmp_path / "mind")
    second = load_mwm(tmp_path / "mind")
    save_mwm_torch(second, tmp_path / "again.pt")
    third = load_mwm(tmp_path / "again.pt")
    for other in (second, third):
        assert other.provenance.weights_sha256 == first.provenance.weights_sha256
        assert all((other.state_dict()[k] == v).all() for k, v in first.state_dict().items())
    with pytest.raises(AwmError, match="not empty"):
        save_mwm_orbax(first, tmp_path / "mind")
    files = (p for p in (tmp_path / "mind" / "weights").rglob("*") if p.is_file())
    damaged = max(files, key=lambda p: p.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    with pytest.raises(AwmError, match="damaged"):
        load_mwm(tmp_path / "mind")


def test_a_scaled_mind_is_not_written_as_the_references(tmp_path: Path) -> None:
    from converters.checkpoint import Provenance
    from converters.mwm import MwmCheckpoint

    scaled = MwmCheckpoint(small_mind(scaled=True).module(), Provenance("x", "", "", ""))
    with pytest.raises(AwmError, match="scaled"):
        save_mwm_torch(scaled, tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())
