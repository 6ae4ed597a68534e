"""The world model as a `Job`: streams of real games, one-step losses, then its own frames.

In the second part of a run each window is also continued for some frames from what the network
itself made. Gradients flow between those frames through positions, speeds and the recurrent state
only: through the other fields they ruin them (training-notes.md, "Self-forcing").
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from awm_jax.codes import Codes
from awm_jax.encoding import (
    CORE,
    VELOCITY,
    EncodingConfig,
    column_scale,
    columns,
    predicted_dynamics,
)
from awm_jax.errors import AwmError
from awm_jax.fp32 import FrameStackMamba2
from awm_jax.fp32.mamba2 import Mamba2State
from awm_jax.fp32.network import Network
from awm_jax.game.frames import Frames, control_features, controllers
from awm_jax.game.transition import match_transition
from awm_jax.train.balance import shared_gauges
from awm_jax.train.data import Data
from awm_jax.train.export import write_checkpoint
from awm_jax.train.fake_quant import rounded
from awm_jax.train.losses import LossConfig, world_loss
from awm_jax.train.report import summary_line
from awm_jax.train.rollout import all_starts, evaluate_network, sample_starts
from awm_jax.train.streams import Place, StreamConfig, Streams
from awm_jax.train.trainer import Metrics, Params, TrainConfig
from awm_jax.variant import Variant

ENCODING = EncodingConfig(state_age_as_embed=True, state_flags=True, hitstun=True)
REQUIRED = ("speed_air_x", "hitlag")
UNITS = dict.fromkeys(VELOCITY, 0.3) | {"percent": 2.0, "hitstun": 3.0}
"""Game units that a first guess errs by, and one step of the optimiser moves in; 1 if absent."""


@dataclasses.dataclass(frozen=True)
class FreeConfig:
    """Attributes:
    share: part of the steps, the last, in which windows are continued.
    horizons: frames, for equal parts of that share.
    every: frames of a window after which a continuation begins.
    weight: of its loss beside the one-step loss.
    """

    share: float = 0.12
    horizons: tuple[int, ...] = (12, 20)
    every: int = 32
    weight: float = 0.5


SMALL_VARIANT = Variant(control_first=True, geometry=True, head_hidden=192, game_rules=True)
STREAMS, LOSS, FREE, TRAIN = (
    StreamConfig(),
    LossConfig(),
    FreeConfig(),
    TrainConfig(steps=45_000, rate=1.5e-3),
)


@dataclasses.dataclass(frozen=True)
class WorldConfig:
    """A run.

    Attributes:
      rounded: whether it learns to be rounded, which a trained world does (`balance.prepare`).
      judge_starts: starts of the valid split whose rollouts are scored now and then.
    """

    d_model: int = 192
    n_layers: int = 2
    d_state: int = 32
    headdim: int = 64
    context_len: int = 10
    encoding: EncodingConfig = ENCODING
    variant: Variant = SMALL_VARIANT
    counted_age: bool = True
    rounded: bool = False
    seed: int = 0
    judge_starts: int = 1024
    streams: StreamConfig = STREAMS
    loss: LossConfig = LOSS
    free: FreeConfig = FREE
    train: TrainConfig = TRAIN


PRESETS: dict[str, WorldConfig] = {
    "tiny": WorldConfig(
        d_model=32,
        n_layers=1,
        d_state=8,
        headdim=32,
        variant=dataclasses.replace(SMALL_VARIANT, head_hidden=48),
        judge_starts=64,
        streams=StreamConfig(streams=4, window=32),
        free=FreeConfig(share=0.2, horizons=(4,)),
        train=TrainConfig(
            steps=120, warmup=10, log_every=10, save_every=40, judge_every=120, rate=3e-3
        ),
    ),
    "small": WorldConfig(),
    "rounded": WorldConfig(
        rounded=True,
        free=FreeConfig(share=0.4, weight=0.15),
        loss=LossConfig(action=3.0),
        train=TrainConfig(steps=15_000, rate=5e-4, warmup=300, judge_every=2000),
    ),
    "production": WorldConfig(
        d_model=384,
        n_layers=4,
        d_state=64,
        variant=dataclasses.replace(SMALL_VARIANT, head_hidden=512),
        streams=StreamConfig(streams=64),
        train=TrainConfig(steps=40_000, rate=1e-3, warmup=500, precision="bfloat16"),
    ),
}


class WorldJob:
    """Learns a world from the train split of a data folder, judged on its valid split.

    Args:
      begin: a network of the same shapes whose weights the run begins with.
        Where `config.rounded`, it has codes (`balance.prepare`): what is learned is to play well
        as integers do, and so it is judged.

    Raises:
      AwmError: settings that exclude one another, or another network to begin with.
    """

    def __init__(
        self,
        config: WorldConfig,
        train: Data,
        valid: Data | None = None,
        *,
        begin: Network | None = None,
    ):
        stream, free = config.streams, config.free
        if config.encoding.lookahead:
            raise AwmError("a world is trained without lookahead")
        if free.share and stream.window % free.every:
            raise AwmError(f"a window of {stream.window} is no multiple of {free.every}")
        longest = max(free.horizons, default=0) if free.share else 0
        self.config = config
        self.valid = valid
        self.streams = Streams(
            train,
            config.encoding,
            dataclasses.replace(stream, ahead=1 + longest),
            config.seed,
            counted_age=config.counted_age,
        )
        model = new_model(config)
        self.gauges = gauges(model)
        self.template = start_small(Network.of(model), self.gauges)
        self.begin = begin
        if begin is not None:
            shapes = [p.shape for p in begin.params]
            if begin.cfg != config.encoding or shapes != [p.shape for p in self.template.params]:
                raise AwmError("the network to begin with has other sizes than the configuration")
            self.template = begin
            shared = shared_gauges(begin.module())
            self.gauges = tuple(g * s for g, s in zip(self.gauges, shared, strict=True))
        if config.rounded and self.codes is None:
            raise AwmError("learning to be rounded begins with a trained network that has codes")

    @property
    def codes(self) -> Codes | None:
        """What the network has learned to be rounded to, or is to learn."""
        return self.template.module().codes

    @property
    def settings(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self.config)
        del fields["train"]
        data = self.streams.data
        fields["data"] = {"games": len(data), "rows": data.rows}
        more: dict[str, Any] = {}
        if self.begin is not None:
            weights = b"".join(np.asarray(p).tobytes() for p in self.begin.params)
            more["begin"] = hashlib.sha256(weights).hexdigest()
            if self.codes is not None:
                more["codes"] = self.codes.to_dict()
        return {"kind": "world", "world": fields} | more

    def init(self) -> Params:
        return tuple(
            jnp.array(p) / g for p, g in zip(self.template.params, self.gauges, strict=True)
        )

    def carry(self) -> Mamba2State:
        return self.template.module().init_state((self.config.streams.streams,))

    def place(self) -> dict[str, np.ndarray]:
        return vars(Place.start(self.config.streams.streams)).copy()

    def phase(self, step: int) -> int:
        """Frames of the continuation at this step; 0 for none."""
        free, steps = self.config.free, self.config.train.steps
        first = steps - int(steps * free.share)
        if not free.share or step < first:
            return 0
        part = (step - first) * len(free.horizons) // max(1, steps - first)
        return free.horizons[part]

    def batch(self, step: int, place: dict[str, np.ndarray]) -> tuple[Any, dict[str, np.ndarray]]:
        windows, after = self.streams.next(step, Place(**place))
        return (windows.floats, windows.ints, windows.fresh), vars(after).copy()

    def network(self, params: Params) -> Network:
        """The world with these weights, which a run keeps in units of its `gauges`."""
        scaled = tuple(p * g for p, g in zip(params, self.gauges, strict=True))
        return dataclasses.replace(self.template, params=scaled)

    def _played(self, params: Params) -> Network:
        """The same with the weights that a cartridge of it has, where it learns to be rounded."""
        net = self.network(params)
        return rounded(net) if self.config.rounded else net

    def loss(
        self, params: Params, carry: Mamba2State, batch: Any, phase: int
    ) -> tuple[jax.Array, tuple[Mamba2State, dict[str, jax.Array]]]:
        cfg, config = self.config.encoding, self.config
        floats, ints, fresh = batch
        net = self._played(params).module()

        def clear(value):
            new = fresh.reshape(-1, *(1,) * (value.ndim - 1))
            return jax.lax.stop_gradient(jnp.where(new, jnp.zeros_like(value), value))

        state = jax.tree.map(clear, carry)
        pads = controllers(cfg, floats)
        ctrl = control_features(cfg, pads[:, 1:], pads[:, :-1])
        length = config.streams.window
        every = config.free.every if phase else length
        pieces, states = [], []
        for at in range(0, length, every):
            piece = slice(at, at + every)
            outputs, state = net.sequence(floats[:, piece], ints[:, piece], ctrl[:, piece], state)
            pieces.append(outputs)
            states.append(state)
        outputs = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *pieces)
        before = Frames(floats[:, :length], ints[:, :length])
        now = Frames(floats[:, 1 : length + 1], ints[:, 1 : length + 1])
        loss, metrics = world_loss(
            cfg,
            config.loss,
            before.floats,
            outputs,
            before,
            now,
            game_rules=config.variant.game_rules,
        )
        if phase:
            own, own_metrics = self._free(net, phase, floats, ints, pads, ctrl, pieces, states)
            loss = loss + config.free.weight * own
            kept = ("position_mae", "action_accuracy", "percent")
            metrics |= {f"free_{name}": own_metrics[name] for name in kept} | {"free_loss": own}
        return loss, (jax.tree.map(jax.lax.stop_gradient, state), metrics)

    def _free(self, net, horizon, floats, ints, pads, ctrl, pieces, states):
        """Loss of `horizon` frames after each piece, made from the network's own frames."""
        cfg, config = self.config.encoding, self.config
        count, every, rules = len(pieces), config.free.every, config.variant.game_rules
        ends = [every * (i + 1) - 1 for i in range(count)]

        def gather(values, offset):  # rows that lie `offset` after each end, pieces first
            return jnp.concatenate([values[:, end + offset] for end in ends])

        def frame(offset):
            return Frames(gather(floats, offset), gather(ints, offset))

        outputs = jax.tree.map(lambda *p: jnp.concatenate([v[:, -1] for v in p]), *pieces)
        state = jax.tree.map(lambda *s: jnp.concatenate(s), *states)
        flowing = _flowing(cfg).reshape(1, -1)

        def made(last, outputs, pads):
            new = match_transition(cfg, last, outputs, pads, rules)
            through = jnp.where(flowing, new.floats, jax.lax.stop_gradient(new.floats))
            return Frames(through, jax.lax.stop_gradient(new.ints))

        def body(carry, given):
            state, last = carry
            before, now, ctrl, pads = given
            state, outputs = net.step(state, last.floats, last.ints, ctrl)
            loss, parts = world_loss(
                cfg, config.loss, last.floats, outputs, before, now, game_rules=rules
            )
            return (state, made(last, outputs, pads)), (loss, parts)

        first = made(frame(0), outputs, gather(pads, 1))
        frames = [frame(k) for k in range(1, horizon + 2)]
        given = [
            (frames[k], frames[k + 1], gather(ctrl, 1 + k), gather(pads, 2 + k))
            for k in range(horizon)
        ]
        stacked = jax.tree.map(lambda *v: jnp.stack(v), *given)
        _, (loss, parts) = jax.lax.scan(body, (state, first), stacked)
        return jnp.mean(loss), jax.tree.map(jnp.mean, parts)

    def judge(self, params: Params) -> Metrics:
        if self.valid is None:
            return {}
        starts = sample_starts(all_starts(self.valid), self.config.judge_starts)
        return summary_line(evaluate_network(self._played(params), self.valid, starts))

    def export(self, params: Params, folder: Path, note: Metrics) -> None:
        """`world.safetensors` and its settings, as `awm-convert` reads them."""
        config = self.config
        write_checkpoint(
            self._played(params).module(),
            folder,
            "world",
            variant=dataclasses.asdict(config.variant),
            **({} if self.codes is None else {"codes": self.codes.to_dict()}),
            provenance={"counted_age": config.counted_age, **note},
        )


