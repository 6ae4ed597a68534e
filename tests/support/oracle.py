"""The integer machine of docs/integer-spec.md a second time: plain NumPy, int64, one match.

Written from the specification alone. It imports nothing of the package; parameters, architecture
and encoding are only read as data. `World.step`, `Policy`, the scripted agents and `play` are what
the tests compare with the package.
"""

from __future__ import annotations

import dataclasses
import itertools
import struct

import numpy as np

from support.oracle_ops import (
    M32,
    WIDE,
    bits,
    clamp,
    clamp16,
    draws,
    exp2neg,
    fit,
    i64,
    lookup,
    mulshift,
    norm,
    planes,
    product,
    product_wide,
    requant,
    rsh,
    silu,
    xxh32,
)

UNIT = 1 << 16
CORE = ["percent", "x", "y", "shield"]
# Section 6: bottom, left, right and upper line; where a player begins anew.
LINES = {
    2: (-146.25, -198.75, 198.75, 202.5),
    3: (-111, -230, 230, 200),
    8: (-91, -175.7, 173.6, 168),
    28: (-123, -255, 255, 250),
    31: (-108.8, -224, 224, 200),
    32: (-140, -246, 246, 188),
    -1: (-140, -240, 240, 200),
}
BIRTH = {
    2: (0, 0, 111.7, -0.81),
    3: (0, 0, 119, -1),
    8: (0, 0, 117.2, -1.1),
    28: (0, 0, 188.2, -1.76),
    31: (12.8, -40, 135.1, -0.93),
    32: (16, -50, 112.9, -1.15),
}
# The ends there: character (-1 anybody), action, end, what follows in the air, on the ground.
LENGTHS_LIST = """
-1 15 0 42 29 16; -1 16 0 121 29 17; -1 17 0 113 29 14; -1 18 0 44 29 14; -1 19 0 40 29 21; -1
20 0 98 29 18; -1 21 0 92 29 24; -1 23 0 30 29 14; -1 24 0 7 29 43; -1 25 0 55 27 14; -1 26 0 60
29 14; -1 27 0 70 32 14; -1 28 0 65 32 14; -1 39 0 7 29 40; -1 40 0 98 29 24; -1 41 0 10 29 14;
-1 42 0 30 29 24; -1 43 0 40 29 14; -1 44 5 43 29 14; -1 45 6 37 29 14; -1 46 12 36 29 14; -1 47
5 6 29 48; -1 48 40 122 29 49; -1 49 9 9 29 14; -1 50 0 75 29 14; -1 51 26 37 29 14; -1 53 26 45
29 14; -1 55 26 35 29 14; -1 56 22 118 29 14; -1 57 2 121 29 41; -1 58 41 73 29 14; -1 60 20 129
29 14; -1 62 43 72 29 14; -1 63 39 111 29 14; -1 64 36 143 29 14; -1 65 0 63 29 14; -1 66 0 73
29 14; -1 67 0 67 29 14; -1 68 0 69 29 14; -1 69 0 89 29 14; -1 70 0 25 29 14; -1 71 0 25 29 14;
-1 72 0 30 29 14; -1 73 0 30 29 14; -1 74 0 50 29 14; -1 75 2 20 29 14; -1 76 2 32 29 178; -1 77
0 42 29 178; -1 78 2 43 29 14; -1 79 2 56 29 14; -1 80 2 64 29 178; -1 81 3 15 78 14; -1 82 2 30
29 14; -1 83 3 38 29 178; -1 84 3 51 29 14; -1 85 3 59 29 14; -1 86 4 120 29 178; -1 87 0 114 38
14; -1 89 0 128 38 14; -1 91 0 131 38 14; -1 108 5 0 0 0; -1 112 7 0 0 0; -1 113 2 0 0 0; -1 178
0 8 29 179; -1 179 0 104 29 24; -1 180 0 19 29 14; -1 181 3 51 29 179; -1 182 0 8 29 179; -1 183
0 26 193 184; -1 186 3 30 29 178; -1 187 49 57 29 14; -1 188 35 40 29 14; -1 189 35 35 29 14; -1
191 0 26 88 192; -1 192 0 88 29 194; -1 193 15 55 29 192; -1 194 13 30 29 178; -1 195 49 57 29
14; -1 196 35 40 29 14; -1 197 35 35 29 14; -1 199 0 26 29 14; -1 200 40 40 29 178; -1 201 40 40
29 14; -1 202 5 0 0 0; -1 203 0 51 350 14; -1 212 6 86 29 14; -1 213 0 5 29 216; -1 214 6 95 29
14; -1 215 0 4 29 216; -1 216 0 103 29 221; -1 217 26 79 29 216; -1 218 29 0 0 0; -1 219 22 72
29 14; -1 220 29 69 29 14; -1 221 23 79 29 14; -1 222 30 89 29 14; -1 223 0 2 224 14; -1 224 0
63 225 14; -1 225 15 23 224 14; -1 226 0 5 29 227; -1 227 0 103 29 241; -1 228 12 29 29 227; -1
233 24 44 29 14; -1 234 31 44 29 14; -1 235 22 32 29 14; -1 236 0 49 35 14; -1 237 3 9 29 238;
-1 238 0 16 29 14; -1 239 0 57 86 14; -1 240 0 45 88 14; -1 241 0 57 90 14; -1 242 0 58 90 199;
-1 244 0 30 27 14; -1 245 0 13 29 246; -1 246 0 121 29 18; -1 247 26 45 38 14; -1 251 0 30 38
14; -1 252 0 7 253 14; -1 254 58 59 29 14; -1 255 32 34 29 14; -1 256 68 74 29 14; -1 257 54 59
89 14; -1 258 78 79 29 14; -1 259 34 50 29 14; -1 260 18 21 261 14; -1 261 0 39 29 14; -1 262 10
15 263 14; -1 263 23 43 29 14; -1 264 60 115 29 14; -1 341 0 102 342 14; -1 342 0 128 29 343; -1
343 0 42 364 14; -1 344 0 119 345 345; -1 345 0 65 346 14; -1 346 0 55 29 14; -1 347 0 110 29
14; -1 348 0 97 29 349; -1 349 0 79 29 178; -1 350 0 79 351 14; -1 351 0 79 352 14; -1 352 0 55
35 14; -1 353 0 73 35 14; -1 354 0 64 35 356; -1 355 0 49 35 357; -1 356 0 105 358 14; -1 357 0
84 35 14; -1 358 0 79 359 14; -1 359 0 143 361 360; -1 360 0 63 35 361; -1 361 0 67 29 24; -1
362 0 53 29 363; -1 363 0 83 365 14; -1 364 0 54 29 361; -1 365 0 70 366 14; -1 366 0 40 368 14;
-1 368 0 45 35 14; -1 370 0 73 35 14; 0 345 28 0 0 0; 0 346 2 0 0 0; 1 341 6 6 29 342; 1 342 10
39 29 343; 1 343 24 24 29 14; 1 344 2 4 345 14; 1 345 2 54 346 14; 1 346 0 22 29 14; 1 347 19 0
0 0; 1 350 15 19 351 14; 1 351 0 4 352 14; 1 352 3 40 35 14; 1 354 15 52 356 14; 1 356 2 40 358
14; 1 357 6 20 29 14; 1 358 0 20 35 14; 1 360 0 6 29 361; 1 361 0 18 29 363; 1 363 0 18 29 14; 1
364 3 3 29 361; 1 365 0 6 366 14; 1 366 0 37 368 14; 1 368 0 18 29 14; 1 369 3 3 27 14; 2 347 62
110 29 14; 2 348 0 97 89 14; 2 349 14 79 29 178; 2 350 29 29 29 14; 2 351 17 79 35 14; 2 354 12
64 35 14; 2 355 19 0 0 0; 2 356 59 0 0 0; 2 359 27 34 361 14; 2 361 2 29 29 14; 4 341 5 0 0 0; 7
341 0 7 29 342; 7 342 0 128 29 343; 7 343 8 8 29 178; 7 344 40 40 29 14; 7 345 0 7 346 14; 7 346
0 40 348 14; 7 347 2 8 29 14; 7 348 2 40 29 14; 7 358 18 35 359 14; 7 359 0 20 360 14; 7 360 5
39 35 14; 8 341 49 78 29 178; 8 358 19 0 0 0; 8 359 55 0 0 0; 8 360 30 0 0 0; 8 362 19 0 0 0; 8
363 30 0 0 0; 9 341 0 102 345 14; 9 342 5 5 32 14; 9 343 5 0 0 0; 9 344 2 55 341 14; 9 345 0 61
29 14; 9 346 5 44 341 14; 9 348 13 0 0 0; 9 352 29 29 29 14; 13 342 12 0 0 0; 13 343 13 0 0 0;
13 345 8 0 0 0; 13 350 49 0 0 0; 13 352 7 49 29 14; 13 356 8 53 29 14; 13 357 7 0 0 0; 13 358 3
0 0 0; 15 341 0 50 342 14; 15 342 0 50 29 14; 15 364 45 51 29 14; 16 356 7 0 0 0; 16 357 2 0 0
0; 17 341 30 0 0 0; 17 343 17 17 29 347; 17 346 41 0 0 0; 17 347 4 0 0 0; 17 349 17 0 0 0; 17
351 3 40 352 14; 17 352 7 30 29 14; 17 357 9 83 29 14; 17 358 5 79 29 14; 18 342 8 0 0 0; 18 343
8 40 29 14; 18 345 11 11 346 14; 18 346 2 37 347 14; 18 347 2 37 29 14; 18 349 7 32 29 15; 18
358 11 58 29 14; 18 368 21 45 35 14; 18 370 19 0 0 0; 20 344 7 0 0 0; 20 346 9 25 29 14; 20 347
13 45 348 14; 20 349 2 0 0 0; 20 350 6 0 0 0; 20 353 6 0 0 0; 20 357 44 0 0 0; 20 359 5 0 0 0;
21 344 7 43 29 14; 21 348 23 0 0 0; 22 341 6 6 29 342; 22 342 24 24 29 343; 22 343 27 27 29 178;
22 344 2 4 345 14; 22 345 0 59 346 14; 22 346 0 22 29 14; 22 347 15 15 29 348; 22 348 0 4 29
349; 22 349 40 40 29 14; 22 350 15 15 351 14; 22 351 0 4 352 14; 22 352 3 40 35 14; 22 353 3 0 0
0; 22 354 13 42 356 14; 22 356 0 29 358 14; 22 357 0 20 29 14; 22 358 2 20 35 14; 22 359 14 0 0
0; 22 360 0 13 29 361; 22 361 0 48 29 24; 22 363 0 18 29 14; 22 364 2 6 29 361; 22 365 0 13 366
14; 22 366 0 40 368 14; 22 368 0 18 29 14; 22 369 0 6 366 14; 24 341 17 0 0 0; 25 359 29 0 0 0;
25 361 22 0 0 0
"""
LENGTHS = {r[:2]: r[2:] for r in (tuple(map(int, r.split())) for r in LENGTHS_LIST.split(";"))}
VELOCITY = ["speed_air_x", "speed_y", "speed_ground_x", "speed_attack_x", "speed_attack_y"]
CHOSEN = ["action", "jumps", "l_cancel", "hurtbox", "ground", "last_attack"]


