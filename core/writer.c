/* Work is cut into pieces of tensors. Pieces of one tensor are handed out in order, and its digest is taken in order: a worker whose turn has
 * not come writes first. A worker stays with a tensor, then opens the next one, and helps with an open one when none is left, so that a
 * large tensor at the end does not leave the other cores idle. */
#include "core/writer.h"
#include "core/dequant.h"
#include "core/encode.h"
#include "core/lora.h"
#include "core/plan_read.h"
#include "core/plan_quantize.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_MAX = 1 << 20, /* source bytes: read, digest and write meet in the cache */
    PIECE_QUANTIZE = 1 << 18, /* what is made of it has to stay there as well */
    PIECE_MIN = 1 << 17,
    TRANSPOSE_MAX = 6 << 20, /* wide strips: each source row costs one read */
    TRANSPOSE_MIN = 1 << 20,
    MEMORY_BYTES = 24 << 20, /* aim for the pieces of all workers together */
    LARGE_BYTES = 16 << 20,  /* tensors from here on go first, so that none of them is the last */
};

enum purpose { PURPOSE_WRITE, PURPOSE_HASH, PURPOSE_BOTH };
struct task {
    size_t tensor;
    enum purpose purpose;
    int64_t piece; /* elements */
    uint64_t n_pieces, n_given;
    bool open;
    /* the digest's turn */
    uint64_t n_hashed;
    struct sha256 *sha;
    size_t source;         /* the source being hashed */
    uint64_t hashed_bytes; /* of that source */
    float *weights;        /* importance weights, while pieces are being made */
    struct lora_pair lora; /* likewise */
    uint64_t n_ended;
};
struct scratch {
    void *piece, *aside, *whole; /* whole: a piece times its scales */
    size_t piece_cap, aside_cap, whole_cap;
    struct encode_scratch encode;
    size_t task; /* the one this worker is at; SIZE_MAX: none */
};
struct writer {
    struct plan *plan;
    const struct writer_sink *sink;
    const struct writer_options *opt;
    int n_workers;
    struct task *tasks;
    size_t n_tasks, next_task;
    uint64_t *pieces_left; /* by tensor */
    pthread_mutex_t done_lock;
    struct scratch *scratch;
    pthread_mutex_t lock;
    pthread_cond_t turn;
    bool stop;           /* a worker failed: nobody waits any more */
    size_t fault_tensor; /* first tensor in the plan's order with bad content; SIZE_MAX: none */
    struct encode_fault fault;
};

/* --- tasks --- */

static uint64_t clamp(uint64_t v, uint64_t min, uint64_t max)
{
    return v < min ? min : v > max ? max : v;
}

static bool is_quantized(const struct plan_tensor *t)
{
    return (t->from != t->to || t->lora) && dtype_info(t->to)->block_len > 1;
}

static uint64_t piece_bytes(const struct writer *w, const struct plan_tensor *t)
{
    uint64_t share = MEMORY_BYTES / (uint64_t)w->n_workers;
    if (w->opt && w->opt->piece_bytes > 0) return w->opt->piece_bytes;
    if (t->transform == TRANSFORM_TRANSPOSE) return clamp(share / 2, TRANSPOSE_MIN, TRANSPOSE_MAX);
    return clamp(share / 4, PIECE_MIN, is_quantized(t) ? PIECE_QUANTIZE : PIECE_MAX);
}

static uint64_t tensor_bytes(const struct writer *w, size_t tensor)
{
    const struct transform_spec *s = &w->plan->tensors[tensor].spec;
    return transform_bytes(s, s->n_elements);
}

static void add_task(struct writer *w, size_t tensor, enum purpose purpose, int64_t piece)
{
    int64_t n = w->plan->tensors[tensor].spec.n_elements;
    uint64_t n_pieces = n > 0 ? (uint64_t)((n - 1) / piece) + 1 : 0;
    w->pieces_left[tensor] += n_pieces;
    if (n_pieces > 0)
        w->tasks[w->n_tasks++] =
            (struct task){.tensor = tensor, .purpose = purpose, .piece = piece, .n_pieces = n_pieces};
}

