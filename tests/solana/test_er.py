"""Sessions on the real validator: whole matches by clients, the crank's and the program's."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("solders")
pytest.importorskip("websockets")

from solders.keypair import Keypair
from support import int_worlds, sessions, solana_worlds

from awm_jax.cartridges import EMBEDDED
from awm_jax.errors import AwmError
from awm_jax.int8.world import Int8World
from crank.solana import chain_image, client, frame_parts, weight_shards
from crank.solana.accounts import ENDED, REFUTED
from crank.solana.addresses import PROGRAM
from crank.solana.rpc import Node
from crank.solana_options import load

pytestmark = pytest.mark.er


def test_a_whole_match(table: Any) -> None:
    """600 frames by two clients: none lost, none doubled, the digest of the match played here."""
    seat = table(600)
    frames: list[int] = []
    with seat.agents():
        report = seat.crank().run(frames.append)
    assert frames == list(range(1, 601))
    assert (report.frame, report.committed, report.held) == (600, 600, 0)
    assert len(report.work) == len(report.waiting) == 600
    seat.played(600)
    assert seat.verify().digest == report.digest
    assert seat.state().status == ENDED


@pytest.mark.parametrize(
    ("size", "whole", "last"),
    [({}, True, 60), ({"d_model": 256, "d_state": 32, "headdim": 64}, False, 12)],
    ids=["in one transaction", "in parts"],
)
def test_the_network_on_chain(rollup: Any, table: Any, size: Any, whole: bool, last: int) -> None:
    """The program computes every frame; a stranger cranks; the same digest."""
    arch = solana_worlds.arch_of(**size)
    world = Int8World(int_worlds.on_device(solana_worlds.calm_params(1, arch)), arch)
    image = chain_image.pack(world.params, world.arch)
    assert frame_parts.fits_one(chain_image.dims_of(image)) is whole
    owner, key = Keypair(), Keypair()
    with Node(rollup.rpc) as node:
        size = weight_shards.account_bytes(len(image))
        client.make_accounts(node, PROGRAM, {key.pubkey(): size})
        shard = weight_shards.upload(node, PROGRAM, key, owner, 0, image)
        assert weight_shards.verify(node, [shard], image) is None
        assert weight_shards.verify(node, [shard], image[:-1] + b"x") is not None
    seat = table(last, world, shards=(shard,))
    stranger = dataclasses.replace(seat, authority=Keypair())
    with pytest.raises(AwmError, match="another key"):
        stranger.crank().run()
    frames: list[int] = []
    with seat.agents():
        seat.crank().run(frames.append, lambda: len(frames) >= 5)
        stranger.crank().run()
    seat.played(last)
    assert not client.dispute(seat.node, seat.session, Keypair(), [shard])
    # A crank that steps another network, until somebody has its last frame computed again.
    other = Int8World(int_worlds.on_device(solana_worlds.calm_params(2, arch)), arch)
    lying = table(4, world, shards=(shard,))
    with lying.agents():
        dataclasses.replace(lying, world=other, shards=()).crank().run()
    assert client.dispute(lying.node, lying.session, Keypair(), [shard])
    assert lying.state().status == REFUTED


def awm(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "crank", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=pipe, text=True)


def test_a_crank_process_is_killed(rollup: Any, table: Any, tmp_path: Path) -> None:
    """`awm crank` on the embedded cartridge, killed with -9, then again; `awm verify --session`."""
    world, model = load(EMBEDDED, "auto")
    seat = table(60, world, model=model)
    path = tmp_path / "crank.json"
    path.touch(0o600)
    path.write_text(json.dumps(list(bytes(seat.authority))))
    where = ["--session", str(seat.session.address), "--rpc", rollup.rpc]
    with seat.agents():
        with awm("crank", *where, cwd=tmp_path) as killed:
            until = time.monotonic() + 120
            while seat.state().frame < 20 and time.monotonic() < until:
                assert killed.poll() is None, killed.stderr and killed.stderr.read()
                time.sleep(0.002)
            killed.kill()
        assert killed.returncode == -signal.SIGKILL
        assert 20 <= seat.state().frame < 60
        with awm("crank", *where, cwd=tmp_path) as resumed:
            out, err = resumed.communicate(timeout=240)
    digest = sessions.offline(world, 60)
    assert resumed.returncode == 0, err
    assert out.startswith(f"frame 60, digest {digest}, ")
    with awm("verify", *where, cwd=tmp_path) as verifying:
        out, err = verifying.communicate(timeout=240)
    assert (verifying.returncode, out) == (0, f"verified: 60 frames, digest {digest}\n"), err
