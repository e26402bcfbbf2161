#include "verify/verify_run.h"

#include "base/file.h"
#include "core/lockstep.h"
#include "formats/npy.h"
#include "verify/verify_output.h"

#include <stdlib.h>

enum {
    CONTEXT_DEFAULT = 512,
    CHUNK_BYTES = 48 << 20, /* of logits to be written */
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
    return lockstep_bytes(r->a, r->b);
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
    struct lockstep *l;
    int64_t n_windows, n_max; /* windows and positions at once */
    int64_t *lengths;
    int32_t *next;
    /* the file of logits */
    struct outfile *out;
    uint64_t off_out;
    size_t size;     /* of a logit */
    int64_t n_chunk; /* positions */
    void *logits;
};

static enum status open_output(struct session *s, struct error *err)
{
    const struct verify_run *r = s->r;
    if (!r->logits_path) return STATUS_OK;
    struct buf header = {0};
    uint64_t bytes;
    s->size = r->precision == PRECISION_F64 ? sizeof(double) : sizeof(float);
    s->n_chunk = CHUNK_BYTES / (r->a->hp.n_vocab * (int64_t)s->size);
    s->n_chunk = s->n_chunk < 1 ? 1 : s->n_chunk > s->n_max ? s->n_max : s->n_chunk;
    TRY(mem_alloc(&s->logits, (uint64_t)(s->n_chunk * r->a->hp.n_vocab), s->size, err));
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
    void *p;
    s->n_windows = windows_at_once(r);
    s->n_max = s->n_windows * r->n_context < r->tokens->n ? s->n_windows * r->n_context : r->tokens->n;
    TRY(mem_alloc(&p, (uint64_t)s->n_windows, sizeof *s->lengths, err));
    s->lengths = p;
    TRY(mem_alloc(&p, (uint64_t)s->n_max, sizeof *s->next, err));
    s->next = p;
    const struct lockstep_setup setup = {
        .a = r->a,
        .b = r->b,
        .precision = r->precision,
        .n_max = s->n_max,
        .causal = r->causal,
        .first = r->at.first,
        .step = r->at.step,
        .workers = r->workers,
        .progress = r->progress,
    };
    TRY(lockstep_new(&s->l, &setup, err));
    return open_output(s, err);
}

static void close_session(struct session *s)
{
    outfile_discard(s->out);
    lockstep_free(s->l);
    free(s->lengths);
    free(s->next);
    free(s->logits);
}

/* The id that follows row `pos` in its window, or -1 where there is none or it does not count */
static int32_t next_id(const struct session *s, const int32_t *ids, int64_t n, int64_t pos)
{
    int64_t in_window = pos % s->r->n_context;
    bool counts = in_window >= s->r->score_from && in_window + 1 < s->r->n_context && pos + 1 < n;
    return counts ? ids[pos + 1] : -1;
}

static enum status write_logits(struct session *s, int64_t n, struct error *err)
{
    for (int64_t pos = 0; pos < n; pos += s->n_chunk) {
        int64_t n_rows = n - pos < s->n_chunk ? n - pos : s->n_chunk;
        size_t bytes = (size_t)(n_rows * s->r->a->hp.n_vocab) * s->size;
        TRY(forward_logits(s->l->a, pos, n_rows, s->logits, err));
        TRY(outfile_write_at(s->out, s->off_out, s->logits, bytes, err));
        s->off_out += bytes;
    }
    return STATUS_OK;
}

/* A run of windows, of which the last one may be shorter */
static enum status run_batch(struct session *s, const int32_t *ids, int64_t n, struct error *err)
{
    int64_t n_context = s->r->n_context, n_batch = (n - 1) / n_context + 1;
    for (int64_t i = 0; i < n_batch; i++) {
        int64_t left = n - i * n_context;
        s->lengths[i] = left < n_context ? left : n_context;
    }
    for (int64_t i = 0; i < n; i++) s->next[i] = next_id(s, ids, n, i);
    TRY(lockstep_run(s->l, ids, s->lengths, n_batch, s->next, err));
    return s->out ? write_logits(s, n, err) : STATUS_OK;
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
    if (st == STATUS_OK) st = metrics_finish(&s.l->metrics, out, err);
    if (st == STATUS_OK && r->points) {
        *r->points = s.l->metrics.points;
        s.l->metrics.points = NULL;
    }
    close_session(&s);
    return st;
}
