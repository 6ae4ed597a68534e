/* A frame in several transactions: RUN_PARTS, and DISPUTE, which makes one again.
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
  AWM_PART("slices");
  struct sliced s = {awm_layer(m, layer, part < in ? AWM_L_IN_W : AWM_L_OUT_W), w->wide, w->acc,
                     (u64)(part < in ? awm_in_rows(m) : d), (u64)(part < in ? d : awm_d_inner(m))};
  run_slice(&s, part < in ? part : part - in - 1);
  if (part == in + out) leave_layer(m, layer, w);
}

NOINLINE void run_head_part(u64 part) {
  const awm_machine *m = &WORK->m;
  work *w = &WORK->w;
  if (part == 0) return enter_heads(m, w, &WORK->match);
  AWM_PART("slices");
  struct sliced s = {awm_tensor(m, AWM_T_LOGITS_W), w->wide, w->acc,
                     (u64)awm_dim(m, AWM_D_LOGITS), (u64)head_width(m)};
  run_slice(&s, part - 1);
}

NOINLINE void run_input(void) {
  AWM_PART("encoding");
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

/* A frame on its way: from which state, to which one, with which scratch. */
struct job {
  u8 *from, *made, *scratch;
  u64 size;
  u32 frame;
};

/* The parts that the call names, in the account SCRATCH. */
NOINLINE u64 go_on(const struct call *c, const struct job *j, int *ended) {
  u8 *f = c->a[SCRATCH].data;
  u32 at = get32(c->data + RUN_PARTS_FIRST), end = at + get32(c->data + RUN_PARTS_COUNT);
  NEED(get32(f + FRAME_WORK_FRAME) == j->frame && get32(f + FRAME_WORK_CURSOR) == at,
       ERR_WRONG_PART);
  NEED(end > at, ERR_WRONG_PART);
  TRY(prepare(j->from, j->made, j->size, f + FRAME_WORK_INPUTS));
  arrange(&WORK->m, j->scratch, &WORK->w);
  WORK->w.rows = 1;
  for (*ended = 0; at < end; at++)
    if (run_part(at)) {
      NEED(at + 1 == end, ERR_WRONG_PART);
      complete(j->from, j->made, j->frame);
      *ended = 1;
    }
  put32(f + FRAME_WORK_CURSOR, end);
  AWM_PART("end");
  return 0;
}

/* SCRATCH, which the program owns, has so many bytes behind the slots and the scratch. */
NOINLINE u64 has_room(const struct call *c, u64 slots, u64 more) {
  const struct account *a = &c->a[SCRATCH];
  NEED(is_ours(c, a), ERR_WRONG_OWNER);
  NEED(a->writable, ERR_NOT_WRITABLE);
  u64 room = FRAME_WORK_SIZE + slots * slot_size(&c->a[HIDDEN]) + more;
  NEED(a->size >= room + arrange(&WORK->m, 0, &WORK->w), ERR_WRONG_SIZE);
  return 0;
}

NOINLINE void start_work(const struct call *c, u64 kind, u32 frame, const u8 *inputs) {
  u8 *f = c->a[SCRATCH].data;
  put64(f, kind);
  put_key(f + FRAME_WORK_SESSION, c->a[SESSION].key);
  put32(f + FRAME_WORK_FRAME, frame);
  put32(f + FRAME_WORK_CURSOR, 0);
  put64(f + FRAME_WORK_INPUTS, get64(inputs));
  put64(f + FRAME_WORK_INPUTS + INPUT_BYTES, get64(inputs + INPUT_BYTES));
}

/* ---- RUN_PARTS ---- */

/* A FrameWork for this frame: its first part takes it, unless it is at that frame already. */
NOINLINE u64 begin_parts(const struct call *c, u32 frame) {
  u8 *f = c->a[SCRATCH].data;
  if (get64(f)) {
    TRY(part_of(c, SCRATCH, FRAME_WORK_KIND, FRAME_WORK_SIZE, FRAME_WORK_SESSION));
    NEED(get32(f + FRAME_WORK_FRAME) != frame, ERR_WRONG_PART);
  } else {
    TRY(at_own_address(c, SCRATCH, FRAME_WORK_ADDRESS, sizeof(FRAME_WORK_ADDRESS) - 1));
  }
  TRY(ready(c, frame, 0));
  start_work(c, FRAME_WORK_KIND, frame, c->a[INPUT].data + INPUT_BUFFER_PLAYER1);
  return 0;
}

