/* lathe-verify --weights: every verdict, with the rows it names; and every pair of forms that hold the same weights in other tensors. */
#include "base/file.h"
#include "convert/convert.h"
#include "core/weight_pairs.h"
#include "tests/unit/family_models.h"
#include "tests/unit/fixtures.h"
#include "tests/unit/temp_model.h"
#include "verify/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;

static void must(enum status st, const char *what)
{
    if (st != STATUS_OK) fail_msg("%s: %s: %s %s", what, err.path, err.tensor, err.text);
}

static const char *root(void)
{
    const char *r = getenv("LATHE_ROOT");
    return r ? r : ".";
}

static const char *convert(const char *source, const char *name, const char *type)
{
    const char *out = temp_path(name);
    char *argv[] = {strdup("lathe-convert"), strdup(source),    strdup("-o"),    strdup(out),      strdup("--type"),
                    strdup(type),            strdup("--quiet"), strdup("--force"), strdup("--receipt"), strdup("none"), NULL};
    assert_int_equal(convert_main((int)COUNT(argv) - 1, argv), 0);
    for (size_t i = 0; argv[i]; i++) free(argv[i]);
    return out;
}

/* --- comparing --- */

struct comparison {
    struct model *a, *b;
    struct weights_report r;
};

static void compare(struct comparison *c, const char *a, const char *b)
{
    struct workers *w;
    struct progress quiet = {0};
    must(workers_new(&w, 3, &err), "workers");
    c->a = family_open(a);
    c->b = family_open(b);
    must(weights_compare(c->a, c->b, w, &quiet, &c->r, &err), b);
    workers_free(w);
}

static void end(struct comparison *c)
{
    weights_clear(&c->r);
    model_close(c->a);
    model_close(c->b);
}

static int count(const struct comparison *c, enum weight_verdict v)
{
    int n = 0;
    for (size_t i = 0; i < c->r.n; i++) n += c->r.items[i].verdict == v;
    return n;
}

/* All tensors but `n_other` have that verdict. */
static void check_all(const struct comparison *c, enum weight_verdict v, int n_other)
{
    for (size_t i = 0; i < c->r.n; i++)
        if (c->r.items[i].verdict != v && n_other == 0)
            fail_msg("%s: %s", c->r.items[i].name, weight_verdict_name(c->r.items[i].verdict));
    assert_int_equal(count(c, v), (int)c->r.n - n_other);
}

static const struct weight_result *find(const struct comparison *c, const char *name, int64_t row)
{
    for (size_t i = 0; i < c->r.n; i++)
        if (strcmp(c->r.items[i].name, name) == 0 && c->r.items[i].row == row) return &c->r.items[i];
    fail_msg("no %s from row %d", name, (int)row);
    return NULL;
}

/* --- verdicts --- */

static void set_types(struct fixture *f, enum dtype matrices)
{
    for (size_t i = 0; i < f->n_tensors; i++)
        if (f->tensors[i].n_dims == 2) f->tensors[i].dtype = matrices;
}

/* A: a llama folder of that type. B: what lathe-convert makes of it. */
static void verdict_of_casts(void **state)
{
    (void)state;
    static const struct {
        enum dtype source;
        const char *type;
        enum weight_verdict matrices;
    } cases[] = {{DTYPE_F32, "f32", WEIGHT_EXACT},   {DTYPE_BF16, "keep", WEIGHT_EXACT}, {DTYPE_F32, "bf16", WEIGHT_CAST},
                 {DTYPE_BF16, "f32", WEIGHT_CAST},   {DTYPE_BF16, "f16", WEIGHT_CAST},   {DTYPE_F32, "q8_0", WEIGHT_QUANTIZED},
                 {DTYPE_F32, "q4_0", WEIGHT_QUANTIZED}};
    struct fixture_sizes sizes = fixture_sizes_default;
    sizes.ff = 64;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int other_way = 0; other_way < 2; other_way++) {
            struct fixture f;
            struct comparison c;
            fixture_llama(&f, &sizes);
            set_types(&f, cases[i].source);
            const char *gguf = convert(fixture_write(&f), "cast.gguf", cases[i].type);
            compare(&c, other_way ? gguf : f.dir, other_way ? f.dir : gguf);
            assert_int_equal(c.r.n_different, 0);
            assert_int_equal(count(&c, cases[i].matrices) >= 16, 1);
            for (size_t k = 0; k < c.r.n; k++) { /* norms are F32 on both sides */
                bool vector = strstr(c.r.items[k].name, "norm") != NULL;
                assert_int_equal(c.r.items[k].verdict, vector ? WEIGHT_EXACT : cases[i].matrices);
            }
            end(&c);
            fixture_clear(&f);
        }
}

