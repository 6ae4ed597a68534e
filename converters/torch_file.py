"""PyTorch files, read without running anything in them, and written.

Every cheap check comes first: what the file is, whether it is whole, whether its zip entries have
their checksums (torch looks at none) and claim no more bytes than the file has.
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from io import BufferedReader
from types import ModuleType
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from converters.checkpoint import Checkpoint
from converters.source import (
    NO_VARIANT,
    Settings,
    Source,
    StoredTensor,
    file_sha256,
    first_line,
    naming,
    open_file,
    read_settings,
)

ZIP_MAGIC = b"PK\x03\x04"
# What torch's old layout begins with, a pickled integer; found after a pickle's two-byte header.
LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
PICKLE = b"\x80"
GLOBAL = re.compile(r"GLOBAL (\S+) (?:was not an allowed|whose module)")


def read_torch(path: str | os.PathLike[str]) -> Source:
    """Read a `.pt` file: settings and tensors, nothing of which is checked against a network.

    Raises:
      AwmError: names the file, and the key where there is one.
    """
    name = os.fspath(path)
    with open_file(name) as file, naming(name):
        check_container(file)
        digest = file_sha256(file)
        torch = import_torch()
        content = _load(torch, file)
        try:
            state = _state_dict(torch, content)
            settings = read_settings(content) if state is not content else Settings()
            tensors = {_key(k): _stored(torch, k, v) for k, v in state.items()}
            _check_bytes(state, os.fstat(file.fileno()).st_size)
        except AwmError:
            raise
        except Exception as error:
            # What plain pickles can still build, such as mappings whose methods were replaced.
            raise AwmError(f"not a sound checkpoint: {first_line(error)}") from error
    return Source(name, digest, tensors, settings)


def import_torch() -> ModuleType:
    try:
        import torch
    except ModuleNotFoundError as error:
        command = 'pip install "awm-jax[torch]"'
        raise AwmError(f"PyTorch is needed for .pt files: {command}") from error
    return torch


def check_container(file: BufferedReader) -> None:
    """Refuse what is no whole torch file, without opening a pickle.

    Raises:
      AwmError: without the file's name.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(64)
    file.seek(0)
    if not start:
        raise AwmError("empty file")
    if start.startswith(ZIP_MAGIC):
        _check_zip(file, size)
    elif start.startswith(PICKLE) and LEGACY_MAGIC in start:
        return
    elif start.startswith(PICKLE):
        raise AwmError(
            "not a torch file but a plain pickle, which could run code; it was not opened"
        )
    else:
        raise AwmError("not a torch file")
    file.seek(0)


def _check_zip(file: BufferedReader, size: int) -> None:
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:
        raise AwmError("not a complete torch file: its zip has no sound end") from error
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if not any(name.endswith("/data.pkl") for name in names):
        raise AwmError("not a torch file, its zip holds no data.pkl")
    if any(name.endswith("/constants.pkl") for name in names):
        raise AwmError("a TorchScript program; save its state_dict instead")
    if len(set(names)) < len(names):
        raise AwmError("not a sound torch file, its zip names an entry twice")
    if any(e.compress_type for e in entries) or sum(e.file_size for e in entries) > size:
        raise AwmError("not a sound torch file, its zip claims more bytes than the file has")
    for entry in entries:
        try:
            with archive.open(entry) as stream:
                while stream.read(1 << 20):
                    pass
        except Exception as error:
            raise AwmError(
                f"damaged: zip entry {entry.filename} does not match its CRC ({error})"
            ) from error


def _load(torch: ModuleType, file: BufferedReader) -> Any:
    """torch.load, weights only; whatever it raises becomes one sentence."""
    import pickle

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = GLOBAL.search(str(error))
        what = "holds more than weights, settings and numbers, which could run code"
        if found:
            what = f"names {found[1]}, and unpickling that would run code"
        raise AwmError(f"refused: its pickle {what}; nothing was run") from error
    except Exception as error:
        if "not resizable" in str(error):
            raise AwmError("holds a tensor larger than its storage") from error
        raise AwmError(f"not a complete torch file: {first_line(error)}") from error


def _state_dict(torch: ModuleType, content: Any) -> Mapping[Any, Any]:
    """model_state_dict, or the content itself where it is a state dict without its wrapper."""
    if not isinstance(content, Mapping):
        raise AwmError(f"not a checkpoint but a {type(content).__name__}")
    if "model_state_dict" in content:
        inner = content["model_state_dict"]
        if not isinstance(inner, Mapping):
            raise AwmError("model_state_dict is not a mapping")
        return inner
    if not content or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise AwmError("no model_state_dict")
    return content


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise AwmError(f"model_state_dict has a key that is a {type(key).__name__}, not text")
    return key


def _stored(torch: ModuleType, key: str, tensor: Any) -> StoredTensor:
    if not isinstance(tensor, torch.Tensor):
        raise AwmError(f"{key} is not a tensor but a {type(tensor).__name__}")
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise AwmError(f"{key} is not a plain tensor with its values")
    # A view may repeat its storage: a few bytes of file could become terabytes when copied.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise AwmError(f"{key} is a tensor larger than its storage")

    def read() -> np.ndarray:
        plain = tensor.detach().resolve_neg()
        return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()

    return StoredTensor(tuple(tensor.shape), dtype, read)


def _check_bytes(state: Mapping[str, Any], size: int) -> None:
    """Tensors may share storage: together they may not claim more than the file has."""
    if sum(t.numel() * t.element_size() for t in state.values()) > size:
        raise AwmError("its tensors claim more bytes than the file has")


def save_torch(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint in the reference's new format (networks.md 2.8), whole or not at all.

    Raises:
      AwmError: the place cannot be written; PyTorch is not installed; the network is a variant,
        which this format cannot say.
    """
    if checkpoint.variant != NO_VARIANT or checkpoint.codes is not None:
        raise AwmError(
            "this network is a variant, which the reference's PyTorch format cannot hold; keep "
            "its folder"
        )
    torch = import_torch()
    content = {
        "model_state_dict": {k: torch.tensor(v) for k, v in checkpoint.state_dict().items()},
        "encoding_config": checkpoint.config.to_dict(),
        "context_len": checkpoint.context_len,
    }
    write_atomically(path, lambda file: torch.save(content, file))
