"""The device's part of a run: B slots, a match in each, all of one pair of agents.

One call plays frames until enough matches have ended, so that a slot waits neither for the slowest
nor for the host. Weights carry no batch axis: with one, integer products would leave XLA's fast
path, and every match would read them anew.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from awm_jax.contracts import World
from awm_jax.game import rng
from awm_jax.pytree import pytree
from crank.match import Agents, MatchState, Outcome, Rules, match_reset, match_step

AXIS = "slots"
IDLE = int(Outcome.INTERRUPTED)
"""The outcome of a slot without a match."""
SHRINK, LEAST = 4, 8
"""When a run's last matches fit into so many times fewer slots, the others are given up, down to
as many as fill the native kernel's products."""


@pytree
class Slots:
    """All with a leading axis of B.

    Attributes:
      match: `MatchState`s. After a match's end its outcome, digest and frame count stay; the rest
        goes on and means nothing.
      last: the newest frame that counts.
    """

    match: MatchState
    last: Any


@pytree
class Seen:
    """What the host reads after a call, (B, ...) each.

    Attributes:
      outcome, played, digest, last: of every slot.
      frames, pads: (C, B, ...) what the call's frames were, None unless recorded.
    """

    outcome: jax.Array
    played: jax.Array
    digest: jax.Array
    last: Any
    frames: Any
    pads: Any


def _fresh(world: World, agents: Agents, start: Any, seed: jax.Array) -> Slots:
    first = jax.tree.leaves(start)[0].shape[0]
    last = jax.tree.map(lambda v: v[-1], start)
    return Slots(match_reset(world, agents, start, first, seed), last)


_fresh_cached = jax.jit(_fresh)
"""Asked for its shapes alone, which it remembers: a run asks for those of each pairing."""


def _refill(world, agents, slots: Slots, starts, seeds, where) -> Slots:
    """Put R matches into the slots `where` (R,); one beyond the last slot is dropped."""
    fresh = jax.vmap(lambda start, seed: _fresh(world, agents, start, seed))(starts, seeds)
    return jax.tree.map(lambda all_, new: all_.at[where].set(new, mode="drop"), slots, fresh)


def _frame(world, agents, rules: Rules, slots: Slots):
    """One frame of all slots; also what it made."""
    old = slots.match
    step = jax.vmap(lambda state: match_step(world, agents, rules, state))
    new, frame, pads = step(old)
    running = old.outcome == Outcome.RUNNING
    # A frame that holds no numbers ends a match and is left out of it, as in `match.run`.
    counts = running & (new.outcome != Outcome.CORRUPT)

    def choose(mask, new, old):
        return jnp.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    match = dataclasses.replace(
        new,
        outcome=choose(running, new.outcome, old.outcome),
        played=choose(counts, new.played, old.played),
        digest=choose(counts, new.digest, old.digest),
    )
    last = jax.tree.map(lambda n, o: choose(counts, n, o), frame, slots.last)
    return Slots(match, last), frame, pads


def _advance(world, agents, rules, slots: Slots, most, quorum, *, record: int):
    """Up to `most` () frames, until `quorum` () more matches have ended or none goes on.

    Args:
      record: C, of how many frames there is room to record; `most` must not be more. 0: none.
    """
    begun = jnp.sum(slots.match.outcome == Outcome.RUNNING)
    made = None
    if record:
        shapes = jax.eval_shape(lambda s: _frame(world, agents, rules, s)[1:], slots)
        made = jax.tree.map(lambda v: jnp.zeros((record, *v.shape), v.dtype), shapes)

    def more(carry):
        count, slots, _ = carry
        left = jnp.sum(slots.match.outcome == Outcome.RUNNING)
        return (count < most) & (left > 0) & (begun - left < quorum)

    def body(carry):
        count, slots, made = carry
        slots, *new = _frame(world, agents, rules, slots)
        if made is not None:
            made = jax.tree.map(lambda all_, one: all_.at[count].set(one), made, tuple(new))
        return count + 1, slots, made

    _, slots, made = jax.lax.while_loop(more, body, (jnp.int32(0), slots, made))
    frames, pads = made or (None, None)
    match = slots.match
    # Read beside the slots, whose memory the next call writes into.
    return slots, Seen(match.outcome, match.played, match.digest, slots.last, frames, pads)


