/* A session: CREATE, JOIN, END, SUBMIT_INPUT, WRITE_STATE, COMMIT_FRAME; weights; the entry point.
 *
 * Accounts of an operation are in a fixed order: the SessionState, who acts, then what it needs of
 * HiddenState, InputBuffer, FrameLog, InputHistory. */
#include "chain.h"

enum { SESSION, ACTOR, HIDDEN, INPUT, LOG, HISTORY, IMAGE, SCRATCH };

/* ---- checks ---- */

/* An account's owner stands behind its key. */
INLINE int is_ours(const struct call *c, const struct account *a) {
  return same_key(a->key + 32, c->program);
}

NOINLINE u64 owned(const struct call *c, int i, u64 kind, u64 size, int writable) {
  const struct account *a = &c->a[i];
  NEED(is_ours(c, a), ERR_WRONG_OWNER);
  NEED(a->size >= size, ERR_WRONG_SIZE);
  NEED(get64(a->data) == kind, kind ? ERR_WRONG_KIND : ERR_IN_USE);
  NEED(a->writable || !writable, ERR_NOT_WRITABLE);
  return 0;
}

NOINLINE u64 session_of(const struct call *c, int writable) {
  TRY(owned(c, SESSION, SESSION_STATE_KIND, SESSION_STATE_SIZE, writable));
  NEED(c->a[SESSION].size == SESSION_STATE_SIZE, ERR_WRONG_SIZE);
  NEED(c->a[ACTOR].signer, ERR_NOT_SIGNED);
  return 0;
}

/* An account of this session, by what stands in its authority. */
NOINLINE u64 part_of(const struct call *c, int i, u64 kind, u64 size, u64 authority) {
  TRY(owned(c, i, kind, size, 1));
  NEED(same_key(c->a[i].data + authority, c->a[SESSION].key), ERR_WRONG_SESSION);
  return 0;
}

NOINLINE u64 all_parts(const struct call *c) {
  TRY(part_of(c, HIDDEN, HIDDEN_STATE_KIND, HIDDEN_STATE_SIZE, HIDDEN_STATE_AUTHORITY));
  TRY(part_of(c, INPUT, INPUT_BUFFER_KIND, INPUT_BUFFER_SIZE, INPUT_BUFFER_AUTHORITY));
  TRY(part_of(c, LOG, FRAME_LOG_KIND, FRAME_LOG_SIZE, FRAME_LOG_AUTHORITY));
  return part_of(c, HISTORY, INPUT_HISTORY_KIND, INPUT_HISTORY_SIZE, INPUT_HISTORY_AUTHORITY);
}

NOINLINE u64 at_own_address(const struct call *c, int i, const char *seed, u64 seed_size) {
  u8 address[32];
  struct part parts[3] = {{c->a[SESSION].key, 32}, {seed, seed_size}, {c->program, 32}};
  sol_sha256(parts, 3, address);
  NEED(same_key(address, c->a[i].key), ERR_WRONG_SESSION);
  return 0;
}

/* An account that is unused, of the size it must have and at the session's own address for it. */
NOINLINE u64 fresh(const struct call *c, int i, u64 size, const char *seed, u64 seed_size) {
  TRY(owned(c, i, 0, size, 1));
  NEED(c->a[i].size == size, ERR_WRONG_SIZE);
  return at_own_address(c, i, seed, seed_size);
}
#define FRESH(i, size, name) fresh(c, i, size, name##_ADDRESS, sizeof(name##_ADDRESS) - 1)

/* ---- the life of a session ---- */

INLINE void start_player(u8 *p, u8 character) {
  sol_memset_(p, 0, PLAYER_BYTES);
  p[PLAYER_STATE_CHARACTER] = character;
  p[PLAYER_STATE_STOCKS] = START_STOCKS;
}

