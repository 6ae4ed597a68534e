"""One Slippi replay as a `Game`: raw columns of two players, rollbacks resolved.

Reads .slp, .slp.xz and .slx through peppi-py (the extra `replay`). Names, connect codes and tags
of the players never leave this module.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.game.stages import STAGES
from awm_jax.replays import slp
from awm_jax.replays.columns import field, final_rows, read_columns
from awm_jax.replays.packed import unpack

FPS = 60
MIN_SECONDS = 20
_PANICS = ((3, 0), (3, 6))
"""First and last (major, minor) on which peppi-py 0.8.6 panics: bookends without fields."""

_stderr_lock = threading.Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class Game:
    """One game of two players. Player 0 is the one on the lower port.

    Attributes:
      frame_ids: (T,) int32, rising; -123 is the first frame, 0 is GO.
      columns: name -> (T, 2) array: row t holds the state after frame t and the controllers that
        made it. The names are the encoding's: percent, x, y, shield, five speeds, state_age,
        hitlag, stocks, hitstun, item_dx, item_dy (float32, game units); combo_count, action,
        jumps, character (internal id), l_cancel, hurtbox, ground (0 = never landed, else the
        surface + 1), last_attack, item_count (int32); facing (right), invulnerable, on_ground
        (bool); flags (T, 2, 5) uint8; controller (T, 2, 13) float32 in [0, 1].
      missing: columns that this version lacks; they hold `columns.FILL` (60 shield, 4 stocks, on
        the ground, else 0).
      stage: external id. characters: selection screen ids. ports: 1..4. kinds: "human", "cpu".
      version: of Slippi.
      rows: rows in the file; `rollback_rows` of them were replaced by later ones.
      pal, frozen_stadium: None where the version does not say.
      end_method: game, no_contest, resolved, unresolved, time; None without an end event.
      quitter: the player who left early, or None.
      winner: by the placements of the end event, else the one who did not quit, else by stocks;
        None if these say nothing.
      ice_climbers: some player had a second climber, of whom nothing is in the columns.
      items_on: the game's own items could appear.
      sha256: of the .slp bytes.
    """

    frame_ids: np.ndarray
    columns: dict[str, np.ndarray]
    missing: frozenset[str]
    stage: int
    characters: tuple[int, int]
    ports: tuple[int, int]
    kinds: tuple[str, str]
    version: tuple[int, int, int]
    rows: int
    pal: bool | None
    frozen_stadium: bool | None
    teams: bool
    items_on: bool
    ice_climbers: bool
    end_method: str | None
    quitter: int | None
    winner: int | None
    sha256: str

    @property
    def frames(self) -> int:
        """Frames from GO on."""
        return int((self.frame_ids >= 0).sum())

    @property
    def rollback_rows(self) -> int:
        return self.rows - len(self.frame_ids)


def read_game(path: str | os.PathLike[str], *, faithful: bool = False) -> Game:
    """Reads one replay.

    Args:
      faithful: percent, shoulder, invulnerable and hitstun as the reference's builder has them
        (see `columns`); rollbacks are resolved all the same.

    Raises:
      AwmError: one line that says why this file cannot be read or is not a game of two.
    """
    data = unpack(path)
    reason = slp.fault(data)
    version = slp.version(data)
    if reason is None and version is not None and _PANICS[0] <= version[:2] <= _PANICS[1]:
        reason = (
            f"written by Slippi {'.'.join(map(str, version))}, "
            "and peppi-py panics on versions 3.0 to 3.6; leave it out"
        )
    if reason:
        raise AwmError(f"{path}: {reason}")
    raw = _parse(Path(path), data)
    players = raw.start["players"]
    if len(players) != 2:
        raise AwmError(f"{path}: {len(players)} players, and only games of two can be read")
    if raw.frames is None or not len(raw.frames):
        raise AwmError(f"{path}: holds no frames")
    return _game(raw, players, hashlib.sha256(data).hexdigest(), faithful)


def why_not_train(game: Game, require: tuple[str, ...] = ()) -> str | None:
    """Why a game that could be read is no good for learning, or None.

    Args:
      require: columns that the version must have, such as ("hitlag", "speed_air_x").
    """
    if game.ice_climbers:
        return "Ice Climbers: the second climber is in no column"
    if game.frames < MIN_SECONDS * FPS:
        return f"shorter than {MIN_SECONDS} s"
    if game.stage not in STAGES:
        return f"stage {game.stage} is none of the six legal ones"
    if game.teams:
        return "a team game"
    if game.items_on:
        return "items are on"
    if np.any(np.diff(game.frame_ids) != 1):
        return "frames are missing in the middle"
    for name, values in game.columns.items():
        if values.dtype == np.float32 and not np.isfinite(values).all():
            return f"{name} holds a value that is no number"
    lacking = sorted(game.missing & set(require))
    if lacking:
        version = ".".join(map(str, game.version))
        return f"Slippi {version} did not record {', '.join(lacking)}"
    return None


def _game(raw: Any, players: list[dict], sha256: str, faithful: bool) -> Game:
    start, end, frames = raw.start, raw.end or {}, raw.frames
    ports = [player["port"] for player in players]
    keep = final_rows(frames, ports)
    columns, missing = read_columns(frames, ports, keep, faithful)
    quitter = end.get("lras_initiator")
    quitter = ports.index(quitter) if quitter in ports else None
    method = end.get("method")
    return Game(
        frame_ids=frames.field("id").to_numpy()[keep].astype(np.int32),
        columns=columns,
        missing=missing,
        stage=start["stage"],
        characters=(players[0]["character"], players[1]["character"]),
        ports=(int(ports[0][1:]), int(ports[1][1:])),
        kinds=(players[0]["type"].lower(), players[1]["type"].lower()),
        version=tuple(start["slippi"]["version"]),
        rows=len(frames),
        pal=start.get("is_pal"),
        frozen_stadium=start.get("is_frozen_ps"),
        teams=start["is_teams"],
        items_on=start["item_spawn_frequency"] >= 0,
        ice_climbers=any(field(frames, "ports", port, "follower") is not None for port in ports),
        end_method=method and "".join("_" * c.isupper() + c.lower() for c in method).lstrip("_"),
        quitter=quitter,
        winner=_winner(end, ports, quitter, columns["stocks"]),
        sha256=sha256,
    )


def _winner(end: dict, ports: list[str], quitter: int | None, stocks: np.ndarray) -> int | None:
    placements = {p["port"]: p["placement"] for p in end.get("players") or ()}
    first, second = (placements.get(port) for port in ports)
    if first is not None and second is not None and first != second:
        return int(first > second)
    if quitter is not None:
        return 1 - quitter
    if len(stocks) and stocks[-1, 0] != stocks[-1, 1]:
        return int(stocks[-1, 1] > stocks[-1, 0])
    return None


def _parse(path: Path, data: bytes) -> Any:
    """peppi-py's game. A Rust panic arrives as a BaseException; here it becomes an AwmError."""
    try:
        from peppi_py import _peppi  # The public wrapper drops the items.
    except ImportError:
        raise AwmError('reading replays needs peppi-py: pip install "awm-jax[replay]"') from None
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "game.slp"
        plain.write_bytes(data)
        try:
            with _quiet_stderr():
                return _peppi.read_slippi(str(plain), False)
        except (KeyboardInterrupt, SystemExit):
            raise
        except OSError as error:
            reason = slp.fault(data, thorough=True) or _plain(str(error))
        except BaseException as error:
            panic = type(error).__name__ == "PanicException"
            what = "panics" if panic else f"fails with {type(error).__name__}"
            reason = f"peppi-py {what} on this file; leave it out"
    raise AwmError(f"{path}: {reason}")


def _plain(message: str) -> str:
    """peppi-py's own sentence, short and on one line."""
    message = message.removeprefix("invalid data: ").replace(": ", " ")
    message = "".join(c if c.isascii() and c.isprintable() else "?" for c in message)
    return message[:1].lower() + message[1:120]


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Sends file descriptor 2 to nowhere: a panic prints its trace there, past `sys.stderr`."""
    with _stderr_lock, contextlib.ExitStack() as undo:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        try:
            saved = os.dup(2)
        except OSError:  # no stderr at all
            yield
            return
        undo.callback(os.close, saved)
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        undo.callback(os.dup2, saved, 2)
        yield
