"""An integer mind in and out of a cartridge, as `converters.quantize.pack` does worlds."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.errors import AwmError
from awm_jax.int8.mind import MindArch, MindParams, Perceptron
from awm_jax.int8.mind_bounds import check_mind
from awm_jax.int8.senses import Senses
from awm_jax.mwm.features import AFFECT_DIM, GWM_DIM, SELF_DIM
from awm_jax.mwm.melee import CANDIDATES, MAX_COVERS
from awm_jax.mwm.network import HIDDEN
from converters.cartridge import Cartridge
from converters.quantize.entries import show
from converters.quantize.pack import pack_tree, unpack_tree
from converters.quantize.template import (
    ACTIVATION,
    RSQRT,
    dense_shapes,
    int32_shape,
    norm_shapes,
)

MODEL_TYPE = "mwm"
ARC = 92
WEIGHTS = {
    "world.hidden.w": "gwm_encoder.0.weight",
    "world.out.w": "gwm_encoder.4.weight",
    "own.hidden.w": "self_encoder.0.weight",
    "own.out.w": "self_encoder.4.weight",
    "seen.w": "latent_update.weight_ih",
    "kept.w": "latent_update.weight_hh",
    "ahead.w": "dynamics.weight_hh",
    "affect.hidden.w": "affect_decoder.0.weight",
    "affect.out.w": "affect_decoder.4.weight",
}
"""Path in `MindParams` -> key in weights_int8.bin."""


def mind_template(arch: MindArch) -> MindParams:
    """`MindParams` with a `jax.ShapeDtypeStruct` for each array."""
    d, stages, i32 = arch.latent_dim, arch.stages, int32_shape

    def perceptron(part: str, inputs: int, outputs: int) -> Perceptron:
        width = HIDDEN[part]
        return Perceptron(
            hidden=dense_shapes(width, inputs),
            norm=norm_shapes(width),
            beta=i32(width),
            out=dense_shapes(outputs, width),
        )

    return MindParams(
        sigmoid=i32(ACTIVATION),
        tanh=i32(ACTIVATION),
        senses=Senses(
            rsqrt=i32(RSQRT),
            arc=i32(ARC),
            places=i32(stages, MAX_COVERS, 2),
            ratings=i32(stages, MAX_COVERS),
            edges=i32(stages),
        ),
        world=perceptron("gwm_encoder", GWM_DIM, d),
        own=perceptron("self_encoder", SELF_DIM, d),
        seen=dense_shapes(3 * d, 2 * d),
        kept=dense_shapes(3 * d, d),
        actions=i32(CANDIDATES, 3 * d),
        ahead=dense_shapes(3 * d, d),
        affect=perceptron("affect_decoder", d, AFFECT_DIM),
        one=i32(),
    )


def pack_mind(params: MindParams, arch: MindArch) -> dict[str, np.ndarray]:
    """What extra.bin holds of a mind.

    Raises:
      AwmError: the parameters could overflow or do not fit `arch`.
    """
    check_mind(params)
    return pack_tree(params, mind_template(arch))


def load_mind(cartridge: Cartridge) -> tuple[MindParams, MindArch]:
    """The integer mind of a cartridge, all shapes and bounds checked.

    Raises:
      AwmError: one line; it holds no mind, lacks an array, has one of another shape, or a bound
        does not hold.
    """
    if cartridge.model_type != MODEL_TYPE:
        raise AwmError(f"it holds a {cartridge.model_type}, not a mind")
    width = cartridge.manifest["architecture"]["latent_dim"]
    arch = MindArch(width, cartridge.config.stage_vocab)
    for key in WEIGHTS.values():
        if key not in cartridge.entries:
            raise AwmError(f"weight {key} is missing")
    for key in cartridge.entries:
        if key not in WEIGHTS.values():
            raise AwmError(f"weight {show(key)} is none of a mind's")
    weights = {path: cartridge.weight(key) for path, key in WEIGHTS.items()}
    params = unpack_tree(cartridge.extra, weights, mind_template(arch))
    check_mind(params)
    return jax.tree.map(jnp.asarray, params), arch
