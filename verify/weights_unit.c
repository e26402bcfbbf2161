#include "verify/weights_unit.h"

#include "verify/tolerance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT = 32 }; /* columns, where single blocks do not count */

static bool is_plain(enum dtype t)
{
    return dtype_info(t)->block_len == 1 && dtype_info(t)->is_float;
}

void weight_check_set(struct weight_check *c, const struct weight_pair *pair, bool weighted)
{
    enum dtype a = pair->a->values, b = pair->b->values;
    bool rounds = pair->a->rounds || pair->b->rounds, plain = is_plain(a) && is_plain(b);
    int64_t block = dtype_info(a)->block_len > dtype_info(b)->block_len ? dtype_info(a)->block_len : dtype_info(b)->block_len;
    *c = (struct weight_check){.pair = pair,
                               .b_is_original = tolerance_type_error(b) < tolerance_type_error(a),
                               .strict = !rounds && (plain || a == b),
                               .weighted = weighted && !plain,
                               .block = block > 1 ? block : pair->a->n_cols};
    row_bound_set(&c->bound, a, b, rounds);
}

/* --- results --- */

static void add_row(struct rows_found *f, int64_t row)
{
    if (f->n++ == 0) f->first = row;
}

static void add_rows(struct rows_found *sum, const struct rows_found *part)
{
    if (sum->n == 0) sum->first = part->first;
    sum->n += part->n;
}

static void take_worst(struct unit_result *r, double rel, double gain_min, double gain_max, int64_t row)
{
    if (rel > r->worst_rel || isnan(rel)) {
        r->worst_rel = rel;
        r->worst_row = row;
    }
    r->gain_min = fmin(r->gain_min, gain_min);
    r->gain_max = fmax(r->gain_max, gain_max);
}

static void take_whole(struct unit_result *r, double cosine, double factor_min, double factor_max)
{
    r->cosine_min = fmin(r->cosine_min, cosine);
    r->factor_min = fmin(r->factor_min, factor_min);
    r->factor_max = fmax(r->factor_max, factor_max);
}

void unit_result_add(struct unit_result *sum, const struct unit_result *part)
{
    sum->xx += part->xx;
    sum->dd += part->dd;
    sum->max_abs_diff = fmax(sum->max_abs_diff, part->max_abs_diff);
    sum->n_bad += part->n_bad;
    sum->differ_in_bits |= part->differ_in_bits;
    add_rows(&sum->unequal_ab, &part->unequal_ab);
    add_rows(&sum->unequal_ba, &part->unequal_ba);
    add_rows(&sum->off, &part->off);
    take_worst(sum, part->worst_rel, part->gain_min, part->gain_max, part->worst_row);
    take_whole(sum, part->cosine_min, part->factor_min, part->factor_max);
}

/* --- casts --- */

/* Is y what x becomes as a number of type t? Of blocks nothing can be said for single numbers. */
static enum status is_cast(const float *x, const float *y, int64_t n, enum dtype t, const struct unit_scratch *s, bool *is,
                           struct error *err)
{
    *is = false;
    if (!is_plain(t) || !dtype_can_encode(t, false)) return STATUS_OK;
    TRY(dtype_cast(t, s->raw, DTYPE_F32, x, n, NULL, err));
    TRY(dtype_decode_f32(t, s->raw, s->cast, n, err));
    *is = rows_equal(s->cast, y, n);
    return STATUS_OK;
}

static enum status check_cast(const struct weight_check *c, const float *x, const float *y, int64_t n, int64_t row,
                                  const struct unit_scratch *s, struct unit_result *out, struct error *err)
{
    const float *of_a = c->b_is_original ? y : x, *of_b = c->b_is_original ? x : y;
    bool ab, ba;
    TRY(is_cast(of_a, of_b, n, c->pair->b->values, s, &ab, err));
    TRY(is_cast(of_b, of_a, n, c->pair->a->values, s, &ba, err));
    if (!ab) add_row(&out->unequal_ab, row);
    if (!ba) add_row(&out->unequal_ba, row);
    return STATUS_OK;
}

/* --- distance --- */

static void add_distance(struct row_distance *sum, const struct row_distance *part)
{
    sum->xx += part->xx;
    sum->yy += part->yy;
    sum->xy += part->xy;
    sum->dd += part->dd;
    sum->max_abs_diff = fmax(sum->max_abs_diff, part->max_abs_diff);
    sum->n_bad += part->n_bad;
}

static bool is_off(const struct weight_check *c, const struct row_distance *d, double mean, int64_t row, struct unit_result *out)
{
    double rel = row_bound_distance(d, mean), gain = row_bound_gain(d, mean);
    take_worst(out, rel, gain, gain, row);
    return d->n_bad > 0 || !(rel <= c->bound.rel) || gain < c->bound.gain_lo || gain > c->bound.gain_hi;
}

