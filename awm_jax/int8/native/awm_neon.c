/* The step for 64-bit ARM. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <stdint.h>

#define AWM_PATH neon
#define AWM_HAS_PRODUCT
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

#include "awm_step.c"
#else
typedef int awm_nothing_neon;
#endif
