#include "core/lora.h"

#include "base/json.h"
#include "core/rule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 4 << 20 };
static const char config_name[] = "adapter_config.json";

/* Two matrices for one weight of the base. */
struct module {
    const char *name; /* as in the adapter, without ".lora_A.weight" */
    const struct ckpt_tensor *a, *b;
    const struct weight *weight; /* of the base */
    struct rule_step step;
    const char *target; /* its name in a GGUF */
};
/* A tensor that stands in place of the base's: of modules_to_save. */
struct whole {
    const char *name;
    const struct ckpt_tensor *t;
    const struct weight *weight;
    struct rule_step step;
    const char *target;
};
struct lora {
    struct checkpoint *ckpt;
    struct json *config;
    const struct model *base;
    double scale, alpha;
    bool rslora;
    struct module *modules;
    size_t n_modules;
    struct whole *wholes;
    size_t n_wholes;
    struct strmap by_target; /* of pairs */
    struct arena mem;
};

bool lora_is_adapter(const char *path)
{
    struct arena mem = {0};
    char *config = file_is_dir(path) ? path_join(&mem, path, config_name) : NULL;
    bool yes = config && file_exists(config);
    arena_clear(&mem);
    return yes;
}

const struct checkpoint *lora_checkpoint(const struct lora *l)
{
    return l->ckpt;
}

/* --- adapter_config.json --- */

static bool is_on(const struct jvalue *v)
{
    if (!v || json_is(v, JTYPE_NULL) || (json_is(v, JTYPE_BOOL) && !json_is_true(v))) return false;
    if ((json_is(v, JTYPE_OBJECT) || json_is(v, JTYPE_ARRAY)) && json_count(v) == 0) return false;
    const char *s = json_string(v);
    return !s || (*s && strcmp(s, "none") != 0);
}

static enum status check_config(const struct lora *l, struct error *err)
{
    static const struct {
        const char *key, *why;
    } refused[] = {
        {"use_dora", "DoRA scales whole columns, which is no sum of two matrices"},
        {"alpha_pattern", "an adapter file of llama.cpp has one alpha for all"},
        {"bias", "trained biases have no place in an adapter"},
        {"lora_bias", "trained biases have no place in an adapter"},
        {"trainable_token_indices", "trained rows of the embedding are not supported"},
        {"use_qalora", "QALoRA pools its input"},
        {"alora_invocation_tokens", "adapters that begin inside a text are not supported"},
        {"target_parameters", "adapters of single parameters are not supported"},
        {"megatron_config", "adapters of Megatron's layers are not supported"},
        {"corda_config", "CorDA changes the base's weights"},
        {"layer_replication", "layers that are there several times are not supported"},
    };
    const struct jvalue *root = json_root(l->config);
    const char *type = json_string(json_get(root, "peft_type"));
    if (!type || strcmp(type, "LORA") != 0)
        return error_at(err, STATUS_UNSUPPORTED, json_path(l->config), NULL, "peft_type: expected LORA, found %.40s", type ? type : "none");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (is_on(json_get(root, refused[i].key)))
            return error_at(err, STATUS_UNSUPPORTED, json_path(l->config), NULL, "%s: %s", refused[i].key, refused[i].why);
    return STATUS_OK;
}

static enum status read_config(struct lora *l, struct error *err)
{
    char *path = path_join(&l->mem, l->ckpt->dir, config_name);
    if (!path) return error_nomem(err, strlen(l->ckpt->dir));
    TRY(json_load(&l->config, path, CONFIG_BYTES_MAX, err));
    TRY(check_config(l, err));
    const struct jvalue *alpha = json_get(json_root(l->config), "lora_alpha");
    if (!alpha) return error_at(err, STATUS_NOTFOUND, path, NULL, "lora_alpha: expected a number, not found");
    TRY(json_double(l->config, alpha, &l->alpha, err));
    if (!isfinite(l->alpha)) return error_at(err, STATUS_RANGE, path, NULL, "lora_alpha: expected a finite number");
    l->rslora = json_is_true(json_get(json_root(l->config), "use_rslora"));
    return STATUS_OK;
}

/* --- pairs --- */

/* "base_model.model.X.lora_A.weight", perhaps with the adapter's name before ".weight" → X and which it is */
static const char peft_prefix[] = "base_model.model.";

static const char *plain_name(const char *name)
{
    return strncmp(name, peft_prefix, sizeof peft_prefix - 1) == 0 ? name + sizeof peft_prefix - 1 : name;
}

static bool parse_name(const char *name, const char **module, size_t *n_module, char *which)
{
    const char *at = strstr(name, ".lora_");
    if (!at || (at[6] != 'A' && at[6] != 'B') || at[7] != '.') return false;
    const char *end = strrchr(name, '.');
    if (strcmp(end, ".weight") != 0) return false;
    *module = plain_name(name);
    *which = at[6];
    if (*module > at) return false;
    *n_module = (size_t)(at - *module);
    return true;
}

static enum status add_tensor(struct lora *l, struct strmap *by_name, const struct ckpt_tensor *t, struct error *err)
{
    const char *name;
    size_t n, i;
    char which;
    if (!parse_name(t->t->name, &name, &n, &which)) {
        if (!strstr(t->t->name, ".lora_") && is_on(json_get(json_root(l->config), "modules_to_save"))) {
            l->wholes[l->n_wholes++] = (struct whole){.name = plain_name(t->t->name), .t = t};
            return STATUS_OK;
        }
        error_at(err, STATUS_UNSUPPORTED, t->container->file.path, t->t->name, "expected pairs of lora_A.weight and lora_B.weight, found something else");
        return error_hint(err, "adapters of embeddings and trained biases are not supported");
    }
    if (t->t->n_dims != 2 || !dtype_info(t->t->dtype)->is_float)
        return error_at(err, STATUS_UNSUPPORTED, t->container->file.path, t->t->name, "expected a matrix of floating-point numbers");
    if (!strmap_find_n(by_name, name, n, &i)) {
        i = l->n_modules++;
        l->modules[i].name = arena_strndup(&l->mem, name, n);
        if (!l->modules[i].name) return error_nomem(err, n);
        TRY(strmap_add(by_name, l->modules[i].name, i, NULL, err));
    }
    const struct ckpt_tensor **slot = which == 'A' ? &l->modules[i].a : &l->modules[i].b;
    if (*slot) return error_at(err, STATUS_MISMATCH, t->container->file.path, t->t->name, "a second lora_%c of the same module: several adapters in one file", which);
    *slot = t;
    return STATUS_OK;
}

