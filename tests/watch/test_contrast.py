"""Every text colour of the page on every ground that it stands on: WCAG 2 AA, 4.5 to 1."""

from __future__ import annotations

import itertools
import re

import pytest

from crank.watch import page

STYLE = page.read_static("style.css")
LEAST = 4.5
LEAST_OF_ICONS = 3
ICONS = (".deck .play", ".deck .play:hover")
TEXTLESS = (":root", ".nub", ".head", "canvas", ".glass", ".bar", ".timeline")
GROUNDS = ("--ground", "--panel", "--raised")
TEXTS = ("--text", "--dim", "--p1", "--p2", "--cyan", "--magenta", "--red")
CANVAS = "#101a2e"
"""The brightest of the picture's backdrop (stage.js)."""


def variable(name: str) -> str:
    found = re.search(rf"{name}: (#[0-9a-f]{{6}});", STYLE)
    assert found
    return found[1]


def luminance(color: str) -> float:
    digits = color.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("text", "ground"), list(itertools.product(TEXTS, GROUNDS)))
def test_text_on_the_cabinet(text: str, ground: str) -> None:
    assert contrast(variable(text), variable(ground)) >= LEAST


def rules() -> list[tuple[str, str]]:
    """Selector and body of every rule that gives text a ground of its own."""
    found = re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", STYLE, flags=re.DOTALL))
    return [(s.strip(), b) for s, b in found if "background" in b and "#" in b]


def test_text_on_buttons_and_badges() -> None:
    """A rule's own text colour, or else the page's, on each colour of its ground."""
    checked = 0
    for selector, body in rules():
        own = re.search(r"(?<![-\w])color: (#\w{3,6}|var\((--\w+)\))", body)
        text = (variable(own[2]) if own[2] else own[1]) if own else variable("--text")
        ground = re.search(r"background: ([^;]*)", body)
        if ground is None or selector in TEXTLESS:
            continue
        least = LEAST_OF_ICONS if selector in ICONS else LEAST
        for color in re.findall(r"#[0-9a-f]{6}|#[0-9a-f]{3}\b", ground[1]):
            assert contrast(text, color) >= least, (selector, text, color)
            checked += 1
    assert checked > 20


def test_text_on_the_picture() -> None:
    """Names of actions, events and fields, and the legend."""
    stage = page.read_static("stage.js")
    tones = re.search(r"export const TONES = \{(.*?)\};", stage, re.DOTALL)
    ink = re.search(r"export const INK = \{(.*?)\};", stage, re.DOTALL)
    assert tones and ink
    colors = re.findall(r"#[0-9a-f]{6}", tones[1])
    colors += re.findall(r"(?:cyan|magenta|red|violet|amber|green|white): \"(#\w{6})\"", ink[1])
    colors += re.findall(r"fillStyle = \"(#[0-9a-f]{6})\"", page.read_static("fields.js"))
    assert len(colors) > 25
    for color in colors:
        assert contrast(color, CANVAS) >= LEAST, color