# Section 1: columns, frames, records.


def cont_names(cfg) -> list[str]:
    names = CORE + VELOCITY + ([] if cfg.state_age_as_embed else ["state_age"])
    names = names + ["hitlag", "stocks", "combo_count"] + (["hitstun"] if cfg.hitstun else [])
    return names + (["item_dx", "item_dy", "item_count"] if cfg.projectiles else [])


def binary_names(cfg) -> list[str]:
    flags = [f"flag{i}" for i in range(40)] if cfg.state_flags else []
    return ["facing", "invulnerable", "on_ground", *flags]


def int_names(cfg) -> list[str]:
    names = ["action", "jumps", "character", "l_cancel", "hurtbox", "ground", "last_attack"]
    return names + (["state_age"] if cfg.state_age_as_embed else [])


@dataclasses.dataclass
class Frame:
    """cont (2, cd), binary (2, bd), ints (2, ip), stage, pads (2, 8); all int64."""

    cont: np.ndarray
    binary: np.ndarray
    ints: np.ndarray
    stage: int
    pads: np.ndarray

    def exchanged(self) -> Frame:
        swap = [1, 0]
        halves = (self.cont[swap], self.binary[swap], self.ints[swap])
        return Frame(*halves, self.stage, self.pads[swap])


def record(cfg, frame: Frame) -> list[dict[str, int]]:
    """The chain's PlayerState of both players."""
    players = []
    for p in (0, 1):
        c = dict(zip(cont_names(cfg), frame.cont[p], strict=True))
        b = dict(zip(binary_names(cfg), frame.binary[p], strict=True))
        n = dict(zip(int_names(cfg), frame.ints[p], strict=True))
        out = {k: int(rsh(c[k], 8)) for k in ["x", "y", "shield", *VELOCITY]}
        most = {"percent": 65535, "hitlag": 255, "stocks": 4}
        if "state_age" in c:
            most["state_age"] = 65535
        out |= {k: int(np.clip(rsh(c[k], 16), 0, top)) for k, top in most.items()}
        out |= {k: int(b[k]) for k in ("facing", "on_ground")}
        out |= {k: int(n[k]) for k in ("action", "jumps", "character", "state_age") if k in n}
        players.append(out)
    return players


