#include "models/bind_parts.h"

#include <stdio.h>
#include <string.h>

struct shape shape_parse(const char *text, const struct hparams *hp)
{
    struct shape s = {0};
    while (*text && s.n_dims < TENSOR_DIMS_MAX) {
        char expr[32];
        size_t n = strcspn(text, ",");
        snprintf(expr, sizeof expr, "%.*s", (int)n, text);
        /* an expression that overflows gives -2, which no dimension equals */
        int64_t v = strcmp(expr, "?") == 0 ? -1 : hparams_eval(hp, expr);
        s.dims[s.n_dims++] = v == -1 && expr[0] != '?' ? -2 : v;
        text += n + (text[n] == ',');
    }
    return s;
}

struct shape shape_expected(const struct tensor_rule *rule, const struct model *m, const struct hparams *hp)
{
    struct shape s = shape_parse(rule->shape, hp);
    if (m->is_gguf && rule->transform == TRANSFORM_TRANSPOSE && s.n_dims == 2) {
        int64_t first = s.dims[0];
        s.dims[0] = s.dims[1];
        s.dims[1] = first;
    }
    return s;
}

struct shape shape_found(const struct tensor *t)
{
    struct shape s = {.n_dims = t->n_dims};
    memcpy(s.dims, t->shape, sizeof s.dims);
    return s;
}

/* GGUF does not keep leading dimensions of 1. */
static struct shape shape_strip(struct shape s)
{
    while (s.n_dims > 1 && s.dims[0] == 1) {
        s.n_dims--;
        memmove(s.dims, s.dims + 1, (size_t)s.n_dims * sizeof *s.dims);
    }
    return s;
}

bool shape_fits(struct shape expected, struct shape found, bool is_gguf)
{
    if (is_gguf) {
        expected = shape_strip(expected);
        found = shape_strip(found);
    }
    if (expected.n_dims != found.n_dims) return false;
    for (int i = 0; i < expected.n_dims; i++)
        if (expected.dims[i] != -1 && expected.dims[i] != found.dims[i]) return false;
    return true;
}

const char *shape_show(struct shape s, char dst[192])
{
    size_t n = 0;
    dst[0] = 0;
    if (s.n_dims == 0) snprintf(dst, 192, "a scalar");
    for (int i = 0; i < s.n_dims; i++) {
        const char *between = i ? " x " : "";
        if (s.dims[i] == -2)
            n += (size_t)snprintf(dst + n, 192 - n, "%s(beyond 64 bits)", between);
        else
            n += (size_t)snprintf(dst + n, 192 - n, "%s%lld", between, (long long)s.dims[i]);
    }
    return dst;
}

/* Which one number of the config, changed, would give the shape that was found? The letters in this order: what is most often wrong
 * and least entangled first. */
static void hint_shape(const struct model *m, const struct tensor_rule *rule, const struct tensor *t,
                       struct error *err)
{
    static const struct {
        char letter;
        size_t off;
    } letters[] = {{'V', offsetof(struct hparams, n_vocab)}, {'P', offsetof(struct hparams, n_ctx)},
                   {'F', offsetof(struct hparams, n_ff)},    {'K', offsetof(struct hparams, n_head_kv)},
                   {'H', offsetof(struct hparams, n_head)},  {'D', offsetof(struct hparams, head_dim)},
                   {'E', offsetof(struct hparams, n_embd)}};
    struct shape expected = shape_expected(rule, m, &m->hp), found = shape_found(t);
    if (expected.n_dims != found.n_dims) return;
    for (size_t l = 0; l < sizeof letters / sizeof *letters; l++) {
        int64_t old = *(const int64_t *)(const void *)((const char *)&m->hp + letters[l].off);
        if (!strchr(rule->shape, letters[l].letter)) continue;
        for (int i = 0; i < found.n_dims; i++) {
            int64_t product;
            if (expected.dims[i] < 1 || expected.dims[i] == found.dims[i]) continue;
            if (__builtin_mul_overflow(found.dims[i], old, &product) || product % expected.dims[i] != 0)
                continue;
            struct hparams hp = m->hp;
            *(int64_t *)(void *)((char *)&hp + letters[l].off) = product / expected.dims[i];
            if (!shape_fits(shape_expected(rule, m, &hp), found, m->is_gguf)) continue;
            for (const struct config_key *k = m->arch->keys; k->hf || k->gguf; k++) {
                const char *key = m->is_gguf ? k->gguf : k->hf;
                if ((k->type != CONFIG_INT && k->type != CONFIG_INT_OR_NULL) || k->off != letters[l].off || !key) continue;
                error_hint(err, "%s%s%.*s is %lld in the config, but %lld fits the tensor",
                           m->is_gguf ? m->arch->gguf_arch : "", m->is_gguf ? "." : "",
                           (int)strcspn(key, "|"), key, (long long)old,
                           (long long)(product / expected.dims[i]));
                return;
            }
        }
    }
}

enum status bind_check_shape(const struct model *m, const struct tensor_rule *rule, const struct ckpt_tensor *t,
                             struct error *err)
{
    struct shape expected = shape_expected(rule, m, &m->hp), found = shape_found(t->t);
    if (shape_fits(expected, found, m->is_gguf)) return STATUS_OK;
    char a[192], b[192];
    error_at(err, STATUS_MISMATCH, t->container->file.path, t->t->name, "expected %s from config, found %s",
             shape_show(expected, a), shape_show(found, b));
    hint_shape(m, rule, t->t, err);
    return STATUS_MISMATCH;
}
