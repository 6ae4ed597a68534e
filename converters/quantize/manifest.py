"""The reference's manifest.json: what lies where in weights_int8.bin, and how exact it is.

Key order and text are the reference's. Source: networks.md 3.1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from converters.quantize.weights import PEAK_FLOOR, QMAX, Quantized, QuantizedTensor

GROUPS = ("layer_weights", "embeddings", "projections", "heads")
SHARD_SIZE = 4 << 20
SHARD_ALIGNMENT = 4096


def make_manifest(
    quantized: Quantized,
    *,
    encoding_config: Mapping[str, Any] | None = None,
    context_len: int | None = None,
) -> dict[str, Any]:
    """The manifest of a quantised network, keys in the reference's order.

    Args:
      quantized: from `quantize_state_dict`.
      encoding_config: `EncodingConfig.to_dict()`; left out where None.
      context_len: frames of context; left out where None.

    Raises:
      AwmError: the keys or shapes are of none of the three networks.
    """
    fields = weight_fields(quantized)
    manifest = {"format": f"{fields['architecture']['model_type']}_int8_v1", **fields}
    if encoding_config is not None:
        manifest["encoding_config"] = dict(encoding_config)
    if context_len is not None:
        manifest["context_len"] = context_len
    return manifest


def weight_fields(quantized: Quantized) -> dict[str, Any]:
    """The part of the manifest that tells of the weights alone; a cartridge has it too.

    Returns:
      architecture, total_weight_bytes, shard_map, weights and error_summary.

    Raises:
      AwmError: the keys or shapes are of none of the three networks.
    """
    tensors = quantized.tensors.values()
    weights: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for tensor in tensors:
        weights[classify(tensor.key)][tensor.key] = _entry(tensor)
    return {
        "architecture": architecture({tensor.key: tensor.q.shape for tensor in tensors}),
        "total_weight_bytes": quantized.size,
        "shard_map": shard_map(quantized.size),
        "weights": weights,
        "error_summary": _error_summary([t.error.snr_db for t in tensors if t.q.ndim > 1]),
    }


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """The text of manifest.json: indent 2, no newline at the end.

    Figures that are not finite are written `NaN`, `Infinity` and `-Infinity`, as the reference
    does, though strict JSON has no such words.
    """
    return json.dumps(manifest, indent=2)


def architecture(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Type and widths of a network, from the shapes of its state dict.

    Raises:
      AwmError: the keys are of none of the three networks, or a key that tells a width is absent
        or misshapen.
    """
    try:
        if any("layers.0.mamba" in key for key in shapes):
            return _mamba2(shapes)
        if any(key.startswith("trunk.") for key in shapes):
            return _mlp(shapes)
        if any(key.startswith("latent_update.") for key in shapes):
            return _mind(shapes)
    except KeyError as error:
        raise AwmError(f"weight {error.args[0]} is missing") from error
    except ValueError as error:
        raise AwmError("the shapes of the weights fit none of the three networks") from error
    raise AwmError("no weight of layers.0.mamba or trunk: neither mamba2, nor mlp, nor policy")


def _mamba2(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    d_model, d_inner = shapes["layers.0.mamba.out_proj.weight"]
    channels, _, _ = shapes["layers.0.mamba.conv1d.weight"]
    (nheads,) = shapes["layers.0.mamba.A_log"]
    return {
        "model_type": "mamba2",
        "d_model": d_model,
        "d_inner": d_inner,
        "d_state": (channels - d_inner) // 2,
        "n_layers": len({key.split(".")[1] for key in shapes if key.startswith("layers.")}),
        "nheads": nheads,
        "headdim": d_inner // nheads,
    }


def _mlp(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    hidden_dim, _ = shapes["trunk.0.weight"]
    trunk_dim, _ = shapes["trunk.3.weight"]
    policy = any("analog_head" in key for key in shapes)
    model_type = "policy" if policy else "mlp"
    return {"model_type": model_type, "hidden_dim": hidden_dim, "trunk_dim": trunk_dim}


def _mind(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    _, latent_dim = shapes["latent_update.weight_hh"]
    return {"model_type": "mwm", "latent_dim": latent_dim}


def classify(key: str) -> str:
    """Which of `GROUPS` a tensor belongs to."""
    if key.startswith("layers."):
        return "layer_weights"
    if key.endswith("_embed.weight"):
        return "embeddings"
    if key.endswith(("_head.weight", "_head.bias")):
        return "heads"
    return "projections"


def shard_map(total: int) -> dict[str, Any]:
    """How `total` bytes of weights are cut into accounts of about 4 MiB.

    Inner boundaries are multiples of 4,096; 0 bytes have no shard.
    """
    count = -(-total // SHARD_SIZE)
    inner = [-(-(i * total // count) // SHARD_ALIGNMENT) for i in range(1, count)]
    bounds = [0, *(unit * SHARD_ALIGNMENT for unit in inner), total]
    shards = [
        {"index": i, "offset": bounds[i], "size": bounds[i + 1] - bounds[i]} for i in range(count)
    ]
    return {"num_shards": count, "shards": shards}


def layout(shape: tuple[int, ...], offset: int) -> dict[str, Any]:
    """The part of a tensor's entry that follows from its shape and where it starts."""
    size = math.prod(shape)
    fields: dict[str, Any] = {"offset": offset, "size": size, "shape": list(shape)}
    if len(shape) == 3:
        fields["original_shape_3d"] = list(shape)
        fields["reshaped_2d"] = [shape[0], size // shape[0]]
    kind = "per_tensor_symmetric" if len(shape) == 1 else "per_channel_symmetric"
    return fields | {"quantization": kind}


def _entry(tensor: QuantizedTensor) -> dict[str, Any]:
    entry = layout(tensor.q.shape, tensor.offset)
    if tensor.q.ndim > 1:
        entry["scales"] = tensor.scales.tolist()
    else:
        # The floor of a vector's scale is a double in the reference; of a row's it is not.
        floor = tensor.scales == np.float32(PEAK_FLOOR / QMAX)
        entry["scale"] = PEAK_FLOOR / QMAX if floor else float(tensor.scales)
    return entry | {"snr_db": tensor.error.snr_db, "error": tensor.error.to_dict()}


def _error_summary(snrs: list[float]) -> dict[str, Any]:
    with np.errstate(invalid="ignore"):
        mean = float(np.mean(snrs))
    return {
        "num_2d_weights": len(snrs),
        "mean_snr_db": mean,
        "min_snr_db": min(snrs),
        "max_snr_db": max(snrs),
    }
