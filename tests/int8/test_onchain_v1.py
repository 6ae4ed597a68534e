"""The reference's simplified network equals its vectors: layer, forward pass, encoder, decoder."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.extend.core import jaxprs_in_params
from support.golden import golden_dir, load_json, load_npz

from awm_jax.errors import AwmError
from awm_jax.int8 import onchain_v1 as v1
from awm_jax.int8.luts import default_luts

QUIRKS = ("full", "wrap2", "wrap1", "cut1", "straddle", "pad1", "padzero", "three", "clean")


@pytest.fixture(autouse=True, scope="module")
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


layer_step = jax.jit(v1.layer_step)
forward_pass = jax.jit(v1.forward_pass)
encode_input = jax.jit(v1.encode_input, static_argnums=3)
decode_output = jax.jit(v1.decode_output)


@jax.jit
def rollout(luts, weights, state, xs):
    """Frames in one scan: (h, x) after each of them."""

    def body(state, x):
        state, x = v1.forward_pass(luts, weights, state, x)
        return state, (state.h, x)

    return jax.lax.scan(body, state, xs)[1]


def net_cases(key):
    return load_json(golden_dir("rust/net_cases.json"))[key]


def npz(name):
    return load_npz(golden_dir(f"rust/{name}.npz"))


def table(name):
    return default_luts() if name == "default" else npz("ops_elementwise")["luts_random"]


def weights_of(arrays, case):
    names = ("in_proj", "out_proj", "norm", "a_log", "dt_bias", "in_scales", "out_scales")
    return v1.LayerWeights(*(arrays[f"{case}_{name}"] for name in names))


def same(actual, expected, dtype=np.int8):
    assert actual.dtype == dtype and actual.shape == np.shape(expected)
    np.testing.assert_array_equal(np.asarray(actual), expected)


def shards_of(weights, lengths):
    """Weight bytes cut (or padded with zeros, as the vectors say) at the given lengths."""
    layers = len(weights.in_proj)
    rows = [np.reshape(part, (layers, -1)) for part in (weights.in_proj, weights.out_proj)]
    return cut(np.concatenate(rows, axis=1).tobytes(), lengths)


def cut(stream, lengths):
    ends = np.cumsum(lengths).tolist()
    return [stream[end - length : end] for end, length in zip(ends, lengths, strict=True)]


# --- one layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["fresh", "feedback"])
@pytest.mark.parametrize("case", "ABCDEF")
def test_layer_vectors(case, run):
    arrays = npz("layer_step")
    (facts,) = (c for c in net_cases("layer_cases") if c["case"] == case)
    luts, weights = table(facts["luts"]), weights_of(arrays, case)
    shape = facts["d_inner"], facts["d_state"]
    v = {k[len(f"{case}_{run}_") :]: a for k, a in arrays.items() if k.startswith(f"{case}_{run}_")}
    h, x = v["h"][0], v["x_in"][0]
    assert h.shape == shape
    for t in range(20):
        x = x if run == "feedback" else v["x_in"][t]
        same(x, v["x_in"][t])
        step = layer_step(luts, weights, h, x)
        for name in v.keys() - {"x_in", "x_out", "h"}:
            dtype = np.int32 if name.endswith("i32") else np.int8
            same(getattr(step, name), v[name][t], dtype)
        same(step.x, v["x_out"][t])
        same(step.h, v["h"][t + 1])
        h, x = step.h, step.x


@pytest.mark.parametrize("case", "E")
def test_layer_vectors_op_by_op(case):
    arrays = npz("layer_step")
    (facts,) = (c for c in net_cases("layer_cases") if c["case"] == case)
    luts, weights = table(facts["luts"]), weights_of(arrays, case)
    with jax.disable_jit():
        for t in range(3):
            h, x = (arrays[f"{case}_fresh_{name}"][t] for name in ("h", "x_in"))
            step = v1.layer_step(luts.tobytes(), weights, h, x)
            same(step.x, arrays[f"{case}_fresh_x_out"][t])
            same(step.h, arrays[f"{case}_fresh_h"][t + 1])


# --- forward pass --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["one", "three", "four_two_shards", "slack"])
def test_forward_vectors(case):
    arrays = npz("forward")
    (facts,) = (c for c in net_cases("forward_cases") if c["case"] == case)
    luts, weights = table(facts["luts"]), weights_of(arrays, case)
    layers, d_model, d_inner = facts["num_layers"], facts["d_model"], facts["d_inner"]

    shards = shards_of(weights, facts["shard_lengths"])
    in_proj, out_proj = v1.unpack_shards(shards, layers, d_model, d_inner)
    same(in_proj, weights.in_proj)
    same(out_proj, weights.out_proj)

    h0 = arrays[f"{case}_h"][0]
    assert h0.shape == (layers, d_inner, facts["d_state"])
    h, x = rollout(luts, weights, v1.HiddenState(h0), arrays[f"{case}_x_in"])
    same(h, arrays[f"{case}_h"][1:])
    same(x, arrays[f"{case}_x_out"])


def test_forward_vectors_op_by_op():
    arrays = npz("forward")
    with jax.disable_jit():
        state = v1.HiddenState(arrays["one_h"][0])
        args = default_luts(), weights_of(arrays, "one"), state, arrays["one_x_in"][0]
        state, x = v1.forward_pass(*args)
    same(state.h, arrays["one_h"][1])
    same(x, arrays["one_x_out"][0])


def quirk_shards(key, facts, weights):
    lengths = facts["shard_lengths"]
    stream = b"".join(shards_of(weights, [3456]))
    if key == "pad1":  # one spare byte after layer 0
        stream = stream[:1152] + b"\0" + stream[1152:]
    if key == "padzero":  # shard 0 is layer 0 and a layer of zeros
        stream = stream[:1152] + bytes(1152) + stream[1152:]
    return cut(stream, lengths)


@pytest.mark.parametrize("key", QUIRKS)
def test_shard_quirks(key):
    """Whole layers in shards 0 and 1 give the reference's result, everything else an error."""
    arrays = npz("forward")
    facts = net_cases("shard_quirks")[QUIRKS.index(key)]
    weights = weights_of(arrays, "quirk")
    shards = quirk_shards(key, facts, weights)
    assert [len(shard) for shard in shards] == facts["shard_lengths"]
    unpack = functools.partial(v1.unpack_shards, num_layers=3, d_model=16, d_inner=24)
    if facts["run_inference"] != "ok":  # wrap2 too: world_model reads layer 0 again there (R13)
        with pytest.raises(AwmError, match="shard"):
            unpack(shards)
        return
    in_proj, out_proj = unpack(shards)
    rest = weights.norm, weights.a_log, weights.dt_bias
    weights = v1.LayerWeights(
        in_proj, out_proj, *rest, weights.in_proj_scales, weights.out_proj_scales
    )
    state, x = forward_pass(default_luts(), weights, v1.init_state(3, 24, 4), arrays["quirk_x_in"])
    for copy in ("world_model", "run_inference"):
        same(x, arrays[f"quirk_{key}_{copy}_x_out"])
        same(state.h, arrays[f"quirk_{key}_{copy}_h"])


