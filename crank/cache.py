"""Where compiled programs stay between runs, so that a second start shows its first frame at once.

Only commands turn it on: a library leaves that choice to the program that uses it. The folder's
name holds what a compiled program depends on and XLA does not check: the kind of CPU (entries of
another kind may hold instructions that this one lacks) and the binary of jaxlib (a swapped one has
crashed on older entries).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import stat
import subprocess
import warnings
from importlib import metadata
from pathlib import Path

_CPU_FIELDS = (
    "vendor_id",
    "cpu family",
    "model",
    "stepping",
    "flags",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "Features",
)


def cache_home() -> Path:
    """`$AWM_CACHE_DIR`, else `awm-jax` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    if chosen := os.environ.get("AWM_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "awm-jax"


def cpu_identity() -> dict[str, str]:
    """What tells this kind of CPU from another: fields of /proc/cpuinfo, or of the system."""
    fields = {"machine": platform.machine()}
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
        found = {name.strip(): value.strip() for name, value in pairs}
        return fields | {name: found[name] for name in _CPU_FIELDS if name in found}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        brand = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5)
        return fields | {"model": brand.stdout.strip()}
    return fields | {"model": platform.processor()}


def cpu_features() -> set[str]:
    """Names of instruction sets as the system gives them; empty where it does not."""
    identity = cpu_identity()
    return set((identity.get("flags") or identity.get("Features") or "").split())


def jaxlib_identity() -> str:
    """The installed binary: its version, the hashes of its files, size and time of the largest."""
    distribution = metadata.distribution("jaxlib")
    record = distribution.read_text("RECORD") or ""
    binaries = [f for f in distribution.files or () if f.suffix in (".so", ".dylib", ".pyd")]
    stats = [os.stat(str(distribution.locate_file(file))) for file in binaries]
    largest = max(((s.st_size, s.st_mtime_ns) for s in stats), default=(0, 0))
    return f"{distribution.version} {hashlib.sha256(record.encode()).hexdigest()} {largest}"


def cache_folder() -> Path:
    """The folder of this CPU kind and jaxlib. Not made yet."""
    key = f"{sorted(cpu_identity().items())} {jaxlib_identity()}"
    return cache_home() / "xla" / hashlib.sha256(key.encode()).hexdigest()[:16]


def fault(folder: Path) -> str | None:
    """Make the folder; why it cannot be used, or None.

    JAX runs what it finds there, so nobody else may write into it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        return error.strerror or str(error)
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        return "another user owns it"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users can write into it"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return "it is not writable"
    return None


def enable() -> Path | None:
    """Keep compiled programs in `cache_folder()`.

    Does nothing where `$JAX_COMPILATION_CACHE_DIR` says otherwise or the folder cannot be used: a
    run without the cache only starts later.

    Returns:
      The folder, or None.
    """
    import jax

    folder = cache_folder()
    if jax.config.values["jax_compilation_cache_dir"] or fault(folder) is not None:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    _mend(folder)
    return folder


def _mend(folder: Path) -> None:
    """Empty the folder when JAX finds an entry damaged.

    JAX writes entries in place and never over an existing one, so what a full disk or a kill cut
    short would be refused, with a warning, in every later run.
    """
    show = warnings.showwarning

    def showwarning(message, category, filename, lineno, file=None, line=None):
        text = str(message)
        if "persistent compilation cache entry" not in text:
            show(message, category, filename, lineno, file, line)
            return
        with contextlib.suppress(OSError):
            for entry in folder.iterdir():
                entry.unlink()

    warnings.showwarning = showwarning
