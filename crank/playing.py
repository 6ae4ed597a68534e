"""Playing one match: `play` takes what people name (files, specs, stages) and returns a `Match`."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import awm_jax
from awm_jax.contracts import Agent
from awm_jax.encoding import EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.fp32.layers import check_ints
from awm_jax.fp32.policy import PolicyMLP
from awm_jax.fp32.world import Fp32World
from awm_jax.game import frames as game_frames
from awm_jax.game.characters import parse_character
from awm_jax.game.decode import decode, stages
from awm_jax.game.frames import Frames
from awm_jax.game.noise import seed_noise as draw_noise
from awm_jax.game.result import whole, winner
from awm_jax.game.stages import parse_stage
from awm_jax.int8.engine import NativeWorld
from awm_jax.int8.frame import GameFrame
from awm_jax.int8.frame import decode as decode_integers
from awm_jax.variant import Variant
from converters.cartridge import is_cartridge
from crank import integer, match, viz
from crank.agents import parse_agent
from crank.integer import IntegerWorld
from crank.match import Outcome, Rules
from crank.mind import feelings
from crank.verify import machine_record

if TYPE_CHECKING:
    from converters import Checkpoint

DEFAULT_AGENT = "hold-forward"
DEFAULT_STAGE = 32
DEFAULT_CHARACTER = 2
DEFAULT_FRAMES = 600
CONTEXTS = ("windowed", "recurrent")
ReadyWorld = Fp32World | IntegerWorld | NativeWorld
MAX_NOISE = 100
"""Game units: beyond this the players would stand outside of every stage."""


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """A played match.

    Attributes:
      cfg: encoding of `frames`.
      frames: seeds, then generated frames, NumPy arrays with a leading axis of K + T: `Frames` of a
        float world, `GameFrame` of an integer one.
      pads: controllers of the generated frames, (T, 2, 13) float32 or (T, 2, 8) int32.
      outcome: how it ended.
      digest: hexadecimal digest of the generated frames.
      seed_count: K.
      meta: what a match file says about it beyond the frames.
      agents: who played it; of a mind the file tells what it felt.
    """

    cfg: EncodingConfig
    frames: Frames | GameFrame
    pads: np.ndarray
    outcome: Outcome
    digest: str
    seed_count: int
    stage: int
    characters: tuple[int, int]
    meta: Mapping[str, Any]
    agents: tuple[Any, Any] = (None, None)

    @property
    def played(self) -> int:
        """T, the frames generated."""
        return len(self.pads)

    @property
    def final_stocks(self) -> tuple[int, int]:
        return whole(self._last("stocks"))

    @property
    def final_percent(self) -> tuple[int, int]:
        return whole(self._last("percent"))

    @property
    def winner(self) -> int | None:
        """0 or 1 by `game.result.winner`; None for a draw or a match that did not end."""
        if self.outcome not in (Outcome.KO, Outcome.TIMEOUT):
            return None
        return winner(self.final_stocks, self.final_percent)

    @property
    def sentence(self) -> str:
        """How it ended, for people."""
        who = "nobody won" if self.winner is None else f"player {self.winner} won"
        return f"{self.outcome.sentence}; {who}"

    @property
    def integer(self) -> bool:
        """Whether the integer machine played it."""
        return isinstance(self.frames, GameFrame)

    def columns(self) -> dict[str, np.ndarray]:
        """Columns by name in game units, (K + T, 2) each."""
        return _decode(self.cfg, self.frames)

    def _last(self, name: str) -> np.ndarray:
        return _decode(self.cfg, jax.tree.map(lambda v: v[-1], self.frames))[name]

    def to_object(self) -> dict[str, Any]:
        """The object of a match file: the reference's keys, then ours (M11).

        An integer world's has `machine` too, from which `awm verify` computes the match again.
        """
        result = {
            "outcome": self.outcome.word,
            "reason": self.outcome.sentence,
            "winner": self.winner,
            "final_stocks": list(self.final_stocks),
            "final_percent": list(self.final_percent),
            "digest": self.digest,
        }
        frames = self.frames
        places = np.asarray(frames.stage) if isinstance(frames, GameFrame) else stages(frames)
        shown = viz.match_object(
            viz.viz_frames(self.columns(), places),
            mode="agent-vs-agent",
            seed_frames=self.seed_count,
            stage=self.stage,
            characters=self.characters,
            meta=dict(self.meta) | result,
        )
        if self.integer:
            start = jax.tree.map(lambda v: v[: self.seed_count], frames)
            shown["machine"] = machine_record(start, self.pads, self.digest)
        felt = [
            feelings(agent, frames, self.seed_count - 1, player)
            for player, agent in enumerate(self.agents)
        ]
        return shown | {"minds": felt} if any(felt) else shown

    def to_json(self, form: str = "object") -> str:
        """The match file's text; `form` "array" gives the bare frames."""
        return viz.to_json(self.to_object(), form)

    def save(self, path: str | os.PathLike[str], form: str = "object") -> None:
        """Write the match file, whole or not at all."""
        viz.save(self.to_object(), path, form)


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """A match that is ready to be played: everything loaded and checked, nothing compiled.

    Attributes:
      start: K seed frames, NumPy.
      meta: what a match file says about it beyond the frames and the result.
    """

    world: ReadyWorld
    agents: tuple[Agent, Agent]
    start: Frames | GameFrame
    rules: Rules
    seed: int
    stage: int
    characters: tuple[int, int]
    meta: Mapping[str, Any]

    def compile(self) -> None:
        """Compile the step, or load it from the cache, so that `run` starts at once."""
        match.warm_up(self.world, self.agents, self.start, self.rules, self.seed)

    def run(
        self,
        on_frame: Callable[[Any], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Match:
        """Play. After a KeyboardInterrupt: what was played until then, `Outcome.INTERRUPTED`.

        Args:
          on_frame: called with every generated frame.
          stop: asked after each; when it says so the match ends as by a KeyboardInterrupt.
        """
        played = match.run(
            self.world,
            self.agents,
            self.start,
            self.rules,
            seed=self.seed,
            on_frame=on_frame,
            stop=stop,
        )
        return Match(
            cfg=self.world.cfg,
            frames=played.frames,
            pads=played.pads,
            outcome=played.outcome,
            digest=played.digest,
            seed_count=self.world.context_len,
            stage=self.stage,
            characters=self.characters,
            meta=self.meta,
            agents=self.agents,
        )


def _variant(world: ReadyWorld) -> Variant:
    return world.network.module().variant if isinstance(world, Fp32World) else world.arch.variant


def _decode(cfg: EncodingConfig, frames: Frames | GameFrame) -> dict[str, np.ndarray]:
    if isinstance(frames, GameFrame):
        return decode_integers(cfg, frames)
    return decode(cfg, frames)


def play(*args: Any, on_frame: Callable[[Any], None] | None = None, **kwargs: Any) -> Match:
    """`prepare` a match and play it to its end. Same arguments, same match.

    Args:
      on_frame: called with every generated frame. All others are those of `prepare`.

    Returns:
      The match; after a KeyboardInterrupt, what was played until then, as `Outcome.INTERRUPTED`.
    """
    return prepare(*args, **kwargs).run(on_frame)


def prepare(
    world: str | os.PathLike[str] | Checkpoint | ReadyWorld,
    p0: str | Agent = DEFAULT_AGENT,
    p1: str | Agent = DEFAULT_AGENT,
    *,
    stage: int | str | None = None,
    characters: tuple[int | str | None, int | str | None] = (None, None),
    max_frames: int = DEFAULT_FRAMES,
    early_ko: bool = True,
    seed: int = 0,
    seed_noise: float = 0.0,
    noise_per_frame: bool = False,
    seed_action: int = 0,
    seed_frames: Frames | None = None,
    seed_replay: str | os.PathLike[str] | None = None,
    start_frame: int = 0,
    context: str | None = None,
    button_bias: float = 0.0,
    engine: str = "auto",
) -> Setup:
    """Load and check all that a match needs.

    Args:
      world: a checkpoint's path, a loaded one, a cartridge's folder, or a world. A cartridge is
        played by the integer machine.
      p0, p1: `noop`, `hold-forward`, `random`, `policy:PATH`, or an agent. In a cartridge PATH is a
        policy cartridge.
      stage, characters: ids or names, by default Final Destination and Captain Falcon.
      max_frames: frames to generate; the K seed frames come on top.
      early_ko: end when a player has no stock left.
      seed: 0 to 2^64 - 1, of all randomness.
      seed_noise: standard deviation of the players' places in the made-up seed, in game units.
      noise_per_frame: draw it anew for each seed frame, as the reference does (M9).
      seed_action: both players' action in the made-up seed (M7): 0 as the reference, 14 standing.
      seed_frames: K frames instead of the made-up seed; stage and characters are theirs.
      seed_replay: the same from a real game, see `crank.replay.replay_seed`.
      start_frame: the game's own number of the first of them; 0 is GO.
      context: "windowed" (the default: the network sees the last K frames) or "recurrent" (it
        remembers the whole match; needs a Mamba2). A ready world has its own.
      button_bias: added to a policy's button logits; the reference plays with 4 (M16).
      engine: what computes a cartridge: "native", "xla", or "auto"; the bits are the same.

    Raises:
      AwmError: one line that says which argument or file is at fault.
    """
    rules = Rules.of(max_frames, early_ko)
    if not 0 <= seed < 1 << 64:
        raise AwmError(f"seed {seed} is not between 0 and 2^64 - 1")
    if not math.isfinite(button_bias):
        raise AwmError(f"button bias {button_bias} is not a finite number")
    ready, label, digest = load_world(world, context, engine)
    cfg, count = ready.cfg, ready.context_len
    origin = None
    if seed_frames is None and seed_replay is None:
        start = synthetic_seed(
            cfg,
            count,
            DEFAULT_STAGE if stage is None else stage,
            [DEFAULT_CHARACTER if c is None else c for c in characters],
            seed,
            seed_noise,
            noise_per_frame,
            seed_action,
        )
    else:
        if stage is not None or any(c is not None for c in characters):
            raise AwmError("stage and characters are those of the real seed frames; leave them out")
        if seed_noise or seed_action:
            raise AwmError("noise and action are for the made-up seed; leave them out")
        if seed_replay is not None:
            from crank.replay import replay_seed

            real = replay_seed(
                seed_replay, cfg, count, start_frame, counted_age=_variant(ready).game_rules
            )
            seed_frames = real.frames
            origin = {
                "replay": os.path.basename(seed_replay),
                "start_frame": start_frame,
                "missing": list(real.missing),
            }
        start = _checked(seed_frames, cfg, count)
    first, second = (_agent(spec, ready, label, button_bias) for spec in (p0, p1))
    last, where = start.ints[-1], columns(cfg).int_index["character"]
    place = int(last[-1])
    fighters = int(last[where]), int(last[cfg.int_per_player + where])
    meta = {
        "model_checkpoint": label,
        "arch": ready.network.module().arch if isinstance(ready, Fp32World) else "mamba2",
        "context_len": count,
        "p0_agent": first[1],
        "p1_agent": second[1],
        "weights_sha256": {"world": digest, "p0": first[2], "p1": second[2]},
        "context": CONTEXTS[ready.recurrent],
        "arithmetic": "float32" if isinstance(ready, Fp32World) else "int8",
        "max_frames": max_frames,
        "early_ko": early_ko,
        "seed": seed,
        "seed_noise": float(seed_noise),
        "seed_origin": origin,
        "button_bias": float(button_bias),
        "versions": versions(),
    }
    begin = start if isinstance(ready, Fp32World) else integer.start(ready, start)
    return Setup(ready, (first[0], second[0]), begin, rules, seed, place, fighters, meta)


def load_world(
    world: str | os.PathLike[str] | Checkpoint | ReadyWorld,
    context: str | None,
    engine: str = "auto",
) -> tuple[ReadyWorld, str | None, str | None]:
    """A world ready to play, its name in a match file, and the hash of its weights or cartridge.

    Raises:
      AwmError: the file cannot be read, holds no world, or one that cannot be played so.
    """
    if context is not None and context not in CONTEXTS:
        raise AwmError(f"no context {context!r}; give one of: {', '.join(CONTEXTS)}")
    if isinstance(world, ReadyWorld):
        if context not in (None, CONTEXTS[world.recurrent]):
            raise AwmError(f"the world is {CONTEXTS[world.recurrent]}, not {context}")
        return world, None, None
    label = None
    if isinstance(world, str | os.PathLike):
        import converters

        label = os.fspath(world)
        if is_cartridge(label):
            ready, digest = integer.load_world(label, context, engine)
            return ready, label, digest
        checkpoint = converters.load(label)
    else:
        checkpoint = world
        label = checkpoint.provenance.source
    model = checkpoint.model
    try:
        if isinstance(model, PolicyMLP):
            raise AwmError(
                "holds a policy, not a world; a policy plays as --p0 or --p1 policy:PATH"
            )
        ready = Fp32World.of(model, recurrent=context == "recurrent")
    except AwmError as error:
        raise AwmError(f"{label}: {error}") from None
    return ready, label, checkpoint.provenance.weights_sha256


def synthetic_seed(
    cfg: EncodingConfig,
    count: int,
    stage: int | str,
    characters: Sequence[int | str],
    seed: int,
    noise: float = 0.0,
    noise_per_frame: bool = False,
    action: int = 0,
) -> Frames:
    """The made-up start of a match, see `prepare`.

    Raises:
      AwmError: an unknown stage or character, or a value out of range.
    """
    number = parse_stage(str(stage), cfg.stage_vocab)
    first, second = (parse_character(str(c), cfg.character_vocab) for c in characters)
    if not 0 <= action < cfg.action_vocab:
        raise AwmError(f"no action {action}; give 0 to {cfg.action_vocab - 1}")
    if not 0 <= noise <= MAX_NOISE:
        raise AwmError(f"seed noise {noise} is not between 0 and {MAX_NOISE} game units")
    drawn = draw_noise(seed, noise, count if noise_per_frame else 1) if noise else None
    return game_frames.seed_frames(cfg, count, number, (first, second), drawn, action)


def _checked(frames: Any, cfg: EncodingConfig, count: int) -> Frames:
    """Seed frames from elsewhere as NumPy arrays, or an AwmError that says what is wrong."""
    floats: Any = np.asarray(frames.floats, np.float32)
    ints: Any = np.asarray(frames.ints, np.int32)
    wanted = (count, cfg.float_per_frame), (count, cfg.int_per_frame)
    if (floats.shape, ints.shape) != wanted:
        raise AwmError(f"the seed frames are {floats.shape} and {ints.shape}, not {wanted}")
    if not np.isfinite(floats).all():
        raise AwmError("the seed frames hold a value that is no number")
    check_ints(cfg, ints)
    return Frames(floats, ints)


def _agent(
    spec: str | Agent, world: Fp32World | IntegerWorld, label: str | None, button_bias: float
) -> tuple[Agent, str, str | None]:
    if not isinstance(spec, str):
        return spec, type(spec).__name__, None
    if isinstance(world, Fp32World):
        agent, digest = parse_agent(spec, world.cfg, world.context_len, button_bias=button_bias)
    else:
        agent, digest = integer.parse_agent(spec, world, label, button_bias)
    return agent, spec, digest


def versions() -> dict[str, str]:
    """What a match's bits depend on beside its arguments."""
    jaxlib = importlib.metadata.version("jaxlib")
    return {"awm-jax": awm_jax.__version__, "jax": jax.__version__, "jaxlib": jaxlib}
