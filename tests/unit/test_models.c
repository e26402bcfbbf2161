/* Opening models: what a good folder gives, and every damage with the status and the words it must lead to. */
#include "base/file.h"
#include "models/model.h"
#include "tests/unit/fixtures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;
static struct warnings warn;

static struct model *open_path(const char *path)
{
    struct model *m;
    warnings_clear(&warn);
    if (model_open(&m, path, NULL, &warn, &err) != STATUS_OK) {
        char line[2048];
        error_format(&err, "model_open", line, sizeof line);
        fail_msg("%s", line);
    }
    return m;
}

static struct model *open_good(struct fixture *f)
{
    return open_path(fixture_write(f));
}

static void expect_text(const char *have, const char *want)
{
    if (!strstr(have, want)) fail_msg("'%s' does not say '%s'", have, want);
}

/* The error's line and hint must hold each of the texts (NULL at the end). */
static void expect_refused(struct fixture *f, enum status status, const char *const *texts)
{
    struct model *m = NULL;
    warnings_clear(&warn);
    enum status st = model_open(&m, fixture_write(f), NULL, &warn, &err);
    if (st == STATUS_OK) fail_msg("was opened");
    assert_null(m);
    char line[2048], all[2400];
    error_format(&err, "model_open", line, sizeof line);
    snprintf(all, sizeof all, "%s [%s]", line, err.hint);
    for (; *texts; texts++) expect_text(all, *texts);
    if (st != status || err.status != status)
        fail_msg("%s: expected %s, found %s", line, status_name(status), status_name(st));
}
#define REFUSED(f, status, ...) expect_refused(f, status, (const char *const[]){__VA_ARGS__, NULL})

static void expect_warnings(const char *const *codes)
{
    size_t n = 0;
    for (; codes[n]; n++)
        if (!warnings_has(&warn, codes[n])) fail_msg("no warning '%s'", codes[n]);
    if (warn.count != n)
        fail_msg("expected %zu warnings, found %zu; the last: %s", n, warn.count,
                 warn.items[warn.count - 1].text);
}
#define WARNED(...) expect_warnings((const char *const[]){__VA_ARGS__})

/* --- good folders --- */

static void test_llama(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    struct model *m = open_good(&f);
    WARNED(NULL);
    assert_string_equal(m->arch->family, "llama");
    assert_false(m->is_gguf);
    assert_true(m->dialect == &m->arch->source);
    assert_int_equal(m->hp.n_vocab, 40);
    assert_int_equal(m->hp.n_ctx, 64);
    assert_int_equal(m->hp.n_layer, 2);
    assert_int_equal(m->hp.n_embd, 32);
    assert_int_equal(m->hp.n_ff, 48);
    assert_int_equal(m->hp.n_head, 4);
    assert_int_equal(m->hp.n_head_kv, 2);
    assert_int_equal(m->hp.head_dim, 8);
    assert_true(m->hp.norm_eps == 1e-5);
    assert_int_equal(m->hp.activation, ACTIVATION_SILU);
    assert_false(m->hp.tied || m->hp.attn_bias || m->hp.mlp_bias || m->tie_dropped);
    assert_int_equal(m->hp.rope.type, ROPE_DEFAULT);
    assert_int_equal(m->hp.rope.dim, 8);
    assert_true(m->hp.rope.theta == 10000 && m->hp.rope.factor == 1);
    assert_string_equal(m->hp.rope.source, "{\"rope_theta\": 10000.0}");
    assert_int_equal(m->hp.bos_id, 1);
    assert_int_equal(m->hp.eos_id, 2);
    assert_string_equal(m->name, strrchr(f.dir, '/') + 1);
    assert_int_equal(m->n_weights, f.n_tensors);
    assert_string_equal(m->weights[0].t->t->name, "model.embed_tokens.weight");
    assert_string_equal(m->weights[m->n_weights - 1].t->t->name, "lm_head.weight");
    const struct weight *w = model_weight(m, ROLE_ATTN_K, 1, PART_WEIGHT);
    assert_non_null(w);
    assert_string_equal(w->t->t->name, "model.layers.1.self_attn.k_proj.weight");
    assert_string_equal(w->rule->target, "blk.{i}.attn_k.weight");
    assert_int_equal(w->layer, 1);
    assert_string_equal(model_weight(m, ROLE_OUTPUT, -1, PART_WEIGHT)->t->t->name, "lm_head.weight");
    assert_null(model_weight(m, ROLE_ATTN_K, 1, PART_BIAS));
    assert_null(model_weight(m, ROLE_ATTN_K, 2, PART_WEIGHT));
    assert_null(model_weight(m, ROLE_ATTN_K, -1, PART_WEIGHT));
    assert_null(model_weight(m, ROLE_ROPE_FREQS, -1, PART_WEIGHT));
    for (size_t i = 1; i < m->n_weights; i++)
        assert_true(m->weights[i].layer >= m->weights[i - 1].layer || m->weights[i].layer == -1);
    model_close(m);
    fixture_clear(&f);
}

