#include "core/collect.h"
#include "core/sources.h"
#include "formats/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT_MIN = 16 };

struct entry {
    const struct weight *w;
    char *name;               /* in GGUF */
    double *sums;             /* (n_matrices, n_cols) */
    int64_t n_cols, n_matrices; /* one for each expert, or 1 */
    int64_t *counts;          /* (n_matrices) */
};
struct collection {
    const struct model *m;
    const struct collect_options *opt;
    struct entry *entries; /* one for each of the model's weights; those never seen have no sums */
    struct arena mem;
};

/* --- collecting --- */

static enum status start_entry(struct collection *c, struct entry *e, const struct weight *w, int64_t n_cols, bool has_experts, struct error *err)
{
    const char *target = w->rule->target, *hole = strstr(target, "{i}");
    e->w = w;
    e->n_cols = n_cols;
    e->n_matrices = has_experts ? c->m->hp.n_expert : 1;
    e->counts = arena_array(&c->mem, (uint64_t)e->n_matrices, sizeof *e->counts);
    e->name = hole ? arena_printf(&c->mem, "%.*s%lld%s", (int)(hole - target), target, (long long)w->layer, hole + 3)
                   : arena_strndup(&c->mem, target, strlen(target));
    e->sums = arena_array(&c->mem, (uint64_t)(n_cols * e->n_matrices), sizeof *e->sums);
    return e->name && e->sums && e->counts ? STATUS_OK : error_nomem(err, (size_t)n_cols * sizeof *e->sums);
}

static void add_rows(double *sums, const struct act *src)
{
    for (int64_t t = 0; t < src->rows; t++) {
        const float *x = (const float *)src->data + t * src->cols;
        for (int64_t i = 0; i < src->cols; i++) sums[i] += (double)x[i] * (double)x[i];
    }
}

static enum status before_linear(void *ctx, const struct weight *w, int64_t expert, const struct act *src, struct error *err)
{
    struct collection *c = ctx;
    struct entry *e = &c->entries[w - c->m->weights];
    int64_t matrix = expert < 0 ? 0 : expert;
    if (w->layer < 0) return STATUS_OK;
    if (!e->sums) TRY(start_entry(c, e, w, src->cols, expert >= 0, err));
    if (e->n_cols != src->cols || matrix >= e->n_matrices)
        return error_at(err, STATUS_MISMATCH, "", e->name, "is multiplied with %lld and with %lld columns", (long long)e->n_cols,
                        (long long)src->cols);
    add_rows(e->sums + matrix * e->n_cols, src);
    e->counts[matrix] += src->rows;
    return STATUS_OK;
}

static uint64_t layer_bytes(const struct model *m, int64_t layer)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->n_weights; i++)
        if (m->weights[i].layer == layer) n += m->weights[i].t->t->size_bytes;
    return n;
}

uint64_t collect_bytes(const struct model *m, int64_t n_windows)
{
    uint64_t n = 0, all;
    for (int64_t layer = 0; layer < m->hp.n_layer; layer++) n += layer_bytes(m, layer);
    return size_mul(n, (uint64_t)n_windows, &all) ? all : n;
}

static enum status run_window(struct collection *c, struct forward *f, const int32_t *ids, struct error *err)
{
    TRY(forward_begin(f, ids, c->opt->n_context, 0, err));
    for (int64_t layer = 0; layer < c->m->hp.n_layer; layer++) {
        TRY(forward_layer(f, layer, err));
        if (c->opt->progress) progress_add(c->opt->progress, layer_bytes(c->m, layer));
    }
    return STATUS_OK;
}

static enum status run_windows(struct collection *c, const int32_t *ids, int64_t n_windows, struct error *err)
{
    struct forward *f;
    int64_t n = c->opt->n_context;
    void *p;
    TRY(mem_alloc(&p, (uint64_t)n, sizeof *ids, err));
    int32_t *window = p;
    enum status st = forward_new(&f, c->m, c->opt->workers, PRECISION_F32, n, err);
    if (st == STATUS_OK) {
        f->before_linear = before_linear;
        f->linear_ctx = c;
    }
    for (int64_t i = 0; i < n_windows && st == STATUS_OK; i++) {
        memcpy(window, ids + i * n, (size_t)n * sizeof *window);
        if (c->opt->first_id >= 0) window[0] = c->opt->first_id;
        st = run_window(c, f, window, err);
    }
    forward_free(f);
    free(window);
    return st;
}

/* --- the file --- */

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (!x->sums || !y->sums) return (x->sums ? 0 : 1) - (y->sums ? 0 : 1);
    return strcmp(x->name, y->name);
}

static enum status write_floats(struct outfile *o, const struct gguf_out_tensor *t, const float *v, struct error *err)
{
    static const char zeros[64];
    TRY(outfile_write_at(o, t->off_file, v, (size_t)t->size_bytes, err));
    return outfile_write_at(o, t->off_file + t->size_bytes, zeros, (size_t)(t->padded_bytes - t->size_bytes), err);
}

