"""Anything loadable, by what it is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from awm_jax.errors import AwmError
from awm_jax.int8.policy import PolicyArch, PolicyParams
from awm_jax.int8.world import Int8World
from converters.assemble import assemble
from converters.cartridge import Cartridge, is_cartridge, read_cartridge
from converters.checkpoint import Checkpoint
from converters.orbax_folder import load_orbax
from converters.quantize.pack import load_policy, load_world
from converters.safetensors_file import read_safetensors
from converters.source import naming
from converters.torch_file import read_torch

Path = str | os.PathLike[str]


def load_torch(path: Path, *, allow_surplus: bool = False) -> Checkpoint:
    """Load a PyTorch checkpoint of the reference system: new, old, bare, or a raw state dict.

    Nothing in the file is run. float16, bfloat16 and float64 weights are taken where float32 holds
    every value exactly.

    Args:
      path: the file.
      allow_surplus: drop keys that the network does not have, instead of refusing.

    Raises:
      AwmError: one line that names the file and the key or field at fault.
    """
    return assemble(read_torch(path), allow_surplus=allow_surplus)


def load(path: Path, *, allow_surplus: bool = False) -> Checkpoint:
    """Load a `.pt`, a `.safetensors` with its JSON sidecar, or a folder of `save_orbax`.

    Raises:
      AwmError: one line that names the file and the key or field at fault.
    """
    if is_cartridge(path):
        raise AwmError(
            f"{os.fspath(path)} is a cartridge, not a checkpoint (load_cartridge reads it)"
        )
    if os.path.isdir(path):
        return load_orbax(path)
    if os.fspath(path).lower().endswith(".safetensors"):
        return assemble(read_safetensors(path), allow_surplus=allow_surplus)
    return load_torch(path, allow_surplus=allow_surplus)


@dataclasses.dataclass(frozen=True)
class LoadedCartridge:
    """An integer world, ready to play, and the policies that came with it.

    Attributes:
      cartridge: its files, checked; `cartridge.hash` is its identity.
      world: the physics.
      policies: name -> parameters and shape, for `awm_jax.int8.policy.Int8Policy.of`.
    """

    cartridge: Cartridge
    world: Int8World
    policies: Mapping[str, tuple[PolicyParams, PolicyArch]]


def load_cartridge(path: Path, *, verify: bool = True) -> LoadedCartridge:
    """Read a cartridge, check it, and prove that nothing in it can overflow.

    Args:
      path: its folder.
      verify: compare the sha256 of each file.

    Raises:
      AwmError: one line that names the folder and what is wrong with it.
    """
    cartridge = read_cartridge(path, verify=verify)
    with naming(path):
        world = Int8World(*load_world(cartridge))
    policies = {}
    for name, policy in cartridge.policies.items():
        with naming(os.path.join(path, "policies", name)):
            policies[name] = load_policy(policy)
    return LoadedCartridge(cartridge, world, policies)
