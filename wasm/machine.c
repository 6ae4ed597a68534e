/* The integer machine for a browser: the native kernel, its agents and one match, in one module.
 *
 * Memory is taken and never given back: a page makes an instance for each match. What is wrong is
 * answered as a text; 0 is none. */
#include "simd.h"

#include "awm_step.c"

#include "awm_open.c"

#include "awm_check.c"

#include "agents.h"

#define EXPORT(name) __attribute__((export_name(#name)))
#define PAGE 65536

enum { CONT, BINARY, INTS, STAGE, WINDOW, PADS, DIGEST, PARTS };
enum { NOOP, HOLD_FORWARD, RANDOM, POLICY };

extern uint8_t __heap_base;
static uintptr_t room_end;

static struct {
  awm_machine machine;
  awm_match match;
  void *scratch, *parts[PARTS];
  policy policies[2];
  int has_policy[2];
  uint32_t seed[2];
  int32_t number;
} the;

size_t awm_scratch_size(const awm_machine *m) {
  work w;
  return arrange(m, 0, &w);
}

/* `bytes` of zeros at a multiple of AWM_ALIGN; 0 where there is no more memory. */
EXPORT(room) void *room(size_t bytes) {
  uintptr_t start = room_end ? room_end : (uintptr_t)&__heap_base;
  start = (start + AWM_ALIGN - 1) / AWM_ALIGN * AWM_ALIGN;
  uintptr_t has = __builtin_wasm_memory_size(0) * PAGE;
  if (bytes > 0x7fffffff - start) return 0;
  if (start + bytes > has &&
      __builtin_wasm_memory_grow(0, (start + bytes - has + PAGE - 1) / PAGE) == (size_t)-1)
    return 0;
  room_end = start + bytes;
  return (void *)start;
}

/* Opens a world's image, which lies at a multiple of 4 and stays. */
EXPORT(open_world) const char *open_world(const uint8_t *image, size_t length) {
  awm_machine *m = &the.machine;
  const char *wrong = awm_open(m, image, length, 0);
  if (!wrong) wrong = awm_check(m);
  if (wrong) return wrong;
  size_t k = (size_t)awm_dim(m, AWM_D_CONTEXT_LEN);
  const size_t values[PARTS] = {k * 2 * (size_t)awm_dim(m, AWM_D_CONT),
                                k * 2 * (size_t)awm_dim(m, AWM_D_BINARY),
                                k * 2 * (size_t)awm_dim(m, AWM_D_INTS),
                                k,
                                k * 2 * AWM_PAD_FIELDS,
                                2 * AWM_PAD_FIELDS,
                                AWM_DIGEST_LANES};
  for (int i = 0; i < PARTS; i++)
    if (!(the.parts[i] = room(4 * values[i]))) return "no memory for the match";
  the.scratch = room(awm_scratch_size(m));
  int16_t *ssm = room(sizeof *ssm * awm_ssm_size(m)), *conv = room(sizeof *conv * awm_conv_size(m));
  if (!the.scratch || !ssm || !conv) return "no memory for the network";
  void **p = the.parts;
  the.match = (awm_match){p[CONT], p[BINARY], p[INTS], p[STAGE], p[WINDOW], p[PADS], ssm, conv,
                          p[CONT], p[BINARY], p[INTS], p[STAGE], p[WINDOW], ssm,     conv};
  return 0;
}

/* A player's policy, for `act`; the world is open. */
EXPORT(open_policy)
const char *open_policy(int player, const uint8_t *image, size_t length) {
  policy *p = &the.policies[player & 1];
  const char *wrong = policy_open(p, image, length);
  if (wrong) return wrong;
  static const int same[] = {AWM_D_CONT, AWM_D_BINARY, AWM_D_INTS};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++)
    if (awm_dim(&p->machine, same[i]) != awm_dim(&the.machine, same[i]))
      return "a policy of another world";
  if (awm_dim(&p->machine, AWM_D_CONTEXT_LEN) > awm_dim(&the.machine, AWM_D_CONTEXT_LEN))
    return "a policy that looks further back than the world";
  policy_arrange(p, room);
  the.has_policy[player & 1] = 1;
  return 0;
}

