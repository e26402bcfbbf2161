#include "core/model_plan.h"
#include "core/rule.h"
#include "formats/tokenizer.h"
#include "models/rope_runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { QUANTIZATION_VERSION = 2 }; /* ggml's; its converter writes it into every file */

struct builder {
    struct plan *plan;
    const struct model *m;
    struct hparams hp; /* as the file will say it */
    const struct model_plan_options *opt;
    size_t n_f64, n_f8, n_scaled, n_dequantized;
};

/* --- types --- */

/* A power of two changes exponents only. */
static bool rounds(const struct plan_tensor *t)
{
    int exponent;
    return t->scaled_rows > 0 && frexp(t->scale, &exponent) != 0.5;
}

/* What a matrix that keeps its type becomes: GGUF has no type for some. */
static enum dtype kept_type(struct builder *b, const struct ckpt_tensor *source)
{
    enum dtype from = source->t->dtype;
    /* add_weight tells; integers have more digits than BF16 once they are multiplied */
    if (model_scale(b->m, source)) return dtype_info(from)->is_float ? DTYPE_BF16 : DTYPE_F32;
    switch (from) {
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16:
        return from;
    case DTYPE_F64:
        b->n_f64++;
        return DTYPE_F32;
    case DTYPE_F8_E4M3:
    case DTYPE_F8_E5M2:
        b->n_f8++;
        return DTYPE_BF16;
    default:
        return DTYPE_COUNT;
    }
}

static enum status choose_type(struct builder *b, const struct ckpt_tensor *source, struct plan_tensor *t,
                               int n_dims, const int64_t *shape, struct error *err)
{
    const struct dtype_info *from = dtype_info(source->t->dtype);
    if (!from->is_float && !model_scale(b->m, source))
        return error_at(err, STATUS_UNSUPPORTED, source->container->file.path, source->t->name,
                        "is of type %s; expected floating-point weights",
                        plan_source_type_name(source->t->dtype));
    if (!recipe_covers(b->m->arch->gguf_arch, t->name, n_dims, shape, &t->why)) {
        t->to = DTYPE_F32; /* as runtimes need them */
        return STATUS_OK;
    }
    t->why = "matrix";
    if (b->opt->quantize) {
        t->to = DTYPE_F32; /* for now */
        return STATUS_OK;
    }
    t->to = kept_type(b, source);
    if (t->to != DTYPE_COUNT) {
        if (rounds(t)) t->to = DTYPE_F32; /* keeps what F16 and BF16 hold, so that the scale can be undone */
        return STATUS_OK;
    }
    error_at(err, STATUS_UNSUPPORTED, source->container->file.path, source->t->name,
             "GGUF has no type for %s", plan_source_type_name(source->t->dtype));
    return error_hint(err, "--type names one to convert to");
}

/* --- tensors --- */

/* The numbers of a rule's transform for this model. */
static void set_args(struct builder *b, const struct tensor_rule *rule, int64_t layer, struct plan_tensor *t)
{
    struct rule_step step;
    rule_step(rule, &b->m->hp, layer, &step);
    t->transform = step.transform;
    t->args = step.args;
    t->scale = step.scale;
    t->scaled_rows = step.scaled_rows;
}

static void set_scales(struct builder *b, const struct ckpt_tensor *source, struct plan_tensor *t)
{
    const struct model_scale *s = model_scale(b->m, source);
    if (!s) return;
    t->scales = (struct plan_scales){
        .t = s->t, .block_rows = s->block_rows, .block_cols = s->block_cols, .grid_cols = s->grid_cols};
    b->n_dequantized++;
}

