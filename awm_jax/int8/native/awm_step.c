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
typedef AWM_NUM num;
typedef AWM_UNUM unum;
typedef AWM_CODE code;

/* What a build may add to the loops over elements, before the heads of a layer are scanned, and to
 * the start of each part of a frame. */
#ifndef AWM_UNROLL
#define AWM_UNROLL
#endif
#ifndef AWM_SCAN_BEGIN
#define AWM_SCAN_BEGIN(b, c, d_state)
#endif
#ifndef AWM_PART
#define AWM_PART(name)
#endif

#include "awm_fixed.h"

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

#include "awm_codes.h"
#include "awm_frame.h"
#include "awm_trunk.h"

/* ---- world.py ---- */

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

/* w->x (rows, n) hidden codes as the input of a product. */
static void to_codes(const work *w, int n) {
  for (int r = 0; r < w->rows; r++) {
    const num *restrict h = w->x + (size_t)r * w->x_stride;
    code *restrict codes = w->wide + (size_t)r * w->code_stride;
    AWM_UNROLL
    for (int i = 0; i < n; i++) codes[i] = (code)h[i];
    memset(codes + n, 0, sizeof(code) * (size_t)(awm_padded(n) - n));
  }
}

/* The variant's layer before the heads: w->x (rows, n) -> (rows, head_hidden). */
static int before_heads(const awm_machine *m, work *w, int n) {
  int wide = awm_dim(m, AWM_D_HEAD_HIDDEN);
  if (!wide) return n;
  AWM_PART("pre_head");
  to_codes(w, n);
  product(awm_tensor(m, AWM_T_HIDDEN_W), wide, n, w->wide, w->code_stride, w->rows, w->acc,
          w->acc_stride);
  for (int r = 0; r < w->rows; r++) {
    num *acc = w->acc + (size_t)r * w->acc_stride, *h = w->x + (size_t)r * w->x_stride;
    requant_rows(acc, awm_tensor(m, AWM_T_HIDDEN_BIAS), awm_tensor(m, AWM_T_HIDDEN_A),
                 awm_tensor(m, AWM_T_HIDDEN_M), wide);
    AWM_UNROLL
    for (int i = 0; i < wide; i++) h[i] = between(acc[i], 0, AWM_WIDE_MAX);
  }
  return wide;
}

/* What the heads read has so many columns. */
static int head_width(const awm_machine *m) {
  return awm_dim(m, awm_dim(m, AWM_D_HEAD_HIDDEN) ? AWM_D_HEAD_HIDDEN : AWM_D_D_MODEL);
}

/* From the residual (rows in w->x) to the heads but the logits, and the codes of those. */
static void enter_heads(const awm_machine *m, work *w, const awm_match *matches) {
  int d = awm_dim(m, AWM_D_D_MODEL), nb = awm_dim(m, AWM_D_BINARY);
  AWM_PART("norms");
  for (int r = 0; r < w->rows; r++) {
    num *x = w->x + (size_t)r * w->x_stride;
    code *wide = w->wide + (size_t)r * w->code_stride;
    norm(x, d, awm_tensor(m, AWM_T_FINAL_EPS), awm_tensor(m, AWM_T_FINAL_W),
         awm_dim(m, AWM_D_FINAL_SHIFT), awm_tensor(m, AWM_T_RSQRT), AWM_WIDE_MAX, wide);
    AWM_UNROLL
    for (int i = 0; i < d; i++) x[i] = wide[i];
    AWM_PART("encoding");
    control_codes(m, matches[r].pads, newest(matches[r].window, m, 2 * AWM_PAD_FIELDS), wide,
                  w->narrow + (size_t)r * w->code_stride);
  }
  AWM_PART("ctrl_proj");
  mixed(m, w, AWM_T_CTRL_WIDE, d, awm_dim(m, AWM_D_CTRL_WIDE), awm_dim(m, AWM_D_CTRL_NARROW),
        awm_dim(m, AWM_D_CTRL_K));
  for (int r = 0; r < w->rows; r++) {
    num *restrict x = w->x + (size_t)r * w->x_stride;
    const num *restrict acc = w->acc + (size_t)r * w->acc_stride;
    AWM_UNROLL
    for (int i = 0; i < d; i++) x[i] = clamp(x[i] + acc[i], AWM_WIDE_MAX);
  }
  int n = before_heads(m, w, d);
  AWM_PART("numeric, binary");
  to_codes(w, n);
  /* Numeric and binary outputs share a row of `few`: numeric first. */
  int numeric = awm_dim(m, AWM_D_NUMERIC);
  product(awm_tensor(m, AWM_T_NUMERIC_W), numeric, n, w->wide, w->code_stride, w->rows, w->few,
          w->few_stride);
  product(awm_tensor(m, AWM_T_BINARY_W), 2 * nb, n, w->wide, w->code_stride, w->rows, w->acc,
          w->acc_stride);
  for (int r = 0; r < w->rows; r++) {
    code *restrict codes = w->wide + (size_t)r * w->code_stride;
    memcpy(w->few + (size_t)r * w->few_stride + numeric, w->acc + (size_t)r * w->acc_stride,
           sizeof(num) * 2 * (size_t)nb);
    AWM_UNROLL
    for (int i = 0; i < n; i++) codes[i] = (code)((codes[i] + 64) >> 7);
  }
}

/* From the heads' sums to the new frames: one match a row. */
static void leave_heads(const awm_machine *m, const work *w, const awm_match *matches) {
  int numeric = awm_dim(m, AWM_D_NUMERIC);
  for (int r = 0; r < w->rows; r++) {
    num *acc = w->acc + (size_t)r * w->acc_stride, *few = w->few + (size_t)r * w->few_stride;
    AWM_PART("requantise");
    requant_rows(acc, awm_tensor(m, AWM_T_LOGITS_BIAS), awm_tensor(m, AWM_T_LOGITS_A),
                 awm_tensor(m, AWM_T_LOGITS_M), awm_dim(m, AWM_D_LOGITS));
    AWM_PART("rules");
    transition(m, matches + r, few, few + numeric, acc);
  }
}

static void predict(const awm_machine *m, work *w, const awm_match *matches) {
  enter_heads(m, w, matches);
  AWM_PART("logits");
  product(awm_tensor(m, AWM_T_LOGITS_W), awm_dim(m, AWM_D_LOGITS), head_width(m), w->wide,
          w->code_stride, w->rows, w->acc, w->acc_stride);
  leave_heads(m, w, matches);
}

static void step(const awm_machine *m, const awm_match *matches, int n, void *scratch) {
  AWM_PART("encoding");
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
    memmove(w.x, w.x + (size_t)(k - 1) * w.x_stride, sizeof(num) * (size_t)w.x_stride);
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
