/* The step for 64-bit ARM. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define AWM_PATH neon
#define AWM_HAS_PRODUCT
#define AWM_HAS_SCAN
#define INLINE static inline __attribute__((always_inline))

/* N (1 to 4) rows of x by one row of w. */
INLINE void tile(int N, const int8_t *w, int cols, const int16_t *x, int x_stride, int32_t *out,
                 int out_stride) {
  int32x4_t acc[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
  for (int c = 0; c < cols; c += 16) {
    int8x16_t a = vld1q_s8(w + c);
    int16x8_t low = vmovl_s8(vget_low_s8(a)), high = vmovl_s8(vget_high_s8(a));
    for (int k = 0; k < N; k++) {
      int16x8_t first = vld1q_s16(x + (size_t)k * x_stride + c);
      int16x8_t second = vld1q_s16(x + (size_t)k * x_stride + c + 8);
      acc[k] = vmlal_s16(acc[k], vget_low_s16(low), vget_low_s16(first));
      acc[k] = vmlal_s16(acc[k], vget_high_s16(low), vget_high_s16(first));
      acc[k] = vmlal_s16(acc[k], vget_low_s16(high), vget_low_s16(second));
      acc[k] = vmlal_s16(acc[k], vget_high_s16(high), vget_high_s16(second));
    }
  }
  for (int k = 0; k < N; k++) out[(size_t)k * out_stride] = vaddvq_s32(acc[k]);
}

static void product(const int8_t *w, int rows, int cols, const int16_t *x, int x_stride, int n,
                    int32_t *out, int out_stride) {
  cols = (cols + 63) / 64 * 64;
  for (int r = 0; r < rows; r++) {
    const int8_t *a = w + (size_t)r * cols;
    int k = 0;
    for (; k + 4 <= n; k += 4)
      tile(4, a, cols, x + (size_t)k * x_stride, x_stride, out + (size_t)k * out_stride + r,
           out_stride);
    for (; k < n; k++)
      tile(1, a, cols, x + (size_t)k * x_stride, x_stride, out + (size_t)k * out_stride + r,
           out_stride);
  }
}

#define LANES 8
#define MAX_STATE 128

static void scan_rows(int16_t *h_out, const int16_t *h, const int32_t *u, const int32_t *b,
                      const int32_t *c, int32_t decay, int headdim, int d_state, int32_t *acc);

/* A rounding, narrowing shift is the scan's own: no value leaves 16 bits after it. */
static void scan(int16_t *h_out, const int16_t *h, const int32_t *u, const int32_t *b,
                 const int32_t *c, int32_t decay, int headdim, int d_state, int32_t *acc) {
  if (d_state % LANES || d_state > MAX_STATE) {
    scan_rows(h_out, h, u, b, c, decay, headdim, d_state, acc);
    return;
  }
  int16_t b16[MAX_STATE], c16[MAX_STATE];
  for (int i = 0; i < d_state; i++) {
    b16[i] = (int16_t)b[i];
    c16[i] = (int16_t)c[i];
  }
  int16x4_t kept = vdup_n_s16((int16_t)decay);
  for (int p = 0; p < headdim; p++) {
    int16x4_t drive = vdup_n_s16((int16_t)u[p]);
    int32x4_t low = vdupq_n_s32(0), high = vdupq_n_s32(0);
    for (int i = 0; i < d_state; i += LANES, h += LANES, h_out += LANES) {
      int16x8_t old = vld1q_s16(h), enters = vld1q_s16(b16 + i), out = vld1q_s16(c16 + i);
      int32x4_t first = vmull_s16(vget_low_s16(old), kept);
      int32x4_t second = vmull_s16(vget_high_s16(old), kept);
      first = vmlal_s16(first, vget_low_s16(enters), drive);
      second = vmlal_s16(second, vget_high_s16(enters), drive);
      int16x8_t new = vcombine_s16(vrshrn_n_s32(first, 15), vrshrn_n_s32(second, 15));
      vst1q_s16(h_out, new);
      low = vmlal_s16(low, vget_low_s16(new), vget_low_s16(out));
      high = vmlal_s16(high, vget_high_s16(new), vget_high_s16(out));
    }
    acc[p] = vaddvq_s32(vaddq_s32(low, high));
  }
}

#include "awm_step.c"
#else
typedef int awm_nothing_neon;
#endif
