"""The command `awm ladder`; `crank.cli` adds it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from awm_jax.cartridges import EMBEDDED
from awm_jax.console import one_line, progress
from crank.batch_cli import choices, note, rates
from crank.options import (
    Block,
    Context,
    Devices,
    EarlyKo,
    Engine,
    Json,
    MaxFrames,
    Ray,
    Seed,
    SeedAction,
    Several,
    Slots,
    World,
)


def ladder(
    agents: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="TOML, a table [[agent]] each: name, agent (noop, hold-forward, random, "
            "policy:PATH or mwm), and if wished character and button_bias.",
        ),
    ],
    matches: Annotated[int, typer.Option(metavar="N", help="How many games count; even.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="Folder of the ladder.")],
    world: World = EMBEDDED,
    schedule: Annotated[
        str, typer.Option(metavar="round-robin|swiss|adaptive", help="Who plays whom.")
    ] = "round-robin",
    stage: Several = "2,3,8,28,31,32",
    character: Annotated[
        str, typer.Option(metavar="NAMES", help="Likewise, for agents that have none.")
    ] = "2",
    max_frames: MaxFrames = 3600,
    early_ko: EarlyKo = True,
    seed: Seed = 0,
    context: Context = None,
    engine: Engine = "auto",
    seed_action: SeedAction = 0,
    slots: Slots = None,
    devices: Devices = None,
    ray: Ray = None,
    block: Block = 256,
    as_json: Json = False,
) -> None:
    """Rate a field of agents.

    Two agents meet in pairs of games with one seed and sides swapped. DIR/leaderboard.json can seed
    an arena, DIR/report.html is for people. Run again with more matches or agents, or after a kill,
    it plays only the games that DIR does not have yet. Needs: pip install "awm-jax[ladder]".

    Example: awm ladder --world world --agents agents.toml --matches 5000 --out ladder
    """
    from crank.interrupt import deferred

    with deferred() as interrupted:
        with progress("loading"):
            from crank import cache
            from crank.batch import Cluster
            from crank.batch.store import arrow
            from crank.ladder import LadderSpec, board_object, read_agents, run_ladder

            arrow()
            if interrupted():
                raise KeyboardInterrupt
            cache.enable()
            contenders = read_agents(agents)
            stages, (characters, _) = choices(stage, character, character)
            spec = LadderSpec(
                world,
                contenders,
                matches,
                schedule,
                seed,
                stages,
                characters,
                {
                    "max_frames": max_frames,
                    "early_ko": early_ko,
                    "context": context,
                    "engine": engine,
                    "seed_action": seed_action,
                },
            )
        with rates("playing", matches) as shown:
            standings = run_ladder(
                spec,
                out,
                on_progress=shown,
                say=note,
                slots=slots,
                devices=devices,
                stop=interrupted,
                cluster=Cluster(ray, block) if ray else None,
            )
    if as_json:
        counts = {"out": out, "reused": standings.reused, "played": standings.played}
        print(json.dumps(counts | board_object(standings), indent=2))
    else:
        print(describe(standings, out))


def describe(standings: Any, out: str) -> str:
    """The board for people."""
    from crank.ladder_report import streak

    head = f"{'#':>3} {'agent':20} {'rating':>7} {'95 %':>13} {'Elo':>6}  {'tier':17}"
    lines = [f"{head} {'won':>6} {'lost':>6} {'drawn':>6} {'streak':>6}"]
    for e in standings.board:
        low, high = e["rating_95"]
        interval = f"{low:.0f}..{high:.0f}"
        lines.append(
            f"{e['rank']:3} {one_line(e['agent'])[:20]:20} {e['rating']:7.0f} {interval:>13} "
            f"{e['elo']:6.0f}  {e['tier']:17} {e['wins']:6} {e['losses']:6} {e['draws']:6} "
            f"{streak(e['streak']):>6}"
        )
    facts = standings.facts
    mover = facts["first_mover"]
    if mover["score"] is not None:
        low, high = mover["interval"]
        lines += ["", f"player 0 scores {mover['score']:.1%} ({low:.1%} to {high:.1%})"]
    rings = facts["intransitive"]
    if rings:
        lines.append(
            f"{len(rings)} intransitive triples, such as {' > '.join([*rings[0], rings[0][0]])}"
        )
    if facts["prior_games"]:
        lines.append(
            "some agents never won against some others: ratings lean on "
            f"{facts['prior_games']:g} drawn game lent to every two"
        )
    lines += [
        f"{standings.played} games played, {standings.reused} from earlier runs",
        f"written    {one_line(out)}/leaderboard.json, report.html, games.parquet",
    ]
    return "\n".join(lines)
