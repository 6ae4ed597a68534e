"""Learning a mind from steps: what `awm_jax.train.trainer` needs to know (the extra `train`).

Windows are unrolled from a latent of zero, which begins anew where steps do not follow one another.
Every part of the network gets a gradient: the recurrent weights because latents are carried, the
action encoder and the dynamics because the imagined latent is compared with the one that came, and
decoded and compared with what was then seen and felt (W2).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.mwm.features import AFFECT_NAMES, gwm_mask, scale_gwm
from awm_jax.mwm.network import Decoded, MentalWorldModelModule, Mind
from awm_jax.mwm.training.losses import mean_square
from awm_jax.mwm.training.steps import Steps
from awm_jax.mwm.weights import to_torch_dict

WEIGHTS, SIDECAR = "mind.safetensors", "mind.json"
SURPRISE = AFFECT_NAMES.index("surprise")
JUDGED_WINDOWS = 64


@dataclasses.dataclass(frozen=True)
class MindConfig:
    """Attributes:
    window: steps of a window. batch: windows a step of the optimiser.
    recon_weight, pred_weight, affect_weight: of the three kinds of loss.
    """

    latent_dim: int = 256
    iwm_dim: int = 768
    window: int = 16
    batch: int = 32
    recon_weight: float = 1.0
    pred_weight: float = 1.0
    affect_weight: float = 1.0
    dropout: bool = True
    seed: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class MindJob:
    """A `trainer.Job`.

    Attributes:
      begin: the mind to go on from; None for a new one.
    """

    config: MindConfig
    steps: Steps
    valid: Steps
    begin: Mind | None = None

    def __post_init__(self) -> None:
        for part in (self.steps, self.valid):
            if len(part) < self.config.window:
                raise AwmError(
                    f"{len(part)} steps are fewer than a window of {self.config.window}; "
                    "give more data or a shorter window"
                )
            if part.iwm is not None and part.iwm.shape[1] != self.config.iwm_dim:
                raise AwmError(f"visual latents have {part.iwm.shape[1]} numbers, not iwm_dim")

    @property
    def settings(self) -> dict[str, Any]:
        sizes = {"steps": len(self.steps), "valid": len(self.valid)}
        return {"arch": "mwm", "mind": dataclasses.asdict(self.config), "data": sizes}

    def new(self) -> Mind:
        model = MentalWorldModelModule(
            self.config.latent_dim,
            iwm_dim=self.config.iwm_dim,
            scaled=True,
            rngs=nnx.Rngs(self.config.seed),
        )
        return Mind.of(model)

    def init(self) -> tuple[jax.Array, ...]:
        if self.begin is None:
            return self.new().params
        return tuple(jnp.array(p, copy=True) for p in self.begin.params)  # a run changes its own

    def carry(self) -> jax.Array:
        return jax.random.key_data(jax.random.key(self.config.seed))

    def place(self) -> dict[str, np.ndarray]:
        return {}

    def phase(self, step: int) -> int:
        return 0

    def batch(
        self, step: int, place: dict[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        rng = np.random.default_rng([self.config.seed, step])
        starts = rng.integers(0, len(self.steps) - self.config.window + 1, self.config.batch)
        return windows(self.steps, starts, self.config.window), place

    def loss(
        self, params: Any, carry: jax.Array, batch: dict[str, jax.Array], phase: int
    ) -> tuple[jax.Array, tuple[jax.Array, dict[str, jax.Array]]]:
        key, now = jax.random.split(jax.random.wrap_key_data(carry))
        mind = self._abstract().replace(params)
        total, parts = window_loss(mind, batch, self.config, now if self.config.dropout else None)
        return total, (jax.random.key_data(key), parts)

    def _abstract(self) -> Mind:
        found = self.__dict__.get("_kept")
        if found is None:
            found = self.new()
            object.__setattr__(self, "_kept", found)
        return found

    def judge(self, params: Any) -> dict[str, float]:
        last = len(self.valid) - self.config.window
        starts = np.linspace(0, last, min(JUDGED_WINDOWS, last + 1)).astype(int)
        batch = windows(self.valid, starts, self.config.window)
        total, parts = _judge(self._abstract().replace(params), batch, self.config)
        return {f"valid_{name}": float(v) for name, v in (parts | {"loss": total}).items()}

    def export(self, params: Any, folder: Path, note: dict[str, Any]) -> None:
        """`mind.safetensors` and `mind.json`, as `converters.load_mwm` reads them."""
        from safetensors.numpy import save

        model = self._abstract().replace(tuple(params)).module()
        write_atomically(folder / WEIGHTS, save(to_torch_dict(model)))
        sidecar = {"arch": "mwm", "dims": model.dims, "scaled": True, "provenance": note}
        write_atomically(folder / SIDECAR, json.dumps(sidecar, indent=2) + "\n")


def windows(steps: Steps, starts: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Windows (T, B, ...) of steps, time first."""
    rows = starts[None] + np.arange(length)[:, None]
    scaled = scale_gwm(steps.gwm[rows])
    found = {"gwm": scaled, "own": steps.own[rows], "action": steps.action[rows]}
    found |= {"affect": steps.affect[rows], "link": steps.link[rows].astype(np.float32)}
    return found if steps.iwm is None else found | {"iwm": steps.iwm[rows]}