static void test_llama_defaults(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, &(struct fixture_sizes){40, 2048, 1, 32, 48, 4, 4, 8});
    static const char *const absent[] = {"num_key_value_heads",
                                         "head_dim",
                                         "rope_theta",
                                         "rope_scaling",
                                         "rms_norm_eps",
                                         "hidden_act",
                                         "max_position_embeddings",
                                         "bos_token_id",
                                         "eos_token_id",
                                         "architectures"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) fixture_config(&f, absent[i], NULL);
    struct model *m = open_good(&f);
    WARNED(NULL);
    assert_int_equal(m->hp.n_head_kv, 4);
    assert_int_equal(m->hp.head_dim, 8);
    assert_true(m->hp.norm_eps == 1e-6);
    assert_int_equal(m->hp.n_ctx, 2048);
    assert_true(m->hp.rope.theta == 10000);
    assert_null(m->hp.rope.source);
    assert_int_equal(m->hp.bos_id, -1);
    model_close(m);
    fixture_config(&f, "num_key_value_heads", "null");
    fixture_config(&f, "head_dim", "null");
    fixture_config(&f, "eos_token_id", "[7, 9]");
    m = open_good(&f);
    assert_int_equal(m->hp.n_head_kv, 4);
    assert_int_equal(m->hp.eos_id, 7);
    model_close(m);
    fixture_clear(&f);
}

static void test_llama_variants(void **state)
{
    (void)state;
    struct fixture f;
    /* heads wider than E / H, biases on everything */
    fixture_llama(&f, &(struct fixture_sizes){40, 64, 2, 32, 48, 4, 2, 12});
    fixture_config(&f, "attention_bias", "true");
    fixture_config(&f, "mlp_bias", "true");
    static const struct {
        const char *name;
        int64_t n;
    } biases[] = {{"self_attn.q_proj", 48}, {"self_attn.k_proj", 24}, {"self_attn.v_proj", 24},
                  {"self_attn.o_proj", 32}, {"mlp.gate_proj", 48},    {"mlp.up_proj", 48},
                  {"mlp.down_proj", 32}};
    for (size_t i = 0; i < 14; i++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.%zu.%s.bias", i / 7, biases[i % 7].name);
        fixture_add(&f, name, 1, &biases[i % 7].n);
    }
    struct model *m = open_good(&f);
    WARNED(NULL);
    assert_int_equal(m->hp.head_dim, 12);
    assert_string_equal(model_weight(m, ROLE_FFN_DOWN, 1, PART_BIAS)->t->t->name,
                        "model.layers.1.mlp.down_proj.bias");
    assert_int_equal(m->n_weights, f.n_tensors);
    model_close(m);
    /* one of them missing; the switch off */
    fixture_remove(&f, "model.layers.1.self_attn.o_proj.bias");
    REFUSED(&f, STATUS_NOTFOUND, "'model.layers.1.self_attn.o_proj.bias'",
            "expected 32 from config, not found");
    fixture_config(&f, "attention_bias", NULL);
    REFUSED(&f, STATUS_UNSUPPORTED, "'model.layers.0.self_attn.q_proj.bias'", "(and 6 more)",
            "switches tensors off");
    fixture_clear(&f);
}

