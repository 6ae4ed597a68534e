"""Our networks in true float64, in a process of its own: x64 is a setting of the whole process."""

import os
import subprocess
import sys
from pathlib import Path

from support.twins_run import QUICK

HERE = Path(__file__).parent
SUITE = ("float64_suite.py", "float64_parity.py")
FAST_COMPILE = " ".join(f"--{name}={value}" for name, value in QUICK.items())


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = HERE.parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    flags = f"{os.environ.get('XLA_FLAGS', '')} {FAST_COMPILE}"
    env = os.environ | {"JAX_ENABLE_X64": "1", "PYTHONPATH": path, "XLA_FLAGS": flags}
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)


def test_float64_suite(request):
    arguments = ["-m", request.config.getoption("-m")] if request.config.getoption("-m") else []
    result = _run(*arguments, *(str(HERE / name) for name in SUITE))
    report = result.stdout[-8000:] + result.stderr[-2000:]
    assert result.returncode == 0, f"the float64 suite failed:\n{report}"
    assert " passed" in result.stdout, report
    print(report[report.find("worst error") :])
