"""Keypair files as Solana's tools have them: 64 numbers, readable by their owner alone."""

from __future__ import annotations

import json
import os
import stat

from solders.keypair import Keypair

from awm_jax.errors import AwmError


def load(path: str | os.PathLike[str]) -> Keypair:
    """The keypair of a file. No message ever holds a part of it.

    Raises:
      AwmError: no such file, others may read it, or it is no keypair.
    """
    try:
        with open(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise AwmError(f"cannot read the keypair {path}: {reason}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AwmError(f"others may read the keypair {path}; chmod 600 it, or make a new one")
    try:
        return Keypair.from_bytes(bytes(json.loads(text)))
    except (ValueError, TypeError):
        raise AwmError(f"{path} is no keypair file (64 numbers, as solana-keygen writes)") from None


def make(path: str | os.PathLike[str]) -> Keypair:
    """A new keypair in a new file.

    Raises:
      AwmError: the file exists, or can't be written.
    """
    key = Keypair()
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise AwmError(f"cannot make the keypair {path}: {error.strerror}") from None
    with os.fdopen(number, "w") as file:
        json.dump(list(bytes(key)), file)
    return key


def load_or_make(path: str | os.PathLike[str]) -> Keypair:
    """The keypair of a file, which is made where there is none."""
    return load(path) if os.path.exists(path) else make(path)
