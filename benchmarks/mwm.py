"""Many minds in one call: JAX against PyTorch, the same weights and inputs, in one run.

python benchmarks/mwm.py [--beings 10000] [--latent 256] [--repeats 5]

One update is encode, decode and the imagined next latent, as forward with an action.
Prints a table and the greatest difference of the latents; asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import jax
import numpy as np
from flax import nnx

from awm_jax.mwm.network import MentalWorldModelModule, Mind
from awm_jax.mwm.weights import to_torch_dict


def best(run: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least and median seconds of a call, after one that compiles."""
    run()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return min(taken), statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beings", type=int, default=10_000)
    parser.add_argument("--latent", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    import torch
    from support.mwm import torch_module

    mind = Mind.of(MentalWorldModelModule(options.latent, rngs=nnx.Rngs(0)))
    twin = torch_module(to_torch_dict(mind.module()))
    rng = np.random.default_rng(0)
    widths = (options.latent, 16, mind.iwm_dim, 8, 16)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; jax {jax.__version__} on "
        f"{jax.devices()[0].platform}, torch {torch.__version__} on "
        f"{torch.get_num_threads()} threads"
    )
    print(f"latent {options.latent}, visual {mind.iwm_dim}; best / median of {options.repeats}")

    def one(mind: Mind, z, gwm, iwm, own, action):
        return mind.module()(z, gwm, iwm, own, action)

    forward = jax.jit(jax.vmap(one, in_axes=(None, 0, 0, 0, 0, 0)))
    for beings in (1, options.beings):
        arrays = [rng.standard_normal((beings, n)).astype(np.float32) for n in widths]
        inputs = [jax.device_put(a) for a in arrays]
        tensors = [torch.tensor(a) for a in arrays]

        def ours(inputs=inputs):
            return jax.block_until_ready(forward(mind, *inputs))

        def theirs(tensors=tensors):
            with torch.no_grad():
                return twin(*tensors)

        apart = np.abs(np.asarray(ours()[0]) - theirs()[0].numpy()).max()
        rows = {"jax": best(ours, options.repeats), "torch": best(theirs, options.repeats)}
        for name, (least, median) in rows.items():
            rate = beings / least
            print(
                f"{beings:>7} minds  {name:<6} {least * 1e3:9.2f} / {median * 1e3:9.2f} ms   "
                f"{rate:12,.0f} minds/s"
            )
        print(f"{'':>15}latents differ by at most {apart:.1e}")


if __name__ == "__main__":
    main()
