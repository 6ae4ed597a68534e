"""Replays as games: what index.csv says of them, and what it says of the bad ones."""

import lzma
import os
import pickle
import re
import sys
import tempfile

import numpy as np
import pytest
from support.golden import replays_dir

from awm_jax.errors import AwmError
from awm_jax.replays.columns import NAMES
from awm_jax.replays.packed import unpack
from awm_jax.replays.slippi import read_game, why_not_train


def described(game):
    """A game as index.csv writes it."""

    def flag(value):
        return "" if value is None else str(int(value))

    last = {name: game.columns[name][-1] for name in ("stocks", "percent")}
    facts = {
        "sha256": game.sha256,
        "version": ".".join(map(str, game.version)),
        "frames": game.frames,
        "frames_total": len(game.frame_ids),
        "rows": game.rows,
        "rollback_rows": game.rollback_rows,
        "stage_id": game.stage,
        "winner": "" if game.winner is None else game.winner,
        "end_method": game.end_method or "missing",
        "pal": flag(game.pal),
        "frozen_ps": flag(game.frozen_stadium),
        "has_velocities": flag("speed_air_x" not in game.missing),
        "has_hitlag": flag("hitlag" not in game.missing),
        "has_items": flag("item_dx" not in game.missing),
    }
    for k in (0, 1):
        ids, counts = np.unique(game.columns["character"][:, k], return_counts=True)
        facts |= {
            f"p{k}_port": game.ports[k],
            f"p{k}_char_ext": game.characters[k],
            f"p{k}_char_int": ";".join(map(str, ids[np.argsort(-counts, kind="stable")])),
            f"p{k}_kind": game.kinds[k],
            f"p{k}_stocks_end": int(last["stocks"][k]),
            f"p{k}_percent_end": f"{last['percent'][k]:.1f}",
        }
    return {name: str(value) for name, value in facts.items()}


def assert_as_indexed(game, row):
    facts = described(game)
    assert facts == {name: row[name] for name in facts}, row["file"]
    assert why_not_train(game) is None, row["file"]
    assert game.frame_ids[0] == -123 and game.frame_ids.dtype == np.int32
    assert np.all(np.diff(game.frame_ids) == 1)


def test_sample_is_as_indexed(sample, read):
    for row in sample:
        assert_as_indexed(read(row), row)


@pytest.mark.long
def test_every_game_is_as_indexed(index):
    pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")
    for row in index:
        assert_as_indexed(read_game(replays_dir() / "games" / row["file"]), row)


def test_columns_have_the_promised_shapes_and_ranges(sample, read):
    for row in sample:
        game = read(row)
        frames = len(game.frame_ids)
        assert set(game.columns) == set(NAMES)
        for name, values in game.columns.items():
            width = {"flags": (5,), "controller": (13,)}.get(name, ())
            assert values.shape == (frames, 2, *width), name
            assert np.isfinite(values).all(), name
        pads = game.columns["controller"]
        assert pads.dtype == np.float32 and pads.min() >= 0 and pads.max() <= 1
        assert 0 < (pads[:, :, 5:] == 1).mean() < 0.5
        assert abs(np.median(pads[:, :, :4]) - 0.5) < 1e-6
        assert game.columns["hitstun"].max() <= 200 and game.columns["hitstun"].min() >= 0
        assert game.columns["stocks"].min() >= 0 and game.columns["stocks"].max() == 4
        if "ground" not in game.missing:
            grounded = game.columns["on_ground"]
            assert game.columns["ground"][grounded].min() >= 1
            assert game.columns["ground"].max() < 65536


def test_percent_keeps_its_fraction_unless_faithful(sample, read):
    game, faithful = read(sample[-1]), read(sample[-1], faithful=True)
    percent = game.columns["percent"]
    assert (percent % 1 != 0).mean() > 0.3
    np.testing.assert_array_equal(faithful.columns["percent"], np.trunc(percent))
    assert game.columns["invulnerable"].any() and not faithful.columns["invulnerable"].any()
    shoulder = game.columns["controller"][:, :, 4]
    physical = faithful.columns["controller"][:, :, 4]
    assert (shoulder[shoulder > 0] >= 0.3).all()
    assert ((physical > 0) & (shoulder == 0)).any()
    for name in set(NAMES) - {"percent", "invulnerable", "controller", "hitstun"}:
        np.testing.assert_array_equal(game.columns[name], faithful.columns[name])


def test_hitstun_runs_down_by_one(sample, read):
    game = read(sample[-1])
    hitstun = game.columns["hitstun"]
    flagged = game.columns["flags"][:, :, 3] & 2 != 0
    assert flagged.any() and not hitstun[~flagged].any()
    both = flagged[1:] & flagged[:-1]
    steps = (hitstun[1:] - hitstun[:-1])[both]
    assert np.isin(steps, (0, -1)).mean() > 0.95 and (steps == -1).mean() > 0.7


def test_garbage_triggers_of_old_versions_do_no_harm(sample, read):
    """Version 0.1 holds up to 1e22 in the physical triggers."""
    game = read(sample[0])
    assert game.version < (1, 1, 0)
    shoulder = game.columns["controller"][:, :, 4]
    assert (shoulder == 0).mean() > 0.5 and shoulder.max() <= 1


def test_missing_columns_follow_the_version(index, sample, read):
    speeds = {f"speed_{n}" for n in ("air_x", "y", "ground_x", "attack_x", "attack_y")}
    items = {"item_dx", "item_dy", "item_count"}
    old = speeds | items | {"hitlag", "hurtbox", "invulnerable"}
    older = old | {"flags", "hitstun", "on_ground", "ground", "jumps", "l_cancel"}
    expected = [older | {"state_age"}, older, old, {"hitlag"}, set(), set(), set()]
    for row, names in zip(sample, expected, strict=True):
        game = read(row)
        assert game.missing == names, row["version"]
        for name in names:
            assert (game.columns[name] == (1 if name == "on_ground" else 0)).all()
    assert why_not_train(read(sample[3]), ("hitlag", "speed_y")) is not None
    assert why_not_train(read(sample[3]), ("speed_y",)) is None


