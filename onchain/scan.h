/* The scan of one head, in place in the new state: in two lanes where d_state is a multiple of
 * SCAN_STEP (assembly.py), else one state after the other. In the account 2^15 is added to each
 * state, which makes it what the lanes hold. */

struct scan_lanes {
  i16 *h;
  i64 *u, *u_end;
  u64 start, states, row_bytes, decay, k;
  const u64 *table, *table_end;
};
extern void scan_lanes(const struct scan_lanes *);

struct scan_call {
  i16 *h;
  const i64 *u, *b, *c;
  i64 *acc;
  i64 decay;
  u64 headdim, states;
};

#define PAIR(low, high) ((u64)(low) + ((u64)(high) << 32))
/* B and C of a layer in lanes, at the heap's end; before them where the sums of h C start. */
#define SCAN_START ((u64 *)(HEAP + HEAP_BYTES - SCAN_BYTES))
#define SCAN_TABLE (SCAN_START + 1)

INLINE int in_lanes(u64 states) { return states <= SCAN_MOST && !(states % SCAN_STEP); }

NOINLINE void scan_begin(const i64 *b, const i64 *c, u64 n) {
  if (!in_lanes(n)) return;
  u64 *t = SCAN_TABLE, sum = 0;
  for (const i64 *end = b + n; b < end; b += 4, c += 4, t += 4) {
    t[0] = PAIR(b[0], b[2]);
    t[1] = PAIR(c[2], c[0]);
    t[2] = PAIR(b[1], b[3]);
    t[3] = PAIR(c[3], c[1]);
    sum += t[1] + t[3];
  }
  *SCAN_START = (1ul << 31) - PAIR(1 << 15, 1 << 15) * sum;
}

NOINLINE void scan_in_lanes(const struct scan_call *s) {
  u64 n = s->states, k = ((32768 - (u64)s->decay) << 15) + (1 << 14);
  memcpy(s->acc, s->u, 8 * s->headdim);
  struct scan_lanes lanes = {s->h - (SCAN_MOST - n),
                             s->acc,
                             s->acc + s->headdim,
                             *SCAN_START,
                             n,
                             2 * n,
                             (u64)s->decay,
                             PAIR(k, k),
                             SCAN_TABLE,
                             SCAN_TABLE + n};
  scan_lanes(&lanes);
}

NOINLINE void scan_one_by_one(const struct scan_call *s) {
  i16 *h = s->h;
  for (u64 p = 0; p < s->headdim; p++) {
    i64 u = s->u[p], sum = 0;
    for (u64 n = 0; n < s->states; n++, h++) {
      i64 v = (((i64)(u16)*h - 32768) * s->decay + u * s->b[n] + (1 << 14)) >> 15;
      *h = (i16)(v + 32768);
      sum += v * s->c[n];
    }
    s->acc[p] = sum;
  }
}

INLINE void scan(i16 *h_out, const i16 *h, const i64 *u, const i64 *b, const i64 *c, i64 decay,
                 int headdim, int d_state, i64 *acc) {
  struct scan_call s = {h_out, u, b, c, acc, decay, (u64)headdim, (u64)d_state};
  memcpy(h_out, h, 2 * s.headdim * s.states);
  if (in_lanes(s.states))
    scan_in_lanes(&s);
  else
    scan_one_by_one(&s);
}
