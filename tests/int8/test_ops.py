"""The integer operations equal the reference's vectors and a 64-bit NumPy oracle."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.golden import golden_dir, load_json, load_npz

from awm_jax.errors import AwmError
from awm_jax.int8 import ops
from awm_jax.int8.luts import default_luts

I8 = np.arange(-128, 128).astype(np.int8)
U8 = np.arange(256).astype(np.uint8)
SIZES = (1, 2, 3, 5, 16, 33)
FEW = settings(max_examples=60, deadline=None)


@pytest.fixture(autouse=True, scope="module")
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@functools.cache
def jitted(function, *static):
    return jax.jit(function, static_argnums=static)


def run(function, *args, op_by_op=False, static=()):
    if op_by_op:
        with jax.disable_jit():
            return function(*args)
    return jitted(function, *static)(*args)


both = pytest.mark.parametrize("op_by_op", [False, True], ids=["jit", "op_by_op"])


def same(actual, expected, dtype):
    assert actual.dtype == dtype
    np.testing.assert_array_equal(np.asarray(actual), expected, strict=False)
    assert actual.shape == np.shape(expected)


def elementwise():
    return load_npz(golden_dir("rust/ops_elementwise.npz"))


def cases(key):
    return load_json(golden_dir("rust/ops_cases.json"))[key]


def table(name):
    return {
        "default": default_luts(),
        "random": elementwise()["luts_random"],
        "all255": np.full(1024, 255, np.uint8),
    }[name]


# --- the reference's vectors ---------------------------------------------------------------------


@both
def test_matmul_vectors(op_by_op):
    arrays = load_npz(golden_dir("rust/ops_matmul.npz"))
    names = sorted({key[:4] for key in arrays})
    assert len(names) == 101
    for name in names[:: 10 if op_by_op else 1]:
        w, x, y = (arrays[f"{name}_{part}"] for part in "wxy")
        same(run(ops.matmul_i8, w, x, op_by_op=op_by_op), y, np.int32)


def test_matmul_overflow_wraps():
    for case in cases("matmul_overflow"):
        w = np.full((case["rows"], case["cols"]), case["w_fill"], np.int8)
        x = np.full(case["cols"], case["x_fill"], np.int8)
        y = run(ops.matmul_i8, w, x)
        for copy in ("syscall", "world_model", "run_inference"):
            same(y, np.full(case["rows"], case[f"{copy}_wrap"], np.int32), np.int32)


def test_matmul_buffer_lengths():
    """Rust gets lengths beside its buffers; here shapes are the lengths, so short ones differ."""
    seen = set()
    for case in cases("matmul_short_buffers"):
        rows, cols = case["rows"], case["cols"]
        w = np.ones(case["weights_len"], np.int8)[: rows * cols]
        x = np.ones(case["input_len"], np.int8)[:cols]
        result = case["syscall"]
        seen.add(str(result))
        if result == "panic: input too short":
            with pytest.raises(AwmError, match=r"x has shape \(3,\), must be \(4,\)"):
                ops.matmul_i8(w.reshape(rows, cols), x)
        elif result == "panic: weights too short":
            with pytest.raises(AwmError, match="W has shape"):
                ops.matmul_i8(w, x)
        elif result[0] == "ok":
            same(ops.matmul_i8(w.reshape(rows, cols), x), result[1][:rows], np.int32)
        else:
            assert result == "panic: output too short"  # the result is returned, never too short
    assert len(seen) == 5


@both
def test_requantize_vectors(op_by_op):
    v = elementwise()
    for scale, out in zip(v["rq_scales"], v["rq_out"], strict=True):
        args = v["rq_acc"], scale
        same(run(ops.requantize_per_tensor, *args, op_by_op=op_by_op), out, np.int8)
        same(ops.requantize_per_tensor(v["rq_acc"], int(scale)), out, np.int8)
        args = v["rq_acc"], np.full(v["rq_acc"].shape, scale)
        same(run(ops.requantize_per_channel, *args, op_by_op=op_by_op), out, np.int8)
    args = v["rqpc_acc"], v["rqpc_scales"]
    same(run(ops.requantize_per_channel, *args, op_by_op=op_by_op), v["rqpc_out"], np.int8)


@both
def test_elementwise_mul_vectors(op_by_op):
    v = elementwise()
    a, b = np.repeat(I8, 256).reshape(256, 256), np.tile(I8, (256, 1))
    for shift, out in zip(v["em_shifts"], v["em_out"], strict=True):
        args = a, b, int(shift)
        same(run(ops.elementwise_mul_i8, *args, op_by_op=op_by_op, static=(2,)), out, np.int8)


def test_elementwise_mul_refuses_shifts_of_32_and_more():
    """The checked build panics; the wrapping build masks the shift count."""
    v = elementwise()
    checked = {
        case["shift"]: case["result"] for case in cases("elementwise_mul_shift_ge_32_checked")
    }
    assert sorted(checked) == sorted(v["emw_shifts"].tolist())
    for shift, out in zip(v["emw_shifts"].tolist(), v["emw_out"], strict=True):
        with pytest.raises(AwmError, match=rf"shift is {shift}, must be in 0\.\.31"):
            ops.elementwise_mul_i8(v["emw_a"], v["emw_b"], shift)
        same(ops.elementwise_mul_i8(v["emw_a"], v["emw_b"], shift & 31), out, np.int8)


@both
def test_add_vectors(op_by_op):
    a, b = np.repeat(I8, 256).reshape(256, 256), np.tile(I8, (256, 1))
    same(run(ops.add_i8, a, b, op_by_op=op_by_op), elementwise()["add_out"], np.int8)


@both
@pytest.mark.parametrize("name", ["default", "random"])
def test_table_vectors(name, op_by_op):
    luts = table(name)
    for kind, domain, dtype in (
        ("silu", I8, np.int8),
        ("softplus", I8, np.int8),
        ("rsqrt", U8, np.uint8),
        ("exp_neg", U8, np.uint8),
    ):
        lookup, out = getattr(ops, f"{kind}_lut"), elementwise()[f"lut_{name}_{kind}"]
        same(run(lookup, luts, domain, op_by_op=op_by_op), out, dtype)
        same(run(lookup, luts.tobytes(), domain, op_by_op=op_by_op, static=(0,)), out, dtype)
        same(run(lookup, jnp.asarray(luts), domain, op_by_op=op_by_op), out, dtype)


def test_short_tables():
    for case in cases("lut_short_tables"):
        lookup = getattr(ops, f"{case['fn']}_lut")
        signed = case["fn"] in ("silu", "softplus")
        index = np.array([case["index"]], np.uint8).view(np.int8 if signed else np.uint8)
        luts = default_luts()[: case["lut_len"]]
        if case["result"] == "ok":
            lookup(luts, index)
        else:
            with pytest.raises(AwmError, match=f"luts has {case['lut_len']} bytes, table"):
                lookup(luts, index)


@both
def test_rmsnorm_vectors(op_by_op):
    arrays = load_npz(golden_dir("rust/ops_rmsnorm.npz"))
    listed = cases("rmsnorm_cases")
    assert len(listed) == 103
    for case in listed[:: 25 if op_by_op else 1] + listed[-1:]:
        x, w = (arrays[f"{case['id']}_{part}"] for part in "xw")
        args = table(case["luts"]), x, w
        if case["wrap"] == "panic":
            with pytest.raises(AwmError, match="x has 0 values"):
                run(ops.rmsnorm_int8, *args, np.int32(256), op_by_op=op_by_op)
            continue
        out = arrays[f"{case['id']}_out"]
        scale = np.int32(case["weight_scale"])
        same(run(ops.rmsnorm_int8, *args, scale, op_by_op=op_by_op), out, np.int8)
        if case["weight_scale"] != 256:
            same(ops.rmsnorm_int8(*args, case["weight_scale"]), out, np.int8)


def test_rmsnorm_lengths():
    luts = default_luts()
    for case in cases("rmsnorm_length_mismatch"):
        x, w = np.ones(case["x_len"], np.int8), np.ones(case["weight_len"], np.int8)
        if case["x_len"] != case["weight_len"]:
            with pytest.raises(AwmError, match="weight has shape"):
                ops.rmsnorm_int8(luts, x, w, 256)
        else:  # only the output's length is wrong: there is no such argument here
            assert ops.rmsnorm_int8(luts, x, w, 256).shape != (case["output_len"],)
    longest = np.full(ops.MAX_NORM_LENGTH, -128, np.int8)
    same(ops.rmsnorm_int8(luts, longest, longest, 256), np.full(longest.shape, 127), np.int8)
    with pytest.raises(AwmError, match="rmsnorm_int8 takes 1 to 131071"):
        ops.rmsnorm_int8(luts, np.zeros(131072, np.int8), np.zeros(131072, np.int8), 256)


@both
def test_scan_vectors(op_by_op):
    arrays = load_npz(golden_dir("rust/ops_scan.npz"))
    listed = cases("scan_cases")
    assert len(listed) == 48
    for case in listed[:: 17 if op_by_op else 1]:
        v = {key: arrays[f"{case['id']}_{key}"] for key in ("x", "dt", "a", "h0", "h1", "y")}
        assert v["h0"].shape == (case["d_inner"], case["d_state"])
        args = table(case["luts"]), v["x"], v["dt"], v["h0"], v["a"]
        h, y = run(ops.selective_scan_step, *args, op_by_op=op_by_op)
        same(h, v["h1"], np.int8)
        same(y, v["y"], np.int8)


def test_syscall_cost_vectors():
    rows = load_json(golden_dir("rust/syscall_cost.json"))["table"]
    assert len(rows) == 21 * 16
    for case in rows:
        dimensions = int(case["rows"]), int(case["cols"])
        if case["error"]:
            with pytest.raises(AwmError, match=case["error"]):
                ops.syscall_cost(*dimensions)
        else:
            assert ops.syscall_cost(*dimensions) == int(case["cost"])


# --- properties against 64-bit NumPy -------------------------------------------------------------


def clamp(v):
    return np.clip(v, -128, 127).astype(np.int8)


def wide(*arrays):
    return [np.asarray(a).astype(np.int64) for a in arrays]


def wrap32(v):
    return (v + 2**31) % 2**32 - 2**31


def arrays(dtype, *shape):
    """Arrays that lean to the extremes of their type."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    edges = st.sampled_from([low, low + 1, 0, 1, high - 1, high] + [-1] * (low < 0))
    return hnp.arrays(dtype, shape, elements=edges | st.integers(low, high))


