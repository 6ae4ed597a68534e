"""The golden matches: their worlds, agents and arrays."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import gzip
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32.world import Fp32World
from converters.checkpoint import Spec as NetworkSpec
from converters.checkpoint import filled
from crank.agents import SCRIPTED, Policy, Recorded
from support.golden import golden_dir, load_json, load_npz

Spec = Mapping[str, Any]


def ruled_weights(spec: Spec) -> dict[str, np.ndarray]:
    """Weights of golden/match by its README: the first fitting rule over one PCG64 stream.

    Their hash is checked against the spec's.
    """
    rng = np.random.Generator(np.random.PCG64(spec["weight_seed"]))
    weights, digest = {}, hashlib.sha256()
    for key in sorted(spec["shapes"]):
        shape = tuple(spec["shapes"][key])
        z = rng.standard_normal(shape)
        rule = next(r for r in spec["weight_rules"] if fnmatch.fnmatchcase(key, r["match"]))
        gain = rule["scale"] / (np.sqrt(shape[1]) if rule.get("per") == "fan_in" else 1)
        weights[key] = np.float32(rule.get("offset", 0) + gain * z)
        digest.update(key.encode() + str(shape).encode() + weights[key].tobytes())
    assert digest.hexdigest() == spec["weights_sha256"]
    return weights


def network(spec: Spec, arch: str, dims: Mapping[str, int]):
    """Our network with the weights of a spec."""
    cfg = EncodingConfig(**spec["encoding_flags"])
    abstract = NetworkSpec(arch, cfg, spec["context_len"], dims).abstract()
    return filled(abstract, ruled_weights(spec))


def policy_network(spec: Spec, flags: str = "encoding_flags"):
    dims = {name: spec[name] for name in ("hidden_dim", "trunk_dim")}
    return network(spec | {"encoding_flags": spec[flags]}, "policy", dims)


@dataclasses.dataclass(frozen=True)
class GoldenMatch:
    """One match of golden/match."""

    name: str
    info: Spec

    @property
    def cfg(self) -> EncodingConfig:
        return EncodingConfig(**self.info["encoding_flags"])

    @property
    def characters(self) -> tuple[int, int]:
        return self.info["p0_char"], self.info["p1_char"]

    @functools.cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return load_npz(golden_dir("match") / f"{self.name}.npz")

    @functools.cached_property
    def file(self) -> dict[str, Any]:
        """The match file as the reference wrote it."""
        return json.loads(
            gzip.decompress((golden_dir("match") / f"{self.name}.json.gz").read_bytes())
        )

    def world(self, *, recurrent: bool = False) -> Fp32World:
        return Fp32World.of(self.network(), recurrent=recurrent)

    def network(self):
        return network(self.info, self.info["arch"], self.info["dims"])

    def agent(self, player: int):
        """The match's agent; where torch's random numbers played, what they played."""
        spec = self.info[f"p{player}_agent"]
        if spec == "random":
            return Recorded(jnp.asarray(self.arrays["ctrl"][:, player]))
        if spec in SCRIPTED:
            return spec
        policy = policy_network(self.info["policies"][spec.split(":")[1]])
        return Policy.of(policy, self.cfg, self.info["context_len"], 0.0)


def golden_match(prefix: str) -> GoldenMatch:
    """The match whose name starts so, such as "m7"; skips where the vectors are absent."""
    path = golden_dir("match") / "matches.json"
    name, info = next((n, i) for n, i in load_json(path).items() if n.startswith(f"{prefix}_"))
    return GoldenMatch(name, info)


def match_names() -> list[Any]:
    """Parameters: the names of all golden matches, or one skip with the reason."""
    try:
        path = golden_dir("match") / "matches.json"
    except pytest.skip.Exception as reason:
        return [pytest.param("absent", marks=pytest.mark.skip(reason=str(reason)))]
    return [name.split("_")[0] for name in load_json(path)]
