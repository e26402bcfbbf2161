#include "models/glm_line.h"

#include <string.h>

/* --- config.json against the tensors --- */

void glm_dim(const struct config_reader *r, const char *pattern, int dim, int64_t divide, int64_t *n)
{
    const struct tensor *t = config_tensor(r, pattern, 0);
    if (*n == 0 && t && dim < t->n_dims && divide > 0 && t->shape[dim] % divide == 0) *n = t->shape[dim] / divide;
}

void glm_count_layers(const struct config_reader *r, const char *pattern, int64_t *n)
{
    if (*n != 0) return;
    while (config_tensor(r, pattern, *n)) ++*n;
}

bool glm_has(const struct config_reader *r, const char *pattern)
{
    return config_tensor(r, pattern, 0) != NULL;
}

/* Keys that only one family's config.json has. */
static const struct {
    const char *family, *words;
    const char *keys[3];
} own_keys[] = {
    {"glm2021", "GLM (2021)", {"block_position_encoding", "relative_encoding"}},
    {"chatglm1", "ChatGLM-6B", {"inner_hidden_size", "position_encoding_2d"}},
    {"chatglm2", "ChatGLM2, 3 or GLM-4", {"ffn_hidden_size", "padded_vocab_size", "kv_channels"}},
    {"glm", "GLM of transformers", {"num_key_value_heads", "max_position_embeddings", "rms_norm_eps"}},
};
enum { N_OWN_KEYS = sizeof own_keys / sizeof *own_keys };

static size_t count_keys(const struct config_reader *r, int family)
{
    size_t n = 0;
    for (int k = 0; k < 3; k++) {
        const char *key = own_keys[family].keys[k];
        if (key && json_get(json_root(r->doc), key)) n++;
    }
    return n;
}

/* chatglm2x has chatglm2's config, glm4 and glm4_moe have glm's */
static int own_family(const char *family)
{
    int best = -1;
    for (int i = 0; i < N_OWN_KEYS; i++)
        if (strncmp(family, own_keys[i].family, strlen(own_keys[i].family)) == 0 &&
            (best < 0 || strlen(own_keys[i].family) > strlen(own_keys[best].family)))
            best = i;
    return best;
}

/* The family whose keys the config has, if it has none of its own family's; NULL: its own, or no telling */
static const char *configured(const struct config_reader *r)
{
    int own = own_family(r->arch->family), best = -1;
    size_t n_best = 0;
    if (own >= 0 && count_keys(r, own) > 0) return NULL;
    for (int i = 0; i < N_OWN_KEYS; i++) {
        size_t n = count_keys(r, i);
        if (n > n_best) best = i, n_best = n;
    }
    return best < 0 ? NULL : own_keys[best].words;
}

void glm_check_config(struct config_reader *r)
{
    const char *other = configured(r);
    int own = own_family(r->arch->family);
    if (other && own >= 0)
        warnings_add(r->warn, "config-of-another-family",
                     "the tensors are those of %s (%s), config.json has the keys of %s: the tensors decide",
                     own_keys[own].words, r->arch->family, other);
}

enum status glm_need(const struct config_reader *r, const char *key, int64_t n, struct error *err)
{
    const char *other = configured(r);
    int own = own_family(r->arch->family);
    if (n > 0) return STATUS_OK;
    return config_error(r, err, STATUS_NOTFOUND, key,
                        "expected in the config, not found: the tensors are those of %s (%s)%s%s, and no shape gives it",
                        own >= 0 ? own_keys[own].words : "GLM", r->arch->family, other ? ", the config is one of " : "",
                        other ? other : "");
}

enum status glm_bool(struct config_reader *r, const char *key, bool *out, struct error *err)
{
    const struct jvalue *v = config_take(r, key);
    char text[80];
    if (!v) return STATUS_OK;
    if (!json_is(v, JTYPE_BOOL))
        return config_error(r, err, STATUS_FORMAT, key, "expected true or false, found %s", config_show(v, text));
    *out = json_is_true(v);
    return STATUS_OK;
}

enum status glm_storage(struct config_reader *r, struct error *err)
{
    const struct jvalue *bits = config_take(r, "quantization_bit"), *prefix = config_take(r, "pre_seq_len");
    int64_t n = 0;
    char text[80];
    if (bits) TRY(json_int(r->doc, bits, &n, err));
    if (n != 0 && n != 4 && n != 8)
        return config_error(r, err, STATUS_UNSUPPORTED, "quantization_bit", "expected 0, 4 or 8, found %lld",
                            (long long)n);
    if (prefix || config_tensor(r, "{p}prefix_encoder.embedding.weight", 0))
        return config_error(r, err, STATUS_UNSUPPORTED, "pre_seq_len",
                            "expected null, found %s: P-tuning adds keys and values in front of the text, which GGUF has "
                            "no place for",
                            prefix ? config_show(prefix, text) : "a prefix_encoder among the tensors");
    return STATUS_OK;
}

void glm_remark_width(const struct hparams *hp, struct warnings *warn)
{
    if (hp->n_head * hp->head_dim != hp->n_embd)
        warnings_add(warn, "runtime-refuses-shape",
                     "%lld heads of %lld elements do not make up the width %lld: llama.cpp refuses the file",
                     (long long)hp->n_head, (long long)hp->head_dim, (long long)hp->n_embd);
}

/* --- positions --- */

static bool is_special(const struct hparams *hp, int64_t id)
{
    return id == hp->sop_id || id == hp->mask_id || id == hp->gmask_id || id == hp->smask_id;
}

void glm_frame(const struct hparams *hp, int32_t *ids, int64_t n)
{
    int64_t blank = hp->gmask_id >= 0 ? hp->gmask_id : hp->mask_id;
    for (int64_t t = 0; t < n && hp->n_vocab > 8; t++)
        while (is_special(hp, ids[t])) ids[t] = (int32_t)((ids[t] + 1) % hp->n_vocab);
    if (n < 4 || blank < 0 || hp->sop_id < 0 || blank >= hp->n_vocab || hp->sop_id >= hp->n_vocab) return;
    ids[n / 2 - 1] = (int32_t)blank;
    ids[n / 2] = (int32_t)hp->sop_id;
}

/* --- the forward pass --- */

static enum status half(struct forward *f, enum role norm, const char *norm_tap, const char *tap, int64_t layer,
                        enum status (*branch)(struct forward *, struct act *, const struct act *, int64_t,
                                              struct error *),
                        struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    struct act out;
    TRY(op_scratch(f, 0, hp->n_embd, &out, err));
    TRY(block_norm(f, &f->x, &f->x, norm, layer, err));
    TRY(op_tap(f, norm_tap, layer, &f->x, err));
    TRY(branch(f, &out, &f->x, layer, err));
    if (hp->alpha != 0) TRY(op_scale(f, &f->x, hp->alpha, err));
    TRY(op_add(f, &f->x, &out, err));
    return op_tap(f, tap, layer, &f->x, err);
}

enum status glm_normed_residual_block(struct forward *f, int64_t layer, struct error *err)
{
    TRY(half(f, ROLE_ATTN_NORM, "attn_norm", "attn_residual", layer, block_attention, err));
    return half(f, ROLE_FFN_NORM, "ffn_norm", "residual", layer, block_mlp, err);
}
