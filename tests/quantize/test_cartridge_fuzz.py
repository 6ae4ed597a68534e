"""Damaged and forged cartridges: refused with a line, never accepted as what they are not."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cartridges import cartridge

from awm_jax.errors import AwmError
from converters.cartridge import read_cartridge, save_cartridge
from converters.cartridge_manifest import identity

FILES = [
    folder + name
    for folder in ("", "policies/hold/")
    for name in ("manifest.json", "weights_int8.bin", "extra.bin", "luts.bin")
]


class Folder:
    """A written cartridge of which one file is replaced for a moment."""

    def __init__(self, path):
        self.path = path
        self.base = cartridge(policy=True)
        save_cartridge(self.base, path)
        self.files = {name: (path / name).read_bytes() for name in FILES}

    def read_with(self, changed):
        """The cartridge with other bytes in some files (None: absent), or None if refused."""
        try:
            for name, data in changed.items():
                if data is None:
                    (self.path / name).unlink()
                else:
                    (self.path / name).write_bytes(data)
            return read_cartridge(self.path)
        except AwmError as error:
            said = str(error).removeprefix(str(self.path))
            assert said.isprintable() and len(said) < 300
            return None
        finally:
            for name in changed:
                (self.path / name).write_bytes(self.files[name])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("fuzz") / "c")


def covered(manifest):
    """What the hash covers, by the words of the docstring."""
    manifest = copy.deepcopy(manifest)
    for name in ("hash", "provenance", "notes", "error_summary"):
        manifest.pop(name, None)
    for group in manifest["weights"].values():
        for entry in group.values():
            entry.pop("snr_db"), entry.pop("error")
    return json.dumps(manifest, sort_keys=True)


def assert_same(found, base):
    assert found.hash == base.hash
    assert covered(found.manifest) == covered(base.manifest)
    assert np.array_equal(found.weights_int8, base.weights_int8) and found.luts == base.luts
    assert list(found.extra) == list(base.extra)
    for name, array in found.extra.items():
        assert np.array_equal(array, base.extra[name])
    assert list(found.policies) == list(base.policies)
    for name, policy in found.policies.items():
        assert_same(policy, base.policies[name])


@settings(max_examples=200)
@given(st.sampled_from(FILES), st.data())
def test_flipped_bits(folder, name, data):
    damaged = bytearray(folder.files[name])
    positions = st.lists(st.integers(0, len(damaged) * 8 - 1), min_size=1, max_size=4, unique=True)
    for bit in data.draw(positions):
        damaged[bit // 8] ^= 1 << bit % 8
    found = folder.read_with({name: bytes(damaged)})
    assert found is None or name.endswith("manifest.json")
    if found is not None:
        assert_same(found, folder.base)


@settings(max_examples=100)
@given(st.sampled_from(FILES), st.data())
def test_cut_and_grown(folder, name, data):
    whole = folder.files[name]
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    middle = data.draw(st.sampled_from([b"", b"\0", b"0", b"}", whole[: end - start], whole]))
    changed = whole[:start] + middle + whole[end:]
    found = folder.read_with({name: changed})
    if name.endswith("manifest.json"):
        if found is not None:
            assert_same(found, folder.base)
    else:
        assert (found is None) == (changed != whole)


@pytest.mark.parametrize("name", FILES)
def test_absent(folder, name):
    assert folder.read_with({name: None}) is None


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 20)
    | st.sampled_from([2**31, 2**63, 10**30, 10**4000, -(2**70)])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "../x", "/etc/passwd", "i8", "windowed", "\ud800", "a\nb", "\0"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def containers(value, path=()):
    """Paths of all mappings and lists that are not empty."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if value:
        yield path
    for key, inner in items:
        if isinstance(inner, (dict, list)):
            yield from containers(inner, (*path, key))


def mutate(manifest, data):
    """Replace, remove, rename or add something somewhere."""
    places = list(containers(manifest))
    # Half of the time near the top, where most of the meaning is.
    shallow = [path for path in places if len(path) < 3]
    node = manifest
    for key in data.draw(st.sampled_from(shallow) | st.sampled_from(places)):
        node = node[key]
    key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    action = data.draw(st.sampled_from(["replace", "remove", "add", "near"]))
    if action == "replace":
        node[key] = data.draw(VALUES)
    elif action == "near" and isinstance(node[key], (int, float)):
        node[key] += data.draw(st.sampled_from([-1, 1, 0.5]))
    elif action == "remove":
        del node[key]
    elif isinstance(node, dict):
        name = data.draw(st.sampled_from(["x", "../x", "a\n", "\ud800"]) | st.text(max_size=4))
        node[name] = node.pop(key) if action == "near" else data.draw(VALUES)
    else:
        node.insert(key, data.draw(VALUES))


@settings(max_examples=200)
@given(st.sampled_from(["", "policies/hold/"]), st.booleans(), st.data())
def test_altered_manifest(folder, place, rehashed, data):
    name = place + "manifest.json"
    manifest = json.loads(folder.files[name])
    for _ in range(data.draw(st.integers(1, 2))):
        mutate(manifest, data)
    if rehashed:
        try:
            manifest["hash"] = identity(manifest)
        except (AttributeError, KeyError, TypeError):
            return  # too broken to have a hash; the other branch reads such ones
    found = folder.read_with({name: json.dumps(manifest).encode()})
    if found is None:
        return
    if not rehashed or place:
        # A policy's true hash must also be the world's, which has not changed.
        assert_same(found, folder.base)
    else:
        # A forger may make another cartridge; it is a whole one, under another name.
        assert (found.hash == folder.base.hash) == (
            covered(found.manifest) == covered(folder.base.manifest)
        )
        assert list(found.entries) == list(folder.base.entries)


@settings(max_examples=100)
@given(st.data())
def test_spliced_text(folder, data):
    whole = folder.files["manifest.json"]
    at = data.draw(st.integers(0, len(whole)))
    gap = data.draw(st.integers(0, 8))
    splice = data.draw(
        st.sampled_from([b"NaN", b"-Infinity", b"1e999", b"[" * 3000, b'"\\ud800"', b"\xff", b",,"])
        | st.binary(max_size=6)
    )
    found = folder.read_with({"manifest.json": whole[:at] + splice + whole[at + gap :]})
    if found is not None:
        assert_same(found, folder.base)
