"""A real browser: the system's Chromium, driven by Playwright.

Skips where either is absent; with AWM_REQUIRE_BROWSER=1, as CI sets it, that fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

LAPTOP = {"width": 1280, "height": 800}
Open = Callable[..., Any]


def _absent(what: str) -> None:
    if os.environ.get("AWM_REQUIRE_BROWSER") == "1":
        pytest.fail(f"AWM_REQUIRE_BROWSER is set, but {what} is absent")
    pytest.skip(f"{what} is absent")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = os.environ.get("AWM_CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    if path is None:
        _absent("chromium (apt install chromium, or set $AWM_CHROMIUM)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _absent("playwright")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Opens a page; at the end of the test none may have complained."""
    complaints: list[str] = []
    contexts = []

    def visit(url: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": LAPTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)

        def heard(message: Any) -> None:
            # A refused recording is an answer of its own, and Chromium's line about it no fault.
            # The pixels are read back by these tests alone, and their servers end before the pages.
            mine = ("404", "willReadFrequently", "ERR_CONNECTION_REFUSED")
            if message.type in ("error", "warning") and not any(m in message.text for m in mine):
                complaints.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append("a dialog opened"))
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
