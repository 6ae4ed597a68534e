"""The Python examples of docs/batch.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.batches import small_world

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "batch.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.long
def test_a_batch() -> None:
    names: dict = {"world": small_world()}
    exec(EXAMPLES[0].replace('"cartridge"', "world"), names)
    assert len(names["columns"]["digest"]) == 20


def test_environments(capsys) -> None:
    pytest.importorskip("gymnasium")
    one, many = EXAMPLES[1:]
    exec(one, {})
    assert capsys.readouterr().out.startswith("timeout (")
    exec(many, {})
    assert capsys.readouterr().out.endswith("(8,)\n")