/* Elements of a piece. What becomes blocks is cut between rows: a row is the unit of encoders. */
static int64_t piece_elements(const struct writer *w, const struct plan_tensor *t)
{
    uint64_t want = piece_bytes(w, t), row_bytes = transform_bytes(&t->spec, t->spec.cols);
    if (!is_quantized(t) || t->transform != TRANSFORM_NONE || row_bytes == 0) return transform_slab(&t->spec, want);
    uint64_t n_rows = clamp(want / row_bytes, 1, (uint64_t)t->spec.rows);
    return (int64_t)n_rows * t->spec.cols;
}

/* What is added, and a piece of floats */
static uint64_t lora_bytes(const struct writer *w, const struct plan_tensor *t)
{
    return lora_load_bytes(t->lora) + (uint64_t)piece_elements(w, t) * sizeof(float);
}

/* What a worker holds while it is at a tensor. */
static uint64_t tensor_memory(const struct writer *w, const struct plan_tensor *t)
{
    uint64_t piece = transform_bytes(&t->spec, piece_elements(w, t));
    uint64_t weights = t->weights ? (uint64_t)t->weights->n_values * sizeof(float) : 0;
    if (t->lora) weights += lora_bytes(w, t);
    return piece * (t->transform != TRANSFORM_NONE ? 2 : 1) + weights +
           encode_scratch_bytes(t->lora ? DTYPE_F32 : t->from, t->to, t->spec.cols, t->scaled_rows > 0);
}

uint64_t writer_memory_bytes(struct plan *p, int n_workers)
{
    struct writer w = {.plan = p, .n_workers = n_workers};
    uint64_t most = 0;
    for (size_t i = 0; i < p->n_tensors; i++) {
        if (p->tensors[i].n_sources == 0) continue;
        uint64_t n = tensor_memory(&w, &p->tensors[i]);
        most = n > most ? n : most;
    }
    return most * (uint64_t)n_workers;
}

static void plan_tasks(struct writer *w)
{
    for (size_t i = 0; i < w->plan->n_tensors; i++) {
        const struct plan_tensor *t = &w->plan->tensors[i];
        if (t->n_sources == 0 || (w->opt->skip && w->opt->skip[i])) continue;
        int64_t piece = piece_elements(w, t);
        if (!w->opt->hash) {
            add_task(w, i, PURPOSE_WRITE, piece);
        } else if (transform_in_order(&t->spec, piece)) {
            add_task(w, i, PURPOSE_BOTH, piece);
        } else {
            add_task(w, i, PURPOSE_HASH, piece);
            add_task(w, i, PURPOSE_WRITE, piece);
        }
    }
}

/* Large ones first, by size; the rest as the plan has them, which is about the order of the source file. */
static int compare_tasks(const void *a, const void *b, void *ctx)
{
    const struct task *x = a, *y = b;
    uint64_t nx = tensor_bytes(ctx, x->tensor), ny = tensor_bytes(ctx, y->tensor);
    if (nx < LARGE_BYTES) nx = 0;
    if (ny < LARGE_BYTES) ny = 0;
    if (nx != ny) return nx > ny ? -1 : 1;
    if (x->tensor != y->tensor) return x->tensor < y->tensor ? -1 : 1;
    return (int)x->purpose - (int)y->purpose;
}

/* --- handing out --- */

/* Bad content further up in the plan makes this task's result worthless. */
static bool has_work(const struct writer *w, const struct task *t)
{
    return t->n_given < t->n_pieces && t->tensor <= w->fault_tensor;
}