/* One tensor of all experts, in their order. */
static enum status add_experts(struct builder *b, const struct weight *weight, struct plan_tensor *t, struct error *err)
{
    const struct tensor *one = weight->t->t;
    int64_t shape[] = {(int64_t)weight->n_experts, one->shape[0], one->shape[1]};
    void *mem;
    TRY(mem_alloc(&mem, weight->n_experts, sizeof *t->sources, err));
    t->sources = mem;
    t->n_sources = weight->n_experts;
    t->stacked = true;
    for (size_t e = 0; e < weight->n_experts; e++) t->sources[e].t = weight->experts[e];
    enum status st = choose_type(b, weight->t, t, 3, shape, err);
    if (st == STATUS_OK) st = plan_add(b->plan, t, NULL, err);
    free(mem);
    return st;
}

static enum status add_weight(struct builder *b, const struct weight *weight, struct error *err)
{
    const struct tensor_rule *rule = weight->rule;
    const struct tensor *source = weight->t->t;
    struct plan_tensor t = {
        .name = rule_name(&b->plan->mem, rule->target, "", weight->layer, 0), .rule = rule, .layer = weight->layer};
    if (!t.name) return error_nomem(err, strlen(rule->target));
    set_args(b, rule, weight->layer, &t);
    set_scales(b, weight->t, &t);
    struct transform_spec spec; /* only for the target's shape: rows are what types are chosen by */
    if (transform_init(&spec, t.transform, source->dtype, source->n_dims, source->shape, &t.args, err) !=
        STATUS_OK) {
        struct error cause = *err;
        return error_at(err, cause.status, weight->t->container->file.path, source->name, "%s", cause.text);
    }
    if (weight->n_experts > 0) return add_experts(b, weight, &t, err);
    TRY(choose_type(b, weight->t, &t, spec.n_dims, spec.shape, err));
    if (rounds(&t)) b->n_scaled++;
    return plan_add(b->plan, &t, weight->t, err);
}

/* What a runtime insists on and the source has not. */
static enum status fill_embedding(struct builder *b, struct plan_tensor *t, struct error *err)
{
    const struct ckpt_tensor *embd = model_weight(b->m, ROLE_TOKEN_EMBD, -1, PART_WEIGHT)->t;
    set_scales(b, embd, t);
    TRY(choose_type(b, embd, t, embd->t->n_dims, embd->t->shape, err));
    t->why = "the runtime insists on an output matrix: the embedding once more";
    return plan_add(b->plan, t, embd, err);
}

static enum status fill_zeros(struct builder *b, struct plan_tensor *t, struct error *err)
{
    uint64_t n_bytes;
    t->why = "the runtime insists on it: zeros";
    if (t->shape[0] < 0 || !dtype_bytes(t->to, t->shape[0], &n_bytes)) return error_nomem(err, SIZE_MAX);
    void *zeros = arena_alloc(&b->plan->mem, (size_t)n_bytes);
    if (!zeros) return error_nomem(err, (size_t)n_bytes);
    memset(zeros, 0, (size_t)n_bytes);
    t->data = zeros;
    return plan_add(b->plan, t, NULL, err);
}

/* The model's scaling as divisors of its frequencies, where the runtime's keys cannot say it */
static enum status fill_rope(struct builder *b, struct plan_tensor *t, enum role role, struct error *err)
{
    struct rope_runtime k;
    bool exact;
    TRY(rope_runtime_choose(&b->hp.rope, true, &k, &exact, &b->plan->mem, err));
    t->data = role == ROLE_ROPE_FREQS ? k.freqs : role == ROLE_ROPE_FACTORS_LONG ? k.long_factors : k.short_factors;
    t->why = "factors of the rotary positions";
    return t->data ? plan_add(b->plan, t, NULL, err) : STATUS_OK;
}

static enum status add_fill(struct builder *b, const struct model_fill *fill, struct error *err)
{
    const struct tensor_rule *rule = fill->rule;
    struct plan_tensor t = {.name = rule_name(&b->plan->mem, rule->target, "", fill->layer, 0),
                            .rule = rule,
                            .layer = fill->layer,
                            .n_dims = 1,
                            .to = DTYPE_F32};
    if (!t.name) return error_nomem(err, strlen(rule->target));
    t.shape[0] = hparams_eval(&b->hp, rule->shape);
    switch (rule->fill) {
    case FILL_NONE:
        break;
    case FILL_ZEROS:
        return fill_zeros(b, &t, err);
    case FILL_EMBEDDING:
        return fill_embedding(b, &(struct plan_tensor){.name = t.name, .rule = rule, .layer = -1}, err);
    case FILL_ROPE:
        return fill_rope(b, &t, rule->role, err);
    }
    return STATUS_OK;
}

