/* The network from codes to the residual after the last layer (awm_jax/int8/mamba2.py). */
#ifndef AWM_TRUNK_H
#define AWM_TRUNK_H

/* What the rows of one call share; every row is awm_padded(...) elements. */
typedef struct {
  int rows, x_stride, code_stride, acc_stride, few_stride;
  num *x;          /* (rows, d_model) the residual, later the hidden vector */
  code *wide;       /* (rows, ...) codes that enter a product */
  code *narrow;     /* (rows, ...) */
  num *acc;        /* (rows, ...) accumulators, requantised in place */
  num *few;        /* (rows, ...) those of a product with few rows, beside the others */
  num *channels;   /* (channels) the convolution's output of one row */
  num *drive;      /* (d_inner) */
  num *y;          /* (d_inner) */
  num *b, *c;      /* (d_state) */
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
  n = wider(n, 2 * awm_dim(m, AWM_D_BINARY));
  return awm_padded(wider(n, awm_dim(m, AWM_D_HEAD_HIDDEN)));
}

static int few_width(const awm_machine *m) {
  int heads = awm_dim(m, AWM_D_NUMERIC) + 2 * awm_dim(m, AWM_D_BINARY);
  return awm_padded(wider(awm_dim(m, AWM_D_D_MODEL), heads));
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
  w->few_stride = few_width(m);
  w->x = take(scratch, &at, rows * w->x_stride * sizeof(num));
  w->wide = take(scratch, &at, rows * w->code_stride * sizeof(code));
  w->narrow = take(scratch, &at, rows * w->code_stride * sizeof(code));
  w->acc = take(scratch, &at, rows * w->acc_stride * sizeof(num));
  w->few = take(scratch, &at, rows * w->few_stride * sizeof(num));
  w->channels = take(scratch, &at, (size_t)awm_channels(m) * sizeof(num));
  w->drive = take(scratch, &at, e * sizeof(num));
  w->y = take(scratch, &at, e * sizeof(num));
  w->b = take(scratch, &at, (size_t)awm_dim(m, AWM_D_D_STATE) * sizeof(num));
  w->c = take(scratch, &at, (size_t)awm_dim(m, AWM_D_D_STATE) * sizeof(num));
  if (!awm_dim(m, AWM_D_RECURRENT)) {
    w->ssm = take(scratch, &at, layer_ssm(m) * sizeof(i16));
    w->conv = take(scratch, &at, layer_conv(m) * sizeof(i16));
  }
  return at;
}

static void requant_rows(num *restrict acc, const num *restrict bias, const num *restrict a,
                         const num *restrict m, int n) {
  AWM_UNROLL
  for (int i = 0; i < n; i++) acc[i] = requant_sum(acc[i], bias[i], a[i], m[i]);
}

/* w->acc (rows, n) 16-bit from the wide and narrow codes of every row. */
static void mixed(const awm_machine *m, work *w, int first, int n, int wide, int narrow, num k) {
  const num *bias = awm_tensor(m, first + 2);
  const num *a = awm_tensor(m, first + 3), *mul = awm_tensor(m, first + 4);
  product(awm_tensor(m, first), n, wide, w->wide, w->code_stride, w->rows, w->acc, w->acc_stride);
  product(awm_tensor(m, first + 1), n, narrow, w->narrow, w->code_stride, w->rows, w->few,
          w->few_stride);
  for (int r = 0; r < w->rows; r++) {
    num *restrict acc = w->acc + (size_t)r * w->acc_stride;
    const num *restrict more = w->few + (size_t)r * w->few_stride;
    AWM_UNROLL
    for (int i = 0; i < n; i++) acc[i] += shifted(more[i], k);
    requant_rows(acc, bias, a, mul, n);
  }
}

