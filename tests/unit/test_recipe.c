/* Types of tensors against what llama-quantize (llama.cpp as vendored by llama-cpp-python 0.3.36) gives the same names and shapes. */
#include "core/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *name;
    int64_t rows, cols; /* rows 0: a vector */
    enum dtype type;    /* DTYPE_COUNT: left alone */
};

static void expect(const char *recipe, bool pure, const char *arch, bool has_output, const struct row *rows)
{
    struct error err;
    struct recipe_facts facts = {.arch = arch, .has_output = has_output};
    const struct recipe *r = recipe_by_name(recipe);
    assert_non_null(r);
    struct recipe_options options = RECIPE_OPTIONS_INIT;
    options.pure = pure;
    struct recipe_state s = recipe_begin(r, &options, &facts);
    for (; rows->name; rows++) {
        int64_t matrix[2] = {rows->rows, rows->cols};
        struct recipe_choice c;
        bool is_vector = rows->rows == 0;
        assert_int_equal(
            recipe_choose(&s, rows->name, is_vector ? 1 : 2, is_vector ? &rows->cols : matrix, &c, &err),
            STATUS_OK);
        if (c.type != rows->type)
            fail_msg("%s: %s (%lld columns): expected %d, found %d", recipe, rows->name,
                     (long long)rows->cols, (int)rows->type, (int)c.type);
        assert_non_null(c.why);
        assert_int_equal(c.covered, rows->type != DTYPE_COUNT);
    }
}

static void test_llama_q4_0(void **state)
{
    (void)state;
    static const struct row untied[] = {
        {"token_embd.weight", 32000, 2048, DTYPE_Q4_0},
        {"output.weight", 32000, 2048, DTYPE_Q6_K},
        {"output_norm.weight", 0, 2048, DTYPE_COUNT},
        {"rope_freqs.weight", 0, 32, DTYPE_COUNT},
        {"blk.0.attn_k.weight", 256, 2048, DTYPE_Q4_0},
        {"blk.0.attn_norm.weight", 0, 2048, DTYPE_COUNT},
        {"blk.0.ffn_down.weight", 2048, 5632, DTYPE_Q4_0},
        {"blk.0.attn_q.bias", 0, 2048, DTYPE_COUNT},
        {NULL, 0, 0, DTYPE_COUNT},
    };
    static const struct row tied[] = {
        {"token_embd.weight", 32000, 2048, DTYPE_Q6_K},
        {"blk.0.attn_v.weight", 256, 2048, DTYPE_Q4_0},
        {NULL, 0, 0, DTYPE_COUNT},
    };
    expect("Q4_0", false, "llama", true, untied);
    expect("q4_0", false, "llama", false, tied);
}

static void test_rows_that_do_not_fit(void **state)
{
    (void)state;
    /* SmolLM2-135M: 576 is a multiple of 32 but not of 256; the down projection has 1536 columns */
    static const struct row q4_0[] = {
        {"token_embd.weight", 49152, 576, DTYPE_Q8_0}, /* Q6_K for the tied table, which falls back */
        {"blk.0.attn_q.weight", 576, 576, DTYPE_Q4_0},
        {"blk.0.ffn_down.weight", 576, 1536, DTYPE_Q4_0},
        {NULL, 0, 0, DTYPE_COUNT},
    };
    static const struct row q6_k[] = {
        {"token_embd.weight", 49152, 576, DTYPE_Q8_0},
        {"blk.0.attn_q.weight", 576, 576, DTYPE_Q8_0},
        {"blk.0.ffn_down.weight", 576, 1536, DTYPE_Q6_K},
        {NULL, 0, 0, DTYPE_COUNT},
    };
    static const struct row odd[] = {{"blk.0.attn_q.weight", 48, 48, DTYPE_F16},
                                     {"output.weight", 64, 48, DTYPE_F16},
                                     {NULL, 0, 0, DTYPE_COUNT}};
    expect("Q4_0", false, "llama", false, q4_0);
    expect("Q6_K", false, "llama", false, q6_k);
    expect("Q8_0", false, "llama", true, odd);
    expect("Q4_0", false, "llama", true, odd);
    expect("Q6_K", false, "llama", true, odd);

    struct error err;
    struct recipe_facts facts = {.arch = "llama"};
    struct recipe_choice c;
    struct recipe_options options = RECIPE_OPTIONS_INIT;
    struct recipe_state s = recipe_begin(recipe_by_name("Q6_K"), &options, &facts);
    assert_int_equal(recipe_choose(&s, "blk.0.attn_q.weight", 2, (int64_t[]){576, 576}, &c, &err), STATUS_OK);
    assert_int_equal(c.wanted, DTYPE_Q6_K);
}

