/* A row's sums by the fast way; see damage_row.inc. For damage.c. */
#ifndef LATHE_DAMAGE_ROW_H
#define LATHE_DAMAGE_ROW_H

#include <stdbool.h>
#include <stdint.h>

struct damage_row {
    double ee, xx, xe;
    double worst_ee; /* start from -1 */
    int64_t worst;
};
/* block_len is a multiple of 16, n of block_len. false: this row needs the careful way, *r is of no use. */
typedef bool damage_row_fn(const float *x, const float *y, int64_t n, int64_t block_len, struct damage_row *r);
damage_row_fn damage_row_portable, damage_row_avx2, damage_row_avx512;

#endif