INLINE void place_player(u8 *p, i32 x, u8 facing) {
  put32(p + PLAYER_STATE_X, (u32)x);
  p[PLAYER_STATE_FACING] = facing;
  p[PLAYER_STATE_ON_GROUND] = 1;
  p[PLAYER_STATE_JUMPS_LEFT] = START_JUMPS;
  put16(p + PLAYER_STATE_SHIELD_STRENGTH, START_SHIELD);
}

INLINE u64 slot_size(const struct account *hidden) {
  return (hidden->size - HIDDEN_STATE_SIZE - TAIL_PADDING) / SLOTS;
}
INLINE u8 *slot_of(const struct account *hidden, u32 frame) {
  return hidden->data + HIDDEN_STATE_SIZE + TAIL_PADDING + frame % SLOTS * slot_size(hidden);
}

NOINLINE u64 create_parts(const struct call *c, u64 max_frames, u64 state) {
  TRY(FRESH(HIDDEN, HIDDEN_STATE_SIZE + TAIL_PADDING + SLOTS * state, HIDDEN_STATE));
  TRY(FRESH(INPUT, INPUT_BUFFER_SIZE, INPUT_BUFFER));
  TRY(FRESH(LOG, FRAME_LOG_SIZE + LOG_ENTRIES * ENTRY_BYTES, FRAME_LOG));
  TRY(FRESH(HISTORY, INPUT_HISTORY_SIZE + 2 * INPUT_BYTES * max_frames, INPUT_HISTORY));
  return 0;
}

NOINLINE u64 create(const struct call *c) {
  const u8 *d = c->data;
  NEED(c->n == HISTORY + 1, ERR_BAD_ACCOUNTS);
  TRY(owned(c, SESSION, 0, SESSION_STATE_SIZE, 1));
  u8 *s = c->a[SESSION].data;
  NEED(c->a[SESSION].size == SESSION_STATE_SIZE, ERR_WRONG_SIZE);
  NEED(c->a[SESSION].signer && c->a[ACTOR].signer, ERR_NOT_SIGNED);
  NEED(s[SESSION_STATE_STATUS] == STATUS_CREATED, ERR_WRONG_STATUS);
  u64 max_frames = get32(d + CREATE_MAX_FRAMES), state = get32(d + CREATE_STATE_SIZE);
  u64 inner = get16(d + CREATE_D_INNER), n = get16(d + CREATE_D_STATE);
  u64 elements = inner * n * d[CREATE_NUM_LAYERS];
  NEED(d[CREATE_CHARACTER] < CHARACTERS && d[CREATE_STAGE] < STAGES, ERR_BAD_VALUE);
  NEED(max_frames > 0 && elements > 0 && elements >> 32 == 0, ERR_BAD_VALUE);
  NEED(state >= DIGEST_BYTES && (state & 7) == 0, ERR_BAD_VALUE);
  NEED(!zero_key(d + CREATE_AUTHORITY), ERR_BAD_VALUE);
  TRY(create_parts(c, max_frames, state));

  const u8 *session = c->a[SESSION].key;
  sol_memset_(s, 0, SESSION_STATE_SIZE);
  put64(s, SESSION_STATE_KIND);
  s[SESSION_STATE_STATUS] = STATUS_WAITING;
  put32(s + SESSION_STATE_MAX_FRAMES, (u32)max_frames);
  put_key(s + SESSION_STATE_PLAYER1, c->a[ACTOR].key);
  s[SESSION_STATE_STAGE] = d[CREATE_STAGE];
  start_player(s + SESSION_STATE_PLAYERS, d[CREATE_CHARACTER]);
  put_key(s + SESSION_STATE_MODEL, d + CREATE_MODEL);
  put64(s + SESSION_STATE_SEED, get64(d + CREATE_SEED));
  put_key(s + SESSION_STATE_AUTHORITY, d + CREATE_AUTHORITY);

  u8 *h = c->a[HIDDEN].data, *b = c->a[INPUT].data, *l = c->a[LOG].data, *y = c->a[HISTORY].data;
  sol_memset_(h, 0, HIDDEN_STATE_SIZE + TAIL_PADDING);
  put64(h, HIDDEN_STATE_KIND);
  h[HIDDEN_STATE_NUM_LAYERS] = d[CREATE_NUM_LAYERS];
  put16(h + HIDDEN_STATE_D_INNER, (u16)inner);
  put16(h + HIDDEN_STATE_D_STATE, (u16)n);
  put32(h + HIDDEN_STATE_DATA_SIZE, (u32)elements);
  put_key(h + HIDDEN_STATE_AUTHORITY, session);
  sol_memset_(b, 0, INPUT_BUFFER_SIZE);
  put64(b, INPUT_BUFFER_KIND);
  put_key(b + INPUT_BUFFER_AUTHORITY, session);
  sol_memset_(l, 0, FRAME_LOG_SIZE);
  put64(l, FRAME_LOG_KIND);
  put_key(l + FRAME_LOG_SESSION, session);
  put_key(l + FRAME_LOG_AUTHORITY, session);
  put64(y, INPUT_HISTORY_KIND);
  put_key(y + INPUT_HISTORY_SESSION, session);
  put_key(y + INPUT_HISTORY_AUTHORITY, session);
  return 0;
}

