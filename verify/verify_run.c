#include "verify/verify_run.h"

#include "base/file.h"
#include "core/canonical.h"
#include "formats/npy.h"
#include "verify/verify_output.h"

#include <stdlib.h>

enum {
    CONTEXT_DEFAULT = 512,
    CHUNK_BYTES = 48 << 20, /* of one side's logits in memory; the output matrix is read once for each chunk */
    CHUNK_POSITIONS = 256,
    BATCH_BYTES =
        384 << 20, /* of one side's activations: as many windows as fit share one reading of the weights */
};

enum status verify_check_pair(const struct model *a, const struct model *b, struct error *err)
{
    if (a->hp.n_vocab != b->hp.n_vocab)
        return error_at(err, STATUS_MISMATCH, b->ckpt->path, NULL,
                        "vocabulary: expected %lld entries as in %s, found %lld", (long long)a->hp.n_vocab,
                        a->ckpt->path, (long long)b->hp.n_vocab);
    if (a->hp.n_layer != b->hp.n_layer)
        return error_at(err, STATUS_MISMATCH, b->ckpt->path, NULL,
                        "layers: expected %lld as in %s, found %lld", (long long)a->hp.n_layer, a->ckpt->path,
                        (long long)b->hp.n_layer);
    return STATUS_OK;
}

enum status verify_context(int64_t *n_context, const struct model *a, const struct model *b, int64_t wanted,
                           struct error *err)
{
    const struct model *sides[] = {a, b};
    *n_context = wanted > 0 ? wanted : CONTEXT_DEFAULT;
    for (int i = 0; i < 2; i++) {
        const struct model *m = sides[i];
        if (!m) continue;
        int64_t limit = model_learned_positions(m);
        if (wanted == 0 && m->hp.n_ctx > 0 && m->hp.n_ctx < *n_context) *n_context = m->hp.n_ctx;
        if (*n_context > limit)
            return error_at(err, STATUS_RANGE, m->ckpt->path, NULL,
                            "--context %lld: the model has %lld learned positions", (long long)wanted,
                            (long long)limit);
    }
    return STATUS_OK;
}

static int64_t n_windows(const struct verify_run *r)
{
    return (r->tokens->n + r->n_context - 1) / r->n_context;
}

/* Numbers that a position takes in the forward pass, about: residual stream, norms, q, k, v, mixed heads, the halves of the feed-forward layer and
 * what is packed of them. */
static int64_t position_numbers(const struct model *m)
{
    const struct hparams *hp = &m->hp;
    return 4 * hp->n_embd + (2 * hp->n_head + 3 * hp->n_head_kv) * hp->head_dim + 3 * hp->n_ff;
}

static int64_t windows_at_once(const struct verify_run *r)
{
    int64_t size = r->precision == PRECISION_F64 ? 8 : 4, numbers = position_numbers(r->a);
    if (r->b && position_numbers(r->b) > numbers) numbers = position_numbers(r->b);
    int64_t n = BATCH_BYTES / (size * numbers) / r->n_context;
    return n < 1 ? 1 : n > n_windows(r) ? n_windows(r) : n;
}

uint64_t verify_bytes_once(const struct verify_run *r)
{
    uint64_t n = 0;
    for (int64_t l = -1; l < r->a->hp.n_layer; l++) n += model_layer_bytes(r->a, l) + model_layer_bytes(r->b, l);
    return n;
}

uint64_t verify_bytes(const struct verify_run *r)
{
    uint64_t n = verify_bytes_once(r), all;
    uint64_t n_batches = (uint64_t)((n_windows(r) - 1) / windows_at_once(r)) + 1;
    return size_mul(n, n_batches, &all) ? all : n;
}

