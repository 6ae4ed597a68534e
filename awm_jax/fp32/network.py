"""A network as a plain pytree, so that it can be an argument of a jitted function."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx

from awm_jax.encoding import EncodingConfig
from awm_jax.pytree import pytree, static


@pytree
class Network:
    """Parameters as leaves, structure as hashable static data.

    A flat tuple of arrays is what `jit` takes in fastest, frame after frame.
    """

    params: tuple[jax.Array, ...]
    treedef: Any = static()
    graphdef: Any = static()
    cfg: EncodingConfig = static()
    context_len: int = static()

    @classmethod
    def of(cls, model: Any) -> Network:
        """Take a module apart. Later changes to the module are not seen."""
        graphdef, state = nnx.split(model)
        params, treedef = jax.tree.flatten(state)
        return cls(tuple(params), treedef, graphdef, model.cfg, model.context_len)

    def module(self) -> Any:
        """Put the module together again; inside `jit` this costs nothing at run time."""
        return nnx.merge(self.graphdef, jax.tree.unflatten(self.treedef, self.params))
