"""The Mental World Model: encode what is seen, imagine what an action would do, feel about it.

Nothing is imported before it is used; the types and what makes them need the extra `mwm`.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "being": ("BeingState", "update_being_state_mwm"),
    "choose": (
        "Action",
        "combine",
        "heuristic_score",
        "hypothesize",
        "imagine",
        "modulated",
        "plan",
        "score_action_with_mwm",
        "score_actions_with_mwm",
        "select_action",
        "trait_bonus",
    ),
    "config": ("MWMConfig",),
    "features": (
        "ACTION_NAMES",
        "gwm_mask",
        "pack_action_features",
        "pack_gwm_features",
        "pack_iwm_latent",
        "pack_self_features",
        "scale_gwm",
        "unscale_gwm",
    ),
    "network": ("MentalWorldModelModule", "Mind"),
    "slices": ("decode_affect_slice", "decode_self_slice", "decode_world_slice"),
    "training.losses": ("MWMLoss",),
    "types": (
        "AffectSlice",
        "CapabilityProfile",
        "Hypothesis",
        "HypothesisSlice",
        "MemoryProfile",
        "MentalWorldModelState",
        "PersonModel",
        "SelfSlice",
        "TraitProfile",
        "WorldSlice",
    ),
    "update": (
        "Beings",
        "predict_action_outcome",
        "surprise",
        "update_beings",
        "update_mwm_from_inputs",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
