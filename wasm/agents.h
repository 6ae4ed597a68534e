/* The integer machine's agents: docs/integer-spec.md sections 7 and 8. Included after awm_step.c,
 * whose codes and products a policy uses. */
#define PRESS_FROM 58982
#define MAX_DRAWS (2 * ((AWM_ANALOG + AWM_BUTTONS + 1) / 2))

/* One block of Threefry-2x32 with 20 rounds. */
static void threefry(const uint32_t key[2], uint32_t x[2]) {
  static const uint8_t turns[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  const uint32_t keys[3] = {key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDAu};
  x[0] += keys[0];
  x[1] += keys[1];
  for (uint32_t group = 0; group < 5; group++) {
    for (int i = 0; i < 4; i++) {
      x[0] += x[1];
      x[1] = rotl(x[1], turns[group % 2][i]) ^ x[0];
    }
    x[0] += keys[(group + 1) % 3];
    x[1] += keys[(group + 2) % 3] + group + 1;
  }
}

/* The first n draws of a player in a frame; n is at most MAX_DRAWS, and is rounded up to even. */
static void draw(const uint32_t seed[2], int32_t number, int player, int n, uint32_t *draws) {
  for (int j = 0; 2 * j < n; j++) {
    draws[2 * j] = (uint32_t)number;
    draws[2 * j + 1] = ((uint32_t)player << 16) + (uint32_t)j;
    threefry(seed, draws + 2 * j);
  }
}

static void press(int32_t *pad, int button, int down) {
  static const int8_t places[AWM_BUTTONS][2] = AWM_BUTTON_BITS;
  pad[places[button][0]] |= down << places[button][1];
}

static void act_hold_forward(int32_t number, int32_t *pad) {
  pad[0] = AWM_STICK_MAX;
  press(pad, 0, number % 10 < 3);
}

static void act_random(const uint32_t seed[2], int32_t number, int player, int32_t *pad) {
  uint32_t draws[MAX_DRAWS];
  draw(seed, number, player, AWM_ANALOG + AWM_BUTTONS, draws);
  for (int i = 0; i < AWM_ANALOG - 1; i++)
    pad[i] = (int32_t)((draws[i] >> 16) * (2 * AWM_STICK_MAX + 1) >> 16) - AWM_STICK_MAX;
  pad[AWM_ANALOG - 1] = (int32_t)(draws[AWM_ANALOG - 1] >> 24);
  for (int i = 0; i < AWM_BUTTONS; i++)
    press(pad, i, draws[AWM_ANALOG + i] >> 16 >= PRESS_FROM);
}

/* An opened policy: an image whose frame projection is the policy's first layer, over all K' frames
 * that it looks at, whose layer before the heads is its trunk, and whose logits are its outputs. */
typedef struct {
  awm_machine machine;
  awm_match seen; /* K' frames, the own player first */
  work work;
} policy;

static const char *policy_open(policy *p, const uint8_t *image, size_t length) {
  static const int used[] = {AWM_T_SIGMOID,    AWM_T_COLUMN_M,   AWM_T_COLUMN_S, AWM_T_EMBEDDINGS,
                             AWM_T_FRAME_BIAS, AWM_T_FRAME_A,    AWM_T_FRAME_M,  AWM_T_HIDDEN_W,
                             AWM_T_HIDDEN_BIAS, AWM_T_HIDDEN_A,  AWM_T_HIDDEN_M, AWM_T_LOGITS_W,
                             AWM_T_LOGITS_BIAS, AWM_T_LOGITS_A,  AWM_T_LOGITS_M};
  awm_machine *m = &p->machine;
  size_t head = sizeof AWM_POLICY_MAGIC + 4 * (AWM_D_COUNT + AWM_T_COUNT);
  if (length < head || memcmp(image, AWM_POLICY_MAGIC, sizeof AWM_POLICY_MAGIC)) return "no policy";
  m->base = image;
  m->dims = (const int32_t *)(const void *)(image + sizeof AWM_POLICY_MAGIC);
  m->table = m->dims + AWM_D_COUNT;
  const int32_t *d = m->dims;
  if (length > 0x7fffffff || d[AWM_D_VERSION] != AWM_VERSION || d[AWM_D_BYTES] != (int32_t)length)
    return "a policy of another version or length than it says";
  if (!inside(d[AWM_D_D_MODEL], 1, MAX_DIM) || !inside(d[AWM_D_HEAD_HIDDEN], 1, MAX_DIM) ||
      !inside(d[AWM_D_CONTEXT_LEN], 1, MAX_WINDOW) || d[AWM_D_GEOMETRY] ||
      d[AWM_D_LOGITS] != AWM_ANALOG + AWM_BUTTONS || !inside(d[AWM_D_CONT], 1, 64) ||
      !inside(d[AWM_D_BINARY], 1, 64) || !inside(d[AWM_D_INTS], 1, AWM_MAX_INTS))
    return "a policy's dimension out of range";
  for (int i = 0; i <= AWM_MAX_INTS; i++)
    if (!inside(d[AWM_D_VOCAB_0 + i], 0, MAX_DIM) || !inside(d[AWM_D_WIDTH_0 + i], 0, 512))
      return "a policy's embedding out of range";
  if (d[AWM_D_N_WIDE] != 2 * (d[AWM_D_CONT] + AWM_ANALOG) ||
      d[AWM_D_N_NARROW] != 2 * (d[AWM_D_BINARY] + AWM_BUTTONS) + embedded(d))
    return "a policy's inputs that fit no frame";
  for (int i = 0; i < AWM_T_COUNT; i++) {
    size_t bytes = 0;
    for (size_t j = 0; j < sizeof used / sizeof *used; j++)
      if (used[j] == i) bytes = tensor_bytes(d, i);
    if (i == AWM_T_FRAME_WIDE)
      bytes = weights(d[AWM_D_D_MODEL], d[AWM_D_CONTEXT_LEN] * d[AWM_D_N_WIDE]);
    if (i == AWM_T_FRAME_NARROW)
      bytes = weights(d[AWM_D_D_MODEL], d[AWM_D_CONTEXT_LEN] * d[AWM_D_N_NARROW]);
    if (m->table[i] < (int32_t)head || m->table[i] % AWM_ALIGN || (size_t)m->table[i] > length ||
        bytes > length - (size_t)m->table[i])
      return "a policy's tensor outside its image";
  }
  return 0;
}

/* Lays out what acting needs; `take_room` gives memory. */
static void policy_arrange(policy *p, void *(*take_room)(size_t)) {
  const awm_machine *m = &p->machine;
  size_t k = (size_t)awm_dim(m, AWM_D_CONTEXT_LEN);
  int widest = wider(awm_dim(m, AWM_D_D_MODEL), awm_dim(m, AWM_D_HEAD_HIDDEN));
  int codes = awm_padded(wider((int)k * awm_dim(m, AWM_D_N_WIDE), widest));
  int narrow = awm_padded((int)k * awm_dim(m, AWM_D_N_NARROW));
  p->seen.cont = take_room(4 * k * 2 * (size_t)awm_dim(m, AWM_D_CONT));
  p->seen.binary = take_room(4 * k * 2 * (size_t)awm_dim(m, AWM_D_BINARY));
  p->seen.ints = take_room(4 * k * 2 * (size_t)awm_dim(m, AWM_D_INTS));
  p->seen.stage = take_room(4 * k);
  p->seen.window = take_room(4 * k * 2 * AWM_PAD_FIELDS);
  p->work.rows = 1;
  p->work.code_stride = codes;
  p->work.acc_stride = awm_padded(widest);
  /* A frame's codes are padded beyond their own end. */
  p->work.wide = take_room(sizeof(code) * (size_t)(codes + AWM_ALIGN));
  p->work.narrow = take_room(sizeof(code) * (size_t)(narrow + AWM_ALIGN));
  p->work.acc = take_room(sizeof(num) * (size_t)p->work.acc_stride);
  p->work.few_stride = p->work.acc_stride;
  p->work.few = take_room(sizeof(num) * (size_t)p->work.few_stride);
}

/* The last k of `of` frames of `width` values for each player, `player`'s own half first. */
static void own_first(const int32_t *from, int of, int k, int width, int player, int32_t *to) {
  from += (size_t)(of - k) * 2 * (size_t)width;
  size_t half = sizeof(int32_t) * (size_t)width;
  for (int i = 0; i < 2 * k; i++)
    memcpy(to + (size_t)i * width, from + (size_t)(player ? i ^ 1 : i) * width, half);
}

/* accumulators of one row -> codes 0..AWM_WIDE_MAX, padded. */
static void rectify(const num *acc, int n, code *codes) {
  for (int i = 0; i < n; i++) codes[i] = (code)between(acc[i], 0, AWM_WIDE_MAX);
  memset(codes + n, 0, sizeof(code) * (size_t)(awm_padded(n) - n));
}

/* One dense layer of one row of codes, requantised in w->acc. */
static void dense(const awm_machine *m, work *w, int first, int rows, int cols) {
  product(awm_tensor(m, first), rows, cols, w->wide, w->code_stride, 1, w->acc, w->acc_stride);
  requant_rows(w->acc, awm_tensor(m, first + 1), awm_tensor(m, first + 2),
               awm_tensor(m, first + 3), rows);
}

/* `match` holds the last `of` frames. */
static void act_policy(policy *p, const awm_match *match, int of, const uint32_t seed[2],
                       int32_t number, int player, int32_t *pad) {
  const awm_machine *m = &p->machine;
  work *w = &p->work;
  awm_match *seen = &p->seen;
  int k = awm_dim(m, AWM_D_CONTEXT_LEN), n_wide = awm_dim(m, AWM_D_N_WIDE);
  int n_narrow = awm_dim(m, AWM_D_N_NARROW), n = awm_dim(m, AWM_D_D_MODEL);
  int trunk_rows = awm_dim(m, AWM_D_HEAD_HIDDEN);
  own_first(match->cont, of, k, awm_dim(m, AWM_D_CONT), player, (int32_t *)seen->cont);
  own_first(match->binary, of, k, awm_dim(m, AWM_D_BINARY), player, (int32_t *)seen->binary);
  own_first(match->ints, of, k, awm_dim(m, AWM_D_INTS), player, (int32_t *)seen->ints);
  own_first(match->window, of, k, AWM_PAD_FIELDS, player, (int32_t *)seen->window);
  memcpy((int32_t *)seen->stage, match->stage + of - k, sizeof(int32_t) * (size_t)k);
  for (int i = 0; i < k; i++)
    frame_codes(m, seen, i, seen->window + (size_t)i * 2 * AWM_PAD_FIELDS, w->wide + i * n_wide,
                w->narrow + i * n_narrow);
  pad_codes(w->wide + k * n_wide, w->wide, k * n_wide);
  pad_codes(w->narrow + k * n_narrow, w->narrow, k * n_narrow);
  mixed(m, w, AWM_T_FRAME_WIDE, n, k * n_wide, k * n_narrow, awm_dim(m, AWM_D_FRAME_K));
  rectify(w->acc, n, w->wide);
  dense(m, w, AWM_T_HIDDEN_W, trunk_rows, n);
  rectify(w->acc, trunk_rows, w->wide);
  dense(m, w, AWM_T_LOGITS_W, AWM_ANALOG + AWM_BUTTONS, trunk_rows);
  const num *sigmoid = awm_tensor(m, AWM_T_SIGMOID), *out = w->acc;
  for (int i = 0; i < AWM_ANALOG - 1; i++)
    pad[i] = rsh(lookup(sigmoid, out[i]) * (2 * AWM_STICK_MAX), 15) - AWM_STICK_MAX;
  pad[AWM_ANALOG - 1] = rsh(lookup(sigmoid, out[AWM_ANALOG - 1]) * 255, 15);
  uint32_t draws[MAX_DRAWS];
  draw(seed, number, player, AWM_BUTTONS, draws);
  for (int i = 0; i < AWM_BUTTONS; i++)
    press(pad, i, (i32)(draws[i] >> 17) < lookup(sigmoid, out[AWM_ANALOG + i]));
}
