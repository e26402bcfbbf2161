/* The same loops for processors with AVX-512; this file alone is compiled for it. Bits are those of ops_f64.c. */
#if defined(__x86_64__)
#include "models/ops.h"
#include "models/vmath.h"

#define REAL    double
#define WIDTH   MATMUL_WIDTH_F64
#define DTYPE   DTYPE_F64
#define FIELD   f64
#define EXP     vmath_exp_f64
#define NAME(x) x##_f64_avx512

static enum status NAME(decode)(enum dtype t, const void *src, void *dst, int64_t n, struct error *err)
{
    return dtype_decode_f64(t, src, dst, n, err);
}

#include "models/ops_real.inc"
#endif
