"""Matches of a world as a live program, and another world under the same controllers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.contracts import View
from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.fp32.world import Fp32World
from awm_jax.game import digest as digests
from awm_jax.game import rng
from awm_jax.game.decode import decode, stages
from awm_jax.game.frames import controllers
from awm_jax.int8.frame import GameFrame, pads_from_floats, pads_to_floats
from awm_jax.int8.frame import decode as decode_integers
from awm_jax.pytree import pytree
from crank import viz
from crank.match import MAX_FRAMES, Outcome, Rules, compiled_reset, compiled_step, warm_up
from crank.playing import Setup, prepare
from crank.verify import machine_record
from crank.watch.live import Hub, Program, Stage
from crank.watch.recording import Frame

LAST_SEED = (1 << 64) - 1


def shown(cfg: EncodingConfig, frames: Any) -> list[Frame]:
    """Viewers' frames of a world's frames with a leading time axis."""
    if isinstance(frames, GameFrame):
        return viz.viz_frames(decode_integers(cfg, frames), np.asarray(frames.stage))
    return viz.viz_frames(decode(cfg, frames), stages(frames))


def proof_of(setup: Setup) -> dict[str, Any] | None:
    """What a browser needs to compute the prepared match; None of a float or nameless world."""
    identity = setup.meta["weights_sha256"]["world"]
    if not isinstance(setup.start, GameFrame) or identity is None:
        return None
    seed = machine_record(setup.start, np.zeros((0, 2, 8), np.int32), "")["seed"]
    return {"cartridge": identity, "context": setup.meta["context"], "seed": seed}


def pad_bytes(pads: np.ndarray) -> bytes:
    """The integer machine's pads (2, 8) as a match file has them; b"" of a float world's."""
    return (pads & 255).astype(np.uint8).tobytes() if pads.dtype.kind == "i" else b""


def pads_of(cfg: EncodingConfig, frame: Any) -> np.ndarray:
    """The controllers that made a frame: (2, 8) int32, or (2, 13) float32 of a float world."""
    if isinstance(frame, GameFrame):
        return np.asarray(frame.pads)
    return np.asarray(controllers(cfg, frame.floats))


class Show:
    """A prepared match on one stream: its start at once, then a frame at a time."""

    def __init__(self, setup: Setup, hub: Hub, match_id: int, length: int, **options: Any) -> None:
        seeds = shown(setup.world.cfg, jax.tree.map(np.asarray, setup.start))
        meta = {**setup.meta, "mode": "agent-vs-agent", "seed_frames": len(seeds)}
        name = f"{setup.meta['arithmetic']} {Path(setup.meta['model_checkpoint'] or '').name}"
        options |= {"proof": proof_of(setup), "name": name.strip()}
        self.cfg = setup.world.cfg
        self.stage = Stage(hub, match_id, seeds[0], meta, length, **options)
        self.seeds, self.last = seeds, seeds[-1]

    def frame(self, frame: Any) -> None:
        self.last = shown(self.cfg, jax.tree.map(lambda v: np.asarray(v)[None], frame))[0]
        self.stage.frame(self.last, pad_bytes(pads_of(self.cfg, frame)))


@pytree
class Given:
    """An agent that plays the controller which its state was set to.

    Attributes:
      neutral: what it plays before that.
    """

    neutral: jax.Array

    def reset(self, seed: jax.Array, player: int) -> jax.Array:
        return self.neutral

    def act(self, state: jax.Array, view: View) -> tuple[jax.Array, jax.Array]:
        return state, state


class Twin:
    """A world beside another: the same start, and frame by frame the other's controllers.

    Args:
      setup: a match in it, whose agents do not matter.
      hub: its own stream.
    """

    def __init__(self, setup: Setup, hub: Hub) -> None:
        self._setup, self._hub = setup, hub
        self._floats = isinstance(setup.world, Fp32World)
        neutral = np.zeros((2, 8), np.int32)
        neutral = jnp.asarray(pads_to_floats(neutral), jnp.float32) if self._floats else neutral
        self._agents = (Given(jnp.asarray(neutral[0])), Given(jnp.asarray(neutral[1])))
        self._rules = Rules.of(MAX_FRAMES, early_ko=False)

    @property
    def context_len(self) -> int:
        return self._setup.world.context_len

    def compile(self) -> None:
        """Compile the step, so that the first match starts at once."""
        setup = self._setup
        warm_up(setup.world, self._agents, setup.start, self._rules)

    def begin(self, match_id: int, length: int) -> None:
        setup = self._setup
        self._show = Show(setup, self._hub, match_id, length, wait=lambda seconds: None)
        start = jax.tree.map(jnp.array, setup.start)
        words = jnp.asarray(rng.seed_words(0))
        self._state = compiled_reset(setup.world, self._agents, start, self.context_len, words)
        self._digest = digests.start()

    def seed(self, number: int) -> None:
        """Shows its seed frame `number`."""
        self._show.stage.frame(self._show.seeds[number])

    def frame(self, pads: np.ndarray) -> None:
        """One frame under pads (2, 8) int32 or (2, 13) float32.

        Raises:
          AwmError: the world made a value that is no number.
        """
        if self._floats and pads.dtype.kind == "i":
            pads = pads_to_floats(pads).astype(np.float32)
        if not self._floats and pads.dtype.kind != "i":
            pads = pads_from_floats(pads)
        minds = (jnp.asarray(pads[0]), jnp.asarray(pads[1]))
        state = dataclasses.replace(self._state, agents=minds)
        self._state, made = compiled_step(self._setup.world, self._agents, self._rules, state)
        frame, _, outcome, self._digest = made
        if int(outcome) == Outcome.CORRUPT:
            raise AwmError(f"the world beside: {Outcome.CORRUPT.sentence}")
        self._show.frame(frame)

    def end(self) -> None:
        digest = digests.hexdigest(np.asarray(self._digest))
        self._show.stage.end({"digest": digest}, self._show.last)


def twin_of(world: str, like: Setup, hub: Hub) -> Twin:
    """A world for the same start as a prepared match.

    Raises:
      AwmError: it cannot be played, or looks at another number of frames.
    """
    setup = prepare(world, "noop", "noop", stage=like.stage, characters=like.characters)
    if setup.world.context_len != like.world.context_len:
        raise AwmError(
            f"{world} begins from {setup.world.context_len} seed frames, the other world from "
            f"{like.world.context_len}; they cannot run together"
        )
    return Twin(setup, hub)


def matches(setup: Setup, twin: Twin | None = None) -> Program:
    """A program that plays the prepared match, each time with the next seed.

    Args:
      twin: what plays beside it.
    """
    length = int(setup.rules.max_frames)

    def play(hub: Hub, match_id: int, stopped: Callable[[], bool]) -> None:
        show = Show(setup, hub, match_id, length)
        if twin is not None:
            twin.begin(match_id, length)

        def on_frame(frame: Any) -> None:
            show.frame(frame)
            if twin is not None:
                twin.frame(pads_of(show.cfg, frame))

        for number, frame in enumerate(show.seeds):
            show.stage.frame(frame)
            if twin is not None:
                twin.seed(number)
        match = dataclasses.replace(setup, seed=(setup.seed + match_id - 1) & LAST_SEED)
        try:
            played = match.run(on_frame, stopped)
        except AwmError as error:
            raise AwmError(f"match {match_id}: {error}") from None
        show.stage.end({"winner": played.winner, "digest": played.digest}, show.last)
        if twin is not None:
            twin.end()

    return play


def game_beside(path: str, world: str, hub: Hub) -> Program:
    """A program that shows a real game from GO on and beside it a world under its controllers.

    Raises:
      AwmError: the game cannot be read, or the world not be played.
    """
    from awm_jax.replays.slippi import read_game
    from crank.watch import recording

    source = recording.read(path)[0]
    game = read_game(path)
    go = int(np.searchsorted(game.frame_ids, 0))
    setup = prepare(world, "noop", "noop", seed_replay=path)
    pads = np.asarray(game.columns["controller"][go:], np.float32)
    frames = source.frames[go:]
    twin = Twin(setup, hub)

    def play(hub: Hub, match_id: int, stopped: Callable[[], bool]) -> None:
        meta = {**source.meta, "first_frame": 0}
        stage = Stage(hub, match_id, frames[0], meta, len(frames), name="real game")
        twin.begin(match_id, len(frames))
        for number, frame in enumerate(frames):
            if stopped():
                return
            stage.frame(frame)
            if number < twin.context_len:
                twin.seed(number)
            else:
                twin.frame(pads[number])
        stage.end(meta, frames[-1])
        twin.end()

    return play
