"""Integer parameters in and out of a cartridge.

The int8 weights are slices of weights_int8.bin, by the keys of the state dict; every other array
lies in extra.bin under its path in the pytree, such as `layers.0.scan.decay_m`, in the narrowest
dtype that holds it. The manifest's `int8` holds what shapes the machine beyond the network:
`planes`, `variant`, and `scales`, the real value of each code, which only reports read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.fp32.weights import torch_shapes
from awm_jax.int8 import bounds
from awm_jax.int8.params import Arch, WorldParams, control_columns, frame_columns
from awm_jax.int8.policy import PolicyArch, PolicyParams
from awm_jax.variant import Variant
from converters.cartridge import Cartridge
from converters.checkpoint import Spec
from converters.quantize.entries import is_int, show
from converters.quantize.extra import DTYPES
from converters.quantize.template import (
    BINARY,
    LOGITS,
    NUMERIC,
    POLICY_HEADS,
    policy_columns,
    policy_template,
    world_template,
)
from converters.source import read_variant

Weight = Callable[[str], np.ndarray]


def world_weights(arch: Arch, weight: Weight) -> dict[str, np.ndarray]:
    """Path in `WorldParams` -> int8 array, from state-dict key -> int8 tensor."""
    found: dict[str, np.ndarray] = {}
    splits = {"frame_proj": frame_columns(arch.cfg, arch.variant)}
    splits["ctrl_proj"] = control_columns(arch.cfg)
    for name, (wide, narrow) in splits.items():
        whole = weight(f"{name}.weight")
        found[f"{name}.w_wide"] = whole[:, list(wide)]
        found[f"{name}.w_narrow"] = whole[:, list(narrow)]
    for i in range(arch.n_layers):
        key = f"layers.{i}.mamba"
        found[f"layers.{i}.in_proj.w"] = weight(f"{key}.in_proj.weight")
        found[f"layers.{i}.conv_w"] = weight(f"{key}.conv1d.weight")[:, 0, :]
        found[f"layers.{i}.out_proj.w"] = weight(f"{key}.out_proj.weight")
    if arch.variant.head_hidden:
        found["heads.hidden.w"] = weight("pre_head.weight")
    for name, heads in (("numeric_w", NUMERIC), ("binary_w", BINARY), ("logits.w", LOGITS)):
        found[f"heads.{name}"] = np.concatenate([weight(f"{head}.weight") for head in heads])
    return found


def policy_weights(arch: PolicyArch, weight: Weight) -> dict[str, np.ndarray]:
    """The same for `PolicyParams`."""
    wide, narrow = policy_columns(arch)
    hidden = weight("trunk.0.weight")
    return {
        "hidden.w_wide": hidden[:, list(wide)],
        "hidden.w_narrow": hidden[:, list(narrow)],
        "trunk.w": weight("trunk.3.weight"),
        "heads.w": np.concatenate([weight(f"{head}.weight") for head in POLICY_HEADS]),
    }


def pack_world(params: WorldParams, arch: Arch) -> dict[str, np.ndarray]:
    """What extra.bin holds of a world.

    Raises:
      AwmError: the parameters could overflow (`awm_jax.int8.bounds`) or do not fit `arch`.
    """
    bounds.check(params, arch)
    return pack_tree(params, world_template(arch))


def pack_policy(params: PolicyParams, arch: PolicyArch) -> dict[str, np.ndarray]:
    """`pack_world` for a policy."""
    bounds.check_policy(params, arch)
    return pack_tree(params, policy_template(arch))


def load_world(cartridge: Cartridge) -> tuple[WorldParams, Arch]:
    """The integer world of a cartridge, all shapes and bounds checked.

    Raises:
      AwmError: one line; it holds no world, lacks an array, has one of another shape, or a bound
        does not hold.
    """
    arch = world_arch(cartridge)
    spec = Spec(
        "mamba2",
        arch.cfg,
        arch.context_len,
        {
            "d_model": arch.d_model,
            "d_state": arch.d_state,
            "n_layers": arch.n_layers,
            "headdim": arch.headdim,
        },
        arch.variant,
    )
    _check_keys(cartridge, spec)
    weights = world_weights(arch, cartridge.weight)
    params = unpack_tree(cartridge.extra, weights, world_template(arch))
    bounds.check(params, arch)
    return jax.tree.map(jnp.asarray, params), arch


def load_policy(cartridge: Cartridge) -> tuple[PolicyParams, PolicyArch]:
    """The integer policy of a cartridge, all shapes and bounds checked.

    Raises:
      AwmError: as `load_world`.
    """
    arch = policy_arch(cartridge)
    dims = {"hidden_dim": arch.hidden_dim, "trunk_dim": arch.trunk_dim}
    _check_keys(cartridge, Spec("policy", arch.cfg, arch.context_len, dims))
    weights = policy_weights(arch, cartridge.weight)
    params = unpack_tree(cartridge.extra, weights, policy_template(arch))
    bounds.check_policy(params, arch)
    return jax.tree.map(jnp.asarray, params), arch


def world_arch(cartridge: Cartridge) -> Arch:
    """The shape of a cartridge's world, as its manifest states it.

    Raises:
      AwmError: it is no Mamba2 world, or `int8` is not as `pack` writes it.
    """
    if cartridge.model_type != "mamba2":
        raise AwmError(f"it holds a {cartridge.model_type}, not a Mamba2 world")
    section = cartridge.manifest["int8"]
    planes = section.get("planes")
    if not is_int(planes) or planes not in (1, 2):
        raise AwmError(f"int8.planes is {show(planes)}, must be 1 or 2")
    if "variant" not in section:
        raise AwmError("int8.variant is missing: it was not written by awm-convert quantize")
    widths = cartridge.manifest["architecture"]
    check_playable(cartridge.config)
    return Arch(
        cfg=cartridge.config,
        d_model=widths["d_model"],
        d_state=widths["d_state"],
        n_layers=widths["n_layers"],
        headdim=widths["headdim"],
        context_len=cartridge.context_len,
        recurrent=cartridge.recurrent,
        planes=planes,
        variant=read_variant(section),
    )


def policy_arch(cartridge: Cartridge) -> PolicyArch:
    """The shape of a cartridge's policy.

    Raises:
      AwmError: it is no policy.
    """
    if cartridge.model_type != "policy":
        raise AwmError(f"it holds a {cartridge.model_type}, not a policy")
    widths = cartridge.manifest["architecture"]
    return PolicyArch(
        cartridge.config, cartridge.context_len, widths["hidden_dim"], widths["trunk_dim"]
    )


def int8_section(planes: int, variant: Variant, scales: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest's `int8` of a world."""
    return {"planes": planes, "variant": dataclasses.asdict(variant), "scales": dict(scales)}


