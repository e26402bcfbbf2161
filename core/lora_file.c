/* An adapter as llama.cpp's file of one: docs/format.md. */
#include "core/lora_parts.h"

#include "base/json.h"

#include <math.h>

static enum status add_matrix(struct lora *l, struct plan *p, const struct lora_module *module, bool is_b, struct error *err)
{
    const struct ckpt_tensor *source = is_b ? module->b : module->a;
    enum dtype type = source->t->dtype;
    bool kept = type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
    struct plan_tensor t = {
        .name = arena_printf(&l->mem, "%s.lora_%c", module->target, is_b ? 'b' : 'a'),
        .to = kept && !(is_b && module->step.scaled_rows > 0) ? type : DTYPE_F32,
        .wanted = DTYPE_COUNT,
        .why = "adapter",
    };
    if (!t.name) return error_nomem(err, 64);
    if (module->embedding) {
        t.transform = is_b ? TRANSFORM_NONE : TRANSFORM_TRANSPOSE; /* rows of A are looked up by the token */
    } else if (is_b) {
        t.transform = module->step.transform;
        t.args = module->step.args;
        t.scale = module->step.scale;
        t.scaled_rows = module->step.scaled_rows;
    }
    return plan_add(p, &t, source, err);
}

/* llama.cpp divides by the rank; a root that is wanted instead goes into alpha, which is one for all. */
static enum status file_alpha(const struct lora *l, double *alpha, struct error *err)
{
    int64_t rank = lora_module_rank(&l->modules[0]);
    *alpha = l->alpha;
    if (!l->rslora) return STATUS_OK;
    for (size_t i = 1; i < l->n_modules; i++)
        if (lora_module_rank(&l->modules[i]) != rank)
            return error_at(err, STATUS_UNSUPPORTED, json_path(l->config), NULL,
                            "use_rslora with different ranks: an adapter file of llama.cpp has one alpha for all");
    *alpha = l->alpha * sqrt((double)rank);
    return STATUS_OK;
}

/* What llama.cpp's file has no place for */
static enum status check_file(const struct lora *l, struct warnings *warn, struct error *err)
{
    for (size_t i = 0; i < l->n_wholes; i++) {
        if (l->wholes[i].below_pair) continue;
        error_at(err, STATUS_UNSUPPORTED, json_path(l->config), NULL, "modules_to_save: '%.100s': an adapter file of llama.cpp holds no whole tensors",
                 l->wholes[i].name);
        return error_hint(err, "--merge-lora puts them into the model");
    }
    for (size_t i = 0; i < l->n_modules; i++) {
        const struct lora_module *m = &l->modules[i];
        if (!m->embedding) continue;
        bool table = m->weight->rule->role == ROLE_TOKEN_EMBD && m->step.transform == TRANSFORM_NONE && m->step.scaled_rows == 0;
        if (table && !l->base->hp.tied) continue;
        error_at(err, STATUS_UNSUPPORTED, m->a->container->file.path, m->a->t->name, "%s",
                 table ? "llama.cpp cannot run an adapter of the embedding where that is the output matrix as well" : "llama.cpp adds nothing to this table");
        return error_hint(err, "--merge-lora merges it");
    }
    if (l->n_wholes > 0)
        warnings_add(warn, "adapter-base-layer", "%zu tensors that the adapter has of the base itself, '%.100s' first, have no place in an adapter file", l->n_wholes,
                     l->wholes[0].name);
    return STATUS_OK;
}

enum status lora_plan(struct lora *l, struct plan *p, struct warnings *warn, struct error *err)
{
    double alpha;
    TRY(check_file(l, warn, err));
    TRY(file_alpha(l, &alpha, err));
    gguf_put_string(&p->out, "general.architecture", l->base->arch->gguf_arch);
    gguf_put_string(&p->out, "general.type", "adapter");
    gguf_put_string(&p->out, "adapter.type", "lora");
    gguf_put_f32(&p->out, "adapter.lora.alpha", (float)(alpha * l->scale));
    gguf_put_string(&p->out, "lathe.family", l->base->arch->family);
    for (size_t i = 0; i < l->n_modules; i++) {
        TRY(add_matrix(l, p, &l->modules[i], false, err));
        TRY(add_matrix(l, p, &l->modules[i], true, err));
    }
    return STATUS_OK;
}
