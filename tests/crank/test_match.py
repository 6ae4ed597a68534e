"""The loop: outcomes, one trace, batching, both contexts, interruption."""

from __future__ import annotations

import itertools
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from awm_jax.errors import AwmError
from awm_jax.fp32.world import Fp32World
from awm_jax.game import rng
from awm_jax.game.frames import Frames, control_features, controllers, seed_frames
from awm_jax.game.transition import match_transition
from awm_jax.pytree import pytree
from crank import match
from crank.agents import HoldForward, Noop, Random, Recorded
from crank.match import Outcome, Rules

AGENTS = (Random(), HoldForward())


@pytree
class Clock:
    """A world whose frame is its number, and whose events happen by a timetable."""

    out: jax.Array
    broken_at: jax.Array

    @classmethod
    def of(cls, out: tuple[int, int] = (99, 99), broken_at: int = 99) -> Clock:
        return cls(jnp.array(out, jnp.int32), jnp.int32(broken_at))

    def reset(self, seed: jax.Array) -> jax.Array:
        return seed[-1]

    def step(self, state: jax.Array, pads: jax.Array) -> tuple[jax.Array, jax.Array]:
        return state + 1, state + 1

    def observe(self, state: jax.Array, player: int) -> jax.Array:
        return state

    def knocked_out(self, frame: jax.Array) -> jax.Array:
        return frame >= self.out

    def corrupt(self, frame: jax.Array) -> jax.Array:
        return frame >= self.broken_at

    def words(self, frame: jax.Array, number: jax.Array) -> jax.Array:
        return frame.astype(jnp.uint32)[None]


CLOCK_SEED = np.arange(3, dtype=np.int32)
CLOCK_AGENTS = (Noop(), Noop())


def run_clock(clock: Clock, frames: int, early_ko: bool = True, on_frame=None) -> match.Played:
    rules = Rules.of(frames, early_ko)
    return match.run(clock, CLOCK_AGENTS, CLOCK_SEED, rules, on_frame=on_frame)


@pytest.mark.parametrize(
    ("clock", "frames", "early_ko", "last", "outcome"),
    [
        (Clock.of(), 1, True, 3, Outcome.TIMEOUT),
        (Clock.of(), 7, True, 9, Outcome.TIMEOUT),
        (Clock.of(out=(99, 5)), 7, True, 5, Outcome.KO),
        (Clock.of(out=(5, 5)), 7, True, 5, Outcome.KO),
        (Clock.of(out=(5, 99)), 7, False, 9, Outcome.TIMEOUT),
        (Clock.of(out=(99, 9)), 7, True, 9, Outcome.KO),
        (Clock.of(out=(3, 99)), 7, True, 3, Outcome.KO),
        (Clock.of(broken_at=5), 7, True, 4, Outcome.CORRUPT),
        (Clock.of(broken_at=3), 7, True, 2, Outcome.CORRUPT),
        (Clock.of(out=(5, 99), broken_at=5), 7, True, 4, Outcome.CORRUPT),
    ],
)
def test_how_a_match_ends(clock, frames, early_ko, last, outcome) -> None:
    """The last frame is the one that decided; one that holds no number is left out (M10)."""
    played = run_clock(clock, frames, early_ko)
    assert played.outcome is outcome
    assert played.frames.tolist() == list(range(last + 1))
    assert len(played.pads) == last - 2
    assert outcome.sentence and outcome.word == outcome.name.lower()


def test_frames_come_in_order_and_all_of_them() -> None:
    seen: list[int] = []
    run_clock(Clock.of(), 20, on_frame=lambda frame: seen.append(int(frame)))
    assert seen == list(range(3, 23))


@pytest.mark.parametrize("stop_after", [0, 1, 5])
def test_an_interrupted_match_keeps_what_was_played(stop_after: int) -> None:
    count = itertools.count(1)

    def on_frame(frame: jax.Array) -> None:
        if next(count) > stop_after:
            signal.raise_signal(signal.SIGINT)

    played = run_clock(Clock.of(), 20, on_frame=on_frame)
    assert played.outcome is Outcome.INTERRUPTED
    # The frame that was being shown is complete and counts.
    assert played.frames.tolist() == list(range(3 + stop_after + 1))


@pytest.mark.parametrize("frames", [0, -1, -(2**40), 2**31])
def test_frame_counts_out_of_range(frames: int) -> None:
    with pytest.raises(AwmError, match=f"{frames} frames to play; give 1 to"):
        Rules.of(frames)


def start(world: Fp32World, stage: int = 31) -> Frames:
    return seed_frames(world.cfg, world.context_len, stage, (2, 9))


def test_compiled_once_for_a_match_and_for_other_weights(
    monkeypatch: pytest.MonkeyPatch, world: Fp32World, other_model
) -> None:
    """Other weights, seeds, stages, rules: the same executable."""
    counted = chex.assert_max_traces(match._step, n=1)
    monkeypatch.setattr(match, "compiled_step", jax.jit(counted, donate_argnames="state"))
    other = Fp32World.of(other_model)
    first = match.run(world, AGENTS, start(world), Rules.of(12, False), seed=0)
    second = match.run(other, AGENTS, start(other, 8), Rules.of(9, True), seed=5)
    assert not np.array_equal(first.frames.floats[4], second.frames.floats[4])
    assert len(first.pads) == 12 and second.pads.shape[1:] == (2, 13)


