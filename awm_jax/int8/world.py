"""The integer machine as the physics of a match. docs/integer-spec.md sections 5 and 6."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import CORE, PREDICTED_CATEGORICAL, VELOCITY, EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.game import rules
from awm_jax.int8 import frame as frames
from awm_jax.int8.fixed import WIDE_MAX, clamp, mulshift, product, product_wide, requant, split_wide
from awm_jax.int8.frame import GameFrame
from awm_jax.int8.mamba2 import TrunkState, initial_state, mixed, trunk_step
from awm_jax.int8.params import Arch, WorldParams
from awm_jax.pytree import pytree, static

LEAST_HIT = round(rules.LEAST_HIT * frames.UNIT)
WEAR = round(rules.WEAR * frames.UNIT)
# One frame moves nothing by more than this, in 2^-16 units; keeps every sum inside 32 bits.
CHANGE_MAX = 1 << 26


@pytree
class Int8State:
    """Attributes:
    frames: the last K frames, oldest first.
    trunk: what the network has absorbed, all frames but the newest; None when windowed.
    """

    frames: GameFrame
    trunk: TrunkState | None


@pytree
class Int8World:
    """Fills `awm_jax.contracts.World` with integers alone."""

    params: WorldParams
    arch: Arch = static()

    @property
    def cfg(self) -> EncodingConfig:
        return self.arch.cfg

    @property
    def context_len(self) -> int:
        return self.arch.context_len

    @property
    def recurrent(self) -> bool:
        return self.arch.recurrent

    def reset(self, seed: GameFrame) -> Int8State:
        """seed: K frames with a leading axis, oldest first."""
        if seed.stage.shape[0] != self.context_len:
            raise AwmError(
                f"{seed.stage.shape[0]} seed frames, this world needs {self.context_len}"
            )
        seed = jax.tree.map(jnp.asarray, seed)
        if not self.arch.recurrent:
            return Int8State(seed, None)
        trunk = initial_state(self.arch)
        for k in range(self.context_len - 1):
            frame, after = (jax.tree.map(lambda v, k=k: v[k], seed) for k in (k, k + 1))
            trunk, _ = self._absorb(trunk, frame, after.pads)
        return Int8State(seed, trunk)

    def step(self, state: Int8State, pads: jax.Array) -> tuple[Int8State, GameFrame]:
        """pads (2, 8) int32 `PAD_FIELDS` -> the new state and the frame they make."""
        pads = jnp.asarray(pads, jnp.int32)
        last = jax.tree.map(lambda v: v[-1], state.frames)
        if state.trunk is None:
            trunk, hidden = None, self._window(state.frames, pads)
        else:
            trunk, hidden = self._absorb(state.trunk, last, pads)
        frame = self._predict(hidden, last, pads)
        window = jax.tree.map(lambda w, f: jnp.concatenate([w[1:], f[None]]), state.frames, frame)
        return Int8State(window, trunk), frame

    def observe(self, state: Int8State, player: int) -> GameFrame:
        """The last K frames, the player's own half first (a swap, not a mirror)."""
        if player == 0:
            return state.frames
        f = state.frames
        return GameFrame(
            f.cont[:, ::-1], f.binary[:, ::-1], f.ints[:, ::-1], f.stage, f.pads[:, ::-1]
        )

    def knocked_out(self, frame: GameFrame) -> jax.Array:
        return frames.knocked_out(self.cfg, frame)

    def corrupt(self, frame: GameFrame) -> jax.Array:
        """Integers are always numbers."""
        return jnp.bool_(False)

    def words(self, frame: GameFrame, number: jax.Array) -> jax.Array:
        """What the frame adds to the digest."""
        return frames.frame_words(frame, number)

    def _absorb(self, trunk: TrunkState, frame: GameFrame, next_pads: jax.Array):
        pads = next_pads if self.arch.variant.control_first else frame.pads
        codes = frames.frame_codes(self.params.inputs, self.cfg, frame, pads)
        return trunk_step(self.params, self.arch, trunk, *codes)

    def _window(self, window: GameFrame, pads: jax.Array) -> jax.Array:
        next_pads = jnp.concatenate([window.pads[1:], pads[None]])
        _, hidden = jax.lax.scan(
            lambda trunk, row: self._absorb(trunk, *row),
            initial_state(self.arch),
            (window, next_pads),
        )
        return hidden[-1]

    def _predict(self, hidden: jax.Array, last: GameFrame, pads: jax.Array) -> GameFrame:
        p, cfg = self.params, self.cfg
        control = frames.control_codes(p.inputs, cfg, pads, last.pads)
        h = clamp(hidden + mixed(p.ctrl_proj, *control), WIDE_MAX)
        heads = p.heads
        if heads.hidden is not None:
            acc = product_wide(heads.hidden.w, h) + heads.hidden.bias
            h = jnp.clip(requant(acc, heads.hidden.out.a, heads.hidden.out.m), 0, WIDE_MAX)

        acc = product_wide(heads.numeric_w, h) + heads.numeric_bias
        numeric = mulshift(acc, heads.numeric_m, heads.numeric_s) << heads.numeric_l
        numeric = clamp(numeric, CHANGE_MAX)
        core, speed = 2 * cfg.core_continuous_dim, 2 * cfg.velocity_dim
        core, speed, dynamics = (
            part.reshape(2, -1) for part in jnp.split(numeric, [core, core + speed])
        )
        binary = product_wide(heads.binary_w, h) + heads.binary_bias > 0

        high, _ = split_wide(h)
        acc = product(heads.logits.w, high) + heads.logits.bias
        logits = requant(acc, heads.logits.out.a, heads.logits.out.m)

        where = columns(cfg)
        ints, start = last.ints, 0
        for name in PREDICTED_CATEGORICAL:
            vocab = getattr(cfg, f"{name}_vocab")
            for player in (0, 1):
                choice = jnp.argmax(logits[start : start + vocab]).astype(jnp.int32)
                ints = ints.at[player, where.int_index[name]].set(choice)
                start += vocab
        rules_hold = self.arch.variant.game_rules
        hit = dynamics[:, where["stocks"] - where.dynamics.start] > 0
        if rules_hold:
            percent = where["percent"] - where.core.start
            struck = jnp.maximum(core[:, percent], LEAST_HIT)
            core = core.at[:, percent].set(jnp.where(hit, struck, 0))
            counted = last.cont[:, where.dynamics] + dynamics
            dynamics = whole(counted)
        cont = last.cont.at[:, where.core].add(core)
        cont = cont.at[:, where.velocity].add(speed)
        cont = cont.at[:, where.dynamics].set(dynamics)

        binary = binary.astype(jnp.int32).reshape(2, -1)
        if rules_hold:
            cont, ints = self._ruled(cont, binary, ints, hit, last)
        action = where.int_index["action"]
        same = ints[:, action] == last.ints[:, action]
        if cfg.state_age_as_embed:
            age = where.int_index["state_age"]
            counted = jnp.minimum(last.ints[:, age] + 1, cfg.state_age_embed_vocab - 1)
            ints = ints.at[:, age].set(jnp.where(same, counted, 0))
        else:
            age = where["state_age"]
            cont = cont.at[:, age].set(jnp.where(same, last.cont[:, age] + frames.UNIT, 0))
        if rules_hold:
            lost = rules.takes_stock(ints[:, action], ints[:, where.int_index["state_age"]])
            stocks = last.cont[:, where["stocks"]] - jnp.where(lost, frames.UNIT, 0)
            cont = cont.at[:, where["stocks"]].set(stocks)
        low, high = frames.limits(cfg)
        cont = jnp.clip(cont, low[None], high[None])
        return GameFrame(cont, binary, ints, last.stage, pads)

    def _ruled(
        self,
        cont: jax.Array,
        binary: jax.Array,
        ints: jax.Array,
        hit: jax.Array,
        last: GameFrame,
    ) -> tuple[jax.Array, jax.Array]:
        """Columns (2, cd) and ints (2, ip) by `awm_jax.game.rules`, of those as the network has
        them; `hit` (2,) is who takes new damage."""
        cfg, where = self.cfg, columns(self.cfg)
        names = ("action", "state_age", "character")
        was, age, character = (last.ints[:, where.int_index[name]] for name in names)
        x, y = cont[:, where["x"]], cont[:, where["y"]]
        low, left, right, top = jnp.unstack(
            jnp.asarray(in_units(rules.lines(cfg.stage_vocab)))[last.stage]
        )
        beyond = jnp.stack([y < low, x < left, x > right, y > top], axis=-1)
        on_ground = where["on_ground"] - cfg.continuous_dim
        action_at, attack_at = where.int_index["action"], where.int_index["last_attack"]
        stood = last.binary[:, on_ground] > 0
        lagged, at = whole(last.cont[:, where["hitlag"]]), where["hitlag"]
        lag = rules.lag(lagged, cont[:, at], frames.UNIT)
        cont = cont.at[:, at].set(lag)
        if cfg.hitstun:
            at = where["hitstun"]
            stun = rules.stun(whole(last.cont[:, at]), cont[:, at], frames.UNIT, hit, lag)
            cont = cont.at[:, at].set(stun)
        said, struck = ints[:, action_at], hit | (lag > lagged)
        action = rules.next_action(said, was, age, stood, character, beyond, struck, lag)

        at = where["speed_ground_x"]
        cont = cont.at[:, at].set(jnp.where(binary[:, on_ground] > 0, cont[:, at], 0))
        at = slice(where[rules.KNOCKBACK[0]], where[rules.KNOCKBACK[1]] + 1)
        worn = rules.worn(last.cont[:, at], cont[:, at], WEAR)
        free = ~hit & (lagged <= 0)
        cont = cont.at[:, at].set(jnp.where(free[:, None], worn, cont[:, at]))
        still = rules.is_still(action) & rules.is_still(was)
        for name in ("x", "y"):
            at = where[name]
            cont = cont.at[:, at].set(jnp.where(still, last.cont[:, at], cont[:, at]))
        born = (action == rules.REBIRTH) & (was != rules.REBIRTH)
        place = jnp.asarray(in_units(rules.birth_places(cfg.stage_vocab)))[last.stage]
        nothing = jnp.zeros(2, jnp.int32)
        fresh = {name: nothing for name in (*CORE, *VELOCITY, *rules.COUNTERS)}
        fresh |= {"x": place[:2], "y": place[2], "speed_y": place[3]}
        fresh["shield"] = nothing + round(rules.SHIELD * frames.UNIT)
        for name, value in fresh.items():
            if name in where.index:
                cont = cont.at[:, where[name]].set(jnp.where(born, value, cont[:, where[name]]))
        attacks = ints[:, attack_at], last.ints[:, attack_at]
        ints = ints.at[:, attack_at].set(rules.last_attack(*attacks, hit, born))
        return cont, ints.at[:, action_at].set(action)


def whole(value: jax.Array) -> jax.Array:
    """int32 in 2^-16 units, rounded to a whole number of game units."""
    return (value + frames.UNIT // 2 >> 16) << 16


def in_units(game_units: np.ndarray) -> np.ndarray:
    """As int32 in 2^-16 units."""
    return np.rint(game_units * frames.UNIT).astype(np.int32)
