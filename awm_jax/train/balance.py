"""Sharing a product's range between its input and its weights, channel by channel.

A code of 8 bits has one step for all channels: where one is a hundred times the others, the others
fall below the step. What a norm's or a layer's weight gives a channel, the next product's column
can give instead; the network stays the same function. How much of it moves is what leaves the least
error once both are rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.codes import NARROW_MAX, PLANE, Codes, LayerCodes
from awm_jax.fp32.mamba2 import FrameStackMamba2
from awm_jax.fp32.network import Network
from awm_jax.game.frames import control_features, controllers

SHARES = (0.0, 0.3, 0.5, 0.7, 0.85)
CLIPS = 2.0 ** (np.arange(-16, 1) / 4)
"""Of the largest value seen, tried as the end of the codes."""
LEAST = 1e-3
"""Of the largest channel; one that hardly ever says anything counts as this."""
LEAST_WEIGHT = 1e-4
"""A channel of smaller weights counts as this large."""


def activations(
    model: FrameStackMamba2, sequences: Iterable[tuple[np.ndarray, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Every intermediate (T, width) over teacher-forced sequences, floats (T, F) and ints (T, I),
    each from the zero state, one behind the other; beside the taps of `trunk` `L{i}_gate`, and
    `heads`, what the heads take."""
    graphdef, params = nnx.split(model)

    @jax.jit
    def run(params, floats, ints):
        net = nnx.merge(graphdef, params)
        pads = controllers(net.cfg, floats)
        ctrl = control_features(net.cfg, pads[:, 1:], pads[:, :-1])
        h, _, taps = net.trunk(floats[:, :-1], ints[:, :-1], ctrl)
        h = h + net.ctrl_proj(ctrl)
        taps["heads"] = h if net.pre_head is None else jax.nn.relu(net.pre_head(h))
        for i in range(net.n_layers):
            z = taps[f"L{i}_z"]
            taps[f"L{i}_gate"] = taps[f"L{i}_y_plus_D"].reshape(z.shape) * jax.nn.silu(z)
        wanted = ("heads", "_norm", "_y_plus_D", "_gate")
        return {n: v.reshape(v.shape[1], -1) for n, v in taps.items() if n.endswith(wanted)}

    found = [
        run(params, jnp.asarray(f)[None], jnp.asarray(i, jnp.int32)[None]) for f, i in sequences
    ]
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def code_step(values: np.ndarray) -> float:
    """The step of 127 codes each way with the least squared error."""
    return min(_tried(values), key=lambda pair: pair[0])[1]


def _tried(values: np.ndarray):
    for step in CLIPS * np.abs(values).max() / NARROW_MAX:
        yield float(np.sum(np.square(_round(values, step) - values))), float(step)


