/* The world step. Alone this file is the plain path; awm_x86.h and awm_neon.c include it again with
 * AWM_PATH and their own `product` and `scan`, and let the compiler use their instructions for the
 * rest. The order and the names are those of awm_jax/int8/{fixed,frame,mamba2,world}.py. */
#include <string.h>

#include "awm.h"

#ifndef AWM_PATH
#define AWM_PATH plain
#endif
#define AWM_JOIN_(a, b) a##_##b
#define AWM_JOIN(a, b) AWM_JOIN_(a, b)
#define AWM_TEXT_(a) #a
#define AWM_TEXT(a) AWM_TEXT_(a)

typedef int32_t i32;
typedef int16_t i16;
typedef int8_t i8;

/* ---- fixed.py ---- */

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

/* ---- products and scan: what a path replaces ---- */

#ifndef AWM_HAS_PRODUCT
/* out (n, rows) = x (n, cols) w^T, both padded to AWM_ALIGN columns. */
static void product(const i8 *restrict w, int rows, int cols, const i16 *restrict x, int x_stride,
                    int n, i32 *restrict out, int out_stride) {
  cols = awm_padded(cols);
  for (int r = 0; r < rows; r++)
    for (int k = 0; k < n; k++) {
      const i8 *a = w + (size_t)r * cols;
      const i16 *b = x + (size_t)k * x_stride;
      i32 sum = 0;
      for (int c = 0; c < cols; c++) sum += a[c] * b[c];
      out[(size_t)k * out_stride + r] = sum;
    }
}
#endif

static void scan_rows(i16 *h_out, const i16 *h, const i32 *u, const i32 *restrict b,
                      const i32 *restrict c, i32 decay, int headdim, int d_state,
                      i32 *restrict acc) {
  for (int p = 0; p < headdim; p++) {
    i32 sum = 0;
    for (int n = 0; n < d_state; n++) {
      i32 new = (h[n] * decay + u[p] * b[n] + (1 << 14)) >> 15;
      h_out[n] = (i16)new;
      sum += new * c[n];
    }
    acc[p] = sum;
    h += d_state;
    h_out += d_state;
  }
}

#ifndef AWM_HAS_SCAN
/* One head: h' = (h decay + u b) / 2^15 (headdim, d_state), acc (headdim) = h' c. */
static void scan(i16 *h_out, const i16 *h, const i32 *u, const i32 *b, const i32 *c, i32 decay,
                 int headdim, int d_state, i32 *acc) {
  scan_rows(h_out, h, u, b, c, decay, headdim, d_state, acc);
}
#endif

/* ---- frame.py ---- */

static i32 stick(const i32 *pad, int i) {
  return clamp(pad[i], AWM_STICK_MAX) + AWM_STICK_MAX;
}
static i32 trigger(const i32 *pad) { return between(at_least(pad[4], pad[5]), 0, 255); }

static i32 pressed(const i32 *pad, int button) {
  static const i8 places[AWM_BUTTONS][2] = AWM_BUTTON_BITS;
  return (pad[places[button][0]] >> places[button][1]) & 1;
}

static i16 *analog_codes(const awm_machine *m, const i32 *pad, i16 *codes) {
  for (int i = 0; i < AWM_ANALOG - 1; i++)
    *codes++ = (i16)rsh(stick(pad, i) * awm_dim(m, AWM_D_STICK_M), awm_dim(m, AWM_D_STICK_S));
  *codes++ = (i16)rsh(trigger(pad) * awm_dim(m, AWM_D_TRIGGER_M), awm_dim(m, AWM_D_TRIGGER_S));
  return codes;
}

/* JAX's indexing: negative from the end, outside the nearest. */
static i32 index_of(i32 i, i32 n) { return between(i < 0 ? i + n : i, 0, n - 1); }

static i16 *geometry_codes(const awm_machine *m, const i32 *cont, i32 stage, int player,
                           i16 *codes) {
  int c = awm_dim(m, AWM_D_CONT);
  const i32 *own = cont + player * c, *rival = cont + (1 - player) * c;
  const i32 *fm = awm_tensor(m, AWM_T_FEATURE_M), *fs = awm_tensor(m, AWM_T_FEATURE_S);
  const i32 *levels = awm_tensor(m, AWM_T_LEVELS);
  levels += index_of(stage, awm_dim(m, AWM_D_VOCAB_8)) * (AWM_LEVELS + 1);
  int at_x = awm_dim(m, AWM_D_AT_X), at_y = awm_dim(m, AWM_D_AT_Y);
  i32 x = own[at_x], y = own[at_y];
  i32 rise = own[awm_dim(m, AWM_D_AT_SPEED_Y)] + own[awm_dim(m, AWM_D_AT_SPEED_ATTACK_Y)];
  i32 features[AWM_GEOMETRY_PER_PLAYER];
  for (int i = 0; i < AWM_LEVELS; i++) {
    features[i] = clamp(y - levels[i], AWM_HEIGHT);
    features[AWM_LEVELS + i] = clamp(y + rise - levels[i], AWM_HEIGHT);
  }
  features[2 * AWM_LEVELS] = clamp((x < 0 ? -x : x) - levels[AWM_LEVELS], AWM_EDGE);
  features[2 * AWM_LEVELS + 1] = clamp(rival[at_x] - x, AWM_RIVAL);
  features[2 * AWM_LEVELS + 2] = clamp(rival[at_y] - y, AWM_RIVAL);
  for (int i = 0; i < AWM_GEOMETRY_PER_PLAYER; i++)
    *codes++ = (i16)mulshift(features[i], fm[i], fs[i]);
  return codes;
}

