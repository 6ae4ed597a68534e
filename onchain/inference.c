/* The network in the virtual machine: RUN_INFERENCE and CHALLENGE.
 *
 * The step is the native kernel's own source (awm_jax/int8/native/awm_step.c), with this machine's
 * products and scan. build.py writes network.c: that source and awm_open.c with every function of
 * more than five parameters always inlined, which is what the machine's calls allow. */
#include <string.h>

#include "awm.h"

#define AWM_PATH chain
#define AWM_HAS_PRODUCT
#define AWM_HAS_SCAN
/* One match at a time. */
#define awm_rows(m) (1)
#define HEAP ((u8 *)0x300000000ul)
#define HEAP_BYTES 32768

/* ---- products: three signed weights in a word, 21 bits each ---- */

#define LANE_ROWS (3 * LANE_WORDS)
#define LANE_MASK ((1ul << LANE_BITS) - 1)
#define LANE_HALF (1ul << (LANE_BITS - 1))
#define LANE_START (LANE_HALF | LANE_HALF << LANE_BITS | LANE_HALF << (2 * LANE_BITS))

/* The empty statement keeps the columns in order: there are ten registers. */
#define COLUMN(i)      \
  do {                 \
    i64 v = x[i];      \
    a += w[4 * i] * (u64)v;     \
    b += w[4 * i + 1] * (u64)v; \
    c += w[4 * i + 2] * (u64)v; \
    d += w[4 * i + 3] * (u64)v; \
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d)); \
  } while (0)

INLINE void empty(i32 *sums, u64 a) {
  sums[0] += (i32)(a & LANE_MASK);
  sums[1] += (i32)(a >> LANE_BITS & LANE_MASK);
  sums[2] += (i32)(a >> (2 * LANE_BITS));
}

/* sums (LANE_ROWS) of one block of rows over `chunks` times AWM_ALIGN columns; the top lane has a
 * bit more than the others, so the sum of a row never reaches its neighbour. */
NOINLINE const u64 *block(const u64 *w, const i64 *x, u64 chunks, i32 *sums) {
  i32 start = -(i32)(chunks << (LANE_BITS - 1));
  for (int i = 0; i < LANE_ROWS; i++) sums[i] = start;
  for (; chunks; chunks--) {
    u64 a = LANE_START, b = LANE_START, c = LANE_START, d = LANE_START;
    for (int q = 0; q < AWM_ALIGN / 32; q++) {
      COLUMN(0); COLUMN(1); COLUMN(2); COLUMN(3); COLUMN(4); COLUMN(5); COLUMN(6); COLUMN(7);
      COLUMN(8); COLUMN(9); COLUMN(10); COLUMN(11); COLUMN(12); COLUMN(13); COLUMN(14); COLUMN(15);
      COLUMN(16); COLUMN(17); COLUMN(18); COLUMN(19); COLUMN(20); COLUMN(21); COLUMN(22); COLUMN(23);
      COLUMN(24); COLUMN(25); COLUMN(26); COLUMN(27); COLUMN(28); COLUMN(29); COLUMN(30); COLUMN(31);
      x += 32;
      w += 4 * 32;
    }
    empty(sums, a);
    empty(sums + 3, b);
    empty(sums + 6, c);
    empty(sums + 9, d);
  }
  return w;
}

struct product_call {
  const void *w;
  const i16 *x;
  i32 *out;
  i32 rows, cols;
};

/* Rows of 15-bit codes are two rows of 8-bit ones: x = 128 high + low. */
NOINLINE void product_rows(const struct product_call *p) {
  u64 cols = (u64)awm_padded(p->cols), chunks = cols / AWM_ALIGN;
  i64 *high = (i64 *)(HEAP + HEAP_BYTES) - cols, *low = high - cols;
  const i16 *x = p->x;
  u32 beyond = 0;
  for (u64 i = 0; i < cols; i++) {
    i64 v = x[i];
    beyond |= (u32)(v + 128);
    low[i] = v;
  }
  int wide = beyond >> 8 != 0;
  if (wide)
    for (u64 i = 0; i < cols; i++) {
      i64 v = low[i];
      high[i] = (v + 64) >> 7;
      low[i] = v - (high[i] << 7);
    }
  const u64 *w = p->w;
  i32 *out = p->out;
  i32 sums[LANE_ROWS], more[LANE_ROWS];
  for (i32 left = p->rows; left > 0; left -= LANE_ROWS) {
    const u64 *next = block(w, low, chunks, sums);
    if (wide) {
      block(w, high, chunks, more);
      for (int i = 0; i < LANE_ROWS; i++) sums[i] += (i32)((u32)more[i] << 7);
    }
    w = next;
    i32 n = left < LANE_ROWS ? left : LANE_ROWS;
    for (i32 i = 0; i < n; i++) *out++ = sums[i];
  }
}

