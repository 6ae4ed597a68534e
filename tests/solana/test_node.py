"""RPC faults and keypair files: a server that answers 503, late, garbage, or not at all."""

from __future__ import annotations

import base64
import http.server
import json
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("solders")

from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from awm_jax.errors import AwmError
from crank.solana import keys
from crank.solana.accounts import InputBuffer, encode
from crank.solana.program import Error, create_shard, elf, sha256
from crank.solana.rpc import Away, Node, Refused, RpcError, Subscription, signed


class Fake(http.server.ThreadingHTTPServer):
    """Gives the answers of a list, then the last one for ever: (status, text)."""

    daemon_threads = True

    def __init__(self, answers: list[tuple[int, str]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = answers, []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        status, text = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[Fake] = []

    def start(*answers: tuple[int, str]) -> Fake:
        server = Fake(list(answers))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def result(value: Any) -> tuple[int, str]:
    return 200, json.dumps({"jsonrpc": "2.0", "id": 1, "result": value})


def test_answers_that_are_none_are_asked_again(serve: Any) -> None:
    server = serve((503, "busy"), (200, "<html>"), (200, "[]"), (200, ""), result(5))
    node = Node(server.url)
    assert node.call("getSlot") == 5
    assert len(server.asked) == 5
    node.close()


def test_a_node_that_stays_away(serve: Any) -> None:
    server = serve((503, "busy"))
    node = Node(server.url, patience=0.1)
    with pytest.raises(Away, match="does not answer getSlot: HTTP 503"):
        node.call("getSlot")
    node.close()
    with pytest.raises(Away, match="does not answer"):
        Node("http://127.0.0.1:9", patience=0.05).call("getSlot")
    with pytest.raises(AwmError, match="is no URL of an RPC node"):
        Node("localhost:8899")


def error(message: str, data: Any = None) -> tuple[int, str]:
    return 200, json.dumps({"id": 1, "error": {"code": -32002, "message": message, "data": data}})


def test_refusals(serve: Any) -> None:
    """A program's error by its number, whichever way the node tells it."""
    err = {"err": {"InstructionError": [1, {"Custom": 14}]}}
    text = "Transaction simulation failed: custom program error: 0xe"
    other = {"err": {"InstructionError": [0, {"Custom": 9999}]}}
    server = serve(error("failed", err), error(text), error("odd", other), error("no such method"))
    node = Node(server.url)
    for told in (Error.WRONG_FRAME, Error.WRONG_FRAME, None):
        with pytest.raises(Refused) as refused:
            node.call("sendTransaction")
        assert refused.value.error == told
    with pytest.raises(RpcError, match="no such method") as plain:
        node.call("x")
    assert not isinstance(plain.value, Refused)
    node.close()


def test_a_transaction_is_sent_once(serve: Any) -> None:
    """A stale blockhash is taken anew; an answer that was lost is not another transaction."""
    fresh = result({"value": {"blockhash": str(Pubkey.default())}})
    stale = error("BlockhashNotFound")
    again = error("This transaction has already been processed")
    succeeded = result({"value": [{"err": None}]})
    server = serve(fresh, stale, fresh, (503, ""), again, succeeded)
    node, key = Node(server.url), Keypair()
    sent = node.send([create_shard(key.pubkey(), key.pubkey(), key.pubkey(), _shard())], [key])
    assert len(sent) > 40
    raw = [base64.b64decode(a["params"][0]) for a in server.asked if a["method"][0] == "s"]
    assert len(raw) == 3
    assert raw[1] == raw[2]
    node.close()


def test_a_validator_that_stops_is_asked_again(serve: Any) -> None:
    fresh = result({"value": {"blockhash": str(Pubkey.default())}})
    stops = error("transaction verification error: only available while validator is primary")
    server = serve(fresh, stops, fresh, result("signature"))
    node, key = Node(server.url), Keypair()
    shard = create_shard(key.pubkey(), key.pubkey(), key.pubkey(), _shard())
    assert node.send([shard], [key]) == "signature"
    node.close()


def test_a_failed_transaction_is_no_success_when_sent_again(serve: Any) -> None:
    """The chain knows it already, as failed: it is sent once more under another blockhash."""
    hashes = [
        result({"value": {"blockhash": str(Pubkey.from_bytes(bytes([n]) * 32))}}) for n in (1, 2)
    ]
    again = error("This transaction has already been processed")
    failed = result({"value": [{"err": {"InstructionError": [0, {"Custom": 14}]}}]})
    refusal = error("custom program error: 0xe")
    server = serve(hashes[0], again, failed, hashes[1], refusal)
    node, key = Node(server.url), Keypair()
    with pytest.raises(Refused) as refused:
        node.send([create_shard(key.pubkey(), key.pubkey(), key.pubkey(), _shard())], [key])
    assert refused.value.error == Error.WRONG_FRAME
    raw = [a["params"][0] for a in server.asked if a["method"] == "sendTransaction"]
    assert len(set(raw)) == 2
    node.close()


def test_a_transaction_is_that_of_solders() -> None:
    """Byte for byte, whatever the order of those who sign."""
    payer, other, blockhash = Keypair(), Keypair(), Hash.new_unique()
    step = create_shard(Pubkey.new_unique(), other.pubkey(), payer.pubkey(), _shard())
    for first, second in ((payer, other), (other, payer)):
        message = Message([step], first.pubkey())
        told = Transaction([second, first], message, blockhash)
        signature, raw = signed([step], [first, second], blockhash)
        assert (signature, raw) == (str(told.signatures[0]), bytes(told))


def _shard() -> Any:
    from crank.solana.program import CreateShard

    return CreateShard(0, 1, sha256(b"x"))


def test_a_subscription_survives_a_cut() -> None:
    pytest.importorskip("websockets")
    from websockets.sync.server import serve as serve_ws

    data = encode(InputBuffer(frame=3))
    value = {"owner": "x", "data": [base64.b64encode(data).decode(), "base64"]}
    note = {"params": {"result": {"value": value}, "subscription": 1}}

    def handle(socket: Any) -> None:
        socket.recv()
        socket.send(json.dumps({"id": 1, "result": 1}))
        socket.send(json.dumps(note))
        socket.close()  # cut after each notification

    with serve_ws(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        port = server.socket.getsockname()[1]
        seen, three = [], threading.Event()

        def take(got: bytes) -> None:
            seen.append(got)
            if len(seen) >= 3:
                three.set()

        subscription = Subscription(f"ws://127.0.0.1:{port}", Pubkey.default(), take)
        assert three.wait(20)
        subscription.close()
        assert set(seen) == {data}
        server.shutdown()
        thread.join(5)


def test_keypair_files(tmp_path: Any) -> None:
    path = tmp_path / "key.json"
    made = keys.load_or_make(path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert keys.load_or_make(path) == made
    assert len(json.loads(path.read_text())) == 64
    with pytest.raises(AwmError, match="cannot make the keypair"):
        keys.make(path)
    os.chmod(path, 0o644)
    with pytest.raises(AwmError, match="others may read") as refused:
        keys.load(path)
    assert str(made) not in str(refused.value)
    other = tmp_path / "other.json"
    other.touch(0o600)
    for text in ("", "[1, 2]", "{}", "[300]"):
        other.write_text(text)
        with pytest.raises(AwmError, match="is no keypair file"):
            keys.load(other)
    with pytest.raises(AwmError, match="cannot read the keypair"):
        keys.load(tmp_path / "none.json")


def test_the_program_is_an_elf() -> None:
    assert elf()[:4] == b"\x7fELF"
