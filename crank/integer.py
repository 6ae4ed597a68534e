"""What a match in a cartridge needs beside the float path: the world, its start, its agents."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import converters
from awm_jax.contracts import Agent
from awm_jax.errors import AwmError
from awm_jax.game.frames import Frames
from awm_jax.int8 import agents
from awm_jax.int8.engine import make_world
from awm_jax.int8.frame import GameFrame, from_floats
from awm_jax.int8.policy import Int8Policy
from awm_jax.int8.world import arch_of

SCRIPTED = {"noop": agents.Noop, "hold-forward": agents.HoldForward, "random": agents.Random}


def is_cartridge(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a cartridge folder."""
    return os.path.isfile(os.path.join(path, "manifest.json"))


def load_world(path: str, context: str | None, engine: str) -> tuple[Any, str]:
    """The integer world of a cartridge and the cartridge's hash.

    Args:
      context: "windowed" or "recurrent" instead of the cartridge's own mode.
      engine: "auto", "xla" or "native".
    """
    cartridge = converters.load_cartridge(path)
    world = make_world(cartridge.params, cartridge.arch, engine)
    if context is not None and (context == "recurrent") != cartridge.arch.recurrent:
        world = arch_of(world, recurrent=context == "recurrent")
    return world, cartridge.hash


def start(world: Any, frames: Frames) -> GameFrame:
    """Encoded seed frames in the machine's own units, as NumPy arrays."""
    return from_floats(world.cfg, np.asarray(frames.floats), np.asarray(frames.ints))


def parse_agent(spec: str, world: Any, button_bias: float) -> tuple[Agent, str | None]:
    """The integer agent of a spec, and the hash of its weights: see `crank.agents.parse_agent`."""
    if spec in SCRIPTED:
        return SCRIPTED[spec](), None
    kind, _, path = spec.partition(":")
    if kind != "policy" or not path:
        known = ", ".join([*SCRIPTED, "policy:CARTRIDGE"])
        raise AwmError(f"no agent {spec!r}; give one of: {known}")
    if not is_cartridge(path):
        raise AwmError(
            f"{path} is not an integer policy; make one with: awm-convert quantize {path} OUT"
        )
    policy = converters.load_cartridge(path)
    try:
        params = jax.tree.map(jnp.asarray, policy.params)
        agent = Int8Policy.of(params, policy.arch, world.cfg, world.context_len, button_bias)
    except AwmError as error:
        raise AwmError(f"{path}: {error}") from None
    return agent, policy.hash