/* Row r of a head of 8 rows in halves is row 2 (r % 4) + r / 4 in pairs. */
static int64_t in_pairs(int64_t row)
{
    return row - row % 8 + 2 * (row % 4) + row % 8 / 4;
}

static void verdict_different_names_rows(void **state)
{
    (void)state;
    struct fixture f;
    struct comparison c;
    fixture_llama(&f, NULL);
    const char *gguf = convert(fixture_write(&f), "right.gguf", "f32");
    float *q = fixture_find(&f, "model.layers.1.self_attn.q_proj.weight")->data;
    q[13 * 32 + 5] += 1; /* rows 13 and 3 of q, element 7 of a norm, the last row of the output */
    q[3 * 32] += 0.5f;
    fixture_find(&f, "model.norm.weight")->data[7] = NAN;
    fixture_find(&f, "lm_head.weight")->data[39 * 32 + 31] *= 1.0001f;
    compare(&c, fixture_write(&f), gguf);
    assert_int_equal(c.r.n_different, 3);
    const struct weight_result *r = find(&c, "blk.1.attn_q.weight", 0);
    int64_t first = in_pairs(13) < in_pairs(3) ? in_pairs(13) : in_pairs(3);
    assert_int_equal(r->verdict, WEIGHT_DIFFERENT);
    assert_int_equal(r->n_rows_different, 2);
    assert_int_equal(r->first_row, first);
    assert_true(fabs(r->max_abs_diff - 1) < 1e-6 && fabs(r->rms_diff - sqrt(1.25 / 1024)) < 1e-6);
    assert_string_equal(r->source, "model.layers.1.self_attn.q_proj.weight");
    r = find(&c, "output_norm.weight", 0);
    assert_true(r->n_rows_different == 1 && r->first_row == 7 && isinf(r->max_abs_diff));
    r = find(&c, "output.weight", 0);
    assert_true(r->n_rows_different == 1 && r->first_row == 39);
    end(&c);
    fixture_clear(&f);
}

static void verdict_missing_and_extra(void **state)
{
    (void)state;
    struct fixture f, g;
    struct comparison c;
    fixture_llama(&f, NULL);
    fixture_llama(&g, NULL);
    fixture_config(&g, "attention_bias", "true");
    for (int layer = 0; layer < 2; layer++) {
        static const struct {
            const char *name;
            int64_t n;
        } biases[] = {{"q", 32}, {"k", 16}, {"v", 16}, {"o", 32}};
        for (size_t i = 0; i < COUNT(biases); i++) {
            char name[96];
            snprintf(name, sizeof name, "model.layers.%d.self_attn.%s_proj.bias", layer, biases[i].name);
            fixture_add(&g, name, 1, &biases[i].n);
        }
    }
    const char *gguf = convert(fixture_write(&g), "biases.gguf", "f32");
    compare(&c, fixture_write(&f), g.dir);
    assert_int_equal(count(&c, WEIGHT_EXTRA), 8);
    assert_null(find(&c, "model.layers.0.self_attn.k_proj.bias", 0)->source);
    check_all(&c, WEIGHT_EXACT, 8);
    end(&c);
    compare(&c, gguf, f.dir);
    assert_int_equal(count(&c, WEIGHT_MISSING), 8);
    assert_int_equal(find(&c, "blk.1.attn_output.bias", 0)->verdict, WEIGHT_MISSING);
    assert_int_equal(c.r.n_different, 8);
    assert_int_equal(c.r.n_beyond, 0);
    end(&c);
    fixture_clear(&f);
    fixture_clear(&g);
}

