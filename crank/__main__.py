"""`python -m crank` is `awm`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command and leave with its exit code."""
    try:
        from awm_jax.console import run
        from crank.cli import PROG, app
    except KeyboardInterrupt:
        print("awm: interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(run(app, PROG))


if __name__ == "__main__":
    main()
