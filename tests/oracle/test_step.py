"""The JAX step equals the NumPy oracle bit for bit: frames, states, records and digests."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle
from support.int_worlds import FULL, SMALL, arch_of, on_device, random_frames, random_pads, world_of
from support.oracle_run import alive, as_oracle, assert_same_match, quick_play, recorded

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.game import rules
from awm_jax.game.stages import STAGES
from awm_jax.int8.frame import RECORD_FIELDS, GameFrame, knocked_out, record
from awm_jax.int8.world import Int8World
from awm_jax.variant import Variant

THRESHOLDS = SMALL.replace(ctrl_threshold_features=True)
EVERY = Variant(control_first=True, geometry=True, head_hidden=24)
AGED = SMALL.replace(state_age_as_embed=True, hitstun=True, state_age_embed_vocab=150)
ARCHS = {
    "smallest": arch_of(context_len=1),
    "all columns": arch_of(
        FULL.replace(ctrl_threshold_features=True), d_model=32, d_state=8, headdim=16, n_layers=2
    ),
    "window of ten": arch_of(
        THRESHOLDS, recurrent=False, context_len=10, d_state=16, n_layers=2, headdim=4
    ),
    "every variant, two planes": arch_of(THRESHOLDS, planes=2, n_layers=3, variant=EVERY),
    "windowed variants, two planes": arch_of(
        FULL.replace(state_flags=False, state_age_embed_vocab=140),
        recurrent=False,
        planes=2,
        d_model=24,
        d_state=8,
        context_len=2,
        variant=Variant(control_first=True, geometry=True, game_rules=True),
    ),
    "wide": arch_of(
        SMALL.replace(hitstun=True, state_flags=True, press_events=True),
        d_model=64,
        d_state=16,
        headdim=32,
        context_len=2,
        variant=Variant(head_hidden=40),
    ),
}


@pytest.mark.parametrize("name", [*list(ARCHS)[:-1], pytest.param("wide", marks=pytest.mark.long)])
def test_equal_to_the_oracle(name):
    arch = ARCHS[name]
    k, cfg = arch.context_len, arch.cfg
    frames = 120 if arch.recurrent else 300 // k
    world = world_of(1, arch)
    pads, seed_frames = recorded(random_pads(2, frames)), random_frames(3, cfg, k)
    made = assert_same_match(world, pads, seed_frames, 0, frames, quick_play)
    changes = alive(made)
    assert changes["cont"] > frames // 3 and changes["ints"] > 5 and changes["pads"] == frames
    for seed in (4, 5):
        world = world_of(seed, arch, saturating=True)
        pads = recorded(random_pads(seed, frames))
        seed_frames = random_frames(seed, cfg, k, extreme=True)
        seed_frames.ints[0, :, :2] = [[-1, 9999], [100, -9999]]  # outside the vocabularies
        assert_same_match(world, pads, seed_frames, 0, frames, quick_play)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_equal_to_the_oracle_for_random_shapes(seed):
    rng = np.random.Generator(np.random.PCG64(seed))

    def flag():
        return bool(rng.integers(2))

    cfg = SMALL.replace(
        state_age_as_embed=flag(),
        state_age_embed_vocab=int(rng.choice([11, 132])),
        hitstun=flag(),
        projectiles=flag(),
        state_flags=flag(),
        press_events=flag(),
        ctrl_threshold_features=flag(),
    )
    rules = cfg.state_age_as_embed and cfg.state_age_embed_vocab == 132
    arch = arch_of(
        cfg,
        d_model=int(rng.choice([16, 24, 32, 48, 64])),
        d_state=int(rng.integers(4, 17)),
        headdim=int(rng.choice([2, 4, 8, 16])),
        n_layers=int(rng.integers(1, 4)),
        context_len=int(rng.integers(1, 11)),
        recurrent=flag(),
        planes=int(rng.integers(1, 3)),
        variant=Variant(flag(), flag(), int(rng.choice([0, 20])), flag() and rules),
    )
    for saturating in (False, True):
        world = world_of(seed, arch, saturating)
        pads = recorded(random_pads(seed, 100))
        seed_frames = random_frames(seed, cfg, arch.context_len, saturating)
        assert_same_match(world, pads, seed_frames, 0, 100, quick_play)


@pytest.mark.parametrize("start", [0, 4, 6, 12, 20])
def test_lives_by_the_games_rules(start):
    """From every way to lose a stock, and from far outside: dying, rebirth, score and counters."""
    arch = arch_of(AGED, context_len=2, variant=Variant(game_rules=True))
    world, names = world_of(1, arch), oracle.cont_names(AGED)
    x, y, percent, stocks = (names.index(n) for n in ("x", "y", "percent", "stocks"))
    fell = born = worn = stunned = 0
    for place in ((0, 0), (0, -500), (-500, 0), (500, 0), (0, 290)):
        seed_frames = random_frames(3, AGED, 2)
        seed_frames.ints[:, :, 0], seed_frames.ints[:, :, -1] = start, 0
        seed_frames.cont[:, :, [x, y]] = np.array(place) * oracle.UNIT
        seed_frames.cont[:, :, stocks] = 4 * oracle.UNIT
        seed_frames.stage[:] = 31
        pads = recorded(random_pads(2, 220))
        made = assert_same_match(world, pads, seed_frames, 0, 220, quick_play)
        action, age = made.ints[:, :, 0], made.ints[:, :, -1]
        lost = -np.diff(made.cont[:, :, stocks], axis=0)
        assert set(np.unique(lost)) <= {0, oracle.UNIT}
        counters = made.cont[:, :, [names.index(n) for n in rules.COUNTERS]]
        assert (counters % oracle.UNIT == 0).all()
        thrown = made.cont[:, :, [names.index(n) for n in rules.KNOCKBACK]]
        worn += (np.diff(np.abs(thrown).sum(axis=-1), axis=0) < 0).sum()
        stunned += (np.diff(made.cont[:, :, names.index("hitstun")], axis=0) == -oracle.UNIT).sum()
        for number, (frames, _) in rules.DYING.items():
            assert (age[action == number] < frames).all()
        first = (action == rules.REBIRTH) & (age == 0)
        assert (made.cont[:, :, percent][first] == 0).all()
        assert (made.cont[:, :, y][first] == round(135.1 * oracle.UNIT)).all()
        fell, born = fell + (lost > 0).sum(), born + first.sum()
    assert born and worn and stunned and (fell or start == 12)


SPECIALS = {
    (1, 236): (49, 35, 14),
    (1, 14): None,
    (1, 399): None,
    (1, 354): (52, 356, 14),
    (22, 354): (42, 356, 14),
    (32, 354): (64, 35, 356),
}


HELD = {(1, 264): 60, (1, 196): 35, (1, 20): 0, (1, 354): 15, (22, 354): 13, (32, 354): 0}


def always(said: int, stands: int, *, moves: bool = True) -> Int8World:
    """A world that says `said` and `stands` whatever comes; and, unless it `moves`, no number."""
    cfg = AGED.replace(action_vocab=400)
    arch = arch_of(cfg, context_len=1, variant=Variant(game_rules=True))
    params = world_of(1, arch).params
    logits, binary = params.heads.logits, params.heads.binary_w
    bias = np.zeros(logits.bias.shape, np.int32)
    bias[[said, cfg.action_vocab + said]] = 100
    out = dataclasses.replace(logits.out, a=logits.out.a * 0, m=logits.out.m * 0 + (1 << 14))
    heads = dataclasses.replace(
        params.heads,
        logits=dataclasses.replace(logits, w=logits.w * 0, bias=jnp.asarray(bias), out=out),
        numeric_w=params.heads.numeric_w * int(moves),
        numeric_bias=params.heads.numeric_bias * int(moves),
        binary_w=binary * 0,
        binary_bias=jnp.full(binary.shape[0], 2 * stands - 1, jnp.int32),
    )
    return Int8World(dataclasses.replace(params, heads=heads), arch)


def beginning(cfg: EncodingConfig, character: int, action: int, stands: int) -> GameFrame:
    """A frame in the middle of a stage in which both begin an action."""
    seed_frames = random_frames(3, cfg, 1)
    seed_frames.ints[:, :, [0, 2, -1]] = action, character, 0
    seed_frames.binary[:, :, 2] = stands
    seed_frames.cont[:, :, 1:3] = 0
    return seed_frames


@pytest.mark.parametrize("stands", [0, 1])
@pytest.mark.parametrize("case", SPECIALS.items(), ids=lambda case: str(case[0]))
def test_actions_end_where_recorded_games_end_them(case, stands):
    """In a world that always says "the same again", in the air and on the ground."""
    (character, action), ends = case
    own, any_of = (oracle.LENGTHS.get((who, action), (0, 0)) for who in (character, -1))
    assert ((own if own[1] else any_of)[1:] or None) == (ends or (0,))
    world = always(action, stands)
    seed_frames = beginning(world.cfg, character, action, stands)
    made = assert_same_match(world, recorded(random_pads(2, 150)), seed_frames, 0, 150, quick_play)
    actions, ages = made.ints[1:, :, 0], made.ints[1:, :, -1]
    seen = set(actions[actions > rules.WAITING].flat)
    assert seen == ({action, ends[1 + stands]} if ends else {action})
    if ends:
        assert ages[actions == action].max() == ends[0] - 1


@pytest.mark.parametrize("lag", [0, 7])
@pytest.mark.parametrize("case", HELD.items(), ids=lambda case: str(case[0]))
def test_actions_go_on_as_long_as_recorded_games_always_have_them(case, lag):
    """In a world that always says "stand", unless the other grabs: and in hitlag whatever it is."""
    (character, action), shortest = case
    own, any_of = (oracle.LENGTHS.get((who, action), (0,)) for who in (character, -1))
    assert (own if action >= rules.OWN else any_of)[0] == shortest
    for said in (14, rules.CAUGHT[0]):
        world = always(said, 1, moves=False)
        seed_frames = beginning(world.cfg, character, action, 1)
        seed_frames.cont[:, :, oracle.cont_names(world.cfg).index("hitlag")] = lag * oracle.UNIT
        made = assert_same_match(
            world, recorded(random_pads(2, 80)), seed_frames, 0, 80, quick_play
        )
        frames = 1 + (made.ints[:, :, 0] == action).sum(axis=0)
        assert (frames == (max(shortest, lag, 1) if said == 14 else 1)).all()


def test_the_games_rules_need_an_age():
    with pytest.raises(AwmError, match="state_age_as_embed"):
        arch_of(SMALL, variant=Variant(game_rules=True))


@pytest.mark.parametrize("cfg", [SMALL, FULL], ids=["age in frames", "age embedded"])
def test_records_and_stocks(cfg):
    frames = random_frames(9, cfg, 300, extreme=True)
    ours = np.asarray(record(cfg, on_device(frames)))
    names = {"shield": "shield_strength", "action": "action_state", "jumps": "jumps_left"}
    for t, frame in enumerate(as_oracle(frames)):
        for player, theirs in enumerate(oracle.record(cfg, frame)):
            theirs = {names.get(k, k): v for k, v in theirs.items()}
            assert [theirs[f] for f in RECORD_FIELDS] == ours[t, player].tolist()
    stocks = np.array([-1, 0, 32767, 32768, 65536])
    frames.cont[:5, :, oracle.cont_names(cfg).index("stocks")] = stocks[:, None]
    out = np.asarray(knocked_out(cfg, on_device(frames)))[:5]
    assert out.tolist() == [[True] * 2] * 3 + [[False] * 2] * 2


def test_stages_differ_for_geometry():
    """The comparison reaches the levels: other stages, other codes."""
    arch = ARCHS["every variant, two planes"]
    world = world_of(1, arch)
    frame = as_oracle(random_frames(3, arch.cfg, 1))[0]
    for name, value in (("x", 70), ("y", 20), ("speed_y", 1), ("speed_attack_y", 1)):
        frame.cont[:, oracle.cont_names(arch.cfg).index(name)] = value << 16
    codes = set()
    for stage in STAGES:
        frame.stage = stage
        codes.add(tuple(int(v) for v in oracle.geometry(arch.cfg, world.params.inputs, frame)))
    assert len(codes) == len(STAGES)