static struct task *choose_task(struct writer *w, struct scratch *own)
{
    if (own->task != SIZE_MAX && has_work(w, &w->tasks[own->task])) return &w->tasks[own->task];
    while (w->next_task < w->n_tasks) {
        struct task *t = &w->tasks[w->next_task++];
        if (has_work(w, t)) return t;
    }
    struct task *most = NULL;
    for (size_t i = 0; i < w->n_tasks; i++) {
        struct task *t = &w->tasks[i];
        if (has_work(w, t) && (!most || t->n_pieces - t->n_given > most->n_pieces - most->n_given)) most = t;
    }
    return most;
}

/* NULL when nothing is left to hand out. */
static struct task *take_piece(struct writer *w, struct scratch *own, uint64_t *number)
{
    pthread_mutex_lock(&w->lock);
    struct task *t = w->stop ? NULL : choose_task(w, own);
    if (t) {
        *number = t->n_given++;
        own->task = (size_t)(t - w->tasks);
    }
    pthread_mutex_unlock(&w->lock);
    return t;
}

/* --- digest --- */

/* Source bytes in order; a piece may end one source and begin the next. */
static enum status hash_bytes(struct writer *w, struct task *task, const void *src, size_t n,
                              struct error *err)
{
    struct plan_tensor *t = &w->plan->tensors[task->tensor];
    const char *from = src;
    if (!task->sha) TRY(sha256_new(&task->sha, err));
    while (task->source < t->n_sources) {
        struct plan_source *source = &t->sources[task->source];
        uint64_t left = source->t->t->size_bytes - task->hashed_bytes;
        size_t part = left < n ? (size_t)left : n;
        sha256_update(task->sha, from, part);
        task->hashed_bytes += part;
        from += part;
        n -= part;
        if (part < left) break;
        sha256_finish(task->sha, source->sha256);
        task->source++;
        task->hashed_bytes = 0;
    }
    if (task->source == t->n_sources) {
        sha256_free(task->sha);
        task->sha = NULL;
    }
    return STATUS_OK;
}

/* wait: false returns at once when other pieces come before this one. *done tells. */
static enum status hash_in_turn(struct writer *w, struct task *task, uint64_t number, const void *src,
                                size_t n, bool wait, bool *done, struct error *err)
{
    pthread_mutex_lock(&w->lock);
    while (wait && !w->stop && task->n_hashed != number) pthread_cond_wait(&w->turn, &w->lock);
    bool mine = !w->stop && task->n_hashed == number;
    pthread_mutex_unlock(&w->lock);
    *done = mine;
    if (!mine) return STATUS_OK;
    TRY(hash_bytes(w, task, src, n, err)); /* nobody else touches the digest until n_hashed moves */
    pthread_mutex_lock(&w->lock);
    task->n_hashed++;
    pthread_cond_broadcast(&w->turn);
    pthread_mutex_unlock(&w->lock);
    return STATUS_OK;
}

/* --- one piece --- */

static void add_results(struct writer *w, struct plan_tensor *t, const struct encode_job *job)
{
    const struct cast_audit *part = &job->audit;
    const struct encode_fault *fault = &job->fault;
    int64_t first = job->first;
    pthread_mutex_lock(&w->lock);
    if (t->damage) damage_join(t->damage, &job->damage);
    struct cast_audit *sum = &t->audit;
    sum->n += part->n;
    sum->n_nan += part->n_nan;
    sum->n_inf += part->n_inf;
    sum->n_overflow += part->n_overflow;
    sum->n_flushed += part->n_flushed;
    sum->n_subnormal += part->n_subnormal;
    int64_t overflow = part->first_overflow >= 0 ? first + part->first_overflow : -1;
    if (overflow >= 0 && (sum->first_overflow < 0 || overflow < sum->first_overflow))
        sum->first_overflow = overflow;
    size_t tensor = (size_t)(t - w->plan->tensors);
    bool earlier = tensor < w->fault_tensor || (tensor == w->fault_tensor && fault->index < w->fault.index);
    if (fault->kind != FAULT_NONE && earlier) {
        w->fault_tensor = tensor;
        w->fault = *fault;
    }
    pthread_mutex_unlock(&w->lock);
}

