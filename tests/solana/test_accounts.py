"""Accounts against the bytes of the real Anchor coder and of the reference's Rust."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import golden_dir, load_json, load_npz

from awm_jax.errors import AwmError
from crank.solana import accounts, borsh

pytestmark = pytest.mark.filterwarnings("error")
NAMES = {cls.__name__: cls for cls in accounts.COMPONENTS}


def key_bytes(text: str) -> bytes:
    digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    value = 0
    for c in text:
        value = value * 58 + digits.index(c)
    return value.to_bytes(32, "big")


def test_component_cases() -> None:
    """Every case of golden/bolt: decoded values encode to the same bytes, field by field."""
    for name, spec in load_json(golden_dir("bolt") / "components.json")["components"].items():
        cls = NAMES[name]
        assert accounts.discriminator(cls).hex() == spec["discriminator"]
        assert accounts.account_size(cls) == spec["account_size"]
        own = [(at + 8, type_.size) for at, type_ in borsh.layout(cls).values()]
        assert own == [(at, size) for _, _, at, size in spec["fields"]]
        for case in spec["cases"]:
            data = bytes.fromhex(case["hex"])
            value, tail = accounts.decode(cls, data)
            assert tail == b""
            assert accounts.encode(value) == data
            fields = dataclasses.fields(value)
            for field, (given_name, given_value) in zip(
                fields, case["values"].items(), strict=True
            ):
                assert same(getattr(value, field.name), given_value), (name, given_name)


def same(own: Any, told: Any) -> bool:
    if dataclasses.is_dataclass(own) and not isinstance(own, type):
        values = [getattr(own, f.name) for f in dataclasses.fields(own)]
        return all(same(a, b) for a, b in zip(values, told.values(), strict=True))
    if isinstance(told, dict):
        return same(own, next(iter(told.values())))
    if isinstance(told, list):
        return list(own) == told or all(same(a, b) for a, b in zip(own, told, strict=True))
    if isinstance(own, bytes):
        return own == (key_bytes(told) if isinstance(told, str) else bytes(told))
    return int(own) == int(told)


def test_reference_examples() -> None:
    spec = load_json(golden_dir("rust") / "components.json")["components"]
    for name, entry in spec.items():
        data = (
            next(bytes.fromhex(v) for k, v in entry.items() if k.startswith("example_account"))
            if any(k.startswith("example_account") for k in entry)
            else None
        )
        if data is not None:
            assert accounts.encode(accounts.decode(NAMES[name], data)[0]) == data


def test_ring_of_a_session() -> None:
    """The 600 frames of golden/rust: entries, and where the ring holds them."""
    data = load_npz(golden_dir("rust") / "session_600.npz")
    ring = bytearray(accounts.RING_BYTES)
    for t in range(600):
        session = borsh.decode(
            accounts.SessionState, data["session"][t + 1].tobytes() + borsh.ZERO_KEY
        )
        inputs = [accounts.ControllerInput(*map(int, row)) for row in data["controllers"][t]]
        entry = accounts.compress(session.frame, session.players, tuple(inputs), session.stage)
        assert borsh.encode(entry) == data["entries"][t].tobytes()
        at = t % 256 * accounts.ENTRY_BYTES
        ring[at : at + accounts.ENTRY_BYTES] = borsh.encode(entry)
    assert bytes(ring) == data["ring_after_600"].tobytes()
    log = borsh.decode(accounts.FrameLog, data["frame_log"][600].tobytes() + borsh.ZERO_KEY)
    held = accounts.log_entries(log, bytes(ring))
    assert [e.frame for e in held] == list(range(345, 601))
    assert accounts.log_entries(dataclasses.replace(log, write_index=0, total_frames=0), b"") == []


@pytest.mark.parametrize("cls", accounts.COMPONENTS)
def test_refusals(cls: type) -> None:
    data = accounts.encode(cls())
    name = cls.__name__
    for wrong, message in (
        (data[:-1], f"{name}: 1 missing bytes"),
        (data + b"\0\0", f"{name}: 2 trailing bytes"),
        (bytes(len(data)), f"{name}: the account is unused"),
        (b"\1" + data[1:], f"{name}: the account is no {name}"),
        (b"", "missing bytes"),
    ):
        with pytest.raises(AwmError, match=message.replace("(", r"\(")):
            accounts.decode(cls, wrong)
    with pytest.raises(AwmError, match=f"{name}: the account belongs to b, not to the program a"):
        accounts.decode(cls, data, owner="b", program="a")
    assert accounts.decode(cls, data + b"xyz", tail=3)[1] == b"xyz"


def test_values_out_of_range_are_named() -> None:
    with pytest.raises(AwmError, match=r"SessionState.frame is -1, out of range for u32"):
        accounts.encode(accounts.SessionState(frame=-1))
    with pytest.raises(AwmError, match=r"player1 has 3 bytes, must have 32"):
        accounts.encode(accounts.SessionState(player1=b"abc"))
    bad = bytearray(accounts.encode(accounts.InputBuffer()))
    bad[accounts.offset(accounts.InputBuffer, "p1_ready")] = 2
    with pytest.raises(AwmError, match=r"InputBuffer.p1_ready is 2, a bool is 0 or 1"):
        accounts.decode(accounts.InputBuffer, bytes(bad))


@given(st.binary(min_size=226, max_size=226), st.sampled_from([accounts.SessionState]))
def test_any_bytes_survive(data: bytes, cls: type) -> None:
    whole = accounts.discriminator(cls) + data
    assert accounts.encode(accounts.decode(cls, whole)[0]) == whole


def test_entries_clip_as_the_reference() -> None:
    player = accounts.PlayerState(x=-(2**31), y=2**31 - 1, state_age=65535, speed_y=-32768)
    small = accounts.compress(1, (player, player), (accounts.ControllerInput(),) * 2, 3).players[0]
    assert (small.x, small.state_age, small.speed_y) == (
        int(np.int64(-(2**31) // 256).astype(np.int16)),
        255,
        -128,
    )
