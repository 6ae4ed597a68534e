/* From frames and controllers to the codes of the products (awm_jax/int8/frame.py). */
#ifndef AWM_CODES_H
#define AWM_CODES_H

static const i32 *newest(const i32 *window, const awm_machine *m, int width) {
  return window + (size_t)(awm_dim(m, AWM_D_CONTEXT_LEN) - 1) * width;
}

static num stick(const i32 *pad, int i) {
  return clamp(pad[i], AWM_STICK_MAX) + AWM_STICK_MAX;
}
static num trigger(const i32 *pad) { return between(at_least(pad[4], pad[5]), 0, 255); }

static num pressed(const i32 *pad, int button) {
  static const i8 places[AWM_BUTTONS][2] = AWM_BUTTON_BITS;
  return (pad[places[button][0]] >> places[button][1]) & 1;
}

static code *analog_codes(const awm_machine *m, const i32 *pad, code *codes) {
  for (int i = 0; i < AWM_ANALOG - 1; i++)
    *codes++ = (code)rsh(stick(pad, i) * awm_dim(m, AWM_D_STICK_M), awm_dim(m, AWM_D_STICK_S));
  *codes++ = (code)rsh(trigger(pad) * awm_dim(m, AWM_D_TRIGGER_M), awm_dim(m, AWM_D_TRIGGER_S));
  return codes;
}

/* JAX's indexing: negative from the end, outside the nearest. */
static num index_of(num i, num n) { return between(i < 0 ? i + n : i, 0, n - 1); }

static code *geometry_codes(const awm_machine *m, const i32 *cont, num stage, int player,
                           code *codes) {
  int c = awm_dim(m, AWM_D_CONT);
  const i32 *own = cont + player * c, *rival = cont + (1 - player) * c;
  const num *fm = awm_tensor(m, AWM_T_FEATURE_M), *fs = awm_tensor(m, AWM_T_FEATURE_S);
  const num *levels = awm_tensor(m, AWM_T_LEVELS);
  levels += index_of(stage, awm_dim(m, AWM_D_VOCAB_8)) * (AWM_LEVELS + 1);
  int at_x = awm_dim(m, AWM_D_AT_X), at_y = awm_dim(m, AWM_D_AT_Y);
  num x = own[at_x], y = own[at_y];
  num rise = own[awm_dim(m, AWM_D_AT_SPEED_Y)] + own[awm_dim(m, AWM_D_AT_SPEED_ATTACK_Y)];
  num features[AWM_GEOMETRY_PER_PLAYER];
  for (int i = 0; i < AWM_LEVELS; i++) {
    features[i] = clamp(y - levels[i], AWM_HEIGHT);
    features[AWM_LEVELS + i] = clamp(y + rise - levels[i], AWM_HEIGHT);
  }
  features[2 * AWM_LEVELS] = clamp((x < 0 ? -x : x) - levels[AWM_LEVELS], AWM_EDGE);
  features[2 * AWM_LEVELS + 1] = clamp(rival[at_x] - x, AWM_RIVAL);
  features[2 * AWM_LEVELS + 2] = clamp(rival[at_y] - y, AWM_RIVAL);
  for (int i = 0; i < AWM_GEOMETRY_PER_PLAYER; i++)
    *codes++ = (code)mulshift(features[i], fm[i], fs[i]);
  return codes;
}

static void pad_codes(code *end, const code *start, int n) {
  memset(end, 0, sizeof(code) * (size_t)(awm_padded(n) - (end - start)));
}

/* Frame k of a match under `pads` (2, 8) as wide and narrow codes. */
static void frame_codes(const awm_machine *m, const awm_match *match, int k, const i32 *pads,
                        code *wide, code *narrow) {
  int c = awm_dim(m, AWM_D_CONT), nb = awm_dim(m, AWM_D_BINARY), ni = awm_dim(m, AWM_D_INTS);
  const i32 *cont = match->cont + k * 2 * c, *binary = match->binary + k * 2 * nb;
  const i32 *ints = match->ints + k * 2 * ni;
  const num *cm = awm_tensor(m, AWM_T_COLUMN_M), *cs = awm_tensor(m, AWM_T_COLUMN_S);
  num stage = match->stage[k], one = awm_dim(m, AWM_D_ONE);
  code *w = wide, *v = narrow;
  for (int p = 0; p < 2; p++) {
    for (int i = 0; i < c; i++)
      *w++ = (code)clamp(mulshift(cont[p * c + i], cm[i], cs[i]), AWM_WIDE_MAX);
    w = analog_codes(m, pads + p * AWM_PAD_FIELDS, w);
  }
  if (awm_dim(m, AWM_D_GEOMETRY))
    for (int p = 0; p < 2; p++) w = geometry_codes(m, cont, stage, p, w);
  pad_codes(w, wide, awm_dim(m, AWM_D_N_WIDE));

  for (int p = 0; p < 2; p++) {
    for (int i = 0; i < nb; i++) *v++ = (code)(binary[p * nb + i] * one);
    for (int i = 0; i < AWM_BUTTONS; i++)
      *v++ = (code)(pressed(pads + p * AWM_PAD_FIELDS, i) * one);
  }
  for (int p = 0; p < 2; p++) {
    const i8 *table = awm_tensor(m, AWM_T_EMBEDDINGS);
    for (int i = 0; i < ni; i++) {
      num vocab = awm_dim(m, AWM_D_VOCAB_0 + i), width = awm_dim(m, AWM_D_WIDTH_0 + i);
      const i8 *row = table + index_of(ints[p * ni + i], vocab) * width;
      for (int j = 0; j < width; j++) *v++ = row[j];
      table += vocab * width;
    }
    if (p == 1) {
      num width = awm_dim(m, AWM_D_WIDTH_8);
      const i8 *row = table + index_of(stage, awm_dim(m, AWM_D_VOCAB_8)) * width;
      for (int j = 0; j < width; j++) *v++ = row[j];
    }
  }
  pad_codes(v, narrow, awm_dim(m, AWM_D_N_NARROW));
}

static void control_codes(const awm_machine *m, const i32 *pads, const i32 *before, code *wide,
                          code *narrow) {
  num one = awm_dim(m, AWM_D_ONE);
  code *w = wide, *v = narrow;
  for (int p = 0; p < 2; p++) w = analog_codes(m, pads + p * AWM_PAD_FIELDS, w);
  pad_codes(w, wide, awm_dim(m, AWM_D_CTRL_WIDE));
  for (int p = 0; p < 2; p++)
    for (int i = 0; i < AWM_BUTTONS; i++)
      *v++ = (code)(pressed(pads + p * AWM_PAD_FIELDS, i) * one);
  if (awm_dim(m, AWM_D_PRESS_EVENTS))
    for (int p = 0; p < 2; p++)
      for (int i = 0; i < AWM_BUTTONS; i++) {
        int at = p * AWM_PAD_FIELDS;
        *v++ = (code)((pressed(pads + at, i) & (1 - pressed(before + at, i))) * one);
      }
  if (awm_dim(m, AWM_D_THRESHOLDS))
    for (int p = 0; p < 2; p++) {
      const i32 *pad = pads + p * AWM_PAD_FIELDS;
      for (int i = 0; i < AWM_ANALOG - 1; i++)
        *v++ = (code)((clamp(pad[i], AWM_STICK_MAX) > AWM_STICK_THRESHOLD) * one);
      *v++ = (code)((trigger(pad) > AWM_TRIGGER_THRESHOLD) * one);
    }
  pad_codes(v, narrow, awm_dim(m, AWM_D_CTRL_NARROW));
}

#endif
