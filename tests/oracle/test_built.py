"""A world that the quantiser built from a float network equals the oracle too."""

from __future__ import annotations

import jax
import numpy as np
from flax import nnx
from support.golden import seeded_weights
from support.int_worlds import FULL, on_device, random_frames, random_pads
from support.oracle_run import alive, assert_same_match, quick_play, recorded

from awm_jax.fp32.mamba2 import FrameStackMamba2
from awm_jax.fp32.weights import from_torch_dict, torch_shapes
from awm_jax.int8.frame import to_floats
from awm_jax.int8.params import Arch
from awm_jax.int8.world import Int8World
from converters.quantize.build import build_world
from converters.quantize.calibrate import calibrate


def test_a_built_world():
    shape = {"d_model": 16, "d_state": 8, "n_layers": 1, "headdim": 8}
    net = FrameStackMamba2(FULL, context_len=2, rngs=nnx.Rngs(0), **shape)
    weights = seeded_weights(torch_shapes(net), 11)
    from_torch_dict(net, weights)
    arch = Arch(cfg=FULL, context_len=2, recurrent=True, **shape)
    games = [to_floats(FULL, random_frames(seed, FULL, 65)) for seed in (1, 2)]
    params, _ = build_world(arch, weights, calibrate(net, games))
    world = Int8World(on_device(params), arch)
    pads = random_pads(4, 200)
    frames = random_frames(5, FULL, 2)
    made = assert_same_match(world, recorded(pads), frames, 0, 200, quick_play)
    assert alive(made)["cont"] > 100
    assert all(np.issubdtype(v.dtype, np.integer) for v in jax.tree.leaves(params))
