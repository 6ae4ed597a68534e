"""What this machine has: versions, devices, CPU, cache, extras. `awm doctor` shows it."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import awm_jax
from crank import cache

DISTRIBUTION = "awm-jax"
CORE = "core"
SIMD = ("sse4_1", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni")
SIMD += ("amx_int8", "asimd", "asimddp", "i8mm", "sve", "sve2")
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*?)\s*(?:;\s*(.*))?$")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def examine() -> dict[str, Any]:
    """All of it, as JSON has it. `problems` holds sentences; empty where everything works."""
    problems: list[str] = []
    packages = requirements()
    for name, version in packages.pop(CORE, {}).items():
        if version is None:
            problems.append(f"the core package {name} is missing: pip install {DISTRIBUTION}")
    return {
        "versions": {
            DISTRIBUTION: awm_jax.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            **{name: installed(name) for name in ("jax", "jaxlib", "flax", "numpy")},
        },
        "devices": _devices(problems),
        "cpu": _cpu(),
        "engine": _engine(),
        "cache": _cache(problems),
        "extras": {extra: _extra(extra, found) for extra, found in packages.items()},
        "problems": problems,
    }


def installed(name: str) -> str | None:
    """The version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def requirements() -> dict[str, dict[str, str | None]]:
    """Group ("core" or an extra) -> package -> installed version or None.

    From the installed package's metadata; in a checkout that is not installed, from its
    pyproject.toml.
    """
    groups: dict[str, dict[str, str | None]] = {}
    for line in _stated():
        match = _REQUIREMENT.match(line)
        if match is None:
            continue
        extra = _EXTRA.search(match[3] or "")
        groups.setdefault(extra[1] if extra else CORE, {})[match[1]] = installed(match[1])
    return groups


def _stated() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        import tomllib

        checkout = Path(awm_jax.__file__).parents[1] / "pyproject.toml"
        if not checkout.is_file():
            return []
        project = tomllib.loads(checkout.read_text())["project"]
        extras = project["optional-dependencies"]
        return project["dependencies"] + [
            f'{line}; extra == "{extra}"' for extra, lines in extras.items() for line in lines
        ]


def _extra(extra: str, found: dict[str, str | None]) -> dict[str, Any]:
    missing = [name for name, version in found.items() if version is None]
    report: dict[str, Any] = {"present": not missing, "packages": found}
    if missing:
        report["install"] = f'pip install "{DISTRIBUTION}[{extra}]"'
    return report


def _devices(problems: list[str]) -> list[dict[str, str]]:
    try:
        import jax

        return [{"platform": d.platform, "kind": d.device_kind} for d in jax.devices()]
    except Exception as error:
        problems.append(f"JAX finds no device: {str(error).splitlines()[0]}")
        return []


def _cpu() -> dict[str, Any]:
    features = cache.cpu_features()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": platform.machine(),
        "cores": usable,
        "features": [name for name in SIMD if name in features],
    }


def _engine() -> str:
    """What plays integer worlds, and why."""
    from awm_jax.int8.engine import native_available

    there, why = native_available()
    return f"native ({why})" if there else f"xla ({why})"


def _cache(problems: list[str]) -> dict[str, Any]:
    folder = cache.cache_folder()
    fault = cache.fault(folder)
    if fault:
        problems.append(
            f"programs are compiled anew at every start: {folder}: {fault}; choose another folder "
            "with $AWM_CACHE_DIR"
        )
    files = [] if fault else [path for path in folder.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return {"folder": str(folder), "usable": fault is None, "files": len(files), "bytes": size}


def describe(report: dict[str, Any]) -> str:
    """The report as lines for people."""
    lines = [f"{name:<10} {version or 'missing'}" for name, version in report["versions"].items()]
    kinds = [f"{d['platform']} ({d['kind']})" for d in report["devices"]] or ["none"]
    cpu, store = report["cpu"], report["cache"]
    lines += [
        f"{'devices':<10} {', '.join(kinds)}",
        f"{'CPU':<10} {cpu['machine']}, {cpu['cores']} cores, {' '.join(cpu['features'])}".rstrip(),
        f"{'engine':<10} {report['engine']}",
        f"{'cache':<10} {store['folder']}, {store['files']} files, {store['bytes'] / 1e6:.1f} MB",
        "",
    ]
    for extra, found in report["extras"].items():
        missing = [name for name, version in found["packages"].items() if version is None]
        state = "present" if found["present"] else f"{', '.join(missing)} missing"
        lines.append(f"{extra:<10} {state}" + (f": {found['install']}" if missing else ""))
    lines += ["", *(f"problem: {sentence}" for sentence in report["problems"])]
    if not report["problems"]:
        lines.append("Everything that the core needs is here.")
    return "\n".join(lines)