NOINLINE u64 join(const struct call *c) {
  NEED(c->n == ACTOR + 1, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 1));
  u8 *s = c->a[SESSION].data, *players = s + SESSION_STATE_PLAYERS;
  NEED(s[SESSION_STATE_STATUS] == STATUS_WAITING, ERR_WRONG_STATUS);
  NEED(!same_key(s + SESSION_STATE_PLAYER1, c->a[ACTOR].key), ERR_OWN_SESSION);
  NEED(c->data[JOIN_CHARACTER] < CHARACTERS, ERR_BAD_VALUE);
  put_key(s + SESSION_STATE_PLAYER2, c->a[ACTOR].key);
  start_player(players + PLAYER_BYTES, c->data[JOIN_CHARACTER]);
  place_player(players, -START_X, 1);
  place_player(players + PLAYER_BYTES, START_X, 0);
  s[SESSION_STATE_STATUS] = STATUS_ACTIVE;
  return 0;
}

NOINLINE u64 end(const struct call *c) {
  NEED(c->n == ACTOR + 1, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 1));
  u8 *s = c->a[SESSION].data;
  const u8 *who = c->a[ACTOR].key;
  NEED(s[SESSION_STATE_STATUS] == STATUS_WAITING || s[SESSION_STATE_STATUS] == STATUS_ACTIVE,
       ERR_WRONG_STATUS);
  NEED(same_key(s + SESSION_STATE_PLAYER1, who) || same_key(s + SESSION_STATE_AUTHORITY, who) ||
           (s[SESSION_STATE_STATUS] == STATUS_ACTIVE && same_key(s + SESSION_STATE_PLAYER2, who)),
       ERR_NOT_AUTHORITY);
  s[SESSION_STATE_STATUS] = STATUS_ENDED;
  return 0;
}

/* ---- inputs ---- */

