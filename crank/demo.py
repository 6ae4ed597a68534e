"""A first look: what `awm demo` plays, and a world with made-up weights to convert.

Nothing is downloaded and only the core packages are used. Made-up weights are random, so the
physics are nonsense; everything else is what happens to a trained checkpoint.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from pathlib import Path

import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.files import write_atomically

CONFIG = EncodingConfig(state_age_as_embed=True, state_flags=True, hitstun=True, projectiles=True)
CONTEXT_LEN = 10
DIMS = {"d_model": 64, "d_state": 16, "n_layers": 2, "headdim": 32}
WEIGHT_SEED = 39  # of the first sixty one where both players stay near the stage


@dataclasses.dataclass(frozen=True)
class Fight:
    """What `awm demo` plays: arguments of `crank.playing.prepare`."""

    agents: tuple[str, str]
    stage: str
    characters: tuple[str, str]
    frames: int
    seed: int = 0
    seed_action: int = 0


TRAINED = Fight(
    ("policy:fox", "policy:falco"), "Battlefield", ("fox", "falco"), 28_800, seed=11, seed_action=14
)
MADE_UP = Fight(("random", "hold-forward"), "Battlefield", ("marth", "fox"), 600)
RULES = (
    # pattern of the key, mean, deviation, deviation divided by the square root of the inputs
    ("*_embed.weight", 0.0, 0.3, False),
    ("*.norm.weight", 1.0, 0.1, False),
    ("final_norm.weight", 1.0, 0.1, False),
    ("*.dt_bias", 0.0, 0.5, False),
    ("*.A_log", 0.0, 0.5, False),
    ("*.D", 1.0, 0.25, False),
    ("*.conv1d.weight", 0.0, 0.5, False),
    ("continuous_head.bias", 0.0, 0.0, False),
    ("velocity_head.bias", 0.0, 0.0, False),
    ("continuous_head.weight", 0.0, 0.012, True),
    ("velocity_head.weight", 0.0, 0.02, True),
    ("dynamics_head.weight", 0.0, 0.1, True),
    ("dynamics_head.bias", 0.7, 0.05, False),
    ("*.bias", 0.0, 0.1, False),
    ("*.weight", 0.0, 1.0, True),
)


def make_checkpoint(path: Path) -> None:
    """Write a small world as `path` (.safetensors) with its settings in the .json beside it."""
    from safetensors.numpy import save

    from awm_jax.fp32.weights import torch_shapes
    from converters.checkpoint import Spec

    spec = Spec("mamba2", CONFIG, CONTEXT_LEN, DIMS)
    rng = np.random.Generator(np.random.PCG64(WEIGHT_SEED))
    weights = {key: _draw(key, shape, rng) for key, shape in torch_shapes(spec.abstract()).items()}
    write_atomically(path, save(weights))
    write_atomically(path.with_suffix(".json"), json.dumps(spec.to_dict(), indent=2) + "\n")


def _draw(key: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    mean, deviation, per_input = next(
        rule[1:] for rule in RULES if fnmatch.fnmatchcase(key, rule[0])
    )
    if per_input:
        deviation /= np.sqrt(np.prod(shape[1:]))
    return (mean + deviation * rng.standard_normal(shape)).astype(np.float32)


def convert(checkpoint: Path, folder: Path) -> None:
    """The checkpoint as an Orbax folder, which is replaced where it exists."""
    import converters

    converters.save_orbax(converters.load(checkpoint), folder, overwrite=True)
