/* The operations of awm_jax/int8/fixed.py; docs/integer-spec.md, section 2. */
#ifndef AWM_FIXED_H
#define AWM_FIXED_H

static inline i32 at_most(i32 a, i32 b) { return a < b ? a : b; }
static inline i32 at_least(i32 a, i32 b) { return a > b ? a : b; }
static inline i32 between(i32 x, i32 low, i32 high) { return at_least(at_most(x, high), low); }
static inline i32 clamp(i32 x, i32 most) { return between(x, -most, most); }
static inline i32 clamp16(i32 x) { return between(x, -32768, 32767); }

static inline i32 rsh(i32 x, i32 s) {
  i32 some = s > 0;
  return ((x >> (s - some)) + some) >> some;
}

static inline i32 requant(i32 acc, i32 a, i32 m) { return rsh(clamp16(rsh(acc, a)) * m, 15); }

static inline i32 mulshift(i32 x, i32 m, i32 s) {
  return rsh((x >> 16) * m + (i32)(((uint32_t)(x & 0xFFFF) * (uint32_t)m) >> 16), s - 16);
}

static inline i32 lookup(const i32 *table, i32 x) {
  const i32 *at = table + ((x + 32768) >> 7);
  return at[0] + rsh((at[1] - at[0]) * (x & 127), 7);
}

static inline i32 silu(const i32 *sigmoid, i32 x) { return rsh(x * lookup(sigmoid, x), 15); }

static inline i32 bit_length(i32 x) {
  i32 n = 0;
  for (i32 step = 16; step; step >>= 1)
    if (x >> step) {
      n += step;
      x >>= step;
    }
  return n + (x > 0);
}

static inline i32 exp2_neg(const i32 *table, i32 t) {
  t = at_most(t, (16 << 15) - 1);
  i32 fraction = t & 32767;
  const i32 *at = table + (fraction >> 7);
  i32 mantissa = at[0] - rsh((at[0] - at[1]) * (fraction & 127), 7);
  return between(rsh(mantissa, t >> 15), 1, 32767);
}

/* x (n) 16-bit -> codes (n), the padding after them zero. */
static void norm(const i32 *restrict x, int n, const i32 *eps, const i32 *restrict w, i32 shift,
                 const i32 *rsqrt, i32 most, i16 *restrict codes) {
  i32 high = 0, low = 0;
  for (int i = 0; i < n; i++) {
    i32 square = x[i] * x[i];
    low += square & 4095;
    high += square >> 12;
  }
  high += low >> 12;
  low = (low & 4095) + eps[1];
  high += eps[0] + (low >> 12);
  low &= 4095;
  i32 bits = high > 0 ? 12 + bit_length(high) : bit_length(low);
  i32 e = (bits - 15) >> 1;
  i32 from_high = 2 * e >= 12 ? high >> (2 * e - 12) : high << (12 - 2 * e);
  i32 from_low = e >= 0 ? (2 * e < 32 ? low >> (2 * e) : 0) : low << (-2 * e);
  i32 mantissa = from_high | from_low;
  const i32 *at = rsqrt + (mantissa >> 8) - 64;
  i32 r = at[0] - rsh((at[0] - at[1]) * (mantissa & 255), 8);
  for (int i = 0; i < n; i++) {
    i32 unit = clamp16(rsh(x[i] * r, 7 + e));
    codes[i] = (i16)clamp(rsh(unit * w[i], shift), most);
  }
  memset(codes + n, 0, sizeof(i16) * (size_t)(awm_padded(n) - n));
}

#endif