NOINLINE u64 submit_input(const struct call *c) {
  NEED(c->n == INPUT, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 0));
  const u8 *s = c->a[SESSION].data, *who = c->a[ACTOR].key;
  /* The third account of this operation is the InputBuffer. */
  TRY(part_of(c, HIDDEN, INPUT_BUFFER_KIND, INPUT_BUFFER_SIZE, INPUT_BUFFER_AUTHORITY));
  u8 *b = c->a[HIDDEN].data;
  NEED(s[SESSION_STATE_STATUS] == STATUS_ACTIVE, ERR_WRONG_STATUS);
  int player = same_key(s + SESSION_STATE_PLAYER1, who) ? 0 : 1;
  NEED(player == 0 || same_key(s + SESSION_STATE_PLAYER2, who), ERR_NOT_A_PLAYER);
  u32 due = get32(s + SESSION_STATE_FRAME) + 1;
  NEED(get32(c->data + SUBMIT_INPUT_FRAME) == due, ERR_WRONG_FRAME);
  put64(b + (player ? INPUT_BUFFER_PLAYER2 : INPUT_BUFFER_PLAYER1),
        get64(c->data + SUBMIT_INPUT_CONTROLLER));
  if (get32(b + INPUT_BUFFER_FRAME) != due) {
    put32(b + INPUT_BUFFER_FRAME, due);
    b[INPUT_BUFFER_P1_READY] = b[INPUT_BUFFER_P2_READY] = 0;
  }
  b[player ? INPUT_BUFFER_P2_READY : INPUT_BUFFER_P1_READY] = 1;
  return 0;
}

/* ---- frames ---- */

/* v / 2^s, truncated towards zero; the machine has no signed division. */
INLINE i64 quotient(i64 v, int s) { return (v + ((v >> 63) & ((1l << s) - 1))) >> s; }
INLINE i8 small(i64 v) { return (i8)(v > 127 ? 127 : v < -128 ? -128 : v); }

NOINLINE void log_player(u8 *e, const u8 *p) {
  put16(e + COMPRESSED_PLAYER_X, (u16)quotient((i32)get32(p + PLAYER_STATE_X), 8));
  put16(e + COMPRESSED_PLAYER_Y, (u16)quotient((i32)get32(p + PLAYER_STATE_Y), 8));
  put16(e + COMPRESSED_PLAYER_PERCENT, get16(p + PLAYER_STATE_PERCENT));
  put16(e + COMPRESSED_PLAYER_ACTION_STATE, get16(p + PLAYER_STATE_ACTION_STATE));
  u16 age = get16(p + PLAYER_STATE_STATE_AGE);
  e[COMPRESSED_PLAYER_STATE_AGE] = age > 255 ? 255 : (u8)age;
  e[COMPRESSED_PLAYER_STOCKS] = p[PLAYER_STATE_STOCKS];
  e[COMPRESSED_PLAYER_FACING] = p[PLAYER_STATE_FACING];
  e[COMPRESSED_PLAYER_ON_GROUND] = p[PLAYER_STATE_ON_GROUND];
  e[COMPRESSED_PLAYER_SPEED_X] = (u8)small(quotient((i16)get16(p + PLAYER_STATE_SPEED_GROUND_X), 2));
  e[COMPRESSED_PLAYER_SPEED_Y] = (u8)small(quotient((i16)get16(p + PLAYER_STATE_SPEED_Y), 2));
}

INLINE u32 packed_input(const u8 *i) {
  return (u32)i[0] << 24 | (u32)i[1] << 16 | (u32)i[2] << 8 | i[6];
}

INLINE u8 *past_inputs(const struct call *c, u32 frame) {
  return c->a[HISTORY].data + INPUT_HISTORY_SIZE + (u64)(frame - 1) * 2 * INPUT_BYTES;
}

