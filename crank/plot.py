"""A match on one sheet: places, percent, actions over time, where the players were.

Needs matplotlib (extra `train`).
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from crank.watch import recording
from crank.watch.tables import category

FORMATS = (".png", ".svg")
COLOURS = ("#2ee77a", "#ffb020")
INK, DIM, GROUND, PANEL, KO = "#e6ebf4", "#94a3b8", "#07080d", "#0e121c", "#f0509f"
CATEGORIES = {
    "neutral": "#64748b",
    "movement": "#22d3ee",
    "aerial": "#a78bfa",
    "landing": "#67e8f9",
    "attack": "#fb7185",
    "special": "#c084fc",
    "shield": "#4ade80",
    "dodge": "#16a34a",
    "tech": "#bef264",
    "grab": "#f472b6",
    "damage": "#fbbf24",
    "down": "#b45309",
    "ledge": "#818cf8",
    "dead": "#1f2937",
}
"""What the strip of actions tells apart; all else is "other"."""
SAME = {"grabbed": "damage", "broken": "damage", "respawn": "dead"}
OTHER = "#cbd5e1"
RATE = 60


def plot_match(
    match: str | os.PathLike[str], output: str | os.PathLike[str], timing: bool = False
) -> None:
    """Draw a match file or a real game to a .png or .svg.

    Args:
      timing: also how long each frame takes, computed again on this machine; the picture is then
        another each time.

    Raises:
      AwmError: no match file, another ending, or matplotlib is absent; with `timing` a match that
        no cartridge here can compute again.
    """
    ending = Path(output).suffix.lower()
    if ending not in FORMATS:
        raise AwmError(f"{output} ends neither in .png nor in .svg; name a file that does")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise AwmError('needs matplotlib: pip install "awm-jax[train]"') from None
    track = recording.load(match)[0]
    taken = None
    if timing:
        from crank.verify import frame_times

        taken = frame_times(os.fspath(match))
    picture = io.BytesIO()
    style: Any = {"font.family": "monospace", "svg.hashsalt": "awm", "svg.fonttype": "path"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(14, 10.5 + 1.5 * timing), facecolor=GROUND, dpi=110)
        _draw(figure, track, taken)
        dated = {"Date": None} if ending == ".svg" else {}
        figure.savefig(picture, format=ending[1:], metadata=dated, facecolor=GROUND)
    write_atomically(output, picture.getvalue())


def _draw(figure: Any, track: dict[str, Any], taken: np.ndarray | None) -> None:
    names = [player["label"] for player in track["players"]]
    values = {key: np.array(pair) for key, pair in track["columns"].items()}
    seconds = (np.arange(track["count"]) + track["first"]) / RATE
    rows = (3.4, 1.1, 1.1, 1.1, 0.8) if taken is None else (3.4, 1.1, 1.1, 1.1, 0.8, 0.9)
    grid = figure.add_gridspec(
        len(rows),
        2,
        height_ratios=rows,
        hspace=0.5,
        wspace=0.12,
        left=0.07,
        right=0.975,
        top=0.9,
        bottom=0.065,
    )
    figure.suptitle(
        f"{names[0]} vs {names[1]}, {track['stage']['name']}",
        color=INK,
        fontsize=16,
        x=0.07,
        ha="left",
        y=0.965,
    )
    where = _limits(track["stage"])
    for p in (0, 1):
        _heat(figure.add_subplot(grid[0, p]), track["stage"], values, p, names[p], where)
    kos = [e for e in track["events"] if e["type"] == "ko"]
    for row, (key, label) in enumerate((("percent", "percent"), ("x", "x"), ("y", "y")), start=1):
        axes = figure.add_subplot(grid[row, :])
        _dress(axes, label)
        axes.set_xlim(seconds[0], seconds[-1] + 1e-9)
        axes.tick_params(labelbottom=False)
        for p in (0, 1):
            axes.plot(seconds, values[key][p], color=COLOURS[p], lw=1, label=names[p])
        for event in kos:
            axes.axvline(seconds[event["frame"]], color=KO, lw=1, ls=":")
        if row == 1:
            axes.legend(
                loc="lower right",
                bbox_to_anchor=(1, 1),
                ncols=2,
                frameon=False,
                labelcolor=INK,
                fontsize=9,
                borderaxespad=0.2,
            )
    _actions(figure.add_subplot(grid[4, :]), values["action_state"], seconds)
    if taken is not None:
        axes = figure.add_subplot(grid[5, :])
        _timing(axes, taken, seconds)


def _dress(axes: Any, title: str) -> None:
    axes.set_facecolor(PANEL)
    axes.set_title(title.upper(), color=DIM, fontsize=9, loc="left", pad=4)
    axes.tick_params(colors=DIM, labelsize=8, length=3)
    axes.grid(color="#1c2333", lw=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color("#232b3d")


def _limits(stage: dict[str, Any]) -> tuple[float, ...]:
    """What the maps show: left, right, bottom, top. Who is further out is soon dead."""
    seen = stage["camera_bounds"]
    return seen["left"] - 10, seen["right"] + 10, seen["bottom"] - 20, seen["top"] + 20


def _heat(
    axes: Any,
    stage: dict[str, Any],
    values: dict[str, np.ndarray],
    player: int,
    name: str,
    where: tuple[float, ...],
) -> None:
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    left, right, low, high = where
    _dress(axes, f"{name}: where")
    axes.grid(False)
    bins = (int((right - left) / 3), int((high - low) / 3))
    counts, _, _ = np.histogram2d(
        values["x"][player], values["y"][player], bins=bins, range=((left, right), (low, high))
    )
    colours = LinearSegmentedColormap.from_list("own", (PANEL, COLOURS[player], "#ffffff"))
    axes.imshow(
        counts.T,
        origin="lower",
        extent=(left, right, low, high),
        cmap=colours,
        norm=PowerNorm(0.35),
        aspect="equal",
        interpolation="nearest",
    )
    axes.plot(stage["ground_x_range"], [stage["ground_y"]] * 2, color=INK, lw=1.5)
    for platform in stage["platforms"]:
        axes.plot(platform["x_range"], [platform["y"]] * 2, color=INK, lw=1)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)


def _actions(axes: Any, actions: np.ndarray, seconds: np.ndarray) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    order = list(CATEGORIES)
    table = np.array([_kind(number, order) for number in range(actions.max() + 1)])
    _dress(axes, "actions")
    axes.grid(False)
    axes.imshow(
        table[actions],
        cmap=ListedColormap([*CATEGORIES.values(), OTHER]),
        vmin=0,
        vmax=len(order),
        aspect="auto",
        interpolation="nearest",
        extent=(seconds[0], seconds[-1] + 1e-9, 1.5, -0.5),
    )
    axes.set_yticks((0, 1), ("P1", "P2"))
    axes.axhline(0.5, color=GROUND, lw=3)
    axes.set_xlabel("seconds", color=DIM, fontsize=9)
    axes.legend(
        handles=[Patch(color=c, label=n) for n, c in CATEGORIES.items()],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=len(order),
        frameon=False,
        labelcolor=DIM,
        fontsize=7,
        handlelength=0.9,
        columnspacing=0.9,
        borderaxespad=0.2,
    )


def _timing(axes: Any, taken: np.ndarray, seconds: np.ndarray) -> None:
    """Milliseconds of the generated frames, the last of the match."""
    middle, most = np.percentile(taken, (50, 99))
    _dress(axes, f"ms a frame, computed again here: median {middle:.2f}, 99 % {most:.2f}")
    axes.plot(seconds[len(seconds) - len(taken) :], taken, color="#22d3ee", lw=0.8)
    axes.set_xlim(seconds[0], seconds[-1] + 1e-9)
    axes.set_ylim(0, max(1.5 * most, 1e-3))
    axes.tick_params(labelbottom=False)


def _kind(action: int, order: list[str]) -> int:
    name = SAME.get(category(action), category(action))
    return order.index(name) if name in order else len(order)
