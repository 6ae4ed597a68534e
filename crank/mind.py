"""Minds in matches: the agent of `mwm:PATH`, and what a mind felt in a match, as a picture."""

from __future__ import annotations

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.fp32.policy import swap_players
from awm_jax.game.frames import Frames
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
