"""Integer worlds, policies, frames and pads from seeds, with no float network behind them.

Everything is random within the bounds of docs/integer-spec.md section 10. An ordinary world has
shifts and multipliers for which its values lie mid-range, so that matches move; a saturating one
takes them from their whole ranges and puts biases, weights and seeds at the ends.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig, columns, player_embeddings
from awm_jax.int8 import tables
from awm_jax.int8.frame import UNIT, GameFrame, limits
from awm_jax.int8.mind import Int8Mind, MindArch, MindParams, Perceptron
from awm_jax.int8.params import (
    Arch,
    Dense,
    Heads,
    Inputs,
    Layer,
    MixedDense,
    Norm,
    Requant,
    Scan,
    Tables,
    WorldParams,
    control_columns,
    frame_columns,
)
from awm_jax.int8.policy import Int8Policy, PolicyArch, PolicyParams
from awm_jax.int8.senses import ONE, make_senses
from awm_jax.int8.world import Int8World
from awm_jax.variant import Variant, stage_levels

WIDE = 127 * 128 + 63
I16 = 32767
TOP = 2**31 - 2
ACT = 1 << 11  # 2.0 in the units of SiLU's argument
SMALL = EncodingConfig(
    action_vocab=23,
    action_embed_dim=5,
    character_vocab=27,
    character_embed_dim=3,
    stage_embed_dim=3,
    ground_vocab=7,
    ground_embed_dim=2,
    last_attack_vocab=9,
    last_attack_embed_dim=3,
    state_age_embed_vocab=11,
    state_age_embed_dim=3,
)
FULL = SMALL.replace(
    state_age_as_embed=True, hitstun=True, projectiles=True, state_flags=True, press_events=True
)


def arch_of(cfg: EncodingConfig = SMALL, **changes: Any) -> Arch:
    """A small architecture; `changes` replace its fields."""
    fields = {"d_model": 16, "d_state": 4, "n_layers": 1, "headdim": 8, "context_len": 3}
    return Arch(**({"cfg": cfg, "recurrent": True, "variant": Variant()} | fields | changes))


@dataclasses.dataclass
class _Maker:
    """One stream of random numbers and the choice between ordinary and saturating."""

    rng: np.random.Generator
    saturating: bool

    def ints(self, low: int, high: int, shape: Any = ()) -> np.ndarray:
        """int32 in low..high; a saturating world often takes the ends."""
        values = self.rng.integers(low, high + 1, shape)
        if self.saturating:
            ends = self.rng.choice([low, high], shape)
            values = np.where(self.rng.random(shape) < 0.3, ends, values)
        return np.asarray(values, np.int32)

    def weights(self, *shape: int) -> np.ndarray:
        return self.ints(-127, 127, shape).astype(np.int8)

    def near(self, value: float, spread: float, shape: Any = ()) -> np.ndarray:
        """float64 about `value`, up to a factor 2^spread away."""
        return value * 2.0 ** self.rng.uniform(-spread, spread, shape)

    def bias(self, room: np.ndarray, sigma: float) -> np.ndarray:
        """(rows,) biases; `room` is what a row's products leave of 31 bits."""
        ordinary = np.rint(self.rng.normal(0, 0.5 * sigma, len(room))).astype(np.int64)
        if self.saturating:
            wild = self.rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], len(room)) * room
            ordinary = np.where(self.rng.random(len(room)) < 0.5, wild.astype(np.int64), ordinary)
        return np.clip(ordinary, -room, room).astype(np.int32)

    def requant(self, n: int, sigma: float, target: float) -> Requant:
        """From accumulators of about `sigma` to values of about `target`."""
        if self.saturating and self.rng.random() < 0.5:
            return Requant(self.ints(0, 30, n), self.ints(-I16, I16, n))
        a = max(int(np.floor(np.log2(max(sigma, 1)))) - 12, 0)
        m = self.near(target / (sigma / 2**a) * 2**15, 0.7, n)
        m = np.where(self.rng.random(n) < 0.2, -m, m)
        return Requant(np.full(n, a, np.int32), np.clip(np.rint(m), -I16, I16).astype(np.int32))

    def dense(self, rows: int, cols: int, code: float, most: int, target: float) -> Dense:
        w = self.weights(rows, cols)
        sigma = 73 * np.sqrt(cols) * code
        bias = self.bias(TOP - np.abs(w.astype(np.int64)).sum(1) * most, sigma)
        return Dense(w, bias, self.requant(rows, sigma, target))

    def mixed(self, rows: int, wide: int, narrow: int, target: float) -> MixedDense:
        w_wide, w_narrow = self.weights(rows, wide), self.weights(rows, narrow)
        k = int(self.ints(0, 7))
        sizes = [np.abs(w.astype(np.int64)).sum(1) for w in (w_wide, w_narrow)]
        sigma = 73 * (np.sqrt(wide) * 5000 + np.sqrt(narrow) * 40 * 2**k)
        bias = self.bias(TOP - sizes[0] * WIDE - (sizes[1] * 127 << k), sigma)
        out = self.requant(rows, sigma, target)
        return MixedDense(w_wide, w_narrow, np.int32(k), bias, out)

    def norm(self, n: int, target: float) -> Norm:
        high = int(self.ints(0, 4 if not self.saturating else 1 << 18))
        eps = np.array([high, max(int(self.ints(0, 4095)), 1)], np.int32)
        if self.saturating and self.rng.random() < 0.5:
            return Norm(eps, self.ints(-I16, I16, n), self.ints(1, 30))
        shift = int(np.clip(np.floor(29 - np.log2(np.sqrt(n) * target)), 1, 30))
        w = self.near(target * 2.0**shift / (2**15 / np.sqrt(n)), 0.5, n)
        return Norm(eps, np.clip(np.rint(w), 1, I16).astype(np.int32), np.int32(shift))

    def inputs(self, cfg: EncodingConfig, variant: Variant) -> Inputs:
        """Multipliers of -300 to 300 units, of pads and of features, within wide codes."""
        stick_s, trigger_s = int(self.ints(0, 8)), int(self.ints(0, 8))
        reach = np.array([4] * 6 + [8, 32, 32] if variant.geometry else [], np.float64)
        most = np.rint(np.log2(reach)).astype(np.int32) + 16
        levels = np.zeros((0, 4), np.int32)
        if variant.geometry:
            levels = np.rint(stage_levels(cfg) * UNIT).astype(np.int32)
        n = cfg.continuous_dim
        tables_ = player_embeddings(cfg) | {"stage": (cfg.stage_vocab, cfg.stage_embed_dim)}
        return Inputs(
            column_m=self.ints(0 if self.saturating else 1 << 13, I16, n),
            column_s=self.ints(17, 46, n) if self.saturating else self.ints(19, 24, n),
            stick_m=self.ints(1, (WIDE << stick_s) // 160),
            stick_s=np.int32(stick_s),
            trigger_m=self.ints(1, (WIDE << trigger_s) // 255),
            trigger_s=np.int32(trigger_s),
            feature_m=self.ints(1 << 12, WIDE - 1, len(reach)),
            feature_s=most,
            levels=levels,
            one=self.ints(1, 127),
            embeddings={name: self.weights(*shape) for name, shape in tables_.items()},
        )

    def scan(self, arch: Arch) -> Scan:
        heads, n = arch.heads, arch.d_state
        if self.saturating:
            return Scan(
                decay_m=self.ints(0, I16, heads),
                decay_s=self.ints(17, 46, heads),
                drive_m=self.ints(0, I16, heads),
                drive_s=self.ints(-10, 60, heads),
                b_m=self.ints(-I16, I16, n),
                b_s=self.ints(0, 20),
                c_m=self.ints(-I16, I16, n),
                c_s=self.ints(0, 20),
                out=Requant(self.ints(0, 30, heads), self.ints(-I16, I16, heads)),
                skip_m=self.ints(-I16, I16, heads),
                skip_s=self.ints(0, 30),
            )
        most = min((2**31 - 1) // (I16 * n), 1 << 15)
        return Scan(
            decay_m=self.ints(1 << 14, I16, heads),
            decay_s=self.ints(20, 30, heads),
            drive_m=self.ints(1 << 14, I16, heads),
            drive_s=self.ints(19, 26, heads),
            b_m=self.ints(1 << 12, 1 << 14, n),
            b_s=self.ints(12, 14),
            c_m=self.ints(1 << 12, 1 << 14, n),
            c_s=np.int32(24 - int(np.log2(most / 2))),
            out=self.requant(heads, 2.0**12 * most / 4 * np.sqrt(n), ACT),
            skip_m=self.ints(-I16 // 2, I16 // 2, heads),
            skip_s=np.int32(14),
        )

    def layer(self, arch: Arch) -> Layer:
        d, e, channels = arch.d_model, arch.d_inner, arch.conv_channels
        code = arch.code_max / 3
        conv_w = self.weights(channels, 4)
        room = TOP - np.abs(conv_w.astype(np.int64)).sum(1) * 32768
        return Layer(
            norm=self.norm(d, code),
            in_proj=self.dense(arch.in_proj_rows, d, code, arch.code_max, ACT),
            conv_w=conv_w,
            conv_bias=self.bias(room, 73 * 2 * ACT),
            conv_out=self.requant(channels, 73 * 2 * ACT, ACT),
            scan=self.scan(arch),
            gate_s=self.ints(0, 30) if self.saturating else self.ints(8, 10),
            gated_norm=self.norm(e, code),
            out_proj=self.dense(d, e, code, arch.code_max, ACT / 2),
        )

    def heads(self, arch: Arch) -> Heads:
        cfg, n = arch.cfg, arch.d_model
        hidden = None
        if arch.variant.head_hidden:
            n = arch.variant.head_hidden
            hidden = self.dense(n, arch.d_model, 6000, WIDE, 8000)
        numbers = (
            2 * cfg.core_continuous_dim + cfg.predicted_velocity_dim + cfg.predicted_dynamics_dim
        )
        numeric_w, binary_w = self.weights(numbers, n), self.weights(cfg.predicted_binary_dim, n)
        sigma = 73 * np.sqrt(n) * 6000
        sums = [np.abs(w.astype(np.int64)).sum(1) * WIDE for w in (numeric_w, binary_w)]
        bias = self.bias(TOP - sums[0], sigma)
        most = np.abs(bias.astype(np.int64)) + sums[0]
        if self.saturating:
            m, s = self.ints(0, I16, numbers), self.ints(17, 46, numbers)
        else:
            target = self.near(2.0**17, 2, numbers)
            s = np.full(numbers, 17, np.int32)
            m = np.clip(np.rint(target / sigma * 2**17), 1, I16).astype(np.int32)
        left = 30 - np.ceil(np.log2(most * np.maximum(m, 1.0) / 2.0**s + 2)).astype(np.int64)
        left = np.clip(left, 0, 30)
        if not self.saturating:  # part of the shift to the right is undone by one to the left
            left = np.minimum(left, 2)
            s = s + left.astype(np.int32)
        left = np.asarray(left, np.int32)
        logits_rows = sum(
            2 * getattr(cfg, f"{name}_vocab")
            for name in ("action", "jumps", "l_cancel", "hurtbox", "ground", "last_attack")
        )
        return Heads(
            hidden=hidden,
            numeric_w=numeric_w,
            numeric_bias=bias,
            numeric_m=m,
            numeric_s=s,
            numeric_l=left,
            binary_w=binary_w,
            binary_bias=self.bias(TOP - sums[1], sigma),
            logits=self.dense(logits_rows, n, 50, 127, 1 << 12),
        )


def _maker(seed: int, saturating: bool) -> _Maker:
    return _Maker(np.random.Generator(np.random.PCG64(seed)), saturating)


def make_tables() -> Tables:
    return Tables(tables.sigmoid(), tables.softplus(), tables.exp2(), tables.rsqrt())


def random_world(seed: int, arch: Arch, saturating: bool = False) -> WorldParams:
    """Parameters (NumPy arrays) of a world of any architecture, within all bounds."""
    make = _maker(seed, saturating)
    wide, narrow = (len(part) for part in frame_columns(arch.cfg, arch.variant))
    ctrl_wide, ctrl_narrow = (len(part) for part in control_columns(arch.cfg))
    return WorldParams(
        tables=make_tables(),
        inputs=make.inputs(arch.cfg, arch.variant),
        frame_proj=make.mixed(arch.d_model, wide, narrow, 2 * ACT),
        layers=tuple(make.layer(arch) for _ in range(arch.n_layers)),
        final_norm=make.norm(arch.d_model, 5000),
        ctrl_proj=make.mixed(arch.d_model, ctrl_wide, ctrl_narrow, 3000),
        heads=make.heads(arch),
    )


def random_policy(seed: int, arch: PolicyArch, saturating: bool = False) -> PolicyParams:
    """Parameters (NumPy arrays) of a policy, within all bounds."""
    make = _maker(seed, saturating)
    wide, narrow = (arch.context_len * len(part) for part in frame_columns(arch.cfg))
    return PolicyParams(
        sigmoid=tables.sigmoid(),
        inputs=make.inputs(arch.cfg, Variant()),
        hidden=make.mixed(arch.hidden_dim, wide, narrow, 8000),
        trunk=make.dense(arch.trunk_dim, arch.hidden_dim, 5000, WIDE, 8000),
        heads=make.dense(13, arch.trunk_dim, 5000, WIDE, ACT),
    )


def random_mind(seed: int, arch: MindArch, saturating: bool = False) -> MindParams:
    """Parameters (NumPy arrays) of a mind, within all bounds."""
    make = _maker(seed, saturating)
    d = arch.latent_dim

    def perceptron(inputs: int, hidden: int, outputs: int, most: int, target: float) -> Perceptron:
        return Perceptron(
            hidden=make.dense(hidden, inputs, most / 2, most, 4000),
            norm=make.norm(hidden, 6000),
            beta=make.ints(-3000, 3000, hidden),
            out=make.dense(outputs, hidden, 5000, WIDE, target),
        )

    known = make_senses(arch.stages)
    return MindParams(
        sigmoid=tables.sigmoid(),
        tanh=tables.tanh(),
        senses=known,
        world=perceptron(16, 20, d, ONE, 5000),
        own=perceptron(8, 12, d, ONE, 5000),
        seen=make.dense(3 * d, 2 * d, 5000, WIDE, ACT),
        kept=make.dense(3 * d, d, 8000, WIDE, ACT),
        actions=make.ints(-I16 // 8, I16 // 8, (13, 3 * d)),
        ahead=make.dense(3 * d, d, 8000, WIDE, ACT),
        affect=perceptron(d, 12, 4, WIDE, 8000),
        one=make.ints(1 << 10, 1 << 13),
    )


def mind_of(seed: int, latent_dim: int, world: Arch, saturating: bool = False) -> Int8Mind:
    arch = MindArch(latent_dim, world.cfg.stage_vocab)
    return Int8Mind(on_device(random_mind(seed, arch, saturating)), world.cfg)


def on_device(params: Any) -> Any:
    """The same pytree of JAX arrays."""
    return jax.tree.map(jnp.asarray, params)


def world_of(seed: int, arch: Arch, saturating: bool = False) -> Int8World:
    return Int8World(on_device(random_world(seed, arch, saturating)), arch)


def policy_of(
    seed: int, arch: PolicyArch, world: Arch, saturating: bool = False, bias: float = 0.0
) -> Int8Policy:
    params = on_device(random_policy(seed, arch, saturating))
    return Int8Policy.of(params, arch, world.cfg, world.context_len, bias)


def random_pads(seed: int, *lead: int) -> np.ndarray:
    """(*lead, 2, 8) int32 pads over the whole ranges of the bytes, every fifth value an extreme."""
    rng = np.random.Generator(np.random.PCG64(seed))
    low = np.array([-128] * 4 + [0] * 4)
    high = np.array([127] * 4 + [255] * 4)
    pads = rng.integers(low, high + 1, (*lead, 2, 8))
    ends = [-128, -81, -80, -33, -32, -31, -1, 0, 1, 76, 77, 80, 127, 255]
    ends = np.clip(rng.choice(ends, pads.shape), low, high)
    return np.where(rng.random(pads.shape) < 0.2, ends, pads).astype(np.int32)


def random_frames(seed: int, cfg: EncodingConfig, count: int, extreme: bool = False) -> GameFrame:
    """`count` frames (NumPy, leading axis) on one stage, within their limits.

    Near the middle of a stage with all stocks, or `extreme`: over the whole ranges.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    low, high = (v.astype(np.int64) for v in limits(cfg))
    cont = rng.integers(low, high + 1, (count, 2, cfg.continuous_dim))
    if extreme:
        ends = np.where(rng.random(cont.shape) < 0.5, low, high)
        cont = np.where(rng.random(cont.shape) < 0.3, ends, cont)
    else:
        cont = cont // 16
        cont[..., columns(cfg)["stocks"]] = 4 * UNIT
    vocabs = [vocabulary for vocabulary, _ in player_embeddings(cfg).values()]
    players = [rng.integers(0, vocabulary, (count, 2)) for vocabulary in vocabs]
    stage = np.full(count, rng.integers(0, cfg.stage_vocab), np.int32)
    return GameFrame(
        cont.astype(np.int32),
        rng.integers(0, 2, (count, 2, cfg.binary_dim), np.int32),
        np.stack(players, axis=-1).astype(np.int32),
        stage,
        random_pads(seed + 1, count),
    )
