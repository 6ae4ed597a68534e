"""The commands of `awm-convert` that make cartridges and look into them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from awm_jax.console import one_line, progress
from awm_jax.errors import AwmError
from converters.options import Json, Overwrite

if TYPE_CHECKING:
    from converters.cartridge import Cartridge
    from converters.checkpoint import Checkpoint

FRAMES = 8192
REPORT_FRAMES = 2048

Replays = Annotated[
    list[str] | None,
    typer.Option(metavar="REPLAYS", help="A .slp, .slp.xz or .slx file, or a folder of them."),
]


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Any checkpoint of a world.")],
    out: Annotated[str, typer.Argument(metavar="OUT_CARTRIDGE", help="A new or empty folder.")],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REPLAYS]...", help="More replays, after --calibrate."),
    ] = None,
    calibrate: Replays = None,
    synthetic: Annotated[
        bool,
        typer.Option("--synthetic", help="Calibrate on the float world's own random match."),
    ] = False,
    frames: Annotated[int, typer.Option(min=2, help="Frames to calibrate on, at most.")] = FRAMES,
    mode: Annotated[
        str | None,
        typer.Option(help="recurrent or windowed; by default as the network was trained."),
    ] = None,
    planes: Annotated[
        int, typer.Option(min=1, max=2, help="int8 planes of the codes inside a layer.")
    ] = 1,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="A policy's checkpoint to take along; repeatable."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a cartridge: the integer world of a float checkpoint.

    Scales come from real frames (--calibrate, a file or a folder of replays; needs peppi-py:
    pip install "awm-jax[replay]"). Without replays, --synthetic calibrates on a match that the
    float world plays with random controllers, which is good for a demonstration only.

    Example: awm-convert quantize world cartridge --calibrate replays/
    """
    replays = [*(calibrate or ()), *(more or ())]
    if bool(replays) == synthetic:
        raise AwmError(
            "give replays to calibrate on (--calibrate FOLDER), or --synthetic without them"
        )
    named = [_named(spec) for spec in policy or ()]
    if len({name for name, _ in named}) < len(named):
        raise AwmError("--policy gives one name twice")
    if os.path.isdir(out) and os.listdir(out) and not overwrite:
        raise AwmError(f"{out} is not empty; choose another folder or pass --overwrite")
    loaded = _load(model)
    policies = {name: _load(path) for name, path in named}
    from converters.cartridge import save_cartridge
    from converters.source import naming

    with naming(model):
        cartridge = _quantise(loaded, policies, replays, frames, mode, planes)
    save_cartridge(cartridge, out, overwrite=overwrite)
    if as_json:
        _print(json.dumps({"output": out, "hash": cartridge.hash}))
    else:
        kind = cartridge.manifest["mode"]["kind"]
        _print(f"{kind} cartridge {cartridge.hash}\nwritten to {one_line(out)}")


def _quantise(
    loaded: Checkpoint,
    policies: dict[str, Checkpoint],
    replays: list[str],
    frames: int,
    mode: str | None,
    planes: int,
) -> Cartridge:
    from converters.quantize import calibration as frames_of
    from converters.quantize.quantise import (
        arch_of,
        policy_sequences,
        quantise,
        quantise_policy,
        world_model,
    )

    model = world_model(loaded)
    arch = arch_of(model, mode, planes)
    origin = {"frames": frames, "from": "replays" if replays else "a random match of its own"}
    files = frames_of.find_replays(replays) if replays else []
    if files:
        sequences = list(
            frames_of.real_sequences(files, model.cfg, frames, counted_age=model.variant.game_rules)
        )
    else:
        with progress("playing a match to calibrate on"):
            sequences = frames_of.synthetic_sequences(model, frames, recurrent=arch.recurrent)
    carts = {}
    for name, policy in policies.items():
        with progress(f"calibrating policy {name}"):
            if files:
                seen = list(
                    frames_of.real_sequences(
                        files, policy.config, frames, counted_age=model.variant.game_rules
                    )
                )
            else:
                seen = policy_sequences(sequences, model.cfg, policy.config)
            carts[name] = quantise_policy(policy, seen, origin)
    total = sum(len(floats) - 1 for floats, _ in sequences)
    with progress("calibrating", total, "frames") as advance:
        return quantise(
            loaded,
            sequences,
            mode=mode,
            planes=planes,
            policies=carts,
            calibration=origin,
            on_frames=advance,
        )


