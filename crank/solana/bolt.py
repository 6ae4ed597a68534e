"""BOLT 0.2.4's instructions and addresses. Pure: what the chain holds (counters) is an argument.

Sources: golden/bolt (B1 to B29), made by the real SDK. The World's id and the account that differs
between versions (`cpi_auth` in 0.2.5 and 0.2.6, else the instructions sysvar; B26) are settings.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from crank.solana import accounts
from crank.solana.metas import paying, readonly, signing, writable

WORLD = Pubkey.from_string("WorLD15A7CrDwLcLy4fRqtaTb9fbd8o8iqiEMUDse2n")
DELEGATION = Pubkey.from_string("DELeGGvXpWV2fqJUhqcF5ZSYMS4JTLjteaAMARRSaeSh")
MAGIC_PROGRAM = Pubkey.from_string("Magic11111111111111111111111111111111111111")
MAGIC_CONTEXT = Pubkey.from_string("MagicContext1111111111111111111111111111111")
INSTRUCTIONS_SYSVAR = Pubkey.from_string("Sysvar1nstructions1111111111111111111111111")
SYSTEM = Pubkey.default()

# The reference's programs, golden/bolt `programs`; others by configuration.
COMPONENT_PROGRAMS = {
    accounts.SessionState: "FJwbNTbGHSpq4a72ro1aza53kvs7YMNT7J5U34kaosFj",
    accounts.HiddenState: "Ea3VKF8CW3svQwiT8pn13JVdbVhLHSBURtNuanagc4hs",
    accounts.InputBuffer: "3R2RbzwP54qdyXcyiwHW2Sj6uVwf4Dhy7Zy8RcSVHFpq",
    accounts.FrameLog: "3mWTNv5jhzLnpG4Xt9XqM1b2nbNpizoGEJxepUhhoaNK",
    accounts.ModelManifest: "AucQsnqWYXeVcig4puWFjnd8NXruCtjS8EVgA2B5KxUk",
    accounts.WeightShard: "A56nQANMn1ThuqZLZkAVooDmUMrSoEddyNHF41WbqvXE",
}
SYSTEM_PROGRAMS = {
    "session_lifecycle": "4ozheJvvMhG7yMrp1UR2kq1fhRvjXoY5Pn3NJ4nvAcyE",
    "submit_input": "F9ZqWHVDtsXZdHLU8MXfybsS1W3TTGv4NegcJZK9LnWx",
    "run_inference": "3tHPJJSNhKwbp7K5vSYCUdYVX9bGxRCmpddwaJWRKPyb",
}


def find(seeds: Sequence[bytes], program: Pubkey) -> Pubkey:
    """A program-derived address."""
    return Pubkey.find_program_address(list(seeds), program)[0]


def method(name: str) -> bytes:
    """An Anchor instruction's discriminator: 8 bytes of sha256("global:name")."""
    return hashlib.sha256(f"global:{name}".encode()).digest()[:8]


def component_address(program: Pubkey, entity: Pubkey, seed: str = "") -> Pubkey:
    """Of a component of an entity."""
    return find([seed.encode(), bytes(entity)], program)


def delegation_record(account: Pubkey) -> Pubkey:
    return find([b"delegation", bytes(account)], DELEGATION)


def delegation_metadata(account: Pubkey) -> Pubkey:
    return find([b"delegation-metadata", bytes(account)], DELEGATION)


def delegate_buffer(account: Pubkey, owner: Pubkey) -> Pubkey:
    """It belongs to the owner program, unlike the other two."""
    return find([b"buffer", bytes(account)], owner)


