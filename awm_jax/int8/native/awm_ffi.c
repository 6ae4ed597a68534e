/* The kernel as XLA custom calls (jax.ffi): one call for all matches of a batch, in blocks that
 * XLA's own threads share. Only here memory is allocated. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "awm.h"
#include "xla_ffi.h"

#define EXPORT __attribute__((visibility("default")))
#define MAX_RANK 16

/* In the order of `engine.py`. */
enum { IMAGE, CONT, BINARY, INTS, STAGE, WINDOW, PADS, SSM, CONV, ARGS };

static void *fail(const ffi_call *call, int code, const char *message) {
  ffi_error_args args = {sizeof args, 0, message, code};
  return call->api->error_create(&args);
}

static int64_t count(const ffi_buffer *b) {
  int64_t n = 1;
  for (int64_t i = 0; i < b->rank; i++) n *= b->dims[i];
  return n;
}

static int32_t attribute(const ffi_call *call, const char *name) {
  for (int64_t i = 0; i < call->attrs.size; i++) {
    const ffi_span *span = call->attrs.names[i];
    if (span->len == strlen(name) && memcmp(span->ptr, name, span->len) == 0)
      return *(const int32_t *)((const ffi_scalar *)call->attrs.values[i])->value;
  }
  return 0;
}

/* ---- scratch: blocks that are kept for the next call ---- */

#define KEPT 64
static pthread_mutex_t scratch_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
  size_t size;
  void *memory;
} scratch_kept[KEPT];

static void *scratch_take(size_t size) {
  void *memory = 0;
  pthread_mutex_lock(&scratch_lock);
  for (int i = 0; i < KEPT && !memory; i++)
    if (scratch_kept[i].memory && scratch_kept[i].size == size) {
      memory = scratch_kept[i].memory;
      scratch_kept[i].memory = 0;
    }
  pthread_mutex_unlock(&scratch_lock);
  return memory ? memory : malloc(size + AWM_ALIGN);
}

static void scratch_give(void *memory, size_t size) {
  void *old = memory;
  pthread_mutex_lock(&scratch_lock);
  for (int i = 0; i < KEPT && old; i++)
    if (!scratch_kept[i].memory) {
      scratch_kept[i].memory = memory;
      scratch_kept[i].size = size;
      old = 0;
    }
  if (old) { /* full: of all sizes, the first makes room */
    old = scratch_kept[0].memory;
    scratch_kept[0].memory = memory;
    scratch_kept[0].size = size;
  }
  pthread_mutex_unlock(&scratch_lock);
  free(old);
}

static void *aligned(void *memory) {
  return (void *)(((uintptr_t)memory + AWM_ALIGN - 1) / AWM_ALIGN * AWM_ALIGN);
}

/* ---- a job: all matches of one call ---- */

typedef struct {
  int reset, n, block, blocks;
  int64_t image_stride[MAX_RANK], lead[MAX_RANK];
  int rank;
  size_t image_size, scratch_size;
  const uint8_t *image;
  const char *path;
  int shared; /* one image for all */
  awm_machine machine;
  size_t sizes[ARGS]; /* elements of one match */
  void *in[ARGS], *out[ARGS];
  int next, done, holders; /* atomic */
  const char *wrong;
  pthread_mutex_t lock;
  pthread_cond_t finished;
} job;

static const uint8_t *image_of(const job *j, int match) {
  int64_t at = 0, rest = match;
  for (int i = j->rank - 1; i >= 0; i--) {
    at += rest % j->lead[i] * j->image_stride[i];
    rest /= j->lead[i];
  }
  return j->image + at * (int64_t)j->image_size;
}

#define AT(side, which, type) \
  (j->side[which] ? (type *)j->side[which] + (size_t)i * j->sizes[which] : 0)

static awm_match match_of(const job *j, int i) {
  awm_match match = {
      AT(in, CONT, const int32_t),   AT(in, BINARY, const int32_t), AT(in, INTS, const int32_t),
      AT(in, STAGE, const int32_t),  AT(in, WINDOW, const int32_t), AT(in, PADS, const int32_t),
      AT(in, SSM, const int16_t),    AT(in, CONV, const int16_t),   AT(out, CONT, int32_t),
      AT(out, BINARY, int32_t),      AT(out, INTS, int32_t),        AT(out, STAGE, int32_t),
      AT(out, WINDOW, int32_t),      AT(out, SSM, int16_t),         AT(out, CONV, int16_t),
  };
  return match;
}

