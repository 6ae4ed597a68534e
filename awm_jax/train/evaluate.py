"""A world judged on real games: networks and baselines side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.fp32.network import Network
from awm_jax.game.characters import character_name
from awm_jax.game.stages import stage
from awm_jax.train.baselines import all_baselines
from awm_jax.train.data import Data
from awm_jax.train.integer_rollout import IntegerWorld, evaluate_world
from awm_jax.train.report import report, worse_than_copy
from awm_jax.train.rollout import MODES, all_starts, evaluate_network, sample_starts

COPY = "copy last"


def groups(data: Data) -> dict[str, np.ndarray]:
    """Games by stage, and by the characters in them (a game counts for both of its own)."""
    found: dict[str, list[int]] = {}
    for i, entry in enumerate(data.entries):
        names = {stage(entry.stage).name, *(character_name(c) for c in entry.characters)}
        for name in names:
            found.setdefault(name, []).append(i)
    return {name: np.array(games) for name, games in sorted(found.items())}


def evaluate(
    data: Data,
    network: Network | None,
    *,
    integer: IntegerWorld | None = None,
    starts: int | None = 3000,
    modes: tuple[str, ...] = MODES,
    rule: str = "match",
    baselines: bool = True,
    on_progress: Callable[[str], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Reports (`report.report`) by name: "float recurrent", "float windowed", "integer", baselines.

    Args:
      network, integer: a float world, an integer one, or both on the same starts.
      starts: how many, drawn with the founders' seed 42; None for every one.
      rule: "match" feeds every field back, as a match does; "founders" keeps five as they were.
      on_progress: called with the name of what is evaluated next.

    Raises:
      AwmError: an unknown mode or rule; the games are too short; there is no world.
    """
    chosen = sample_starts(all_starts(data), starts)
    if not len(chosen):
        raise AwmError("these games are too short to be judged on")
    parts, out = groups(data), {}
    cfg = network.cfg if network is not None else integer.cfg if integer is not None else None
    if cfg is None:
        raise AwmError("there is no world to judge")
    if network is not None:
        for mode in modes:
            name = f"float {mode}"
            if on_progress:
                on_progress(name)
            tally = evaluate_network(network, data, chosen, mode=mode, rule=rule)
            out[name] = report(tally, parts)
    if integer is not None:
        if on_progress:
            on_progress("integer")
        out["integer"] = report(evaluate_world(integer, data, chosen), parts)
    worlds = list(out)
    if baselines:
        if on_progress:
            on_progress("baselines")
        for name, tally in all_baselines(data, chosen, cfg).items():
            out[name] = report(tally, parts)
        for name in worlds:
            own = out[name]
            own["worse_than_copy"] = worse_than_copy(own, out[COPY])
    return out


def save(reports: dict[str, dict[str, Any]], path: str) -> None:
    write_atomically(path, json.dumps(reports, indent=1) + "\n")


def draw(reports: dict[str, dict[str, Any]], path: str) -> None:
    """Position error over the horizon, one line a model, and action accuracy, as a PNG."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise AwmError('drawing needs matplotlib: pip install "awm-jax[train]"') from None
    figure = Figure(figsize=(10, 4), layout="constrained")
    titles = {"position": "position error (game units)", "action_accuracy": "action accuracy"}
    for i, (key, title) in enumerate(titles.items()):
        axes = figure.add_subplot(1, 2, i + 1)
        for name, values in reports.items():
            if key in values:
                axes.plot(range(1, len(values[key]) + 1), values[key], label=name)
        axes.set_title(title)
        axes.set_xlabel("frames after the last known one")
        axes.legend(fontsize=8)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=100))
