"""Checks of our networks against golden cases, in the dtype of the process (float32, float64).

tests/fp32/test_golden.py runs them in float32, tests/fp32/float64_suite.py in a process of its own
with x64 on.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import POLICY_OUTPUTS, world_outputs
from awm_jax.fp32.ssd import ssd_chunked, ssd_sequential
from support.twins_cases import Case, Worst, case_network, cast, like_golden
from support.twins_run import both_players, compiled, float_dtype, quick_jit

WORST: dict[str, Worst] = {}


def worst_of(case: Case) -> Worst:
    """Gathers the largest error of every file, to be shown at the end of the run."""
    return WORST.setdefault(case.file, Worst())


def check_windowed(case: Case, *, quick: bool = True) -> None:
    """Every output of a windowed pass; `quick` compiles with less optimisation.

    Jitted in float32; in float64 op by op where many cases have the same shapes, which is another
    way through XLA and, in that process, the quicker one.
    """
    network = case_network(case, float_dtype())
    inputs = [jnp.asarray(value) for value in case.inputs(float_dtype())]
    method = both_players if case.arch == "policy" else "__call__"
    if float_dtype() == np.float64 and case.file in ("mamba2_flags.npz", "mlp.npz", "policy.npz"):
        outputs = both_players(network, *inputs) if case.arch == "policy" else network(*inputs)
    else:
        outputs = compiled(network, method, quick=quick)(*inputs)
    _compare(case, outputs)


def _compare(case: Case, outputs: dict) -> None:
    want = case.group("out64_")
    if case.arch == "policy":
        expected = [f"p{p}_{name}" for p in (0, 1) for name in POLICY_OUTPUTS]
    else:
        expected = list(world_outputs(case.cfg, case.arch))
    assert expected == list(want)
    assert sorted(outputs) == sorted(want)  # jit sorts a dict; test_edges looks at the order
    for name, value in want.items():
        assert outputs[name].dtype == float_dtype(), f"{name} is {outputs[name].dtype}"
        worst_of(case).check(name, outputs[name], value, case.atol(float_dtype()))


def has_blocks(case: Case) -> bool:
    files = ("mamba2_blocks.npz", "production.npz")
    return case.file in files and any(name.startswith("blk64_") for name in case.arrays)


def check_trace(case: Case) -> None:
    """Every intermediate that golden keeps."""
    dtype = float_dtype()
    network = case_network(case, dtype)
    trace = compiled(network, "trace")(*map(jnp.asarray, case.inputs(dtype)))
    for name, value in case.group("blk64_").items():
        got = like_golden(case, trace, name)
        worst_of(case).check(name, got, value, case.atol(dtype))


def check_recurrent(case: Case, chunk_sizes: tuple[int | None, ...] = (0, 7)) -> None:
    """Outputs after every frame and the states at the end, by steps and by whole sequences."""
    dtype, worst = float_dtype(), worst_of(case)
    network, atol = case_network(case, dtype), case.atol(dtype)
    names = ("float_seq", "int_seq", "next_ctrl_seq")
    sequence = [jnp.asarray(cast(case.arrays[name], dtype))[None] for name in names]
    want = case.group("out64_")

    step, state, rows = compiled(network, "step"), network.init_state((1,)), []
    for t in range(case.info["frames"]):
        state, outputs = step(state, *(value[:, t] for value in sequence))
        rows.append(outputs)
    stepped = {name: np.stack([row[name][0] for row in rows]) for name in rows[0]}
    results = {"step": (stepped, state)}
    for size in chunk_sizes:
        outputs, state = compiled(network, "sequence", chunk_size=size)(*sequence)
        results[f"sequence {size}"] = ({k: v[0] for k, v in outputs.items()}, state)

    for form, (outputs, state) in results.items():
        assert sorted(outputs) == sorted(want)
        for name, value in want.items():
            worst.check(f"{form} {name}", outputs[name], value, atol)
        for i in range(network.n_layers):
            ends = {"ssm": state.ssm[i], "conv": state.conv[i]}
            for name, got in ends.items():
                end = case.arrays[f"end64_L{i}_{name}_state"]
                worst.check(f"{form} L{i} {name}", got, end, atol)


def check_window_by_steps(case: Case) -> None:
    """The outputs of a window, reached by steps from the zero state."""
    dtype = float_dtype()
    network = case_network(case, dtype)
    floats, ints, ctrl = map(jnp.asarray, case.inputs(dtype))
    step = compiled(network, "step")
    state = network.init_state(floats.shape[:1])
    outputs: dict = {}
    for t in range(floats.shape[1]):
        state, outputs = step(state, floats[:, t], ints[:, t], ctrl)
    _compare(case, outputs)


def check_scan(case: Case) -> None:
    """The scan alone: the loop, the golden chunk sizes, and some that do not divide.

    float32 is measured against the size of the values (up to 107 in scan2).
    """
    dtype, worst = float_dtype(), worst_of(case)
    x, dt, A, B, C = (jnp.asarray(case.arrays[n].astype(dtype)) for n in ("x", "dt", "A", "B", "C"))
    y64, state64 = case.arrays["y64"], case.arrays["state64"]
    atol = case.atol(dtype)
    if dtype == np.float32:
        atol = 2e-6 * max(1.0, float(np.abs(y64).max()))
    length = x.shape[1]
    sizes = sorted({*case.info["chunks"], length - 1, 5})
    results = {"loop": quick_jit(ssd_sequential)(x, dt, A, B, C)}
    for size in sizes:
        results[f"chunk {size}"] = quick_jit(ssd_chunked, static_argnums=6)(
            x, dt, A, B, C, None, size
        )
    for form, (y, state) in results.items():
        assert y.dtype == state.dtype == dtype
        worst.check(f"{form} y", y, y64, atol)
        worst.check(f"{form} state", state, state64, atol)
