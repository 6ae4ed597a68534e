"""What a checkpoint is, for people and for programs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from awm_jax.encoding import EncodingConfig
from converters.checkpoint import Checkpoint

GROUPS = ("layers", "embeddings", "heads", "projections")
NAMES = {"mamba2": "Mamba2 world model", "mlp": "MLP world model", "policy": "policy (agent)"}


def group(key: str) -> str:
    """The part of the network that a state-dict key belongs to (networks.md 3.1)."""
    if key.startswith("layers."):
        return "layers"
    if key.endswith("_embed.weight"):
        return "embeddings"
    return "heads" if key.split(".")[0].endswith("_head") else "projections"


def summarize(checkpoint: Checkpoint) -> dict[str, Any]:
    """Architecture, sizes, flags, parameters and origin as JSON types."""
    config = checkpoint.config
    default = EncodingConfig().to_dict()
    tensors = checkpoint.state_dict()
    counts: dict[str, int] = dict.fromkeys(GROUPS, 0)
    for key, tensor in tensors.items():
        counts[group(key)] += int(np.prod(tensor.shape))
    sizes = {
        "floats_per_frame": config.float_per_frame,
        "ints_per_frame": config.int_per_frame,
        "frame_vector": config.frame_dim,
    }
    if checkpoint.arch != "policy":
        sizes["controller"] = config.ctrl_conditioning_dim
    return {
        "arch": checkpoint.arch,
        "context_len": checkpoint.context_len,
        "dims": checkpoint.dims,
        "sizes": sizes,
        "variant": dataclasses.asdict(checkpoint.variant),
        "not_default": {k: v for k, v in config.to_dict().items() if v != default[k]},
        "tensors": len(tensors),
        "parameters": {"total": sum(counts.values()), **{k: n for k, n in counts.items() if n}},
        "encoding_config": config.to_dict(),
        "provenance": checkpoint.provenance.to_dict(),
    }


def headline(checkpoint: Checkpoint) -> str:
    """One line: Mamba2 world model 384/64/4/64, context 10, 4,347,748 parameters."""
    total = summarize(checkpoint)["parameters"]["total"]
    dims = "/".join(map(str, checkpoint.dims.values()))
    length = checkpoint.context_len
    return f"{NAMES[checkpoint.arch]} {dims}, context {length}, {total:,} parameters"


def describe(summary: dict[str, Any]) -> str:
    """A summary as aligned lines."""
    parameters = dict(summary["parameters"])
    total = parameters.pop("total")
    provenance = summary["provenance"]
    rows = {
        "architecture": NAMES[summary["arch"]],
        "widths": _pairs(summary["dims"]),
        "context": f"{summary['context_len']} frames",
        "frame": _pairs(summary["sizes"]),
        "flags": _pairs(summary["not_default"]) or "all default",
        "variant": _pairs({k: v for k, v in summary["variant"].items() if v}) or "none",
        "parameters": f"{total:,} in {summary['tensors']} tensors",
        "of these": ", ".join(f"{name} {count:,}" for name, count in parameters.items()),
        "source": f"{provenance['source']} ({provenance['form']} format)",
        "sha256": provenance["sha256"],
        "weights": provenance["weights_sha256"],
        "read by": ", ".join(f"{k} {v}" for k, v in provenance["versions"].items()),
    }
    rows |= {f"note {i}": note for i, note in enumerate(provenance["notes"], 1)}
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
