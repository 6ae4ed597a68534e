"""The integer Mental World Model as an agent. docs/integer-spec.md section 11.

`awm_jax.mwm.agent` in integers: it sees the last frame, imagines each candidate action, and takes
the one of greatest value - threat. Latents are wide codes, 16319 being one. What does not change
is folded in by the converter: the visual latent, which is zeros, and the encoded candidates.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.contracts import View
from awm_jax.encoding import ANALOG, CONTROLLER, EncodingConfig
from awm_jax.int8 import fixed, senses
from awm_jax.int8.agents import assemble_pad
from awm_jax.int8.frame import STICK_MAX, GameFrame
from awm_jax.int8.params import Array, Dense, Norm
from awm_jax.int8.senses import Senses
from awm_jax.mwm.features import AFFECT_NAMES
from awm_jax.mwm.melee import PERIOD, PRESSED, UNKNOWN, recipes
from awm_jax.pytree import pytree, static

TANH_FINER = 2
THREAT, VALUE = AFFECT_NAMES.index("threat"), AFFECT_NAMES.index("value_estimate")


@dataclasses.dataclass(frozen=True)
class MindArch:
    """latent_dim: D; stages: whose geometry it knows."""

    latent_dim: int
    stages: int


@pytree
class Perceptron:
    """Linear, layer norm, ReLU, linear.

    Attributes:
      hidden: its rows sum to zero, which is the norm's mean taken away; to 16 bits.
      norm: to wide codes. beta: (n,) int32 wide codes, added after it.
      out: to 16 bits.
    """

    hidden: Dense
    norm: Norm
    beta: Array
    out: Dense


@pytree
class MindParams:
    """Attributes:
    sigmoid, tanh: (513,) tables.
    world, own: the encoders of 16 and 8 features, to D wide codes each.
    seen, kept: (3D, 2D) and (3D, D), the latent's update, of the encoded and of the latent; to
      2^-10, rows r, z, n.
    actions: (13, 3D) int32 in 2^-10, what each candidate adds to `ahead`, (3D, D): the dynamics.
    affect: the decoder, to four numbers; one: () int32, 1.0 in their unit.
    """

    sigmoid: Array
    tanh: Array
    senses: Senses
    world: Perceptron
    own: Perceptron
    seen: Dense
    kept: Dense
    actions: Array
    ahead: Dense
    affect: Perceptron
    one: Array


@pytree
class MindState:
    """Attributes:
    latent: (D,) int32. action: () int32, what it is doing. phase: () int32 frames since it
      decided, 0 when it decides.
    """

    latent: Array
    action: Array
    phase: Array


@pytree
class Thought:
    """Attributes:
    latent: (D,). affect: (4,) of it, as decoded.
    imagined: (13, D) next latents. felt: (13, 4) their affect.
    action: () int32 of the greatest value - threat, the first such.
    """

    latent: Array
    affect: Array
    imagined: Array
    felt: Array
    action: Array


def dense(p: Dense, x: jax.Array) -> jax.Array:
    """x (*b, cols) wide codes -> (*b, rows) 16-bit."""
    acc = fixed.product_wide(p.w, x)
    return fixed.requant(acc + p.bias.reshape((1,) * (acc.ndim - 1) + (-1,)), p.out.a, p.out.m)


def perceive(p: Perceptron, rsqrt: jax.Array, x: jax.Array) -> jax.Array:
    """x (*b, cols) wide codes -> (*b, rows) 16-bit."""
    h = fixed.norm(dense(p.hidden, x), p.norm.eps, p.norm.w, p.norm.shift, rsqrt, fixed.WIDE_MAX)
    h = jnp.clip(h + p.beta.reshape((1,) * (h.ndim - 1) + (-1,)), 0, fixed.WIDE_MAX)
    return dense(p.out, h)


def gated(p: MindParams, given: jax.Array, kept: jax.Array, latent: jax.Array) -> jax.Array:
    """torch's GRU cell: given, kept (*b, 3D) in 2^-10, latent (*b, D) -> the new latent (*b, D)."""
    r_in, z_in, n_in = jnp.split(given, 3, axis=-1)
    r_kept, z_kept, n_kept = jnp.split(kept, 3, axis=-1)
    r = fixed.lookup(p.sigmoid, fixed.clamp16(r_in + r_kept))
    z = fixed.lookup(p.sigmoid, fixed.clamp16(z_in + z_kept))
    n = n_in + fixed.rsh(r * n_kept, 15)
    n = fixed.lookup(p.tanh, fixed.clamp16(n << TANH_FINER))
    return n + fixed.rsh((latent - n) * z, 15)


