"""The encoding of a frame: every column, scale and width, written once.

A frame is two arrays: floats (F,) float32 and ints (I,) int32. Floats are player 0's block of
`float_per_player` columns, then player 1's; ints are player 0's block of `int_per_player` columns,
player 1's, then the stage. Everything else in the package asks this module where a value lives.
Source: networks.md section 1 of the reference's description.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

NUM_FLAG_BITS = 40
STICKS = ("main_x", "main_y", "c_x", "c_y")
ANALOG = (*STICKS, "shoulder")
BUTTONS = tuple(f"button_{name}" for name in ("a", "b", "x", "y", "z", "l", "r", "d_up"))
CONTROLLER = ANALOG + BUTTONS
CORE = ("percent", "x", "y", "shield")
VELOCITY = ("speed_air_x", "speed_y", "speed_ground_x", "speed_attack_x", "speed_attack_y")
CATEGORICAL = ("action", "jumps", "character", "l_cancel", "hurtbox", "ground", "last_attack")
PREDICTED_CATEGORICAL = ("action", "jumps", "l_cancel", "hurtbox", "ground", "last_attack")
ANALOG_THRESHOLD = 0.3


@dataclasses.dataclass(frozen=True)
class EncodingConfig:
    """Which columns a frame has and how they are scaled (normalised = value x scale).

    `focal_offset`, `multi_position`, `ctrl_residual_to_action` and `character_conditioning` are
    carried because checkpoints name them; they change nothing in these networks.

    Raises:
      ValueError: a field has the wrong type or range; the message names the field.
    """

    xy_scale: float = 0.05
    percent_scale: float = 0.01
    shield_scale: float = 0.01
    velocity_scale: float = 0.05
    state_age_scale: float = 0.01
    hitlag_scale: float = 0.1
    stocks_scale: float = 0.25
    combo_count_scale: float = 0.1
    action_vocab: int = 400
    action_embed_dim: int = 32
    jumps_vocab: int = 8
    jumps_embed_dim: int = 4
    character_vocab: int = 33
    character_embed_dim: int = 8
    stage_vocab: int = 33
    stage_embed_dim: int = 4
    l_cancel_vocab: int = 3
    l_cancel_embed_dim: int = 2
    hurtbox_vocab: int = 3
    hurtbox_embed_dim: int = 2
    ground_vocab: int = 32
    ground_embed_dim: int = 4
    last_attack_vocab: int = 64
    last_attack_embed_dim: int = 8
    state_age_as_embed: bool = False
    state_age_embed_vocab: int = 150
    state_age_embed_dim: int = 8
    press_events: bool = False
    lookahead: int = 0
    projectiles: bool = False
    state_flags: bool = False
    hitstun: bool = False
    hitstun_scale: float = 0.02
    focal_offset: int = 0
    multi_position: bool = False
    ctrl_residual_to_action: bool = False
    ctrl_threshold_features: bool = False
    character_conditioning: bool = False

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "bool":
                if not isinstance(value, bool):
                    raise ValueError(f"{field.name} is not true or false")
            elif field.type == "int":
                if isinstance(value, bool) or not isinstance(value, int):
                    raise ValueError(f"{field.name} is not an integer")
                least = 0 if field.name in ("lookahead", "focal_offset") else 1
                if value < least:
                    raise ValueError(f"{field.name} is {value}, must be {least} or more")
            else:
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise ValueError(f"{field.name} is not a number")
                if not (math.isfinite(value) and value > 0):
                    raise ValueError(f"{field.name} is {value}, must be positive and finite")

    @property
    def core_continuous_dim(self) -> int:
        return len(CORE)

    @property
    def velocity_dim(self) -> int:
        return len(VELOCITY)

    @property
    def dynamics_dim(self) -> int:
        return 3 - self.state_age_as_embed + self.hitstun

    @property
    def combat_continuous_dim(self) -> int:
        return 1

    @property
    def projectile_continuous_dim(self) -> int:
        return 3 * self.projectiles

    @property
    def continuous_dim(self) -> int:
        return (
            self.core_continuous_dim
            + self.velocity_dim
            + self.dynamics_dim
            + self.combat_continuous_dim
            + self.projectile_continuous_dim
        )

    @property
    def binary_dim(self) -> int:
        return 3 + NUM_FLAG_BITS * self.state_flags

    @property
    def controller_dim(self) -> int:
        return len(CONTROLLER)

    @property
    def float_per_player(self) -> int:
        return self.continuous_dim + self.binary_dim + self.controller_dim

    @property
    def float_per_frame(self) -> int:
        return 2 * self.float_per_player

    @property
    def int_per_player(self) -> int:
        return len(CATEGORICAL) + self.state_age_as_embed

    @property
    def int_per_frame(self) -> int:
        return 2 * self.int_per_player + 1

    @property
    def embed_dim(self) -> int:
        """Width of one player's embeddings, concatenated."""
        return sum(width for _, width in player_embeddings(self).values())

    @property
    def player_dim(self) -> int:
        return self.float_per_player + self.embed_dim

    @property
    def frame_dim(self) -> int:
        """Width of the frame vector that enters a network."""
        return 2 * self.player_dim + self.stage_embed_dim

    @property
    def ctrl_extra_dim(self) -> int:
        return 2 * len(BUTTONS) * self.press_events

    @property
    def ctrl_threshold_dim(self) -> int:
        return 2 * len(ANALOG) * self.ctrl_threshold_features

    @property
    def ctrl_conditioning_dim(self) -> int:
        """Width C of `next_ctrl`."""
        per_frame = 2 * self.controller_dim + self.ctrl_extra_dim + self.ctrl_threshold_dim
        return per_frame * (1 + self.lookahead)

    @property
    def predicted_binary_dim(self) -> int:
        return 2 * self.binary_dim

    @property
    def predicted_velocity_dim(self) -> int:
        return 2 * self.velocity_dim

    @property
    def predicted_dynamics_dim(self) -> int:
        return 2 * len(predicted_dynamics(self))

    @property
    def target_int_dim(self) -> int:
        return 2 * len(PREDICTED_CATEGORICAL)

    def replace(self, **changes) -> EncodingConfig:
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict:
        """All fields in declaration order, as a checkpoint or a manifest stores them."""
        return dataclasses.asdict(self)


