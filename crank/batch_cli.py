"""The command `awm batch`; `crank.cli` adds it."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awm_jax.cartridges import EMBEDDED
from awm_jax.console import one_line, progress
from awm_jax.errors import AwmError
from crank.options import (
    Block,
    ButtonBias,
    Context,
    Devices,
    EarlyKo,
    Engine,
    Json,
    MaxFrames,
    Ray,
    Seed,
    SeedAction,
    SeedNoise,
    Several,
    Slots,
    World,
)

if TYPE_CHECKING:
    from crank.batch.running import Progress


def batch(
    matches: Annotated[int, typer.Option(metavar="N", help="How many.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="Folder of the run.")],
    world: World = EMBEDDED,
    p0: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AGENT",
            help="noop, hold-forward, random, policy:PATH or mwm. Repeat it for more: the pairs of "
            "all --p0 with all --p1 play in turn.",
        ),
    ] = None,
    p1: Annotated[list[str] | None, typer.Option(metavar="AGENT", help="Likewise.")] = None,
    stage: Several = "32",
    p0_char: Several = "2",
    p1_char: Several = "2",
    max_frames: MaxFrames = 600,
    early_ko: EarlyKo = True,
    seed: Seed = 0,
    context: Context = None,
    engine: Engine = "auto",
    button_bias: ButtonBias = 0.0,
    seed_noise: SeedNoise = 0.0,
    seed_action: SeedAction = 0,
    record: Annotated[
        str,
        typer.Option(
            metavar="none|all|I,J,...", help="Matches whose every frame goes to frames.parquet."
        ),
    ] = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    save_every: Annotated[
        float, typer.Option(metavar="S", help="Seconds of work that a kill may cost.")
    ] = 5.0,
    slots: Slots = None,
    devices: Devices = None,
    ray: Ray = None,
    block: Block = 256,
    as_json: Json = False,
) -> None:
    """Play thousands of matches at once.

    The table of all matches is written to DIR/matches.parquet, every match with the digest that
    `awm play --digest` gives for its seed. A run that was killed goes on with --resume, and its
    table is the same to the byte. Needs pyarrow: pip install "awm-jax[batch]".

    Example: awm batch --world world --p0 random --p1 hold-forward --matches 1000 --out runs/a
    """
    from crank.interrupt import deferred

    with deferred() as interrupted:
        with progress("loading"):
            from crank import cache
            from crank.batch import BatchSpec, Cluster, Entrant, draw_matches, run_batch
            from crank.batch.loading import load
            from crank.batch.store import arrow

            arrow()
            if interrupted():
                raise KeyboardInterrupt
            cache.enable()
            first, second = (given or ["hold-forward"] for given in (p0, p1))
            pairs = [(a, b) for a in first for b in second]
            stages, characters = choices(stage, p0_char, p1_char)
            loaded = load(
                BatchSpec(
                    world,
                    {a: Entrant(a, button_bias) for a in [*first, *second]},
                    draw_matches(pairs, matches, seed=seed, stages=stages, characters=characters),
                    max_frames=max_frames,
                    early_ko=early_ko,
                    context=context,
                    engine=engine,
                    seed_noise=seed_noise,
                    seed_action=seed_action,
                )
            )
        with rates("playing", matches) as shown:
            results = run_batch(
                loaded,
                out,
                resume=resume,
                slots=slots,
                devices=devices,
                record=_recorded(record, matches),
                save_every=save_every,
                on_progress=shown,
                say=note,
                stop=interrupted,
                cluster=Cluster(ray, block) if ray else None,
            )
    summary = {"out": out, **results.summary()}
    print(json.dumps(summary, indent=2) if as_json else describe(summary))


def choices(
    stage: str, p0_char: str, p1_char: str
) -> tuple[list[int], tuple[list[int], list[int]]]:
    """Ids of the stages and of both players' characters that are named, with commas between.

    Raises:
      AwmError: no such stage or character.
    """
    from awm_jax.encoding import EncodingConfig
    from awm_jax.game.characters import parse_character
    from awm_jax.game.stages import parse_stage

    cfg = EncodingConfig()  # a world that knows fewer refuses the others when it is loaded

    def several(text: str, parse: Callable[[str, int], int], count: int) -> list[int]:
        return [parse(name.strip(), count) for name in text.split(",") if name.strip()]

    first, second = (
        several(text, parse_character, cfg.character_vocab) for text in (p0_char, p1_char)
    )
    return several(stage, parse_stage, cfg.stage_vocab), (first, second)


def note(sentence: str) -> None:
    """Say something beside the result."""
    print(f"note: {one_line(sentence)}", file=sys.stderr)


def _recorded(text: str, matches: int) -> list[int]:
    if text in ("none", "all"):
        return list(range(matches)) if text == "all" else []
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise AwmError(f"--record {text!r} is none of none, all, or indices with commas") from None


@contextlib.contextmanager
def rates(label: str, total: int) -> Iterator[Callable[[Progress], None]]:
    """Show matches, matches/s, frames/s and the time that is left, on stderr."""
    last = time.monotonic()
    if not sys.stderr.isatty():

        def line(p: Progress) -> None:
            nonlocal last
            if time.monotonic() - last >= 2.0 and p.seconds > 0:
                last = time.monotonic()
                print(f"{label}: {p.matches}/{p.total} matches, {_rates(p)}", file=sys.stderr)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} matches"),
        TextColumn("{task.fields[rates]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, rates="")
        yield lambda p: bar.update(task, completed=p.matches, rates=_rates(p))


def _rates(p: Any) -> str:
    return f"{p.played / p.seconds:.1f} matches/s, {p.frames / p.seconds:,.0f} frames/s"


def describe(summary: dict[str, Any]) -> str:
    """A run's summary for people."""
    length = summary["length"]
    ended = ", ".join(f"{count} by {reason}" for reason, count in summary["ended"].items())
    lines = [
        f"{summary['matches']} matches, {summary['frames']:,} frames; ended: {ended}",
        f"player 0 won {summary['p0_wins']}, player 1 won {summary['p1_wins']}, "
        f"{summary['draws']} draws; frames {length['least']} to {length['most']}, "
        f"median {length['median']}",
        "",
        _row("agent", "games", "won", "lost", "drawn", "stocks", "percent"),
    ]
    for name, a in summary["agents"].items():
        counts = a["matches"], a["wins"], a["losses"], a["draws"]
        differences = f"{a['stocks_difference']:+.2f}", f"{a['percent_difference']:+.1f}"
        lines.append(_row(one_line(name)[-24:], *counts, *differences))
    lines += [
        "",
        f"{'stage':24} {'games':>7} {'p0 won':>7} {'p1 won':>7} {'drawn':>6} {'median':>7}",
    ]
    for name, s in summary["stages"].items():
        lines.append(
            f"{name:24} {s['matches']:7} {s['p0_wins']:7} {s['p1_wins']:7} {s['draws']:6} "
            f"{s['length']['median']:7}"
        )
    return "\n".join([*lines, "", f"written    {one_line(summary['out'])}/matches.parquet"])


def _row(name: str, *values: object) -> str:
    return f"{name:24}" + "".join(f"{value:>9}" for value in values)
