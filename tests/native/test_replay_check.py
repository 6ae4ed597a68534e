"""`awm-replay-check`: equal digests without Python, and nothing a file holds can crash it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.replay_cases import ARCHES, FRAMES, SANITIZE, Case, case_of, check

from awm_jax.cartridges import EMBEDDED
from awm_jax.int8.native.image import DIMS, LAYER_TENSORS, MAGIC, TENSORS
from awm_jax.int8.native.programs import HERE, KERNEL, build, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler")


@pytest.fixture(scope="module", params=list(ARCHES))
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(ARCHES[request.param])


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("plain"), "awm-replay-check", ("-Werror",))


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sanitized"), "awm-replay-check", SANITIZE)


@pytest.mark.parametrize("path", ["", "plain"])
def test_the_digest_is_the_step_s(program: Path, case: Case, path: str, tmp_path: Path) -> None:
    done = check(program, tmp_path, case.image, case.match, path)
    assert (done.returncode, done.stdout) == (0, f"{case.digest} equal after {FRAMES} frames\n")


def test_saturating_under_the_sanitizers(sanitized: Path, tmp_path: Path) -> None:
    extreme = case_of(ARCHES["16 states"], saturating=True)
    for path in ("", "plain"):
        done = check(sanitized, tmp_path, extreme.image, extreme.match, path)
        assert (done.returncode, done.stderr) == (0, "")


def test_another_digest_is_status_1(program: Path, case: Case, tmp_path: Path) -> None:
    done = check(program, tmp_path, case.image, case.match[:-1] + b"\0")
    assert done.returncode == 1
    assert "DIFFERENT" in done.stdout and case.digest in done.stdout


def user(folder: Path, *command: str) -> str:
    """What a command prints that is run in `folder` as a user would."""
    paths = [os.environ.get("PYTHONPATH", "")]
    if os.environ.get("AWM_TEST_INSTALLED") != "1":
        paths.insert(0, str(Path(__file__).resolve().parents[2]))
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    env["AWM_CACHE_DIR"] = str(folder / "cache")
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_user_s_match(tmp_path: Path) -> None:
    """From the cartridge that ships to a checked match, by commands alone."""
    built = user(tmp_path, "awm_jax.int8.native.programs", "bin", "awm-replay-check").strip()
    agents = ["--p0", "random", "--p1", "random", "--seed-action", "14"]
    digest = user(tmp_path, "crank", "play", *agents, "--max-frames", "90", "--digest").strip()
    exported = json.loads(user(tmp_path, "crank", "export", "match.json", "--json"))
    assert (exported["digest"], exported["frames"]) == (digest, 90)
    written = json.loads(user(tmp_path, "converters", "image", EMBEDDED, "world.img", "--json"))
    image, match = ((tmp_path / n).read_bytes() for n in ("world.img", exported["output"]))
    assert hashlib.sha256(image).hexdigest() == written["sha256"]
    assert (len(image), len(match)) == (written["bytes"], exported["bytes"])

    program = tmp_path / built
    done = check(program, tmp_path, image, match)
    assert (done.returncode, done.stdout) == (0, f"{digest} equal after 90 frames\n")
    biases = int.from_bytes(image[(at := _slot("numeric_bias")) : at + 4], "little")
    x = biases + 4  # of player 0; the first is percent's
    for part, at in ((match, -16 - 16 * 45), (match, -1), (image, x + 2)):
        flipped = bytearray(part)
        flipped[at] ^= 1
        files = (image, bytes(flipped)) if part is match else (bytes(flipped), match)
        done = check(program, tmp_path, *files)
        assert done.returncode == 1 and "DIFFERENT after 90 frames" in done.stdout, at


def test_one_controller_bit_is_another_match(program: Path, tmp_path: Path) -> None:
    first = case_of(ARCHES["recurrent"])
    changed = bytearray(first.match)
    changed[-16 - 16 * (FRAMES - 3) + 6] ^= 1
    assert check(program, tmp_path, first.image, bytes(changed)).returncode == 1


@pytest.mark.parametrize(
    ("image", "match", "message"),
    [
        (lambda i: i[:100], None, "no image"),
        (lambda i: b"X" + i[1:], None, "no image"),
        (lambda i: i[:-64], None, "another length"),
        (lambda i: _dim(i, "version", 2), None, "another version"),
        (lambda i: _dim(i, "d_model", 17), None, ""),
        (lambda i: _dim(i, "one", 128), None, "pad's scale"),
        (lambda i: _offset(i, "frame_wide", 1 << 28), None, "outside the image"),
        (lambda i: _weight(i, "logits_w", -128), None, "a head"),
        (None, lambda m: m[:20], "no match"),
        (None, lambda m: m[:-1], "another length"),
        (None, lambda m: m[:8] + b"\x09" + m[9:], "another world"),
        (None, lambda m: m[:28] + b"\xff\xff\xff\x7f" + m[32:], "out of range"),
    ],
)
def test_refusals(program: Path, tmp_path: Path, image, match, message: str) -> None:
    base = case_of(ARCHES["recurrent"])
    done = check(
        program,
        tmp_path,
        image(base.image) if image else base.image,
        match(base.match) if match else base.match,
    )
    assert done.returncode == 2, done.stdout
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_missing_files_and_usage(program: Path, tmp_path: Path) -> None:
    for arguments in ([], ["no", "such"]):
        done = subprocess.run([program, *arguments], capture_output=True, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1


def _mutations(base: Case, count: int, seed: int):
    """Images and matches with a few changed bytes, cut short or grown."""
    rng = np.random.Generator(np.random.PCG64(seed))
    head = len(MAGIC) + 4 * (len(DIMS) + len(TENSORS) + len(LAYER_TENSORS))
    for i in range(count):
        parts = [bytearray(base.image), bytearray(base.match)]
        part = parts[i % 2]
        within = head if i % 4 == 0 else len(part)
        for at in rng.integers(0, within, rng.integers(1, 4)):
            part[at] = int(rng.choice([0, 1, 127, 128, 255, rng.integers(256)]))
        if i % 7 == 0:
            del part[rng.integers(0, len(part)) :]
        yield bytes(parts[0]), bytes(parts[1])


def test_damaged_files_never_crash(sanitized: Path, case: Case, tmp_path: Path) -> None:
    seen = set()
    for image, match in _mutations(case, 40, 7):
        done = check(sanitized, tmp_path, image, match)
        assert done.returncode in (0, 1, 2), done.stderr
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        seen.add(done.returncode)
    assert seen >= {1, 2}


@pytest.mark.long
@pytest.mark.skipif(shutil.which("clang") is None, reason="libFuzzer needs clang")
def test_libfuzzer_for_ten_minutes(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name, arch in ARCHES.items():
        base = case_of(arch)
        size = len(base.image).to_bytes(4, "little")
        (corpus / name.replace(" ", "_")).write_bytes(size + base.image + base.match)
    program = tmp_path / "fuzz"
    sources = [HERE / source for source in KERNEL] + [HERE / "tools/fuzz.c"]
    flags = ["-std=c99", "-O1", "-g", "-fsanitize=fuzzer,address,undefined"]
    subprocess.run(["clang", *flags, "-o", program, *sources], check=True)
    seconds = os.environ.get("AWM_FUZZ_SECONDS", "600")
    limits = [f"-max_total_time={seconds}", "-max_len=4000000", "-timeout=20"]
    subprocess.run([program, *limits, corpus], check=True, cwd=tmp_path)


def _patched(image: bytes, at: int, value: int, size: int = 4) -> bytes:
    return image[:at] + value.to_bytes(size, "little", signed=True) + image[at + size :]


def _dim(image: bytes, name: str, value: int) -> bytes:
    return _patched(image, len(MAGIC) + 4 * DIMS.index(name), value)


def _slot(name: str) -> int:
    return len(MAGIC) + 4 * (len(DIMS) + TENSORS.index(name))


def _offset(image: bytes, name: str, value: int) -> bytes:
    return _patched(image, _slot(name), value)


def _weight(image: bytes, name: str, value: int) -> bytes:
    at = int.from_bytes(image[_slot(name) : _slot(name) + 4], "little")
    return _patched(image, at, value, 1)
