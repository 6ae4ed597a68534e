"""Shows the largest error of every family of checks at the end of a verbose run."""

import sys


def pytest_terminal_summary(terminalreporter):
    if terminalreporter.config.option.verbose < 1:
        return
    for name in ("support.twins_golden", "support.twins_parity"):
        worst = getattr(sys.modules.get(name), "WORST", {})
        for family, found in sorted(worst.items()):
            line = f"worst error {family}: {found.error:.2e} ({found.where})"
            terminalreporter.write_line(line)