def _named(spec: str) -> tuple[str, str]:
    name, equals, path = spec.partition("=")
    if not (name and equals and path):
        raise AwmError(f"--policy {spec}: give NAME=PATH")
    from converters.cartridge_manifest import check_policy_name

    check_policy_name(name)
    return name, path


def verify(
    cartridge: Annotated[str, typer.Argument(metavar="CARTRIDGE", help="Its folder.")],
    as_json: Json = False,
) -> int:
    """Check a cartridge: sizes, hashes, shapes, and the bounds that rule out an overflow.

    Exit code 1 when something is wrong with it.

    Example: awm-convert verify cartridge
    """
    if not os.path.isdir(cartridge):
        raise AwmError(f"{cartridge}: no such folder")
    try:
        with progress(f"checking {Path(cartridge).name}"):
            digest, found = _proven(cartridge)
    except AwmError as error:
        if as_json:
            _print(json.dumps({"sound": False, "reason": str(error)}))
        else:
            print(f"awm-convert: {one_line(str(error))}", file=sys.stderr)
        return 1
    if as_json:
        _print(json.dumps({"sound": True, "hash": digest, "bounds": found}, indent=2))
        return 0
    name, most = max(found.items(), key=lambda item: item[1])
    _print(
        f"sound: {digest}\n"
        f"{len(found)} bounds hold; the largest is {name}, {most:,} of {2**31 - 1:,}"
    )
    return 0


def _proven(path: str) -> tuple[str, dict[str, int]]:
    """The identity and the bounds of a cartridge of a world or a mind."""
    from awm_jax.int8 import bounds
    from awm_jax.int8.mind_bounds import check_mind
    from converters.cartridge import read_cartridge
    from converters.loading import load_cartridge
    from converters.quantize.mind_pack import MODEL_TYPE, load_mind
    from converters.source import naming

    cartridge = read_cartridge(path)
    if cartridge.model_type == MODEL_TYPE:
        with naming(path):
            return cartridge.hash, check_mind(load_mind(cartridge)[0])
    loaded = load_cartridge(path)
    return loaded.cartridge.hash, bounds.check(loaded.world.params, loaded.world.arch)


