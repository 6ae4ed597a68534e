"""Operations, tables and generators of docs/integer-spec.md in NumPy's int64: part of the oracle.

`fit` asserts what section 10 promises: each value that a 32-bit machine holds has 32 bits.
"""

from __future__ import annotations

import struct

import numpy as np

WIDE = 127 * 128 + 63
M32 = 0xFFFFFFFF


def i64(value) -> np.ndarray:
    return np.asarray(value).astype(np.int64)


def fit(x) -> np.ndarray:
    x = i64(x)
    assert x.size == 0 or (x.min() >= -(2**31) and x.max() < 2**31), "more than 32 bits"
    return x


# Section 2: operations.


def rsh(x, s) -> np.ndarray:
    """floor(x / 2^s + 1/2)."""
    x, s = fit(x), i64(s)
    assert s.size == 0 or (s.min() >= 0 and s.max() <= 31)
    return (x + (np.left_shift(1, s) >> 1)) >> s


def clamp(x, m) -> np.ndarray:
    return np.minimum(np.maximum(fit(x), -m), m)


def clamp16(x) -> np.ndarray:
    return np.minimum(np.maximum(fit(x), -32768), 32767)


def product(w, c) -> np.ndarray:
    return fit(i64(w) @ i64(c))


def planes(x) -> tuple[np.ndarray, np.ndarray]:
    high = (i64(x) + 64) >> 7
    return high, i64(x) - 128 * high


def product_wide(w, x) -> np.ndarray:
    high, low = planes(x)
    assert max(abs(high).max(initial=0), abs(low).max(initial=0)) <= 127
    return fit(128 * product(w, high) + product(w, low))


def requant(acc, out) -> np.ndarray:
    return rsh(clamp16(rsh(acc, out.a)) * i64(out.m), 15)


def mulshift(x, m, s) -> np.ndarray:
    m, s = i64(m), i64(s)
    assert np.all((m >= 0) & (m <= 32767) & (s >= 17) & (s <= 46))
    return (fit(x) * m + (np.int64(1) << (s - 1))) >> s


def lookup(table, x) -> np.ndarray:
    table, x = i64(table), i64(x)
    assert np.all((x >= -32768) & (x <= 32767))
    i = (x + 32768) >> 7
    return table[i] + rsh((table[i + 1] - table[i]) * (x & 127), 7)


def silu(sigmoid, x) -> np.ndarray:
    return rsh(i64(x) * lookup(sigmoid, x), 15)


def bits(x) -> np.ndarray:
    return i64(np.vectorize(lambda v: int(v).bit_length(), otypes=[np.int64])(x))


def exp2neg(table, t) -> np.ndarray:
    table = i64(table)
    t = np.minimum(fit(t), 16 * 32768 - 1)
    f = t & 32767
    i = f >> 7
    v = table[i] - rsh((table[i] - table[i + 1]) * (f & 127), 7)
    return np.clip(rsh(v, t >> 15), 1, 32767)


def norm(rsqrt, x, p, most) -> np.ndarray:
    x, table = i64(x), i64(rsqrt)
    total = int((x * x).sum()) + 4096 * int(p.eps[0]) + int(p.eps[1])
    e = (total.bit_length() - 15) >> 1
    m = total >> 2 * e if e >= 0 else total << -2 * e
    assert 1 << 14 <= m < 1 << 16
    i = (m >> 8) - 64
    r = table[i] - rsh((table[i] - table[i + 1]) * (m & 255), 8)
    u = clamp16(rsh(x * r, 7 + e))
    return clamp(rsh(u * i64(p.w), int(p.shift)), most)


# Section 3: tables.


def make_tables() -> dict[str, np.ndarray]:
    z = (np.arange(513) - 256) / 8
    sigmoid = 2.0**15 / (1 + np.exp(-z))
    softplus = 2.0**24 * np.log1p(np.exp(z))
    exp2 = 2.0**15 * 2.0 ** (-np.arange(257) / 256)
    rsqrt = np.minimum(32767, 2.0**22 / np.sqrt(256.0 * (np.arange(193) + 64)))
    all_ = {"sigmoid": sigmoid, "softplus": softplus, "exp2": exp2, "rsqrt": rsqrt}
    return {k: np.rint(v).astype(np.int64) for k, v in all_.items()}


# Section 8: draws. Section 9: the hash.


def threefry(key, counter) -> tuple[int, int]:
    """Threefry-2x32 with 20 rounds."""
    k = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA]
    a, b = (counter[0] + k[0]) & M32, (counter[1] + k[1]) & M32
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            a = (a + b) & M32
            b = ((b << turn | b >> 32 - turn) & M32) ^ a
        a = (a + k[(group + 1) % 3]) & M32
        b = (b + k[(group + 2) % 3] + group + 1) & M32
    return a, b


def draws(seed: int, number: int, player: int, count: int) -> list[int]:
    key = (seed & M32, seed >> 32 & M32)
    pairs = [threefry(key, (number, player * 65536 + j)) for j in range((count + 1) // 2)]
    return [d for pair in pairs for d in pair][:count]


def xxh32(data: bytes, seed: int = 0) -> int:
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393

    def rot(x, r):
        return (x << r | x >> 32 - r) & M32

    at, n = 0, len(data)
    if n >= 16:
        v = [(seed + p1 + p2) & M32, (seed + p2) & M32, seed, (seed - p1) & M32]
        while at + 16 <= n:
            for lane, word in enumerate(struct.unpack_from("<4I", data, at)):
                v[lane] = rot((v[lane] + word * p2) & M32, 13) * p1 & M32
            at += 16
        h = sum(rot(x, r) for x, r in zip(v, (1, 7, 12, 18), strict=True)) & M32
    else:
        h = (seed + p5) & M32
    h = (h + n) & M32
    while at + 4 <= n:
        h = rot((h + struct.unpack_from("<I", data, at)[0] * p3) & M32, 17) * p4 & M32
        at += 4
    for byte in data[at:]:
        h = rot((h + byte * p5) & M32, 11) * p1 & M32
    h = (h ^ h >> 15) * p2 & M32
    h = (h ^ h >> 13) * p3 & M32
    return h ^ h >> 16
