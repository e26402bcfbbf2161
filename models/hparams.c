#include "models/hparams.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static int64_t letter_value(const struct hparams *hp, char c)
{
    switch (c) {
    case 'V':
        return hp->n_vocab;
    case 'P':
        return hp->n_ctx;
    case 'L':
        return hp->n_layer;
    case 'E':
        return hp->n_embd;
    case 'F':
        return hp->n_ff;
    case 'H':
        return hp->n_head;
    case 'K':
        return hp->n_head_kv;
    case 'D':
        return hp->head_dim;
    case 'R':
        return hp->rope.dim;
    case 'X':
        return hp->n_expert;
    case 'M':
        return hp->n_ff_expert;
    case 'S':
        return hp->n_ff_shared;
    case 'T':
        return hp->n_ctx + (hp->block_positions ? 1 : 0);
    default:
        return -1;
    }
}

/* A letter or a decimal number at *s, which moves past it. -1 for anything else. */
static int64_t eval_factor(const struct hparams *hp, const char **s)
{
    const char *p = *s;
    if (!isdigit((unsigned char)*p)) {
        *s = *p ? p + 1 : p;
        return letter_value(hp, *p);
    }
    int64_t v = 0;
    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v)) return -1;
    *s = p;
    return v;
}

static int64_t eval_product(const struct hparams *hp, const char **s)
{
    int64_t v = eval_factor(hp, s);
    while (v >= 0 && (**s == '*' || **s == '/')) {
        char op = *(*s)++;
        int64_t w = eval_factor(hp, s);
        if (w < 0) return -1;
        if (op == '*') {
            if (__builtin_mul_overflow(v, w, &v)) return -1;
        } else {
            if (w == 0 || v % w != 0) return -1;
            v /= w;
        }
    }
    return v;
}

int64_t hparams_eval(const struct hparams *hp, const char *expr)
{
    const char *s = expr;
    int64_t v = eval_product(hp, &s);
    while (v >= 0 && *s == '+') {
        s++;
        int64_t w = eval_product(hp, &s);
        if (w < 0 || __builtin_add_overflow(v, w, &v)) return -1;
    }
    return *s ? -1 : v;
}

enum status hparams_split_width(struct hparams *hp, struct error *err)
{
    if (hp->n_embd % hp->n_head != 0)
        return error_set(err, STATUS_MISMATCH, "width %lld is no multiple of the number of heads %lld",
                         (long long)hp->n_embd, (long long)hp->n_head);
    hp->head_dim = hp->n_embd / hp->n_head;
    if (hp->n_head_kv == 0) hp->n_head_kv = hp->n_head;
    if (hp->n_head % hp->n_head_kv != 0)
        return error_set(err, STATUS_MISMATCH,
                         "number of heads %lld is no multiple of the number of key/value heads %lld",
                         (long long)hp->n_head, (long long)hp->n_head_kv);
    return STATUS_OK;
}

enum status hparams_part_rotated(struct hparams *hp, struct error *err)
{
    if (hp->rope.dim == 0)
        hp->rope.dim = hp->rope_part > 0 ? (int64_t)((double)hp->head_dim * hp->rope_part) : hp->head_dim;
    return hparams_rotated_fits(hp, err);
}

enum status hparams_rotated_fits(const struct hparams *hp, struct error *err)
{
    int64_t most = hp->position_2d ? hp->head_dim / 2 : hp->head_dim; /* one part for each kind of position */
    if (hp->rope.dim <= most) return STATUS_OK;
    return error_set(err, STATUS_RANGE, "RoPE: expected at most %s%lld dimensions of a head, found %lld", hp->position_2d ? "half of the " : "the ",
                     (long long)hp->head_dim, (long long)hp->rope.dim);
}

double hparams_attn_scale(const struct hparams *hp, int64_t layer)
{
    double scale = hp->attn_scale > 0 ? hp->attn_scale : 1 / sqrt((double)hp->head_dim);
    return hp->attn_scale_by_layer ? scale / (double)(layer + 1) : scale;
}

double hparams_scale_ratio(const struct hparams *hp, int64_t layer)
{
    double ratio = hp->attn_scale > 0 ? hp->attn_scale * sqrt((double)hp->head_dim) : 1;
    return hp->attn_scale_by_layer ? ratio / (double)(layer + 1) : ratio;
}

int64_t hparams_window(const struct hparams *hp, int64_t layer)
{
    return !hp->local || hp->local[layer] ? hp->window : 0;
}

static const struct {
    const char *name;
    enum activation kind;
} activation_names[] = {
    /* the first name of a kind is the one that is written */
    {"silu", ACTIVATION_SILU},
    {"swish", ACTIVATION_SILU},
    {"gelu_new", ACTIVATION_GELU_TANH},
    {"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
    {"gelu_fast", ACTIVATION_GELU_TANH},
    {"gelu", ACTIVATION_GELU_ERF},
    {"gelu_python", ACTIVATION_GELU_ERF},
    {"quick_gelu", ACTIVATION_GELU_QUICK},
    {"relu", ACTIVATION_RELU},
};
enum { N_ACTIVATION_NAMES = sizeof activation_names / sizeof *activation_names };

const char *activation_name(enum activation a)
{
    for (int i = 0; i < N_ACTIVATION_NAMES; i++)
        if (activation_names[i].kind == a) return activation_names[i].name;
    return "?";
}

enum activation activation_from_name(const char *name)
{
    for (int i = 0; i < N_ACTIVATION_NAMES; i++)
        if (strcmp(activation_names[i].name, name) == 0) return activation_names[i].kind;
    return ACTIVATION_COUNT;
}
