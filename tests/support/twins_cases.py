"""The golden network cases (cases.json), and networks of ours with given weights."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32 import FrameStackMamba2, FrameStackMLP, PolicyMLP
from awm_jax.fp32.weights import from_torch_dict, torch_shapes
from support.golden import golden_dir, load_json, load_npz, seeded_weights

NETWORKS: dict[str, Any] = {
    "mamba2": FrameStackMamba2,
    "mlp": FrameStackMLP,
    "policy": PolicyMLP,
}
ATOL32 = {"mamba2": 2e-5, "mlp": 2e-6, "policy": 2e-6, "scan": 2e-5}
ATOL32_PRODUCTION = 5e-5
ATOL64 = 1e-11


@dataclasses.dataclass(frozen=True)
class Case:
    """One case of golden/torch: what cases.json says, and its arrays."""

    name: str
    info: Mapping[str, Any]

    @property
    def arch(self) -> str:
        return self.info["arch"]

    @property
    def file(self) -> str:
        return self.info["file"]

    @property
    def production(self) -> bool:
        return self.file == "production.npz"

    @functools.cached_property
    def cfg(self) -> EncodingConfig:
        return EncodingConfig(**self.info["encoding"])

    @functools.cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        prefix = f"{self.name}/"
        arrays = load_npz(golden_dir("torch") / self.file)
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names start with `prefix`, without it."""
        found = {k: v for k, v in self.arrays.items() if k.startswith(prefix)}
        assert found, f"{self.name} has no {prefix}*"
        return {k.removeprefix(prefix): v for k, v in found.items()}

    def weights(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """The case's float32 weights, in the order of `shapes`; their hash is checked."""
        weights = seeded_weights(dict(shapes), self.info["weight_seed"])
        digest = hashlib.sha256()
        for key in sorted(weights):
            digest.update(weights[key].astype("<f4").tobytes())
        assert digest.hexdigest() == self.info["weights_sha256"], f"weights of {self.name}"
        return {key: weights[key] for key in shapes}

    def inputs(self, dtype: type = np.float32) -> list[np.ndarray]:
        names = ["float_ctx", "int_ctx"] + ([] if self.arch == "policy" else ["next_ctrl"])
        return [cast(self.arrays[n], dtype) for n in names]

    def atol(self, dtype: type) -> float:
        """The README's tolerance against out64_."""
        if dtype == np.float64:
            return ATOL64
        if self.production and self.arch == "mamba2":
            return ATOL32_PRODUCTION
        return ATOL32[self.arch]


def cast(value: np.ndarray, dtype: type) -> np.ndarray:
    """Floats to `dtype`, ints as they are."""
    return value.astype(dtype) if value.dtype.kind == "f" else value


def like_golden(case: Case, trace: Mapping[str, Any], name: str) -> Any:
    """The traced array that golden calls `name`: of production it keeps row 0, thinned."""
    if name.endswith("_ssm_state_every8"):
        return trace[name.removesuffix("_every8")][:1, :, ::8, ::8]
    if name.endswith("_conv_state_every16"):
        return trace[name.removesuffix("_every16")][:1, ::16]
    if name.endswith("_out_proj_last"):
        return trace[name.removesuffix("_last")][:1, -1]
    return trace[name][:1] if case.production else trace[name]


def all_cases() -> dict[str, Case] | str:
    """Every golden case, or why there is none. Safe at collection."""
    try:
        path = golden_dir("torch") / "cases.json"
    except pytest.skip.Exception as reason:
        return str(reason)
    if not path.is_file():
        return f"{path} is absent (set $AWM_GOLDEN)"
    return {name: Case(name, info) for name, info in load_json(path).items()}


def case_params(wanted: Callable[[Case], bool]) -> list[Any]:
    """Parameters for `pytest.mark.parametrize`: the wanted cases, or one skip with the reason."""
    cases = all_cases()
    if isinstance(cases, str):
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=cases))]
    found = [pytest.param(case, id=name) for name, case in cases.items() if wanted(case)]
    reason = "no such case in cases.json"
    return found or [pytest.param(None, id="none", marks=pytest.mark.skip(reason=reason))]


def from_file(*names: str) -> list[Any]:
    """`case_params` of the cases whose file is one of `names` (without .npz)."""
    return case_params(lambda case: case.file.removesuffix(".npz") in names)


def first_then_long(params: list[Any]) -> list[Any]:
    """The same parameters, all but the first marked `long`."""
    more = [
        pytest.param(*p.values, id=p.id, marks=(*p.marks, pytest.mark.long)) for p in params[1:]
    ]
    return params[:1] + more


class OneKey:
    """Stands for `nnx.Rngs` where values do not matter: the same key for every parameter.

    Splitting keys is most of the time it takes to trace a constructor.
    """

    def __init__(self) -> None:
        self.key = jax.random.key(0)

    def params(self) -> jax.Array:
        return self.key


def abstract_network(arch: str, cfg: EncodingConfig, context_len: int, dims: Mapping[str, Any]):
    """A network of ours with shapes for parameters: nothing is allocated."""
    build = functools.partial(NETWORKS[arch], cfg, context_len=context_len, **dims)
    return nnx.eval_shape(lambda: build(rngs=OneKey()))


def network_shapes(
    arch: str, cfg: EncodingConfig, context_len: int, dims: Mapping[str, Any]
) -> dict[str, tuple[int, ...]]:
    """State-dict shapes of a network of ours, in file order."""
    return torch_shapes(abstract_network(arch, cfg, context_len, dims))


def filled(abstract: Any, weights: Mapping[str, np.ndarray], dtype: type = np.float32) -> Any:
    """The network of `abstract` with `weights` (float32), all of its parameters in `dtype`."""
    graph, state = nnx.split(abstract)

    def zeros(leaf):
        return jnp.asarray(np.zeros(leaf.shape, dtype))  # nothing to compile

    network = nnx.merge(graph, jax.tree.map(zeros, state))
    from_torch_dict(network, {k: np.asarray(v, dtype) for k, v in weights.items()})
    return network


def seeded_network(
    arch: str, cfg: EncodingConfig, context_len: int, dims: Mapping[str, Any], seed: int = 0
) -> Any:
    """A float32 network of ours with weights from a seed; quicker than a constructor's own."""
    abstract = abstract_network(arch, cfg, context_len, dims)
    return filled(abstract, seeded_weights(torch_shapes(abstract), seed))


def case_network(case: Case, dtype: type = np.float32) -> Any:
    """Our network of a golden case, with the case's weights."""
    info = case.info
    abstract = abstract_network(case.arch, case.cfg, info["context_len"], info["dims"])
    return filled(abstract, case.weights(torch_shapes(abstract)), dtype)


class Worst:
    """The largest error so far; raises when one exceeds its tolerance."""

    def __init__(self) -> None:
        self.error = 0.0
        self.where = ""

    def check(self, name: str, got: Any, want: np.ndarray, atol: float) -> None:
        """|got - want| <= atol everywhere, equal shapes, nothing but finite numbers."""
        got = np.asarray(got)
        assert got.shape == want.shape, f"{name}: {got.shape} instead of {want.shape}"
        assert np.isfinite(got).all(), f"{name} is not finite"
        error = float(np.abs(got.astype(np.float64) - want).max(initial=0.0))
        if error > self.error:
            self.error, self.where = error, name
        assert error <= atol, f"{name}: off by {error:.3g}, allowed {atol:.3g}"
