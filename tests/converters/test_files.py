"""Files and folders are whole under their name, or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from awm_jax.errors import AwmError
from awm_jax.files import folder_atomically, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"\x01\x02", "text \u00e9", lambda file: file.write(b"abc")])
def test_writes_what_is_given(content: object, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before")
    write_atomically(path, content)  # pyright: ignore[reportArgumentType]
    expected = {bytes: content, str: "text \u00e9".encode()}.get(type(content), b"abc")
    assert path.read_bytes() == expected
    assert names(tmp_path) == ["out"]


def test_new_files_have_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    write_atomically(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt(), ValueError("bug")]
)
def test_a_failed_write_leaves_the_old_file(failure: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before")

    def fail(file) -> None:
        file.write(b"half")
        raise failure

    expected = AwmError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected) as error:
        write_atomically(path, fail)
    if expected is AwmError:
        assert str(error.value) == f"cannot write {path}: the disk is full"
    assert path.read_text() == "before"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_every_step_may_fail(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(AwmError, match=r"cannot write .*out: Input/output error"):
        write_atomically(tmp_path / "out", "x")
    assert names(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path / "absent" / "out", tmp_path, Path("/proc/out")):
        with pytest.raises(AwmError, match=f"^cannot write {path}: "):
            write_atomically(path, "x")
    if os.path.exists("/dev/full"):
        with pytest.raises(AwmError, match=r"^cannot write /dev/full: the disk is full$"):
            write_atomically("/dev/full", "x")


def test_devices_and_links_stay_what_they_are(tmp_path: Path) -> None:
    write_atomically(os.devnull, "x")
    assert not Path(os.devnull).is_file()
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "after"


def fill(path: Path, text: str, overwrite: bool = False) -> None:
    with folder_atomically(path, marker="mark", overwrite=overwrite) as folder:
        (folder / "mark").write_text(text)
        (folder / "deep").mkdir()
        (folder / "deep" / "data").write_text(text)
        if text == "fail":
            raise OSError(errno.ENOSPC, "No space left", str(folder / "deep"))


def test_folders_are_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with pytest.raises(AwmError, match=f"^cannot write {path}: the disk is full$"):
        fill(path, "fail")
    assert names(path.parent) == []
    fill(path, "one")
    assert (path / "deep" / "data").read_text() == "one"
    with pytest.raises(AwmError, match="not empty"):
        fill(path, "two")
    with pytest.raises(AwmError):
        fill(path, "fail", overwrite=True)
    assert (path / "mark").read_text() == "one"
    fill(path, "three", overwrite=True)
    assert (path / "deep" / "data").read_text() == "three"
    assert names(path.parent) == ["b"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out", "one")
    assert names(tmp_path / "out") == ["deep", "mark"]


def test_a_failed_swap_keeps_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "out", "one")
    replace, calls = os.replace, []

    def second_fails(source: str, target: str) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(AwmError, match="Input/output error"):
        fill(tmp_path / "out", "two", overwrite=True)
    assert (tmp_path / "out" / "mark").read_text() == "one"
    assert names(tmp_path) == ["out"]
