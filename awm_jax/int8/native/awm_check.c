/* Every value of an image within its bounds (docs/integer-spec.md section 10; the same proof as
 * awm_jax/int8/bounds.py): then no frame leaves 32 bits or reads outside a table. */
#include "awm.h"

#define I16_MAX 32767
#define CODE_MAX 127
#define ACC_MAX 2147483646LL

static int within(const int32_t *v, size_t n, int32_t low, int32_t high) {
  for (size_t i = 0; i < n; i++)
    if (v[i] < low || v[i] > high) return 0;
  return 1;
}

static int64_t size_of(int64_t v) { return v < 0 ? -v : v; }

/* Codes that enter a product: cols of them, none larger than most. */
typedef struct {
  const int8_t *w;
  int cols;
  int64_t most;
} input;

static int sums_fit(input first, input second, const int32_t *bias, int rows) {
  for (int r = 0; r < rows; r++) {
    int64_t sum = size_of(bias[r]);
    input parts[2] = {first, second};
    for (int i = 0; i < 2; i++) {
      int64_t l1 = 0;
      int cols = awm_padded(parts[i].cols);
      for (int c = 0; c < cols; c++) {
        int8_t w = parts[i].w[(size_t)r * cols + c];
        if (w == -128 || (c >= parts[i].cols && w)) return 0;
        l1 += size_of(w);
      }
      sum += l1 * parts[i].most;
    }
    if (sum > ACC_MAX) return 0;
  }
  return 1;
}

static int dense_fits(const void *w, int cols, int64_t most, const int32_t *bias, int rows) {
  input only = {w, cols, most}, none = {w, 0, 0};
  return sums_fit(only, none, bias, rows);
}

static int requant_fits(const int32_t *a, const int32_t *m, int n) {
  return within(a, (size_t)n, 0, 30) && within(m, (size_t)n, -I16_MAX, I16_MAX);
}

static int mulshift_fits(const int32_t *m, const int32_t *s, int n) {
  return within(m, (size_t)n, 0, I16_MAX) && within(s, (size_t)n, 17, 46);
}

static int table_fits(const int32_t *v, int n, int32_t most, int64_t fraction) {
  if (!within(v, (size_t)n, 0, most)) return 0;
  for (int i = 0; i + 1 < n; i++)
    if (size_of((int64_t)v[i + 1] - v[i]) * fraction > ACC_MAX) return 0;
  return 1;
}

static int norm_fits(const int32_t *eps, const int32_t *w, int n, int32_t shift) {
  int64_t total = (int64_t)n * (1 << 18) + n + 1 + (int64_t)eps[0];
  return eps[0] >= 0 && eps[1] >= 0 && eps[1] <= 4095 && (eps[0] || eps[1]) && total <= ACC_MAX &&
         within(w, (size_t)n, -I16_MAX, I16_MAX) && shift >= 1 && shift <= 30;
}

static int code_fits(int32_t m, int32_t s, int64_t largest, int64_t most) {
  if (m < 0 || m > I16_MAX || s < 0 || s > 31) return 0;
  int64_t value = largest * m;
  return (s ? ((value >> (s - 1)) + 1) >> 1 : value) <= most;
}

static const char *check_inputs(const awm_machine *m) {
  const int32_t *d = m->dims;
  const int8_t *embeddings = awm_tensor(m, AWM_T_EMBEDDINGS);
  const int32_t *low = awm_tensor(m, AWM_T_LOW), *high = awm_tensor(m, AWM_T_HIGH);
  size_t n = 0;
  if (!mulshift_fits(awm_tensor(m, AWM_T_COLUMN_M), awm_tensor(m, AWM_T_COLUMN_S), d[AWM_D_CONT]))
    return "a column's scale out of range";
  for (int i = 0; i < d[AWM_D_CONT]; i++)
    if (low[i] > high[i] || low[i] < -(1 << 30) || high[i] > 1 << 30)
      return "a column's limits out of range";
  if (!code_fits(d[AWM_D_STICK_M], d[AWM_D_STICK_S], 2 * AWM_STICK_MAX, AWM_WIDE_MAX) ||
      !code_fits(d[AWM_D_TRIGGER_M], d[AWM_D_TRIGGER_S], 255, AWM_WIDE_MAX) ||
      d[AWM_D_ONE] < 0 || d[AWM_D_ONE] > CODE_MAX)
    return "a pad's scale out of range";
  if (d[AWM_D_FRAME_K] < 0 || d[AWM_D_FRAME_K] > 24 || d[AWM_D_CTRL_K] < 0 ||
      d[AWM_D_CTRL_K] > 24)
    return "a shift of narrow codes out of range";
  if (d[AWM_D_GEOMETRY]) {
    const int32_t *fm = awm_tensor(m, AWM_T_FEATURE_M), *fs = awm_tensor(m, AWM_T_FEATURE_S);
    if (!mulshift_fits(fm, fs, AWM_GEOMETRY_PER_PLAYER)) return "a feature's scale out of range";
    for (int i = 0; i < AWM_GEOMETRY_PER_PLAYER; i++) {
      int64_t reach = i < 2 * AWM_LEVELS ? AWM_HEIGHT : i == 2 * AWM_LEVELS ? AWM_EDGE : AWM_RIVAL;
      if ((reach * fm[i] >> fs[i]) + 1 > AWM_WIDE_MAX) return "a feature's code out of range";
    }
    if (!within(awm_tensor(m, AWM_T_LEVELS), (size_t)d[AWM_D_VOCAB_8] * (AWM_LEVELS + 1),
                -(1 << 29), 1 << 29))
      return "a stage's level out of range";
  }
  for (int i = 0; i <= AWM_MAX_INTS; i++)
    n += (size_t)d[AWM_D_VOCAB_0 + i] * (size_t)d[AWM_D_WIDTH_0 + i];
  for (size_t i = 0; i < n; i++)
    if (embeddings[i] == -128) return "an embedding of -128";
  return 0;
}

