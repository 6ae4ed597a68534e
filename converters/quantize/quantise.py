"""A float checkpoint -> a cartridge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from awm_jax.encoding import (
    EncodingConfig,
    float_names,
    float_scales,
    int_names,
    int_vocabs,
)
from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import FrameStackMamba2
from awm_jax.fp32.policy import PolicyMLP
from awm_jax.int8.luts import default_luts
from awm_jax.int8.params import Arch
from converters.cartridge import Cartridge, make_cartridge
from converters.cartridge_manifest import MODES
from converters.checkpoint import Checkpoint
from converters.quantize.build import build_world
from converters.quantize.calibrate import calibrate
from converters.quantize.manifest import weight_fields
from converters.quantize.pack import check_playable, int8_section, pack_policy, pack_world
from converters.quantize.policy import build_policy, calibrate_policy
from converters.quantize.weights import quantize_state_dict
from converters.source import NO_VARIANT

Sequences = Iterable[tuple[np.ndarray, np.ndarray]]


def world_model(checkpoint: Checkpoint) -> FrameStackMamba2:
    """The checkpoint's Mamba2 world.

    Raises:
      AwmError: it is another network, or one that can't be played.
    """
    model = checkpoint.model
    if not isinstance(model, FrameStackMamba2):
        raise AwmError(f"it is a {checkpoint.arch}; the integer machine runs Mamba2 worlds")
    check_playable(model.cfg)
    return model


def arch_of(model: FrameStackMamba2, mode: str | None = None, planes: int = 1) -> Arch:
    """The integer world's shape.

    Args:
      mode: "recurrent" or "windowed"; None takes what the network was trained as: a founders'
        one, which is no variant, looks at windows, one of ours carries its state.
      planes: int8 planes of the codes that enter in_proj and out_proj, 1 or 2.

    Raises:
      AwmError: another mode or number of planes.
    """
    if mode is None:
        mode = "windowed" if model.variant == NO_VARIANT else "recurrent"
    if mode not in MODES:
        raise AwmError(f"no mode {mode!r}; give {' or '.join(MODES)}")
    if planes not in (1, 2):
        raise AwmError(f"{planes} planes; give 1 or 2")
    return Arch(
        cfg=model.cfg,
        d_model=model.d_model,
        d_state=model.d_state,
        n_layers=model.n_layers,
        headdim=model.headdim,
        context_len=model.context_len,
        recurrent=mode == "recurrent",
        planes=planes,
        variant=model.variant,
    )


def quantise(
    checkpoint: Checkpoint,
    sequences: Sequences,
    *,
    mode: str | None = None,
    planes: int = 1,
    policies: Mapping[str, Cartridge] | None = None,
    calibration: Mapping[str, Any] | None = None,
    on_frames: Callable[[int], object] | None = None,
) -> Cartridge:
    """The integer world of a checkpoint, scales from real frames.

    Args:
      sequences: encoded games, floats (T, F) and ints (T, I), T >= 2.
      mode, planes: see `arch_of`.
      policies: name -> `quantise_policy`.
      calibration: what the frames were, for the provenance.
      on_frames: called with the number of frames since the last call.

    Raises:
      AwmError: the network can't be played or can't be held in 32 bits; says why.
    """
    model = world_model(checkpoint)
    arch = arch_of(model, mode, planes)
    window = None if arch.recurrent else arch.context_len
    ranges = calibrate(model, sequences, window=window, on_frames=on_frames)
    tensors = checkpoint.state_dict()
    params, scales = build_world(arch, tensors, ranges, checkpoint.codes)
    quantized = quantize_state_dict(tensors)
    return make_cartridge(
        weights=quantized.data,
        luts=default_luts().tobytes(),
        manifest={
            **weight_fields(quantized),
            "encoding_config": arch.cfg.to_dict(),
            "mode": {
                "kind": MODES[0] if arch.recurrent else MODES[1],
                "context_len": arch.context_len,
            },
            "int8": int8_section(planes, arch.variant, scales),
            "provenance": _provenance(checkpoint, calibration),
        },
        extra=pack_world(params, arch),
        policies=policies,
    )


def quantise_policy(
    checkpoint: Checkpoint, sequences: Sequences, calibration: Mapping[str, Any] | None = None
) -> Cartridge:
    """The integer policy of a checkpoint; `sequences` are in the policy's own encoding.

    Raises:
      AwmError: it is no policy, or can't be held in 32 bits.
    """
    model = checkpoint.model
    if not isinstance(model, PolicyMLP):
        raise AwmError(f"it is a {checkpoint.arch} world model, not a policy")
    params, arch, scales = build_policy(model, calibrate_policy(model, sequences))
    quantized = quantize_state_dict(checkpoint.state_dict())
    return make_cartridge(
        weights=quantized.data,
        luts=default_luts().tobytes(),
        manifest={
            **weight_fields(quantized),
            "encoding_config": arch.cfg.to_dict(),
            "mode": {"kind": MODES[1], "context_len": arch.context_len},
            "int8": {"scales": scales},
            "provenance": _provenance(checkpoint, calibration),
        },
        extra=pack_policy(params, arch),
    )


def policy_sequences(
    sequences: Iterable[tuple[np.ndarray, np.ndarray]],
    world: EncodingConfig,
    policy: EncodingConfig,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames of a world as a policy of another encoding sees them, column by column, by name.

    Raises:
      AwmError: the world lacks a column that the policy looks at.
    """

    def places(wanted: tuple[str, ...], present: tuple[str, ...]) -> list[int]:
        missing = [name for name in wanted if name not in present]
        if missing:
            raise AwmError(f"the policy looks at {missing[0]}, which this world lacks")
        block = [present.index(name) for name in wanted]
        return block + [len(present) + column for column in block]

    floats_at = places(float_names(policy), float_names(world))
    ints_at = [*places(int_names(policy), int_names(world)), 2 * world.int_per_player]
    before = np.tile(float_scales(world), 2)[floats_at]
    scale = (np.tile(float_scales(policy), 2) / before).astype(np.float32)
    most = np.array(int_vocabs(policy)) - 1
    return [(f[:, floats_at] * scale, np.minimum(i[:, ints_at], most)) for f, i in sequences]


def _provenance(checkpoint: Checkpoint, calibration: Mapping[str, Any] | None) -> dict[str, Any]:
    found = dataclasses.asdict(checkpoint.provenance)
    return found | {"calibration": dict(calibration or {})}