/* The tensor's importance weights and what is added to it: read by whoever needs them first. */
static enum status load_weights(struct writer *w, struct task *task, struct error *err)
{
    const struct imatrix_entry *e = w->plan->tensors[task->tensor].weights;
    const struct plan_lora *lora = w->plan->tensors[task->tensor].lora;
    enum status st = STATUS_OK;
    if (!e && !lora) return STATUS_OK;
    pthread_mutex_lock(&w->lock);
    if (lora && !task->lora.a) st = lora_load(lora, &task->lora, err);
    if (e && !task->weights && st == STATUS_OK) {
        task->weights = malloc((size_t)e->n_values * sizeof(float));
        st = task->weights ? imatrix_read(w->plan->imatrix, e, task->weights, err)
                           : error_nomem(err, (size_t)e->n_values * sizeof(float));
    }
    pthread_mutex_unlock(&w->lock);
    return st;
}

/* The last piece of a task gives back its weights; that of a tensor tells that it is complete. */
static enum status end_piece(struct writer *w, struct task *task, struct error *err)
{
    pthread_mutex_lock(&w->lock);
    if (++task->n_ended == task->n_pieces) {
        free(task->weights);
        task->weights = NULL;
        lora_unload(&task->lora);
    }
    bool complete = --w->pieces_left[task->tensor] == 0 && w->fault_tensor == SIZE_MAX;
    pthread_mutex_unlock(&w->lock);
    if (!complete || !w->opt->tensor_done) return STATUS_OK;
    pthread_mutex_lock(&w->done_lock);
    enum status st = w->opt->tensor_done(w->opt->done_ctx, task->tensor, err);
    pthread_mutex_unlock(&w->done_lock);
    return st;
}

/* The piece as floats, with what is added. */
static enum status merge(const struct task *task, int64_t first, int64_t n, const void **src, enum dtype *from, struct scratch *s, struct error *err)
{
    if (*src != s->whole) {
        TRY(plan_scratch_reserve(&s->whole, &s->whole_cap, (size_t)n * sizeof(float), err));
        TRY(dtype_decode_f32(*from, *src, s->whole, n, err));
    }
    lora_add(&task->lora, first, n, s->whole);
    *src = s->whole;
    *from = DTYPE_F32;
    return STATUS_OK;
}

/* Elements of a row of what scaled_rows counts; of a vector: one. */
static int64_t scaled_row(const struct plan_tensor *t)
{
    if (t->spec.n_dims < 2) return 1;
    return t->scaled_source ? t->shape[t->n_dims - 1] : t->spec.cols;
}

static enum status write_piece(struct writer *w, struct task *task, int64_t first, int64_t n,
                               struct scratch *s, struct error *err)
{
    struct plan_tensor *t = &w->plan->tensors[task->tensor];
    TRY(load_weights(w, task, err));
    if (t->scales.t) {
        TRY(plan_scratch_reserve(&s->whole, &s->whole_cap, (size_t)n * sizeof(float), err));
        TRY(dequant_run(t, first, n, s->piece, s->whole, err));
    }
    const void *src = s->piece;
    enum dtype from = t->decoded ? DTYPE_F32 : t->from;
    if (t->scales.t) {
        src = s->whole;
        from = DTYPE_F32;
    }
    if (t->lora) TRY(merge(task, first, n, &src, &from, s, err));
    struct encode_job job = {
        .from = from,
        .to = t->to,
        .first = first,
        .n = n,
        .n_per_row = t->spec.cols,
        .n_rows_shared = plan_matrix_rows(t),
        .weights = task->weights,
        .src = src,
        .finite = w->opt->finite,
        .allow_overflow = w->opt->allow_overflow,
        .scale_end = t->scaled_rows * scaled_row(t),
        .scale_by = t->scaled_source ? &t->spec : NULL,
        .scale = t->scale,
        .off = t->place.off_file,
        .write = w->sink->write,
        .ctx = w->sink->ctx,
        .audit = CAST_AUDIT_INIT,
    };
    TRY(encode_run(&job, &s->encode, err));
    add_results(w, t, &job);
    return STATUS_OK;
}

