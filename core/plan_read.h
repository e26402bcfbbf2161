/* A plan's tensors as numbers: any rows of what the output would hold, as floats, without writing anything.
 *
 *     struct plan_scratch s = {0};                                one per thread
 *     TRY(plan_read_rows(t, row, n_rows, floats, &s, err));       (n_rows, cols)
 *     plan_scratch_clear(&s);
 *
 * Rearranged, multiplied by scales and factors, as writer_run does it before it rounds to the target's type.
 */
#ifndef LATHE_PLAN_READ_H
#define LATHE_PLAN_READ_H

#include "core/plan.h"

struct plan_scratch {
    void *piece, *aside, *floats;
    size_t piece_cap, aside_cap, floats_cap;
};
void plan_scratch_clear(struct plan_scratch *s);
/* At least n bytes at *p, whose content is not kept. */
enum status plan_scratch_reserve(void **p, size_t *cap, size_t n, struct error *err);

/* A transform_reader over a tensor's sources, one behind the other; ctx is the struct plan_tensor. */
enum status plan_read_sources(void *ctx, uint64_t off, void *dst, size_t n, struct error *err);
/* The reader that a tensor's transform is to be given: bytes of its sources, or their numbers where blocks would be cut. */
transform_reader *plan_reader(const struct plan_tensor *t);

/* Rows of the target; a vector is one row. Rows that a transform moves are cheapest in multiples of plan_read_grain. */
enum status plan_read_rows(const struct plan_tensor *t, int64_t row, int64_t n_rows, float *dst,
                           struct plan_scratch *s, struct error *err);
int64_t plan_read_grain(const struct plan_tensor *t);

#endif
