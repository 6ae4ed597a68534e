"""`python -m crank` is `awm`."""

from __future__ import annotations

import sys

from awm_jax.console import run
from crank.cli import PROG, app


def main() -> None:
    """Run the command and leave with its exit code."""
    sys.exit(run(app, PROG))


if __name__ == "__main__":
    main()
