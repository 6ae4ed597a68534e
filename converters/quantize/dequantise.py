"""A cartridge -> the float network that it is the integer twin of.

Matrices are the int8 weights times their scales; biases, norms and what the scan is made of are
read back from the machine's numbers (docs/integer-spec.md section 4), which have 15 bits or more.
Quantised again, the matrices are the same integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import FrameStackMamba2
from awm_jax.fp32.policy import PolicyMLP
from awm_jax.fp32.weights import torch_shapes
from awm_jax.int8 import tables
from awm_jax.int8.codes import Codes
from awm_jax.int8.params import Arch, Norm, Requant, WorldParams
from awm_jax.int8.policy import PolicyParams
from converters.cartridge import Cartridge
from converters.checkpoint import Checkpoint, Provenance, Spec, filled, versions, weights_sha256
from converters.quantize.build import ACT, UNIT_NORM
from converters.quantize.pack import load_policy, load_world
from converters.quantize.template import BINARY, LOGITS, NUMERIC, POLICY_HEADS

CARTRIDGE = "a cartridge"
"""`Provenance.source` of what was turned back; its sha256 is the cartridge's hash."""
POLICY, WORLD = PolicyMLP.arch, FrameStackMamba2.arch
Tensors = dict[str, np.ndarray]


def dequantise(cartridge: Cartridge) -> Checkpoint:
    """The float network of a cartridge that `awm-convert quantize` wrote.

    Raises:
      AwmError: it holds neither a world nor a policy, or does not state its scales.
    """
    scales = cartridge.manifest["int8"].get("scales")
    if not isinstance(scales, dict) or cartridge.model_type not in (POLICY, WORLD):
        raise AwmError("it does not state its scales, so it cannot be turned back")
    if cartridge.model_type == WORLD and "pre_head" not in scales:
        raise AwmError("it is of an earlier version, which did not state the scale of its heads")
    matrices = {
        key: cartridge.weight(key) * np.reshape(e.scales, (-1,) + (1,) * (len(e.shape) - 1))
        for key, e in cartridge.entries.items()
        if len(e.shape) > 1
    }
    if cartridge.model_type == POLICY:
        params, arch = load_policy(cartridge)
        dims = {"hidden_dim": arch.hidden_dim, "trunk_dim": arch.trunk_dim}
        spec = Spec(POLICY, arch.cfg, arch.context_len, dims)
        vectors, codes = _policy(cartridge, params, scales), None
    else:
        params, arch = load_world(cartridge)
        dims = {name: getattr(arch, name) for name in ("d_model", "d_state", "n_layers", "headdim")}
        spec = Spec(WORLD, arch.cfg, arch.context_len, dims, arch.variant)
        vectors = _world(cartridge, params, arch, scales)
        codes = Codes.from_dict({name: scales[name] for name in ("layers", "pre_head")})
        codes = codes if arch.planes == 1 else None
    abstract = spec.abstract()
    found = matrices | vectors
    tensors = {key: np.asarray(found[key], np.float32) for key in torch_shapes(abstract)}
    origin = Provenance(
        source=CARTRIDGE,
        sha256=cartridge.hash,
        form="new",
        weights_sha256=weights_sha256(tensors),
        notes=("turned back from integers",),
        versions=versions(),
    )
    return Checkpoint(filled(abstract, tensors), origin, codes)


def _policy(cartridge: Cartridge, params: PolicyParams, scales: dict[str, Any]) -> Tensors:
    heads = np.asarray(params.heads.bias) * _scale(cartridge, POLICY_HEADS) * scales["trunk"]
    row = _scale(cartridge, ("trunk.0",)) * scales["wide"]
    trunk = _scale(cartridge, ("trunk.3",)) * scales["hidden"]
    return {
        "trunk.0.bias": np.asarray(params.hidden.bias) * row,
        "trunk.3.bias": np.asarray(params.trunk.bias) * trunk,
        **_cut(cartridge, POLICY_HEADS, heads),
    }


def _world(
    cartridge: Cartridge, params: WorldParams, arch: Arch, scales: dict[str, Any]
) -> Tensors:
    wide, hidden = scales["wide"], scales["hidden"]
    found: Tensors = {"final_norm.weight": _norm(params.final_norm, hidden)}
    for name, dense in (("frame_proj", params.frame_proj), ("ctrl_proj", params.ctrl_proj)):
        found[f"{name}.bias"] = np.asarray(dense.bias) * _scale(cartridge, (name,)) * wide
    for i, (layer, scale) in enumerate(zip(params.layers, scales["layers"], strict=True)):
        key = f"layers.{i}.mamba"
        rows = _scale(cartridge, (f"{key}.in_proj",)) * scale["normed"]
        channels = slice(arch.d_inner, arch.d_inner + arch.conv_channels)
        conv_in = (rows / _factor(layer.in_proj.out))[channels]
        p = layer.scan
        decay = np.asarray(p.decay_m) * 2.0 ** -np.asarray(p.decay_s, np.float64)
        a = decay / np.log2(np.e) / 2.0 ** (15 - tables.DT_BITS)
        skip = np.asarray(p.skip_m) * 2.0 ** -float(p.skip_s)
        found |= {
            f"layers.{i}.norm.weight": _norm(layer.norm, scale["normed"]),
            f"{key}.norm.weight": _norm(layer.gated_norm, scale["gated"]),
            f"{key}.dt_bias": (np.asarray(layer.in_proj.bias) * rows)[-arch.heads :],
            f"{key}.conv1d.bias": np.asarray(layer.conv_bias)
            * _scale(cartridge, (f"{key}.conv1d",))
            * conv_in,
            f"{key}.A_log": np.log(a),
            f"{key}.D": skip * scale["y"] / ACT,
        }
    if params.heads.hidden is not None:
        rows = _scale(cartridge, ("pre_head",)) * hidden
        found["pre_head.bias"] = np.asarray(params.heads.hidden.bias) * rows
        hidden = scales["pre_head"]
    for names, bias, code in (
        (NUMERIC, params.heads.numeric_bias, hidden),
        (BINARY, params.heads.binary_bias, hidden),
        (LOGITS, params.heads.logits.bias, hidden * 128),
    ):
        found |= _cut(cartridge, names, np.asarray(bias) * _scale(cartridge, names) * code)
    return found


def _scale(cartridge: Cartridge, names: tuple[str, ...]) -> np.ndarray:
    """(rows,) float64 of these layers' matrices, one below the other."""
    entries = (cartridge.entries[f"{name}.weight"] for name in names)
    return np.concatenate([np.broadcast_to(e.scales, e.shape[:1]) for e in entries])


def _cut(cartridge: Cartridge, names: tuple[str, ...], biases: np.ndarray) -> Tensors:
    """The biases of each of these heads."""
    ends = np.cumsum([cartridge.entries[f"{name}.weight"].shape[0] for name in names])
    return {f"{n}.bias": b for n, b in zip(names, np.split(biases, ends[:-1]), strict=True)}


def _factor(out: Requant) -> np.ndarray:
    """What a requantisation multiplies by."""
    return np.asarray(out.m) * 2.0 ** -(np.asarray(out.a, np.float64) + 15)


def _norm(norm: Norm, code: float) -> np.ndarray:
    w = np.asarray(norm.w, np.float64) * 2.0 ** -float(norm.shift)
    return w * code / UNIT_NORM / np.sqrt(len(w))
