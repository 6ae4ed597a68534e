"""`awm plot`: a picture of a match."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.serving import walk

from awm_jax.cartridges import EMBEDDED
from awm_jax.errors import AwmError
from crank.playing import prepare
from crank.plot import plot_match
from crank.verify import frame_times

pytest.importorskip("matplotlib")


@pytest.fixture
def match(tmp_path: Path) -> Path:
    file = tmp_path / "match.json"
    file.write_text(json.dumps(walk(300)))
    return file


def test_a_png_and_an_svg(match: Path, tmp_path: Path) -> None:
    plot_match(match, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    for name in ("a.svg", "b.svg"):
        plot_match(match, tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text() and "<svg" in text


def test_another_ending_is_refused(match: Path, tmp_path: Path) -> None:
    with pytest.raises(AwmError, match=r"ends neither in .png nor in .svg"):
        plot_match(match, tmp_path / "a.pdf")
    assert [p.name for p in tmp_path.iterdir()] == ["match.json"]


def test_how_long_each_frame_takes(match: Path, tmp_path: Path) -> None:
    with pytest.raises(AwmError, match="object form"):
        plot_match(match, tmp_path / "a.png", timing=True)
    played = prepare(EMBEDDED, max_frames=20, seed_action=14).run()
    played.save(tmp_path / "played.json")
    taken = frame_times(str(tmp_path / "played.json"))
    assert taken.shape == (20,) and (taken > 0).all()
    plot_match(tmp_path / "played.json", tmp_path / "a.svg", timing=True)
    plot_match(tmp_path / "played.json", tmp_path / "b.svg")
    with_it, without = ((tmp_path / n).read_text() for n in ("a.svg", "b.svg"))
    assert len(with_it) > len(without)
