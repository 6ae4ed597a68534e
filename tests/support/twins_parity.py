"""Checks of our networks and their parts against the PyTorch twins, in the process's dtype.

The twin always computes in float64 from the same float32 values.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from awm_jax.fp32.layers import RMSNorm
from awm_jax.fp32.mamba2 import causal_conv
from awm_jax.fp32.ssd import ssd_chunked, ssd_sequential
from awm_jax.fp32.weights import torch_shapes
from support import twins
from support.golden import seeded_weights
from support.twins_cases import ATOL64, Worst, abstract_network, filled
from support.twins_random import (
    Spec,
    random_ctrl,
    random_frames,
    random_inputs,
    random_scan,
    random_spec,
)
from support.twins_run import both_players, compiled, float_dtype, functional, quick_jit

# Ten times the draws of golden/torch reach further into the tail of the rounding errors.
ATOL32 = {"mamba2": 4e-5, "mlp": 5e-6, "policy": 5e-6, "scan": 4e-6, "conv": 2e-6, "norm": 2e-6}
WORST: dict[str, Worst] = {}


def _check(family: str, where: str, got: Any, want: np.ndarray) -> None:
    """|got - want| within the family's tolerance, which grows with the largest value above 4."""
    atol = ATOL64 if float_dtype() == np.float64 else ATOL32[family]
    size = max(1.0, float(np.abs(want).max(initial=0.0)) / 4)
    worst = WORST.setdefault(f"parity {family}", Worst())
    worst.check(f"{family} {where}", np.asarray(got) / size, want / size, atol)


def _pair(spec: Spec, seed: int) -> tuple[Any, Any]:
    """Our network and its float64 twin, with equal weights."""
    abstract = abstract_network(spec.arch, spec.cfg, spec.context_len, spec.dims)
    twin = twins.make_twin(spec.arch, spec.cfg, spec.context_len, spec.dims)
    shapes = torch_shapes(abstract)
    assert list(shapes.items()) == list(twins.twin_shapes(twin).items()), spec
    weights = seeded_weights(shapes, seed)
    return filled(abstract, weights, float_dtype()), twins.load_twin(twin, weights, np.float64)


