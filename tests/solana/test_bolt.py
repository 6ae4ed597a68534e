"""BOLT's addresses and instructions against those of the real SDK."""

from __future__ import annotations

from typing import Any

import pytest
from support.golden import golden_dir, load_json

pytest.importorskip("solders")

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from crank.solana import bolt
from crank.solana.bolt import Bolt, Component


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return load_json(golden_dir("bolt") / "vectors.json")


def key(golden: dict[str, Any], name: str) -> Pubkey:
    return Pubkey.from_string(golden["keys"].get(name) or golden["programs"][name])


def check(golden: dict[str, Any], name: str, made: Instruction) -> None:
    told = golden["instructions"][name]
    flags = {(True, True): "ws", (True, False): "-s", (False, True): "w-", (False, False): "--"}
    assert str(made.program_id) == told["program"]
    rows = [[str(m.pubkey), flags[m.is_signer, m.is_writable]] for m in made.accounts]
    assert rows == told["accounts"]
    assert bytes(made.data).hex() == told["data"]


def test_programs(golden: dict[str, Any]) -> None:
    own = {accounts_name(c): p for c, p in bolt.COMPONENT_PROGRAMS.items()} | bolt.SYSTEM_PROGRAMS
    assert own == golden["programs"]


def accounts_name(cls: type) -> str:
    from crank.solana.accounts import seed_of

    return seed_of(cls).replace("-", "_")


def test_addresses(golden: dict[str, Any]) -> None:
    told, b = golden["pdas"], Bolt()
    assert str(b.registry_address()) == told["registry"]
    for number, address in told["world"]:
        assert str(b.world_address(int(number))) == address
    for world, entity, address in told["entity_by_id"]:
        assert str(b.entity_address(int(world), int(entity))) == address
    for world, seed, address in told["entity_by_seed"]:
        assert str(b.entity_address(int(world), bytes.fromhex(seed))) == address
    entity = b.entity_address(7, 3)
    for name, seed, address in told["component"]:
        assert str(bolt.component_address(key(golden, name), entity, seed)) == address
    d = told["delegation"]
    of, owner = Pubkey.from_string(d["of"]), key(golden, d["owner_program"])
    assert str(bolt.delegation_record(of)) == d["delegation_record"]
    assert str(bolt.delegation_metadata(of)) == d["delegation_metadata"]
    assert str(bolt.delegate_buffer(of, owner)) == d["delegate_buffer"]


def test_world_and_entities(golden: dict[str, Any]) -> None:
    b, payer = Bolt(), key(golden, "payer")
    check(golden, "InitializeRegistry", b.initialize_registry(payer))
    check(golden, "InitializeNewWorld", b.initialize_new_world(payer, 7))
    check(golden, "AddEntity_by_id", b.add_entity(payer, 7, 3))
    check(golden, "AddEntity_by_seed", b.add_entity(payer, 7, b"session-1"))


def test_components(golden: dict[str, Any]) -> None:
    b, payer = Bolt(), key(golden, "payer")
    entity = b.entity_address(7, 3)
    told = golden["instructions"]["InitializeComponent"]["input"]
    component = Component(key(golden, told["component"]), entity)
    check(golden, "InitializeComponent", b.initialize_component(payer, component))
    seeded = Component(key(golden, "input_buffer"), entity, "left")
    made = b.initialize_component(payer, seeded, key(golden, "authority"))
    check(golden, "InitializeComponent_seed_authority", made)
    session = Component(key(golden, "session_state"), entity)
    check(golden, "DelegateComponent", bolt.delegate(payer, session))
    made = bolt.delegate(payer, session, 30000, key(golden, "validator"))
    check(golden, "createDelegateInstruction_validator", made)
    check(golden, "createUndelegateInstruction", bolt.undelegate(payer, session))


SYSTEMS = ("lifecycle_create", "lifecycle_join", "lifecycle_end", "submit_input", "run_inference")


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems(golden: dict[str, Any], name: str) -> None:
    told = golden["instructions"][f"ApplySystem_{name}"]["input"]
    b = Bolt()
    entity = b.entity_address(7, 3)
    parts = [Component(key(golden, c), entity) for c in told["components"]]
    values = told["args"] if isinstance(told["args"], dict) else None
    if values:  # keys as keys, not as the numbers that they become
        for field in ("player", "model"):
            if field in values:
                values = values | {field: Pubkey(values[field])}
    authority, system = key(golden, told["authority"]), key(golden, told["system"])
    made = b.apply_system(authority, system, told["world_id"], parts, values)
    check(golden, f"ApplySystem_{name}", made)


def test_extra_accounts(golden: dict[str, Any]) -> None:
    name = "ApplySystem_two_entities_extra_accounts"
    b, told = Bolt(), golden["instructions"]["ApplySystem_two_entities_extra_accounts"]["input"]
    parts = [
        Component(key(golden, e["component"]), b.entity_address(*e["entity"]), e.get("seed", ""))
        for e in told["entities"]
    ]
    extra = [AccountMeta(key(golden, "receiver"), False, True)]
    made = b.apply_system(
        key(golden, "authority"), key(golden, "run_inference"), 7, parts, told["args"], extra
    )
    check(golden, name, made)


def test_the_guard_is_configurable(golden: dict[str, Any]) -> None:
    cpi_auth = bolt.find([b"cpi_auth"], bolt.WORLD)
    assert str(cpi_auth) == "B2f2y3QTBv346wE6nWKor72AUhUvFF6mPk7TWCF2QVhi"
    made = Bolt(guard=cpi_auth).apply_system(key(golden, "payer"), bolt.WORLD, 0, [])
    assert made.accounts[2].pubkey == cpi_auth


def test_what_is_no_argument() -> None:
    with pytest.raises(TypeError, match="set is no argument of a system"):
        bolt.arguments({"a": {1}})
