#include "verify/weights.h"

#include "core/exact_sum.h"
#include "core/model_plan.h"
#include "core/writer.h"
#include "verify/tolerance.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { RUN = 4096 }; /* elements compared at once: a multiple of every block */

/* A row of a quantized tensor may be off by this many times its type's error: rows are not all alike. */
#define ROW_STORAGE 20.0
#define UNRELATED   1.0 /* two unrelated rows are 1.41 apart */

/* One tensor while it is compared. */
struct row_sum {
    double diff, size; /* sums of squares */
    bool unequal;      /* not what a cast gives */
};
struct tally {
    const struct ckpt_tensor *theirs; /* the other side's; NULL: it has none */
    struct row_sum *rows;
    int64_t n_rows, n_cols;
    struct exact_sum diff, size;
    double max_abs_diff;
    bool bad;             /* NaN or infinite on one side only */
    pthread_mutex_t lock; /* of all the sums: workers are mostly at different tensors */
};
struct comparison {
    struct plan plan; /* of the side that is brought into the other's layout, as F32 */
    const struct model *planned, *other;
    bool planned_is_a;
    struct tally *tallies; /* by tensor of the plan */
    struct arena *mem;
};

/* --- numbers --- */

/* What the other side should hold where this one holds x: x cast to its type, as floats. Of block types nothing can be said for single numbers. */
static enum status cast_through(enum dtype t, const float *x, float *out, int64_t n, struct error *err)
{
    uint64_t cast[RUN];
    TRY(dtype_cast(t, cast, DTYPE_F32, x, n, NULL, err));
    return dtype_decode_f32(t, cast, out, n, err);
}

static bool same_number(float x, float y)
{
    return x == y || (x != x && y != y);
}

struct run {
    const float *mine, *theirs, *expected; /* expected: NULL where no cast says what B should hold */
    int64_t first, n;
};

static void add_run(struct tally *t, const struct run *r)
{
    pthread_mutex_lock(&t->lock);
    for (int64_t i = 0; i < r->n; i++) {
        struct row_sum *row = &t->rows[(r->first + i) / t->n_cols];
        double x = (double)r->mine[i], y = (double)r->theirs[i], d = x - y;
        bool equal = same_number(r->expected ? r->expected[i] : r->mine[i], r->theirs[i]);
        row->unequal |= !equal;
        if (!isfinite(d)) {
            t->bad |= !equal;
            continue;
        }
        row->diff += d * d;
        row->size += x * x;
        t->max_abs_diff = fabs(d) > t->max_abs_diff ? fabs(d) : t->max_abs_diff;
        if (d != 0) exact_sum_add(&t->diff, d * d);
        exact_sum_add(&t->size, x * x);
    }
    pthread_mutex_unlock(&t->lock);
}

static enum status read_theirs(const struct tally *t, int64_t first, int64_t n, float *out, struct error *err)
{
    uint64_t raw[RUN], at, bytes;
    enum dtype type = t->theirs->t->dtype;
    if (!dtype_bytes(type, first, &at) || !dtype_bytes(type, n, &bytes))
        return error_at(err, STATUS_UNSUPPORTED, t->theirs->container->file.path, t->theirs->t->name,
                        "rows of this length cannot be compared");
    TRY(ckpt_read(t->theirs, at, raw, (size_t)bytes, err));
    return dtype_decode_f32(type, raw, out, n, err);
}

static enum status compare_run(struct tally *t, const float *mine, int64_t first, int64_t n,
                               struct error *err)
{
    float theirs[RUN], expected[RUN];
    enum dtype type = t->theirs->t->dtype;
    struct run r = {.mine = mine, .theirs = theirs, .first = first, .n = n};
    TRY(read_theirs(t, first, n, theirs, err));
    if (dtype_info(type)->block_len == 1) {
        TRY(cast_through(type, mine, expected, n, err));
        r.expected = expected;
    }
    add_run(t, &r);
    return STATUS_OK;
}

