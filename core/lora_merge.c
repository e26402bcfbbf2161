/* Adapters merged into a plan's tensors. */
#include "core/lora_parts.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double pair_scale(const struct lora *l, const struct lora_module *module)
{
    double rank = (double)module->a->t->shape[0];
    return l->scale * l->alpha / (l->rslora ? sqrt(rank) : rank);
}

/* One on its way into a plan */
struct merge {
    struct lora *l;
    size_t number;
    struct strmap *replaced; /* by adapters so far: target → number */
};

/* Of a block type; an unquantized tensor has none. */
static enum status measure_damage(struct plan *p, struct plan_tensor *t, struct error *err)
{
    if (dtype_info(t->to)->block_len == 1 || t->damage) return STATUS_OK;
    t->damage = arena_alloc(&p->mem, sizeof *t->damage);
    return t->damage ? STATUS_OK : error_nomem(err, sizeof *t->damage);
}

static enum status attach(const struct merge *m, struct plan *p, struct plan_tensor *t, const struct lora_module *module, struct error *err)
{
    struct plan_lora *own = arena_alloc(&p->mem, sizeof *own), **end = &t->lora;
    const struct tensor *rows_of = (module->embedding ? module->a : module->b)->t;
    const int64_t shape[] = {lora_module_rows(module), lora_module_rank(module)};
    size_t by;
    if (!own) return error_nomem(err, sizeof *own);
    if (t->stacked || t->n_sources != 1 || t->spec.n_dims != 2)
        return error_at(err, STATUS_UNSUPPORTED, module->a->container->file.path, module->a->t->name, "its weight is no plain matrix in the output");
    if (strmap_find(m->replaced, module->target, &by) && by != m->number)
        return error_at(err, STATUS_MISMATCH, module->a->container->file.path, module->a->t->name, "another adapter has a tensor of its own in place of its weight");
    *own = (struct plan_lora){.a = module->a, .b = module->b, .embedding = module->embedding, .scale = pair_scale(m->l, module)};
    TRY(transform_init(&own->rows, module->step.transform, rows_of->dtype, 2, shape, &module->step.args, err));
    while (*end) end = &(*end)->next;
    *end = own;
    if (t->why) t->why = "merged with the adapter";
    return measure_damage(p, t, err);
}

/* The adapter's tensor in place of the base's, as if the source had held it. */
static enum status replace(struct plan *p, struct plan_tensor *t, const struct lora_whole *whole, struct error *err)
{
    const struct tensor *source = whole->t->t;
    struct transform_spec spec;
    enum status st = transform_init(&spec, whole->step.transform, source->dtype, source->n_dims, source->shape, &whole->step.args, err);
    bool same = st == STATUS_OK && spec.n_elements == t->spec.n_elements && spec.cols == t->spec.cols;
    if (!same || !dtype_info(source->dtype)->is_float || t->n_sources != 1 || t->stacked)
        return error_at(err, STATUS_MISMATCH, whole->t->container->file.path, source->name, "is not of the shape that the base has");
    t->sources[0].t = whole->t;
    t->n_dims = source->n_dims;
    memcpy(t->shape, source->shape, sizeof t->shape);
    t->from = source->dtype;
    t->transform = whole->step.transform;
    t->args = whole->step.args;
    t->scales = (struct plan_scales){0};
    t->spec = spec;
    t->decoded = false;
    t->why = "the adapter's own";
    return measure_damage(p, t, err);
}

static struct plan_tensor *find_target(struct plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_tensors; i++)
        if (strcmp(p->tensors[i].name, name) == 0) return &p->tensors[i];
    return NULL;
}

static enum status replace_all(const struct merge *m, struct plan *p, struct error *err)
{
    for (size_t k = 0; k < m->l->n_wholes; k++) {
        const struct lora_whole *whole = &m->l->wholes[k];
        struct plan_tensor *t = find_target(p, whole->target);
        if (!t) return error_at(err, STATUS_NOTFOUND, m->l->ckpt->path, whole->t->t->name, "its weight is not in the output");
        enum status st = t->lora ? STATUS_EXISTS : strmap_add(m->replaced, whole->target, m->number, NULL, err);
        if (st == STATUS_EXISTS)
            return error_at(err, STATUS_MISMATCH, whole->t->container->file.path, whole->t->t->name, "another adapter changes the same tensor, and this one replaces it");
        TRY(st);
        TRY(replace(p, t, whole, err));
    }
    return STATUS_OK;
}

static enum status record(struct lora *const *adapters, size_t n, struct plan *p, struct error *err)
{
    struct buf text = {0};
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s%.200s, alpha %.9g, times %.9g", i ? "; " : "", path_base(adapters[i]->ckpt->files[0]->file.path), adapters[i]->alpha, adapters[i]->scale);
    enum status st = buf_check(&text, err);
    if (st == STATUS_OK) gguf_put_string(&p->out, "lathe.lora.merged", text.data);
    buf_clear(&text);
    return st;
}

/* A tensor of a block type goes through floats and back: what was lost before stays lost, and something is lost again. */
static void warn_requantized(const struct plan *p, struct warnings *warn)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_tensors; i++) n += p->tensors[i].lora && dtype_info(p->tensors[i].from)->block_len > 1;
    if (n > 0)
        warnings_add(warn, "merged-requantized",
                     "%zu tensors are quantized: they are decoded, merged and encoded again, whose error comes on top of the first (--damage shows it)", n);
}

