"""The cartridge that ships with the package: sound, small, its card is its own, and it fights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import converters
import crank
from awm_jax.cartridges import EMBEDDED, embedded
from awm_jax.int8.engine import native_available
from converters.quantize.cost import cost
from crank.playing import prepare
from crank.verify import verify

SIZE = 8 << 20
TRANSACTION = 1_400_000


def test_it_is_sound_and_small() -> None:
    loaded = converters.load_cartridge(EMBEDDED)
    assert loaded.world.arch.recurrent
    assert sum(p.stat().st_size for p in embedded().rglob("*") if p.is_file()) <= SIZE
    assert len(loaded.cartridge.policies) >= 2
    assert cost(loaded.world.arch)["units_total"] <= TRANSACTION
    card = (embedded() / "MODEL_CARD.md").read_text()
    assert loaded.cartridge.hash in card and "licence" in card


def test_a_match_of_its_policies_is_alive_and_verified(tmp_path: Path) -> None:
    setup = prepare(
        EMBEDDED,
        "policy:fox",
        "policy:falco",
        stage="Battlefield",
        characters=("fox", "falco"),
        max_frames=3000,
        seed=1,
        seed_action=14,
    )
    match = setup.run()
    columns = match.columns()
    assert (np.ptp(columns["x"], axis=0) > 30).all() and (np.ptp(columns["y"], axis=0) > 10).all()
    assert (np.diff(columns["percent"], axis=0) > 0).any(), "nobody was hit"
    assert (np.diff(columns["stocks"], axis=0) <= 0).all()
    assert all(len(np.unique(columns["action"][:, p])) > 20 for p in (0, 1))
    match.save(tmp_path / "match.json")
    content = json.loads((tmp_path / "match.json").read_text())
    assert verify(setup.world, content).holds


@pytest.mark.skipif(not native_available()[0], reason=native_available()[1])
def test_both_engines_agree() -> None:
    digests = {
        crank.play(EMBEDDED, "policy:fox", "random", max_frames=60, engine=engine).digest
        for engine in ("native", "xla")
    }
    assert len(digests) == 1
