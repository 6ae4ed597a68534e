"""Frozen dataclasses as pytrees, each class a structure of its own.

`jax.tree_util.register_dataclass` of JAX 0.10 leaves the class out when structures are compared:
two classes with equal fields compare equal and differ by their hash alone. A jitted function that
is called with the one may then run, now and then, what was compiled for the other.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")
_STATIC = "static"


def static() -> Any:
    """A field that is structure: hashable, compared, compiled in."""
    return dataclasses.field(metadata={_STATIC: True})


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static))
def pytree(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and register it; fields that are not `static` are children."""
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    structure = [field.name for field in fields if field.metadata.get(_STATIC)]
    children = [field.name for field in fields if field.name not in structure]
    keys = [jax.tree_util.GetAttrKey(name) for name in children]

    def flatten(tree):
        values = tree.__dict__
        return [values[name] for name in children], tuple(values[name] for name in structure)

    def flatten_with_keys(tree):
        parts, same = flatten(tree)
        return list(zip(keys, parts, strict=True)), same

    def unflatten(same, parts):
        tree = object.__new__(cls)
        tree.__dict__.update(zip(children, parts, strict=True))
        tree.__dict__.update(zip(structure, same, strict=True))
        return tree

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls
