/* Facts: llama.cpp's src/llama-quant.cpp as vendored by llama-cpp-python 0.3.36. */
#include "core/recipe_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- which tensors are left alone --- */

enum match { MATCH_EXACT, MATCH_WITHIN };
static const struct exception {
    enum match match;
    const char *text, *why, *arch; /* arch NULL: any */
} exceptions[] = {
    {MATCH_WITHIN, "_norm.weight", "norm", NULL},
    {MATCH_WITHIN, "ffn_gate_inp.weight", "expert router", NULL},
    {MATCH_WITHIN, "ffn_gate_tid2eid.weight", "expert router", NULL},
    {MATCH_WITHIN, "altup", "small", NULL},
    {MATCH_WITHIN, "laurel", "small", NULL},
    {MATCH_WITHIN, "per_layer_model_proj", "small", NULL},
    {MATCH_EXACT, "position_embd.weight", "position table", NULL},
    {MATCH_EXACT, "block_position_embd.weight", "position table", "glm2021"},
    {MATCH_EXACT, "token_types.weight", "token types", NULL},
    {MATCH_WITHIN, "ssm_conv1d", "convolution", NULL},
    {MATCH_WITHIN, "shortconv.conv.weight", "convolution", NULL},
    {MATCH_WITHIN, "indexer.k_proj.weight", "small", NULL},
    {MATCH_WITHIN, "indexer.q_proj.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_first.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_w0.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_w1.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_w2.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_v0.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_v1.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_v2.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_a0.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_a1.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_a2.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_g1.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_g2.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_decay_w1.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_decay_w2.weight", "small", NULL},
    {MATCH_WITHIN, "time_mix_lerp_fused.weight", "small", NULL},
    {MATCH_WITHIN, "attn_rel_b.weight", "relative positions", NULL},
    {MATCH_WITHIN, ".position_embd", "position table", NULL},
    {MATCH_WITHIN, "sam.pos_embd", "position table", NULL},
    {MATCH_WITHIN, "sam.neck.", "picture encoder", NULL},
    {MATCH_WITHIN, "sam.net_", "picture encoder", NULL},
    {MATCH_WITHIN, ".rel_pos", "relative positions", NULL},
    {MATCH_WITHIN, ".patch_embd", "picture encoder", NULL},
    {MATCH_WITHIN, ".patch_merger", "picture encoder", NULL},
    {MATCH_WITHIN, "a.rvq.codebook", "audio codebook", NULL},
    {MATCH_WITHIN, "mm.a.code_embd", "audio codebook", NULL},
#define GLM5(text) {MATCH_WITHIN, text, "kept in GLM-5", "glm5-next"}
    GLM5("hc_"),
    GLM5("indexer.attn_q_b"),
    GLM5("indexer.attn_k"),
    GLM5("indexer.proj"),
    GLM5("indexer_compressor_gate"),
    GLM5("indexer_compressor_ape"),
    GLM5("ssm_f_a.weight"),
    GLM5("ssm_f_b.weight"),
    GLM5("ssm_g_a.weight"),
    GLM5("ssm_g_b.weight"),
    GLM5("ssm_beta.weight"),
    GLM5("attn_kv_a_mqa.weight"),
    GLM5("attn_k_b.weight"),
    GLM5("attn_v_b.weight"),
#undef GLM5
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && memcmp(s + n - m, end, m) == 0;
}

bool recipe_covers(const char *arch, const char *name, int n_dims, const int64_t *shape, const char **why_not)
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
        if (e->arch && strcmp(e->arch, arch) != 0) continue;
        *why_not = e->why;
        if (e->match == MATCH_EXACT ? strcmp(name, e->text) == 0 : strstr(name, e->text) != NULL)
            return false;
    }
    *why_not = NULL;
    return true;
}

/* --- recipes by name --- */

static bool has_name(const struct recipe *r, const char *name)
{
    return strcasecmp(r->name, name) == 0 || (r->alias && strcasecmp(r->alias, name) == 0);
}

const struct recipe *recipe_by_name(const char *name)
{
    for (const struct recipe *r = recipe_list; r->name; r++)
        if (has_name(r, name)) return r;
    return NULL;
}

