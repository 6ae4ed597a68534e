/* The network in the virtual machine: RUN_INFERENCE and CHALLENGE.
 *
 * The step is the native kernel's own source (awm_jax/int8/native/awm_step.c and what it includes),
 * computing in 64 bits, with this machine's products, scan, and loops over the longest rows.
 * build.py writes network.c: that source and awm_open.c with every function of more than five
 * parameters always inlined, which is what the machine's calls allow. */
#include <string.h>

#define AWM_NUM i64
#define AWM_UNUM u64
#define AWM_CODE i64
#include "awm.h"

#define AWM_PATH chain
#define AWM_HAS_PRODUCT
#define AWM_HAS_SCAN
#define AWM_SCAN_BEGIN(b, c, d_state) scan_begin(b, c, (u64)(d_state))
/* The image has the hash of the session's model; its tensors are only read. */
#define AWM_TABLE_KNOWN
#define AWM_UNROLL _Pragma("clang loop unroll_count(8)")
/* One match at a time. */
#define awm_rows(m) (1)
#define HEAP ((u8 *)0x300000000ul)
#define HEAP_BYTES 32768
#define SCAN_BYTES (8 * (SCAN_MOST + 1))

#ifdef AWM_COUNT_UNITS
extern void sol_log_(const char *text, u64 n);
extern void sol_log_compute_units_(void);
#define AWM_PART(name) (sol_log_(name, sizeof(name) - 1), sol_log_compute_units_())
#else
#define AWM_PART(name)
#endif

#include "assembly.h"
#include "elements.h"

struct product_call {
  const u64 *w;
  const i64 *x;
  i64 *out;
  u64 rows, cols, form;
};
#ifdef AWM_SYSCALL
#include "matmul.h"
#define THIS_IMAGE CALL_IMAGE_MAGIC
#else
#include "products.h"
#define THIS_IMAGE IMAGE_MAGIC
#define MOST_CODES 0x7fffffff
#endif

/* A matrix begins with its form. */
INLINE void product(const i8 *w, int rows, int cols, const i64 *x, int x_stride, int n, i64 *out,
                    int out_stride) {
  const u64 *words = (const u64 *)(const void *)w;
  struct product_call p = {words + 1, x, out, (u64)rows, ((u64)cols + 7) & ~7ul, *words};
  (void)x_stride, (void)n, (void)out_stride;
  product_rows(&p);
}

#include "scan.h"

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
  work w;
  u8 players[2 * PLAYER_BYTES];
  i32 pads[2 * AWM_PAD_FIELDS];
};
#define WORK ((struct frame_work *)HEAP)
#define SCRATCH_AT ((sizeof(struct frame_work) + AWM_ALIGN - 1) / AWM_ALIGN * AWM_ALIGN)

/* The shards of an image, in order: the account IMAGE, and those behind SCRATCH. */
_Static_assert(MAX_ACCOUNTS == SCRATCH + MOST_SHARDS, "a shard is IMAGE, the others lie behind");
struct shards {
  const u8 *data[MOST_SHARDS];
  u64 size[MOST_SHARDS], n, bytes;
};

NOINLINE u64 add_shard(const struct call *c, struct shards *g, const struct account *a) {
  NEED(is_ours(c, a), ERR_WRONG_OWNER);
  NEED(a->size >= WEIGHT_SHARD_SIZE + TAIL_PADDING, ERR_WRONG_SIZE);
  NEED(get64(a->data) == WEIGHT_SHARD_KIND, ERR_WRONG_KIND);
  NEED(a->data[WEIGHT_SHARD_FINALIZED], ERR_NOT_FINALIZED);
  u64 size = get32(a->data + WEIGHT_SHARD_DATA_SIZE);
  NEED(a->size == WEIGHT_SHARD_SIZE + TAIL_PADDING + size, ERR_WRONG_SIZE);
  g->data[g->n] = a->data + WEIGHT_SHARD_SIZE + TAIL_PADDING;
  g->size[g->n++] = size;
  g->bytes += size;
  return 0;
}

/* The session's model is the hash of its one shard, or that of its shards' hashes. */
NOINLINE u64 check_model(const struct call *c, const struct shards *g) {
  struct part parts[MOST_SHARDS];
  u8 joined[32];
  for (u64 i = 0; i < g->n; i++) {
    parts[i].at = g->data[i] - WEIGHT_SHARD_SIZE - TAIL_PADDING + WEIGHT_SHARD_DATA_HASH;
    parts[i].size = 32;
  }
  const u8 *model = parts[0].at;
  if (g->n > 1) {
    sol_sha256(parts, g->n, joined);
    model = joined;
  }
  NEED(same_key(model, c->a[SESSION].data + SESSION_STATE_MODEL), ERR_WRONG_MODEL);
  return 0;
}

/* The tensors of all shards, as they lie behind the first one's image: in the heap, which is free
 * where a frame is made in parts. */
NOINLINE void find_tensors(const struct shards *g) {
  awm_machine *m = &WORK->m;
  const i32 *told = m->table;
  i32 *table = (i32 *)(void *)(HEAP + SCRATCH_AT);
  for (i32 i = 0; i < AWM_T_COUNT + awm_dim(m, AWM_D_N_LAYERS) * AWM_L_COUNT; i++) {
    u64 at = IMAGE_AT + (u64)told[i], k = 0;
    for (; k + 1 < g->n && at >= g->size[k]; k++) at -= g->size[k];
    table[i] = (i32)(g->data[k] + at - m->base);
  }
  m->table = table;
}

