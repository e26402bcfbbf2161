/* Facts: llama.cpp's src/llama-quant.cpp as vendored by llama-cpp-python 0.3.36. */
#include "core/recipe.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- which tensors are left alone --- */

enum match { MATCH_EXACT, MATCH_WITHIN };
static const struct exception {
    enum match match;
    const char *text, *why;
} exceptions[] = {
    {MATCH_WITHIN, "_norm.weight", "norm"},
    {MATCH_WITHIN, "ffn_gate_inp.weight", "expert router"},
    {MATCH_WITHIN, "ffn_gate_tid2eid.weight", "expert router"},
    {MATCH_WITHIN, "altup", "small"},
    {MATCH_WITHIN, "laurel", "small"},
    {MATCH_WITHIN, "per_layer_model_proj", "small"},
    {MATCH_EXACT, "position_embd.weight", "position table"},
    {MATCH_EXACT, "token_types.weight", "token types"},
    {MATCH_WITHIN, "ssm_conv1d", "convolution"},
    {MATCH_WITHIN, "shortconv.conv.weight", "convolution"},
    {MATCH_WITHIN, "indexer.k_proj.weight", "small"},
    {MATCH_WITHIN, "indexer.q_proj.weight", "small"},
    {MATCH_WITHIN, "time_mix_first.weight", "small"},
    {MATCH_WITHIN, "time_mix_w0.weight", "small"},
    {MATCH_WITHIN, "time_mix_w1.weight", "small"},
    {MATCH_WITHIN, "time_mix_w2.weight", "small"},
    {MATCH_WITHIN, "time_mix_v0.weight", "small"},
    {MATCH_WITHIN, "time_mix_v1.weight", "small"},
    {MATCH_WITHIN, "time_mix_v2.weight", "small"},
    {MATCH_WITHIN, "time_mix_a0.weight", "small"},
    {MATCH_WITHIN, "time_mix_a1.weight", "small"},
    {MATCH_WITHIN, "time_mix_a2.weight", "small"},
    {MATCH_WITHIN, "time_mix_g1.weight", "small"},
    {MATCH_WITHIN, "time_mix_g2.weight", "small"},
    {MATCH_WITHIN, "time_mix_decay_w1.weight", "small"},
    {MATCH_WITHIN, "time_mix_decay_w2.weight", "small"},
    {MATCH_WITHIN, "time_mix_lerp_fused.weight", "small"},
    {MATCH_WITHIN, "attn_rel_b.weight", "relative positions"},
    {MATCH_WITHIN, ".position_embd", "position table"},
    {MATCH_WITHIN, "sam.pos_embd", "position table"},
    {MATCH_WITHIN, "sam.neck.", "picture encoder"},
    {MATCH_WITHIN, "sam.net_", "picture encoder"},
    {MATCH_WITHIN, ".rel_pos", "relative positions"},
    {MATCH_WITHIN, ".patch_embd", "picture encoder"},
    {MATCH_WITHIN, ".patch_merger", "picture encoder"},
    {MATCH_WITHIN, "a.rvq.codebook", "audio codebook"},
    {MATCH_WITHIN, "mm.a.code_embd", "audio codebook"},
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && memcmp(s + n - m, end, m) == 0;
}

bool recipe_covers(const char *name, int n_dims, const int64_t *shape, const char **why_not)
{
    /* ggml counts dimensions without the outermost ones of size 1 */
    while (n_dims > 1 && shape[0] == 1) {
        shape++;
        n_dims--;
    }
    *why_not = "vector";
    if (n_dims < 2) return false;
    *why_not = "no weight matrix";
    if (!ends_with(name, "weight")) return false;
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++) {
        const struct exception *e = &exceptions[i];
        *why_not = e->why;
        if (e->match == MATCH_EXACT ? strcmp(name, e->text) == 0 : strstr(name, e->text) != NULL)
            return false;
    }
    *why_not = NULL;
    return true;
}

/* --- recipes --- */

/* Broad kinds of tensors that rules speak of; those without a rule yet are CLASS_OTHER. */
enum tensor_class { CLASS_OUTPUT, CLASS_TOKEN_EMBD, CLASS_OTHER };
struct subject {
    enum tensor_class class;
    int64_t cols;
};
struct recipe_rule {
    enum tensor_class class;
    bool (*when)(const struct recipe_state *s, const struct subject *t); /* NULL: always */
    enum dtype type;
    const char *why;
};

static bool when_base_unfit(const struct recipe_state *s, const struct subject *t)
{
    return strcmp(s->facts.arch, "falcon") == 0 || t->cols % dtype_info(s->recipe->base)->block_len != 0;
}

#define RULES_END                                                                                            \
    {                                                                                                        \
        CLASS_OTHER, NULL, DTYPE_COUNT, NULL                                                                 \
    }
/* The output matrix, which is the token embedding of a tied model, is worth more bits. */
static const struct recipe_rule rules_output_q6_k[] = {
    {CLASS_OUTPUT, when_base_unfit, DTYPE_Q8_0, "output matrix, rows unfit for the recipe's type"},
    {CLASS_OUTPUT, NULL, DTYPE_Q6_K, "output matrix"},
    RULES_END,
};
static const struct recipe_rule rules_output_q8_0[] = {
    {CLASS_OUTPUT, NULL, DTYPE_Q8_0, "output matrix"},
    RULES_END,
};

