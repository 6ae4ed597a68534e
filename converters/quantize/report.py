"""The float world and its integer twin side by side on real frames."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.encoding import (
    PREDICTED_CATEGORICAL,
    EncodingConfig,
    columns,
    float_names,
    float_scales,
)
from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import FrameStackMamba2
from awm_jax.fp32.world import Fp32State, Fp32World
from awm_jax.game.frames import Frames, control_features, controllers
from awm_jax.int8 import fixed
from awm_jax.int8.frame import UNIT, GameFrame, frame_codes, from_floats, pads_to_floats
from awm_jax.int8.mamba2 import initial_state, layer_step, mixed
from awm_jax.int8.world import Int8State, Int8World
from awm_jax.pytree import pytree

HORIZONS = (1, 5, 10, 20)
STARTS = 16
TAP_FRAMES = 256

Sequences = Sequence[tuple[np.ndarray, np.ndarray]]


@pytree
class Decoded:
    """Frames in game units: cont (*t, 2, cd) float64, binary (*t, 2, bd), ints (*t, 2, ip)."""

    cont: np.ndarray
    binary: np.ndarray
    ints: np.ndarray


def compare(
    model: FrameStackMamba2,
    world: Int8World,
    scales: dict[str, Any],
    sequences: Sequences,
    on_frames: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Everything the report says, as JSON types.

    Args:
      scales: the manifest's `int8.scales`.
      sequences: encoded games, longer than the context and the longest horizon.

    Returns:
      frames; fields: name -> mean and max |float - integer| of one teacher-forced step and the
      float step's own mean size, game units; categorical: name -> share of equal choices; binaries;
      snr_db: tap -> signal to noise of the integer value against the float one; drift: horizon ->
      mean distance of both free rollouts, and of each from the real game, in x and y.

    Raises:
      AwmError: network and cartridge do not belong together, or no game is long enough.
    """
    cfg, k = world.cfg, world.context_len
    if (model.cfg, model.context_len, model.variant) != (cfg, k, world.arch.variant):
        raise AwmError("the cartridge was not made from this network: their settings differ")
    sequences = [s for s in sequences if len(s[0]) > k + max(HORIZONS)]
    if not sequences:
        raise AwmError(f"no replay has {k + max(HORIZONS) + 1} frames to compare on")
    floating = Fp32World.of(model, recurrent=world.arch.recurrent)
    steps, taps, drifts = [], [], []
    run = jax.jit(play, static_argnames="forced")
    rollout = jax.jit(jax.vmap(functools.partial(play, forced=k), in_axes=(None, 0, 0)))
    for floats, ints in sequences:
        theirs = Frames(jnp.asarray(floats), jnp.asarray(ints, jnp.int32))
        ours = jax.tree.map(jnp.asarray, from_floats(cfg, floats, ints))
        pads = controllers(cfg, theirs.floats)
        a = decode_floats(cfg, run(floating, theirs, pads, len(floats)))
        b = decode_frame(run(world, ours, ours.pads, len(floats)))
        steps.append((a, b, decode_floats(cfg, jax.tree.map(lambda v: v[k - 1 : -1], theirs))))
        taps.append(_taps(model, world, scales, floats, ints))
        drifts.append(_drift(cfg, rollout, floating, world, theirs, ours))
        if on_frames is not None:
            on_frames(len(floats) - 1)
    float_step, int_step, before = (
        jax.tree.map(lambda *parts: np.concatenate(parts), *(s[i] for s in steps)) for i in range(3)
    )
    return {
        "frames": len(float_step.cont),
        **agreement(cfg, float_step, int_step, before),
        "snr_db": _snr(taps),
        "drift": _mean_drift(drifts),
    }


