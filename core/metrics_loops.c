#include "base/cpu.h"

#define SET metrics_loops_portable
#include "core/metrics_loops.inc"

const struct metrics_loops *metrics_loops(void)
{
#if defined(__x86_64__)
    if (cpu_has_avx512()) return &metrics_loops_avx512;
    if (cpu_has_avx2()) return &metrics_loops_avx2;
#endif
    return &metrics_loops_portable;
}

void metrics_part_init(struct metrics_part *p)
{
    *p = (struct metrics_part){.peak_a = -(double)INFINITY, .peak_b = -(double)INFINITY};
    for (int i = 0; i < METRICS_TOP; i++) {
        p->top_a.value[i] = p->top_b.value[i] = -(double)INFINITY;
        p->top_a.index[i] = p->top_b.index[i] = -1;
    }
}

static void merge_top(struct metrics_top *t, const struct metrics_top *more)
{
    for (int i = 0; i < METRICS_TOP && more->value[i] > t->value[METRICS_TOP - 1]; i++) keep_top(t, more->value[i], more->index[i]);
}

/* Sums of one side: those of the lower peak become distances to the higher one. */
static void merge_sums(double *peak, double *sum, double *product, double more_peak, double more_sum, double more_product)
{
    raise_peak(peak, more_peak, sum, product);
    double factor = more_peak > -(double)INFINITY ? vmath_exp_below_f64(more_peak - *peak) : 0;
    *sum += more_sum * factor;
    *product += more_product * factor;
}

void metrics_part_merge(struct metrics_part *p, const struct metrics_part *more)
{
    merge_top(&p->top_a, &more->top_a);
    merge_top(&p->top_b, &more->top_b);
    merge_sums(&p->peak_a, &p->sum_a, &p->ab, more->peak_a, more->sum_a, more->ab);
    merge_sums(&p->peak_b, &p->sum_b, &p->ba, more->peak_b, more->sum_b, more->ba);
    p->n_bad_a += more->n_bad_a;
    p->n_bad_b += more->n_bad_b;
    p->max_abs_a = fmax(p->max_abs_a, more->max_abs_a);
    p->max_abs_diff = fmax(p->max_abs_diff, more->max_abs_diff);
    p->sum_square_diff += more->sum_square_diff;
}
