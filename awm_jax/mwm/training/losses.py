"""The losses. Source: mwm.md section 9."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from awm_jax.mwm.network import Decoded


def mean_square(found: jax.Array, wanted: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Mean squared error; with a mask (broadcast to `found`) over what it keeps."""
    error = jnp.square(found - wanted)
    if mask is None:
        return jnp.mean(error)
    return jnp.sum(error * mask) / jnp.maximum(jnp.sum(mask), jnp.ones((), mask.dtype))


@dataclasses.dataclass(frozen=True)
class MWMLoss:
    """Reconstruction, next step and affect, each a mean square times its weight."""

    recon_weight: float = 1.0
    pred_weight: float = 1.0
    affect_weight: float = 1.0

    def __call__(
        self,
        decoded: Decoded,
        targets: Mapping[str, jax.Array],
        z_pred: jax.Array | None = None,
        z_target: jax.Array | None = None,
        masks: Mapping[str, jax.Array] | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The total and its parts, unweighted; a target that is absent leaves its part out.

        Args:
          targets: `world` (*b, 16), `self` (*b, 8), `affect` (*b, 4).
          z_pred, z_target: (*b, D) the imagined latent and the one that came; the gradient is not
            stopped here.
          masks: 0 where a target means nothing.
        """
        masks = masks or {}
        names = {"world": "recon_world", "self": "recon_self", "affect": "affect"}
        parts = {
            part: mean_square(getattr(decoded, name), targets[name], masks.get(name))
            for name, part in names.items()
            if name in targets
        }
        if z_pred is not None and z_target is not None:
            parts["pred_latent"] = mean_square(z_pred, z_target)
        weights = {"pred_latent": self.pred_weight, "affect": self.affect_weight}
        total = jnp.zeros((), decoded.affect.dtype)
        for part, value in parts.items():
            total = total + weights.get(part, self.recon_weight) * value
        return total, parts | {"total": total}