def play(world, frames, pads, forced: int):
    """Steps over a game from the zero state; the first is that after its first K frames.

    Before row `forced` every step sees the real frames, after it those that it made itself. What
    the network absorbed is always carried. Returns the frames made, rows K to the last.
    """
    k, count = world.context_len, pads.shape[0]
    first = 0 if _recurrent(world) else k - 1
    padded = jax.tree.map(lambda v: jnp.concatenate([v[:1]] * (k - 1) + [v]), frames)

    def window(t):
        return jax.tree.map(lambda v: jax.lax.dynamic_slice_in_dim(v, t, k), padded)

    def body(state, t):
        real = jax.tree.map(lambda a, b: jax.lax.select(t < forced, a, b), window(t), state.frames)
        return world.step(dataclasses.replace(state, frames=real), pads[t + 1])

    _, made = jax.lax.scan(body, _start(world, window(first)), jnp.arange(first, count - 1))
    return jax.tree.map(lambda v: v[k - 1 - first :], made)


def _start(world: Fp32World | Int8World, window):
    """A world that has absorbed nothing."""
    if isinstance(world, Int8World):
        return Int8State(window, initial_state(world.arch) if world.arch.recurrent else None)
    model = world.network.module()
    return Fp32State(window, model.init_state(()) if world.recurrent else None)


def _recurrent(world: Fp32World | Int8World) -> bool:
    return world.arch.recurrent if isinstance(world, Int8World) else world.recurrent


def decode_floats(cfg: EncodingConfig, frames: Frames) -> Decoded:
    floats, ints = np.asarray(frames.floats, np.float64), np.asarray(frames.ints)
    blocks = floats.reshape(*floats.shape[:-1], 2, cfg.float_per_player)
    scales = float_scales(cfg)[: cfg.continuous_dim]
    return Decoded(
        blocks[..., : cfg.continuous_dim] / scales,
        blocks[..., columns(cfg).binary] > 0.5,
        ints[..., :-1].reshape(*ints.shape[:-1], 2, cfg.int_per_player),
    )


def decode_frame(frame: GameFrame) -> Decoded:
    cont, binary = np.asarray(frame.cont, np.float64), np.asarray(frame.binary)
    return Decoded(cont / UNIT, binary > 0, np.asarray(frame.ints))


def agreement(cfg, a: Decoded, b: Decoded, before: Decoded) -> dict[str, Any]:
    """How far two predictions `a` and `b` of the frames after `before` are apart."""
    error = np.abs(a.cont - b.cont)
    moved = np.abs(a.cont - before.cont)
    fields = {
        name: {
            "mean": float(error[..., i].mean()),
            "max": float(error[..., i].max()),
            "step": float(moved[..., i].mean()),
        }
        for i, name in enumerate(float_names(cfg)[: cfg.continuous_dim])
    }
    where = columns(cfg).int_index
    categorical = {
        name: float(np.mean(a.ints[..., where[name]] == b.ints[..., where[name]]))
        for name in PREDICTED_CATEGORICAL
    }
    return {
        "fields": fields,
        "categorical": categorical,
        "binaries": float(np.mean(a.binary == b.binary)),
    }


def _taps(model, world: Int8World, scales, floats, ints) -> dict[str, np.ndarray]:
    """tap -> (signal power, noise power), over windows from the zero state."""
    cfg, k = world.cfg, world.context_len
    length = min(TAP_FRAMES, len(floats) - 1) if world.arch.recurrent else k
    count = min(TAP_FRAMES, len(floats) - 1) // length
    rows = np.arange(count)[:, None] * length + np.arange(length + 1)
    f, i = jnp.asarray(floats[rows]), jnp.asarray(ints[rows], jnp.int32)
    frames = jax.tree.map(jnp.asarray, from_floats(cfg, floats[rows], ints[rows]))
    theirs = nnx.jit(_float_taps)(model, f, i)
    ours = jax.jit(_integer_taps)(world, frames)
    found = {}
    for name, value in theirs.items():
        signal = np.asarray(value, np.float64)
        code = _tap_scale(name, scales)
        noise = np.asarray(ours[name], np.float64) * code - signal
        found[name] = np.array([np.sum(signal**2), np.sum(noise**2)])
    return found


def _tap_scale(name: str, scales: dict[str, Any]) -> float:
    """The real value of a tap's code."""
    if name.endswith(".normed"):
        return scales["layers"][int(name.split(".")[1])]["normed"]
    return scales["hidden" if name == "final_norm" else "residual"]


