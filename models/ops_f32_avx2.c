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

static inline void turn_square(float *dst, int64_t ld_dst, const float *src, int64_t ld_src)
{
    __m256 row[8];
    for (int i = 0; i < 8; i++) row[i] = _mm256_loadu_ps(src + i * ld_src);
    transpose_8(dst, ld_dst, row);
}
#define SQUARE 8
#define TURN   turn_square

#include "models/ops_real.inc"
#endif
