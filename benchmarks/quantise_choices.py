"""What each choice of the integer machine costs: accuracy on real frames, bytes of state.

    PYTHONPATH=.:tests python benchmarks/quantise_choices.py [--frames 512] [--json]

Weights are random, by the golden rule's seed; frames are real (../shared/replays or $AWM_REPLAYS).
Prints the table of docs/quantisation.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
from support.golden import replays_dir, seeded_weights

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32.weights import torch_shapes
from awm_jax.fp32.world import Fp32World
from awm_jax.game.frames import Frames, controllers
from awm_jax.int8.frame import from_floats
from awm_jax.int8.world import Int8World
from converters.checkpoint import Spec, filled
from converters.quantize.build import build_world
from converters.quantize.calibrate import CLIPS, Ranges, calibrate
from converters.quantize.calibration import find_replays, real_sequences
from converters.quantize.cost import cost
from converters.quantize.quantise import arch_of
from converters.quantize.report import agreement, decode_floats, decode_frame, play
from converters.quantize.weights import dequantize, quantize_tensor

CFG = EncodingConfig(state_age_as_embed=True, projectiles=True, state_flags=True, hitstun=True)
SIZES = {
    "production, 384 x 4": {"d_model": 384, "d_state": 64, "n_layers": 4, "headdim": 64},
    "small, 192 x 2": {"d_model": 192, "d_state": 32, "n_layers": 2, "headdim": 64},
}
SEED = 3000


def clipped_at_most(ranges: Ranges) -> Ranges:
    """Ranges whose 127-step codes hold all that was seen, instead of erring least."""

    def only(peaks: np.ndarray) -> np.ndarray:
        return np.where(peaks[:, None] <= CLIPS, CLIPS, np.inf)

    return dataclasses.replace(
        ranges, normed_error=only(ranges.normed), gated_error=only(ranges.gated)
    )


def measure(dims: dict[str, int], frames: int) -> list[dict]:
    spec = Spec("mamba2", CFG, 10, dims)
    abstract = spec.abstract()
    weights = seeded_weights(torch_shapes(abstract), SEED)
    rounded = {
        key: dequantize(*quantize_tensor(value)) if value.ndim > 1 else value
        for key, value in weights.items()
    }
    model = filled(abstract, weights)
    files = find_replays([replays_dir() / "games"])
    ranges = calibrate(model, real_sequences(files[:-1], CFG, 4 * frames))
    floats, ints = next(real_sequences(files[-1:], CFG, frames))
    theirs = Frames(jnp.asarray(floats), jnp.asarray(ints, jnp.int32))
    ours = jax.tree.map(jnp.asarray, from_floats(CFG, floats, ints))
    run = jax.jit(play, static_argnames="forced")
    pads, count, k = controllers(CFG, theirs.floats), len(floats), spec.context_len

    def floating(network):
        world = Fp32World.of(network, recurrent=True)
        return decode_floats(CFG, run(world, theirs, pads, count))

    want = floating(model)
    before = decode_floats(CFG, jax.tree.map(lambda v: v[k - 1 : -1], theirs))
    rows = [{"choice": "float, weights rounded to int8", "state": None, "macs": None}]
    rows[0] |= figures(want, floating(filled(abstract, rounded)), before)
    for planes, name, chosen in (
        (1, "1 plane, clip with least error", ranges),
        (1, "1 plane, clip at the largest seen", clipped_at_most(ranges)),
        (2, "2 planes (15 bits)", ranges),
    ):
        arch = arch_of(model, "recurrent", planes)
        params, _ = build_world(arch, weights, chosen)
        world = Int8World(jax.tree.map(jnp.asarray, params), arch)
        found = figures(want, decode_frame(run(world, ours, ours.pads, count)), before)
        spent = cost(arch)
        rows.append({"choice": name, "state": spent["state_bytes"], "macs": spent["macs"]} | found)
    return rows


def figures(want, found, before) -> dict[str, float]:
    """The table's columns."""
    all_ = agreement(CFG, want, found, before)
    return {
        "x": all_["fields"]["x"]["mean"],
        "y": all_["fields"]["y"]["mean"],
        "step_x": all_["fields"]["x"]["step"],
        "action": all_["categorical"]["action"],
        "binaries": all_["binaries"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {name: measure(dims, options.frames) for name, dims in SIZES.items()}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for size, rows in found.items():
        print(f"\n{size}; mean |step| in x {rows[0]['step_x']:.2f} units\n")
        print("| choice | error x | error y | same action | same binaries | state B | MMACs |")
        print("|---|---|---|---|---|---|---|")
        for r in rows:
            state = f"{r['state']:,}" if r["state"] else "-"
            macs = f"{r['macs'] / 1e6:.2f}" if r["macs"] else "-"
            print(
                f"| {r['choice']} | {r['x']:.4f} | {r['y']:.4f} | {100 * r['action']:.2f} % "
                f"| {100 * r['binaries']:.3f} % | {state} | {macs} |"
            )


if __name__ == "__main__":
    main()