/* What a run holds */
struct session {
    const struct verify_run *r;
    struct forward *a, *b;
    int64_t n_windows; /* at once */
    int64_t *lengths;
    int64_t n_chunk;
    size_t size; /* of a logit */
    void *logits_a, *logits_b;
    int32_t *next;
    struct metrics metrics;
    struct outfile *out;
    uint64_t off_out;
};

static enum status open_output(struct session *s, struct error *err)
{
    const struct verify_run *r = s->r;
    if (!r->logits_path) return STATUS_OK;
    struct buf header = {0};
    uint64_t bytes;
    const int64_t shape[] = {r->tokens->n, r->a->hp.n_vocab};
    enum status st =
        npy_header(&header, r->precision == PRECISION_F64 ? DTYPE_F64 : DTYPE_F32, 2, shape, err);
    if (st == STATUS_OK && (!size_mul((uint64_t)r->tokens->n, (uint64_t)r->a->hp.n_vocab, &bytes) ||
                            !size_mul(bytes, s->size, &bytes) || !size_add(bytes, header.len, &bytes)))
        st = error_at(err, STATUS_RANGE, r->logits_path, NULL, "the logits do not fit a file");
    if (st == STATUS_OK) st = verify_output_open(&s->out, r->logits_path, bytes, r->a, r->b, err);
    if (st == STATUS_OK) st = outfile_write_at(s->out, 0, header.data, header.len, err);
    s->off_out = header.len;
    buf_clear(&header);
    return st;
}

static enum status open_session(struct session *s, struct error *err)
{
    const struct verify_run *r = s->r;
    int64_t n_vocab = r->a->hp.n_vocab, n_max;
    void *p;
    s->n_windows = windows_at_once(r);
    n_max = s->n_windows * r->n_context < r->tokens->n ? s->n_windows * r->n_context : r->tokens->n;
    s->size = r->precision == PRECISION_F64 ? sizeof(double) : sizeof(float);
    s->n_chunk = CHUNK_BYTES / (n_vocab * (int64_t)s->size);
    s->n_chunk = s->n_chunk < 1 ? 1 : s->n_chunk > CHUNK_POSITIONS ? CHUNK_POSITIONS : s->n_chunk;
    if (s->n_chunk > n_max) s->n_chunk = n_max;
    metrics_begin(&s->metrics, n_vocab);
    TRY(mem_alloc(&p, (uint64_t)s->n_windows, sizeof *s->lengths, err));
    s->lengths = p;
    TRY(forward_new(&s->a, r->a, r->workers, r->precision, n_max, err));
    if (r->b) TRY(forward_new(&s->b, r->b, r->workers, r->precision, n_max, err));
    struct forward *sides[] = {s->a, s->b};
    for (int i = 0; i < 2 && sides[i]; i++) {
        sides[i]->causal = r->causal;
        sides[i]->step = r->at.step;
        sides[i]->rope_length = canonical_baked_length(r->a, r->b);
    }
    TRY(mem_alloc(&p, (uint64_t)(s->n_chunk * n_vocab), s->size, err));
    s->logits_a = p;
    TRY(mem_alloc(&p, r->b ? (uint64_t)(s->n_chunk * n_vocab) : 0, s->size, err));
    s->logits_b = p;
    TRY(mem_alloc(&p, (uint64_t)s->n_chunk, sizeof *s->next, err));
    s->next = p;
    return open_output(s, err);
}

static void close_session(struct session *s)
{
    outfile_discard(s->out);
    metrics_clear(&s->metrics);
    forward_free(s->a);
    forward_free(s->b);
    free(s->lengths);
    free(s->logits_a);
    free(s->logits_b);
    free(s->next);
}

/* The id that follows row `pos` in its window, or -1 where there is none or it does not count */
static int32_t next_id(const struct session *s, const int32_t *ids, int64_t n, int64_t pos)
{
    int64_t in_window = pos % s->r->n_context;
    bool counts = in_window >= s->r->score_from && in_window + 1 < s->r->n_context && pos + 1 < n;
    return counts ? ids[pos + 1] : -1;
}

