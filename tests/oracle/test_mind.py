"""The integer mind against its oracle, alone, in batches and under both engines."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle_mind
from support.int_worlds import FULL, SMALL, arch_of, mind_of, on_device, random_frames, world_of
from support.oracle_run import QUICK, alive, as_oracle, assert_same_match, play, quick_play

from awm_jax.contracts import View
from awm_jax.encoding import EncodingConfig
from awm_jax.game import rng
from awm_jax.game.frames import seed_frames
from awm_jax.int8 import senses, tables
from awm_jax.int8.engine import make_world, native_available
from awm_jax.int8.frame import from_floats
from awm_jax.int8.mind_bounds import check_mind
from awm_jax.mwm.features import scale_gwm
from awm_jax.mwm.melee import observe

ARCH = arch_of(FULL, context_len=2)
T = 60


def test_tables():
    for name, values in oracle_mind.tables().items():
        np.testing.assert_array_equal(getattr(tables, name)(), values)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("cfg", [SMALL, FULL.replace(action_vocab=400)], ids=["small", "full"])
def test_senses(cfg, extreme):
    """Every feature of random frames; of some the players stand near each other."""
    frames = random_frames(3, cfg, 400, extreme)
    frames.stage[:] = np.arange(400) % cfg.stage_vocab
    where = [1, 2]
    frames.cont[::3, 1][:, where] = frames.cont[::3, 0][:, where] + 70_000
    frames.cont[::7, 1][:, where] = frames.cont[::7, 0][:, where]
    known = senses.make_senses(cfg.stage_vocab)
    see = jax.jit(jax.vmap(lambda p, f: senses.observe(p, cfg, f), (None, 0)))
    world, own = see(on_device(known), on_device(frames))
    for t, frame in enumerate(as_oracle(frames)):
        expected = oracle_mind.senses(cfg, known, frame)
        np.testing.assert_array_equal(world[t], expected[0], f"frame {t}: world")
        np.testing.assert_array_equal(own[t], expected[1], f"frame {t}: self")
    assert int(jnp.max(jnp.abs(world))) <= senses.ONE and int(jnp.max(jnp.abs(own))) <= senses.ONE
    if extreme and cfg.action_vocab == 400:
        assert (np.ptp(world, axis=0)[:-1] > 0).all() and (np.ptp(own, axis=0) > 0).all()


def test_senses_are_those_of_the_float_mind():
    """On starts of all stages with the players anywhere, to a thousandth."""
    cfg = EncodingConfig()
    rng_ = np.random.default_rng(5)
    starts = [seed_frames(cfg, 1, stage, (2, 2), action=14) for stage in range(cfg.stage_vocab)]
    floats, ints = (
        np.concatenate([getattr(s, name) for s in starts]) for name in ("floats", "ints")
    )
    for player in (0, 1):
        at = player * cfg.float_per_player
        floats[:, at : at + 4] += rng_.uniform(0, 0.9, (len(floats), 4)).astype(np.float32)
        ints[:, player * cfg.int_per_player] = rng_.integers(14, 300, len(ints))
    frames = from_floats(cfg, floats, ints)
    see = jax.jit(jax.vmap(lambda p, f: senses.observe(p, cfg, f), (None, 0)))
    world, own = see(on_device(senses.make_senses(cfg.stage_vocab)), on_device(frames))
    expected = jax.jit(jax.vmap(lambda f, i: observe(cfg, f, i)))(floats, ints)
    np.testing.assert_allclose(world / senses.ONE, scale_gwm(expected[0]), atol=1e-3)
    np.testing.assert_allclose(own / senses.ONE, expected[1], atol=1e-3)


@pytest.mark.parametrize("saturating", [False, True])
def test_match_of_two_minds(saturating):
    world = world_of(31, ARCH, saturating)
    agents = tuple(mind_of(seed, 8, ARCH, saturating) for seed in (1, 2))
    for agent in agents:
        check_mind(agent.params)
    seed = random_frames(9, FULL, 2, extreme=saturating)
    made = assert_same_match(world, agents, seed, 3, T, quick_play)
    assert saturating or alive(made)["pads"] > 3


def digests(world, agents, frames, words):
    return np.asarray(quick_play(world, agents, frames, words, T)[2])


def test_alone_in_a_batch_and_under_both_engines():
    agents = (mind_of(4, 8, ARCH), mind_of(5, 8, ARCH))
    world, frames = world_of(32, ARCH), on_device(random_frames(11, FULL, 2))
    seeds = jnp.stack([jnp.asarray(rng.seed_words(s)) for s in range(3)])
    alone = digests(world, agents, frames, seeds[1])
    many = jax.jit(
        jax.vmap(lambda w, a, f, s: play(w, a, f, s, T)[2], (None, None, None, 0)),
        compiler_options=QUICK,
    )(world, agents, frames, seeds)
    np.testing.assert_array_equal(many[1], alone)
    if not native_available()[0]:
        pytest.skip("no native kernel here")
    native = make_world(world.params, ARCH, "native")
    np.testing.assert_array_equal(digests(native, agents, frames, seeds[1]), alone)


def test_it_decides_every_sixth_frame():
    agent, frames = mind_of(6, 8, ARCH), on_device(random_frames(12, FULL, 2))
    act = jax.jit(lambda agent, state, view: agent.act(state, view))
    state, latents, pads = agent.reset(jnp.zeros(2, jnp.uint32), 0), [], []
    for number in range(7):
        state, pad = act(agent, state, View(frames, jnp.int32(number)))
        latents.append(np.asarray(state.latent))
        pads.append(np.asarray(pad))
    assert (latents[0] == latents[5]).all() and (latents[5] != latents[6]).any()
    assert (pads[3][6:] == 0).all() and (pads[3][:5] == pads[0][:5]).all()
