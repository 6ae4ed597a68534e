"""The page as one file: modules, style, names and a match in a single HTML document.

Its content-security policy names the hash of its one script, so that nothing a match file holds can
run, and it loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

STATIC = resources.files("crank.watch") / "static"
ENTRY = "main.js"
WORKER = "worker.js"
"""A program of its own, which a page from a server starts beside itself."""
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)


def modules() -> list[str]:
    """The page's modules, each after those that it imports."""
    order: list[str] = []

    def visit(name: str) -> None:
        for needed in _IMPORT.findall(read_static(name)):
            visit(needed)
        if name not in order:
            order.append(name)

    visit(ENTRY)
    return order


def read_static(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


def bundle() -> str:
    """All modules as one script: imports left out, exports plain declarations.

    Their top-level names have to differ, which a test checks.
    """
    parts = (_IMPORT.sub("", read_static(name)) for name in modules())
    return "\n".join(re.sub(r"^export ", "", part, flags=re.MULTILINE) for part in parts)


def payload(tracks: Sequence[dict[str, Any]]) -> bytes:
    """What the page is sent of a recording: gzipped JSON, the same bytes for the same tracks."""
    text = json.dumps({"tracks": tracks}, allow_nan=False, separators=(",", ":"))
    return gzip.compress(text.encode(), 6, mtime=0)


def self_contained(tracks: Sequence[dict[str, Any]]) -> str:
    """A page that holds a recording of one or two tracks and needs no server and no network."""
    script = f"\n{bundle()}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    tables = json.dumps(json.loads(read_static("tables.json")), separators=(",", ":"))
    match = base64.b64encode(payload(tracks)).decode()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark">
<title>AWM</title>
<style>
{read_static("style.css")}</style>
</head>
<body>
<main id="cabinet"></main>
<script id="tables" type="application/json">{tables.replace("<", chr(92) + "u003c")}</script>
<script id="match" type="text/plain">{match}</script>
<script type="module">{script}</script>
</body>
</html>
"""
