"""Re-play a recorded match of the integer machine and say whether, and where, it deviates.

A match file of an integer world carries what decides it: the seed frames in the machine's own
units, both players' pads, and the digest (`machine` in the file). Nothing else is believed.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.game import digest as digests
from awm_jax.int8.frame import PAD_FIELDS, GameFrame, decode
from awm_jax.int8.native.match_file import match_bytes
from converters.source import naming
from crank import viz

NOT_INTEGER = (
    "the match was not played by the integer machine, so there is nothing to verify; "
    "play it in a cartridge"
)


@dataclasses.dataclass(frozen=True)
class Deviation:
    """The first place where a recorded match and its replay differ.

    Attributes:
      frame: index in the file's `frames`, seeds included.
      part: "player 0", "player 1", "stage" or "state".
      field: the key there.
      recorded, computed: both values.
    """

    frame: int
    part: str
    field: str
    recorded: Any
    computed: Any

    @property
    def sentence(self) -> str:
        return (
            f"frame {self.frame}, {self.part}, {self.field}: "
            f"recorded {self.recorded}, computed {self.computed}"
        )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a verification found.

    Attributes:
      frames: generated frames that were computed again.
      deviation: the first difference, None where there is none.
      recorded, computed: the digests.
    """

    frames: int
    deviation: Deviation | None
    recorded: str
    computed: str

    @property
    def holds(self) -> bool:
        return self.deviation is None and self.recorded == self.computed

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        if self.deviation is not None:
            return f"deviates at {self.deviation.sentence}"
        if not self.holds:
            return f"digest: recorded {self.recorded}, computed {self.computed}"
        return f"verified: {self.frames} frames, digest {self.computed}"

    def to_dict(self) -> dict[str, Any]:
        return {"holds": self.holds, "sentence": self.sentence} | dataclasses.asdict(self)


def open_match(path: str, world: str | None, engine: str) -> tuple[Any, dict[str, Any]]:
    """The world and the content of a match file.

    Args:
      world: a cartridge's folder; None takes the one that the file names.

    Raises:
      AwmError: not a match file, no such cartridge, or another one than it was played in.
    """
    content = _read(path)
    meta = content["meta"]
    folder = world or meta.get("model_checkpoint")
    if not isinstance(folder, str):
        raise AwmError(f"{path} does not name its cartridge; give --world")
    from crank.playing import CONTEXTS, load_world

    context = meta.get("context")
    ready, _, digest = load_world(folder, context if context in CONTEXTS else None, engine)
    hashes = meta.get("weights_sha256")
    played_in = hashes.get("world") if isinstance(hashes, dict) else None
    if digest != played_in:
        raise AwmError(f"{path} was played in the cartridge {played_in}, {folder} is {digest}")
    return ready, content


def export_match(path: str) -> tuple[bytes, int, str]:
    """A match file as the bytes that `awm-replay-check` reads, its generated frames, its digest.

    Raises:
      AwmError: not a match file of the integer machine, or its record is damaged.
    """
    content = _read(path)
    with naming(path):
        seed, pads, digest = read_machine(content, None)
        return match_bytes(seed, pads, digests.from_hex(digest)), len(pads), digest


def _read(path: str) -> dict[str, Any]:
    """The object of an integer world's match file."""
    try:
        with open(path, "rb") as file:
            content = json.load(file)
    except (ValueError, RecursionError) as error:
        raise AwmError(f"{path} is not a match file ({error})") from None
    if not isinstance(content, dict) or not isinstance(content.get("meta"), dict):
        raise AwmError(f"{path} is not the object form of a match file; play with --format object")
    if "machine" not in content:
        raise AwmError(f"{path}: {NOT_INTEGER}")
    return content


def machine_record(start: GameFrame, pads: np.ndarray, digest: str) -> dict[str, Any]:
    """The part of a match file from which the match can be computed again.

    Args:
      start: K seed frames; pads: (T, 2, 8).
    """
    seed = {name: np.asarray(value).tolist() for name, value in vars(start).items()}
    raw = (np.asarray(pads) & 255).astype(np.uint8)
    return {"seed": seed, "pads": raw.tobytes().hex(), "digest": digest}


