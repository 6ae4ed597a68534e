"""MagicBlock's ephemeral rollup on loopback: install the validator, start it, stop it.

`install` runs the packaged script, which fetches the published validator by npm and makes it start
on this system. `Rollup` starts it with our program preloaded and the stand-in base chain behind it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from awm_jax.errors import AwmError
from crank.solana import keys
from crank.solana.base_accounts import (
    DELEGATION_PROGRAM,
    SYSTEM,
    VALIDATOR,
    Account,
    find,
    raw,
)
from crank.solana.basechain import BaseChain

SOL = 1_000_000_000
VARIABLE = "AWM_EPHEMERAL_VALIDATOR"
NAME = "ephemeral-validator"
# Becomes the validator, which the kernel then ends with its owner (PR_SET_PDEATHSIG, SIGKILL), even
# where that is killed. Not a preexec_fn: Python must not run in a fork of a process with threads.
LAUNCH = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
)
LEDGER_BYTES, CACHE_BYTES = 1 << 30, 1 << 25
HOST = "127.0.0.1"
BASE_OFFSET = 2
"""The base chain's RPC port is the rollup's plus this; the rollup's WebSocket is plus 1."""


def install() -> str:
    """The path of a validator that starts here; fetched the first time (110 MB), then at once.

    Raises:
      AwmError: it can't be had here; the script's own sentence.
    """
    script = resources.files("crank.solana").joinpath("install_rollup.sh")
    with resources.as_file(script) as path:
        done = subprocess.run(["bash", str(path)], capture_output=True, text=True)
    said = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    if done.returncode or not said:
        raise AwmError(said[-1] if said else "the rollup's installer said nothing")
    return said[-1]


def find_validator() -> str:
    """$AWM_EPHEMERAL_VALIDATOR, `ephemeral-validator` on PATH, else what `install` gives."""
    named = os.environ.get(VARIABLE)
    if named and not os.access(named, os.X_OK):
        raise AwmError(f"${VARIABLE} names {named}, which is no program that can be run")
    return named or shutil.which(NAME) or install()


def free_ports(count: int = 3) -> int:
    """The first of some consecutive free TCP ports (the WebSocket is always the RPC's plus 1)."""
    for _ in range(200):
        first = 20000 + secrets.randbelow(12000)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind((HOST, port))
                return first
            except OSError:
                continue
    raise AwmError("no free ports on loopback; close some servers")