static void pad_codes(i16 *end, const i16 *start, int n) {
  memset(end, 0, sizeof(i16) * (size_t)(awm_padded(n) - (end - start)));
}

/* Frame k of a match under `pads` (2, 8) as wide and narrow codes. */
static void frame_codes(const awm_machine *m, const awm_match *match, int k, const i32 *pads,
                        i16 *wide, i16 *narrow) {
  int c = awm_dim(m, AWM_D_CONT), nb = awm_dim(m, AWM_D_BINARY), ni = awm_dim(m, AWM_D_INTS);
  const i32 *cont = match->cont + k * 2 * c, *binary = match->binary + k * 2 * nb;
  const i32 *ints = match->ints + k * 2 * ni;
  const i32 *cm = awm_tensor(m, AWM_T_COLUMN_M), *cs = awm_tensor(m, AWM_T_COLUMN_S);
  i32 stage = match->stage[k], one = awm_dim(m, AWM_D_ONE);
  i16 *w = wide, *v = narrow;
  for (int p = 0; p < 2; p++) {
    for (int i = 0; i < c; i++)
      *w++ = (i16)clamp(mulshift(cont[p * c + i], cm[i], cs[i]), AWM_WIDE_MAX);
    w = analog_codes(m, pads + p * AWM_PAD_FIELDS, w);
  }
  if (awm_dim(m, AWM_D_GEOMETRY))
    for (int p = 0; p < 2; p++) w = geometry_codes(m, cont, stage, p, w);
  pad_codes(w, wide, awm_dim(m, AWM_D_N_WIDE));

  for (int p = 0; p < 2; p++) {
    for (int i = 0; i < nb; i++) *v++ = (i16)(binary[p * nb + i] * one);
    for (int i = 0; i < AWM_BUTTONS; i++)
      *v++ = (i16)(pressed(pads + p * AWM_PAD_FIELDS, i) * one);
  }
  for (int p = 0; p < 2; p++) {
    const i8 *table = awm_tensor(m, AWM_T_EMBEDDINGS);
    for (int i = 0; i < ni; i++) {
      i32 vocab = awm_dim(m, AWM_D_VOCAB_0 + i), width = awm_dim(m, AWM_D_WIDTH_0 + i);
      const i8 *row = table + index_of(ints[p * ni + i], vocab) * width;
      for (int j = 0; j < width; j++) *v++ = row[j];
      table += vocab * width;
    }
    if (p == 1) {
      i32 width = awm_dim(m, AWM_D_WIDTH_8);
      const i8 *row = table + index_of(stage, awm_dim(m, AWM_D_VOCAB_8)) * width;
      for (int j = 0; j < width; j++) *v++ = row[j];
    }
  }
  pad_codes(v, narrow, awm_dim(m, AWM_D_N_NARROW));
}

static void control_codes(const awm_machine *m, const i32 *pads, const i32 *before, i16 *wide,
                          i16 *narrow) {
  i32 one = awm_dim(m, AWM_D_ONE);
  i16 *w = wide, *v = narrow;
  for (int p = 0; p < 2; p++) w = analog_codes(m, pads + p * AWM_PAD_FIELDS, w);
  pad_codes(w, wide, awm_dim(m, AWM_D_CTRL_WIDE));
  for (int p = 0; p < 2; p++)
    for (int i = 0; i < AWM_BUTTONS; i++)
      *v++ = (i16)(pressed(pads + p * AWM_PAD_FIELDS, i) * one);
  if (awm_dim(m, AWM_D_PRESS_EVENTS))
    for (int p = 0; p < 2; p++)
      for (int i = 0; i < AWM_BUTTONS; i++) {
        int at = p * AWM_PAD_FIELDS;
        *v++ = (i16)((pressed(pads + at, i) & (1 - pressed(before + at, i))) * one);
      }
  if (awm_dim(m, AWM_D_THRESHOLDS))
    for (int p = 0; p < 2; p++) {
      const i32 *pad = pads + p * AWM_PAD_FIELDS;
      for (int i = 0; i < AWM_ANALOG - 1; i++)
        *v++ = (i16)((clamp(pad[i], AWM_STICK_MAX) > AWM_STICK_THRESHOLD) * one);
      *v++ = (i16)((trigger(pad) > AWM_TRIGGER_THRESHOLD) * one);
    }
  pad_codes(v, narrow, awm_dim(m, AWM_D_CTRL_NARROW));
}

/* ---- mamba2.py ---- */

/* What the rows of one call share; every row is awm_padded(...) elements. */
typedef struct {
  int rows, x_stride, code_stride, acc_stride;
  i32 *x;          /* (rows, d_model) the residual, later the hidden vector */
  i16 *wide;       /* (rows, ...) codes that enter a product */
  i16 *narrow;     /* (rows, ...) */
  i32 *acc, *acc2; /* (rows, ...) accumulators, requantised in place */
  i32 *channels;   /* (channels) the convolution's output of one row */
  i32 *drive;      /* (d_inner) */
  i32 *y;          /* (d_inner) */
  i32 *b, *c;      /* (d_state) */
  i16 *ssm, *conv; /* one layer's state, where a window is absorbed from zero */
} work;

