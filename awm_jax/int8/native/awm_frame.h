/* From head outputs to the next frame (awm_jax/int8/world.py and game/rules.py). */
#ifndef AWM_FRAME_H
#define AWM_FRAME_H

static void shift(i32 *out, const i32 *in, int k, int width) {
  memmove(out, in + width, sizeof(i32) * (size_t)(k - 1) * (size_t)width);
}

#ifndef AWM_HAS_FIRST_LARGEST
static i32 first_largest(const num *x, int n) {
  int best = 0;
  for (int i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}
#endif

/* The categories of the new frame: the largest logit of each head, the first of equals. */
static void choose(const awm_machine *m, const num *logits, i32 *ints) {
  for (int i = 0; i < AWM_CATEGORICAL; i++) {
    int column = awm_dim(m, AWM_D_AT_ACTION + i);
    int vocab = awm_dim(m, AWM_D_VOCAB_0 + column);
    for (int p = 0; p < 2; p++) {
      ints[p * awm_dim(m, AWM_D_INTS) + column] = first_largest(logits, vocab);
      logits += vocab;
    }
  }
}

static i32 whole(i32 value) {
  return (value + AWM_UNIT / 2) >> 16 << 16;
}

/* Moves both players' continuous columns by the numeric outputs, in place. `hit`: who takes new
 * damage, as far as there are game rules. */
static void move(const awm_machine *m, const num *acc, i32 *cont, int *hit) {
  const num *bias = awm_tensor(m, AWM_T_NUMERIC_BIAS), *mul = awm_tensor(m, AWM_T_NUMERIC_M);
  const num *s = awm_tensor(m, AWM_T_NUMERIC_S), *l = awm_tensor(m, AWM_T_NUMERIC_L);
  int starts[3] = {awm_dim(m, AWM_D_AT_CORE), awm_dim(m, AWM_D_AT_VELOCITY),
                   awm_dim(m, AWM_D_AT_DYNAMICS)};
  int n_dynamics = awm_dim(m, AWM_D_N_DYNAMICS), n_core = starts[1] - starts[0];
  int widths[3] = {n_core, awm_dim(m, AWM_D_NUMERIC) / 2 - n_core - n_dynamics, n_dynamics};
  int rules = awm_dim(m, AWM_D_GAME_RULES);
  int percent = awm_dim(m, AWM_D_AT_PERCENT), stocks = awm_dim(m, AWM_D_AT_STOCKS);
  num struck[2] = {0, 0};
  int i = 0;
  for (int part = 0; part < 3; part++)
    for (int p = 0; p < 2; p++)
      for (int j = 0; j < widths[part]; j++, i++) {
        i32 *column = cont + p * awm_dim(m, AWM_D_CONT) + starts[part] + j;
        num value = mulshift(acc[i] + bias[i], mul[i], s[i]);
        value = clamp(shifted(value, l[i]), AWM_CHANGE_MAX);
        if (rules && starts[part] + j == stocks) {
          num damage = struck[p] < AWM_LEAST_HIT ? AWM_LEAST_HIT : struck[p];
          hit[p] = value > 0;
          if (hit[p]) cont[p * awm_dim(m, AWM_D_CONT) + percent] += (i32)damage;
          continue;
        }
        if (rules && starts[part] + j == percent) {
          struck[p] = value;
          continue;
        }
        if (part < 2)
          *column += (i32)value;
        else
          *column = rules ? whole((i32)(*column + value)) : (i32)value;
      }
}

/* What the rules ask of a player's frame before. */
typedef struct {
  i32 x, y, knockback[2], hitlag, hitstun, action, age, character, last_attack;
  int stood;
} awm_before;

/* rules.py: what follows an action by how long recorded games have it. `said`: what the network
 * chose; `alone`: whether the other has no part in it; `lag`: the new hitlag. */
static i32 lasting(const awm_before *old, i32 said, int alone, i32 lag) {
  static const short lengths[AWM_ENDING][4] = AWM_LENGTHS;
  i32 action = old->action, who = old->character;
  const short *row = lengths[action < 0 || action >= AWM_ACTIONS ? 0 : action], *ends = row;
  if (action >= AWM_OWN && action < AWM_ACTIONS && who >= 0 && who < AWM_FIGHTERS) {
    row = lengths[AWM_ACTIONS + (AWM_ACTIONS - AWM_OWN) * who + action - AWM_OWN];
    if (row[1]) ends = row;
  }
  if (alone && (lag > 0 || old->age + 1 < row[0])) said = action;
  return said == action && ends[1] && old->age + 1 >= ends[1] ? ends[2 + old->stood] : said;
}

/* rules.py: the action of the new frame, where the network chose `said`. */
static i32 next_action(const awm_before *before, i32 said, i32 x, i32 y, const num *lines,
                       int struck, i32 lag) {
  i32 old = before->action, age = before->age;
  static const i32 dying[AWM_DYING][3] = AWM_DYING_FRAMES;
  for (int i = 0; i < AWM_DYING; i++)
    if (old == dying[i][0]) return age + 1 < dying[i][1] ? old : dying[i][2];
  if (old == AWM_REBIRTH)
    return age + 1 < AWM_REBIRTH_FRAMES ? old : said > AWM_REBIRTH ? said : AWM_WAITING;
  if (y < lines[0]) return AWM_BEYOND_BOTTOM;
  if (x < lines[1]) return AWM_BEYOND_LEFT;
  if (x > lines[2]) return AWM_BEYOND_RIGHT;
  int up = y > lines[3] && (said == AWM_UP || said == AWM_FAR_UP);
  int alone = !struck && (said < AWM_CAUGHT || said > AWM_CAUGHT_LAST);
  if (said <= AWM_REBIRTH && !up) said = old;
  return lasting(before, said, alone, lag);
}

static int is_still(i32 action) {
  return (action >= AWM_BEYOND_BOTTOM && action <= AWM_BEYOND_RIGHT) || action == AWM_GONE;
}

/* rules.py: knockback of whoever is not hit, in place. */
static void wear(const i32 *old, i32 *now) {
  i32 size[2];
  for (int i = 0; i < 2; i++) size[i] = old[i] < 0 ? -old[i] : old[i];
  for (int i = 0; i < 2; i++) {
    i32 most = size[i] - (size[i] >= size[1 - i] ? AWM_WEAR : 0);
    if (most < 0) most = 0;
    now[i] = between(now[i], old[i] < 0 ? -most : 0, old[i] > 0 ? most : 0);
  }
}

static int has_hitstun(const awm_machine *m) {
  return awm_dim(m, AWM_D_N_DYNAMICS) > AWM_HITSTUN;
}

/* rules.py: hitlag and, where there is one, hitstun, in place. */
static void count_down(const awm_before *old, int hit, i32 *hitlag, i32 *hitstun) {
  if (*hitlag <= old->hitlag) *hitlag = old->hitlag > AWM_UNIT ? old->hitlag - AWM_UNIT : 0;
  if (!hitstun || hit) return;
  i32 most = old->hitstun;
  if (*hitlag <= 0) most = most > AWM_UNIT ? most - AWM_UNIT : 0;
  if (*hitstun > most) *hitstun = most;
}

/* A player's columns and categories by the game's rules. `stands`: the new bit; `hit`: who takes
 * new damage. */
static void ruled(const awm_machine *m, i32 stage, int player, const awm_before *old, int stands,
                  const int *hit, i32 *cont, i32 *ints) {
  stage = index_of(stage, awm_dim(m, AWM_D_VOCAB_8));
  const num *place = (const num *)awm_tensor(m, AWM_T_BIRTH_PLACES) + 4 * stage;
  i32 *x = cont + awm_dim(m, AWM_D_AT_X), *y = cont + awm_dim(m, AWM_D_AT_Y);
  i32 *speeds = cont + awm_dim(m, AWM_D_AT_VELOCITY);
  i32 *action = ints + awm_dim(m, AWM_D_AT_ACTION);
  i32 *counters = cont + awm_dim(m, AWM_D_AT_DYNAMICS);
  count_down(old, hit[player], counters + AWM_HITLAG,
             has_hitstun(m) ? counters + AWM_HITSTUN : 0);
  i32 lag = counters[AWM_HITLAG];
  *action = next_action(old, *action, *x, *y,
                        (const num *)awm_tensor(m, AWM_T_LINES) + 4 * stage,
                        hit[player] || lag > old->hitlag, lag);
  if (!stands) speeds[AWM_GROUND_SPEED] = 0;
  if (!hit[player] && old->hitlag <= 0) wear(old->knockback, speeds + AWM_KNOCKBACK);
  if (!hit[1 - player]) ints[AWM_LAST_ATTACK] = old->last_attack;
  if (is_still(*action) && is_still(old->action)) {
    *x = old->x;
    *y = old->y;
  }
  if (*action != AWM_REBIRTH || old->action == AWM_REBIRTH) return;
  ints[AWM_LAST_ATTACK] = 0;
  int velocity = awm_dim(m, AWM_D_AT_VELOCITY), dynamics = awm_dim(m, AWM_D_AT_DYNAMICS);
  int n = awm_dim(m, AWM_D_N_DYNAMICS), stocks = awm_dim(m, AWM_D_AT_STOCKS);
  for (int i = awm_dim(m, AWM_D_AT_CORE); i < velocity; i++) cont[i] = 0;
  for (int i = velocity; i < velocity + AWM_SPEEDS; i++) cont[i] = 0;
  for (int i = dynamics; i < dynamics + n; i++)
    if (i != stocks) cont[i] = 0;
  *x = place[player];
  *y = place[2];
  cont[awm_dim(m, AWM_D_AT_SPEED_Y)] = place[3];
  cont[awm_dim(m, AWM_D_AT_SHIELD)] = AWM_SHIELD;
}

static int takes_stock(i32 action, i32 age) {
  static const i32 deaths[AWM_DEATHS][2] = AWM_DEATH_FRAMES;
  for (int i = 0; i < AWM_DEATHS; i++)
    if (action == deaths[i][0] && age == deaths[i][1]) return 1;
  return 0;
}

/* state_age counts the frames since the action changed; then every column within its limits. */
static void age_and_limits(const awm_machine *m, const i32 *last_ints, i32 age[2], i32 *cont,
                           i32 *ints) {
  const num *low = awm_tensor(m, AWM_T_LOW), *high = awm_tensor(m, AWM_T_HIGH);
  int c = awm_dim(m, AWM_D_CONT), ni = awm_dim(m, AWM_D_INTS), at = awm_dim(m, AWM_D_AT_AGE);
  int action = awm_dim(m, AWM_D_AT_ACTION);
  for (int p = 0; p < 2; p++) {
    int same = ints[p * ni + action] == last_ints[p * ni + action];
    if (awm_dim(m, AWM_D_AGE_EMBED))
      ints[p * ni + at] = same ? at_most(age[p] + 1, awm_dim(m, AWM_D_VOCAB_0 + at) - 1) : 0;
    else
      cont[p * c + at] = same ? age[p] + AWM_UNIT : 0;
    if (awm_dim(m, AWM_D_GAME_RULES) && takes_stock(ints[p * ni + action], ints[p * ni + at]))
      cont[p * c + awm_dim(m, AWM_D_AT_STOCKS)] -= AWM_UNIT;
    for (int i = 0; i < c; i++) cont[p * c + i] = between(cont[p * c + i], low[i], high[i]);
  }
}

/* Writes the new frame of one match, whose head outputs are given, and shifts its window. */
static void transition(const awm_machine *m, const awm_match *match, const num *numeric,
                       const num *binary, const num *logits) {
  int c = awm_dim(m, AWM_D_CONT), nb = awm_dim(m, AWM_D_BINARY), ni = awm_dim(m, AWM_D_INTS);
  int k = awm_dim(m, AWM_D_CONTEXT_LEN), at = awm_dim(m, AWM_D_AT_AGE);
  const num *bias = awm_tensor(m, AWM_T_BINARY_BIAS);
  i32 last_ints[2 * AWM_MAX_INTS], age[2];
  awm_before before[2];
  int stuns = has_hitstun(m);
  int hit[2] = {0, 0};
  i32 stage = match->stage[k - 1];
  memcpy(last_ints, newest(match->ints, m, 2 * ni), sizeof(i32) * 2 * (size_t)ni);

  /* The newest frame moves one place up in the window and is copied as the start of the next. */
  i32 *cont = match->cont_out + (size_t)(k - 1) * 2 * c;
  i32 *ints = match->ints_out + (size_t)(k - 1) * 2 * ni;
  const i32 *last = newest(match->cont, m, 2 * c);
  for (int p = 0; p < 2; p++) {
    age[p] = awm_dim(m, AWM_D_AGE_EMBED) ? last_ints[p * ni + at] : last[p * c + at];
    const i32 *columns = last + p * c, *own = last_ints + p * ni;
    const i32 *counters = columns + awm_dim(m, AWM_D_AT_DYNAMICS);
    const i32 *knockback = columns + awm_dim(m, AWM_D_AT_VELOCITY) + AWM_KNOCKBACK;
    before[p] = (awm_before){
        .x = columns[awm_dim(m, AWM_D_AT_X)],
        .y = columns[awm_dim(m, AWM_D_AT_Y)],
        .knockback = {knockback[0], knockback[1]},
        .hitlag = whole(counters[AWM_HITLAG]),
        .hitstun = stuns ? whole(counters[AWM_HITSTUN]) : 0,
        .action = own[awm_dim(m, AWM_D_AT_ACTION)],
        .age = age[p],
        .character = own[AWM_CHARACTER],
        .last_attack = own[AWM_LAST_ATTACK],
        .stood = newest(match->binary, m, 2 * nb)[p * nb + AWM_ON_GROUND] > 0,
    };
  }
  shift(match->cont_out, match->cont, k, 2 * c);
  if (cont != last) memcpy(cont, last, sizeof(i32) * 2 * (size_t)c);
  shift(match->binary_out, match->binary, k, 2 * nb);
  shift(match->ints_out, match->ints, k, 2 * ni);
  memcpy(ints, last_ints, sizeof(i32) * 2 * (size_t)ni);
  shift(match->stage_out, match->stage, k, 1);
  match->stage_out[k - 1] = stage;
  shift(match->window_out, match->window, k, 2 * AWM_PAD_FIELDS);
  memcpy(match->window_out + (size_t)(k - 1) * 2 * AWM_PAD_FIELDS, match->pads,
         sizeof(i32) * 2 * AWM_PAD_FIELDS);

  i32 *bits = match->binary_out + (size_t)(k - 1) * 2 * nb;
  for (int i = 0; i < 2 * nb; i++) bits[i] = binary[i] + bias[i] > 0;
  choose(m, logits, ints);
  move(m, numeric, cont, hit);
  if (awm_dim(m, AWM_D_GAME_RULES))
    for (int p = 0; p < 2; p++)
      ruled(m, stage, p, &before[p], bits[p * nb + AWM_ON_GROUND], hit, cont + p * c,
            ints + p * ni);
  age_and_limits(m, last_ints, age, cont, ints);
}

#endif
