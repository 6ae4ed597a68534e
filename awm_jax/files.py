"""Writing so that nothing half-written is ever found under the wanted name.

A file or folder is written beside its place under a hidden name, flushed to the disk, then renamed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from awm_jax.console import explain
from awm_jax.errors import AwmError

Content = bytes | str | Callable[[BinaryIO], object]


def write_atomically(path: str | os.PathLike[str], content: Content) -> None:
    """Write a file whole or not at all; an existing one is replaced.

    Args:
      path: where. A symbolic link is followed; a device or pipe is written to directly.
      content: bytes, text (UTF-8), or a function that writes to the open binary file.

    Raises:
      AwmError: the place cannot be written (absent folder, permission, full disk); names the path.
    """
    target = Path(os.path.realpath(path))
    with _writable(path):
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                _put(file, content)
            return
        beside = _beside(target)
        try:
            with beside.open("xb") as file:
                _put(file, content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)


@contextlib.contextmanager
def folder_atomically(
    path: str | os.PathLike[str], *, marker: str, overwrite: bool = False
) -> Iterator[Path]:
    """Fill a folder whole or not at all.

    Yields an empty folder beside `path`; when the block ends well it is renamed to `path`, when it
    raises it is removed. An absent parent is made.

    Args:
      path: where. An empty folder there is taken.
      marker: a file that every folder of this kind holds.
      overwrite: replace a folder of this kind, and no other.

    Raises:
      AwmError: `path` holds something that may not be replaced, or it cannot be written.
    """
    target = Path(os.path.realpath(path))
    with _writable(path):
        occupied = _check_place(path, target, marker, overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = _beside(target)
        beside.mkdir()
    try:
        with _writable(path):
            yield beside
            for file in beside.rglob("*"):
                _sync(file)
            _swap(beside, target, occupied)
            _sync_folder(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check_place(path: str | os.PathLike[str], target: Path, marker: str, overwrite: bool) -> bool:
    """Whether something has to be moved away; refuses what must stay."""
    name = os.fspath(path)
    if not os.path.lexists(target):
        return False
    if not target.is_dir():
        raise AwmError(f"{name} is a file, not a folder; choose another place")
    if not any(target.iterdir()):
        return False
    if not overwrite:
        raise AwmError(f"{name} is not empty; choose another folder or pass --overwrite")
    if not (target / marker).is_file():
        raise AwmError(f"{name} has no {marker}, so it is none of ours and is not overwritten")
    return True


def _swap(beside: Path, target: Path, occupied: bool) -> None:
    if not occupied:
        os.replace(beside, target)
        return
    aside = _beside(target)
    os.replace(target, aside)
    try:
        os.replace(beside, target)
    except BaseException:
        os.replace(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def _put(file: BinaryIO, content: Content) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content.encode() if isinstance(content, str) else content)


def _sync(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Make a rename last; some systems cannot, which costs nothing but that promise."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _writable(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = None
        raise AwmError(f"cannot write {os.fspath(path)}: {explain(error)}") from error
