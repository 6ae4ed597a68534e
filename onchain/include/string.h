/* What the network's source needs of the C library, by system calls. */
#ifndef CHAIN_STRING_H
#define CHAIN_STRING_H

extern void *sol_memcpy_(void *to, const void *from, unsigned long n);
extern void *sol_memmove_(void *to, const void *from, unsigned long n);
extern void *sol_memset_(void *to, unsigned char value, unsigned long n);

#define memcpy(to, from, n) sol_memcpy_(to, from, n)
#define memmove(to, from, n) sol_memmove_(to, from, n)
#define memset(to, value, n) sol_memset_(to, value, n)

static inline int memcmp(const void *a, const void *b, unsigned long n) {
  const unsigned char *x = a, *y = b;
  for (unsigned long i = 0; i < n; i++)
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  return 0;
}

#endif