static enum status add_tensors(struct builder *b, struct error *err)
{
    const struct model *m = b->m;
    size_t k = 0;
    for (size_t i = 0; i <= m->n_weights; i++) {
        while (k < m->n_fills && m->fills[k].before == i) TRY(add_fill(b, &m->fills[k++], err));
        if (i < m->n_weights) TRY(add_weight(b, &m->weights[i], err));
    }
    return STATUS_OK;
}

/* One alternative of a source pattern: {p} is the prefix, {i} a number. */
static bool matches_one(const char *pattern, const char *prefix, const char *name)
{
    while (*pattern && *pattern != '|') {
        if (strncmp(pattern, "{p}", 3) == 0) {
            size_t n = strlen(prefix);
            if (strncmp(name, prefix, n) != 0) return false;
            name += n;
            pattern += 3;
        } else if (strncmp(pattern, "{i}", 3) == 0) {
            size_t n = strspn(name, "0123456789");
            if (n == 0) return false;
            name += n;
            pattern += 3;
        } else if (*pattern++ != *name++) {
            return false;
        }
    }
    return *name == 0;
}

static bool matches(const char *pattern, const char *prefix, const char *name)
{
    for (; pattern; pattern = strchr(pattern, '|')) {
        if (*pattern == '|') pattern++;
        if (matches_one(pattern, prefix, name)) return true;
    }
    return false;
}

/* Why a source tensor has no place in the output: the rule that names it tells. */
static const char *drop_reason(const struct model *m, const struct ckpt_tensor *t)
{
    const char *name = t->t->name;
    size_t n_wrapper = strlen(m->wrapper);
    if (strncmp(name, m->wrapper, n_wrapper) != 0) return "saved beside the weights";
    if (model_is_runtime_scale(m, t)) return "scale of activations";
    name += n_wrapper;
    for (const struct tensor_rule *rule = m->arch->rules; rule->source || rule->target; rule++)
        for (const char *const *prefix = m->arch->prefixes; rule->source && *prefix; prefix++) {
            if (!matches(rule->source, *prefix, name)) continue;
            if (rule->presence == PRESENCE_LEFT_OUT) return "head of another task";
            if (rule->presence == PRESENCE_DROPPED) return "buffer";
            if (rule->role == ROLE_OUTPUT) return "equal to the token embedding";
        }
    return "saved beside the weights";
}

static enum status add_dropped(struct builder *b, struct error *err)
{
    const struct model *m = b->m;
    const struct checkpoint *c = m->ckpt;
    void *mem;
    TRY(mem_alloc(&mem, c->n_tensors, sizeof(bool), err));
    bool *used = mem;
    for (size_t i = 0; i < m->n_weights; i++) {
        const struct model_scale *scale = model_scale(m, m->weights[i].t);
        used[m->weights[i].t - c->tensors] = true;
        if (scale) used[scale->t - c->tensors] = true;
        for (size_t e = 0; e < m->weights[i].n_experts; e++) used[m->weights[i].experts[e] - c->tensors] = true;
    }
    enum status st = STATUS_OK;
    for (size_t i = 0; i < c->n_tensors && st == STATUS_OK; i++)
        if (!used[i]) st = plan_drop(b->plan, &c->tensors[i], drop_reason(m, &c->tensors[i]), err);
    free(used);
    return st;
}

/* --- metadata --- */

