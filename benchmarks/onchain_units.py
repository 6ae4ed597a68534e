"""Compute units of RUN_INFERENCE in LiteSVM, whole and part by part.

`PYTHONPATH=.:tests python benchmarks/onchain_units.py [CARTRIDGE] [--frames N] [--parts]` from the
checkout; the embedded cartridge is the default, `--size D_MODEL,D_STATE,LAYERS` a made-up world.
Every frame is compared with the JAX step's. `--parts` builds the program anew with a count at the
start of each part (needs clang 14) and prints what each takes; the counting itself is taken off.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from solders.message import Message
from solders.transaction import Transaction
from support import int_worlds, solana_chain
from support.solana_chain import P1, P2, PROGRAM, STRANGER, Chain, keypair

from awm_jax.encoding import EncodingConfig
from awm_jax.int8.params import Arch
from awm_jax.int8.world import Int8World
from awm_jax.variant import Variant
from crank.solana import accounts, chain_image, chain_state, machine
from crank.solana.accounts import SessionState, WeightShard
from crank.solana.chain_state import Machine
from crank.solana.program import sha256

ONCHAIN = Path(__file__).resolve().parents[1] / "onchain"
SHARD = keypair(21).pubkey()
TRANSACTION_UNITS = 1_400_000
LEFT = re.compile(r"Program consumption: (\d+) units remaining")
SAID = re.compile(r"Program log: (.*)")


def world_of(args: argparse.Namespace) -> tuple[Any, Arch]:
    if not args.size:
        from converters.cartridge import read_cartridge
        from converters.quantize.pack import load_world

        return load_world(read_cartridge(args.cartridge))
    d_model, d_state, layers = map(int, args.size.split(","))
    cfg = EncodingConfig(state_age_as_embed=True, state_flags=True, hitstun=True)
    variant = Variant(control_first=True, geometry=True, head_hidden=d_model)
    arch = Arch(
        cfg,
        d_model=d_model,
        d_state=d_state,
        n_layers=layers,
        headdim=64,
        context_len=10,
        recurrent=True,
        variant=variant,
    )
    return int_worlds.random_world(1, arch), arch


def counting_program() -> bytes:
    sys.path.insert(0, str(ONCHAIN))
    import build  # type: ignore[import-not-found]

    return build.compile_program(defines=("-DAWM_COUNT_UNITS",))


def begin(params: Any, arch: Arch) -> tuple[Chain, Machine]:
    world = Int8World(int_worlds.on_device(params), arch)
    image = chain_image.pack(params, arch)
    shape = chain_state.create_shape(world)
    chain = Chain(size=shape["state_size"], max_frames=28800)
    done = [chain.create(**shape, model=sha256(image)), chain.join()]
    own = Machine.at_start(world, chain.get(SessionState))
    done.append(chain.commit(own.slot(), players=own.players))
    if any(done):
        sys.exit(f"the session did not begin: {done}")
    shard = WeightShard(0, len(image), bytes(P1.pubkey()), True, sha256(image))
    chain.put(SHARD, accounts.encode(shard, bytes(accounts.TAIL_PADDING) + image))
    print(f"{len(image):,} bytes of weights, {shape['state_size']:,} of state")
    return chain, own


def run(chain: Chain, own: Machine, pads: np.ndarray) -> tuple[int, list[str]]:
    for player, pad in zip((P1, P2), pads, strict=True):
        chain.submit(player, machine.controller_of(pad))
    step = chain.session.run_inference(STRANGER.pubkey(), own.frame + 1, SHARD)
    message = Message([step], STRANGER.pubkey())
    done = chain.svm.send_transaction(Transaction.new_unsigned(message))
    if not hasattr(done, "compute_units_consumed"):
        sys.exit(f"frame {own.frame + 1}: {done}")
    return done.compute_units_consumed(), done.logs()


def parts(logs: list[str], found: dict[str, list[int]], frame: int) -> None:
    """Adds a frame's units of every part; a part lasts until the next count."""
    name, before = "", 0
    for line in logs:
        if said := SAID.match(line):
            name_next = said[1]
        elif left := LEFT.match(line):
            now = int(left[1])
            if name:
                found[name][frame] += before - now
                found[name][-1] += 1
            name, before = name_next, now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cartridge", nargs="?", default="embedded")
    parser.add_argument("--size", help="D_MODEL,D_STATE,LAYERS of a made-up world instead")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--pads", type=int, default=3, help="seed of the inputs")
    args = parser.parse_args()
    if args.parts:
        program = counting_program()
        solana_chain.elf = lambda: program
    chain, own = begin(*world_of(args))
    units: list[int] = []
    found: dict[str, list[int]] = defaultdict(lambda: [0] * (args.frames + 1))
    for frame, pads in enumerate(int_worlds.random_pads(args.pads, args.frames)):
        spent, logs = run(chain, own, pads)
        own = own.step(pads)
        if chain.slot(own.frame) != own.slot():
            sys.exit(f"frame {own.frame}: the chain's state is not the step's")
        units.append(spent)
        if args.parts:
            parts(logs, found, frame)
        if chain.get(SessionState).status == accounts.ENDED:
            break
    frames = len(units)
    if args.parts:
        each = found.pop("nothing")
        cost = sum(each[:-1]) // each[-1]
        whole = 0
        for name, values in found.items():
            mean = (sum(values[:-1]) - cost * values[-1]) / frames
            whole += mean
            print(f"{name:<20} {mean:>12,.0f}")
        print(f"{'sum':<20} {whole:>12,.0f}")
        return
    fits = "fits" if max(units) <= TRANSACTION_UNITS else "does not fit"
    print(
        f"{frames} frames equal; units of a frame: least {min(units):,}, mean "
        f"{sum(units) // frames:,}, most {max(units):,}; {fits} one transaction"
    )


if __name__ == "__main__":
    main()
