/* This file alone is compiled for its instruction set. */
#if defined(__x86_64__)
#define SET metrics_loops_avx2
#include "core/metrics_loops.inc"
#endif