static int wider(int a, int b) { return a > b ? a : b; }

static int code_width(const awm_machine *m) {
  int n = wider(awm_d_inner(m), awm_dim(m, AWM_D_HEAD_HIDDEN));
  n = wider(n, wider(awm_dim(m, AWM_D_N_WIDE), awm_dim(m, AWM_D_N_NARROW)));
  return awm_padded(wider(n, wider(awm_dim(m, AWM_D_CTRL_WIDE), awm_dim(m, AWM_D_CTRL_NARROW))));
}

static int acc_width(const awm_machine *m) {
  int n = wider(awm_in_rows(m), awm_dim(m, AWM_D_LOGITS));
  n = wider(n, 2 * awm_dim(m, AWM_D_BINARY) + awm_dim(m, AWM_D_NUMERIC));
  return awm_padded(wider(n, awm_dim(m, AWM_D_HEAD_HIDDEN)));
}

static size_t layer_ssm(const awm_machine *m) {
  return (size_t)awm_d_inner(m) * awm_dim(m, AWM_D_D_STATE);
}

static size_t layer_conv(const awm_machine *m) {
  return (size_t)(AWM_CONV_WIDTH - 1) * awm_channels(m);
}

static void *take(uint8_t *scratch, size_t *at, size_t bytes) {
  size_t here = *at;
  *at += (bytes + AWM_ALIGN - 1) / AWM_ALIGN * AWM_ALIGN;
  return scratch ? scratch + here : 0;
}

/* Lays the work out from `scratch` (NULL: only counts); returns the bytes. */
static size_t arrange(const awm_machine *m, uint8_t *scratch, work *w) {
  size_t at = 0;
  size_t rows = (size_t)awm_rows(m), e = (size_t)awm_d_inner(m);
  w->x_stride = awm_padded(wider(awm_dim(m, AWM_D_D_MODEL), awm_dim(m, AWM_D_HEAD_HIDDEN)));
  w->code_stride = code_width(m);
  w->acc_stride = acc_width(m);
  w->x = take(scratch, &at, rows * w->x_stride * sizeof(i32));
  w->wide = take(scratch, &at, rows * w->code_stride * sizeof(i16));
  w->narrow = take(scratch, &at, rows * w->code_stride * sizeof(i16));
  w->acc = take(scratch, &at, rows * w->acc_stride * sizeof(i32));
  w->acc2 = take(scratch, &at, rows * w->acc_stride * sizeof(i32));
  w->channels = take(scratch, &at, (size_t)awm_channels(m) * sizeof(i32));
  w->drive = take(scratch, &at, e * sizeof(i32));
  w->y = take(scratch, &at, e * sizeof(i32));
  w->b = take(scratch, &at, (size_t)awm_dim(m, AWM_D_D_STATE) * sizeof(i32));
  w->c = take(scratch, &at, (size_t)awm_dim(m, AWM_D_D_STATE) * sizeof(i32));
  w->ssm = take(scratch, &at, layer_ssm(m) * sizeof(i16));
  w->conv = take(scratch, &at, layer_conv(m) * sizeof(i16));
  return at;
}

static void requant_rows(i32 *restrict acc, const i32 *restrict bias, const i32 *restrict a,
                         const i32 *restrict m, int n) {
  for (int i = 0; i < n; i++) acc[i] = requant(acc[i] + bias[i], a[i], m[i]);
}

/* w->acc (rows, n) 16-bit from the wide and narrow codes of every row. */
static void mixed(const awm_machine *m, work *w, int first, int n, int wide, int narrow, i32 k) {
  const i32 *bias = awm_tensor(m, first + 2);
  const i32 *a = awm_tensor(m, first + 3), *mul = awm_tensor(m, first + 4);
  product(awm_tensor(m, first), n, wide, w->wide, w->code_stride, w->rows, w->acc, w->acc_stride);
  product(awm_tensor(m, first + 1), n, narrow, w->narrow, w->code_stride, w->rows, w->acc2,
          w->acc_stride);
  for (int r = 0; r < w->rows; r++) {
    i32 *restrict acc = w->acc + (size_t)r * w->acc_stride;
    const i32 *restrict more = w->acc2 + (size_t)r * w->acc_stride;
    for (int i = 0; i < n; i++) acc[i] += (i32)((uint32_t)more[i] << k);
    requant_rows(acc, bias, a, mul, n);
  }
}

