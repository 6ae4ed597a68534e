"""Compiles the programs around the kernel: `python -m awm_jax.int8.native.programs DIR [NAME]`.

They need a C compiler and nothing else; the kernel's library is built by the package's build.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from awm_jax.console import explain, fail
from awm_jax.errors import AwmError

HERE = Path(__file__).parent
FLAGS = ("-std=c99", "-O3", "-Wall", "-Wextra", "-pthread")
KERNEL = ("awm_step.c", "awm_avx2.c", "awm_avx512.c", "awm_vnni.c", "awm_neon.c", "awm_open.c")
KERNEL += ("awm_check.c",)
PROGRAMS = {"awm-replay-check": "replay_check.c", "awm-bench": "awm_bench.c"}


def compiler() -> list[str] | None:
    """$CC or the first C compiler on PATH."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    found = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    return [found] if found else None


def build(out: Path, name: str, flags: Sequence[str] = ()) -> Path:
    """Compiles the program `name` of `PROGRAMS` into the folder `out` and returns its path.

    Raises:
      AwmError: there is no compiler, or it failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    return link(out / name, HERE / "tools" / PROGRAMS[name], flags)


def link(program: Path, source: Path, flags: Sequence[str] = ()) -> Path:
    """Compiles a C program and the kernel into `program` and returns it. Raises as `build`."""
    cc = compiler()
    if cc is None:
        raise AwmError("no C compiler found; install gcc or clang, or name one in CC")
    sources = [*(HERE / name for name in KERNEL), source]
    done = subprocess.run(
        [*cc, *FLAGS, f"-I{HERE}", *flags, "-o", program, *sources], capture_output=True, text=True
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise AwmError(f"{program.name} did not compile: {(errors or ['no error was named'])[0]}")
    return program


def main() -> int:
    out, *names = sys.argv[1:] or ["--help"]
    if out.startswith("-") or len(names) > 1 or not set(names) <= PROGRAMS.keys():
        known = "|".join(PROGRAMS)
        print(f"usage: python -m awm_jax.int8.native.programs DIR [{known}]", file=sys.stderr)
        return 2
    try:
        for name in names or PROGRAMS:
            print(build(Path(out), name))
    except (AwmError, OSError) as error:
        return fail("programs", explain(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
