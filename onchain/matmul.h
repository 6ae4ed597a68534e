/* Matrix times codes by the rollup's own product, in the place of products.h (-DAWM_SYSCALL).
 *
 * A matrix lies row by row in int8. Wide codes are two planes, code = 128 high + low. */

extern u64 sol_matmul_i8(const i8 *w, const i8 *x, i32 *out, u64 rows, u64 cols);

/* Rows of one call: their sums lie on the stack. */
#define CALL_ROWS 96
/* Codes of a product, at the heap's end, where the scan's table lies at other times. */
#define CODES ((i8 *)(HEAP + HEAP_BYTES - 8 * SCAN_MOST))
#define MOST_CODES (8 * SCAN_MOST)

/* out += times the product with CODES. */
NOINLINE void add_product(const struct product_call *p, i64 times) {
  const i8 *w = (const i8 *)(const void *)p->w;
  i32 sums[CALL_ROWS];
  for (u64 at = 0; at < p->rows; at += CALL_ROWS) {
    u64 n = p->rows - at < CALL_ROWS ? p->rows - at : CALL_ROWS;
    sol_matmul_i8(w + at * p->cols, CODES, sums, n, p->cols);
    i64 *out = p->out + at;
    AWM_UNROLL
    for (u64 i = 0; i < n; i++) out[i] += sums[i] * times;
  }
}

/* v without its low seven bits, which count from -64 to 63. */
INLINE i64 high_plane(i64 v) { return (v + 64) >> 7; }

NOINLINE void product_rows(const struct product_call *p) {
  i8 *codes = CODES;
  const i64 *x = p->x;
  memset(p->out, 0, 8 * p->rows);
  if (p->form & WIDE_FORM) {
    AWM_UNROLL
    for (u64 i = 0; i < p->cols; i++) codes[i] = (i8)high_plane(x[i]);
    add_product(p, 128);
    AWM_UNROLL
    for (u64 i = 0; i < p->cols; i++) codes[i] = (i8)(x[i] - 128 * high_plane(x[i]));
  } else {
    AWM_UNROLL
    for (u64 i = 0; i < p->cols; i++) codes[i] = (i8)x[i];
  }
  add_product(p, 1);
}

/* What lies behind so many rows of a matrix. */
INLINE const u64 *behind_rows(const struct product_call *p, u64 rows) {
  return (const u64 *)(const void *)((const u8 *)p->w + rows * p->cols);
}
