"""The commands `awm er` and `awm weights`, and how `crank.cli` adds all of Solana's."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from awm_jax.console import progress
from awm_jax.errors import AwmError
from crank import session_cli
from crank.options import PLAIN
from crank.solana_options import (
    PORT,
    RPC,
    Key,
    Program,
    Rpc,
    Syscall,
    Yes,
    image_of,
    is_local,
    need,
    node_at,
    program_at,
    say,
    shards_at,
)

er = typer.Typer(name="er", help="MagicBlock's ephemeral rollup on this machine.", **PLAIN)
weights = typer.Typer(name="weights", help="A cartridge's weights on chain.", **PLAIN)


def add_to(app: typer.Typer) -> None:
    """Give `awm` these commands."""
    for group in (er, session_cli.session, weights):
        app.add_typer(group)
    app.command()(session_cli.crank)
    app.command()(session_cli.agent)


@er.command()
def install() -> None:
    """Fetch the validator and make it start on this system (110 MB, once)."""
    need()
    with progress("installing the validator"):
        from crank.solana import rollup

        path = rollup.install()
    say(path)


@er.command()
def up(
    slot_ms: Annotated[int, typer.Option(min=5, help="Block time in milliseconds.")] = 16,
    port: Annotated[int, typer.Option(min=1, max=65530, help="RPC; +1 WebSocket, +2 base.")] = PORT,
    workdir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Keep ledger, log and payer here.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with that ledger.")] = False,
    seconds: Annotated[float | None, typer.Option(help="Stop by itself.")] = None,
    program: Program = None,
) -> int:
    """Run a local rollup with our program until Ctrl-C; prints one line of JSON when it is ready.

    Example: awm er up --slot-ms 16
    """
    need()
    from importlib import resources

    from crank.interrupt import deferred
    from crank.solana.addresses import PROGRAM
    from crank.solana.program import ELF
    from crank.solana.rollup import Rollup

    if resume and workdir is None:
        raise AwmError("--resume goes on with the ledger in --workdir; name it")
    elf = resources.files("crank.solana").joinpath(ELF)
    with resources.as_file(elf) as path, deferred() as interrupted:
        address = program or str(PROGRAM)
        with Rollup(
            {address: str(path)}, slot_ms=slot_ms, port=port, workdir=workdir, resume=resume
        ) as running:
            say(json.dumps(running.info()))
            end = None if seconds is None else time.monotonic() + seconds
            while not interrupted() and (end is None or time.monotonic() < end):
                if not running.running():
                    raise AwmError(f"the validator ended by itself; its log: {running.log}")
                time.sleep(0.1)
    return 0


@weights.command(name="upload")
def upload_(
    cartridge: Annotated[str, typer.Argument(metavar="CARTRIDGE")],
    key: Key = "player0.json",
    shard_key: Annotated[
        str,
        typer.Option(metavar="FILE", help="The keypair of the shard's account; shard.1.json ..."),
    ] = "shard.json",
    syscall: Syscall = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the cost.")] = False,
    rpc: Rpc = RPC,
    program: Program = None,
    yes: Yes = False,
) -> None:
    """Bring a cartridge's weights onto the chain, packed for its program; prints its shards.

    An account holds 10 MB; a larger image has several, each with a keypair of its own.
    Run it again where it was interrupted: what is there is not sent again.
    """
    node = node_at(rpc, yes or dry_run)
    image = image_of(cartridge, syscall)
    from crank.solana import chain_image, client, keys, weight_shards
    from crank.solana.weight_shards import CHUNK_BYTES, LOCAL_CHUNK_BYTES

    local = is_local(node)
    chunk = LOCAL_CHUNK_BYTES if local else CHUNK_BYTES
    with client.base_of(node) if local else node as chain:
        cost = weight_shards.cost(chain, image, chunk)
    print(
        f"{cost.bytes} bytes in {cost.accounts} accounts: rent {cost.rent} lamports, "
        f"{cost.transactions} transactions, fees up to {cost.fees} lamports",
        file=sys.stderr,
    )
    if dry_run:
        return
    if not local and not yes:
        typer.confirm("Go on?", abort=True)
    who, program_id, made = keys.load_or_make(key), program_at(program), []
    with progress("uploading", len(image), "bytes") as advance:
        for index, piece in enumerate(chain_image.shards(image)):
            path = Path(shard_key)
            shard = keys.load_or_make(path.with_suffix(f".{index}{path.suffix}") if index else path)
            if local:
                size = weight_shards.account_bytes(len(piece))
                client.make_accounts(node, program_id, {shard.pubkey(): size})
            weight_shards.upload(node, program_id, shard, who, index, piece, chunk, advance)
            made.append(str(shard.pubkey()))
    say(",".join(made))


@weights.command(name="verify")
def verify_weights(
    cartridge: Annotated[str, typer.Argument(metavar="CARTRIDGE")],
    shards: Annotated[str, typer.Argument(metavar="SHARDS")],
    syscall: Syscall = False,
    rpc: Rpc = RPC,
) -> int:
    """Compare the shards on chain with what the cartridge gives. Exit 1 where they differ."""
    node = node_at(rpc, True)
    from crank.solana import weight_shards

    problem = weight_shards.verify(node, shards_at(shards), image_of(cartridge, syscall))
    say(problem or f"{shards} holds exactly what {cartridge} gives")
    return int(problem is not None)
