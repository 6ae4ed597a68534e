"""The generator against its published answers, against JAX's own, and for what it promises."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awm_jax.game import rng
from awm_jax.game.noise import MATCH, seed_noise

block = jax.jit(rng.threefry2x32)
draw = jax.jit(rng.draw_bits, static_argnames=("count",))
word = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_known_answers(counter, key, answer) -> None:
    """The vectors of Random123 for threefry2x32 with 20 rounds (its kat_vectors file)."""
    got = block(jnp.array(key, jnp.uint32), jnp.array(counter, jnp.uint32))
    assert tuple(np.asarray(got).tolist()) == answer


@given(key=st.tuples(word, word), counter=st.tuples(word, word))
def test_equal_to_jax_own(key, counter) -> None:
    from jax.extend.random import threefry_2x32

    words = np.array(key, np.uint32), np.array(counter, np.uint32)
    assert np.array_equal(block(*map(jnp.asarray, words)), threefry_2x32(*words))


@given(seed=st.integers(0, 2**64 - 1))
def test_seed_words(seed: int) -> None:
    low, high = rng.seed_words(seed).tolist()
    assert low + (high << 32) == seed


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range(seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        rng.seed_words(seed)


def test_draws_differ_by_seed_frame_player_and_place() -> None:
    seen = {}
    for seed in (0, 1, 1 << 32):
        words = jnp.asarray(rng.seed_words(seed))
        for frame in (0, 1, 10, 2**31 - 1):
            for player in (0, 1, MATCH):
                for place, bits in enumerate(np.asarray(draw(words, frame, player, count=13))):
                    seen[seed, frame, player, place] = int(bits)
    assert len(set(seen.values())) == len(seen)


def test_a_longer_draw_begins_with_the_shorter() -> None:
    words = jnp.asarray(rng.seed_words(9))
    assert np.array_equal(draw(words, 3, 1, count=13)[:5], draw(words, 3, 1, count=5))


def test_uniform_is_in_the_unit_interval_and_uniform() -> None:
    edges = jnp.array([0, 255, 256, 0xFFFFFFFF], jnp.uint32)
    assert rng.uniform(edges).tolist() == [0, 0, 2.0**-24, 1 - 2.0**-24]
    words = jnp.asarray(rng.seed_words(5))
    values = np.asarray(rng.uniform(draw(words, 0, 0, count=40000)))
    counts = np.histogram(values, 20, (0, 1))[0]
    assert (abs(counts - 2000) < 5 * 2000**0.5).all()


def test_seed_noise_is_normal_scaled_and_a_function_of_the_seed() -> None:
    noise = seed_noise(3, 2.0, 4000)
    assert noise.shape == (4000, 4) and noise.dtype == np.float64
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.15)
    np.testing.assert_allclose(noise.std(0), 2, atol=0.1)
    assert abs(np.corrcoef(noise.T) - np.eye(4)).max() < 0.06
    assert np.array_equal(seed_noise(3, 2.0), noise[:1])
    assert np.array_equal(seed_noise(3, 4.0), 2 * noise[:1])
    assert not np.array_equal(seed_noise(4, 2.0), noise[:1])
