"""Builds the integer machine for browsers: `python wasm/build.py` (what `make wasm` runs).

Needs Debian 12's clang 14 and lld 14; another may give other bytes. Compiles the native kernel with
its agents into one WebAssembly module that imports nothing, writes it into the package, its hash
beside this file. `--check` builds into a temporary folder and compares.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NATIVE = ROOT / "awm_jax/int8/native"
TARGET = ROOT / "crank/watch/static/machine.wasm"
HASH = HERE / "machine.sha256"
FLAGS = (
    "--target=wasm32 -msimd128 -mbulk-memory -O3 -std=gnu11 -ffreestanding -nostdlib "
    "-fvisibility=hidden -Wall -Wextra -Werror -Wno-unused-function "
    "-Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536"
)


def compile_module(clang: str = "clang-14") -> bytes:
    """The module's bytes. Raises OSError or subprocess.CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "machine.wasm"
        paths = [f"-I{HERE / 'include'}", f"-I{NATIVE}"]
        command = [clang, *FLAGS.split(), *paths, "machine.c", "-o", str(built)]
        subprocess.run(command, check=True, cwd=HERE)
        return built.read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with what is committed")
    parser.add_argument("--clang", default="clang-14")
    args = parser.parse_args()
    module = compile_module(args.clang)
    if args.check:
        same = module == TARGET.read_bytes()
        said = "what these sources give" if same else "not that; run make wasm"
        print(f"{TARGET.name} is {said}")
        return int(not same)
    part = TARGET.with_suffix(".part")
    part.write_bytes(module)
    os.replace(part, TARGET)
    digest = hashlib.sha256(module).hexdigest()
    HASH.write_text(f"{digest}  {TARGET.name}\n")
    print(f"{TARGET.name}: {len(module)} bytes, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