INLINE void product(const i8 *w, int rows, int cols, const i16 *x, int x_stride, int n, i32 *out,
                    int out_stride) {
  struct product_call p = {w, x, out, rows, cols};
  (void)x_stride, (void)n, (void)out_stride;
  product_rows(&p);
}

/* ---- the scan ---- */

struct scan_call {
  i16 *out;
  const i16 *h;
  const i32 *u, *b, *c;
  i32 *acc;
  i64 decay;
  i32 headdim, d_state;
};

#define ELEMENT(i)                                                                   \
  do {                                                                               \
    i64 v = (h[i] * decay + drive * bc[2 * (i)] + (1 << 14)) >> 15;                  \
    out[i] = (i16)v;                                                                 \
    sum += v * bc[2 * (i) + 1];                                                      \
    __asm__ volatile("" : "+r"(sum), "+r"(h), "+r"(out), "+r"(bc) : "r"(decay), "r"(drive)); \
  } while (0)

/* bc: B and C of every state in turn, as 64-bit words: a load without an extension. */
NOINLINE i64 scan_row(const struct scan_call *s, const i16 *h, i16 *out, i64 drive, const i64 *bc) {
  const i64 decay = s->decay;
  i64 sum = 0;
  const i16 *end = h + (s->d_state & ~7), *last = h + s->d_state;
  for (; h < end; h += 8, out += 8, bc += 16) {
    ELEMENT(0); ELEMENT(1); ELEMENT(2); ELEMENT(3); ELEMENT(4); ELEMENT(5); ELEMENT(6); ELEMENT(7);
  }
  for (; h < last; h++, out++, bc += 2) ELEMENT(0);
  return sum;
}

NOINLINE void scan_head(const struct scan_call *s) {
  const i16 *h = s->h;
  i16 *out = s->out;
  i64 *bc = (i64 *)(HEAP + HEAP_BYTES) - 2 * (u64)s->d_state;
  for (i32 n = 0; n < s->d_state; n++) {
    bc[2 * n] = s->b[n];
    bc[2 * n + 1] = s->c[n];
  }
  for (i32 p = 0; p < s->headdim; p++) {
    s->acc[p] = (i32)scan_row(s, h, out, s->u[p], bc);
    h += s->d_state;
    out += s->d_state;
  }
}

INLINE void scan(i16 *h_out, const i16 *h, const i32 *u, const i32 *b, const i32 *c, i32 decay,
                 int headdim, int d_state, i32 *acc) {
  struct scan_call s = {h_out, h, u, b, c, acc, decay, headdim, d_state};
  scan_head(&s);
}

/* ---- requantisation: the source's, in the machine's own 64 bits ---- */

NOINLINE void requant_rows(i32 *acc, const i32 *bias, const i32 *shift, const i32 *m, i32 n) {
  for (i32 *end = acc + n; acc < end; acc++, bias++, shift++, m++) {
    i64 v = (i64)*acc + *bias;
    u64 s = *(const u32 *)shift;
    if (s) v = ((v >> (s - 1)) + 1) >> 1;
    if (v > 32767) v = 32767;
    if (v < -32768) v = -32768;
    *acc = (i32)((v * *m + (1 << 14)) >> 15);
  }
}

const awm_path awm_path_plain = {"chain", 0, 0, 0, 0};

INLINE int strcmp(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a - *b;
}

#include "network.c"

/* ---- from the machine's frame to the record ---- */

static const u8 record_places[][2] = PLAYER_STATE_PLACES;

