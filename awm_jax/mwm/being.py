"""The being that has the mind: what it senses, and what others may quickly read of its mind.

Source: mwm.md section 7. Of the reference's hundred fields these are the ones that the Mental World
Model reads or writes, and the three that its packing looks for in vain there (W8).
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from awm_jax.mwm.config import MWMConfig
from awm_jax.mwm.features import FAR

if TYPE_CHECKING:
    from awm_jax.mwm.update import Network

log = logging.getLogger(__name__)
NEVER = 999.0
"""Age in seconds of what has never happened."""


@dataclasses.dataclass
class BeingState:
    """Attributes:
    mwm: a dumped `MentalWorldModelState`; the six `mwm_` fields after it are its quick access.
    game_world: world features, see `features.pack_gwm_features`.
    vision_core_latent: the visual latent, or None.
    game_state: health and so on, see `features.pack_self_features`.
    consciousness_phi, is_stuck, action_success_rate: confidence, whether the being gets nowhere,
      how often its actions worked; self features 5 to 7.
    """

    timestamp: float = dataclasses.field(default_factory=time.time)
    cycle_number: int = 0
    session_id: str | None = None
    game_state: dict[str, Any] = dataclasses.field(default_factory=dict)
    last_action: str | None = None
    current_goal: str | None = None
    consciousness_phi: float = 0.5
    is_stuck: bool = False
    action_success_rate: float = 0.5
    mwm: dict[str, Any] | None = None
    mwm_threat_perception: float = 0.0
    mwm_curiosity: float = 0.0
    mwm_value_estimate: float = 0.0
    mwm_surprise: float = 0.0
    mwm_confidence: float = 0.5
    mwm_timestamp: float = 0.0
    game_world: dict[str, Any] | None = None
    gwm_threat_level: float = 0.0
    gwm_num_enemies: int = 0
    gwm_nearest_enemy_distance: float = FAR
    gwm_best_cover_distance: float = FAR
    gwm_stealth_safety: float = 1.0
    gwm_loot_available: bool = False
    gwm_timestamp: float = 0.0
    vision_core_latent: Any = None
    vision_core_latent_prev: Any = None
    vision_prediction_surprise: float = 0.0
    vision_core_timestamp: float = 0.0

    def update_subsystem(
        self, name: str, values: Mapping[str, Any], now: float | None = None
    ) -> None:
        """Set `<name>_timestamp` and each field `<name>_<key>` that there is."""
        setattr(self, f"{name}_timestamp", time.time() if now is None else now)
        for key, value in values.items():
            if hasattr(self, f"{name}_{key}"):
                setattr(self, f"{name}_{key}", value)

    def get_subsystem_age(self, name: str, now: float | None = None) -> float:
        """Seconds since the subsystem's last update, 999 when there was none."""
        at = getattr(self, f"{name}_timestamp", 0.0)
        return (time.time() if now is None else now) - at if at else NEVER

    def is_subsystem_fresh(self, name: str, max_age: float = 5.0, now: float | None = None) -> bool:
        return self.get_subsystem_age(name, now) < max_age

    def get_subsystem_data(self, name: str, now: float | None = None) -> dict[str, Any]:
        """All fields of a subsystem but its timestamp, with `age` and `is_fresh`."""
        prefix = f"{name}_"
        data = {k.removeprefix(prefix): v for k, v in vars(self).items() if k.startswith(prefix)}
        data.pop("timestamp", None)
        age = self.get_subsystem_age(name, now)
        return data | {"age": age, "is_fresh": self.is_subsystem_fresh(name, now=now)}

    def export_snapshot(self, now: float | None = None) -> dict[str, Any]:
        """What others may see of this being: its section `mental_world_model`."""
        mind = {
            "has_state": self.mwm is not None,
            "threat_perception": self.mwm_threat_perception,
            "curiosity": self.mwm_curiosity,
            "value_estimate": self.mwm_value_estimate,
            "surprise": self.mwm_surprise,
            "confidence": self.mwm_confidence,
            "mwm_age": self.get_subsystem_age("mwm", now),
        }
        return {
            "timestamp": self.timestamp,
            "cycle_number": self.cycle_number,
            "mental_world_model": mind,
        }


def update_being_state_mwm(
    being_state: Any,
    mwm_module: Network,
    device: Any = None,
    *,
    config: MWMConfig | None = None,
    now: float | None = None,
) -> bool:
    """Update a being's mind from what it senses, and all six quick-access fields (W9).

    Args:
      being_state: a `BeingState`, or anything with its fields; changed in place, or not at all.
      device: a `jax.Device`; None for the one that `config` names.
      config: `enabled`, `use_gwm`, `use_iwm` and `update_every_n_cycles` are honoured.
      now: the time of the update; the wall clock by default.

    Returns:
      Whether it was updated: False where the configuration switches it off or skips this cycle.

    Raises:
      AwmError: names what is wrong with an input; the being keeps its old mind.
    """
    from awm_jax.mwm.types import MentalWorldModelState
    from awm_jax.mwm.update import update_mwm_from_inputs

    config = MWMConfig() if config is None else config
    if not config.enabled:
        log.info("the Mental World Model is switched off (mwm.enabled): nothing was updated")
    if not config.due(getattr(being_state, "cycle_number", 0)):
        return False
    now = time.time() if now is None else now
    before = being_state.mwm
    state = update_mwm_from_inputs(
        MentalWorldModelState(**before) if before else MentalWorldModelState(),
        being_state.game_world if config.use_gwm else None,
        being_state.vision_core_latent if config.use_iwm else None,
        being_state,
        mwm_module,
        config.jax_device() if device is None else device,
        now=now,
    )
    affect, own = state.affect, state.self_state
    being_state.mwm = state.model_dump()
    being_state.mwm_threat_perception = affect.threat if affect else 0.0
    being_state.mwm_curiosity = affect.curiosity if affect else 0.0
    being_state.mwm_value_estimate = affect.value_estimate if affect else 0.0
    being_state.mwm_surprise = affect.surprise if affect else 0.0
    being_state.mwm_confidence = own.confidence if own else 0.5
    being_state.mwm_timestamp = now
    return True