def test_shard_mistakes_are_named():
    unpack = functools.partial(v1.unpack_shards, num_layers=1, d_model=2, d_inner=4)
    same(unpack([np.arange(24, dtype=np.uint8)])[1], np.arange(16, 24).reshape(1, 2, 4))
    assert unpack([b""], num_layers=0)[0].shape == (0, 8, 2)
    for shards, words in (
        ([bytes(23)], "shard 0 has 23 bytes, must hold whole layers of 24 bytes"),
        ([bytes(24), bytes(1)], "shard 1 has 1 bytes"),
        ([], "hold 0 layers"),
        ([np.zeros((1, 24), np.uint8)], "must be a row of bytes"),
        ([np.zeros(24, np.int32)], "shard 0 is int32"),
    ):
        with pytest.raises(AwmError, match=words):
            unpack(shards)
    with pytest.raises(AwmError, match="d_inner 0"):
        unpack([], d_inner=0)


def test_length_errors():
    arrays = npz("forward")
    luts, weights = default_luts(), weights_of(arrays, "three")
    x, h = arrays["three_x_in"][0], arrays["three_h"][0]
    results = {case["case"]: case["result"] for case in net_cases("length_errors")}
    assert len(results) == 6 and sum(r != "ok" for r in results.values()) == 4

    def refuses(words, weights=weights, x=x, h=h):
        with pytest.raises(AwmError, match=words):
            v1.forward_pass(luts, weights, v1.HiddenState(h), x)

    def but(**fields):
        return dataclasses.replace(weights, **fields)

    refuses("h has shape", h=h.reshape(-1)[:-1])
    refuses("in_proj has shape", x=x[:-1])
    refuses("in_proj has shape", x=np.append(x, x[:1]))
    for name in ("norm", "a_log", "dt_bias", "in_proj_scales", "out_proj_scales", "out_proj"):
        refuses(f"{name} has shape", weights=but(**{name: getattr(weights, name)[:2]}))
    refuses("norm has shape", weights=but(norm=np.zeros((3, 0), np.int8)))  # R12
    refuses("in_proj has dtype int16", weights=but(in_proj=weights.in_proj.astype(np.int16)))
    refuses("x has dtype float32", x=x.astype(np.float32))

    assert results["zero layers"] == "ok"
    none = jax.tree.map(lambda w: w[:0], weights)
    state, out = forward_pass(luts, none, v1.HiddenState(h[:0]), x)
    same(out, x)
    assert state.h.shape == (0, *h.shape[1:])


