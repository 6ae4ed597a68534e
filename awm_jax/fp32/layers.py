"""Parts that the three networks share: frame vector, linear heads, normalisation, initial values.

Source: networks.md sections 2.1, 2.3 and 2.6. Shapes: `*b` any batch axes, F and I the float and
int columns of a frame, D a width.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.nnx import initializers

from awm_jax.encoding import EncodingConfig, int_names, int_vocabs, player_embeddings
from awm_jax.errors import AwmError

RMS_EPS = 1e-5


def uniform(bound: float):
    """Initialiser U(-bound, bound)."""

    def init(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def linear(in_features: int, out_features: int, *, use_bias: bool = True, rngs: nnx.Rngs):
    """A linear layer with the reference's initial values, U(+-1/sqrt(in))."""
    init = uniform(1 / math.sqrt(in_features))
    return nnx.Linear(
        in_features,
        out_features,
        use_bias=use_bias,
        kernel_init=init,
        bias_init=init,
        dot_general=row_product,
        rngs=rngs,
    )


def row_product(x: jax.Array, kernel: jax.Array, dimensions: Any, **options: Any) -> jax.Array:
    """(*b, D) by (D, E) -> (*b, E) over one axis of rows.

    With more, XLA:CPU takes twice the time for the gradients of the product.
    """
    if dimensions != (((x.ndim - 1,), (0,)), ((), ())):
        raise ValueError(f"not a product of rows: {dimensions}")
    if x.ndim <= 2:
        return jax.lax.dot_general(x, kernel, dimensions, **options)
    rows = jax.lax.collapse(x, 0, -1)
    out = jax.lax.dot_general(rows, kernel, (((1,), (0,)), ((), ())), **options)
    return out.reshape(*x.shape[:-1], kernel.shape[-1])


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x^2) + 1e-5) * scale over the last axis."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.scale = nnx.Param(jnp.ones(width))

    def __call__(self, x: jax.Array) -> jax.Array:
        mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        return x * jax.lax.rsqrt(mean_square + RMS_EPS) * broadcast_last(self.scale[...], x)


def broadcast_last(vector: jax.Array, like: jax.Array) -> jax.Array:
    """A vector (D,) with leading axes of one, so that it lines up with `like` (*b, D)."""
    return vector.reshape((1,) * (like.ndim - 1) + vector.shape)


class FrameEncoder(nnx.Module):
    """Frame columns -> frame vector: floats, then each player's embeddings, then the stage's.

    Both players share the tables.
    """

    def __init__(self, cfg: EncodingConfig, *, rngs: nnx.Rngs):
        self.cfg = cfg
        for name, (vocab, width) in player_embeddings(cfg).items():
            setattr(self, f"{name}_embed", embedding(vocab, width, rngs))
        self.stage_embed = embedding(cfg.stage_vocab, cfg.stage_embed_dim, rngs)

    def __call__(self, floats: jax.Array, ints: jax.Array) -> jax.Array:
        """floats (*b, F), ints (*b, I) int32 within their tables -> (*b, frame_dim)."""
        parts = [floats]
        ipp = self.cfg.int_per_player
        for player in (0, 1):
            for column, name in enumerate(int_names(self.cfg)):
                table = getattr(self, f"{name}_embed")
                parts.append(table(ints[..., player * ipp + column]))
        parts.append(self.stage_embed(ints[..., 2 * ipp]))
        return jnp.concatenate(parts, axis=-1)


def embedding(vocab: int, width: int, rngs: nnx.Rngs) -> nnx.Embed:
    embed = nnx.Embed(vocab, width, embedding_init=initializers.normal(1.0), rngs=rngs)
    embed.dtype = None  # the table's, whatever it becomes: nnx.Embed keeps that of its first values
    return embed


class Heads(nnx.Module):
    """All output heads as one product."""

    def __init__(self, in_features: int, widths: dict[str, int], *, rngs: nnx.Rngs):
        self.widths = tuple(widths.items())
        self.linear = linear(in_features, sum(widths.values()), rngs=rngs)

    def __call__(self, h: jax.Array, coarse: jax.Array | None = None) -> dict[str, jax.Array]:
        """(*b, in_features) -> name -> (*b, width), in order; categories from `coarse`, if any."""
        ends = np.cumsum([width for _, width in self.widths])[:-1].tolist()
        whole = self.linear(h)
        if coarse is not None:
            fine = sum(width for name, width in self.widths if not _is_category(name))
            whole = jnp.concatenate([whole[..., :fine], self.linear(coarse)[..., fine:]], axis=-1)
        parts = jnp.split(whole, ends, axis=-1)
        return {name: part for (name, _), part in zip(self.widths, parts, strict=True)}


def _is_category(output: str) -> bool:
    """Whether an output of a world chooses one of many; these come last."""
    return output.endswith("_logits") and output != "binary_logits"


def check_ints(cfg: EncodingConfig, ints: np.ndarray) -> None:
    """Refuse an index outside its embedding table, which a gather in JAX would clamp (T16).

    Args:
      ints: (*b, I) concrete integers.

    Raises:
      AwmError: names the column, the value and the table's size.
    """
    ints = np.asarray(ints)
    vocabs = np.array(int_vocabs(cfg))
    bad = np.argwhere((ints < 0) | (ints >= vocabs))
    if bad.size:
        where = tuple(bad[0])
        player, column = divmod(int(where[-1]), cfg.int_per_player)
        name = f"p{player} {int_names(cfg)[column]}" if player < 2 else "stage"
        size = vocabs[where[-1]]
        raise AwmError(f"{name} is {ints[where]}, its table has the indices 0 to {size - 1}")