static int mixed_fits(const awm_machine *m, int first, int wide, int narrow, int k) {
  int d = awm_dim(m, AWM_D_D_MODEL);
  input a = {awm_tensor(m, first), wide, AWM_WIDE_MAX};
  input b = {awm_tensor(m, first + 1), narrow, (int64_t)CODE_MAX << k};
  return sums_fit(a, b, awm_tensor(m, first + 2), d) &&
         requant_fits(awm_tensor(m, first + 3), awm_tensor(m, first + 4), d);
}

static int conv_fits(const awm_machine *m, int layer) {
  int n = awm_channels(m);
  const int32_t *w = awm_layer(m, layer, AWM_L_CONV_W);
  const int32_t *bias = awm_layer(m, layer, AWM_L_CONV_BIAS);
  if (!within(w, (size_t)(AWM_CONV_WIDTH * n), -CODE_MAX, CODE_MAX)) return 0;
  for (int i = 0; i < n; i++) {
    int64_t sum = size_of(bias[i]);
    for (int j = 0; j < AWM_CONV_WIDTH; j++) sum += size_of(w[j * n + i]) * 32768;
    if (sum > ACC_MAX) return 0;
  }
  return requant_fits(awm_layer(m, layer, AWM_L_CONV_A), awm_layer(m, layer, AWM_L_CONV_M), n);
}

static const char *check_layer(const awm_machine *m, int i) {
  int d = awm_dim(m, AWM_D_D_MODEL), e = awm_d_inner(m), rows = awm_in_rows(m);
  int heads = awm_heads(m), n = awm_dim(m, AWM_D_D_STATE);
  int64_t most = awm_dim(m, AWM_D_PLANES) == 1 ? CODE_MAX : AWM_WIDE_MAX;
  const int32_t *s = awm_layer(m, i, AWM_L_SCALARS);
  if (!norm_fits(awm_layer(m, i, AWM_L_NORM_EPS), awm_layer(m, i, AWM_L_NORM_W), d,
                 s[AWM_S_NORM_SHIFT]) ||
      !norm_fits(awm_layer(m, i, AWM_L_GATED_EPS), awm_layer(m, i, AWM_L_GATED_W), e,
                 s[AWM_S_GATED_SHIFT]))
    return "a layer's norm out of range";
  if (!dense_fits(awm_layer(m, i, AWM_L_IN_W), d, most, awm_layer(m, i, AWM_L_IN_BIAS), rows) ||
      !requant_fits(awm_layer(m, i, AWM_L_IN_A), awm_layer(m, i, AWM_L_IN_M), rows) ||
      !dense_fits(awm_layer(m, i, AWM_L_OUT_W), e, most, awm_layer(m, i, AWM_L_OUT_BIAS), d) ||
      !requant_fits(awm_layer(m, i, AWM_L_OUT_A), awm_layer(m, i, AWM_L_OUT_M), d))
    return "a layer's projection out of range";
  if (!conv_fits(m, i)) return "a layer's convolution out of range";
  if (!mulshift_fits(awm_layer(m, i, AWM_L_DECAY_M), awm_layer(m, i, AWM_L_DECAY_S), heads) ||
      !within(awm_layer(m, i, AWM_L_DRIVE_M), (size_t)heads, 0, I16_MAX) ||
      !within(awm_layer(m, i, AWM_L_DRIVE_S), (size_t)heads, -(1 << 20), 1 << 20) ||
      !within(awm_layer(m, i, AWM_L_B_M), (size_t)n, -I16_MAX, I16_MAX) ||
      !within(awm_layer(m, i, AWM_L_C_M), (size_t)n, -I16_MAX, I16_MAX) ||
      !within(awm_layer(m, i, AWM_L_SKIP_M), (size_t)heads, -I16_MAX, I16_MAX) ||
      !requant_fits(awm_layer(m, i, AWM_L_Y_A), awm_layer(m, i, AWM_L_Y_M), heads) ||
      !within(s + AWM_S_B_S, 4, 0, 31))
    return "a layer's scan out of range";
  return 0;
}

