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

static inline __m512 load_bf16(const uint16_t *src)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)src)), 16));
}

static inline __m512 load_f16(const uint16_t *src)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)src));
}

/* A square of rows ld_src apart, turned */
#define TURN_FROM(FROM, TYPE, LOAD)                                                                          \
    static inline void turn_##FROM(float *dst, int64_t ld_dst, const TYPE *src, int64_t ld_src)              \
    {                                                                                                        \
        __m512 row[16];                                                                                      \
        for (int i = 0; i < 16; i++) row[i] = LOAD(src + i * ld_src);                                        \
        transpose_16(dst, ld_dst, row);                                                                      \
    }
TURN_FROM(f32, float, _mm512_loadu_ps)
TURN_FROM(bf16, uint16_t, load_bf16)
TURN_FROM(f16, uint16_t, load_f16)

static bool NAME(pack_raw)(void *panel, enum dtype t, const void *raw, int64_t k)
{
    float *p = panel;
    const uint16_t *rows = raw;
    if (k % 16 != 0 || (t != DTYPE_BF16 && t != DTYPE_F16)) return false;
    for (int64_t i = 0; i < k; i += 16)
        for (int c = 0; c < WIDTH; c += 16) (t == DTYPE_BF16 ? turn_bf16 : turn_f16)(p + i * WIDTH + c, WIDTH, rows + c * k + i, k);
    return true;
}
#define PACK_RAW NAME(pack_raw)
#define SQUARE   16
#define TURN     turn_f32

#include "models/ops_real.inc"
#endif
