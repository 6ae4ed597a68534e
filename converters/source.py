"""What a file says, before anything in it is believed: tensors, settings, origin."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.console import one_line
from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.int8.codes import Codes
from awm_jax.variant import Variant

MAX_JSON_BYTES = 1 << 20
MAX_CONTEXT_LEN = 1 << 16
MAX_FIELD = 1 << 31
MAX_HEAD_HIDDEN = 1 << 20
NO_VARIANT = Variant()
FIELDS = {field.name: field for field in dataclasses.fields(EncodingConfig)}


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor still in its file: `read` copies it to an array, once its shape is accepted.

    Attributes:
      shape: as stored.
      dtype: NumPy's name, such as "float32" or "bfloat16".
      read: returns an array of that shape and dtype (bfloat16 may come as float32).
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings a checkpoint states; what it leaves out is inferred or default.

    Attributes:
      form: "new" (encoding_config), "old" (config) or "bare" (neither).
      fields: fields of EncodingConfig, of the right types.
      context_len: frames of context, or None.
      arch: "mamba2", "mlp" or "policy", or None.
      notes: what was ignored.
      variant: what differs from the reference's network; a PyTorch file never says any.
      codes: what the network has learned to be rounded to, or None.
    """

    form: str = "bare"
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    context_len: int | None = None
    arch: str | None = None
    notes: tuple[str, ...] = ()
    variant: Variant = NO_VARIANT
    codes: Codes | None = None

    @property
    def section(self) -> str:
        return {"new": "encoding_config", "old": "config"}.get(self.form, "the default config")


@dataclasses.dataclass(frozen=True)
class Source:
    """A checkpoint file, read but not yet checked. `path` is as the user wrote it."""

    path: str
    sha256: str
    tensors: Mapping[str, StoredTensor]
    settings: Settings

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {key: tensor.shape for key, tensor in self.tensors.items()}


def read_settings(wrapper: Mapping[Any, Any]) -> Settings:
    """Settings from a checkpoint's dict (networks.md 2.8): encoding_config, else config.

    Raises:
      AwmError: a field has a wrong type or range, is unknown and not switched off, or context_len
        is no positive integer. The line names the field, not the file.
    """
    form, section = "bare", None
    for name, key in (("new", "encoding_config"), ("old", "config")):
        value = wrapper.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise AwmError(f"{key} is not a mapping")
        if value and section is None:
            form, section = name, value
    section = dict(section or {})
    lengths = [wrapper.get("context_len"), section.pop("context_len", None)]
    lengths = [check_context_len(value) for value in lengths if value is not None]
    if len(set(lengths)) > 1:
        raise AwmError(f"context_len is {lengths[0]} and in config {lengths[1]}")
    arch = "policy" if section.pop("model_type", None) == "policy_mlp" else None
    name = "encoding_config" if form == "new" else "config"
    fields, notes = read_fields(section, name)
    return Settings(form, fields, lengths[0] if lengths else None, arch, notes)


def read_fields(section: Mapping[Any, Any], name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The known fields of a stated config, checked, and notes on those ignored."""
    fields, ignored = {}, []
    for key, value in section.items():
        if not isinstance(key, str):
            raise AwmError(f"{name} has a field whose name is not text")
        if key in FIELDS:
            _check_field(name, key, value)
            fields[key] = value
        elif value is None or (isinstance(value, (bool, int, float, str)) and not value):
            ignored.append(key)
        else:
            shown = value if isinstance(value, bool) else f"a {type(value).__name__}"
            raise AwmError(
                f"{name}.{key} is {shown}, an unknown setting that is not switched off: the "
                "weights may mean something else"
            )
    notes = (f"{name}: ignored unknown fields that are off: {', '.join(ignored)}",)
    return fields, notes if ignored else ()


def _check_field(section: str, key: str, value: object) -> None:
    if isinstance(value, int) and abs(value) > MAX_FIELD:
        raise AwmError(f"{section}.{key} is out of range")
    try:
        EncodingConfig(**{key: value})  # pyright: ignore[reportArgumentType]
    except ValueError as error:
        raise AwmError(f"{section}.{error}") from error


def read_variant(content: Mapping[Any, Any]) -> Variant:
    """The `variant` of a settings mapping; the reference's network where it has none.

    Raises:
      AwmError: it is no mapping, or a field is unknown, of a wrong type or range.
    """
    stated = content.get("variant")
    if stated is None:
        return NO_VARIANT
    if not isinstance(stated, Mapping):
        raise AwmError("variant is not a mapping")
    defaults = dataclasses.asdict(NO_VARIANT)
    for name, value in stated.items():
        if name not in defaults:
            raise AwmError(f"variant has the unknown field {name!r}")
        if type(value) is not type(defaults[name]):
            kind = type(defaults[name]).__name__
            raise AwmError(f"variant.{name} is a {type(value).__name__}, not {kind}")
        if not 0 <= value <= MAX_HEAD_HIDDEN:
            raise AwmError(f"variant.{name} is not in 0..{MAX_HEAD_HIDDEN}")
    return Variant(**stated)


def read_codes(content: Mapping[Any, Any]) -> Codes | None:
    """The `codes` of a settings mapping, None where it has none.

    Raises:
      AwmError: they are not as `Codes.to_dict` writes them.
    """
    stated = content.get("codes")
    return None if stated is None else Codes.from_dict(stated)


def check_context_len(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise AwmError("context_len is not an integer")
    if value < 1:
        shown = value if value > -MAX_CONTEXT_LEN else "negative"
        raise AwmError(f"context_len is {shown}, must be 1 or more")
    if value > MAX_CONTEXT_LEN:
        raise AwmError(f"context_len is above {MAX_CONTEXT_LEN} frames")
    return value


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the file's name before every refusal in the block, and keep it one line."""
    try:
        yield
    except AwmError as error:
        raise AwmError(one_line(f"{os.fspath(path)}: {error}")) from error


def open_file(path: str) -> BufferedReader:
    """A regular file for reading, or one line that says why not."""
    try:
        if not Path(path).exists():
            raise AwmError(f"{path}: no such file")
        if not Path(path).is_file():
            raise AwmError(f"{path}: not a regular file")
        return open(path, "rb")
    except (OSError, ValueError) as error:
        raise AwmError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from error


def first_line(error: BaseException) -> str:
    """The first line of another library's error, short enough for a sentence."""
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def file_sha256(file: BufferedReader) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON object.

    Raises:
      AwmError: names the file and what is wrong.
    """
    with open_file(str(path)) as file:
        data = file.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise AwmError(f"{path}: larger than {MAX_JSON_BYTES} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AwmError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise AwmError(f"{path}: not a JSON object")
    return value