static const char *check_heads(const awm_machine *m) {
  const int32_t *d = m->dims;
  int hidden = d[AWM_D_HEAD_HIDDEN], n = hidden ? hidden : d[AWM_D_D_MODEL];
  const int32_t *bias = awm_tensor(m, AWM_T_NUMERIC_BIAS), *mul = awm_tensor(m, AWM_T_NUMERIC_M);
  const int32_t *s = awm_tensor(m, AWM_T_NUMERIC_S), *l = awm_tensor(m, AWM_T_NUMERIC_L);
  const int8_t *w = awm_tensor(m, AWM_T_NUMERIC_W);
  if (hidden &&
      (!dense_fits(awm_tensor(m, AWM_T_HIDDEN_W), d[AWM_D_D_MODEL], AWM_WIDE_MAX,
                   awm_tensor(m, AWM_T_HIDDEN_BIAS), hidden) ||
       !requant_fits(awm_tensor(m, AWM_T_HIDDEN_A), awm_tensor(m, AWM_T_HIDDEN_M), hidden)))
    return "the layer before the heads out of range";
  if (!dense_fits(awm_tensor(m, AWM_T_LOGITS_W), n, CODE_MAX, awm_tensor(m, AWM_T_LOGITS_BIAS),
                  d[AWM_D_LOGITS]) ||
      !requant_fits(awm_tensor(m, AWM_T_LOGITS_A), awm_tensor(m, AWM_T_LOGITS_M),
                    d[AWM_D_LOGITS]) ||
      !dense_fits(awm_tensor(m, AWM_T_BINARY_W), n, AWM_WIDE_MAX,
                  awm_tensor(m, AWM_T_BINARY_BIAS), 2 * d[AWM_D_BINARY]) ||
      !dense_fits(w, n, AWM_WIDE_MAX, bias, d[AWM_D_NUMERIC]) ||
      !mulshift_fits(mul, s, d[AWM_D_NUMERIC]) ||
      !within(l, (size_t)d[AWM_D_NUMERIC], 0, 30))
    return "a head out of range";
  for (int r = 0; r < d[AWM_D_NUMERIC]; r++) {
    int64_t sum = size_of(bias[r]);
    for (int c = 0; c < n; c++) sum += size_of(w[(size_t)r * awm_padded(n) + c]) * AWM_WIDE_MAX;
    if (((sum * mul[r] >> s[r]) + 1) << l[r] > ACC_MAX) return "a change out of range";
  }
  return 0;
}

const char *awm_check(const awm_machine *m) {
  const int32_t *d = m->dims;
  if (!table_fits(awm_tensor(m, AWM_T_SIGMOID), 513, 1 << 15, 127) ||
      !table_fits(awm_tensor(m, AWM_T_SOFTPLUS), 513, (1 << 30) - 1, 127) ||
      !table_fits(awm_tensor(m, AWM_T_EXP2), 257, 1 << 15, 127) ||
      !table_fits(awm_tensor(m, AWM_T_RSQRT), 193, I16_MAX, 255))
    return "a table out of range";
  const char *wrong = check_inputs(m);
  if (wrong) return wrong;
  if (!mixed_fits(m, AWM_T_FRAME_WIDE, d[AWM_D_N_WIDE], d[AWM_D_N_NARROW], d[AWM_D_FRAME_K]) ||
      !mixed_fits(m, AWM_T_CTRL_WIDE, d[AWM_D_CTRL_WIDE], d[AWM_D_CTRL_NARROW], d[AWM_D_CTRL_K]))
    return "an input projection out of range";
  if (!norm_fits(awm_tensor(m, AWM_T_FINAL_EPS), awm_tensor(m, AWM_T_FINAL_W), d[AWM_D_D_MODEL],
                 d[AWM_D_FINAL_SHIFT]))
    return "the final norm out of range";
  for (int i = 0; i < d[AWM_D_N_LAYERS]; i++) {
    wrong = check_layer(m, i);
    if (wrong) return wrong;
  }
  return check_heads(m);
}

const char *awm_check_seed(const awm_machine *m, const awm_match *seed) {
  const int32_t *low = awm_tensor(m, AWM_T_LOW), *high = awm_tensor(m, AWM_T_HIGH);
  int k = awm_dim(m, AWM_D_CONTEXT_LEN), c = awm_dim(m, AWM_D_CONT), ni = awm_dim(m, AWM_D_INTS);
  for (int i = 0; i < 2 * k * c; i++)
    if (seed->cont[i] < low[i % c] || seed->cont[i] > high[i % c])
      return "a seed frame out of range";
  for (int i = 0; i < 2 * k * ni; i++)
    if (seed->ints[i] < 0 || seed->ints[i] >= awm_dim(m, AWM_D_VOCAB_0 + i % ni))
      return "a seed category out of range";
  if (!within(seed->binary, (size_t)(2 * k * awm_dim(m, AWM_D_BINARY)), 0, 1) ||
      !within(seed->stage, (size_t)k, 0, awm_dim(m, AWM_D_VOCAB_8) - 1) ||
      !within(seed->window, (size_t)(2 * k * AWM_PAD_FIELDS), -128, 255))
    return "a seed frame out of range";
  return 0;
}