/* LlamaModel saves names without "model."; buffers of 2023 are dropped by name and shape. */
static void test_llama_bare_and_buffers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    fixture_config(&f, "architectures", "[\"LlamaModel\"]");
    fixture_remove(&f, "lm_head.weight");
    fixture_reprefix(&f, "model.", NULL);
    fixture_add(&f, "layers.0.self_attn.rotary_emb.inv_freq", 1, (int64_t[]){4})->dtype = DTYPE_F16;
    fixture_add(&f, "layers.1.self_attn.rotary_emb.inv_freq", 1, (int64_t[]){4});
    struct model *m = open_good(&f);
    WARNED("lm-head-missing", NULL);
    assert_int_equal(m->n_dropped, 2);
    assert_int_equal(m->n_weights, f.n_tensors - 2);
    assert_true(m->hp.tied);
    model_close(m);
    fixture_reshape(&f, "layers.1.self_attn.rotary_emb.inv_freq", 1, (int64_t[]){5});
    REFUSED(&f, STATUS_UNSUPPORTED, "'layers.1.self_attn.rotary_emb.inv_freq'", "expected no such tensor",
            "found 5");
    fixture_reshape(&f, "layers.1.self_attn.rotary_emb.inv_freq", 1, (int64_t[]){4});
    fixture_find(&f, "layers.1.self_attn.rotary_emb.inv_freq")->name[7] = '2'; /* no such layer */
    REFUSED(&f, STATUS_UNSUPPORTED, "'layers.2.self_attn.rotary_emb.inv_freq'");
    fixture_clear(&f);
}

static void test_gpt2(void **state)
{
    (void)state;
    struct fixture f;
    fixture_gpt2(&f, NULL);
    struct model *m = open_good(&f);
    WARNED(NULL);
    assert_string_equal(m->arch->family, "gpt2");
    assert_true(m->dialect->conv1d);
    assert_int_equal(m->hp.n_ff, 48);
    assert_int_equal(m->hp.n_head_kv, 4);
    assert_int_equal(m->hp.head_dim, 8);
    assert_int_equal(m->hp.activation, ACTIVATION_GELU_TANH);
    assert_int_equal(m->hp.rope.type, ROPE_NONE);
    assert_true(m->hp.tied && m->hp.attn_bias && m->hp.mlp_bias);
    assert_int_equal(m->n_weights, f.n_tensors);
    const struct weight *w = model_weight(m, ROLE_ATTN_QKV, 0, PART_WEIGHT);
    assert_int_equal(w->rule->transform, TRANSFORM_TRANSPOSE);
    assert_int_equal(w->t->t->shape[1], 96);
    assert_null(model_weight(m, ROLE_OUTPUT, -1, PART_WEIGHT));
    model_close(m);
    fixture_clear(&f);
}

static void test_gpt2_old_files(void **state)
{
    (void)state;
    struct fixture f;
    /* no prefix, no model_type, buffers, both names of the context, width of the MLP by default */
    fixture_gpt2(&f, &(struct fixture_sizes){40, 64, 2, 32, 128, 4, 4, 8});
    fixture_reprefix(&f, "transformer.", NULL);
    fixture_config(&f, "model_type", NULL);
    fixture_config(&f, "architectures", NULL);
    fixture_config(&f, "n_inner", "null");
    fixture_config(&f, "summary_type", "\"cls_index\"");
    fixture_config(&f, "task_specific_params",
                   "{\"text-generation\": {\"do_sample\": true, \"max_length\": 50}}");
    fixture_add(&f, "h.0.attn.bias", 4, (int64_t[]){1, 1, 64, 64});
    fixture_add(&f, "h.1.attn.bias", 4, (int64_t[]){1, 1, 64, 64})->dtype = DTYPE_U8;
    fixture_add(&f, "h.1.attn.masked_bias", 0, NULL);
    struct model *m = open_good(&f);
    WARNED("family-from-tensors", NULL);
    assert_int_equal(m->n_dropped, 3);
    assert_int_equal(m->hp.n_ff, 128);
    assert_string_equal(m->detected_by, "names of tensors");
    model_close(m);
    /* an exact suffix: the real bias of c_attn is no buffer */
    fixture_remove(&f, "h.0.attn.c_attn.bias");
    REFUSED(&f, STATUS_NOTFOUND, "'h.0.attn.c_attn.bias'");
    fixture_clear(&f);
    fixture_gpt2(&f, NULL);
    fixture_config(&f, "n_ctx", "32");
    m = open_good(&f);
    WARNED("config-keys-differ", NULL);
    assert_int_equal(m->hp.n_ctx, 64);
    model_close(m);
    fixture_clear(&f);
}

