"""What a cartridge's world costs: products, bytes, and compute units in the stock Solana VM.

The unit figures were measured in that VM with the fastest forms found of each operation; what a
whole frame costs there is estimated from them. Compute units are the VM's instructions.
"""

from __future__ import annotations

import math
from typing import Any

from awm_jax.int8.params import Arch, control_columns, frame_columns
from converters.cartridge import Cartridge
from converters.quantize.pack import world_arch
from converters.quantize.template import world_template

UNITS_PER_MAC = 1.165
UNITS_PER_STATE = 6.08
UNITS = {"load": 4.8, "requantise": 14.0, "table": 12.0, "norm": 21.0, "gate": 18.0, "conv": 29.0}
UNITS_PER_TRANSACTION = 1_400_000
PACKED_BYTES_PER_WEIGHT = 2.70
WIDE_PLANES = 2


def products(arch: Arch) -> dict[str, int]:
    """Multiply-adds of one absorbed frame and its heads; a wide input counts once a plane."""
    d, hidden = arch.d_model, arch.variant.head_hidden or arch.d_model
    heads = world_template(arch).heads
    rows = {
        "numeric": (heads.numeric_w.shape[0], WIDE_PLANES),
        "binary": (heads.binary_w.shape[0], WIDE_PLANES),
        "logits": (heads.logits.w.shape[0], 1),
    }

    def two(columns: tuple[tuple[int, ...], tuple[int, ...]]) -> int:
        wide, narrow = columns
        return d * (WIDE_PLANES * len(wide) + len(narrow))

    found = {
        "frame_proj": two(frame_columns(arch.cfg, arch.variant)),
        "in_proj": arch.n_layers * arch.in_proj_rows * d * arch.planes,
        "out_proj": arch.n_layers * arch.d_inner * d * arch.planes,
        "ctrl_proj": two(control_columns(arch.cfg)),
        "pre_head": WIDE_PLANES * d * arch.variant.head_hidden,
    }
    return found | {name: count * hidden * planes for name, (count, planes) in rows.items()}


def elements(arch: Arch) -> dict[str, int]:
    """How often an absorbed frame does each operation of `UNITS`."""
    d, e, n, layers = arch.d_model, arch.d_inner, arch.d_state, arch.n_layers
    wide, narrow = frame_columns(arch.cfg, arch.variant)
    return {
        "load": len(wide) * WIDE_PLANES + len(narrow) + layers * (d + e) * arch.planes,
        "requantise": d + layers * (arch.in_proj_rows + 2 * e + 2 * n + d),
        "table": layers * (arch.conv_channels + 2 * arch.heads),
        "norm": d + layers * (d + e),
        "gate": layers * e,
        "conv": layers * arch.conv_channels,
    }


def state_bytes(arch: Arch) -> int:
    """What one match carries from frame to frame: the frames, and a recurrent world's state."""
    cfg = arch.cfg
    frame = 4 * (2 * (cfg.continuous_dim + cfg.binary_dim + cfg.int_per_player + 8) + 1)
    layer = arch.heads * arch.headdim * arch.d_state + 3 * arch.conv_channels
    return arch.context_len * frame + arch.recurrent * 2 * arch.n_layers * layer


def cost(arch: Arch) -> dict[str, Any]:
    """One frame's cost, as JSON types.

    Returns:
      products: name -> MACs of one pass; macs: of a frame (a windowed world passes K times through
      its trunk); state_elements, state_bytes; units: part -> estimated compute units of a frame,
      without reading the accounts' bytes and the rules; units_total; transactions of 1.4 M units.
    """
    parts, counts = products(arch), elements(arch)
    passes = 1 if arch.recurrent else arch.context_len
    trunk = sum(parts[name] for name in ("frame_proj", "in_proj", "out_proj"))
    macs = trunk * passes + sum(parts.values()) - trunk
    state = arch.n_layers * arch.d_inner * arch.d_state
    units = {"products": macs * UNITS_PER_MAC, "scan": passes * state * UNITS_PER_STATE}
    units |= {name: passes * counts[name] * each for name, each in UNITS.items()}
    heads = (
        arch.d_model + arch.variant.head_hidden + world_template(arch).heads.logits.bias.shape[0]
    )
    units["requantise"] += heads * UNITS["requantise"]
    units = {name: round(value) for name, value in units.items()}
    total = sum(units.values())
    return {
        "products": parts,
        "passes": passes,
        "macs": macs,
        "state_elements": state,
        "state_bytes": state_bytes(arch),
        "units": units,
        "units_total": total,
        "transactions": math.ceil(total / UNITS_PER_TRANSACTION),
    }


def summarize_cartridge(cartridge: Cartridge, *, with_cost: bool = False) -> dict[str, Any]:
    """What a cartridge is, as JSON types.

    Raises:
      AwmError: it is no world or policy of the integer machine.
    """
    manifest = cartridge.manifest
    found: dict[str, Any] = {
        "hash": cartridge.hash,
        "architecture": manifest["architecture"],
        "mode": manifest["mode"],
        "planes": manifest["int8"].get("planes"),
        "variant": manifest["int8"].get("variant"),
        "bytes": {name: stamp["size"] for name, stamp in manifest["files"].items()},
        "weights": len(cartridge.weights_int8),
        "policies": manifest["policies"],
        "encoding_config": manifest["encoding_config"],
        "provenance": manifest.get("provenance", {}),
    }
    if with_cost:
        arch = world_arch(cartridge)
        found["cost"] = cost(arch)
        found["cost"]["packed_weight_bytes"] = round(
            len(cartridge.weights_int8) * PACKED_BYTES_PER_WEIGHT
        )
    return found


def describe_cartridge(summary: dict[str, Any]) -> str:
    """A summary as aligned lines."""
    widths = {k: v for k, v in summary["architecture"].items() if k != "model_type"}
    variant = {k: v for k, v in (summary["variant"] or {}).items() if v}
    rows = {
        "cartridge": summary["hash"],
        "architecture": f"{summary['architecture']['model_type']} {_pairs(widths)}",
        "mode": f"{summary['mode']['kind']}, context {summary['mode']['context_len']} frames",
        "planes": str(summary["planes"] or "-"),
        "variant": _pairs(variant) or "none",
        "bytes": _pairs(summary["bytes"]),
        "policies": ", ".join(summary["policies"]) or "none",
        "source": str(summary["provenance"].get("source", "not stated")),
    }
    if "cost" in summary:
        spent = summary["cost"]
        rows |= {f"MACs {name}": f"{n:,}" for name, n in spent["products"].items() if n}
        rows |= {
            "passes a frame": str(spent["passes"]),
            "MACs a frame": f"{spent['macs']:,}",
            "state of a match": f"{spent['state_bytes']:,} bytes",
            "weights on chain": f"{spent['packed_weight_bytes']:,} bytes, packed for the VM",
        }
        rows |= {f"units {name}": f"{n:,}" for name, n in spent["units"].items()}
        rows["units a frame"] = f"{spent['units_total']:,} (estimate)"
        rows["transactions"] = f"{spent['transactions']} of {UNITS_PER_TRANSACTION:,} units"
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