/* BF16 cut off instead of rounded, as some tools make it: no cast gives these numbers, and no row is further off than BF16 explains. */
static void cut_off_instead_of_rounded(void **state)
{
    (void)state;
    struct fixture f;
    struct comparison c;
    struct buf bytes = {0};
    struct checkpoint *wide, *narrow;
    fixture_llama(&f, NULL);
    char cut[512]; /* temp_path keeps a few only */
    snprintf(cut, sizeof cut, "%s", convert(fixture_write(&f), "cut.gguf", "bf16"));
    must(ckpt_open(&wide, convert(f.dir, "wide.gguf", "f32"), &err), "wide");
    must(ckpt_open(&narrow, cut, &err), "narrow");
    must(file_read_all(&bytes, cut, 1 << 22, &err), cut);
    for (size_t i = 0; i < narrow->n_tensors; i++) {
        const struct ckpt_tensor *t = &narrow->tensors[i];
        float x[61 * 48];
        if (t->t->dtype != DTYPE_BF16) continue;
        must(ckpt_read(ckpt_find(wide, t->t->name), 0, x, (size_t)t->t->n_elements * sizeof *x, &err), t->t->name);
        for (int64_t k = 0; k < t->t->n_elements; k++) memcpy(bytes.data + t->t->off_file + 2 * k, (const char *)&x[k] + 2, 2);
    }
    must(file_write_whole(cut, OUTFILE_REPLACE, bytes.data, bytes.len, &err), cut);
    compare(&c, f.dir, cut);
    assert_true(count(&c, WEIGHT_DIFFERENT) >= 16);
    assert_int_equal(c.r.n_beyond, 0);
    end(&c);
    buf_clear(&bytes);
    ckpt_close(wide);
    ckpt_close(narrow);
    fixture_clear(&f);
}

static void sizes_that_differ_are_refused(void **state)
{
    (void)state;
    struct fixture f, g;
    struct fixture_sizes wide = fixture_sizes_default;
    struct workers *w;
    struct weights_report r;
    struct progress quiet = {0};
    wide.ff = 64;
    fixture_llama(&f, NULL);
    fixture_llama(&g, &wide);
    must(workers_new(&w, 1, &err), "workers");
    struct model *a = family_open(fixture_write(&f)), *b = family_open(fixture_write(&g));
    assert_int_equal(weights_compare(a, b, w, &quiet, &r, &err), STATUS_MISMATCH);
    assert_non_null(strstr(err.text, "expected 48 x 32 as 'model.layers.0.mlp.gate_proj.weight'"));
    model_close(a);
    model_close(b);
    workers_free(w);
    fixture_clear(&f);
    fixture_clear(&g);
}

/* --- pairs --- */

static void meta_and_hugging_face(void **state)
{
    (void)state;
    static const char *const folders[] = {"llama2/two", "llama3"};
    char hf[600], meta[600];
    snprintf(hf, sizeof hf, "%s/tests/vectors/meta/hf", root());
    for (size_t i = 0; i < COUNT(folders); i++)
        for (int other_way = 0; other_way < 2; other_way++) {
            struct comparison c;
            snprintf(meta, sizeof meta, "%s/tests/vectors/meta/%s", root(), folders[i]);
            compare(&c, other_way ? hf : meta, other_way ? meta : hf);
            assert_int_equal(c.r.n, 21);
            check_all(&c, WEIGHT_EXACT, 0);
            end(&c);
        }
}

