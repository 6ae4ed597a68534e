/* Replaying a match file (awm_jax/int8/native/match_file.py) with an image. */
#ifndef AWM_REPLAY_H
#define AWM_REPLAY_H

#include <stdlib.h>
#include <string.h>

#include "../awm.h"

#define MATCH_MAGIC "AWMMAT1"
#define MATCH_HEAD (sizeof MATCH_MAGIC + 5 * sizeof(int32_t))
/* The longest match that is replayed: two hours at 60 frames a second. */
#define MATCH_MAX_FRAMES 432000

typedef struct {
  int32_t frames, k;
  const uint8_t *seed, *pads, *digest;
  size_t sizes[5]; /* int32 of cont, binary, ints, stage, window */
} awm_match_file;

/* Places the parts of a match file that fits the machine; returns what is wrong. */
static const char *match_open(awm_match_file *f, const awm_machine *m, const uint8_t *bytes,
                              size_t length) {
  int32_t head[5];
  if (length < MATCH_HEAD || memcmp(bytes, MATCH_MAGIC, sizeof MATCH_MAGIC)) return "no match file";
  memcpy(head, bytes + sizeof MATCH_MAGIC, sizeof head);
  if (head[0] != awm_dim(m, AWM_D_CONTEXT_LEN) || head[1] != awm_dim(m, AWM_D_CONT) ||
      head[2] != awm_dim(m, AWM_D_BINARY) || head[3] != awm_dim(m, AWM_D_INTS))
    return "a match of another world";
  if (head[4] < 0 || head[4] > MATCH_MAX_FRAMES) return "a match of too many frames";
  f->k = head[0];
  f->frames = head[4];
  size_t total = 0, pads = (size_t)f->frames * 2 * AWM_PAD_FIELDS;
  for (int i = 0; i < 3; i++) f->sizes[i] = (size_t)f->k * 2 * (size_t)head[1 + i];
  f->sizes[3] = (size_t)f->k;
  f->sizes[4] = (size_t)f->k * 2 * AWM_PAD_FIELDS;
  for (int i = 0; i < 5; i++) total += f->sizes[i] * sizeof(int32_t);
  if (length != MATCH_HEAD + total + pads + AWM_DIGEST_LANES * sizeof(uint32_t))
    return "a match file of another length than it says";
  f->seed = bytes + MATCH_HEAD;
  f->pads = f->seed + total;
  f->digest = f->pads + pads;
  return 0;
}

static void read_pads(const uint8_t *bytes, int32_t pads[2 * AWM_PAD_FIELDS]) {
  for (int i = 0; i < 2 * AWM_PAD_FIELDS; i++)
    pads[i] = i % AWM_PAD_FIELDS < 4 ? (int32_t)(int8_t)bytes[i] : (int32_t)bytes[i];
}

/* Runs the match in `memory` of match_memory bytes; returns what is wrong, and the digest. */
static const char *match_run(const awm_machine *m, const awm_match_file *f, uint8_t *memory,
                             uint32_t digest[AWM_DIGEST_LANES]) {
  int32_t pads[2 * AWM_PAD_FIELDS] = {0}, *frame[5];
  void *scratch = memory;
  uint8_t *at = memory + awm_scratch_size(m);
  int16_t *ssm = (int16_t *)(void *)at, *conv = ssm + awm_ssm_size(m);
  at += (awm_ssm_size(m) + awm_conv_size(m) + 1) / 2 * 2 * sizeof *ssm;
  const uint8_t *from = f->seed;
  for (int i = 0; i < 5; i++) {
    size_t bytes = f->sizes[i] * sizeof(int32_t);
    frame[i] = (int32_t *)(void *)at;
    memcpy(at, from, bytes);
    at += bytes;
    from += bytes;
  }
  awm_match match = {frame[0], frame[1], frame[2], frame[3], frame[4], pads,     ssm, conv,
                     frame[0], frame[1], frame[2], frame[3], frame[4], ssm, conv};
  const char *wrong = awm_check_seed(m, &match);
  if (wrong) return wrong;
  awm_digest_start(digest);
  if (awm_dim(m, AWM_D_RECURRENT)) {
    memcpy(pads, frame[4] + (size_t)(f->k - 1) * 2 * AWM_PAD_FIELDS, sizeof pads);
    awm_reset(m, &match, scratch);
  }
  for (int32_t t = 0; t < f->frames; t++) {
    read_pads(f->pads + (size_t)t * 2 * AWM_PAD_FIELDS, pads);
    awm_step(m, &match, 1, scratch);
    awm_digest_extend(m, &match, f->k + t, digest);
  }
  return 0;
}

static size_t match_memory(const awm_machine *m, const awm_match_file *f) {
  size_t n = 0;
  for (int i = 0; i < 5; i++) n += f->sizes[i] * sizeof(int32_t);
  return awm_scratch_size(m) + (awm_ssm_size(m) + awm_conv_size(m) + 1) * sizeof(int16_t) + n;
}

static void *aligned_up(void *p) {
  return (void *)(((uintptr_t)p + AWM_ALIGN - 1) / AWM_ALIGN * AWM_ALIGN);
}

/* From bytes to a digest. `equal`: whether it is the file's. The image must be 4-aligned. */
static const char *match_replay(const uint8_t *image, size_t image_length, const uint8_t *bytes,
                                size_t length, const char *path,
                                uint32_t digest[AWM_DIGEST_LANES], int *equal, int32_t *frames) {
  awm_machine m;
  awm_match_file f;
  const char *wrong = awm_open(&m, image, image_length, path);
  if (!wrong) wrong = awm_check(&m);
  if (!wrong) wrong = match_open(&f, &m, bytes, length);
  if (wrong) return wrong;
  void *memory = malloc(match_memory(&m, &f) + AWM_ALIGN);
  if (!memory) return "no memory";
  wrong = match_run(&m, &f, aligned_up(memory), digest);
  free(memory);
  if (wrong) return wrong;
  *frames = f.frames;
  *equal = memcmp(digest, f.digest, sizeof(uint32_t) * AWM_DIGEST_LANES) == 0;
  return 0;
}

#endif