const struct recipe recipe_list[] = {
    {"F32", 0, DTYPE_F32, NULL, "every matrix as 32-bit floats"},
    {"F16", 1, DTYPE_F16, NULL, "every matrix as half precision"},
    {"BF16", 32, DTYPE_BF16, NULL, "every matrix as bfloat16"},
    {"Q8_0", 7, DTYPE_Q8_0, rules_output_q8_0, "8 bits, one scale per 32 weights"},
    {"Q6_K", 18, DTYPE_Q6_K, rules_output_q6_k, "6 bits, scales of 16 weights in super-blocks of 256"},
    {"Q4_0", 2, DTYPE_Q4_0, rules_output_q6_k, "4 bits, one scale per 32 weights; output matrix Q6_K"},
    {NULL, 0, DTYPE_COUNT, NULL, NULL},
};

const struct recipe *recipe_by_name(const char *name)
{
    for (const struct recipe *r = recipe_list; r->name; r++)
        if (strcasecmp(r->name, name) == 0) return r;
    return NULL;
}

enum status recipe_find(const struct recipe **out, const char *name, struct error *err)
{
    *out = recipe_by_name(name);
    if (*out) return STATUS_OK;
    char list[256] = "";
    for (const struct recipe *r = recipe_list; r->name; r++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", r->name);
    }
    return error_set(err, STATUS_USAGE, "type '%s' is not known here; expected one of %s", name, list);
}

bool recipe_file_type(enum dtype t, uint32_t *file_type)
{
    for (const struct recipe *r = recipe_list; r->name; r++)
        if (r->base == t) {
            *file_type = r->file_type;
            return true;
        }
    return false;
}

/* --- choosing --- */

/* Types for rows that are no multiple of the wanted type's block; other block types go to F16 at once. */
static const struct {
    enum dtype wanted, instead;
} fallbacks[] = {
    {DTYPE_IQ1_S, DTYPE_IQ4_NL},  {DTYPE_IQ1_M, DTYPE_IQ4_NL},  {DTYPE_IQ2_XXS, DTYPE_IQ4_NL},
    {DTYPE_IQ2_XS, DTYPE_IQ4_NL}, {DTYPE_IQ2_S, DTYPE_IQ4_NL},  {DTYPE_IQ3_XXS, DTYPE_IQ4_NL},
    {DTYPE_IQ3_S, DTYPE_IQ4_NL},  {DTYPE_IQ4_XS, DTYPE_IQ4_NL}, {DTYPE_Q2_0, DTYPE_Q4_0},
    {DTYPE_Q2_K, DTYPE_Q4_0},     {DTYPE_Q3_K, DTYPE_Q4_0},     {DTYPE_TQ1_0, DTYPE_Q4_0},
    {DTYPE_TQ2_0, DTYPE_Q4_0},    {DTYPE_Q4_K, DTYPE_Q5_0},     {DTYPE_Q5_K, DTYPE_Q5_1},
    {DTYPE_Q6_K, DTYPE_Q8_0},
};

static enum dtype fall_back(enum dtype wanted, int64_t cols)
{
    if (cols % dtype_info(wanted)->block_len == 0) return wanted;
    enum dtype t = DTYPE_F16;
    for (size_t i = 0; i < sizeof fallbacks / sizeof fallbacks[0]; i++)
        if (fallbacks[i].wanted == wanted) t = fallbacks[i].instead;
    return cols % dtype_info(t)->block_len == 0 ? t : DTYPE_F16;
}

static enum tensor_class classify(const struct recipe_state *s, const char *name)
{
    if (strcmp(name, "output.weight") == 0) return CLASS_OUTPUT;
    bool embedding =
        strcmp(name, "token_embd.weight") == 0 || strcmp(name, "per_layer_token_embd.weight") == 0;
    if (!embedding) return CLASS_OTHER;
    return s->facts.has_output ? CLASS_TOKEN_EMBD : CLASS_OUTPUT;
}

struct recipe_state recipe_begin(const struct recipe *r, bool pure, const struct recipe_facts *facts)
{
    return (struct recipe_state){.recipe = r, .pure = pure, .facts = *facts};
}

static void apply_rules(const struct recipe_state *s, const struct subject *t, struct recipe_choice *out)
{
    out->wanted = s->recipe->base;
    out->why = s->pure ? "pure" : "matrix";
    if (s->pure || !s->recipe->rules) return;
    for (const struct recipe_rule *rule = s->recipe->rules; rule->why; rule++) {
        if (rule->class != t->class || (rule->when && !rule->when(s, t))) continue;
        out->wanted = rule->type;
        out->why = rule->why;
        return;
    }
}

enum status recipe_choose(struct recipe_state *s, const char *name, int n_dims, const int64_t *shape,
                          struct recipe_choice *out, struct error *err)
{
    *out = (struct recipe_choice){.type = DTYPE_COUNT, .wanted = DTYPE_COUNT};
    out->covered = recipe_covers(name, n_dims, shape, &out->why);
    if (!out->covered) return STATUS_OK;
    struct subject t = {.class = classify(s, name), .cols = shape[n_dims - 1]};
    apply_rules(s, &t, out);
    out->type = fall_back(out->wanted, t.cols);
    const struct dtype_info *info = dtype_info(out->type);
    if (info->block_len > 1 && !info->encode_f32)
        return error_at(err, STATUS_UNSUPPORTED, "", name, "type %s cannot be written in this version",
                        info->ggml_name);
    return STATUS_OK;
}
