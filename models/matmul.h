/* Products of matrices of float or double in one fixed order of operations.
 *
 * The value of an element is defined without regard to who computes it: the sum over k is cut into blocks of
 * MATMUL_BLOCK; inside a block one chain of fused multiply-adds runs in ascending k, starting from 0; the
 * blocks' sums are added in ascending order. So the bits of an element depend on the two vectors it is the
 * product of and on nothing else: not on tiles, threads, the number of rows asked for, which operand is the
 * panel, or the instruction set. (A processor without fused multiply-add rounds each product first: the last
 * bits differ there.) Short blocks keep the rounding errors of long sums small: with 64 they are less than half
 * of those of one chain over a width of 576.
 *
 * One operand is given by rows, contiguous in k, each `ld` elements after the one before; the other as a panel: MATMUL_WIDTH columns side by
 * side, element (k, c) at panel[k * width + c]. Results stand `ld_acc` elements after each other, so that a product may be put into its place in a
 * larger matrix.
 *
 *     const struct matmul *mm = matmul_active();
 *     mm->f32(panel, rows, ld, n_rows, k, acc, 32, false);      acc (n_rows, 32) = rows (n_rows, k) · panel (k, 32)
 *
 * Rows whose distance is a multiple of 4 KiB share one set of the first cache: such operands are best copied to other distances.
 *
 * Own loops and no BLAS: the distribution's single-threaded OpenBLAS (0.3.21) hands the same work buffer to
 * two threads that call it at once and returns wrong numbers; its threaded one starts threads in every program that is
 * linked with it. Neither promises an order of operations.
 */
#ifndef LATHE_MATMUL_H
#define LATHE_MATMUL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MATMUL_ROWS = 14, /* rows are best asked for in multiples of this many */
    MATMUL_WIDTH_F32 = 32,
    MATMUL_WIDTH_F64 = 16,
    MATMUL_BLOCK = 64,
    MATMUL_CUT = 768, /* a long sum is best asked for in pieces of this many k, a multiple of MATMUL_BLOCK: they stay in cache */
};

struct matmul {
    const char *name;
    bool (*supported)(void);
    /* acc (n_rows, width) = rows · panel over n_k, or += with `add`: then what came before had a multiple of MATMUL_BLOCK, so that blocks
     * keep their places. n_rows > 0. */
    void (*f32)(const float *panel, const float *rows, int64_t ld, int64_t n_rows, int64_t n_k, float *acc, int64_t ld_acc,
                bool add);
    void (*f64)(const double *panel, const double *rows, int64_t ld, int64_t n_rows, int64_t n_k, double *acc,
                int64_t ld_acc, bool add);
};
/* The fastest set that this processor supports. */
const struct matmul *matmul_active(void);
/* All sets, the portable one first, NULL at the end: for tests. */
extern const struct matmul *const matmul_list[];

/* k of the next block, for the sets */
static inline int64_t matmul_block_end(int64_t k, int64_t n_k)
{
    return n_k - k < MATMUL_BLOCK ? n_k : k + MATMUL_BLOCK;
}

#endif