/* Tied; untied with an equal matrix; untied with another: against each other, and the GGUF of each */
static void tied_and_untied(void **state)
{
    (void)state;
    struct fixture tied, equal, own;
    fixture_llama(&tied, NULL);
    fixture_llama(&equal, NULL);
    fixture_llama(&own, NULL);
    fixture_config(&tied, "tie_word_embeddings", "true");
    fixture_config(&equal, "tie_word_embeddings", "false");
    fixture_remove(&tied, "lm_head.weight");
    memcpy(fixture_find(&equal, "lm_head.weight")->data, fixture_find(&equal, "model.embed_tokens.weight")->data,
           (size_t)fixture_find(&equal, "lm_head.weight")->n_elements * sizeof(float));
    fixture_write(&tied);
    fixture_write(&equal);
    fixture_write(&own);
    const char *paths[6] = {tied.dir, equal.dir, own.dir, convert(tied.dir, "tied.gguf", "f32"), convert(equal.dir, "equal.gguf", "f32"),
                            convert(own.dir, "own.gguf", "f32")};
    for (int a = 0; a < 6; a++)
        for (int b = 0; b < 6; b++) {
            struct comparison c;
            bool same = (a % 3 == 2) == (b % 3 == 2);
            compare(&c, paths[a], paths[b]);
            if ((c.r.n_different == 0) != same) fail_msg("%s against %s", paths[a], paths[b]);
            if (!same) { /* the output matrix of one against the embedding of the other */
                assert_int_equal(count(&c, WEIGHT_DIFFERENT), 1);
                assert_int_equal(c.r.n_different, 1);
            }
            end(&c);
        }
    fixture_clear(&tied);
    fixture_clear(&equal);
    fixture_clear(&own);
}

/* Floats of a tensor of a folder, from a row on */
static void copy_rows(const struct model *m, const char *name, int64_t row, struct fixture_tensor *to)
{
    const struct ckpt_tensor *t = ckpt_find(m->ckpt, name);
    if (!t) fail_msg("no %s", name);
    int64_t cols = to->n_dims > 1 ? to->shape[1] : 1;
    must(ckpt_read(t, (uint64_t)(row * cols) * sizeof(float), to->data, (size_t)to->n_elements * sizeof(float), &err), name);
}

/* What THUDM publishes as chatglm (one matrix for q, k and v) as transformers' glm has it (three of them) */
static void write_split(struct fixture *f, const struct model *m)
{
    static const struct {
        const char *to, *from;
        int64_t row, shape[2]; /* shape[1] 0: a vector */
    } map[] = {{"model.embed_tokens.weight", "transformer.embedding.word_embeddings.weight", 0, {61, 32}},
               {"model.layers.%d.input_layernorm.weight", "transformer.encoder.layers.%d.input_layernorm.weight", 0, {32, 0}},
               {"model.layers.%d.self_attn.q_proj.weight", "transformer.encoder.layers.%d.self_attention.query_key_value.weight", 0, {32, 32}},
               {"model.layers.%d.self_attn.k_proj.weight", "transformer.encoder.layers.%d.self_attention.query_key_value.weight", 32, {16, 32}},
               {"model.layers.%d.self_attn.v_proj.weight", "transformer.encoder.layers.%d.self_attention.query_key_value.weight", 48, {16, 32}},
               {"model.layers.%d.self_attn.q_proj.bias", "transformer.encoder.layers.%d.self_attention.query_key_value.bias", 0, {32, 0}},
               {"model.layers.%d.self_attn.k_proj.bias", "transformer.encoder.layers.%d.self_attention.query_key_value.bias", 32, {16, 0}},
               {"model.layers.%d.self_attn.v_proj.bias", "transformer.encoder.layers.%d.self_attention.query_key_value.bias", 48, {16, 0}},
               {"model.layers.%d.self_attn.o_proj.weight", "transformer.encoder.layers.%d.self_attention.dense.weight", 0, {32, 32}},
               {"model.layers.%d.post_attention_layernorm.weight", "transformer.encoder.layers.%d.post_attention_layernorm.weight", 0, {32, 0}},
               {"model.layers.%d.mlp.gate_up_proj.weight", "transformer.encoder.layers.%d.mlp.dense_h_to_4h.weight", 0, {64, 32}},
               {"model.layers.%d.mlp.down_proj.weight", "transformer.encoder.layers.%d.mlp.dense_4h_to_h.weight", 0, {32, 32}},
               {"model.norm.weight", "transformer.encoder.final_layernorm.weight", 0, {32, 0}},
               {"lm_head.weight", "transformer.output_layer.weight", 0, {61, 32}}};
    static const char *const keys[][2] = {
        {"model_type", "\"glm\""}, {"architectures", "[\"GlmForCausalLM\"]"}, {"num_hidden_layers", "2"}, {"hidden_size", "32"},
        {"max_position_embeddings", "48"}, {"intermediate_size", "32"}, {"num_attention_heads", "4"}, {"num_key_value_heads", "2"},
        {"head_dim", "8"}, {"vocab_size", "61"}, {"rms_norm_eps", "1e-05"}, {"hidden_act", "\"silu\""}, {"attention_bias", "true"},
        {"partial_rotary_factor", "0.5"}, {"tie_word_embeddings", "false"}};
    fixture_llama(f, NULL);
    while (f->n_tensors > 0) fixture_remove(f, f->tensors[0].name);
    f->n_config = 0;
    for (size_t i = 0; i < COUNT(keys); i++) fixture_config(f, keys[i][0], keys[i][1]);
    for (size_t i = 0; i < COUNT(map); i++)
        for (int layer = 0; layer < (strstr(map[i].to, "%d") ? 2 : 1); layer++) {
            char to[96], from[128];
            snprintf(to, sizeof to, map[i].to, layer);
            snprintf(from, sizeof from, map[i].from, layer);
            copy_rows(m, from, map[i].row, fixture_add(f, to, map[i].shape[1] ? 2 : 1, map[i].shape));
        }
    fixture_write(f);
}

