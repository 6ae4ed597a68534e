"""The explicit table between the reference's state dict and our parameters.

One `Entry` a key, in the order of the reference's file. Source: networks.md section 2.7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.encoding import player_embeddings
from awm_jax.fp32.mamba2 import CONV_WIDTH, FrameStackMamba2
from awm_jax.fp32.mlp import FrameStackMLP
from awm_jax.fp32.policy import PolicyMLP

Network = FrameStackMamba2 | FrameStackMLP | PolicyMLP


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where one tensor of a state dict lives in our network.

    Attributes:
      key: name in the state dict.
      shape: shape there (Linear weights are (out, in)).
      path: names that lead to our parameter.
      transform: "none"; "transpose" (out, in) -> (in, out); "conv" (ch, 1, 4) -> (4, ch).
      columns: the part of our parameter's last axis that it fills; None for all of it.
    """

    key: str
    shape: tuple[int, ...]
    path: tuple[str | int, ...]
    transform: str = "none"
    columns: tuple[int, int] | None = None


def table(model: Network) -> list[Entry]:
    """Every tensor of the network, in the reference's file order."""
    cfg = model.cfg
    names = [n for n in player_embeddings(cfg) if n != "state_age"]
    names.insert(names.index("character") + 1, "stage")
    names += ["state_age"] if cfg.state_age_as_embed else []
    entries = []
    for name in names:
        embed = getattr(model.encoder, f"{name}_embed")
        shape = tuple(embed.embedding.shape)
        entries.append(
            Entry(f"{name}_embed.weight", shape, ("encoder", f"{name}_embed", "embedding"))
        )
    if isinstance(model, FrameStackMamba2):
        entries += _linear("frame_proj", ("frame_proj",), model.frame_proj)
        for i in range(model.n_layers):
            entries += _mamba_layer(model, i)
        entries.append(Entry("final_norm.weight", (model.d_model,), ("final_norm", "scale")))
        entries += _linear("ctrl_proj", ("ctrl_proj",), model.ctrl_proj)
        if model.pre_head is not None:
            entries += _linear("pre_head", ("pre_head",), model.pre_head)
    else:
        entries += _linear("trunk.0", ("trunk", "hidden"), model.trunk.hidden)
        entries += _linear("trunk.3", ("trunk", "out"), model.trunk.out)
    return entries + list(_heads(model))


def _linear(key: str, path: tuple[str | int, ...], layer: nnx.Linear) -> list[Entry]:
    shape = (layer.out_features, layer.in_features)
    entries = [Entry(f"{key}.weight", shape, (*path, "kernel"), "transpose")]
    if layer.use_bias:
        entries.append(Entry(f"{key}.bias", shape[:1], (*path, "bias")))
    return entries


def _mamba_layer(model: FrameStackMamba2, i: int) -> list[Entry]:
    layer = model.layers[i]
    key, path = f"layers.{i}.mamba", ("layers", i, "mamba")
    channels = layer.mamba.conv_bias.shape[0]
    heads = layer.mamba.D.shape
    return [
        Entry(f"{key}.dt_bias", heads, (*path, "dt_bias")),
        Entry(f"{key}.A_log", heads, (*path, "A_log")),
        Entry(f"{key}.D", heads, (*path, "D")),
        *_linear(f"{key}.in_proj", (*path, "in_proj"), layer.mamba.in_proj),
        Entry(f"{key}.conv1d.weight", (channels, 1, CONV_WIDTH), (*path, "conv_kernel"), "conv"),
        Entry(f"{key}.conv1d.bias", (channels,), (*path, "conv_bias")),
        Entry(f"{key}.norm.weight", (layer.mamba.d_inner,), (*path, "norm", "scale")),
        *_linear(f"{key}.out_proj", (*path, "out_proj"), layer.mamba.out_proj),
        Entry(f"layers.{i}.norm.weight", (model.d_model,), ("layers", i, "norm", "scale")),
    ]


_HEAD_NAMES = {
    "continuous_delta": "continuous_head",
    "binary_logits": "binary_head",
    "velocity_delta": "velocity_head",
    "dynamics_pred": "dynamics_head",
    "analog_pred": "analog_head",
    "button_logits": "button_head",
}


def head_key(output: str) -> str:
    """Module name of an output's head: continuous_delta -> continuous_head."""
    return _HEAD_NAMES.get(output) or output.removesuffix("_logits") + "_head"


def _heads(model: Network) -> Iterator[Entry]:
    start, width_in = 0, model.heads.linear.in_features
    for output, width in model.heads.widths:
        key, columns = head_key(output), (start, start + width)
        path = ("heads", "linear")
        yield Entry(f"{key}.weight", (width, width_in), (*path, "kernel"), "transpose", columns)
        yield Entry(f"{key}.bias", (width,), (*path, "bias"), "none", columns)
        start += width


def torch_shapes(model: Network) -> dict[str, tuple[int, ...]]:
    """Shape of every state-dict tensor, in file order. Works on an `nnx.eval_shape` model."""
    return {e.key: e.shape for e in table(model)}


def num_parameters(model: Network) -> int:
    return sum(int(np.prod(e.shape)) for e in table(model))


def _param(model: Network, path: tuple[str | int, ...]) -> nnx.Param:
    node: Any = model
    for name in path:
        node = node[name] if isinstance(name, int) else getattr(node, name)
    return node


def from_torch_dict(model: Network, tensors: dict[str, np.ndarray]) -> None:
    """Fill the network in place from a complete, well-shaped state dict of NumPy arrays."""
    values: dict[tuple[str | int, ...], np.ndarray] = {}
    for entry in table(model):
        value = np.asarray(tensors[entry.key])
        if entry.transform == "transpose":
            value = value.T
        elif entry.transform == "conv":
            value = value[:, 0, :].T
        if entry.columns is None:
            values[entry.path] = value
        else:
            whole = values.get(entry.path)
            if whole is None:
                shape = _param(model, entry.path).shape
                whole = values[entry.path] = np.empty(shape, value.dtype)
            whole[..., slice(*entry.columns)] = value
    for path, value in values.items():
        _param(model, path)[...] = jnp.asarray(value)


def to_torch_dict(model: Network) -> dict[str, np.ndarray]:
    """The network's weights as a state dict of NumPy arrays, in file order."""
    tensors = {}
    for entry in table(model):
        value = np.asarray(_param(model, entry.path)[...])
        if entry.columns is not None:
            value = value[..., slice(*entry.columns)]
        if entry.transform == "transpose":
            value = value.T
        elif entry.transform == "conv":
            value = value.T[:, None, :]
        tensors[entry.key] = np.ascontiguousarray(value)
    return tensors
