"""The training log: one JSON object a line. Source: mwm.md section 8.

Older keys are understood (`cycle`, flat world features, `player_health`, the text of an Enum
member). A line that cannot be used is skipped, counted and named by its number and field; with
`strict` it is an error. A line without `gwm_features` counts as one with an empty object, one with
null as sixteen zeros.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from awm_jax.errors import AwmError
from awm_jax.mwm.features import (
    IWM_DIM,
    SELF_DEFAULTS,
    SELF_NAMES,
    action_name,
    pack_action_features,
    pack_gwm_features,
    pack_iwm_latent,
    pack_self_features,
)
from awm_jax.mwm.types import Model

_OLD_GWM = {
    "num_enemies": ("num_enemies_total", None),
    "nearest_enemy_distance": ("nearest_enemy", "distance"),
    "nearest_enemy_bearing_deg": ("nearest_enemy", "bearing_deg"),
    "best_cover_distance": ("best_cover_spot", "distance"),
}
_VITALS = ("health", "stamina", "magicka")
_OWN = SELF_NAMES[5:]


class TrainingLogEntry(Model):
    """What was seen, done and got in one tick."""

    timestamp: float
    cycle_number: int = 0
    gwm_features: dict[str, Any] | None = None
    iwm_latent: list[float] | None = None
    self_state: dict[str, Any] = Field(default_factory=dict)
    action_type: str = "unknown"
    action_params: dict[str, Any] = Field(default_factory=dict)
    reward_proxy: float = 0.0
    next_gwm_features: dict[str, Any] | None = None
    next_iwm_latent: list[float] | None = None
    next_self_state: dict[str, Any] = Field(default_factory=dict)
    was_successful: bool = True
    surprise: float = 0.0


@dataclasses.dataclass(frozen=True)
class Arrays:
    """An entry as the network takes it: unscaled world (16,), visual (V,) or None, self (8,),
    action (16,)."""

    gwm: np.ndarray
    iwm: np.ndarray | None
    own: np.ndarray
    action: np.ndarray


def arrays(entry: TrainingLogEntry, iwm_dim: int = IWM_DIM, *, after: bool = False) -> Arrays:
    """The arrays of an entry, or of what came `after` its action.

    Raises:
      AwmError: names the field that cannot be packed.
    """
    gwm = entry.next_gwm_features if after else entry.gwm_features
    iwm = entry.next_iwm_latent if after else entry.iwm_latent
    own = entry.next_self_state if after else entry.self_state
    prefix = "next_" if after else ""
    action = entry.action_params | {"action_type": entry.action_type}
    return Arrays(
        _named(f"{prefix}gwm_features", pack_gwm_features, gwm),
        None
        if iwm is None
        else _named(f"{prefix}iwm_latent", lambda v: pack_iwm_latent(v, iwm_dim), iwm),
        _named(f"{prefix}self_state", _pack_own, own),
        _named("action_params", lambda a: pack_action_features(a, a), action),
    )


def _named(field: str, pack: Any, value: Any) -> np.ndarray:
    try:
        return pack(value)
    except AwmError as error:
        raise AwmError(f"{field}: {error}") from None


class _Own:
    """A logged self state, as a being."""

    def __init__(self, state: Mapping[str, Any]):
        vitals = {f"player_{name}": state.get(name) for name in _VITALS}
        self.game_state = {**{name: state.get(name) for name in SELF_NAMES[3:5]}, **vitals}
        for name, default in zip(_OWN, SELF_DEFAULTS[5:], strict=True):
            setattr(self, name, state.get(name, float(default)))


def _pack_own(state: Mapping[str, Any]) -> np.ndarray:
    return pack_self_features(_Own(state))


def modern(line: Mapping[str, Any]) -> dict[str, Any]:
    """A log object under today's keys."""
    entry = dict(line)
    if "cycle" in entry:
        entry.setdefault("cycle_number", entry.pop("cycle"))
    if isinstance(entry.get("action_type"), str):
        entry["action_type"] = action_name(entry["action_type"])
    entry.setdefault("gwm_features", {})
    for key in ("gwm_features", "next_gwm_features"):
        if isinstance(entry.get(key), Mapping):
            entry[key] = _modern_gwm(entry[key])
    for key in ("self_state", "next_self_state"):
        if isinstance(entry.get(key), Mapping):
            old = {f"player_{name}": name for name in _VITALS}
            entry[key] = {old.get(name, name): value for name, value in entry[key].items()}
    return entry


