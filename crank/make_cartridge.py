"""Trained networks -> a cartridge with its model card: quantised, judged and described."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import converters
from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.fp32.mamba2 import FrameStackMamba2
from awm_jax.fp32.network import Network
from awm_jax.game.characters import character_name
from awm_jax.int8.engine import make_world
from awm_jax.train.data import REQUIRED, STRETCH, STRETCHES, Data, open_data, stretches
from awm_jax.train.evaluate import COPY, evaluate
from awm_jax.train.report import table
from converters.cartridge import Cartridge, save_cartridge
from converters.quantize.pack import load_world
from converters.quantize.quantise import quantise, quantise_policy

CARD = "MODEL_CARD.md"
HORIZONS = (1, 5, 10, 20)


def make_cartridge(
    data_folder: str,
    world: str,
    policies: Mapping[str, str],
    out: str,
    *,
    planes: int = 1,
    starts: int = 3000,
    overwrite: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> tuple[Cartridge, dict[str, dict[str, Any]]]:
    """Quantise a trained world and its policies, judge them on the valid split, write the card.

    Args:
      world, policies: checkpoints, the policies by the names that `policy:NAME` will play.
      starts: of the valid split, as in `awm_jax.train.evaluate.evaluate`; 0 for every one.
      on_step: called with what is done next.

    Returns:
      The cartridge, and the reports by name.

    Raises:
      AwmError: one line that says which argument or file is at fault.
    """
    loaded = converters.load(world)
    if not isinstance(loaded.model, FrameStackMamba2):
        raise AwmError(f"{world}: is no Mamba2 world")
    train = open_data(data_folder, "train", REQUIRED)
    valid = open_data(data_folder, "valid", REQUIRED)
    origin = {"frames": STRETCHES * STRETCH, "from": "the train split"}
    carts = {}
    for name, path in policies.items():
        on_step(f"policy {name}")
        policy = converters.load(path)
        carts[name] = quantise_policy(policy, list(stretches(train, policy.config)), origin)
    on_step("world")
    sequences = list(stretches(train, loaded.config))
    cartridge = quantise(
        loaded, sequences, mode="recurrent", planes=planes, policies=carts, calibration=origin
    )
    params, arch = load_world(cartridge)
    reports = evaluate(
        valid,
        Network.of(loaded.model),
        integer=make_world(params, arch),
        starts=starts or None,
        on_progress=on_step,
    )
    save_cartridge(cartridge, out, overwrite=overwrite)
    text = card(cartridge, loaded, policies, train, valid, reports)
    write_atomically(Path(out) / CARD, text)
    return cartridge, reports


def card(
    cartridge: Cartridge,
    world: converters.Checkpoint,
    policies: Mapping[str, str],
    train: Data,
    valid: Data,
    reports: dict[str, dict[str, Any]],
) -> str:
    """The model card, Markdown."""
    model: Any = world.model
    own = reports["integer"]
    faults = own.get("worse_than_copy", [])
    fields = sorted({name.rsplit(" h ", 1)[0] for name in faults})
    variant = {k: v for k, v in vars(model.variant).items() if v}
    lines = [
        "# Model card of the embedded cartridge",
        "",
        f"A Mamba2 world of {len(model.layers)} layers x {model.d_model} (d_state {model.d_state}) "
        f"and {len(policies)} policies, int8, played by the integer machine; recurrent.",
        f"Identity `{cartridge.hash}`. Variant: "
        + ", ".join(k if v is True else f"{k} {v}" for k, v in variant.items())
        + ".",
        "",
        "## Data",
        "",
        "Recorded games of real people (Slippi), speeds and hitlag in the recording:",
        "",
        *_data_table(train, valid),
        "",
        "Netplay names and connect codes were never read. Repositories, of the train split:",
        "",
        *_sources(train),
        "",
        "## How good it is",
        "",
        f"On games of other pairs of players (split `valid`, {own['starts']} starts in "
        f"{own['games']} games, real controllers, every field fed back). Errors in game units, "
        "mean over both players, x and y; RC is the mean over 1 to 20 frames.",
        "",
        "```",
        table(reports),
        "```",
        "",
        "act: action right in %, at 1, 5, 10, 20 frames. dmg: new damage within 20 frames that "
        "it foresees, false: alarms where there is none, in %.",
        "",
        "## Known faults",
        "",
        "- "
        + (
            f"Worse than `{COPY}` at some horizon: {', '.join(fields)}."
            if fields
            else f"No field is worse than `{COPY}` at any horizon."
        ),
        "- Projectiles are not among its inputs; stage hazards and moving platforms are not known.",
        f"- Characters that the games hardly hold ({_rare(train)}) are poorly known.",
        "",
        "## How it was made",
        "",
        "`make cartridge` in a checkout: `awm data build`, `awm train world`, the same once more "
        "with `--config rounded` to be rounded as the cartridge rounds it, `awm train policy "
        "--character NAME`, `awm train practice`, `awm train cartridge`. `LICENSED=1` takes games "
        "with a stated licence alone.",
    ]
    return "\n".join(lines) + "\n"


def _data_table(train: Data, valid: Data) -> list[str]:
    rows = ["| split | games | frames |", "|---|---|---|"]
    rows += [
        f"| {n} | {len(d)} | {sum(e.rows for e in d.entries):,} |"
        for n, d in (("train", train), ("valid", valid))
    ]
    return rows


def _sources(data: Data) -> list[str]:
    games: Counter[tuple[str, str]] = Counter()
    frames: Counter[tuple[str, str]] = Counter()
    for entry in data.entries:
        key = entry.source or "unlisted", entry.licence or "unlisted"
        games[key] += 1
        frames[key] += entry.rows
    rows = ["| repository | licence | games | frames |", "|---|---|---|---|"]
    rows += [
        f"| {source} | {licence} | {games[source, licence]} | {count:,} |"
        for (source, licence), count in sorted(frames.items(), key=lambda item: -item[1])
    ]
    return rows


def _rare(data: Data) -> str:
    total = sum(entry.rows for entry in data.entries)
    frames: Counter[int] = Counter()
    for entry in data.entries:
        for character in entry.characters:
            frames[character] += entry.rows
    rare = sorted(c for c, count in frames.items() if count < 0.01 * total)
    return ", ".join(character_name(c) for c in rare) or "none"


def named(specs: list[str], option: str = "--policy") -> dict[str, str]:
    """NAME=PATH each, as `option` was given them.

    Raises:
      AwmError: a spec is not of that form, or a name comes twice.
    """
    found: dict[str, str] = {}
    for spec in specs:
        name, _, path = spec.partition("=")
        if not name or not path or name in found:
            raise AwmError(f"{option} {spec}: give NAME=PATH, each name once")
        found[name] = os.fspath(path)
    return found