def test_forward_batches_under_vmap():
    arrays = npz("forward")
    weights = weights_of(arrays, "three")
    xs, hs = arrays["three_x_in"], arrays["three_h"]
    step = jax.jit(jax.vmap(v1.forward_pass, in_axes=(None, None, 0, 0)))
    state, x = step(default_luts(), weights, v1.HiddenState(hs[:-1]), xs)
    same(state.h, hs[1:])
    same(x, arrays["three_x_out"])


def test_forward_computes_in_32_bit_integers():
    """No float and nothing wider than 32 bits anywhere in the traced program."""
    arrays = npz("forward")
    args = default_luts(), weights_of(arrays, "three"), v1.HiddenState(arrays["three_h"][0])
    seen = set()

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            seen.update(str(v.aval.dtype) for v in equation.outvars)
            for inner in jaxprs_in_params(equation.params):
                visit(inner)

    with jax.enable_x64(True):
        visit(jax.make_jaxpr(v1.forward_pass)(*args, arrays["three_x_in"][0]).jaxpr)
        state, x = v1.forward_pass(*args, arrays["three_x_in"][0])
    assert {"int8", "int32"} <= seen <= {"int8", "uint8", "uint16", "int32", "uint32", "bool"}
    same(state.h, arrays["three_h"][1])
    same(x, arrays["three_x_out"][0])


def test_one_trace_serves_other_weights():
    """Parameters are arguments: other weights of the same shapes run in the same executable."""
    arrays = npz("forward")
    weights, luts = weights_of(arrays, "three"), default_luts()
    x, h = arrays["three_x_in"][0], arrays["three_h"][0]
    other = dataclasses.replace(weights, out_proj=~weights.out_proj, norm=weights.norm >> 1)
    traces = []

    @jax.jit
    def step(*args):
        traces.append(args)
        return v1.forward_pass(*args)

    outputs = []
    for parameters in (weights, other):
        state, out = step(luts, parameters, v1.HiddenState(h), x)
        stream = x
        for layer in range(len(h)):
            part = jax.tree.map(operator.itemgetter(layer), parameters)
            one = layer_step(luts, part, h[layer], stream)
            same(state.h[layer], one.h)
            stream = one.x
        same(out, stream)
        outputs.append(np.asarray(out))
    assert len(traces) == 1
    assert (outputs[0] != outputs[1]).any()


# --- production size -----------------------------------------------------------------------------


def g(seed, count):
    z = np.arange(count, dtype=np.uint32) + np.uint32(seed * 0x9E3779B1 % 2**32)
    z = (z ^ (z >> 16)) * np.uint32(0x7FEB352D)
    z = (z ^ (z >> 15)) * np.uint32(0x846CA68B)
    return z ^ (z >> 16)


def b(seed, *shape):
    return (g(seed, int(np.prod(shape))) >> 24).astype(np.uint8).view(np.int8).reshape(shape)


def production_layer(layer, d_model, d_inner):
    return v1.LayerWeights(
        in_proj=b(100 + layer, 2 * d_inner, d_model),
        out_proj=b(200 + layer, d_model, d_inner),
        norm=b(300 + layer, d_model) >> 3,
        a_log=((g(400 + layer, d_inner) >> 24) & 63).astype(np.int8),
        dt_bias=b(500 + layer, d_inner) >> 2,
        in_proj_scales=((g(600 + layer, 2 * d_inner) >> 16) % 32 + 16).astype(np.uint16),
        out_proj_scales=((g(700 + layer, d_model) >> 16) % 64 + 16).astype(np.uint16),
    )


