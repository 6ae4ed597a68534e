/* The integer world step: docs/integer-spec.md in C99.
 *
 * No malloc, no libm, no globals, no recursion; the caller brings all memory. Every path gives the
 * same bits as the JAX definition (awm_jax/int8).
 */
#ifndef AWM_H
#define AWM_H

#include <stddef.h>
#include <stdint.h>

#include "awm_layout.h"

/* Matches that one call advances together, so that a weight is read once for all of them. */
#define AWM_BLOCK 8

/* What the step computes with, and what a code is. Every value fits 32 bits and every code 16
 * (docs/integer-spec.md, section 10), so that wider types give the same bits; a build whose machine
 * has cheaper ones says so. An image's tensors are of AWM_NUM, but int8 matrices and embeddings. */
#ifndef AWM_NUM
#define AWM_NUM int32_t
#define AWM_UNUM uint32_t
#define AWM_CODE int16_t
#endif

struct awm_machine;

/* One match: K frames and, in a recurrent world, the network's state, before and after the frame.
 * An output may be the same memory as its input.
 *   cont (K, 2, cont), binary (K, 2, binary), ints (K, 2, ints), stage (K), window (K, 2, 8) int32,
 *   ssm (layers, heads, headdim, d_state), conv (layers, 3, channels) int16;
 *   pads (2, 8) int32: the controllers of the new frame.
 */
typedef struct {
  const int32_t *cont, *binary, *ints, *stage, *window, *pads;
  const int16_t *ssm, *conv;
  int32_t *cont_out, *binary_out, *ints_out, *stage_out, *window_out;
  int16_t *ssm_out, *conv_out;
} awm_match;

/* One instruction set's way through the step. */
typedef struct {
  const char *name;
  void (*step)(const struct awm_machine *m, const awm_match *matches, int n, void *scratch);
  void (*reset)(const struct awm_machine *m, const awm_match *match, void *scratch);
  void (*product)(const int8_t *w, int rows, int cols, const int16_t *x, int x_stride, int n,
                  int32_t *out, int out_stride);
  void (*scan)(int16_t *h_out, const int16_t *h, const int32_t *u, const int32_t *b,
               const int32_t *c, int32_t decay, int headdim, int d_state, int32_t *acc);
} awm_path;

/* An opened image. */
typedef struct awm_machine {
  const uint8_t *base;
  const int32_t *dims;
  const int32_t *table;
  const awm_path *path;
} awm_machine;

/* Opens an image for a path (a name of `awm_paths`, or NULL for the best the CPU has).
 * Checks every size and offset; the bytes must outlive the machine and be 4-aligned.
 * Returns NULL, or what is wrong. */
const char *awm_open(awm_machine *m, const uint8_t *image, size_t length, const char *path);

/* Checks every value of an opened image, so that no frame can leave 32 bits or read outside a
 * table. Returns NULL, or what is wrong. */
const char *awm_check(const awm_machine *m);

/* Whether the K seed frames of a match hold only what a frame can hold. Returns NULL, or what is
 * wrong. */
const char *awm_check_seed(const awm_machine *m, const awm_match *seed);

/* The i-th path this CPU runs, the best first, the plain one last; NULL after it. */
const awm_path *awm_paths(int i);

/* Elements of one match's state, and bytes of scratch of a step or reset; the scratch must start
 * at a multiple of AWM_ALIGN. */
size_t awm_ssm_size(const awm_machine *m);
size_t awm_conv_size(const awm_machine *m);
size_t awm_scratch_size(const awm_machine *m);

/* One frame of n <= AWM_BLOCK matches. */
void awm_step(const awm_machine *m, const awm_match *matches, int n, void *scratch);

/* The state of a recurrent world after all frames of the window but the newest: fills ssm_out and
 * conv_out from the window. */
void awm_reset(const awm_machine *m, const awm_match *match, void *scratch);

/* The digest chain (awm_jax/game/digest.py) of frame `number`, which is the window's newest. */
void awm_digest_start(uint32_t digest[AWM_DIGEST_LANES]);
void awm_digest_extend(const awm_machine *m, const awm_match *after, int32_t number,
                       uint32_t digest[AWM_DIGEST_LANES]);

/* For the kernels: a dimension, a tensor, a layer's tensor. */
static inline int awm_dim(const awm_machine *m, int which) { return m->dims[which]; }

static inline const void *awm_tensor(const awm_machine *m, int which) {
  return m->base + m->table[which];
}

static inline const void *awm_layer(const awm_machine *m, int layer, int which) {
  return m->base + m->table[AWM_T_COUNT + layer * AWM_L_COUNT + which];
}

/* Columns of an int8 weight with n inputs, and elements of a row of anything in scratch. */
static inline int awm_padded(int n) { return (n + AWM_ALIGN - 1) / AWM_ALIGN * AWM_ALIGN; }

static inline int awm_d_inner(const awm_machine *m) {
  return AWM_EXPAND * m->dims[AWM_D_D_MODEL];
}
static inline int awm_heads(const awm_machine *m) {
  return awm_d_inner(m) / m->dims[AWM_D_HEADDIM];
}
static inline int awm_channels(const awm_machine *m) {
  return awm_d_inner(m) + 2 * m->dims[AWM_D_D_STATE];
}
static inline int awm_in_rows(const awm_machine *m) {
  return awm_d_inner(m) + awm_channels(m) + awm_heads(m);
}
/* Rows that go through the trunk together: a block of matches, or a whole window. */
static inline int awm_rows(const awm_machine *m) {
  int k = m->dims[AWM_D_CONTEXT_LEN];
  return k > AWM_BLOCK ? k : AWM_BLOCK;
}

#endif
