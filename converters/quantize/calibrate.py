"""Ranges of a float world's activations over real sequences: what static scales are made from.

Every range is per layer and, where a scale may be, per channel or head. The network runs teacher-
forced from a zero state, in chunks, the state carried.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import FrameStackMamba2, Mamba2State
from awm_jax.game.frames import control_features, controllers
from awm_jax.int8.mamba2 import DRIVE_ROOM

# A head's scale holds this share of its drives; the rest saturate.
QUANTILE = 0.9999
CLIPS = 2.0 ** (np.arange(-8, 33) / 4)


@dataclasses.dataclass
class Ranges:
    """Largest absolute values seen, over everything but the axes named.

    Attributes:
      residual: () over all layers.
      normed, gated, y, gate: (layers,).
      normed_error, gated_error: (layers, len(CLIPS)) summed squared error of rounding to +-127
        steps of CLIPS / 127.
      conv_in: (layers, channels) inputs of the convolution.
      b, c: (layers, N) after SiLU.
      state: (layers, H, N) of the scan's state.
      drive: (layers, H) of dt |x| / min(1, 16 (1 - exp(A dt))): what a drive must hold.
      read: (layers, H, P) of the scan's output without D.
      hidden: () of the final norm and of its sum with the controller's part.
      pre_head: () of the variant's layer before the heads.
      logits: () of the categorical outputs.
    """

    residual: np.ndarray
    normed: np.ndarray
    gated: np.ndarray
    normed_error: np.ndarray
    gated_error: np.ndarray
    y: np.ndarray
    gate: np.ndarray
    conv_in: np.ndarray
    b: np.ndarray
    c: np.ndarray
    state: np.ndarray
    drive: np.ndarray
    read: np.ndarray
    hidden: np.ndarray
    pre_head: np.ndarray
    logits: np.ndarray

    def merge(self, other: Ranges) -> Ranges:
        def join(name, mine):
            return (np.add if name.endswith("_error") else np.maximum)(mine, getattr(other, name))

        return Ranges(**{name: join(name, mine) for name, mine in vars(self).items()})

    def code(self, layer: int, name: str, most: int) -> float:
        """The real value of a code of `normed` or `gated`: for 127 steps the one with least error,
        for 15 bits the one that holds all that was seen."""
        if most > 127:
            return float(getattr(self, name)[layer]) * 1.25 / most
        return float(CLIPS[np.argmin(getattr(self, f"{name}_error")[layer])]) / most


def calibrate(
    model: FrameStackMamba2,
    sequences: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    window: int | None = None,
    on_frames: Callable[[int], object] | None = None,
) -> Ranges:
    """Ranges over encoded games, each floats (T, F) and ints (T, I), T >= 2.

    Args:
      window: start from the zero state at every `window` frames, as a windowed world does; None
        carries the state through a whole game.
      on_frames: called with the number of frames since the last call.

    Raises:
      AwmError: there are no frames, or the network makes values of them that are no numbers.
    """
    graphdef, params = nnx.split(model)
    chunk = jax.jit(lambda *args: _chunk(graphdef, *args))
    windows = jax.jit(lambda *args: _windows(graphdef, *args))
    ranges: Ranges | None = None
    for floats, ints in sequences:
        state = model.init_state((1,))
        for start, stop in _spans(len(floats) - 1, window):
            f = jnp.asarray(floats[start : stop + 1])
            i = jnp.asarray(ints[start : stop + 1], jnp.int32)
            if window is None:
                found, state = chunk(params, f[None], i[None], state)
            else:
                rows = np.arange(0, stop - start, window)[:, None] + np.arange(window + 1)
                found = windows(params, f[rows][:, None], i[rows][:, None])
            found = Ranges(**{k: np.asarray(v, np.float64) for k, v in found.items()})
            ranges = found if ranges is None else ranges.merge(found)
            if on_frames is not None:
                on_frames(stop - start)
    if ranges is None:
        raise AwmError("no frames to calibrate on; give more or longer replays")
    for name, value in vars(ranges).items():
        if not np.isfinite(value).all():
            raise AwmError(f"the network's {name} is not finite on these frames")
    return ranges


CHUNK = 256


def _spans(length: int, window: int | None) -> Iterator[tuple[int, int]]:
    """Chunks of `length` frames, all alike but for a game shorter than one; whole windows."""
    chunk = CHUNK if window is None else window * max(1, CHUNK // window)
    if length < chunk:
        chunk = length if window is None else length // window * window
    for start in range(0, length - chunk + 1, chunk) if chunk else ():
        yield start, start + chunk


def _windows(graphdef, params, floats, ints) -> dict[str, jax.Array]:
    """`_chunk` of (n, 1, K + 1, F) windows, each from the zero state, joined."""

    def one(floats, ints):
        model = nnx.merge(graphdef, params)
        return _chunk(graphdef, params, floats, ints, model.init_state((1,)))[0]

    found = jax.vmap(one)(floats, ints)
    return {
        name: jnp.sum(v, axis=0) if name.endswith("_error") else jnp.max(v, axis=0)
        for name, v in found.items()
    }


def _chunk(graphdef, params, floats, ints, state: Mamba2State):
    model = nnx.merge(graphdef, params)
    cfg = model.cfg
    pads = controllers(cfg, floats)
    ctrl = control_features(cfg, pads[:, 1:], pads[:, :-1])
    h, after, taps = model.trunk(floats[:, :-1], ints[:, :-1], ctrl, state)
    control = model.ctrl_proj(ctrl)
    last = h + control if model.pre_head is None else jax.nn.relu(model.pre_head(h + control))
    outputs = model.heads(last)
    layers = range(model.n_layers)

    def most(value, axes=None):
        return jnp.max(jnp.abs(value), axis=axes)

    def per_layer(name, axes=(0, 1)):
        return jnp.stack([most(taps[f"L{i}_{name}"], axes) for i in layers])

    def rounding(name):
        return jnp.stack([_rounding_error(taps[f"L{i}_{name}"]) for i in layers])

    e = 2 * model.d_model
    found = {"normed": per_layer("norm", None), "gated": per_layer("gated_norm", None)}
    found |= {"normed_error": rounding("norm"), "gated_error": rounding("gated_norm")}
    found["y"] = per_layer("y_plus_D", None)
    found["read"] = per_layer("scan")
    found["b"], found["c"] = per_layer("B"), per_layer("C")
    found["conv_in"] = per_layer("in_proj")[:, e : 2 * e + 2 * model.d_state]
    residual, gate, states, drive = [most(taps["frame_proj"])], [], [], []
    x = taps["frame_proj"]
    for i in layers:
        tap = {k: taps[f"L{i}_{k}"] for k in ("x", "dt", "A", "B", "z", "y_plus_D", "out_proj")}
        x = x + tap["out_proj"]
        residual.append(most(x))
        y = tap["y_plus_D"].reshape(tap["z"].shape)
        gate.append(most(y * jax.nn.silu(tap["z"])))
        keep = 1 - jnp.exp(tap["A"][None, None] * tap["dt"])
        room = jnp.minimum(1.0, keep * DRIVE_ROOM)
        force = tap["dt"][..., None] * jnp.abs(tap["x"]) / room[..., None]
        drive.append(jnp.quantile(force, QUANTILE, axis=(0, 1, 3)))
        states.append(_largest_state(tap, state.ssm[i]))
    found |= {"residual": jnp.stack(residual).max(), "gate": jnp.stack(gate)}
    found |= {"state": jnp.stack(states), "drive": jnp.stack(drive)}
    found["hidden"] = jnp.maximum(most(h), most(h + control))
    found["pre_head"] = most(last)
    logits = [v for k, v in outputs.items() if k.endswith("logits") and k != "binary_logits"]
    found["logits"] = jnp.stack([most(v) for v in logits]).max()
    return found, after


def _rounding_error(values: jax.Array) -> jax.Array:
    """(len(CLIPS),): summed squared error of `values` in 127 steps up to each clip."""
    step = jnp.asarray(CLIPS / 127, values.dtype)

    def error(step):
        return jnp.sum(jnp.square(jnp.clip(jnp.round(values / step), -127, 127) * step - values))

    return jax.lax.map(error, step)


def _largest_state(tap, state):
    """(H, N): the largest |h| over frames and channels."""
    decay = jnp.exp(tap["A"][None, None] * tap["dt"])[0]
    drive = (tap["dt"][..., None] * tap["x"])[0]

    def body(carry, frame):
        h, largest = carry
        a, u, b = frame
        h = a[:, None, None] * h + u[..., None] * b[None, None]
        return (h, jnp.maximum(largest, jnp.max(jnp.abs(h), axis=1))), None

    start = state[0], jnp.zeros((state.shape[1], state.shape[3]), state.dtype)
    (_, largest), _ = jax.lax.scan(body, start, (decay, drive, tap["B"][0]))
    return largest
