"""The cache of compiled programs, and what `awm doctor` says of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from awm_jax.console import run
from crank import cache, doctor
from crank.cli import PROG, app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("AWM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    return tmp_path / "cache"


def test_where_it_is(monkeypatch, tmp_path, home) -> None:
    assert cache.cache_home() == home
    monkeypatch.delenv("AWM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_home() == tmp_path / "xdg" / "awm-jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_home() == tmp_path / ".cache" / "awm-jax"
    assert not cache.cache_home().is_relative_to(ROOT)


def test_another_cpu_or_jaxlib_has_another_folder(monkeypatch) -> None:
    here = cache.cache_folder()
    assert here == cache.cache_folder()
    identity = cache.cpu_identity()
    monkeypatch.setattr(cache, "cpu_identity", lambda: identity | {"flags": "fpu"})
    other_cpu = cache.cache_folder()
    monkeypatch.undo()
    monkeypatch.setattr(cache, "jaxlib_identity", lambda: "0.0")
    assert len({here.name, other_cpu.name, cache.cache_folder().name}) == 3


def test_what_changes_by_itself_is_no_identity() -> None:
    names = " ".join(cache.cpu_identity())
    assert "MHz" not in names and "processor" not in names and "bogomips" not in names
    assert metadata.version("jaxlib") in cache.jaxlib_identity()


def test_the_folder_is_private(home) -> None:
    folder = cache.cache_folder()
    assert cache.fault(folder) is None
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert cache.fault(folder) == "other users can write into it"


def test_a_folder_that_cannot_be_made(monkeypatch) -> None:
    monkeypatch.setenv("AWM_CACHE_DIR", "/dev/null/cache")
    assert cache.fault(cache.cache_folder()) is not None
    assert cache.enable() is None  # and the command goes on without


def python(code: str, **environment: str) -> str:
    paths = [os.environ.get("PYTHONPATH", "")]
    if os.environ.get("AWM_TEST_INSTALLED") != "1":
        paths.insert(0, str(ROOT))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


PROGRAM = "import jax; from crank import cache; f = cache.enable(); print(f)\n"
PROGRAM += "assert jax.jit(lambda x: x * 3 + 1)(2.0) == 7"


def test_programs_are_kept_and_a_damaged_entry_is_replaced(home) -> None:
    folder = Path(python(PROGRAM).strip())
    entries = sorted(folder.iterdir())
    assert folder == cache.cache_folder() and entries
    written = {path: path.stat().st_mtime_ns for path in entries}
    python(PROGRAM)
    assert {path: path.stat().st_mtime_ns for path in sorted(folder.iterdir())} == written
    whole = {path: path.read_bytes() for path in entries}
    for path, content in whole.items():
        path.write_bytes(content[: len(content) // 2])
    python(PROGRAM)  # without a word on stderr
    assert {path.name for path in folder.iterdir()} == {path.name for path in entries}
    sizes = {path: path.stat().st_size for path in folder.iterdir()}
    assert all(sizes[path] > len(content) // 2 for path, content in whole.items())


def test_a_folder_of_the_users_choice_is_left_alone(home, tmp_path) -> None:
    chosen = str(tmp_path / "mine")
    assert python(PROGRAM, JAX_COMPILATION_CACHE_DIR=chosen).strip() == "None"
    assert not home.exists()


# doctor


def awm_doctor(capsys, *arguments: str) -> tuple[int, str, str]:
    code = run(app, PROG, ["doctor", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_doctor(capsys, home) -> None:
    code, out, err = awm_doctor(capsys, "--json")
    report = json.loads(out)
    assert (code, report["problems"]) == (0, []), err
    assert report["versions"]["jax"] == metadata.version("jax")
    assert report["devices"][0]["platform"] == "cpu"
    assert report["cpu"]["cores"] >= 1
    assert report["cache"]["folder"].startswith(str(home)) and report["cache"]["usable"]
    assert {"torch", "replay", "train", "solana", "serve", "dev"} <= set(report["extras"])
    code, out, err = awm_doctor(capsys)
    assert code == 0 and "Everything that the core needs is here." in out, err


def test_doctor_names_the_command_for_a_missing_extra(capsys, monkeypatch) -> None:
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda n: None if n == "peppi-py" else real(n))
    code, out, _ = awm_doctor(capsys)
    assert code == 0
    assert 'replay     peppi-py missing: pip install "awm-jax[replay]"' in out
    _, out, _ = awm_doctor(capsys, "--json")
    extra = json.loads(out)["extras"]["replay"]
    assert extra["present"] is False and extra["install"] == 'pip install "awm-jax[replay]"'


def test_doctor_finds_what_is_wrong(capsys, monkeypatch) -> None:
    monkeypatch.setenv("AWM_CACHE_DIR", "/dev/null/cache")
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda n: None if n == "chex" else real(n))
    code, out, _ = awm_doctor(capsys)
    assert code == 1
    assert "problem: the core package chex is missing" in out
    assert "problem: programs are compiled anew at every start" in out


def test_requirements_are_those_of_the_project() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = doctor.requirements()
    assert len(groups.pop(doctor.CORE)) == len(project["dependencies"])
    sizes = {extra: len(lines) for extra, lines in project["optional-dependencies"].items()}
    assert {extra: len(found) for extra, found in groups.items()} == sizes