static void test_falcon_output(void **state)
{
    (void)state;
    static const struct row rows[] = {{"output.weight", 65024, 4096, DTYPE_Q8_0},
                                      {"blk.0.attn_qkv.weight", 4672, 4096, DTYPE_Q4_0},
                                      {NULL, 0, 0, DTYPE_COUNT}};
    expect("Q4_0", false, "falcon", true, rows);
}

static void test_gpt2_exceptions(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"token_embd.weight", 50257, 768, DTYPE_Q8_0},
        {"position_embd.weight", 1024, 768, DTYPE_COUNT},
        {"blk.11.attn_qkv.weight", 2304, 768, DTYPE_Q8_0},
        {"blk.11.attn_qkv.bias", 0, 2304, DTYPE_COUNT},
        {"blk.11.ffn_norm.weight", 0, 768, DTYPE_COUNT},
        {"output_norm.bias", 0, 768, DTYPE_COUNT},
        {NULL, 0, 0, DTYPE_COUNT},
    };
    expect("Q8_0", false, "gpt2", false, rows);
}

static void test_names_left_alone(void **state)
{
    (void)state;
    /* one name for each rule, as upstream's tensor_allows_quantization refuses them; matrices, so that only the name decides */
    static const char *const names[] = {
        "blk.0.attn_q_norm.weight",
        "blk.0.ffn_gate_inp.weight",
        "blk.0.ffn_gate_tid2eid.weight",
        "blk.0.altup_router.weight",
        "blk.0.laurel_l.weight",
        "per_layer_model_proj.weight",
        "position_embd.weight",
        "token_types.weight",
        "blk.0.ssm_conv1d.weight",
        "blk.0.shortconv.conv.weight",
        "blk.0.indexer.k_proj.weight",
        "blk.0.indexer.q_proj.weight",
        "blk.0.time_mix_first.weight",
        "blk.0.time_mix_w0.weight",
        "blk.0.time_mix_w1.weight",
        "blk.0.time_mix_w2.weight",
        "blk.0.time_mix_v0.weight",
        "blk.0.time_mix_v1.weight",
        "blk.0.time_mix_v2.weight",
        "blk.0.time_mix_a0.weight",
        "blk.0.time_mix_a1.weight",
        "blk.0.time_mix_a2.weight",
        "blk.0.time_mix_g1.weight",
        "blk.0.time_mix_g2.weight",
        "blk.0.time_mix_decay_w1.weight",
        "blk.0.time_mix_decay_w2.weight",
        "blk.0.time_mix_lerp_fused.weight",
        "enc.blk.0.attn_rel_b.weight",
        "v.position_embd.weight",
        "v.sam.pos_embd.weight",
        "v.sam.neck.0.weight",
        "v.sam.net_2.weight",
        "v.blk.0.rel_pos_w.weight",
        "v.patch_embd.weight",
        "v.patch_merger.weight",
        "a.rvq.codebook.weight",
        "mm.a.code_embd.weight",
        "blk.0.attn_q.bias",
        "blk.0.attn_q.weight_scale",
    };
    const char *why;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (recipe_covers("llama", names[i], 2, (int64_t[]){64, 256}, &why)) fail_msg("%s is covered", names[i]);
        assert_non_null(why);
    }
    static const char *const covered[] = {"blk.0.attn_q.weight", "blk.0.ffn_gate_exps.weight",
                                          "token_embd.weight", "weight"};
    for (size_t i = 0; i < sizeof covered / sizeof covered[0]; i++)
        if (!recipe_covers("llama", covered[i], 2, (int64_t[]){64, 256}, &why))
            fail_msg("%s is not covered: %s", covered[i], why);
    /* dimensions of size 1 in front do not count, behind they do */
    assert_false(recipe_covers("llama", "blk.0.attn_q.weight", 2, (int64_t[]){1, 256}, &why));
    assert_false(recipe_covers("llama", "blk.0.attn_q.weight", 3, (int64_t[]){1, 1, 256}, &why));
    assert_true(recipe_covers("llama", "blk.0.attn_q.weight", 2, (int64_t[]){256, 1}, &why));
    assert_true(recipe_covers("llama", "blk.0.ffn_up_exps.weight", 3, (int64_t[]){8, 4, 256}, &why));
}