/* mean: of a whole row */
static bool is_off_as_a_whole(const struct weight_check *c, const struct row_distance *blocks, int64_t n, double mean, struct unit_result *out)
{
    struct row_distance all = {0};
    if (!c->bound.whole_rows) return false;
    for (int64_t i = 0; i < n; i++) add_distance(&all, &blocks[i]);
    double cosine = row_bound_cosine(&all, mean), factor = row_bound_factor(&all, mean);
    take_whole(out, cosine, factor, factor);
    return !(cosine >= c->bound.cosine_lo) || factor < c->bound.factor_lo || factor > c->bound.factor_hi;
}

static int by_difference(const void *a, const void *b)
{
    const struct row_distance *x = a, *y = b;
    return (x->dd > y->dd) - (x->dd < y->dd);
}

/* With an importance matrix a block of columns that hardly matter may come out as anything, to be exact in the one that does: the third of a row's
 * segments with the largest differences is left out. */
static void distance_of_most(struct row_distance *blocks, int64_t n, struct row_distance *out)
{
    *out = (struct row_distance){0};
    qsort(blocks, (size_t)n, sizeof *blocks, by_difference);
    for (int64_t i = 0; i < n - n / 3; i++) add_distance(out, &blocks[i]);
    for (int64_t i = n - n / 3; i < n; i++) out->n_bad += blocks[i].n_bad;
}

/* Columns that are measured together, and how many such runs a row has */
static int64_t run_of(const struct weight_check *c, int64_t *n)
{
    int64_t cols = c->pair->a->n_cols, run = c->weighted ? SEGMENT : c->block;
    if (run > cols || run < 1) run = cols;
    *n = (cols - 1) / run + 1;
    return run;
}

static void measure_runs(const struct weight_check *c, const float *x, const float *y, struct row_distance *blocks)
{
    int64_t n, run = run_of(c, &n), cols = c->pair->a->n_cols;
    for (int64_t i = 0; i < n; i++) {
        int64_t left = cols - i * run;
        row_distance(x + i * run, y + i * run, left < run ? left : run, &blocks[i]);
    }
}

/* mean: sum of squares of a run of the original, on the average of the unit */
static void check_distance(const struct weight_check *c, const float *x, const float *y, double mean, int64_t row,
                           struct unit_scratch *s, struct unit_result *out)
{
    int64_t n;
    run_of(c, &n);
    measure_runs(c, x, y, s->blocks);
    bool off = is_off_as_a_whole(c, s->blocks, n, mean * (double)n, out);
    if (c->weighted) {
        struct row_distance most;
        distance_of_most(s->blocks, n, &most);
        off |= is_off(c, &most, mean * (double)n, row, out);
    } else {
        for (int64_t i = 0; i < n; i++) off |= is_off(c, &s->blocks[i], mean, row, out);
    }
    if (off) add_row(&out->off, row);
}

/* --- a unit --- */

static enum status compare(const struct weight_check *c, int64_t row, int64_t n_rows, struct unit_scratch *s, struct unit_result *out,
                           struct error *err)
{
    int64_t cols = c->pair->a->n_cols, n_runs;
    struct row_distance all;
    row_distance(s->x, s->y, n_rows * cols, &all);
    run_of(c, &n_runs);
    out->xx = all.xx;
    out->dd = all.dd;
    out->max_abs_diff = all.max_abs_diff;
    out->n_bad = all.n_bad;
    out->differ_in_bits = !all.same_bits;
    double mean = all.xx / ((double)n_rows * (double)n_runs);
    for (int64_t i = 0; i < n_rows; i++) {
        const float *x = s->x + i * cols, *y = s->y + i * cols;
        if (!out->differ_in_bits || rows_equal(x, y, cols)) continue;
        TRY(check_cast(c, x, y, cols, row + i, s, out, err));
        check_distance(c, x, y, mean, row + i, s, out);
    }
    return STATUS_OK;
}

enum status unit_compare(const struct weight_check *c, int64_t row, int64_t n_rows, struct unit_scratch *s,
                         struct unit_result *out, struct error *err)
{
    const struct weight_pair *p = c->pair;
    *out = (struct unit_result)UNIT_RESULT_INIT;
    TRY(canonical_read(p->a, p->row_a + row, n_rows, c->b_is_original ? s->y : s->x, &s->read, err));
    TRY(canonical_read(p->b, p->row_b + row, n_rows, c->b_is_original ? s->x : s->y, &s->read, err));
    return compare(c, row, n_rows, s, out, err);
}

enum status unit_scratch_open(struct unit_scratch *s, int64_t n, int64_t n_cols, struct error *err)
{
    void *p;
    TRY(mem_alloc(&p, (uint64_t)n, 3 * sizeof(float), err));
    s->x = p;
    s->y = s->x + n;
    s->cast = s->y + n;
    TRY(mem_alloc(&p, (uint64_t)n_cols, sizeof(double), err));
    s->raw = p;
    TRY(mem_alloc(&p, (uint64_t)n_cols / SEGMENT + 2, sizeof *s->blocks, err)); /* no block is smaller */
    s->blocks = p;
    return STATUS_OK;
}

void unit_scratch_close(struct unit_scratch *s)
{
    plan_scratch_clear(&s->read);
    free(s->x);
    free(s->raw);
    free(s->blocks);
    *s = (struct unit_scratch){0};
}