/* One layer's scan of one row: w->channels (x, B, C) and dt (heads) -> w->y (d_inner). */
static void scan_step(const awm_machine *m, int layer, const work *w, const i32 *dt_in,
                      const i16 *h, i16 *h_out) {
  int heads = awm_heads(m), width = awm_dim(m, AWM_D_HEADDIM), n = awm_dim(m, AWM_D_D_STATE);
  const i32 *s = awm_layer(m, layer, AWM_L_SCALARS);
  const i32 *softplus = awm_tensor(m, AWM_T_SOFTPLUS), *exp2 = awm_tensor(m, AWM_T_EXP2);
  const i32 *decay_m = awm_layer(m, layer, AWM_L_DECAY_M);
  const i32 *decay_s = awm_layer(m, layer, AWM_L_DECAY_S);
  const i32 *drive_m = awm_layer(m, layer, AWM_L_DRIVE_M);
  const i32 *drive_s = awm_layer(m, layer, AWM_L_DRIVE_S);
  const i32 *b_m = awm_layer(m, layer, AWM_L_B_M), *c_m = awm_layer(m, layer, AWM_L_C_M);
  const i32 *y_a = awm_layer(m, layer, AWM_L_Y_A), *y_m = awm_layer(m, layer, AWM_L_Y_M);
  const i32 *skip_m = awm_layer(m, layer, AWM_L_SKIP_M);
  const i32 *bc = w->channels + awm_d_inner(m);
  i32 c_max = (i32)(2147483647 / ((int64_t)n * 32767));
  for (int i = 0; i < n; i++) {
    w->b[i] = clamp(rsh(bc[i] * b_m[i], s[AWM_S_B_S]), AWM_B_MAX);
    w->c[i] = clamp(rsh(bc[n + i] * c_m[i], s[AWM_S_C_S]), c_max);
  }
  for (int head = 0; head < heads; head++) {
    const i32 *restrict x = w->channels + head * width;
    i32 *restrict u = w->drive + head * width;
    i32 *restrict y = w->y + head * width;
    i32 dt = lookup(softplus, dt_in[head]);
    i32 decay = exp2_neg(exp2, mulshift(dt, decay_m[head], decay_s[head]));
    i32 bits = bit_length(dt);
    i32 mantissa = bits > 15 ? dt >> (bits - 15) : dt << (15 - bits);
    i32 drive = rsh(mantissa * drive_m[head], 15);
    i32 shift = between(drive_s[head] - (bits - 15), 1, 31);
    i32 room = at_most((32768 - decay) * AWM_DRIVE_ROOM, 32767);
    for (int p = 0; p < width; p++) u[p] = clamp(rsh(x[p] * drive, shift), room);
    size_t at = (size_t)head * width * n;
    scan(h_out + at, h + at, u, w->b, w->c, decay, width, n, y);
    i32 a = y_a[head], mul = y_m[head], skip = skip_m[head], skip_s = s[AWM_S_SKIP_S];
    for (int p = 0; p < width; p++)
      y[p] = clamp16(requant(y[p], a, mul) + rsh(x[p] * skip, skip_s));
  }
}

/* conv (3, channels) and the new input `in` -> w->channels after silu, and conv_out. */
static void conv_step(const awm_machine *m, int layer, const work *w, const i32 *restrict in,
                      const i16 *conv, i16 *conv_out) {
  int n = awm_channels(m);
  const i32 *restrict k = awm_layer(m, layer, AWM_L_CONV_W);
  const i32 *restrict bias = awm_layer(m, layer, AWM_L_CONV_BIAS);
  const i32 *restrict a = awm_layer(m, layer, AWM_L_CONV_A);
  const i32 *restrict mul = awm_layer(m, layer, AWM_L_CONV_M);
  const i32 *sigmoid = awm_tensor(m, AWM_T_SIGMOID);
  i32 *restrict out = w->channels;
  for (int i = 0; i < n; i++) {
    i32 acc = conv[i] * k[i] + conv[n + i] * k[n + i] + conv[2 * n + i] * k[2 * n + i] +
              in[i] * k[3 * n + i];
    out[i] = requant(acc + bias[i], a[i], mul[i]);
  }
  memmove(conv_out, conv + n, sizeof(i16) * 2 * (size_t)n);
  for (int i = 0; i < n; i++) conv_out[2 * n + i] = (i16)in[i];
  for (int i = 0; i < n; i++) out[i] = silu(sigmoid, out[i]);
}

/* Where row r of a layer finds its state and leaves it. */
typedef struct {
  const i16 *ssm, *conv;
  i16 *ssm_out, *conv_out;
} place;

/* matches: one per row (a step), or one whose rows are a window's frames in order from zero; then
 * `keep` says that the state after the last row is wanted in ssm_out, conv_out. */
static place find(const awm_machine *m, const awm_match *matches, const work *w, int window,
                  int keep, int layer, int r) {
  const awm_match *match = window ? matches : matches + r;
  size_t ssm = layer * layer_ssm(m), conv = layer * layer_conv(m);
  place p;
  if (!window) {
    p.ssm = match->ssm + ssm;
    p.conv = match->conv + conv;
  }
  p.ssm_out = window && !keep ? w->ssm : match->ssm_out + ssm;
  p.conv_out = window && !keep ? w->conv : match->conv_out + conv;
  if (window) {
    if (r == 0) {
      memset(p.ssm_out, 0, layer_ssm(m) * sizeof(i16));
      memset(p.conv_out, 0, layer_conv(m) * sizeof(i16));
    }
    p.ssm = p.ssm_out;
    p.conv = p.conv_out;
  }
  return p;
}

