"""Where the golden vectors and the replays lie, and how their weights are made."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_SHARED = Path(__file__).resolve().parents[3] / "shared"


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable) or _SHARED / default)
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent (set ${variable})")
    return folder


def golden_dir(part: str = "") -> Path:
    """Folder of the golden vectors (`$AWM_GOLDEN`), or of one part of them; skips where absent."""
    return _folder("AWM_GOLDEN", "golden") / part


def replays_dir() -> Path:
    """Folder of the packed replays (`$AWM_REPLAYS`); skips where absent."""
    return _folder("AWM_REPLAYS", "replays")


@functools.cache
def load_json(path: Path) -> Any:
    return json.loads(path.read_text())


@functools.cache
def load_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz, as a dict."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def seeded_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """State-dict weights of golden/torch: a rule per key over one PCG64 stream (its README)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = {}
    for key in sorted(shapes):
        shape = tuple(shapes[key])
        u = rng.random(shape)
        c = (2 * u - 1) * np.sqrt(3)
        if key.endswith("A_log"):
            value = np.log(1 + 15 * u)
        elif key.endswith("dt_bias"):
            value = -4 + 5 * u
        elif key.endswith(".D") or key.endswith("norm.weight"):
            value = 1 + 0.1 * c
        elif key.endswith("_embed.weight") or key.endswith("conv1d.weight"):
            value = 0.5 * c
        elif key.endswith(".bias"):
            value = 0.1 * c
        else:
            value = c / np.sqrt(shape[1])
        weights[key] = value.astype(np.float32)
    return weights
