"""The commands `awm data`, `awm train` and `awm evaluate`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awm_jax.console import progress
from awm_jax.errors import AwmError
from crank.options import PLAIN, Json, TrainSeed

if TYPE_CHECKING:
    from awm_jax.fp32.mamba2 import FrameStackMamba2
    from awm_jax.fp32.network import Network

data = typer.Typer(name="data", help="Real games as arrays to learn from.", **PLAIN)
train = typer.Typer(name="train", help="Learn a world or a policy from real games.", **PLAIN)

Folder = Annotated[str, typer.Argument(metavar="DATA", help="A folder of `awm data build`.")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="Folder of the run.")]
Config = Annotated[str, typer.Option("--config", metavar="NAME", help="tiny, small, production.")]
Steps = Annotated[int | None, typer.Option("--steps", min=2, help="In all.")]


@data.command()
def build(
    sources: Annotated[list[str], typer.Argument(metavar="DIR...", help="Replays, or folders.")],
    out: Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="The data folder.")],
    split: Annotated[str, typer.Option(help="Of games that no index.csv lists.")] = "train",
    licensed: Annotated[
        bool, typer.Option("--licensed", help="Only games with a stated licence.")
    ] = False,
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="Also recordings without speeds.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Reading processes.")] = None,
    as_json: Json = False,
) -> None:
    """Build or extend a data folder; games that are in it are not read again."""
    from awm_jax.train.data import REQUIRED
    from awm_jax.train.data import build as build_data

    require = () if all_versions else REQUIRED
    with progress("reading", None, "games") as advance:
        before = 0

        def report(done: int, total: int) -> None:
            nonlocal before
            advance(done - before)
            before = done

        summary = build_data(
            sources,
            out,
            require=require,
            split=split,
            licensed=licensed,
            jobs=jobs,
            on_progress=report,
        )
    print(json.dumps(summary, indent=2) if as_json else _summary(summary))


@data.command()
def show(folder: Folder, as_json: Json = False) -> None:
    """What a data folder holds."""
    from awm_jax.train.data import open_data
    from awm_jax.train.data import summary as summarise

    found = summarise(open_data(folder).entries)
    print(json.dumps(found, indent=2) if as_json else _summary(found))


@train.command()
def world(
    folder: Folder,
    out: Out,
    config: Annotated[
        str, typer.Option("--config", metavar="NAME", help="tiny, small, rounded, production.")
    ] = "small",
    steps: Steps = None,
    seed: TrainSeed = 0,
    begin: Annotated[
        str | None, typer.Option(metavar="CKPT", help="Begin with the weights of this world.")
    ] = None,
) -> None:
    """Train a world, or go on with the run in OUT: it may be killed at any moment.

    A cartridge plays better if its world has learned to be rounded: train on with
    --config rounded --begin WORLD.
    """
    from awm_jax.fp32.network import Network
    from awm_jax.train import trainer
    from awm_jax.train import world as worlds
    from awm_jax.train.balance import prepare
    from awm_jax.train.data import open_data, stretches

    settings = _preset(worlds.PRESETS, config, steps, seed)
    if settings.rounded and begin is None:
        raise AwmError(f"--config {config} goes on with a trained world; give it with --begin")
    model = _world(begin) if begin else None
    games = open_data(folder, "train", worlds.REQUIRED)
    if model is not None and settings.rounded and model.codes is None:
        with progress("calibrating"):
            model = prepare(model, list(stretches(games, model.cfg)))
    job = worlds.WorldJob(
        settings,
        games,
        open_data(folder, "valid", worlds.REQUIRED),
        begin=None if model is None else Network.of(model),
    )
    _run(trainer, job, settings, out)


@train.command()
def policy(
    folder: Folder,
    out: Out,
    config: Config = "small",
    steps: Steps = None,
    seed: TrainSeed = 0,
    character: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whom to clone; everybody if absent.")
    ] = None,
    player: Annotated[
        str | None, typer.Option(metavar="HASH", help="A person, by p0_id or p1_id of index.csv.")
    ] = None,
) -> None:
    """Clone players, or go on with the run in OUT."""
    from awm_jax.game.characters import parse_character
    from awm_jax.train import policy as policies
    from awm_jax.train import trainer
    from awm_jax.train.data import open_data

    settings = _preset(policies.PRESETS, config, steps, seed)
    number = None
    if character is not None:
        number = parse_character(character, settings.encoding.character_vocab)
    settings = dataclasses.replace(settings, character=number, player=player)
    job = policies.PolicyJob(settings, open_data(folder, "train", ("speed_air_x",)))
    try:
        job.valid = policies.Samples(open_data(folder, "valid", ("speed_air_x",)), settings)
    except AwmError:  # a person's games are all on one side
        job.valid = None
    _run(trainer, job, settings, out)


@train.command()
def practice(
    out: Out,
    world: Annotated[str, typer.Option(metavar="CKPT", help="Where it plays: a Mamba2 world.")],
    clone: Annotated[str, typer.Option(metavar="CKPT", help="Who practises.")],
    character: Annotated[str, typer.Option(metavar="NAME", help="Whom it plays.")],
    against: Annotated[
        list[str],
        typer.Option(metavar="NAME=CKPT", help="A character and who plays it; repeatable."),
    ],
    begin: Annotated[
        str | None, typer.Option(metavar="CKPT", help="Begin with this one, staying near CLONE.")
    ] = None,
    steps: Steps = None,
    seed: TrainSeed = 0,
) -> None:
    """Let a clone play in a world and learn to keep its stocks, or go on with the run in OUT.

    It stays near the person that it was cloned from. What it plays against does not learn.
    """
    from awm_jax.fp32.world import Fp32World
    from awm_jax.game.characters import parse_character
    from awm_jax.train import practice as practising
    from awm_jax.train import trainer
    from crank.make_cartridge import named

    network = _network(world)
    vocab = network.cfg.character_vocab
    others = [
        (_policy(path), parse_character(name, vocab))
        for name, path in named(against, "--against").items()
    ]
    settings = practising.PracticeConfig(seed=seed)
    if steps is not None:
        schedule = dataclasses.replace(settings.train, steps=steps)
        settings = dataclasses.replace(settings, train=schedule)
    job = practising.PracticeJob(
        settings,
        Fp32World(network, recurrent=True),
        _policy(clone),
        parse_character(character, vocab),
        others,
        start=_policy(begin) if begin else None,
    )
    _run(trainer, job, settings, out)


@train.command()
def cartridge(
    folder: Folder,
    world: Annotated[str, typer.Option(metavar="CKPT", help="The world, of `awm train world`.")],
    out: Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="Its folder.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=CKPT", help="A policy to take along; repeatable."),
    ] = None,
    planes: Annotated[
        int, typer.Option(min=1, max=2, help="int8 planes of the codes inside a layer.")
    ] = 1,
    starts: Annotated[int, typer.Option(min=0, help="To judge on; 0 for every one.")] = 3000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    as_json: Json = False,
) -> None:
    """Quantise trained networks into a cartridge with its model card."""
    from awm_jax.train.report import table
    from crank.make_cartridge import make_cartridge, named

    with progress("making", None, "parts") as advance:
        made, reports = make_cartridge(
            folder,
            world,
            named(policy or []),
            out,
            planes=planes,
            starts=starts,
            overwrite=overwrite,
            on_step=lambda _: advance(),
        )
    if as_json:
        print(json.dumps({"output": out, "hash": made.hash, "reports": reports}))
    else:
        print(f"{table(reports)}\n\ncartridge {made.hash}\nwritten to {out}")


def evaluate(
    world: Annotated[str, typer.Argument(metavar="WORLD", help="What `awm play --world` takes.")],
    folder: Folder,
    split: Annotated[str, typer.Option(help="Which games.")] = "valid",
    starts: Annotated[int, typer.Option(min=0, help="How many; 0 for every one.")] = 3000,
    rule: Annotated[str, typer.Option(help="match or founders.")] = "match",
    mode: Annotated[
        str, typer.Option(help="Of a float world: recurrent, windowed or both.")
    ] = "both",
    against: Annotated[
        str | None,
        typer.Option("--float", metavar="CKPT", help="Of a cartridge: its float world beside it."),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="JSON file.")] = None,
    picture: Annotated[str | None, typer.Option(metavar="PNG", help="Curves.")] = None,
    free_run: Annotated[
        bool,
        typer.Option("--free-run", help="Let its policies fight instead, beside real games."),
    ] = False,
    matches: Annotated[int, typer.Option(min=1, help="Of a free run.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of a free run.")] = 0,
    as_json: Json = False,
) -> None:
    """Judge a world on real games with real controllers, beside what needs no network.

    With --free-run the policies of a cartridge play whole matches, and how they fight, fall and end
    stands beside the same statistics of real games.
    """
    if free_run:
        _free_run(world, folder, split, matches, seed, output, as_json)
        return
    from awm_jax.train import evaluate as judging
    from awm_jax.train.data import open_data
    from awm_jax.train.report import table
    from awm_jax.train.rollout import MODES
    from converters.cartridge import is_cartridge

    integer, floats = None, world
    if is_cartridge(world):
        from crank.integer import load_world

        integer, floats = load_world(world, None, "auto")[0], against
    network = _network(floats) if floats else None
    modes = MODES if mode == "both" else (mode,)
    with progress("judging", None, "parts") as advance:
        reports = judging.evaluate(
            open_data(folder, split, ("speed_air_x", "hitlag")),
            network,
            integer=integer,
            starts=starts or None,
            modes=modes,
            rule=rule,
            on_progress=lambda _: advance(),
        )
    if output:
        judging.save(reports, output)
    if picture:
        judging.draw(reports, picture)
    if as_json:
        print(json.dumps(reports))
        return
    print(table(reports))
    for name, values in reports.items():
        if values.get("worse_than_copy"):
            fields = dict.fromkeys(w.rsplit(" h ", 1)[0] for w in values["worse_than_copy"])
            print(f"{name} is worse than {judging.COPY} somewhere in: {', '.join(fields)}")


def _free_run(
    world: str, folder: str, split: str, matches: int, seed: int, output: str | None, as_json: bool
) -> None:
    from awm_jax.files import write_atomically
    from awm_jax.train.data import open_data
    from converters.cartridge import is_cartridge, read_cartridge
    from crank import freerun
    from crank.batch_cli import rates

    if not is_cartridge(world):
        raise AwmError(f"{world}: a free run needs a cartridge with policies")
    policies = sorted(read_cartridge(world).policies)
    real = freerun.real_games(open_data(folder, split, ("speed_air_x", "hitlag")))
    with rates("playing", matches) as shown:
        games = freerun.free_games(world, policies, matches, seed=seed, on_progress=shown)
        free = freerun.summarise(map(freerun.measure, games))
    reports = {"free run": free, "real games": freerun.summarise(map(freerun.measure, real))}
    if output:
        write_atomically(output, json.dumps(reports, indent=1) + "\n")
    print(json.dumps(reports) if as_json else freerun.table(*reports.values()))


def _network(path: str) -> Network:
    from awm_jax.fp32.network import Network

    return Network.of(_world(path))


def _world(path: str) -> FrameStackMamba2:
    from awm_jax.fp32.mamba2 import FrameStackMamba2
    from converters import load

    loaded = load(path)
    if not isinstance(loaded.model, FrameStackMamba2):
        raise AwmError(f"{path}: is no Mamba2 world in float32")
    return loaded.model


def _policy(path: str) -> Network:
    from awm_jax.fp32.network import Network
    from awm_jax.fp32.policy import PolicyMLP
    from converters import load

    loaded = load(path)
    if not isinstance(loaded.model, PolicyMLP):
        raise AwmError(f"{path}: is no policy in float32")
    return Network.of(loaded.model)


def _preset(presets: dict[str, Any], name: str, steps: int | None, seed: int) -> Any:
    if name not in presets:
        raise AwmError(f"no configuration {name!r}; give one of {', '.join(presets)}")
    config = dataclasses.replace(presets[name], seed=seed)
    if steps is not None:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))
    return config


def _run(trainer: Any, job: Any, settings: Any, out: str) -> None:
    with progress("training", settings.train.steps, "steps") as advance:
        done = 0

        def log(line: dict[str, Any]) -> None:
            nonlocal done
            advance(line["step"] - done)
            done = line["step"]

        last = trainer.train(job, settings.train, out, on_log=log)
    figures = {n: v for n, v in last.items() if isinstance(v, float)}
    print("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))


def _summary(summary: dict[str, Any]) -> str:
    lines = [f"{summary['games']} games, {summary['frames']:,} frames"]
    for part in ("splits", "stages", "characters"):
        lines.append(f"\n{part[:-1]:22} games      frames")
        for name, row in summary[part].items():
            lines.append(f"{name:22} {row['games']:5}  {row['frames']:10,}")
    refused: dict[str, int] = {}
    for reason in summary.get("refused", {}).values():
        refused[reason] = refused.get(reason, 0) + 1
    if refused:
        lines.append("\nrefused")
        lines += [f"{count:5}  {reason}" for reason, count in sorted(refused.items())]
    return "\n".join(lines)


def add(app: typer.Typer) -> None:
    """Add these commands to `awm`."""
    app.add_typer(data)
    app.add_typer(train)
    app.command()(evaluate)