static void fused_and_split(void **state)
{
    (void)state;
    const struct family_row *row = NULL;
    for (size_t i = 0; i < n_family_models; i++)
        if (strcmp(family_models[i].arch->family, "chatglm2") == 0) row = &family_models[i];
    struct family_model fused;
    struct fixture split;
    struct comparison c;
    family_write(&fused, row, &family_sizes_small, false);
    struct model *m = family_open(fused.dir);
    write_split(&split, m);
    const char *fused_gguf = convert(fused.dir, "fused.gguf", "f32"), *split_gguf = convert(split.dir, "split.gguf", "f32");
    const char *fused_forms[] = {fused.dir, fused_gguf}, *split_forms[] = {split.dir, split_gguf};
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            compare(&c, fused_forms[a], split_forms[b]);
            check_all(&c, WEIGHT_EXACT, 0);
            end(&c);
            compare(&c, split_forms[b], fused_forms[a]);
            check_all(&c, WEIGHT_EXACT, 0);
            end(&c);
        }
    /* row 5 of the values: row 53 of the fused matrix */
    fixture_find(&split, "model.layers.1.self_attn.v_proj.weight")->data[5 * 32 + 1] += 1;
    fixture_write(&split);
    compare(&c, split.dir, fused_gguf);
    assert_int_equal(c.r.n_different, 1);
    const struct weight_result *r = find(&c, "blk.1.attn_qkv.weight", 48);
    assert_true(r->is_part && r->verdict == WEIGHT_DIFFERENT && r->n_rows == 16 && r->n_rows_different == 1 && r->first_row == 53);
    assert_string_equal(r->source, "model.layers.1.self_attn.v_proj.weight");
    end(&c);
    model_close(m);
    family_clear(&fused);
    fixture_clear(&split);
}

