"""Policies by behaviour cloning as a `Job`.

Two thirds of all frames repeat the controller of the frame before, so a clone that copies its last
input is nearly always right and never plays. Frames on which a button or a stick changes weigh
more, the balance of each button's presses is restored, and the clone's own former controllers are
at times hidden from it (all frames of a window at rest), so that the state has to tell it what to
do. Source: networks.md section 4.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.encoding import ANALOG, STICKS, EncodingConfig, columns
from awm_jax.errors import AwmError
from awm_jax.fp32 import PolicyMLP
from awm_jax.fp32.network import Network
from awm_jax.game.frames import neutral_pad
from awm_jax.game.rules import REBIRTH
from awm_jax.game.stages import stage as stage_of
from awm_jax.train import records
from awm_jax.train.data import Data, encode_records
from awm_jax.train.export import write_checkpoint
from awm_jax.train.losses import robust
from awm_jax.train.trainer import Metrics, Params, TrainConfig
from awm_jax.train.world import ENCODING

BIT = records.BITS.index("on_ground")
MOVED = 0.1
"""A stick or trigger that moves by more than this has changed."""


TRAIN = TrainConfig(steps=12_000, rate=1e-3, judge_every=2000)


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """Attributes:
    character: internal id of whom to clone, None for everybody.
    player: hash of a person, as the games' list has it, None for everybody.
    batch: samples a step.
    change: share of samples drawn among frames on which something is pressed or moves. Buttons
      are weighed back: a match draws them by their probability, which must be people's.
    away: share drawn among frames on which the player is off the stage: few that decide stocks.
    blind: probability that a sample's own former controllers are at rest.
    mirror: probability of the mirrored game.
    judge_samples: of the valid split.
    """

    character: int | None = None
    player: str | None = None
    hidden_dim: int = 256
    trunk_dim: int = 128
    context_len: int = 10
    encoding: EncodingConfig = ENCODING
    counted_age: bool = True
    seed: int = 0
    batch: int = 512
    change: float = 0.5
    away: float = 0.2
    blind: float = 0.3
    mirror: float = 0.5
    judge_samples: int = 8192
    train: TrainConfig = TRAIN


PRESETS: dict[str, PolicyConfig] = {
    "tiny": PolicyConfig(
        hidden_dim=32,
        trunk_dim=16,
        batch=64,
        judge_samples=256,
        train=TrainConfig(
            steps=120, warmup=10, log_every=10, save_every=40, judge_every=120, rate=3e-3
        ),
    ),
    "small": PolicyConfig(),
    "production": PolicyConfig(hidden_dim=512, trunk_dim=256, batch=1024),
}


class Samples:
    """Rows of the cloned players: (game, player, row), with those apart on which they act."""

    def __init__(self, data: Data, config: PolicyConfig):
        """Raises:
        AwmError: nobody of that kind plays in these games.
        """
        self.data, self.config = data, config
        parts, away = [], []
        for number, (entry, game) in enumerate(zip(data.entries, data.games, strict=True)):
            for player in (0, 1):
                if config.player not in (None, entry.players[player]):
                    continue
                wanted = np.ones(len(game), bool)
                if config.character is not None:
                    wanted = game["character"][:, player] == config.character
                wanted[: config.context_len] = False
                rows = np.flatnonzero(wanted)
                acts = acting(game[:, player])[rows]
                where = np.full_like(rows, number), np.full_like(rows, player), rows
                parts.append((np.stack(where, axis=1), acts))
                away.append(off_stage(game[:, player], entry.stage)[rows])
        none = np.zeros((0, 3), np.int64), np.zeros(0, bool)
        rows, acts = (np.concatenate(part) for part in zip(none, *parts, strict=True))
        self.all, self.acting = rows, rows[acts]
        self.away = rows[np.concatenate([np.zeros(0, bool), *away])]
        if not len(self.acting):
            raise AwmError("nobody of that character or player acts in these games")

    def draw(
        self, rng: np.random.Generator, size: int, change: float, away: float = 0.0
    ) -> tuple[np.ndarray, ...]:
        """floats (B, K, F), ints (B, K, I), pad (B, 13), last pad (B, 13), whether off the stage
        (B,); the cloned is player 0.

        Args:
          change: share of samples on which the player acts (the rest are drawn from all).
          away: of all samples, share on which the player is off the stage instead.
        """
        config = self.config
        act, out = rng.random(size) < change, rng.random(size) < away
        chosen = np.where(
            act[:, None],
            self.acting[rng.integers(len(self.acting), size=size)],
            self.all[rng.integers(len(self.all), size=size)],
        )
        if len(self.away):
            elsewhere = self.away[rng.integers(len(self.away), size=size)]
            chosen = np.where(out[:, None], elsewhere, chosen)
        mirrored = rng.random(size) < config.mirror
        windows, stages, off = [], [], []
        for (game, player, row), flip in zip(chosen, mirrored, strict=True):
            stage = self.data.entries[game].stage
            window = self.data.games[game][row - config.context_len : row + 1]
            window = records.swap(window) if player else window
            if flip and records.can_mirror(stage):
                window = records.mirror(window, stage)
            windows.append(window)
            off.append(off_stage(window[-2:-1, 0], stage)[0])
            stages.append(stage)
        cfg = config.encoding
        floats, ints = encode_records(
            np.stack(windows), np.array(stages)[:, None], cfg, counted_age=config.counted_age
        )
        pads = floats[:, :, columns(cfg).controller]
        return floats[:, :-1], ints[:, :-1], pads[:, -1], pads[:, -2], np.array(off)


def acting(player: np.ndarray) -> np.ndarray:
    """(T,) bool: the controller differs from the row before by a button or a visible motion."""
    out = np.zeros(len(player), bool)
    step = np.abs(np.diff(player["analog"].astype(np.int32), axis=0)).max(axis=-1)
    pressed = player["buttons"][1:] != player["buttons"][:-1]
    out[1:] = pressed | (step > MOVED * records.ANALOG_STEPS)
    return out


def off_stage(player: np.ndarray, number: int) -> np.ndarray:
    """(T,) bool: alive, in the air, and beyond the ground's edges."""
    edge = stage_of(number).ground_x_range[1]
    alive = player["action"] > REBIRTH + 1
    return alive & (np.abs(player["x"]) > edge) & (player["bits"] >> BIT & 1 == 0)