static enum status write_entry(struct outfile *o, const struct gguf_out_tensor *pair, const struct entry *e, struct error *err)
{
    void *p;
    int64_t n = e->n_cols * e->n_matrices;
    TRY(mem_alloc(&p, (uint64_t)(n + e->n_matrices), sizeof(float), err));
    float *v = p, *counts = v + n;
    enum status st = STATUS_OK;
    for (int64_t i = 0; i < n && st == STATUS_OK; i++) {
        v[i] = (float)e->sums[i];
        if (!isfinite(v[i])) st = error_at(err, STATUS_RANGE, "", e->name, "the sum of squares of column %lld is %g", (long long)i, e->sums[i]);
    }
    for (int64_t i = 0; i < e->n_matrices; i++) counts[i] = (float)e->counts[i];
    if (st == STATUS_OK) st = write_floats(o, &pair[0], v, err);
    if (st == STATUS_OK) st = write_floats(o, &pair[1], counts, err);
    free(v);
    return st;
}

static enum status lay_out(struct gguf_writer *w, const struct collection *c, size_t n_entries, int64_t n_chunks, struct error *err)
{
    const char *name = path_base(c->opt->dataset);
    struct kv_string dataset = {name, strlen(name)};
    gguf_put_string(w, "general.type", "imatrix");
    gguf_put_array(w, "imatrix.datasets", KV_STRING, 1, &dataset);
    gguf_put_u32(w, "imatrix.chunk_count", (uint32_t)n_chunks);
    gguf_put_u32(w, "imatrix.chunk_size", (uint32_t)c->opt->n_context);
    for (size_t i = 0; i < n_entries; i++) {
        const struct entry *e = &c->entries[i];
        char suffixed[128];
        snprintf(suffixed, sizeof suffixed, "%s.in_sum2", e->name);
        TRY(gguf_add_tensor(w, suffixed, DTYPE_F32, 2, (const int64_t[]){e->n_matrices, e->n_cols}, err));
        snprintf(suffixed, sizeof suffixed, "%s.counts", e->name);
        TRY(gguf_add_tensor(w, suffixed, DTYPE_F32, 2, (const int64_t[]){e->n_matrices, 1}, err));
    }
    return gguf_layout(w, err);
}

static enum status write_file(struct collection *c, struct collect_result *out, struct error *err)
{
    struct gguf_writer w = {0};
    struct outfile *o = NULL;
    qsort(c->entries, c->m->n_weights, sizeof *c->entries, compare_entries);
    for (out->n_entries = 0; out->n_entries < c->m->n_weights && c->entries[out->n_entries].sums;) out->n_entries++;
    enum status st = lay_out(&w, c, out->n_entries, out->n_chunks, err);
    if (st == STATUS_OK) st = outfile_create(&o, c->opt->path, c->opt->flags, w.size_bytes, err);
    for (size_t i = 0; st == STATUS_OK && i < c->m->ckpt->n_files; i++) st = outfile_forbid_source(o, &c->m->ckpt->files[i]->file, err);
    if (st == STATUS_OK) st = outfile_write_at(o, 0, w.header.data, w.header.len, err);
    for (size_t i = 0; i < out->n_entries && st == STATUS_OK; i++) st = write_entry(o, &w.tensors[2 * i], &c->entries[i], err);
    out->size_bytes = w.size_bytes;
    gguf_writer_clear(&w);
    if (st == STATUS_OK) st = sources_unchanged(c->m->ckpt, err);
    if (st == STATUS_OK) return tool_keep(c->opt->tool, o, err);
    outfile_discard(o);
    return st;
}

enum status collect_run(const struct model *m, const int32_t *ids, int64_t n, const struct collect_options *opt, struct collect_result *out,
                        struct error *err)
{
    struct collection c = {.m = m, .opt = opt};
    *out = (struct collect_result){.n_chunks = opt->n_context > 0 ? n / opt->n_context : 0};
    if (opt->n_context < CONTEXT_MIN || opt->n_context > INT32_MAX)
        return error_set(err, STATUS_USAGE, "--context %lld: expected at least %d positions", (long long)opt->n_context, CONTEXT_MIN);
    if (out->n_chunks < 1) {
        error_set(err, STATUS_RANGE, "%lld token ids, fewer than one window of %lld", (long long)n, (long long)opt->n_context);
        return error_hint(err, "--context N makes windows shorter");
    }
    c.entries = arena_array(&c.mem, m->n_weights + 1, sizeof *c.entries);
    enum status st = c.entries ? run_windows(&c, ids, out->n_chunks, err) : error_nomem(err, m->n_weights * sizeof *c.entries);
    if (st == STATUS_OK) st = write_file(&c, out, err);
    arena_clear(&c.mem);
    return st;
}