def _round(values: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    return np.clip(np.rint(values / step), -NARROW_MAX, NARROW_MAX) * step


def channel_scales(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What to divide each channel by, and to multiply its weights by.

    Args:
      values: (T, n) what enters the product.
      kernel: (n, rows).
    """
    real = values @ kernel
    power = np.sqrt(np.mean(np.square(real), axis=0)) + 1e-9
    reach = np.max(np.abs(values), axis=0)
    reach = reach + LEAST * reach.max()
    weight = np.max(np.abs(kernel), axis=1) + 1e-9
    best = None
    for share in SHARES:
        scale = reach**share / weight ** (1 - share) if share else np.ones_like(reach)
        scale = scale / np.exp(np.mean(np.log(scale)))
        codes, weights = values / scale, kernel * scale[:, None]
        row = np.max(np.abs(weights), axis=0) / NARROW_MAX
        made = _round(codes, code_step(codes)) @ _round(weights, row)
        error = float(np.median(np.sqrt(np.mean(np.square(made - real), axis=0)) / power))
        if best is None or error < best[0]:
            best = error, scale
    assert best is not None
    return best[1]


def prepare(
    model: FrameStackMamba2, sequences: Sequence[tuple[np.ndarray, np.ndarray]]
) -> FrameStackMamba2:
    """What learning to be rounded begins with: the model in balance, and with codes."""
    model = balance(model, activations(model, sequences))
    return with_codes(model, codes_of(activations(model, sequences)))


def with_codes(model: FrameStackMamba2, codes: Codes) -> FrameStackMamba2:
    """The same weights, and activations that end where the codes do."""
    made = FrameStackMamba2(
        model.cfg,
        context_len=model.context_len,
        variant=model.variant,
        codes=codes,
        rngs=nnx.Rngs(0),
        **model.dims,
    )
    nnx.update(made, nnx.state(model))
    return made


def balance(model: FrameStackMamba2, seen: dict[str, np.ndarray]) -> FrameStackMamba2:
    """The same function, its norms' and its products' weights changed.

    Args:
      seen: `activations` of the model.
    """
    model = nnx.clone(model)
    for i, layer in enumerate(model.layers):
        block = layer.mamba
        for name, norm, product in (
            ("norm", layer.norm, block.in_proj),
            ("gated_norm", block.norm, block.out_proj),
        ):
            kernel = np.asarray(product.kernel[...], np.float64)
            scale = channel_scales(seen[f"L{i}_{name}"], kernel)
            norm.scale[...] = jnp.asarray(np.asarray(norm.scale[...]) / scale, jnp.float32)
            product.kernel[...] = jnp.asarray(kernel * scale[:, None], jnp.float32)
    if model.pre_head is not None:  # between them a ReLU, which lets scales through
        before, after = model.pre_head, model.heads.linear
        scale = channel_scales(seen["heads"], np.asarray(after.kernel[...], np.float64))
        divide = jnp.asarray(1 / scale, jnp.float32)
        before.kernel[...] = before.kernel[...] * divide[None]
        assert before.bias is not None
        before.bias[...] = before.bias[...] * divide
        after.kernel[...] = jnp.asarray(np.asarray(after.kernel[...]) * scale[:, None], jnp.float32)
    return model


def codes_of(seen: dict[str, np.ndarray]) -> Codes:
    """Codes for `activations`: bytes with the least error, `pre_head` such that the same holds for
    its high plane, 16 bits that end at a power of two above all but one of 10,000 values."""

    def wide(values: np.ndarray) -> float:
        return float(2.0 ** (np.ceil(np.log2(np.quantile(np.abs(values), 0.9999))) - 14))

    layers = sum(name.endswith("_gate") for name in seen)
    steps = []
    for i in range(layers):
        normed, gated = (code_step(seen[f"L{i}_{name}"]) for name in ("norm", "gated_norm"))
        y, gate = (wide(seen[f"L{i}_{name}"]) for name in ("y_plus_D", "gate"))
        steps.append(LayerCodes(normed, gated, y, gate))
    return Codes(tuple(steps), code_step(seen["heads"]) / PLANE)


def shared_gauges(model: FrameStackMamba2) -> tuple[jax.Array, ...]:
    """For every array of the parameters what an optimiser's unit step in it means, as in
    `awm_jax.train.world.gauges`, for channels that `balance` may share out.

    `balance` gives a channel's size to one or the other, up to a thousandfold, and a step of the
    optimiser is to mean the same wherever it lies: it is counted as if it were half in either.
    """
    ones = nnx.clone(model)
    _, state = nnx.split(ones)
    nnx.update(ones, jax.tree.map(jnp.ones_like, state))

    def share(before: jax.Array, after: jax.Array) -> jax.Array:
        """(n,), of the (n, rows) weights after, for the (n,) sizes before."""
        size = jnp.sqrt(jnp.mean(jnp.square(after), axis=1))
        log = 0.5 * jnp.log((size + LEAST_WEIGHT) / (jnp.abs(before) + LEAST_WEIGHT))
        return jnp.exp(log - jnp.mean(log))

    for layer, unit in zip(model.layers, ones.layers, strict=True):
        for norm, after, unit_norm, unit_after in (
            (layer.norm, layer.mamba.in_proj, unit.norm, unit.mamba.in_proj),
            (layer.mamba.norm, layer.mamba.out_proj, unit.mamba.norm, unit.mamba.out_proj),
        ):
            scale = share(norm.scale[...], after.kernel[...])
            unit_norm.scale[...] = 1 / scale
            unit_after.kernel[...] = jnp.broadcast_to(scale[:, None], after.kernel.shape)
    if model.pre_head is not None and ones.pre_head is not None:
        rows = jnp.sqrt(jnp.mean(jnp.square(model.pre_head.kernel[...]), axis=0))
        after = model.heads.linear.kernel[...]
        scale = share(rows, after)
        ones.pre_head.kernel[...] = jnp.broadcast_to(1 / scale[None], model.pre_head.kernel.shape)
        assert ones.pre_head.bias is not None
        ones.pre_head.bias[...] = 1 / scale
        ones.heads.linear.kernel[...] = jnp.broadcast_to(scale[:, None], after.shape)
    return Network.of(ones).params
