"""Training from a log, start to end."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from awm_jax.mwm.training.job import MindConfig, MindJob
from awm_jax.mwm.training.logs import TrainingDataset
from awm_jax.mwm.training.steps import split, steps_of_log
from awm_jax.train.trainer import TrainConfig, train


def train_mwm_from_logs(
    log: str | os.PathLike[str],
    output: str | os.PathLike[str],
    config: MindConfig | None = None,
    train_config: TrainConfig | None = None,
    *,
    strict: bool = False,
    on_log: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Learn a mind from a JSONL log, or go on with the run in `output`.

    Returns:
      The last metrics, and `skipped`: (line, reason) of what could not be used.

    Raises:
      AwmError: the log cannot be read or has too little in it; `output` holds another run.
    """
    config = MindConfig() if config is None else config
    dataset = TrainingDataset.load_jsonl(log, strict=strict, iwm_dim=config.iwm_dim)
    learn, valid = split(steps_of_log(dataset, config.iwm_dim))
    job = MindJob(config, learn, valid)
    settings = TrainConfig(steps=1000, rate=1e-3) if train_config is None else train_config
    last = train(job, settings, output, on_log=on_log)
    return last | {"skipped": dataset.skipped}
