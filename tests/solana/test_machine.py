"""The machine's state as a HiddenState slot, and back."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from support import int_worlds, solana_worlds

from awm_jax.errors import AwmError
from awm_jax.int8.world import Int8World
from crank.solana import machine
from crank.solana.accounts import ControllerInput


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_state_survives(recurrent: bool) -> None:
    """Bit for bit, and the world goes on from it as from its own."""
    arch = solana_worlds.arch_of(recurrent=recurrent)
    world = Int8World(int_worlds.on_device(solana_worlds.calm_params(3, arch)), arch)
    state = world.reset(int_worlds.random_frames(1, arch.cfg, arch.context_len))
    step = jax.jit(lambda s, p: world.step(s, p))
    pads = int_worlds.random_pads(2, 3)
    state, frame = step(state, pads[0])
    layout = machine.state_layout(arch)
    digest = np.array([1, 2**32 - 1, 3, 4], np.uint32)
    slot = machine.encode_state(layout, state, digest)
    assert len(slot) == layout.size and layout.size % 8 == 0
    back, told = machine.decode_state(layout, slot)
    np.testing.assert_array_equal(told, digest)
    assert machine.encode_state(layout, back, told) == slot
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(back), strict=True):
        np.testing.assert_array_equal(a, b)
    for one, two in zip(
        jax.tree.leaves(step(state, pads[1])), jax.tree.leaves(step(back, pads[1])), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    window = machine.decode_window(layout, slot[: layout.window])
    for a, b in zip(jax.tree.leaves(state.frames), jax.tree.leaves(window), strict=True):
        np.testing.assert_array_equal(a, b)
    for wrong, message in ((slot[:-1], "1 missing bytes"), (slot + b"\0", "1 trailing bytes")):
        with pytest.raises(AwmError, match=message):
            machine.decode_state(layout, wrong)
    with pytest.raises(AwmError, match="the frames are"):
        machine.decode_window(layout, slot[: layout.window - 1])
    players = machine.players(arch, frame)
    assert players[0].stocks == 4


def test_pads() -> None:
    pad = ControllerInput(-128, 127, 0, -1, 255, 0, 3, 8)
    assert machine.controller_of(np.array(machine.pad_of(pad))) == pad