def predicted_dynamics(cfg: EncodingConfig) -> tuple[str, ...]:
    """The absolute fields of `dynamics_pred` for one player, in the order of training (T1)."""
    return ("hitlag", "stocks", "combo_count") + (("hitstun",) if cfg.hitstun else ())


def player_embeddings(cfg: EncodingConfig) -> dict[str, tuple[int, int]]:
    """One player's embedded int columns in order: name -> (vocabulary, width)."""
    names = CATEGORICAL
    table = {n: (getattr(cfg, f"{n}_vocab"), getattr(cfg, f"{n}_embed_dim")) for n in names}
    if cfg.state_age_as_embed:
        table["state_age"] = (cfg.state_age_embed_vocab, cfg.state_age_embed_dim)
    return table


@functools.cache
def float_names(cfg: EncodingConfig) -> tuple[str, ...]:
    """Names of one player's float columns, in order."""
    names = list(CORE + VELOCITY)
    names += [] if cfg.state_age_as_embed else ["state_age"]
    names += predicted_dynamics(cfg)
    names += ["item_dx", "item_dy", "item_count"] if cfg.projectiles else []
    names += ["facing", "invulnerable", "on_ground"]
    names += [f"flag_{i}" for i in range(NUM_FLAG_BITS)] if cfg.state_flags else []
    return tuple(names) + CONTROLLER


@functools.cache
def int_names(cfg: EncodingConfig) -> tuple[str, ...]:
    """Names of one player's int columns, in order. The stage follows both players' blocks."""
    return tuple(player_embeddings(cfg))


@functools.cache
def int_vocabs(cfg: EncodingConfig) -> tuple[int, ...]:
    """Vocabulary of every int column of a frame (I,): player 0's, player 1's, the stage's."""
    player = tuple(vocab for vocab, _ in player_embeddings(cfg).values())
    return player * 2 + (cfg.stage_vocab,)


def column_scale(cfg: EncodingConfig, name: str) -> float:
    """Scale of a float column; 1 for binaries and the controller."""
    if name in ("x", "y", "item_dx", "item_dy"):
        return cfg.xy_scale
    if name in VELOCITY:
        return cfg.velocity_scale
    if name == "item_count":
        return 0.1
    return getattr(cfg, f"{name}_scale", 1.0)


@functools.cache
def float_scales(cfg: EncodingConfig) -> np.ndarray:
    """Scales of one player's float columns, (fp,) float64, read-only."""
    scales = np.array([column_scale(cfg, n) for n in float_names(cfg)])
    scales.flags.writeable = False
    return scales


@dataclasses.dataclass(frozen=True)
class Columns:
    """Where things are in one player's block. Add `float_per_player` (or `int_per_player`) for
    player 1."""

    core: slice
    velocity: slice
    dynamics: slice
    binary: slice
    controller: slice
    index: dict[str, int]
    int_index: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.index[name]


@functools.cache
def columns(cfg: EncodingConfig) -> Columns:
    """The column map of `cfg`."""
    index = {n: i for i, n in enumerate(float_names(cfg))}

    def span(names) -> slice:
        return slice(index[names[0]], index[names[-1]] + 1)

    binary = slice(cfg.continuous_dim, cfg.continuous_dim + cfg.binary_dim)
    return Columns(
        core=span(CORE),
        velocity=span(VELOCITY),
        dynamics=span(predicted_dynamics(cfg)),
        binary=binary,
        controller=span(CONTROLLER),
        index=index,
        int_index={n: i for i, n in enumerate(int_names(cfg))},
    )


def world_outputs(cfg: EncodingConfig, arch: str = "mamba2") -> dict[str, int]:
    """Outputs of a world model in order: name -> width.

    The reference's MLP has six binary outputs whatever its flags (T9).
    """
    binary = cfg.predicted_binary_dim if arch == "mamba2" else 6
    outputs = {
        "continuous_delta": 2 * cfg.core_continuous_dim,
        "binary_logits": binary,
        "velocity_delta": cfg.predicted_velocity_dim,
        "dynamics_pred": cfg.predicted_dynamics_dim,
    }
    for name in PREDICTED_CATEGORICAL:
        for player in (0, 1):
            outputs[f"p{player}_{name}_logits"] = getattr(cfg, f"{name}_vocab")
    return outputs


POLICY_OUTPUTS = {"analog_pred": len(ANALOG), "button_logits": len(BUTTONS)}