/* Logits of the batch's rows [pos, pos + n_rows), measured and written */
static enum status run_chunk(struct session *s, const int32_t *ids, int64_t n, int64_t pos, int64_t n_rows,
                             struct error *err)
{
    const struct verify_run *r = s->r;
    TRY(forward_logits(s->a, pos, n_rows, s->logits_a, err));
    if (s->b) TRY(forward_logits(s->b, pos, n_rows, s->logits_b, err));
    for (int64_t i = 0; i < n_rows; i++) s->next[i] = next_id(s, ids, n, pos + i);
    const struct metrics_block block = {
        .a = s->logits_a,
        .b = s->b ? s->logits_b : NULL,
        .is_f64 = r->precision == PRECISION_F64,
        .n_pos = n_rows,
        .next = s->next,
    };
    TRY(metrics_add(&s->metrics, &block, r->workers, err));
    if (!s->out) return STATUS_OK;
    size_t bytes = (size_t)(n_rows * r->a->hp.n_vocab) * s->size;
    TRY(outfile_write_at(s->out, s->off_out, s->logits_a, bytes, err));
    s->off_out += bytes;
    return STATUS_OK;
}

static enum status begin_batch(struct session *s, const int32_t *ids, int64_t n, struct error *err)
{
    int64_t n_context = s->r->n_context, n_batch = (n - 1) / n_context + 1;
    for (int64_t i = 0; i < n_batch; i++) {
        int64_t left = n - i * n_context;
        s->lengths[i] = left < n_context ? left : n_context;
    }
    TRY(forward_begin_windows(s->a, ids, s->lengths, n_batch, s->r->at.first, err));
    return s->b ? forward_begin_windows(s->b, ids, s->lengths, n_batch, s->r->at.first, err) : STATUS_OK;
}

/* A run of windows, layer by layer: each layer is read once. */
static enum status run_batch(struct session *s, const int32_t *ids, int64_t n, struct error *err)
{
    const struct verify_run *r = s->r;
    TRY(begin_batch(s, ids, n, err));
    for (int64_t layer = 0; layer < r->a->hp.n_layer; layer++) {
        TRY(forward_layer(s->a, layer, err));
        if (s->b) TRY(forward_layer(s->b, layer, err));
        progress_add(r->progress, model_layer_bytes(r->a, layer) + model_layer_bytes(r->b, layer));
    }
    TRY(forward_finish(s->a, err));
    if (s->b) TRY(forward_finish(s->b, err));
    for (int64_t pos = 0; pos < n; pos += s->n_chunk)
        TRY(run_chunk(s, ids, n, pos, n - pos < s->n_chunk ? n - pos : s->n_chunk, err));
    progress_add(r->progress, model_layer_bytes(r->a, -1) + model_layer_bytes(r->b, -1));
    return STATUS_OK;
}

static enum status run_all(struct session *s, struct error *err)
{
    const struct tokens *t = s->r->tokens;
    TRY(open_session(s, err));
    int64_t n_batch = s->n_windows * s->r->n_context;
    for (int64_t first = 0; first < t->n; first += n_batch)
        TRY(run_batch(s, t->ids + first, t->n - first < n_batch ? t->n - first : n_batch, err));
    struct outfile *out = s->out;
    s->out = NULL;
    if (!out) return STATUS_OK;
    if (!s->r->logits) return outfile_commit(out, err);
    *s->r->logits = out;
    return STATUS_OK;
}

enum status verify_execute(const struct verify_run *r, struct metrics_result *out, struct error *err)
{
    struct session s = {.r = r};
    enum status st = run_all(&s, err);
    if (st == STATUS_OK) st = metrics_finish(&s.metrics, out, err);
    if (st == STATUS_OK && r->points) {
        *r->points = s.metrics.points;
        s.metrics.points = NULL;
    }
    close_session(&s);
    return st;
}
