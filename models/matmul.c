#include "models/matmul.h"

#include "base/cpu.h"

#include <math.h>
#include <stddef.h>

/* A chain without hardware support would call a function for each element; there the product is rounded. */
#ifdef __FP_FAST_FMAF
#define FMA_F32(x, y, z) fmaf(x, y, z)
#define FMA_F64(x, y, z) fma(x, y, z)
#else
#define FMA_F32(x, y, z) ((x) * (y) + (z))
#define FMA_F64(x, y, z) ((x) * (y) + (z))
#endif

#define PORTABLE(NAME, REAL, WIDTH, FMA)                                                                     \
    static void NAME(const REAL *panel, const REAL *rows, int64_t ld, int64_t n_rows, int64_t n_k,           \
                     REAL *acc, int64_t ld_acc, bool add)                                                    \
    {                                                                                                        \
        for (int64_t k0 = 0; k0 < n_k; k0 += MATMUL_BLOCK)                                                   \
            for (int64_t r = 0; r < n_rows; r++) {                                                           \
                const REAL *row = rows + r * ld;                                                             \
                REAL sum[WIDTH] = {0}, *out = acc + r * ld_acc;                                              \
                for (int64_t k = k0; k < matmul_block_end(k0, n_k); k++)                                     \
                    for (int c = 0; c < WIDTH; c++) sum[c] = FMA(row[k], panel[k * WIDTH + c], sum[c]);      \
                for (int c = 0; c < WIDTH; c++) out[c] = add || k0 > 0 ? out[c] + sum[c] : sum[c];           \
            }                                                                                                \
    }
PORTABLE(product_f32, float, MATMUL_WIDTH_F32, FMA_F32)
PORTABLE(product_f64, double, MATMUL_WIDTH_F64, FMA_F64)

static const struct matmul matmul_portable = {"portable", cpu_has_baseline, product_f32, product_f64};

#if defined(__x86_64__)
extern const struct matmul matmul_avx2, matmul_avx512;
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
