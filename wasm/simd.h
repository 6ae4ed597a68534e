/* The product for WebAssembly's 128-bit vectors. Sums of i16 pairs are exact: none leaves 32 bits. */
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

#include "awm.h"

#define AWM_HAS_PRODUCT
#define INLINE static inline __attribute__((always_inline))

/* One row of w by N (1 to 4) rows of x. */
INLINE void tile(int N, const int8_t *w, int cols, const int16_t *x, int x_stride, int32_t *out,
                 int out_stride) {
  v128_t sums[4] = {wasm_i32x4_splat(0), wasm_i32x4_splat(0), wasm_i32x4_splat(0),
                    wasm_i32x4_splat(0)};
  for (int c = 0; c < cols; c += 16) {
    v128_t weights = wasm_v128_load(w + c);
    v128_t low = wasm_i16x8_extend_low_i8x16(weights);
    v128_t high = wasm_i16x8_extend_high_i8x16(weights);
    for (int k = 0; k < N; k++) {
      const int16_t *at = x + (size_t)k * x_stride + c;
      v128_t first = wasm_i32x4_dot_i16x8(low, wasm_v128_load(at));
      v128_t second = wasm_i32x4_dot_i16x8(high, wasm_v128_load(at + 8));
      sums[k] = wasm_i32x4_add(sums[k], wasm_i32x4_add(first, second));
    }
  }
  for (int k = 0; k < N; k++)
    out[(size_t)k * out_stride] =
        wasm_i32x4_extract_lane(sums[k], 0) + wasm_i32x4_extract_lane(sums[k], 1) +
        wasm_i32x4_extract_lane(sums[k], 2) + wasm_i32x4_extract_lane(sums[k], 3);
}

static void product(const int8_t *w, int rows, int cols, const int16_t *x, int x_stride, int n,
                    int32_t *out, int out_stride) {
  cols = awm_padded(cols);
  for (int r = 0; r < rows; r++, w += cols) {
    int k = 0;
    for (; k + 4 <= n; k += 4)
      tile(4, w, cols, x + (size_t)k * x_stride, x_stride, out + (size_t)k * out_stride + r,
           out_stride);
    for (; k < n; k++)
      tile(1, w, cols, x + (size_t)k * x_stride, x_stride, out + (size_t)k * out_stride + r,
           out_stride);
  }
}
