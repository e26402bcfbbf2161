/* The same loops for processors with AVX2; this file alone is compiled for it. Bits are those of moments.c. */
#if defined(__x86_64__)
#include "core/moments.h"

#include <float.h>
#include <string.h>

#define REAL     float
#define INT      int32_t
#define REAL_MAX FLT_MAX
#define NAME(x)  x##_f32_avx2
#include "core/moments.inc"
#define REAL     double
#define INT      int64_t
#define REAL_MAX DBL_MAX
#define NAME(x)  x##_f64_avx2
#include "core/moments.inc"

const struct moments_ops moments_avx2 = {add_f32_avx2, add_f64_avx2, squares_f32_avx2, squares_f64_avx2};
#endif
