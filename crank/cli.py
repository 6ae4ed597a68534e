"""The command `awm`. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import awm_jax
from awm_jax.cartridges import EMBEDDED
from awm_jax.console import one_line, progress
from awm_jax.errors import AwmError
from crank import FORMATS, batch_cli, ladder_cli, mind_cli, solana_cli, training_cli, watch_cli
from crank.options import (
    ButtonBias,
    Character,
    Context,
    EarlyKo,
    Engine,
    Json,
    MaxFrames,
    Seed,
    SeedAction,
    SeedNoise,
    Stage,
    World,
)
from crank.solana_options import RPC, Program, Rpc, node_at, session_at, verify_session

if TYPE_CHECKING:
    from crank.playing import Match
    from crank.solana.client import SessionVerdict
    from crank.verify import Verdict

PROG = "awm"
DEMO_FOLDER = "demo-out"

# Plain help: rich's boxes would double the time until it shows.
app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Play matches inside a neural network.

    The network is the physics of a fighting game: from the last frames and both players'
    controllers it makes the next frame. A checkpoint goes in, a match file for the viewers comes
    out.""",
    epilog="""\b
    Examples:
      awm demo                               a first look: two trained policies fight
      awm play --world best.pt               600 frames of a PyTorch checkpoint
      awm play --world world --p0 random --p1 policy:bot.pt --stage battlefield
      awm replay game.slp                    a real game as a match file
      awm watch match.json                   look at it in the browser
      awm verify match.json                  compute a cartridge's match again and compare
      awm batch --world world --matches 1000 --out runs/a   thousands of matches at once
      awm ladder --world world --agents agents.toml --matches 500 --out ladder
      awm doctor                             what this machine has

    Exit codes: 0 done, 1 found wanting, 2 usage or bad input, 130 interrupted.""",
)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        _print(f"{PROG} {awm_jax.__version__}")
    elif context.invoked_subcommand is None:
        _print(context.get_help())


Output = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The match file.")]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="object|array",
        help="object: the whole match, for the site; array: the frames alone, for the two HTML "
        "viewers.",
    ),
]
AGENTS = "noop, hold-forward, random, policy:CKPT or mwm (a mind; mwm:PATH)."


