"""What the commands on Solana share: options, nodes, keys, cartridges."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awm_jax.errors import AwmError

if TYPE_CHECKING:
    from crank.integer import IntegerWorld
    from crank.solana.client import SessionVerdict
    from crank.solana.program import Session
    from crank.solana.rpc import Node

PORT = 8899
LOOPBACK = ("127.0.0.1", "localhost", "::1")
NEEDED = ("solders", "websockets")

Shards = Annotated[
    str | None,
    typer.Option("--on-chain", metavar="SHARDS", help="The program computes with these weights."),
]
Rpc = Annotated[str, typer.Option("--rpc", metavar="URL", help="The rollup's node.")]
Address = Annotated[str, typer.Option("--session", metavar="PUBKEY", help="The session.")]
World = Annotated[str, typer.Option("--world", metavar="CARTRIDGE", help="What is played.")]
Key = Annotated[
    str, typer.Option("--key", metavar="FILE", help="A keypair file; made where there is none.")
]
Program = Annotated[
    str | None, typer.Option("--program", metavar="PUBKEY", help="Default: ours, locally.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before sending to another machine.")]
Syscall = Annotated[bool, typer.Option("--syscall", help="For a program that calls sol_matmul_i8.")]
RPC = f"http://127.0.0.1:{PORT}"


def milliseconds(seconds: tuple[float, ...]) -> list[float]:
    return [round(1000 * s, 3) for s in seconds]


def need() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise AwmError(f'{missing[0]} is not installed; pip install "awm-jax[solana]"')


def node_at(url: str, yes: bool) -> Node:
    """A node; before the first send to one that is not on this machine, the user is asked."""
    need()
    from crank.solana.rpc import Node

    node = Node(url)
    if not yes and not is_local(node):
        if not sys.stdin.isatty():
            raise AwmError(f"{url} is not on this machine; say --yes to send transactions there")
        typer.confirm(f"Send transactions, signed with your key, to {url}?", abort=True)
    return node


def is_local(node: Node) -> bool:
    return node.host in LOOPBACK


def program_at(address: str | None) -> Any:
    from solders.pubkey import Pubkey

    from crank.solana.addresses import PROGRAM

    return PROGRAM if address is None else pubkey(Pubkey, address)


def session_at(address: str, program: str | None) -> Session:
    from solders.pubkey import Pubkey

    from crank.solana.program import Session

    return Session(program_at(program), pubkey(Pubkey, address))


def pubkey(kind: Any, text: str) -> Any:
    try:
        return kind.from_string(text)
    except ValueError:
        raise AwmError(f"{text} is no public key") from None


def shards_at(text: str | None) -> tuple[Any, ...]:
    """The addresses of an image's shards, as `awm weights upload` prints them."""
    from solders.pubkey import Pubkey

    return () if text is None else tuple(pubkey(Pubkey, one) for one in text.split(","))


def load(path: str, engine: str) -> tuple[IntegerWorld, bytes]:
    """A cartridge's world and its hash, 32 bytes: what a session names as its model."""
    from converters.cartridge import is_cartridge
    from crank import cache, integer

    cache.enable()
    if not is_cartridge(path):
        raise AwmError(f"{path} is no cartridge; make one with: awm-convert quantize")
    ready, digest = integer.load_world(path, None, engine)
    return ready, bytes.fromhex(digest)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def image_of(cartridge: str, syscall: bool = False) -> bytes:
    ready: Any = load(cartridge, "xla")[0]
    from crank.solana.chain_image import pack

    return pack(ready.params, ready.arch, syscall)


def verify_session(
    node: Node, session: Session, world: str, engine: str, on_frame: Callable[[], None]
) -> SessionVerdict:
    """Compute a session again from what its chain holds.

    Args:
      world: the cartridge; the session names its hash, or that of its image on chain.
    """
    ready, model = load(world, engine)
    from crank.solana import chain_state, client, weight_shards

    told = chain_state.fetch_session(node, session).model
    if ready.recurrent and told != model:
        images = (image_of(world, syscall) for syscall in (False, True))
        models = [weight_shards.model_of(image) for image in images]
        model = told if told in models else models[0]
    return client.verify(node, session, ready, model, on_frame)
