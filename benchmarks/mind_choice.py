"""Does what it imagines matter? A mind against its own candidate actions taken at random.

python benchmarks/mind_choice.py [MIND] [--matches N]

Half of the matches with the sides swapped, in the embedded cartridge.
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp

from awm_jax.cartridges import EMBEDDED, embedded_mind
from awm_jax.contracts import View
from awm_jax.encoding import EncodingConfig
from awm_jax.game import rng
from awm_jax.int8 import senses
from awm_jax.int8.agents import AgentState, Seeded
from awm_jax.int8.frame import GameFrame
from awm_jax.int8.mind import pad_of
from awm_jax.int8.params import pytree, static
from awm_jax.mwm.melee import CANDIDATES, PERIOD, PRESSED
from converters.cartridge import read_cartridge
from crank import cache
from crank.batch import BatchSpec, Entrant, draw_matches, run_batch
from crank.batch_cli import describe


@pytree
class AnyCandidate(Seeded):
    """Takes any candidate action, drawn anew every `PERIOD` frames."""

    cfg: EncodingConfig = static()

    def act(self, state: AgentState, view: View[GameFrame]) -> tuple[AgentState, jax.Array]:
        frame = jax.tree.map(lambda v: v[-1], view.context)
        phase = view.number % PERIOD
        drawn = rng.draw_bits(state.seed, view.number - phase, state.player, 1)[0]
        action = (drawn >> jnp.uint32(16)).astype(jnp.int32) * CANDIDATES >> 16
        facing, side = senses.facing(self.cfg, frame)[0], senses.side(self.cfg, frame)
        return state, pad_of(action, facing, side, phase < PRESSED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mind", nargs="?", default=str(embedded_mind()))
    parser.add_argument("--matches", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=600)
    args = parser.parse_args()
    cache.enable()
    pairs = [("mind", "any"), ("any", "mind")]
    matches = draw_matches(pairs, args.matches, seed=0, stages=[32], characters=([2], [2]))
    other = AnyCandidate(read_cartridge(EMBEDDED).config)
    named = {"mind": Entrant(f"mwm:{args.mind}"), "any": Entrant(other)}
    spec = BatchSpec(
        EMBEDDED, named, matches, max_frames=args.frames, seed_noise=5.0, seed_action=14
    )
    print(describe({"out": "", **run_batch(spec).summary()}).rsplit("\n", 2)[0])


if __name__ == "__main__":
    main()