static void test_gpt2_activations(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum activation kind;
    } rows[] = {{"gelu_new", ACTIVATION_GELU_TANH},
                {"gelu_fast", ACTIVATION_GELU_TANH},
                {"gelu", ACTIVATION_GELU_ERF},
                {"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
                {"relu", ACTIVATION_RELU},
                {"silu", ACTIVATION_SILU},
                {"quick_gelu", ACTIVATION_GELU_QUICK},
                {"swish", ACTIVATION_SILU}};
    struct fixture f;
    fixture_gpt2(&f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[32];
        snprintf(text, sizeof text, "\"%s\"", rows[i].name);
        fixture_config(&f, "activation_function", text);
        struct model *m = open_good(&f);
        assert_int_equal(m->hp.activation, rows[i].kind);
        model_close(m);
    }
    fixture_clear(&f);
}

static void test_gpt2_other_head(void **state)
{
    (void)state;
    struct fixture f;
    fixture_gpt2(&f, NULL);
    fixture_config(&f, "architectures", "[\"GPT2ForSequenceClassification\"]");
    fixture_add(&f, "score.weight", 2, (int64_t[]){2, 32});
    struct model *m = open_good(&f);
    WARNED("task-head-dropped", NULL);
    model_close(m);
    fixture_clear(&f);
}

/* --- tying: the five rows of the table --- */

static void test_tying(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    struct fixture_tensor *head = fixture_find(&f, "lm_head.weight"),
                          *embd = fixture_find(&f, "model.embed_tokens.weight");
    /* true, stored, different */
    fixture_config(&f, "tie_word_embeddings", "true");
    struct model *m = open_good(&f);
    WARNED("tied-head-differs", NULL);
    assert_false(m->hp.tied || m->tie_dropped);
    assert_non_null(model_weight(m, ROLE_OUTPUT, -1, PART_WEIGHT));
    model_close(m);
    /* true, stored, different in the last number only */
    memcpy(head->data, embd->data, sizeof(float) * (size_t)head->n_elements);
    head->data[head->n_elements - 1] += 1;
    m = open_good(&f);
    WARNED("tied-head-differs", NULL);
    assert_false(m->hp.tied);
    model_close(m);
    /* true, stored, equal */
    head->data[head->n_elements - 1] -= 1;
    head->data[head->n_elements - 1] = embd->data[head->n_elements - 1];
    m = open_good(&f);
    WARNED("tied-head-dropped", NULL);
    assert_true(warn.items[0].note);
    assert_true(m->hp.tied && m->tie_dropped);
    assert_null(model_weight(m, ROLE_OUTPUT, -1, PART_WEIGHT));
    assert_int_equal(m->n_weights, f.n_tensors - 1);
    for (size_t i = 0; i < m->n_weights; i++) assert_int_not_equal(m->weights[i].rule->role, ROLE_OUTPUT);
    model_close(m);
    /* false, stored */
    fixture_config(&f, "tie_word_embeddings", "false");
    m = open_good(&f);
    WARNED(NULL);
    assert_false(m->hp.tied);
    model_close(m);
    /* false, absent; no key, absent; true, absent */
    fixture_remove(&f, "lm_head.weight");
    m = open_good(&f);
    WARNED("lm-head-missing", NULL);
    assert_true(m->hp.tied && !m->tie_dropped);
    model_close(m);
    fixture_config(&f, "tie_word_embeddings", NULL);
    m = open_good(&f);
    WARNED("lm-head-missing", NULL);
    model_close(m);
    fixture_config(&f, "tie_word_embeddings", "true");
    m = open_good(&f);
    WARNED(NULL);
    assert_true(m->hp.tied);
    model_close(m);
    fixture_clear(&f);
}

/* A comparison that takes more than one piece, with the difference in the last. */
static void test_tying_large(void **state)
{
    (void)state;
    struct fixture f;
    fixture_gpt2(&f, &(struct fixture_sizes){3000, 64, 1, 64, 64, 2, 2, 32});
    struct fixture_tensor *head = fixture_add(&f, "lm_head.weight", 2, (int64_t[]){3000, 64});
    struct fixture_tensor *embd = fixture_find(&f, "transformer.wte.weight");
    memcpy(head->data, embd->data, sizeof(float) * (size_t)head->n_elements);
    struct model *m = open_good(&f);
    WARNED("tied-head-dropped", NULL);
    model_close(m);
    head->data[head->n_elements - 1] = 3;
    m = open_good(&f);
    WARNED("tied-head-differs", NULL);
    model_close(m);
    fixture_clear(&f);
}