/* One layer's scan of one row: w->channels (x, B, C) and dt (heads) -> w->y (d_inner). */
static void scan_step(const awm_machine *m, int layer, const work *w, const num *dt_in,
                      const i16 *h, i16 *h_out) {
  int heads = awm_heads(m), width = awm_dim(m, AWM_D_HEADDIM), n = awm_dim(m, AWM_D_D_STATE);
  const num *s = awm_layer(m, layer, AWM_L_SCALARS);
  const num *softplus = awm_tensor(m, AWM_T_SOFTPLUS), *exp2 = awm_tensor(m, AWM_T_EXP2);
  const num *decay_m = awm_layer(m, layer, AWM_L_DECAY_M);
  const num *decay_s = awm_layer(m, layer, AWM_L_DECAY_S);
  const num *drive_m = awm_layer(m, layer, AWM_L_DRIVE_M);
  const num *drive_s = awm_layer(m, layer, AWM_L_DRIVE_S);
  const num *b_m = awm_layer(m, layer, AWM_L_B_M), *c_m = awm_layer(m, layer, AWM_L_C_M);
  const num *y_a = awm_layer(m, layer, AWM_L_Y_A), *y_m = awm_layer(m, layer, AWM_L_Y_M);
  const num *skip_m = awm_layer(m, layer, AWM_L_SKIP_M);
  const num *bc = w->channels + awm_d_inner(m);
  num c_max = (num)(2147483647 / ((int64_t)n * 32767));
  AWM_PART("drive");
  for (int i = 0; i < n; i++) {
    w->b[i] = clamp(rsh(bc[i] * b_m[i], s[AWM_S_B_S]), AWM_B_MAX);
    w->c[i] = clamp(rsh(bc[n + i] * c_m[i], s[AWM_S_C_S]), c_max);
  }
  AWM_SCAN_BEGIN(w->b, w->c, n);
  for (int head = 0; head < heads; head++) {
    const num *restrict x = w->channels + head * width;
    num *restrict u = w->drive + head * width;
    num *restrict y = w->y + head * width;
    num dt = lookup(softplus, dt_in[head]);
    num decay = exp2_neg(exp2, mulshift(dt, decay_m[head], decay_s[head]));
    num bits = bit_length(dt);
    num mantissa = bits > 15 ? dt >> (bits - 15) : dt << (15 - bits);
    num drive = rsh(mantissa * drive_m[head], 15);
    num shift = between(drive_s[head] - (bits - 15), 1, 31);
    num room = at_most((32768 - decay) * AWM_DRIVE_ROOM, 32767);
    AWM_UNROLL
    for (int p = 0; p < width; p++) u[p] = clamp(rsh(x[p] * drive, shift), room);
    size_t at = (size_t)head * width * n;
    AWM_PART("scan");
    scan(h_out + at, h + at, u, w->b, w->c, decay, width, n, y);
    AWM_PART("drive");
    num a = y_a[head], mul = y_m[head], skip = skip_m[head], skip_s = s[AWM_S_SKIP_S];
    AWM_UNROLL
    for (int p = 0; p < width; p++)
      y[p] = clamp16(requant(y[p], a, mul) + rsh(x[p] * skip, skip_s));
  }
}

#ifndef AWM_HAS_CONVOLVE
/* conv (3, channels) and the new input `in` -> out (channels). */
static void convolve(const awm_machine *m, int layer, const num *restrict in, const i16 *conv,
                     num *restrict out) {
  int n = awm_channels(m);
  const num *restrict k = awm_layer(m, layer, AWM_L_CONV_W);
  const num *restrict bias = awm_layer(m, layer, AWM_L_CONV_BIAS);
  const num *restrict a = awm_layer(m, layer, AWM_L_CONV_A);
  const num *restrict mul = awm_layer(m, layer, AWM_L_CONV_M);
  for (int i = 0; i < n; i++) {
    num acc = conv[i] * k[i] + conv[n + i] * k[n + i] + conv[2 * n + i] * k[2 * n + i] +
              in[i] * k[3 * n + i];
    out[i] = requant_sum(acc, bias[i], a[i], mul[i]);
  }
}
#endif

