#include "models/matmul.h"
#include "base/cpu.h"

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
    static void NAME(const REAL *panel, const REAL *rows, int64_t ld, int64_t n_rows, int64_t n_k,           \
                     REAL *acc, bool add)                                                                    \
    {                                                                                                        \
        for (int64_t k0 = 0; k0 < n_k; k0 += MATMUL_BLOCK)                                                   \
            for (int64_t r = 0; r < n_rows; r++) {                                                           \
                const REAL *row = rows + r * ld;                                                             \
                REAL sum[WIDTH] = {0}, *out = acc + r * WIDTH;                                               \
                for (int64_t k = k0; k < block_end(k0, n_k); k++)                                            \
                    for (int c = 0; c < WIDTH; c++) sum[c] = FMA(row[k], panel[k * WIDTH + c], sum[c]);      \
                for (int c = 0; c < WIDTH; c++) out[c] = add || k0 > 0 ? out[c] + sum[c] : sum[c];           \
            }                                                                                                \
    }
PORTABLE(product_f32, float, MATMUL_WIDTH_F32, FMA_F32)
PORTABLE(product_f64, double, MATMUL_WIDTH_F64, FMA_F64)

static const struct matmul matmul_portable = {"portable", cpu_has_baseline, product_f32, product_f64};

#if defined(__x86_64__)
enum { SIX = 6 };

/* Six rows, or the first of them, the last one repeated. Twelve accumulators of two vectors a row, two vectors of the panel and one element stay in the sixteen
 * registers; written out, since a loop over an array of vectors would live in memory. */
