"""What the guide promises without a formula: heuristics, traits, hypotheses, the configuration."""

from __future__ import annotations

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mwm import small_mind

from awm_jax.errors import AwmError
from awm_jax.mwm import (
    ACTION_NAMES,
    Beings,
    BeingState,
    MentalWorldModelState,
    MWMConfig,
    TraitProfile,
    heuristic_score,
    hypothesize,
    modulated,
    plan,
    predict_action_outcome,
    score_actions_with_mwm,
    select_action,
    trait_bonus,
    update_being_state_mwm,
    update_beings,
    update_mwm_from_inputs,
)
from awm_jax.mwm.features import FAR, gwm_mask, scale_gwm, unscale_gwm
from awm_jax.mwm.person import (
    Goal,
    choose_for_person,
    create_person_from_template,
    get_llm_context,
    judge_action,
    load_person,
    save_person,
)

unit = st.floats(0, 1, width=32)


def being(threat: float = 0.3, health: float = 0.8, loot: bool = False, **more) -> BeingState:
    world = {"threat_level": threat, "num_enemies_total": 1, "loot_opportunity_available": loot}
    return BeingState(game_world=world, game_state={"player_health": health}, **more)


def minded() -> BeingState:
    found = being()
    update_being_state_mwm(found, small_mind(), now=1.0)
    return found


@given(unit, unit, unit, unit, st.sampled_from(ACTION_NAMES))
def test_heuristics(t0: float, t1: float, h0: float, h1: float, action: str) -> None:
    low, high = sorted((t0, t1))
    weak, strong = sorted((h0, h1))
    assert 0 <= heuristic_score(action, being(t0, h0, loot=True)) <= 1
    assert heuristic_score("attack", being(high, h0)) <= heuristic_score("attack", being(low, h0))
    assert heuristic_score("back", being(high, h0)) >= heuristic_score("back", being(low, h0))
    assert heuristic_score("heal", being(t0, weak)) >= heuristic_score("heal", being(t0, strong))
    assert heuristic_score("activate", being(t0, h0)) == 0
    assert heuristic_score("dance", being(t0, h0)) == 0


@given(unit, unit, st.floats(-5, 5), unit, unit)
def test_traits(threat: float, curiosity: float, value: float, a: float, b: float) -> None:
    neutral = TraitProfile()
    assert modulated(threat, curiosity, value, neutral) == pytest.approx(value - threat)
    assert all(trait_bonus(action, neutral) == 0 for action in ACTION_NAMES)
    less, more = sorted((a, b))
    bold = modulated(threat, curiosity, value, TraitProfile(caution=less))
    shy = modulated(threat, curiosity, value, TraitProfile(caution=more))
    assert shy <= bold + 1e-9
    brave = modulated(threat, curiosity, value, TraitProfile(aggression=more))
    assert brave >= modulated(threat, curiosity, value, TraitProfile(aggression=less)) - 1e-9
    assert trait_bonus("attack", TraitProfile(aggression=1)) == pytest.approx(0.15)


def test_selection() -> None:
    someone, mind = minded(), small_mind()
    candidates = [{"action_type": name, "duration": 1.0} for name in ACTION_NAMES]
    imagined = score_actions_with_mwm(candidates, someone, mind)
    final = [
        0.4 * m + 0.6 * heuristic_score(c, someone)
        for m, c in zip(imagined, candidates, strict=True)
    ]
    assert select_action(candidates, someone, mind) is candidates[int(np.argmax(final))]
    only = MWMConfig(mwm_weight=1.0, heuristic_weight=0.0)
    best = candidates[int(np.argmax(imagined))]
    assert select_action(candidates, someone, mind, config=only) is best
    assert select_action(candidates, someone, mind, traits=TraitProfile()) is select_action(
        candidates, someone, mind
    )
    with pytest.raises(AwmError, match="at least one candidate"):
        select_action([], someone, mind)
    with pytest.raises(AwmError, match="has no mind yet"):
        select_action(candidates, being(), mind)
    assert select_action(["heal", "jump"], being(health=0.1), mind, config=MWMConfig(enabled=False))


def test_hypotheses() -> None:
    mind, state = small_mind(), MentalWorldModelState(**(minded().mwm or {}))
    single = hypothesize(state, [["attack"], ["block"]], mind)
    for found, action in zip(single, ("attack", "block"), strict=True):
        affect = predict_action_outcome(state, action, mind)["affect"]
        assert found.expected_value == pytest.approx(affect.value_estimate, abs=1e-6)
        assert found.expected_threat == pytest.approx(affect.threat, abs=1e-6)
    planned = plan(state, ["attack", "block", "jump"], 3, mind).hypotheses
    assert planned is not None and len(planned.rollouts) == 27
    scores = [h.expected_value - h.expected_threat for h in planned.rollouts]
    assert scores == sorted(scores, reverse=True)
    assert all(h.horizon_steps == 3 and len(h.action_sequence or []) == 3 for h in planned.rollouts)
    myopic = hypothesize(state, [["attack", "jump"]], mind, discount=0.0)[0]
    assert myopic.expected_value == pytest.approx(single[0].expected_value, abs=1e-6)
    with pytest.raises(AwmError, match="sequences"):
        plan(state, list(ACTION_NAMES), 5, mind)
    with pytest.raises(AwmError, match="one length"):
        hypothesize(state, [["attack"], []], mind)
    imagined = update_mwm_from_inputs(
        state, None, None, being(), mind, action_for_prediction="jump"
    )
    assert imagined.hypotheses and imagined.hypotheses.rollouts[0].action_sequence == ["jump"]


