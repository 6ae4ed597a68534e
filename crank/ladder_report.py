"""A ladder's page: one HTML file with its pictures inside, no script, nothing fetched."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.files import write_atomically

if TYPE_CHECKING:
    from crank.ladder import Standings

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2026; background: #fff }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.1rem; margin-top: 2.2rem }
p.lead { color: #5a6472; margin-top: .2rem }
table { border-collapse: collapse; width: 100% } th { text-align: left; color: #5a6472;
  font-weight: 500 }
td, th { padding: .3rem .6rem; border-bottom: 1px solid #e3e6ea; white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
svg { max-width: 100%; height: auto }
"""
_COLUMNS = (
    ("rank", "#", True),
    ("agent", "agent", False),
    ("rating", "rating", True),
    ("rating_95", "95 %", True),
    ("elo", "Elo", True),
    ("tier", "tier", False),
    ("matches", "games", True),
    ("wins", "won", True),
    ("losses", "lost", True),
    ("draws", "drawn", True),
    ("streak", "streak", True),
)
_MOST_NAMED = 60
"""Agents beyond which the win matrix has no numbers in its cells."""


def write_report(path: Path, standings: Standings, schedule: str) -> None:
    """Write the page.

    Raises:
      AwmError: matplotlib is not installed, or the file cannot be written.
    """
    write_atomically(path, page(standings, schedule))


def page(standings: Standings, schedule: str) -> str:
    """The page's text."""
    facts = standings.facts
    head = "".join(f"<th{_kind(n)}>{title}</th>" for _, title, n in _COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td{_kind(n)}>{_cell(entry, key)}</td>" for key, _, n in _COLUMNS)
        for entry in standings.board
    )
    games = int(standings.games.sum() / 2)
    mover = facts["first_mover"]
    first = "no games"
    if mover["score"] is not None:
        low, high = mover["interval"]
        first = (
            f"player 0 scores {mover['score']:.1%} of {mover['games']:,} games "
            f"(95 % {low:.1%} to {high:.1%})"
        )
    rings = facts["intransitive"]
    shown = "".join(f"<li>{html.escape(' > '.join([*r, r[0]]))}</li>" for r in rings[:20])
    more = f"<li>and {len(rings) - 20} more</li>" if len(rings) > 20 else ""
    prior = ""
    if facts["prior_games"]:
        prior = (
            f" Some agents never won against, or never met, some others: every two agents were lent"
            f" {facts['prior_games']:g} drawn game, or their ratings would be infinite."
        )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Ladder</title><style>{_STYLE}</style>
<h1>Ladder</h1>
<p class="lead">{len(standings.board)} agents, {games:,} games, {html.escape(schedule)}</p>
<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>
<h2>Ratings</h2>
<p class="lead">Bradley-Terry over all games, in Elo units around a mean of 1200, with 95 %
intervals.{prior} Elo, beside it, depends on the order of games.</p>
{_intervals(standings)}
<h2>Who beats whom</h2>
<p class="lead">The row's share of points against the column, a draw half.</p>
{_matrix(standings)}
<h2>Facts</h2>
<ul><li>Sides: {first}.</li>
<li>Intransitive triples: {len(rings)}<ul>{shown}{more}</ul></li>
<li>Matches that ended by a value that is no number, and count for nothing: {facts["void"]}.</li>
</ul></html>
"""


def _kind(number: bool) -> str:
    return ' class="n"' if number else ""


def _cell(entry: dict[str, Any], key: str) -> str:
    value = entry[key]
    if key == "rating_95":
        return f"{value[0]:.0f} to {value[1]:.0f}"
    if key in ("rating", "elo"):
        return f"{value:.0f}"
    if key == "streak":
        return streak(value)
    if key == "agent" and entry["character"]:
        value = f"{value} ({entry['character']})"
    return html.escape(str(value))


def streak(value: int) -> str:
    """W4, L1, or a dash."""
    return f"{'W' if value > 0 else 'L'}{abs(value)}" if value else "-"


def _figure(width: float, height: float):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise AwmError(
            'the report needs matplotlib; install it: pip install "awm-jax[ladder]"'
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure) -> str:
    """A figure as inline SVG; equal figures give equal text."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "awm", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.DOTALL)


def _intervals(standings: Standings) -> str:
    board = standings.board
    figure = _figure(9, 1.0 + 0.28 * len(board))
    axes = figure.subplots()
    places = np.arange(len(board))
    middle = np.array([entry["rating"] for entry in board])
    ends = np.array([entry["rating_95"] for entry in board]).T
    axes.hlines(places, ends[0], ends[1], color="#9db4d6", linewidth=6)
    axes.plot(middle, places, "o", color="#1f4e9c", markersize=5, label="Bradley-Terry, 95 %")
    elo = [entry["elo"] for entry in board]
    axes.plot(elo, places, "|", color="#c0392b", markersize=10, label="Elo")
    axes.set_yticks(places, standings.names)
    axes.set_ylim(len(board) - 0.5, -0.5)
    axes.grid(axis="x", color="#e3e6ea")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return _svg(figure)


def _matrix(standings: Standings) -> str:
    n = len(standings.names)
    games = standings.games
    share = np.divide(standings.won, games, out=np.full((n, n), np.nan), where=games > 0)
    side = min(9.0, 2.5 + 0.55 * n)
    figure = _figure(side, side)
    axes = figure.subplots()
    axes.imshow(np.ma.masked_invalid(share), cmap="RdBu", vmin=0, vmax=1, alpha=0.75)
    if n <= _MOST_NAMED // 4:
        for i in range(n):
            for j in range(n):
                if i != j:
                    text = f"{share[i, j]:.0%}" if games[i, j] else "-"
                    colour = "white" if abs(share[i, j] - 0.5) > 0.35 else "black"
                    axes.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
    if n <= _MOST_NAMED:
        axes.set_xticks(
            np.arange(n), standings.names, rotation=60, ha="left", rotation_mode="anchor"
        )
        axes.set_yticks(np.arange(n), standings.names)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _svg(figure)
