"""From the shapes of a state dict and what its file states to everything that shapes a network.

What is stated binds. What is not stated takes its default where the shapes allow that, else the
only value that fits; where several fit, or none, the file is refused. A width is taken from most of
the tensors that show it, so that one wrong tensor is found and named instead of believed.
"""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from awm_jax.encoding import (
    CATEGORICAL,
    POLICY_OUTPUTS,
    PREDICTED_CATEGORICAL,
    EncodingConfig,
    world_outputs,
)
from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import EXPAND
from awm_jax.fp32.weights import head_key
from awm_jax.mwm.weights import LATENT_KEY
from awm_jax.variant import Variant
from converters.checkpoint import Spec
from converters.source import NO_VARIANT, Settings

Shapes = Mapping[str, tuple[int, ...]]
DEFAULT_CONTEXT_LEN = 10
MAX_POLICY_CONTEXT = 120
LAYER = re.compile(r"layers\.([0-9]{1,6})\.")
# Flags that change a width, by architecture; the lookahead is found by division.
_FLAGS = {
    "mamba2": ("hitstun", "state_flags", "projectiles", "press_events", "ctrl_threshold_features"),
    "policy": ("hitstun", "state_flags", "projectiles"),
}
_FLAGS["mlp"] = _FLAGS["mamba2"]
STATE_AGE = "state_age_embed.weight"
STATE_AGE_FIELDS = ("state_age_embed_vocab", "state_age_embed_dim")


def infer(shapes: Shapes, settings: Settings) -> tuple[Spec, tuple[str, ...]]:
    """The network that a state dict belongs to, and notes on what was not stated.

    Args:
      shapes: state-dict key -> shape; every dimension at least 1.
      settings: what the file states.

    Raises:
      AwmError: names the key or field that is missing, contradictory or ambiguous.
    """
    arch = infer_arch(shapes)
    if settings.arch not in (None, arch):
        raise AwmError(f"the file says {settings.arch}, its keys are those of {arch}")
    if settings.variant != NO_VARIANT and arch != "mamba2":
        raise AwmError(f"the file states a variant, which {arch} has none of")
    if settings.codes is not None and arch != "mamba2":
        raise AwmError(f"the file states codes, which {arch} has none of")
    dims = mamba2_dims(shapes, settings.variant) if arch == "mamba2" else mlp_dims(shapes)
    stated = dict(settings.fields)
    _state_age(shapes, stated, settings.section)
    fields = stated | _tables(shapes, stated, settings.section)
    config, context_len = _flags(arch, shapes, fields, settings)
    spec = Spec(arch, config, context_len, dims, settings.variant, settings.codes)
    return spec, _notes(spec, settings)


def infer_arch(shapes: Shapes) -> str:
    """ "policy", "mamba2" or "mlp", by the names of the keys alone (T48)."""
    if any(key.startswith(("analog_head.", "button_head.")) for key in shapes):
        return "policy"
    if any(LAYER.match(key) and ".mamba." in key for key in shapes):
        return "mamba2"
    if any(key.startswith("trunk.") for key in shapes):
        return "mlp"
    if LATENT_KEY in shapes:
        raise AwmError("a Mental World Model, neither a world nor a policy (load_mwm reads it)")
    raise AwmError("holds none of our networks: it has neither layers.0.mamba.* nor trunk.0.weight")


def size(shapes: Shapes, key: str, rank: int, axis: int, less: int = 0) -> list[int]:
    """One vote for a width, or none where the tensor is missing or of another rank."""
    shape = shapes.get(key, ())
    return [shape[axis] - less] if len(shape) == rank else []


def elect(votes: Iterable[list[int]], key: str) -> int:
    """The commonest size; without any vote, `key` is missing."""
    counted = collections.Counter(itertools.chain.from_iterable(votes))
    if not counted:
        raise AwmError(f"missing {key}")
    return counted.most_common(1)[0][0]


def _shape(shapes: Shapes, key: str) -> tuple[int, ...]:
    if key not in shapes:
        raise AwmError(f"missing {key}")
    return shapes[key]


def layer_numbers(shapes: Shapes) -> list[int]:
    """The layers present, ascending.

    Raises:
      AwmError: a number is missing between them (T52).
    """
    present = sorted({int(m[1]) for key in shapes if (m := LAYER.match(key))})
    missing = next((i for i, number in enumerate(present) if i != number), None)
    if missing is not None:
        shown = ", ".join(map(str, present[:8])) + (", ..." if len(present) > 8 else "")
        raise AwmError(f"layers.{missing}.* missing (layers present: {shown})")
    return present


def _heads(config: EncodingConfig, arch: str) -> list[str]:
    return [head_key(output) for output in world_outputs(config, arch)]


