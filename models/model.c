#include "models/model.h"

#include "models/bind.h"
#include "models/meta_params.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 16 << 20 };

/* --- which family --- */

static enum status detect_gguf(const struct container *c, const struct arch **arch, const char **why)
{
    const char *name = kv_get_string(container_kv(c, "general.architecture"));
    const char *family = kv_get_string(container_kv(c, "lathe.family"));
    *arch = NULL;
    if (!name) return STATUS_OK;
    *why = family ? "lathe.family" : "general.architecture";
    *arch = family ? arch_by_family(family) : arch_by_gguf(name);
    if (*arch && strcmp((*arch)->gguf_arch, name) != 0) *arch = NULL;
    return STATUS_OK;
}

/* Of the families whose tensors are there, the one that asks for most: cousins share names and differ in what they add. */
static const struct arch *detect_by_tensors(const struct checkpoint *ckpt)
{
    const struct arch *best = NULL;
    size_t n_best = 0;
    for (const struct arch *const *a = arch_list; *a; a++) {
        size_t n = 0;
        if (!bind_looks_like(ckpt, *a)) continue;
        while ((*a)->detect_tensors[n]) n++;
        if (n > n_best) best = *a, n_best = n;
    }
    return best;
}

static const char *config_architecture(const struct json *config)
{
    return config ? json_string(json_first(json_get(json_root(config), "architectures"))) : NULL;
}

/* One family may come in several layouts: the one whose tensors are there. */
static const struct arch *choose_layout(const struct checkpoint *ckpt, const struct arch *arch)
{
    const char *wrapper;
    if (!arch || bind_prefix(ckpt, arch, &wrapper)) return arch;
    for (const struct arch *const *a = arch_list; *a; a++)
        if (strcmp((*a)->family, arch->family) == 0 && bind_prefix(ckpt, *a, &wrapper)) return *a;
    return arch;
}

static bool config_names_nothing(const struct json *config)
{
    const struct jvalue *type = config ? json_get(json_root(config), "model_type") : NULL;
    return !config_architecture(config) && (!type || json_is(type, JTYPE_NULL));
}

static bool same_line(const struct arch *a, const struct arch *b)
{
    return a->line && b->line && strcmp(a->line, b->line) == 0;
}

static size_t count_names(const char *const *list)
{
    size_t n = 0;
    while (list[n]) n++;
    return n;
}

/* In a line of families that share model types the tensors decide: of the members whose tensors are there, the one that asks for most. */
static void settle_line(const struct checkpoint *ckpt, const struct arch **arch, const char **why)
{
    const struct arch *best = NULL;
    const char *wrapper;
    if (!*arch || !(*arch)->line) return;
    for (const struct arch *const *a = arch_list; *a; a++)
        if (same_line(*a, *arch) && bind_prefix(ckpt, *a, &wrapper) &&
            (!best || count_names((*a)->detect_tensors) > count_names(best->detect_tensors)))
            best = *a;
    if (!best) return;
    *arch = best;
    *why = best->told_by;
}

/* A model type decides: an architecture that belongs to another family than the model type is no known family. Tensor names are asked
 * only when the config names nothing: families that differ in their defaults share names. */
static void detect_hf(const struct checkpoint *ckpt, const struct json *config, const struct arch **arch,
                      const char **why)
{
    const char *architecture = config_architecture(config);
    const struct jvalue *type = config ? json_get(json_root(config), "model_type") : NULL;
    const struct arch *by_name = architecture ? arch_by_architecture(architecture) : NULL;
    if (type && !json_is(type, JTYPE_NULL)) {
        *why = "config.json: model_type";
        *arch = json_string(type) ? arch_by_model_type(json_string(type)) : NULL;
        if (by_name && *arch && by_name != *arch && !same_line(by_name, *arch)) *arch = NULL;
    } else if (architecture) {
        *why = "config.json: architectures";
        *arch = by_name;
    } else {
        *why = "names of tensors";
        *arch = detect_by_tensors(ckpt);
    }
    *arch = choose_layout(ckpt, *arch);
    settle_line(ckpt, arch, why);
}

enum status model_detect(const struct checkpoint *ckpt, const struct json *config, const struct arch **arch,
                         const char **why, struct error *err)
{
    (void)err;
    *arch = NULL;
    *why = "nothing";
    const struct container *gguf = ckpt_gguf(ckpt);
    if (gguf) return detect_gguf(gguf, arch, why);
    detect_hf(ckpt, config, arch, why);
    return STATUS_OK;
}

