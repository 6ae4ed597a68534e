/* Opening and checking an image, choosing a path, the digest. */
#include <string.h>

#include "awm.h"

#define MAX_DIM 8192
#define MAX_STATE_DIM 1024
#define MAX_WINDOW 1024

/* ---- paths ---- */

extern const awm_path awm_path_plain;
#if defined(__x86_64__)
extern const awm_path awm_path_avx2, awm_path_avx512, awm_path_vnni;
#elif defined(__aarch64__)
extern const awm_path awm_path_neon;
#endif

const awm_path *awm_paths(int i) {
  const awm_path *found[4];
  int n = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx512 && __builtin_cpu_supports("avx512vnni")) found[n++] = &awm_path_vnni;
  if (avx512) found[n++] = &awm_path_avx512;
  if (__builtin_cpu_supports("avx2")) found[n++] = &awm_path_avx2;
#elif defined(__aarch64__)
  found[n++] = &awm_path_neon;
#endif
  found[n++] = &awm_path_plain;
  return i >= 0 && i < n ? found[i] : 0;
}

static const awm_path *path_named(const char *name) {
  for (int i = 0; awm_paths(i); i++)
    if (!name || strcmp(awm_paths(i)->name, name) == 0) return awm_paths(i);
  return 0;
}

/* ---- sizes ---- */

size_t awm_ssm_size(const awm_machine *m) {
  return (size_t)m->dims[AWM_D_N_LAYERS] * awm_d_inner(m) * m->dims[AWM_D_D_STATE];
}

size_t awm_conv_size(const awm_machine *m) {
  return (size_t)m->dims[AWM_D_N_LAYERS] * (AWM_CONV_WIDTH - 1) * awm_channels(m);
}

void awm_step(const awm_machine *m, const awm_match *matches, int n, void *scratch) {
  m->path->step(m, matches, n, scratch);
}

void awm_reset(const awm_machine *m, const awm_match *match, void *scratch) {
  m->path->reset(m, match, scratch);
}

/* ---- the header ---- */

static int inside(int32_t value, int32_t low, int32_t high) { return value >= low && value <= high; }

static int embedded(const int32_t *d) {
  int sum = 0;
  for (int i = 0; i < d[AWM_D_INTS]; i++) sum += d[AWM_D_WIDTH_0 + i];
  return 2 * sum + d[AWM_D_WIDTH_8];
}

