"""Compute units of RUN_INFERENCE in LiteSVM, whole and part by part.

`PYTHONPATH=.:tests python benchmarks/onchain_units.py [CARTRIDGE] [--frames N] [--table]` from the
checkout; the embedded cartridge is the default, `--size D_MODEL,D_STATE,LAYERS` a made-up world.
Every frame is compared with the JAX step's. `--table` builds the program anew with a count at the
start of each section (needs clang 14) and prints what each takes; the counting itself is taken off.
`--in-parts` computes frames in several transactions of 1.4 million units, as `frame_parts.plan`
cuts them; `--plan` only says how, and the most units that the parts may take. `--no-zeros` packs
every matrix as if no code were ever zero: what the worst frame takes. `--syscall` is the program
that calls `sol_matmul_i8`, which no machine here has: the table is that of a program with a
function in its place, whose units are replaced by the reference's price of the call.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata
from support import int_worlds, solana_build, solana_chain, solana_worlds
from support.solana_chain import P1, P2, STRANGER, Chain, keypair

from awm_jax.int8.native import image as native
from awm_jax.int8.ops import syscall_cost
from awm_jax.int8.params import Arch
from awm_jax.int8.world import Int8World
from crank.solana import accounts, chain_image, chain_state, frame_parts, machine, weight_shards
from crank.solana.accounts import FrameWork, SessionState, WeightShard
from crank.solana.chain_state import Machine
from crank.solana.program import RunParts, sha256

CALL = "sol_matmul_i8"
SHARDS = [keypair(21 + n).pubkey() for n in range(chain_image.MOST_SHARDS)]
LEFT = re.compile(r"Program consumption: (\d+) units remaining")
SAID = re.compile(r"Program log: (.*)")
CALLED = re.compile(r"Program log: (0x\w+), (0x\w+), 0x0, 0x0, 0x0")
"""Rows and columns of a call."""


def world_of(args: argparse.Namespace) -> tuple[Any, Arch]:
    if not args.size:
        from converters.cartridge import read_cartridge
        from converters.quantize.pack import load_world

        return load_world(read_cartridge(args.cartridge))
    d_model, d_state, layers = map(int, args.size.split(","))
    arch = solana_worlds.large_arch(d_model, d_state, layers)
    return solana_worlds.calm_params(1, arch), arch


def counting_program(syscall: bool) -> bytes:
    count = "-DAWM_COUNT_UNITS"
    return solana_build.calling(count) if syscall else solana_build.compiled(count)


def tell_plan(params: Any, arch: Arch, call: bool) -> None:
    image = chain_image.pack(params, arch, call)
    dims = chain_image.dims_of(image)
    units, counts = frame_parts.parts(dims), frame_parts.plan(dims)
    one = "fits" if frame_parts.fits_one(dims) else "does not fit"
    print(
        f"{len(image):,} bytes of weights; {len(units)} parts of at most {sum(units):,} units, "
        f"the largest {max(units):,}; {one} one transaction, in parts {len(counts)}: {counts}"
    )


def begin(params: Any, arch: Arch, call: bool) -> tuple[Chain, Machine, Sequence[Pubkey], Any]:
    """A session at its start, its shards, and how its frames are cut in parts."""
    world = Int8World(int_worlds.on_device(params), arch)
    image = chain_image.pack(params, arch, call)
    shape = chain_state.create_shape(world)
    chain = Chain(size=shape["state_size"], max_frames=28800)
    done = [chain.create(**shape, model=weight_shards.model_of(image)), chain.join()]
    own = Machine.at_start(world, chain.get(SessionState))
    done.append(chain.commit(own.slot(), players=own.players))
    if any(done):
        sys.exit(f"the session did not begin: {done}")
    pieces = chain_image.shards(image)
    for index, (address, data) in enumerate(zip(SHARDS, pieces, strict=False)):
        shard = WeightShard(index, len(data), bytes(P1.pubkey()), True, sha256(data))
        chain.put(address, accounts.encode(shard, bytes(accounts.TAIL_PADDING) + data))
    dims = chain_image.dims_of(image)
    work = frame_parts.work_bytes(dims, chain.size)
    chain.put(FrameWork, bytes(work))
    print(
        f"bytes: {len(image):,} of weights in {len(pieces)} accounts, {chain.size:,} of state, "
        f"{work:,} of work for parts"
    )
    return chain, own, SHARDS[: len(pieces)], frame_parts.steps(dims)


def send(chain: Chain, step: Instruction) -> tuple[int, list[str]]:
    message = Message([step], STRANGER.pubkey())
    done = chain.svm.send_transaction(Transaction.new_unsigned(message))
    if isinstance(done, FailedTransactionMetadata):
        sys.exit(f"refused: {done.err()}")
    return done.compute_units_consumed(), done.logs()


def run(
    chain: Chain,
    own: Machine,
    pads: np.ndarray,
    steps: list[tuple[int, int]] | None,
    shards: Sequence[Pubkey],
) -> tuple[list[int], list[str]]:
    """One frame, in steps of parts, or whole; units of each transaction, and logs."""
    for player, pad in zip((P1, P2), pads, strict=True):
        chain.submit(player, machine.controller_of(pad))
    who, due = STRANGER.pubkey(), own.frame + 1
    if steps is None:
        spent, logs = send(chain, chain.session.run_inference(who, due, shards[0]))
        return [spent], logs
    units, logs = [], []
    for step in steps:
        made = chain.session.run_parts(who, RunParts(due, *step), shards)
        spent, said = send(chain, made)
        units.append(spent)
        logs += said
    return units, logs


def sections(logs: list[str], found: dict[str, list[int]], frame: int) -> None:
    """Adds a frame's units of every section; a section lasts until the next count."""
    name, before = "", 0
    for line in logs:
        if called := CALLED.match(line):
            found["price"][frame] += syscall_cost(*(int(each, 16) for each in called.groups()))
        elif said := SAID.match(line):
            name_next = said[1]
        elif left := LEFT.match(line):
            now = int(left[1])
            if name:
                found[name][frame] += before - now
                found[name][-1] += 1
            name, before = name_next if name_next != "end" else "", now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cartridge", nargs="?", default="embedded")
    parser.add_argument("--size", help="D_MODEL,D_STATE,LAYERS of a made-up world instead")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--in-parts", action="store_true")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--no-zeros", action="store_true")
    parser.add_argument("--syscall", action="store_true")
    parser.add_argument("--pads", type=int, default=3, help="seed of the inputs")
    args = parser.parse_args()
    if args.table:
        program = counting_program(args.syscall)
        solana_chain.elf = lambda: program
    if args.no_zeros:
        chain_image.DENSE.update(native.TENSORS, native.LAYER_TENSORS)
    if args.plan:
        tell_plan(*world_of(args), args.syscall)
        return
    if args.syscall and not args.table:
        sys.exit("--syscall is with --table or --plan: no machine here has the call")
    chain, own, shards, steps = begin(*world_of(args), args.syscall)
    units: list[list[int]] = []
    found: dict[str, list[int]] = defaultdict(lambda: [0] * (args.frames + 1))
    for frame, pads in enumerate(int_worlds.random_pads(args.pads, args.frames)):
        spent, logs = run(chain, own, pads, steps if args.in_parts else None, shards)
        own = own.step(pads)
        if chain.slot(own.frame) != own.slot():
            sys.exit(f"frame {own.frame}: the chain's state is not the step's")
        units.append(spent)
        if args.table:
            sections(logs, found, frame)
        if chain.get(SessionState).status == accounts.ENDED:
            break
    frames = len(units)
    if args.table:
        each = found.pop("nothing")
        cost = sum(each[:-1]) // each[-1]
        whole = 0
        if args.syscall:
            found[CALL] = found.pop("price")
        for name, values in found.items():
            mean = (sum(values[:-1]) - cost * values[-1]) / frames
            whole += mean
            print(f"{name:<20} {mean:>12,.0f}")
        print(f"{'sum':<20} {whole:>12,.0f}")
        return
    whole, most = [sum(each) for each in units], max(map(max, units))
    fits = "fits" if most <= frame_parts.TRANSACTION_UNITS else "does not fit"
    print(
        f"{frames} frames equal; units of a frame: least {min(whole):,}, mean "
        f"{sum(whole) // frames:,}, most {max(whole):,}\n"
        f"transactions of a frame: {len(units[0])}, the largest of {most:,} units {fits}"
    )


if __name__ == "__main__":
    main()
