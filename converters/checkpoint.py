"""A loaded checkpoint: the network, where it came from, and how to write down its settings."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import awm_jax
from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.fp32 import FrameStackMamba2, FrameStackMLP, PolicyMLP
from awm_jax.fp32.weights import Network, from_torch_dict, to_torch_dict
from awm_jax.int8.codes import Codes
from awm_jax.variant import Variant
from converters.source import NO_VARIANT

ARCHITECTURES: dict[str, type[Network]] = {
    cls.arch: cls for cls in (FrameStackMamba2, FrameStackMLP, PolicyMLP)
}


@dataclasses.dataclass(frozen=True)
class Spec:
    """All that shapes a network: its architecture, encoding, context, widths and variant."""

    arch: str
    config: EncodingConfig
    context_len: int
    dims: Mapping[str, int]
    variant: Variant = NO_VARIANT

    def abstract(self) -> Network:
        """The network with shapes for weights; takes no memory.

        Raises:
          AwmError: the widths contradict each other, or only a Mamba2 world may have the variant.
        """
        settings: dict[str, Any] = {"context_len": self.context_len, **self.dims}
        if self.variant != NO_VARIANT:
            if self.arch != FrameStackMamba2.arch:
                raise AwmError(f"variant: {self.arch} has none")
            settings["variant"] = self.variant
        build = functools.partial(ARCHITECTURES[self.arch], self.config, **settings)
        return nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0)))

    def to_dict(self) -> dict[str, Any]:
        fields = {
            "arch": self.arch,
            "dims": dict(self.dims),
            "encoding_config": self.config.to_dict(),
            "context_len": self.context_len,
        }
        if self.variant != NO_VARIANT:
            fields["variant"] = dataclasses.asdict(self.variant)
        return fields


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where the weights came from.

    Attributes:
      source: name of the first file, without its folder.
      sha256: of that file's bytes.
      form: how it stated its settings, "new", "old" or "bare" (networks.md 2.8).
      weights_sha256: of all float32 tensors, little endian, keys ascending: the weights' identity.
      notes: what was assumed, inferred, widened or dropped while reading.
      versions: of the libraries that read it.
    """

    source: str
    sha256: str
    form: str
    weights_sha256: str
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        return fields | {"notes": list(self.notes), "versions": dict(self.versions)}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A network with its weights and its origin.

    Attributes:
      codes: what the network has learned to be rounded to; quantising keeps them.
    """

    model: Network
    provenance: Provenance
    codes: Codes | None = None

    @property
    def arch(self) -> str:
        """ "mamba2", "mlp" or "policy"."""
        return self.model.arch

    @property
    def config(self) -> EncodingConfig:
        return self.model.cfg

    @property
    def context_len(self) -> int:
        """Frames of context K."""
        return self.model.context_len

    @property
    def dims(self) -> dict[str, int]:
        """Widths by the names of the network's constructor."""
        return self.model.dims

    @property
    def variant(self) -> Variant:
        """What differs from the reference's network."""
        return self.model.variant if isinstance(self.model, FrameStackMamba2) else NO_VARIANT

    @property
    def spec(self) -> Spec:
        return Spec(self.arch, self.config, self.context_len, self.dims, self.variant)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The weights under the reference's keys, shapes and order, float32."""
        return to_torch_dict(self.model)


def filled(abstract: Network, tensors: dict[str, np.ndarray]) -> Network:
    """`abstract` with the weights of a complete state dict of float32 arrays."""
    graph, state = nnx.split(abstract)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
    model = nnx.merge(graph, zeros)
    from_torch_dict(model, tensors)
    return model


def weights_sha256(tensors: Mapping[str, np.ndarray]) -> str:
    """Identity of a state dict: sha256 over its float32 values, little endian, keys ascending."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(np.ascontiguousarray(tensors[key], "<f4").tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what reads a checkpoint; a library that is not installed is left out."""
    found = {"awm-jax": awm_jax.__version__}
    for name in ("jax", "flax", "orbax-checkpoint", "torch", "safetensors"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
