/* A frame in several transactions: RUN_PARTS.
 *
 * A frame is a row of parts, each within one transaction: the input; for each layer slices of
 * in_proj, then what mixes, then slices of out_proj; the heads, slices of the logits, the end. A
 * FrameWork account holds the cursor, the inputs that the frame began with, the new state, and the
 * kernel's scratch. The last part copies the state to the session, which holds the old one until
 * then; so whatever else is sent meanwhile, a frame is whole or not there. */

#define SLICES(rows) (((u64)(rows) + SLICE_ROWS - 1) / SLICE_ROWS)

/* Parts of a product over rows of `out`. */
struct sliced {
  const u64 *w;
  const i64 *x;
  i64 *out;
  u64 rows, cols;
};

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

NOINLINE void run_slice(const struct sliced *s, u64 slice) {
  u64 first = slice * SLICE_ROWS, rows = s->rows - first;
  struct product_call p = {s->w + 1, s->x, s->out + first, rows, (s->cols + 7) & ~7ul, *s->w};
  if (p.rows > SLICE_ROWS) p.rows = SLICE_ROWS;
  p.w = behind_rows(&p, first);
  product_rows(&p);
}

NOINLINE void run_layer_part(u64 layer_, u64 part) {
  const awm_machine *m = &WORK->m;
  work *w = &WORK->w;
  int layer = (int)layer_, d = awm_dim(m, AWM_D_D_MODEL);
  u64 in = SLICES(awm_in_rows(m)), out = SLICES(d);
  if (part == in) return mix_layer(m, layer, w, &WORK->match, 0, 1);
  if (part == 0) enter_layer(m, layer, w);
  struct sliced s = {awm_layer(m, layer, part < in ? AWM_L_IN_W : AWM_L_OUT_W), w->wide, w->acc,
                     (u64)(part < in ? awm_in_rows(m) : d), (u64)(part < in ? d : awm_d_inner(m))};
  run_slice(&s, part < in ? part : part - in - 1);
  if (part == in + out) leave_layer(m, layer, w);
}

NOINLINE void run_head_part(u64 part) {
  const awm_machine *m = &WORK->m;
  work *w = &WORK->w;
  if (part == 0) return enter_heads(m, w, &WORK->match);
  struct sliced s = {awm_tensor(m, AWM_T_LOGITS_W), w->wide, w->acc,
                     (u64)awm_dim(m, AWM_D_LOGITS), (u64)head_width(m)};
  run_slice(&s, part - 1);
}

NOINLINE void run_input(void) {
  awm_match *a = &WORK->match;
  absorb(&WORK->m, &WORK->w, 0, a, awm_dim(&WORK->m, AWM_D_CONTEXT_LEN) - 1, a->pads);
  embed(&WORK->m, &WORK->w);
}

/* One part; true after the last one. */
NOINLINE int run_part(u64 part) {
  const awm_machine *m = &WORK->m;
  u64 layer_parts = SLICES(awm_in_rows(m)) + 1 + SLICES(awm_dim(m, AWM_D_D_MODEL));
  u64 layers = layer_parts * (u64)awm_dim(m, AWM_D_N_LAYERS);
  if (part == 0) return run_input(), 0;
  if (--part < layers) return run_layer_part(part / layer_parts, part % layer_parts), 0;
  part -= layers;
  if (part <= SLICES(awm_dim(m, AWM_D_LOGITS))) return run_head_part(part), 0;
  leave_heads(m, &WORK->w, &WORK->match);
  return 1;
}

/* A FrameWork for this frame: its first part takes it, unless it is at that frame already. */
NOINLINE u64 begin_parts(const struct call *c, u32 frame) {
  const struct account *a = &c->a[SCRATCH];
  u8 *f = a->data, *b = c->a[INPUT].data;
  if (get64(f)) {
    TRY(part_of(c, SCRATCH, FRAME_WORK_KIND, FRAME_WORK_SIZE, FRAME_WORK_SESSION));
    NEED(get32(f + FRAME_WORK_FRAME) != frame, ERR_WRONG_PART);
  }
  TRY(ready(c, frame, 0));
  put64(f, FRAME_WORK_KIND);
  put_key(f + FRAME_WORK_SESSION, c->a[SESSION].key);
  put32(f + FRAME_WORK_FRAME, frame);
  put32(f + FRAME_WORK_CURSOR, 0);
  put64(f + FRAME_WORK_INPUTS, get64(b + INPUT_BUFFER_PLAYER1));
  put64(f + FRAME_WORK_INPUTS + INPUT_BYTES, get64(b + INPUT_BUFFER_PLAYER2));
  return 0;
}

NOINLINE u64 end_parts(const struct call *c, u32 frame, u64 size) {
  u8 *f = c->a[SCRATCH].data, *b = c->a[INPUT].data;
  const struct account *h = &c->a[HIDDEN];
  u8 *made = f + FRAME_WORK_SIZE;
  complete(slot_of(h, frame - 1), made, frame);
  sol_memcpy_(slot_of(h, frame), made, size);
  put64(b + INPUT_BUFFER_PLAYER1, get64(f + FRAME_WORK_INPUTS));
  put64(b + INPUT_BUFFER_PLAYER2, get64(f + FRAME_WORK_INPUTS + INPUT_BYTES));
  enter_frame(c, frame);
  return 0;
}

NOINLINE u64 run_parts(const struct call *c) {
  NEED(c->n == SCRATCH + 1, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 1));
  TRY(all_parts(c));
  u32 frame = get32(c->data + RUN_PARTS_FRAME), at = get32(c->data + RUN_PARTS_FIRST);
  NEED(frame > 0, ERR_WRONG_FRAME);
  TRY(due(c, c->a[HIDDEN].data, frame));
  TRY(open_image(c));
  const struct account *h = &c->a[HIDDEN], *a = &c->a[SCRATCH];
  u8 *f = a->data, *made = f + FRAME_WORK_SIZE;
  u64 size = slot_size(h);
  NEED(same_key(a->owner, c->program), ERR_WRONG_OWNER);
  NEED(a->writable, ERR_NOT_WRITABLE);
  NEED(a->size >= FRAME_WORK_SIZE + size + arrange(&WORK->m, 0, &WORK->w), ERR_WRONG_SIZE);
  if (at == 0) TRY(begin_parts(c, frame));
  TRY(part_of(c, SCRATCH, FRAME_WORK_KIND, FRAME_WORK_SIZE, FRAME_WORK_SESSION));
  NEED(get32(f + FRAME_WORK_FRAME) == frame && get32(f + FRAME_WORK_CURSOR) == at, ERR_WRONG_PART);
  TRY(prepare(slot_of(h, frame - 1), made, size, f + FRAME_WORK_INPUTS));
  arrange(&WORK->m, made + size, &WORK->w);
  WORK->w.rows = 1;
  u32 end = at + get32(c->data + RUN_PARTS_COUNT);
  NEED(end > at, ERR_WRONG_PART);
  for (; at < end; at++)
    if (run_part(at)) {
      NEED(at + 1 == end, ERR_WRONG_PART);
      TRY(end_parts(c, frame, size));
    }
  put32(f + FRAME_WORK_CURSOR, end);
  return 0;
}
