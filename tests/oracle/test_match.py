"""Whole matches with agents, the policy, randomness and the digest against the oracle."""

from __future__ import annotations

import dataclasses
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle, oracle_ops
from support.int_worlds import (
    FULL,
    SMALL,
    arch_of,
    on_device,
    policy_of,
    random_frames,
    random_pads,
    world_of,
)
from support.oracle_run import (
    alive,
    as_oracle,
    as_oracle_agent,
    assert_same_match,
    compiled_play,
    jax_play,
    quick_play,
    recorded,
)

from awm_jax.contracts import View
from awm_jax.game import digest, rng
from awm_jax.int8.agents import HoldForward, Noop, Random
from awm_jax.int8.policy import PolicyArch

T = 60  # frames of the matches of two policies: one count, one executable
SEEDS = (0, 1, 0xFFFFFFFF, 0x123456789ABCDEF0, 2**64 - 1)
PART = FULL.replace(state_flags=False, projectiles=False, hitstun=False)
ARCH = arch_of(FULL, context_len=3)
WATCHER = PolicyArch(PART, context_len=2, hidden_dim=12, trunk_dim=10)


def test_threefry_known_answers():
    """kat_vectors of Random123 for threefry2x32 with 20 rounds."""
    answers = [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ]
    for key, counter, answer in answers:
        assert oracle_ops.threefry(key, counter) == answer
        ours = rng.threefry2x32(jnp.array(key, jnp.uint32), jnp.array(counter, jnp.uint32))
        assert tuple(int(v) for v in ours) == answer


@pytest.mark.parametrize("seed", SEEDS)
def test_draws(seed):
    numbers = [0, 1, 9, 10, 65535, 65536, 2**31 - 1]
    words = jnp.asarray(rng.seed_words(seed))
    for player in (0, 1):
        ours = jax.vmap(lambda n, p=player: rng.draw_bits(words, n, p, 13))(jnp.array(numbers))
        theirs = [oracle_ops.draws(seed, n, player, 13) for n in numbers]
        np.testing.assert_array_equal(ours, np.array(theirs, np.uint32))


def test_xxh32_published_vectors():
    prime = 2654435761
    assert oracle_ops.xxh32(b"") == 0x02CC5D05
    assert oracle_ops.xxh32(b"", prime) == 0x36B78AE7
    assert oracle_ops.xxh32(b"abc") == 0x32D153FF
    assert oracle_ops.xxh32(b"Nobody inspects the spammish repetition") == 0xE2293B2F


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 7, 8, 31, 32, 61])
def test_xxh32_of_words(n):
    values = np.random.Generator(np.random.PCG64(n)).integers(0, 2**32, n, np.uint32)
    seeds = np.array([0, 1, 2, 3, 0xFFFFFFFF, 2654435761], np.uint32)
    data = struct.pack(f"<{n}I", *values.tolist())
    theirs = [oracle_ops.xxh32(data, int(s)) for s in seeds]
    np.testing.assert_array_equal(digest.xxh32(jnp.asarray(values), jnp.asarray(seeds)), theirs)


def test_xxh32_equals_the_published_library():
    xxhash = pytest.importorskip("xxhash")
    stream = np.random.Generator(np.random.PCG64(1))
    for n in range(200):
        data, seed = stream.bytes(n), int(stream.integers(0, 2**32))
        assert oracle_ops.xxh32(data, seed) == xxhash.xxh32_intdigest(data, seed)


