"""The configuration block `mwm:` of the guide, and what it does. Source: mwm.md section 10."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from awm_jax.errors import AwmError
from awm_jax.mwm.features import IWM_DIM


@dataclasses.dataclass(frozen=True)
class MWMConfig:
    """Attributes:
    enabled: False: an update changes nothing and says so.
    latent_dim: width of the latent; a checkpoint of another one is refused.
    device: what the network runs on, as `jax.devices` names it: "cpu", "gpu", "cuda:0"; "auto" is
      JAX's own choice, which is also taken where the named one is absent.
    use_iwm, use_gwm: False: that input is zeros.
    checkpoint_path: the network; None is a fresh one with random weights.
    update_every_n_cycles: update when `cycle_number` is a multiple of it.
    log_training_data, training_log_file: append what was seen and done to this JSONL file.
    mwm_weight, heuristic_weight: of both scores when an action is chosen.
    """

    enabled: bool = True
    latent_dim: int = 256
    device: str = "auto"
    use_iwm: bool = True
    use_gwm: bool = True
    checkpoint_path: str | None = None
    update_every_n_cycles: int = 1
    log_training_data: bool = False
    training_log_file: str = "logs/mwm_training.jsonl"
    iwm_dim: int = IWM_DIM
    mwm_weight: float = 0.4
    heuristic_weight: float = 0.6

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kinds = {"bool": bool, "int": int, "float": (int, float), "str": str}
            if field.type == "str | None":
                fits = value is None or isinstance(value, str)
            else:
                fits = isinstance(value, kinds[str(field.type)])
                fits &= isinstance(value, bool) == (field.type == "bool")
            if not fits:
                raise AwmError(f"mwm.{field.name} is {value!r}, not {field.type}")
        for name in ("latent_dim", "iwm_dim", "update_every_n_cycles"):
            if getattr(self, name) < 1:
                raise AwmError(f"mwm.{name} is {getattr(self, name)}, must be 1 or more")

    @classmethod
    def of(cls, block: Mapping[str, Any] | None) -> MWMConfig:
        """The configuration of a parsed YAML or JSON document: its block `mwm`, or that block.

        Raises:
          AwmError: names the setting that is unknown or has a wrong type or range.
        """
        block = {} if block is None else block
        block = block.get("mwm", block)
        if not isinstance(block, Mapping):
            raise AwmError(f"mwm is a {type(block).__name__}, not a block of settings")
        known = {field.name for field in dataclasses.fields(cls)}
        for name in block:
            if name not in known:
                raise AwmError(f"mwm.{name} is no setting; there are: {', '.join(sorted(known))}")
        return cls(**block)

    def due(self, cycle_number: int) -> bool:
        """Whether a being is updated in this cycle."""
        return self.enabled and cycle_number % self.update_every_n_cycles == 0

    def jax_device(self) -> Any:
        """The `jax.Device` of `device`, or None for JAX's own choice."""
        import jax

        kind, _, number = self.device.partition(":")
        if kind == "auto":
            return None
        try:
            found = jax.devices(kind)
        except RuntimeError:
            return None
        index = int(number) if number.isdecimal() else 0
        return found[index] if index < len(found) else found[0]