def _float_taps(model, floats, ints) -> dict[str, jax.Array]:
    pads = controllers(model.cfg, floats)
    ctrl = control_features(model.cfg, pads[:, 1:], pads[:, :-1])
    h, _, taps = model.trunk(floats[:, :-1], ints[:, :-1], ctrl)
    x = taps["frame_proj"]
    found = {"frame_proj": x}
    for i in range(model.n_layers):
        found[f"layers.{i}.normed"] = taps[f"L{i}_norm"]
        x = x + taps[f"L{i}_out_proj"]
        found[f"layers.{i}.residual"] = x
    return found | {"final_norm": h}


def _integer_taps(world: Int8World, frames: GameFrame) -> dict[str, jax.Array]:
    """The same taps as codes: `awm_jax.int8.mamba2.trunk_step`, every step of it kept."""
    params, arch = world.params, world.arch
    tables = params.tables

    def step(state, row):
        frame, after = row
        codes = frame_codes(
            params.inputs, arch.cfg, frame, after if arch.variant.control_first else frame.pads
        )
        x = mixed(params.frame_proj, *codes)
        found, new = {"frame_proj": x}, []
        for i, layer in enumerate(params.layers):
            norm = layer.norm
            found[f"layers.{i}.normed"] = fixed.norm(
                x, norm.eps, norm.w, norm.shift, tables.rsqrt, arch.code_max
            )
            x, h, conv = layer_step(layer, tables, arch, x, *state[i])
            new.append((h, conv))
            found[f"layers.{i}.residual"] = x
        norm = params.final_norm
        out = fixed.norm(x, norm.eps, norm.w, norm.shift, tables.rsqrt, fixed.WIDE_MAX)
        return tuple(new), found | {"final_norm": out}

    def one(window):
        zero = initial_state(arch)
        start = tuple((zero.ssm[i], zero.conv[i]) for i in range(arch.n_layers))
        before = jax.tree.map(lambda v: v[:-1], window)
        return jax.lax.scan(step, start, (before, window.pads[1:]))[1]

    return jax.vmap(one)(frames)


def _snr(taps: list[dict[str, np.ndarray]]) -> dict[str, float]:
    totals = {name: np.sum([t[name] for t in taps], axis=0) for name in taps[0]}
    return {
        name: float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))
        for name, (signal, noise) in totals.items()
    }


def _drift(cfg, rollout, floating: Fp32World, world: Int8World, theirs: Frames, ours: GameFrame):
    """(3, len(HORIZONS), 2) mean distances in x, y: float-integer, float-real, integer-real."""
    k, most = world.context_len, max(HORIZONS)
    starts = np.linspace(0, len(ours.stage) - k - most, STARTS).astype(int)
    rows = starts[:, None] + np.arange(k + most)
    theirs, ours = (jax.tree.map(lambda v: v[rows], f) for f in (theirs, ours))
    pads = jnp.asarray(pads_to_floats(np.asarray(ours.pads)), jnp.float32)
    a = decode_floats(cfg, rollout(floating, theirs, pads))
    b = decode_frame(rollout(world, ours, ours.pads))
    real = decode_frame(jax.tree.map(lambda v: v[:, k:], ours))
    where = [columns(cfg)["x"], columns(cfg)["y"]]
    at = np.array(HORIZONS) - 1
    p, q, r = (d.cont[:, at][..., where] for d in (a, b, real))
    return np.stack([np.abs(p - q), np.abs(p - r), np.abs(q - r)]).mean(axis=(1, 3))


def _mean_drift(drifts: list[np.ndarray]) -> dict[str, dict[str, dict[str, float]]]:
    joined = np.mean(drifts, axis=0)
    names = ("float_integer", "float_real", "integer_real")
    return {
        str(h): {
            name: {"x": float(joined[j, n, 0]), "y": float(joined[j, n, 1])}
            for j, name in enumerate(names)
        }
        for n, h in enumerate(HORIZONS)
    }
