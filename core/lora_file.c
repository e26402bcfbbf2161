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
    if (is_b) {
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
    int64_t rank = l->modules[0].a->t->shape[0];
    *alpha = l->alpha;
    if (!l->rslora) return STATUS_OK;
    for (size_t i = 1; i < l->n_modules; i++)
        if (l->modules[i].a->t->shape[0] != rank)
            return error_at(err, STATUS_UNSUPPORTED, json_path(l->config), NULL,
                            "use_rslora with different ranks: an adapter file of llama.cpp has one alpha for all");
    *alpha = l->alpha * sqrt((double)rank);
    return STATUS_OK;
}

enum status lora_plan(struct lora *l, struct plan *p, struct error *err)
{
    double alpha;
    if (l->n_wholes > 0) {
        error_at(err, STATUS_UNSUPPORTED, json_path(l->config), NULL, "modules_to_save: '%.100s': an adapter file of llama.cpp holds no whole tensors",
                 l->wholes[0].name);
        return error_hint(err, "--merge-lora puts them into the model");
    }
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
