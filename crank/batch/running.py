"""Playing all matches of a run: loading, filling slots, taking out what has ended."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import CONTROLLER
from awm_jax.errors import AwmError
from awm_jax.game import digest as digests
from awm_jax.game import rng
from awm_jax.game.decode import decode, stages
from awm_jax.game.result import whole, winner
from awm_jax.int8.frame import PAD_FIELDS, GameFrame
from awm_jax.int8.frame import decode as decode_integers
from crank.batch import slots as device
from crank.batch.cluster import Cluster
from crank.batch.cluster import play as on_cluster
from crank.batch.loading import BatchSpec, Loaded, load
from crank.batch.memory import check_slots
from crank.batch.plan import MatchSpec
from crank.batch.results import Results, Row
from crank.batch.store import Store
from crank.match import Agents, Outcome, Rules

CHUNK = 60
"""Frames between two looks at the host, at most."""
REFILL = 8
"""Matches that are reset in one call: as many rows as fill the native kernel's products."""
SLOTS = {"cpu": 64}
MANY_SLOTS = 2048


@dataclasses.dataclass(frozen=True)
class Progress:
    """How a run stands.

    Attributes:
      matches, total: finished, and all.
      played, frames: matches that this call has finished, and their frames.
      seconds: since the first slot was filled.
    """

    matches: int
    total: int
    played: int
    frames: int
    seconds: float


def run_batch(
    spec: BatchSpec | Loaded,
    out: str | None = None,
    *,
    resume: bool = False,
    slots: int | None = None,
    devices: int | None = None,
    chunk: int = CHUNK,
    record: Sequence[int] = (),
    save_every: float = 5.0,
    on_progress: Callable[[Progress], object] = lambda _: None,
    say: Callable[[str], object] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    cluster: Cluster | None = None,
) -> Results:
    """Play all matches of a run.

    Args:
      out: a folder for `matches.parquet` and all that is needed to resume; None keeps the rows in
        memory alone. Needs pyarrow.
      resume: go on with the run in `out`.
      slots: matches at once on each device; default 64 on CPU, where so many stay in its caches,
        2,048 elsewhere. Fewer where memory does not suffice.
      devices: how many of JAX's local devices; default all.
      chunk: frames played between two looks, at most.
      record: indices of matches whose every frame goes to `frames.parquet`.
      save_every: seconds of work that a kill may cost.
      on_progress: called after every look.
      say: called with sentences for people: memory, damage.
      stop: asked after every look; when it says so what has ended is saved.
      cluster: play on a Ray cluster; `slots` are then those of each task.

    Raises:
      AwmError: a bad argument or file, or `out` cannot be written. Finished matches are kept.
      KeyboardInterrupt: `stop` said so.
    """
    loaded = spec if isinstance(spec, Loaded) else load(spec)
    spec = loaded.spec
    total = len(spec.matches)
    if not total:
        raise AwmError("0 matches to play; give at least 1")
    wanted = set(record)
    if wanted and out is None:
        raise AwmError("recording frames needs a folder")
    if bad := [i for i in wanted if not 0 <= i < total]:
        raise AwmError(f"there is no match {bad[0]} to record; they are 0 to {total - 1}")
    if chunk < 1:
        raise AwmError(f"{chunk} frames between two looks; give at least 1")
    if cluster is None:
        _devices(devices)
    elif devices is not None:
        raise AwmError("devices are this machine's; a cluster's tasks take what their node has")
    store = None
    if out is not None:
        definition = {**loaded.definition(), "recorded": sorted(wanted)}
        store = Store(out, definition, resume)
        store.forget_unrecorded(sorted(wanted))
        for note in store.notes:
            say(note)
    rows = store.rows if store else {}
    left = [i for i in range(total) if i not in rows]
    begun = saved = time.perf_counter()
    at_once, count, frames = 0, 0, 0
    if left:
        kept = frozenset(wanted)
        if cluster is None:
            at_once, playing = play_here(loaded, left, kept, slots, devices, chunk, say)
        else:
            playing = on_cluster(loaded, left, kept, cluster, slots, chunk, say)
        with contextlib.closing(playing):
            for finished in playing:
                for row, columns in finished:
                    if store:
                        store.add(row, columns)
                    else:
                        rows[row.match] = row
                    frames += row.frames
                count += len(finished)
                now = time.perf_counter()
                if store and now - saved >= save_every:
                    store.save()
                    saved = now
                on_progress(Progress(total - len(left) + count, total, count, frames, now - begun))
                if stop() and count < len(left):
                    if store:
                        store.save()
                    raise KeyboardInterrupt
    if store and not store.complete:
        store.finish(sorted(wanted))
    ordered = [rows[i] for i in range(total)]
    return Results(ordered, time.perf_counter() - begun, at_once)