static const char *check_dims(const int32_t *d) {
  static const int flags[] = {AWM_D_RECURRENT,    AWM_D_CONTROL_FIRST, AWM_D_GEOMETRY,
                              AWM_D_PRESS_EVENTS, AWM_D_THRESHOLDS,    AWM_D_AGE_EMBED,
                              AWM_D_GAME_RULES};
  if (d[AWM_D_VERSION] != AWM_VERSION) return "another version of the image";
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (!inside(d[flags[i]], 0, 1)) return "a flag that is neither 0 nor 1";
  if (!inside(d[AWM_D_D_MODEL], 1, MAX_DIM / AWM_EXPAND / 2) ||
      !inside(d[AWM_D_D_STATE], 3, MAX_STATE_DIM) ||
      !inside(d[AWM_D_N_LAYERS], 1, AWM_MAX_LAYERS) || !inside(d[AWM_D_PLANES], 1, 2) ||
      !inside(d[AWM_D_CONTEXT_LEN], 1, MAX_WINDOW) || !inside(d[AWM_D_HEAD_HIDDEN], 0, MAX_DIM) ||
      d[AWM_D_HEADDIM] < 1 || AWM_EXPAND * d[AWM_D_D_MODEL] % d[AWM_D_HEADDIM])
    return "a dimension out of range";
  if (!inside(d[AWM_D_CONT], 1, 64) || !inside(d[AWM_D_BINARY], 1, 64) ||
      !inside(d[AWM_D_INTS], 1, AWM_MAX_INTS))
    return "a frame of another shape";
  for (int i = 0; i <= AWM_MAX_INTS; i++) {
    int used = i < d[AWM_D_INTS] || i == AWM_MAX_INTS;
    if (!inside(d[AWM_D_VOCAB_0 + i], used, MAX_DIM) || !inside(d[AWM_D_WIDTH_0 + i], used, 512))
      return "an embedding out of range";
  }
  int logits = 0;
  for (int i = 0; i < AWM_CATEGORICAL; i++) {
    int at = d[AWM_D_AT_ACTION + i];
    if (!inside(at, 0, d[AWM_D_INTS] - 1)) return "a category that is no column";
    logits += 2 * d[AWM_D_VOCAB_0 + at];
  }
  if (d[AWM_D_LOGITS] != logits || logits > 8 * MAX_DIM) return "logits that fit no categories";
  int velocity = d[AWM_D_AT_VELOCITY], c = d[AWM_D_CONT], n = d[AWM_D_N_DYNAMICS];
  int core = velocity - d[AWM_D_AT_CORE], numeric = d[AWM_D_NUMERIC];
  if (!inside(d[AWM_D_AT_CORE], 0, c) || !inside(velocity, 0, c) ||
      !inside(d[AWM_D_AT_DYNAMICS], 0, c) || !inside(n, 0, c) || !inside(core, 0, c) ||
      d[AWM_D_AT_DYNAMICS] + n > c || !inside(numeric, 2 * (core + n), 6 * c) || numeric % 2 ||
      velocity + numeric / 2 - core - n > c)
    return "numeric outputs that fit no columns";
  int columns[4] = {d[AWM_D_AT_X], d[AWM_D_AT_Y], d[AWM_D_AT_SPEED_Y], d[AWM_D_AT_SPEED_ATTACK_Y]};
  for (int i = 0; i < 4; i++)
    if (!inside(columns[i], 0, c - 1)) return "a position that is no column";
  if (!inside(d[AWM_D_AT_AGE], 0, (d[AWM_D_AGE_EMBED] ? d[AWM_D_INTS] : c) - 1))
    return "an age that is no column";
  if (!inside(d[AWM_D_AT_PERCENT], 0, c - 1) || !inside(d[AWM_D_AT_STOCKS], 0, c - 1) ||
      !inside(d[AWM_D_AT_SHIELD], 0, c - 1) || velocity + AWM_SPEEDS > c)
    return "a score that is no column";
  if (d[AWM_D_GAME_RULES] && !d[AWM_D_AGE_EMBED]) return "stocks counted by no age";
  if (d[AWM_D_N_WIDE] !=
          2 * (c + AWM_ANALOG) + 2 * AWM_GEOMETRY_PER_PLAYER * d[AWM_D_GEOMETRY] ||
      d[AWM_D_N_NARROW] != 2 * (d[AWM_D_BINARY] + AWM_BUTTONS) + embedded(d) ||
      d[AWM_D_CTRL_WIDE] != 2 * AWM_ANALOG ||
      d[AWM_D_CTRL_NARROW] != 2 * AWM_BUTTONS * (1 + d[AWM_D_PRESS_EVENTS]) +
                                  2 * AWM_ANALOG * d[AWM_D_THRESHOLDS])
    return "inputs that fit no frame";
  return 0;
}

static size_t weights(int rows, int cols) { return (size_t)rows * awm_padded(cols); }

#define NUM sizeof(AWM_NUM)

