/* Products for processors with AVX2; this file alone is compiled for it. */
#if defined(__x86_64__)
#include "base/cpu.h"
#include "models/matmul.h"

#include <immintrin.h>

enum { SIX = 6 };

/* Six rows, or the first of them, the last one repeated, and half a panel. Twelve accumulators of two vectors a row, two vectors of the panel and one
 * element stay in the sixteen registers; written out, since a loop over an array of vectors would live in memory. */
#define AVX2(NAME, REAL, WIDTH, VEC, ZERO, LOAD, STORE, ADD, FMA, SPREAD)                                    \
    static void NAME##_six(const REAL *panel, const REAL *rows, int64_t ld, int64_t n_rows, int64_t n_k,     \
                           REAL *acc, int64_t ld_acc, bool add)                                              \
    {                                                                                                        \
        enum { QUARTER = WIDTH / 4 };                                                                        \
        const REAL *r0 = rows, *r1 = r0 + (n_rows > 1 ? ld : 0), *r2 = r1 + (n_rows > 2 ? ld : 0);           \
        const REAL *r3 = r2 + (n_rows > 3 ? ld : 0), *r4 = r3 + (n_rows > 4 ? ld : 0);                       \
        const REAL *r5 = r4 + (n_rows > 5 ? ld : 0);                                                         \
        for (int64_t k = 0; k < n_k; add = true) {                                                           \
            VEC a0 = ZERO(), b0 = ZERO(), a1 = ZERO(), b1 = ZERO(), a2 = ZERO(), b2 = ZERO();                \
            VEC a3 = ZERO(), b3 = ZERO(), a4 = ZERO(), b4 = ZERO(), a5 = ZERO(), b5 = ZERO();                \
            for (int64_t end = matmul_block_end(k, n_k); k < end; k++, panel += WIDTH) {                     \
                VEC p = LOAD(panel), q = LOAD(panel + QUARTER), x;                                           \
                x = SPREAD(r0 + k), a0 = FMA(x, p, a0), b0 = FMA(x, q, b0);                                  \
                x = SPREAD(r1 + k), a1 = FMA(x, p, a1), b1 = FMA(x, q, b1);                                  \
                x = SPREAD(r2 + k), a2 = FMA(x, p, a2), b2 = FMA(x, q, b2);                                  \
                x = SPREAD(r3 + k), a3 = FMA(x, p, a3), b3 = FMA(x, q, b3);                                  \
                x = SPREAD(r4 + k), a4 = FMA(x, p, a4), b4 = FMA(x, q, b4);                                  \
                x = SPREAD(r5 + k), a5 = FMA(x, p, a5), b5 = FMA(x, q, b5);                                  \
            }                                                                                                \
            const VEC sums[2 * SIX] = {a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5};                      \
            for (int64_t i = 0; i < 2 * (n_rows < SIX ? n_rows : SIX); i++) {                                \
                REAL *out = acc + i / 2 * ld_acc + i % 2 * QUARTER;                                          \
                STORE(out, add ? ADD(LOAD(out), sums[i]) : sums[i]);                                         \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    static void NAME(const REAL *panel, const REAL *rows, int64_t ld, int64_t n_rows, int64_t n_k,           \
                     REAL *acc, int64_t ld_acc, bool add)                                                    \
    {                                                                                                        \
        for (int half = 0; half < WIDTH; half += WIDTH / 2)                                                  \
            for (int64_t r = 0; r < n_rows; r += SIX)                                                        \
                NAME##_six(panel + half, rows + r * ld, ld, n_rows - r, n_k, acc + r * ld_acc + half, ld_acc, \
                           add);                                                                             \
    }
AVX2(product_f32, float, MATMUL_WIDTH_F32, __m256, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps,
     _mm256_add_ps, _mm256_fmadd_ps, _mm256_broadcast_ss)
AVX2(product_f64, double, MATMUL_WIDTH_F64, __m256d, _mm256_setzero_pd, _mm256_loadu_pd,
     _mm256_storeu_pd, _mm256_add_pd, _mm256_fmadd_pd, _mm256_broadcast_sd)

const struct matmul matmul_avx2 = {"avx2", cpu_has_avx2, product_f32, product_f64};
#endif
