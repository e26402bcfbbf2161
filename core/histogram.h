/* How often values occur: counts in bins of equal width over [-limit, limit], an odd number of them, so that zero lies in the middle of one.
 *
 *     struct histogram h = {0};
 *     histogram_extend(&h, values, n) ...      first pass: counts what is no number, finds the largest magnitude
 *     TRY(histogram_begin(&h, h.largest, 255, err));
 *     histogram_add(&h, values, n) ...         second pass
 *     histogram_clear(&h);
 *
 * Counts do not depend on the order of the values.
 */
#ifndef LATHE_HISTOGRAM_H
#define LATHE_HISTOGRAM_H

#include "base/progress.h"
#include "base/workers.h"
#include "formats/checkpoint.h"

struct histogram {
    int64_t n, n_nan, n_inf, n_zero;
    double largest; /* magnitude of a finite value */
    double limit;
    int64_t n_bins;
    int64_t *counts; /* n_bins */
};
void histogram_extend(struct histogram *h, const double *v, int64_t n);
/* limit > 0 (0: all values are zero, taken as 1); n_bins odd */
enum status histogram_begin(struct histogram *h, double limit, int64_t n_bins, struct error *err);
void histogram_add(struct histogram *h, const double *v, int64_t n);
void histogram_clear(struct histogram *h);
/* Edge i of the bins, 0 .. n_bins */
double histogram_edge(const struct histogram *h, int64_t i);
/* Both passes over a tensor; limit 0: its own largest magnitude. */
enum status histogram_of(struct histogram *h, const struct ckpt_tensor *t, struct workers *w, int64_t n_bins, struct error *err);

#endif
