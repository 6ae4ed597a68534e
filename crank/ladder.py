"""A ladder: agents rated by many games, in a folder to which agents can be added later.

    ladder.json          the rules, written first; games under other rules do not mix
    rounds/NNNN/         runs of `crank.batch`; the games of all of them are a pool
    games.parquet        the games that this ladder counts, in the schedule's order
    leaderboard.json     ready to seed an arena
    report.html          the same for people

A game's key is (both agents with the hashes of their weights, seed, stage, characters). The seed is
a function of the ladder's seed, the two agents and how often they have met. So a ladder that was
killed, or that is asked for again with one more agent, finds its earlier games by their keys.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.game.characters import character_name
from crank import ratings
from crank.batch.loading import BatchSpec, Loaded, load
from crank.batch.plan import Entrant, MatchSpec, draw
from crank.batch.results import Row
from crank.batch.running import Progress, run_batch
from crank.batch.store import RUN, finished_rows, write_rows
from crank.ladder_schedule import Pairings, schedule_of
from crank.ratings import Game

RULES, GAMES, LEADERBOARD, ROUNDS = "ladder.json", "games.parquet", "leaderboard.json", "rounds"
REPORT = "report.html"
_KEYS = {"name", "agent", "character", "button_bias"}
Key = tuple[str, str, int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Contender:
    """An agent of a ladder.

    Attributes:
      character: the id that it plays; None for one that is drawn.
    """

    name: str
    entrant: Entrant
    character: int | None = None


def read_agents(path: str) -> list[Contender]:
    """Agents of a TOML file, a table `[[agent]]` each: name, agent, and if wished character and
    button_bias.

    Raises:
      AwmError: one line that says what is wrong and where.
    """
    from awm_jax.encoding import EncodingConfig
    from awm_jax.game.characters import parse_character

    try:
        found = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise AwmError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise AwmError(f"{path} is no TOML: {error}") from None
    tables = found.get("agent")
    if set(found) != {"agent"} or not isinstance(tables, list):
        raise AwmError(f"{path} must hold tables [[agent]] and nothing else")
    out: list[Contender] = []
    for number, table in enumerate(tables, 1):
        where = f"{path}, agent {number}"
        if unknown := sorted(set(table) - _KEYS):
            raise AwmError(
                f"{where}: unknown key {unknown[0]!r}; known: {', '.join(sorted(_KEYS))}"
            )
        for key in ("name", "agent"):
            if not isinstance(table.get(key), str) or not table[key].strip():
                raise AwmError(f"{where}: {key} is missing or no text")
        bias = table.get("button_bias", 0.0)
        if isinstance(bias, bool) or not isinstance(bias, int | float):
            raise AwmError(f"{where}: button_bias is no number")
        character = table.get("character")
        if character is not None:
            vocabulary = EncodingConfig().character_vocab
            try:
                character = parse_character(str(character), vocabulary)
            except AwmError as error:
                raise AwmError(f"{where}: {error}") from None
        if table["name"] in [contender.name for contender in out]:
            raise AwmError(f"{where}: there is an agent {table['name']!r} already")
        out.append(Contender(table["name"], Entrant(table["agent"], float(bias)), character))
    return out


@dataclasses.dataclass(frozen=True)
class LadderSpec:
    """What a ladder plays.

    Attributes:
      matches: how many games count, an even number; pairs with equal seeds and sides swapped.
      stages, characters: of which a pair's are drawn; characters for agents that have none.
      options: further fields of `BatchSpec`.
    """

    world: Any
    contenders: Sequence[Contender]
    matches: int
    schedule: str = "round-robin"
    seed: int = 0
    stages: Sequence[int] = (2, 3, 8, 28, 31, 32)
    characters: Sequence[int] = (2,)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Standings:
    """A ladder's result.

    Attributes:
      board: an entry an agent, the best first; `leaderboard.json`.
      names: agents in the board's order.
      won, games: (n, n) scores and counts in that order.
      facts: of the whole field: first mover, intransitive triples, prior.
      reused, played: games from earlier runs, and of this one.
    """

    board: list[dict[str, Any]]
    names: list[str]
    won: np.ndarray
    games: np.ndarray
    error: np.ndarray
    facts: dict[str, Any]
    reused: int = 0
    played: int = 0


def run_ladder(
    spec: LadderSpec,
    out: str,
    *,
    on_progress: Callable[[Progress], object] = lambda _: None,
    say: Callable[[str], object] = lambda _: None,
    **batch_options: Any,
) -> Standings:
    """Play what is missing, rate all, write the folder.

    Args:
      out: the ladder's folder; games that it holds already are used.
      batch_options: `slots`, `devices`, `save_every`, `stop`, `cluster` of `run_batch`.

    Raises:
      AwmError: a bad argument or file, or a folder of a ladder with other rules.
    """
    from crank.ladder_report import write_report

    loaded = _load(spec)
    folder = Path(out)
    _claim(folder, loaded.rules() | {"seed": spec.seed})
    pool = _pool(folder, say)
    choose = schedule_of(spec.schedule)
    n, total = len(spec.contenders), spec.matches // 2
    won, games = np.zeros((n, n)), np.zeros((n, n), int)
    place = {contender.name: i for i, contender in enumerate(spec.contenders)}
    identities = {name: _identity(name, told) for name, told in loaded.described().items()}
    rows: list[Row] = []
    reused = 0
    while len(rows) < 2 * total:
        pairings = choose(won, games, total - len(rows) // 2, total)
        wanted = _matches(spec, identities, pairings, games)
        missing = [m for m in wanted if _key(identities, m) not in pool]
        done = len(wanted) - len(missing)
        reused += done
        if missing:
            before = len(rows) + done
            played = run_batch(
                loaded.with_matches(missing),
                str(_next_round(folder)),
                on_progress=lambda p, before=before: on_progress(
                    dataclasses.replace(p, matches=before + p.matches, total=2 * total)
                ),
                say=say,
                **batch_options,
            )
            pool |= {_key(identities, m): r for m, r in zip(missing, played.rows, strict=True)}
        for match in wanted:
            row = pool[_key(identities, match)]._replace(match=len(rows))
            rows.append(row)
            first, second = place[row.p0], place[row.p1]
            games[first, second] += 1
            games[second, first] += 1
            if (score := _score(row)) is not None:
                won[first, second] += score
                won[second, first] += 1 - score
    standings = dataclasses.replace(
        rate(rows, spec.contenders), reused=reused, played=2 * total - reused
    )
    write_rows(folder / GAMES, rows)
    write_report(folder / REPORT, standings, spec.schedule)
    write_atomically(folder / LEADERBOARD, json.dumps(board_object(standings), indent=2) + "\n")
    return standings


def rate(rows: Sequence[Row], contenders: Sequence[Contender]) -> Standings:
    """Standings of games in their order."""
    names = [contender.name for contender in contenders]
    played = [Game(r.p0, r.p1, s) for r in rows if (s := _score(r)) is not None]
    won = ratings.scores(played, names)
    fit = ratings.bradley_terry(won)
    elo, streaks = ratings.elo(played, names), ratings.streaks(played, names)
    order = sorted(range(len(names)), key=lambda i: (-fit.ratings[i], names[i]))
    low, high = fit.intervals.T
    board = []
    for rank, i in enumerate(order, 1):
        name, contender = names[i], contenders[i]
        mine = [g.score for g in played if g.first == name and g.second != name]
        mine += [1 - g.score for g in played if g.second == name and g.first != name]
        character = contender.character
        board.append(
            {
                "rank": rank,
                "agent": name,
                "spec": contender.entrant.label,
                "character": None if character is None else character_name(character),
                "elo": round(elo[name], 2),
                "tier": ratings.tier(elo[name]),
                "matches": len(mine),
                "wins": sum(s == 1 for s in mine),
                "losses": sum(s == 0 for s in mine),
                "draws": sum(s == 0.5 for s in mine),
                "streak": streaks[name],
                "rating": round(float(fit.ratings[i]), 2),
                "rating_95": [round(float(low[i]), 2), round(float(high[i]), 2)],
            }
        )
    grid = np.ix_(order, order)
    ranked = [names[i] for i in order]
    won = won[grid]
    triples = ratings.intransitive(won)
    facts = {
        "first_mover": ratings.first_mover(played),
        "intransitive": [[ranked[i] for i in triple] for triple in triples],
        "prior_games": fit.prior,
        "void": len(rows) - len(played),
    }
    return Standings(board, ranked, won, won + won.T, fit.error[grid], facts)


def board_object(standings: Standings) -> dict[str, Any]:
    """What `leaderboard.json` holds."""
    return {
        "format": 1,
        "agents": standings.board,
        **standings.facts,
        "win_matrix": {
            "agents": standings.names,
            "scores": standings.won.tolist(),
            "games": standings.games.tolist(),
        },
    }


def _score(row: Row) -> float | None:
    """Player 0's; None for a match that counts for nothing."""
    if row.reason == "corrupt":
        return None
    return 0.5 if row.winner is None else float(row.winner == 0)