static enum status take(void *ctx, uint64_t off, const void *src, size_t n_bytes, struct error *err)
{
    struct comparison *c = ctx;
    size_t i = plan_tensor_at(&c->plan, off);
    uint64_t at = off - c->plan.out.tensors[i].off_file;
    if (!c->tallies[i].theirs || at >= c->plan.out.tensors[i].size_bytes) return STATUS_OK;
    int64_t first = (int64_t)(at / sizeof(float)), n = (int64_t)(n_bytes / sizeof(float));
    for (int64_t k = 0; k < n; k += RUN)
        TRY(compare_run(&c->tallies[i], (const float *)src + k, first + k, n - k < RUN ? n - k : RUN, err));
    return STATUS_OK;
}

/* --- what is compared --- */

static const struct ckpt_tensor *embedding(const struct model *m)
{
    const struct weight *w = model_weight(m, ROLE_TOKEN_EMBD, -1, PART_WEIGHT);
    return w ? w->t : NULL;
}

static const struct ckpt_tensor *output(const struct model *m)
{
    const struct weight *w = model_weight(m, ROLE_OUTPUT, -1, PART_WEIGHT);
    return w ? w->t : NULL;
}

static enum status plan_by_rules(struct comparison *c, struct error *err)
{
    struct warnings unheard = {0};
    enum status st = model_plan(&c->plan, c->planned, &(struct model_plan_options){.receipt = RECEIPT_NONE},
                                &unheard, err);
    warnings_clear(&unheard);
    return st;
}

/* Equal layouts: tensors of equal names. */
static enum status plan_by_names(struct comparison *c, struct error *err)
{
    const struct model *m = c->planned;
    if (m->n_weights > 0 && !ckpt_find(c->other->ckpt, m->weights[0].t->t->name))
        return error_at(
            err, STATUS_UNSUPPORTED, c->other->ckpt->path, NULL,
            "--weights compares equal layouts, or a checkpoint with a GGUF: expected a tensor '%s'",
            m->weights[0].t->t->name);
    for (size_t i = 0; i < m->n_weights; i++) {
        struct plan_tensor t = {.name = m->weights[i].t->t->name, .to = DTYPE_F32, .why = "compared"};
        TRY(plan_add(&c->plan, &t, m->weights[i].t, err));
    }
    return STATUS_OK;
}

static enum status plan_side(struct comparison *c, struct error *err)
{
    TRY(!c->planned->is_gguf && c->other->is_gguf ? plan_by_rules(c, err) : plan_by_names(c, err));
    /* a tied output matrix that the other side stores again */
    if (output(c->other) && !output(c->planned) && embedding(c->planned)) {
        struct plan_tensor t = {.name = output(c->other)->t->name, .to = DTYPE_F32, .why = "tied"};
        TRY(plan_add(&c->plan, &t, embedding(c->planned), err));
    }
    for (size_t i = 0; i < c->plan.n_tensors; i++) {
        struct plan_tensor *t = &c->plan.tensors[i];
        if (t->n_sources > 0) t->to = t->wanted = DTYPE_F32;
    }
    TRY(plan_rebuild(&c->plan, err));
    return plan_layout(&c->plan, err);
}