/* conv and `in` -> w->channels after silu, and conv_out. */
static void conv_step(const awm_machine *m, int layer, const work *w, const num *restrict in,
                      const i16 *conv, i16 *conv_out) {
  int n = awm_channels(m);
  const num *sigmoid = awm_tensor(m, AWM_T_SIGMOID);
  num *restrict out = w->channels;
  convolve(m, layer, in, conv, out);
  memmove(conv_out, conv + n, sizeof(i16) * 2 * (size_t)n);
  i16 *newest = conv_out + 2 * n;
  AWM_UNROLL
  for (int i = 0; i < n; i++) newest[i] = (i16)in[i];
  AWM_UNROLL
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

/* y (n) by the SiLU of z (n), in place. */
static void gate(num *restrict y, const num *restrict z, const num *restrict sigmoid, num shift,
                 int n) {
  AWM_UNROLL
  for (int i = 0; i < n; i++) y[i] = clamp16(rsh(y[i] * silu(sigmoid, z[i]), shift));
}

/* A layer is three phases, with a product before the second and before the third. */
static num code_limit(const awm_machine *m) {
  return awm_dim(m, AWM_D_PLANES) == 1 ? 127 : AWM_WIDE_MAX;
}

static void enter_layer(const awm_machine *m, int layer, const work *w) {
  const num *s = awm_layer(m, layer, AWM_L_SCALARS);
  AWM_PART("norms");
  for (int r = 0; r < w->rows; r++)
    norm(w->x + (size_t)r * w->x_stride, awm_dim(m, AWM_D_D_MODEL),
         awm_layer(m, layer, AWM_L_NORM_EPS), awm_layer(m, layer, AWM_L_NORM_W),
         s[AWM_S_NORM_SHIFT], awm_tensor(m, AWM_T_RSQRT), code_limit(m),
         w->wide + (size_t)r * w->code_stride);
}

static void mix_layer(const awm_machine *m, int layer, const work *w, const awm_match *matches,
                      int window, int keep) {
  int e = awm_d_inner(m), in_rows = awm_in_rows(m);
  const num *s = awm_layer(m, layer, AWM_L_SCALARS);
  for (int r = 0; r < w->rows; r++) {
    num *row = w->acc + (size_t)r * w->acc_stride;
    AWM_PART("requantise");
    requant_rows(row, awm_layer(m, layer, AWM_L_IN_BIAS), awm_layer(m, layer, AWM_L_IN_A),
                 awm_layer(m, layer, AWM_L_IN_M), in_rows);
    place at = find(m, matches, w, window, keep, layer, r);
    AWM_PART("convolution");
    conv_step(m, layer, w, row + e, at.conv, at.conv_out);
    scan_step(m, layer, w, row + e + awm_channels(m), at.ssm, at.ssm_out);
    AWM_PART("gate");
    gate(w->y, row, awm_tensor(m, AWM_T_SIGMOID), s[AWM_S_GATE_S], e);
    AWM_PART("norms");
    norm(w->y, e, awm_layer(m, layer, AWM_L_GATED_EPS), awm_layer(m, layer, AWM_L_GATED_W),
         s[AWM_S_GATED_SHIFT], awm_tensor(m, AWM_T_RSQRT), code_limit(m),
         w->wide + (size_t)r * w->code_stride);
  }
}

static void leave_layer(const awm_machine *m, int layer, const work *w) {
  int d = awm_dim(m, AWM_D_D_MODEL);
  AWM_PART("requantise");
  for (int r = 0; r < w->rows; r++) {
    num *restrict acc = w->acc + (size_t)r * w->acc_stride;
    num *restrict x = w->x + (size_t)r * w->x_stride;
    requant_rows(acc, awm_layer(m, layer, AWM_L_OUT_BIAS), awm_layer(m, layer, AWM_L_OUT_A),
                 awm_layer(m, layer, AWM_L_OUT_M), d);
    AWM_UNROLL
    for (int i = 0; i < d; i++) x[i] = clamp16(x[i] + acc[i]);
  }
}

static void layer_step(const awm_machine *m, int layer, const work *w, const awm_match *matches,
                       int window, int keep) {
  int d = awm_dim(m, AWM_D_D_MODEL);
  enter_layer(m, layer, w);
  AWM_PART("in_proj");
  product(awm_layer(m, layer, AWM_L_IN_W), awm_in_rows(m), d, w->wide, w->code_stride, w->rows,
          w->acc, w->acc_stride);
  mix_layer(m, layer, w, matches, window, keep);
  AWM_PART("out_proj");
  product(awm_layer(m, layer, AWM_L_OUT_W), d, awm_d_inner(m), w->wide, w->code_stride, w->rows,
          w->acc, w->acc_stride);
  leave_layer(m, layer, w);
}

/* The codes in w->wide and w->narrow -> w->x, the residual before the first layer. */
static void embed(const awm_machine *m, work *w) {
  int d = awm_dim(m, AWM_D_D_MODEL);
  AWM_PART("frame_proj");
  mixed(m, w, AWM_T_FRAME_WIDE, d, awm_dim(m, AWM_D_N_WIDE), awm_dim(m, AWM_D_N_NARROW),
        awm_dim(m, AWM_D_FRAME_K));
  for (int r = 0; r < w->rows; r++)
    memcpy(w->x + (size_t)r * w->x_stride, w->acc + (size_t)r * w->acc_stride,
           sizeof(num) * (size_t)d);
}

/* The codes through the trunk; w->x is the residual after it. */
static void trunk(const awm_machine *m, work *w, const awm_match *matches, int window, int keep) {
  embed(m, w);
  for (int layer = 0; layer < awm_dim(m, AWM_D_N_LAYERS); layer++)
    layer_step(m, layer, w, matches, window, keep);
}

#endif