def test_production_run():
    facts, arrays = net_cases("production"), npz("forward")
    assert g(100, 4).tolist() == facts["first_u32_of_seed_100"]
    assert b(100, 8).tolist() == facts["first_bytes_of_seed_100"]
    layers, d_model, d_inner = facts["num_layers"], facts["d_model"], facts["d_inner"]
    each = [production_layer(layer, d_model, d_inner) for layer in range(layers)]
    weights = jax.tree.map(lambda *parts: np.stack(parts), *each)
    assert hashlib.sha256(weights.in_proj.tobytes()).hexdigest() == facts["in_proj_sha256"]
    xs = np.stack([b(1000 + t, d_model) for t in range(facts["frames"])])
    state = v1.init_state(layers, d_inner, facts["d_state"])
    h, x = rollout(default_luts(), weights, state, xs)
    same(x, arrays["production_x_out"])
    h = np.asarray(h)
    same(h[-1][:, :4], arrays["production_h_first64_last"])
    hashes = [hashlib.sha256(frame.tobytes()).hexdigest() for frame in h]
    assert hashes == facts["h_sha256_after_each_frame"]
    assert h.sum((2, 3), dtype=np.int64).tolist() == facts["h_sum_per_layer"]


# --- encoder and decoder -------------------------------------------------------------------------


def players_of(array):
    """(2, 17) integers as a PlayerState."""
    return v1.PlayerState(*np.asarray(array).T)


def controllers_of(array):
    return v1.ControllerInput(*np.asarray(array).T)


def as_rows(players):
    return np.stack([np.asarray(getattr(players, name)) for name in v1.PLAYER_FIELDS], axis=1)


def test_field_orders():
    assert list(v1.PLAYER_FIELDS) == net_cases("player_fields")
    assert list(v1.CONTROLLER_FIELDS) == net_cases("controller_fields")
    assert v1.ENCODED_SIZE == 49


def test_encoder_vectors():
    v = npz("codec")
    inputs = list(zip(v["enc_players"], v["enc_controllers"], v["enc_stage"], strict=True))
    for (players, controllers, stage), out in zip(inputs, v["enc_out64"], strict=True):
        same(encode_input(players_of(players), controllers_of(controllers), stage, 64), out)
    with jax.disable_jit():
        for (players, controllers, stage), out in zip(
            inputs[::40], v["enc_out64"][::40], strict=True
        ):
            args = players_of(players), controllers_of(controllers)
            same(v1.encode_input(*args, int(stage), 64), out)


def test_encoder_lengths():
    """The result is d_model long; Rust's separate output buffer has no counterpart here."""
    v = npz("codec")
    notes = [note for note in net_cases("codec_notes") if note["op"] == "encode"]
    assert len(notes) == 11
    widths = {note["d_model"] for note in notes} | {100}
    for d_model in sorted(widths):
        args = players_of(v["enc_players"][7]), controllers_of(v["enc_controllers"][7])
        full = np.pad(v["enc_out64"][7], (0, 36))
        same(encode_input(*args, v["enc_stage"][7], d_model), full[:d_model])


def test_decoder_vectors():
    v = npz("codec")
    for x, out in zip(v["dec_in"][::50], v["dec_out"][::50], strict=True):
        np.testing.assert_array_equal(as_rows(decode_output(x)), out)
    players = jax.jit(jax.vmap(v1.decode_output))(v["dec_in"])
    np.testing.assert_array_equal(np.moveaxis(as_rows(players), 1, 2), v["dec_out"])
    for n, out in enumerate(v["dec_short_out"]):
        players = v1.decode_output(v["dec_short_base"][:n])
        np.testing.assert_array_equal(as_rows(players), out)
    with jax.disable_jit():
        for n, out in list(enumerate(v["dec_short_out"]))[::32]:
            players = v1.decode_output(v["dec_short_base"][:n])
            np.testing.assert_array_equal(as_rows(players), out)
            assert {field.dtype for field in jax.tree.leaves(players)} == {np.dtype(np.int32)}


