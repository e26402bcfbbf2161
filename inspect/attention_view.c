#include "inspect/attention_view.h"

#include <stdlib.h>

static enum status reserve(double **out, uint64_t n, struct error *err)
{
    void *p;
    TRY(mem_alloc(&p, n, sizeof **out, err));
    *out = p;
    return STATUS_OK;
}

static enum status allocate(struct attention_view *v, struct error *err)
{
    void *p;
    uint64_t heads = (uint64_t)(v->n_layers * v->n_heads), side = (uint64_t)v->side, n;
    if (!size_mul(heads, side * side, &n)) return error_nomem(err, SIZE_MAX);
    TRY(reserve(&v->cells, n, err));
    TRY(reserve(&v->entropy, side, err));
    TRY(reserve(&v->first, side, err));
    TRY(reserve(&v->row_gap, side, err));
    TRY(mem_alloc(&p, heads, sizeof *v->facts, err));
    v->facts = p;
    TRY(mem_alloc(&p, heads, sizeof *v->tiles, err));
    v->tiles = p;
    for (uint64_t i = 0; i < heads; i++) v->tiles[i] = v->cells + i * side * side;
    TRY(mem_alloc(&p, (uint64_t)v->n_layers, sizeof *v->windows, err));
    v->windows = p;
    return STATUS_OK;
}

enum status attention_view_init(struct attention_view *v, const struct attention_request *r, int64_t max_side,
                                struct error *err)
{
    const struct hparams *hp = &r->model->hp;
    *v = (struct attention_view){.layer0 = r->layer < 0 ? 0 : r->layer,
                                 .head0 = r->head < 0 ? 0 : r->head,
                                 .n_layers = r->layer < 0 ? hp->n_layer : 1,
                                 .n_heads = r->head < 0 ? hp->n_head : 1,
                                 .n = r->n,
                                 .is_difference = r->against != NULL};
    v->step = (v->n + max_side - 1) / max_side;
    v->side = (v->n + v->step - 1) / v->step;
    enum status st = allocate(v, err);
    if (st != STATUS_OK) attention_view_clear(v);
    return st;
}

void attention_view_clear(struct attention_view *v)
{
    free(v->cells);
    free(v->entropy);
    free(v->first);
    free(v->row_gap);
    free(v->facts);
    free(v->tiles);
    free(v->windows);
    *v = (struct attention_view){0};
}

/* --- one head --- */

/* The keys that a query sees in either model */
struct range {
    int64_t first, end;
};

static struct range visible(const struct attention_map *a, const struct attention_map *b, int64_t query)
{
    struct range r, other;
    attention_range(a, query, &r.first, &r.end);
    if (!b) return r;
    attention_range(b, query, &other.first, &other.end); /* both hold the query itself: there is no gap between them */
    if (other.first < r.first) r.first = other.first;
    if (other.end > r.end) r.end = other.end;
    return r;
}

/* A cell takes what is largest in magnitude among what is not masked: the probability, or how much it grew. */
static void add_to_cell(struct attention_view *v, double *cell, double x)
{
    if (!isfinite(x)) {
        v->n_not_finite++;
        *cell = NAN;
    } else if (!isnan(*cell) && (isinf(*cell) || fabs(x) > fabs(*cell))) {
        *cell = x;
    }
}

static void pool_row(struct attention_view *v, double *cells, const float *a, const float *b, struct range r)
{
    for (int64_t key = r.first; key < r.end;) {
        double *cell = &cells[key / v->step];
        int64_t stop = (key / v->step + 1) * v->step;
        for (; key < stop && key < r.end; key++) add_to_cell(v, cell, b ? (double)b[key] - (double)a[key] : (double)a[key]);
    }
}

static double row_entropy(const float *p, struct range r)
{
    double sum = 0;
    for (int64_t i = r.first; i < r.end; i++)
        if (!(p[i] <= 0)) sum -= (double)p[i] * log((double)p[i]); /* NaN stays */
    return sum;
}

static void compare_row(struct attention_gap *gap, double *row_gap, const struct attention_map *a,
                        const struct attention_map *b, int64_t query, struct range r)
{
    for (int64_t key = r.first; key < r.end; key++) {
        double x = (double)a->p[query * a->n + key], y = (double)b->p[query * a->n + key], d = y - x;
        if (!isnan(*row_gap) && !(fabs(d) <= fabs(*row_gap))) *row_gap = d;
        if (isnan(gap->diff) || fabs(d) <= fabs(gap->diff)) continue;
        *gap = (struct attention_gap){d, x, y, a->layer, a->head, query, key};
    }
}

enum status attention_view_add(void *ctx, const struct attention_map *a, const struct attention_map *b,
                               struct error *err)
{
    (void)err;
    struct attention_view *v = ctx;
    int64_t layer = a->layer - v->layer0, at = layer * v->n_heads + a->head - v->head0;
    double *cells = v->cells + at * v->side * v->side, entropy = 0, first = 0;
    struct head_facts *f = &v->facts[at];
    v->windows[layer] = b && (b->window == 0 || b->window > a->window) && a->window > 0 ? b->window : a->window;
    v->prefix = a->prefix;
    f->gap = (struct attention_gap){.a = (double)a->p[0], .b = (double)(b ? b : a)->p[0], .layer = a->layer, .head = a->head};
    for (int64_t i = 0; i < v->side * v->side; i++) cells[i] = CELL_MASKED;
    for (int64_t r = 0; r < v->side; r++) v->entropy[r] = v->first[r] = v->row_gap[r] = 0;
    for (int64_t q = 0; q < v->n; q++) {
        int64_t r = q / v->step, rows = v->n - r * v->step < v->step ? v->n - r * v->step : v->step;
        struct range seen = visible(a, b, q);
        const float *row = a->p + q * v->n;
        double e = v->figures ? row_entropy(row, seen) : 0, share = (double)row[0];
        pool_row(v, cells + r * v->side, row, b ? b->p + q * v->n : NULL, seen);
        if (b) compare_row(&f->gap, &v->row_gap[r], a, b, q, seen);
        v->entropy[r] += e / (double)rows;
        v->first[r] += share / (double)rows;
        entropy += e;
        if (q > 0) first += share;
    }
    f->entropy = entropy / (double)v->n;
    f->first = v->n > 1 ? first / (double)(v->n - 1) : 1;
    return STATUS_OK;
}

const struct attention_gap *attention_view_gap(const struct attention_view *v)
{
    const struct attention_gap *most = NULL;
    for (int64_t i = 0; v->is_difference && i < v->n_layers * v->n_heads; i++) {
        const struct attention_gap *g = &v->facts[i].gap;
        if (!most || (!isnan(most->diff) && !(fabs(g->diff) <= fabs(most->diff)))) most = g;
    }
    return most;
}