static void run_block(job *j, int first, int n, void *scratch) {
  awm_match matches[AWM_BLOCK];
  for (int i = 0; i < n; i++) matches[i] = match_of(j, first + i);
  awm_machine machine = j->machine;
  if (!j->shared) {
    const char *wrong = awm_open(&machine, image_of(j, first), j->image_size, j->path);
    if (!wrong && awm_scratch_size(&machine) != j->scratch_size) wrong = "images differ in shape";
    if (wrong) {
      __atomic_store_n(&j->wrong, wrong, __ATOMIC_RELAXED);
      return;
    }
  }
  if (!j->reset) {
    awm_step(&machine, matches, n, scratch);
    return;
  }
  for (int i = 0; i < n; i++) awm_reset(&machine, matches + i, scratch);
}

static void leave(job *j) {
  if (__atomic_sub_fetch(&j->holders, 1, __ATOMIC_ACQ_REL) == 0) {
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->finished);
    free(j);
  }
}

/* Takes blocks until none is left. */
static void work_on(job *j) {
  void *memory = 0;
  for (;;) {
    int i = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED);
    if (i >= j->blocks) break;
    if (!memory) memory = scratch_take(j->scratch_size);
    int first = i * j->block;
    int n = first + j->block <= j->n ? j->block : j->n - first;
    if (memory)
      run_block(j, first, n, aligned(memory));
    else
      __atomic_store_n(&j->wrong, "no memory for scratch", __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&j->done, 1, __ATOMIC_ACQ_REL) == j->blocks) {
      pthread_mutex_lock(&j->lock);
      pthread_cond_signal(&j->finished);
      pthread_mutex_unlock(&j->lock);
    }
  }
  if (memory) scratch_give(memory, j->scratch_size);
}

static void helper(void *data) {
  work_on(data);
  leave(data);
}

/* The caller works too and waits only for blocks that somebody has begun: XLA's threads may all be
 * busy with calls like this one. */
static void run(const ffi_call *call, job *j, int threads) {
  for (int i = 1; i < threads && i < j->blocks; i++) {
    __atomic_add_fetch(&j->holders, 1, __ATOMIC_ACQ_REL);
    ffi_schedule_args args = {sizeof args, 0, call->ctx, helper, j};
    void *error = call->api->schedule(&args);
    if (error) {
      ffi_error_destroy_args destroy = {sizeof destroy, 0, error};
      call->api->error_destroy(&destroy);
      leave(j);
      break;
    }
  }
  work_on(j);
  pthread_mutex_lock(&j->lock);
  while (__atomic_load_n(&j->done, __ATOMIC_ACQUIRE) < j->blocks)
    pthread_cond_wait(&j->finished, &j->lock);
  pthread_mutex_unlock(&j->lock);
}

static int pool_threads(const ffi_call *call) {
  int64_t n = 1;
  ffi_threads_args args = {sizeof args, 0, call->ctx, &n};
  void *error = call->api->num_threads(&args);
  if (error) {
    ffi_error_destroy_args destroy = {sizeof destroy, 0, error};
    call->api->error_destroy(&destroy);
  }
  return n > 64 ? 64 : (int)n;
}

/* ---- handlers ---- */

/* Elements of one match in each argument. */
static void sizes_of(const awm_machine *m, size_t sizes[ARGS]) {
  size_t k = (size_t)awm_dim(m, AWM_D_CONTEXT_LEN);
  sizes[CONT] = k * 2 * (size_t)awm_dim(m, AWM_D_CONT);
  sizes[BINARY] = k * 2 * (size_t)awm_dim(m, AWM_D_BINARY);
  sizes[INTS] = k * 2 * (size_t)awm_dim(m, AWM_D_INTS);
  sizes[STAGE] = k;
  sizes[WINDOW] = k * 2 * AWM_PAD_FIELDS;
  sizes[PADS] = 2 * AWM_PAD_FIELDS;
  sizes[SSM] = awm_ssm_size(m);
  sizes[CONV] = awm_conv_size(m);
}

/* Puts one buffer into the job; returns what is wrong. */
static const char *bind(job *j, void **side, int which, const ffi_buffer *b) {
  int dtype = which == SSM || which == CONV ? FFI_S16 : FFI_S32;
  if (b->dtype != dtype) return "an array of another dtype";
  if (count(b) != (int64_t)j->n * (int64_t)j->sizes[which]) return "an array of another shape";
  side[which] = b->data;
  return 0;
}