/* Where the window's cont, binary, ints, stage and pads lie, the new pads, the digest: PARTS. */
EXPORT(part) void *part(int which) { return the.parts[which]; }

/* K, the continuous, binary and int columns of a player, the number of actions. */
EXPORT(shape) int shape(int which) {
  static const int dims[] = {AWM_D_CONTEXT_LEN, AWM_D_CONT, AWM_D_BINARY, AWM_D_INTS};
  if (which == 4)
    return awm_dim(&the.machine, AWM_D_VOCAB_0 + awm_dim(&the.machine, AWM_D_AT_ACTION));
  return awm_dim(&the.machine, dims[which & 3]);
}

/* Starts a match from the seed frames in the window. The two words are its seed, low word first. */
EXPORT(begin) const char *begin(uint32_t low, uint32_t high) {
  awm_machine *m = &the.machine;
  const char *wrong = awm_check_seed(m, &the.match);
  if (wrong) return wrong;
  the.seed[0] = low;
  the.seed[1] = high;
  the.number = awm_dim(m, AWM_D_CONTEXT_LEN);
  awm_digest_start(the.parts[DIGEST]);
  if (awm_dim(m, AWM_D_RECURRENT)) {
    memcpy(the.parts[PADS], newest(the.match.window, m, 2 * AWM_PAD_FIELDS),
           sizeof(int32_t) * 2 * AWM_PAD_FIELDS);
    awm_reset(m, &the.match, the.scratch);
  }
  return 0;
}

/* Fills a player's new pad as an agent does. */
EXPORT(act) void act(int player, int agent) {
  player &= 1;
  int32_t *pad = (int32_t *)the.parts[PADS] + player * AWM_PAD_FIELDS;
  memset(pad, 0, sizeof(int32_t) * AWM_PAD_FIELDS);
  if (agent == HOLD_FORWARD) act_hold_forward(the.number, pad);
  if (agent == RANDOM) act_random(the.seed, the.number, player, pad);
  if (agent == POLICY && the.has_policy[player])
    act_policy(&the.policies[player], &the.match, awm_dim(&the.machine, AWM_D_CONTEXT_LEN),
               the.seed, the.number, player, pad);
}

/* One frame under the new pads, and its part of the digest. */
EXPORT(step) void step_frame(void) {
  awm_step(&the.machine, &the.match, 1, the.scratch);
  awm_digest_extend(&the.machine, &the.match, the.number++, the.parts[DIGEST]);
}

static const num *outputs(int few) {
  work w;
  arrange(&the.machine, the.scratch, &w);
  return few ? w.few : w.acc;
}

/* Of the frame just made, what the network gave the actions of player 0, then those of player 1. */
EXPORT(logits) const num *logits(void) { return outputs(0); }

/* Of the frame just made, what it gave a player's stocks, in 2^-16: with the game's rules, above 0
 * there is a hit. */
EXPORT(hit) int hit(int player) {
  const awm_machine *m = &the.machine;
  int stocks = awm_dim(m, AWM_D_AT_STOCKS) - awm_dim(m, AWM_D_AT_DYNAMICS);
  int i = awm_dim(m, AWM_D_NUMERIC) - (2 - (player & 1)) * awm_dim(m, AWM_D_N_DYNAMICS) + stocks;
  const num *bias = awm_tensor(m, AWM_T_NUMERIC_BIAS), *mul = awm_tensor(m, AWM_T_NUMERIC_M);
  const num *s = awm_tensor(m, AWM_T_NUMERIC_S), *l = awm_tensor(m, AWM_T_NUMERIC_L);
  num value = mulshift(outputs(1)[i] + bias[i], mul[i], s[i]);
  return clamp(shifted(value, l[i]), AWM_CHANGE_MAX);
}