/* Gate and up apart on one side: no two families that are read here differ in that alone, so the pairing is given tensors made by hand. */
static void gate_and_up(void **state)
{
    (void)state;
    static const struct arch arch = {.family = "made up", .gguf_arch = "made up"};
    char here[] = "here";
    struct checkpoint ckpt = {.path = here};
    const struct model m = {.arch = &arch, .ckpt = &ckpt};
    const struct canonical_part both[2] = {{ROLE_FFN_GATE, 0, 5}, {ROLE_FFN_UP, 5, 5}};
    struct canonical_tensor fused = {.name = "blk.0.ffn_up.weight", .stored = "f", .role = ROLE_FFN_UP, .n_rows = 10, .n_cols = 3, .n_parts = 2};
    memcpy(fused.parts, both, sizeof both);
    struct canonical_tensor apart[2] = {
        {.name = "blk.0.ffn_gate.weight", .stored = "g", .role = ROLE_FFN_GATE, .n_rows = 5, .n_cols = 3, .n_parts = 1, .parts = {{ROLE_FFN_GATE, 0, 5}}},
        {.name = "blk.0.ffn_up.weight", .stored = "u", .role = ROLE_FFN_UP, .n_rows = 5, .n_cols = 3, .n_parts = 1, .parts = {{ROLE_FFN_UP, 0, 5}}}};
    const struct canonical a = {.m = &m, .tensors = &fused, .n = 1}, b = {.m = &m, .tensors = apart, .n = 2};
    struct weight_pairs p;
    must(weight_pairs_make(&p, &a, &b, &err), "pairs");
    assert_int_equal(p.n, 2);
    for (int i = 0; i < 2; i++)
        assert_true(p.items[i].a == &fused && p.items[i].b == &apart[i] && p.items[i].row_a == 5 * i && p.items[i].row_b == 0 && p.items[i].n_rows == 5);
    weight_pairs_clear(&p);
    must(weight_pairs_make(&p, &b, &a, &err), "pairs");
    assert_int_equal(p.n, 2);
    for (int i = 0; i < 2; i++)
        assert_true(p.items[i].a == &apart[i] && p.items[i].b == &fused && p.items[i].row_b == 5 * i && p.items[i].n_rows == 5);
    weight_pairs_clear(&p);
    /* the gate alone: up is extra */
    const struct canonical gate = {.m = &m, .tensors = apart, .n = 1};
    must(weight_pairs_make(&p, &gate, &a, &err), "pairs");
    assert_int_equal(p.n, 2);
    assert_true(!p.items[1].a && p.items[1].b == &fused && p.items[1].row_b == 5);
    weight_pairs_clear(&p);
}

/* Rows in halves against rows in pairs: no side knows the other's order. */
static void row_orders_are_not_mixed(void **state)
{
    (void)state;
    static const struct arch pairs = {.gguf_arch = "pairs", .uses_rope = true, .gguf = {.rope_style = ROPE_PAIRS}},
                             halves = {.gguf_arch = "halves", .uses_rope = true, .gguf = {.rope_style = ROPE_HALVES}};
    char here[] = "here";
    struct checkpoint ckpt = {.path = here};
    const struct model m = {.arch = &pairs, .ckpt = &ckpt}, n = {.arch = &halves, .ckpt = &ckpt};
    const struct canonical a = {.m = &m}, b = {.m = &n};
    struct weight_pairs p;
    assert_int_equal(weight_pairs_make(&p, &a, &b, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "orders the rows of rotated heads otherwise"));
}

/* Each family's own folder against the file that convert makes of it, and back */
static void every_family(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_family_models; i++) {
        struct family_model f;
        struct comparison c;
        family_write(&f, &family_models[i], &family_sizes_small, false);
        const char *gguf = convert(f.dir, "family.gguf", "f32");
        for (int other_way = 0; other_way < 2; other_way++) {
            compare(&c, other_way ? gguf : f.dir, other_way ? f.dir : gguf);
            if (c.r.n_different > 0) fail_msg("%s: %zu tensors", f.row->arch->family, c.r.n_different);
            assert_true(c.r.n >= 10);
            end(&c);
        }
        family_clear(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdict_of_casts),
        cmocka_unit_test(verdict_different_names_rows),
        cmocka_unit_test(verdict_missing_and_extra),
        cmocka_unit_test(cut_off_instead_of_rounded),
        cmocka_unit_test(sizes_that_differ_are_refused),
        cmocka_unit_test(meta_and_hugging_face),
        cmocka_unit_test(tied_and_untied),
        cmocka_unit_test(fused_and_split),
        cmocka_unit_test(gate_and_up),
        cmocka_unit_test(row_orders_are_not_mixed),
        cmocka_unit_test(every_family),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