def _load(spec: LadderSpec) -> Loaded:
    if len(spec.contenders) < 2:
        raise AwmError(f"{len(spec.contenders)} agents; a ladder needs at least 2")
    if spec.matches < 2 or spec.matches % 2:
        raise AwmError(f"{spec.matches} matches; give an even number, since sides are swapped")
    if not spec.stages or not spec.characters:
        raise AwmError("nothing to draw from: give stages and characters")
    schedule_of(spec.schedule)
    ratings.bradley_terry(np.ones((2, 2)))  # says now, not after the games, that choix is missing
    entrants = {contender.name: contender.entrant for contender in spec.contenders}
    return load(BatchSpec(spec.world, entrants, (), **spec.options))


def _claim(folder: Path, rules: dict[str, Any]) -> None:
    """Make the folder, or check that its games were played under these rules."""
    path = folder / RULES
    if path.exists():
        try:
            known = json.loads(path.read_text())
            other = [k for k in sorted({*known, *rules}) if known.get(k) != rules.get(k)]
        except (ValueError, TypeError):
            raise AwmError(f"{path} is damaged; choose another folder") from None
        if other:
            raise AwmError(
                f"{folder} holds a ladder under other rules ({', '.join(other)}); "
                "keep to them or choose another folder"
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AwmError(f"{folder} holds something else; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(rules, indent=2, sort_keys=True) + "\n")


def _pool(folder: Path, say: Callable[[str], object]) -> dict[Key, Row]:
    """All finished games of all rounds, also of those that were cut short."""
    pool: dict[Key, Row] = {}
    for run in sorted((folder / ROUNDS).glob("*")):
        try:
            agents = json.loads((run / RUN).read_text())["agents"]
        except (OSError, ValueError, KeyError, TypeError):
            say(f"{run} is damaged; its games are played again")
            continue
        for row in finished_rows(run, say):
            first, second = (_identity(name, agents.get(name)) for name in (row.p0, row.p1))
            place = row.stage, row.p0_character, row.p1_character
            pool[(first, second, row.seed, *place)] = row
    return pool


def _next_round(folder: Path) -> Path:
    numbers = [int(p.name) for p in (folder / ROUNDS).glob("*") if p.name.isdecimal()]
    return folder / ROUNDS / f"{max(numbers, default=-1) + 1:04}"


def _identity(name: str, described: Any) -> str:
    return f"{name} {json.dumps(described, sort_keys=True)}"


def _matches(
    spec: LadderSpec, identities: Mapping[str, str], pairings: Pairings, games: np.ndarray
) -> list[MatchSpec]:
    """Two games a pairing, with one seed and sides swapped. Characters that are drawn go with the
    side, so that both agents play both."""
    met = games.copy()
    out = []
    for i, j in pairings:
        # The same games whatever the order and number of the ladder's agents.
        first, second = sorted(
            (spec.contenders[i], spec.contenders[j]), key=lambda c: identities[c.name]
        )
        index = f"{identities[first.name]}/{identities[second.name]}/{met[i, j] // 2}"
        drawn = draw(spec.seed, index)
        stage = spec.stages[drawn.stage % len(spec.stages)]
        sides = [spec.characters[n % len(spec.characters)] for n in drawn.characters]
        for pair in ((first, second), (second, first)):
            own = [
                side if c.character is None else c.character
                for c, side in zip(pair, sides, strict=True)
            ]
            names = pair[0].name, pair[1].name
            out.append(MatchSpec(*names, drawn.seed, stage, (own[0], own[1])))
        met[i, j] += 2
        met[j, i] += 2
    return out


def _key(identities: Mapping[str, str], m: MatchSpec) -> Key:
    return identities[m.p0], identities[m.p1], m.seed, m.stage, *m.characters