#define AVX2(NAME, REAL, WIDTH, VEC, ZERO, LOAD, STORE, ADD, FMA, SPREAD)                                    \
    __attribute__((target("avx2,fma"))) static void NAME##_six(                                              \
        const REAL *panel, const REAL *rows, int64_t ld, int64_t n_rows, int64_t n_k, REAL *acc, bool add)   \
    {                                                                                                        \
        enum { HALF = WIDTH / 2 };                                                                           \
        const REAL *r0 = rows, *r1 = r0 + (n_rows > 1 ? ld : 0), *r2 = r1 + (n_rows > 2 ? ld : 0);           \
        const REAL *r3 = r2 + (n_rows > 3 ? ld : 0), *r4 = r3 + (n_rows > 4 ? ld : 0);                       \
        const REAL *r5 = r4 + (n_rows > 5 ? ld : 0);                                                         \
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
            const VEC sums[2 * SIX] = {a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5};                      \
            for (int64_t i = 0; i < 2 * (n_rows < SIX ? n_rows : SIX); i++) {                                \
                REAL *out = acc + i * HALF;                                                                  \
                STORE(out, add ? ADD(LOAD(out), sums[i]) : sums[i]);                                         \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    static void NAME(const REAL *panel, const REAL *rows, int64_t ld, int64_t n_rows, int64_t n_k,           \
                     REAL *acc, bool add)                                                                    \
    {                                                                                                        \
        for (int64_t r = 0; r < n_rows; r += SIX)                                                            \
            NAME##_six(panel, rows + r * ld, ld, n_rows - r, n_k, acc + r * WIDTH, add);                     \
    }
AVX2(product_f32_avx2, float, MATMUL_WIDTH_F32, __m256, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps,
     _mm256_add_ps, _mm256_fmadd_ps, _mm256_broadcast_ss)
AVX2(product_f64_avx2, double, MATMUL_WIDTH_F64, __m256d, _mm256_setzero_pd, _mm256_loadu_pd,
     _mm256_storeu_pd, _mm256_add_pd, _mm256_fmadd_pd, _mm256_broadcast_sd)

static const struct matmul matmul_avx2 = {"avx2", cpu_has_avx2, product_f32_avx2, product_f64_avx2};

/* A panel is one vector wide. Eight chains of multiply-adds hide their latency; with three times as many the loads of the panel and of the
 * pointers no longer count. B: pointer to the first of three rows. */
#define TRIPLE(FMA, SPREAD, B, X, Y, Z)                                                                      \
    X = FMA(SPREAD((B)[0]), p, X), Y = FMA(SPREAD((B)[ld]), p, Y), Z = FMA(SPREAD((B)[2 * ld]), p, Z), (B)++
#define AVX512(NAME, REAL, WIDTH, VEC, ZERO, LOAD, STORE, ADD, FMA, SPREAD)                                  \
    __attribute__((target("avx512f"))) static void NAME##_24(const REAL *panel, const REAL *rows,            \
                                                             int64_t ld, int64_t n_k, REAL *acc, bool add)   \
    {                                                                                                        \
        for (int64_t k = 0; k < n_k; add = true) {                                                           \
            VEC a0 = ZERO(), a1 = ZERO(), a2 = ZERO(), a3 = ZERO(), a4 = ZERO(), a5 = ZERO();                \
            VEC a6 = ZERO(), a7 = ZERO(), a8 = ZERO(), a9 = ZERO(), a10 = ZERO(), a11 = ZERO();              \
            VEC a12 = ZERO(), a13 = ZERO(), a14 = ZERO(), a15 = ZERO(), a16 = ZERO(), a17 = ZERO();          \
            VEC a18 = ZERO(), a19 = ZERO(), a20 = ZERO(), a21 = ZERO(), a22 = ZERO(), a23 = ZERO();          \
            const REAL *b0 = rows + k, *b1 = b0 + 3 * ld, *b2 = b1 + 3 * ld, *b3 = b2 + 3 * ld;              \
            const REAL *b4 = b3 + 3 * ld, *b5 = b4 + 3 * ld, *b6 = b5 + 3 * ld, *b7 = b6 + 3 * ld;           \
            for (int64_t end = block_end(k, n_k); k < end; k++, panel += WIDTH) {                            \
                VEC p = LOAD(panel);                                                                         \
                TRIPLE(FMA, SPREAD, b0, a0, a1, a2);                                                         \
                TRIPLE(FMA, SPREAD, b1, a3, a4, a5);                                                         \
                TRIPLE(FMA, SPREAD, b2, a6, a7, a8);                                                         \
                TRIPLE(FMA, SPREAD, b3, a9, a10, a11);                                                       \
                TRIPLE(FMA, SPREAD, b4, a12, a13, a14);                                                      \
                TRIPLE(FMA, SPREAD, b5, a15, a16, a17);                                                      \
                TRIPLE(FMA, SPREAD, b6, a18, a19, a20);                                                      \
                TRIPLE(FMA, SPREAD, b7, a21, a22, a23);                                                      \
            }                                                                                                \
            const VEC sums[MATMUL_ROWS] = {a0,  a1,  a2,  a3,  a4,  a5,  a6,  a7,  a8,  a9,  a10, a11,       \
                                           a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23};      \
            for (int i = 0; i < MATMUL_ROWS; i++) {                                                          \
                REAL *out = acc + i * WIDTH;                                                                 \
                STORE(out, add ? ADD(LOAD(out), sums[i]) : sums[i]);                                         \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    static void NAME##_avx512(const REAL *panel, const REAL *rows, int64_t ld, int64_t n_rows, int64_t n_k,  \
                              REAL *acc, bool add)                                                           \
    {                                                                                                        \
        int64_t r = 0;                                                                                       \
        for (; r + MATMUL_ROWS <= n_rows; r += MATMUL_ROWS)                                                  \
            NAME##_24(panel, rows + r * ld, ld, n_k, acc + r * WIDTH, add);                                  \
        if (r < n_rows) NAME##_avx2(panel, rows + r * ld, ld, n_rows - r, n_k, acc + r * WIDTH, add);        \
    }
AVX512(product_f32, float, MATMUL_WIDTH_F32, __m512, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps,
       _mm512_add_ps, _mm512_fmadd_ps, _mm512_set1_ps)
AVX512(product_f64, double, MATMUL_WIDTH_F64, __m512d, _mm512_setzero_pd, _mm512_loadu_pd, _mm512_storeu_pd,
       _mm512_add_pd, _mm512_fmadd_pd, _mm512_set1_pd)

static const struct matmul matmul_avx512 = {"avx512", cpu_has_avx512, product_f32_avx512, product_f64_avx512};
#endif

const struct matmul *const matmul_list[] = {
    &matmul_portable,
#if defined(__x86_64__)
    &matmul_avx2,
    &matmul_avx512,
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