/* A tied table is the output matrix as well; peft's merge changes both, its unmerged model only the table. */
static void warn_tied(const struct lora *l, struct warnings *warn)
{
    for (size_t i = 0; i < l->n_modules; i++)
        if (l->modules[i].embedding && l->base->hp.tied && l->modules[i].weight->rule->role == ROLE_TOKEN_EMBD)
            warnings_add(warn, "merged-tied", "the adapter adds to the token embedding, which is the output matrix as well: both change, as in peft's merged model");
}

static enum status merge_one(const struct merge *m, struct plan *p, struct error *err)
{
    size_t n_merged = 0, k;
    TRY(replace_all(m, p, err));
    for (size_t i = 0; i < p->n_tensors; i++) {
        if (!strmap_find(&m->l->by_target, p->tensors[i].name, &k)) continue;
        TRY(attach(m, p, &p->tensors[i], &m->l->modules[k], err));
        n_merged++;
    }
    if (n_merged == m->l->n_modules) return STATUS_OK;
    return error_at(err, STATUS_NOTFOUND, m->l->ckpt->path, NULL, "%zu of its pairs have no tensor in the output", m->l->n_modules - n_merged);
}

enum status lora_merge(struct lora *const *adapters, size_t n, struct plan *p, struct warnings *warn, struct error *err)
{
    struct strmap replaced = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        st = merge_one(&(struct merge){adapters[i], i, &replaced}, p, err);
        warn_tied(adapters[i], warn);
    }
    strmap_clear(&replaced);
    TRY(st);
    gguf_remove(&p->out, "lathe.quantize.damage"); /* of tensors that are others now */
    warn_requantized(p, warn);
    return record(adapters, n, p, err);
}

/* --- numbers --- */

static int64_t rank_of(const struct plan_lora *l)
{
    return l->a->t->shape[0];
}

/* (out, r), (r, in), and the larger of both as it is read */
uint64_t lora_load_bytes(const struct plan_lora *l)
{
    uint64_t n = 0, most = 0;
    for (; l; l = l->next) {
        uint64_t a = (uint64_t)l->a->t->n_elements, b = (uint64_t)l->b->t->n_elements;
        n += a + b;
        if (a > most) most = a;
        if (b > most) most = b;
    }
    return (n + most) * sizeof(double);
}

static enum status load_doubles(const struct ckpt_tensor *t, double *dst, struct error *err)
{
    void *raw;
    TRY(mem_alloc(&raw, t->t->size_bytes, 1, err));
    enum status st = ckpt_read(t, 0, raw, (size_t)t->t->size_bytes, err);
    if (st == STATUS_OK) st = dtype_decode_f64(t->t->dtype, raw, dst, t->t->n_elements, err);
    free(raw);
    return st;
}

/* The adapter's part of both matrices: rows of A from `first` on, columns of B. */
static enum status load_one(const struct plan_lora *l, struct lora_pair *out, int64_t first, double *plain, struct error *err)
{
    int64_t rank = rank_of(l), rows = l->embedding ? l->a->t->shape[1] : l->b->t->shape[0];
    TRY(load_doubles(l->embedding ? l->b : l->a, plain, err));
    for (int64_t k = 0; k < rank; k++)
        for (int64_t j = 0; j < out->cols; j++) out->a[(first + k) * out->cols + j] = plain[l->embedding ? j * rank + k : k * out->cols + j];
    TRY(load_doubles(l->embedding ? l->a : l->b, plain, err));
    for (int64_t i = 0; i < rows * rank; i++) {
        int64_t from = transform_source_index(&l->rows, i);
        if (l->embedding) from = from % rank * rows + from / rank;
        out->b[i / rank * out->rank + first + i % rank] = l->scale * plain[from];
    }
    return STATUS_OK;
}

enum status lora_load(const struct plan_lora *l, struct lora_pair *out, struct error *err)
{
    int64_t rank = 0, n_a = 0, first = 0, n_b = 0;
    enum status st = STATUS_OK;
    void *mem;
    for (const struct plan_lora *i = l; i; i = i->next) {
        rank += rank_of(i);
        n_a += (i->embedding ? i->b : i->a)->t->n_elements;
        n_b += (i->embedding ? i->a : i->b)->t->n_elements;
    }
    TRY(mem_alloc(&mem, lora_load_bytes(l), 1, err));
    *out = (struct lora_pair){.a = mem, .b = (double *)mem + n_a, .rank = rank, .cols = n_a / rank};
    for (; l && st == STATUS_OK; l = l->next) {
        st = load_one(l, out, first, out->b + n_b, err);
        first += rank_of(l);
    }
    if (st != STATUS_OK) lora_unload(out);
    return st;
}

void lora_unload(struct lora_pair *p)
{
    free(p->a);
    *p = (struct lora_pair){0};
}

void lora_add(const struct lora_pair *p, int64_t first, int64_t n, float *values)
{
    enum { STEP = 512 };
    double sums[STEP];
    for (int64_t at = first, len; at < first + n; at += len) {
        int64_t row = at / p->cols, col = at % p->cols;
        len = p->cols - col < STEP ? p->cols - col : STEP;
        len = first + n - at < len ? first + n - at : len;
        float *v = values + (at - first);
        for (int64_t j = 0; j < len; j++) sums[j] = (double)v[j];
        for (int64_t k = 0; k < p->rank; k++) {
            const double w = p->b[row * p->rank + k], *a = p->a + k * p->cols + col;
            for (int64_t j = 0; j < len; j++) sums[j] += w * a[j];
        }
        for (int64_t j = 0; j < len; j++) v[j] = (float)sums[j];
    }
}
