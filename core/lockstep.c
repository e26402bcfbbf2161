#include "core/lockstep.h"

#include "core/canonical.h"

#include <stdlib.h>

enum { UNITS_EACH = 4 /* a worker has at least, where there are so many positions */ };

static size_t logit_bytes(const struct lockstep *l)
{
    return l->setup.precision == PRECISION_F64 ? sizeof(double) : sizeof(float);
}

static size_t tile_bytes(const struct lockstep *l)
{
    return (size_t)FORWARD_HEAD_POSITIONS * METRICS_TILE * logit_bytes(l);
}

static enum status open_side(struct lockstep *l, struct forward **f, const struct model *m, struct error *err)
{
    const struct lockstep_setup *s = &l->setup;
    if (!m) return STATUS_OK;
    TRY(forward_new(f, m, s->workers, s->precision, s->n_max, err));
    (*f)->causal = s->causal;
    (*f)->step = s->step;
    (*f)->rope_length = canonical_baked_length(s->a, s->b);
    return STATUS_OK;
}

static enum status open_all(struct lockstep *l, struct error *err)
{
    size_t bytes = 2 * tile_bytes(l) * (size_t)workers_count(l->setup.workers);
    metrics_begin(&l->metrics, l->setup.a->hp.n_vocab, l->setup.b != NULL);
    TRY(open_side(l, &l->a, l->setup.a, err));
    TRY(open_side(l, &l->b, l->setup.b, err));
    return mem_alloc_pages(&l->tiles, bytes, err);
}

enum status lockstep_new(struct lockstep **out, const struct lockstep_setup *setup, struct error *err)
{
    void *p;
    *out = NULL;
    TRY(mem_alloc(&p, 1, sizeof **out, err));
    struct lockstep *l = p;
    l->setup = *setup;
    enum status st = open_all(l, err);
    if (st == STATUS_OK) *out = l;
    else lockstep_free(l);
    return st;
}

void lockstep_free(struct lockstep *l)
{
    if (!l) return;
    metrics_clear(&l->metrics);
    forward_free(l->a);
    forward_free(l->b);
    free(l->tiles);
    free(l);
}

uint64_t lockstep_bytes(const struct model *a, const struct model *b)
{
    uint64_t n = 0;
    for (int64_t layer = -1; layer < a->hp.n_layer; layer++) n += model_layer_bytes(a, layer) + model_layer_bytes(b, layer);
    return n;
}

static void count_layer(const struct lockstep *l, int64_t layer)
{
    const struct lockstep_setup *s = &l->setup;
    if (s->progress) progress_add(s->progress, model_layer_bytes(s->a, layer) + model_layer_bytes(s->b, layer));
}

static enum status run_layers(struct lockstep *l, struct error *err)
{
    for (int64_t layer = 0; layer < l->setup.a->hp.n_layer; layer++) {
        TRY(forward_layer(l->a, layer, err));
        if (l->b) TRY(forward_layer(l->b, layer, err));
        count_layer(l, layer);
    }
    TRY(forward_finish(l->a, err));
    return l->b ? forward_finish(l->b, err) : STATUS_OK;
}

/* --- logits --- */

/* Positions [pos, pos + n_pos), cut into ranges so that there is work for every thread; a unit is a strip of the vocabulary at the positions of one
 * range. */
struct head_run {
    struct lockstep *l;
    int64_t pos, n_pos;
    int64_t n_ranges, range;
};

/* Logits of the tile that both sides have packed, measured while they are in cache */
static void measure_tile(const struct head_run *h, int worker, int64_t first, int64_t n, int64_t begin, int64_t end)
{
    struct lockstep *l = h->l;
    char *a = (char *)l->tiles + 2 * tile_bytes(l) * (size_t)worker, *b = a + tile_bytes(l);
    for (int64_t pos = begin; pos < end; pos += FORWARD_HEAD_POSITIONS) {
        int64_t n_pos = end - pos < FORWARD_HEAD_POSITIONS ? end - pos : FORWARD_HEAD_POSITIONS;
        forward_head_logits(l->a, worker, h->pos + pos, n_pos, first, n, a);
        if (l->b) forward_head_logits(l->b, worker, h->pos + pos, n_pos, first, n, b);
        metrics_add(&l->metrics, &(struct metrics_tile){.a = a,
                                                        .b = l->b ? b : NULL,
                                                        .is_f64 = l->setup.precision == PRECISION_F64,
                                                        .ld = n,
                                                        .pos = pos,
                                                        .n_pos = n_pos,
                                                        .first = first,
                                                        .n = n});
    }
}

static enum status strip_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    const struct head_run *h = ctx;
    const struct lockstep *l = h->l;
    int64_t first = (int64_t)unit / h->n_ranges * METRICS_STRIP, last = first + METRICS_STRIP, n_vocab = l->setup.a->hp.n_vocab;
    int64_t begin = (int64_t)unit % h->n_ranges * h->range, end = begin + h->range < h->n_pos ? begin + h->range : h->n_pos;
    for (; first < last && first < n_vocab; first += METRICS_TILE) {
        int64_t n = n_vocab - first < METRICS_TILE ? n_vocab - first : METRICS_TILE;
        TRY(forward_head_pack(l->a, worker, first, n, err));
        if (l->b) TRY(forward_head_pack(l->b, worker, first, n, err));
        measure_tile(h, worker, first, n, begin, end);
    }
    return STATUS_OK;
}

static int64_t parts_of(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

static enum status run_block(struct lockstep *l, int64_t pos, int64_t n_pos, const int32_t *next, struct error *err)
{
    int64_t n_strips = metrics_strips(l->setup.a->hp.n_vocab);
    int64_t wanted = parts_of((int64_t)UNITS_EACH * workers_count(l->setup.workers), n_strips);
    int64_t range = parts_of(parts_of(n_pos, wanted), FORWARD_HEAD_POSITIONS) * FORWARD_HEAD_POSITIONS;
    struct head_run h = {.l = l, .pos = pos, .n_pos = n_pos, .range = wanted > 1 ? range : n_pos};
    h.n_ranges = parts_of(n_pos, h.range);
    TRY(metrics_open(&l->metrics, next, n_pos, err));
    TRY(workers_run(l->setup.workers, (uint64_t)(n_strips * h.n_ranges), strip_unit, &h, err));
    return metrics_close(&l->metrics, l->setup.workers, err);
}

static enum status run_head(struct lockstep *l, const int32_t *next, struct error *err)
{
    int64_t block = metrics_block_positions(l->setup.a->hp.n_vocab);
    if (block > FORWARD_HEAD_POSITIONS) block -= block % FORWARD_HEAD_POSITIONS;
    TRY(forward_head_open(l->a, METRICS_TILE, err));
    if (l->b) TRY(forward_head_open(l->b, METRICS_TILE, err));
    for (int64_t pos = 0; pos < l->a->n; pos += block)
        TRY(run_block(l, pos, l->a->n - pos < block ? l->a->n - pos : block, next + pos, err));
    count_layer(l, -1);
    return STATUS_OK;
}

enum status lockstep_run(struct lockstep *l, const int32_t *ids, const int64_t *lengths, int64_t n_windows, const int32_t *next,
                         struct error *err)
{
    TRY(forward_begin_windows(l->a, ids, lengths, n_windows, l->setup.first, err));
    if (l->b) TRY(forward_begin_windows(l->b, ids, lengths, n_windows, l->setup.first, err));
    TRY(run_layers(l, err));
    return run_head(l, next, err);
}
