/* AVX2, AVX-512 and AVX-512 VNNI products and scan; included by the file of each path with its
 * target set and AWM_BITS 256 or 512. Sums of i16 pairs are exact: no pair leaves 32 bits. */
#include <immintrin.h>
#include <stdint.h>

#define AWM_HAS_PRODUCT
#define AWM_HAS_SCAN
#define INLINE static inline __attribute__((always_inline))

#if AWM_BITS == 256
typedef __m256i vec;
#define V(op) _mm256_##op
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define WIDEN(p) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define MAX_ROWS 2
#else
typedef __m512i vec;
#define V(op) _mm512_##op
#define LOAD(p) _mm512_loadu_si512((const void *)(p))
#define STORE(p, v) _mm512_storeu_si512((void *)(p), v)
#define WIDEN(p) _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define MAX_ROWS 4
#endif
#define LANES (AWM_BITS / 16)

#ifdef AWM_VNNI
#define MADD_TO(acc, a, b) V(dpwssd_epi32)(acc, a, b)
#else
#define MADD_TO(acc, a, b) V(add_epi32)(acc, V(madd_epi16)(a, b))
#endif

/* The sums of four vectors' lanes. */
INLINE __m128i sums(vec a, vec b, vec c, vec d) {
#if AWM_BITS == 512
  __m256i a2 = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
  __m256i b2 = _mm256_add_epi32(_mm512_castsi512_si256(b), _mm512_extracti64x4_epi64(b, 1));
  __m256i c2 = _mm256_add_epi32(_mm512_castsi512_si256(c), _mm512_extracti64x4_epi64(c, 1));
  __m256i d2 = _mm256_add_epi32(_mm512_castsi512_si256(d), _mm512_extracti64x4_epi64(d, 1));
#else
  __m256i a2 = a, b2 = b, c2 = c, d2 = d;
#endif
  __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(a2, b2), _mm256_hadd_epi32(c2, d2));
  return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

/* R rows of w by N (1, 2 or 4) rows of x. */
INLINE void tile(int R, int N, const int8_t *w, int cols, const int16_t *x, int x_stride,
                 int32_t *out, int out_stride) {
  vec acc[4][4];
#pragma GCC unroll 4
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) acc[r][k] = V(set1_epi32)(0);
#pragma GCC unroll 2
  for (int c = 0; c < cols; c += LANES) {
    vec a[4];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) a[r] = WIDEN(w + (size_t)r * cols + c);
#pragma GCC unroll 4
    for (int k = 0; k < N; k++) {
      vec b = LOAD(x + (size_t)k * x_stride + c);
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) acc[r][k] = MADD_TO(acc[r][k], a[r], b);
    }
  }
  int32_t all[4];
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) {
    _mm_storeu_si128((__m128i *)(void *)all, sums(acc[r][0], acc[r][1], acc[r][2], acc[r][3]));
#pragma GCC unroll 4
    for (int k = 0; k < N; k++) out[(size_t)k * out_stride + r] = all[k];
  }
}

/* Four rows of w by one row of x. */
INLINE void column(const int8_t *w, int cols, const int16_t *x, int32_t *out) {
  vec acc[4];
#pragma GCC unroll 4
  for (int r = 0; r < 4; r++) acc[r] = V(set1_epi32)(0);
#pragma GCC unroll 2
  for (int c = 0; c < cols; c += LANES) {
    vec b = LOAD(x + c);
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) acc[r] = MADD_TO(acc[r], WIDEN(w + (size_t)r * cols + c), b);
  }
  _mm_storeu_si128((__m128i *)(void *)out, sums(acc[0], acc[1], acc[2], acc[3]));
}

static void product(const int8_t *w, int rows, int cols, const int16_t *x, int x_stride, int n,
                    int32_t *out, int out_stride) {
  cols = (cols + 63) / 64 * 64;
  int r = 0;
  if (n == 1) {
    for (; r + 4 <= rows; r += 4) column(w + (size_t)r * cols, cols, x, out + r);
  } else {
    for (; r + MAX_ROWS <= rows; r += MAX_ROWS) {
      const int8_t *a = w + (size_t)r * cols;
      int k = 0;
      for (; k + 4 <= n; k += 4)
        tile(MAX_ROWS, 4, a, cols, x + (size_t)k * x_stride, x_stride,
             out + (size_t)k * out_stride + r, out_stride);
      for (; k < n; k++)
        tile(MAX_ROWS, 1, a, cols, x + (size_t)k * x_stride, x_stride,
             out + (size_t)k * out_stride + r, out_stride);
    }
  }
  for (; r < rows; r++)
    for (int k = 0; k < n; k++)
      tile(1, 1, w + (size_t)r * cols, cols, x + (size_t)k * x_stride, x_stride,
           out + (size_t)k * out_stride + r, out_stride);
}

#define MAX_STATE 128

/* h' = h decay + u b as one madd of the pairs (h, u) and (decay, b). */
INLINE void scan_fused(int16_t *h_out, const int16_t *h, const int32_t *u, const int16_t *b,
                       const int16_t *c, int32_t decay, int headdim, int blocks, int32_t *acc) {
  vec low[MAX_STATE / LANES], high[MAX_STATE / LANES];
  vec d = V(set1_epi16)((int16_t)decay), half = V(set1_epi32)(1 << 14);
  for (int i = 0; i < blocks; i++) {
    vec v = LOAD(b + i * LANES);
    low[i] = V(unpacklo_epi16)(d, v);
    high[i] = V(unpackhi_epi16)(d, v);
  }
  for (int p = 0; p < headdim; p += 4) {
    vec sum[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      vec drive = V(set1_epi16)((int16_t)u[p + q]);
      sum[q] = V(set1_epi32)(0);
#pragma GCC unroll 4
      for (int i = 0; i < blocks; i++) {
        vec v = LOAD(h);
        vec l = V(madd_epi16)(V(unpacklo_epi16)(v, drive), low[i]);
        vec g = V(madd_epi16)(V(unpackhi_epi16)(v, drive), high[i]);
        l = V(srai_epi32)(V(add_epi32)(l, half), 15);
        g = V(srai_epi32)(V(add_epi32)(g, half), 15);
        v = V(packs_epi32)(l, g);
        STORE(h_out, v);
        sum[q] = MADD_TO(sum[q], v, LOAD(c + i * LANES));
        h += LANES;
        h_out += LANES;
      }
    }
    _mm_storeu_si128((__m128i *)(void *)(acc + p), sums(sum[0], sum[1], sum[2], sum[3]));
  }
}

static void scan_rows(int16_t *h_out, const int16_t *h, const int32_t *u, const int32_t *b,
                      const int32_t *c, int32_t decay, int headdim, int d_state, int32_t *acc);

static void scan(int16_t *h_out, const int16_t *h, const int32_t *u, const int32_t *b,
                 const int32_t *c, int32_t decay, int headdim, int d_state, int32_t *acc) {
  if (d_state % LANES || d_state > MAX_STATE || headdim % 4) {
    scan_rows(h_out, h, u, b, c, decay, headdim, d_state, acc);
    return;
  }
  int16_t b16[MAX_STATE], c16[MAX_STATE];
  for (int i = 0; i < d_state; i++) {
    b16[i] = (int16_t)b[i];
    c16[i] = (int16_t)c[i];
  }
  if (d_state == 64)
    scan_fused(h_out, h, u, b16, c16, decay, headdim, 64 / LANES, acc);
  else
    scan_fused(h_out, h, u, b16, c16, decay, headdim, d_state / LANES, acc);
}