/* The image of the session's model, opened. */
NOINLINE u64 open_image(const struct call *c) {
  struct shards g;
  g.n = g.bytes = 0;
  TRY(add_shard(c, &g, &c->a[IMAGE]));
  for (u64 i = SCRATCH + 1; i < c->n; i++) TRY(add_shard(c, &g, &c->a[i]));
  TRY(check_model(c, &g));
  NEED(g.size[0] > IMAGE_AT && get64(g.data[0]) == THIS_IMAGE, ERR_WRONG_MODEL);
  NEED(!awm_open(&WORK->m, g.data[0] + IMAGE_AT, g.bytes - IMAGE_AT, 0), ERR_WRONG_MODEL);
  NEED(awm_dim(&WORK->m, AWM_D_RECURRENT), ERR_WRONG_MODEL);
  NEED(code_width(&WORK->m) <= MOST_CODES, ERR_TOO_LARGE);
  if (g.n > 1) find_tensors(&g);
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

/* WORK for a frame from the slot `from` to `to`, under the inputs (16 bytes). */
NOINLINE u64 prepare(u8 *from, u8 *to, u64 size, const u8 *inputs) {
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
  return 0;
}

/* After the step: what else a slot holds, and the players' records in WORK->players. */
NOINLINE void complete(u8 *from, u8 *to, u32 frame) {
  struct frame_work *k = WORK;
  awm_match *a = &k->match;
  AWM_PART("digest");
  zero_end(&k->m, to, (const i32 *)(const void *)a->conv_out);
  for (int i = 0; i < DIGEST_BYTES; i += 8) put64(to + i, get64(from + i));
  awm_digest_extend(&k->m, a, awm_dim(&k->m, AWM_D_CONTEXT_LEN) + (i32)frame - 1,
                    (u32 *)(void *)to);
  AWM_PART("record, log");
  const u8 *map = k->m.base - IMAGE_AT + 8;
  record_player(&k->m, map, a, 0);
  record_player(&k->m, map, a, 1);
}

/* From the slot of frame - 1 to `to`, under the inputs (16 bytes). */
NOINLINE u64 compute(u8 *from, u8 *to, u64 size, const u8 *inputs, u32 frame) {
  TRY(prepare(from, to, size, inputs));
  NEED(arrange(&WORK->m, 0, &WORK->w) <= HEAP_BYTES - SCRATCH_AT - SCAN_BYTES, ERR_TOO_LARGE);
  step(&WORK->m, &WORK->match, 1, HEAP + SCRATCH_AT);
  complete(from, to, frame);
  return 0;
}

/* The session goes on to the frame in WORK. */
NOINLINE void enter_frame(const struct call *c, u32 frame) {
  u8 *now = c->a[SESSION].data + SESSION_STATE_PLAYERS;
  for (int i = 0; i < 2 * PLAYER_BYTES; i += 8) put64(now + i, get64(WORK->players + i));
  advance(c, frame);
}

NOINLINE u64 run_inference(const struct call *c) {
  AWM_PART("nothing");
  AWM_PART("checks");
  NEED(c->n == IMAGE + 1, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 1));
  TRY(all_parts(c));
  u32 frame = get32(c->data + RUN_INFERENCE_FRAME);
  NEED(frame > 0, ERR_WRONG_FRAME);
  TRY(due(c, c->a[HIDDEN].data, frame));
  TRY(ready(c, frame, 0));
  AWM_PART("opening");
  TRY(open_image(c));
  const struct account *h = &c->a[HIDDEN];
  TRY(compute(slot_of(h, frame - 1), slot_of(h, frame), slot_size(h),
              c->a[INPUT].data + INPUT_BUFFER_PLAYER1, frame));
  enter_frame(c, frame);
  AWM_PART("end");
  return 0;
}

/* The last committed frame may be computed again. */
NOINLINE u64 disputable(const struct call *c, u32 frame) {
  const u8 *s = c->a[SESSION].data;
  NEED(s[SESSION_STATE_STATUS] == STATUS_ACTIVE || s[SESSION_STATE_STATUS] == STATUS_ENDED,
       ERR_WRONG_STATUS);
  NEED(frame > 0 && frame == get32(s + SESSION_STATE_FRAME), ERR_WRONG_FRAME);
  return 0;
}

INLINE int differ(const u8 *a, const u8 *b, u64 n) {
  i32 order;
  sol_memcmp_(a, b, n, &order);
  return order != 0;
}

/* A frame that was computed again, its players in WORK, against what was committed. */
NOINLINE u64 judge(const struct call *c, const u8 *again, const u8 *held, u64 size,
                   const u8 *players) {
  NEED(differ(again, held, size) || differ(WORK->players, players, 2 * PLAYER_BYTES),
       ERR_SAME_RESULT);
  c->a[SESSION].data[SESSION_STATE_STATUS] = STATUS_REFUTED;
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
  TRY(disputable(c, frame));
  const struct account *h = &c->a[HIDDEN];
  u64 size = slot_size(h);
  TRY(owned(c, SCRATCH, 0, 8 + size, 1));
  TRY(open_image(c));
  u8 *again = c->a[SCRATCH].data + 8;
  TRY(compute(slot_of(h, frame - 1), again, size, past_inputs(c, frame), frame));
  return judge(c, again, slot_of(h, frame), size, s + SESSION_STATE_PLAYERS);
}
