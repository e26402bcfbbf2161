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

static enum status attach(struct lora *l, struct plan *p, struct plan_tensor *t, const struct lora_module *module, struct error *err)
{
    struct plan_lora *own = arena_alloc(&p->mem, sizeof *own);
    if (!own) return error_nomem(err, sizeof *own);
    if (t->stacked || t->n_sources != 1 || t->spec.n_dims != 2)
        return error_at(err, STATUS_UNSUPPORTED, module->a->container->file.path, module->a->t->name, "its weight is no plain matrix in the output");
    *own = (struct plan_lora){.a = module->a, .b = module->b, .scale = pair_scale(l, module)};
    TRY(transform_init(&own->rows, module->step.transform, module->b->t->dtype, 2, module->b->t->shape, &module->step.args, err));
    t->lora = own;
    if (t->why) t->why = "merged with the adapter";
    if (dtype_info(t->to)->block_len == 1 || t->damage) return STATUS_OK;
    t->damage = arena_alloc(&p->mem, sizeof *t->damage);
    return t->damage ? STATUS_OK : error_nomem(err, sizeof *t->damage);
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
    if (dtype_info(t->to)->block_len == 1 || t->damage) return STATUS_OK;
    t->damage = arena_alloc(&p->mem, sizeof *t->damage);
    return t->damage ? STATUS_OK : error_nomem(err, sizeof *t->damage);
}

static enum status replace_all(struct lora *l, struct plan *p, struct error *err)
{
    for (size_t k = 0; k < l->n_wholes; k++) {
        size_t i = 0;
        while (i < p->n_tensors && strcmp(p->tensors[i].name, l->wholes[k].target) != 0) i++;
        if (i == p->n_tensors)
            return error_at(err, STATUS_NOTFOUND, l->ckpt->path, l->wholes[k].t->t->name, "its weight is not in the output");
        TRY(replace(p, &p->tensors[i], &l->wholes[k], err));
    }
    return STATUS_OK;
}

static enum status record(struct lora *l, struct plan *p, struct error *err)
{
    char *text = arena_printf(&l->mem, "%.200s, alpha %.9g, times %.9g", path_base(l->ckpt->files[0]->file.path), l->alpha, l->scale);
    if (!text) return error_nomem(err, 64);
    gguf_put_string(&p->out, "lathe.lora.merged", text);
    return STATUS_OK;
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

enum status lora_merge(struct lora *l, struct plan *p, struct warnings *warn, struct error *err)
{
    size_t n_merged = 0, k;
    TRY(replace_all(l, p, err));
    for (size_t i = 0; i < p->n_tensors; i++) {
        if (!strmap_find(&l->by_target, p->tensors[i].name, &k)) continue;
        TRY(attach(l, p, &p->tensors[i], &l->modules[k], err));
        n_merged++;
    }
    if (n_merged != l->n_modules)
        return error_at(err, STATUS_NOTFOUND, l->ckpt->path, NULL, "%zu of its pairs have no tensor in the output", l->n_modules - n_merged);
    gguf_remove(&p->out, "lathe.quantize.damage"); /* of tensors that are others now */
    warn_requantized(p, warn);
    return record(l, p, err);
}

/* --- numbers --- */

static enum status load_doubles(const struct ckpt_tensor *t, double *dst, struct error *err)
{
    void *raw;
    TRY(mem_alloc(&raw, t->t->size_bytes, 1, err));
    enum status st = ckpt_read(t, 0, raw, (size_t)t->t->size_bytes, err);
    if (st == STATUS_OK) st = dtype_decode_f64(t->t->dtype, raw, dst, t->t->n_elements, err);
    free(raw);
    return st;
}

enum status lora_load(const struct plan_lora *l, struct lora_pair *out, struct error *err)
{
    const struct tensor *a = l->a->t, *b = l->b->t;
    void *mem;
    TRY(mem_alloc(&mem, (uint64_t)a->n_elements + 2 * (uint64_t)b->n_elements, sizeof(double), err));
    *out = (struct lora_pair){.a = mem, .b = (double *)mem + a->n_elements, .rank = a->shape[0], .cols = a->shape[1]};
    double *plain = out->b + b->n_elements;
    enum status st = load_doubles(l->a, out->a, err);
    if (st == STATUS_OK) st = load_doubles(l->b, plain, err);
    for (int64_t i = 0; i < b->n_elements && st == STATUS_OK; i++) out->b[i] = l->scale * plain[transform_source_index(&l->rows, i)];
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
