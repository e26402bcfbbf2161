#include "core/requantize.h"
#include "core/model_plan.h"
#include "core/rewrite.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { COMPARE_BYTES = 1 << 16 };

/* What comparing found in a tensor. */
struct found {
    uint64_t n_different; /* blocks */
    int64_t first;        /* block; valid when n_different > 0 */
    int64_t byte;         /* in it */
};
struct comparison {
    struct plan *plan;
    struct container *quantized;
    struct found *found; /* by tensor of the plan */
    pthread_mutex_t lock;
};

/* --- comparing --- */

/* Blocks of `size` bytes side by side; the first one is number `block` of its tensor. */
static void compare_blocks(struct found *f, const unsigned char *a, const unsigned char *b, size_t n, size_t size, int64_t block)
{
    for (; n > 0; n -= size, a += size, b += size, block++) {
        if (memcmp(a, b, size) == 0) continue;
        if (f->n_different++ > 0) continue;
        f->first = block;
        while (a[f->byte] == b[f->byte]) f->byte++;
    }
}

static void join(struct comparison *c, size_t i, const struct found *part)
{
    pthread_mutex_lock(&c->lock);
    struct found *f = &c->found[i];
    if (part->n_different > 0 && (f->n_different == 0 || part->first < f->first)) {
        f->first = part->first;
        f->byte = part->byte;
    }
    f->n_different += part->n_different;
    pthread_mutex_unlock(&c->lock);
}

static enum status compare(void *ctx, uint64_t off, const void *src, size_t n, struct error *err)
{
    struct comparison *c = ctx;
    size_t i = plan_tensor_at(c->plan, off);
    const struct gguf_out_tensor *out = &c->plan->out.tensors[i];
    const struct tensor *t = container_find(c->quantized, out->name);
    uint64_t at = off - out->off_file;
    if (!t || at >= out->size_bytes) return STATUS_OK; /* padding is checked by the reader */
    size_t size = dtype_info(out->dtype)->block_bytes, step = COMPARE_BYTES / size * size;
    const unsigned char *p = src;
    struct found part = {0};
    unsigned char theirs[COMPARE_BYTES];
    for (size_t k = 0, m; k < n; k += m) {
        m = n - k < step ? n - k : step;
        TRY(container_read(c->quantized, t, at + k, theirs, m, err));
        if (memcmp(p + k, theirs, m) != 0) compare_blocks(&part, p + k, theirs, m, size, (int64_t)((at + k) / size));
    }
    if (part.n_different > 0) join(c, i, &part);
    return STATUS_OK;
}

static enum status run(struct comparison *c, const struct requantize_options *opt, struct error *err)
{
    const struct writer_sink sink = {compare, c};
    const struct writer_options run = {.workers = opt->workers, .progress = opt->progress, .allow_overflow = true};
    return writer_run_to(c->plan, &sink, &run, err);
}

/* --- the plan --- */

static bool same_shape(const struct tensor *t, const struct transform_spec *s)
{
    int skip_t = 0, skip_s = 0; /* outermost dimensions of size 1 say nothing */
    while (skip_t < t->n_dims - 1 && t->shape[skip_t] == 1) skip_t++;
    while (skip_s < s->n_dims - 1 && s->shape[skip_s] == 1) skip_s++;
    int n = t->n_dims - skip_t;
    return n == s->n_dims - skip_s && memcmp(t->shape + skip_t, s->shape + skip_s, (size_t)n * sizeof *t->shape) == 0;
}

static enum status set_type(struct plan_tensor *t, const struct tensor *q, const struct container *file, const struct imatrix *im, struct error *err)
{
    const struct dtype_info *info = dtype_info(q->dtype);
    if (!same_shape(q, &t->spec))
        return error_at(err, STATUS_MISMATCH, file->file.path, q->name, "has another shape than the source's");
    t->to = t->wanted = q->dtype;
    if (t->to == t->from || info->is_float) return STATUS_OK;
    t->weights = im && info->weights != WEIGHTS_IGNORED ? imatrix_find(im, q->name) : NULL;
    int64_t n_matrices = t->spec.n_dims > 2 ? t->spec.shape[t->spec.n_dims - 3] : 1;
    if (t->weights && t->weights->n_values != t->spec.cols * n_matrices) t->weights = NULL;
    if (dtype_can_encode(t->to, t->weights != NULL)) return STATUS_OK;
    error_at(err, STATUS_UNSUPPORTED, file->file.path, q->name, "%s cannot be derived again%s", info->ggml_name,
             im ? "" : " without the importance matrix");
    return error_hint(err, "%s", im ? "the importance matrix has no weights for it" : "--imatrix FILE names the one that the file was made with");
}

/* Keeps the tensors that the quantized file has, in its types. */
static enum status fit(struct plan *p, const struct container *file, const struct requantize_options *opt, struct error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct tensor *q = container_find(file, p->tensors[i].name);
        if (!q) continue;
        p->tensors[n] = p->tensors[i];
        TRY(set_type(&p->tensors[n], q, file, opt->imatrix, err));
        n++;
    }
    p->n_tensors = n;
    p->imatrix = opt->imatrix;
    return plan_rebuild(p, err);
}