def dequantize(
    cartridge: Annotated[
        str, typer.Argument(metavar="CARTRIDGE", help='Its folder, or "embedded".')
    ],
    out_dir: Annotated[str, typer.Argument(metavar="OUT_DIR", help="A new or empty folder.")],
    policy: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of its policies instead of its world.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Turn a cartridge back into the float network that it is the twin of.

    To look at it in floats, to train it further, to convert it again: the folder is a checkpoint
    like any other.

    Example: awm-convert dequantize embedded world
    """
    from converters.cartridge import read_cartridge
    from converters.orbax_folder import save_orbax
    from converters.quantize.dequantise import dequantise
    from converters.source import naming
    from converters.summary import headline, summarize

    with progress("turning back"):
        found = read_cartridge(cartridge)
        with naming(cartridge):
            if policy is not None and policy not in found.policies:
                names = ", ".join(sorted(found.policies)) or "none"
                raise AwmError(f"no policy {policy!r}; it has {names}")
            made = dequantise(found if policy is None else found.policies[policy])
        save_orbax(made, out_dir, overwrite=overwrite)
    if as_json:
        _print(json.dumps({"output": out_dir, **summarize(made)}, indent=2))
    else:
        _print(f"{headline(made)}\nwritten to {one_line(out_dir)}")


def image(
    cartridge: Annotated[
        str, typer.Argument(metavar="CARTRIDGE", help='Its folder, or "embedded".')
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="The file to write.")],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a cartridge's world as the one file that the C programs run it from.

    awm-replay-check takes it, and a match that awm export wrote. Equal cartridges give equal files,
    so that two people can compare the sha256.

    Example: awm-convert image embedded world.img
    """
    if os.path.lexists(out) and not overwrite:
        raise AwmError(f"{out} exists; choose another name or pass --overwrite")
    with progress("writing the image"):
        import hashlib

        from awm_jax.files import write_atomically
        from awm_jax.int8.native.image import pack
        from converters.loading import load_cartridge
        from converters.source import naming

        loaded = load_cartridge(cartridge)
        with naming(cartridge):
            data = pack(loaded.world.params, loaded.world.arch)
        write_atomically(out, data)
    digest = hashlib.sha256(data).hexdigest()
    if as_json:
        found = {"output": out, "hash": loaded.cartridge.hash, "bytes": len(data)}
        _print(json.dumps(found | {"sha256": digest}, indent=2))
    else:
        _print(
            f"image of cartridge {loaded.cartridge.hash}\n"
            f"{len(data):,} bytes, sha256 {digest}\nwritten to {one_line(out)}"
        )


def report(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The checkpoint.")],
    cartridge: Annotated[str, typer.Argument(metavar="CARTRIDGE", help="Made from it.")],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REPLAYS]...", help="More replays, after --replays."),
    ] = None,
    replays: Replays = None,
    frames: Annotated[
        int, typer.Option(min=2, help="Frames to compare on, at most.")
    ] = REPORT_FRAMES,
    picture: Annotated[
        str | None, typer.Option(metavar="OUT.png", help="Write it as a picture too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a float checkpoint and its cartridge on real frames.

    One-step errors in game units, equal choices, signal to noise inside the network, and how far
    free rollouts part.

    Example: awm-convert report world cartridge --replays held-out/ --picture report.png
    """
    paths = [*(replays or ()), *(more or ())]
    if not paths:
        raise AwmError("give replays to compare on (--replays FOLDER)")
    loaded = _load(model)
    from converters.loading import load_cartridge
    from converters.quantize.calibration import find_replays, real_sequences
    from converters.quantize.dequantise import CARTRIDGE
    from converters.quantize.quantise import world_model
    from converters.quantize.report import compare
    from converters.quantize.report_text import save_picture, table
    from converters.source import naming

    ours = load_cartridge(cartridge)
    with naming(model):
        theirs = world_model(loaded)
        made_from = ours.cartridge.manifest["provenance"].get("weights_sha256")
        if made_from != loaded.provenance.weights_sha256 and (
            loaded.provenance.source != CARTRIDGE or loaded.provenance.sha256 != ours.cartridge.hash
        ):
            raise AwmError(f"{cartridge} was made from other weights than these")
    counted = theirs.variant.game_rules
    files = find_replays(paths)
    sequences = list(real_sequences(files, theirs.cfg, frames, counted_age=counted))
    total = sum(len(floats) - 1 for floats, _ in sequences)
    scales = ours.cartridge.manifest["int8"]["scales"]
    with progress("comparing", total, "frames") as advance:
        found = compare(theirs, ours.world, scales, sequences, advance)
    if picture is not None:
        save_picture(found, picture)
    _print(json.dumps(found, indent=2) if as_json else table(found))


def inspect(path: str, with_cost: bool, as_json: bool) -> None:
    """`awm-convert inspect` of a cartridge."""
    from converters.cartridge import read_cartridge
    from converters.quantize.cost import describe_cartridge, summarize_cartridge
    from converters.source import naming

    cartridge = read_cartridge(path)
    with naming(path):
        summary = summarize_cartridge(cartridge, with_cost=with_cost)
    _print(json.dumps(summary, indent=2) if as_json else describe_cartridge(summary))


def _load(path: str) -> Checkpoint:
    with progress(f"reading {Path(path).name}"):
        from converters.loading import load

        return load(path)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