class PolicyJob:
    """Clones players of a data folder's train split; judged on the valid split."""

    def __init__(self, config: PolicyConfig, train: Data, valid: Data | None = None):
        self.config = config
        self.samples = Samples(train, config)
        self.valid = Samples(valid, config) if valid is not None else None
        self.template = Network.of(
            PolicyMLP(
                config.encoding,
                context_len=config.context_len,
                hidden_dim=config.hidden_dim,
                trunk_dim=config.trunk_dim,
                rngs=nnx.Rngs(config.seed),
            )
        )

    @property
    def settings(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self.config)
        del fields["train"]
        fields["data"] = {"games": len(self.samples.data), "rows": len(self.samples.all)}
        return {"kind": "policy", "policy": fields}

    def init(self) -> Params:
        return tuple(jnp.array(p, copy=True) for p in self.template.params)

    def carry(self) -> tuple[()]:
        return ()

    def place(self) -> dict[str, np.ndarray]:
        return {}

    def phase(self, step: int) -> Hashable:
        return None

    def batch(self, step: int, place: dict[str, np.ndarray]) -> tuple[Any, dict[str, np.ndarray]]:
        config = self.config
        rng = np.random.default_rng([config.seed, 1, step])
        floats, ints, pad, last, off = self.samples.draw(
            rng, config.batch, config.change, config.away
        )
        blind = rng.random(config.batch) < config.blind
        floats[blind, :, columns(config.encoding).controller] = neutral_pad()
        return (floats, ints, pad, last, off), place

    def network(self, params: Params) -> Network:
        return dataclasses.replace(self.template, params=tuple(params))

    def loss(
        self, params: Params, carry: Any, batch: Any, phase: Any
    ) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        floats, ints, pad, last, off = batch
        outputs = self.network(params).module()(floats, ints)
        n = len(ANALOG)
        analog = jnp.mean(robust(outputs["analog_pred"] - pad[:, :n], 0.02))
        logits, pressed = outputs["button_logits"], pad[:, n:]
        moved = jnp.abs(pad[:, :n] - last[:, :n]) > MOVED
        acts = jnp.any(moved, axis=-1) | jnp.any(pressed != last[:, n:], axis=-1)
        weight = self._weight(acts, off)[:, None]
        buttons = jnp.mean(weight * (jax.nn.softplus(logits) - pressed * logits))
        metrics = {"analog": analog, "buttons": buttons}
        return 4 * analog + buttons, (carry, metrics)

    def _weight(self, acts: jax.Array, off: jax.Array) -> jax.Array:
        """What a sample counts, so that among frames alike it counts as often as they come."""
        config, samples = self.config, self.samples
        everywhere = 1 - config.away if len(samples.away) else 1.0
        plain = everywhere * (1 - config.change)
        eager = everywhere * config.change * len(samples.all) / len(samples.acting)
        apart = (1 - everywhere) * len(samples.all) / max(1, len(samples.away))
        alike = plain + apart * off.astype(jnp.float32)
        return alike / (alike + eager * acts.astype(jnp.float32))

    def judge(self, params: Params) -> Metrics:
        """On frames as they come, buttons drawn as in a match: the stick's error, what the clone
        presses, freshly and in all, beside the person; `copies` is the share of buttons that it
        leaves as they were on frames where the person changed one."""
        if self.valid is None:
            return {}
        rng = np.random.default_rng([self.config.seed, 2])
        floats, ints, pad, last, _ = self.valid.draw(rng, self.config.judge_samples, 0.0)
        outputs = jax.device_get(_apply(self.network(params), floats, ints))
        n, sticks = len(ANALOG), len(STICKS)
        odds = np.exp(-np.logaddexp(0, -outputs["button_logits"]))
        said, real, before = odds > rng.random(odds.shape), pad[:, n:] > 0.5, last[:, n:] > 0.5
        fresh, changed = real & ~before, real != before
        return {
            "stick_mae": float(np.abs(outputs["analog_pred"] - pad[:, :n])[:, :sticks].mean()),
            "stick_mae_copy": float(np.abs(last - pad)[:, :sticks].mean()),
            "button_accuracy": float((said == real).mean()),
            "fresh": float((said & ~before).mean()),
            "fresh_real": float(fresh.mean()),
            "fresh_recall": float((said & fresh).sum() / max(1, fresh.sum())),
            "copies": float(((said == before) & changed).sum() / max(1, changed.sum())),
            "pressed": float(said.mean()),
            "pressed_real": float(real.mean()),
        }

    def export(self, params: Params, folder: Path, note: Metrics) -> None:
        """`policy.safetensors` and its settings, as `awm-convert` reads them."""
        provenance = {"counted_age": self.config.counted_age, **note}
        write_checkpoint(self.network(params).module(), folder, "policy", provenance=provenance)


@jax.jit
def _apply(network: Network, floats: jax.Array, ints: jax.Array) -> dict[str, jax.Array]:
    return network.module()(floats, ints)
