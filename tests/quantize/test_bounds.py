"""What passes `bounds.check` never leaves 32 bits; what could is refused by name.

The step is evaluated by the int64 oracle, which asserts of every intermediate that it has 32 bits.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import oracle
from support.int_worlds import FULL, SMALL, arch_of, random_frames, random_pads, random_world
from support.int_worlds import random_policy as make_policy
from support.oracle_run import as_oracle

from awm_jax.errors import AwmError
from awm_jax.int8.bounds import ACC_MAX, check, check_policy
from awm_jax.int8.policy import PolicyArch
from awm_jax.variant import Variant

EVERY = Variant(control_first=True, geometry=True, head_hidden=8)
ARCHS = [
    arch_of(d_model=8, context_len=1),
    arch_of(FULL, d_model=8, context_len=1, planes=2, variant=EVERY),
    arch_of(d_model=8, context_len=2, recurrent=False, n_layers=2),
]


def play(params, arch, seed: int, frames: int = 3) -> None:
    """A few frames of the oracle, which fails where 32 bits do not hold a value."""
    world = oracle.World(params, arch)
    world.reset(as_oracle(random_frames(seed, arch.cfg, arch.context_len, extreme=True)))
    for pads in random_pads(seed, frames):
        world.step(oracle.i64(pads))


def changed(params, path: str, value):
    """The pytree with one leaf replaced by `value(leaf)`."""
    flat, tree = jax.tree_util.tree_flatten_with_path(params)
    names = [jax.tree_util.keystr(p, simple=True, separator=".") for p, _ in flat]
    leaves = [leaf for _, leaf in flat]
    i = names.index(path)
    leaves[i] = np.asarray(value(np.array(leaves[i])))
    return jax.tree.unflatten(tree, leaves)


def put(value):
    """A change of a leaf's first element."""

    def change(leaf):
        leaf.reshape(-1)[0] = value
        return leaf

    return change


@settings(max_examples=30)
@given(st.integers(0, 1 << 32), st.sampled_from(ARCHS), st.booleans())
def test_what_passes_never_overflows(seed, arch, saturating):
    params = random_world(seed, arch, saturating)
    found = check(params, arch)
    assert found and max(found.values()) <= ACC_MAX and min(found.values()) > 0
    play(params, arch, seed % 1000)


@settings(max_examples=60)
@given(st.data())
def test_mutated_parameters_are_refused_or_harmless(data):
    """Any leaf, any values near or beyond the ends: refused by name, or no value overflows."""
    arch = data.draw(st.sampled_from(ARCHS))
    params = random_world(data.draw(st.integers(0, 9)), arch, saturating=True)
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    path, leaf = data.draw(st.sampled_from(flat))
    if leaf.size == 0:
        return
    info = np.iinfo(leaf.dtype)
    ends = [info.min, info.max, 0, -1, 1, 30, 31, 32, 46, 47, 127, 32767, 32768, 65536, 1 << 29]
    numbers = st.sampled_from([e for e in ends if info.min <= e <= info.max])
    value = data.draw(numbers | st.integers(info.min, info.max))
    whole = data.draw(st.booleans())
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    params = changed(params, name, lambda v: np.full_like(v, value) if whole else put(value)(v))
    try:
        check(params, arch)
    except AwmError as error:
        assert "\n" not in str(error)
    else:
        play(params, arch, 7)


REFUSED = [
    ("frame_proj.bias", 2**31 - 1, "frame_proj's sum"),
    ("frame_proj.k", 25, "frame_proj.k"),
    ("frame_proj.out.a", 31, "frame_proj.a"),
    ("frame_proj.out.m", 32768, "frame_proj.m"),
    ("ctrl_proj.w_wide", -128, "ctrl_proj.w"),
    ("final_norm.shift", 0, "final_norm.shift"),
    ("final_norm.w", -32768, "final_norm.w"),
    ("layers.0.norm.eps", 2**31 - 1, "norm"),
    ("layers.0.in_proj.w", -128, "in_proj.w"),
    ("layers.0.conv_bias", -(2**31), "conv's sum"),
    ("layers.0.gate_s", 32, "gate_s"),
    ("layers.0.scan.decay_s", 16, "scan.decay_s"),
    ("layers.0.scan.decay_m", -1, "scan.decay_m"),
    ("layers.0.scan.drive_m", 32768, "scan.drive_m"),
    ("layers.0.scan.b_m", 32768, "scan.b_m"),
    ("layers.0.scan.c_s", 32, "scan.c_s"),
    ("layers.0.scan.skip_s", -1, "scan.skip_s"),
    ("heads.numeric_l", 31, "numeric_l"),
    ("heads.numeric_s", 47, "numeric_s"),
    ("heads.binary_bias", 2**31 - 1, "heads.binary's sum"),
    ("heads.logits.bias", 2**31 - 1, "heads.logits's sum"),
    ("inputs.one", 128, "inputs.one"),
    ("inputs.stick_m", 32767, "inputs.stick"),
    ("inputs.embeddings.action", -128, "inputs.embeddings.action"),
    ("tables.sigmoid", -1, "tables.sigmoid"),
    ("tables.rsqrt", 32768, "tables.rsqrt"),
    ("tables.softplus", 1 << 29, "tables.softplus"),
]


@pytest.mark.parametrize(("path", "value", "named"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refusals_name_the_quantity(path, value, named):
    arch = ARCHS[0]
    params = random_world(1, arch)
    check(params, arch)
    if path == "inputs.stick_m":
        params = changed(params, "inputs.stick_s", lambda v: v * 0)
    with pytest.raises(AwmError, match=named.replace(".", r"\.")):
        check(changed(params, path, put(value)), arch)


def test_a_sum_is_refused_exactly_where_it_could_overflow():
    """The bound is reached by real inputs: it is no larger than needed."""
    arch = ARCHS[0]
    params = random_world(1, arch)
    layer = params.layers[0]
    row = np.abs(layer.in_proj.w[0].astype(np.int64)).sum() * 127
    for room, sound in ((0, True), (1, False)):
        bias = layer.in_proj.bias.copy()
        bias[0] = ACC_MAX - row + room
        dense = dataclasses.replace(layer.in_proj, bias=bias)
        other = dataclasses.replace(params, layers=(dataclasses.replace(layer, in_proj=dense),))
        if sound:
            assert check(other, arch)["layers.0.in_proj"] == ACC_MAX
        else:
            with pytest.raises(AwmError, match=r"layers\.0\.in_proj's sum could reach 2147483647"):
                check(other, arch)


@settings(max_examples=20)
@given(st.integers(0, 1 << 32), st.booleans())
def test_policies(seed, saturating):
    arch = PolicyArch(SMALL, 2, 8, 4)
    params = make_policy(seed, arch, saturating)
    assert set(check_policy(params, arch)) == {"hidden", "trunk", "heads"}
    policy = oracle.Policy(params, arch.cfg, SMALL, 2)
    view = as_oracle(random_frames(seed % 1000, SMALL, 2, extreme=True))
    policy(view, 2, 0, seed)
    for path, value in (("trunk.bias", 2**31 - 1), ("heads.out.a", 31), ("sigmoid", -1)):
        with pytest.raises(AwmError, match=path.split(".")[0]):
            check_policy(changed(params, path, put(value)), arch)