static enum status put_tokenizer(struct builder *b, struct warnings *warn, struct error *err)
{
    struct tokenizer *t;
    TRY(tokenizer_load(&t, b->m->ckpt->tokenizer_dir, b->m->hp.n_vocab, warn, err));
    tokenizer_put(t, &b->plan->out);
    tokenizer_free(t);
    return STATUS_OK;
}

static enum status put_metadata(struct builder *b, struct warnings *warn, struct error *err)
{
    struct gguf_writer *w = &b->plan->out;
    uint32_t file_type;
    gguf_put_string(w, "general.architecture", b->m->arch->gguf_arch);
    gguf_put_string(w, "general.type", "model");
    if (b->m->name) gguf_put_string(w, "general.name", b->m->name);
    TRY(model_put_hparams(b->m->arch, &b->hp, w, warn, err));
    if (b->opt->quantize)
        gguf_put_u32(w, "general.file_type", b->opt->quantize->recipe->file_type);
    else if (recipe_file_type(plan_main_type(b->plan), &file_type))
        gguf_put_u32(w, "general.file_type", file_type);
    TRY(put_tokenizer(b, warn, err));
    gguf_put_u32(w, "general.quantization_version", QUANTIZATION_VERSION);
    return STATUS_OK;
}

static void warn_types(const struct builder *b, struct warnings *warn)
{
    if (b->n_f64 > 0)
        warnings_add(warn, "source-f64",
                     "%zu matrices are F64; GGUF's runtimes compute with no such type, stored as F32",
                     b->n_f64);
    if (b->n_f8 > 0)
        warnings_add(warn, "source-f8",
                     "%zu matrices are F8, which GGUF has not; stored as BF16, which holds every value",
                     b->n_f8);
    if (b->n_dequantized > 0)
        warnings_note(warn, "fp8-dequantized",
                      "%zu matrices are FP8 or integers with scales: stored as the products, rounded to the output's type, from "
                      "which the source's bytes do not follow",
                      b->n_dequantized);
    if (b->n_scaled > 0)
        warnings_note(warn, "scale-folded",
                      "llama.cpp's attention scale is fixed for architecture '%s': the queries' rows of %zu "
                      "tensors are multiplied by what the model's differs by, and rounded",
                      b->m->arch->gguf_arch, b->n_scaled);
}

/* A file for one length of context: what depends on the length is fixed as it is there. */
static void bake_rope(struct builder *b, struct warnings *warn)
{
    if (!b->m->arch->uses_rope || !rope_is_dynamic(&b->hp.rope)) {
        warnings_note(warn, "rope-context-unused",
                      "--rope-context %lld: the model's rotary positions do not depend on the length",
                      (long long)b->opt->rope_context);
        return;
    }
    b->hp.rope.n_baked = b->hp.n_ctx = b->opt->rope_context;
}

enum status model_plan_tensors(struct plan *p, const struct model *m, int64_t rope_context, struct error *err)
{
    const struct model_plan_options opt = {.rope_context = rope_context};
    struct warnings unheard = {0};
    struct builder b = {.plan = p, .m = m, .hp = m->hp, .opt = &opt};
    if (rope_context > 0) bake_rope(&b, &unheard);
    enum status st = add_tensors(&b, err);
    warnings_clear(&unheard);
    return st;
}

enum status model_plan(struct plan *p, const struct model *m, const struct model_plan_options *opt,
                       struct warnings *warn, struct error *err)
{
    struct builder b = {.plan = p, .m = m, .hp = m->hp, .opt = opt};
    if (m->n_weights == 0)
        return error_at(err, STATUS_NOTFOUND, m->ckpt->path, NULL, "holds no tensor of the family %s",
                        m->arch->family);
    if (opt->rope_context > 0) bake_rope(&b, warn);
    TRY(add_tensors(&b, err));
    TRY(add_dropped(&b, err));
    warn_types(&b, warn);
    TRY(put_metadata(&b, warn, err));
    TRY(receipt_put(p, m, opt->receipt, err));
    return opt->quantize ? plan_quantize(p, opt->quantize, warn, err) : STATUS_OK;
}
