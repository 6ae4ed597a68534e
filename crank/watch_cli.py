"""The commands `awm watch`, `awm serve` and `awm plot`; `crank.cli` adds them with `add(app)`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from awm_jax.console import one_line, progress
from awm_jax.errors import AwmError
from crank.options import Character, MaxFrames, Stage

if TYPE_CHECKING:
    from crank.watch.library import Library
    from crank.watch.machine import Cartridges

PORT = 8765
LOOPBACK = "127.0.0.1"

Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 lets others in.")
]
Port = Annotated[int, typer.Option(metavar="N", min=1, max=65535)]


def add(app: typer.Typer) -> None:
    for command in (watch, serve, plot):
        app.command()(command)


def watch(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="One match, or two side by side."),
    ] = None,
    play: Annotated[
        bool, typer.Option("--play", help="Take a controller against an agent, in the page.")
    ] = False,
    world: Annotated[
        str | None,
        typer.Option(
            metavar="CARTRIDGE",
            help="What the browser plays and checks in; default: the embedded one, and the one "
            "that FILE names.",
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="OUT", help="Write one file to send to a friend; serve nothing."),
    ] = None,
    host: Host = LOOPBACK,
    port: Port = PORT,
) -> None:
    """Watch a recorded match in the browser, or play one there.

    Takes match files (.json) and real games (.slp, .slx). The browser computes a cartridge's match
    again and says whether it holds. Needs, unless --html is given, the extra serve:
    pip install "awm-jax[serve]".

    Example: awm watch match.json
    """
    from crank.watch.library import Library

    files = files or []
    if not files and (not play or html is not None):
        raise AwmError("nothing to watch; give a match file, or --play to play one yourself")
    if files and play:
        raise AwmError("--play begins a match of its own; leave the files out")
    if len(files) > 2:
        raise AwmError(f"{len(files)} files; give one match, or two to see them side by side")
    library = Library.of(files)
    with progress("reading"):
        for name in library.files:
            library.payload(name)
    if html is not None:
        write_html(files, html)
        print(f"written to {one_line(html)}")
        return
    if world is not None and not _is_cartridge(world):
        raise AwmError(f"{world} is no cartridge; the browser computes in cartridges alone")
    query = "play" if play else urlencode([("match", name) for name in library.files])
    offered = _cartridges([] if world is None else [world], files)
    _serve(library, host, port, f"?{query}", {"cartridges": offered})


def serve(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Recordings to list: matches, replays.")
    ] = ".",
    world: Annotated[
        str | None, typer.Option(metavar="WORLD", help="Play live in this world.")
    ] = None,
    rerun: Annotated[
        str | None, typer.Option(metavar="FILE", help="Show this recording as if it were live.")
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(
            metavar="WORLD",
            help="Show this world beside it, under the same controllers: those of the agents, or "
            "of the real game that --rerun names.",
        ),
    ] = None,
    p0: Annotated[str, typer.Option(metavar="AGENT")] = "hold-forward",
    p1: Annotated[str, typer.Option(metavar="AGENT")] = "hold-forward",
    stage: Stage = None,
    p0_char: Character = None,
    p1_char: Character = None,
    max_frames: MaxFrames = 28800,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the first match; then counted on.")
    ] = 0,
    loop: Annotated[bool, typer.Option("--loop/--once", help="Match after match.")] = True,
    host: Host = LOOPBACK,
    port: Port = PORT,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Another site whose page may read the stream."),
    ] = None,
    viewers: Annotated[int, typer.Option(metavar="N", min=1, help="Of the stream at most.")] = 64,
) -> None:
    """Serve a folder of recordings, and a live match to many viewers.

    Frames go out over a WebSocket at 60 a second; a match begins when somebody watches. Needs the
    extra serve: pip install "awm-jax[serve]".

    Example: awm serve runs --world cartridge --p0 random
    """
    _need("starlette", "uvicorn", "websockets")
    from crank.watch import recording
    from crank.watch.library import Library
    from crank.watch.live import Broadcast, Hub, replays

    root = Path(folder)
    if not root.is_dir():
        raise AwmError(f"{folder} is no folder; give one with recordings")
    if world is not None and rerun is not None:
        raise AwmError("--world plays a new match and --rerun an old one; give one of them")
    if beside is not None and world is None and not (rerun or "").endswith(recording.REPLAYS):
        raise AwmError("nothing to play beside; give --world, or a real game with --rerun")
    hub = Hub()
    second = None if beside is None else Hub(world=2)
    program = None
    if rerun is not None and second is not None:
        from crank.watch.worlds import game_beside

        with progress("loading"):
            program = game_beside(rerun, str(beside), second)
    elif rerun is not None:
        with progress("reading"):
            source = recording.read(rerun)[0]
        program = replays(source.frames, source.meta, source.machine)
    elif world is not None:
        with progress("loading"):
            from crank import cache
            from crank.playing import prepare
            from crank.watch.worlds import matches, twin_of

            cache.enable()
            setup = prepare(
                world,
                p0,
                p1,
                stage=stage,
                characters=(p0_char, p1_char),
                max_frames=max_frames,
                seed=seed,
            )
            twin = None if second is None else twin_of(str(beside), setup, second)
        with progress("compiling"):
            setup.compile()
            if twin is not None:
                twin.compile()
        program = matches(setup, twin)
    broadcast = None if program is None else Broadcast(hub, program, loop)
    where = "" if broadcast is None else "?live" if second is None else "?live&beside"
    places = [place for place in (world, beside) if place is not None]
    app = {
        "hub": None if broadcast is None else hub,
        "broadcast": broadcast,
        "beside": second,
        "origins": allow_origin or (),
        "max_viewers": viewers,
        "cartridges": _cartridges(places, [] if rerun is None else [rerun]),
    }
    _serve(Library(root), host, port, where, app)
    if broadcast is not None and broadcast.failure is not None:
        raise broadcast.failure


def plot(
    match: Annotated[str, typer.Argument(metavar="RUN", help="A match file or a real game.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A .png or .svg.")
    ] = "match.png",
    timing: Annotated[
        bool,
        typer.Option("--timing", help="Also how long each frame takes, computed again here."),
    ] = False,
) -> None:
    """Draw a match on one sheet: places, percent, actions over time, where the players were.

    With --timing also what each frame of a cartridge's match costs this machine. Needs
    matplotlib: pip install "awm-jax[train]".

    Example: awm plot match.json --output match.svg
    """
    with progress("drawing"):
        from crank.plot import plot_match

        plot_match(match, output, timing)
    print(f"written to {one_line(output)}")


def write_html(paths: list[str], output: str) -> None:
    """One page with the recordings in it, whole or not at all."""
    from crank.watch import recording

    _write([track for path in paths for track in recording.load(path)], output)


def write_page(match: dict[str, Any], output: str) -> None:
    """The same of the object of a match file."""
    from crank.watch import recording

    _write([recording.track(source) for source in recording.sources(match, "match")], output)


def _write(tracks: list[dict[str, Any]], output: str) -> None:
    from awm_jax.files import write_atomically
    from crank.watch import page, recording

    write_atomically(output, page.self_contained(tracks[: recording.MAX_TRACKS]))


def _need(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise AwmError(f'needs {module}: pip install "awm-jax[serve]"')


def _cartridges(worlds: Sequence[str], files: Sequence[str] = ()) -> Cartridges:
    """What the page's browser may compute in: named cartridges, the embedded one, the files'."""
    from awm_jax.cartridges import EMBEDDED
    from crank.watch.machine import Cartridges, named_by

    own = [world for world in worlds if _is_cartridge(world)]
    return Cartridges([*own, EMBEDDED, *named_by(files)])


def _is_cartridge(world: str) -> bool:
    from converters.cartridge import is_cartridge

    return is_cartridge(world)


def _serve(library: Library, host: str, port: int, where: str, options: dict[str, Any]) -> None:
    """Serves until interrupted; `options` are those of `server.make_app`."""
    _need("starlette", "uvicorn", "websockets")
    from crank.watch import server

    hosts = server.LOOPBACK if host in server.LOOPBACK else ("*",)
    app = server.make_app(library, hosts=hosts, **options)
    shown = f"[{host}]" if ":" in host else host
    with server.bound(host, port) as door:
        print(f"watch at http://{shown}:{port}/{where}\nCtrl-C ends it", flush=True)
        server.run(app, door)