static enum status start_tally(struct comparison *c, size_t i, struct error *err)
{
    const struct plan_tensor *p = &c->plan.tensors[i];
    struct tally *t = &c->tallies[i];
    t->theirs = ckpt_find(c->other->ckpt, p->name);
    bool is_output = p->n_sources > 0 && p->sources[0].t == output(c->planned);
    if (!t->theirs && is_output && !output(c->other)) t->theirs = embedding(c->other);
    if (!t->theirs) return STATUS_OK;
    if (t->theirs->t->n_elements != p->spec.n_elements)
        return error_at(err, STATUS_MISMATCH, t->theirs->container->file.path, p->name,
                        "expected %lld elements as in the other side, found %lld",
                        (long long)p->spec.n_elements, (long long)t->theirs->t->n_elements);
    t->n_cols = tensor_cols(t->theirs->t) > 0 ? tensor_cols(t->theirs->t) : 1;
    t->n_rows = t->theirs->t->n_elements / t->n_cols;
    t->rows = arena_array(c->mem, (uint64_t)t->n_rows + 1, sizeof *t->rows);
    if (!t->rows) return error_nomem(err, (size_t)t->n_rows * sizeof *t->rows);
    memset(t->rows, 0, ((size_t)t->n_rows + 1) * sizeof *t->rows);
    return STATUS_OK;
}

/* --- verdicts --- */

static double row_limit(enum dtype a, enum dtype b)
{
    double e = fmax(tolerance_cast_error(a, b), tolerance_cast_error(b, a));
    return fmin(ROW_STORAGE * e, fmax(UNRELATED, 1.5 * e));
}

static void count_rows(const struct tally *t, struct weight_result *r, bool by_distance, double mean)
{
    r->n_rows = t->n_rows;
    r->n_rows_different = r->first_row = 0;
    for (int64_t i = t->n_rows - 1; i >= 0; i--) {
        const struct row_sum *row = &t->rows[i];
        double by = fmax(row->size, mean);
        bool off = by_distance ? (by > 0 ? sqrt(row->diff / by) > r->limit : row->diff > 0) : row->unequal;
        if (!off) continue;
        r->n_rows_different++;
        r->first_row = i;
    }
}

static void judge(const struct comparison *c, size_t i, struct weight_result *r)
{
    struct tally *t = &c->tallies[i];
    const struct plan_tensor *p = &c->plan.tensors[i];
    enum dtype mine = p->n_sources > 0 ? p->from : p->to, theirs = t->theirs->t->dtype;
    enum dtype a = c->planned_is_a ? mine : theirs, b = c->planned_is_a ? theirs : mine;
    const char *my_name = p->n_sources > 0 ? p->sources[0].t->t->name : NULL;
    bool rescaled = p->scaled_rows > 0 || p->scales.t;
    double n = (double)p->spec.n_elements, diff = exact_sum_value(&t->diff), size = exact_sum_value(&t->size);
    r->name = c->planned_is_a ? t->theirs->t->name : my_name ? my_name : p->name;
    r->source = c->planned_is_a ? my_name : t->theirs->t->name;
    r->dtype_a = dtype_info(a)->name;
    r->dtype_b = dtype_info(b)->name;
    r->max_abs_diff = t->bad ? (double)INFINITY : t->max_abs_diff;
    r->rms_diff = n > 0 ? sqrt(diff / n) : 0;
    r->rel = size > 0 ? sqrt(diff / size) : diff > 0 ? (double)INFINITY : 0;
    count_rows(t, r, false, 0);
    r->verdict = r->n_rows_different > 0 ? WEIGHT_DIFFERENT
                 : a == b && !rescaled   ? WEIGHT_EXACT
                                         : WEIGHT_CAST;
    bool coarse = dtype_info(a)->block_len > 1 || dtype_info(b)->block_len > 1 || rescaled;
    if (r->verdict != WEIGHT_DIFFERENT || !coarse || t->bad || (a == b && !rescaled)) return;
    r->limit = row_limit(rescaled && a == b ? DTYPE_F32 : a, b);
    count_rows(t, r, true, size / (double)(t->n_rows > 0 ? t->n_rows : 1));
    if (r->n_rows_different == 0) r->verdict = WEIGHT_QUANTIZED;
}

static struct weight_result *add_item(struct weights_report *out)
{
    return &out->items[out->n++];
}

