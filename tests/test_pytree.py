"""Dataclasses as pytrees: the class is part of the structure."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import pytest

from awm_jax.int8 import agents as int_agents
from awm_jax.pytree import pytree, static
from crank import agents


@pytree
class Metres:
    value: jax.Array
    places: int = static()


@pytree
class Feet:
    value: jax.Array
    places: int = static()


@pytree
class Nothing:
    pass


def test_children_structure_and_keys() -> None:
    tree = Metres(jnp.arange(3), 2)
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)] == [".value"]
    twice = jax.tree.map(lambda leaf: leaf * 2, tree)
    assert type(twice) is Metres and twice.places == 2
    assert twice.value.tolist() == [0, 2, 4]
    assert jax.tree.structure(tree) != jax.tree.structure(Metres(jnp.arange(3), 3))
    assert jax.tree.leaves(Nothing()) == []


def test_two_classes_of_equal_fields_differ() -> None:
    value = jnp.zeros(())
    assert jax.tree.structure(Metres(value, 1)) != jax.tree.structure(Feet(value, 1))


SCRIPTED = [
    [make() for make in (agents.Noop, agents.HoldForward, agents.Random)],
    [make() for make in (int_agents.Noop, int_agents.HoldForward, int_agents.Random)],
]


@pytest.mark.parametrize(
    "pair", [pair for kind in SCRIPTED for pair in itertools.combinations(kind, 2)], ids=str
)
def test_agents_without_fields_differ(pair) -> None:
    """Nobody plays what was compiled for somebody else."""
    assert jax.tree.structure(pair[0]) != jax.tree.structure(pair[1])