/* Bytes of a tensor of the world. */
static size_t tensor_bytes(const int32_t *d, int which) {
  size_t embeddings = 0;
  int hidden = d[AWM_D_HEAD_HIDDEN], n = hidden ? hidden : d[AWM_D_D_MODEL];
  switch (which) {
    case AWM_T_SIGMOID:
    case AWM_T_SOFTPLUS: return NUM * 513;
    case AWM_T_EXP2: return NUM * 257;
    case AWM_T_RSQRT: return NUM * 193;
    case AWM_T_LOW:
    case AWM_T_HIGH:
    case AWM_T_COLUMN_M:
    case AWM_T_COLUMN_S: return NUM * (size_t)d[AWM_D_CONT];
    case AWM_T_LINES:
    case AWM_T_BIRTH_PLACES: return NUM * (size_t)(4 * d[AWM_D_VOCAB_8] * d[AWM_D_GAME_RULES]);
    case AWM_T_FEATURE_M:
    case AWM_T_FEATURE_S: return NUM * (size_t)(AWM_GEOMETRY_PER_PLAYER * d[AWM_D_GEOMETRY]);
    case AWM_T_LEVELS:
      return NUM * (size_t)((AWM_LEVELS + 1) * d[AWM_D_VOCAB_8] * d[AWM_D_GEOMETRY]);
    case AWM_T_EMBEDDINGS:
      for (int i = 0; i <= AWM_MAX_INTS; i++)
        embeddings += (size_t)d[AWM_D_VOCAB_0 + i] * (size_t)d[AWM_D_WIDTH_0 + i];
      return embeddings;
    case AWM_T_FRAME_WIDE: return weights(d[AWM_D_D_MODEL], d[AWM_D_N_WIDE]);
    case AWM_T_FRAME_NARROW: return weights(d[AWM_D_D_MODEL], d[AWM_D_N_NARROW]);
    case AWM_T_CTRL_WIDE: return weights(d[AWM_D_D_MODEL], d[AWM_D_CTRL_WIDE]);
    case AWM_T_CTRL_NARROW: return weights(d[AWM_D_D_MODEL], d[AWM_D_CTRL_NARROW]);
    case AWM_T_FINAL_EPS: return NUM * 2;
    case AWM_T_HIDDEN_W: return weights(hidden, d[AWM_D_D_MODEL]);
    case AWM_T_HIDDEN_BIAS:
    case AWM_T_HIDDEN_A:
    case AWM_T_HIDDEN_M: return NUM * (size_t)hidden;
    case AWM_T_NUMERIC_W: return weights(d[AWM_D_NUMERIC], n);
    case AWM_T_NUMERIC_BIAS:
    case AWM_T_NUMERIC_M:
    case AWM_T_NUMERIC_S:
    case AWM_T_NUMERIC_L: return NUM * (size_t)d[AWM_D_NUMERIC];
    case AWM_T_BINARY_W: return weights(2 * d[AWM_D_BINARY], n);
    case AWM_T_BINARY_BIAS: return NUM * 2 * (size_t)d[AWM_D_BINARY];
    case AWM_T_LOGITS_W: return weights(d[AWM_D_LOGITS], n);
    case AWM_T_LOGITS_BIAS:
    case AWM_T_LOGITS_A:
    case AWM_T_LOGITS_M: return NUM * (size_t)d[AWM_D_LOGITS];
    default: return NUM * (size_t)d[AWM_D_D_MODEL];
  }
}

/* Bytes of a tensor of a layer. */
static size_t layer_bytes(const awm_machine *m, int which) {
  int d = m->dims[AWM_D_D_MODEL], e = awm_d_inner(m), rows = awm_in_rows(m);
  switch (which) {
    case AWM_L_NORM_EPS:
    case AWM_L_GATED_EPS: return NUM * 2;
    case AWM_L_IN_W: return weights(rows, d);
    case AWM_L_IN_BIAS:
    case AWM_L_IN_A:
    case AWM_L_IN_M: return NUM * (size_t)rows;
    case AWM_L_CONV_W: return NUM * (size_t)(AWM_CONV_WIDTH * awm_channels(m));
    case AWM_L_CONV_BIAS:
    case AWM_L_CONV_A:
    case AWM_L_CONV_M: return NUM * (size_t)awm_channels(m);
    case AWM_L_DECAY_M:
    case AWM_L_DECAY_S:
    case AWM_L_DRIVE_M:
    case AWM_L_DRIVE_S:
    case AWM_L_Y_A:
    case AWM_L_Y_M:
    case AWM_L_SKIP_M: return NUM * (size_t)awm_heads(m);
    case AWM_L_B_M:
    case AWM_L_C_M: return NUM * (size_t)m->dims[AWM_D_D_STATE];
    case AWM_L_GATED_W: return NUM * (size_t)e;
    case AWM_L_OUT_W: return weights(d, e);
    case AWM_L_SCALARS: return NUM * AWM_S_COUNT;
    default: return NUM * (size_t)d;
  }
}

const char *awm_open(awm_machine *m, const uint8_t *image, size_t length, const char *path) {
  static const int one = 1;
  size_t head = sizeof AWM_MAGIC + 4 * (AWM_D_COUNT + AWM_T_COUNT);
  if (*(const char *)&one != 1) return "a big-endian machine";
  if ((uintptr_t)image % 4) return "an image that is not aligned";
  if (length < head || memcmp(image, AWM_MAGIC, sizeof AWM_MAGIC)) return "no image";
  m->base = image;
  m->dims = (const int32_t *)(const void *)(image + sizeof AWM_MAGIC);
  m->table = m->dims + AWM_D_COUNT;
  m->path = path_named(path);
  if (!m->path) return "a path that this CPU or build lacks";
  if (length > 0x7fffffff || m->dims[AWM_D_BYTES] != (int32_t)length)
    return "an image of another length than it says";
  const char *wrong = check_dims(m->dims);
  if (wrong) return wrong;
  head += 4 * (size_t)(m->dims[AWM_D_N_LAYERS] * AWM_L_COUNT);
  if (head > length) return "an image cut short";
#ifndef AWM_TABLE_KNOWN
  for (int i = 0; i < AWM_T_COUNT + m->dims[AWM_D_N_LAYERS] * AWM_L_COUNT; i++) {
    size_t bytes = i < AWM_T_COUNT ? tensor_bytes(m->dims, i)
                                   : layer_bytes(m, (i - AWM_T_COUNT) % AWM_L_COUNT);
    if (m->table[i] < (int32_t)head || m->table[i] % AWM_ALIGN || (size_t)m->table[i] > length ||
        bytes > length - (size_t)m->table[i])
      return "a tensor outside the image";
  }
#endif
  return 0;
}

