/* awm-bench IMAGE: the kernel's parts alone, on one thread. Prints for every path of the CPU
 * "path GMAC/s-of-8-rows GMAC/s-of-1-row scan-us-in-cache scan-us-from-memory", the products over all
 * of the image's layer weights, the scan over a whole match's state. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../awm.h"

#define STATES 256

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double products(const awm_machine *m, int n, const int16_t *x, int32_t *out) {
  double start = now(), seconds;
  long rounds = 0;
  int d = awm_dim(m, AWM_D_D_MODEL), e = awm_d_inner(m), rows = awm_in_rows(m);
  do {
    for (int i = 0; i < awm_dim(m, AWM_D_N_LAYERS); i++) {
      m->path->product(awm_layer(m, i, AWM_L_IN_W), rows, d, x, awm_padded(e), n, out, rows);
      m->path->product(awm_layer(m, i, AWM_L_OUT_W), d, e, x, awm_padded(e), n, out, rows);
    }
    rounds++;
    seconds = now() - start;
  } while (seconds < 0.4);
  double macs = (double)awm_dim(m, AWM_D_N_LAYERS) * n * ((double)rows * d + (double)d * e);
  return macs * (double)rounds / seconds / 1e9;
}

static double scans(const awm_machine *m, int16_t *states, int count) {
  int heads = awm_heads(m), width = awm_dim(m, AWM_D_HEADDIM), n = awm_dim(m, AWM_D_D_STATE);
  static int32_t u[8192], b[1024], c[1024], acc[8192];
  for (int i = 0; i < width; i++) u[i] = i * 7 % 100;
  for (int i = 0; i < n; i++) b[i] = c[i] = i * 5 % 90;
  double start = now(), seconds;
  long done = 0;
  do {
    int16_t *h = states + (size_t)(done % count) * awm_ssm_size(m);
    for (int i = 0; i < awm_dim(m, AWM_D_N_LAYERS) * heads; i++, h += width * n)
      m->path->scan(h, h, u, b, c, 30000, width, n, acc);
    done++;
    seconds = now() - start;
  } while (seconds < 0.4);
  return seconds / (double)done * 1e6;
}

int main(int argc, char **argv) {
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : 0;
  if (!file) return 2;
  fseek(file, 0, SEEK_END);
  size_t size = (size_t)ftell(file);
  rewind(file);
  uint8_t *image = malloc(size);
  if (!image || fread(image, 1, size, file) != size) return 2;
  for (int i = 0; awm_paths(i); i++) {
    awm_machine m;
    const char *wrong = awm_open(&m, image, size, awm_paths(i)->name);
    if (wrong) {
      fprintf(stderr, "awm-bench: %s\n", wrong);
      return 2;
    }
    int16_t *x = calloc(AWM_BLOCK * (size_t)awm_padded(awm_d_inner(&m)), sizeof *x);
    int32_t *out = calloc(AWM_BLOCK * (size_t)awm_in_rows(&m), sizeof *out);
    int16_t *states = calloc(STATES * awm_ssm_size(&m), sizeof *states);
    if (!x || !out || !states) return 2;
    for (size_t k = 0; k < STATES * awm_ssm_size(&m); k++) states[k] = (int16_t)(k % 1000);
    printf("%s %.2f %.2f %.2f %.2f\n", m.path->name, products(&m, AWM_BLOCK, x, out),
           products(&m, 1, x, out), scans(&m, states, 1), scans(&m, states, STATES));
    free(x);
    free(out);
    free(states);
  }
  free(image);
  fclose(file);
  return 0;
}
