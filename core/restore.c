#include "core/restore_build.h"
#include "core/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- tensors --- */

const struct ckpt_tensor *restore_view(struct restore *r, const struct ckpt_tensor *of, int64_t first, int n_dims, const int64_t *shape,
                                       struct error *err)
{
    struct tensor *t = arena_alloc(&r->mem, sizeof *t);
    struct ckpt_tensor *view = arena_alloc(&r->mem, sizeof *view);
    uint64_t off, end;
    if (!t || !view) {
        error_nomem(err, sizeof *t);
        return NULL;
    }
    *t = *of->t;
    t->n_dims = n_dims;
    memset(t->shape, 0, sizeof t->shape);
    memcpy(t->shape, shape, (size_t)n_dims * sizeof *shape);
    if (tensor_set_size(t, of->container->file.path, err) != STATUS_OK) return NULL;
    if (!dtype_bytes(t->dtype, first, &off) || !size_add(off, t->size_bytes, &end) || end > of->t->size_bytes) {
        error_at(err, STATUS_MISMATCH, of->container->file.path, of->t->name, "has %lld elements, fewer than the tensors that it was made of",
                 (long long)of->t->n_elements);
        return NULL;
    }
    t->off_file += off; /* a GGUF's tensors are plain ranges */
    *view = (struct ckpt_tensor){t, of->container};
    return view;
}

static enum status remember(struct restore *r, const struct restored *t, struct error *err)
{
    size_t i = r->plan->n_tensors;
    if (i == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 256;
        struct restored *tensors = realloc(r->tensors, cap * sizeof *tensors);
        if (!tensors) return error_nomem(err, cap * sizeof *tensors);
        r->tensors = tensors;
        r->cap = cap;
    }
    r->tensors[i] = *t;
    return STATUS_OK;
}

/* Exponent and mantissa bits, where a type has them. */
static bool float_bits(enum dtype t, int *exponent, int *mantissa)
{
    static const struct {
        enum dtype t;
        int exponent, mantissa;
    } bits[] = {{DTYPE_F64, 11, 52}, {DTYPE_F32, 8, 23},     {DTYPE_BF16, 8, 7},
                {DTYPE_F16, 5, 10},  {DTYPE_F8_E5M2, 5, 2}, {DTYPE_F8_E4M3, 4, 3}};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        if (bits[i].t == t) {
            *exponent = bits[i].exponent;
            *mantissa = bits[i].mantissa;
            return true;
        }
    return false;
}

bool restore_holds(enum dtype a, enum dtype b)
{
    int ea, ma, eb, mb;
    if (a == b) return true;
    return float_bits(a, &ea, &ma) && float_bits(b, &eb, &mb) && ea >= eb && ma >= mb;
}

enum status restore_add(struct restore *r, const struct restore_item *item, struct error *err)
{
    struct plan_source *sources = arena_array(&r->mem, item->n_sources, sizeof *sources);
    if (!sources) return error_nomem(err, item->n_sources * sizeof *sources);
    for (size_t i = 0; i < item->n_sources; i++) sources[i].t = item->sources[i];
    enum dtype from = item->sources[0]->t->dtype;
    struct plan_tensor t = {
        .name = item->name,
        .sources = sources,
        .n_sources = item->n_sources,
        .to = r->opt->type != DTYPE_COUNT ? r->opt->type : item->to,
        .wanted = DTYPE_COUNT,
        .transform = transform_inverse(item->transform),
        .args = item->args,
        .why = item->why,
    };
    int exponent;
    bool folded = item->scaled_rows > 0 && frexp(item->scale, &exponent) != 0.5;
    if (item->scaled_rows > 0) {
        t.scale = 1 / item->scale;
        t.scaled_rows = item->scaled_rows;
        t.scaled_source = true;
    }
    TRY(remember(r, &(struct restored){.sha256 = item->sha256, .exact = restore_holds(from, t.to) && !folded}, err));
    return plan_add(r->plan, &t, NULL, err);
}

enum status restore_add_data(struct restore *r, const char *name, enum dtype type, int n_dims, const int64_t *shape, const void *data,
                             struct error *err)
{
    struct plan_tensor t = {.name = name, .data = data, .to = type, .wanted = DTYPE_COUNT, .n_dims = n_dims, .why = "kept in the receipt"};
    memcpy(t.shape, shape, sizeof t.shape);
    TRY(remember(r, &(struct restored){0}, err));
    return plan_add(r->plan, &t, NULL, err);
}

/* --- the plan --- */

