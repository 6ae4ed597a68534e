"""What a run plays, and its files read: the world, the agents, what tells one run from another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from awm_jax.errors import AwmError
from awm_jax.fp32.world import Fp32World
from awm_jax.game.characters import parse_character
from awm_jax.game.stages import parse_stage
from crank import agents as float_agents
from crank import integer
from crank.batch.plan import Entrant, MatchSpec, fingerprint
from crank.match import Rules
from crank.playing import DEFAULT_FRAMES, ReadyWorld, load_world, synthetic_seed


@dataclasses.dataclass(frozen=True)
class BatchSpec:
    """What a run plays. Equal specs give equal tables, whatever the slots, devices and kills.

    That holds for integer worlds; a float world's bits depend on the compiled program.

    Attributes:
      world: a cartridge's folder, a checkpoint, or a ready world, as `crank.play` takes it.
      entrants: name -> agent.
      matches: their order is that of the table.
      max_frames, early_ko, context, engine, seed_noise, seed_action: see `crank.playing.prepare`.
    """

    world: Any
    entrants: Mapping[str, Entrant]
    matches: Sequence[MatchSpec]
    max_frames: int = DEFAULT_FRAMES
    early_ko: bool = True
    context: str | None = None
    engine: str = "auto"
    seed_noise: float = 0.0
    seed_action: int = 0


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A spec with its files read.

    Attributes:
      world_hash, hashes: of the world's and each agent's weights; None where there are none.
      agents: of each entrant's name.
    """

    spec: BatchSpec
    world: ReadyWorld
    world_hash: str | None
    agents: Mapping[str, Any]
    hashes: Mapping[str, str | None]

    def with_matches(self, matches: Sequence[MatchSpec]) -> Loaded:
        """The same with other matches.

        Raises:
          AwmError: a match of nobody, on no stage or with no character of this world.
        """
        for name in {name for m in matches for name in (m.p0, m.p1)}:
            if name not in self.agents:
                raise AwmError(f"no agent is called {name!r}")
        for match in {(m.stage, m.characters): m for m in matches}.values():
            parse_stage(str(match.stage), self.world.cfg.stage_vocab)
            for character in match.characters:
                parse_character(str(character), self.world.cfg.character_vocab)
        return dataclasses.replace(self, spec=dataclasses.replace(self.spec, matches=matches))

    def start(self, match: MatchSpec) -> Any:
        """The seed frames of a match, NumPy."""
        spec, world = self.spec, self.world
        made = synthetic_seed(
            world.cfg,
            world.context_len,
            match.stage,
            match.characters,
            match.seed,
            spec.seed_noise,
            action=spec.seed_action,
        )
        return made if isinstance(world, Fp32World) else integer.start(world, made)

    def rules(self) -> dict[str, Any]:
        """What beside its agents decides a match, as JSON has it."""
        spec = self.spec
        return {
            "world": self.world_hash,
            "context": "recurrent" if self.world.recurrent else "windowed",
            "arithmetic": "float32" if isinstance(self.world, Fp32World) else "int8",
            "max_frames": spec.max_frames,
            "early_ko": spec.early_ko,
            "seed_noise": float(spec.seed_noise),
            "seed_action": spec.seed_action,
        }

    def described(self) -> dict[str, dict[str, Any]]:
        """What each agent is, as JSON has it."""
        return {
            name: {
                "agent": e.label,
                "button_bias": float(e.button_bias),
                "weights": self.hashes[name],
            }
            for name, e in self.spec.entrants.items()
        }

    def definition(self) -> dict[str, Any]:
        """What tells this run from another, for `run.json`."""
        matches = self.spec.matches
        return self.rules() | {
            "format": 1,
            "agents": self.described(),
            "matches": len(matches),
            "matches_sha256": fingerprint(matches),
        }


def load(spec: BatchSpec) -> Loaded:
    """Read and check all that a run needs.

    Raises:
      AwmError: one line that says which argument or file is at fault.
    """
    Rules.of(spec.max_frames, spec.early_ko)
    world, label, world_hash = load_world(spec.world, spec.context, spec.engine)
    agents, hashes = {}, {}
    for name, entrant in spec.entrants.items():
        if not math.isfinite(entrant.button_bias):
            raise AwmError(f"{name}: button bias {entrant.button_bias} is not a finite number")
        agents[name], hashes[name] = _agent(name, entrant, world, label)
    return Loaded(spec, world, world_hash, agents, hashes).with_matches(spec.matches)


def _agent(
    name: str, entrant: Entrant, world: ReadyWorld, label: str | None
) -> tuple[Any, str | None]:
    spec = entrant.agent
    if not isinstance(spec, str):
        return spec, None
    try:
        if isinstance(world, Fp32World):
            return float_agents.parse_agent(
                spec, world.cfg, world.context_len, button_bias=entrant.button_bias
            )
        return integer.parse_agent(spec, world, label, entrant.button_bias)
    except AwmError as error:
        raise AwmError(str(error) if name == spec else f"agent {name}: {error}") from None