def check_playable(cfg: EncodingConfig) -> None:
    """Refuse a world that no integer machine plays."""
    if cfg.lookahead:
        raise AwmError(
            f"this world was trained with lookahead {cfg.lookahead}: it needs controllers of "
            "frames that no agent has played yet, so it can be evaluated but not played"
        )


def _named(tree) -> dict[str, Any]:
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in flat}


def _is_weight(name: str, leaf) -> bool:
    """Whether it comes from weights_int8.bin."""
    return leaf.dtype == jnp.int8 and not name.startswith("inputs.embeddings.")


def pack_tree(params, template) -> dict[str, np.ndarray]:
    values, extra = _named(params), {}
    for name, want in _named(template).items():
        value = np.asarray(values[name])
        if value.shape != want.shape:
            raise AwmError(f"{name} is {value.shape}, not {want.shape}")
        if value.size and not _is_weight(name, want):
            extra[name] = narrow(value)
    return extra


def narrow(values: np.ndarray) -> np.ndarray:
    """The same integers in the smallest dtype of extra.bin that holds them, signed if it may be."""
    least, most = int(values.min()), int(values.max())
    fitting = [
        info for info in map(np.iinfo, DTYPES.values()) if info.min <= least and most <= info.max
    ]
    return values.astype(min(fitting, key=lambda info: info.bits).dtype)


def _check_keys(cartridge: Cartridge, spec: Spec) -> None:
    wanted = torch_shapes(spec.abstract())
    for key, shape in wanted.items():
        if key not in cartridge.entries:
            raise AwmError(f"weight {key} is missing")
        if cartridge.entries[key].shape != shape:
            raise AwmError(f"weight {key} is {cartridge.entries[key].shape}, not {shape}")
    for key in cartridge.entries:
        if key not in wanted:
            raise AwmError(f"weight {show(key)} is none of this network's")


def unpack_tree(
    extra: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray], template
) -> Any:
    leaves, named = [], _named(template)
    for name, want in named.items():
        value = weights.get(name)
        if value is None:
            value = _stored(extra, name, want.shape)
        if want.dtype == jnp.int8 and value.dtype != np.int8:
            raise AwmError(f"extra array {name} is {value.dtype}, not int8")
        if value.shape != want.shape:
            raise AwmError(f"{name} is {value.shape}, not {want.shape}")
        if value.size and value.max() >= 1 << 31:
            raise AwmError(f"{name} holds {value.max()}, which is outside 32 bits")
        leaves.append(np.ascontiguousarray(value.astype(want.dtype)).reshape(want.shape))
    surplus = sorted(set(extra) - (set(named) - set(weights)))
    if surplus:
        raise AwmError(f"extra array {surplus[0]} is none of this machine's")
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def _stored(extra: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name in extra:
        return extra[name]
    if 0 not in shape:
        raise AwmError(f"extra array {name} is missing")
    return np.zeros(shape, np.int8)