def test_configuration_is_honoured(caplog: pytest.LogCaptureFixture) -> None:
    mind = small_mind()
    someone = being(cycle_number=3, vision_core_latent=[1.0, 2.0, 3.0, 4.0])
    with caplog.at_level("INFO"):
        assert not update_being_state_mwm(someone, mind, config=MWMConfig(enabled=False))
    assert someone.mwm is None and "switched off" in caplog.text
    every = MWMConfig(update_every_n_cycles=2)
    assert not update_being_state_mwm(someone, mind, config=every)
    someone.cycle_number = 4
    assert update_being_state_mwm(someone, mind, config=every) and someone.mwm is not None
    blind = being(vision_core_latent=[1.0, 2.0, 3.0, 4.0])
    update_being_state_mwm(
        blind, mind, config=MWMConfig(use_iwm=False, use_gwm=False, device="cpu")
    )
    nothing = BeingState(game_state=blind.game_state)
    update_being_state_mwm(nothing, mind)
    assert blind.mwm and nothing.mwm and blind.mwm["latent"] == nothing.mwm["latent"]
    assert MWMConfig.of({"mwm": {"latent_dim": 8, "device": "cuda:0"}}).latent_dim == 8
    for block, words in (
        ({"latent": 8}, "no setting"),
        ({"enabled": 1}, "not bool"),
        ({"update_every_n_cycles": 0}, "1 or more"),
    ):
        with pytest.raises(AwmError, match=words):
            MWMConfig.of({"mwm": block})


def test_many_beings_are_as_one() -> None:
    mind, rng = small_mind(), np.random.default_rng(0)
    gwm, own = (jnp.asarray(rng.random((5, n)), jnp.float32) for n in (16, 8))
    many = update_beings(mind, Beings.fresh(mind, 5), gwm, None, own)
    many = update_beings(mind, many, gwm, None, own)
    for i in range(5):
        one = update_beings(mind, Beings.fresh(mind, 1), gwm[i : i + 1], None, own[i : i + 1])
        one = update_beings(mind, one, gwm[i : i + 1], None, own[i : i + 1])
        np.testing.assert_allclose(many.latent[i], one.latent[0], atol=1e-6)
    assert many.count.tolist() == [2] * 5


def test_scaling() -> None:
    raw = np.zeros((2, 16), np.float32)
    raw[:, [4, 7, 14]] = [[FAR, 12.5, 60], [10, FAR, FAR]]
    scaled = scale_gwm(raw)
    assert scaled[:, [4, 7, 14]].tolist() == [[1, 0.25, 1], [pytest.approx(0.2), 1, 1]]
    assert unscale_gwm(scaled)[:, [4, 7]].tolist() == [[FAR, 12.5], [pytest.approx(10), FAR]]
    assert gwm_mask(scaled)[:, [4, 5, 6, 8]].tolist() == [[1, 0, 0, 1], [1, 1, 1, 0]]


def test_persons(tmp_path) -> None:
    person = create_person_from_template("bandit", "b", "Bo")
    save_person(person, tmp_path / "bo.json")
    assert load_person(tmp_path / "bo.json") == person
    with pytest.raises(AwmError, match="cannot be read"):
        load_person(tmp_path / "none.json")
    with pytest.raises(AwmError, match=r"traits.aggression of Bo is not valid"):
        create_person_from_template("bandit", "b", "Bo", traits={"aggression": 7})
    with pytest.raises(AwmError, match="no field 'get_summary'"):
        create_person_from_template("bandit", "b", "Bo", get_summary=1)
    person.goals.add_goal(Goal(id="g", description="rest"))
    assert "# Current Goals" in get_llm_context(person) and "Bo" in person.get_summary()
    verdict = judge_action(person, "sneak")
    assert not verdict.allowed and verdict.score == -np.inf and verdict.score + 1e12 == -np.inf
    assert choose_for_person(person, ["sneak", "attack"], [1e12, 0.0]) == 1
    assert choose_for_person(person, ["sneak"]) is None


def test_imports_stay_light() -> None:
    code = (
        "import sys, awm_jax.mwm.network, awm_jax.mwm.agent; awm_jax.mwm.MentalWorldModelModule; "
        "print([m for m in ('pydantic', 'torch', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_that_is_promised_is_exported() -> None:
    import awm_jax.mwm

    assert all(hasattr(awm_jax.mwm, name) for name in awm_jax.mwm.__all__)
    assert {"score_action_with_mwm", "predict_action_outcome", "MWMLoss", "MemoryProfile"} <= set(
        awm_jax.mwm.__all__
    )
