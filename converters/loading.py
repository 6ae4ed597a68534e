"""Anything loadable, by what it is."""

from __future__ import annotations

import os

from converters.assemble import assemble
from converters.checkpoint import Checkpoint
from converters.orbax_folder import load_orbax
from converters.safetensors_file import read_safetensors
from converters.torch_file import read_torch

Path = str | os.PathLike[str]


def load_torch(path: Path, *, allow_surplus: bool = False) -> Checkpoint:
    """Load a PyTorch checkpoint of the reference system: new, old, bare, or a raw state dict.

    Nothing in the file is run. float16, bfloat16 and float64 weights are taken where float32 holds
    every value exactly.

    Args:
      path: the file.
      allow_surplus: drop keys that the network does not have, instead of refusing.

    Raises:
      AwmError: one line that names the file and the key or field at fault.
    """
    return assemble(read_torch(path), allow_surplus=allow_surplus)


def load(path: Path, *, allow_surplus: bool = False) -> Checkpoint:
    """Load a `.pt`, a `.safetensors` with its JSON sidecar, or a folder of `save_orbax`.

    Raises:
      AwmError: one line that names the file and the key or field at fault.
    """
    if os.path.isdir(path):
        return load_orbax(path)
    if os.fspath(path).lower().endswith(".safetensors"):
        return assemble(read_safetensors(path), allow_surplus=allow_surplus)
    return load_torch(path, allow_surplus=allow_surplus)