/* The session goes on to a frame whose slot and players are written. */
NOINLINE void advance(const struct call *c, u32 frame) {
  u8 *s = c->a[SESSION].data, *b = c->a[INPUT].data, *l = c->a[LOG].data;
  const u8 *players = s + SESSION_STATE_PLAYERS;
  put32(s + SESSION_STATE_FRAME, frame);
  put32(c->a[HIDDEN].data + HIDDEN_STATE_FRAME, frame);
  c->a[HIDDEN].data[HIDDEN_STATE_INITIALIZED] = 1;
  if (frame == 0) return;

  u8 *y = past_inputs(c, frame);
  put64(y, get64(b + INPUT_BUFFER_PLAYER1));
  put64(y + INPUT_BYTES, get64(b + INPUT_BUFFER_PLAYER2));
  b[INPUT_BUFFER_P1_READY] = b[INPUT_BUFFER_P2_READY] = 0;

  u16 at = get16(l + FRAME_LOG_WRITE_INDEX) % LOG_ENTRIES;
  u8 *e = l + FRAME_LOG_SIZE + (u64)at * ENTRY_BYTES;
  put32(e + COMPRESSED_FRAME_FRAME, frame);
  log_player(e + COMPRESSED_FRAME_PLAYERS, players);
  log_player(e + COMPRESSED_FRAME_PLAYERS +
                 (COMPRESSED_FRAME_P1_INPUT - COMPRESSED_FRAME_PLAYERS) / 2,
             players + PLAYER_BYTES);
  put32(e + COMPRESSED_FRAME_P1_INPUT, packed_input(b + INPUT_BUFFER_PLAYER1));
  put32(e + COMPRESSED_FRAME_P2_INPUT, packed_input(b + INPUT_BUFFER_PLAYER2));
  e[COMPRESSED_FRAME_STAGE] = s[SESSION_STATE_STAGE];
  put16(l + FRAME_LOG_WRITE_INDEX, (u16)((at + 1) % LOG_ENTRIES));
  put32(l + FRAME_LOG_TOTAL_FRAMES, frame);

  if (frame >= get32(s + SESSION_STATE_MAX_FRAMES) || players[PLAYER_STATE_STOCKS] == 0 ||
      players[PLAYER_BYTES + PLAYER_STATE_STOCKS] == 0)
    s[SESSION_STATE_STATUS] = STATUS_ENDED;
}

/* The frame that is due is `frame`: the next one, or the start. */
NOINLINE u64 due(const struct call *c, const u8 *hidden, u32 frame) {
  const u8 *s = c->a[SESSION].data;
  NEED(s[SESSION_STATE_STATUS] == STATUS_ACTIVE, ERR_WRONG_STATUS);
  u32 next = hidden[HIDDEN_STATE_INITIALIZED] ? get32(s + SESSION_STATE_FRAME) + 1 : 0;
  NEED(frame == next, ERR_WRONG_FRAME);
  return 0;
}

/* Both inputs of a frame are in, but for those that are held. */
NOINLINE u64 ready(const struct call *c, u32 frame, u8 held) {
  const u8 *b = c->a[INPUT].data;
  int now = get32(b + INPUT_BUFFER_FRAME) == frame;
  NEED((now && b[INPUT_BUFFER_P1_READY]) || held & 1, ERR_NOT_READY);
  NEED((now && b[INPUT_BUFFER_P2_READY]) || held & 2, ERR_NOT_READY);
  return 0;
}

NOINLINE u64 write_state(const struct call *c) {
  NEED(c->n == HIDDEN + 1, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 0));
  NEED(same_key(c->a[SESSION].data + SESSION_STATE_AUTHORITY, c->a[ACTOR].key), ERR_NOT_AUTHORITY);
  TRY(part_of(c, HIDDEN, HIDDEN_STATE_KIND, HIDDEN_STATE_SIZE, HIDDEN_STATE_AUTHORITY));
  u32 frame = get32(c->data + WRITE_STATE_FRAME);
  u64 at = get32(c->data + WRITE_STATE_OFFSET), bytes = c->size - OP_WRITE_STATE_SIZE;
  TRY(due(c, c->a[HIDDEN].data, frame));
  NEED(at + bytes <= slot_size(&c->a[HIDDEN]), ERR_OUT_OF_BOUNDS);
  sol_memcpy_(slot_of(&c->a[HIDDEN], frame) + at, c->data + OP_WRITE_STATE_SIZE, bytes);
  return 0;
}

INLINE int possible(const u8 *p, const u8 *before) {
  return p[PLAYER_STATE_CHARACTER] == before[PLAYER_STATE_CHARACTER] &&
         p[PLAYER_STATE_STOCKS] <= START_STOCKS && p[PLAYER_STATE_FACING] <= 1 &&
         p[PLAYER_STATE_ON_GROUND] <= 1 && get16(p + PLAYER_STATE_ACTION_STATE) < ACTIONS;
}