static enum status do_piece(struct writer *w, struct task *task, uint64_t number, struct scratch *s,
                            struct error *err)
{
    struct plan_tensor *t = &w->plan->tensors[task->tensor];
    int64_t first = (int64_t)number * task->piece, left = t->spec.n_elements - first;
    int64_t n = left < task->piece ? left : task->piece;
    size_t n_bytes = (size_t)transform_bytes(&t->spec, n);
    const void *raw = s->piece;
    TRY(plan_scratch_reserve(&s->piece, &s->piece_cap, n_bytes, err));
    if (task->purpose == PURPOSE_HASH) {
        TRY(plan_read_sources(t, transform_bytes(&t->spec, first), s->piece, n_bytes, err));
        raw = s->piece;
    } else {
        if (t->transform != TRANSFORM_NONE) TRY(plan_scratch_reserve(&s->aside, &s->aside_cap, n_bytes, err));
        TRY(transform_read(&t->spec, first, n, plan_reader(t), t, s->piece, s->aside, &raw, err));
    }
    bool hashed = task->purpose == PURPOSE_WRITE;
    if (!hashed) TRY(hash_in_turn(w, task, number, raw, n_bytes, false, &hashed, err));
    if (task->purpose != PURPOSE_HASH) {
        TRY(write_piece(w, task, first, n, s, err));
        if (w->opt->progress) progress_add(w->opt->progress, n_bytes);
    }
    if (!hashed) TRY(hash_in_turn(w, task, number, raw, n_bytes, true, &hashed, err));
    return end_piece(w, task, err);
}

static enum status run_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)unit; /* which piece it is, is decided here */
    struct writer *w = ctx;
    uint64_t number;
    struct task *task = take_piece(w, &w->scratch[worker], &number);
    if (!task) return STATUS_OK;
    enum status st = do_piece(w, task, number, &w->scratch[worker], err);
    if (st != STATUS_OK) {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_broadcast(&w->turn);
        pthread_mutex_unlock(&w->lock);
    }
    return st;
}

/* --- the whole --- */

/* Digests of sources without bytes: they have no piece. */
static enum status hash_empty(struct plan_tensor *t, struct error *err)
{
    struct sha256 *sha;
    TRY(sha256_new(&sha, err));
    for (size_t i = 0; i < t->n_sources; i++) sha256_finish(sha, t->sources[i].sha256);
    sha256_free(sha);
    return STATUS_OK;
}

static enum status read_scales(const void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    return ckpt_read(ctx, off, dst, n, err);
}

/* Padding, tensors that have no source, digests that no piece takes. */
static enum status write_rest(struct writer *w, struct error *err)
{
    static const char zeros[4096];
    for (size_t i = 0; i < w->plan->n_tensors; i++) {
        struct plan_tensor *t = &w->plan->tensors[i];
        const struct plan_place *out = &t->place;
        if (t->n_sources == 0)
            TRY(w->sink->write(w->sink->ctx, out->off_file, t->data, (size_t)out->size_bytes, err));
        if (t->n_sources > 0 && t->spec.n_elements == 0 && w->opt->hash) TRY(hash_empty(t, err));
        if (t->scales.t && w->opt->hash) TRY(sha256_of(read_scales, t->scales.t, t->scales.t->t->size_bytes, t->scales.sha256, err));
        for (uint64_t off = out->size_bytes; off < out->padded_bytes;) {
            uint64_t n = out->padded_bytes - off < sizeof zeros ? out->padded_bytes - off : sizeof zeros;
            TRY(w->sink->write(w->sink->ctx, out->off_file + off, zeros, (size_t)n, err));
            off += n;
        }
    }
    return STATUS_OK;
}

