"""A Solana node: JSON-RPC over one connection that stays open, and account subscriptions.

A call that fails on the way (no connection, 503, an answer that is no JSON) is repeated until
`patience` is over; an error that the node itself gives is raised at once.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey

from awm_jax.errors import AwmError
from crank.solana.program import Error

PATIENCE = 20.0
"""Seconds during which a node may be away."""
BLOCKHASH_SECONDS = 20.0
"""A blockhash is taken anew after this; it lives 60."""
TIMEOUT = 10.0
CLOSE_SECONDS = 0.1
"""A subscription's farewell; the rollup's validator never answers it."""
DUPLICATE = ("AlreadyProcessed", "already been processed", "already processed")
STALE_HASH = ("BlockhashNotFound", "Blockhash not found")
NOT_NOW = ("while validator is primary",)
"""What a validator says that is about to stop or has just been started."""


class RpcError(AwmError):
    """The node refused; its message."""


class Refused(RpcError):
    """A program refused a transaction.

    Attributes:
      error: ours, or None for what another program or the runtime said.
    """

    def __init__(self, message: str, error: Error | None) -> None:
        super().__init__(error.sentence if error else message)
        self.error = error


class Away(AwmError):
    """The node did not answer."""


class Base64(str):
    """A call's argument in which JSON has nothing to escape: a frame's bytes are not looked at."""


class Node:
    """One node at a URL; one thread at a time may use it. A context manager that closes it.

    Attributes:
      waited: seconds from sending calls to having their answers, in all.
    """

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AwmError(f"{url} is no URL of an RPC node; give http://HOST:PORT")
        self.url, self.patience = url, patience
        self._parts = parts
        self.host, self.port = parts.hostname, parts.port
        self._connection: http.client.HTTPConnection | None = None
        self._blockhash: tuple[Hash, float] | None = None
        self._count = 0
        self.waited = 0.0

    @property
    def ws_url(self) -> str:
        """Where its subscriptions are: the port after the RPC's, as Solana's validators have it."""
        scheme = {"http": "ws", "https": "wss"}[self._parts.scheme]
        port = f":{self._parts.port + 1}" if self._parts.port else ""
        return f"{scheme}://{self._parts.hostname}{port}{self._parts.path}"

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def call(self, method: str, *params: Any) -> Any:
        """The result of one call.

        Raises:
          RpcError: the node's own error.
          Away: no proper answer within `patience` seconds.
        """
        until, pause = time.monotonic() + self.patience, 0.02
        while True:
            try:
                return self._once(method, params)
            except (OSError, http.client.HTTPException, ValueError) as failure:
                self.close()
                if time.monotonic() + pause > until:
                    told = str(failure) or type(failure).__name__
                    raise Away(f"{self.url} does not answer {method}: {told}") from None
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _once(self, method: str, params: Sequence[Any]) -> Any:
        self._count += 1
        connection = self._connection
        if connection is None:
            kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
            connection = kinds[self._parts.scheme](
                self._parts.hostname or "", self._parts.port, timeout=TIMEOUT
            )
            connection.connect()
            connection.sock.setsockopt(6, 1, 1)  # TCP_NODELAY: a call is one small packet each way
            self._connection = connection
        path = self._parts.path or "/"
        told = ",".join(f'"{p}"' if isinstance(p, Base64) else json.dumps(p) for p in params)
        head = f'{{"jsonrpc":"2.0","id":{self._count},"method":"{method}"'
        text = f'{head},"params":[{told}]}}'
        began = time.perf_counter()
        try:
            connection.request("POST", path, text, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            self.waited += time.perf_counter() - began
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        content = json.loads(text)
        if not isinstance(content, dict) or not {"result", "error"} & content.keys():
            raise ValueError("an answer that is no JSON-RPC")
        if content.get("error") is not None:
            raise _error(content["error"])
        return content["result"]

    def account(self, key: Pubkey, start: int = 0, length: int | None = None) -> Any:
        """(owner, bytes) of an account, or of a part of its bytes; None where there is none."""
        options: dict[str, Any] = {"encoding": "base64", "commitment": "processed"}
        if length is not None:
            options["dataSlice"] = {"offset": start, "length": length}
        return _account(self.call("getAccountInfo", str(key), options)["value"])

    def accounts(self, keys: Sequence[Pubkey]) -> list[tuple[str, bytes] | None]:
        """Several accounts as they are at one moment."""
        options = {"encoding": "base64", "commitment": "processed"}
        found = self.call("getMultipleAccounts", [str(k) for k in keys], options)["value"]
        return [_account(value) for value in found]

    def blockhash(self) -> Hash:
        if self._blockhash is None or time.monotonic() > self._blockhash[1] + BLOCKHASH_SECONDS:
            value = self.call("getLatestBlockhash", {"commitment": "processed"})["value"]
            self._blockhash = Hash.from_string(value["blockhash"]), time.monotonic()
        return self._blockhash[0]

    def send(self, instructions: Sequence[Instruction], signers: Sequence[Keypair]) -> str:
        """Send one transaction, which the first signer pays; returns its signature when executed.

        Raises:
          Refused: it was executed and failed.
        """
        options = {"encoding": "base64", "preflightCommitment": "processed"}
        until = time.monotonic() + self.patience
        while True:
            signature, transaction = signed(instructions, signers, self.blockhash())
            raw = Base64(base64.b64encode(transaction), "ascii")
            try:
                return self.call("sendTransaction", raw, options)
            except RpcError as error:
                told = str(error)
                # A call was repeated whose first answer was lost, or an equal transaction was sent
                # before. Where that one failed this one has to be executed.
                if any(word in told for word in DUPLICATE):
                    if self._succeeded(signature):
                        return signature
                elif not any(word in told for word in (*STALE_HASH, *NOT_NOW)):
                    raise
                if time.monotonic() > until:
                    raise
            self._blockhash = None
            time.sleep(0.01)

    def _succeeded(self, signature: str) -> bool:
        status = self.call("getSignatureStatuses", [signature])["value"][0]
        return status is not None and status["err"] is None


def signed(
    instructions: Sequence[Instruction], signers: Sequence[Keypair], blockhash: Hash
) -> tuple[str, bytes]:
    """The first signature, and a transaction's bytes: how many signatures, they, the message.

    solders' own Transaction would write the message, which may hold a whole frame, three times.
    """
    message = Message.new_with_blockhash(list(instructions), signers[0].pubkey(), blockhash)
    raw, keys = bytes(message), message.account_keys[: message.header.num_required_signatures]
    by_key = {signer.pubkey(): signer for signer in signers}
    signatures = [by_key[key].sign_message(raw) for key in keys]
    return str(signatures[0]), bytes([len(signatures)]) + b"".join(map(bytes, signatures)) + raw


def _account(value: Any) -> tuple[str, bytes] | None:
    if value is None:
        return None
    return value["owner"], base64.b64decode(value["data"][0])


def _error(told: Any) -> RpcError:
    message = str(told.get("message", told)) if isinstance(told, dict) else str(told)
    data = told.get("data") if isinstance(told, dict) else None
    err = data.get("err") if isinstance(data, dict) else None
    code = None
    with contextlib.suppress(KeyError, IndexError, TypeError):
        code = err["InstructionError"][1]["Custom"]  # pyright: ignore[reportOptionalSubscript]
    if code is None and "custom program error: 0x" in message:
        digits = message.split("custom program error: 0x", 1)[1]
        code = int("".join(c for c in digits[:8].split()[0] if c in "0123456789abcdef"), 16)
    if code is not None or err is not None:
        known = code in Error._value2member_map_
        return Refused(message, Error(code) if known else None)
    return RpcError(message)


class Subscription:
    """An account's bytes as they change, in a thread of its own; connects again by itself.

    Args:
      on_change: called in that thread with the account's bytes.
    """

    def __init__(self, url: str, key: Pubkey, on_change: Callable[[bytes], None]) -> None:
        self._url, self._key, self._on_change = url, key, on_change
        self._stop = threading.Event()
        self._socket: Any = None
        self.connected = threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscription", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        socket = self._socket
        if socket is not None:
            with contextlib.suppress(Exception):
                socket.close()
        self._thread.join(5)

    def _run(self) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        options = {"encoding": "base64", "commitment": "processed"}
        ask = {"jsonrpc": "2.0", "id": 1, "method": "accountSubscribe"}
        ask["params"] = [str(self._key), options]
        # An account that is none of ours is not told here: who polls gets that sentence.
        broken = (OSError, WebSocketException, ValueError, KeyError, TypeError, EOFError, AwmError)
        while not self._stop.is_set():
            try:
                with connect(
                    self._url,
                    max_size=1 << 24,
                    open_timeout=TIMEOUT,
                    close_timeout=CLOSE_SECONDS,
                ) as socket:
                    self._socket = socket
                    if self._stop.is_set():
                        return
                    socket.send(json.dumps(ask))
                    for text in socket:
                        self._take(text)
            except broken:
                pass
            self.connected.clear()
            self._stop.wait(0.2)

    def _take(self, text: str | bytes) -> None:
        content = json.loads(text)
        if "params" not in content:
            if "error" in content:
                raise ValueError("refused")
            self.connected.set()
            return
        found = _account(content["params"]["result"]["value"])
        if found is not None:
            self._on_change(found[1])