def _take(slots: Slots, where: jax.Array) -> Slots:
    """The slots `where` (b,); one beyond the last becomes idle."""
    taken = jax.tree.map(lambda v: v.at[where].get(mode="clip"), slots)
    empty = where >= slots.match.outcome.shape[0]
    outcome = jnp.where(empty, IDLE, taken.match.outcome)
    return dataclasses.replace(taken, match=dataclasses.replace(taken.match, outcome=outcome))


@dataclasses.dataclass(frozen=True)
class Programs:
    """The compiled functions on some devices; B slots are B / devices on each.

    Attributes:
      mesh: of one axis.
      record: frames that a call can record.
    """

    mesh: Mesh
    record: int = 0

    @property
    def devices(self) -> int:
        return self.mesh.size

    @functools.cached_property
    def everywhere(self) -> NamedSharding:
        return NamedSharding(self.mesh, P())

    @functools.cached_property
    def split(self) -> NamedSharding:
        return NamedSharding(self.mesh, P(AXIS))

    def _mapped(self, function, inputs, outputs, **options):
        if self.devices > 1:
            function = jax.shard_map(
                function, mesh=self.mesh, in_specs=inputs, out_specs=outputs, check_vma=False
            )
        return jax.jit(function, **options)

    @functools.cached_property
    def advance(self):
        """(world, agents, rules, slots, most, quorum) -> (slots, Seen)."""
        one, rows = P(), cast(Any, P(AXIS))
        steps: Any = P(None, AXIS)
        seen = Seen(rows, rows, rows, rows, steps, steps)
        return self._mapped(
            functools.partial(_advance, record=self.record),
            (one, one, one, rows, one, one),
            (rows, seen),
            donate_argnums=3,
        )

    @functools.cached_property
    def refill(self):
        """(world, agents, slots, starts, seeds, where) -> slots; `where` counts in each device."""
        rows = P(AXIS)
        return self._mapped(
            _refill,
            (P(), P(), rows, rows, rows, rows),
            rows,
            donate_argnums=2,
        )

    @functools.cached_property
    def take(self):
        """(slots, where) -> fewer slots."""
        return jax.jit(_take, out_shardings=self.split)


@functools.cache
def programs(devices: tuple[Any, ...], record: int = 0) -> Programs:
    """One set a process for the same devices, so that nothing is compiled twice."""
    return Programs(Mesh(np.array(devices), (AXIS,)), record)


def shapes(world: World, agents: Agents, start: Any, count: int) -> Slots:
    """Shapes and dtypes of `count` slots."""
    seed = jnp.asarray(rng.seed_words(0))
    one = _fresh_cached.eval_shape(world, agents, start, seed)
    return jax.tree.map(lambda v: jax.ShapeDtypeStruct((count, *v.shape), v.dtype), one)


def empty(shape: Slots, sharding: NamedSharding) -> Slots:
    """Slots without matches."""
    slots = jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype, device=sharding), shape)
    outcome = jnp.full_like(slots.match.outcome, IDLE, device=sharding)
    return dataclasses.replace(slots, match=dataclasses.replace(slots.match, outcome=outcome))


def bytes_of(shape: Slots) -> int:
    return sum(v.size * v.dtype.itemsize for v in jax.tree.leaves(shape))


def smallest(most: int, wanted: int) -> int:
    """The smallest count of slots on the way down from `most` that holds `wanted` matches."""
    count = most
    while count > LEAST and (fewer := max(LEAST, count // SHRINK)) >= wanted:
        count = fewer
    return count


def to_shrink(count: int) -> int:
    """How many of full slots must be idle before fewer hold the rest."""
    return count - max(LEAST, count // SHRINK) if count > LEAST else count
