"""Small worlds, made here."""

from __future__ import annotations

import numpy as np
import pytest

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32 import FrameStackMamba2
from awm_jax.fp32.weights import torch_shapes
from awm_jax.fp32.world import Fp32World
from converters.checkpoint import Spec, filled

CFG = EncodingConfig(state_age_as_embed=True, hitstun=True, state_flags=True, projectiles=True)
SPEC = Spec("mamba2", CFG, 4, {"d_model": 16, "d_state": 8, "n_layers": 2, "headdim": 8})


def network(seed: int = 0) -> FrameStackMamba2:
    abstract, rng = SPEC.abstract(), np.random.default_rng(seed)
    shapes = torch_shapes(abstract)
    return filled(
        abstract, {k: rng.normal(0, 0.3, s).astype(np.float32) for k, s in shapes.items()}
    )


@pytest.fixture(scope="session")
def model() -> FrameStackMamba2:
    """A network with random weights: it moves, and its stocks mean nothing."""
    return network()


@pytest.fixture(scope="session")
def other_model() -> FrameStackMamba2:
    """Equal shapes, other weights."""
    return network(1)


@pytest.fixture(scope="session")
def world(model: FrameStackMamba2) -> Fp32World:
    return Fp32World.of(model)
