#include "verify/weights.h"

#include "verify/weights_unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT_ELEMENTS = 1 << 18 };

/* A pair and its share of the units */
struct job {
    struct weight_check check;
    int64_t unit_rows;
    uint64_t first_unit, n_units;
};
struct comparison {
    struct canonical a, b;
    struct weight_pairs pairs;
    struct job *jobs; /* of pairs that both sides have */
    size_t n_jobs;
    struct unit_result *results; /* by unit: sums are added up in their order, whoever made them */
    uint64_t n_units;
    struct unit_scratch *scratch; /* by worker */
    int n_workers;
    struct progress *progress;
};

/* --- work --- */

static enum status run_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    struct comparison *c = ctx;
    size_t low = 0, high = c->n_jobs; /* the last one that begins at or before the unit */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(c->jobs[middle].first_unit <= unit ? &low : &high) = middle;
    }
    const struct job *j = &c->jobs[low];
    const struct canonical_tensor *a = j->check.pair->a;
    int64_t row = (int64_t)(unit - j->first_unit) * j->unit_rows, left = j->check.pair->n_rows - row;
    int64_t n_rows = left < j->unit_rows ? left : j->unit_rows;
    TRY(unit_compare(&j->check, row, n_rows, &c->scratch[worker], &c->results[unit], err));
    const struct dtype_info *info = dtype_info(a->dtype);
    progress_add(c->progress, (uint64_t)(n_rows * a->n_cols) / info->block_len * info->block_bytes);
    return STATUS_OK;
}

/* Whole rows, as many as one side makes at once if it makes them of others */
static int64_t unit_rows(const struct weight_pair *p)
{
    int64_t cols = p->a->n_cols, rows = UNIT_ELEMENTS / cols;
    int64_t grain_a = canonical_grain(p->a), grain_b = canonical_grain(p->b), grain = grain_a > grain_b ? grain_a : grain_b;
    rows = rows < grain ? grain : rows - rows % grain;
    return rows < 1 ? 1 : rows > p->n_rows ? p->n_rows : rows;
}

/* Does the file say that an importance matrix was used? */
static bool is_weighted(const struct model *m)
{
    const struct container *g = m->is_gguf ? ckpt_gguf(m->ckpt) : NULL;
    for (size_t i = 0; g && i < g->n_kvs; i++)
        if (strncmp(g->kvs[i].key, "quantize.imatrix.", 17) == 0 || strcmp(g->kvs[i].key, "lathe.quantize.imatrix.sha256") == 0)
            return true;
    return false;
}

static enum status plan_jobs(struct comparison *c, int64_t *largest, int64_t *widest, struct error *err)
{
    bool weighted = is_weighted(c->a.m) || is_weighted(c->b.m);
    void *p;
    TRY(mem_alloc(&p, c->pairs.n, sizeof *c->jobs, err));
    c->jobs = p;
    *largest = *widest = 1;
    for (size_t i = 0; i < c->pairs.n; i++) {
        const struct weight_pair *pair = &c->pairs.items[i];
        if (!pair->a || !pair->b || pair->n_rows < 1 || pair->a->n_cols < 1) continue;
        struct job *j = &c->jobs[c->n_jobs++];
        *j = (struct job){.unit_rows = unit_rows(pair), .first_unit = c->n_units};
        weight_check_set(&j->check, pair, weighted);
        j->n_units = (uint64_t)((pair->n_rows - 1) / j->unit_rows) + 1;
        c->n_units += j->n_units;
        int64_t size = j->unit_rows * pair->a->n_cols;
        *largest = size > *largest ? size : *largest;
        *widest = pair->a->n_cols > *widest ? pair->a->n_cols : *widest;
    }
    return STATUS_OK;
}

static enum status compare_all(struct comparison *c, struct workers *w, struct error *err)
{
    int64_t largest, widest;
    void *p;
    TRY(plan_jobs(c, &largest, &widest, err));
    TRY(mem_alloc(&p, c->n_units, sizeof *c->results, err));
    c->results = p;
    TRY(mem_alloc(&p, (uint64_t)workers_count(w), sizeof *c->scratch, err));
    c->scratch = p;
    c->n_workers = workers_count(w);
    for (int i = 0; i < c->n_workers; i++) TRY(unit_scratch_open(&c->scratch[i], largest, widest, err));
    return workers_run(w, c->n_units, run_unit, c, err);
}

/* --- verdicts --- */

