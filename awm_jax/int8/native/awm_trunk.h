/* The network from codes to the residual after the last layer (awm_jax/int8/mamba2.py). */
#ifndef AWM_TRUNK_H
#define AWM_TRUNK_H

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

#endif