@app.command()
def play(
    world: World = EMBEDDED,
    p0: Annotated[str, typer.Option(metavar="AGENT", help=f"Player 0: {AGENTS}")] = "hold-forward",
    p1: Annotated[str, typer.Option(metavar="AGENT", help=f"Player 1: {AGENTS}")] = "hold-forward",
    stage: Stage = None,
    p0_char: Character = None,
    p1_char: Character = None,
    max_frames: MaxFrames = 600,
    early_ko: EarlyKo = True,
    seed: Seed = 0,
    context: Context = None,
    engine: Engine = "auto",
    digest: Annotated[
        bool, typer.Option("--digest", help="Print the digest of the match alone.")
    ] = False,
    button_bias: ButtonBias = 0.0,
    seed_noise: SeedNoise = 0.0,
    noise_per_frame: Annotated[
        bool,
        typer.Option("--noise-per-frame", help="Anew in every seed frame, as the founders do."),
    ] = False,
    seed_action: SeedAction = 0,
    seed_replay: Annotated[
        str | None, typer.Option(metavar="GAME", help="Start from a real game (.slp or .slx).")
    ] = None,
    start_frame: Annotated[
        int, typer.Option(metavar="N", help="Where in that game; 0 is GO, -123 its first frame.")
    ] = 0,
    output: Output = "match.json",
    form: Form = "object",
    html: Annotated[
        str | None,
        typer.Option(metavar="OUT", help="Also write a page that shows it, one file for friends."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Play one match.

    Two agents fight in a world until one has lost all stocks or the frames are over. Equal
    arguments give an equal file. Ctrl-C ends the match and saves what was played.

    Example: awm play --world world --p0 random --stage battlefield --p0-char fox
    """
    _check_output(output, form)
    if html is not None:
        _check_output(html, form)
    match, summary = _play(
        output,
        form,
        world,
        p0,
        p1,
        stage=stage,
        characters=(p0_char, p1_char),
        max_frames=max_frames,
        early_ko=early_ko,
        seed=seed,
        context=context,
        engine=engine,
        button_bias=button_bias,
        seed_noise=seed_noise,
        noise_per_frame=noise_per_frame,
        seed_action=seed_action,
        seed_replay=seed_replay,
        start_frame=start_frame,
    )
    if html is not None:
        watch_cli.write_page(match.to_object(), html)
        summary["html"] = html
    if digest:
        _print(match.digest)
    else:
        _print(json.dumps(summary, indent=2) if as_json else _describe(match, summary))
    return _exit_code(match)


@app.command()
def verify(
    match: Annotated[
        str | None, typer.Argument(metavar="MATCH", help="A match file.", show_default=False)
    ] = None,
    world: Annotated[
        str | None,
        typer.Option(metavar="CARTRIDGE", help="Default: the one that the file names."),
    ] = None,
    engine: Engine = "auto",
    resim: Annotated[
        int,
        typer.Option(metavar="N", help="At each frame go back N frames and simulate them again."),
    ] = 0,
    session: Annotated[
        str | None,
        typer.Option(metavar="PUBKEY", help="Instead of a file: a match on Solana."),
    ] = None,
    rpc: Rpc = RPC,
    program: Program = None,
    as_json: Json = False,
) -> int:
    """Compute a recorded match again, from its seed and inputs, and compare every frame.

    With --session what its chain holds is the record: the start from the session's seed, the
    inputs from its history; the whole state is compared.

    Exit 0 when all is equal, 1 with the first difference when not.

    Example: awm verify match.json --resim 7
    """
    if (match is None) == (session is None):
        raise AwmError("name what is verified: a match file, or a session with --session")
    if match is None:
        verdict = _verify_session(session or "", world or EMBEDDED, engine, rpc, program)
    else:
        verdict = _verify_file(match, world, engine, resim)
    if as_json:
        _print(json.dumps(verdict.to_dict(), indent=2))
    else:
        _print(verdict.sentence)
    return 0 if verdict.holds else 1


def _verify_file(match: str, world: str | None, engine: str, resim: int) -> Verdict:
    with progress("reading"):
        from crank import cache
        from crank.verify import open_match, verify

        cache.enable()
        ready, content = open_match(match, world, engine)
    with progress("verifying", len(content["frames"]), "frames") as advance:
        return verify(ready, content, resim=resim, on_frame=advance)


def _verify_session(
    address: str, world: str, engine: str, rpc: str, program: str | None
) -> SessionVerdict:
    with node_at(rpc, True) as node, progress("verifying", None, "frames") as advance:
        return verify_session(node, session_at(address, program), world, engine, advance)


@app.command()
def export(
    match: Annotated[str, typer.Argument(metavar="MATCH", help="A match file.")],
    output: Output = "match.bin",
    as_json: Json = False,
) -> None:
    """Write a match for awm-replay-check, the checker that needs no Python.

    The file holds the seed frames, both players' inputs and the digest: enough to compute the match
    again, nothing computed. The checker's other file, the world, is what awm-convert image writes.
    The checker is one C program; docs/integer-spec.md shows how it is compiled and run.

    Example: awm export match.json --output match.bin
    """
    _check_output(output, "object")
    with progress("reading"):
        from awm_jax.files import write_atomically
        from crank.verify import export_match

        data, frames, digest = export_match(match)
        write_atomically(output, data)
    if as_json:
        found = {"output": output, "bytes": len(data), "frames": frames, "digest": digest}
        _print(json.dumps(found, indent=2))
    else:
        _print(f"{frames} frames, digest {digest}\nwritten to {one_line(output)}")


@app.command()
def replay(
    game: Annotated[str, typer.Argument(metavar="GAME", help="A .slp, .slp.xz or .slx file.")],
    output: Output = "match.json",
    form: Form = "object",
    as_json: Json = False,
) -> None:
    """Turn a real game into a match file.

    Needs peppi-py: pip install "awm-jax[replay]".

    Example: awm replay game.slp --output match.json
    """
    _check_output(output, form)
    with progress(f"reading {one_line(Path(game).name)}"):
        from crank import viz
        from crank.replay import replay_object

        match = replay_object(game)
        viz.save(match, output, form)
    meta = match["meta"]
    if as_json:
        _print(json.dumps({"output": output, **meta}, indent=2))
        return
    names = [c["name"] for c in meta["characters"].values()]
    winner = "no winner" if meta["winner"] is None else f"player {meta['winner']} won"
    _print(
        f"{' against '.join(names)} on {meta['stage']['name']}, {meta['total_frames']} frames, "
        f"{winner}\nwritten to {one_line(output)}"
    )


@app.command()
def demo(
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help=f"Where to; default: {DEMO_FOLDER}, or a temporary folder."
        ),
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(metavar="N", help="At most; default: until somebody has won.")
    ] = None,
    made_up: Annotated[
        bool,
        typer.Option("--made-up", help="Make and convert a world of random weights instead."),
    ] = False,
    as_json: Json = False,
) -> int:
    """A first look: two policies fight in the cartridge that ships with the package.

    Both learned from recorded games of real people, as did the world. --made-up shows the way of a
    checkpoint: a small network with random weights is converted and played; it makes no sense.

    Example: awm demo
    """
    folder = _demo_folder(out)
    from crank import demo

    checkpoint, world, file = (folder / n for n in ("world.safetensors", "world", "match.json"))
    fight = demo.MADE_UP if made_up else demo.TRAINED
    if made_up:
        with progress("making and converting a world"):
            demo.make_checkpoint(checkpoint)
            demo.convert(checkpoint, world)
        _say(as_json, f"made       {checkpoint}\nconverted  {world}")
    match, summary = _play(
        str(file),
        "object",
        str(world) if made_up else EMBEDDED,
        *fight.agents,
        stage=fight.stage,
        characters=fight.characters,
        max_frames=max_frames or fight.frames,
        seed=fight.seed,
        seed_action=fight.seed_action,
    )
    _print(json.dumps(summary, indent=2) if as_json else _describe(match, summary))
    if made_up:
        agents = f"--p0 {fight.agents[1]} --p1 {fight.agents[0]}"
        _say(as_json, f"\nTry next: awm play --world {world} {agents} --seed 1 --context recurrent")
    else:
        page = folder / "match.html"
        watch_cli.write_page(match.to_object(), str(page))
        _say(as_json, f"to watch   {page}, in any browser\n\nTry next: awm verify {file}")
    return _exit_code(match)


app.command()(batch_cli.batch)
app.command()(ladder_cli.ladder)
solana_cli.add_to(app)
watch_cli.add(app)
training_cli.add(app)
mind_cli.add(app)


@app.command()
def doctor(as_json: Json = False) -> int:
    """Show what this machine has.

    Versions, devices, CPU, the cache of compiled programs, and which extras are installed. Ends
    with 1 if something that every command needs is wrong.
    """
    with progress("looking around"):
        from crank import doctor

        report = doctor.examine()
    _print(json.dumps(report, indent=2) if as_json else doctor.describe(report))
    return int(bool(report["problems"]))


def _play(
    output: str, form: str, world: str, p0: str, p1: str, **options: Any
) -> tuple[Match, dict[str, Any]]:
    """Load, play, save; the match with what a program wants to know about it."""
    from crank.interrupt import deferred

    with deferred() as interrupted:
        with progress(f"loading {one_line(Path(world).name)}"):
            from crank import cache
            from crank.playing import prepare

            if interrupted():
                raise KeyboardInterrupt
            cache.enable()
            setup = prepare(world, p0, p1, **options)
        for name in (setup.meta["seed_origin"] or {}).get("missing", ()):
            print(f"note: the replay is too old for {name}; a default is used", file=sys.stderr)
        if not interrupted():
            with progress("compiling"):
                setup.compile()
        if interrupted():
            raise KeyboardInterrupt
        with progress("playing", int(setup.rules.max_frames), "frames") as advance:
            started = time.perf_counter()
            match = setup.run(lambda _: advance(), interrupted)
            seconds = time.perf_counter() - started
        with progress("writing"):
            match.save(output, form)
    return match, {
        "output": output,
        "frames": match.played,
        "seconds": round(seconds, 3),
        "frames_per_second": round(match.played / seconds, 1),
        "outcome": match.outcome.word,
        "reason": match.outcome.sentence,
        "winner": match.winner,
        "final_stocks": list(match.final_stocks),
        "final_percent": list(match.final_percent),
        "digest": match.digest,
    }


def _describe(match: Match, summary: dict[str, Any]) -> str:
    from awm_jax.game.characters import character_name
    from awm_jax.game.stages import stage

    lines = []
    for p in (0, 1):
        name = character_name(match.characters[p])
        stocks, percent = match.final_stocks[p], match.final_percent[p]
        agent = one_line(str(match.meta[f"p{p}_agent"]))
        lines.append(f"player {p}   {name}, {agent}: {stocks} stocks, {percent}%")
    rate = f"{summary['seconds']:.1f} s, {summary['frames_per_second']:.0f} frames/s"
    lines += [
        f"played     {match.played} frames on {stage(match.stage).name} ({rate})",
        f"result     {match.sentence}",
        f"written    {one_line(summary['output'])}",
    ]
    return "\n".join(lines)


def _exit_code(match: Match) -> int:
    if match.outcome.word == "corrupt":
        print(f"{PROG}: {match.outcome.sentence}; the match ends before it", file=sys.stderr)
    return {"interrupted": 130, "corrupt": 1}.get(match.outcome.word, 0)


def _check_output(path: str, form: str) -> None:
    """Say before the match, not after it, that its file cannot be written."""
    if form not in FORMATS:
        raise AwmError(f"no format {form!r}; give one of: {', '.join(FORMATS)}")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise AwmError(f"cannot write {path}: it is a folder; name a file")
    if not target.parent.is_dir():
        raise AwmError(f"cannot write {path}: there is no folder {target.parent}; make it first")
    place = target if target.exists() and not target.is_file() else target.parent
    if not os.access(place, os.W_OK):
        raise AwmError(f"cannot write {path}: permission denied; choose another place")


def _demo_folder(out: str | None) -> Path:
    folder = Path(out or DEMO_FOLDER)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} is not writable")
    except OSError as error:
        if out is not None:
            raise AwmError(f"cannot make the folder {out}: {error.strerror or error}") from error
        return Path(tempfile.mkdtemp(prefix="awm-demo-"))
    return folder


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        _print(text)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
