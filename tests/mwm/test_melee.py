"""Frames as features, actions as controllers, and the agent under its contract."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.mwm import small_mind

from awm_jax.contracts import View
from awm_jax.encoding import EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.fp32.policy import swap_players
from awm_jax.game.frames import Frames, neutral_pad, seed_frames
from awm_jax.mwm.agent import MindAgent
from awm_jax.mwm.features import ACTION_NAMES, GWM, SELF
from awm_jax.mwm.melee import CANDIDATES, PERIOD, UNKNOWN, label_of, observe, pad_of
from awm_jax.mwm.training.replays import both_sides, harms, joined
from crank.agents import parse_agent
from crank.mind import draw, trace

CFG = EncodingConfig()
see = jax.jit(lambda floats, ints: observe(CFG, floats, ints))


def frame(**changes: float) -> tuple[np.ndarray, np.ndarray]:
    """A start on Battlefield; `p1_x=3` and so on in game units, `p1_action=44` for ints."""
    start = seed_frames(CFG, 1, 31, (2, 2), action=14)
    floats, ints = np.array(start.floats[0]), np.array(start.ints[0])
    where = columns(CFG)
    for key, value in changes.items():
        player, name = int(key[1]), key[3:]
        if name in where.int_index:
            ints[player * CFG.int_per_player + where.int_index[name]] = value
            continue
        scale = {"x": CFG.xy_scale, "y": CFG.xy_scale, "percent": CFG.percent_scale}
        scale |= {"stocks": CFG.stocks_scale, "hitlag": CFG.hitlag_scale}
        floats[player * CFG.float_per_player + where[name]] = value * scale.get(name, 1.0)
    return floats, ints


def world(name: str, **changes: float) -> float:
    return float(see(*frame(**changes))[0][GWM[name]])


def own(name: str, **changes: float) -> float:
    return float(see(*frame(**changes))[1][SELF[name]])


def test_threat_grows_with_nearness_attacks_hitlag_and_helplessness() -> None:
    close = {"p1_x": -20}
    levels = [
        world("threat_level"),
        world("threat_level", **close),
        world("threat_level", **close, p1_action=44),
        world("threat_level", **close, p1_action=44, p1_hitlag=5),
        world("threat_level", **close, p1_action=44, p1_hitlag=5, p0_action=75),
    ]
    assert levels == sorted(levels) and len(set(levels)) == 5 and levels[0] > 0 and levels[-1] <= 1
    assert world("threat_level", p1_stocks=0) == 0


def test_where_things_are() -> None:
    assert world("nearest_enemy.distance") == pytest.approx(60 / 4)
    assert world("nearest_enemy.bearing_deg") == pytest.approx(0)
    assert abs(world("nearest_enemy.bearing_deg", p0_facing=0)) == pytest.approx(180)
    assert world("nearest_enemy.distance", p1_action=5) == 999  # falling dead
    assert world("escape_vector[0]") == pytest.approx(-1)
    assert world("escape_vector[0]", p0_x=-100) == pytest.approx(1)  # off the stage: home
    assert world("is_player_in_stealth_danger", p0_x=-100) == 1
    assert world("best_cover_spot.distance", p0_x=-68.4) == pytest.approx(0, abs=1e-4)
    assert world("best_cover_spot.cover_rating", p0_x=-68.4) == 1
    assert world("loot_opportunity_available", p1_action=80) == 1
    assert own("player_health", p0_percent=75) == pytest.approx(0.5)
    assert own("consciousness_phi", p1_stocks=1) > 0.5 > own("consciousness_phi", p0_stocks=1)
    assert own("is_stuck", p0_action=80) == 1


def test_every_action_has_a_controller_and_is_recognised_by_it() -> None:
    pads = jax.jit(jax.vmap(pad_of, in_axes=(0, None, None)))
    for facing in (1.0, -1.0):
        for side in (1.0, -1.0):
            found = np.asarray(pads(jnp.arange(CANDIDATES), facing, side))
            assert found.min() >= 0 and found.max() <= 1
            labels = label_of(found, np.full(CANDIDATES, facing), np.full(CANDIDATES, side))
            # Running at the opponent is running left or right.
            same = ACTION_NAMES.index("move_right" if side > 0 else "move_left")
            want = np.arange(CANDIDATES)
            want[same] = ACTION_NAMES.index("sprint")
            np.testing.assert_array_equal(labels, want)
    np.testing.assert_array_equal(found[UNKNOWN], neutral_pad())


def context() -> Frames:
    start = seed_frames(CFG, 3, 31, (2, 2), action=14)
    return Frames(jnp.asarray(start.floats), jnp.asarray(start.ints))


def test_the_agent_decides_every_period_and_lets_go_of_buttons() -> None:
    agent = MindAgent.of(small_mind(scaled=True), CFG)
    act = jax.jit(lambda agent, state, view: agent.act(state, view))
    state, pads, latents = agent.reset(jnp.zeros(2, jnp.uint32), 0), [], []
    for number in range(PERIOD + 1):
        state, pad = act(agent, state, View(context(), jnp.int32(3 + number)))
        assert pad.shape == (13,) and pad.dtype == jnp.float32
        pads.append(np.asarray(pad))
        latents.append(np.asarray(state.latent))
    assert (latents[0] == latents[PERIOD - 1]).all() and (latents[0] != latents[PERIOD]).any()
    assert (pads[PERIOD - 1][5:] == 0).all()
    assert float(state.surprise) > 0


def test_the_agent_takes_the_best_of_what_it_imagines() -> None:
    mind = small_mind(scaled=True)
    agent = MindAgent.of(mind, CFG)
    floats, ints = frame()
    think = jax.jit(lambda agent, s: agent.think(s, jnp.asarray(floats), jnp.asarray(ints)))
    state = think(agent, agent.reset(jnp.zeros(2, jnp.uint32), 0))
    from awm_jax.mwm.melee import action_features
    from awm_jax.mwm.update import imagine_step

    actions = jnp.asarray(action_features())
    z, decoded = imagine_step(mind, jnp.tile(state.latent, (CANDIDATES, 1)), actions)
    affect = np.asarray(decoded.affect)
    scores = affect[:, 2] - affect[:, 0].clip(0, 1)
    assert scores[int(state.action)] == pytest.approx(scores.max(), abs=1e-5)
    np.testing.assert_allclose(state.imagined, z[int(state.action)], atol=1e-5)


def test_specs(tmp_path: Path) -> None:
    with pytest.raises(AwmError, match=r"none\.pt: no such file"):
        parse_agent(f"mwm:{tmp_path}/none.pt", CFG, 3)
    with pytest.raises(AwmError, match="mwm:PATH"):
        parse_agent("mwm:", CFG, 3)


def test_harms() -> None:
    percent = np.array([[0, 0], [20, 0], [20, 40], [20, 0]], float)
    stocks = np.array([[4, 4], [4, 4], [4, 4], [4, 3]], float)
    assert harms(percent, stocks).tolist() == [[4, 0], [0, 8], [0, 8]]


def test_steps_of_a_game_and_its_picture(tmp_path: Path) -> None:
    frames = [frame(p1_x=30 - i, p0_percent=i // 10) for i in range(40)]
    floats, ints = (np.stack(part) for part in zip(*frames, strict=True))
    both = both_sides(CFG, floats, ints)
    steps = joined(both)
    assert len(steps) == 2 * 6 and not steps.link[5] and steps.link[4]
    assert both[0].affect[:, 2].min() < 0 < both[1].affect[:, 2].max()  # one is hit, one hits
    seen = trace(MindAgent.of(small_mind(scaled=True), CFG), Frames(floats, ints))
    assert seen.affect.shape == (7, 4) and seen.damage[:, 0].sum() == pytest.approx(3)
    other = trace(MindAgent.of(small_mind(scaled=True), CFG), Frames(floats, ints), player=1)
    assert other.damage[:, 1].sum() == pytest.approx(3)
    draw(seen, tmp_path / "mind.png")
    assert (tmp_path / "mind.png").read_bytes().startswith(b"\x89PNG")


def test_both_players_see_the_same_distance() -> None:
    floats, ints = frame(p0_y=10, p1_x=12)
    other = swap_players(CFG, jnp.asarray(floats), jnp.asarray(ints))
    mine, theirs = see(floats, ints)[0], see(*other)[0]
    assert mine[GWM["nearest_enemy.distance"]] == theirs[GWM["nearest_enemy.distance"]]