NOINLINE void record_player(const awm_machine *m, const u8 *map, const awm_match *after, u32 player) {
  int last = awm_dim(m, AWM_D_CONTEXT_LEN) - 1;
  u64 row = 2 * (u64)last + (player & 1);
  u8 *p = (u8 *)after->pads - 2 * PLAYER_BYTES + (player & 1) * PLAYER_BYTES;
  const i32 *cont = after->cont_out + row * (u64)awm_dim(m, AWM_D_CONT);
  const i32 *binary = after->binary_out + row * (u64)awm_dim(m, AWM_D_BINARY);
  const i32 *ints = after->ints_out + row * (u64)awm_dim(m, AWM_D_INTS);
  for (u64 i = 0; i < sizeof record_places / 2; i++, map += RECORD_ENTRY_BYTES) {
    u8 column = map[1];
    i32 v = 0;
    if (map[0] == RECORD_PARTS) v = rsh(cont[column], 8);
    if (map[0] == RECORD_WHOLE) v = between(rsh(cont[column], 16), 0, get16(map + 2));
    if (map[0] == RECORD_BIT) v = binary[column];
    if (map[0] == RECORD_INDEX) v = ints[column];
    u8 *to = p + record_places[i][0];
    if (record_places[i][1] == 1) *to = (u8)v;
    if (record_places[i][1] == 2) put16(to, (u16)v);
    if (record_places[i][1] == 4) put32(to, (u32)v);
  }
}

/* ---- the frame ---- */

/* What a frame is computed with; in the heap, behind it comes the kernel's scratch. `players` must
 * stand right before `pads`, where record_player looks for them. */
struct frame_work {
  awm_machine m;
  awm_match match;
  u8 players[2 * PLAYER_BYTES];
  i32 pads[2 * AWM_PAD_FIELDS];
};
#define WORK ((struct frame_work *)HEAP)
#define SCRATCH_AT ((sizeof(struct frame_work) + AWM_ALIGN - 1) / AWM_ALIGN * AWM_ALIGN)

/* The image of the session's model, opened. */
NOINLINE u64 open_image(const struct call *c) {
  const struct account *a = &c->a[IMAGE];
  NEED(same_key(a->owner, c->program), ERR_WRONG_OWNER);
  NEED(a->size >= WEIGHT_SHARD_SIZE + TAIL_PADDING + IMAGE_AT, ERR_WRONG_SIZE);
  NEED(get64(a->data) == WEIGHT_SHARD_KIND, ERR_WRONG_KIND);
  NEED(a->data[WEIGHT_SHARD_FINALIZED], ERR_NOT_FINALIZED);
  NEED(same_key(a->data + WEIGHT_SHARD_DATA_HASH, c->a[SESSION].data + SESSION_STATE_MODEL),
       ERR_WRONG_MODEL);
  const u8 *image = a->data + WEIGHT_SHARD_SIZE + TAIL_PADDING;
  u64 bytes = get32(a->data + WEIGHT_SHARD_DATA_SIZE);
  NEED(get64(image) == IMAGE_MAGIC, ERR_WRONG_MODEL);
  NEED(!awm_open(&WORK->m, image + IMAGE_AT, bytes - IMAGE_AT, 0), ERR_WRONG_MODEL);
  NEED(awm_dim(&WORK->m, AWM_D_RECURRENT), ERR_WRONG_MODEL);
  return 0;
}

/* Where the arrays of a slot lie, in awm_match's order; returns the slot's bytes. */
NOINLINE u64 place_in(const awm_machine *m, u8 *slot, i32 **arrays) {
  u64 k = (u64)awm_dim(m, AWM_D_CONTEXT_LEN), at = DIGEST_BYTES;
  u64 counts[5] = {2 * k * (u64)awm_dim(m, AWM_D_CONT), 2 * k * (u64)awm_dim(m, AWM_D_BINARY),
                   2 * k * (u64)awm_dim(m, AWM_D_INTS), k, 2 * k * AWM_PAD_FIELDS};
  for (int i = 0; i < 5; i++) {
    arrays[i] = (i32 *)(void *)(slot + at);
    at += 4 * counts[i];
  }
  arrays[5] = (i32 *)(void *)(slot + at);
  at += 2 * awm_ssm_size(m);
  arrays[6] = (i32 *)(void *)(slot + at);
  at += 2 * awm_conv_size(m);
  u64 size = (at + 7) & ~7ul;
  return size;
}