static void test_pure(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"token_embd.weight", 32000, 2048, DTYPE_Q4_0},
        {"output.weight", 32000, 2048, DTYPE_Q4_0},
        {"output_norm.weight", 0, 2048, DTYPE_COUNT},
        {"position_embd.weight", 64, 2048, DTYPE_COUNT},
        {NULL, 0, 0, DTYPE_COUNT},
    };
    static const struct row k[] = {{"blk.0.attn_q.weight", 576, 576, DTYPE_Q8_0}, {NULL, 0, 0, DTYPE_COUNT}};
    expect("Q4_0", true, "llama", true, rows);
    expect("Q6_K", true, "llama", true, k);
}

static void test_plain_types(void **state)
{
    (void)state;
    static const struct row f16[] = {
        {"token_embd.weight", 49152, 577, DTYPE_F16},
        {"output.weight", 49152, 577, DTYPE_F16},
        {"output_norm.weight", 0, 577, DTYPE_COUNT},
        {NULL, 0, 0, DTYPE_COUNT},
    };
    static const struct row bf16[] = {{"token_embd.weight", 49152, 577, DTYPE_BF16},
                                      {NULL, 0, 0, DTYPE_COUNT}};
    static const struct row f32[] = {{"token_embd.weight", 49152, 577, DTYPE_F32}, {NULL, 0, 0, DTYPE_COUNT}};
    expect("F16", false, "llama", true, f16);
    expect("BF16", false, "llama", false, bf16);
    expect("F32", false, "llama", false, f32);
}

static void test_table(void **state)
{
    (void)state;
    /* llama.h's enum llama_ftype */
    static const struct {
        const char *name;
        uint32_t file_type;
    } types[] = {{"F32", 0},      {"F16", 1},      {"BF16", 32},    {"COPY", 0},     {"Q1_0", 40},   {"Q2_0", 41},   {"IQ1_S", 24},
                 {"IQ1_M", 31},   {"TQ1_0", 36},   {"TQ2_0", 37},   {"IQ2_XXS", 19}, {"IQ2_XS", 20}, {"IQ2_S", 28},  {"IQ2_M", 29},
                 {"Q2_K_S", 21},  {"Q2_K", 10},    {"IQ3_XXS", 23}, {"IQ3_XS", 22},  {"Q3_K_S", 11}, {"IQ3_S", 26},  {"IQ3_M", 27},
                 {"Q3_K_M", 12},  {"Q3_K_L", 13},  {"IQ4_XS", 30},  {"IQ4_NL", 25},  {"Q4_0", 2},    {"Q4_K_S", 14}, {"Q4_1", 3},
                 {"Q4_K_M", 15},  {"Q5_0", 8},     {"Q5_K_S", 16},  {"Q5_1", 9},     {"Q5_K_M", 17}, {"Q6_K", 18},   {"Q8_0", 7},
                 {"MXFP4_MOE", 38}, {"MXFP4", 38}, {"NVFP4", 39}};
    size_t n = 0;
    while (recipe_list[n].name) n++;
    assert_int_equal(n, sizeof types / sizeof types[0]);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(recipe_by_name(types[i].name));
        assert_int_equal(recipe_by_name(types[i].name)->file_type, types[i].file_type);
    }
    assert_ptr_equal(recipe_by_name("q4_k"), recipe_by_name("Q4_K_M"));
    assert_ptr_equal(recipe_by_name("q5_K"), recipe_by_name("Q5_K_M"));
    assert_ptr_equal(recipe_by_name("Q3_K"), recipe_by_name("Q3_K_M"));

    struct error err;
    const struct recipe *r;
    assert_null(recipe_by_name("Q4_K_XXL"));
    assert_int_equal(recipe_find(&r, "Q4_K_XXL", &err), STATUS_USAGE);
    assert_string_equal(err.text, "type 'Q4_K_XXL' is not known here");
    assert_non_null(strstr(err.hint, "IQ2_XXS"));
    uint32_t file_type = 99;
    assert_true(recipe_file_type(DTYPE_BF16, &file_type));
    assert_int_equal(file_type, 32);
    assert_false(recipe_file_type(DTYPE_I8, &file_type));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_q4_0),       cmocka_unit_test(test_rows_that_do_not_fit),
        cmocka_unit_test(test_falcon_output),    cmocka_unit_test(test_gpt2_exceptions),
        cmocka_unit_test(test_names_left_alone), cmocka_unit_test(test_pure),
        cmocka_unit_test(test_plain_types),      cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