/* Leading dimensions: those of `stage` before its last; the image has the same or 1 in each. */
static const char *lead(job *j, const ffi_buffer *image, const ffi_buffer *stage) {
  int64_t n = 1, stride = 1;
  j->rank = (int)stage->rank - 1;
  if (stage->rank < 1 || stage->rank > MAX_RANK || image->rank != stage->rank)
    return "arrays of another rank";
  for (int i = j->rank - 1; i >= 0; i--) {
    j->lead[i] = stage->dims[i];
    if (image->dims[i] != 1 && image->dims[i] != j->lead[i]) return "images of another batch";
    j->image_stride[i] = image->dims[i] == 1 ? 0 : stride;
    stride *= image->dims[i];
    n *= j->lead[i];
  }
  if (n > 1 << 24) return "too many matches in one call";
  j->n = (int)n;
  j->shared = stride == 1;
  j->image = image->data;
  j->image_size = (size_t)image->dims[image->rank - 1];
  return 0;
}

static const char *prepare(const ffi_call *call, job *j) {
  static const int step_in[] = {CONT, BINARY, INTS, STAGE, WINDOW, PADS, SSM, CONV};
  static const int step_out[] = {CONT, BINARY, INTS, STAGE, WINDOW, SSM, CONV};
  static const int reset_out[] = {SSM, CONV};
  int64_t ins = call->args.size - 1, outs = call->rets.size;
  if (ins < 6) return "too few arguments";
  ffi_buffer **args = (ffi_buffer **)call->args.values, **rets = (ffi_buffer **)call->rets.values;
  const char *wrong = lead(j, args[0], args[STAGE]);
  if (wrong) return wrong;
  if (args[0]->dtype != FFI_U8) return "an image that is not uint8";
  if (j->n == 0) return 0;
  int32_t path = attribute(call, "path");
  const awm_path *chosen = path ? awm_paths(path - 1) : 0;
  if (path && !chosen) return "a path that this CPU lacks";
  j->path = chosen ? chosen->name : 0;
  wrong = awm_open(&j->machine, j->image, j->image_size, j->path);
  if (wrong) return wrong;
  j->scratch_size = awm_scratch_size(&j->machine);
  sizes_of(&j->machine, j->sizes);
  int state = awm_dim(&j->machine, AWM_D_RECURRENT) ? 2 : 0;
  if (ins != (j->reset ? 6 : 6 + state) || outs != (j->reset ? state : 5 + state))
    return "arguments of another mode";
  for (int i = 0; i < ins && !wrong; i++) wrong = bind(j, j->in, step_in[i], args[i + 1]);
  for (int i = 0; i < outs && !wrong; i++)
    wrong = bind(j, j->out, (j->reset ? reset_out : step_out)[i], rets[i]);
  return wrong;
}

static void *handle(ffi_call *call, int reset) {
  if (call->extension_start && call->extension_start->type == FFI_EXTENSION_METADATA) {
    ffi_metadata *metadata = ((ffi_metadata_extension *)(void *)call->extension_start)->metadata;
    metadata->api_version.major_version = FFI_MAJOR;
    metadata->api_version.minor_version = FFI_MINOR;
    return 0;
  }
  if (call->stage != FFI_EXECUTE) return 0;
  job *j = calloc(1, sizeof *j);
  if (!j) return fail(call, FFI_RESOURCE_EXHAUSTED, "awm: no memory");
  pthread_mutex_init(&j->lock, 0);
  pthread_cond_init(&j->finished, 0);
  j->holders = 1;
  j->reset = reset;
  const char *wrong = prepare(call, j);
  if (!wrong && j->n) {
    int threads = attribute(call, "threads");
    if (threads < 1) threads = pool_threads(call);
    int each = (j->n + threads - 1) / threads;
    j->block = !j->shared ? 1 : each < AWM_BLOCK ? each : AWM_BLOCK;
    j->blocks = (j->n + j->block - 1) / j->block;
    run(call, j, threads);
    wrong = __atomic_load_n(&j->wrong, __ATOMIC_RELAXED);
  }
  void *error = 0;
  if (wrong) {
    char message[160] = "awm: ";
    strncat(message, wrong, sizeof message - 8);
    error = fail(call, FFI_INVALID_ARGUMENT, message);
  }
  leave(j);
  return error;
}

EXPORT void *awm_world_step(ffi_call *call) { return handle(call, 0); }
EXPORT void *awm_world_reset(ffi_call *call) { return handle(call, 1); }

/* The name of the i-th path of this CPU, the best first; NULL after the last. */
EXPORT const char *awm_path_name(int i) {
  const awm_path *path = awm_paths(i);
  return path ? path->name : 0;
}
