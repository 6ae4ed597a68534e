"""Matches of a world as a live program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.game.decode import decode, stages
from awm_jax.int8.frame import GameFrame
from awm_jax.int8.frame import decode as decode_integers
from crank import viz
from crank.playing import Setup
from crank.watch.live import Hub, Program, Stage
from crank.watch.recording import Frame


def shown(cfg: EncodingConfig, frames: Any) -> list[Frame]:
    """Viewers' frames of a world's frames with a leading time axis."""
    if isinstance(frames, GameFrame):
        return viz.viz_frames(decode_integers(cfg, frames), np.asarray(frames.stage))
    return viz.viz_frames(decode(cfg, frames), stages(frames))


def matches(setup: Setup) -> Program:
    """A program that plays the prepared match, each time with the next seed."""
    cfg = setup.world.cfg
    last_seed = (1 << 64) - 1

    def play(hub: Hub, match_id: int, stopped: Callable[[], bool]) -> None:
        seeds = shown(cfg, jax.tree.map(np.asarray, setup.start))
        meta = {**setup.meta, "mode": "agent-vs-agent", "seed_frames": len(seeds)}
        stage = Stage(hub, match_id, seeds[0], meta, int(setup.rules.max_frames))
        last = seeds[-1]

        def on_frame(frame: Any) -> None:
            nonlocal last
            last = shown(cfg, jax.tree.map(lambda v: np.asarray(v)[None], frame))[0]
            stage.frame(last)

        for frame in seeds:
            stage.frame(frame)
        match = dataclasses.replace(setup, seed=(setup.seed + match_id - 1) & last_seed)
        try:
            played = match.run(on_frame, stopped)
        except AwmError as error:
            raise AwmError(f"match {match_id}: {error}") from None
        stage.end({"winner": played.winner}, last)

    return play
