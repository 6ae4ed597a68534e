"""Compiles the native kernel into the wheel; without a C compiler the wheel is pure Python.

The kernel is the C files of `awm_jax/int8/native`, one shared library without Python in it. It is
built beside its sources, so that an editable install and a checkout find it too
(`python hatch_build.py` does that alone). `AWM_NATIVE=0` leaves it out, `AWM_NATIVE=1` makes a
failing compiler fail the build.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = Path("awm_jax/int8/native/kernel.so")
FLAGS = "-std=c99 -O3 -fPIC -shared -fvisibility=hidden -pthread"


def compile_kernel(root: Path) -> Path | None:
    """Builds `LIBRARY` under `root` and returns its path; None where there is nothing to build.

    `CC` and `CFLAGS` are honoured. Raises OSError or `subprocess.CalledProcessError` where no
    compiler is found, or it fails; no older library is left behind then.
    """
    library = root / LIBRARY
    library.unlink(missing_ok=True)
    sources = sorted(library.parent.glob("*.c"))
    if not sources:
        return None
    named = os.environ.get("CC")
    compiler = shlex.split(named) if named else [_first("cc", "gcc", "clang")]
    flags = shlex.split(f"{FLAGS} {os.environ.get('CFLAGS', '')}")
    fresh = library.with_suffix(".tmp")
    try:
        subprocess.run([*compiler, *flags, "-o", fresh, *sources], check=True)
        os.replace(fresh, library)
    finally:
        fresh.unlink(missing_ok=True)
    return library


def _first(*names: str) -> str:
    for name in names:
        if shutil.which(name):
            return name
    raise FileNotFoundError(f"none of the C compilers {', '.join(names)} is on PATH")


class NativeKernel(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("AWM_NATIVE", "")
        library = None
        if wanted != "0":
            try:
                library = compile_kernel(Path(self.root))
            except (OSError, subprocess.CalledProcessError) as failure:
                if wanted == "1":
                    raise
                self.app.display_warning(f"no native kernel, the XLA engine will run: {failure}")
        if library:
            build_data["artifacts"].append(f"/{LIBRARY.as_posix()}")
            build_data["pure_python"] = False
            build_data["infer_tag"] = True


if __name__ == "__main__":
    print(compile_kernel(Path(__file__).parent) or "no C sources, nothing to build")