def _twin_outputs(spec: Spec, twin: Any, inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
    if spec.arch != "policy":
        return twins.run_twin(twin, *inputs)
    return {
        f"p{player}_{name}": value
        for player in (0, 1)
        for name, value in twins.run_twin(twin, *inputs, player).items()
    }


def check_random_network(seed: int, arch: str | None = None) -> None:
    """One random configuration: shapes, keys and order, every output; Mamba2's every intermediate
    and end state."""
    rng = np.random.default_rng([seed, 1])
    spec = random_spec(rng, arch)
    network, twin = _pair(spec, seed)
    inputs = random_inputs(rng, spec, float_dtype())
    if spec.arch == "mamba2":
        got, trace = compiled(network, _outputs_and_trace)(*map(jnp.asarray, inputs))
        want_trace = twins.trace_twin(twin, *inputs)
        assert set(trace) == set(want_trace)
        for name, value in want_trace.items():
            _check("mamba2", f"seed {seed} {name}", trace[name], value)
    else:
        method = both_players if spec.arch == "policy" else "__call__"
        got = compiled(network, method)(*map(jnp.asarray, inputs))
    for name, value in _twin_outputs(spec, twin, inputs).items():
        assert got[name].dtype == float_dtype()
        _check(spec.arch, f"seed {seed} {name}", got[name], value)


def _outputs_and_trace(network: Any, *inputs: Any) -> tuple[dict, dict]:
    return network(*inputs), network.trace(*inputs)


def check_many_weights(spec: Spec, seed: int, draws: int) -> None:
    """One configuration, compiled once: `draws` sets of weights, each with its own inputs."""
    method = both_players if spec.arch == "policy" else "__call__"
    call = None
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        network, twin = _pair(spec, int(rng.integers(2**31)))
        inputs = random_inputs(rng, spec, float_dtype())
        function, weights = functional(network, method)
        call = call or quick_jit(function)
        got = call(weights, *map(jnp.asarray, inputs))
        for name, value in _twin_outputs(spec, twin, inputs).items():
            _check(spec.arch, f"draw {draw} {name}", got[name], value)


def check_random_sequence(seed: int, length: int | None = None) -> None:
    """Outputs after every frame and end states of a sequence, cut at a random frame: the first
    part in chunks, the state handed over, the rest frame by frame, and the other way round."""
    rng = np.random.default_rng([seed, 2])
    spec = random_spec(rng, "mamba2")
    network, twin = _pair(spec, seed)
    length = length or int(rng.integers(2, 20))
    shape = (spec.batch, length)
    floats, ints = random_frames(rng, spec.cfg, shape, float_dtype())
    sequence = [floats, ints, random_ctrl(rng, spec.cfg, shape, float_dtype())]
    want, ssm, conv = twins.sequence_twin(twin, *sequence)
    cut, size = int(rng.integers(1, length)), int(rng.integers(1, 7))
    for sizes in ((size, 0), (0, size)):
        run = compiled(network, _in_two_parts, cut=cut, sizes=sizes)
        outputs, state = run(*map(jnp.asarray, sequence))
        where = f"seed {seed} cut {cut}/{length} chunks {sizes}"
        for name, value in want.items():
            _check("mamba2", f"{where} {name}", outputs[name], value)
        _check("mamba2", f"{where} ssm", state.ssm, ssm)
        _check("mamba2", f"{where} conv", state.conv, conv)


def _in_two_parts(network: Any, *sequence: Any, cut: int, sizes: tuple[int, int]) -> Any:
    first, state = network.sequence(*(v[:, :cut] for v in sequence), chunk_size=sizes[0])
    rest, state = network.sequence(*(v[:, cut:] for v in sequence), state, chunk_size=sizes[1])
    join = {name: jnp.concatenate([first[name], rest[name]], axis=1) for name in first}
    return join, state


def check_scans(shape: tuple[int, int, int, int, int], draws: int, seed: int = 0) -> None:
    """`draws` random scans of one shape (B, L, H, P, N), loop and chunks, from random states."""
    arrays = random_scan(np.random.default_rng([seed, 3, *shape]), draws, shape, float_dtype())
    wide = [torch.from_numpy(value.astype(np.float64)) for value in arrays]
    wants = [twins.scan(*(value[i] for value in wide)) for i in range(draws)]
    y_want = np.stack([y.numpy() for y, _ in wants])
    state_want = np.stack([state.numpy() for _, state in wants])
    scale = np.maximum(1, np.abs(y_want).max((1, 2, 3, 4)) / 4)[:, None, None, None, None]
    length = shape[1]
    inputs = [jnp.asarray(value) for value in arrays]
    for size in sorted({0, 1, 3, length // 2 + 1, length, length + 2}):

        def run(*arrays, size=size):
            if size == 0:
                return ssd_sequential(*arrays)
            return ssd_chunked(*arrays, size)

        y, state = quick_jit(jax.vmap(run))(*inputs)
        where = f"{shape} chunk {size}"
        _check("scan", f"{where} y", y / scale, y_want / scale)
        state_scale = np.maximum(1, np.abs(state_want).max((1, 2, 3, 4)) / 4)
        state_scale = state_scale[:, None, None, None, None]
        _check("scan", f"{where} state", state / state_scale, state_want / state_scale)


def check_convolutions(batch: int, length: int, channels: int, draws: int) -> None:
    """`draws` random convolutions after random last inputs."""
    rng = np.random.default_rng([4, batch, length, channels])
    padded = rng.normal(size=(draws, batch, 3 + length, channels)).astype(np.float32)
    kernel = rng.normal(size=(draws, 4, channels)).astype(np.float32)
    bias = rng.normal(size=(draws, channels)).astype(np.float32)
    dtype = float_dtype()
    got = quick_jit(jax.vmap(causal_conv))(*(jnp.asarray(v, dtype) for v in (padded, kernel, bias)))
    for i in range(draws):
        p, k, b = (torch.from_numpy(v[i].astype(np.float64)) for v in (padded, kernel, bias))
        want = twins.causal_conv(p, k.T[:, None, :], b)[:, 3:].numpy()
        _check("conv", f"draw {i}", got[i], want)


def check_norms(width: int, rows: int) -> None:
    """Random rows of every size from 1e-6 (where epsilon rules) to 1e6, and zeros."""
    rng = np.random.default_rng([5, width])
    dtype = float_dtype()
    x = rng.normal(size=(rows, width)) * 10 ** rng.uniform(-6, 6, (rows, 1))
    x[0] = 0
    x, weight = x.astype(np.float32), rng.normal(size=width).astype(np.float32)
    graph, state = nnx.split(RMSNorm(width, rngs=nnx.Rngs(0)))
    scale = jax.tree.map(lambda _: jnp.asarray(weight, dtype), state)
    ours = nnx.merge(graph, scale)(jnp.asarray(x, dtype))
    twin = twins.TwinRMSNorm(width).double()
    twin.load_state_dict({"weight": torch.from_numpy(weight.astype(np.float64))})
    with torch.no_grad():
        want = twin(torch.from_numpy(x.astype(np.float64))).numpy()
    _check("norm", f"width {width}", ours, want)
