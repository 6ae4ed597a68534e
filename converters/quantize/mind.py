"""A float Mental World Model and its ranges -> the integer one: docs/integer-spec.md section 11."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.int8 import tables
from awm_jax.int8.fixed import I16_MAX, WIDE_MAX
from awm_jax.int8.luts import default_luts
from awm_jax.int8.mind import MindArch, MindParams, Perceptron
from awm_jax.int8.senses import ONE, make_senses
from awm_jax.mwm.features import scale_gwm
from awm_jax.mwm.melee import action_features
from awm_jax.mwm.network import MentalWorldModelModule, Mind
from awm_jax.mwm.training.steps import Steps
from awm_jax.mwm.weights import to_torch_dict
from converters.cartridge import Cartridge, make_cartridge
from converters.cartridge_manifest import MODES
from converters.mwm import MwmCheckpoint
from converters.quantize.build import (
    ACT,
    HEADROOM,
    Weight,
    dense,
    integers,
    norm,
    not_finer,
    quantised,
)
from converters.quantize.manifest import weight_fields
from converters.quantize.mind_pack import pack_mind
from converters.quantize.weights import quantize_state_dict

MARGIN = 1.25
PARTS = {"world": "gwm_encoder", "own": "self_encoder", "affect": "affect_decoder"}
"""Perceptrons of the integer mind, by what the float one calls them."""


@dataclasses.dataclass(frozen=True)
class MindRanges:
    """Largest absolute values seen.

    Attributes:
      hidden, rectified: of each perceptron, before its norm, without the mean, and after its ReLU.
      encoded: what both encoders give. affect: what the decoder gives.
    """

    hidden: Mapping[str, float]
    rectified: Mapping[str, float]
    encoded: float
    affect: float


def calibrate_mind(model: MentalWorldModelModule, games: Iterable[Steps]) -> MindRanges:
    """Ranges while the mind watches games and imagines every candidate at each step.

    Raises:
      AwmError: there is no game, or the mind looks at unscaled features.
    """
    if not model.scaled:
        raise AwmError("it looks at unscaled world features; only minds trained here can play")
    mind = Mind.of(model)
    found = [
        _ranges(mind, scale_gwm(jnp.asarray(game.gwm)), jnp.asarray(game.own)) for game in games
    ]
    if not found:
        raise AwmError("no game to calibrate the mind on")
    most = jax.tree.map(lambda *v: float(np.max(v)), *found)
    return MindRanges(**most)


@jax.jit
def _ranges(mind: Mind, gwm: jax.Array, own: jax.Array) -> dict[str, Any]:
    model = mind.module()

    def step(z: jax.Array, seen: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        z = model.encode(z, seen[0], None, seen[1])
        return z, z

    _, z = jax.lax.scan(step, jnp.zeros(model.latent_dim), (gwm, own))
    actions = jnp.asarray(action_features())
    shape = (len(z), len(actions))
    ahead = model.predict(
        jnp.broadcast_to(z[:, None], (*shape, z.shape[1])),
        jnp.broadcast_to(actions[None], (*shape, actions.shape[1])),
    )
    latents = jnp.concatenate([z[:, None], ahead], axis=1)
    inputs = {"world": (model.gwm_encoder, gwm), "own": (model.self_encoder, own)}
    inputs["affect"] = (model.affect_decoder, latents)
    hidden, rectified, out = {}, {}, {}
    for name, (part, x) in inputs.items():
        h = part.hidden(x)
        hidden[name] = jnp.max(jnp.abs(h - jnp.mean(h, axis=-1, keepdims=True)))
        rectified[name] = jnp.max(jax.nn.relu(part.norm(h)))
        out[name] = jnp.max(jnp.abs(part(x)))
    encoded = jnp.maximum(out["world"], out["own"])
    return {
        "hidden": hidden,
        "rectified": rectified,
        "encoded": encoded,
        "affect": out["affect"],
    }


def mind_tensors(model: MentalWorldModelModule) -> dict[str, np.ndarray]:
    """The float32 matrices that are quantised, by the reference's keys.

    Those before a layer norm have the mean of their rows taken away, and the latent's update has no
    columns for the visual latent.
    """
    whole, d = to_torch_dict(model), model.latent_dim
    kept = {}
    for name in PARTS.values():
        first = whole[f"{name}.0.weight"]
        kept[f"{name}.0.weight"] = first - first.mean(axis=0, keepdims=True, dtype=np.float32)
        kept[f"{name}.4.weight"] = whole[f"{name}.4.weight"]
    seen = whole["latent_update.weight_ih"]
    kept["latent_update.weight_ih"] = np.concatenate([seen[:, :d], seen[:, 2 * d :]], axis=1)
    for name in ("latent_update", "dynamics"):
        kept[f"{name}.weight_hh"] = whole[f"{name}.weight_hh"]
    return {key: np.ascontiguousarray(value) for key, value in kept.items()}


def build_mind(
    model: MentalWorldModelModule, ranges: MindRanges, cfg: EncodingConfig
) -> tuple[MindParams, MindArch, dict[str, float]]:
    """Integer parameters of a mind, its shape, and the real value of each code.

    Args:
      cfg: how many stages it knows.

    Raises:
      AwmError: a number of it does not fit the machine.
    """
    whole, d = to_torch_dict(model), model.latent_dim
    weights = {key: quantised(value) for key, value in mind_tensors(model).items()}
    encoded = max(ranges.encoded, 1e-6) * MARGIN / WIDE_MAX
    affect = max(ranges.affect, 1e-6) * HEADROOM / I16_MAX
    latent = 1 / WIDE_MAX

    def perceptron(name: str, code: float, most: int, out: float) -> Perceptron:
        key = PARTS[name]
        first, last = weights[f"{key}.0.weight"], weights[f"{key}.4.weight"]
        bias = whole[f"{key}.0.bias"] - whole[f"{key}.0.bias"].mean()
        seen = ranges.hidden[name] * HEADROOM / I16_MAX
        hidden = float(not_finer(seen, first.scale.max() * code))
        after = max(ranges.rectified[name], 1e-6) * MARGIN / WIDE_MAX
        return Perceptron(
            hidden=dense(first, bias, code, hidden, most),
            norm=norm(whole[f"{key}.1.weight"], hidden, after),
            beta=integers(np.rint(whole[f"{key}.1.bias"] / after)),
            out=dense(last, whole[f"{key}.4.bias"], after, _coarse(last, after, out), WIDE_MAX),
        )

    unseen = np.asarray(model.iwm_encoder(jnp.zeros(model.iwm_dim)), np.float64)
    visual = whole["latent_update.weight_ih"][:, d : 2 * d].astype(np.float64)
    update = whole["latent_update.bias_ih"] + visual @ unseen
    actions = np.asarray(model.action_encoder(jnp.asarray(action_features())), np.float64)
    drive = actions @ whole["dynamics.weight_ih"].T.astype(np.float64) + whole["dynamics.bias_ih"]

    def gates(key: str, bias: np.ndarray, code: float) -> Any:
        return dense(weights[key], bias, code, _coarse(weights[key], code, ACT), WIDE_MAX)

    params = MindParams(
        sigmoid=tables.sigmoid(),
        tanh=tables.tanh(),
        senses=make_senses(cfg.stage_vocab),
        world=perceptron("world", 1 / ONE, ONE, encoded),
        own=perceptron("own", 1 / ONE, ONE, encoded),
        seen=gates("latent_update.weight_ih", update, encoded),
        kept=gates("latent_update.weight_hh", whole["latent_update.bias_hh"], latent),
        actions=integers(np.clip(np.rint(drive / ACT), -I16_MAX, I16_MAX)),
        ahead=gates("dynamics.weight_hh", whole["dynamics.bias_hh"], latent),
        affect=perceptron("affect", latent, WIDE_MAX, affect),
        one=integers(np.rint(1 / affect)),
    )
    scales = {"encoded": encoded, "affect": affect, "latent": latent}
    return params, MindArch(d, cfg.stage_vocab), scales


def _coarse(weight: Weight, code: float, out: float) -> float:
    """The output's scale, which no accumulator may be coarser than.

    Raises:
      AwmError: it is.
    """
    if np.any(weight.scale * code >= out):
        raise AwmError("a product is coarser than what it feeds; its weights are too large")
    return out


def quantise_mind(
    checkpoint: MwmCheckpoint, games: Iterable[Steps], calibration: Mapping[str, Any] | None = None
) -> Cartridge:
    """The integer mind of a checkpoint, scales from games.

    Raises:
      AwmError: it cannot be held in 32 bits, or looks at unscaled features.
    """
    model, cfg = checkpoint.model, EncodingConfig()
    params, arch, scales = build_mind(model, calibrate_mind(model, games), cfg)
    quantized = quantize_state_dict(mind_tensors(model))
    provenance = dataclasses.asdict(checkpoint.provenance)
    return make_cartridge(
        weights=quantized.data,
        luts=default_luts().tobytes(),
        manifest={
            **weight_fields(quantized),
            "encoding_config": cfg.to_dict(),
            "mode": {"kind": MODES[0], "context_len": 1},
            "int8": {"scales": scales},
            "provenance": provenance | {"calibration": dict(calibration or {})},
        },
        extra=pack_mind(params, arch),
    )
