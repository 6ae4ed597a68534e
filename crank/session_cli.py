"""The commands `awm session`, `awm crank` and `awm agent`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from awm_jax.cartridges import EMBEDDED
from awm_jax.console import progress
from awm_jax.errors import AwmError
from crank.options import PLAIN, Engine, Json
from crank.solana_options import (
    RPC,
    Address,
    Key,
    Program,
    Rpc,
    Shards,
    World,
    Yes,
    is_local,
    load,
    milliseconds,
    node_at,
    program_at,
    pubkey,
    say,
    session_at,
    shards_at,
)

Named = Annotated[str, typer.Option(metavar="ID|NAME")]

session = typer.Typer(name="session", help="A match on a Solana rollup.", **PLAIN)


@session.command()
def create(
    world: World = EMBEDDED,
    key: Key = "player0.json",
    crank_key: Annotated[
        str, typer.Option(metavar="FILE", help="The key whose crank may commit frames.")
    ] = "crank.json",
    stage: Named = "32",
    character: Named = "2",
    max_frames: Annotated[int, typer.Option(min=1, max=600_000)] = 600,
    seed: Annotated[int, typer.Option(min=0, help="Of the start and of the agents.")] = 0,
    on_chain: Shards = None,
    rpc: Rpc = RPC,
    program: Program = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Open a session as player 0, and print its address.

    Locally (`awm er up`) its accounts are made at once; on a hosted rollup they have to stand
    there, delegated.
    """
    with progress("opening"):
        node, ready, model = node_at(rpc, yes), *load(world, "xla")
        from solders.keypair import Keypair

        from awm_jax.game.characters import parse_character
        from awm_jax.game.stages import parse_stage
        from crank.solana import chain_state, client, frame_parts, keys, weight_shards
        from crank.solana.program import Create

        shape, work = chain_state.create_shape(ready), 0
        if shards := shards_at(on_chain):
            model = weight_shards.fetch_model(node, shards)
            dims = weight_shards.fetch_dims(node, shards[0])
            if not frame_parts.fits_one(dims):
                work = frame_parts.work_bytes(dims, shape["state_size"])
        cfg = ready.cfg
        args = Create(
            character=parse_character(character, cfg.character_vocab),
            stage=parse_stage(stage, cfg.stage_vocab),
            max_frames=max_frames,
            seed=seed,
            model=model,
            authority=bytes(keys.load_or_make(crank_key).pubkey()),
            **shape,
        )
        made = client.create(
            node,
            program_at(program),
            Keypair(),
            keys.load_or_make(key),
            args,
            is_local(node),
            work,
        )
    say(json.dumps({"session": str(made.address)}) if as_json else str(made.address))


@session.command()
def join(
    address: Address,
    key: Key = "player1.json",
    character: Named = "2",
    rpc: Rpc = RPC,
    program: Program = None,
    yes: Yes = False,
) -> None:
    """Take the second seat."""
    node, own = node_at(rpc, yes), session_at(address, program)
    from awm_jax.encoding import EncodingConfig
    from awm_jax.game.characters import parse_character
    from crank.solana import keys

    who = keys.load_or_make(key)
    number = parse_character(character, EncodingConfig().character_vocab)
    node.send([own.join(who.pubkey(), number)], [who])
    say(f"joined {address} as {who.pubkey()}")


@session.command()
def end(
    address: Address, key: Key, rpc: Rpc = RPC, program: Program = None, yes: Yes = False
) -> None:
    """End a session; its players and its crank may."""
    node, own = node_at(rpc, yes), session_at(address, program)
    from crank.solana import keys

    who = keys.load(key)
    node.send([own.end(who.pubkey())], [who])
    say(f"ended {address}")


@session.command()
def dispute(
    address: Address,
    on_chain: Annotated[str, typer.Option(metavar="SHARDS", help="The weights that it plays.")],
    key: Key = "player0.json",
    work: Annotated[
        str | None,
        typer.Option(metavar="PUBKEY", help="An account to compute in; locally one is made."),
    ] = None,
    rpc: Rpc = RPC,
    program: Program = None,
    yes: Yes = False,
) -> int:
    """Have the program compute the last frame again. Exit 1, and an end, where it was wrong."""
    node, own = node_at(rpc, yes), session_at(address, program)
    from solders.pubkey import Pubkey

    from crank.solana import client, keys

    place = None if work is None else pubkey(Pubkey, work)
    if place is None and not is_local(node):
        raise AwmError("name an account of the program to compute in with --work")
    wrong = client.dispute(node, own, keys.load_or_make(key), shards_at(on_chain), place)
    say("the last frame was wrong; the session is refuted" if wrong else "the last frame is right")
    return int(wrong)


@session.command(name="input")
def input_(
    address: Address,
    key: Key,
    pad: Annotated[
        str, typer.Option(metavar="JSON", help='Fields of a controller: {"stick_x": 80}')
    ] = "{}",
    frame: Annotated[int | None, typer.Option(help="Default: the one that is due.")] = None,
    rpc: Rpc = RPC,
    program: Program = None,
    yes: Yes = False,
) -> None:
    """Send one input by hand."""
    node, own = node_at(rpc, yes), session_at(address, program)
    from crank.solana import chain_state, keys
    from crank.solana.accounts import ControllerInput

    try:
        controller = ControllerInput(**json.loads(pad))
    except (TypeError, ValueError) as error:
        raise AwmError(f"--pad is no controller: {error}") from None
    who = keys.load(key)
    due = chain_state.fetch_session(node, own).frame + 1 if frame is None else frame
    node.send([own.submit_input(who.pubkey(), due, controller)], [who])
    say(f"sent for frame {due}")