NOINLINE u64 commit_frame(const struct call *c) {
  const u8 *d = c->data, *players = d + COMMIT_FRAME_PLAYERS;
  NEED(c->n == HISTORY + 1, ERR_BAD_ACCOUNTS);
  TRY(session_of(c, 1));
  u8 *s = c->a[SESSION].data, *now = s + SESSION_STATE_PLAYERS;
  NEED(same_key(s + SESSION_STATE_AUTHORITY, c->a[ACTOR].key), ERR_NOT_AUTHORITY);
  TRY(all_parts(c));
  u32 frame = get32(d + COMMIT_FRAME_FRAME);
  TRY(due(c, c->a[HIDDEN].data, frame));
  if (frame) {
    const u8 *b = c->a[INPUT].data;
    TRY(ready(c, frame, d[COMMIT_FRAME_HELD]));
    NEED(get64(b + INPUT_BUFFER_PLAYER1) == get64(d + COMMIT_FRAME_INPUTS) &&
             get64(b + INPUT_BUFFER_PLAYER2) == get64(d + COMMIT_FRAME_INPUTS + INPUT_BYTES),
         ERR_INPUTS_CHANGED);
  }
  NEED(possible(players, now) && possible(players + PLAYER_BYTES, now + PLAYER_BYTES),
       ERR_BAD_VALUE);
  u8 hash[32];
  struct part slot = {slot_of(&c->a[HIDDEN], frame), slot_size(&c->a[HIDDEN])};
  sol_sha256(&slot, 1, hash);
  NEED(same_key(hash, d + COMMIT_FRAME_DIGEST), ERR_WRONG_HASH);
  for (int i = 0; i < 2 * PLAYER_BYTES; i += 8) put64(now + i, get64(players + i));
  advance(c, frame);
  return 0;
}

/* ---- weights ---- */

NOINLINE u64 create_shard(const struct call *c) {
  NEED(c->n == ACTOR + 1, ERR_BAD_ACCOUNTS);
  u64 size = get32(c->data + CREATE_SHARD_DATA_SIZE);
  TRY(owned(c, SESSION, 0, WEIGHT_SHARD_SIZE, 1));
  NEED(c->a[SESSION].size == WEIGHT_SHARD_SIZE + TAIL_PADDING + size, ERR_WRONG_SIZE);
  NEED(c->a[SESSION].signer && c->a[ACTOR].signer, ERR_NOT_SIGNED);
  u8 *w = c->a[SESSION].data;
  sol_memset_(w, 0, WEIGHT_SHARD_SIZE + TAIL_PADDING);
  put64(w, WEIGHT_SHARD_KIND);
  w[WEIGHT_SHARD_SHARD_INDEX] = c->data[CREATE_SHARD_INDEX];
  put32(w + WEIGHT_SHARD_DATA_SIZE, (u32)size);
  put_key(w + WEIGHT_SHARD_SHARD_AUTHORITY, c->a[ACTOR].key);
  put_key(w + WEIGHT_SHARD_DATA_HASH, c->data + CREATE_SHARD_DATA_HASH);
  return 0;
}

NOINLINE u64 own_shard(const struct call *c) {
  NEED(c->n == ACTOR + 1, ERR_BAD_ACCOUNTS);
  TRY(owned(c, SESSION, WEIGHT_SHARD_KIND, WEIGHT_SHARD_SIZE + TAIL_PADDING, 1));
  NEED(c->a[ACTOR].signer, ERR_NOT_SIGNED);
  const u8 *w = c->a[SESSION].data;
  NEED(same_key(w + WEIGHT_SHARD_SHARD_AUTHORITY, c->a[ACTOR].key), ERR_NOT_AUTHORITY);
  NEED(!w[WEIGHT_SHARD_FINALIZED], ERR_FINALIZED);
  return 0;
}