static void add_lonely(struct weights_report *out, const char *name, enum dtype t, bool in_a)
{
    struct weight_result *r = add_item(out);
    *r = (struct weight_result){
        .name = name, .source = in_a ? name : NULL, .verdict = in_a ? WEIGHT_MISSING : WEIGHT_EXTRA};
    r->dtype_a = in_a ? dtype_info(t)->name : NULL;
    r->dtype_b = in_a ? NULL : dtype_info(t)->name;
}

/* Is this tensor of the other side one that was compared? */
static bool was_compared(const struct comparison *c, const struct ckpt_tensor *t)
{
    for (size_t i = 0; i < c->plan.n_tensors; i++)
        if (c->tallies[i].theirs == t) return true;
    return false;
}

static enum status collect(struct comparison *c, struct weights_report *out, struct error *err)
{
    const struct model *m = c->other;
    out->items = arena_array(&out->mem, c->plan.n_tensors + m->n_weights, sizeof *out->items);
    if (!out->items) return error_nomem(err, (c->plan.n_tensors + m->n_weights) * sizeof *out->items);
    memset(out->items, 0, (c->plan.n_tensors + m->n_weights) * sizeof *out->items);
    for (size_t i = 0; i < c->plan.n_tensors; i++) {
        const struct plan_tensor *p = &c->plan.tensors[i];
        const char *name =
            p->n_sources > 0 ? p->sources[0].t->t->name : arena_strndup(&out->mem, p->name, strlen(p->name));
        if (!name) return error_nomem(err, 1);
        if (c->tallies[i].theirs)
            judge(c, i, add_item(out));
        else if (p->n_sources > 0)
            add_lonely(out, name, p->from, c->planned_is_a);
    }
    for (size_t i = 0; i < m->n_weights; i++)
        if (!was_compared(c, m->weights[i].t))
            add_lonely(out, m->weights[i].t->t->name, m->weights[i].t->t->dtype, !c->planned_is_a);
    for (size_t i = 0; i < out->n; i++) out->n_different += out->items[i].verdict >= WEIGHT_DIFFERENT;
    return STATUS_OK;
}

static enum status run(struct comparison *c, struct workers *w, struct progress *progress,
                       struct weights_report *out, struct error *err)
{
    void *tallies;
    TRY(plan_side(c, err));
    TRY(mem_alloc(&tallies, c->plan.n_tensors, sizeof *c->tallies, err));
    c->tallies = tallies;
    for (size_t i = 0; i < c->plan.n_tensors; i++) pthread_mutex_init(&c->tallies[i].lock, NULL);
    for (size_t i = 0; i < c->plan.n_tensors; i++) TRY(start_tally(c, i, err));
    const struct writer_sink sink = {take, c};
    const struct writer_options opt = {.workers = w, .progress = progress, .allow_overflow = true};
    TRY(writer_run_to(&c->plan, &sink, &opt, err));
    return collect(c, out, err);
}

enum status weights_compare(const struct model *a, const struct model *b, struct workers *w,
                            struct progress *progress, struct weights_report *out, struct error *err)
{
    *out = (struct weights_report){0};
    bool planned_is_a = !(a->is_gguf && !b->is_gguf);
    struct comparison c = {.planned = planned_is_a ? a : b,
                           .other = planned_is_a ? b : a,
                           .planned_is_a = planned_is_a,
                           .mem = &out->mem};
    enum status st = run(&c, w, progress, out, err);
    for (size_t i = 0; c.tallies && i < c.plan.n_tensors; i++) pthread_mutex_destroy(&c.tallies[i].lock);
    free(c.tallies);
    plan_clear(&c.plan);
    return st;
}

void weights_clear(struct weights_report *r)
{
    arena_clear(&r->mem);
    *r = (struct weights_report){0};
}

uint64_t weights_bytes(const struct model *a, const struct model *b)
{
    const struct model *m = a->is_gguf && !b->is_gguf ? b : a;
    uint64_t n = 0;
    for (size_t i = 0; i < m->n_weights; i++) n += m->weights[i].t->t->size_bytes;
    return n;
}
