"""Section 11 of docs/integer-spec.md in NumPy's int64: part of the oracle, from the text alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from support import oracle
from support.oracle_ops import (
    WIDE,
    clamp,
    clamp16,
    fit,
    i64,
    lookup,
    norm,
    product_wide,
    requant,
    rsh,
)

ONE = 8192
GONE = [(0, 13)]
ATTACKING = [(44, 69), (212, 222), (341, 399)]
HELPLESS = [(75, 91), (183, 204), (223, 232), (239, 243)]
UNIT_NORM = SimpleNamespace(eps=(0, 1), w=(16384, 16384), shift=16)


def tables() -> dict[str, np.ndarray]:
    tanh = WIDE * np.tanh((np.arange(513) - 256) / 32)
    arc = 2.0**13 * np.arcsin(np.arange(92) / 128) / np.pi
    return {"tanh": np.rint(tanh).astype(np.int64), "arc": np.rint(arc).astype(np.int64)}


def spans(action: int, of: list[tuple[int, int]]) -> bool:
    return any(a <= action <= b for a, b in of)


def share(x, most: int, m: int, s: int) -> int:
    return int(rsh(fit(np.clip(x, 0, most) * m), s))


def length(v, u) -> int:
    return int(rsh(fit(v[0] * u[0] + v[1] * u[1]), 13))


def senses(cfg, p, frame) -> tuple[np.ndarray, np.ndarray]:
    """The sixteen world and eight self features."""

    def unit(v):
        assert abs(i64(v)).max() <= 32767
        return norm(p.rsqrt, v, UNIT_NORM, ONE)

    def slow(v):
        u = unit(v)
        return v << 8 if length(v, u) < 32 else u

    def reach(x) -> int:
        return share(x, 6400, 10486, 13)

    c, b, n = (
        [dict(zip(names(cfg), values[q], strict=True)) for q in (0, 1)]
        for names, values in (
            (oracle.cont_names, frame.cont),
            (oracle.binary_names, frame.binary),
            (oracle.int_names, frame.ints),
        )
    )
    spots = [i64([rsh(c[q]["x"], 11), rsh(c[q]["y"], 11)]) for q in (0, 1)]
    h, away = spots[0], spots[0] - spots[1]
    u = unit(away)
    dist = length(away, u)
    near = ONE - share(dist, 2560, 13107, 12)
    look = [2 * int(b[q]["facing"]) - 1 for q in (0, 1)]
    alive = c[1]["stocks"] > 32768
    playing = alive and not spans(n[1]["action"], GONE)
    attacking = spans(n[1]["action"], ATTACKING)
    helpless = [spans(n[q]["action"], HELPLESS) for q in (0, 1)]
    opening = playing and helpless[1]
    hitlag = [c[q]["hitlag"] > 32768 for q in (0, 1)]
    threat = 0
    if playing:
        threat += int(rsh(near * (13107 + 9830 * attacking), 15)) + 819 * (attacking and hitlag[1])
    threat += 1638 * helpless[0]
    health = [ONE - share(rsh(c[q]["percent"], 8), 38400, 13981, 16) for q in (0, 1)]
    lives = [int(rsh(rsh(max(c[q]["stocks"] - 65536, 0), 3) + health[q], 2)) for q in (0, 1)]
    gaps = h - i64(oracle.row(p.places, frame.stage))
    nearest = int(np.argmin(fit((gaps * gaps).sum(axis=1))))
    gap, edge = gaps[nearest], int(oracle.row(p.edges, frame.stage))
    off = bool(abs(h[0]) > edge or h[1] < -160)
    escape = slow(-h) if off else slow(away) if playing else i64([0, 0])
    x, y = -int(u[0]) * look[0], -int(u[1])
    least = min(abs(x), abs(y), 5823)
    arc, i = i64(p.arc), least >> 6
    turn = int(arc[i] + rsh((arc[i + 1] - arc[i]) * (least & 63), 6))
    turn = 4096 - turn if abs(y) > abs(x) else turn
    turn = ONE - turn if x < 0 else turn
    turn = int(clamp(turn if y > 0 else -turn, ONE))
    world = [
        min(max(threat, 0), ONE),
        1638 * alive,
        1638 * playing,
        1638 * (playing and look[1] * away[0] >= 0),
        reach(dist) if playing else ONE,
        turn if playing else 0,
        lives[1] if playing else ONE,
        reach(length(gap, unit(gap))),
        oracle.row(p.ratings, frame.stage)[nearest],
        escape[0],
        escape[1],
        max(ONE * b[0]["invulnerable"], ONE - (near if playing else 0)),
        ONE * off,
        ONE * opening,
        reach(dist) if opening else ONE,
        0,
    ]
    own = [
        health[0],
        share(rsh(c[0]["shield"], 8), 15360, 8738, 14),
        int(np.clip(n[0]["jumps"], 0, 2)) << 12,
        ONE * b[0]["invulnerable"],
        ONE * ((playing and dist < 640) or helpless[0]),
        int(np.clip(4096 + rsh(lives[0] - lives[1], 1), 0, ONE)),
        ONE * (helpless[0] or hitlag[0]),
        share(rsh(c[0]["combo_count"], 8), 1280, 13107, 11),
    ]
    return i64(world), i64(own)


def dense(p, x) -> np.ndarray:
    return requant(fit(product_wide(p.w, x) + i64(p.bias)), p.out)


class Mind:
    """One player's mind over one match; called as the other agents of the oracle are."""

    def __init__(self, params, cfg):
        self.p, self.cfg = params, cfg
        self.z = np.zeros(i64(params.ahead.w).shape[1], np.int64)
        self.action, self.phase = 12, 0

    def perceptron(self, p, x) -> np.ndarray:
        h = norm(self.p.senses.rsqrt, dense(p.hidden, x), p.norm, WIDE)
        return dense(p.out, np.clip(fit(h + i64(p.beta)), 0, WIDE))

    def gru(self, given, kept, z) -> np.ndarray:
        g_r, g_z, g_n = np.split(i64(given), 3)
        k_r, k_z, k_n = np.split(i64(kept), 3)
        r = lookup(self.p.sigmoid, clamp16(g_r + k_r))
        u = lookup(self.p.sigmoid, clamp16(g_z + k_z))
        n = lookup(self.p.tanh, clamp16((g_n + rsh(r * k_n, 15)) << 2))
        new = n + rsh((z - n) * u, 15)
        assert abs(new).max() <= WIDE
        return new

    def decide(self, frame) -> None:
        p = self.p
        world, own = senses(self.cfg, p.senses, frame)
        seen = np.concatenate([self.perceptron(p.world, world), self.perceptron(p.own, own)])
        kept = dense(p.kept, self.z)
        self.z = self.gru(dense(p.seen, clamp(seen, WIDE)), kept, self.z)
        ahead, scores = dense(p.ahead, self.z), []
        for given in i64(p.actions):
            f = self.perceptron(p.affect, self.gru(given, ahead, self.z))
            scores.append(int(f[2] - np.clip(f[0], 0, int(p.one))))
        self.action = int(np.argmax(scores))

    def __call__(self, view, number, player, seed) -> np.ndarray:
        frame = view[-1].exchanged() if player else view[-1]
        if self.phase == 0:
            self.decide(frame)
        x, facing = oracle.cont_names(self.cfg).index("x"), int(frame.binary[0, 0])
        look, side = 2 * facing - 1, 1 if frame.cont[1, x] >= frame.cont[0, x] else -1
        sticks = {0: (48 * look, 0), 1: (-48 * look, 0), 2: (-80, 0), 3: (80, 0), 4: (48 * side, 0)}
        sticks |= {6: (0, 80), 7: (0, -80), 10: (80 * side, 0), 11: (-80 * side, 0)}
        buttons = {4: "A", 5: "L", 6: "B", 8: "B", 9: "X", 11: "L"}
        down = buttons.get(self.action, "") if self.phase < 3 else ""
        trigger = 255 if self.action in (5, 11) else 0
        self.phase = 0 if self.phase == 5 else self.phase + 1
        pressed = [bool(down) and name == down for name in ("A", "B", "X", "Y", "Z", "L", "R", "D")]
        return oracle.pad_of([*sticks.get(self.action, (0, 0)), 0, 0], trigger, pressed)
