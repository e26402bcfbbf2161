/* The same loops for processors with AVX-512; this file alone is compiled for it. Bits are those of ops_f32.c. */
#if defined(__x86_64__)
#include "models/ops.h"
#include "models/transpose_x86.h"
#include "models/vmath.h"

#define REAL    float
#define WIDTH   MATMUL_WIDTH_F32
#define DTYPE   DTYPE_F32
#define FIELD   f32
#define EXP     vmath_exp_f32
#define NAME(x) x##_f32_avx512

static enum status NAME(decode)(enum dtype t, const void *src, void *dst, int64_t n, struct error *err)
{
    return dtype_decode_f32(t, src, dst, n, err);
}

/* A panel from all of its rows, square by square; returns how many of the first k are done. */
static int64_t pack_squares(float *panel, const float *src, int64_t ld, int64_t rows, int64_t k)
{
    int64_t i = 0;
    for (; rows == WIDTH && i + 16 <= k; i += 16)
        for (int c = 0; c < WIDTH; c += 16) transpose_16x16(panel + i * WIDTH + c, WIDTH, src + c * ld + i, ld);
    return i;
}
#define PACK_PART(panel, src, ld, rows, k) pack_squares(panel, src, ld, rows, k)

#include "models/ops_real.inc"
#endif