NOINLINE void zero_end(const awm_machine *m, u8 *slot, const i32 *conv) {
  u8 *p = (u8 *)(void *)conv + 2 * awm_conv_size(m);
  while ((p - slot) & 7) *p++ = 0;
}

/* From the slot of frame - 1 to `to`, under the inputs (16 bytes). The players' records come to
 * lie in WORK->players. */
NOINLINE u64 compute(u8 *from, u8 *to, u64 size, const u8 *inputs, u32 frame) {
  struct frame_work *k = WORK;
  i32 *in[7], *out[7];
  NEED(place_in(&k->m, from, in) == size, ERR_WRONG_SIZE);
  place_in(&k->m, to, out);
  awm_match *a = &k->match;
  a->cont = in[0], a->binary = in[1], a->ints = in[2], a->stage = in[3], a->window = in[4];
  a->ssm = (i16 *)in[5], a->conv = (i16 *)in[6];
  a->cont_out = out[0], a->binary_out = out[1], a->ints_out = out[2], a->stage_out = out[3];
  a->window_out = out[4], a->ssm_out = (i16 *)out[5], a->conv_out = (i16 *)out[6];
  a->pads = k->pads;
  for (int i = 0; i < 2 * AWM_PAD_FIELDS; i++)
    k->pads[i] = (i & 7) < 4 ? (i32)(i8)inputs[i] : (i32)inputs[i];
  step(&k->m, a, 1, HEAP + SCRATCH_AT);
  zero_end(&k->m, to, out[6]);
  for (int i = 0; i < DIGEST_BYTES; i += 8) put64(to + i, get64(from + i));
  awm_digest_extend(&k->m, a, awm_dim(&k->m, AWM_D_CONTEXT_LEN) + (i32)frame - 1,
                    (u32 *)(void *)to);
  const u8 *map = k->m.base - IMAGE_AT + 8;
  record_player(&k->m, map, a, 0);
  record_player(&k->m, map, a, 1);
  return 0;
}

NOINLINE u64 run_inference(const struct call *c) {
  NEED(c->n == IMAGE + 1, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 1));
  TRY(all_parts(c));
  u32 frame = get32(c->data + RUN_INFERENCE_FRAME);
  NEED(frame > 0, ERR_WRONG_FRAME);
  TRY(due(c, c->a[HIDDEN].data, frame));
  TRY(ready(c, frame, 0));
  TRY(open_image(c));
  const struct account *h = &c->a[HIDDEN];
  TRY(compute(slot_of(h, frame - 1), slot_of(h, frame), slot_size(h),
              c->a[INPUT].data + INPUT_BUFFER_PLAYER1, frame));
  u8 *now = c->a[SESSION].data + SESSION_STATE_PLAYERS;
  for (int i = 0; i < 2 * PLAYER_BYTES; i += 8) put64(now + i, get64(WORK->players + i));
  advance(c, frame);
  return 0;
}

/* The last committed frame again, from the one before, into a scratch account; if the chain holds
 * another, the session is refuted. */
NOINLINE u64 challenge(const struct call *c) {
  NEED(c->n == SCRATCH + 1, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 1));
  TRY(all_parts(c));
  u8 *s = c->a[SESSION].data;
  u32 frame = get32(s + SESSION_STATE_FRAME);
  NEED(s[SESSION_STATE_STATUS] == STATUS_ACTIVE || s[SESSION_STATE_STATUS] == STATUS_ENDED,
       ERR_WRONG_STATUS);
  NEED(frame > 0, ERR_WRONG_FRAME);
  const struct account *h = &c->a[HIDDEN];
  u64 size = slot_size(h);
  TRY(owned(c, SCRATCH, 0, 8 + size, 1));
  TRY(open_image(c));
  u8 *again = c->a[SCRATCH].data + 8, *held = slot_of(h, frame);
  TRY(compute(slot_of(h, frame - 1), again, size, past_inputs(c, frame), frame));
  u64 other = 0;
  for (u64 i = 0; i < size; i += 8) other |= get64(again + i) ^ get64(held + i);
  for (int i = 0; i < 2 * PLAYER_BYTES; i += 8)
    other |= get64(WORK->players + i) ^ get64(s + SESSION_STATE_PLAYERS + i);
  NEED(other, ERR_SAME_RESULT);
  s[SESSION_STATE_STATUS] = STATUS_REFUTED;
  return 0;
}