static enum status fault_error(const struct writer *w, struct error *err)
{
    const struct plan_tensor *t = &w->plan->tensors[w->fault_tensor];
    int64_t at = transform_source_index(&t->spec, w->fault.index);
    size_t i = 0;
    while (i + 1 < t->n_sources && at >= t->sources[i].t->t->n_elements)
        at -= t->sources[i++].t->t->n_elements;
    const struct tensor *source = t->sources[i].t->t;
    const char *path = t->sources[i].t->container->file.path;
    int64_t cols = tensor_cols(source);
    if (w->fault.kind == FAULT_NOT_FINITE)
        return error_at(err, STATUS_RANGE, path, source->name,
                        "row %lld, column %lld is %g; expected finite weights", (long long)(at / cols),
                        (long long)(at % cols), w->fault.value);
    error_at(err, STATUS_RANGE, path, source->name, "row %lld, column %lld is %.9g, which %s cannot hold",
             (long long)(at / cols), (long long)(at % cols), w->fault.value, dtype_info(t->to)->ggml_name);
    return error_hint(err, "--type keep or bf16 has the range; --allow-overflow stores what %s makes of it",
                      dtype_info(t->to)->ggml_name);
}

static enum status run_tasks(struct writer *w, struct error *err)
{
    uint64_t n_units = 0;
    plan_tasks(w);
    qsort_r(w->tasks, w->n_tasks, sizeof *w->tasks, compare_tasks, w);
    for (size_t i = 0; i < w->n_tasks; i++) n_units += w->tasks[i].n_pieces;
    for (int i = 0; i < workers_count(w->opt->workers); i++) w->scratch[i].task = SIZE_MAX;
    TRY(workers_run(w->opt->workers, n_units, run_unit, w, err));
    return w->fault_tensor != SIZE_MAX ? fault_error(w, err) : STATUS_OK;
}

enum status writer_run_to(struct plan *p, const struct writer_sink *sink, const struct writer_options *opt, struct error *err)
{
    size_t n_workers = (size_t)workers_count(opt->workers);
    struct writer w = {.plan = p, .sink = sink, .opt = opt, .n_workers = (int)n_workers, .fault_tensor = SIZE_MAX};
    w.tasks = calloc(2 * p->n_tensors + 1, sizeof *w.tasks);
    w.scratch = calloc(n_workers, sizeof *w.scratch);
    w.pieces_left = calloc(p->n_tensors + 1, sizeof *w.pieces_left);
    pthread_mutex_init(&w.done_lock, NULL);
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.turn, NULL);
    enum status st = w.tasks && w.scratch && w.pieces_left ? STATUS_OK : error_nomem(err, 2 * p->n_tensors * sizeof *w.tasks);
    if (st == STATUS_OK) st = write_rest(&w, err);
    if (st == STATUS_OK) st = run_tasks(&w, err);
    for (size_t i = 0; w.tasks && i < w.n_tasks; i++) {
        sha256_free(w.tasks[i].sha);
        free(w.tasks[i].weights);
        lora_unload(&w.tasks[i].lora);
    }
    for (size_t i = 0; w.scratch && i < n_workers; i++) {
        free(w.scratch[i].piece);
        free(w.scratch[i].aside);
        free(w.scratch[i].whole);
        encode_scratch_clear(&w.scratch[i].encode);
    }
    free(w.tasks);
    free(w.scratch);
    free(w.pieces_left);
    pthread_mutex_destroy(&w.done_lock);
    pthread_cond_destroy(&w.turn);
    pthread_mutex_destroy(&w.lock);
    return st;
}

static enum status write_to_file(void *ctx, uint64_t off, const void *src, size_t n, struct error *err)
{
    return outfile_write_at(ctx, off, src, n, err);
}

enum status writer_run(struct plan *p, struct outfile *o, const struct writer_options *opt, struct error *err)
{
    return writer_run_to(p, &(struct writer_sink){write_to_file, o}, opt, err);
}

enum status writer_header(const struct plan *p, struct outfile *o, struct error *err)
{
    return outfile_write_at(o, 0, p->out.header.data, p->out.header.len, err);
}
