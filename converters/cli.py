"""The command `awm-convert`. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from awm_jax.cartridges import EMBEDDED
from awm_jax.console import one_line, progress
from awm_jax.errors import AwmError
from converters import cartridge_commands, mind_commands
from converters.options import Json, Overwrite

if TYPE_CHECKING:
    from converters.checkpoint import Checkpoint
    from converters.mwm import MwmCheckpoint

PROG = "awm-convert"

# Plain help: rich's boxes would double the time until it shows.
app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Convert and inspect checkpoints of the autonomous world model.

    A checkpoint is a PyTorch file (.pt), a .safetensors file with its settings in a .json of the
    same name beside it, or a folder that this command wrote. Nothing inside a checkpoint is ever
    run, and one that is damaged or contradicts itself is refused in one line.""",
    epilog="""\b
    Examples:
      awm-convert torch best.pt world        PyTorch to a JAX (Orbax) folder
      awm-convert inspect world              what is in it
      awm-convert to-torch world again.pt    and back, bit for bit
      awm-convert quantize world cartridge --calibrate replays/    its integer twin
      awm-convert quantize-mind mind.safetensors mind --calibrate replays/
      awm-convert verify cartridge           is it sound
      awm-convert image cartridge world.img  for the checker without Python

    Exit codes: 0 done, 1 found wanting, 2 usage or bad input, 130 interrupted.""",
)

Surplus = Annotated[
    bool,
    typer.Option(
        "--allow-surplus", help="Drop tensors that the network does not have, instead of refusing."
    ),
]


@app.command("torch")
def to_orbax(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="A .pt or .safetensors file.")],
    out_dir: Annotated[str, typer.Argument(metavar="OUT_DIR", help="A new or empty folder.")],
    allow_surplus: Surplus = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Convert a checkpoint to a JAX (Orbax) folder.

    The folder holds the weights for Orbax and Flax, and config.json: architecture, widths,
    encoding, and where it all came from. Needs PyTorch for .pt files: pip install "awm-jax[torch]".

    Example: awm-convert torch best.pt world
    """
    if _is_mind(checkpoint):
        mind = _load_mind(checkpoint, allow_surplus)
        from converters.mwm import save_mwm_orbax

        save_mwm_orbax(mind, out_dir, overwrite=overwrite)
        _report_mind(mind, out_dir, as_json)
        return
    loaded = _load(checkpoint, allow_surplus)
    from converters.orbax_folder import save_orbax

    with progress(f"writing {Path(out_dir).name}"):
        save_orbax(loaded, out_dir, overwrite=overwrite)
    _report(loaded, out_dir, as_json)


@app.command("to-torch")
def to_torch(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder, or any checkpoint.")],
    out: Annotated[str, typer.Argument(metavar="OUT.pt", help="The PyTorch file to write.")],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a checkpoint as a PyTorch file.

    The reference system loads it. Every tensor, its place in the file and the configuration are
    those of the original.

    Example: awm-convert to-torch world again.pt
    """
    if os.path.lexists(out) and not overwrite:
        raise AwmError(f"{out} exists; choose another name or pass --overwrite")
    from converters.torch_file import import_torch, save_torch

    import_torch()
    if _is_mind(folder):
        from converters.mwm import save_mwm_torch

        mind = _load_mind(folder)
        save_mwm_torch(mind, out)
        _report_mind(mind, out, as_json)
        return
    loaded = _load(folder)
    with progress(f"writing {Path(out).name}"):
        save_torch(loaded, out)
    _report(loaded, out, as_json)


@app.command("inspect")
def inspect(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Any checkpoint or cartridge, file or folder.")
    ],
    allow_surplus: Surplus = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Of a cartridge: products, state, compute units.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a checkpoint or a cartridge is.

    Architecture, sizes, flags, parameters and origin; with --cost what a cartridge's frame costs.

    Example: awm-convert inspect best.pt --json
    """
    if _is_cartridge(path):
        cartridge_commands.inspect(path, cost, as_json)
        return
    if cost:
        raise AwmError(f"{path} is no cartridge; --cost looks at cartridges (quantize makes one)")
    if _is_mind(path):
        from converters import mwm

        mind = _load_mind(path, allow_surplus)
        _print(_json(mwm.describe(mind)) if as_json else mwm.describe_text(mind))
        return
    loaded = _load(path, allow_surplus)
    from converters.summary import describe, summarize

    summary = summarize(loaded)
    _print(_json(summary) if as_json else describe(summary))


for _command in (
    cartridge_commands.quantize,
    cartridge_commands.dequantize,
    cartridge_commands.verify,
    cartridge_commands.image,
    cartridge_commands.report,
):
    app.command(_command.__name__)(_command)
app.command("quantize-mind")(mind_commands.quantize_mind)


def _is_cartridge(path: str) -> bool:
    if not os.path.isdir(path) and path != EMBEDDED:
        return False
    from converters.cartridge import is_cartridge

    return is_cartridge(path)


def _is_mind(path: str) -> bool:
    if not os.path.exists(path):
        return False  # what reads it next says so
    with progress(f"reading {Path(path).name}"):
        from converters.mwm import is_mwm

        return is_mwm(path)


def _load_mind(path: str, allow_surplus: bool = False) -> MwmCheckpoint:
    with progress(f"reading {Path(path).name}"):
        from converters.mwm import load_mwm

        return load_mwm(path, allow_surplus=allow_surplus)


def _report_mind(mind: MwmCheckpoint, out: str, as_json: bool) -> None:
    from converters.mwm import describe, headline

    for note in () if as_json else mind.provenance.notes:
        print(f"note: {one_line(note)}", file=sys.stderr)
    shown = _json({"output": out, **describe(mind)}) if as_json else headline(mind)
    _print(shown if as_json else f"{shown}\nwritten to {one_line(out)}")


def _load(path: str, allow_surplus: bool = False) -> Checkpoint:
    with progress(f"reading {Path(path).name}"):
        from converters.loading import load

        return load(path, allow_surplus=allow_surplus)


def _report(loaded: Checkpoint, out: str, as_json: bool) -> None:
    from converters.summary import headline, summarize

    if as_json:
        _print(_json({"output": out, **summarize(loaded)}))
        return
    for note in loaded.provenance.notes:
        print(f"note: {one_line(note)}", file=sys.stderr)
    _print(f"{headline(loaded)}\nwritten to {one_line(out)}")


def _json(value: object) -> str:
    import json

    return json.dumps(value, indent=2)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