def mamba2_dims(shapes: Shapes, variant: Variant = NO_VARIANT) -> dict[str, int]:
    """d_model, d_state, n_layers, headdim (networks.md 2.8)."""
    blocks = [f"layers.{i}.mamba" for i in layer_numbers(shapes)]
    first = blocks[0]
    votes = [size(shapes, f"{name}.weight", 2, 0) for name in ("frame_proj", "ctrl_proj")]
    votes += [size(shapes, f"{name}.bias", 1, 0) for name in ("frame_proj", "ctrl_proj")]
    votes += [size(shapes, "final_norm.weight", 1, 0)]
    if not variant.head_hidden:
        votes += [size(shapes, f"{h}.weight", 2, 1) for h in _heads(EncodingConfig(), "mamba2")]
    d_model = elect(votes, "frame_proj.weight")

    votes = [size(shapes, f"{b}.norm.weight", 1, 0) for b in blocks]
    votes += [size(shapes, f"{b}.out_proj.weight", 2, 1) for b in blocks]
    d_inner = elect(votes, f"{first}.norm.weight")
    if d_inner != EXPAND * d_model:
        raise AwmError(
            f"{first}.norm.weight: d_inner is {d_inner}, not {EXPAND} x d_model {d_model}"
        )

    votes = [size(shapes, f"{b}.{n}", 1, 0) for b in blocks for n in ("A_log", "D", "dt_bias")]
    heads = elect(votes, f"{first}.A_log")
    if d_inner % heads:
        raise AwmError(f"{first}.A_log: d_inner {d_inner} is not a multiple of {heads} heads")

    votes = [size(shapes, f"{b}.conv1d.weight", 3, 0) for b in blocks]
    votes += [size(shapes, f"{b}.conv1d.bias", 1, 0) for b in blocks]
    votes += [size(shapes, f"{b}.in_proj.weight", 2, 0, d_inner + heads) for b in blocks]
    channels = elect(votes, f"{first}.conv1d.weight")
    if channels <= d_inner or (channels - d_inner) % 2:
        raise AwmError(
            f"{first}.conv1d.weight has {channels} channels, not d_inner {d_inner} and twice "
            "d_state"
        )
    return {
        "d_model": d_model,
        "d_state": (channels - d_inner) // 2,
        "n_layers": len(blocks),
        "headdim": d_inner // heads,
    }


def mlp_dims(shapes: Shapes) -> dict[str, int]:
    """hidden_dim and trunk_dim, of the MLP and of the policy."""
    heads = [*_heads(EncodingConfig(), "mlp"), *map(head_key, POLICY_OUTPUTS)]
    hidden = [size(shapes, "trunk.0.weight", 2, 0), size(shapes, "trunk.0.bias", 1, 0)]
    hidden += [size(shapes, "trunk.3.weight", 2, 1)]
    trunk = [size(shapes, "trunk.3.weight", 2, 0), size(shapes, "trunk.3.bias", 1, 0)]
    trunk += [size(shapes, f"{head}.weight", 2, 1) for head in heads]
    return {
        "hidden_dim": elect(hidden, "trunk.0.weight"),
        "trunk_dim": elect(trunk, "trunk.3.weight"),
    }


def _state_age(shapes: Shapes, fields: dict[str, Any], section: str) -> None:
    """state_age_as_embed by its table's presence."""
    present = STATE_AGE in shapes
    if fields.setdefault("state_age_as_embed", present) is False and present:
        raise AwmError(f"{section} says state_age_as_embed=False, the weights have {STATE_AGE}")


def _tables(shapes: Shapes, stated: Mapping[str, Any], section: str) -> dict[str, int]:
    """Vocabularies and widths of the embeddings that the file does not state.

    Raises:
      AwmError: a stated one contradicts its table.
    """
    fields = {}
    for name in (*CATEGORICAL, "stage", *(["state_age"] if stated["state_age_as_embed"] else [])):
        key = f"{name}_embed.weight"
        heads = [f"p{p}_{name}_head" for p in (0, 1)] if name in PREDICTED_CATEGORICAL else []
        vocab = [size(shapes, key, 2, 0)]
        vocab += [size(shapes, f"{head}.weight", 2, 0) for head in heads]
        vocab += [size(shapes, f"{head}.bias", 1, 0) for head in heads]
        names = (f"{name}_vocab", f"{name}_embed_dim")
        vocab_field, dim_field = STATE_AGE_FIELDS if name == "state_age" else names
        for field, votes in ((vocab_field, vocab), (dim_field, [size(shapes, key, 2, 1)])):
            if any(votes) and field not in stated:
                fields[field] = elect(votes, key)
        whole = EncodingConfig(**(dict(stated) | fields))
        wanted = getattr(whole, vocab_field), getattr(whole, dim_field)
        if key in shapes and shapes[key] != wanted:
            stated_here = vocab_field in stated or dim_field in stated
            who = section if stated_here else "the heads"
            raise AwmError(f"{key} is {shapes[key]}, {who} wants {wanted}")
    return fields


