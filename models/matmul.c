#include "models/matmul.h"

#include <math.h>
#include <stddef.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* A chain without hardware support would call a function for each element; there the product is rounded. */
#ifdef __FP_FAST_FMAF
#define FMA_F32(x, y, z) fmaf(x, y, z)
#define FMA_F64(x, y, z) fma(x, y, z)
#else
#define FMA_F32(x, y, z) ((x) * (y) + (z))
#define FMA_F64(x, y, z) ((x) * (y) + (z))
#endif

static int64_t block_end(int64_t k, int64_t n_k)
{
    return n_k - k < MATMUL_BLOCK ? n_k : k + MATMUL_BLOCK;
}

#define PORTABLE(NAME, REAL, WIDTH, FMA)                                                                     \
    static void NAME(const REAL *panel, const REAL *const rows[MATMUL_ROWS], int64_t n_k, REAL *acc,         \
                     bool add)                                                                               \
    {                                                                                                        \
        for (int64_t k0 = 0; k0 < n_k; k0 += MATMUL_BLOCK)                                                   \
            for (int r = 0; r < MATMUL_ROWS; r++) {                                                          \
                REAL sum[WIDTH] = {0}, *out = acc + r * WIDTH;                                               \
                for (int64_t k = k0; k < block_end(k0, n_k); k++)                                            \
                    for (int c = 0; c < WIDTH; c++) sum[c] = FMA(rows[r][k], panel[k * WIDTH + c], sum[c]);  \
                for (int c = 0; c < WIDTH; c++) out[c] = add || k0 > 0 ? out[c] + sum[c] : sum[c];           \
            }                                                                                                \
    }
PORTABLE(product_f32, float, MATMUL_WIDTH_F32, FMA_F32)
PORTABLE(product_f64, double, MATMUL_WIDTH_F64, FMA_F64)

static bool always(void)
{
    return true;
}
static const struct matmul matmul_portable = {"portable", always, product_f32, product_f64};

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* Twelve accumulators of two vectors a row, two vectors of the panel and one element stay in the sixteen
 * registers; written out, since a loop over an array of vectors would live in memory. */
#define AVX2(NAME, REAL, WIDTH, VEC, ZERO, LOAD, STORE, ADD, FMA, SPREAD)                                    \
    __attribute__((target("avx2,fma"))) static void NAME(                                                    \
        const REAL *panel, const REAL *const rows[MATMUL_ROWS], int64_t n_k, REAL *acc, bool add)            \
    {                                                                                                        \
        enum { HALF = WIDTH / 2 };                                                                           \
        const REAL *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3], *r4 = rows[4], *r5 = rows[5]; \
        for (int64_t k = 0; k < n_k; add = true) {                                                           \
            VEC a0 = ZERO(), b0 = ZERO(), a1 = ZERO(), b1 = ZERO(), a2 = ZERO(), b2 = ZERO();                \
            VEC a3 = ZERO(), b3 = ZERO(), a4 = ZERO(), b4 = ZERO(), a5 = ZERO(), b5 = ZERO();                \
            for (int64_t end = block_end(k, n_k); k < end; k++, panel += WIDTH) {                            \
                VEC p = LOAD(panel), q = LOAD(panel + HALF), x;                                              \
                x = SPREAD(r0 + k), a0 = FMA(x, p, a0), b0 = FMA(x, q, b0);                                  \
                x = SPREAD(r1 + k), a1 = FMA(x, p, a1), b1 = FMA(x, q, b1);                                  \
                x = SPREAD(r2 + k), a2 = FMA(x, p, a2), b2 = FMA(x, q, b2);                                  \
                x = SPREAD(r3 + k), a3 = FMA(x, p, a3), b3 = FMA(x, q, b3);                                  \
                x = SPREAD(r4 + k), a4 = FMA(x, p, a4), b4 = FMA(x, q, b4);                                  \
                x = SPREAD(r5 + k), a5 = FMA(x, p, a5), b5 = FMA(x, q, b5);                                  \
            }                                                                                                \
            const VEC sums[2 * MATMUL_ROWS] = {a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5};              \
            for (int i = 0; i < 2 * MATMUL_ROWS; i++) {                                                      \
                REAL *out = acc + i * HALF;                                                                  \
                STORE(out, add ? ADD(LOAD(out), sums[i]) : sums[i]);                                         \
            }                                                                                                \
        }                                                                                                    \
    }
AVX2(product_f32_avx2, float, MATMUL_WIDTH_F32, __m256, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps,
     _mm256_add_ps, _mm256_fmadd_ps, _mm256_broadcast_ss)
AVX2(product_f64_avx2, double, MATMUL_WIDTH_F64, __m256d, _mm256_setzero_pd, _mm256_loadu_pd,
     _mm256_storeu_pd, _mm256_add_pd, _mm256_fmadd_pd, _mm256_broadcast_sd)

static const struct matmul matmul_avx2 = {"avx2", has_avx2, product_f32_avx2, product_f64_avx2};
#endif

const struct matmul *const matmul_list[] = {
    &matmul_portable,
#if defined(__x86_64__)
    &matmul_avx2,
#endif
    NULL,
};

const struct matmul *matmul_active(void)
{
    const struct matmul *best = matmul_list[0];
    for (const struct matmul *const *m = matmul_list; *m; m++)
        if ((*m)->supported()) best = *m;
    return best;
}