NOINLINE u64 upload(const struct call *c) {
  TRY(own_shard(c));
  u8 *w = c->a[SESSION].data;
  u64 at = get32(c->data + UPLOAD_OFFSET), bytes = c->size - OP_UPLOAD_SIZE;
  NEED(at + bytes <= get32(w + WEIGHT_SHARD_DATA_SIZE), ERR_OUT_OF_BOUNDS);
  sol_memcpy_(w + WEIGHT_SHARD_SIZE + TAIL_PADDING + at, c->data + OP_UPLOAD_SIZE, bytes);
  return 0;
}

NOINLINE u64 finalize(const struct call *c) {
  TRY(own_shard(c));
  u8 *w = c->a[SESSION].data, hash[32];
  struct part data = {w + WEIGHT_SHARD_SIZE + TAIL_PADDING, get32(w + WEIGHT_SHARD_DATA_SIZE)};
  sol_sha256(&data, 1, hash);
  NEED(same_key(hash, w + WEIGHT_SHARD_DATA_HASH), ERR_WRONG_HASH);
  w[WEIGHT_SHARD_FINALIZED] = 1;
  return 0;
}

#include "inference.c"
#include "parts.c"

/* ---- entry ---- */

INLINE u8 *read_account(u8 *p, struct account *a) {
  a->signer = p[1];
  a->writable = p[2];
  a->key = p + 8;
  a->size = get64(p + 80);
  a->data = p + 88;
  return p + 88 + ((a->size + 7) & ~7ul) + 10240 + 8;
}

/* Operations of a fixed length; of WRITE_STATE and UPLOAD that is the least. */
NOINLINE u64 dispatch(const struct call *c) {
  u64 size = c->size;
  u8 op = c->data[0];
  if (op == OP_SUBMIT_INPUT && size == OP_SUBMIT_INPUT_SIZE) return submit_input(c);
  if (op == OP_RUN_INFERENCE && size == OP_RUN_INFERENCE_SIZE) return run_inference(c);
  if (op == OP_RUN_PARTS && size == OP_RUN_PARTS_SIZE) return run_parts(c);
  if (op == OP_WRITE_STATE && size >= OP_WRITE_STATE_SIZE) return write_state(c);
  if (op == OP_COMMIT_FRAME && size == OP_COMMIT_FRAME_SIZE) return commit_frame(c);
  if (op == OP_CREATE && size == OP_CREATE_SIZE) return create(c);
  if (op == OP_JOIN && size == OP_JOIN_SIZE) return join(c);
  if (op == OP_END && size == OP_END_SIZE) return end(c);
  if (op == OP_CREATE_SHARD && size == OP_CREATE_SHARD_SIZE) return create_shard(c);
  if (op == OP_UPLOAD && size >= OP_UPLOAD_SIZE) return upload(c);
  if (op == OP_FINALIZE && size == OP_FINALIZE_SIZE) return finalize(c);
  if (op == OP_CHALLENGE && size == OP_CHALLENGE_SIZE) return challenge(c);
  if (op == OP_DISPUTE && size == OP_DISPUTE_SIZE) return dispute(c);
  return ERR_BAD_INSTRUCTION;
}

u64 entrypoint(u8 *input) {
  struct call c;
  u8 *p = input + 8;
  u64 count = get64(input);
  NEED(count >= 2 && count <= MAX_ACCOUNTS, ERR_BAD_ACCOUNTS);
  for (c.n = 0; c.n < count; c.n++) {
    NEED(*p == 0xff, ERR_BAD_ACCOUNTS); /* the same account twice */
    p = read_account(p, &c.a[c.n]);
  }
  c.size = get64(p);
  c.data = p + 8;
  c.program = c.data + c.size;
  NEED(c.size >= 1, ERR_BAD_INSTRUCTION);
  return dispatch(&c);
}
