"""The Python example of docs/batch.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.batches import small_world

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "batch.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.long
def test_the_example_runs() -> None:
    (example,) = EXAMPLES
    names: dict = {"world": small_world()}
    exec(example.replace('"cartridge"', "world"), names)
    assert len(names["columns"]["digest"]) == 20
