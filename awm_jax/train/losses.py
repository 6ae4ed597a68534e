"""What a world is judged by while it learns, in game units.

Errors of positions and the like count by sqrt(e^2 + c^2) - c: squares would be ruled by deaths and
landings, and vanish beside the cross-entropies where things go well. A hit or a lost stock is rare
(0.5% of frames) and decides a match: on such frames the fields that tell of it weigh more.
Source: training-notes.md, "Set-up" and "Where the error is".
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import (
    CORE,
    PREDICTED_CATEGORICAL,
    VELOCITY,
    EncodingConfig,
    columns,
    float_scales,
    predicted_dynamics,
)
from awm_jax.game.frames import Frames
from awm_jax.game.rules import LEAST_HIT

Outputs = dict[str, jax.Array]

ROUNDING: dict[str, float] = {name: 0.05 for name in VELOCITY}
ROUNDING |= {"speed_attack_x": 0.005, "speed_attack_y": 0.005, "speed_ground_x": 0.01}
"""c of each column; 0.1 where none is given. Knockback and the speed on the ground are exactly 0
most of the time: the little that c lets pass adds up."""
IMPORTANCE = {"speed_attack_x": 4.0}
"""Of columns that count more than once in their part."""
LIGHT = ("position", "speed", "shield", "combo_count")
"""Parts in which a hit counts like any other frame."""
SCORE = ("percent", "stocks")


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the parts. Each part is a mean over frames and players, in game units.

    Attributes:
      hit: by how much frames with new damage or a lost stock weigh more, in percent, the dynamics
        and the flags.
      hit_said: whether new damage is foreseen, a cross-entropy; only under the game's rules.
      hit_likely: how much more hits count in it than the rest: with 2, one is said from odds of a
        half on.
      hit_action: as `hit`, for the action.
      change: the same for frames with a new action.
    """

    position: float = 2.0
    speed: float = 2.0
    percent: float = 1.0
    shield: float = 0.2
    hitlag: float = 0.2
    stocks: float = 2.0
    combo_count: float = 0.1
    hitstun: float = 0.05
    binary: float = 0.1
    action: float = 2.0
    jumps: float = 0.5
    other: float = 0.3
    hit: float = 3.0
    hit_said: float = 3.0
    hit_likely: float = 2.0
    hit_action: float = 2.0
    change: float = 0.0


def robust(error: jax.Array, c: Any) -> jax.Array:
    return jnp.sqrt(jnp.square(error) + c * c) - c


def cross_entropy(logits: jax.Array, target: jax.Array) -> jax.Array:
    """(*b, V), (*b) -> (*b). By a product with the one-hot: a gather is twice as slow on CPUs."""
    hot = jax.nn.one_hot(target, logits.shape[-1], dtype=logits.dtype)
    return jax.nn.logsumexp(logits, axis=-1) - jnp.sum(hot * logits, axis=-1)


def _hit_losses(
    said: jax.Array, logit: jax.Array, rise: jax.Array, hit: jax.Array, likely: float
) -> tuple[jax.Array, jax.Array]:
    """Of what a network says of new damage (*b, 2): its percent, and the log-odds of any.

    Returns the mean error of the first on hits, and the cross-entropy of the second. Errors of a
    few percent count nearly by their squares: damage is to be right on average.
    """
    amount = jnp.mean(hit * robust(said - rise, 5.0))
    entropy = (1 + (likely - 1) * hit) * (jax.nn.softplus(logit) - hit * logit)
    return amount, jnp.mean(entropy)


