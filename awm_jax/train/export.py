"""Trained networks as files that `awm-convert` and `awm play` read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from awm_jax.files import write_atomically
from awm_jax.fp32.weights import to_torch_dict


def write_checkpoint(model: Any, folder: Path, name: str, **more: Any) -> None:
    """Write `name`.safetensors and its settings, `name`.json.

    Args:
      model: a network of `awm_jax.fp32`.
      more: further keys of the settings, such as `provenance`.
    """
    from safetensors.numpy import save

    settings = {
        "arch": model.arch,
        "dims": model.dims,
        "encoding_config": model.cfg.to_dict(),
        "context_len": model.context_len,
        **more,
    }
    write_atomically(folder / f"{name}.safetensors", save(to_torch_dict(model)))
    write_atomically(folder / f"{name}.json", json.dumps(settings, indent=2) + "\n")
