"""The network of the Mental World Model in Flax NNX. Source: mwm.md section 2.

Shapes: `*b` any batch axes, D the latent's width, V the visual latent's.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from awm_jax.fp32.layers import broadcast_last, linear, uniform
from awm_jax.mwm.features import ACTION_DIM, AFFECT_DIM, GWM_DIM, IWM_DIM, SELF_DIM
from awm_jax.pytree import pytree, static

LAYER_NORM_EPS = 1e-5
DROPOUT = 0.1
HIDDEN = {
    "gwm_encoder": 128,
    "iwm_encoder": 512,
    "self_encoder": 64,
    "action_encoder": 64,
    "world_decoder": 128,
    "self_decoder": 64,
    "affect_decoder": 64,
}


class Decoded(NamedTuple):
    """What a latent says, in raw numbers: world (*b, 16), self (*b, 8), affect (*b, 4)."""

    world: jax.Array
    self: jax.Array
    affect: jax.Array


class MLP(nnx.Module):
    """Linear, layer norm, ReLU, dropout, linear."""

    def __init__(self, in_features: int, hidden: int, out_features: int, *, rngs: nnx.Rngs):
        self.hidden = linear(in_features, hidden, rngs=rngs)
        self.norm = nnx.LayerNorm(
            hidden, epsilon=LAYER_NORM_EPS, use_fast_variance=False, rngs=rngs
        )
        self.out = linear(hidden, out_features, rngs=rngs)

    def __call__(self, x: jax.Array, dropout: jax.Array | None = None) -> jax.Array:
        """dropout: a key while training; None switches it off (W19)."""
        h = jax.nn.relu(self.norm(self.hidden(x)))
        if dropout is not None:
            kept = jax.random.bernoulli(dropout, 1 - DROPOUT, h.shape)
            h = jnp.where(kept, h / (1 - DROPOUT), jnp.zeros_like(h))
        return self.out(h)


class GRUCell(nnx.Module):
    """torch's GRU cell, gates in the order r, z, n; the recurrent bias of n lies inside its gate
    (`nnx.GRUCell` has no such bias)."""

    def __init__(self, in_features: int, width: int, *, rngs: nnx.Rngs):
        init = uniform(1 / math.sqrt(width))
        self.kernel_in = nnx.Param(init(rngs.params(), (in_features, 3 * width)))
        self.kernel_state = nnx.Param(init(rngs.params(), (width, 3 * width)))
        self.bias_in = nnx.Param(init(rngs.params(), (3 * width,)))
        self.bias_state = nnx.Param(init(rngs.params(), (3 * width,)))

    def __call__(self, x: jax.Array, h: jax.Array) -> jax.Array:
        """x (*b, in), h (*b, width) -> the new h (*b, width)."""
        gi = x @ self.kernel_in[...]
        gh = h @ self.kernel_state[...]
        gi = gi + broadcast_last(self.bias_in[...], gi)
        gh = gh + broadcast_last(self.bias_state[...], gh)
        r_i, z_i, n_i = jnp.split(gi, 3, axis=-1)
        r_h, z_h, n_h = jnp.split(gh, 3, axis=-1)
        r, z = jax.nn.sigmoid(r_i + r_h), jax.nn.sigmoid(z_i + z_h)
        n = jnp.tanh(n_i + r * n_h)
        return (1 - z) * n + z * h


class MentalWorldModelModule(nnx.Module):
    """Encode what is seen into a latent, imagine the next latent for an action, decode a latent.

    Attributes:
      latent_dim: D.
      iwm_dim: V.
      scaled: the network looks at scaled world features (`features.scale_gwm`) and decodes such;
        False for the reference's networks, which look at metres, degrees and counts.
    """

    def __init__(
        self,
        latent_dim: int = 256,
        *,
        iwm_dim: int = IWM_DIM,
        scaled: bool = False,
        rngs: nnx.Rngs,
    ):
        d = latent_dim
        self.latent_dim, self.iwm_dim, self.scaled = latent_dim, iwm_dim, scaled

        def mlp(name: str, in_features: int, out_features: int) -> MLP:
            return MLP(in_features, HIDDEN[name], out_features, rngs=rngs)

        self.gwm_encoder = mlp("gwm_encoder", GWM_DIM, d)
        self.iwm_encoder = mlp("iwm_encoder", iwm_dim, d)
        self.self_encoder = mlp("self_encoder", SELF_DIM, d)
        self.latent_update = GRUCell(3 * d, d, rngs=rngs)
        self.action_encoder = mlp("action_encoder", ACTION_DIM, d)
        self.dynamics = GRUCell(d, d, rngs=rngs)
        self.world_decoder = mlp("world_decoder", d, GWM_DIM)
        self.self_decoder = mlp("self_decoder", d, SELF_DIM)
        self.affect_decoder = mlp("affect_decoder", d, AFFECT_DIM)

    @property
    def dims(self) -> dict[str, int]:
        return {"latent_dim": self.latent_dim, "iwm_dim": self.iwm_dim}

    def encode(
        self,
        z_prev: jax.Array,
        gwm: jax.Array,
        iwm: jax.Array | None,
        own: jax.Array,
        dropout: jax.Array | None = None,
    ) -> jax.Array:
        """z_prev (*b, D), gwm (*b, 16), iwm (*b, V), own (*b, 8) -> z (*b, D).

        iwm None is zeros, which are then embedded once for the whole batch.
        """
        keys = [None] * 3 if dropout is None else jax.random.split(dropout, 3)
        if iwm is None:
            row = self.iwm_encoder(jnp.zeros(self.iwm_dim, z_prev.dtype), keys[1])
            seen = jnp.broadcast_to(row, z_prev.shape)
        else:
            seen = self.iwm_encoder(iwm, keys[1])
        parts = [self.gwm_encoder(gwm, keys[0]), seen, self.self_encoder(own, keys[2])]
        return self.latent_update(jnp.concatenate(parts, axis=-1), z_prev)

    def predict(
        self, z: jax.Array, action: jax.Array, dropout: jax.Array | None = None
    ) -> jax.Array:
        """z (*b, D), action (*b, 16) -> the imagined next latent (*b, D)."""
        return self.dynamics(self.action_encoder(action, dropout), z)

    def decode(self, z: jax.Array, dropout: jax.Array | None = None) -> Decoded:
        """z (*b, D) -> raw numbers, squashed only by `awm_jax.mwm.slices`."""
        keys = [None] * 3 if dropout is None else jax.random.split(dropout, 3)
        return Decoded(
            self.world_decoder(z, keys[0]),
            self.self_decoder(z, keys[1]),
            self.affect_decoder(z, keys[2]),
        )

    def __call__(
        self,
        z_prev: jax.Array,
        gwm: jax.Array,
        iwm: jax.Array | None,
        own: jax.Array,
        action: jax.Array | None = None,
    ) -> tuple[jax.Array, Decoded, jax.Array | None]:
        """The new latent, what it says, and the next one imagined, None without an action."""
        z = self.encode(z_prev, gwm, iwm, own)
        return z, self.decode(z), None if action is None else self.predict(z, action)

    forward = __call__

    def init_latent(self, *batch: int) -> jax.Array:
        """The latent of a mind that has seen nothing: zeros (*batch, D)."""
        return jnp.zeros((*batch, self.latent_dim))

    def get_parameter_count(self) -> dict[str, int]:
        """Parameters of each part, and `total`."""
        parts = [*HIDDEN, "latent_update", "dynamics"]
        counts = {
            name: sum(v.size for v in jax.tree.leaves(nnx.state(getattr(self, name))))
            for name in parts
        }
        return counts | {"total": sum(counts.values())}


@pytree
class Mind:
    """The network as a plain pytree, an argument of jitted functions: parameters are leaves."""

    params: tuple[jax.Array, ...]
    treedef: Any = static()
    graphdef: Any = static()
    latent_dim: int = static()
    iwm_dim: int = static()
    scaled: bool = static()

    @classmethod
    def of(cls, model: MentalWorldModelModule | Mind) -> Mind:
        """Take a module apart. Later changes to the module are not seen."""
        if isinstance(model, Mind):
            return model
        graphdef, state = nnx.split(model)
        params, treedef = jax.tree.flatten(state)
        sizes = model.latent_dim, model.iwm_dim, model.scaled
        return cls(tuple(params), treedef, graphdef, *sizes)

    def module(self) -> MentalWorldModelModule:
        """Put the module together again; inside `jit` this costs nothing at run time."""
        return nnx.merge(self.graphdef, jax.tree.unflatten(self.treedef, self.params))

    def replace(self, params: tuple[jax.Array, ...]) -> Mind:
        return dataclasses.replace(self, params=tuple(params))
