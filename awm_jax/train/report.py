"""From sums per game to figures, intervals and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from awm_jax.train.rollout import DAMAGE_NAMES, Tally

SHOWN = (1, 5, 10, 20)
RESAMPLES = 1000


def by_horizon(tally: Tally, name: str, games: np.ndarray | None = None) -> np.ndarray:
    """(H,) mean of a score over all starts (of some games, counted as often as they are named)."""
    pick = slice(None) if games is None else games
    sums = tally.sums[pick, :, tally.names.index(name)].sum(axis=0)
    return sums / max(1, tally.count[pick].sum())


def rc(tally: Tally, games: np.ndarray | None = None, upto: int | None = None) -> float:
    """The founders' rollout coherence: mean position error over h = 1 .. 20 (or `upto`)."""
    return float(by_horizon(tally, "position", games)[:upto].mean())


def interval(tally: Tally, upto: int | None = None, seed: int = 0) -> tuple[float, float]:
    """95% of `rc` over resamples of the games."""
    rng, games = np.random.default_rng(seed), np.flatnonzero(tally.count)
    draws = [rc(tally, rng.choice(games, len(games)), upto) for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def damage(tally: Tally) -> dict[str, float]:
    """Shares: of players with new damage in the window, it was foreseen; of those without, not."""
    if tally.damage is None:
        return {}
    sums = dict(zip(DAMAGE_NAMES, tally.damage.sum(axis=0), strict=True))
    return {
        "damage_foreseen": float(sums["foreseen"] / max(1, sums["damaged"])),
        "damage_false": float(sums["false_alarm"] / max(1, sums["undamaged"])),
    }


def summary_line(tally: Tally) -> dict[str, float]:
    """The few figures that a run notes now and then."""
    position = by_horizon(tally, "position")
    line = {"rc": rc(tally), "rc5": rc(tally, upto=5)}
    line |= {f"position_h{h}": float(position[h - 1]) for h in SHOWN}
    wrong = by_horizon(tally, "action")
    line |= {f"action_accuracy_h{h}": float(1 - wrong[h - 1]) for h in SHOWN}
    line["percent_h20"] = float(by_horizon(tally, "percent")[-1])
    return line | damage(tally)


def report(tally: Tally, groups: dict[str, np.ndarray] | None = None) -> dict[str, Any]:
    """Everything about one model, as plain data.

    Args:
      groups: name -> games (indices), such as the games of a stage; each gets its own RC.
    """
    position = by_horizon(tally, "position")
    out: dict[str, Any] = {
        "starts": int(tally.count.sum()),
        "games": int((tally.count > 0).sum()),
        "rc": rc(tally),
        "rc_interval": interval(tally),
        "rc_1_5": rc(tally, upto=5),
        "rc_1_5_interval": interval(tally, 5),
        "position": position.tolist(),
    }
    if "action" in tally.names:
        out["action_accuracy"] = (1 - by_horizon(tally, "action")).tolist()
        out["percent"] = by_horizon(tally, "percent").tolist()
        out["velocity"] = by_horizon(tally, "velocity").tolist()
        skip = ("position", "action_changed", "action_changed_right")
        out["fields"] = {
            name: by_horizon(tally, name).tolist() for name in tally.names if name not in skip
        }
    if "action_changed" in tally.names:
        changed = by_horizon(tally, "action_changed")
        right = by_horizon(tally, "action_changed_right")
        out["action_change_accuracy"] = [
            float(r / c) if c else None for r, c in zip(right, changed, strict=True)
        ]
    out |= damage(tally)
    if groups:
        out["groups"] = {
            name: {"starts": int(tally.count[games].sum()), "rc": rc(tally, games)}
            for name, games in groups.items()
            if tally.count[games].sum()
        }
    return out


def worse_than_copy(model: dict[str, Any], copy: dict[str, Any]) -> list[str]:
    """ "field h N" wherever a model's field errs more than a copy of the last frame."""
    return [
        f"{name} h {h + 1}"
        for name, errors in model["fields"].items()
        if name in copy["fields"]
        for h, (own, theirs) in enumerate(zip(errors, copy["fields"][name], strict=True))
        if own > theirs + 1e-9
    ]


def table(reports: dict[str, dict[str, Any]], shown: Sequence[int] = SHOWN) -> str:
    """Models side by side, one a line."""
    heads = ["", "RC", "95%", "1..5", *(f"h{h}" for h in shown)]
    heads += [f"act {h}" for h in shown] + ["pct 20", "dmg", "false"]
    lines = [heads]
    for name, r in reports.items():
        low, high = r["rc_interval"]
        cells = [name, f"{r['rc']:.3f}", f"{low:.2f}-{high:.2f}", f"{r['rc_1_5']:.3f}"]
        cells += [f"{r['position'][h - 1]:.3f}" for h in shown if h <= len(r["position"])]
        if "action_accuracy" in r:
            cells += [f"{100 * r['action_accuracy'][h - 1]:.1f}" for h in shown]
            cells.append(f"{r['percent'][-1]:.3f}")
        if "damage_foreseen" in r:
            cells += [f"{100 * r['damage_foreseen']:.1f}", f"{100 * r['damage_false']:.2f}"]
        lines.append(cells + [""] * (len(heads) - len(cells)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    rows = [
        "  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
    ]
    return "\n".join(row.rstrip() for row in rows)