static void layer_step(const awm_machine *m, int layer, work *w, const awm_match *matches,
                       int window, int keep) {
  int d = awm_dim(m, AWM_D_D_MODEL), e = awm_d_inner(m), in_rows = awm_in_rows(m);
  i32 most = awm_dim(m, AWM_D_PLANES) == 1 ? 127 : AWM_WIDE_MAX;
  const i32 *s = awm_layer(m, layer, AWM_L_SCALARS);
  const i32 *rsqrt = awm_tensor(m, AWM_T_RSQRT), *sigmoid = awm_tensor(m, AWM_T_SIGMOID);
  for (int r = 0; r < w->rows; r++)
    norm(w->x + (size_t)r * w->x_stride, d, awm_layer(m, layer, AWM_L_NORM_EPS),
         awm_layer(m, layer, AWM_L_NORM_W), s[AWM_S_NORM_SHIFT], rsqrt, most,
         w->wide + (size_t)r * w->code_stride);
  product(awm_layer(m, layer, AWM_L_IN_W), in_rows, d, w->wide, w->code_stride, w->rows, w->acc,
          w->acc_stride);
  for (int r = 0; r < w->rows; r++) {
    i32 *row = w->acc + (size_t)r * w->acc_stride;
    requant_rows(row, awm_layer(m, layer, AWM_L_IN_BIAS), awm_layer(m, layer, AWM_L_IN_A),
                 awm_layer(m, layer, AWM_L_IN_M), in_rows);
    place at = find(m, matches, w, window, keep, layer, r);
    conv_step(m, layer, w, row + e, at.conv, at.conv_out);
    scan_step(m, layer, w, row + e + awm_channels(m), at.ssm, at.ssm_out);
    i32 *restrict y = w->y;
    for (int i = 0; i < e; i++) y[i] = clamp16(rsh(y[i] * silu(sigmoid, row[i]), s[AWM_S_GATE_S]));
    norm(y, e, awm_layer(m, layer, AWM_L_GATED_EPS), awm_layer(m, layer, AWM_L_GATED_W),
         s[AWM_S_GATED_SHIFT], rsqrt, most, w->wide + (size_t)r * w->code_stride);
  }
  product(awm_layer(m, layer, AWM_L_OUT_W), d, e, w->wide, w->code_stride, w->rows, w->acc,
          w->acc_stride);
  for (int r = 0; r < w->rows; r++) {
    i32 *restrict acc = w->acc + (size_t)r * w->acc_stride;
    i32 *restrict x = w->x + (size_t)r * w->x_stride;
    requant_rows(acc, awm_layer(m, layer, AWM_L_OUT_BIAS), awm_layer(m, layer, AWM_L_OUT_A),
                 awm_layer(m, layer, AWM_L_OUT_M), d);
    for (int i = 0; i < d; i++) x[i] = clamp16(x[i] + acc[i]);
  }
}

/* The codes in w->wide and w->narrow through the trunk; w->x is the residual after it. */
static void trunk(const awm_machine *m, work *w, const awm_match *matches, int window, int keep) {
  int d = awm_dim(m, AWM_D_D_MODEL);
  mixed(m, w, AWM_T_FRAME_WIDE, d, awm_dim(m, AWM_D_N_WIDE), awm_dim(m, AWM_D_N_NARROW),
        awm_dim(m, AWM_D_FRAME_K));
  for (int r = 0; r < w->rows; r++)
    memcpy(w->x + (size_t)r * w->x_stride, w->acc + (size_t)r * w->acc_stride,
           sizeof(i32) * (size_t)d);
  for (int layer = 0; layer < awm_dim(m, AWM_D_N_LAYERS); layer++)
    layer_step(m, layer, w, matches, window, keep);
}

/* ---- world.py ---- */

static const i32 *newest(const i32 *window, const awm_machine *m, int width) {
  return window + (size_t)(awm_dim(m, AWM_D_CONTEXT_LEN) - 1) * width;
}

/* The codes of frame k in row r; `next` (2, 8) are the controllers of the frame after it. */
static void absorb(const awm_machine *m, const work *w, int r, const awm_match *match, int k,
                   const i32 *next) {
  const i32 *own = match->window + k * 2 * AWM_PAD_FIELDS;
  frame_codes(m, match, k, awm_dim(m, AWM_D_CONTROL_FIRST) ? next : own,
              w->wide + (size_t)r * w->code_stride, w->narrow + (size_t)r * w->code_stride);
}

/* The window's frames `first`.. in rows 0.., as many as w->rows. */
static void absorb_window(const awm_machine *m, const work *w, const awm_match *match) {
  int k = awm_dim(m, AWM_D_CONTEXT_LEN);
  for (int r = 0; r < w->rows; r++)
    absorb(m, w, r, match, r,
           r + 1 < k ? match->window + (r + 1) * 2 * AWM_PAD_FIELDS : match->pads);
}

static void shift(i32 *out, const i32 *in, int k, int width) {
  memmove(out, in + width, sizeof(i32) * (size_t)(k - 1) * (size_t)width);
}

/* The categories of the new frame: the largest logit of each head, the first of equals. */
static void choose(const awm_machine *m, const i32 *logits, i32 *ints) {
  for (int i = 0; i < AWM_CATEGORICAL; i++) {
    int column = awm_dim(m, AWM_D_AT_ACTION + i);
    int vocab = awm_dim(m, AWM_D_VOCAB_0 + column);
    for (int p = 0; p < 2; p++) {
      int best = 0;
      for (int j = 1; j < vocab; j++)
        if (logits[j] > logits[best]) best = j;
      ints[p * awm_dim(m, AWM_D_INTS) + column] = best;
      logits += vocab;
    }
  }
}

