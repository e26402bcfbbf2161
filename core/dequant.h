/* Weights that are stored as small floats times scales (FP8 checkpoints), made whole on the way into the output.
 *
 * A weight is element * scale, computed in float as PyTorch does, and then rounded to the output's type: two roundings at most. One scale
 * stands for block_rows x block_cols elements of the source, counted in the source's order of rows.
 * This is convert's reading of the layout; the forward pass has its own (models/ops_linear.c).
 */
#ifndef LATHE_DEQUANT_H
#define LATHE_DEQUANT_H

#include "core/plan.h"

/* Elements [first, first + n) of the target, from t->from at src, times their scales (t->scales), into dst. */
enum status dequant_run(const struct plan_tensor *t, int64_t first, int64_t n, const void *src, float *dst,
                        struct error *err);

#endif