@session.command()
def watch(
    address: Address,
    rpc: Rpc = RPC,
    program: Program = None,
    once: Annotated[bool, typer.Option("--once", help="Print how it stands, and go.")] = False,
) -> None:
    """Print a line of JSON whenever the session changes, until it has ended."""
    node, own = node_at(rpc, True), session_at(address, program)
    import dataclasses
    import queue

    from crank.solana import accounts, chain_state
    from crank.solana.rpc import Subscription

    def show(state: accounts.SessionState) -> bool:
        say(
            json.dumps(
                {
                    "status": accounts.STATUS[state.status],
                    "frame": state.frame,
                    "max_frames": state.max_frames,
                    "players": [dataclasses.asdict(p) for p in state.players],
                }
            )
        )
        return state.status >= accounts.ENDED

    state = chain_state.fetch_session(node, own)
    if show(state) or once:
        return
    changes: queue.Queue[bytes] = queue.Queue()
    subscription = Subscription(node.ws_url, own.address, changes.put)
    try:
        while True:
            try:
                data = changes.get(timeout=0.5)
                new = accounts.decode(accounts.SessionState, data)[0]
            except queue.Empty:  # the subscription may have died silently
                new = chain_state.fetch_session(node, own)
            if new != state:
                state = new
                if show(state):
                    return
    finally:
        subscription.close()


def crank(
    address: Address,
    world: World = EMBEDDED,
    key: Key = "crank.json",
    rpc: Rpc = RPC,
    program: Program = None,
    deadline_ms: Annotated[
        int,
        typer.Option(min=0, help="Then the last input is held; 0 waits for ever."),
    ] = 0,
    max_transaction: Annotated[
        int, typer.Option(min=1000, help="State bytes in one transaction.")
    ] = 480_000,
    on_chain: Shards = None,
    poll: Annotated[bool, typer.Option("--poll", help="Do not subscribe.")] = False,
    engine: Engine = "auto",
    yes: Yes = False,
    as_json: Json = False,
) -> int:
    """Turn a session's frames until it ends: wait for both inputs, step, commit.

    It keeps nothing: start it again, here or elsewhere, and it goes on from the chain.

    Example: awm crank --session PUBKEY
    """
    from crank.interrupt import deferred

    with deferred() as interrupted:
        with progress("loading"):
            node, own = node_at(rpc, yes), session_at(address, program)
            ready, model = load(world, engine)
            from crank.solana import keys
            from crank.solana.session import INSTRUCTION_BYTES, Crank, Settings

            settings = Settings(
                deadline=deadline_ms / 1000 or None,
                transaction_bytes=max_transaction,
                instruction_bytes=min(INSTRUCTION_BYTES, max_transaction),
                subscribe=not poll,
            )
            shards = shards_at(on_chain)
            expected = None if shards else model
            made = Crank(node, own, keys.load(key), ready, settings, expected, shards)
        with progress("cranking", None, "frames") as advance:
            report = made.run(lambda _: advance(), interrupted)
    told = {"frame": report.frame, "digest": report.digest, "committed": report.committed}
    told["held"] = report.held
    if as_json:
        times = {"work_ms": report.work, "node_ms": report.waiting, "cpu_ms": report.cpu}
        times["at_ms"] = report.at
        told |= {name: milliseconds(values) for name, values in times.items()}
        say(json.dumps(told))
    else:
        say(f"frame {report.frame}, digest {report.digest}, {report.committed} committed here")
    return 130 if interrupted() else 0


def agent(
    address: Address,
    player: Annotated[int, typer.Option(min=0, max=1)],
    world: World = EMBEDDED,
    policy: Annotated[
        str, typer.Option(metavar="AGENT", help="noop, hold-forward, random or policy:CARTRIDGE.")
    ] = "random",
    key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Default: player0.json, player1.json.")
    ] = None,
    rpc: Rpc = RPC,
    program: Program = None,
    engine: Engine = "auto",
    yes: Yes = False,
    as_json: Json = False,
) -> int:
    """Play in a session: send an input for each frame, as any stranger may.

    Example: awm agent --session PUBKEY --player 0 --policy random
    """
    from crank.interrupt import deferred

    with deferred() as interrupted:
        with progress("loading"):
            node, own = node_at(rpc, yes), session_at(address, program)
            ready, _ = load(world, engine)
            from crank import integer
            from crank.solana import keys
            from crank.solana.client import Player

            acting, _ = integer.parse_agent(policy, ready, world, 0.0)
            who = keys.load(key or f"player{player}.json")
        played = Player(node, own, who, player, ready, acting).run(interrupted)
    if as_json:
        say(json.dumps({"frames": played.frames, "latency_ms": milliseconds(played.latency)}))
    else:
        say(f"player {player} sent {played.frames} inputs")
    return 130 if interrupted() else 0