static enum status error_unknown_gguf(const struct model *m, const struct container *c, struct error *err)
{
    const char *name = kv_get_string(container_kv(c, "general.architecture"));
    const char *family = kv_get_string(container_kv(c, "lathe.family"));
    if (!name)
        return error_at(err, STATUS_NOTFOUND, m->ckpt->path, NULL,
                        "general.architecture: expected in the metadata, not found");
    if (family)
        return error_at(err, STATUS_UNSUPPORTED, m->ckpt->path, NULL,
                        "unknown family '%s' of architecture '%s' (lathe.family)", family, name);
    for (const struct arch *const *a = arch_list; *a; a++)
        if ((*a)->borrowed_arch && strcmp((*a)->gguf_arch, name) == 0)
            return error_at(err, STATUS_UNSUPPORTED, m->ckpt->path, NULL,
                            "architecture '%s' is known only with lathe.family '%s'", name, (*a)->family);
    return error_at(err, STATUS_UNSUPPORTED, m->ckpt->path, NULL,
                    "unknown architecture '%s' (general.architecture)", name);
}

static enum status error_unknown_hf(const struct model *m, struct error *err)
{
    const char *path = json_path(m->config);
    const struct jvalue *v = json_get(json_root(m->config), "model_type");
    const char *type = json_string(v), *architecture = config_architecture(m->config);
    char text[80];
    if (v && !type && !json_is(v, JTYPE_NULL))
        return error_at(err, STATUS_FORMAT, path, NULL, "model_type: expected a string, found %s",
                        config_show(v, text));
    if (type && !arch_by_model_type(type))
        return error_at(err, STATUS_UNSUPPORTED, path, NULL, "unknown model type '%s'%s%s%s", type,
                        architecture ? " (architecture '" : "", architecture ? architecture : "",
                        architecture ? "')" : "");
    if (type)
        return error_at(err, STATUS_MISMATCH, path, NULL,
                        "model type '%s' and architecture '%s' are of different families", type,
                        architecture);
    if (architecture)
        return error_at(err, STATUS_UNSUPPORTED, path, NULL, "unknown architecture '%s'", architecture);
    return error_at(
        err, STATUS_UNSUPPORTED, path, NULL,
        "no model_type, no architectures, and the names of the tensors are those of no known family");
}

/* --- opening --- */

/* A Meta folder is described by params.json, whatever else lies beside it. */
static enum status config_file(const struct checkpoint *ckpt, struct arena *mem, const char **path,
                               struct error *err)
{
    static const char *const names[] = {"params.json", "config.json", "params.json"};
    bool is_meta = strcmp(ckpt->format, "meta") == 0;
    for (int i = is_meta ? 0 : 1; i < 3; i++) {
        *path = path_join(mem, ckpt->dir, names[i]);
        if (!*path) return error_nomem(err, strlen(ckpt->dir) + 16);
        if (file_exists(*path)) return STATUS_OK;
    }
    error_at(err, STATUS_NOTFOUND, ckpt->path, NULL, "expected a %s beside the weights, not found",
             is_meta ? "params.json" : "config.json");
    return error_hint(err, "--config FILE names one that is elsewhere");
}

enum status model_load_config(struct json **out, const char **path, bool *from_params,
                              const struct checkpoint *ckpt, const char *config_path, struct arena *mem,
                              struct warnings *warn, struct error *err)
{
    *out = NULL;
    *from_params = false;
    if (config_path)
        *path = config_path;
    else
        TRY(config_file(ckpt, mem, path, err));
    TRY(json_load(out, *path, CONFIG_BYTES_MAX, err));
    enum status st = STATUS_OK;
    if (!json_is(json_root(*out), JTYPE_OBJECT)) {
        st = error_at(err, STATUS_FORMAT, *path, NULL, "expected an object of configuration keys");
    } else if (meta_is_params(*out)) {
        struct json *params = *out;
        *from_params = true;
        st = meta_config(out, params, ckpt, warn, err);
        json_free(params);
    }
    if (st == STATUS_OK) return STATUS_OK;
    json_free(*out);
    *out = NULL;
    return st;
}

/* Last part of a path or repository name, without trailing slashes; NULL for "", "." and "..". */
static const char *last_part(struct arena *a, const char *path)
{
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/') n--;
    size_t start = n;
    while (start > 0 && path[start - 1] != '/') start--;
    char *s = arena_strndup(a, path + start, n - start);
    return !s || !*s || strcmp(s, ".") == 0 || strcmp(s, "..") == 0 ? NULL : s;
}

static const char *folder_name(struct arena *a, const char *dir)
{
    const char *name = last_part(a, dir);
    if (name) return name;
    char *whole = realpath(dir, NULL);
    if (whole) name = last_part(a, whole);
    free(whole);
    return name;
}

static void set_name(struct model *m, const struct container *gguf)
{
    if (gguf) {
        m->name = kv_get_string(container_kv(gguf, "general.name"));
        return;
    }
    const char *s = json_string(json_get(json_root(m->config), "_name_or_path"));
    if (s) m->name = last_part(&m->mem, s);
    if (!m->name) m->name = folder_name(&m->mem, m->ckpt->dir);
}

