"""Checkpoints as folders: Orbax weights under `weights/`, all settings in `config.json`.

`weights/` holds the network's own parameters as a tree by name (kernels are (in, out)), so that
Flax users restore it without this package; `config.json` says which network it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.files import folder_atomically
from awm_jax.fp32.weights import Network, to_torch_dict
from converters.assemble import check_values
from converters.checkpoint import ARCHITECTURES, Checkpoint, Provenance, Spec, weights_sha256
from converters.source import (
    check_context_len,
    file_sha256,
    first_line,
    naming,
    open_file,
    read_codes,
    read_fields,
    read_json,
    read_variant,
)

FORMAT = "awm-jax checkpoint 1"
CONFIG = "config.json"
WEIGHTS = "weights"
MAX_DIM = 1 << 20


def save_orbax(
    checkpoint: Checkpoint, out_dir: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a checkpoint as an Orbax folder, whole or not at all.

    Args:
      checkpoint: what to write.
      out_dir: a new or empty folder.
      overwrite: replace a folder that holds a checkpoint already.

    Raises:
      AwmError: the folder is taken or cannot be written.
    """
    tree = jax.tree.map(np.asarray, named_tree(nnx.state(checkpoint.model)))
    config = {"format": FORMAT, **checkpoint.spec.to_dict()}
    config["provenance"] = checkpoint.provenance.to_dict()
    if checkpoint.codes is not None:
        config["codes"] = checkpoint.codes.to_dict()
    with folder_atomically(out_dir, marker=CONFIG, overwrite=overwrite) as folder:
        _check_space(folder, sum(leaf.nbytes for leaf in jax.tree.leaves(tree)))
        try:
            with checkpointer() as orbax:
                orbax.save(folder / WEIGHTS, tree)
        except Exception as error:
            raise AwmError(f"cannot write {os.fspath(out_dir)}: {first_line(error)}") from error
        config["files"] = file_hashes(folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def _check_space(folder: Path, size: int) -> None:
    """Refuse a full disk beforehand: Orbax's own threads would print about it."""
    # Orbax writes each value twice before it drops one copy.
    needed, free = 2 * size + (1 << 20), shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed} bytes are needed, {free} are free")


def load_orbax(path: str | os.PathLike[str]) -> Checkpoint:
    """Load a folder of `save_orbax`.

    Raises:
      AwmError: one line that names the folder and what is missing, damaged or contradictory.
    """
    folder = Path(path)
    config = folder / CONFIG
    if not config.is_file():
        raise AwmError(f"{folder}: no checkpoint folder, it has no {CONFIG}")
    content = read_json(config)
    with naming(config):
        spec, provenance = read_config(content)
        codes = read_codes(content)
        files = _mapping(content, "files")
    with naming(folder):
        check_files(folder / WEIGHTS, files)
        model = _restore(Path(os.path.abspath(folder / WEIGHTS)), spec)
        tensors = to_torch_dict(model)
        for key, array in tensors.items():
            check_values(key, array)
        if weights_sha256(tensors) != provenance.weights_sha256:
            raise AwmError(f"the weights are not those of {CONFIG} (provenance.weights_sha256)")
    return Checkpoint(model, provenance, codes)