def window_loss(
    mind: Mind, batch: dict[str, jax.Array], config: MindConfig, key: jax.Array | None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """All losses over windows (T, B, ...), see the module; the total and its parts.

    Args:
      key: of dropout; None switches it off.
    """
    batch = {name: jnp.asarray(value) for name, value in batch.items()}
    model = mind.module()
    length, count = batch["link"].shape
    keys = None if key is None else jax.random.split(key, length)

    def step(before: tuple[jax.Array, jax.Array], x: Any) -> tuple[Any, Any]:
        z, link = before
        now, key = x
        sub = [None] * 4 if key is None else list(jax.random.split(key, 4))
        z = model.encode(z * link[:, None], now["gwm"], now.get("iwm"), now["own"], sub[0])
        z_hat = model.predict(z, now["action"], sub[1])
        said = model.decode(z, sub[2]), model.decode(z_hat, sub[3])
        return (z, now["link"]), (z, z_hat, *said)

    start = jnp.zeros((count, mind.latent_dim)), jnp.zeros(count)
    _, (z, z_hat, seen, imagined) = jax.lax.scan(step, start, (batch, keys))
    parts = _parts(batch, z, z_hat, seen, imagined)
    weights = {"recon": config.recon_weight, "pred": config.pred_weight}
    weights["affect"] = config.affect_weight
    total = jnp.zeros(())
    for name, value in parts.items():
        total = total + weights[name.partition("_")[0]] * value
    return total, parts


def _parts(
    batch: dict[str, jax.Array], z: jax.Array, z_hat: jax.Array, seen: Decoded, imagined: Decoded
) -> dict[str, jax.Array]:
    link = batch["link"][:-1, :, None]
    mask = gwm_mask(batch["gwm"])
    came = jax.lax.stop_gradient(z[1:])
    error = jnp.sqrt(jnp.mean(jnp.square(jax.lax.stop_gradient(z_hat[:-1]) - came), axis=-1))
    known = jnp.ones_like(batch["affect"]).at[0, :, SURPRISE].set(0.0)
    known = known.at[1:, :, SURPRISE].set(batch["link"][:-1])
    felt = batch["affect"].at[1:, :, SURPRISE].set(error)
    ahead = jnp.ones_like(felt[1:]).at[..., SURPRISE].set(0.0)
    return {
        "recon_world": mean_square(seen.world, batch["gwm"], mask),
        "recon_self": mean_square(seen.self, batch["own"]),
        "pred_latent": mean_square(z_hat[:-1], came, jnp.broadcast_to(link, came.shape)),
        "pred_world": mean_square(imagined.world[:-1], batch["gwm"][1:], mask[1:] * link),
        "pred_self": mean_square(
            imagined.self[:-1], batch["own"][1:], jnp.broadcast_to(link, batch["own"][1:].shape)
        ),
        "affect_seen": mean_square(seen.affect, felt, known),
        "affect_imagined": mean_square(imagined.affect[:-1], felt[1:], ahead * link),
    }


def _judge_windows(
    mind: Mind, batch: dict[str, jax.Array], config: MindConfig
) -> tuple[jax.Array, dict[str, jax.Array]]:
    return window_loss(mind, batch, config, None)


_judge = jax.jit(_judge_windows, static_argnums=2)
