"""The command `awm-convert quantize-mind`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from awm_jax.console import one_line, progress
from awm_jax.errors import AwmError
from converters.cartridge_commands import FRAMES, Replays
from converters.options import Json, Overwrite

if TYPE_CHECKING:
    from awm_jax.mwm.training.steps import Steps


def quantize_mind(
    mind: Annotated[str, typer.Argument(metavar="MIND", help="What awm mind train wrote.")],
    out: Annotated[str, typer.Argument(metavar="OUT_CARTRIDGE", help="A new or empty folder.")],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REPLAYS]...", help="More replays, after --calibrate."),
    ] = None,
    calibrate: Replays = None,
    played: Annotated[
        str | None,
        typer.Option(metavar="NPZ", help="Calibrate on what a round of practice played instead."),
    ] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames to calibrate on, at most.")] = FRAMES,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a mind cartridge: the integer twin of a Mental World Model, which plays in cartridges.

    Scales come from real frames (a file or a folder of replays; needs peppi-py: pip install
    "awm-jax[replay]"), or from the played.npz of the last round of `awm mind practise`. The visual
    latent is zeros, as everywhere in the arena.

    Example: awm-convert quantize-mind run/mind.safetensors mind --calibrate replays/
    """
    replays = [*(calibrate or ()), *(more or ())]
    if bool(replays) == bool(played):
        raise AwmError("give what to calibrate on: --calibrate FOLDER of replays, or --played NPZ")
    if os.path.isdir(out) and os.listdir(out) and not overwrite:
        raise AwmError(f"{out} is not empty; choose another folder or pass --overwrite")
    with progress("calibrating"):
        from converters.cartridge import save_cartridge
        from converters.mwm import load_mwm
        from converters.quantize.mind import quantise_mind
        from converters.source import naming

        loaded = load_mwm(mind)
        origin = {"frames": frames, "from": "practice" if played else "replays"}
        games = _practised(played, frames) if played else _watched(replays, frames)
        with naming(mind):
            cartridge = quantise_mind(loaded, games, origin)
    save_cartridge(cartridge, out, overwrite=overwrite)
    if as_json:
        sys.stdout.write(json.dumps({"output": out, "hash": cartridge.hash}) + "\n")
        return
    width = cartridge.manifest["architecture"]["latent_dim"]
    print(f"mind cartridge, latent {width}, {cartridge.hash}\nwritten to {one_line(out)}")


def _watched(replays: list[str], frames: int) -> Iterator[Steps]:
    from awm_jax.encoding import EncodingConfig
    from awm_jax.mwm.training.replays import both_sides
    from converters.quantize.calibration import find_replays, real_sequences

    cfg = EncodingConfig()
    for game in real_sequences(find_replays(replays), cfg, frames):
        yield from both_sides(cfg, *game)


def _practised(path: str, frames: int) -> Iterator[Steps]:
    """The first matches of a round, together at most so many frames."""
    from awm_jax.mwm.melee import PERIOD
    from awm_jax.mwm.training.rounds import read_played
    from awm_jax.mwm.training.steps import part

    steps = read_played(path)
    begin, most = 0, frames // PERIOD
    for end in (~steps.link).nonzero()[0] + 1:
        if end > most and begin:
            return
        yield part(steps, slice(begin, end))
        begin = end
