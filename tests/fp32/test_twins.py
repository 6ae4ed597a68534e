"""The PyTorch twins against the reference's golden vectors: float64, every output and block."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the twins need PyTorch")

from support.golden import golden_dir, load_json  # noqa: E402
from support.twins import (  # noqa: E402
    TwinMamba2,
    load_twin,
    make_twin,
    run_twin,
    scan,
    sequence_twin,
    trace_twin,
    twin_shapes,
)
from support.twins_cases import Case, Worst, case_params, from_file, like_golden  # noqa: E402

RECURRENT = "mamba2_recurrent"


def _twin(case: Case, dtype: type):
    twin = make_twin(case.arch, case.cfg, case.info["context_len"], case.info["dims"])
    return load_twin(twin, case.weights(twin_shapes(twin)), dtype)


def _outputs(case: Case, twin) -> dict[str, np.ndarray]:
    """The case's outputs under the names of out64_*."""
    if case.arch != "policy":
        return run_twin(twin, *case.inputs())
    named = {}
    for player in (0, 1):
        outputs = run_twin(twin, *case.inputs(), player)
        named |= {f"p{player}_{name}": value for name, value in outputs.items()}
    return named


def _windowed(case: Case) -> bool:
    return case.arch != "scan" and case.file != f"{RECURRENT}.npz"


def _blocks(case: Case) -> bool:
    return case.file in ("mamba2_blocks.npz", "production.npz") and any(
        name.startswith("blk64_") for name in case.arrays
    )


@pytest.mark.parametrize("case", case_params(_windowed))
def test_outputs(case):
    for dtype in (np.float64, np.float32):
        twin = _twin(case, dtype)
        got, want, worst = _outputs(case, twin), case.group("out64_"), Worst()
        assert list(got) == list(want)
        for name, value in want.items():
            assert got[name].dtype == dtype
            worst.check(name, got[name], value, case.atol(dtype))


@pytest.mark.parametrize("case", case_params(_blocks))
def test_intermediates(case):
    trace, worst = trace_twin(_twin(case, np.float64), *case.inputs()), Worst()
    for name, value in case.group("blk64_").items():
        worst.check(name, like_golden(case, trace, name), value, 1e-11)


@pytest.mark.parametrize("case", from_file(RECURRENT))
def test_growing_windows(case):
    twin, worst = _twin(case, np.float64), Worst()
    assert isinstance(twin, TwinMamba2)
    inputs = [case.arrays[f"{name}_seq"][None] for name in ("float", "int", "next_ctrl")]
    outputs, ssm, conv = sequence_twin(twin, *inputs)
    for name, value in case.group("out64_").items():
        worst.check(name, outputs[name][0], value, 1e-11)
    for i in range(len(twin.layers)):
        worst.check(f"L{i} ssm", ssm[i], case.arrays[f"end64_L{i}_ssm_state"], 1e-11)
        worst.check(f"L{i} conv", conv[i], case.arrays[f"end64_L{i}_conv_state"], 1e-11)


@pytest.mark.parametrize("case", from_file("ssd_scan"))
def test_scan(case):
    arrays = [torch.from_numpy(case.arrays[name]) for name in ("x", "dt", "A", "B", "C")]
    y, state = scan(*arrays)
    worst = Worst()
    worst.check("y", y, case.arrays["y64"], 1e-11)
    worst.check("state", state, case.arrays["state64"], 1e-11)


def test_state_dict_order():
    for name, rows in load_json(golden_dir("torch") / "state_dict_keys.json").items():
        info = load_json(golden_dir("torch") / "cases.json")[name]
        case = Case(name, info)
        twin = make_twin(case.arch, case.cfg, info["context_len"], info["dims"])
        assert list(twin_shapes(twin).items()) == [(k, tuple(shape)) for k, shape, _ in rows]
        assert sum(p.numel() for p in twin.parameters()) == info["params"]


def test_an_index_outside_a_table_raises():
    from awm_jax.encoding import EncodingConfig

    dims = {"d_model": 8, "d_state": 2, "n_layers": 1, "headdim": 4}
    twin = make_twin("mamba2", EncodingConfig(), 2, dims)
    ints = np.zeros((1, 2, 15), np.int32)
    ints[0, 1, 0] = 400
    with pytest.raises(IndexError):
        run_twin(twin, np.zeros((1, 2, 58), np.float32), ints, np.zeros((1, 26), np.float32))