enum status recipe_find(const struct recipe **out, const char *name, struct error *err)
{
    *out = recipe_by_name(name);
    if (*out) return STATUS_OK;
    char list[sizeof err->hint] = "";
    for (const struct recipe *r = recipe_list; r->name; r++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", n ? " " : "", r->name);
    }
    error_set(err, STATUS_USAGE, "type '%s' is not known here", name);
    return error_hint(err, "%s", list);
}

bool recipe_quantizes(const struct recipe *r)
{
    return r->base != DTYPE_COUNT && dtype_info(r->base)->block_len > 1;
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

/* --- the model --- */

long recipe_block_number(const char *name)
{
    if (strncmp(name, "blk.", 4) != 0 || name[4] < '0' || name[4] > '9') return -1;
    char *end;
    long n = strtol(name + 4, &end, 10);
    return *end == '.' ? n : -1;
}

static const struct kv *find_kv(const struct kv *kvs, size_t n, const char *arch, const char *name)
{
    size_t len = strlen(arch);
    for (size_t i = 0; i < n; i++) {
        const char *key = kvs[i].key;
        if (strncmp(key, arch, len) == 0 && key[len] == '.' && strcmp(key + len + 1, name) == 0) return &kvs[i];
    }
    return NULL;
}

/* An integer, or the first one of an array of them (a value per layer). */
static int64_t first_int(const struct kv *kv, int64_t absent)
{
    int64_t v;
    if (kv_get_int(kv, &v)) return v;
    if (!kv || kv->type != KV_ARRAY || kv->v.array.n == 0) return absent;
    if (kv->v.array.type != KV_I32 && kv->v.array.type != KV_U32) return absent;
    int32_t i;
    memcpy(&i, kv->v.array.data, sizeof i);
    return i;
}

/* Architectures whose models of so many layers llama.cpp counts as 70B. */
static const struct {
    const char *arch;
    int64_t n_layer;
    bool needs_gqa; /* fewer key/value heads than heads, and no eight experts */
} classes_70b[] = {{"llama", 80, true}, {"qwen2", 80, false}, {"deci", 80, false}, {"olmo", 80, false}, {"jais2", 68, false}};

static bool is_70b(const struct recipe_facts *f, int64_t n_layer, bool fewer_kv_heads)
{
    for (size_t i = 0; i < sizeof classes_70b / sizeof classes_70b[0]; i++)
        if (strcmp(classes_70b[i].arch, f->arch) == 0 && classes_70b[i].n_layer == n_layer)
            return !classes_70b[i].needs_gqa || (fewer_kv_heads && f->n_expert != 8);
    return false;
}

void recipe_facts_init(struct recipe_facts *f, const struct kv *kvs, size_t n_kvs)
{
    *f = (struct recipe_facts){.arch = ""};
    for (size_t i = 0; i < n_kvs; i++)
        if (strcmp(kvs[i].key, "general.architecture") == 0 && kv_get_string(&kvs[i])) f->arch = kv_get_string(&kvs[i]);
    f->n_layer = first_int(find_kv(kvs, n_kvs, f->arch, "block_count"), 0);
    f->n_expert = first_int(find_kv(kvs, n_kvs, f->arch, "expert_count"), 0);
    int64_t n_head = first_int(find_kv(kvs, n_kvs, f->arch, "attention.head_count"), 0);
    int64_t n_head_kv = first_int(find_kv(kvs, n_kvs, f->arch, "attention.head_count_kv"), n_head);
    int64_t n_nextn = first_int(find_kv(kvs, n_kvs, f->arch, "nextn_predict_layers"), 0);
    f->n_gqa = n_head_kv > 0 ? n_head / n_head_kv : 0;
    f->is_70b = n_nextn >= 0 && n_nextn <= f->n_layer && is_70b(f, f->n_layer - n_nextn, n_head != n_head_kv);
}

/* --- classes --- */

static const struct {
    const char *within;
    enum tensor_class class;
} class_names[] = {
    {"attn_qkv.weight", CLASS_ATTN_V}, {"attn_kv_b.weight", CLASS_ATTN_V},        {"attn_v.weight", CLASS_ATTN_V},
    {"attn_k.weight", CLASS_ATTN_K},   {"attn_q.weight", CLASS_ATTN_Q},           {"attn_output.weight", CLASS_ATTN_OUTPUT},
    {"ffn_up", CLASS_FFN_UP},          {"ffn_gate", CLASS_FFN_GATE},              {"ffn_down", CLASS_FFN_DOWN},
};

static bool is_output(const char *name)
{
    return strcmp(name, "output.weight") == 0;
}

static bool is_token_embd(const char *name)
{
    return strcmp(name, "token_embd.weight") == 0 || strcmp(name, "per_layer_token_embd.weight") == 0;
}

static enum tensor_class classify(const char *name)
{
    if (is_output(name)) return CLASS_OUTPUT;
    if (is_token_embd(name)) return CLASS_TOKEN_EMBD;
    for (size_t i = 0; i < sizeof class_names / sizeof class_names[0]; i++)
        if (strstr(name, class_names[i].within)) return class_names[i].class;
    return CLASS_OTHER;
}

void recipe_facts_add(struct recipe_facts *f, const char *tensor_name)
{
    enum tensor_class class = classify(tensor_name);
    f->has_output |= class == CLASS_OUTPUT;
    f->n_attn_v += class == CLASS_ATTN_V;
}

/* --- choosing --- */

/* Types for rows that are no multiple of the wanted type's block. */
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

static bool fits(enum dtype t, int64_t cols)
{
    return cols % dtype_info(t)->block_len == 0;
}

/* DTYPE_COUNT: none is defined. Blocks of 32 have nothing smaller to go to but F16. */
static enum dtype fall_back(enum dtype wanted, int64_t cols)
{
    if (fits(wanted, cols)) return wanted;
    for (size_t i = 0; i < sizeof fallbacks / sizeof fallbacks[0]; i++)
        if (fallbacks[i].wanted == wanted) return fits(fallbacks[i].instead, cols) ? fallbacks[i].instead : DTYPE_F16;
    return dtype_info(wanted)->block_len <= 32 ? DTYPE_F16 : DTYPE_COUNT;
}

struct recipe_state recipe_begin(const struct recipe *r, const struct recipe_options *opt, const struct recipe_facts *facts)
{
    struct recipe_state s = {.recipe = r, .opt = *opt, .facts = *facts};
    _Static_assert(CLASS_COUNT <= sizeof s.n_seen / sizeof s.n_seen[0], "a counter for each class");
    s.opt.pure |= r->pure;
    return s;
}

/* Which of how many the tensor is, for rules that go by layers. */
static enum status place(struct recipe_state *s, struct subject *t, uint64_t recipe, struct error *err)
{
    bool is_ffn = t->class == CLASS_FFN_DOWN || t->class == CLASS_FFN_UP || t->class == CLASS_FFN_GATE;
    t->i = s->n_seen[t->class]++;
    t->n = is_ffn ? s->facts.n_layer : s->facts.n_attn_v;
    if (!is_ffn || s->facts.n_expert <= 1 || (recipe_counts_tensors & recipe)) return STATUS_OK;
    /* the matrices of experts stand in no order that could be counted */
    t->i = recipe_block_number(t->name);
    if (t->i >= 0 && t->i < t->n) return STATUS_OK;
    return error_at(err, STATUS_FORMAT, "", t->name, "expected the number of one of %lld layers in the name", (long long)t->n);
}

static enum status apply_rules(struct recipe_state *s, struct subject *t, struct recipe_choice *out, struct error *err)
{
    uint64_t recipe = UINT64_C(1) << (s->recipe - recipe_list);
    uint32_t class = 1u << t->class;
    TRY(place(s, t, recipe, err));
    for (const struct recipe_rule *r = recipe_rules; r->why; r++)
        if ((r->recipes & recipe) && (r->classes & class) && (!r->when || r->when(s, t))) {
            out->wanted = r->type;
            out->why = r->why;
            break;
        }
    for (const struct recipe_raise *r = recipe_raises; r->why; r++)
        if ((r->recipes & recipe) && (r->classes & class) && r->when(s, t) && (r->from == out->wanted || r->from == DTYPE_COUNT)) {
            out->wanted = r->type;
            out->why = r->why;
        }
    return STATUS_OK;
}

/* What the command line says about this one tensor; false: nothing. */
static bool apply_options(const struct recipe_state *s, const char *name, struct recipe_choice *out)
{
    const struct recipe_options *o = &s->opt;
    bool quantizes = recipe_quantizes(s->recipe), tied_table = quantizes && !o->pure && !s->facts.has_output;
    const struct name_pattern *p = o->patterns ? name_patterns_match(o->patterns, name) : NULL;
    /* per_layer_token_embd is a large table of its own, which a pattern may name */
    bool named = p && strcmp(name, "per_layer_token_embd.weight") == 0;
    if (o->token_embd_type != DTYPE_COUNT && is_token_embd(name) && !named) {
        *out = (struct recipe_choice){.wanted = o->token_embd_type, .why = "--token-embedding-type"};
    } else if (o->output_type != DTYPE_COUNT && is_output(name)) {
        *out = (struct recipe_choice){.wanted = o->output_type, .why = "--output-tensor-type"};
    } else if (p && quantizes) {
        *out = (struct recipe_choice){.wanted = p->type, .why = p->text};
    } else if (o->output_type != DTYPE_COUNT && is_token_embd(name) && tied_table) {
        *out = (struct recipe_choice){.wanted = o->output_type, .why = "--output-tensor-type"};
    } else {
        return false;
    }
    return true;
}

/* Types that are garbage without knowing which weights matter. As in llama-quantize; what a type itself cannot do without is another question. */
static bool needs_imatrix(const struct recipe_state *s, const char *name, enum dtype t)
{
    if (is_output(name) || is_token_embd(name)) return false;
    switch (t) {
    case DTYPE_IQ3_XXS:
    case DTYPE_IQ2_XXS:
    case DTYPE_IQ2_XS:
    case DTYPE_IQ2_S:
    case DTYPE_IQ1_M:
    case DTYPE_IQ1_S:
        return true;
    default:
        return t == DTYPE_Q2_K && strcmp(s->recipe->name, "Q2_K_S") == 0;
    }
}

static enum status settle(const struct recipe_state *s, const char *name, int64_t cols, struct recipe_choice *out, struct error *err)
{
    const struct dtype_info *wanted = dtype_info(out->wanted);
    out->covered = true;
    out->type = fall_back(out->wanted, cols);
    if (out->type == DTYPE_COUNT)
        return error_at(err, STATUS_UNSUPPORTED, "", name, "%lld columns are no multiple of %u for %s, which has no fallback",
                        (long long)cols, wanted->block_len, wanted->ggml_name);
    out->needs_imatrix = needs_imatrix(s, name, out->type);
    return STATUS_OK;
}

enum status recipe_choose(struct recipe_state *s, const char *name, int n_dims, const int64_t *shape, struct recipe_choice *out,
                          struct error *err)
{
    *out = (struct recipe_choice){.type = DTYPE_COUNT, .wanted = DTYPE_COUNT};
    if (s->recipe->base == DTYPE_COUNT) {
        out->why = "copied";
        return STATUS_OK;
    }
    if (!recipe_covers(s->facts.arch, name, n_dims, shape, &out->why)) return STATUS_OK;
    struct subject t = {.name = name, .class = classify(name), .cols = shape[n_dims - 1], .n_matrices = n_dims > 2 ? shape[n_dims - 3] : 1};
    if (t.class == CLASS_TOKEN_EMBD && !s->facts.has_output) t.class = CLASS_OUTPUT;
    if (!apply_options(s, name, out)) {
        *out = (struct recipe_choice){.wanted = s->recipe->base, .why = s->opt.pure ? "pure" : "matrix"};
        if (!s->opt.pure && recipe_quantizes(s->recipe)) TRY(apply_rules(s, &t, out, err));
    }
    return settle(s, name, t.cols, out, err);
}