/* A GGUF need not say how many tokens there are, and where it does the list of tokens may have been padded since. */
static void take_vocab_from_embedding(struct model *m, struct warnings *warn)
{
    const struct ckpt_tensor *t = ckpt_find(m->ckpt, "token_embd.weight");
    if (!t || t->t->n_dims != 2 || t->t->shape[0] < 1) return; /* binding names what is wrong */
    if (m->hp.n_vocab != 0 && m->hp.n_vocab != t->t->shape[0])
        warnings_add(warn, "vocab-size-differs",
                     "%s.vocab_size is %lld, token_embd.weight has %lld rows, which count",
                     m->arch->gguf_arch, (long long)m->hp.n_vocab, (long long)t->t->shape[0]);
    m->hp.n_vocab = t->t->shape[0];
}

static enum status bind_gguf(struct model *m, const struct container *c, enum tie *tie, struct warnings *warn,
                             struct error *err)
{
    m->is_gguf = true;
    TRY(detect_gguf(c, &m->arch, &m->detected_by));
    if (!m->arch) return error_unknown_gguf(m, c, err);
    m->dialect = &m->arch->gguf;
    TRY(config_read_gguf(m->arch, c, &m->hp, tie, &m->mem, warn, err));
    take_vocab_from_embedding(m, warn);
    return STATUS_OK;
}

static enum status bind_hf(struct model *m, const struct model_options *opt, enum tie *tie,
                           struct warnings *warn, struct error *err)
{
    TRY(model_load_config(&m->config, &m->config_path, &m->from_params, m->ckpt, opt ? opt->config_path : NULL,
                          &m->mem, warn, err));
    detect_hf(m->ckpt, m->config, &m->arch, &m->detected_by);
    if (m->from_params) m->detected_by = "params.json";
    TRY(quant_read(&m->quant, m->config, err));
    if (!m->arch) return error_unknown_hf(m, err);
    if (config_names_nothing(m->config))
        warnings_note(warn, "family-from-tensors", "config.json names no family: %s, from the %s",
                      m->arch->family, m->detected_by);
    TRY(config_read_hf(m->arch, m->config, m->ckpt, &m->hp, tie, &m->mem, warn, err));
    if (m->arch->variant) m->arch = m->arch->variant(&m->hp);
    m->dialect = &m->arch->source;
    return STATUS_OK;
}

static enum status bind_all(struct model *m, const struct model_options *opt, struct warnings *warn,
                            struct error *err)
{
    const struct container *gguf = ckpt_gguf(m->ckpt);
    enum tie tie;
    if (gguf && opt && opt->config_path)
        return error_at(err, STATUS_USAGE, m->ckpt->path, NULL,
                        "a GGUF carries its own configuration: --config has no place");
    TRY(gguf ? bind_gguf(m, gguf, &tie, warn, err) : bind_hf(m, opt, &tie, warn, err));
    set_name(m, gguf);
    TRY(bind_tensors(m, warn, err));
    TRY(bind_output(m, tie, opt && opt->headers_only, warn, err));
    TRY(bind_rope(m, warn, err));
    return warnings_check(warn, err);
}

enum status model_bind(struct model **out, struct checkpoint *ckpt, const struct model_options *opt,
                       struct warnings *warn, struct error *err)
{
    *out = NULL;
    void *p;
    enum status st = mem_alloc(&p, 1, sizeof(struct model), err);
    if (st != STATUS_OK) {
        ckpt_close(ckpt);
        return st;
    }
    struct model *m = p;
    m->ckpt = ckpt;
    st = bind_all(m, opt, warn, err);
    if (st != STATUS_OK)
        model_close(m);
    else
        *out = m;
    return st;
}

enum status model_open(struct model **out, const char *path, const struct model_options *opt,
                       struct warnings *warn, struct error *err)
{
    *out = NULL;
    struct checkpoint *ckpt;
    TRY(ckpt_open(&ckpt, path, err));
    return model_bind(out, ckpt, opt, warn, err);
}

uint64_t model_layer_bytes(const struct model *m, int64_t layer)
{
    uint64_t n = 0;
    for (size_t i = 0; m && i < m->n_weights; i++)
        if (m->weights[i].layer == layer)
            n += m->weights[i].t->t->size_bytes * (m->weights[i].n_experts ? m->weights[i].n_experts : 1);
    return n;
}

int64_t model_learned_positions(const struct model *m)
{
    return m && model_weight(m, ROLE_POSITION_EMBD, -1, PART_WEIGHT) ? m->hp.n_ctx : INT64_MAX;
}

int64_t model_usable_positions(const struct model *a, const struct model *b, int64_t n)
{
    int64_t of_a = model_learned_positions(a), of_b = model_learned_positions(b), fewer = of_a < of_b ? of_a : of_b;
    return fewer < n ? fewer : n;
}

void model_close(struct model *m)
{
    if (!m) return;
    ckpt_close(m->ckpt);
    json_free(m->config);
    arena_clear(&m->mem);
    free(m);
}
