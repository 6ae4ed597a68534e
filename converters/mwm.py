"""The Mental World Model's checkpoints: the reference's two PyTorch forms, and ours.

A `.pt` is what the reference's trainer writes (`model_state_dict` among others) or a bare state
dict; widths are read from the shapes. Ours are NAME.safetensors with NAME.json beside it, which the
trainer writes, and an Orbax folder. Source: mwm.md section 9.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.errors import AwmError
from awm_jax.files import folder_atomically, write_atomically
from awm_jax.mwm.config import MWMConfig
from awm_jax.mwm.network import MentalWorldModelModule
from awm_jax.mwm.weights import (
    LATENT_KEY,
    abstract,
    from_torch_dict,
    infer_dims,
    to_torch_dict,
    torch_shapes,
)
from converters import orbax_folder
from converters.assemble import check_keys, check_values, read_float32
from converters.checkpoint import Provenance, versions, weights_sha256
from converters.safetensors_file import read_tensors
from converters.source import StoredTensor, naming, read_json
from converters.torch_file import import_torch, read_torch

ARCH = "mwm"
FORMAT = "awm-jax mwm 1"
WRAPPER = "module."
PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class MwmCheckpoint:
    """A Mental World Model with its origin."""

    model: MentalWorldModelModule
    provenance: Provenance

    @property
    def arch(self) -> str:
        return ARCH

    def state_dict(self) -> dict[str, np.ndarray]:
        """The weights under the reference's keys, shapes and order, float32."""
        return to_torch_dict(self.model)


def load_mwm(
    path: PathLike, *, latent_dim: int | None = None, allow_surplus: bool = False
) -> MwmCheckpoint:
    """Load a Mental World Model: a `.pt`, a `.safetensors` with its `.json`, or an Orbax folder.

    Args:
      path: the file or folder.
      latent_dim: refuse a network of another width.
      allow_surplus: drop keys that the network does not have, instead of refusing.

    Raises:
      AwmError: one line that names the file and the key or field at fault.
    """
    if os.path.isdir(path):
        loaded = _load_folder(Path(path))
    elif os.fspath(path).lower().endswith(".safetensors"):
        digest, tensors = read_tensors(path)
        settings = _sidecar(Path(path).with_suffix(".json"))
        loaded = _assemble(path, digest, tensors, settings["scaled"], "awm-jax", allow_surplus)
    else:
        source = read_torch(path)
        loaded = _assemble(
            path, source.sha256, source.tensors, False, source.settings.form, allow_surplus
        )
    found = loaded.model.latent_dim
    if latent_dim is not None and latent_dim != found:
        raise AwmError(
            f"{os.fspath(path)}: its latent has {found} numbers, latent_dim is configured as "
            f"{latent_dim}"
        )
    return loaded


def mwm_from_config(config: MWMConfig) -> MentalWorldModelModule:
    """The network that a configuration names: its checkpoint, or a fresh one of its width.

    Raises:
      AwmError: the checkpoint cannot be read, or has another latent width.
    """
    if config.checkpoint_path is not None:
        return load_mwm(config.checkpoint_path, latent_dim=config.latent_dim).model
    return MentalWorldModelModule(config.latent_dim, iwm_dim=config.iwm_dim, rngs=nnx.Rngs(0))


def is_mwm(path: PathLike) -> bool:
    """Whether a checkpoint is a Mental World Model, by its settings or by the names of its keys.

    Raises:
      AwmError: it cannot be read.
    """
    place = Path(path)
    if place.is_dir() or place.suffix.lower() == ".safetensors":
        config = place / orbax_folder.CONFIG if place.is_dir() else place.with_suffix(".json")
        return config.is_file() and read_json(config).get("arch") == ARCH
    keys = read_torch(path).tensors
    return LATENT_KEY in keys or WRAPPER + LATENT_KEY in keys


def _assemble(
    path: PathLike,
    digest: str,
    tensors: Mapping[str, StoredTensor],
    scaled: bool,
    form: str,
    allow_surplus: bool,
) -> MwmCheckpoint:
    with naming(path):
        prefixed = [key for key in tensors if key.startswith(WRAPPER)]
        if prefixed and len(prefixed) == len(tensors):
            tensors = {key.removeprefix(WRAPPER): value for key, value in tensors.items()}
        shapes = {key: tensor.shape for key, tensor in tensors.items()}
        wanted = torch_shapes(*infer_dims(shapes))
        surplus = check_keys(shapes, wanted, allow_surplus)
        for key, shape in wanted.items():
            if shapes[key] != shape:
                raise AwmError(f"{key} is {shapes[key]}, not {shape}")
        arrays = {key: read_float32(key, tensors[key]) for key in wanted}
        for key, array in arrays.items():
            check_values(key, array)
        notes = tuple(
            f"stored as {dtype}, every value kept exactly"
            for dtype in sorted({tensors[key].dtype for key in wanted} - {"float32"})
        )
        notes += (f"prefix {WRAPPER!r} of every key dropped",) if prefixed else ()
        notes += (f"surplus keys dropped: {', '.join(surplus)}",) if surplus else ()
        model = from_torch_dict(arrays, scaled=scaled)
    name = os.path.basename(os.fspath(path))
    provenance = Provenance(name, digest, form, weights_sha256(arrays), notes, versions())
    return MwmCheckpoint(model, provenance)


