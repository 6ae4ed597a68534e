"""Options and settings that several groups of commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

PLAIN: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "no_args_is_help": True,
}
"""A group of commands with plain help: rich's boxes would double the time until it shows."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

# Of everything that plays.
World = Annotated[
    str,
    typer.Option(
        metavar="WORLD",
        help="A .pt, .safetensors, awm-convert folder or cartridge; default: the one that ships "
        "with the package.",
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        metavar="windowed|recurrent",
        help="windowed (default): the network sees the last frames, as in training; recurrent: "
        "it remembers the whole match, and is faster. A cartridge says what it is.",
    ),
]
Engine = Annotated[
    str, typer.Option(metavar="auto|xla|native", help="What computes a cartridge; same bits.")
]
MaxFrames = Annotated[int, typer.Option(metavar="N", help="Of a match; 60 are one second.")]
EarlyKo = Annotated[
    bool, typer.Option("--early-ko/--no-early-ko", help="End when a player has no stock left.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of all randomness.")]
SeedAction = Annotated[
    int, typer.Option(metavar="N", help="The players' first action; 14 is standing.")
]
SeedNoise = Annotated[
    float,
    typer.Option(metavar="S", help="How far the players stand off their places, in units."),
]
ButtonBias = Annotated[
    float, typer.Option(metavar="B", help="Added to a policy's button logits (the founders: 4).")
]
Stage = Annotated[
    str | None, typer.Option(metavar="ID|NAME", help="Default: 32, Final Destination.")
]
Character = Annotated[
    str | None, typer.Option(metavar="ID|NAME", help="Default: 2, Captain Falcon.")
]

# Of everything that plays many.
Several = Annotated[
    str, typer.Option(metavar="NAMES", help="Ids or names, with commas; one is drawn.")
]
Slots = Annotated[
    int | None,
    typer.Option(metavar="N", help="Matches at once on a device; default: 64 on CPU, else 2048."),
]
Devices = Annotated[int | None, typer.Option(metavar="N", help="Default: all that JAX has.")]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Play in blocks on a Ray cluster, HOST:PORT or auto; local starts one here. Its nodes "
        "need the same files in the same places.",
    ),
]
Block = Annotated[int, typer.Option(metavar="N", help="Matches of a block, with --ray.")]

# Of everything that learns.
TrainSeed = Annotated[int, typer.Option("--seed", min=0)]