def think(p: MindParams, cfg: EncodingConfig, latent: jax.Array, frame: GameFrame) -> Thought:
    """See a frame, the mind's player first in it, and imagine every candidate."""
    rsqrt = p.senses.rsqrt
    world, own = senses.observe(p.senses, cfg, frame)
    parts = [perceive(p.world, rsqrt, world), perceive(p.own, rsqrt, own)]
    encoded = fixed.clamp(jnp.concatenate(parts), fixed.WIDE_MAX)
    latent = gated(p, dense(p.seen, encoded), dense(p.kept, latent), latent)
    many = p.actions.shape[0]
    imagined = gated(
        p,
        p.actions,
        jnp.broadcast_to(dense(p.ahead, latent)[None], p.actions.shape),
        jnp.broadcast_to(latent[None], (many, *latent.shape)),
    )
    felt = perceive(p.affect, rsqrt, imagined)
    score = felt[:, VALUE] - jnp.clip(felt[:, THREAT], 0, p.one)
    action = jnp.argmax(score).astype(jnp.int32)
    return Thought(latent, perceive(p.affect, rsqrt, latent), imagined, felt, action)


def _presses() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By candidate: the stick (13, 4) x times facing, times side, as it is, y, in 80ths; the
    trigger (13, 1); buttons (13, 8)."""
    table, stick = recipes(), 4
    after = stick + len(ANALOG) - stick
    sticks = np.rint(table[:, :stick] * STICK_MAX).astype(np.int32)
    trigger = np.rint(table[:, stick:after] * 255).astype(np.int32)
    assert table.shape[1] == after + len(CONTROLLER) - len(ANALOG)
    return sticks, trigger, table[:, after:] > 0


def pad_of(action: jax.Array, facing: jax.Array, side: jax.Array, pressed: jax.Array) -> jax.Array:
    """The pad (8,) int32 of a candidate's index; buttons are down where `pressed`."""
    sticks, trigger, buttons = (jnp.asarray(part)[action] for part in _presses())
    x = sticks[0] * facing + sticks[1] * side + sticks[2]
    still = jnp.zeros(2, jnp.int32)
    return assemble_pad(jnp.stack([x, sticks[3], *still]), trigger, buttons & pressed)


@functools.cache
def _decided(cfg: EncodingConfig) -> Any:
    """(params, state, frame) -> the state after a decision where one is due, else the same.

    A batch of matches thinks only in frames in which one of them decides.
    """

    def decide(params: MindParams, state: MindState, frame: GameFrame) -> MindState:
        thought = think(params, cfg, state.latent, frame)
        due = state.phase == 0
        return MindState(
            jnp.where(due, thought.latent, state.latent),
            jnp.where(due, thought.action, state.action),
            state.phase,
        )

    def due(function: Any, params: MindParams, state: MindState, frame: GameFrame) -> MindState:
        return jax.lax.cond(
            jnp.any(state.phase == 0), function, lambda _, same, __: same, params, state, frame
        )

    @jax.custom_batching.custom_vmap
    def one(params: MindParams, state: MindState, frame: GameFrame) -> MindState:
        return due(decide, params, state, frame)

    @one.def_vmap
    def many(
        size: int, batched: Any, params: MindParams, state: MindState, frame: GameFrame
    ) -> tuple[MindState, MindState]:
        axes = jax.tree.map(lambda b: 0 if b else None, batched)
        state = jax.tree.map(
            lambda v, b: v if b else jnp.broadcast_to(v[None], (size, *v.shape)), state, batched[1]
        )
        new = due(jax.vmap(decide, (axes[0], 0, axes[2])), params, state, frame)
        return new, jax.tree.map(lambda _: True, new)

    return one


@pytree
class Int8Mind:
    """Fills `awm_jax.contracts.Agent` with integers alone. No randomness.

    Attributes:
      cfg: the world's encoding.
    """

    params: MindParams
    cfg: EncodingConfig = static()

    def reset(self, seed: jax.Array, player: int) -> MindState:
        width = self.params.ahead.w.shape[-1]
        zero = jnp.zeros((), jnp.int32)
        return MindState(jnp.zeros(width, jnp.int32), zero + UNKNOWN, zero)

    def act(self, state: MindState, view: View[GameFrame]) -> tuple[MindState, jax.Array]:
        frame = jax.tree.map(lambda v: v[-1], view.context)
        state = _decided(self.cfg)(self.params, state, frame)
        facing, side = senses.facing(self.cfg, frame)[0], senses.side(self.cfg, frame)
        pad = pad_of(state.action, facing, side, state.phase < PRESSED)
        after = jnp.where(state.phase == PERIOD - 1, 0, state.phase + 1)
        return dataclasses.replace(state, phase=after), pad
