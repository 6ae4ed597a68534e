"""The six legal stages: external id, name, geometry in game units.

Source: match.md section 1.4. Any other id plays on the fallback geometry.
"""

from __future__ import annotations

import dataclasses

from awm_jax.errors import AwmError

Span = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Box:
    left: float
    right: float
    top: float
    bottom: float


@dataclasses.dataclass(frozen=True)
class Stage:
    """Platforms are (x_range, y)."""

    name: str
    ground_x_range: Span
    platforms: tuple[tuple[Span, float], ...]
    blast_zones: Box
    camera_bounds: Box
    ground_y: float = 0

    def geometry(self) -> dict:
        """The `stage_geometry` object of a match file."""
        return {
            "name": self.name,
            "ground_y": self.ground_y,
            "ground_x_range": list(self.ground_x_range),
            "platforms": [{"x_range": list(span), "y": y} for span, y in self.platforms],
            "blast_zones": dataclasses.asdict(self.blast_zones),
            "camera_bounds": dataclasses.asdict(self.camera_bounds),
        }


STAGES: dict[int, Stage] = {
    2: Stage(
        "Fountain of Dreams",
        (-63.35, 63.35),
        (
            ((-50.5, -20.5), 27.2),
            ((20.5, 50.5), 27.2),
            ((-15, 15), 42.75),
        ),
        Box(-198.75, 198.75, 202.5, -146.25),
        Box(-140, 140, 90, -50),
    ),
    3: Stage(
        "Pokemon Stadium",
        (-87.75, 87.75),
        (
            ((-55, -25), 25),
            ((25, 55), 25),
        ),
        Box(-230, 230, 200, -111),
        Box(-160, 160, 100, -50),
    ),
    8: Stage(
        "Yoshi's Story",
        (-56, 56),
        (
            ((-60, -28), 23.45),
            ((28, 60), 23.45),
            ((-15.75, 15.75), 42),
        ),
        Box(-175.7, 173.6, 168, -91),
        Box(-120, 120, 80, -40),
    ),
    28: Stage(
        "Dream Land N64",
        (-77.27, 77.27),
        (
            ((-61.39, -31.73), 30.14),
            ((31.73, 63.03), 30.14),
            ((-19.02, 19.02), 51.43),
        ),
        Box(-255, 255, 250, -123),
        Box(-170, 170, 100, -50),
    ),
    31: Stage(
        "Battlefield",
        (-68.4, 68.4),
        (
            ((-57.6, -20), 27.2),
            ((20, 57.6), 27.2),
            ((-18.8, 18.8), 54.4),
        ),
        Box(-224, 224, 200, -108.8),
        Box(-150, 150, 100, -50),
    ),
    32: Stage(
        "Final Destination",
        (-85.57, 85.57),
        (),
        Box(-246, 246, 188, -140),
        Box(-160, 160, 100, -50),
    ),
}


def stage(number: int) -> Stage:
    """The stage of an external id; an id without geometry gets the reference's fallback."""
    if number in STAGES:
        return STAGES[number]
    return Stage(
        f"Stage {number}",
        (-85, 85),
        (),
        Box(-240, 240, 200, -140),
        Box(-160, 160, 100, -50),
    )


def parse_stage(text: str, count: int) -> int:
    """An id below `count`, or a name in any case (spaces, hyphens and underscores alike).

    Raises:
      AwmError: lists the stages.
    """
    names = {_plain(s.name): number for number, s in STAGES.items()}
    if text.isdecimal() and int(text) < count:
        return int(text)
    if _plain(text) in names:
        return names[_plain(text)]
    known = ", ".join(f"{number} {s.name}" for number, s in sorted(STAGES.items()))
    raise AwmError(f"no stage {text!r}; give one of: {known} (or any id below {count})")


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