# Section 5.1, 5.2: codes.


def row(table, i) -> np.ndarray:
    """Row i of a table, from its end when negative, the nearest when there is none."""
    n = len(table)
    return i64(table)[min(max(int(i) + n if i < 0 else int(i), 0), n - 1)]


def buttons_down(pad) -> np.ndarray:
    buttons, ext = int(pad[6]), int(pad[7])
    down = [buttons >> i & 1 for i in range(5)]
    return i64([*down, ext >> 2 & 1, ext >> 3 & 1, ext & 1])


def trigger(pad) -> int:
    return int(np.clip(max(pad[4], pad[5]), 0, 255))


def analog_codes(inputs, pad) -> list[np.ndarray]:
    sticks = [rsh((clamp(v, 80) + 80) * int(inputs.stick_m), inputs.stick_s) for v in pad[:4]]
    return [*sticks, rsh(trigger(pad) * int(inputs.trigger_m), inputs.trigger_s)]


def geometry(cfg, inputs, frame: Frame) -> list[int]:
    names, levels = cont_names(cfg), row(inputs.levels, frame.stage)
    codes = []
    for p in (0, 1):
        own = dict(zip(names, frame.cont[p], strict=True))
        other = dict(zip(names, frame.cont[1 - p], strict=True))
        x, y = own["x"], own["y"]
        soon = y + own["speed_y"] + own["speed_attack_y"]
        f = [clamp(y - levels[i], 4 * UNIT) for i in range(3)]
        f += [clamp(soon - levels[i], 4 * UNIT) for i in range(3)]
        f += [clamp(abs(x) - levels[3], 8 * UNIT)]
        f += [clamp(other["x"] - x, 32 * UNIT), clamp(other["y"] - y, 32 * UNIT)]
        codes += list(mulshift(f, inputs.feature_m, inputs.feature_s))
    return codes


