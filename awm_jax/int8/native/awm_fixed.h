/* The operations of awm_jax/int8/fixed.py; docs/integer-spec.md, section 2. */
#ifndef AWM_FIXED_H
#define AWM_FIXED_H

static inline num at_most(num a, num b) { return a < b ? a : b; }
static inline num at_least(num a, num b) { return a > b ? a : b; }
static inline num between(num x, num low, num high) { return at_least(at_most(x, high), low); }
static inline num clamp(num x, num most) { return between(x, -most, most); }
#ifndef AWM_HAS_CLAMP16
static inline num clamp16(num x) { return between(x, -32768, 32767); }
#endif

static inline num rsh(num x, num s) {
  if (sizeof(num) > 4) return (x + ((num)1 << s >> 1)) >> s;
  num some = s > 0;
  return ((x >> (s - some)) + some) >> some;
}

static inline num requant(num acc, num a, num m) { return rsh(clamp16(rsh(acc, a)) * m, 15); }

/* A sum and its bias, requantised. */
#ifndef AWM_HAS_REQUANT_SUM
static inline num requant_sum(num acc, num bias, num a, num m) { return requant(acc + bias, a, m); }
#endif

static inline num mulshift(num x, num m, num s) {
  return rsh((x >> 16) * m + (num)(((uint32_t)(x & 0xFFFF) * (uint32_t)m) >> 16), s - 16);
}

/* x 2^s, s >= 0, for any sign of x. */
static inline num shifted(num x, num s) { return (num)((unum)x << s); }

static inline num lookup(const num *table, num x) {
  const num *at = table + ((x + 32768) >> 7);
  return at[0] + rsh((at[1] - at[0]) * (x & 127), 7);
}

static inline num silu(const num *sigmoid, num x) { return rsh(x * lookup(sigmoid, x), 15); }

static inline num bit_length(num x) {
  num n = 0;
  for (num step = 16; step; step >>= 1)
    if (x >> step) {
      n += step;
      x >>= step;
    }
  return n + (x > 0);
}

static inline num exp2_neg(const num *table, num t) {
  t = at_most(t, (16 << 15) - 1);
  num fraction = t & 32767;
  const num *at = table + (fraction >> 7);
  num mantissa = at[0] - rsh((at[0] - at[1]) * (fraction & 127), 7);
  return between(rsh(mantissa, t >> 15), 1, 32767);
}

/* x (n) 16-bit -> codes (n), the padding after them zero. */
static void norm(const num *restrict x, int n, const num *eps, const num *restrict w, num shift,
                 const num *rsqrt, num most, code *restrict codes) {
  num high = 0, low = 0;
  for (int i = 0; i < n; i++) {
    num square = x[i] * x[i];
    low += square & 4095;
    high += square >> 12;
  }
  high += low >> 12;
  low = (low & 4095) + eps[1];
  high += eps[0] + (low >> 12);
  low &= 4095;
  num bits = high > 0 ? 12 + bit_length(high) : bit_length(low);
  num e = (bits - 15) >> 1;
  num from_high = 2 * e >= 12 ? high >> (2 * e - 12) : high << (12 - 2 * e);
  num from_low = e >= 0 ? (2 * e < 32 ? low >> (2 * e) : 0) : low << (-2 * e);
  num mantissa = from_high | from_low;
  const num *at = rsqrt + (mantissa >> 8) - 64;
  num r = at[0] - rsh((at[0] - at[1]) * (mantissa & 255), 8);
  for (int i = 0; i < n; i++) {
    num unit = clamp16(rsh(x[i] * r, 7 + e));
    codes[i] = (code)clamp(rsh(unit * w[i], shift), most);
  }
  memset(codes + n, 0, sizeof(code) * (size_t)(awm_padded(n) - n));
}

#endif