/* Moves both players' continuous columns by the numeric outputs, in place. */
static void move(const awm_machine *m, const i32 *acc, i32 *cont) {
  const i32 *bias = awm_tensor(m, AWM_T_NUMERIC_BIAS), *mul = awm_tensor(m, AWM_T_NUMERIC_M);
  const i32 *s = awm_tensor(m, AWM_T_NUMERIC_S), *l = awm_tensor(m, AWM_T_NUMERIC_L);
  int starts[3] = {awm_dim(m, AWM_D_AT_CORE), awm_dim(m, AWM_D_AT_VELOCITY),
                   awm_dim(m, AWM_D_AT_DYNAMICS)};
  int n_dynamics = awm_dim(m, AWM_D_N_DYNAMICS), n_core = starts[1] - starts[0];
  int widths[3] = {n_core, awm_dim(m, AWM_D_NUMERIC) / 2 - n_core - n_dynamics, n_dynamics};
  int rules = awm_dim(m, AWM_D_GAME_RULES);
  int percent = awm_dim(m, AWM_D_AT_PERCENT), stocks = awm_dim(m, AWM_D_AT_STOCKS);
  i32 struck[2] = {0, 0};
  int i = 0;
  for (int part = 0; part < 3; part++)
    for (int p = 0; p < 2; p++)
      for (int j = 0; j < widths[part]; j++, i++) {
        i32 *column = cont + p * awm_dim(m, AWM_D_CONT) + starts[part] + j;
        i32 value = mulshift(acc[i] + bias[i], mul[i], s[i]);
        value = clamp((i32)((uint32_t)value << l[i]), AWM_CHANGE_MAX);
        if (rules && starts[part] + j == stocks) {
          i32 damage = struck[p] < AWM_LEAST_HIT ? AWM_LEAST_HIT : struck[p];
          if (value > 0) cont[p * awm_dim(m, AWM_D_CONT) + percent] += damage;
          continue;
        }
        if (rules && starts[part] + j == percent) {
          struck[p] = value;
          continue;
        }
        if (part < 2)
          *column += value;
        else
          *column = rules ? (*column + value + AWM_UNIT / 2) >> 16 << 16 : value;
      }
}

/* rules.py: the action of the new frame, where the network chose `said`. */
static i32 next_action(i32 said, i32 old, i32 age, i32 x, i32 y, const i32 *lines) {
  static const i32 dying[AWM_DYING][3] = AWM_DYING_FRAMES;
  for (int i = 0; i < AWM_DYING; i++)
    if (old == dying[i][0]) return age + 1 < dying[i][1] ? old : dying[i][2];
  if (old == AWM_REBIRTH)
    return age + 1 < AWM_REBIRTH_FRAMES ? old : said > AWM_REBIRTH ? said : AWM_WAITING;
  if (y < lines[0]) return AWM_BEYOND_BOTTOM;
  if (x < lines[1]) return AWM_BEYOND_LEFT;
  if (x > lines[2]) return AWM_BEYOND_RIGHT;
  int up = y > lines[3] && (said == AWM_UP || said == AWM_FAR_UP);
  return said > AWM_REBIRTH || up ? said : old;
}

static int is_still(i32 action) {
  return action >= AWM_BEYOND_BOTTOM && action <= AWM_BEYOND_RIGHT;
}

/* A player's action and columns by the game's rules. `last` (x, y), `was` and `age` are those of
 * the frame before. */
static void ruled(const awm_machine *m, i32 stage, int player, const i32 *last, i32 was, i32 age,
                  i32 *cont, i32 *action) {
  stage = index_of(stage, awm_dim(m, AWM_D_VOCAB_8));
  const i32 *place = (const i32 *)awm_tensor(m, AWM_T_BIRTH_PLACES) + 4 * stage;
  i32 *x = cont + awm_dim(m, AWM_D_AT_X), *y = cont + awm_dim(m, AWM_D_AT_Y);
  *action = next_action(*action, was, age, *x, *y,
                        (const i32 *)awm_tensor(m, AWM_T_LINES) + 4 * stage);
  if (is_still(*action) && is_still(was)) {
    *x = last[0];
    *y = last[1];
  }
  if (*action != AWM_REBIRTH || was == AWM_REBIRTH) return;
  int velocity = awm_dim(m, AWM_D_AT_VELOCITY), dynamics = awm_dim(m, AWM_D_AT_DYNAMICS);
  int n = awm_dim(m, AWM_D_N_DYNAMICS), stocks = awm_dim(m, AWM_D_AT_STOCKS);
  for (int i = awm_dim(m, AWM_D_AT_CORE); i < velocity; i++) cont[i] = 0;
  for (int i = velocity; i < velocity + AWM_SPEEDS; i++) cont[i] = 0;
  for (int i = dynamics; i < dynamics + n; i++)
    if (i != stocks) cont[i] = 0;
  *x = place[player];
  *y = place[2];
  cont[awm_dim(m, AWM_D_AT_SPEED_Y)] = place[3];
  cont[awm_dim(m, AWM_D_AT_SHIELD)] = AWM_SHIELD;
}

static int takes_stock(i32 action, i32 age) {
  static const i32 deaths[AWM_DEATHS][2] = AWM_DEATH_FRAMES;
  for (int i = 0; i < AWM_DEATHS; i++)
    if (action == deaths[i][0] && age == deaths[i][1]) return 1;
  return 0;
}

