"""Cartridges: folders of integers that define a world, a policy or a mind, and their identity.

Files of a folder, all little endian; others are ignored:

- `manifest.json`: ASCII JSON, indent 2; the top level in a fixed order, keys below it ascending.
- `weights_int8.bin`: the reference's file, tensors back to back, keys ascending.
- `extra.bin`: integer arrays, names ascending, each at the next multiple of 16, zeros between.
- `luts.bin`: the reference's 1,024 bytes of look-up tables.
- `policies/NAME/`: each a cartridge, which has no policies of its own.

Fields of the manifest: `format`; `hash`, the identity below; `architecture`, `total_weight_bytes`,
`shard_map`, `weights` and `error_summary` as the reference's quantiser makes them (networks.md
3.1; a figure that is not finite is null); `encoding_config` with every field; `mode`
{kind: "recurrent" or "windowed", context_len}; `int8`, what its writer wants to say of the integer
machine; `extra`: name -> {dtype: i8, i16, i32, u8, u16 or u32; shape; offset; size}; `files`:
name -> {size, sha256}; `policies`: name -> hash; `provenance`, a mapping; `notes`, lines of text.
`error_summary`, `provenance` and `notes` may be absent.

Identity: sha256 of the canonical JSON of the manifest without what computes nothing: `hash`,
`provenance`, `notes`, `error_summary`, and `snr_db` and `error` in each entry of `weights`.
Canonical JSON: keys ascending by code point, separators "," and ":", ASCII with \\u escapes,
integers in decimal, other numbers as Python writes them (the shortest decimal that reads back as
the same double). Through `files` and `policies` it covers every byte that decides a match.

Reading runs nothing, takes no more memory than the files' real sizes ask for, and computes anew
whatever follows from something else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.cartridges import EMBEDDED, embedded
from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.files import folder_atomically
from awm_jax.int8.luts import LUT_NAMES, LUT_SIZE
from converters.cartridge_manifest import (
    FORMAT,
    MADE,
    MODES,
    ORDER,
    check_fields,
    check_policy_name,
    identity,
    parse,
    plain,
)
from converters.quantize.entries import WeightEntry, read_entries, show
from converters.quantize.extra import pack_extra, unpack_extra
from converters.quantize.weights import QMAX
from converters.source import open_file

MANIFEST = "manifest.json"
WEIGHTS = "weights_int8.bin"
EXTRA = "extra.bin"
LUTS = "luts.bin"
FILES = (WEIGHTS, EXTRA, LUTS)
POLICIES = "policies"
MAX_MANIFEST_BYTES = 32 << 20
MAX_FILE_BYTES = 1 << 30

Place = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Cartridge:
    """A world or policy in integers, checked. Arrays are read-only.

    Attributes:
      manifest: as in manifest.json.
      weights_int8: (total_weight_bytes,) int8, in -127..127.
      luts: 1,024 bytes.
      extra: name -> integer array.
      policies: name -> the cartridge of a policy that comes with it.
      entries: key -> where its tensor lies in `weights_int8`, and its scales.
      config: the encoding.
      hash: its identity, 64 hexadecimal digits.
    """

    manifest: dict[str, Any]
    weights_int8: np.ndarray
    luts: bytes
    extra: Mapping[str, np.ndarray]
    policies: Mapping[str, Cartridge]
    entries: Mapping[str, WeightEntry]
    config: EncodingConfig
    hash: str

    @property
    def model_type(self) -> str:
        """ "mamba2", "mlp", "policy" or "mwm", a mind."""
        return self.manifest["architecture"]["model_type"]

    @property
    def recurrent(self) -> bool:
        """Whether state is carried from frame to frame; else each frame sees a window."""
        return self.manifest["mode"]["kind"] == MODES[0]

    @property
    def context_len(self) -> int:
        """Frames of context K."""
        return self.manifest["mode"]["context_len"]

    def weight(self, key: str) -> np.ndarray:
        """One tensor, int8 in its own shape; times `entries[key].scales` it is the weight."""
        entry = self.entries[key]
        return self.weights_int8[entry.offset : entry.offset + entry.size].reshape(entry.shape)


def make_cartridge(
    *,
    weights: bytes,
    luts: bytes,
    manifest: Mapping[str, Any],
    extra: Mapping[str, np.ndarray],
    policies: Mapping[str, Cartridge] | None = None,
) -> Cartridge:
    """A cartridge in memory. Equal arguments make equal bytes and an equal hash.

    Args:
      weights: the bytes of weights_int8.bin.
      luts: the bytes of luts.bin.
      manifest: `converters.quantize.manifest.weight_fields`, encoding_config, mode and int8; where
        wanted provenance and notes. The rest is made here.
      extra: name -> int8, int16, int32, uint8, uint16 or uint32 array, of rank 0 to 8, not empty.
      policies: name -> a policy's cartridge.

    Raises:
      AwmError: names what does not fit.
    """
    given = plain(dict(manifest))
    for name in MADE:
        if name in given:
            raise AwmError(f"manifest field {name} is made by the writer; leave it out")
    data, index = pack_extra(extra)
    contents = {WEIGHTS: bytes(weights), EXTRA: data, LUTS: bytes(luts)}
    policies = dict(sorted((policies or {}).items()))
    for name, policy in policies.items():
        check_policy_name(name)
        if policy.policies:
            raise AwmError(f"policy {name} has policies of its own")
    made = {
        "format": FORMAT,
        "hash": "0" * 64,
        "files": {name: _stamp(content) for name, content in contents.items()},
        "policies": {name: policy.hash for name, policy in policies.items()},
        "extra": index,
    }
    return _checked(plain({**given, **made}), contents, policies)


def write_cartridge(
    folder: Place,
    *,
    weights: bytes,
    luts: bytes,
    manifest: Mapping[str, Any],
    extra: Mapping[str, np.ndarray],
    policies: Mapping[str, Cartridge] | None = None,
    overwrite: bool = False,
) -> Cartridge:
    """`make_cartridge`, then `save_cartridge`."""
    cartridge = make_cartridge(
        weights=weights, luts=luts, manifest=manifest, extra=extra, policies=policies
    )
    save_cartridge(cartridge, folder, overwrite=overwrite)
    return cartridge


def save_cartridge(cartridge: Cartridge, folder: Place, *, overwrite: bool = False) -> None:
    """Write a cartridge's folder, whole or not at all.

    Args:
      cartridge: what to write.
      folder: a new or empty folder.
      overwrite: replace a folder that holds a cartridge already.

    Raises:
      AwmError: the folder is taken or cannot be written.
    """
    # Not manifest.json, which folders of many kinds have.
    with folder_atomically(folder, marker=EXTRA, overwrite=overwrite) as beside:
        _write_into(beside, cartridge)


def _write_into(folder: Path, cartridge: Cartridge) -> None:
    text = json.dumps(cartridge.manifest, indent=2, allow_nan=False)
    if len(text) >= MAX_MANIFEST_BYTES:
        raise AwmError(f"{MANIFEST} would be larger than {MAX_MANIFEST_BYTES} bytes")
    data, _ = pack_extra(cartridge.extra)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_bytes(text.encode("ascii") + b"\n")
    (folder / WEIGHTS).write_bytes(cartridge.weights_int8.tobytes())
    (folder / EXTRA).write_bytes(data)
    (folder / LUTS).write_bytes(cartridge.luts)
    for name, policy in cartridge.policies.items():
        _write_into(folder / POLICIES / name, policy)


def read_cartridge(folder: Place, *, verify: bool = True) -> Cartridge:
    """Read a cartridge and check it.

    Args:
      folder: where it lies; "embedded" is the one that ships with the package.
      verify: compare the sha256 of each file; without it only their sizes and structure and the
        manifest's own hash are checked.

    Raises:
      AwmError: one line that names the folder or file and what is wrong with it.
    """
    return _read(located(folder), verify, may_have_policies=True)


def is_cartridge(folder: Place) -> bool:
    """Whether a folder looks like a cartridge; nothing of it is checked."""
    return all((located(folder) / name).is_file() for name in (MANIFEST, EXTRA))


def located(folder: Place) -> Path:
    """Where a cartridge lies: "embedded" is the one that ships with the package."""
    return embedded() if os.fspath(folder) == EMBEDDED else Path(folder)


def _read(folder: Path, verify: bool, *, may_have_policies: bool) -> Cartridge:
    if not os.path.isdir(folder):
        raise AwmError(f"{folder}: no such folder; a cartridge is a folder with a {MANIFEST}")
    text = _read_file(folder / MANIFEST, MAX_MANIFEST_BYTES)
    with _naming(folder / MANIFEST):
        manifest = parse(text)
        check_fields(manifest, FILES)
        if manifest["policies"] and not may_have_policies:
            raise AwmError("a policy has policies of its own")
    contents = {}
    for name, stated in manifest["files"].items():
        contents[name] = _read_file(folder / name, MAX_FILE_BYTES, stated["size"])
        if verify and _stamp(contents[name]) != stated:
            raise AwmError(f"{folder / name}: damaged, its sha256 is not the manifest's")
    policies = {
        name: _read(folder / POLICIES / name, verify, may_have_policies=False)
        for name in manifest["policies"]
    }
    with _naming(folder):
        cartridge = _checked(manifest, contents, policies)
        if cartridge.hash != manifest["hash"]:
            raise AwmError(f"{MANIFEST} is damaged or altered, its hash is not its content's")
        return cartridge


def _checked(
    manifest: dict[str, Any], contents: Mapping[str, bytes], policies: Mapping[str, Cartridge]
) -> Cartridge:
    """The cartridge of a manifest and its files, if they fit each other; makes the hash anew."""
    config = check_fields(manifest, FILES)
    entries = read_entries(manifest)
    size = len(contents[WEIGHTS])
    if size != manifest["total_weight_bytes"]:
        raise AwmError(f"{WEIGHTS} has {size} bytes, its tensors {manifest['total_weight_bytes']}")
    weights = np.frombuffer(contents[WEIGHTS], np.int8)
    if weights.min() < -QMAX:
        raise AwmError(f"{WEIGHTS} holds a {weights.min()}, weights are -{QMAX}..{QMAX}")
    if len(contents[LUTS]) != LUT_SIZE * len(LUT_NAMES):
        raise AwmError(f"{LUTS} has {len(contents[LUTS])} bytes, not {LUT_SIZE * len(LUT_NAMES)}")
    extra = unpack_extra(manifest["extra"], contents[EXTRA])
    for name, policy in policies.items():
        if policy.hash != manifest["policies"][name]:
            raise AwmError(f"policy {name} is another one than {MANIFEST} says")
    digest = identity(manifest)
    whole = manifest | {"hash": digest}
    ordered = {name: whole[name] for name in ORDER if name in whole}
    return Cartridge(ordered, weights, contents[LUTS], extra, policies, entries, config, digest)


def _stamp(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@contextlib.contextmanager
def _naming(place: Path) -> Iterator[None]:
    try:
        yield
    except AwmError as error:
        raise AwmError(f"{place}: {error}") from error


def _read_file(path: Path, limit: int, stated: int | None = None) -> bytes:
    """A file's bytes: not more than it has, may have, and should have."""
    with open_file(str(path)) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise AwmError(f"{path}: has {size} bytes, no more than {limit} are read")
        if stated is not None and size != stated:
            raise AwmError(f"{path}: has {size} bytes, not the {show(stated)} of {MANIFEST}")
        try:
            return file.read(size)
        except OSError as error:
            raise AwmError(f"{path}: cannot be read: {error.strerror}") from error