@pytest.mark.parametrize("agent", [Noop(), HoldForward(), Random()], ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("player", [0, 1])
def test_scripted_agents(agent, player):
    numbers = np.concatenate([np.arange(300), [65535, 65536, 2**31 - 1]]).astype(np.int32)
    theirs = as_oracle_agent(agent, world_of(0, ARCH))
    for seed in SEEDS:
        state = agent.reset(jnp.asarray(rng.seed_words(seed)), player)
        ours = jax.vmap(lambda n, s=state: agent.act(s, View(None, n))[1])(jnp.asarray(numbers))
        expected = [theirs(None, int(n), player, seed) for n in numbers]
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize(
    ("cfg", "arch"),
    [
        (FULL, WATCHER),
        (FULL, PolicyArch(FULL, context_len=3, hidden_dim=20, trunk_dim=8)),
        (SMALL, PolicyArch(SMALL, context_len=1, hidden_dim=9, trunk_dim=17)),
    ],
    ids=["some columns", "all columns", "one frame"],
)
def test_policy(cfg, arch, saturating):
    world = arch_of(cfg, context_len=3)
    views, words = 100, jnp.asarray(rng.seed_words(77))
    frames = random_frames(5, cfg, 3 * views, extreme=saturating)
    grouped = jax.tree.map(lambda v: v.reshape(views, 3, *v.shape[1:]), on_device(frames))
    frames = as_oracle(frames)
    act = jax.jit(jax.vmap(lambda a, s, c, n: a.act(s, View(c, n))[1], (None, None, 0, 0)))
    for seed in range(3):
        bias = (0.0, 4.0, -31.0)[seed]
        agent = policy_of(seed, arch, world, saturating, bias)
        twin = as_oracle_agent(agent, world)
        for player in (0, 1):
            numbers = jnp.arange(views, dtype=jnp.int32)
            halves = [grouped.cont, grouped.binary, grouped.ints, grouped.stage, grouped.pads]
            if player:
                halves = [v if v.ndim == 2 else v[:, :, ::-1] for v in halves]
            context = type(grouped)(*halves)
            pads = np.asarray(act(agent, agent.reset(words, player), context, numbers))
            for n in range(views):
                expected = twin(frames[3 * n : 3 * n + 3], n, player, 77)
                np.testing.assert_array_equal(pads[n], expected)
            assert saturating or bias or len(np.unique(pads, axis=0)) > views // 2


@pytest.fixture(scope="module")
def two_policies():
    """One compiled executable for every match of two policies in this file."""
    return world_of(21, ARCH), (policy_of(1, WATCHER, ARCH), policy_of(2, WATCHER, ARCH, bias=0.5))


def test_match_of_two_policies(two_policies):
    world, agents = two_policies
    made = assert_same_match(world, agents, random_frames(3, FULL, 3), SEEDS[3], T, compiled_play)
    changes = alive(made)
    assert min(changes["cont"], changes["pads"]) > 50 and changes["ints"] > 5
    positions = made.cont[:, :, 1:3] >> 16
    assert (np.ptp(positions, axis=0) > 0).all(), "somebody does not move"
    assert (np.diff(made.ints[:, :, 0], axis=0) != 0).sum() > 5, "nobody changes the action"


def test_match_of_saturating_policies():
    world = world_of(22, ARCH, saturating=True)
    agents = tuple(policy_of(s, WATCHER, ARCH, saturating=True) for s in (3, 4))
    assert_same_match(world, agents, random_frames(4, FULL, 3, extreme=True), 5, T, compiled_play)


def test_match_of_scripted_agents():
    arch = arch_of(SMALL, context_len=2, recurrent=False)
    world = world_of(23, arch)
    made = assert_same_match(
        world, (Random(), HoldForward()), random_frames(6, SMALL, 2), SEEDS[4], 150, quick_play
    )
    assert alive(made)["ints"] > 5


def digest_of(world, agents, seed_frames, seed=0, frames=T) -> str:
    return digest.hexdigest(jax_play(world, agents, seed_frames, seed, frames)[2][-1])


def test_other_seeds_give_other_digests(two_policies):
    frames = random_frames(3, FULL, 3)
    found = {digest_of(*two_policies, frames, seed) for seed in (*SEEDS, 2, 3, 1 << 32)}
    assert len(found) == len(SEEDS) + 3
    assert digest_of(*two_policies, frames, 2) in found


FLIPS = {
    "frame_proj": (lambda p: p.frame_proj.w_wide, 0),
    "embedding": (lambda p: p.inputs.embeddings["action"], 0),
    "in_proj": (lambda p: p.layers[0].in_proj.w, 0),
    "in_proj bias": (lambda p: p.layers[0].in_proj.bias, 12),
    "conv_w": (lambda p: p.layers[0].conv_w, 0),
    "out_proj": (lambda p: p.layers[0].out_proj.w, 0),
    "ctrl_proj": (lambda p: p.ctrl_proj.w_narrow, 3),
    "numeric_w": (lambda p: p.heads.numeric_w, 0),
    "binary_w": (lambda p: p.heads.binary_w, 6),
    "logits": (lambda p: p.heads.logits.w, 6),
    "norm": (lambda p: p.layers[0].norm.w, 10),
    "decay": (lambda p: p.layers[0].scan.decay_m, 10),
    "sigmoid": (lambda p: p.tables.sigmoid, 4),
    "softplus": (lambda p: p.tables.softplus, 18),
    "exp2": (lambda p: p.tables.exp2, 8),
    "rsqrt": (lambda p: p.tables.rsqrt, 4),
}


@pytest.mark.parametrize("name", list(FLIPS))
def test_one_bit_of_a_parameter(two_policies, name):
    """One flipped bit gives another digest, in the package and in the oracle alike.

    Not every entry matters in every match (a row of logits that never wins, a part of a table that
    no value reaches), so entries all over the tensor are tried until one does.
    """
    world, agents = two_policies
    pick, bit = FLIPS[name]
    seed_frames = random_frames(3, FULL, 3)
    leaf, before = pick(world.params), digest_of(world, agents, seed_frames)
    for at in np.random.Generator(np.random.PCG64(1)).permutation(leaf.size)[:60]:
        flipped = np.array(leaf)
        flipped.flat[at] ^= 1 << bit
        params = jax.tree.map(lambda v, new=flipped: new if v is leaf else v, world.params)
        other = dataclasses.replace(world, params=on_device(params))
        after = digest_of(other, agents, seed_frames)
        if after != before:
            break
    else:
        pytest.fail(f"no entry of {name} mattered")
    twins = [as_oracle_agent(a, world) for a in agents]
    twin = oracle.World(params, world.arch)
    assert oracle.play(twin, twins, as_oracle(seed_frames), 0, T)[1] == after


def test_one_bit_of_a_pad(two_policies):
    """Every bit that means something moves the world, not only the pad's own bytes."""
    world, seed_frames = two_policies[0], random_frames(3, FULL, 3)
    pads = np.zeros((60, 2, 8), np.int32)
    pads[:, :, :4] = random_pads(8, 60)[:, :, :4] // 2
    plain = jax_play(world, recorded(pads), seed_frames, 0, 60, quick_play)
    means = [(0, 3), (1, 0), (2, 4), (3, 2), (4, 6), (5, 5)]
    means += [(6, b) for b in range(5)] + [(7, b) for b in (0, 2, 3)]
    for player in (0, 1):
        for field, bit in means:
            other = pads.copy()
            other[10, player, field] ^= 1 << bit
            made = jax_play(world, recorded(other), seed_frames, 0, 60, quick_play)
            same = (made[0].cont == plain[0].cont).all((1, 2))
            assert same[:10].all() and not same[10:].all(), (player, field, bit)
            assert (made[2][-1] != plain[2][-1]).all()
    other = pads.copy()
    other[10, 0, 7] ^= 1 << 6
    made = jax_play(world, recorded(other), seed_frames, 0, 60, quick_play)
    assert (made[0].cont == plain[0].cont).all(), "a bit without meaning moved the world"
    assert (made[2][-1] != plain[2][-1]).all(), "but the digest holds it"
