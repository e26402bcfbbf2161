#include "core/lora_parts.h"

#include "base/json.h"
#include "base/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char config_name[] = "adapter_config.json";

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
    TRY(json_load(&l->config, path, LIMIT_ADAPTER_CONFIG, err));
    TRY(check_config(l, err));
    const struct jvalue *alpha = json_get(json_root(l->config), "lora_alpha");
    if (!alpha) return error_at(err, STATUS_NOTFOUND, path, NULL, "lora_alpha: expected a number, not found");
    TRY(json_double(l->config, alpha, &l->alpha, err));
    if (!isfinite(l->alpha)) return error_at(err, STATUS_RANGE, path, NULL, "lora_alpha: expected a finite number");
    l->rslora = json_is_true(json_get(json_root(l->config), "use_rslora"));
    return STATUS_OK;
}

/* --- pairs --- */

static const char peft_prefix[] = "base_model.model.";

static const char *plain_name(const char *name)
{
    return strncmp(name, peft_prefix, sizeof peft_prefix - 1) == 0 ? name + sizeof peft_prefix - 1 : name;
}

/* What a tensor of an adapter is by its name */
struct named {
    const char *module;
    size_t n_module;
    char which; /* A or B of a pair; W: whole, in place of the base's; 0: something else */
    bool embedding, below_pair;
};

/* "base_model.model.X.lora_A.weight" or "X.lora_embedding_A", perhaps with the adapter's name behind; "X.base_layer.weight", "X.weight". */
static struct named parse_name(const char *name)
{
    static const char below[] = ".base_layer";
    struct named p = {.module = plain_name(name)};
    const char *at = strstr(p.module, ".lora_"), *last = strrchr(p.module, '.'), *layer = strstr(p.module, below);
    if (at) {
        const char *letter = at + strlen(".lora_");
        p.embedding = strncmp(letter, "embedding_", strlen("embedding_")) == 0;
        if (p.embedding) letter += strlen("embedding_");
        bool ends = p.embedding ? letter[0] && (letter[1] == 0 || letter[1] == '.') : letter[0] && letter[1] == '.' && strcmp(last, ".weight") == 0;
        if (ends && (letter[0] == 'A' || letter[0] == 'B')) p.which = letter[0];
        p.n_module = (size_t)(at - p.module);
        return p;
    }
    p.which = 'W';
    p.below_pair = layer && strcmp(layer, ".base_layer.weight") == 0;
    p.n_module = strlen(p.module);
    if (p.below_pair) p.n_module = (size_t)(layer - p.module);
    return p;
}

static enum status add_whole(struct lora *l, const struct ckpt_tensor *t, const struct named *part, struct error *err)
{
    const char *name = part->below_pair ? arena_printf(&l->mem, "%.*s.weight", (int)part->n_module, part->module) : part->module;
    if (!name) return error_nomem(err, part->n_module);
    if (part->below_pair || is_on(json_get(json_root(l->config), "modules_to_save"))) {
        l->wholes[l->n_wholes++] = (struct lora_whole){.name = name, .t = t, .below_pair = part->below_pair};
        return STATUS_OK;
    }
    error_at(err, STATUS_UNSUPPORTED, t->container->file.path, t->t->name, "expected pairs of lora_A.weight and lora_B.weight, found something else");
    return error_hint(err, "trained biases are not supported, nor tensors that modules_to_save does not announce");
}

static enum status add_tensor(struct lora *l, struct strmap *by_name, const struct ckpt_tensor *t, struct error *err)
{
    struct named part = parse_name(t->t->name);
    size_t i;
    if (part.which == 'W') return add_whole(l, t, &part, err);
    if (!part.which)
        return error_at(err, STATUS_UNSUPPORTED, t->container->file.path, t->t->name, "expected pairs of lora_A.weight and lora_B.weight, found something else");
    if (t->t->n_dims != 2 || !dtype_info(t->t->dtype)->is_float)
        return error_at(err, STATUS_UNSUPPORTED, t->container->file.path, t->t->name, "expected a matrix of floating-point numbers");
    if (!strmap_find_n(by_name, part.module, part.n_module, &i)) {
        i = l->n_modules++;
        l->modules[i].name = arena_strndup(&l->mem, part.module, part.n_module);
        if (!l->modules[i].name) return error_nomem(err, part.n_module);
        l->modules[i].embedding = part.embedding;
        TRY(strmap_add(by_name, l->modules[i].name, i, NULL, err));
    }
    const struct ckpt_tensor **slot = part.which == 'A' ? &l->modules[i].a : &l->modules[i].b;
    if (*slot || l->modules[i].embedding != part.embedding)
        return error_at(err, STATUS_MISMATCH, t->container->file.path, t->t->name, "a second lora_%c of the same module: several adapters in one file", part.which);
    *slot = t;
    return STATUS_OK;
}

static enum status check_pair(const struct lora_module *m, struct error *err)
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
