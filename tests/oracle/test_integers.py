"""The whole step is made of integers, and its products of fast int8 kernels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from support.int_worlds import (
    FULL,
    SMALL,
    arch_of,
    mind_of,
    on_device,
    policy_of,
    random_frames,
    world_of,
)
from support.oracle_run import advance

from awm_jax.encoding import EncodingConfig
from awm_jax.game import digest, rng
from awm_jax.int8 import fixed, ops
from awm_jax.int8.policy import PolicyArch
from awm_jax.variant import Variant
from crank.match import match_reset

EVERY = Variant(control_first=True, geometry=True, head_hidden=24)


def inner(jaxpr):
    """The jaxpr and every jaxpr inside it."""
    yield jaxpr
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else [value]:
                part = getattr(part, "jaxpr", part)
                if hasattr(part, "eqns"):
                    yield from inner(part)


def kinds(jaxpr) -> dict[str, set[str]]:
    """dtype -> primitives that touch it."""
    found: dict[str, set[str]] = {}
    for part in inner(jaxpr):
        variables = [("argument", v) for v in (*part.invars, *part.constvars, *part.outvars)]
        for equation in part.eqns:
            name = equation.primitive.name
            variables += [(name, v) for v in (*equation.invars, *equation.outvars)]
        for name, variable in variables:
            dtype = str(getattr(variable.aval, "dtype", "none"))
            found.setdefault(dtype, set()).add(name)
    return found


def summed(jaxpr) -> list[int]:
    """Lengths that the products sum over."""
    lengths = []
    for part in inner(jaxpr):
        for equation in part.eqns:
            if equation.primitive.name == "dot_general":
                (axes, _), _ = equation.params["dimension_numbers"]
                lengths += [equation.invars[0].aval.shape[axis] for axis in axes]
    return lengths


def test_products_sum_over_fours():
    """Over other lengths XLA was seen to double int8 products on a GPU."""
    w, x = jnp.ones((5, 7), jnp.int8), jnp.ones(7, jnp.int8)
    for function in (fixed.product, ops.matmul_i8):
        lengths = summed(jax.make_jaxpr(function)(w, x).jaxpr)
        assert lengths and all(length == 8 for length in lengths)
        assert function(w, x).tolist() == [7] * 5


@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("cfg", [SMALL, FULL.replace(ctrl_threshold_features=True)])
def test_no_float_in_a_match_step(recurrent, cfg):
    arch = arch_of(cfg, recurrent=recurrent, n_layers=2, planes=2, variant=EVERY)
    watcher = PolicyArch(cfg, context_len=2, hidden_dim=12, trunk_dim=10)
    world = world_of(1, arch)
    agents = (policy_of(1, watcher, arch, bias=1.0), mind_of(2, 8, arch))
    words = jnp.asarray(rng.seed_words(1))

    def reset_and_step(world, agents, frames, words):
        state = match_reset(world, agents, frames, 3, words)
        return advance(world, agents, state, digest.start())

    jaxpr = jax.make_jaxpr(reset_and_step)(
        world, agents, on_device(random_frames(1, cfg, 3)), words
    )
    found = kinds(jaxpr.jaxpr)
    assert set(found) == {"bool", "int8", "int16", "int32", "uint32"} | (
        set() if recurrent else {"int16"}
    )
    assert found["int32"] > {"dot_general", "argument", "shift_right_arithmetic"}
    assert all(length % 4 == 0 for length in summed(jaxpr.jaxpr))
    divisions = {"div", "rem"}
    assert not divisions & set().union(*found.values())


def test_the_walk_finds_floats():
    def hidden(x):
        return jax.lax.scan(lambda c, _: (jnp.int32(jnp.sqrt(jnp.float32(c))), None), x, length=2)

    assert "sqrt" in kinds(jax.make_jaxpr(hidden)(jnp.int32(9)).jaxpr)["float32"]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="YNN belongs to XLA:CPU")
def test_batched_products_are_ynn_fusions():
    """At production width with weights that are not batched; nothing in the text is a float."""
    cfg = EncodingConfig(state_age_as_embed=True, projectiles=True, state_flags=True, hitstun=True)
    arch = arch_of(cfg, d_model=384, d_state=64, headdim=64, n_layers=1, context_len=1)
    world = world_of(1, arch)
    frames = on_device(random_frames(1, cfg, 1))
    state = jax.tree.map(lambda v: jnp.stack([v] * 64), world.reset(frames))
    step = jax.jit(lambda world, state, pads: jax.vmap(world.step)(state, pads))
    pads = jnp.zeros((64, 2, 8), jnp.int32)
    text = step.lower(world, state, pads).compile().as_text()
    assert text.count("__ynn_fusion") > 0
    assert " f32[" not in text and " f64[" not in text and " s64[" not in text