def arguments(values: dict[str, Any] | None) -> bytes:
    """A system's arguments: compact JSON in the order given, a key as its 32 numbers.

    serde reads a Pubkey as an array; the base58 string of the reference's client panics (R33).
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Pubkey | bytes):
            return list(bytes(value))
        raise TypeError(f"{type(value).__name__} is no argument of a system")

    text = json.dumps(values or {}, separators=(",", ":"), default=plain, ensure_ascii=False)
    return text.encode()


@dataclasses.dataclass(frozen=True)
class Component:
    """A component of an entity, as ApplySystem names it."""

    program: Pubkey
    entity: Pubkey
    seed: str = ""

    @property
    def address(self) -> Pubkey:
        return component_address(self.program, self.entity, self.seed)


@dataclasses.dataclass(frozen=True)
class Bolt:
    """The World program.

    Attributes:
      world: its id.
      guard: the account in the place of the instructions sysvar (B26).
    """

    world: Pubkey = WORLD
    guard: Pubkey = INSTRUCTIONS_SYSVAR

    def registry_address(self) -> Pubkey:
        return find([b"registry"], self.world)

    def world_address(self, number: int) -> Pubkey:
        return find([b"world", number.to_bytes(8, "big")], self.world)

    def entity_address(self, world_number: int, entity: int | bytes) -> Pubkey:
        """By its number, or by the bytes of its seed."""
        last = [bytes(8), entity] if isinstance(entity, bytes) else [entity.to_bytes(8, "big")]
        return find([b"entity", world_number.to_bytes(8, "big"), *last], self.world)

    def initialize_registry(self, payer: Pubkey) -> Instruction:
        metas = [writable(self.registry_address()), paying(payer), readonly(SYSTEM)]
        return Instruction(self.world, method("initialize_registry"), metas)

    def initialize_new_world(self, payer: Pubkey, worlds: int) -> Instruction:
        """worlds: the registry's counter; of two creators with the same one loses (B1)."""
        metas = [
            paying(payer),
            writable(self.world_address(worlds)),
            writable(self.registry_address()),
        ]
        data = method("initialize_new_world")
        return Instruction(self.world, data, [*metas, readonly(SYSTEM)])

    def add_entity(self, payer: Pubkey, world_number: int, entity: int | bytes) -> Instruction:
        """entity: the world's counter, or a seed."""
        extra = b"\0"
        if isinstance(entity, bytes):
            extra = b"\1" + len(entity).to_bytes(4, "little") + entity
        address = self.entity_address(world_number, entity)
        metas = [
            paying(payer),
            writable(address),
            writable(self.world_address(world_number)),
            readonly(SYSTEM),
        ]
        return Instruction(self.world, method("add_entity") + extra, metas)

    def initialize_component(
        self, payer: Pubkey, component: Component, authority: Pubkey | None = None
    ) -> Instruction:
        """authority None: the World's id, with which anybody may change it (B4)."""
        metas = [
            paying(payer),
            writable(component.address),
            readonly(component.entity),
            readonly(component.program),
            readonly(authority or self.world),
            readonly(self.guard),
            readonly(SYSTEM),
        ]
        return Instruction(self.world, method("initialize_component"), metas)

    def apply_system(
        self,
        authority: Pubkey,
        system: Pubkey,
        world_number: int,
        components: Sequence[Component],
        values: dict[str, Any] | None = None,
        extra: Sequence[AccountMeta] = (),
    ) -> Instruction:
        """The system's components in the order of its input; `extra` after a separator (B7)."""
        metas = [readonly(system), signing(authority), readonly(self.guard)]
        metas.append(readonly(self.world_address(world_number)))
        for component in components:
            metas += [readonly(component.program), writable(component.address)]
        if extra:
            metas += [readonly(self.world), *extra]
        text = arguments(values)
        data = method("apply") + len(text).to_bytes(4, "little") + text
        return Instruction(self.world, data, metas)


def delegate(
    payer: Pubkey, component: Component, frequency_ms: int = 0, validator: Pubkey | None = None
) -> Instruction:
    """Hand a component to a rollup; validator None: any (B20)."""
    address, owner = component.address, component.program
    metas = [
        signing(payer),
        readonly(component.entity),
        writable(address),
        readonly(owner),
        writable(delegate_buffer(address, owner)),
        writable(delegation_record(address)),
        writable(delegation_metadata(address)),
        readonly(DELEGATION),
        readonly(SYSTEM),
    ]
    choice = b"\0" if validator is None else b"\1" + bytes(validator)
    data = method("delegate") + frequency_ms.to_bytes(4, "little") + choice
    return Instruction(owner, data, metas)


def undelegate(payer: Pubkey, component: Component) -> Instruction:
    """Take it back; sent to the rollup (B21)."""
    metas = [
        paying(payer),
        writable(component.address),
        writable(MAGIC_CONTEXT),
        readonly(MAGIC_PROGRAM),
    ]
    return Instruction(component.program, method("undelegate"), metas)