/* --- damage to the tensors --- */

static void test_tensors(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    fixture_remove(&f, "model.layers.1.mlp.up_proj.weight");
    REFUSED(&f, STATUS_NOTFOUND, f.dir, "tensor 'model.layers.1.mlp.up_proj.weight'",
            "expected 48 x 32 from config, not found");
    fixture_add(&f, "model.layers.1.mlp.up_proj.weight", 2, (int64_t[]){48, 32});
    fixture_add(&f, "model.layers.2.mlp.up_proj.weight", 2, (int64_t[]){48, 32});
    REFUSED(&f, STATUS_UNSUPPORTED, "model.safetensors: tensor 'model.layers.2.mlp.up_proj.weight'",
            "expected no such tensor in family 'llama', found 48 x 32");
    fixture_remove(&f, "model.layers.2.mlp.up_proj.weight");
    fixture_add(&f, "model.layers.1.self_attn.q_norm.weight", 1, (int64_t[]){8});
    REFUSED(&f, STATUS_UNSUPPORTED, "tensor 'model.layers.1.self_attn.q_norm.weight'");
    fixture_remove(&f, "model.layers.1.self_attn.q_norm.weight");
    fixture_reshape(&f, "model.layers.0.self_attn.k_proj.weight", 2, (int64_t[]){8, 32});
    REFUSED(&f, STATUS_MISMATCH,
            "model.safetensors: tensor 'model.layers.0.self_attn.k_proj.weight': expected 16 x 32 from "
            "config, found 8 x 32",
            "[num_key_value_heads is 2 in the config, but 1 fits the tensor]");
    fixture_reshape(&f, "model.layers.0.self_attn.k_proj.weight", 1, (int64_t[]){16 * 32});
    REFUSED(&f, STATUS_MISMATCH, "expected 16 x 32 from config, found 512");
    fixture_reshape(&f, "model.layers.0.self_attn.k_proj.weight", 0, NULL);
    REFUSED(&f, STATUS_MISMATCH, "expected 16 x 32 from config, found a scalar");
    fixture_reshape(&f, "model.layers.0.self_attn.k_proj.weight", 2, (int64_t[]){16, 32});
    fixture_config(&f, "vocab_size", "41");
    REFUSED(&f, STATUS_MISMATCH, "'model.embed_tokens.weight'", "expected 41 x 32 from config, found 40 x 32",
            "vocab_size is 41");
    fixture_config(&f, "vocab_size", "40");
    fixture_find(&f, "model.norm.weight")->dtype = DTYPE_I32;
    REFUSED(&f, STATUS_UNSUPPORTED, "'model.norm.weight'",
            "expected a floating-point or block type, found i32");
    fixture_find(&f, "model.norm.weight")->dtype = DTYPE_BF16;
    fixture_config(&f, "num_hidden_layers", "2147483647");
    REFUSED(&f, STATUS_NOTFOUND, "'model.layers.2.");
    fixture_config(&f, "num_hidden_layers", "1");
    REFUSED(&f, STATUS_UNSUPPORTED, "'model.layers.1.", "(and 8 more)");
    fixture_config(&f, "num_hidden_layers", "2");
    model_close(open_good(&f));
    fixture_reprefix(&f, "model.", "wrapped.model.");
    REFUSED(&f, STATUS_NOTFOUND, "'model.embed_tokens.weight'");
    fixture_clear(&f);
}

/* Sizes whose product passes 64 bits must not fit anything. */
static void test_sizes_overflow(void **state)
{
    (void)state;
    struct hparams hp = {.n_embd = INT32_MAX, .n_ff = INT32_MAX, .n_head = INT32_MAX};
    assert_int_equal(hparams_eval(&hp, "E*F"), (int64_t)INT32_MAX * INT32_MAX);
    assert_int_equal(hparams_eval(&hp, "E*F*H"), -1);
    assert_int_equal(hparams_eval(&hp, "E*F+E*F+E*F"), -1);
}

