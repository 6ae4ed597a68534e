"""What a world and an agent are. The float networks and the integer machine fill the same two.

Everything is written for ONE match, without a batch axis, and batched by `vmap`. Implementations
are registered dataclasses: parameters are leaves, so other weights of the same shapes run in the
same executable.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

import jax

from awm_jax.pytree import pytree

Context = TypeVar("Context")
ContextOut = TypeVar("ContextOut", covariant=True)
ContextIn = TypeVar("ContextIn", contravariant=True)


@pytree
class View(Generic[Context]):
    """What an agent sees before a frame, from its own side.

    Attributes:
      context: the last K frames; the agent's player comes first in each.
      number: () int32 number of the frame that is about to be made; the first is K.
    """

    context: Context
    number: jax.Array


class World(Protocol[ContextOut]):
    """The physics. `Context` is a pytree of frames; `step` returns one frame of it."""

    def reset(self, seed: Any) -> Any:
        """The state after K seed frames."""
        ...

    def step(self, state: Any, pads: jax.Array) -> tuple[Any, Any]:
        """One frame under both players' controllers `pads` (2, ...)."""
        ...

    def observe(self, state: Any, player: int) -> ContextOut:
        """The last K frames as `player` (0 or 1, static) sees them."""
        ...

    def knocked_out(self, frame: Any) -> jax.Array:
        """(2,) bool: whose stocks are gone."""
        ...

    def words(self, frame: Any, number: jax.Array) -> jax.Array:
        """(n,) uint32: what frame `number` adds to the match's digest."""
        ...

    def corrupt(self, frame: Any) -> jax.Array:
        """() bool: the frame holds a value that is no number."""
        ...


class Agent(Protocol[ContextIn]):
    """A player. Its randomness is a function of (seed, frame, player, draw)."""

    def reset(self, seed: jax.Array, player: int) -> Any:
        """The state before the first frame. seed (2,) uint32, player 0 or 1 (static)."""
        ...

    def act(self, state: Any, view: View) -> tuple[Any, jax.Array]:
        """The controller for frame `view.number`."""
        ...