def _modern_gwm(features: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(features)
    for old, (outer, inner) in _OLD_GWM.items():
        if old not in found:
            continue
        value = found.pop(old)
        if inner is None:
            found.setdefault(outer, value)
        elif isinstance(found.setdefault(outer, {}), dict):
            found[outer] = {inner: value, **found[outer]}
    return found


def parse_entry(text: str, iwm_dim: int = IWM_DIM) -> TrainingLogEntry:
    """One line of a log.

    Raises:
      AwmError: says what is wrong, naming the field.
    """
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AwmError(f"not JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(line, dict):
        raise AwmError(f"a {type(line).__name__}, not an object")
    try:
        entry = TrainingLogEntry(**modern(line))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "an entry"
        raise AwmError(f"{where}: {first['msg']}") from error
    for name in ("timestamp", "reward_proxy", "surprise"):
        if not math.isfinite(getattr(entry, name)):
            raise AwmError(f"{name} is {getattr(entry, name)}, not a finite number")
    arrays(entry, iwm_dim)
    if entry.next_gwm_features is not None:
        arrays(entry, iwm_dim, after=True)
    return entry


class TrainingDataset:
    """Entries of a log; `skipped` holds (line number, reason) of those that could not be used."""

    def __init__(self, entries: list[TrainingLogEntry] | None = None):
        self.entries = list(entries or [])
        self.skipped: list[tuple[int, str]] = []

    def add_entry(self, entry: TrainingLogEntry) -> None:
        self.entries.append(entry)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> TrainingLogEntry:
        return self.entries[index]

    def __iter__(self) -> Iterator[TrainingLogEntry]:
        return iter(self.entries)

    def save_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Write all entries, whole or not at all; an existing file is replaced."""
        from awm_jax.files import write_atomically

        write_atomically(path, "".join(e.model_dump_json() + "\n" for e in self.entries))

    @classmethod
    def load_jsonl(
        cls, path: str | os.PathLike[str], *, strict: bool = False, iwm_dim: int = IWM_DIM
    ) -> TrainingDataset:
        """Read a log; blank lines are nothing.

        Raises:
          AwmError: the file cannot be read; with `strict`, the first line that cannot be used.
        """
        dataset = cls()
        try:
            lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError as error:
            raise AwmError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
        for number, text in enumerate(lines, 1):
            if not text.strip():
                continue
            try:
                dataset.add_entry(parse_entry(text, iwm_dim))
            except AwmError as error:
                if strict:
                    raise AwmError(f"{os.fspath(path)}: line {number}: {error}") from None
                dataset.skipped.append((number, str(error)))
        return dataset


def log_training_entry(
    gwm_features: Mapping[str, Any] | None,
    iwm_latent: Any,
    self_state: Mapping[str, Any],
    action_type: Any,
    action_params: Mapping[str, Any],
    reward_proxy: float,
    log_file: str | os.PathLike[str],
    *,
    now: float | None = None,
    **more: Any,
) -> TrainingLogEntry:
    """Append one line to a log; its folder is made.

    Args:
      more: other fields of `TrainingLogEntry`.
      now: the timestamp; the wall clock by default.

    Raises:
      AwmError: a field is not valid, or the file cannot be written.
    """
    latent = None if iwm_latent is None else np.asarray(iwm_latent).tolist()
    try:
        entry = TrainingLogEntry(
            timestamp=time.time() if now is None else now,
            gwm_features=None if gwm_features is None else dict(gwm_features),
            iwm_latent=latent,
            self_state=dict(self_state),
            action_type=action_name(action_type),
            action_params=dict(action_params),
            reward_proxy=reward_proxy,
            **more,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise AwmError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    try:
        Path(log_file).parent.mkdir(parents=True, exist_ok=True)
        with open(log_file, "a", encoding="utf-8") as file:
            file.write(entry.model_dump_json() + "\n")
    except OSError as error:
        raise AwmError(f"cannot write {os.fspath(log_file)}: {error.strerror}") from error
    return entry
