/* The step for x86-64 with AVX2. */
#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#define AWM_PATH avx2
#define AWM_BITS 256
#include "awm_x86.h"

#include "awm_step.c"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int awm_nothing_avx2;
#endif
