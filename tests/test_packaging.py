"""The installed package: what it holds, what importing it pulls in, how fast help answers."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import resource
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import awm_jax

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("awm_jax", "converters", "crank")
COMMANDS = {"awm": "crank", "awm-convert": "converters"}

# Top-level modules of the extras, by the extra that installs them.
EXTRAS = {
    "torch": {"torch"},
    "replay": {"peppi_py", "pyarrow"},
    "train": {"optax", "matplotlib"},
    "solana": {"solders", "solana"},
    "serve": {"starlette", "uvicorn", "websockets"},
    "mwm": {"pydantic"},
    "ladder": {"choix", "scipy"},
    "gym": {"gymnasium"},
    "ray": {"ray"},
}
ANY_EXTRA = set().union(*EXTRAS.values())
HEAVY = ANY_EXTRA | {"jax", "jaxlib", "flax", "orbax", "chex", "numpy"}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=120
    )


def _imported(*arguments: str) -> set[str]:
    """Top-level modules that a Python command line imports."""
    lines = _run("-X", "importtime", *arguments).stderr.splitlines()
    names = [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]
    return {name.partition(".")[0] for name in names}


def _cpu_seconds(*arguments: str, times: int = 3) -> float:
    """Least CPU time of a Python command line, which other work on the machine hardly moves."""
    spent = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _run(*arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(spent)


def _sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _allowed(source: Path) -> set[str]:
    """Extras that a module may import at once: these rooms are extras as a whole."""
    rooms = {"train": "train", "solana": "solana", "watch": "serve", "mwm": "mwm"}
    rooms["envs.py"] = "gym"
    parts = source.relative_to(ROOT).parts
    return set().union(*(EXTRAS.get(e, set()) for room, e in rooms.items() if room in parts))


def _imports(source: Path) -> tuple[set[str], set[str]]:
    """Top-level names that a module imports: when it is imported, and anywhere in it."""
    tree = ast.parse(source.read_text())
    found: tuple[set[str], set[str]] = (set(), set())

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        tops = {name.partition(".")[0] for name in names}
        found[1].update(tops)
        if not inside:
            found[0].update(tops)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(tree, False)
    return found


def _distribution() -> importlib.metadata.Distribution:
    """The installed package; a checkout on PYTHONPATH is no package, and the test skips."""
    if os.environ.get("AWM_TEST_INSTALLED") != "1":
        pytest.skip("runs on the installed wheel: make test")
    return importlib.metadata.distribution("awm-jax")


# What imports what


@pytest.mark.parametrize("source", _sources("awm_jax"), ids=lambda path: path.stem)
def test_awm_jax_imports_no_other_room(source: Path) -> None:
    _, anywhere = _imports(source)
    assert not anywhere & {"converters", "crank"}
    assert not anywhere & (ANY_EXTRA - _allowed(source) - {"peppi_py"})


@pytest.mark.parametrize("source", _sources("converters"), ids=lambda path: path.stem)
def test_converters_import_no_crank(source: Path) -> None:
    assert "crank" not in _imports(source)[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_extras_are_imported_inside_functions(package: str) -> None:
    for source in _sources(package):
        at_import, _ = _imports(source)
        needless = at_import & (ANY_EXTRA - _allowed(source))
        assert not needless, f"{source.relative_to(ROOT)} imports {needless} when it is imported"


def test_importing_awm_jax_pulls_in_no_extra() -> None:
    assert not _imported("-c", "import awm_jax") & ANY_EXTRA


def test_importing_awm_jax_takes_no_longer_than_jax() -> None:
    jax, ours = (_cpu_seconds("-c", f"import {name}") for name in ("jax", "awm_jax"))
    assert ours < 1.3 * jax, f"import awm_jax {ours:.2f} s of CPU, import jax {jax:.2f} s"


# The commands


@pytest.mark.parametrize("package", COMMANDS.values())
def test_help_imports_nothing_heavy(package: str) -> None:
    assert not _imported("-m", package, "--help") & HEAVY


@pytest.mark.parametrize("package", COMMANDS.values())
def test_help_answers_in_half_a_second(package: str) -> None:
    assert "Usage" in _run("-m", package, "--help").stdout
    assert _cpu_seconds("-m", package, "--help", times=5) < 0.5


@pytest.mark.parametrize(("command", "package"), COMMANDS.items())
def test_console_script_is_the_module(command: str, package: str) -> None:
    scripts = _distribution().entry_points.select(group="console_scripts", name=command)
    assert [script.value for script in scripts] == [f"{package}.__main__:main"]
    script = Path(sys.executable).with_name(command)
    shown = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "Usage" in shown.stdout


# The wheel


def test_the_tests_see_the_installed_wheel() -> None:
    _distribution()
    for where in (awm_jax.__file__, _run("-c", "print(__import__('awm_jax').__file__)").stdout):
        assert where and Path(where.strip()).is_relative_to(Path(sys.prefix))


def test_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "awm_jax/__init__.py"
    assert _distribution().version == awm_jax.__version__


def test_the_wheel_holds_the_packages_and_nothing_else() -> None:
    installed = {
        path.as_posix()
        for path in _distribution().files or []
        if path.parts[0] != ".." and "__pycache__" not in path.parts and path.suffix != ".so"
    }
    metadata = {path for path in installed if path.split("/")[0].endswith(".dist-info")}
    tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }
    assert installed - metadata == tree
    assert any(path.endswith("licenses/LICENSE") for path in metadata)
    assert _distribution().metadata["License-Expression"] == "MIT"


@pytest.mark.parametrize(
    ("settings", "status", "native"),
    [
        ({}, 0, True),
        ({"AWM_NATIVE": "0"}, 0, False),
        ({"CC": "false"}, 0, False),
        ({"CC": "/no/such/compiler"}, 0, False),
        ({"CC": "false", "AWM_NATIVE": "1"}, 1, False),
    ],
    ids=["compiler", "unwanted", "failing", "absent", "required"],
)
def test_the_kernel_is_built_where_a_compiler_works(
    tmp_path: Path, settings: dict[str, str], status: int, native: bool
) -> None:
    for name in ("pyproject.toml", "hatch_build.py", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "README.md").touch()
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        shutil.copy(ROOT / "awm_jax/__init__.py", tmp_path / package)
    kernel = tmp_path / "awm_jax/int8/native"
    kernel.mkdir(parents=True)
    (kernel / "one.c").write_text("int one(void); int one(void) { return 1; }")
    (kernel / "kernel.so").write_text("left over")
    base = {name: value for name, value in os.environ.items() if name not in ("CC", "AWM_NATIVE")}
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=tmp_path,
        env=base | settings,
        capture_output=True,
        text=True,
    )
    assert bool(built.returncode) == bool(status), built.stdout + built.stderr
    for wheel in tmp_path.glob("dist/*.whl"):
        assert wheel.name.endswith("-py3-none-any.whl") is not native
        assert ("awm_jax/int8/native/kernel.so" in zipfile.ZipFile(wheel).namelist()) is native


# How these tests run


@pytest.mark.parametrize(
    ("reason", "outcome"), [("x is absent (set $AWM_GOLDEN)", 1), ("no AVX2 here", 0)]
)
def test_absent_vectors_fail_where_they_are_required(
    tmp_path: Path, reason: str, outcome: int
) -> None:
    (tmp_path / "test_it.py").write_text(f"import pytest\ndef test(): pytest.skip({reason!r})\n")
    environment = {
        **os.environ,
        "AWM_REQUIRE_SHARED": "1",
        "AWM_GOLDEN": str(tmp_path),
        "AWM_REPLAYS": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--rootdir", tmp_path, "-c", os.devnull, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == outcome, done.stdout + done.stderr