/* ---- the digest: four lanes of XXH32, each seeded by its own last value ---- */

static const uint32_t P1 = 2654435761u, P2 = 2246822519u, P3 = 3266489917u, P4 = 668265263u,
                      P5 = 374761393u;

typedef struct {
  uint32_t v[4], seed, tail[4];
  uint32_t n;
} xxh32;

static uint32_t rotl(uint32_t x, int r) { return x << r | x >> (32 - r); }

static void xxh_start(xxh32 *x, uint32_t seed) {
  x->v[0] = seed + P1 + P2;
  x->v[1] = seed + P2;
  x->v[2] = seed;
  x->v[3] = seed - P1;
  x->seed = seed;
  x->n = 0;
}

/* The same words into every lane. */
static void xxh_words(xxh32 *x, const uint32_t *words, int n) {
  for (int lane = 0; lane < AWM_DIGEST_LANES; lane++, x++)
    for (int i = 0; i < n; i++) {
      x->tail[x->n++ % 4] = words[i];
      if (x->n % 4 == 0)
        for (int j = 0; j < 4; j++) x->v[j] = rotl(x->v[j] + x->tail[j] * P2, 13) * P1;
    }
}

static uint32_t xxh_end(const xxh32 *x) {
  uint32_t h = x->n >= 4 ? rotl(x->v[0], 1) + rotl(x->v[1], 7) + rotl(x->v[2], 12) +
                               rotl(x->v[3], 18)
                         : x->seed + P5;
  h += 4 * x->n;
  for (uint32_t i = 0; i < x->n % 4; i++) h = rotl(h + x->tail[i] * P3, 17) * P4;
  h = (h ^ h >> 15) * P2;
  h = (h ^ h >> 13) * P3;
  return h ^ h >> 16;
}

void awm_digest_start(uint32_t digest[AWM_DIGEST_LANES]) {
  for (uint32_t i = 0; i < AWM_DIGEST_LANES; i++) digest[i] = i;
}

void awm_digest_extend(const awm_machine *m, const awm_match *after, int32_t number,
                       uint32_t digest[AWM_DIGEST_LANES]) {
  int c = awm_dim(m, AWM_D_CONT), nb = awm_dim(m, AWM_D_BINARY), ni = awm_dim(m, AWM_D_INTS);
  int last = awm_dim(m, AWM_D_CONTEXT_LEN) - 1;
  xxh32 x[AWM_DIGEST_LANES];
  for (int lane = 0; lane < AWM_DIGEST_LANES; lane++) xxh_start(x + lane, digest[lane]);
  uint32_t first[2] = {(uint32_t)number, (uint32_t)after->stage_out[last]};
  xxh_words(x, first, 2);
  for (int p = 2 * last; p < 2 * last + 2; p++) {
    xxh_words(x, (const uint32_t *)after->cont_out + p * c, c);
    xxh_words(x, (const uint32_t *)after->ints_out + p * ni, ni);
    for (int i = 0; i < nb; i += 32) {
      uint32_t packed = 0;
      for (int j = i; j < nb && j < i + 32; j++)
        packed |= (uint32_t)after->binary_out[p * nb + j] << (j - i);
      xxh_words(x, &packed, 1);
    }
    const int32_t *pad = after->window_out + p * AWM_PAD_FIELDS;
    for (int i = 0; i < AWM_PAD_FIELDS; i += 4) {
      uint32_t word = 0;
      for (int j = 0; j < 4; j++) word |= ((uint32_t)pad[i + j] & 255) << (8 * j);
      xxh_words(x, &word, 1);
    }
  }
  for (int lane = 0; lane < AWM_DIGEST_LANES; lane++) digest[lane] = xxh_end(x + lane);
}