def world_loss(
    cfg: EncodingConfig,
    config: LossConfig,
    last: jax.Array,
    outputs: Outputs,
    before: Frames,
    now: Frames,
    *,
    game_rules: bool = False,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Loss of one-step predictions, a scalar, and its parts, unweighted.

    Args:
      last: (*b, F) the frame that the outputs are changes of: the real one, or the network's own.
      outputs: (*b, width) each.
      before, now: (*b, F), (*b, I) the real frame at the time of `last`, and the one after.
      game_rules: as `Variant.game_rules`.
    """
    where = columns(cfg)
    scales = jnp.asarray(float_scales(cfg), last.dtype)
    names = CORE + VELOCITY

    def players(value):
        return value.reshape(*value.shape[:-1], 2, value.shape[-1] // 2)

    def units(value, part):
        return value / scales[part].reshape((1,) * (value.ndim - 1) + (-1,))

    moved = jnp.concatenate(
        [players(outputs["continuous_delta"]), players(outputs["velocity_delta"])], axis=-1
    )
    real, real_before, own = players(now.floats), players(before.floats), players(last)
    span = slice(where.core.start, where.velocity.stop)
    error = units(own[..., span] + moved - real[..., span], span)
    dynamics = predicted_dynamics(cfg)
    counters = players(outputs["dynamics_pred"])
    if game_rules:
        counters = counters + own[..., where.dynamics]
    error = jnp.concatenate(
        [
            error,
            units(counters - real[..., where.dynamics], where.dynamics),
        ],
        axis=-1,
    )
    names = names + dynamics
    c = np.array([ROUNDING.get(name, 0.1) for name in names], np.float32)
    cost = robust(error, c.reshape((1,) * (error.ndim - 1) + (-1,)))

    rise = real[..., where["percent"]] - real_before[..., where["percent"]]
    fall = real_before[..., where["stocks"]] - real[..., where["stocks"]]
    new_damage = rise >= 0.5 * LEAST_HIT * cfg.percent_scale
    hit = new_damage | (fall > 0.5 * cfg.stocks_scale)
    hit = hit.astype(last.dtype)
    heavy = 1 + config.hit * hit

    parts: dict[str, jax.Array] = {}
    total = jnp.zeros((), last.dtype)
    groups = {"position": ("x", "y"), "speed": VELOCITY}
    groups |= {name: (name,) for name in ("percent", "shield", *dynamics)}
    if game_rules:
        said = moved[..., CORE.index("percent")]
        logit = players(outputs["dynamics_pred"])[..., dynamics.index("stocks")]
        groups = {name: members for name, members in groups.items() if name not in SCORE}
        parts["percent"], parts["hit"] = _hit_losses(
            said / cfg.percent_scale,
            logit / cfg.stocks_scale,
            rise / cfg.percent_scale,
            new_damage.astype(last.dtype),
            config.hit_likely,
        )
        total += config.percent * parts["percent"] + config.hit_said * parts["hit"]
    for part, members in groups.items():
        shares = (IMPORTANCE.get(n, 1.0) * cost[..., names.index(n)] for n in members)
        value = sum(shares) / len(members)
        parts[part] = jnp.mean(value)
        weighed = value if part in LIGHT else value * heavy
        total += getattr(config, part) * jnp.mean(weighed)

    logits, bits = players(outputs["binary_logits"]), real[..., where.binary]
    binary = jnp.sum(jax.nn.softplus(logits) - bits * logits, axis=-1)
    parts["binary"] = jnp.mean(binary)
    total += config.binary * jnp.mean(binary * heavy)

    ints = players(now.ints[..., :-1])
    ints_before = players(before.ints[..., :-1])
    for name in PREDICTED_CATEGORICAL:
        target = ints[..., where.int_index[name]]
        both = jnp.stack([outputs[f"p{player}_{name}_logits"] for player in (0, 1)], axis=-2)
        entropy = cross_entropy(both, target)
        parts[name] = jnp.mean(entropy)
        if name == "action":
            new = (target != ints_before[..., where.int_index[name]]).astype(last.dtype)
            entropy = entropy * (1 + config.hit_action * hit + config.change * new)
            right = jnp.argmax(both, axis=-1) == target
            parts["action_accuracy"] = jnp.mean(right.astype(last.dtype))
        total += getattr(config, name, config.other) * jnp.mean(entropy)
    distance = jnp.abs(error[..., names.index("x")]) + jnp.abs(error[..., names.index("y")])
    parts["position_mae"] = jnp.mean(distance) / 2
    return total, parts
