"""Agents: golden controllers, the column adapter, randomness, and what is refused."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.golden import golden_dir, load_json, load_npz
from support.matches import policy_network

from awm_jax.contracts import View
from awm_jax.encoding import EncodingConfig, float_names, int_names
from awm_jax.errors import AwmError
from awm_jax.fp32.policy import swap_players
from awm_jax.game import rng
from awm_jax.game.frames import Frames, seed_frames
from crank.agents import (
    REFERENCE_BUTTON_BIAS,
    HoldForward,
    Noop,
    Policy,
    Random,
    Recorded,
    adapt_columns,
    parse_agent,
)

PRODUCTION = EncodingConfig(
    state_age_as_embed=True, state_flags=True, hitstun=True, projectiles=True
)
SEED = jnp.asarray(rng.seed_words(11))
CASES = ("same", "strip_proj", "k16")


def agents_npz() -> dict[str, np.ndarray]:
    return load_npz(golden_dir("match") / "agents.npz")


def view(number: int) -> View:
    frames = jax.tree.map(jnp.asarray, seed_frames(PRODUCTION, 10, 31, (2, 2)))
    return View(frames, jnp.int32(number))


def pads(agent, numbers, player: int = 0, seed=SEED) -> np.ndarray:
    state = agent.reset(seed, player)
    act = jax.jit(lambda agent, state, view: agent.act(state, view))
    made = []
    for number in numbers:
        state, pad = act(agent, state, view(number))
        made.append(np.asarray(pad))
    return np.stack(made)


def test_noop() -> None:
    assert np.array_equal(pads(Noop(), [10])[0], agents_npz()["noop"])


@pytest.mark.parametrize("player", [0, 1])
def test_hold_forward(player: int) -> None:
    """Right for both players (M18); the phase is that of the frame number (M15)."""
    got = pads(HoldForward(), range(40), player)
    assert np.array_equal(got, agents_npz()["hold_forward_t0_40"])


def test_random() -> None:
    """The reference's distribution, its draws being torch's."""
    draws = pads(Random(), range(10, 810))
    analog, buttons = np.split(draws, [5], axis=1)
    assert draws.dtype == np.float32 and (analog >= 0).all() and (analog < 1).all()
    np.testing.assert_allclose(analog.mean(0), 0.5, atol=0.05)
    np.testing.assert_allclose(analog.std(0), 12**-0.5, atol=0.03)
    assert np.isin(buttons, (0, 1)).all()
    np.testing.assert_allclose(buttons.mean(0), 0.1, atol=0.05)
    reference = agents_npz()["random_torchseed123_first20"]
    assert reference.shape[1] == draws.shape[1] and np.isin(reference[:, 5:], (0, 1)).all()


def test_randomness_is_a_function_of_seed_frame_and_player() -> None:
    first = pads(Random(), [10, 11, 12])
    assert np.array_equal(pads(Random(), [12, 11, 10])[::-1], first)
    assert not np.array_equal(pads(Random(), [10, 11, 12], player=1), first)
    other = jnp.asarray(rng.seed_words(12))
    assert not np.array_equal(pads(Random(), [10, 11, 12], seed=other), first)
    assert len(np.unique(first[:, 0])) == 3


def test_recorded_plays_its_last_pad_for_ever() -> None:
    script = jnp.arange(26, dtype=jnp.float32).reshape(2, 13)
    assert np.array_equal(pads(Recorded(script), range(4)), script[np.array([0, 1, 1, 1])])


def golden_policy(name: str, bias: float = 0.0) -> tuple[Policy, EncodingConfig]:
    cases = {case["name"]: case for case in load_json(golden_dir("match") / "agents.json")}
    case = cases[name]
    world = EncodingConfig(**case["world_flags"])
    network = policy_network(case, "policy_flags")
    return Policy.of(network, world, case["context_len"], bias), world


def observations(name: str, player: int, world: EncodingConfig) -> Frames:
    z = agents_npz()
    floats = jnp.asarray(z[f"{name}_float_ctx"])
    ints = jnp.asarray(z[f"{name}_int_ctx"], jnp.int32)
    return Frames(*(swap_players(world, floats, ints) if player else (floats, ints)))


@pytest.mark.parametrize("name", CASES)
def test_golden_policies(name: str) -> None:
    """Analog values, logits and probabilities under the reference's bias, for both sides."""
    z = agents_npz()
    policy, world = golden_policy(name)
    outputs = jax.jit(jax.vmap(lambda agent, context: agent.outputs(context), (None, 0)))
    for player in (0, 1):
        out = outputs(policy, observations(name, player, world))
        want = z[f"{name}_p{player}_analog"], z[f"{name}_p{player}_button_logits"]
        np.testing.assert_allclose(out["analog_pred"], want[0], rtol=0, atol=2e-6)
        np.testing.assert_allclose(out["button_logits"], want[1], rtol=1e-5, atol=2e-5)
        chance = jax.nn.sigmoid(out["button_logits"] + REFERENCE_BUTTON_BIAS)
        want = z[f"{name}_p{player}_button_prob_bias4"]
        np.testing.assert_allclose(chance, want, rtol=0, atol=5e-6)


def test_golden_controllers_are_these_outputs_with_other_coins() -> None:
    z = agents_npz()
    for name in CASES:
        for player in (0, 1):
            theirs = z[f"{name}_p{player}_controller_torchseed_1000_plus_t"]
            np.testing.assert_allclose(
                theirs[:, :5], z[f"{name}_p{player}_analog"], rtol=0, atol=1e-6
            )
            assert np.isin(theirs[:, 5:], (0, 1)).all()