static void judge(const struct comparison *c, const struct job *j, struct weight_result *r)
{
    const struct canonical_tensor *a = j->check.pair->a, *b = j->check.pair->b;
    struct unit_result s = UNIT_RESULT_INIT;
    double n = (double)j->check.pair->n_rows * (double)a->n_cols;
    bool rounds = a->rounds || b->rounds;
    for (uint64_t i = 0; i < j->n_units; i++) unit_result_add(&s, &c->results[j->first_unit + i]);
    r->max_abs_diff = s.n_bad > 0 ? (double)INFINITY : s.max_abs_diff;
    r->rms_diff = sqrt(s.dd / n);
    r->rel = s.xx > 0 ? sqrt(s.dd / s.xx) : s.dd > 0 ? (double)INFINITY : 0;
    r->verdict = a->dtype == b->dtype && !s.differ_in_bits && !rounds ? WEIGHT_EXACT : WEIGHT_CAST;
    if (s.unequal_ab.n == 0 || s.unequal_ba.n == 0) return;
    struct rows_found off = s.unequal_ba.n < s.unequal_ab.n ? s.unequal_ba : s.unequal_ab;
    r->is_beyond = s.off.n > 0;
    if (!j->check.strict) {
        off = s.off;
        r->limit = j->check.bound.rel;
        r->worst_row = r->row + s.worst_row;
        r->worst_rel = s.worst_rel;
        r->gain_min = s.gain_min;
        r->gain_max = s.gain_max;
        r->gain_lo = j->check.bound.gain_lo;
        r->gain_hi = j->check.bound.gain_hi;
        r->whole_rows = j->check.bound.whole_rows;
        r->cosine_min = s.cosine_min;
        r->cosine_lo = j->check.bound.cosine_lo;
        r->factor_min = s.factor_min;
        r->factor_max = s.factor_max;
        r->factor_lo = j->check.bound.factor_lo;
        r->factor_hi = j->check.bound.factor_hi;
    }
    r->verdict = off.n > 0 ? WEIGHT_DIFFERENT : WEIGHT_QUANTIZED;
    r->n_rows_different = off.n;
    r->first_row = r->row + off.first;
}

/* --- the report --- */

static const char *dtype_of(const struct canonical_tensor *t)
{
    return t ? dtype_info(t->dtype)->name : NULL;
}

static enum status describe(const struct weight_pair *p, struct weights_report *out, struct weight_result *r, struct error *err)
{
    const struct canonical_tensor *of = p->b ? p->b : p->a;
    const char *name = of->stored ? of->stored : of->name;
    *r = (struct weight_result){.source = p->a ? p->a->stored : NULL,
                                .dtype_a = dtype_of(p->a),
                                .dtype_b = dtype_of(p->b),
                                .verdict = !p->b ? WEIGHT_MISSING : !p->a ? WEIGHT_EXTRA : WEIGHT_EXACT,
                                .role = of->role,
                                .layer = of->layer,
                                .is_vector = of->n_cols == 1,
                                .row = p->b ? p->row_b : p->row_a,
                                .n_rows = p->n_rows,
                                .is_part = p->n_rows < of->n_rows};
    /* names of a plan do not live as long as the report */
    r->name = arena_strndup(&out->mem, name, strlen(name));
    return r->name ? STATUS_OK : error_nomem(err, strlen(name));
}

static enum status collect(struct comparison *c, struct weights_report *out, struct error *err)
{
    out->items = arena_array(&out->mem, c->pairs.n + 1, sizeof *out->items);
    if (!out->items) return error_nomem(err, c->pairs.n * sizeof *out->items);
    for (size_t i = 0, k = 0; i < c->pairs.n; i++) {
        struct weight_result *r = &out->items[out->n++];
        TRY(describe(&c->pairs.items[i], out, r, err));
        if (k < c->n_jobs && c->jobs[k].check.pair == &c->pairs.items[i]) judge(c, &c->jobs[k++], r);
        out->n_different += r->verdict >= WEIGHT_DIFFERENT;
        out->n_beyond += r->is_beyond;
    }
    return STATUS_OK;
}

static enum status run(struct comparison *c, const struct model *a, const struct model *b, struct workers *w,
                       struct weights_report *out, struct error *err)
{
    TRY(canonical_open(&c->a, a, b, err));
    TRY(canonical_open(&c->b, b, a, err));
    TRY(weight_pairs_make(&c->pairs, &c->a, &c->b, err));
    TRY(compare_all(c, w, err));
    return collect(c, out, err);
}

enum status weights_compare(const struct model *a, const struct model *b, struct workers *w,
                            struct progress *progress, struct weights_report *out, struct error *err)
{
    struct comparison c = {.progress = progress};
    *out = (struct weights_report){0};
    enum status st = run(&c, a, b, w, out, err);
    for (int i = 0; i < c.n_workers; i++) unit_scratch_close(&c.scratch[i]);
    free(c.scratch);
    free(c.results);
    free(c.jobs);
    weight_pairs_clear(&c.pairs);
    canonical_close(&c.a);
    canonical_close(&c.b);
    return st;
}

void weights_clear(struct weights_report *r)
{
    arena_clear(&r->mem);
    *r = (struct weights_report){0};
}

uint64_t weights_bytes(const struct model *a)
{
    uint64_t n = 0;
    for (int64_t layer = -1; layer < a->hp.n_layer; layer++) n += model_layer_bytes(a, layer);
    return n;
}

const struct weight_result *weights_nearest(const struct weights_report *r)
{
    const struct weight_result *nearest = NULL;
    for (size_t i = 0; i < r->n; i++) {
        const struct weight_result *w = &r->items[i];
        if (w->verdict == WEIGHT_QUANTIZED && (!nearest || w->worst_rel / w->limit > nearest->worst_rel / nearest->limit))
            nearest = w;
    }
    return nearest;
}
