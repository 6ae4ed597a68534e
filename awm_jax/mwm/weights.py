"""The table between the reference's state dict and our parameters. Source: mwm.md section 2."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.errors import AwmError
from awm_jax.mwm.network import MentalWorldModelModule

MODULES = (
    "gwm_encoder",
    "iwm_encoder",
    "self_encoder",
    "latent_update",
    "action_encoder",
    "dynamics",
    "world_decoder",
    "self_decoder",
    "affect_decoder",
)
_MLP = {
    "0.weight": ("hidden", "kernel"),
    "0.bias": ("hidden", "bias"),
    "1.weight": ("norm", "scale"),
    "1.bias": ("norm", "bias"),
    "4.weight": ("out", "kernel"),
    "4.bias": ("out", "bias"),
}
_GRU = {
    "weight_ih": ("kernel_in",),
    "weight_hh": ("kernel_state",),
    "bias_ih": ("bias_in",),
    "bias_hh": ("bias_state",),
}
LATENT_KEY, VISUAL_KEY = "latent_update.weight_hh", "iwm_encoder.0.weight"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A tensor of the state dict: its key, and the names that lead to our parameter.

    Matrices are (out, in) there and (in, out) here.
    """

    key: str
    path: tuple[str, ...]


def table() -> list[Entry]:
    """All 50 tensors, in the reference's order."""
    entries = []
    for module in MODULES:
        parts = _GRU if module in ("latent_update", "dynamics") else _MLP
        entries += [Entry(f"{module}.{key}", (module, *path)) for key, path in parts.items()]
    return entries


def _param(model: MentalWorldModelModule, entry: Entry) -> nnx.Param:
    node: Any = model
    for name in entry.path:
        node = getattr(node, name)
    return node


@functools.lru_cache(maxsize=8)
def torch_shapes(latent_dim: int, iwm_dim: int) -> dict[str, tuple[int, ...]]:
    """Shape of every state-dict tensor, in file order."""
    model = abstract(latent_dim, iwm_dim)
    return {e.key: tuple(reversed(_param(model, e).shape)) for e in table()}


def abstract(latent_dim: int, iwm_dim: int, scaled: bool = False) -> MentalWorldModelModule:
    """The network with shapes for weights; takes no memory."""
    return nnx.eval_shape(
        lambda: MentalWorldModelModule(latent_dim, iwm_dim=iwm_dim, scaled=scaled, rngs=nnx.Rngs(0))
    )


def infer_dims(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    """Latent and visual width of a state dict, read from its shapes.

    Raises:
      AwmError: names the key that is absent, or is no matrix.
    """
    for key in (LATENT_KEY, VISUAL_KEY):
        if key not in shapes:
            raise AwmError(f"missing {key}")
        if len(shapes[key]) != 2:
            raise AwmError(f"{key} is {shapes[key]}, not a matrix")
    return shapes[LATENT_KEY][1], shapes[VISUAL_KEY][1]


def from_torch_dict(
    tensors: Mapping[str, np.ndarray], *, scaled: bool = False
) -> MentalWorldModelModule:
    """The network of a state dict of NumPy arrays; widths are read from the shapes.

    Raises:
      AwmError: names the key that is missing, surplus or of another shape.
    """
    dims = infer_dims({key: value.shape for key, value in tensors.items()})
    wanted = torch_shapes(*dims)
    for key in [*wanted, *tensors]:
        if key not in tensors:
            raise AwmError(f"missing {key}")
        if key not in wanted:
            raise AwmError(f"surplus {key}")
        if tensors[key].shape != wanted[key]:
            raise AwmError(f"{key} is {tensors[key].shape}, not {wanted[key]}")
    model = abstract(*dims, scaled)
    for entry in table():
        _param(model, entry).set_value(jnp.asarray(np.asarray(tensors[entry.key]).T))
    return model


def to_torch_dict(model: MentalWorldModelModule) -> dict[str, np.ndarray]:
    """The network's weights, or anything of its shape such as gradients, under torch's keys."""
    return {
        entry.key: np.ascontiguousarray(np.asarray(_param(model, entry)[...]).T)
        for entry in table()
    }
