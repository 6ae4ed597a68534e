"""Which matches a run has: every one a function of the run's seed and the match's index alone."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from awm_jax.errors import AwmError


@dataclasses.dataclass(frozen=True)
class Entrant:
    """An agent of a run.

    Attributes:
      agent: `noop`, `hold-forward`, `random`, `policy:PATH`, `mwm`, `mwm:PATH`, or an agent itself.
      button_bias: added to a policy's button logits.
    """

    agent: Any
    button_bias: float = 0.0

    @property
    def label(self) -> str:
        """The agent as text."""
        return self.agent if isinstance(self.agent, str) else type(self.agent).__name__


@dataclasses.dataclass(frozen=True)
class MatchSpec:
    """A match of a run, as `awm play --seed --stage --p0-char --p1-char` takes it.

    Attributes:
      p0, p1: names of entrants.
      seed: 0 to 2^64 - 1, of all the match's randomness.
      stage, characters: external ids.
    """

    p0: str
    p1: str
    seed: int
    stage: int
    characters: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Draw:
    """What is drawn for a match: its seed, and three numbers that choose stage and characters."""

    seed: int
    stage: int
    characters: tuple[int, int]


def draw(seed: int, index: int | str) -> Draw:
    """BLAKE2b of the run's seed and the index; the same everywhere and in every order."""
    made = hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=20).digest()
    parts = [int.from_bytes(made[i : i + 4], "little") for i in (8, 12, 16)]
    return Draw(int.from_bytes(made[:8], "little"), parts[0], (parts[1], parts[2]))


def draw_matches(
    pairs: Sequence[tuple[str, str]],
    matches: int,
    *,
    seed: int = 0,
    stages: Sequence[int],
    characters: tuple[Sequence[int], Sequence[int]],
) -> list[MatchSpec]:
    """`matches` of them: the pairs in turn, stage and characters drawn from what is given.

    Raises:
      AwmError: no match, no pair, or nothing to draw from.
    """
    if matches < 1:
        raise AwmError(f"{matches} matches to play; give at least 1")
    if not (pairs and stages and all(characters)):
        raise AwmError("nothing to draw from: give agents, stages and characters")
    out = []
    for index in range(matches):
        drawn = draw(seed, index)
        fighters = [
            from_[n % len(from_)] for from_, n in zip(characters, drawn.characters, strict=True)
        ]
        p0, p1 = pairs[index % len(pairs)]
        stage = stages[drawn.stage % len(stages)]
        out.append(MatchSpec(p0, p1, drawn.seed, stage, (fighters[0], fighters[1])))
    return out


def fingerprint(matches: Sequence[MatchSpec]) -> str:
    """A hash of all matches in their order."""
    whole = hashlib.sha256()
    for m in matches:
        whole.update(f"{m.p0}\0{m.p1}\0{m.seed} {m.stage} {m.characters}\n".encode())
    return whole.hexdigest()