def new_model(config: WorldConfig, codes: Codes | None = None) -> FrameStackMamba2:
    return FrameStackMamba2(
        config.encoding,
        context_len=config.context_len,
        d_model=config.d_model,
        d_state=config.d_state,
        n_layers=config.n_layers,
        headdim=config.headdim,
        variant=config.variant,
        codes=codes,
        rngs=nnx.Rngs(config.seed),
    )


def gauges(model: FrameStackMamba2) -> tuple[jax.Array, ...]:
    """For every array of the parameters what an optimiser's unit step in it means: 1, and for the
    heads of game units the size of `UNITS`.

    Without it a step of Adam moves a guess of percent, which is scaled by 0.01, by whole points,
    and what flows back from there drowns what flows back from the action.
    """
    cfg, ones = model.cfg, nnx.clone(model)
    _, state = nnx.split(ones)
    nnx.update(ones, jax.tree.map(jnp.ones_like, state))
    widths = dict(model.heads.widths)
    scale = {name: np.ones(width, np.float32) for name, width in widths.items()}
    for name, members in (
        ("continuous_delta", CORE),
        ("velocity_delta", VELOCITY),
        ("dynamics_pred", predicted_dynamics(cfg)),
    ):
        units = [column_scale(cfg, m) * UNITS.get(m, 1.0) for m in members]
        scale[name] = np.tile(np.array(units, np.float32), 2)
    row = jnp.asarray(np.concatenate([scale[name] for name in widths]))
    last = ones.heads.linear
    assert last.bias is not None
    last.kernel[...] = jnp.broadcast_to(row[None], last.kernel.shape)
    last.bias[...] = row
    return Network.of(ones).params


def start_small(network: Network, gauges: tuple[jax.Array, ...]) -> Network:
    """The initial weights in the heads' own units: first guesses err by a unit, not by dozens."""
    params = tuple(p * g for p, g in zip(network.params, gauges, strict=True))
    return dataclasses.replace(network, params=params)


def _flowing(cfg: EncodingConfig) -> np.ndarray:
    """(F,) bool: columns of the network's own frames through which gradients flow."""
    where = columns(cfg)
    block = np.zeros(cfg.float_per_player, bool)
    block[[where[name] for name in ("x", "y", *VELOCITY)]] = True
    return np.tile(block, 2)
