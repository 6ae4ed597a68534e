/* What is done to each element of a row, in the machine's own 64 bits: norm, requantisation,
 * convolution. The rest is the kernel's own source, unrolled. */

#define TIMES_8(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7)

/* v within low and high, which are constants: as assembly, for the compiler would load both. */
#define LIMIT(v, low, high)                        \
  __asm__("if %0 s< " #high " goto +1\n"           \
          "%0 = " #high "\n"                       \
          "if %0 s> " #low " goto +1\n"            \
          "%0 = " #low "\n"                        \
          : "+r"(v))
#define AWM_HAS_CLAMP16
INLINE i64 clamp16(i64 v) {
  LIMIT(v, -32768, 32767);
  return v;
}

/* The biases of this image hold the rounding of their shifts. */
#define AWM_HAS_REQUANT_SUM
INLINE i64 requant_sum(i64 acc, i64 bias, i64 a, i64 m) {
  return (clamp16((acc + bias) >> a) * m + (1 << 14)) >> 15;
}

NOINLINE void requant_rows(i64 *acc, const i64 *bias, const i64 *a, const i64 *m, i32 n) {
#define ONE(i) acc[i] = requant_sum(acc[i], bias[i], a[i], m[i]);
  for (i64 *end = acc + (n & ~7); acc < end; acc += 8, bias += 8, a += 8, m += 8) { TIMES_8(ONE) }
  for (i64 *end = acc + (n & 7); acc < end; acc++, bias++, a++, m++) { ONE(0) }
#undef ONE
}

struct norm_call {
  const i64 *x, *end, *w;
  i64 *codes, half, shift;
};

NOINLINE u64 sum_of_squares(const i64 *x, const i64 *end) {
  u64 sum = 0;
#define ONE(i) sum += (u64)(x[i] * x[i]);
  for (; x + 8 <= end; x += 8) { TIMES_8(ONE) }
  for (; x < end; x++) { ONE(0) }
#undef ONE
  return sum;
}

#define SCALED(i, most)                                                           \
  {                                                                               \
    i64 v = (clamp16((x[i] * r + half) >> down) * w[i] + c->half) >> c->shift;  \
    LIMIT(v, -most, most);                                                        \
    codes[i] = v;                                                                 \
  }
#define SCALE(name, one)                                                          \
  NOINLINE void name(const struct norm_call *c, i64 r, u64 down) {                \
    const i64 *x = c->x, *w = c->w, half = (i64)(1ul << down >> 1);               \
    i64 *codes = c->codes;                                                        \
    for (; x + 8 <= c->end; x += 8, w += 8, codes += 8) { TIMES_8(one) }          \
    for (; x < c->end; x++, w++, codes++) { one(0) }                              \
  }
#define NARROW(i) SCALED(i, 127)
#define WIDE(i) SCALED(i, 16319)
_Static_assert(AWM_WIDE_MAX == 16319, "the limit of a wide code");
SCALE(narrow_codes, NARROW)
SCALE(wide_codes, WIDE)

INLINE void norm(const i64 *x, int n, const i64 *eps, const i64 *w, i64 shift, const i64 *rsqrt,
                 i64 most, i64 *codes) {
  struct norm_call c = {x, x + n, w, codes, (i64)(1ul << shift >> 1), shift};
  u64 sum = sum_of_squares(x, x + n) + ((u64)eps[0] << 12) + (u64)eps[1];
  i64 e = 0, mantissa = (i64)sum;
  for (; mantissa >= 1 << 16; e++) mantissa >>= 2;
  for (; mantissa < 1 << 14; e--) mantissa <<= 2;
  const i64 *at = rsqrt + (mantissa >> 8) - 64;
  i64 r = at[0] - (((at[0] - at[1]) * (mantissa & 255) + 128) >> 8);
  if (most == 127)
    narrow_codes(&c, r, (u64)(7 + e));
  else
    wide_codes(&c, r, (u64)(7 + e));
  memset(codes + n, 0, 8 * ((u64)awm_padded(n) - (u64)n));
}

/* The parameters of a channel follow one another: four taps, bias, shift, multiplier. */
#define CHANNEL_WORDS (AWM_CONV_WIDTH + 3)
struct conv_call {
  const i16 *past;
  const i64 *in, *k;
  i64 *out;
  u64 n;
};

NOINLINE void conv_channels(const struct conv_call *c) {
  const i16 *q0 = c->past, *q1 = q0 + c->n, *q2 = q1 + c->n;
  const i64 *in = c->in, *k = c->k;
  i64 *out = c->out;
#define ONE(i)                                                                                  \
  out[i] = requant_sum(q0[i] * k[CHANNEL_WORDS * i] + q1[i] * k[CHANNEL_WORDS * i + 1] +        \
                           q2[i] * k[CHANNEL_WORDS * i + 2] + in[i] * k[CHANNEL_WORDS * i + 3], \
                       k[CHANNEL_WORDS * i + 4], k[CHANNEL_WORDS * i + 5],                      \
                       k[CHANNEL_WORDS * i + 6]);
  i64 *end = out + c->n;
  for (; out + 8 <= end; q0 += 8, q1 += 8, q2 += 8, in += 8, k += 8 * CHANNEL_WORDS, out += 8) {
    TIMES_8(ONE)
  }
  for (; out < end; q0++, q1++, q2++, in++, k += CHANNEL_WORDS, out++) { ONE(0) }
#undef ONE
}

#define AWM_HAS_CONVOLVE
INLINE void convolve(const awm_machine *m, int layer, const i64 *in, const i16 *conv, i64 *out) {
  struct conv_call c = {conv, in, awm_layer(m, layer, AWM_L_CONV_W), out, (u64)awm_channels(m)};
  conv_channels(&c);
}

#define AWM_HAS_FIRST_LARGEST
NOINLINE i32 first_largest(const i64 *x, i32 n) {
  const i64 *at = x, *end = x + n;
  i64 most = *x;
#define ONE(i) __asm__("if %0 s> %1 goto +1\n%0 = %1" : "+r"(most) : "r"(at[i]));
  for (; at + 8 <= end; at += 8) { TIMES_8(ONE) }
  for (; at < end; at++) { ONE(0) }
#undef ONE
  for (at = x; *at != most; at++) {}
  return (i32)(at - x);
}
