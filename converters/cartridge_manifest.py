"""A cartridge's manifest: reading its JSON, checking its fields, and the identity it states.

The fields and the identity are defined in `converters.cartridge`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from converters.quantize.entries import FIGURES, check_numbers, is_int, show
from converters.source import FIELDS, check_context_len, read_fields

FORMAT = "awm_cartridge_v1"
MODES = ("recurrent", "windowed")
MAX_DEPTH = 16

MADE = ("format", "hash", "files", "policies", "extra")
GIVEN = (
    "architecture",
    "encoding_config",
    "mode",
    "int8",
    "total_weight_bytes",
    "shard_map",
    "weights",
)
NO_EFFECT = ("provenance", "notes", "error_summary")
ORDER = (*MADE[:2], *NO_EFFECT, *GIVEN[:3], *MADE[2:], *GIVEN[3:])

_POLICY_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse(data: bytes) -> dict[str, Any]:
    """A manifest's JSON, known to be of our format and nothing else.

    Raises:
      AwmError: not JSON, a key twice, NaN, deep nesting, another format or version.
    """
    try:
        manifest = json.loads(
            data.decode(), object_pairs_hook=_without_repeats, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise AwmError(f"not JSON: {show(str(error))}") from error
    if not isinstance(manifest, dict):
        raise AwmError("not a JSON object")
    stated = manifest.get("format")
    if isinstance(stated, str) and stated.endswith("_int8_v1"):
        raise AwmError(
            f"{show(stated)} is a quantised model of the reference, which lacks what an integer "
            "world needs; convert its checkpoint instead"
        )
    if stated != FORMAT:
        raise AwmError(
            f"format {show(stated)} is not known, this version reads {FORMAT}; update awm-jax or "
            "convert the checkpoint again"
        )
    return plain(manifest)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def plain(value: Any, path: tuple[str, ...] = ()) -> Any:
    """A deep copy of `value` as JSON holds it, keys ascending.

    A figure of the quantiser's error that is not finite becomes None.

    Raises:
      AwmError: names the field that JSON cannot hold or that is nested too deep.
    """
    if len(path) > MAX_DEPTH:
        raise AwmError(f"{show(path[0])} is nested more than {MAX_DEPTH} deep")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise AwmError(f"{_dotted(path)} has the key {show(key)}, which is not text")
        return {key: plain(value[key], (*path, key)) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item, (*path, str(i))) for i, item in enumerate(value)]
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        if _is_figure(path):
            return None
    elif value is None or isinstance(value, (str, bool, int)):
        return value
    raise AwmError(f"{_dotted(path)} is {show(value)}, which JSON cannot hold")


def _is_figure(path: tuple[str, ...]) -> bool:
    if path[:1] == ("weights",):
        return len(path) > 3 and path[3] in FIGURES
    return path[:1] == ("error_summary",)


def _dotted(path: tuple[str, ...]) -> str:
    return show(".".join(path)) if path else "the manifest"


def identity(manifest: Mapping[str, Any]) -> str:
    """The hash of a checked manifest, as `converters.cartridge` defines it."""
    covered = {k: v for k, v in manifest.items() if k not in ("hash", *NO_EFFECT)}
    covered["weights"] = {
        group: {
            key: {k: v for k, v in entry.items() if k not in FIGURES}
            for key, entry in entries.items()
        }
        for group, entries in manifest["weights"].items()
    }
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def check_fields(manifest: Mapping[str, Any], files: tuple[str, ...]) -> EncodingConfig:
    """Refuse a manifest whose fields are not of the right kind; `weights` and `extra` are others'.

    Args:
      manifest: of `plain`.
      files: the names that `files` must hold.

    Returns:
      The encoding.

    Raises:
      AwmError: names the first field at fault.
    """
    for name in ORDER:
        if name not in manifest and name not in NO_EFFECT:
            raise AwmError(f"{name} is missing")
    for name in manifest:
        if name not in ORDER:
            raise AwmError(f"unknown field {show(name)}")
    for name in ("int8", "files", "policies", "provenance", "error_summary"):
        if not isinstance(manifest.get(name, {}), dict):
            raise AwmError(f"{name} is not a mapping")
    notes = manifest.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise AwmError("notes is not a list of text")
    check_numbers(manifest.get("error_summary", {}))
    _check_hash("hash", manifest["hash"])
    _check_files(manifest["files"], files)
    for name, stated in manifest["policies"].items():
        check_policy_name(name)
        _check_hash(f"policies.{name}", stated)
    _check_mode(manifest["mode"])
    return _encoding(manifest["encoding_config"])


def check_policy_name(name: str) -> None:
    """A policy's name is its folder's, on any system."""
    if _POLICY_NAME.fullmatch(name) is None:
        raise AwmError(f"policy {show(name)}: a name is 1 to 64 of a-z, 0-9, '_' and '-'")


def _check_files(stated: Mapping[str, Any], names: tuple[str, ...]) -> None:
    if set(stated) != set(names):
        raise AwmError(f"files does not hold exactly {', '.join(names)}")
    for name, stamp in stated.items():
        if not isinstance(stamp, dict) or set(stamp) != {"size", "sha256"}:
            raise AwmError(f"files.{name} does not hold exactly size, sha256")
        if not is_int(stamp["size"]):
            raise AwmError(f"files.{name}.size is {show(stamp['size'])}, not an integer")
        _check_hash(f"files.{name}.sha256", stamp["sha256"])


def _check_hash(name: str, value: object) -> None:
    if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
        raise AwmError(f"{name} is {show(value)}, not a sha256 in hexadecimal")


def _check_mode(mode: object) -> None:
    if not isinstance(mode, dict) or set(mode) != {"kind", "context_len"}:
        raise AwmError("mode does not hold exactly kind, context_len")
    if mode["kind"] not in MODES:
        raise AwmError(f"mode.kind is {show(mode['kind'])}, must be {' or '.join(MODES)}")
    check_context_len(mode["context_len"])


def _encoding(section: object) -> EncodingConfig:
    if not isinstance(section, dict):
        raise AwmError("encoding_config is not a mapping")
    for name in section:
        if name not in FIELDS:
            raise AwmError(f"encoding_config has the unknown field {show(name)}")
    for name in FIELDS:
        if name not in section:
            raise AwmError(f"encoding_config.{name} is missing")
    fields, _ = read_fields(section, "encoding_config")
    return EncodingConfig(**fields)
