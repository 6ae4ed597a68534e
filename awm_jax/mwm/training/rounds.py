"""Rounds of practice: a mind plays, learns from what came of it, and plays again.

Each round is played by the mind that the round before made, so that a value is that of going on as
this mind would. The first is played by a rule that beginners are told, and by chance: a mind that
never came near an opponent has nothing to learn from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.contracts import Agent
from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.mwm.network import Mind
from awm_jax.mwm.training.job import WEIGHTS, MindConfig, MindJob
from awm_jax.mwm.training.practice import Trials, begin_matches, practise
from awm_jax.mwm.training.replays import joined
from awm_jax.mwm.training.steps import Steps, split
from awm_jax.train.trainer import TrainConfig, claim, train

PLAYED = "played.npz"
FIRST = Trials(chance=1.0, guided=0.7, trace=1.0)
JUDGED = 0.05
"""Share of the steps that judges what was learned from the others."""


@dataclasses.dataclass(frozen=True)
class RoundsConfig:
    """Attributes:
    rounds: how many. kept: of these, the newest, are learned from.
    trials: how it plays after the first round.
    matches, decisions: against each opponent on each side, and how long.
    learn, rate: steps of the optimiser a round, and the learning rate they begin with.
    """

    rounds: int = 1
    kept: int = 3
    trials: Trials = dataclasses.field(default_factory=Trials)
    matches: int = 48
    decisions: int = 220
    learn: int = 400
    rate: float = 1e-3
    window: int = 16
    batch: int = 32
    seed: int = 0


def improve(
    world: Any,
    mind: Mind,
    opponents: Sequence[Agent],
    out: str | os.PathLike[str],
    config: RoundsConfig,
    *,
    load: Callable[[str], Mind],
    on_round: Callable[[int, Steps, dict[str, Any]], None] | None = None,
    begin: Callable[..., Any] = begin_matches,
) -> Mind:
    """Practise from `mind` on, or go on with what `out` holds: folders `round-0`, `round-1`, ...,
    with what was played in `played.npz`, and in `run` a run of the trainer.

    Args:
      world: an integer world.
      load: reads a mind file.
      on_round: called after each round with its number, what was played, and the last metrics.
      begin: see `practice.practise`.

    Returns:
      The mind of the last round.

    Raises:
      AwmError: `out` holds another run, or cannot be written.
    """
    fixed = {k: v for k, v in dataclasses.asdict(config).items() if k != "rounds"}
    claim(Path(out), fixed | {"begins_with": _digest(mind)})
    played: list[Steps] = []
    for number in range(config.rounds):
        folder = Path(out) / f"round-{number}"
        folder.mkdir(exist_ok=True)
        if not (folder / PLAYED).exists():
            trials = config.trials if number else FIRST
            found = practise(
                world,
                mind,
                opponents,
                trials,
                seed=config.seed + number,
                matches=config.matches,
                decisions=config.decisions,
                begin=begin,
            )
            _save(folder / PLAYED, found)
        played = [*played, read_played(folder / PLAYED)][-config.kept :]
        job = MindJob(_shape(mind, config, number), *split(joined(played), JUDGED), mind)
        every = config.learn
        settings = TrainConfig(
            steps=config.learn,
            rate=config.rate,
            average=0.99,
            log_every=every,
            save_every=every,
            judge_every=every,
        )
        last = train(job, settings, folder / "run")
        mind = load(str(folder / "run" / WEIGHTS))
        if on_round is not None:
            on_round(number, played[-1], last)
    return mind


def _shape(mind: Mind, config: RoundsConfig, number: int) -> MindConfig:
    return MindConfig(
        latent_dim=mind.latent_dim,
        iwm_dim=mind.iwm_dim,
        window=config.window,
        batch=config.batch,
        dropout=False,
        seed=config.seed + number,
    )


def _digest(mind: Mind) -> str:
    whole = hashlib.sha256()
    for leaf in mind.params:
        whole.update(np.asarray(leaf).tobytes())
    return whole.hexdigest()


def _save(path: Path, steps: Steps) -> None:
    fields = {f.name: getattr(steps, f.name) for f in dataclasses.fields(Steps) if f.name != "iwm"}
    write_atomically(path, lambda file: np.savez(file, **fields))


def read_played(path: str | os.PathLike[str]) -> Steps:
    """What a round wrote to `played.npz`.

    Raises:
      AwmError: no such file, or another one.
    """
    try:
        with np.load(path) as found:
            return Steps(**{name: found[name] for name in found.files})
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise AwmError(f"{path} is not what a round of practice played ({error})") from None