def test_rollbacks_are_resolved_by_the_last_row(sample, read):
    """Of the copies of a frame, the last agrees best with the frame before and the one after."""
    row = sample[4]
    game = read(row)
    assert game.rollback_rows > 0.3 * game.rows
    x = game.columns["x"]
    moved = np.float32(x[:-1] + game.columns["speed_air_x"][1:])
    moved = np.float32(moved + game.columns["speed_attack_x"][1:])
    assert (moved == x[1:])[123:].mean() > 0.8


def test_bad_files_are_refused_or_read_as_listed(bad_index, capfd):
    pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")
    outcomes = {"refused": 0, "loads": 0}
    for row in bad_index:
        path = replays_dir() / "bad" / row["file"]
        if row["read"].startswith("loads"):
            game = read_game(path)
            assert game.frames == int(re.search(r"(\d+) frame", row["read"])[1])
            assert (game.rows, len(game.frame_ids)) == (int(row["rows"]), int(row["frames_total"]))
            assert game.stage == int(row["stage_id"])
            reason = row["train"].removeprefix("refused: ")
            assert (why_not_train(game) or "").startswith(reason), row["file"]
            outcomes["loads"] += 1
            continue
        with pytest.raises(AwmError) as refusal:
            read_game(path)
        message = str(refusal.value)
        assert message.startswith(f"{path}: ") and "\n" not in message
        reason = row["read"].split("refused: ")[-1]
        if row["file"].startswith("version-3.6.1"):  # refused before peppi-py is asked
            reason = "written by Slippi 3.6.1, and peppi-py panics"
        assert reason in message, row["file"]
        outcomes["refused"] += 1
    assert outcomes == {"refused": 12, "loads": 6}
    assert capfd.readouterr().err == "", "peppi-py's panic went to the terminal"


def test_stderr_works_after_a_panic(bad_index, capfd):
    pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")
    with pytest.raises(AwmError, match="peppi-py panics"):
        read_game(replays_dir() / "bad" / "mode-cruel-melee.slp.xz")
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_nothing_is_left_behind(bad_index, sample, tmp_path, monkeypatch):
    pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read_game(replays_dir() / "games" / sample[3]["file"])
    with pytest.raises(AwmError):
        read_game(replays_dir() / "bad" / "mode-cruel-melee.slp.xz")
    assert list(tmp_path.iterdir()) == []


def test_keyboard_interrupt_goes_through(sample, monkeypatch):
    peppi = pytest.importorskip("peppi_py._peppi", reason="peppi-py is not installed")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(peppi, "read_slippi", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_game(replays_dir() / "games" / sample[3]["file"])


def test_plain_compressed_and_packed_are_the_same_game(sample, read, tmp_path):
    row = sample[3]
    data = unpack(replays_dir() / "games" / row["file"])
    (tmp_path / "a.slp").write_bytes(data)
    (tmp_path / "a.slp.xz").write_bytes(lzma.compress(data, preset=0))
    game = read(row)
    for name in ("a.slp", "a.slp.xz"):
        other = read_game(tmp_path / name)
        assert other.sha256 == game.sha256 == row["sha256"]
        for column, values in game.columns.items():
            np.testing.assert_array_equal(other.columns[column], values)


def test_any_cut_ends_in_one_line(sample, tmp_path):
    pytest.importorskip("peppi_py", reason="peppi-py is not installed (the extra `replay`)")
    data = unpack(replays_dir() / "games" / sample[3]["file"])
    path = tmp_path / "cut.slp"
    for size in [*range(1, 40), 500, 1000, len(data) // 2, len(data) - 1000]:
        path.write_bytes(data[:size])
        with pytest.raises(AwmError) as refusal:
            read_game(path)
        assert "\n" not in str(refusal.value)


def test_without_peppi_the_command_to_install_it_is_named(sample, monkeypatch):
    monkeypatch.setitem(sys.modules, "peppi_py", None)
    with pytest.raises(AwmError, match=r'pip install "awm-jax\[replay\]"'):
        read_game(replays_dir() / "games" / sample[3]["file"])


def test_no_name_or_connect_code_is_in_a_game(index, tmp_path):
    """Compares with what the files carry, and never prints any of it."""
    peppi = pytest.importorskip("peppi_py._peppi", reason="peppi-py is not installed")
    named = [row for row in index if row["p0_id"] and row["version"] >= "3.12"][::40][:5]
    secrets_seen = 0
    for row in named:
        path = replays_dir() / "games" / row["file"]
        plain = tmp_path / "game.slp"
        plain.write_bytes(unpack(path))
        raw = peppi.read_slippi(str(plain), False)
        secrets = set()
        for player in raw.start["players"]:
            netplay = player.get("netplay") or {}
            secrets |= {netplay.get("code"), netplay.get("name"), netplay.get("suid")}
            secrets.add(player.get("name_tag"))
        for player in (raw.metadata.get("players") or {}).values():
            secrets |= set((player.get("names") or {}).values())
        secrets = {s for s in secrets if s and len(s) >= 4}
        secrets_seen += sum("#" in s for s in secrets)
        stored = pickle.dumps(read_game(path))
        leaks = [
            s.encode(encoding) in stored
            for s in secrets
            for encoding in ("utf-8", "utf-16-le", "shift-jis")
        ]
        assert not any(leaks)
    assert secrets_seen >= 2