static enum status find_missing(const struct plan *p, const struct container *file, struct requantize_result *out, struct error *err)
{
    struct strmap names = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < p->n_tensors && st == STATUS_OK; i++) st = strmap_add(&names, p->tensors[i].name, i, NULL, err);
    for (size_t i = 0; i < file->n_tensors && st == STATUS_OK; i++) {
        size_t at;
        if (strmap_find(&names, file->tensors[i].name, &at)) continue;
        if (out->n_missing++ == 0) out->missing = file->tensors[i].name;
    }
    strmap_clear(&names);
    return st;
}

/* --- the result --- */

static int64_t place_of(const struct container *file, const char *name)
{
    return container_find(file, name) - file->tensors;
}

static void sum_up(const struct comparison *c, struct requantize_result *out)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < c->plan->n_tensors; i++) {
        const struct gguf_out_tensor *t = &c->plan->out.tensors[i];
        const struct found *f = &c->found[i];
        const struct dtype_info *info = dtype_info(t->dtype);
        uint64_t n_blocks = t->size_bytes / info->block_bytes;
        out->n_blocks += n_blocks;
        out->n_different_blocks += f->n_different;
        out->n_different += f->n_different > 0;
        int64_t place = place_of(c->quantized, t->name);
        if (f->n_different == 0 || place >= first) continue;
        first = place;
        int64_t per_row = c->plan->tensors[i].spec.cols / info->block_len;
        const struct tensor *q = &c->quantized->tensors[place];
        out->tensor = q->name;
        out->dtype = q->dtype;
        out->row = per_row > 0 ? f->first / per_row : 0;
        out->block = per_row > 0 ? f->first % per_row : 0;
        out->byte = f->byte;
        out->tensor_blocks = n_blocks;
        out->tensor_different_blocks = f->n_different;
    }
}

/* Only tensors of block types that differ. */
static enum status keep_different(struct comparison *c, struct requantize_result *out, struct error *err)
{
    struct plan *p = c->plan;
    size_t n = 0;
    for (size_t i = 0; i < p->n_tensors; i++) {
        if (c->found[i].n_different == 0 || dtype_info(p->tensors[i].to)->block_len == 1 || p->tensors[i].to == p->tensors[i].from) continue;
        out->n_fused_tried += c->found[i].n_different;
        p->tensors[n++] = p->tensors[i];
    }
    p->n_tensors = n;
    if (n == 0) return STATUS_OK;
    TRY(plan_rebuild(p, err));
    return plan_layout(p, err);
}

static enum status try_fused(struct comparison *c, const struct requantize_options *opt, struct requantize_result *out, struct error *err)
{
    TRY(keep_different(c, out, err));
    enum status st = STATUS_OK;
    for (int style = FUSE_NOT + 1; c->plan->n_tensors > 0 && style < FUSE_STYLES && st == STATUS_OK; style++) {
        uint64_t n = 0;
        if (!kernels_fuse((enum fuse_style)style)) continue;
        memset(c->found, 0, c->plan->n_tensors * sizeof *c->found);
        st = run(c, opt, err);
        for (size_t i = 0; i < c->plan->n_tensors; i++) n += c->found[i].n_different;
        if (out->fused_tried && n >= out->n_fused_blocks) continue;
        out->fused_tried = true;
        out->n_fused_blocks = n;
        out->style = (enum fuse_style)style;
    }
    kernels_fuse(FUSE_NOT);
    return st;
}

static enum status compare_plan(struct plan *p, struct container *file, const struct requantize_options *opt, struct requantize_result *out,
                                struct error *err)
{
    struct comparison c = {.plan = p, .quantized = file};
    TRY(find_missing(p, file, out, err));
    TRY(fit(p, file, opt, err));
    TRY(plan_layout(p, err));
    c.found = calloc(p->n_tensors + 1, sizeof *c.found);
    if (!c.found) return error_nomem(err, p->n_tensors * sizeof *c.found);
    pthread_mutex_init(&c.lock, NULL);
    enum status st = run(&c, opt, err);
    if (st == STATUS_OK) sum_up(&c, out);
    if (st == STATUS_OK && out->n_different > 0) st = try_fused(&c, opt, out, err);
    pthread_mutex_destroy(&c.lock);
    free(c.found);
    return st;
}

enum status requantize_compare(struct model *source, struct checkpoint *source_gguf, struct checkpoint *quantized,
                               const struct requantize_options *opt, struct requantize_result *out, struct error *err)
{
    struct plan p = {0};
    struct warnings unheard = {0};
    struct container *file = ckpt_gguf(quantized);
    *out = (struct requantize_result){.n_tensors = quantized->n_tensors};
    if (!file) return error_at(err, STATUS_FORMAT, quantized->path, NULL, "expected a GGUF file, found %s", quantized->format);
    enum status st = source ? model_plan(&p, source, &(struct model_plan_options){.receipt = RECEIPT_NONE}, &unheard, err)
                            : plan_rewrite(&p, source_gguf, &(struct rewrite_options){0}, &unheard, err);
    if (st == STATUS_OK) st = compare_plan(&p, file, opt, out, err);
    warnings_clear(&unheard);
    plan_clear(&p);
    return st;
}
