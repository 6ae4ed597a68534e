"""The page as one file, and what its modules promise to it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from awm_jax.errors import AwmError
from crank import watch_cli
from crank.watch import page, recording
from crank.watch.library import Library

FRAME = {"players": [{"x": 0, "y": 0, "action_state": 14}] * 2, "stage": 31}
EVIL = "</script><script>alert(1)</script>"


def tracks(name: str = "match") -> list[dict[str, Any]]:
    source = recording.sources({"meta": {"p0_agent": EVIL}, "frames": [FRAME] * 3}, name)
    return [recording.track(s) for s in source]


def test_top_level_names_differ_between_modules() -> None:
    names = re.findall(
        r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)",
        "\n".join(page.read_static(name) for name in page.modules()),
        re.MULTILINE,
    )
    twice = [name for name, count in Counter(names).items() if count > 1]
    assert not twice


def test_every_module_is_bundled_after_what_it_imports() -> None:
    order = page.modules()
    files = {p.name for p in page.STATIC.iterdir() if p.name.endswith(".js")}
    assert sorted(order) == sorted(files - {page.WORKER})
    assert order[-1] == page.ENTRY
    bundle = page.bundle()
    assert not re.search(r"^(import|export) ", bundle, re.MULTILINE)


def test_one_file_needs_nothing_and_runs_only_its_script() -> None:
    html = page.self_contained(tracks(EVIL))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    script = re.search(r'<script type="module">(.*?)</script>', html, re.DOTALL)
    assert policy and script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy[1] and "default-src 'none'" in policy[1]
    assert html.count("<script") == 3 and "alert(1)" not in html
    assert not re.search(r'(?:src|href)="', html)


def test_the_match_in_it_is_whole() -> None:
    html = page.self_contained(tracks())
    held = re.search(r'<script id="match" type="text/plain">([^<]*)<', html)
    assert held
    assert json.loads(gzip.decompress(base64.b64decode(held[1])))["tracks"] == tracks()


def test_pages_are_the_same_each_time() -> None:
    assert page.self_contained(tracks()) == page.self_contained(tracks())


def test_writing_the_page(tmp_path: Path) -> None:
    match = tmp_path / "match.json"
    match.write_text(json.dumps([FRAME] * 2))
    watch_cli.watch([str(match)], html=str(tmp_path / "out.html"))
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["match.json", "out.html"]


def test_three_files_are_too_many() -> None:
    with pytest.raises(AwmError, match="3 files"):
        watch_cli.watch(["a", "b", "c"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    (root / "deep").mkdir(parents=True)
    (root / "a.json").write_text(json.dumps([FRAME]))
    (root / "deep" / "b.json").write_text(json.dumps([FRAME]))
    (root / ".hidden").mkdir()
    (root / ".hidden" / "c.json").write_text(json.dumps([FRAME]))
    (root / "notes.txt").write_text("none")
    (tmp_path / "secret.json").write_text(json.dumps([FRAME]))
    (root / "link.json").symlink_to(tmp_path / "secret.json")
    return root


def test_a_folder_lists_its_recordings(folder: Path) -> None:
    assert {m["name"] for m in Library(folder).listing()} == {"a.json", "deep/b.json"}


@pytest.mark.parametrize(
    "name",
    [
        "../secret.json",
        "deep/../../secret.json",
        "link.json",
        "/etc/passwd",
        "notes.txt",
        "",
        ".",
        "a.json\0",
        "none.json",
        "x" * 5000 + ".json",
    ],
)
def test_no_path_leaves_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(AwmError, match="there is no recording"):
        Library(folder).find(name)


def test_a_folders_absolute_path_is_no_name(folder: Path) -> None:
    with pytest.raises(AwmError):
        Library(folder).find(str(folder.parent / "secret.json"))


def test_two_files_of_one_name_keep_apart(folder: Path) -> None:
    other = folder / "deep" / "a.json"
    other.write_text(json.dumps([FRAME] * 2))
    library = Library.of([str(folder / "a.json"), str(other)])
    counts = [
        json.loads(gzip.decompress(library.payload(n)))["tracks"][0]["count"] for n in library.files
    ]
    assert counts == [1, 2]


def test_the_ladder_is_text(folder: Path) -> None:
    rows = [{"agent": EVIL, "elo": 1234.5, "history": [1, 2]}]
    (folder / "leaderboard.json").write_text(json.dumps({"agents": rows}))
    assert Library(folder).ladder() == [{"agent": EVIL, "elo": "1234.5"}]
    for damaged in (
        "{",
        "[]",
        '{"agents": 3}',
        '{"agents": [3]}',
        '{"agents": {"a": 1}}',
        '{"agents": "ab"}',
    ):
        (folder / "leaderboard.json").write_text(damaged)
        assert Library(folder).ladder() == []


def test_a_played_match_as_a_page(tmp_path: Path) -> None:
    match = {"meta": {"mode": "agent-vs-agent"}, "frames": [FRAME] * 4}
    watch_cli.write_page(match, str(tmp_path / "out.html"))
    assert 'id="match"' in (tmp_path / "out.html").read_text()
