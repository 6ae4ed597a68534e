"""What a world model learns from: windows, controllers and targets (networks.md section 1.4).

Games lie one after the other in floats (N, F) and ints (N, I); game g is rows
`game_offsets[g]` to `game_offsets[g + 1]`. A sample is named by its row t, the frame to predict
(or, with lookahead, the first frame whose controllers are given).
"""

from __future__ import annotations

import itertools

import numpy as np

from awm_jax import encoding
from awm_jax.encoding import EncodingConfig


def train_games(count: int) -> int:
    """How many of `count` games, from the first on, are for training; the rest validate."""
    return max(1, count * 9 // 10)


def sample_rows(game_offsets: np.ndarray, cfg: EncodingConfig, context_len: int) -> np.ndarray:
    """Every row t with context_len rows before it and `lookahead` after it in its game, (S,)."""
    spans = [
        np.arange(start + context_len, end - cfg.lookahead, dtype=np.int64)
        for start, end in itertools.pairwise(game_offsets)
    ]
    return np.concatenate([np.zeros(0, np.int64), *spans])


def contexts(
    floats: np.ndarray, ints: np.ndarray, rows: np.ndarray, context_len: int
) -> tuple[np.ndarray, np.ndarray]:
    """The context_len rows before each t: (B, K, F) float32, (B, K, I) int32."""
    window = np.asarray(rows)[:, None] + np.arange(-context_len, 0)
    return floats[window], ints[window]


def next_ctrl(floats: np.ndarray, rows: np.ndarray, cfg: EncodingConfig) -> np.ndarray:
    """The controllers that make the frames t .. t + lookahead, (B, C) float32.

    For each of them: both players' 13 values; with `press_events` 8 + 8 flags of buttons that went
    down in that very frame; with `ctrl_threshold_features` 5 + 5 flags of analog values above 0.3
    (of the [0, 1] values, so that a stick at rest, 0.5, counts: T12).
    """
    rows = np.asarray(rows)
    analog = len(encoding.ANALOG)
    parts = []
    for ahead in range(cfg.lookahead + 1):
        now = _controllers(floats, rows + ahead, cfg)
        parts.append(now)
        if cfg.press_events:
            before = _controllers(floats, rows + ahead - 1, cfg)
            parts.append((now[:, :, analog:] > 0.5) & (before[:, :, analog:] < 0.5))
        if cfg.ctrl_threshold_features:
            parts.append(now[:, :, :analog] > encoding.ANALOG_THRESHOLD)
    flat = [part.reshape(len(rows), -1).astype(np.float32) for part in parts]
    return np.concatenate(flat, axis=1)


def targets(
    floats: np.ndarray, ints: np.ndarray, rows: np.ndarray, cfg: EncodingConfig
) -> tuple[np.ndarray, np.ndarray]:
    """What the model has to say of row r = t + lookahead.

    Returns:
      float_tgt (B, 8 + 10 + 2 binary_dim + predicted_dynamics_dim) float32: changes from row r - 1
      of the (scaled) core columns of both players, then of their speeds; then their binaries and
      their dynamics as they are. int_tgt (B, 12) int32: player 0's predicted categories, then
      player 1's.
    """
    rows = np.asarray(rows) + cfg.lookahead
    where = encoding.columns(cfg)
    now, before = _players(floats, rows, cfg), _players(floats, rows - 1, cfg)
    delta = now - before
    parts = (
        delta[:, :, where.core],
        delta[:, :, where.velocity],
        now[:, :, where.binary],
        now[:, :, where.dynamics],
    )
    float_tgt = np.concatenate([part.reshape(len(rows), -1) for part in parts], axis=1)
    predicted = [where.int_index[name] for name in encoding.PREDICTED_CATEGORICAL]
    players = ints[rows, :-1].reshape(len(rows), 2, cfg.int_per_player)
    return float_tgt, players[:, :, predicted].reshape(len(rows), cfg.target_int_dim)


def _players(floats: np.ndarray, rows: np.ndarray, cfg: EncodingConfig) -> np.ndarray:
    """(B, 2, fp)."""
    return floats[rows].reshape(len(rows), 2, cfg.float_per_player)


def _controllers(floats: np.ndarray, rows: np.ndarray, cfg: EncodingConfig) -> np.ndarray:
    """(B, 2, 13)."""
    return _players(floats, rows, cfg)[:, :, encoding.columns(cfg).controller]
