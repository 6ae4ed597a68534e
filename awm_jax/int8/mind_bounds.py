"""`awm_jax.int8.bounds` for a mind. docs/integer-spec.md section 11.4 states what is checked."""

from __future__ import annotations

import numpy as np

from awm_jax.int8 import bounds
from awm_jax.int8.bounds import I16_MIN, Bounds
from awm_jax.int8.fixed import I16_MAX, WIDE_MAX
from awm_jax.int8.mind import MindParams, Perceptron
from awm_jax.int8.senses import ABSENT, ONE

EDGE_MOST = 1 << 14
ONE_MOST = 1 << 29
BETA_MOST = 1 << 29


def check_mind(params: MindParams) -> Bounds:
    """The largest magnitude that each sum of a mind can take, by its name.

    Raises:
      AwmError: names the first quantity that is out of its range or could leave 32 bits.
    """
    found: Bounds = {}
    bounds.table("sigmoid", params.sigmoid, 1 << 15, 127)
    bounds.within("tanh", params.tanh, -WIDE_MAX, WIDE_MAX)
    bounds.table("senses.rsqrt", params.senses.rsqrt, I16_MAX, 255)
    bounds.table("senses.arc", params.senses.arc, ONE, 63)
    bounds.within("senses.places", params.senses.places, -ABSENT, ABSENT)
    bounds.within("senses.ratings", params.senses.ratings, 0, ONE)
    bounds.within("senses.edges", params.senses.edges, 0, EDGE_MOST)
    found |= _perceptron("world", params.world, ONE)
    found |= _perceptron("own", params.own, ONE)
    for name in ("seen", "kept", "ahead"):
        found |= bounds.dense(name, getattr(params, name), WIDE_MAX)
    bounds.within("actions", params.actions, I16_MIN, I16_MAX)
    found |= _perceptron("affect", params.affect, WIDE_MAX)
    bounds.within("one", params.one, 0, ONE_MOST)
    return found


def _perceptron(name: str, p: Perceptron, most: int) -> Bounds:
    found = bounds.dense(f"{name}.hidden", p.hidden, most)
    bounds.norm(f"{name}.norm", p.norm, np.shape(p.norm.w)[0], found)
    bounds.within(f"{name}.beta", p.beta, -BETA_MOST, BETA_MOST)
    return found | bounds.dense(f"{name}.out", p.out, WIDE_MAX)