def save_mwm_torch(checkpoint: MwmCheckpoint, path: PathLike) -> None:
    """Write the reference's wrapped form, whole or not at all.

    Raises:
      AwmError: the network looks at scaled features, which the reference would not give it; the
        place cannot be written; PyTorch is not installed.
    """
    if checkpoint.model.scaled:
        raise AwmError(
            "this mind looks at scaled world features, which the reference's PyTorch format cannot "
            "say; keep its own file"
        )
    torch = import_torch()
    state = {key: torch.tensor(value) for key, value in checkpoint.state_dict().items()}
    content = {"epoch": 0, "model_state_dict": state, "optimizer_state_dict": {}}
    write_atomically(path, lambda file: torch.save(content, file))


def save_mwm_orbax(
    checkpoint: MwmCheckpoint, out_dir: PathLike, *, overwrite: bool = False
) -> None:
    """Write an Orbax folder, whole or not at all: `weights/` by name, and `config.json`.

    Raises:
      AwmError: the folder is taken or cannot be written.
    """
    model = checkpoint.model
    tree = jax.tree.map(np.asarray, orbax_folder.named_tree(nnx.state(model)))
    config: dict[str, Any] = {"format": FORMAT, "arch": ARCH, "dims": model.dims}
    config |= {"scaled": model.scaled, "provenance": checkpoint.provenance.to_dict()}
    with folder_atomically(out_dir, marker=orbax_folder.CONFIG, overwrite=overwrite) as folder:
        weights = folder / orbax_folder.WEIGHTS
        with orbax_folder.checkpointer() as orbax:
            orbax.save(weights, tree)
        config["files"] = orbax_folder.file_hashes(weights)
        (folder / orbax_folder.CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def _load_folder(folder: Path) -> MwmCheckpoint:
    config = folder / orbax_folder.CONFIG
    if not config.is_file():
        raise AwmError(f"{folder}: no checkpoint folder, it has no {orbax_folder.CONFIG}")
    settings = _sidecar(config)
    with naming(config):
        if settings.get("format") != FORMAT:
            raise AwmError(f"format is not {FORMAT!r}")
        provenance = orbax_folder.read_provenance(settings.get("provenance") or {})
    with naming(folder):
        weights = folder / orbax_folder.WEIGHTS
        orbax_folder.check_files(weights, settings.get("files") or {})
        dims = settings["dims"]
        graph, state = nnx.split(abstract(dims["latent_dim"], dims["iwm_dim"], settings["scaled"]))
        wanted = orbax_folder.named_tree(state)
        with orbax_folder.checkpointer() as orbax:
            restored = orbax_folder.guarded(
                lambda: orbax.restore(Path(os.path.abspath(weights)), wanted)
            )
        nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, restored))
        model = nnx.merge(graph, state)
        tensors = to_torch_dict(model)
        for key, array in tensors.items():
            check_values(key, array)
        if weights_sha256(tensors) != provenance.weights_sha256:
            raise AwmError("the weights are not those of config.json (provenance.weights_sha256)")
    return MwmCheckpoint(model, provenance)


def _sidecar(path: Path) -> dict[str, Any]:
    """`arch`, `dims` and `scaled` of a JSON file, checked, and whatever else it holds."""
    if not path.is_file():
        raise AwmError(f"{path}: is absent; it says what the weights beside it are")
    content = read_json(path)
    with naming(path):
        if content.get("arch") != ARCH:
            raise AwmError(f"arch is not {ARCH!r}")
        dims = content.get("dims")
        if not isinstance(dims, dict) or set(dims) != {"latent_dim", "iwm_dim"}:
            raise AwmError("dims must be latent_dim and iwm_dim")
        for name, size in dims.items():
            whole = isinstance(size, int) and not isinstance(size, bool)
            if not whole or not 0 < size <= orbax_folder.MAX_DIM:
                raise AwmError(f"dims.{name} is not an integer from 1 to {orbax_folder.MAX_DIM}")
        if not isinstance(content.get("scaled"), bool):
            raise AwmError("scaled is not true or false")
    return content


def describe(checkpoint: MwmCheckpoint) -> dict[str, Any]:
    """What it is, as JSON types."""
    model = checkpoint.model
    counts = model.get_parameter_count()
    return {
        "arch": ARCH,
        "dims": model.dims,
        "scaled": model.scaled,
        "parameters": {"total": counts.pop("total"), **counts},
        "provenance": checkpoint.provenance.to_dict(),
    }


def headline(checkpoint: MwmCheckpoint) -> str:
    """One line: Mental World Model, latent 256, visual 768, 1,848,604 parameters."""
    model = checkpoint.model
    total = model.get_parameter_count()["total"]
    inputs = "scaled" if model.scaled else "unscaled"
    return (
        f"Mental World Model, latent {model.latent_dim}, visual {model.iwm_dim}, {inputs} features"
        f", {total:,} parameters"
    )


def describe_text(checkpoint: MwmCheckpoint) -> str:
    """The same for people, as aligned lines."""
    counts = checkpoint.model.get_parameter_count()
    total = counts.pop("total")
    provenance = checkpoint.provenance
    rows = {
        "architecture": headline(checkpoint),
        "parameters": f"{total:,}",
        "of these": ", ".join(f"{name} {count:,}" for name, count in counts.items()),
        "source": f"{provenance.source} ({provenance.form} format)",
        "sha256": provenance.sha256,
        "weights": provenance.weights_sha256,
        "read by": ", ".join(f"{k} {v}" for k, v in provenance.versions.items()),
    }
    rows |= {f"note {i}": note for i, note in enumerate(provenance.notes, 1)}
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())
