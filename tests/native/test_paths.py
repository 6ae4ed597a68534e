"""The kernel's paths alone, product by product: on this CPU, and for 64-bit ARM in an emulator."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.replay_cases import ARCHES, FRAMES, SANITIZE, case_of, check

from awm_jax.int8.engine import native_available, native_paths
from awm_jax.int8.native.programs import HERE, build, compiler, link

SOURCE = Path(__file__).with_name("paths.c")
ARM_COMPILER = shutil.which("aarch64-linux-gnu-gcc")
EMULATOR = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
here = pytest.mark.skipif(compiler() is None, reason="no C compiler")


def names(*command: str | Path, status: int = 0) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, ""), done
    return done.stdout.splitlines()


@here
def test_every_path_of_this_cpu_is_the_plain_one_under_the_sanitizers(tmp_path: Path) -> None:
    found = names(link(tmp_path / "paths", SOURCE, ("-Werror", *SANITIZE)))
    assert found[-1] == "plain"
    if native_available()[0]:
        assert tuple(found) == native_paths()


@here
def test_one_changed_bit_is_seen(tmp_path: Path) -> None:
    program = link(tmp_path / "paths", SOURCE, ("-DFLIP=1",))
    if (best := native_paths()[0]) == "plain":
        pytest.skip("this CPU has the plain path alone")
    assert names(program, status=1) == [f"{best}: products differ"]


@pytest.fixture
def arm(monkeypatch: pytest.MonkeyPatch) -> str:
    """The emulator; while a test has it, C is compiled for ARM."""
    if ARM_COMPILER is None:
        pytest.skip("no aarch64-linux-gnu-gcc on PATH")
    if EMULATOR is None:
        pytest.skip("no qemu-aarch64 on PATH")
    monkeypatch.setenv("CC", ARM_COMPILER)
    return EMULATOR


def test_arm_paths_are_equal(arm: str, tmp_path: Path) -> None:
    program = link(tmp_path / "paths", SOURCE, ("-Werror", "-static"))
    assert names(arm, program) == ["neon", "plain"]


def test_arm_replays_to_the_same_digest(arm: str, tmp_path: Path) -> None:
    program = build(tmp_path, "awm-replay-check", ("-Werror", "-static"))
    cases = [case_of(arch) for arch in ARCHES.values()]
    for case in (*cases, case_of(ARCHES["16 states"], saturating=True)):
        for path in ("neon", "plain"):
            done = check(program, tmp_path, case.image, case.match, path, [arm])
            expected = f"{case.digest} equal after {FRAMES} frames\n"
            assert (done.returncode, done.stdout) == (0, expected)
    changed = bytearray(cases[0].match)
    changed[-16 - 16 * (FRAMES - 3) + 6] ^= 1
    assert check(program, tmp_path, cases[0].image, bytes(changed), "", [arm]).returncode == 1


def test_the_library_compiles_for_arm(arm: str) -> None:
    done = subprocess.run(
        [str(ARM_COMPILER), "-std=c99", "-Werror", "-fsyntax-only", HERE / "awm_ffi.c"]
    )
    assert done.returncode == 0