static void test_eval(void **state)
{
    (void)state;
    const struct hparams hp = {.n_vocab = 101,
                               .n_ctx = 7,
                               .n_layer = 3,
                               .n_embd = 64,
                               .n_ff = 176,
                               .n_head = 8,
                               .n_head_kv = 2,
                               .head_dim = 12};
    static const struct {
        const char *expr;
        int64_t value;
    } rows[] = {{"V", 101},
                {"P", 7},
                {"L", 3},
                {"E", 64},
                {"F", 176},
                {"H", 8},
                {"K", 2},
                {"D", 12},
                {"3*E", 192},
                {"H*D", 96},
                {"E+2*D", 88},
                {"2*K*D+H*D", 144},
                {"D/2", 6},
                {"E/H*K", 16},
                {"10", 10},
                {"0", 0},
                {"", -1},
                {"Y", -1},
                {"E*", -1},
                {"E+", -1},
                {"*E", -1},
                {"E E", -1},
                {"D/5", -1},
                {"D/0", -1},
                {"E-1", -1},
                {"?", -1},
                {"9223372036854775807", INT64_MAX},
                {"9223372036854775808", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (hparams_eval(&hp, rows[i].expr) != rows[i].value)
            fail_msg("%s: expected %lld, found %lld", rows[i].expr, (long long)rows[i].value,
                     (long long)hparams_eval(&hp, rows[i].expr));
}

/* Names lead to the family, or to another of its line: there the tensors decide. */
static void same_family(const struct arch *found, const struct arch *a)
{
    if (a->line && found) assert_string_equal(found->line ? found->line : "", a->line);
    else assert_ptr_equal(found, a);
}

/* Every family's table makes sense on its own. */
static void test_tables(void **state)
{
    (void)state;
    for (const struct arch *const *a = arch_list; *a; a++) {
        /* a second layout of a family is found by its tensors alone */
        if (arch_by_family((*a)->family) != *a) assert_true(!(*a)->model_types[0] && !(*a)->architectures[0]);
        assert_true((*a)->borrowed_arch || arch_by_gguf((*a)->gguf_arch) != NULL);
        for (const char *const *t = (*a)->model_types; *t; t++) same_family(arch_by_model_type(*t), *a);
        for (const char *const *t = (*a)->architectures; *t; t++) same_family(arch_by_architecture(*t), *a);
        bool used[ROLE_COUNT][PART_COUNT] = {0};
        for (const struct tensor_rule *r = (*a)->rules; r->source || r->target; r++) {
            assert_non_null(r->shape);
            if (r->presence == PRESENCE_DROPPED || r->presence == PRESENCE_LEFT_OUT) {
                assert_null(r->target);
                continue;
            }
            /* two forms of a tensor: the config decides which */
            assert_true(!used[r->role][r->part] || (r->when && r[-1].when && r->source));
            used[r->role][r->part] = true;
            /* names follow the role: "blk.{i}.attn_q.weight" */
            char name[64];
            bool in_layer = strstr(r->target, "{i}") != NULL;
            snprintf(name, sizeof name, "%s%s.%s", in_layer ? "blk.{i}." : "", role_name(r->role),
                     r->part == PART_WEIGHT ? "weight" : "bias");
            assert_string_equal(r->target, name);
            if (r->source) assert_int_equal(strstr(r->source, "{i}") != NULL, in_layer);
            assert_int_equal(r->heads != NULL,
                             r->transform != TRANSFORM_NONE && r->transform != TRANSFORM_TRANSPOSE);
            assert_true(r->source || r->fill != FILL_NONE || r->presence == PRESENCE_OPTIONAL);
            if (r->fill == FILL_EMBEDDING) assert_int_equal(r->role, ROLE_OUTPUT);
            if (r->transform == TRANSFORM_TRANSPOSE) assert_non_null(strchr(r->shape, ','));
        }
        assert_true(used[ROLE_TOKEN_EMBD][PART_WEIGHT] && used[ROLE_OUTPUT][PART_WEIGHT]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_llama_defaults),
        cmocka_unit_test(test_llama_variants),
        cmocka_unit_test(test_llama_bare_and_buffers),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_gpt2_old_files),
        cmocka_unit_test(test_gpt2_activations),
        cmocka_unit_test(test_gpt2_other_head),
        cmocka_unit_test(test_tying),
        cmocka_unit_test(test_tying_large),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_sizes_overflow),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_tables),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    warnings_clear(&warn);
    return failed;
}