def read_machine(
    match: Mapping[str, Any], cfg: EncodingConfig | None
) -> tuple[GameFrame, np.ndarray, str]:
    """The seed frames, pads (T, 2, 8) int32 and digest of a match file.

    Args:
      cfg: of the cartridge, whose columns the frames must have; None takes the frames' own.

    Raises:
      AwmError: the file is of a float world, or its record is damaged.
    """
    record = match.get("machine")
    if not isinstance(record, Mapping):
        raise AwmError(NOT_INTEGER)
    try:
        seed = GameFrame(
            **{
                field.name: np.array(record["seed"][field.name], np.int32)
                for field in dataclasses.fields(GameFrame)
            }
        )
        raw = np.frombuffer(bytes.fromhex(record["pads"]), np.uint8)
        pads = raw.reshape(-1, 2, len(PAD_FIELDS)).astype(np.int32)
        digest = str(record["digest"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise AwmError(f"the match's machine record is damaged ({error}); record it anew") from None
    pads[..., :4] = np.where(pads[..., :4] > 127, pads[..., :4] - 256, pads[..., :4])
    count = seed.stage.shape[0] if seed.stage.ndim == 1 else 0
    if cfg is None:
        cont, binary, ints = (
            v.shape[-1] if v.ndim else 0 for v in (seed.cont, seed.binary, seed.ints)
        )
    else:
        cont, binary, ints = cfg.continuous_dim, cfg.binary_dim, cfg.int_per_player
    wanted = {
        "cont": (count, 2, cont),
        "binary": (count, 2, binary),
        "ints": (count, 2, ints),
        "stage": (count,),
        "pads": (count, 2, len(PAD_FIELDS)),
    }
    for name, shape in wanted.items():
        if getattr(seed, name).shape != shape or not count:
            to = "each other" if cfg is None else "the cartridge"
            raise AwmError(f"the match's seed frames do not fit {to}: {name}")
    return seed, pads, digest


def _advance(world, state, digest, number, pads):
    state, frame = world.step(state, pads)
    return state, digests.extend(digest, world.words(frame, number)), frame


_step = jax.jit(_advance)


def frame_times(path: str) -> np.ndarray:
    """How long each generated frame of a match file takes this machine: (T,) milliseconds.

    Raises:
      AwmError: the integer machine did not play it, or its cartridge is not here.
    """
    world, match = open_match(path, None, "auto")
    seed, pads, _ = read_machine(match, world.cfg)
    state, digest = jax.jit(world.reset)(jax.tree.map(jnp.asarray, seed)), digests.start()
    first = seed.stage.shape[0]
    if len(pads):  # compiles; the frame itself is made again below
        jax.block_until_ready(_step(world, state, digest, jnp.int32(first), jnp.asarray(pads[0])))
    taken = np.zeros(len(pads))
    for t, pair in enumerate(pads):
        started = time.perf_counter()
        state, digest, _ = _step(world, state, digest, jnp.int32(first + t), jnp.asarray(pair))
        jax.block_until_ready(state)
        taken[t] = 1000 * (time.perf_counter() - started)
    return taken


@jax.jit
def _again(world, state, pads):
    """From an earlier state over pads (n, 2, 8): the state at the end."""
    return jax.lax.scan(lambda s, p: (world.step(s, p)[0], None), state, pads)[0]


def verify(
    world: Any,
    match: Mapping[str, Any],
    *,
    resim: int = 0,
    on_frame: Callable[[], None] | None = None,
) -> Verdict:
    """Compute a match again and compare every frame, field by field, and the digest.

    Args:
      world: the integer world it says it was played in.
      match: the object of a match file.
      resim: at each frame also go back this many frames, simulate them again and compare the whole
        state, as rollback netcode is tested.
    """
    cfg = world.cfg
    start, pads, recorded = read_machine(match, cfg)
    frames = match.get("frames")
    count = start.stage.shape[0]
    if not isinstance(frames, list) or len(frames) != count + len(pads):
        raise AwmError(f"the match has {count} seed frames and {len(pads)} pads, but other frames")
    state = jax.jit(lambda w, s: w.reset(s))(world, jax.tree.map(jnp.asarray, start))
    digest, made, deviation = digests.start(), [], None
    states = [state]
    for t, pad in enumerate(pads):
        state, digest, frame = _step(world, state, digest, jnp.int32(count + t), jnp.asarray(pad))
        made.append(jax.tree.map(np.asarray, frame))
        if resim and deviation is None:
            states = [*states[-resim:], state]
            back = min(resim, t + 1)
            again = _again(world, states[-1 - back], jnp.asarray(pads[t + 1 - back : t + 1]))
            deviation = _compare_states(count + t, state, again)
        if on_frame is not None:
            on_frame()
    computed = jax.tree.map(
        lambda first, *rest: np.concatenate([first, np.stack(rest)]) if rest else first,
        start,
        *made,
    )
    shown = viz.viz_frames(decode(cfg, computed), np.asarray(computed.stage))
    deviation = deviation or _compare_frames(frames, shown)
    return Verdict(len(pads), deviation, recorded, digests.hexdigest(np.asarray(digest)))


def _compare_states(frame: int, state: Any, again: Any) -> Deviation | None:
    leaves = zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(again), strict=True)
    for (path, first), second in leaves:
        first, second = np.asarray(first), np.asarray(second)
        if not np.array_equal(first, second):
            where = tuple(np.argwhere(first != second)[0].tolist())
            name = f"{jax.tree_util.keystr(path)}{list(where)}"
            return Deviation(frame, "state", name, first[where].item(), second[where].item())
    return None


def _compare_frames(recorded: list[Any], computed: list[dict[str, Any]]) -> Deviation | None:
    for index, (old, new) in enumerate(zip(recorded, computed, strict=True)):
        if old == new:
            continue
        if not isinstance(old, Mapping) or not isinstance(old.get("players"), list):
            return Deviation(index, "frame", "players", "damaged", "two players")
        if old.get("stage") != new["stage"]:
            return Deviation(index, "stage", "stage", old.get("stage"), new["stage"])
        for player, fields in enumerate(new["players"]):
            held = old["players"][player] if player < len(old["players"]) else {}
            for key, value in fields.items():
                if not isinstance(held, Mapping) or held.get(key) != value:
                    found = held.get(key) if isinstance(held, Mapping) else held
                    return Deviation(index, f"player {player}", key, found, value)
    return None
