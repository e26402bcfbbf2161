/* The same loops for processors with AVX2; this file alone is compiled for it. Bits are those of ops_f32.c. */
#if defined(__x86_64__)
#include "models/ops.h"
#include "models/transpose_x86.h"
#include "models/vmath.h"

#define REAL    float
#define WIDTH   MATMUL_WIDTH_F32
#define DTYPE   DTYPE_F32
#define FIELD   f32
#define EXP     vmath_exp_f32
#define NAME(x) x##_f32_avx2

static enum status NAME(decode)(enum dtype t, const void *src, void *dst, int64_t n, struct error *err)
{
    return dtype_decode_f32(t, src, dst, n, err);
}

#define SQUARE                         8
#define TURN(dst, ld_dst, src, ld_src) transpose_8x8(dst, ld_dst, src, ld_src)

#include "models/ops_real.inc"
#endif