def _flags(
    arch: str, shapes: Shapes, fields: Mapping[str, Any], settings: Settings
) -> tuple[EncodingConfig, int]:
    """The flags that show only in widths, and the context length."""
    wide = ("frame_proj.weight", "ctrl_proj.weight") if arch == "mamba2" else ("trunk.0.weight",)
    for key in wide:
        if len(_shape(shapes, key)) != 2:
            raise AwmError(f"{key} is {shapes[key]}, not a matrix")
    candidates = list(_candidates(arch, shapes, fields, settings))
    if len(candidates) == 1:
        return candidates[0]
    heads = () if arch == "policy" else ("dynamics_head.weight", "binary_head.weight")
    for key in (*heads, *wide):
        shape = shapes.get(key, ())
        if len(shape) != 2:
            continue
        axis = 0 if key in heads else 1
        fitting = [c for c in candidates if _width(arch, key, *c, settings.variant) == shape[axis]]
        if not fitting:
            what = "a width" if key in heads else "an input width"
            raise AwmError(f"{key} is {shape}: no flags fit {what} of {shape[axis]}")
        candidates = fitting
    default = EncodingConfig(**fields), settings.context_len or DEFAULT_CONTEXT_LEN
    if default in candidates and arch != "policy":
        return default
    if len(candidates) > 1:
        either = " or ".join(_describe(*c, fields) for c in candidates[:3])
        raise AwmError(
            f"{wide[-1]} is {shapes[wide[-1]]}, which is ambiguous: {either}; state the "
            "encoding_config and context_len"
        )
    return candidates[0]


def _candidates(
    arch: str, shapes: Shapes, fields: Mapping[str, Any], settings: Settings
) -> Iterator[tuple[EncodingConfig, int]]:
    """Every setting of the flags that are not stated, with the lookahead (worlds) or the context
    (policies) that comes nearest to the width."""
    free = [flag for flag in _FLAGS[arch] if flag not in settings.fields]
    for values in itertools.product((False, True), repeat=len(free)):
        config = EncodingConfig(**(dict(fields) | dict(zip(free, values, strict=True))))
        length = settings.context_len or DEFAULT_CONTEXT_LEN
        if arch == "policy" and settings.context_len is None:
            length = shapes["trunk.0.weight"][1] // config.frame_dim
            length = min(max(length, 1), MAX_POLICY_CONTEXT)
        if arch != "policy" and "lookahead" not in settings.fields:
            if arch == "mamba2":
                width = shapes["ctrl_proj.weight"][1]
            else:
                width = shapes["trunk.0.weight"][1] - length * config.frame_dim
            ahead = width // config.replace(lookahead=0).ctrl_conditioning_dim - 1
            config = config.replace(lookahead=max(ahead, 0))
        yield config, length


def _width(arch: str, key: str, config: EncodingConfig, length: int, variant: Variant) -> int:
    """The size that the settings give one of the tensors that show them."""
    if key == "dynamics_head.weight":
        return world_outputs(config, arch)["dynamics_pred"]
    if key == "binary_head.weight":
        return world_outputs(config, arch)["binary_logits"]
    if key == "frame_proj.weight":
        return config.frame_dim + variant.extra_columns
    if key == "ctrl_proj.weight":
        return config.ctrl_conditioning_dim
    controls = config.ctrl_conditioning_dim if arch == "mlp" else 0
    return length * config.frame_dim + controls


def _describe(config: EncodingConfig, length: int, fields: Mapping[str, Any]) -> str:
    changed = _changed(config, EncodingConfig(**fields))
    return f"{changed or 'no flags'} with {length} frames"


def _changed(config: EncodingConfig, base: EncodingConfig) -> str:
    before = base.to_dict()
    return ", ".join(f"{k}={v}" for k, v in config.to_dict().items() if v != before[k])


def _notes(spec: Spec, settings: Settings) -> tuple[str, ...]:
    notes = list(settings.notes)
    if changed := _changed(spec.config, EncodingConfig(**settings.fields)):
        notes.append(f"inferred from the shapes: {changed}")
    if settings.context_len is None:
        how = "taken from the input width" if spec.arch == "policy" else "assumed"
        notes.append(f"context_len is not stated: {spec.context_len} {how}")
    return tuple(notes)