def oracle_rmsnorm(luts, x, w, scale):
    x, w = wide(x, w)
    r = int(luts[512 + min(int((x * x).sum()) // len(x), 16320) // 64])
    return clamp(wrap32(wrap32(x * w * r) * scale) >> 16)


def oracle_scan(luts, x, dt, h, a):
    h = h.astype(np.int64)
    y = np.zeros(len(x), np.int64)
    for i in range(h.shape[0]):
        xi, dti, ai = int(x[i]), int(dt[i]), int(a[i])
        decay = int(luts[768 + min((abs(dti) * abs(ai)) >> 4, 255)])
        for j in range(h.shape[1]):
            b = int(np.clip((xi * (j + 1)) >> 4, -128, 127))
            c = int(np.clip((xi * (h.shape[1] - j)) >> 4, -128, 127))
            h[i, j] = (decay * h[i, j] + dti * b) >> 8
            y[i] += c * h[i, j]
    return clamp(h), clamp(y >> 8)


@FEW
@given(st.data(), st.sampled_from(SIZES), st.sampled_from(SIZES))
def test_matmul_property(data, rows, cols):
    w, x = data.draw(arrays(np.int8, rows, cols)), data.draw(arrays(np.int8, cols))
    same(run(ops.matmul_i8, w, x), np.dot(*wide(w, x)), np.int32)


@FEW
@given(arrays(np.int32, 33), arrays(np.uint16, 33))
def test_requantize_property(acc, scales):
    a, s = wide(acc, scales)
    same(run(ops.requantize_per_channel, acc, scales), clamp((a * s) >> 16), np.int8)
    same(run(ops.requantize_per_tensor, acc, scales[0]), clamp((a * s[0]) >> 16), np.int8)


@FEW
@given(arrays(np.int8, 16), arrays(np.int8, 16), st.integers(0, 31))
def test_elementwise_property(a, b, shift):
    wa, wb = wide(a, b)
    out = run(ops.elementwise_mul_i8, a, b, shift, static=(2,))
    same(out, clamp((wa * wb) >> shift), np.int8)
    same(run(ops.add_i8, a, b), clamp(wa + wb), np.int8)


@FEW
@given(st.data(), st.sampled_from(SIZES), arrays(np.int32))
def test_rmsnorm_property(data, n, scale):
    luts = data.draw(st.sampled_from([default_luts(), np.full(1024, 255, np.uint8)]))
    x, w = data.draw(arrays(np.int8, n)), data.draw(arrays(np.int8, n))
    for s in (np.int32(256), np.int32(scale)):
        out = run(ops.rmsnorm_int8, luts, x, w, s)
        same(out, oracle_rmsnorm(luts, x, w, int(s)), np.int8)


@FEW
@given(st.data(), st.sampled_from([(1, 1), (3, 7), (2, 64)]), arrays(np.uint8, 1024))
def test_scan_property(data, shape, luts):
    x, dt, a = (data.draw(arrays(np.int8, shape[0])) for _ in range(3))
    h = data.draw(arrays(np.int8, *shape))
    new_h, y = run(ops.selective_scan_step, luts, x, dt, h, a)
    expected_h, expected_y = oracle_scan(luts, x, dt, h, a)
    same(new_h, expected_h, np.int8)
    same(y, expected_y, np.int8)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_syscall_cost_property(rows, cols):
    if rows * cols >= 2**64:
        with pytest.raises(AwmError, match="matmul dimensions overflow"):
            ops.syscall_cost(rows, cols)
    else:
        assert ops.syscall_cost(rows, cols) == min(100 + rows * cols, 2**64 - 1)


# --- the edges of the interface ------------------------------------------------------------------


def test_largest_state_does_not_overflow():
    """All products at their extreme with d_state 65,535: the sum is 1.6e9, inside int32."""
    luts = np.full(1024, 255, np.uint8)
    x, dt, a = (np.full(1, v, np.int8) for v in (127, -128, 0))
    h = np.full((1, ops.MAX_D_STATE), -128, np.int8)
    new_h, y = ops.selective_scan_step(luts, x, dt, h, a)
    assert int(new_h.min()) == -128 and y.tolist() == [-128]
    with pytest.raises(AwmError, match="at most 65535"):
        ops.selective_scan_step(luts, x, dt, np.zeros((1, 65536), np.int8), a)


I8x4, I32x4, U16x4 = np.ones(4, np.int8), np.ones(4, np.int32), np.ones(4, np.uint16)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ops.matmul_i8(I8x4, I8x4), "W has shape"),
        (lambda: ops.matmul_i8(np.ones((2, 4), np.int32), I8x4), "W has dtype int32"),
        (lambda: ops.matmul_i8([[1]], I8x4), "W is a list, must be a int8 array"),
        (lambda: ops.requantize_per_channel(I32x4, U16x4[:3]), "scales has shape"),
        (lambda: ops.requantize_per_channel(np.ones(4), U16x4), "acc has dtype float64"),
        (lambda: ops.requantize_per_tensor(I32x4, 65536), "scale is 65536"),
        (lambda: ops.requantize_per_tensor(I32x4, -1), "scale is -1"),
        (lambda: ops.requantize_per_tensor(I32x4, U16x4), "scale has shape"),
        (lambda: ops.elementwise_mul_i8(I8x4, I8x4[:3], 7), "b has shape"),
        (lambda: ops.elementwise_mul_i8(I8x4, I8x4, -1), "shift is -1"),
        (lambda: ops.elementwise_mul_i8(I8x4, I8x4, 1.0), "shift is a float"),
        (lambda: jax.jit(ops.elementwise_mul_i8)(I8x4, I8x4, 7), "shift is a "),
        (lambda: ops.add_i8(I8x4, I8x4[:0]), "b has shape"),
        (lambda: ops.silu_lut(default_luts(), U8), "x has dtype uint8"),
        (lambda: ops.rsqrt_lut(default_luts(), I8), "x has dtype int8"),
        (lambda: ops.rsqrt_lut(default_luts().reshape(4, 256), U8), "luts has shape"),
        (lambda: ops.rmsnorm_int8(default_luts(), I8x4, I8x4, 2**31), "weight_scale is 2147483648"),
        (lambda: ops.syscall_cost(-1, 1), "rows is -1"),
        (lambda: ops.syscall_cost(1, 2**64), "cols is 18446744073709551616"),
        (lambda: ops.syscall_cost(1.0, 1), "rows is a float"),
        (
            lambda: ops.selective_scan_step(
                default_luts(), I8x4, I8x4, np.ones((4, 2), np.int8), I8
            ),
            "a_log has shape",
        ),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(AwmError, match=words):
        call()


def test_no_64_bits_even_where_they_are_enabled():
    """The same bits under jax_enable_x64: no dtype here depends on that switch."""
    rng = np.random.default_rng(0)
    W, x, w, h = (rng.integers(-128, 128, n, np.int8) for n in ((16, 16), 16, 16, (16, 8)))

    def everything(luts, W, x, w, h):
        acc = ops.matmul_i8(W, x)
        return (
            acc,
            ops.requantize_per_tensor(acc, 700),
            ops.requantize_per_channel(acc, jnp.full(16, 700, jnp.uint16)),
            ops.elementwise_mul_i8(x, w, 7),
            ops.add_i8(x, w),
            ops.rmsnorm_int8(luts, x, w, 2**31 - 1),
            *ops.selective_scan_step(luts, x, w, h, x),
        )

    args = default_luts(), W, x, w, h
    plain = jax.jit(everything)(*args)
    with jax.enable_x64(True):
        for a, b in zip(plain, jax.jit(everything)(*args), strict=True):
            same(b, np.asarray(a), a.dtype)
