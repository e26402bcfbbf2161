/* How far two rows of numbers are apart: sums in eight lanes and in double, the same for every processor.
 *
 * For comparing weights tensor by tensor; metrics.h is for logits, damage.h for what an encoder does on its way. */
#ifndef LATHE_ROW_DISTANCE_H
#define LATHE_ROW_DISTANCE_H

#include <stdbool.h>
#include <stdint.h>

struct row_distance {
    double xx, yy, xy, dd; /* sums of x², y², x y, (x - y)² over the elements where both are finite */
    double max_abs_diff;   /* of the same */
    int64_t n_bad;         /* elements where only one side is finite, or both are not and differ */
    bool same_bits;
};
void row_distance(const float *x, const float *y, int64_t n, struct row_distance *out);
/* NaN equals NaN, -0 equals 0. */
bool rows_equal(const float *x, const float *y, int64_t n);

#endif
