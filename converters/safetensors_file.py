"""safetensors files with their settings in a JSON file beside them, NAME.json."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from awm_jax.errors import AwmError
from converters.source import (
    Settings,
    Source,
    StoredTensor,
    file_sha256,
    first_line,
    naming,
    open_file,
    read_codes,
    read_json,
    read_settings,
    read_variant,
)

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
# What a sidecar may hold; a folder's config.json serves as one.
SIDECAR = {"encoding_config", "config", "context_len", "arch"}
SIDECAR |= {"dims", "provenance", "format", "files", "variant", "codes"}


def read_safetensors(path: str | os.PathLike[str]) -> Source:
    """Read NAME.safetensors and, where it exists, NAME.json (encoding_config, context_len, arch).

    Raises:
      AwmError: names the file, and the key where there is one.
    """
    name = os.fspath(path)
    digest, tensors = read_tensors(path)
    return Source(name, digest, tensors, read_sidecar(Path(name).with_suffix(".json")))


def read_tensors(path: str | os.PathLike[str]) -> tuple[str, dict[str, StoredTensor]]:
    """The sha256 and the tensors of a .safetensors file, still in it.

    Raises:
      AwmError: names the file.
    """
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    with open_file(name) as file:
        digest = file_sha256(file)
    try:
        opened = safe_open(name, framework="np")
        tensors = {key: _stored(opened, key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise AwmError(f"{name}: not a complete safetensors file: {first_line(error)}") from error
    return digest, tensors


def _stored(opened: Any, key: str) -> StoredTensor:
    part = opened.get_slice(key)
    dtype = str(part.get_dtype())
    shape = tuple(part.get_shape())
    return StoredTensor(shape, DTYPES.get(dtype, dtype), lambda: opened.get_tensor(key))


def read_sidecar(path: Path) -> Settings:
    """Settings beside a file; none where the sidecar is absent.

    Raises:
      AwmError: names the sidecar and the field.
    """
    if not path.exists():
        return Settings()
    content = read_json(path)
    with naming(path):
        unknown = [key for key in content if key not in SIDECAR]
        if unknown:
            raise AwmError(f"unknown field {unknown[0]}")
        settings = read_settings(content)
        arch = content.get("arch", settings.arch)
        if not isinstance(arch, (str, type(None))):
            raise AwmError("arch is not text")
        found = {"variant": read_variant(content), "codes": read_codes(content)}
        return dataclasses.replace(settings, arch=arch, **found)
