"""Minds in matches: the agent of `mwm:PATH`, and what a mind felt in a match, as a picture."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.fp32.policy import swap_players
from awm_jax.game.frames import Frames
from awm_jax.int8.fixed import WIDE_MAX
from awm_jax.int8.frame import UNIT, GameFrame
from awm_jax.int8.mind import Int8Mind, MindParams, think
from awm_jax.mwm.agent import MindAgent
from awm_jax.mwm.features import ACTION_NAMES, AFFECT_NAMES
from awm_jax.mwm.melee import PERIOD


def mind_agent(path: str, world: EncodingConfig) -> tuple[MindAgent, str]:
    """The agent of a Mental World Model, and the sha256 of its weights.

    Raises:
      AwmError: the file cannot be read or is no Mental World Model.
    """
    from converters.mwm import load_mwm

    loaded = load_mwm(path)
    return MindAgent.of(loaded.model, world), loaded.provenance.weights_sha256


@dataclasses.dataclass(frozen=True)
class Trace:
    """What a mind felt, one row a decision (n).

    Attributes:
      frame: (n,) number of the frame.
      affect: (n, 4) threat, curiosity, value, surprise, decoded.
      surprise: (n,) the real one: distance between the latent and the one imagined.
      action: (n,) index of the action it would take, `melee.UNKNOWN` for none.
      damage: (n, 2) percent that its player and the opponent have taken since the row before.
    """

    frame: np.ndarray
    affect: np.ndarray
    surprise: np.ndarray
    action: np.ndarray
    damage: np.ndarray


def trace(agent: MindAgent, frames: Frames, player: int = 0) -> Trace:
    """Let a mind watch a match (T, F), (T, I) as `player`."""
    if player == 1:
        frames = Frames(*swap_players(agent.cfg, *map(jnp.asarray, (frames.floats, frames.ints))))
    seen = jax.tree.map(lambda v: jnp.asarray(v[::PERIOD]), frames)

    @jax.jit
    def watch(agent: MindAgent, seen: Frames):
        def step(state, frame):
            state = agent.think(state, frame.floats, frame.ints)
            return state, (state.affect, state.surprise, state.action)

        return jax.lax.scan(step, agent.reset(jnp.zeros(2, jnp.uint32), player), seen)[1]

    affect, shock, action = map(np.asarray, watch(agent, seen))
    where, width = columns(agent.cfg), agent.cfg.float_per_player
    percent = np.asarray(seen.floats)[:, [where["percent"], width + where["percent"]]]
    percent = percent / agent.cfg.percent_scale
    damage = np.maximum(np.diff(percent, axis=0, prepend=percent[:1]), 0)
    return Trace(np.arange(len(shock)) * PERIOD, affect, shock, action, damage)


def exchanged(frames: GameFrame) -> GameFrame:
    """The frames (T, ...) as the other player sees them."""
    halves = (v[:, ::-1] for v in (frames.cont, frames.binary, frames.ints, frames.pads))
    cont, binary, ints, pads = halves
    return GameFrame(cont, binary, ints, frames.stage, pads)


def integer_trace(agent: Int8Mind, frames: GameFrame, player: int = 0) -> Trace:
    """Let an integer mind watch a match (T, ...) as `player`; what it decoded as real numbers."""
    cfg, params = agent.cfg, agent.params
    seen = jax.tree.map(lambda v: jnp.asarray(v[::PERIOD]), frames)
    seen = seen if player == 0 else exchanged(seen)
    latent, affect, imagined, action = map(np.asarray, _watch(params, seen, cfg=cfg))
    unit, where = max(int(params.one), 1), columns(cfg)
    felt = affect / unit
    felt = np.stack([*felt[:, :2].clip(0, 1).T, felt[:, 2], abs(felt[:, 3])], axis=1)
    miss = (latent[1:] - imagined[:-1]) / WIDE_MAX
    shock = np.append(0.0, np.sqrt((miss**2).mean(axis=1)))
    percent = np.asarray(seen.cont)[:, :, where["percent"]] / UNIT
    damage = np.maximum(np.diff(percent, axis=0, prepend=percent[:1]), 0)
    return Trace(np.arange(len(shock)) * PERIOD, felt, shock, action, damage)


@functools.partial(jax.jit, static_argnames="cfg")
def _watch(params: MindParams, seen: GameFrame, *, cfg: EncodingConfig) -> tuple[jax.Array, ...]:
    def step(latent: jax.Array, frame: GameFrame) -> Any:
        t = think(params, cfg, latent, frame)
        return t.latent, (t.latent, t.affect, t.imagined[t.action], t.action)

    start = jnp.zeros(params.ahead.w.shape[-1], jnp.int32)
    return jax.lax.scan(step, start, seen)[1]


def feelings(agent: Any, frames: Any, first: int, player: int) -> dict[str, Any] | None:
    """What an agent felt in the match that it played, for its file; None for one that is no mind.

    Args:
      frames: all of the match. first: the one that it saw when it first decided.

    Returns:
      `first` and `period` of the rows in frames, then threat, curiosity, value and surprise (the
      real one), a number a row.
    """
    if not isinstance(agent, Int8Mind | MindAgent):
        return None
    seen = jax.tree.map(lambda v: v[first:], frames)
    found = (
        integer_trace(agent, seen, player)
        if isinstance(agent, Int8Mind)
        else trace(agent, seen, player)
    )
    rows = {name: found.affect[:, i] for i, name in enumerate(("threat", "curiosity", "value"))}
    rows["surprise"] = found.surprise
    rounded = {name: np.round(row.astype(float), 4).tolist() for name, row in rows.items()}
    return {"first": first, "period": PERIOD, **rounded}


def draw(trace: Trace, path: str | os.PathLike[str], title: str = "") -> None:
    """Threat, curiosity, value and surprise over the match as a PNG, with the hits.

    Raises:
      AwmError: matplotlib is not installed, or the place cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise AwmError('drawing needs matplotlib: pip install "awm-jax[train]"') from None
    seconds = trace.frame / 60
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    rows = figure.subplots(5, 1, sharex=True)
    colours = ("tab:red", "tab:green", "tab:blue", "tab:purple")
    hits = [seconds[trace.damage[:, who] > 0] for who in (0, 1)]
    for i, (axes, name, colour) in enumerate(zip(rows, AFFECT_NAMES, colours, strict=False)):
        axes.plot(seconds, trace.affect[:, i], color=colour, linewidth=1)
        axes.set_ylabel(name.removesuffix("_estimate"))
        for who, tint in ((0, "tab:red"), (1, "tab:gray")):
            for at in hits[who]:
                axes.axvline(at, color=tint, alpha=0.15, linewidth=1)
        axes.margins(x=0)
    rows[3].plot(seconds, trace.surprise, color="black", linewidth=0.8, alpha=0.6, label="real")
    rows[3].legend(loc="upper right", fontsize=8, frameon=False)
    names = [*ACTION_NAMES, "nothing"]
    rows[4].scatter(seconds, trace.action, s=3, color="tab:gray")
    rows[4].set_yticks(range(len(names)), names, fontsize=6)
    rows[4].set_ylabel("would do")
    rows[4].set_xlabel("seconds")
    rows[0].set_title(title or "what a mind felt; red lines: hit, grey lines: has hit", fontsize=10)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=90))