NOINLINE u64 run_parts(const struct call *c) {
  AWM_PART("nothing");
  AWM_PART("checks");
  NEED(c->n > SCRATCH, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 1));
  TRY(all_parts(c));
  u32 frame = get32(c->data + RUN_PARTS_FRAME);
  NEED(frame > 0, ERR_WRONG_FRAME);
  TRY(due(c, c->a[HIDDEN].data, frame));
  AWM_PART("opening");
  TRY(open_image(c));
  AWM_PART("begin");
  TRY(has_room(c, 1, 0));
  if (get32(c->data + RUN_PARTS_FIRST) == 0) TRY(begin_parts(c, frame));
  TRY(part_of(c, SCRATCH, FRAME_WORK_KIND, FRAME_WORK_SIZE, FRAME_WORK_SESSION));
  const struct account *h = &c->a[HIDDEN];
  u8 *f = c->a[SCRATCH].data, *made = f + FRAME_WORK_SIZE, *b = c->a[INPUT].data;
  u64 size = slot_size(h);
  struct job j = {slot_of(h, frame - 1), made, made + size, size, frame};
  int ended;
  TRY(go_on(c, &j, &ended));
  if (!ended) return 0;
  sol_memcpy_(slot_of(h, frame), made, size);
  put64(b + INPUT_BUFFER_PLAYER1, get64(f + FRAME_WORK_INPUTS));
  put64(b + INPUT_BUFFER_PLAYER2, get64(f + FRAME_WORK_INPUTS + INPUT_BYTES));
  enter_frame(c, frame);
  return 0;
}

/* ---- DISPUTE: a CHALLENGE in parts ---- */

_Static_assert(FRAME_DISPUTE_SIZE == FRAME_WORK_SIZE && DISPUTE_FRAME == RUN_PARTS_FRAME &&
                   DISPUTE_FIRST == RUN_PARTS_FIRST && DISPUTE_COUNT == RUN_PARTS_COUNT,
               "a dispute is told and kept as a frame in parts is");

/* A dispute of the last frame, begun or begun again by the one whose it is: it takes with it what
 * was committed and the state before, so that the match may go on meanwhile. */
NOINLINE u64 begin_dispute(const struct call *c, u32 frame) {
  const struct account *h = &c->a[HIDDEN];
  u8 *f = c->a[SCRATCH].data, *kept = f + FRAME_WORK_SIZE + slot_size(h);
  TRY(disputable(c, frame));
  if (!get64(f)) put_key(f + FRAME_WORK_AUTHORITY, c->a[ACTOR].key);
  start_work(c, FRAME_DISPUTE_KIND, frame, past_inputs(c, frame));
  sol_memcpy_(kept, slot_of(h, frame - 1), slot_size(h));
  sol_memcpy_(kept + slot_size(h), slot_of(h, frame), slot_size(h));
  sol_memcpy_(kept + 2 * slot_size(h), c->a[SESSION].data + SESSION_STATE_PLAYERS,
              2 * PLAYER_BYTES);
  return 0;
}

NOINLINE u64 dispute(const struct call *c) {
  NEED(c->n > SCRATCH, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 1));
  TRY(all_parts(c));
  TRY(open_image(c));
  TRY(has_room(c, 3, 2 * PLAYER_BYTES));
  u32 frame = get32(c->data + DISPUTE_FRAME);
  u8 *f = c->a[SCRATCH].data, *made = f + FRAME_WORK_SIZE;
  if (get64(f) || get32(c->data + DISPUTE_FIRST)) {
    TRY(part_of(c, SCRATCH, FRAME_DISPUTE_KIND, FRAME_WORK_SIZE, FRAME_WORK_SESSION));
    NEED(same_key(f + FRAME_WORK_AUTHORITY, c->a[ACTOR].key), ERR_NOT_AUTHORITY);
  }
  if (get32(c->data + DISPUTE_FIRST) == 0) TRY(begin_dispute(c, frame));
  u64 size = slot_size(&c->a[HIDDEN]);
  u8 *from = made + size, *held = from + size, *players = held + size;
  struct job j = {from, made, players + 2 * PLAYER_BYTES, size, frame};
  int ended;
  TRY(go_on(c, &j, &ended));
  if (!ended) return 0;
  put64(f, 0);
  return judge(c, made, held, size, players);
}
