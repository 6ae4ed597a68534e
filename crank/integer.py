"""What a match in a cartridge needs beside the float path: the world, its start, its agents."""

from __future__ import annotations

import dataclasses
from typing import cast, get_args

import jax
import jax.numpy as jnp
import numpy as np

import converters
from awm_jax.cartridges import EMBEDDED, embedded_mind
from awm_jax.contracts import Agent
from awm_jax.errors import AwmError
from awm_jax.game.frames import Frames
from awm_jax.int8 import agents
from awm_jax.int8.engine import Engine, NativeWorld, make_world
from awm_jax.int8.frame import GameFrame, from_floats
from awm_jax.int8.mind import Int8Mind
from awm_jax.int8.policy import Int8Policy
from awm_jax.int8.world import Int8World
from converters.cartridge import is_cartridge, read_cartridge
from converters.quantize.mind_pack import load_mind
from converters.quantize.pack import load_policy

IntegerWorld = Int8World | NativeWorld

SCRIPTED = {"noop": agents.Noop, "hold-forward": agents.HoldForward, "random": agents.Random}


def load_world(path: str, context: str | None, engine: str) -> tuple[IntegerWorld, str]:
    """The integer world of a cartridge and the cartridge's hash.

    Args:
      context: "windowed" or "recurrent" instead of the cartridge's own mode.
      engine: "auto", "xla" or "native".

    Raises:
      AwmError: no such engine, or it cannot run here; or the cartridge is damaged.
    """
    if engine not in get_args(Engine):
        raise AwmError(f"no engine {engine!r}; give one of: {', '.join(get_args(Engine))}")
    loaded = converters.load_cartridge(path)
    arch = loaded.world.arch
    if context is not None:
        arch = dataclasses.replace(arch, recurrent=context == "recurrent")
    return make_world(loaded.world.params, arch, cast(Engine, engine)), loaded.cartridge.hash


def start(world: IntegerWorld, frames: Frames) -> GameFrame:
    """Encoded seed frames in the machine's own units, as NumPy arrays."""
    return from_floats(world.cfg, np.asarray(frames.floats), np.asarray(frames.ints))


def parse_agent(
    spec: str, world: IntegerWorld, home: str | None, button_bias: float
) -> tuple[Agent, str | None]:
    """The integer agent of a spec, and the hash of its weights.

    Args:
      spec: `noop`, `hold-forward`, `random`; `policy:NAME`, a policy of the world's own cartridge,
        or the folder of a policy cartridge; `mwm`, the embedded mind, or `mwm:` and the folder of a
        mind cartridge.
      home: the world's cartridge; None for a world that came from none.

    Raises:
      AwmError: no such agent, or a policy that doesn't fit the world.
    """
    if spec in SCRIPTED:
        return SCRIPTED[spec](), None
    kind, _, name = spec.partition(":")
    if kind == "mwm":
        return _mind(name, world)
    own = read_cartridge(home).policies if home is not None else {}
    if kind != "policy" or not name:
        policies = [*(f"policy:{n}" for n in own), "policy:CARTRIDGE"]
        known = ", ".join([*SCRIPTED, *policies, "mwm", "mwm:CARTRIDGE"])
        raise AwmError(f"no agent {spec!r}; give one of: {known}")
    if name in own:
        cartridge = own[name]
    elif is_cartridge(name):
        cartridge = read_cartridge(name)
    else:
        raise AwmError(
            f"{name} is no policy of this cartridge and no policy cartridge; make one with: "
            "awm-convert quantize"
        )
    try:
        params, arch = load_policy(cartridge)
        params = jax.tree.map(jnp.asarray, params)
        agent = Int8Policy.of(params, arch, world.cfg, world.context_len, button_bias)
    except AwmError as error:
        raise AwmError(f"{name}: {error}") from None
    return agent, cartridge.hash


def _mind(name: str, world: IntegerWorld) -> tuple[Int8Mind, str]:
    folder = embedded_mind() if name in ("", EMBEDDED) else name
    if not is_cartridge(folder):
        raise AwmError(f"{name} is no mind cartridge; make one with: awm-convert quantize-mind")
    cartridge = read_cartridge(folder)
    try:
        params, _ = load_mind(cartridge)
    except AwmError as error:
        raise AwmError(f"{folder}: {error}") from None
    return Int8Mind(params, world.cfg), cartridge.hash
