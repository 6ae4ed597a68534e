/* Products and scans of every path of this CPU against the plain one: random values and the ends of
 * their ranges, all widths and remainders, in place and apart. Prints the names of the paths that
 * are equal; exit status 1 at the first that is not. A build with FLIP changes one bit of each
 * result before it is compared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "awm.h"

#ifndef FLIP
#define FLIP 0
#endif
#define COUNT(a) (int)(sizeof(a) / sizeof *(a))
#define UNTOUCHED 0x5a5a5a5a
#define MAX_ROWS 37
#define MAX_COLS 1024
#define MAX_N 9
#define MAX_HEADDIM 64
#define MAX_STATE 130

static uint32_t state = 1;

static uint32_t draw(void) { return state = state * 1664525u + 1013904223u; }

/* -most..most, at an end three times in ten. */
static int32_t value(int32_t most) {
  uint32_t which = (draw() >> 8) % 10;
  if (which < 3) return which == 0 ? -most : most;
  return (int32_t)((draw() >> 8) % (uint32_t)(2 * most + 1)) - most;
}

static int products(const awm_path *path, const awm_path *plain) {
  static const int rows[] = {1, 2, 3, 4, 5, 8, 11, MAX_ROWS};
  static const int cols[] = {1, 15, 16, 63, 64, 65, 130, 384, MAX_COLS};
  static int8_t w[MAX_ROWS * MAX_COLS];
  static int16_t x[MAX_N * (MAX_COLS + 32)];
  static int32_t found[MAX_N * (MAX_ROWS + 3)], expected[MAX_N * (MAX_ROWS + 3)];
  for (int i = 0; i < COUNT(rows) * COUNT(cols) * MAX_N; i++) {
    int r = rows[i % COUNT(rows)], c = cols[i / COUNT(rows) % COUNT(cols)];
    int n = i / COUNT(rows) / COUNT(cols) + 1, wide = awm_padded(c);
    memset(w, 0, sizeof w);
    memset(x, 0, sizeof x);
    for (int k = 0; k < r; k++)
      for (int j = 0; j < c; j++) w[k * wide + j] = (int8_t)value(127);
    for (int k = 0; k < n; k++)
      for (int j = 0; j < c; j++) x[k * (wide + 32) + j] = (int16_t)value(AWM_WIDE_MAX);
    memset(found, 0x5a, sizeof found);
    memset(expected, 0x5a, sizeof expected);
    path->product(w, r, c, x, wide + 32, n, found, r + 3);
    plain->product(w, r, c, x, wide + 32, n, expected, r + 3);
    found[n * (r + 3) - 4] ^= FLIP;
    if (memcmp(found, expected, sizeof found)) return 0;
    if (found[r] != UNTOUCHED) return 0;
  }
  return 1;
}

static int scans(const awm_path *path, const awm_path *plain) {
  static const int states[] = {3, 4, 5, 8, 16, 24, 32, 64, 96, 128, MAX_STATE};
  static const int heads[] = {1, 3, 4, 9, MAX_HEADDIM};
  static int16_t h[MAX_HEADDIM * MAX_STATE], found[MAX_HEADDIM * MAX_STATE],
      expected[MAX_HEADDIM * MAX_STATE];
  int32_t u[MAX_HEADDIM], b[MAX_STATE], c[MAX_STATE], a1[MAX_HEADDIM], a2[MAX_HEADDIM];
  for (int i = 0; i < COUNT(states) * COUNT(heads) * 20; i++) {
    int n = states[i % COUNT(states)], p = heads[i / COUNT(states) % COUNT(heads)];
    size_t bytes = sizeof(int16_t) * (size_t)(n * p);
    int32_t decay = i % 3 ? 16384 + value(16383) : i % 2 ? 32767 : 1;
    int32_t room = (32768 - decay) * AWM_DRIVE_ROOM;
    for (int j = 0; j < n * p; j++) h[j] = (int16_t)value(32767);
    for (int j = 0; j < p; j++) u[j] = value(room < 32767 ? room : 32767);
    for (int j = 0; j < n; j++) b[j] = value(AWM_B_MAX), c[j] = value(0x7fffffff / (32767 * n));
    plain->scan(expected, h, u, b, c, decay, p, n, a1);
    path->scan(found, h, u, b, c, decay, p, n, a2);
    if (memcmp(found, expected, bytes) || memcmp(a1, a2, sizeof(int32_t) * (size_t)p)) return 0;
    path->scan(h, h, u, b, c, decay, p, n, a2);
    if (memcmp(h, expected, bytes) || memcmp(a1, a2, sizeof(int32_t) * (size_t)p)) return 0;
  }
  return 1;
}

int main(void) {
  int last = 0;
  while (awm_paths(last + 1)) last++;
  const awm_path *plain = awm_paths(last);
  for (int i = 0; i < last; i++) {
    const awm_path *path = awm_paths(i);
    int product = products(path, plain), scan = scans(path, plain);
    if (!product || !scan) {
      printf("%s: %s differ\n", path->name, product ? "scans" : "products");
      return 1;
    }
    printf("%s\n", path->name);
  }
  printf("%s\n", plain->name);
  return 0;
}
