/* An adapter's matrices beside the weights of a base. */
#include "core/lora_parts.h"

#include <string.h>

/* All names that a weight of the base has or may have in a checkpoint → its place. */
static enum status name_weights(struct lora *l, struct strmap *names, struct error *err)
{
    const struct model *m = l->base;
    for (size_t i = 0; i < m->n_weights; i++) {
        const struct weight *w = &m->weights[i];
        const char *source = w->rule->source;
        while (source && !strstr(source, "{e}")) {
            for (const char *const *prefix = m->arch->prefixes; *prefix; prefix++) {
                char *name = rule_name(&l->mem, source, *prefix, w->layer, 0);
                if (!name) return error_nomem(err, 64);
                enum status st = strmap_add(names, name, i, NULL, err);
                if (st != STATUS_OK && st != STATUS_EXISTS) return st;
            }
            source = strchr(source, '|');
            if (source) source++;
        }
    }
    return STATUS_OK;
}

/* Rows of the weight as a linear layer has them, (out, in), whichever way it is stored. */
static void linear_shape(const struct model *m, const struct weight *w, int64_t *out, int64_t *in)
{
    bool turned = !m->is_gguf && w->rule->transform == TRANSFORM_TRANSPOSE;
    const struct tensor *t = w->t->t;
    *out = t->n_dims == 2 ? t->shape[turned ? 1 : 0] : -1;
    *in = t->n_dims == 2 ? t->shape[turned ? 0 : 1] : -1;
    if (t->dtype == DTYPE_I4) *in = tensor_cols(t);
}

static const char *tied_note(const struct lora *l)
{
    return l->base->hp.tied ? " (its output matrix is the embedding)" : "";
}

static enum status bind_module(struct lora *l, struct lora_module *module, const struct strmap *names, struct error *err)
{
    size_t i;
    int64_t out, in;
    char *name = arena_printf(&l->mem, "%s.weight", module->name);
    if (!name) return error_nomem(err, strlen(module->name));
    if (!strmap_find(names, name, &i))
        return error_at(err, STATUS_NOTFOUND, module->a->container->file.path, module->a->t->name, "the base model, family %s, has no weight '%.100s'%s",
                        l->base->arch->family, name, tied_note(l));
    const struct weight *w = &l->base->weights[i];
    linear_shape(l->base, w, &out, &in);
    if (lora_module_rows(module) != out || lora_module_cols(module) != in)
        return error_at(err, STATUS_MISMATCH, module->a->container->file.path, module->a->t->name,
                        "expected matrices for %lld x %lld, as the base has it, found %lld x %lld", (long long)out, (long long)in,
                        (long long)lora_module_rows(module), (long long)lora_module_cols(module));
    module->weight = w;
    rule_step(w->rule, &l->base->hp, w->layer, &module->step);
    if (module->step.transform == TRANSFORM_TRANSPOSE) module->step.transform = TRANSFORM_NONE; /* B's rows are outputs already */
    module->target = rule_name(&l->mem, w->rule->target, "", w->layer, 0);
    if (!module->target) return error_nomem(err, 64);
    return strmap_add(&l->by_target, module->target, (size_t)(module - l->modules), NULL, err);
}

static enum status bind_whole(struct lora *l, struct lora_whole *whole, const struct strmap *names, struct error *err)
{
    size_t i;
    if (!strmap_find(names, whole->name, &i))
        return error_at(err, STATUS_NOTFOUND, whole->t->container->file.path, whole->t->t->name,
                        "the base model, family %s, has no tensor '%.100s' of its own%s", l->base->arch->family, whole->name,
                        tied_note(l));
    whole->weight = &l->base->weights[i];
    if (whole->t->t->n_elements != whole->weight->t->t->n_elements)
        return error_at(err, STATUS_MISMATCH, whole->t->container->file.path, whole->t->t->name, "is not of the shape that the base has: %lld elements, not %lld",
                        (long long)whole->t->t->n_elements, (long long)whole->weight->t->t->n_elements);
    rule_step(whole->weight->rule, &l->base->hp, whole->weight->layer, &whole->step);
    whole->target = rule_name(&l->mem, whole->weight->rule->target, "", whole->weight->layer, 0);
    return whole->target ? STATUS_OK : error_nomem(err, 64);
}

enum status lora_bind(struct lora *l, const struct model *base, struct error *err)
{
    struct strmap names = {0};
    l->base = base;
    enum status st = name_weights(l, &names, err);
    for (size_t i = 0; i < l->n_modules && st == STATUS_OK; i++) st = bind_module(l, &l->modules[i], &names, err);
    for (size_t i = 0; i < l->n_wholes && st == STATUS_OK; i++) st = bind_whole(l, &l->wholes[i], &names, err);
    strmap_clear(&names);
    return st;
}