def file_hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file in a folder, by its path inside."""
    hashes = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with open_file(str(path)) as file:
            hashes[path.relative_to(folder).as_posix()] = file_sha256(file)
    return hashes


def check_files(folder: Path, stated: Mapping[str, Any]) -> None:
    """Every file as it was written: Orbax itself answers damage with pages of traces."""
    if not folder.is_dir():
        raise AwmError(f"holds no {WEIGHTS} folder")
    found = file_hashes(folder)
    for name, digest in stated.items():
        if name not in found:
            raise AwmError(f"incomplete: {WEIGHTS}/{name} is missing")
        if found[name] != digest:
            raise AwmError(f"damaged: {WEIGHTS}/{name} is not the file that {CONFIG} names")


def read_config(content: Mapping[str, Any]) -> tuple[Spec, Provenance]:
    """The network and the origin that a config.json states.

    Raises:
      AwmError: names the field.
    """
    if content.get("format") != FORMAT:
        raise AwmError(f"format is not {FORMAT!r}")
    arch = content.get("arch")
    if not isinstance(arch, str) or arch not in ARCHITECTURES:
        raise AwmError(f"arch is none of {', '.join(ARCHITECTURES)}")
    dims = _mapping(content, "dims")
    for name, size in dims.items():
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= MAX_DIM:
            raise AwmError(f"dims.{name} is not an integer from 1 to {MAX_DIM}")
    fields, _ = read_fields(_mapping(content, "encoding_config"), "encoding_config")
    length = check_context_len(content.get("context_len"))
    provenance = read_provenance(_mapping(content, "provenance"))
    variant = read_variant(content)
    return Spec(arch, EncodingConfig(**fields), length, dims, variant), provenance


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    if not isinstance(value, dict):
        raise AwmError(f"{key} is not a mapping")
    return value


def read_provenance(stated: Mapping[str, Any]) -> Provenance:
    """The origin that a config.json states; an AwmError names the field at fault."""
    names = {field.name for field in dataclasses.fields(Provenance)}
    if set(stated) != names:
        raise AwmError(f"provenance: the fields are not {', '.join(sorted(names))}")
    for name, value in stated.items():
        container = {"notes": list, "versions": dict}.get(name, str)
        values = value.values() if isinstance(value, dict) else value
        if not isinstance(value, container) or not all(isinstance(v, str) for v in values):
            raise AwmError(f"provenance.{name} is not made of text")
    return Provenance(**{**stated, "notes": tuple(stated["notes"])})


def _restore(folder: Path, spec: Spec) -> Network:
    """The network with the weights of an Orbax folder, whose shapes are compared beforehand."""
    with checkpointer() as orbax:
        stored = _flat(guarded(lambda: _metadata(orbax, folder)))
        layers = {name.split(".")[1] for name in stored if name.startswith("layers.")}
        if spec.dims.get("n_layers", 0) != len(layers):
            raise AwmError(
                f"{CONFIG} says {spec.dims.get('n_layers', 0)} layers, not {len(layers)}"
            )
        abstract = _abstract(spec)
        graph, state = nnx.split(abstract)
        wanted = named_tree(state)
        compare(stored, _flat(wanted))
        restored = guarded(lambda: orbax.restore(folder, wanted))
    nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, restored))
    return nnx.merge(graph, state)


def _metadata(orbax: ocp.StandardCheckpointer, folder: Path) -> Any:
    """Names, shapes and dtypes of what is stored; no values are read."""
    item: Any = orbax.metadata(folder).item_metadata
    if item is None:
        raise ValueError("it lists no weights")
    return item.tree


def _abstract(spec: Spec) -> Network:
    try:
        abstract = spec.abstract()
    except TypeError as error:
        raise AwmError(f"{CONFIG}: dims are not those of {spec.arch}: {error}") from error
    if abstract.dims != dict(spec.dims):
        raise AwmError(f"{CONFIG}: dims must be {', '.join(abstract.dims)}")
    return abstract


def compare(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse weights other than the wanted ones (by dotted name; values have shape and dtype)."""
    for name in wanted:
        if name not in stored:
            raise AwmError(f"missing {name}")
    for name, value in stored.items():
        if name not in wanted:
            raise AwmError(f"surplus {name}")
        found, want = (tuple(getattr(v, "shape", ())) for v in (value, wanted[name]))
        if found != want:
            raise AwmError(f"{name} is {found}, not {want}")
        dtype = getattr(value, "dtype", None)
        if dtype != wanted[name].dtype:
            raise AwmError(f"{name} is {dtype}, not {wanted[name].dtype}")


def named_tree(state: nnx.State) -> dict[str, Any]:
    """A network's parameters as nested dicts with text for keys, as Orbax stores them."""

    def named(node: Any) -> Any:
        return {str(k): named(v) for k, v in node.items()} if isinstance(node, dict) else node

    return named(nnx.to_pure_dict(state))


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def guarded(read: Callable[[], Any]) -> Any:
    """Whatever Orbax raises on a damaged folder, as one sentence."""
    try:
        return read()
    except Exception as error:
        raise AwmError(f"{WEIGHTS} is no complete Orbax checkpoint: {first_line(error)}") from error


@contextlib.contextmanager
def checkpointer() -> Iterator[ocp.StandardCheckpointer]:
    """Orbax's checkpointer, without its log lines."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with ocp.StandardCheckpointer() as orbax:
            yield orbax
    finally:
        log.setLevel(level)