static enum status check_pair(const struct module *m, struct error *err)
{
    const struct ckpt_tensor *one = m->a ? m->a : m->b;
    if (!m->a || !m->b) return error_at(err, STATUS_NOTFOUND, one->container->file.path, one->t->name, "its lora_%c is missing", m->a ? 'B' : 'A');
    if (m->a->t->shape[0] == m->b->t->shape[1] && m->a->t->shape[0] > 0) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, one->container->file.path, m->b->t->name, "expected %lld columns, the rank of its lora_A, found %lld",
                    (long long)m->a->t->shape[0], (long long)m->b->t->shape[1]);
}

static enum status find_pairs(struct lora *l, struct error *err)
{
    struct strmap by_name = {0};
    enum status st = STATUS_OK;
    l->modules = arena_array(&l->mem, l->ckpt->n_tensors + 1, sizeof *l->modules);
    l->wholes = arena_array(&l->mem, l->ckpt->n_tensors + 1, sizeof *l->wholes);
    if (!l->modules || !l->wholes) return error_nomem(err, l->ckpt->n_tensors * sizeof *l->modules);
    for (size_t i = 0; i < l->ckpt->n_tensors && st == STATUS_OK; i++) st = add_tensor(l, &by_name, &l->ckpt->tensors[i], err);
    for (size_t i = 0; i < l->n_modules && st == STATUS_OK; i++) st = check_pair(&l->modules[i], err);
    strmap_clear(&by_name);
    if (st == STATUS_OK && l->n_modules == 0) return error_at(err, STATUS_NOTFOUND, l->ckpt->path, NULL, "holds no pair of matrices");
    return st;
}

enum status lora_open(struct lora **out, const char *path, double scale, struct error *err)
{
    void *mem;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof **out, err));
    struct lora *l = mem;
    l->scale = scale;
    enum status st = ckpt_open(&l->ckpt, path, err);
    if (st == STATUS_OK) st = read_config(l, err);
    if (st == STATUS_OK) st = find_pairs(l, err);
    if (st == STATUS_OK)
        *out = l;
    else
        lora_close(l);
    return st;
}

void lora_close(struct lora *l)
{
    if (!l) return;
    ckpt_close(l->ckpt);
    json_free(l->config);
    strmap_clear(&l->by_target);
    arena_clear(&l->mem);
    free(l);
}

/* --- the base's weights --- */

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

static enum status bind_module(struct lora *l, struct module *module, const struct strmap *names, struct error *err)
{
    size_t i;
    int64_t out, in;
    char *name = arena_printf(&l->mem, "%s.weight", module->name);
    if (!name) return error_nomem(err, strlen(module->name));
    if (!strmap_find(names, name, &i))
        return error_at(err, STATUS_NOTFOUND, module->a->container->file.path, module->a->t->name, "the base model, family %s, has no weight '%.100s'",
                        l->base->arch->family, name);
    const struct weight *w = &l->base->weights[i];
    linear_shape(l->base, w, &out, &in);
    if (module->b->t->shape[0] != out || module->a->t->shape[1] != in)
        return error_at(err, STATUS_MISMATCH, module->a->container->file.path, module->a->t->name,
                        "expected matrices for %lld x %lld, as the base has it, found %lld x %lld", (long long)out, (long long)in,
                        (long long)module->b->t->shape[0], (long long)module->a->t->shape[1]);
    module->weight = w;
    rule_step(w->rule, &l->base->hp, w->layer, &module->step);
    if (module->step.transform == TRANSFORM_TRANSPOSE) module->step.transform = TRANSFORM_NONE; /* B's rows are outputs already */
    module->target = rule_name(&l->mem, w->rule->target, "", w->layer, 0);
    if (!module->target) return error_nomem(err, 64);
    return strmap_add(&l->by_target, module->target, (size_t)(module - l->modules), NULL, err);
}

static enum status bind_whole(struct lora *l, struct whole *whole, const struct strmap *names, struct error *err)
{
    size_t i;
    if (!strmap_find(names, whole->name, &i))
        return error_at(err, STATUS_NOTFOUND, whole->t->container->file.path, whole->t->t->name,
                        "the base model, family %s, has no tensor '%.100s' of its own%s", l->base->arch->family, whole->name,
                        l->base->hp.tied ? " (its output matrix is the embedding)" : "");
    whole->weight = &l->base->weights[i];
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

/* --- an adapter file --- */

static enum status add_matrix(struct lora *l, struct plan *p, const struct module *module, bool is_b, struct error *err)
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

/* --- merging --- */

static double pair_scale(const struct lora *l, const struct module *module)
{
    double rank = (double)module->a->t->shape[0];
    return l->scale * l->alpha / (l->rslora ? sqrt(rank) : rank);
}

static enum status attach(struct lora *l, struct plan *p, struct plan_tensor *t, const struct module *module, struct error *err)
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
static enum status replace(struct plan *p, struct plan_tensor *t, const struct whole *whole, struct error *err)
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