class Rollup:
    """A running rollup; use it as a context manager.

    Args:
      programs: program id -> ELF file's path.
      slot_ms: block time.
      port: of the RPC; 0 for free ones.
      payer: keypair file, made when missing; it has 100 SOL and is delegated.
      delegated: address -> (owner program, bytes): accounts that stand delegated from the start.
      workdir: keeps ledger, log and payer; None for a temporary folder that is removed.
      resume: go on with the ledger in `workdir` instead of wiping it.

    Attributes, while it runs: rpc, ws, base_rpc: URLs; pid; payer_key; log.
    """

    def __init__(
        self,
        programs: Mapping[str, str],
        slot_ms: int = 16,
        port: int = 0,
        payer: str | None = None,
        delegated: Mapping[str, tuple[str, bytes]] | None = None,
        workdir: str | None = None,
        resume: bool = False,
        timeout: float = 30.0,
    ) -> None:
        self.programs = {k: Path(v).read_bytes() for k, v in programs.items()}
        self.slot_ms, self.port, self.timeout = slot_ms, port, timeout
        self.delegated = dict(delegated or {})
        self.resume, self._own_dir = resume, workdir is None
        self.workdir = workdir or tempfile.mkdtemp(prefix="awm-er-")
        self.payer = payer or os.path.join(self.workdir, "payer.json")
        self.log = os.path.join(self.workdir, "er.log")
        self.base = BaseChain()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Rollup:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start base chain and validator; returns when the validator is healthy."""
        self.validator = find_validator()
        os.makedirs(self.workdir, exist_ok=True)
        if not os.path.exists(self.payer):
            keys.make(self.payer)
        self.payer_key = str(keys.load(self.payer).pubkey())
        base = self.base
        base.set(VALIDATOR, Account(1000 * SOL))  # it stops with less than 5 SOL, or without
        vault = find([b"magic-fee-vault", raw(VALIDATOR)], DELEGATION_PROGRAM)  # its fee vault
        base.set_delegated(vault, DELEGATION_PROGRAM, bytes(8))
        base.set_delegated(self.payer_key, SYSTEM, b"", 100 * SOL)
        for program, elf in self.programs.items():
            base.set_program(program, elf)
        for address, (owner, data) in self.delegated.items():
            base.set_delegated(address, owner, data)
        self.port = self.port or free_ports()
        base.start(HOST, self.port + BASE_OFFSET)
        self.base_rpc = f"http://{HOST}:{base.http_port}"
        self._spawn(reset=not self.resume)

    def restart(self, kill: bool = False) -> None:
        """Stop the validator (kill: with SIGKILL) and start it on the same ledger and ports."""
        self.stop_validator(kill)
        self._spawn(reset=False)

    def stop_validator(self, kill: bool = False) -> None:
        """End the validator alone."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        (process.kill if kill else process.terminate)()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)

    def stop(self) -> None:
        """End everything; a temporary work folder is removed."""
        self.stop_validator()
        self.base.stop()
        if self._own_dir:
            shutil.rmtree(self.workdir, ignore_errors=True)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def info(self) -> dict[str, Any]:
        """What a client needs to know."""
        return {
            "rpc": self.rpc,
            "ws": self.ws,
            "base_rpc": self.base_rpc,
            "payer": self.payer,
            "programs": list(self.programs),
            "slot_ms": self.slot_ms,
            "pid": self.pid,
            "log": self.log,
        }

    def _spawn(self, reset: bool) -> None:
        conf = os.path.join(self.workdir, "er.toml")
        Path(conf).write_text(self._configuration(reset))
        env = {k: v for k, v in os.environ.items() if not k.startswith("MBV_")}
        env |= {"NO_COLOR": "1", "RUST_LOG": os.environ.get("AWM_ER_LOG", "warn")}
        command = [self.validator, conf]
        if threading.current_thread() is threading.main_thread():
            command = [sys.executable, "-c", LAUNCH, *command]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                cwd=self.workdir,
            )
        self.pid = self.process.pid
        self.rpc, self.ws = f"http://{HOST}:{self.port}", f"ws://{HOST}:{self.port + 1}"
        self._wait()

    def _configuration(self, reset: bool) -> str:
        quoted, base = json.dumps, self.base
        remotes = [self.base_rpc, f"ws://{HOST}:{base.ws_port}"]
        lines = [
            'lifecycle = "ephemeral"',
            f"storage = {quoted(os.path.join(self.workdir, 'storage'))}",
            "no-tui = true",
            f"remotes = {quoted(remotes)}",
            "[metrics]",
            f'address = "{HOST}:{free_ports(1)}"',
            "[aperture]",
            f'listen = "{HOST}:{self.port}"',
            "[validator]",
            "basefee = 0",
            "[ledger]",
            f'block-time = "{self.slot_ms}ms"',
            f"reset = {quoted(reset)}",
            f"block-cache-size = {CACHE_BYTES}",
            f"size = {LEDGER_BYTES}",
            "[accountsdb]",
            f"reset = {quoted(reset)}",
        ]
        return "\n".join(lines) + "\n"

    def _wait(self) -> None:
        deadline = time.monotonic() + self.timeout
        while not self._healthy():
            if self.process is None or self.process.poll() is not None:
                raise AwmError(f"the validator ended at once: {self._last_words()}")
            if time.monotonic() > deadline:
                raise AwmError(f"the validator is not healthy: {self._last_words()}")
            time.sleep(0.02)

    def _healthy(self) -> bool:
        body = b'{"jsonrpc":"2.0","id":1,"method":"getLatestBlockhash","params":[]}'
        request = urllib.request.Request(self.rpc, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                value = json.loads(answer.read())["result"]
                return value["context"]["slot"] > 0
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _last_words(self) -> str:
        lines = [x.strip() for x in Path(self.log).read_text(errors="replace").splitlines()]
        lines = [x for x in lines if x]
        telling = [x for x in lines if "ERROR" in x or "Failed" in x]
        return ((telling or lines or ["its log is empty"])[-1])[:300]
