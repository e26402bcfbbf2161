/* Products for processors with AVX-512; this file alone is compiled for it. */
#if defined(__x86_64__)
#include "base/cpu.h"
#include "models/matmul.h"

#include <immintrin.h>

/* A panel is two vectors wide. Of fourteen rows 28 accumulators, the two vectors and one element stay in the 32 registers: 28 multiply-adds for 16
 * loads. Rows are reached through a pointer to each third one. M(row, pointer, elements behind it) for the first 1, 2, 4, 8 or 14 rows: */
#define ROWS_1(M)  M(0, p0, 0)
#define ROWS_2(M)  ROWS_1(M) M(1, p0, ld)
#define ROWS_4(M)  ROWS_2(M) M(2, p0, 2 * ld) M(3, p1, 0)
#define ROWS_8(M)  ROWS_4(M) M(4, p1, ld) M(5, p1, 2 * ld) M(6, p2, 0) M(7, p2, ld)
#define ROWS_14(M) ROWS_8(M) M(8, p2, 2 * ld) M(9, p3, 0) M(10, p3, ld) M(11, p3, 2 * ld) M(12, p4, 0) M(13, p4, ld)

#define NONE(i, p, at)  VEC a##i = ZERO(), b##i = ZERO();
#define CHAIN(i, p, at) x = SPREAD((p)[at]), a##i = FMA(x, left, a##i), b##i = FMA(x, right, b##i);
#define SUM(i, p, at)                                                                                        \
    out = acc + (i) * ld_acc;                                                                                \
    STORE(out, add ? ADD(LOAD(out), a##i) : a##i);                                                           \
    STORE(out + HALF, add ? ADD(LOAD(out + HALF), b##i) : b##i);

/* A block's end is foreseen where it is sixteen steps away, not sixty-four. A panel does not fit the first cache beside the rows: it is fetched from
 * the second one eight steps before it is needed (behind its end, where nothing is wanted, a prefetch does nothing). */
#define UNROLL _Pragma("GCC unroll 4")
#define AHEAD  (8 * 2 * HALF)

#define TILE(N)                                                                                              \
    static void PASTE(tile, N)(const REAL *panel, const REAL *rows, int64_t ld, int64_t n_k, REAL *acc,      \
                               int64_t ld_acc, bool add)                                                     \
    {                                                                                                        \
        for (int64_t k = 0; k < n_k; add = true) {                                                           \
            const REAL *p0 = rows + k, *p1 = p0 + 3 * ld, *p2 = p1 + 3 * ld, *p3 = p2 + 3 * ld;              \
            const REAL *p4 = p3 + 3 * ld;                                                                    \
            ROWS_##N(NONE)                                                                                   \
            const int64_t end = matmul_block_end(k, n_k);                                                    \
            UNROLL for (; k < end; k++, panel += 2 * HALF) {                                                 \
                _mm_prefetch(panel + AHEAD, _MM_HINT_T0);                                                    \
                _mm_prefetch(panel + AHEAD + HALF, _MM_HINT_T0);                                             \
                VEC left = LOAD(panel), right = LOAD(panel + HALF), x;                                       \
                ROWS_##N(CHAIN)                                                                              \
                p0++, p1++, p2++, p3++, p4++;                                                                \
            }                                                                                                \
            REAL *out;                                                                                       \
            ROWS_##N(SUM)                                                                                    \
        }                                                                                                    \
    }

#define PRODUCT                                                                                              \
    TILE(14)                                                                                                 \
    TILE(8)                                                                                                  \
    TILE(4)                                                                                                  \
    TILE(2)                                                                                                  \
    TILE(1)                                                                                                  \
    static void PASTE(product, )(const REAL *panel, const REAL *rows, int64_t ld, int64_t n_rows, int64_t n_k, \
                                 REAL *acc, int64_t ld_acc, bool add)                                        \
    {                                                                                                        \
        static void (*const tiles[])(const REAL *, const REAL *, int64_t, int64_t, REAL *, int64_t, bool) =  \
            {PASTE(tile, 14), PASTE(tile, 8), PASTE(tile, 4), PASTE(tile, 2), PASTE(tile, 1)};               \
        static const int sizes[] = {14, 8, 4, 2, 1};                                                         \
        int64_t r = 0;                                                                                       \
        for (int i = 0; r < n_rows; i++)                                                                     \
            for (; n_rows - r >= sizes[i]; r += sizes[i])                                                    \
                tiles[i](panel, rows + r * ld, ld, n_k, acc + r * ld_acc, ld_acc, add);                      \
    }

#define VEC           __m512
#define REAL          float
#define HALF          (MATMUL_WIDTH_F32 / 2)
#define ZERO          _mm512_setzero_ps
#define LOAD          _mm512_loadu_ps
#define STORE         _mm512_storeu_ps
#define ADD           _mm512_add_ps
#define FMA           _mm512_fmadd_ps
#define SPREAD        _mm512_set1_ps
#define PASTE(x, n)   x##_f32_##n
PRODUCT

#undef VEC
#undef REAL
#undef HALF
#undef ZERO
#undef LOAD
#undef STORE
#undef ADD
#undef FMA
#undef SPREAD
#undef PASTE
#define VEC         __m512d
#define REAL        double
#define HALF        (MATMUL_WIDTH_F64 / 2)
#define ZERO        _mm512_setzero_pd
#define LOAD        _mm512_loadu_pd
#define STORE       _mm512_storeu_pd
#define ADD         _mm512_add_pd
#define FMA         _mm512_fmadd_pd
#define SPREAD      _mm512_set1_pd
#define PASTE(x, n) x##_f64_##n
PRODUCT

const struct matmul matmul_avx512 = {"avx512", cpu_has_avx512, product_f32_, product_f64_};
#endif
