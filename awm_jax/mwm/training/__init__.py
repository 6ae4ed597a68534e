"""Logs and learning of the Mental World Model (extras `mwm` and `train`)."""

from awm_jax.mwm.training.logs import (
    TrainingDataset,
    TrainingLogEntry,
    log_training_entry,
    parse_entry,
)
from awm_jax.mwm.training.losses import MWMLoss

__all__ = [
    "MWMLoss",
    "TrainingDataset",
    "TrainingLogEntry",
    "log_training_entry",
    "parse_entry",
    "train_mwm_from_logs",
]


def train_mwm_from_logs(*args, **kwargs):
    """See `awm_jax.mwm.training.run.train_mwm_from_logs`."""
    from awm_jax.mwm.training import run

    return run.train_mwm_from_logs(*args, **kwargs)
