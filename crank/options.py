"""Options and settings that several groups of commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

PLAIN: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "no_args_is_help": True,
}
"""A group of commands with plain help: rich's boxes would double the time until it shows."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
