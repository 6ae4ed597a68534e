/* Matrix times codes. A matrix of the image (crank/solana/chain_image.py) says how its words hold
 * the weights: two rows of 32 bits, or three of 21; and whether many codes are zero. assembly.py has the inner loop. */

#define BLOCK_WORDS 6
#define WIDE_ROWS (2 * BLOCK_WORDS)
#define NARROW_ROWS (3 * BLOCK_WORDS)
#define LANE_MASK ((1ul << LANE_BITS) - 1)

extern const u64 *six_sums(const u64 *w, const i64 *x, const i64 *x_blocks, const i64 *x_end,
                           u64 *out);
extern const u64 *six_sums_sparse(const u64 *w, const i64 *x, const i64 *x_blocks,
                                  const i64 *x_end, u64 *out);

INLINE const u64 *sums_of(const struct product_call *p, const u64 *w, u64 cols, u64 *six) {
  const i64 *x = p->x, *blocks = x + (cols & ~63ul);
  return p->form & SPARSE ? six_sums_sparse(w, x, blocks, x + cols, six)
                          : six_sums(w, x, blocks, x + cols, six);
}

/* Each row of a word is below 2^31 in size: the lower one is taken out of the upper. */
INLINE void open_wide(i64 *out, const u64 *six) {
  for (int i = 0; i < BLOCK_WORDS; i++) {
    i64 low = (i64)(six[i] << 32) >> 32;
    out[2 * i] = low;
    out[2 * i + 1] = (i64)(six[i] - (u64)low) >> 32;
  }
}

/* Rows of a word are never negative: their start words see to that, and `start` takes it back. */
INLINE void open_narrow(i64 *out, const u64 *six, const i64 *before) {
  for (int i = 0; i < BLOCK_WORDS; i++) {
    u64 a = six[i];
    out[3 * i] = before[3 * i] + (i64)(a & LANE_MASK);
    a >>= LANE_BITS;
    out[3 * i + 1] = before[3 * i + 1] + (i64)(a & LANE_MASK);
    a >>= LANE_BITS;
    out[3 * i + 2] = before[3 * i + 2] + (i64)a;
  }
}

/* One block of rows; returns what lies behind it. */
NOINLINE const u64 *wide_block(const struct product_call *p, const u64 *w, i64 *out) {
  u64 six[BLOCK_WORDS];
  w = sums_of(p, w, p->cols, six);
  open_wide(out, six);
  return w;
}

/* The same, in chunks of as many columns as the block's first word says. */
NOINLINE const u64 *narrow_block(const struct product_call *p, const u64 *w, i64 *out) {
  u64 chunk = *w++, six[BLOCK_WORDS];
  const i64 *before = (const i64 *)w;
  struct product_call part = *p;
  w += NARROW_ROWS;
  for (u64 left = p->cols; left; left -= chunk) {
    if (chunk > left) chunk = left;
    w = sums_of(&part, w, chunk, six);
    open_narrow(out, six, before);
    before = out;
    part.x += chunk;
  }
  return w;
}

NOINLINE void product_rows(const struct product_call *p) {
  const u64 *w = p->w;
  i64 *out = p->out, last[NARROW_ROWS];
  u64 rows = p->form & WIDE_FORM ? WIDE_ROWS : NARROW_ROWS;
  for (u64 left = p->rows; left;) {
    u64 n = left < rows ? left : rows;
    i64 *to = n < rows ? last : out;
    w = p->form & WIDE_FORM ? wide_block(p, w, to) : narrow_block(p, w, to);
    if (n < rows) memcpy(out, last, 8 * n);
    out += n;
    left -= n;
  }
}

/* What lies behind so many rows of a matrix. */
NOINLINE const u64 *behind_rows(const struct product_call *p, u64 rows) {
  const u64 *w = p->w;
  if (p->form & WIDE_FORM) return w + rows / WIDE_ROWS * (BLOCK_WORDS * (p->cols + 1));
  for (; rows; rows -= NARROW_ROWS) {
    u64 chunks = (p->cols + *w - 1) / *w;
    w += 1 + NARROW_ROWS + BLOCK_WORDS * (chunks + p->cols);
  }
  return w;
}
