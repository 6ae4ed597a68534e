/* The step for x86-64 with AVX-512 BW. */
#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#else
#pragma GCC target("avx2,avx512f,avx512bw,avx512vl,avx512dq")
#endif
#define AWM_PATH avx512
#define AWM_BITS 512
#include "awm_x86.h"

#include "awm_step.c"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int awm_nothing_avx512;
#endif
