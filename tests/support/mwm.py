"""The Mental World Model's golden weights, and its network in PyTorch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from awm_jax.mwm.network import MentalWorldModelModule, Mind
from awm_jax.mwm.weights import from_torch_dict, torch_shapes
from support.golden import golden_dir, load_json

SETS = {"d256": "A", "d256_sat": "B", "d8": "S", "d8_iwm768": "D"}


def recipe(latent: int, visual: int, seed: int, scale: float) -> dict[str, np.ndarray]:
    """Weights by the rule of golden/mwm/README.md."""
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = {}
    shapes = torch_shapes(latent, visual)
    for key in sorted(shapes):
        value = rng.standard_normal(shapes[key]) * scale
        weights[key] = (value + 1.0 if key.endswith(".1.weight") else value).astype(np.float32)
    return weights


@functools.cache
def golden_weights(name: str) -> dict[str, np.ndarray]:
    """Weight set A, B, S or D."""
    spec = load_json(golden_dir("mwm") / "weights.json")[name]
    return recipe(spec["latent_dim"], spec["iwm_dim"], spec["seed"], spec["scale"])


@functools.cache
def golden_module(name: str) -> MentalWorldModelModule:
    return from_torch_dict(golden_weights(name))


@functools.cache
def golden_mind(name: str) -> Mind:
    return Mind.of(golden_module(name))


@functools.cache
def small_mind(latent: int = 8, visual: int = 4, scaled: bool = False) -> Mind:
    return Mind.of(from_torch_dict(recipe(latent, visual, 1, 0.2), scaled=scaled))


def numbers(value: Any) -> Any:
    """JSON with "NaN", "Infinity" and "-Infinity" as the numbers they stand for."""
    if isinstance(value, list):
        return [numbers(v) for v in value]
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value


def torch_module(weights: dict[str, np.ndarray]) -> Any:
    """The same network in PyTorch, with these weights, in eval mode."""
    import torch
    from torch import nn

    def mlp(name: str) -> nn.Sequential:
        hidden, inside = weights[f"{name}.0.weight"].shape
        outside = weights[f"{name}.4.weight"].shape[0]
        return nn.Sequential(
            nn.Linear(inside, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(hidden, outside),
        )

    def cell(name: str) -> nn.GRUCell:
        return nn.GRUCell(
            weights[f"{name}.weight_ih"].shape[1], weights[f"{name}.weight_hh"].shape[1]
        )

    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            names = dict.fromkeys(key.split(".")[0] for key in weights)
            for name in names:
                make = cell if name in ("latent_update", "dynamics") else mlp
                self.add_module(name, make(name))

        def forward(self, z_prev: Any, gwm: Any, iwm: Any, own: Any, action: Any) -> Any:
            parts = [self.gwm_encoder(gwm), self.iwm_encoder(iwm), self.self_encoder(own)]
            z = self.latent_update(torch.cat(parts, dim=-1), z_prev)
            z_hat = self.dynamics(self.action_encoder(action), z)
            names = ("world_decoder", "self_decoder", "affect_decoder")
            return z, [getattr(self, name)(z) for name in names], z_hat

    twin = Twin()
    twin.load_state_dict({key: torch.tensor(value) for key, value in weights.items()})
    return twin.eval()
