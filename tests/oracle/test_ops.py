"""Every operation of docs/integer-spec.md section 2 and the tables of section 3 against the oracle.

Over their whole 16-bit ranges, or over random 32-bit values with all the ends.
"""

from __future__ import annotations

import ast
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle, oracle_ops

from awm_jax.int8 import fixed, tables
from awm_jax.int8.params import Norm

ALL16 = np.arange(-32768, 32768)
TABLES = oracle_ops.make_tables()


def i32(values):
    return jnp.asarray(np.asarray(values).astype(np.int32))


def words(seed: int, most: int = 2**31 - 2, n: int = 20000) -> np.ndarray:
    """Values within +-most, of all magnitudes, with every power of two and its neighbours."""
    rng = np.random.Generator(np.random.PCG64(seed))
    some = rng.integers(-(2**31), 2**31, n) >> rng.integers(0, 31, n)
    powers = np.concatenate([2 ** np.arange(32) + k for k in (-1, 0, 1)])
    values = np.concatenate([some, powers, -powers, [most, -most, 0]])
    return values[abs(values) <= most]


def equal(ours, theirs):
    np.testing.assert_array_equal(np.asarray(ours), theirs)


@pytest.mark.parametrize("name", list(TABLES))
def test_tables(name):
    equal(getattr(tables, name)(), TABLES[name])


@pytest.mark.parametrize("s", range(32))
def test_rsh(s):
    x = words(s)
    equal(fixed.rsh(i32(x), s), oracle_ops.rsh(x, s))
    equal(jax.jit(fixed.rsh)(i32(x), jnp.int32(s)), oracle_ops.rsh(x, s))
    assert (oracle_ops.rsh(x, s) == np.floor(x / 2.0**s + 0.5)).all()


def test_rsh_of_one_bit_needs_room_for_its_half():
    """Why section 10 stops at 2^31 - 2."""
    assert int(fixed.rsh(i32(2**31 - 2), 1)) == 2**30 - 1
    assert int(fixed.rsh(i32(2**31 - 1), 1)) != 2**30


def test_clamps():
    x = words(1)
    equal(fixed.clamp16(i32(x)), oracle_ops.clamp16(x))
    for most in (0, 1, 80, 127, 2047, oracle_ops.WIDE, 1 << 26):
        equal(fixed.clamp(i32(x), most), oracle_ops.clamp(x, most))


def test_planes_of_every_wide_code():
    x = np.arange(-oracle_ops.WIDE, oracle_ops.WIDE + 1)
    assert fixed.WIDE_MAX == oracle_ops.WIDE
    high, low = fixed.split_wide(i32(x))
    assert high.dtype == low.dtype == jnp.int8
    for ours, theirs in zip((high, low), oracle_ops.planes(x), strict=True):
        equal(ours, theirs)
    assert (128 * np.asarray(high, np.int64) + np.asarray(low) == x).all()


@pytest.mark.parametrize("cols", [1, 3, 32, 127, 384, 1000])
def test_products(cols):
    rng = np.random.Generator(np.random.PCG64(cols))
    w = rng.integers(-127, 128, (37, cols)).astype(np.int8)
    narrow = rng.integers(-127, 128, cols).astype(np.int8)
    wide = rng.integers(-oracle_ops.WIDE, oracle_ops.WIDE + 1, cols)
    w[0], narrow[:1], w[1] = 127, -127, -127
    ends = np.where(w[2] > 0, oracle_ops.WIDE, -oracle_ops.WIDE)
    equal(jax.jit(fixed.product)(w, narrow), oracle_ops.product(w, narrow))
    for x in (wide, ends):
        equal(jax.jit(fixed.product_wide)(w, i32(x)), oracle_ops.product_wide(w, x))
        equal(oracle_ops.product_wide(w, x), oracle_ops.product(w, x))


def test_requant():
    acc = words(2)
    rng = np.random.Generator(np.random.PCG64(3))
    a, m = rng.integers(0, 31, len(acc)), rng.integers(-32767, 32768, len(acc))
    out = types.SimpleNamespace(a=a, m=m)
    equal(jax.jit(fixed.requant)(i32(acc), i32(a), i32(m)), oracle_ops.requant(acc, out))


@pytest.mark.parametrize("s", range(17, 47))
def test_mulshift(s):
    x = np.concatenate([words(s), [-(2**31), 2**31 - 1]])
    m = np.random.Generator(np.random.PCG64(s)).integers(0, 32768, len(x))
    m[-2:] = 32767
    ours = jax.jit(fixed.mulshift)(i32(x), i32(m), jnp.int32(s))
    equal(ours, oracle_ops.mulshift(x, m, s))


@pytest.mark.parametrize("name", ["sigmoid", "softplus"])
def test_lookup_of_every_argument(name):
    table = TABLES[name]
    equal(jax.jit(fixed.lookup)(i32(table), i32(ALL16)), oracle_ops.lookup(table, ALL16))


def test_silu_of_every_argument():
    table = TABLES["sigmoid"]
    equal(jax.jit(fixed.silu)(i32(table), i32(ALL16)), oracle_ops.silu(table, ALL16))


def test_bits():
    x = words(4)
    x = x[x >= 0]
    equal(fixed.bit_length(i32(x)), oracle_ops.bits(x))


def test_exp2neg_of_every_exponent():
    t = np.concatenate([np.arange(17 * 32768), words(5)])
    t = t[t >= 0]
    table = TABLES["exp2"]
    equal(jax.jit(fixed.exp2_neg)(i32(table), i32(t)), oracle_ops.exp2neg(table, t))


@pytest.mark.parametrize("n", [1, 8, 384, 8187])
def test_norm(n):
    rng = np.random.Generator(np.random.PCG64(n))
    table = TABLES["rsqrt"]
    norm = jax.jit(fixed.norm, static_argnums=5)
    scales = [0, 0, 1, 2, *(2.0 ** rng.uniform(0, 15, 30)), 32768, 32768]
    for i, scale in enumerate(scales):
        x = np.clip(np.rint(rng.uniform(-scale, scale, n)), -32768, 32767).astype(np.int64)
        if i == len(scales) - 1:
            x[:] = -32768
        high = int(rng.integers(0, 1 << 10)) if i % 3 == 0 else 0
        p = Norm(
            np.array([high, rng.integers(1, 4096)]),
            rng.integers(-32767, 32768, n),
            np.int64(rng.integers(1, 31)),
        )
        most = 127 if i % 2 else oracle_ops.WIDE
        ours = norm(i32(x), i32(p.eps), i32(p.w), i32(p.shift), i32(table), most)
        equal(ours, oracle_ops.norm(table, x, p, most))


def test_the_oracle_imports_nothing_of_the_package():
    for module in (oracle, oracle_ops):
        tree = ast.parse(pathlib.Path(module.__file__).read_text(encoding="utf-8"))
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                names.add(node.module)
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        standard = {"__future__", "dataclasses", "itertools", "struct"}
        assert names <= standard | {"numpy", "support.oracle_ops"}