/* state_age counts the frames since the action changed; then every column within its limits. */
static void age_and_limits(const awm_machine *m, const i32 *last_ints, i32 age[2], i32 *cont,
                           i32 *ints) {
  const i32 *low = awm_tensor(m, AWM_T_LOW), *high = awm_tensor(m, AWM_T_HIGH);
  int c = awm_dim(m, AWM_D_CONT), ni = awm_dim(m, AWM_D_INTS), at = awm_dim(m, AWM_D_AT_AGE);
  int action = awm_dim(m, AWM_D_AT_ACTION);
  for (int p = 0; p < 2; p++) {
    int same = ints[p * ni + action] == last_ints[p * ni + action];
    if (awm_dim(m, AWM_D_AGE_EMBED))
      ints[p * ni + at] = same ? at_most(age[p] + 1, awm_dim(m, AWM_D_VOCAB_0 + at) - 1) : 0;
    else
      cont[p * c + at] = same ? age[p] + AWM_UNIT : 0;
    if (awm_dim(m, AWM_D_GAME_RULES) && takes_stock(ints[p * ni + action], ints[p * ni + at]))
      cont[p * c + awm_dim(m, AWM_D_AT_STOCKS)] -= AWM_UNIT;
    for (int i = 0; i < c; i++) cont[p * c + i] = between(cont[p * c + i], low[i], high[i]);
  }
}

/* Writes the new frame of one match, whose head outputs are given, and shifts its window. */
static void transition(const awm_machine *m, const awm_match *match, const i32 *numeric,
                       const i32 *binary, const i32 *logits) {
  int c = awm_dim(m, AWM_D_CONT), nb = awm_dim(m, AWM_D_BINARY), ni = awm_dim(m, AWM_D_INTS);
  int k = awm_dim(m, AWM_D_CONTEXT_LEN), at = awm_dim(m, AWM_D_AT_AGE);
  const i32 *bias = awm_tensor(m, AWM_T_BINARY_BIAS);
  int action = awm_dim(m, AWM_D_AT_ACTION);
  i32 last_ints[2 * AWM_MAX_INTS], age[2], places[2][2];
  i32 stage = match->stage[k - 1];
  memcpy(last_ints, newest(match->ints, m, 2 * ni), sizeof(i32) * 2 * (size_t)ni);

  /* The newest frame moves one place up in the window and is copied as the start of the next. */
  i32 *cont = match->cont_out + (size_t)(k - 1) * 2 * c;
  i32 *ints = match->ints_out + (size_t)(k - 1) * 2 * ni;
  const i32 *last = newest(match->cont, m, 2 * c);
  for (int p = 0; p < 2; p++) {
    age[p] = awm_dim(m, AWM_D_AGE_EMBED) ? last_ints[p * ni + at] : last[p * c + at];
    places[p][0] = last[p * c + awm_dim(m, AWM_D_AT_X)];
    places[p][1] = last[p * c + awm_dim(m, AWM_D_AT_Y)];
  }
  shift(match->cont_out, match->cont, k, 2 * c);
  if (cont != last) memcpy(cont, last, sizeof(i32) * 2 * (size_t)c);
  shift(match->binary_out, match->binary, k, 2 * nb);
  shift(match->ints_out, match->ints, k, 2 * ni);
  memcpy(ints, last_ints, sizeof(i32) * 2 * (size_t)ni);
  shift(match->stage_out, match->stage, k, 1);
  match->stage_out[k - 1] = stage;
  shift(match->window_out, match->window, k, 2 * AWM_PAD_FIELDS);
  memcpy(match->window_out + (size_t)(k - 1) * 2 * AWM_PAD_FIELDS, match->pads,
         sizeof(i32) * 2 * AWM_PAD_FIELDS);

  i32 *bits = match->binary_out + (size_t)(k - 1) * 2 * nb;
  for (int i = 0; i < 2 * nb; i++) bits[i] = binary[i] + bias[i] > 0;
  choose(m, logits, ints);
  move(m, numeric, cont);
  if (awm_dim(m, AWM_D_GAME_RULES))
    for (int p = 0; p < 2; p++)
      ruled(m, stage, p, places[p], last_ints[p * ni + action], age[p], cont + p * c,
            ints + p * ni + action);
  age_and_limits(m, last_ints, age, cont, ints);
}

/* w->x (rows, n) hidden codes as the input of a product. */
static void to_codes(const work *w, int n) {
  for (int r = 0; r < w->rows; r++) {
    const i32 *restrict h = w->x + (size_t)r * w->x_stride;
    i16 *restrict codes = w->wide + (size_t)r * w->code_stride;
    for (int i = 0; i < n; i++) codes[i] = (i16)h[i];
    memset(codes + n, 0, sizeof(i16) * (size_t)(awm_padded(n) - n));
  }
}

/* The variant's layer before the heads: w->x (rows, n) -> (rows, head_hidden). */
static int before_heads(const awm_machine *m, work *w, int n) {
  int wide = awm_dim(m, AWM_D_HEAD_HIDDEN);
  if (!wide) return n;
  to_codes(w, n);
  product(awm_tensor(m, AWM_T_HIDDEN_W), wide, n, w->wide, w->code_stride, w->rows, w->acc,
          w->acc_stride);
  for (int r = 0; r < w->rows; r++) {
    i32 *acc = w->acc + (size_t)r * w->acc_stride, *h = w->x + (size_t)r * w->x_stride;
    requant_rows(acc, awm_tensor(m, AWM_T_HIDDEN_BIAS), awm_tensor(m, AWM_T_HIDDEN_A),
                 awm_tensor(m, AWM_T_HIDDEN_M), wide);
    for (int i = 0; i < wide; i++) h[i] = between(acc[i], 0, AWM_WIDE_MAX);
  }
  return wide;
}