static enum dtype main_type(const struct model *m)
{
    uint64_t n[DTYPE_COUNT] = {0};
    for (size_t i = 0; i < m->n_weights; i++) {
        const struct tensor *t = m->weights[i].t->t;
        enum dtype type = dtype_info(t->dtype)->block_len > 1 ? DTYPE_F32 : t->dtype;
        if (t->n_dims >= 2) n[type] += (uint64_t)t->n_elements;
    }
    enum dtype best = DTYPE_F32;
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (n[t] > n[best]) best = (enum dtype)t;
    return best;
}

static enum status plan_all(struct restore *r, struct error *err)
{
    const struct container *gguf = ckpt_gguf(r->m->ckpt);
    if (!r->opt->rebuild) TRY(receipt_read(&r->receipt, gguf, err));
    bool meta = r->receipt && strcmp(r->receipt->format, "meta") == 0;
    if (meta && !r->receipt->full) { /* names of that folder without its params.json are of no use */
        receipt_free(r->receipt);
        r->receipt = NULL;
    }
    bool foreign = !r->receipt && !container_kv(gguf, "lathe.family");
    r->arch = foreign && r->m->arch->rebuilt_as ? r->m->arch->rebuilt_as : r->m->arch;
    r->main = r->opt->type != DTYPE_COUNT ? r->opt->type : main_type(r->m);
    r->plan->format = PLAN_SAFETENSORS;
    TRY(r->receipt ? restore_by_receipt(r, err) : restore_by_rules(r, err));
    if (parts_safetensors(r->plan, meta && r->receipt ? "consolidated" : "model", r->opt->shard_bytes, err) != STATUS_OK) return error_in(err, gguf->file.path);
    return restore_files(r, err);
}

enum status restore_plan(struct restore **out, struct plan *p, const struct model *m, const struct restore_options *opt, struct warnings *warn,
                         struct error *err)
{
    void *mem;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof **out, err));
    struct restore *r = mem;
    *r = (struct restore){.plan = p, .m = m, .opt = opt, .warn = warn};
    *out = r; /* the plan's sources are in it, also after a failure */
    return plan_all(r, err);
}

void restore_free(struct restore *r)
{
    if (!r) return;
    receipt_free(r->receipt);
    free(r->tensors);
    arena_clear(&r->mem);
    free(r);
}

/* --- the check --- */

struct check {
    struct restore *r;
    const struct emit_written *w;
};

struct written_tensor {
    const struct emit_written *w;
    const struct plan_tensor *t;
};

static enum status read_written(const void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    const struct written_tensor *x = ctx;
    return x->w->read(x->w, x->t->place.off_file + off, dst, n, err);
}

static enum status check_one(void *ctx, uint64_t i, int worker, struct error *err)
{
    (void)worker;
    const struct check *c = ctx;
    const struct plan_tensor *t = &c->r->plan->tensors[i];
    struct restored *known = &c->r->tensors[t->order];
    uint8_t digest[SHA256_BYTES];
    if (!known->sha256) return STATUS_OK;
    TRY(sha256_of(read_written, &(struct written_tensor){c->w, t}, t->place.size_bytes, digest, err));
    known->differs = memcmp(digest, known->sha256, sizeof digest) != 0;
    return STATUS_OK;
}

enum status restore_check(void *restore, const struct emit_written *w, struct error *err)
{
    struct restore *r = restore;
    size_t n_rounded = 0, n_differs = 0;
    const char *rounded = NULL, *differs = NULL;
    if (!r->receipt || r->opt->type != DTYPE_COUNT) return STATUS_OK;
    TRY(workers_run(w->workers, r->plan->n_tensors, check_one, &(struct check){r, w}, err));
    for (size_t i = 0; i < r->plan->n_tensors; i++) {
        const struct plan_tensor *t = &r->plan->tensors[i];
        const struct restored *known = &r->tensors[t->order];
        if (!known->differs) continue;
        if (known->exact && n_differs++ == 0) differs = t->name;
        if (!known->exact && n_rounded++ == 0) rounded = t->name;
    }
    if (n_rounded > 0)
        warnings_add(r->warn, "restored-rounded",
                     "%zu tensors ('%s', ...) are not the source's bytes: the GGUF's type, or a scale that was folded in, has rounded them", n_rounded, rounded);
    if (n_differs > 0)
        warnings_add(r->warn, "restored-differs",
                     "%zu tensors ('%s', ...) are not the source's bytes, although their type holds them: they were changed after the conversion",
                     n_differs, differs);
    return STATUS_OK;
}