@pytest.mark.parametrize("bias", [0.0, REFERENCE_BUTTON_BIAS])
def test_a_policy_presses_with_its_probability(bias: float) -> None:
    policy, world = golden_policy("same", bias)
    context = jax.tree.map(lambda v: v[0], observations("same", 0, world))
    numbers = jnp.arange(2000, dtype=jnp.int32)

    def act(number):
        return policy.act(policy.reset(SEED, 0), View(context, number))[1]

    made = np.asarray(jax.jit(jax.vmap(act))(numbers))
    chance = jax.nn.sigmoid(agents_npz()["same_p0_button_logits"][0] + bias)
    np.testing.assert_allclose(made[:, 5:].mean(0), chance, atol=0.05)
    assert np.isin(made[:, 5:], (0, 1)).all()
    assert (made[:, :5] == made[0, :5]).all()


def test_swap_indices() -> None:
    cfg = EncodingConfig(state_age_as_embed=True)
    floats, ints = jnp.arange(cfg.float_per_frame), jnp.arange(cfg.int_per_frame)
    swapped = swap_players(cfg, floats, ints)
    assert np.array_equal(swapped[0], agents_npz()["swap_float_index"])
    assert np.array_equal(swapped[1], agents_npz()["swap_int_index"])


def flags(case: dict, who: str) -> EncodingConfig:
    projectiles, state_flags, hitstun = map(bool, case[who])
    return EncodingConfig(
        state_age_as_embed=case["state_age_as_embed"],
        projectiles=projectiles,
        state_flags=state_flags,
        hitstun=hitstun,
    )


def test_every_pair_of_flags() -> None:
    """All 128 of golden/torch, right where the reference is wrong (T27, M17)."""
    pairs = load_json(golden_dir("torch") / "policy_adapter.json")["pairs"]
    assert len(pairs) == 128
    for case in pairs:
        world, policy = flags(case, "world"), flags(case, "policy")
        if case["right_per_player"] is None:
            with pytest.raises(AwmError, match="the policy looks at"):
                adapt_columns(world, policy)
            continue
        floats, ints = adapt_columns(world, policy)
        right = [c for start, end in case["right_per_player"] for c in range(start, end)]
        fp = world.float_per_player
        assert list(floats) == right + [fp + column for column in right]
        assert list(ints) == list(range(world.int_per_frame))


def test_golden_strip() -> None:
    policy, _ = golden_policy("strip_proj")
    assert list(policy.float_columns) == agents_npz()["strip_proj_strip_indices"].tolist()


def test_an_embedded_age_is_left_out_for_a_policy_without_one() -> None:
    """The ints are chosen by name too (M17): the reference reads them one column off."""
    world, policy = EncodingConfig(state_age_as_embed=True), EncodingConfig(hitstun=True)
    with pytest.raises(AwmError, match="state_age"):
        adapt_columns(world, policy)
    with pytest.raises(AwmError, match="state_age"):
        adapt_columns(policy, world)
    floats, ints = adapt_columns(world, world)
    names = [float_names(world)[c % world.float_per_player] for c in floats]
    assert names == list(float_names(world)) * 2
    assert len(ints) == 2 * len(int_names(world)) + 1


def test_other_scales_are_refused() -> None:
    world = EncodingConfig(state_age_as_embed=True)
    with pytest.raises(AwmError, match="scale percent differently"):
        adapt_columns(world, world.replace(percent_scale=0.02))


def test_a_shorter_policy_sees_the_last_frames_and_a_longer_one_is_refused() -> None:
    case = next(c for c in load_json(golden_dir("match") / "agents.json") if c["name"] == "same")
    network, world = policy_network(case, "policy_flags"), EncodingConfig(**case["world_flags"])
    with pytest.raises(AwmError, match="looks at 10 frames, the world keeps 9"):
        Policy.of(network, world, 9, 0.0)
    frames = jax.tree.map(lambda v: v[0], observations("same", 0, world))
    longer = jax.tree.map(lambda v: jnp.concatenate([v[:1] * 0, v]), frames)
    same, more = Policy.of(network, world, 10, 0.0), Policy.of(network, world, 11, 0.0)
    for name, value in same.outputs(frames).items():
        assert np.array_equal(more.outputs(longer)[name], value)


@pytest.mark.parametrize(
    "spec", ["", "Noop", "policy", "policy:", "bot", "policy:/no/such/file", "noop "]
)
def test_unknown_agents(spec: str) -> None:
    with pytest.raises(AwmError) as error:
        parse_agent(spec, PRODUCTION, 10)
    assert "\n" not in str(error.value)
    assert "hold-forward" in str(error.value) or "no such file" in str(error.value)


def test_a_world_is_no_agent() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (the extra `torch`)")
    with pytest.raises(AwmError, match="is a mamba2 world model, not a policy"):
        parse_agent(f"policy:{golden_dir('match') / 'm7_world.pt'}", PRODUCTION, 10)


def test_a_policy_from_a_file_tells_its_weights(tmp_path) -> None:
    from safetensors.numpy import save_file

    from awm_jax.fp32.weights import to_torch_dict

    case = next(c for c in load_json(golden_dir("match") / "agents.json") if c["name"] == "same")
    network = policy_network(case, "policy_flags")
    path = tmp_path / "bot.safetensors"
    save_file(to_torch_dict(network), path)
    settings = {"arch": "policy", "context_len": 10, "encoding_config": network.cfg.to_dict()}
    path.with_suffix(".json").write_text(json.dumps(settings))
    world = EncodingConfig(**case["world_flags"])
    agent, digest = parse_agent(f"policy:{path}", world, 10, button_bias=2.0)
    assert isinstance(agent, Policy) and float(agent.button_bias) == 2.0
    assert digest is not None and len(digest) == 64
    with pytest.raises(AwmError, match=r"bot\.safetensors: the policy looks at state_age"):
        parse_agent(f"policy:{path}", EncodingConfig(), 10)