/* From the residual (rows in w->x) to the new frames: one match a row. */
static void predict(const awm_machine *m, work *w, const awm_match *matches) {
  int d = awm_dim(m, AWM_D_D_MODEL), nb = awm_dim(m, AWM_D_BINARY);
  int logits = awm_dim(m, AWM_D_LOGITS);
  for (int r = 0; r < w->rows; r++) {
    i32 *x = w->x + (size_t)r * w->x_stride;
    i16 *wide = w->wide + (size_t)r * w->code_stride;
    norm(x, d, awm_tensor(m, AWM_T_FINAL_EPS), awm_tensor(m, AWM_T_FINAL_W),
         awm_dim(m, AWM_D_FINAL_SHIFT), awm_tensor(m, AWM_T_RSQRT), AWM_WIDE_MAX, wide);
    for (int i = 0; i < d; i++) x[i] = wide[i];
    control_codes(m, matches[r].pads, newest(matches[r].window, m, 2 * AWM_PAD_FIELDS), wide,
                  w->narrow + (size_t)r * w->code_stride);
  }
  mixed(m, w, AWM_T_CTRL_WIDE, d, awm_dim(m, AWM_D_CTRL_WIDE), awm_dim(m, AWM_D_CTRL_NARROW),
        awm_dim(m, AWM_D_CTRL_K));
  for (int r = 0; r < w->rows; r++) {
    i32 *restrict x = w->x + (size_t)r * w->x_stride;
    const i32 *restrict acc = w->acc + (size_t)r * w->acc_stride;
    for (int i = 0; i < d; i++) x[i] = clamp(x[i] + acc[i], AWM_WIDE_MAX);
  }
  int n = before_heads(m, w, d);
  to_codes(w, n);
  /* Numeric and binary outputs share a row of acc2: numeric first. */
  int numeric = awm_dim(m, AWM_D_NUMERIC);
  product(awm_tensor(m, AWM_T_NUMERIC_W), numeric, n, w->wide, w->code_stride, w->rows, w->acc2,
          w->acc_stride);
  product(awm_tensor(m, AWM_T_BINARY_W), 2 * nb, n, w->wide, w->code_stride, w->rows, w->acc,
          w->acc_stride);
  for (int r = 0; r < w->rows; r++) {
    i16 *restrict codes = w->wide + (size_t)r * w->code_stride;
    memcpy(w->acc2 + (size_t)r * w->acc_stride + numeric, w->acc + (size_t)r * w->acc_stride,
           sizeof(i32) * 2 * (size_t)nb);
    for (int i = 0; i < n; i++) codes[i] = (i16)((codes[i] + 64) >> 7);
  }
  product(awm_tensor(m, AWM_T_LOGITS_W), logits, n, w->wide, w->code_stride, w->rows, w->acc,
          w->acc_stride);
  for (int r = 0; r < w->rows; r++) {
    i32 *acc = w->acc + (size_t)r * w->acc_stride, *few = w->acc2 + (size_t)r * w->acc_stride;
    requant_rows(acc, awm_tensor(m, AWM_T_LOGITS_BIAS), awm_tensor(m, AWM_T_LOGITS_A),
                 awm_tensor(m, AWM_T_LOGITS_M), logits);
    transition(m, matches + r, few, few + numeric, acc);
  }
}

static void step(const awm_machine *m, const awm_match *matches, int n, void *scratch) {
  work w;
  arrange(m, scratch, &w);
  int k = awm_dim(m, AWM_D_CONTEXT_LEN);
  if (awm_dim(m, AWM_D_RECURRENT)) {
    w.rows = n;
    for (int r = 0; r < n; r++) absorb(m, &w, r, matches + r, k - 1, matches[r].pads);
    trunk(m, &w, matches, 0, 1);
    predict(m, &w, matches);
    return;
  }
  for (int i = 0; i < n; i++) {
    w.rows = k;
    absorb_window(m, &w, matches + i);
    trunk(m, &w, matches + i, 1, 0);
    memmove(w.x, w.x + (size_t)(k - 1) * w.x_stride, sizeof(i32) * (size_t)w.x_stride);
    w.rows = 1;
    predict(m, &w, matches + i);
  }
}

static void reset(const awm_machine *m, const awm_match *match, void *scratch) {
  work w;
  arrange(m, scratch, &w);
  w.rows = awm_dim(m, AWM_D_CONTEXT_LEN) - 1;
  memset(match->ssm_out, 0, awm_ssm_size(m) * sizeof(i16));
  memset(match->conv_out, 0, awm_conv_size(m) * sizeof(i16));
  if (w.rows == 0) return;
  absorb_window(m, &w, match);
  trunk(m, &w, match, 1, 1);
}

const awm_path AWM_JOIN(awm_path, AWM_PATH) = {AWM_TEXT(AWM_PATH), step, reset, product, scan};

#ifndef AWM_HAS_PRODUCT
size_t awm_scratch_size(const awm_machine *m) {
  work w;
  return arrange(m, 0, &w);
}
#endif
