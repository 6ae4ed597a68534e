"""The commands `awm mind train`, `practise` and `picture`; `crank.cli` adds them."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from awm_jax.console import one_line, progress
from crank.options import PLAIN, TrainSeed

mind = typer.Typer(
    name="mind",
    help="Mental World Models: learn one, look into one. As an agent it plays as mwm:PATH.",
    **PLAIN,
)


@mind.command()
def train(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A .jsonl log, or a folder of `awm data build`.")
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder of the run.")],
    steps: Annotated[int, typer.Option(min=2, help="Steps of the optimiser.")] = 2000,
    latent_dim: Annotated[int, typer.Option(min=1, help="Width of the latent.")] = 256,
    iwm_dim: Annotated[int, typer.Option(min=1, help="Width of the visual latent.")] = 768,
    window: Annotated[int, typer.Option(min=2, help="Steps in a row.")] = 16,
    games: Annotated[int | None, typer.Option(min=1, help="Use only the first N games.")] = None,
    seed: TrainSeed = 0,
) -> None:
    """Learn a mind, or go on with the run in OUT.

    Writes OUT/mind.safetensors with its settings beside it. Needs the extras mwm and train.

    Example: awm mind train log.jsonl run --steps 500
    """
    with progress("reading"):
        from awm_jax.mwm.training.job import WEIGHTS, MindConfig, MindJob
        from awm_jax.mwm.training.steps import split
        from awm_jax.train.trainer import TrainConfig
        from awm_jax.train.trainer import train as run

        steps_of, skipped = _read(source, iwm_dim, games)
    with progress("preparing"):
        config = MindConfig(latent_dim=latent_dim, iwm_dim=iwm_dim, window=window, seed=seed)
        job = MindJob(config, *split(steps_of))
    for number, reason in skipped:
        print(f"note: line {number} skipped: {one_line(reason)}", file=sys.stderr)
    every = max(1, steps // 20)
    settings = TrainConfig(
        steps=steps, rate=1e-3, log_every=every, save_every=5 * every, judge_every=10 * every
    )
    with progress("learning", steps, "steps") as advance:
        last = run(job, settings, out, on_log=lambda line: advance(every))
    unseen = f", {last['valid_loss']:.3f} on what it has not seen" if "valid_loss" in last else ""
    print(f"learned    {len(steps_of):,} steps in a row, loss {last['loss']:.3f}{unseen}")
    print(f"written    {one_line(os.path.join(out, WEIGHTS))}")


def _read(source: str, iwm_dim: int, games: int | None) -> tuple[Any, list[tuple[int, str]]]:
    from awm_jax.mwm.training.steps import steps_of_log

    if not os.path.isdir(source):
        from awm_jax.mwm.training.logs import TrainingDataset

        dataset = TrainingDataset.load_jsonl(source, iwm_dim=iwm_dim)
        return steps_of_log(dataset, iwm_dim), dataset.skipped
    from awm_jax.encoding import EncodingConfig
    from awm_jax.mwm.training.replays import both_sides, joined
    from awm_jax.train.data import encode_records, open_data

    cfg, data, parts = EncodingConfig(), open_data(source, "train"), []
    for entry, rows in list(zip(data.entries, data.games, strict=True))[:games]:
        parts += both_sides(cfg, *encode_records(rows, entry.stage, cfg))
    return joined(parts), []


@mind.command()
def practise(
    begin: Annotated[str, typer.Argument(metavar="MIND", help="The mind to go on from.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder of the rounds.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often it plays and learns.")] = 1,
    matches: Annotated[
        int, typer.Option(min=1, help="Of a round, against each opponent on each side.")
    ] = 48,
    decisions: Annotated[
        int, typer.Option(min=3, help="Of a match at most; ten are a second.")
    ] = 220,
    learn: Annotated[int, typer.Option(min=2, help="Steps of the optimiser a round.")] = 400,
    seed: TrainSeed = 0,
) -> None:
    """Let a mind learn from its own matches in the embedded cartridge, against noop and random.

    Or go on with what OUT holds: more rounds, or those that a kill left out. Writes
    OUT/round-N/run/mind.safetensors. Needs the extras mwm and train.

    Example: awm mind practise run/mind.safetensors practised --rounds 2
    """
    with progress("reading"):
        from awm_jax.cartridges import EMBEDDED
        from awm_jax.int8.agents import Noop, Random
        from awm_jax.mwm.network import Mind
        from awm_jax.mwm.training.job import WEIGHTS
        from awm_jax.mwm.training.rounds import RoundsConfig, improve
        from converters.mwm import load_mwm
        from crank.integer import load_world

        def load(path: str) -> Mind:
            return Mind.of(load_mwm(path).model)

        world, start = load_world(EMBEDDED, None, "auto")[0], load(begin)
    config = RoundsConfig(
        rounds=rounds, matches=matches, decisions=decisions, learn=learn, seed=seed
    )
    with progress("practising", rounds, "rounds") as advance:
        improve(
            world,
            start,
            [Noop(), Random()],
            out,
            config,
            load=load,
            on_round=lambda *_: advance(1),
        )
    print(f"written    {one_line(os.path.join(out, f'round-{rounds - 1}', 'run', WEIGHTS))}")


@mind.command()
def picture(
    checkpoint: Annotated[str, typer.Argument(metavar="MIND", help="What mwm:PATH would name.")],
    game: Annotated[str, typer.Argument(metavar="GAME", help="A .slp or .slx file.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="PNG")] = "mind.png",
    player: Annotated[int, typer.Option(min=0, max=1, help="In whose place it watches.")] = 0,
) -> None:
    """Draw what a mind feels while it watches a real game: threat, curiosity, value, surprise.

    Needs the extras train and replay.

    Example: awm mind picture run/mind.safetensors game.slp
    """
    with progress("watching"):
        import jax.numpy as jnp

        from awm_jax.encoding import EncodingConfig
        from awm_jax.game.frames import Frames
        from awm_jax.replays.encode import encode_columns
        from awm_jax.replays.slippi import read_game
        from crank.mind import draw, mind_agent, trace

        cfg = EncodingConfig()
        agent, _ = mind_agent(checkpoint, cfg)
        found = read_game(game)
        floats, ints = encode_columns(found.columns, found.stage, cfg)
        frames = Frames(*map(jnp.asarray, (floats, ints)))
        draw(trace(agent, frames, player), output)
    print(f"written    {one_line(output)}")


def add(app: typer.Typer) -> None:
    """Add these commands to `awm`."""
    app.add_typer(mind)