def frame_codes(cfg, inputs, frame: Frame, pads, with_geometry=False):
    """(wide, narrow) codes of a frame with `pads` in its controller columns."""
    wide: list = []
    for p in (0, 1):
        wide += list(clamp(mulshift(frame.cont[p], inputs.column_m, inputs.column_s), WIDE))
        wide += analog_codes(inputs, pads[p])
    if with_geometry:
        wide += geometry(cfg, inputs, frame)
    one = int(inputs.one)
    narrow = [i64(list(frame.binary[p]) + list(buttons_down(pads[p]))) * one for p in (0, 1)]
    for p in (0, 1):
        for name, value in zip(int_names(cfg), frame.ints[p], strict=True):
            narrow.append(row(inputs.embeddings[name], value))
    narrow.append(row(inputs.embeddings["stage"], frame.stage))
    return i64(wide), np.concatenate(narrow)


def mixed(p, wide, narrow) -> np.ndarray:
    low = fit(product(p.w_narrow, narrow) << int(p.k))
    return requant(fit(product_wide(p.w_wide, wide) + low + i64(p.bias)), p.out)


def dense(p, code, times=product) -> np.ndarray:
    return requant(fit(times(p.w, code) + i64(p.bias)), p.out)


class World:
    """Sections 5.3 and 6, with the state of one match in `ssm` and `conv`."""

    def __init__(self, params, arch):
        self.p, self.arch, self.cfg = params, arch, arch.cfg
        self.E = 2 * arch.d_model
        self.H, self.N, self.P = self.E // arch.headdim, arch.d_state, arch.headdim
        self.code = WIDE if arch.planes == 2 else 127
        self.clear()

    def clear(self) -> None:
        n = self.arch.n_layers
        self.ssm = np.zeros((n, self.H, self.P, self.N), np.int64)
        self.conv = np.zeros((n, 3, self.E + 2 * self.N), np.int64)

    def reset(self, seed: list[Frame]) -> None:
        self.clear()
        self.frames = list(seed)
        if self.arch.recurrent:
            for frame, after in itertools.pairwise(seed):
                self.absorb(frame, after.pads)

    def absorb(self, frame: Frame, next_pads) -> np.ndarray:
        """Takes one frame into the state; returns f (d,)."""
        p, t = self.p, self.p.tables
        pads = next_pads if self.arch.variant.control_first else frame.pads
        codes = frame_codes(self.cfg, p.inputs, frame, pads, self.arch.variant.geometry)
        x = mixed(p.frame_proj, *codes)
        for i, layer in enumerate(p.layers):
            x = self.layer(i, layer, x)
        return norm(t.rsqrt, x, p.final_norm, WIDE)

    def layer(self, i: int, p, x) -> np.ndarray:
        t, E, H, N = self.p.tables, self.E, self.H, self.N
        times = product_wide if self.arch.planes == 2 else product
        v = dense(p.in_proj, norm(t.rsqrt, x, p.norm, self.code), times)
        z, row, dt = v[:E], v[E : 2 * E + 2 * N], v[2 * E + 2 * N :]
        past = np.concatenate([self.conv[i], row[None]])
        w = i64(p.conv_w)
        g = fit(sum(w[:, k] * past[k] for k in range(4)) + i64(p.conv_bias))
        self.conv[i] = past[1:]
        s = silu(t.sigmoid, requant(g, p.conv_out))
        xs, braw, craw = s[:E].reshape(H, self.P), s[E : E + N], s[E + N :]
        q = p.scan
        b = clamp(rsh(braw * i64(q.b_m), int(q.b_s)), 2047)
        c = clamp(rsh(craw * i64(q.c_m), int(q.c_s)), (2**31 - 1) // (32767 * N))
        d = lookup(t.softplus, dt)
        decay = exp2neg(t.exp2, mulshift(d, q.decay_m, q.decay_s))
        n = bits(d)
        mant = np.where(n > 15, d >> np.maximum(n - 15, 0), d << np.maximum(15 - n, 0))
        dm = rsh(mant * i64(q.drive_m), 15)[:, None]
        ds = np.clip(i64(q.drive_s) - (n - 15), 1, 31)[:, None]
        u = clamp(rsh(xs * dm, ds), np.minimum((32768 - decay) * 16, 32767)[:, None])
        state = rsh(fit(self.ssm[i] * decay[:, None, None] + u[:, :, None] * b), 15)
        assert abs(state).max() <= 32767
        self.ssm[i] = state
        acc, out_a, out_m = fit(state @ c), i64(q.out.a)[:, None], i64(q.out.m)[:, None]
        read = rsh(clamp16(rsh(acc, out_a)) * out_m, 15)
        y = clamp16(read + rsh(xs * i64(q.skip_m)[:, None], q.skip_s))
        gated = clamp16(rsh(y.reshape(E) * silu(t.sigmoid, z), int(p.gate_s)))
        return clamp16(x + dense(p.out_proj, norm(t.rsqrt, gated, p.gated_norm, self.code), times))

    def step(self, pads) -> Frame:
        """The next frame from both players' new pads (2, 8)."""
        pads, last = i64(pads), self.frames[-1]
        if self.arch.recurrent:
            f = self.absorb(last, pads)
        else:
            self.clear()
            nexts = [frame.pads for frame in self.frames[1:]] + [pads]
            for frame, after in zip(self.frames, nexts, strict=True):
                f = self.absorb(frame, after)
        new = self.predict(f, last, pads)
        self.frames = [*self.frames[1:], new]
        return new

    def predict(self, f, last: Frame, pads) -> Frame:
        cfg, p, heads = self.cfg, self.p, self.p.heads
        wide = [code for pad in pads for code in analog_codes(p.inputs, pad)]
        down = np.concatenate([buttons_down(pad) for pad in pads])
        bit_list = list(down)
        if cfg.press_events:
            before = np.concatenate([buttons_down(pad) for pad in last.pads])
            bit_list += list(down & ~before)
        if cfg.ctrl_threshold_features:
            for pad in pads:
                bit_list += [int(clamp(v, 80)) > -32 for v in pad[:4]] + [trigger(pad) > 76]
        narrow = i64(bit_list) * int(p.inputs.one)
        hid = clamp(f + mixed(p.ctrl_proj, wide, narrow), WIDE)
        if heads.hidden is not None:
            hid = np.clip(dense(heads.hidden, hid, product_wide), 0, WIDE)
        numbers = fit(product_wide(heads.numeric_w, hid) + i64(heads.numeric_bias))
        numbers = mulshift(numbers, heads.numeric_m, heads.numeric_s) << i64(heads.numeric_l)
        numbers = clamp(numbers, 1 << 26)
        on = fit(product_wide(heads.binary_w, hid) + i64(heads.binary_bias)) > 0
        logits = dense(heads.logits, planes(hid)[0])
        return self.next_frame(last, pads, numbers, on, logits)

    def hurl(self, last: Frame, player: int, cont: np.ndarray, stands: bool, hit: bool) -> None:
        """Speeds and counters by the rules of section 6, in place."""
        names = cont_names(self.cfg)
        if not stands:
            cont[names.index("speed_ground_x")] = 0
        lag = names.index("hitlag")
        before = (int(last.cont[player, lag]) + UNIT // 2) // UNIT * UNIT
        if cont[lag] <= before:
            cont[lag] = max(before - UNIT, 0)
        if self.cfg.hitstun and not hit:
            old = int(last.cont[player, names.index("hitstun")])
            old = (old + UNIT // 2) // UNIT * UNIT
            most = old if cont[lag] > 0 else max(old - UNIT, 0)
            cont[names.index("hitstun")] = min(int(cont[names.index("hitstun")]), most)
        if hit or before > 0:
            return
        columns = [names.index("speed_attack_x"), names.index("speed_attack_y")]
        old = [int(last.cont[player, j]) for j in columns]
        for j, own in zip(columns, old, strict=True):
            size = abs(own)
            if size == max(map(abs, old)):
                size = max(size - 2359, 0)
            said = int(cont[j])
            if own == 0 or said * own < 0:
                cont[j] = 0
            elif abs(said) > size:
                cont[j] = size if own > 0 else -size

    def life(self, last: Frame, player: int, cont: np.ndarray, said: int, hit: bool) -> int:
        """The action by the rules of section 6; changes the player's columns `cont` in place."""
        names, (was, age) = cont_names(self.cfg), (int(last.ints[player, i]) for i in (0, -1))
        lag = names.index("hitlag")
        struck = hit or cont[lag] > (int(last.cont[player, lag]) + UNIT // 2) // UNIT * UNIT
        x, y = names.index("x"), names.index("y")
        stage = min(max(last.stage if last.stage >= 0 else last.stage + 33, 0), 32)
        bottom, left, right, top = (round(v * UNIT) for v in LINES.get(stage, LINES[-1]))
        lasting = {0: (60, 12), 1: (60, 12), 2: (60, 12), 4: (150, 5), 5: (26, 12)}
        lasting |= {6: (51, 7), 7: (78, 12)}
        if was in lasting:
            action = was if age + 1 < lasting[was][0] else lasting[was][1]
        elif was == 12:
            action = 12 if age + 1 < 60 else said if said > 12 else 13
        elif cont[y] < bottom:
            action = 0
        elif cont[x] < left:
            action = 1
        elif cont[x] > right:
            action = 2
        else:
            action = said if said > 12 or (cont[y] > top and said in (4, 6)) else was
            character, nothing = int(last.ints[player, 2]), (0, 0, 0, 0)
            own, any_of = LENGTHS.get((character, was), nothing), LENGTHS.get((-1, was), nothing)
            least = any_of[0] if was < 341 else own[0]
            if not struck and not 223 <= said <= 232 and (cont[lag] > 0 or age + 1 < least):
                action = was
            _, end, *after = own if own[1] else any_of
            if action == was and end and age + 1 >= end:
                action = after[1 if last.binary[player, 2] else 0]
        if action in (0, 1, 2, 5) and was in (0, 1, 2, 5):
            cont[[x, y]] = last.cont[player, [x, y]]
        if action == 12 and was != 12:
            place = BIRTH.get(stage, (0, 0, 120, -1))
            for name in (*CORE, *VELOCITY, "hitlag", "combo_count", "hitstun"):
                if name in names:
                    cont[names.index(name)] = 0
            cont[x], cont[y] = round(place[player] * UNIT), round(place[2] * UNIT)
            cont[names.index("speed_y")] = round(place[3] * UNIT)
            cont[names.index("shield")] = 60 * UNIT
        return action

    def next_frame(self, last: Frame, pads, numbers, on, logits) -> Frame:
        cfg, names = self.cfg, cont_names(self.cfg)
        dynamics = ["hitlag", "stocks", "combo_count"] + (["hitstun"] if cfg.hitstun else [])
        cont, ints = last.cont.copy(), last.ints.copy()
        rows, at, damage, hit = iter(numbers), 0, [0, 0], [False, False]
        for group in (CORE, VELOCITY, dynamics):
            for player in (0, 1):
                for name in group:
                    j = names.index(name)
                    change, rules = int(next(rows)), self.arch.variant.game_rules
                    if rules and name == "stocks":
                        hit[player] = change > 0
                        if hit[player]:
                            cont[player, names.index("percent")] += damage[player]
                        continue
                    if rules and name == "percent":
                        damage[player] = max(change, UNIT // 2)
                        continue
                    old = 0 if group is dynamics and not rules else cont[player, j]
                    cont[player, j] = fit(old + change)
                    if rules and group is dynamics:
                        cont[player, j] = (cont[player, j] + UNIT // 2) // UNIT * UNIT
        assert next(rows, None) is None
        for name in CHOSEN:
            for player in (0, 1):
                size = getattr(cfg, f"{name}_vocab")
                ints[player, int_names(cfg).index(name)] = np.argmax(logits[at : at + size])
                at += size
        assert at == len(logits)
        for player in (0, 1):
            if self.arch.variant.game_rules:
                bits = i64(on).reshape(2, -1)
                self.hurl(last, player, cont[player], bits[player, 2] > 0, hit[player])
                if not hit[1 - player]:
                    ints[player, 6] = last.ints[player, 6]
                said = int(ints[player, 0])
                ints[player, 0] = self.life(last, player, cont[player], said, hit[player])
                if ints[player, 0] == 12 and last.ints[player, 0] != 12:
                    ints[player, 6] = 0
            same = ints[player, 0] == last.ints[player, 0]
            if cfg.state_age_as_embed:
                old = last.ints[player, -1]
                ints[player, -1] = min(old + 1, cfg.state_age_embed_vocab - 1) if same else 0
            else:
                j = names.index("state_age")
                cont[player, j] = last.cont[player, j] + UNIT if same else 0
            if self.arch.variant.game_rules:
                falls = {(0, 0), (1, 0), (2, 0), (4, 131), (7, 43)}
                if (int(ints[player, 0]), int(ints[player, -1])) in falls:
                    cont[player, names.index("stocks")] -= UNIT
        limits = {
            "percent": (0, 999), "x": (-300, 300), "y": (-200, 300), "shield": (0, 60),
            "hitlag": (0, 50), "stocks": (0, 4), "combo_count": (0, 50), "hitstun": (0, 200),
        } | dict.fromkeys(VELOCITY, (-127, 127))  # fmt: skip
        for j, name in enumerate(names):
            low, top = limits.get(name, (-16383, 16383))
            cont[:, j] = np.clip(cont[:, j], low * UNIT, top * UNIT)
        return Frame(cont, i64(on).reshape(2, -1), ints, last.stage, i64(pads))


# Section 8: randomness and scripted agents. Section 7: the policy.


def pad_of(sticks, left, down) -> np.ndarray:
    """The eight integers of a pad; `down` are A, B, X, Y, Z, L, R, D-up."""
    buttons = sum(int(d) << i for i, d in enumerate(down[:5]))
    return i64([*sticks, left, 0, buttons, int(down[5]) << 2 | int(down[6]) << 3 | int(down[7])])


def noop(view, number, player, seed) -> np.ndarray:
    return i64([0] * 8)


def hold_forward(view, number, player, seed) -> np.ndarray:
    return i64([80, 0, 0, 0, 0, 0, int(number % 10 < 3), 0])


def random_agent(view, number, player, seed) -> np.ndarray:
    d = draws(seed, number, player, 13)
    sticks = [((v >> 16) * 161 >> 16) - 80 for v in d[:4]]
    return pad_of(sticks, d[4] >> 24, [v >> 16 >= 58982 for v in d[5:]])


class Policy:
    """`world_cfg` names the columns of the frames, `cfg` those the policy sees, K' of them."""

    def __init__(self, params, cfg, world_cfg, context_len, bias=0):
        self.p, self.cfg, self.world_cfg = params, cfg, world_cfg
        self.context_len, self.bias = context_len, bias

    def seen(self, frame: Frame, player: int) -> Frame:
        frame = frame.exchanged() if player else frame
        mine, theirs = self.cfg, self.world_cfg
        cont = [cont_names(theirs).index(n) for n in cont_names(mine)]
        binary = [binary_names(theirs).index(n) for n in binary_names(mine)]
        ints = [int_names(theirs).index(n) for n in int_names(mine)]
        halves = (frame.cont[:, cont], frame.binary[:, binary], frame.ints[:, ints])
        return Frame(*halves, frame.stage, frame.pads)

    def outputs(self, view, player: int) -> np.ndarray:
        frames = [self.seen(f, player) for f in view[len(view) - self.context_len :]]
        codes = [frame_codes(self.cfg, self.p.inputs, f, f.pads) for f in frames]
        wide, narrow = (np.concatenate(part) for part in zip(*codes, strict=True))
        h1 = np.clip(mixed(self.p.hidden, wide, narrow), 0, WIDE)
        h2 = np.clip(dense(self.p.trunk, h1, product_wide), 0, WIDE)
        return dense(self.p.heads, h2, product_wide)

    def __call__(self, view, number, player, seed) -> np.ndarray:
        out = self.outputs(view, player)
        s = self.p.sigmoid
        sticks = rsh(lookup(s, out[:4]) * 160, 15) - 80
        chance = lookup(s, clamp16(out[5:] + self.bias))
        down = [d >> 17 < c for d, c in zip(draws(seed, number, player, 8), chance, strict=True)]
        return pad_of(sticks, rsh(lookup(s, out[4]) * 255, 15), down)


# Section 9: the digest and a match.


def words(frame: Frame, number: int) -> list[int]:
    out = [number, frame.stage]
    for p in (0, 1):
        out += [int(v) for v in frame.cont[p]] + [int(v) for v in frame.ints[p]]
        bits_ = [int(v) for v in frame.binary[p]]
        for first in range(0, len(bits_), 32):
            out.append(sum(b << i for i, b in enumerate(bits_[first : first + 32])))
        pad = [int(v) & 255 for v in frame.pads[p]]
        out += [sum(v << 8 * i for i, v in enumerate(part)) for part in (pad[:4], pad[4:])]
    return [w & M32 for w in out]


class Digest:
    def __init__(self):
        self.lanes = [0, 1, 2, 3]

    def add(self, frame: Frame, number: int) -> None:
        data = b"".join(struct.pack("<I", w) for w in words(frame, number))
        self.lanes = [xxh32(data, lane) for lane in self.lanes]

    def hex(self) -> str:
        return "".join(f"{lane:08x}" for lane in self.lanes)


def play(world: World, agents, seed_frames: list[Frame], seed: int, frames: int):
    """(generated frames, digest) of a match of `frames` frames that nothing ends early."""
    world.reset(seed_frames)
    digest, out = Digest(), []
    for number in range(len(seed_frames), len(seed_frames) + frames):
        pads = [a(world.frames, number, p, seed) for p, a in enumerate(agents)]
        out.append(world.step(np.stack(pads)))
        digest.add(out[-1], number)
    return out, digest.hex()