def test_seeds_are_not_written_to(world: Fp32World) -> None:
    """The step works in place; what the caller gave stays his."""
    seed = jax.tree.map(jnp.asarray, start(world))
    before = jax.tree.map(np.array, seed)
    match.run(world, AGENTS, seed, Rules.of(3, False))
    assert jax.tree.all(jax.tree.map(np.array_equal, seed, before))


def test_a_batch_equals_its_matches(world: Fp32World) -> None:
    """`vmap` over seeds; everything is written for one match."""
    rules, count = Rules.of(100, False), 3
    frames = jax.tree.map(jnp.asarray, start(world))
    words = jnp.stack([jnp.asarray(rng.seed_words(seed)) for seed in range(count)])
    states = jax.vmap(
        lambda seed: match.match_reset(world, AGENTS, frames, world.context_len, seed)
    )(words)
    step = jax.jit(jax.vmap(match.match_step, in_axes=(None, None, None, 0)))
    batched = []
    for _ in range(8):
        states, frame, pads = step(world, AGENTS, rules, states)
        batched.append((frame, pads))
    for i in range(count):
        alone = match.run(world, AGENTS, start(world), Rules.of(8, False), seed=i)
        for t, (frame, pads) in enumerate(batched):
            row = world.context_len + t
            assert np.array_equal(frame.ints[i], alone.frames.ints[row])
            assert np.array_equal(pads[i], alone.pads[t])
            np.testing.assert_allclose(frame.floats[i], alone.frames.floats[row], atol=1e-5)


def test_recurrent_remembers_everything(model) -> None:
    """Every frame is the one that the network makes of all frames before it."""
    world = Fp32World.of(model, recurrent=True)
    played = match.run(world, AGENTS, start(world), Rules.of(6, False), seed=3)
    cfg, seeds = world.cfg, world.context_len
    before = jax.tree.map(lambda v: jnp.asarray(v[:-1]), played.frames)
    pads = jnp.concatenate([controllers(cfg, before.floats)[1:seeds], played.pads])
    ctrl = control_features(cfg, pads, controllers(cfg, before.floats))

    outputs, _ = jax.jit(model.sequence)(before.floats, before.ints, ctrl)
    frames = jax.jit(match_transition, static_argnums=0)(cfg, before, outputs, pads)
    assert np.array_equal(frames.ints[seeds - 1 :], played.frames.ints[seeds:])
    made = frames.floats[seeds - 1 :], played.frames.floats[seeds:]
    np.testing.assert_allclose(*made, rtol=0, atol=1e-5)

    windowed = jax.jit(model.__call__)(before.floats, before.ints, ctrl[-1])
    for name, value in windowed.items():
        np.testing.assert_allclose(value, outputs[name][-1], rtol=0, atol=1e-5)


def test_both_contexts_make_the_same_first_frame(model) -> None:
    """Afterwards the recurrent one remembers more than K frames."""
    frames = [
        match.run(
            Fp32World.of(model, recurrent=recurrent), AGENTS, start(world), Rules.of(20, False)
        ).frames
        for recurrent in (False, True)
        if (world := Fp32World.of(model))
    ]
    first = world.context_len
    assert np.array_equal(frames[0].ints[first], frames[1].ints[first])
    np.testing.assert_allclose(frames[0].floats[first], frames[1].floats[first], atol=1e-5)
    assert not np.allclose(frames[0].floats[-1], frames[1].floats[-1], atol=1e-3)


def test_no_agent_sees_the_others_new_controller(world: Fp32World) -> None:
    """Player 1's controllers are the same whoever plays player 0, in the first frame."""
    held = jnp.zeros((2, 1, 13)).at[1, :, 0].set(1.0)
    played = [
        match.run(world, (Recorded(pads), Random()), start(world), Rules.of(1, False))
        for pads in held
    ]
    assert not np.array_equal(played[0].pads[0, 0], played[1].pads[0, 0])
    assert np.array_equal(played[0].pads[0, 1], played[1].pads[0, 1])


def test_a_world_that_makes_no_numbers_ends_the_match(model) -> None:
    from flax import nnx

    broken = nnx.clone(model)
    broken.heads.linear.bias[...] = broken.heads.linear.bias[...].at[0].set(jnp.nan)
    world = Fp32World.of(broken)
    played = match.run(world, AGENTS, start(world), Rules.of(5, False))
    assert played.outcome is Outcome.CORRUPT
    assert len(played.pads) == 0 and len(played.frames.floats) == world.context_len
    assert np.isfinite(played.frames.floats).all()


@pytest.mark.parametrize("count", [1, 3, 5])
def test_seeds_of_another_length_are_refused(world: Fp32World, count: int) -> None:
    seed = seed_frames(world.cfg, count, 31, (2, 2))
    with pytest.raises(AwmError, match=f"{count} seed frames, this world needs 4"):
        match.run(world, AGENTS, seed, Rules.of(1))
