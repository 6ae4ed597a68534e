/* What every file of the program shares: the machine's types, system calls, accounts, checks.
 * docs/onchain.md describes the program; layout.h is generated from the Python definitions. */
#ifndef CHAIN_H
#define CHAIN_H

#include "layout.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long i64;

struct part { const void *at; u64 size; };
extern u64 sol_sha256(const struct part *parts, u64 n, u8 *out);
extern void *sol_memcpy_(void *to, const void *from, u64 n);
extern void *sol_memset_(void *to, u8 value, u64 n);
extern u64 sol_memcmp_(const void *a, const void *b, u64 n, i32 *out);

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
/* A struct call must fit a stack frame of 512 bytes. */
#define MAX_ACCOUNTS (7 + MOST_SHARDS)

struct account {
  const u8 *key;
  u8 *data;
  u64 size;
  u8 signer, writable;
};

struct call {
  struct account a[MAX_ACCOUNTS];
  u64 n;
  const u8 *data;
  u64 size;
  const u8 *program;
};

/* The virtual machine allows loads and stores at any address. */
INLINE u16 get16(const u8 *p) { return *(const u16 *)(const void *)p; }
INLINE u32 get32(const u8 *p) { return *(const u32 *)(const void *)p; }
INLINE u64 get64(const u8 *p) { return *(const u64 *)(const void *)p; }
INLINE void put16(u8 *p, u16 v) { *(u16 *)(void *)p = v; }
INLINE void put32(u8 *p, u32 v) { *(u32 *)(void *)p = v; }
INLINE void put64(u8 *p, u64 v) { *(u64 *)(void *)p = v; }

INLINE int same_key(const u8 *a, const u8 *b) {
  return get64(a) == get64(b) && get64(a + 8) == get64(b + 8) && get64(a + 16) == get64(b + 16) &&
         get64(a + 24) == get64(b + 24);
}
INLINE int zero_key(const u8 *a) { return !(get64(a) | get64(a + 8) | get64(a + 16) | get64(a + 24)); }
INLINE void put_key(u8 *to, const u8 *from) {
  for (int i = 0; i < 32; i += 8) put64(to + i, get64(from + i));
}

#define TRY(expression)              \
  do {                               \
    u64 failed_ = (expression);      \
    if (failed_) return failed_;     \
  } while (0)
#define NEED(condition, error) \
  do {                         \
    if (!(condition)) return (error); \
  } while (0)

#endif
