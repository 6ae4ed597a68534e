"""Building data folders from real games, and what becomes of bad ones."""

import csv
import json

import numpy as np
import pytest
from support.golden import replays_dir

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.game import rules
from awm_jax.replays.encode import encode_columns
from awm_jax.train import data, lengths, records

CFG = EncodingConfig(state_flags=True, hitstun=True, projectiles=True)


def listed():
    with (replays_dir() / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")
    rows = sorted(listed(), key=lambda row: int(row["rows"]))
    new = [row for row in rows if row["has_hitlag"] == "1"]
    chosen = [
        next(r for r in new if r["split"] == "valid"),
        next(r for r in new if r["split"] == "train"),
        next(r for r in rows if r["has_velocities"] == "0"),
    ]
    paths = [replays_dir() / "games" / row["file"] for row in chosen]
    paths.append(replays_dir() / "bad" / "not-a-replay-text.slp.xz")
    out = tmp_path_factory.mktemp("data") / "arrays"
    return chosen, paths, out, data.build(paths, out, jobs=1)


def test_summary_splits_and_refusals(built):
    chosen, _, out, summary = built
    assert summary["games"] == 2 and len(summary["refused"]) == 2
    assert summary["refused"][chosen[2]["file"]].startswith("did not record")
    assert "not a Slippi file" in summary["refused"]["not-a-replay-text.slp.xz"]
    assert summary["frames"] == sum(int(row["frames"]) for row in chosen[:2])
    for row in chosen[:2]:
        (entry,) = data.open_data(out, row["split"]).entries
        assert entry.file == row["file"] and entry.licence == row["licence"]
        assert entry.frames == int(row["frames"]) and entry.go == 39
        assert entry.stage == int(row["stage_id"])


def test_frames_are_those_of_the_encoder(built):
    from awm_jax.replays.slippi import read_game

    _, paths, out, _ = built
    game = read_game(paths[0])
    keep = game.frame_ids >= data.FIRST_FRAME
    columns = {name: values[keep] for name, values in game.columns.items()}
    floats, ints = encode_columns(columns, game.stage, CFG)
    stored = data.open_data(out, "valid")
    own = data.encode_records(stored.games[0], stored.entries[0].stage, CFG, counted_age=False)
    assert np.array_equal(ints, own[1])
    assert np.abs(floats - own[0]).max() < 2e-5 + 0.01 * 0.25  # ages are kept as float16
    assert np.array_equal(floats[:, 1:3], own[0][:, 1:3])  # positions to the bit
    counted = records.unpack(stored.games[0])["state_age"]
    assert np.array_equal(counted, records.action_ages(game.columns["action"])[keep])


def test_building_again_reads_nothing_and_a_damaged_game_anew(built):
    _, paths, out, _ = built
    index = (out / data.INDEX).read_bytes()
    assert data.build(paths, out, jobs=1)["read"] == 0
    entry = data.open_data(out, "train").entries[0]
    file = out / data.GAMES / f"{entry.key}.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(AwmError, match="damaged"):
        data.open_data(out, "train")
    assert data.build(paths, out, jobs=1)["read"] == 1
    assert file.read_bytes() == whole and (out / data.INDEX).read_bytes() == index


def test_nobody_is_named(built):
    _, _, out, _ = built
    known = {"key", "rows", "go", "stage", "characters", "missing", "split", "file", "pair"}
    known |= {"players", "source", "licence"}
    for game in json.loads((out / data.INDEX).read_text())["games"]:
        assert set(game) == known


def test_errors_are_sentences(tmp_path):
    with pytest.raises(AwmError, match="no data folder"):
        data.open_data(tmp_path)
    with pytest.raises(AwmError, match="no such file"):
        data.build([tmp_path / "absent"], tmp_path / "out")
    with pytest.raises(AwmError, match="no replay found"):
        data.build([tmp_path], tmp_path / "out")


def test_lengths_are_those_of_frequent_actions():
    games = []
    for _ in range(3):
        game = np.zeros((900, 2), records.PLAYER)
        game["character"] = 3, 7
        game["action"] = np.repeat(np.tile([[40, 350], [41, 51], [42, 14]], (10, 1)), 30, axis=0)
        games.append(game)
    games[1]["action"][400:470, 0] = 41
    games[2]["action"][100:600, 1] = 51
    games[0]["action"][5:9, 1] = 60
    games[0]["action"][65:70, 0] = 40
    games[0]["percent"][65:, 0] = 8
    games[0]["action"][155:160, 0] = rules.CAUGHT[0]
    entries = tuple(data.Entry(f"g{i}", 900, 0, 31, (22, 1)) for i in range(3))
    table = lengths.lengths(data.Data(entries, tuple(games)))
    assert table == {
        (-1, 14): (30, 30, 350, 14),
        (-1, 40): (5, 30, 41, 14),
        (-1, 41): (30, 80, 42, 14),
        (-1, 42): (20, 30, 40, 14),
        (-1, 51): (30, 0, 0, 0),
        (-1, 350): (0, 30, 51, 14),
        (7, 350): (10, 30, 51, 14),
    }


def test_the_table_is_made_of_a_data_folder(built, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(lengths, "FILE", tmp_path / "lengths.csv")
    for words, status, says in (
        ([], 2, "usage:"),
        ([str(tmp_path)], 2, f"{tmp_path}: no data folder"),
        ([str(built[2])], 0, " rows"),
    ):
        monkeypatch.setattr("sys.argv", ["lengths", *words])
        assert lengths.main() == status
        assert says in "".join(capsys.readouterr())
    assert lengths.FILE.read_text().startswith(lengths.HEAD)


def test_hardly_an_action_is_longer_or_shorter_in_a_game_that_the_table_was_not_made_from(built):
    (game,) = data.open_data(built[2], "valid").games
    action, age = (np.asarray(game[name], np.int32) for name in ("action", "action_age"))
    air, character = np.zeros(action.shape, bool), np.asarray(game["character"], np.int32)
    _, after = rules.lasts(action, age - 1, air, character)
    assert (age > 20).mean() > 0 and (np.asarray(after) != action).mean() < 1e-3
    goes_on, _ = rules.lasts(action[:-1], age[:-1], air[:-1], character[:-1])
    rise, lag = np.diff(game["percent"], axis=0), np.diff(np.int32(game["hitlag"]), axis=0)
    alone = (rise < rules.LEAST_HIT) & (lag <= 0) & ~np.asarray(rules.caught(action[1:]))
    alone &= (action[1:] > rules.WAITING) & (action[:-1] > rules.WAITING)
    left = action[1:] != action[:-1]
    assert np.asarray(goes_on)[alone].mean() > 0.01 and left[alone].any()
    assert (np.asarray(goes_on) & left)[alone].mean() < 1e-4


def test_the_rules_of_hits_hold_in_recorded_games(built):
    """Fed with what really came next, they leave it as it is."""
    for split in ("train", "valid"):
        (game,) = data.open_data(built[2], split).games
        columns = {k: v.astype(np.float64) for k, v in records.unpack(game).items()}
        old, new = ({k: v[part] for k, v in columns.items()} for part in (np.s_[:-1], np.s_[1:]))
        hit = new["percent"] - old["percent"] >= rules.LEAST_HIT
        assert hit.any(axis=0).all()
        knocked, flies = (np.stack([v[n] for n in rules.KNOCKBACK], axis=-1) for v in (old, new))
        worn = np.asarray(rules.worn(knocked, flies, rules.WEAR))
        free = ~hit & (old["hitlag"] <= 0)
        changed = np.abs(worn - flies).max(axis=-1) > 2e-3
        born = (new["action"] == rules.REBIRTH) & (old["action"] != rules.REBIRTH)
        attack = rules.last_attack(new["last_attack"], old["last_attack"], hit, born)
        lag = np.asarray(rules.lag(old["hitlag"], new["hitlag"], 1))
        stun = np.asarray(rules.stun(old["hitstun"], new["hitstun"], 1, hit, new["hitlag"]))
        assert (knocked[free] != 0).any() and changed[free].mean() < 2e-3
        assert (new["last_attack"] != old["last_attack"]).any()
        assert (np.asarray(attack) != new["last_attack"]).mean() < 1e-4
        assert (new["hitlag"] > old["hitlag"]).any() and (lag != new["hitlag"]).mean() < 1e-3
        assert (new["hitstun"] > old["hitstun"]).any() and (stun != new["hitstun"]).mean() < 2e-3
        assert not new["speed_ground_x"][new["on_ground"] < 0.5].any()