def test_closed_loop_vectors():
    """Encode, forward pass, decode, 20 times."""
    v, weights = npz("forward"), weights_of(npz("forward"), "four_two_shards")

    @jax.jit
    def loop(luts, weights, state, players, controllers):
        def body(carry, controllers):
            state, players = carry
            x_in = v1.encode_input(players, controllers, 32, 64)
            state, x_out = v1.forward_pass(luts, weights, state, x_in)
            players = v1.decode_output(x_out)
            return (state, players), (x_in, x_out, players)

        (state, _), frames = jax.lax.scan(body, (state, players), controllers)
        return state, *frames

    controllers = v1.ControllerInput(*np.moveaxis(v["loop_controllers"], 2, 0))
    args = v1.init_state(4, 96, 16), players_of(v["loop_players"][0]), controllers
    state, x_in, x_out, players = loop(default_luts(), weights, *args)
    same(x_in, v["loop_x_in"])
    same(x_out, v["loop_x_out"])
    same(state.h, v["loop_h_last"])
    rows = np.stack([np.asarray(getattr(players, name)) for name in v1.PLAYER_FIELDS], axis=2)
    np.testing.assert_array_equal(rows, v["loop_players"][1:])


UNITS = {0: 256, 1: 256, 2: 4} | dict.fromkeys(range(4, 9), 2)


def oracle_encode(players, controllers, stage):
    out = []
    for p, c in zip(players.tolist(), controllers.tolist(), strict=True):
        for i, value in enumerate(p):
            if i in UNITS:
                value = max(-128, min(127, int(abs(value) // UNITS[i]) * (1 if value > 0 else -1)))
            elif i in (12, 13):
                value = 64 if value else -64
            out.append(value)
        out += c[:7]
    return np.array([*out, stage], np.int64).astype(np.uint8).view(np.int8)


BOUNDS = (
    [(-(2**31), 2**31 - 1)] * 2
    + [(0, 65535)] * 2
    + [(-(2**15), 2**15 - 1)] * 5
    + [(0, 65535), (0, 255), (0, 255), (0, 255), (0, 255), (0, 65535), (0, 255), (0, 255)]
)
one_player = st.tuples(*(st.integers(*bounds) for bounds in BOUNDS))
one_pad = st.tuples(*[st.integers(-128, 127)] * 4, *[st.integers(0, 255)] * 4)


@settings(max_examples=100, deadline=None)
@given(st.tuples(one_player, one_player), st.tuples(one_pad, one_pad), st.integers(0, 255))
def test_encoder_property(players, controllers, stage):
    players, controllers = np.array(players, np.int32), np.array(controllers, np.int16)
    out = encode_input(players_of(players), controllers_of(controllers), np.uint8(stage), 49)
    same(out, oracle_encode(players, controllers, stage))


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.int8, 49))
def test_codec_round_trip_property(x):
    """What the decoder reads is encoded to the same channels wherever the decoder loses nothing."""
    x = np.array(x)
    block = np.arange(48) % 24
    lossy = np.isin(block, [2, 10, 11, 14, 15, 16])  # negative values become 0
    x[:48][lossy] = np.maximum(x[:48][lossy], 0)
    players = decode_output(x)
    pads = controllers_of(np.stack([np.append(x[s : s + 7], 0) for s in (17, 41)]).astype(np.int16))
    out = np.array(encode_input(players, pads, np.uint8(x[48].view(np.uint8)), 49))
    flags = np.append(np.isin(block, [12, 13]), False)
    np.testing.assert_array_equal(out[~flags], x[~flags])
    np.testing.assert_array_equal(out[flags], np.where(x[flags] > 0, 64, -64))


def test_codec_mistakes_are_named():
    players, pads = (
        players_of(np.zeros((2, 17), np.int32)),
        controllers_of(np.zeros((2, 8), np.int16)),
    )
    one = jnp.zeros((), jnp.int32)
    for call, words in (
        (lambda: v1.encode_input(players, pads, 256, 64), "stage is 256"),
        (lambda: v1.encode_input(players, pads, np.zeros(2, np.uint8), 64), "stage has shape"),
        (lambda: v1.encode_input(players, pads, 1, -1), "d_model is -1"),
        (lambda: v1.encode_input(players, pads, 1, 64.0), "d_model is 64.0"),
        (
            lambda: v1.encode_input(dataclasses.replace(players, y=one), pads, 1, 64),
            "y has shape",
        ),
        (
            lambda: v1.encode_input(dataclasses.replace(players, y=np.zeros(2)), pads, 1, 64),
            "y is float64",
        ),
        (lambda: v1.decode_output(np.zeros(64, np.uint8)), "x has dtype uint8"),
    ):
        with pytest.raises(AwmError, match=words):
            call()