def play_here(
    loaded: Loaded,
    left: Sequence[int],
    wanted: frozenset[int],
    slots: int | None,
    devices: int | None,
    chunk: int,
    say: Callable[[str], object],
) -> tuple[int, Generator[list[tuple[Row, Any]], None, None]]:
    """How many matches play at once on this machine, and what yields those that have ended."""
    chosen = _devices(devices)
    field = _Field(loaded, tuple(chosen), chunk if wanted else 0, wanted)
    asked = SLOTS.get(chosen[0].platform, MANY_SLOTS) if slots is None else slots
    on_each = check_slots(asked, len(left), field, say)
    return on_each * len(chosen), field.play(left, on_each, chunk)


def _devices(count: int | None) -> list[Any]:
    there = jax.local_devices()
    if count is not None and not 1 <= count <= len(there):
        raise AwmError(f"{count} devices asked for; this machine has {len(there)}")
    return there[:count]


class _Field:
    """All pairings of a run, one after the other, on the same slots."""

    def __init__(self, loaded: Loaded, devices: tuple, record: int, wanted: frozenset[int]):
        self.loaded, self.wanted = loaded, wanted
        self.programs = device.programs(devices, record)
        self.rules = self._everywhere(Rules.of(loaded.spec.max_frames, loaded.spec.early_ko))
        self.world = self._everywhere(loaded.world)
        self.agents = {name: self._everywhere(agent) for name, agent in loaded.agents.items()}
        self._starts: dict[Any, Any] = {}
        self._unfinished: dict[int, list[dict[str, np.ndarray]]] = {}

    def shape(self, match: MatchSpec, count: int) -> device.Slots:
        return device.shapes(self.world, self._pair(match), self._start(match), count)

    def largest(self) -> int:
        """Bytes of the largest slot of any pairing."""
        pairs = {(m.p0, m.p1): m for m in self.loaded.spec.matches}
        return max(device.bytes_of(self.shape(m, 1)) for m in pairs.values())

    def play(
        self, left: Sequence[int], slots: int, chunk: int
    ) -> Generator[list[tuple[Row, Any]], None, None]:
        """Yield what has ended after every look: rows, and columns of the recorded ones."""
        pairs: dict[tuple[str, str], deque[int]] = {}
        for index in left:
            match = self.loaded.spec.matches[index]
            pairs.setdefault((match.p0, match.p1), deque()).append(index)
        for queue in pairs.values():
            yield from self._play_pair(queue, slots, chunk)

    def _play_pair(self, queue: deque[int], most: int, chunk: int):
        programs, matches = self.programs, self.loaded.spec.matches
        agents = self._pair(matches[queue[0]])
        each = device.smallest(most, -(-len(queue) // programs.devices))
        state = device.empty(self.shape(matches[queue[0]], each * programs.devices), programs.split)
        inside = np.full(each * programs.devices, -1)
        before = np.zeros(len(inside), np.int32)
        while queue or (inside >= 0).any():
            state = self._fill(agents, state, inside, queue, each)
            quorum = max(1, each // 16)
            if not queue:
                # Nobody waits for a slot: go on until so many are idle that fewer slots do.
                quorum = device.to_shrink(each)
            state, seen = programs.advance(
                self.world, agents, self.rules, state, jnp.int32(chunk), jnp.int32(quorum)
            )
            outcome, played = np.asarray(seen.outcome), np.asarray(seen.played)
            self._record(seen, inside, before, played)
            ended = np.flatnonzero((inside >= 0) & (outcome != Outcome.RUNNING))
            yield self._rows(seen, outcome, played, inside, ended)
            before = np.where(outcome == Outcome.RUNNING, played, 0).astype(np.int32)
            inside[ended] = -1
            if not queue and (live := np.flatnonzero(inside >= 0)).size:
                fewer = device.smallest(each, -(-live.size // programs.devices))
                if fewer < each:
                    where = np.full(fewer * programs.devices, len(inside))
                    where[: live.size] = live
                    state = programs.take(state, jnp.asarray(where))
                    inside = np.append(inside, -1)[where]
                    before = np.append(before, 0)[where].astype(np.int32)
                    each = fewer

    def _fill(self, agents: Agents, state, inside: np.ndarray, queue: deque[int], each: int):
        """Give idle slots the next matches, a few a call on every device."""
        devices, room = self.programs.devices, min(REFILL, each)
        while queue and (inside < 0).any():
            where = np.full((devices, room), each, np.int32)
            chosen = []
            for part in range(devices):
                idle = np.flatnonzero(inside[part * each : (part + 1) * each] < 0)[:room]
                for place, slot in enumerate(idle[: len(queue)]):
                    where[part, place] = slot
                    inside[part * each + slot] = queue[0]
                    chosen.append((part * room + place, queue.popleft()))
            specs = dict(chosen)
            any_one = chosen[0][1]
            order = [specs.get(i, any_one) for i in range(devices * room)]
            matches = [self.loaded.spec.matches[i] for i in order]
            starts = jax.tree.map(lambda *v: np.stack(v), *(self._start(m) for m in matches))
            seeds = np.stack([rng.seed_words(m.seed) for m in matches])
            placed = jax.device_put((starts, seeds, where.reshape(-1)), self.programs.split)
            state = self.programs.refill(self.world, agents, state, *placed)
        return state

    def _rows(self, seen, outcome, played, inside, ended) -> list[tuple[Row, Any]]:
        if not ended.size:
            return []
        last = jax.tree.map(np.asarray, seen.last)
        digest = np.asarray(seen.digest)
        shown = _decode(self.loaded.world.cfg, jax.tree.map(lambda v: v[ended], last))
        out = []
        for i, slot in enumerate(ended):
            index = int(inside[slot])
            match = self.loaded.spec.matches[index]
            stocks, percent = whole(shown["stocks"][i]), whole(shown["percent"][i])
            reason = Outcome(int(outcome[slot]))
            row = Row(
                match=index,
                seed=match.seed,
                p0=match.p0,
                p1=match.p1,
                p0_character=match.characters[0],
                p1_character=match.characters[1],
                stage=match.stage,
                winner=None if reason is Outcome.CORRUPT else winner(stocks, percent),
                p0_stocks=stocks[0],
                p1_stocks=stocks[1],
                p0_percent=percent[0],
                p1_percent=percent[1],
                frames=int(played[slot]),
                reason=reason.word,
                digest=digests.hexdigest(digest[slot]),
            )
            out.append((row, self._recorded(index)))
        return sorted(out, key=lambda pair: pair[0].match)

    def _record(self, seen, inside, before, played) -> None:
        """Keep what the call played of the matches that are recorded."""
        slots = [s for s in range(len(inside)) if int(inside[s]) in self.wanted]
        if not slots:
            return
        frames, pads = jax.tree.map(np.asarray, (seen.frames, seen.pads))
        for slot in slots:
            count, index = int(played[slot] - before[slot]), int(inside[slot])
            part = jax.tree.map(lambda v, s=slot, n=count: v[:n, s], frames)
            number = self.loaded.world.context_len + int(before[slot]) + np.arange(count)
            columns = {
                "match": np.full(count, index, np.int64),
                "frame": number.astype(np.int32),
                "stage": _stages(part).astype(np.int32),
            }
            for name, values in _decode(self.loaded.world.cfg, part).items():
                columns |= {f"p{p}_{name}": np.ascontiguousarray(values[:, p]) for p in (0, 1)}
            names = PAD_FIELDS if isinstance(part, GameFrame) else CONTROLLER
            for p in (0, 1):
                columns |= {f"p{p}_pad_{n}": pads[:count, slot, p, i] for i, n in enumerate(names)}
            self._unfinished.setdefault(index, []).append(columns)

    def _recorded(self, index: int) -> dict[str, np.ndarray] | None:
        parts = self._unfinished.pop(index, None)
        if parts is None:
            return None
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _pair(self, match: MatchSpec) -> Agents:
        return self.agents[match.p0], self.agents[match.p1]

    def _start(self, match: MatchSpec) -> Any:
        noisy = self.loaded.spec.seed_noise > 0
        key = match.stage, match.characters, match.seed if noisy else None
        if noisy:
            return self.loaded.start(match)
        if key not in self._starts:
            self._starts[key] = self.loaded.start(match)
        return self._starts[key]

    def _everywhere(self, tree: Any) -> Any:
        return jax.device_put(tree, self.programs.everywhere)


def _decode(cfg, frames) -> dict[str, np.ndarray]:
    return decode_integers(cfg, frames) if isinstance(frames, GameFrame) else decode(cfg, frames)


def _stages(frames) -> np.ndarray:
    return np.asarray(frames.stage) if isinstance(frames, GameFrame) else stages(frames)
