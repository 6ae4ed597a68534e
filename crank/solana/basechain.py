"""A stand-in for Solana's base layer: just enough JSON-RPC and WebSocket for a rollup to follow.

Accounts live in a dictionary; transactions sent here are recorded, not executed. The slot rises
every 400 ms and the clock sysvar is notified, which is how the rollup knows that its base chain is
alive. One method is ours: `delegateAccount` [address, owner, size] makes an account of zeros that
`owner` has delegated to the rollup, as the delegation program would have left it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
import threading
import time

from crank.solana.base_accounts import (
    CLOCK,
    DELEGATION_PROGRAM,
    LOADER_V3,
    SYSTEM,
    SYSVAR,
    VALIDATOR,
    Account,
    b58any,
    b58encode,
    delegation_metadata,
    delegation_record,
    find,
    passes,
    raw,
    rent,
)

WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class BaseChain:
    def __init__(self, slot_ms=400, execute=None):
        self.accounts, self.slot_ms, self.execute = {}, slot_ms, execute
        self.slot, self.sent, self.calls, self.unknown = 1000, [], {}, {}
        self._subs, self._sub_id, self._statuses = {}, 0, {}
        self._loop, self._ready = asyncio.new_event_loop(), threading.Event()
        self.http_port = self.ws_port = None
        self._tick_clock()

    # -- called from the outside (thread-safe) --
    def set(self, pubkey: str, account):
        """Put an account (None removes it) and tell those who subscribed."""
        if account is None:
            self.accounts.pop(pubkey, None)
        else:
            self.accounts[pubkey] = account
        if self._ready.is_set():
            self._loop.call_soon_threadsafe(self._notify, pubkey)

    def set_delegated(
        self,
        pubkey: str,
        owner: str,
        data: bytes,
        lamports=None,
        validator=VALIDATOR,
        seeds=(),
        rent_payer=SYSTEM,
    ):
        """An account which program `owner` has delegated to `validator`."""
        lamports = rent(len(data)) if lamports is None else lamports
        key = raw(pubkey)
        record = delegation_record(raw(validator), raw(owner), lamports, self.slot)
        metadata = delegation_metadata(raw(rent_payer), seeds)
        for tag, body in ((b"delegation", record), (b"delegation-metadata", metadata)):
            self.set(
                find([tag, key], DELEGATION_PROGRAM),
                Account(rent(len(body)), DELEGATION_PROGRAM, body),
            )
        self.set(pubkey, Account(lamports, DELEGATION_PROGRAM, data))

    def set_program(self, program_id: str, elf: bytes, slot=1):
        """A deployed program of the upgradeable loader: its account and its data's."""
        pd = find([raw(program_id)], LOADER_V3)
        head = struct.pack("<IQB32s", 3, slot, 0, bytes(32))
        self.set(pd, Account(rent(45 + len(elf)), LOADER_V3, head + elf))
        self.set(
            program_id,
            Account(rent(36), LOADER_V3, struct.pack("<I32s", 2, raw(pd)), executable=True),
        )

    def start(self, host="127.0.0.1", http_port=0, ws_port=0):
        self._args = (host, http_port, ws_port)
        self._thread = threading.Thread(target=self._run, name="basechain", daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the stand-in base chain did not start")
        return self

    def stop(self):
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
        if not self._loop.is_running():
            self._loop.close()

    # -- the server --
    def _run(self):
        asyncio.set_event_loop(self._loop)
        host, hp, wp = self._args
        http = self._loop.run_until_complete(
            asyncio.start_server(self._http, host, hp, limit=1 << 26)
        )
        ws = self._loop.run_until_complete(asyncio.start_server(self._ws, host, wp, limit=1 << 26))
        self.http_port, self.ws_port = (s.sockets[0].getsockname()[1] for s in (http, ws))
        self._loop.create_task(self._ticks())
        self._ready.set()
        self._loop.run_forever()
        for t in asyncio.all_tasks(self._loop):
            t.cancel()
        http.close()
        ws.close()
        self._loop.run_until_complete(asyncio.sleep(0.05))

    async def _ticks(self):
        while True:
            await asyncio.sleep(self.slot_ms / 1000)
            self.slot += 1
            self._tick_clock()
            self._notify(CLOCK)
            for sid, (kind, _, writer) in list(self._subs.items()):
                if kind == "slot":
                    self._push(
                        writer,
                        "slotNotification",
                        sid,
                        {"parent": self.slot - 1, "root": self.slot - 32, "slot": self.slot},
                    )

    def _tick_clock(self):
        now = int(time.time())
        self.accounts[CLOCK] = Account(
            rent(40),
            SYSVAR,
            struct.pack(
                "<QqQQq",
                self.slot,
                now - self.slot % 432000,
                self.slot // 432000,
                self.slot // 432000 + 1,
                now,
            ),
        )

    def _ctx(self, value):
        return {"context": {"apiVersion": "2.0.0", "slot": self.slot}, "value": value}

    def _acct(self, key):
        a = self.accounts.get(key)
        return a.json() if a else None

    def _blockhash(self):
        return b58encode(hashlib.sha256(b"base%d" % (self.slot // 100)).digest())

    def call(self, method, params):
        self.calls[method] = self.calls.get(method, 0) + 1
        p = params or []
        if method == "getSlot" or method == "getBlockHeight":
            return self.slot
        if method == "getHealth":
            return "ok"
        if method == "getVersion":
            return {"solana-core": "2.0.0", "feature-set": 0}
        if method == "getGenesisHash":
            return b58encode(bytes(31) + b"\1")
        if method == "getEpochInfo":
            return {
                "absoluteSlot": self.slot,
                "blockHeight": self.slot,
                "epoch": 0,
                "slotIndex": self.slot,
                "slotsInEpoch": 432000,
            }
        if method == "getBalance":
            a = self.accounts.get(p[0])
            return self._ctx(a.lamports if a else 0)
        if method == "getAccountInfo":
            return self._ctx(self._acct(p[0]))
        if method == "getMultipleAccounts":
            return self._ctx([self._acct(k) for k in p[0]])
        if method == "getProgramAccounts":
            conf = p[1] if len(p) > 1 and p[1] else {}
            rows = [
                {"pubkey": k, "account": a.json()}
                for k, a in list(self.accounts.items())
                if a.owner == p[0] and passes(a.data, conf.get("filters"))
            ]
            return self._ctx(rows) if conf.get("withContext") else rows
        if method == "getMinimumBalanceForRentExemption":
            return rent(p[0])
        if method == "getLatestBlockhash":
            return self._ctx(
                {"blockhash": self._blockhash(), "lastValidBlockHeight": self.slot + 150}
            )
        if method == "isBlockhashValid":
            return self._ctx(True)
        if method == "delegateAccount":
            address, owner, size = p
            if address not in self.accounts:
                self.set_delegated(address, owner, bytes(size))
            return address
        if method == "getFeeForMessage":
            return self._ctx(5000)
        if method == "getSignatureStatuses":
            return self._ctx([self._statuses.get(s) for s in p[0]])
        if method == "sendTransaction":
            raw = (
                base64.b64decode(p[0])
                if len(p) > 1 and p[1].get("encoding") == "base64"
                else b58any(p[0])
            )
            signature = b58encode(raw[1:65])
            self.sent.append(raw)
            err = self.execute(self, raw) if self.execute else None
            self._statuses[signature] = {
                "slot": self.slot,
                "confirmations": None,
                "err": err,
                "status": {"Err": err} if err else {"Ok": None},
                "confirmationStatus": "finalized",
            }
            for sid, (kind, key, writer) in list(self._subs.items()):
                if kind == "signature" and key == signature:
                    self._push(writer, "signatureNotification", sid, self._ctx({"err": err}))
            return signature
        self.unknown[method] = self.unknown.get(method, 0) + 1
        raise LookupError(method)

    def answer(self, req):
        try:
            return {
                "jsonrpc": "2.0",
                "id": req.get("id"),
                "result": self.call(req.get("method"), req.get("params")),
            }
        except LookupError as e:
            return {
                "jsonrpc": "2.0",
                "id": req.get("id"),
                "error": {"code": -32601, "message": f"method not found: {e}"},
            }

    async def _http(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                req = json.loads(await reader.readexactly(size) or b"{}")
                out = [self.answer(r) for r in req] if isinstance(req, list) else self.answer(req)
                body = json.dumps(out).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n" % len(body) + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _ws(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
            key = next(
                line.split(":", 1)[1].strip()
                for line in head.split("\r\n")
                if line.lower().startswith("sec-websocket-key:")
            )
            accept = base64.b64encode(
                hashlib.sha1((key + WEBSOCKET_GUID).encode()).digest()
            ).decode()
            writer.write(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            )
            while True:
                op, payload = await self._frame(reader)
                if op == 8:
                    break
                if op == 9:
                    self._send(writer, payload, 10)
                if op == 1:
                    self._send(
                        writer, json.dumps(self._subscribe(json.loads(payload), writer)).encode()
                    )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._subs = {s: v for s, v in self._subs.items() if v[2] is not writer}
            writer.close()

    @staticmethod
    async def _frame(reader):
        b0, b1 = await reader.readexactly(2)
        n = b1 & 127
        if n > 125:
            n = int.from_bytes(await reader.readexactly(2 if n == 126 else 8), "big")
        mask = await reader.readexactly(4) if b1 & 128 else bytes(4)
        data = await reader.readexactly(n)
        return b0 & 15, bytes(c ^ mask[i & 3] for i, c in enumerate(data))

    @staticmethod
    def _send(writer, payload, op=1):
        n = len(payload)
        head = (
            bytes([128 | op, n])
            if n < 126
            else bytes([128 | op, 126]) + n.to_bytes(2, "big")
            if n < 65536
            else bytes([128 | op, 127]) + n.to_bytes(8, "big")
        )
        writer.write(head + payload)

    def _push(self, writer, method, sid, result):
        self._send(
            writer,
            json.dumps(
                {
                    "jsonrpc": "2.0",
                    "method": method,
                    "params": {"subscription": sid, "result": result},
                }
            ).encode(),
        )

    def _subscribe(self, req, writer):
        method, params = req.get("method", ""), req.get("params") or []
        self.calls[method] = self.calls.get(method, 0) + 1
        if method.endswith("Unsubscribe"):
            self._subs.pop(params[0], None)
            return {"jsonrpc": "2.0", "id": req.get("id"), "result": True}
        if method.endswith("Subscribe"):
            self._sub_id += 1
            self._subs[self._sub_id] = (method[:-9], params[0] if params else None, writer)
            return {"jsonrpc": "2.0", "id": req.get("id"), "result": self._sub_id}
        return self.answer(req)

    def _notify(self, key):
        a = self.accounts.get(key)
        value = (a or Account(0)).json()
        for sid, (kind, want, writer) in list(self._subs.items()):
            if kind == "account" and want == key:
                self._push(writer, "accountNotification", sid, self._ctx(value))
            elif kind == "program" and a and want == a.owner:
                self._push(
                    writer, "programNotification", sid, self._ctx({"pubkey": key, "account": value})
                )
