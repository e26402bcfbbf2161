/* Plans: exact sizes and offsets before any data is touched, refusals, what --dry-run prints. */
#include "core/plan.h"
#include "core/plan_report.h"
#include "core/rewrite.h"
#include "tests/unit/temp_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;

static void add(struct plan *p, const struct checkpoint *c, const char *name, enum dtype to,
                enum transform transform, int64_t heads)
{
    struct plan_tensor t = {.name = name, .to = to, .transform = transform, .args = {.heads = heads}, .why = "matrix"};
    if (plan_add(p, &t, ckpt_find(c, name), &err) != STATUS_OK) fail_msg("%s: %s", name, err.text);
}

static const struct temp_tensor sources[] = {
    {"a", DTYPE_F32, 2, {3, 7}, NULL},  {"b", DTYPE_F32, 2, {64, 32}, NULL}, {"c", DTYPE_F32, 1, {5}, NULL},
    {"d", DTYPE_F32, 2, {16, 9}, NULL}, {"e", DTYPE_F32, 2, {16, 9}, NULL},
};
enum { N_SOURCES = sizeof sources / sizeof sources[0] };

static void test_layout(void **state)
{
    (void)state;
    struct checkpoint *c = temp_model("in.gguf", sources, N_SOURCES);
    struct plan p = {0};
    gguf_put_string(&p.out, "general.architecture", "llama");
    gguf_put_string(&p.out, "k", "0123456789");
    gguf_put_u32(&p.out, "n", 7);
    add(&p, c, "a", DTYPE_F32, TRANSFORM_TRANSPOSE, 0);
    add(&p, c, "b", DTYPE_Q8_0, TRANSFORM_ROPE_ROWS, 2);
    add(&p, c, "c", DTYPE_F16, TRANSFORM_NONE, 0);
    assert_int_equal(plan_layout(&p, &err), STATUS_OK);
    /* header: 24; keys 8+20+4+8+5, 8+1+4+8+10, 8+1+4+4; tensors 8+1+4+8*n+4+8: 41, 41, 33; padded to 32 */
    assert_int_equal(24 + 45 + 31 + 17 + 41 + 41 + 33, 232);
    assert_int_equal(p.out.header.len, 256);
    assert_int_equal(p.out.tensors[0].size_bytes, 84);
    assert_int_equal(p.out.tensors[0].off_file, 256);
    assert_int_equal(p.out.tensors[0].shape[0], 7);
    assert_int_equal(p.out.tensors[1].off_file, 256 + 96);
    assert_int_equal(p.out.tensors[1].size_bytes, 64 * 34);
    assert_int_equal(p.out.tensors[2].size_bytes, 10);
    assert_int_equal(p.out.size_bytes, 256 + 96 + 2176 + 32);
    assert_int_equal(p.source_bytes, 84 + 8192 + 20);
    assert_int_equal(plan_string_offset(&p, "k"), 24 + 45 + 8 + 1 + 4 + 8);
    assert_memory_equal(p.out.header.data + plan_string_offset(&p, "k"), "0123456789", 10);
    assert_int_equal(plan_string_offset(&p, "n"), 0);
    assert_int_equal(plan_string_offset(&p, "none"), 0);
    assert_int_equal(plan_main_type(&p), DTYPE_Q8_0);
    plan_clear(&p);
    ckpt_close(c);
}

static void test_refusals(void **state)
{
    (void)state;
    struct checkpoint *c = temp_model("in.gguf", sources, N_SOURCES);
    struct plan p = {0};
    struct plan_tensor t = {.name = "x", .to = DTYPE_F32, .transform = TRANSFORM_TRANSPOSE, .why = "matrix"};
    assert_int_equal(plan_layout(&p, &err), STATUS_NOTFOUND);
    assert_int_equal(plan_add(&p, &t, ckpt_find(c, "c"), &err), STATUS_RANGE);
    assert_string_equal(err.tensor, "c");
    assert_string_equal(err.text, "cannot transpose: expected 2 dimensions, found 1");
    t = (struct plan_tensor){.name = "x", .to = DTYPE_Q8_0, .why = "matrix"};
    assert_int_equal(plan_add(&p, &t, ckpt_find(c, "a"), &err), STATUS_RANGE); /* 7 columns */
    assert_string_equal(err.tensor, "a");
    t.to = DTYPE_IQ2_XXS;
    assert_int_equal(plan_add(&p, &t, ckpt_find(c, "b"), &err), STATUS_UNSUPPORTED);
    assert_string_equal(err.text, "cannot turn f32 into iq2_xxs");
    t.to = DTYPE_F64;
    struct plan_source differ[2] = {{.t = ckpt_find(c, "a")}, {.t = ckpt_find(c, "d")}};
    t = (struct plan_tensor){
        .name = "x", .to = DTYPE_F32, .sources = differ, .n_sources = 2, .why = "matrix"};
    assert_int_equal(plan_add(&p, &t, NULL, &err), STATUS_MISMATCH);
    assert_int_equal(p.n_tensors, 0);
    add(&p, c, "a", DTYPE_F32, TRANSFORM_NONE, 0);
    add(&p, c, "a", DTYPE_F32, TRANSFORM_NONE, 0);
    assert_int_equal(plan_layout(&p, &err), STATUS_RANGE); /* the same name twice */
    plan_clear(&p);
    ckpt_close(c);
}

static void test_print(void **state)
{
    (void)state;
    struct checkpoint *c = temp_model("in.gguf", sources, N_SOURCES);
    struct plan p = {0};
    struct buf b = {0};
    gguf_put_string(&p.out, "general.name", "a\nb");
    gguf_put_array(&p.out, "list", KV_I32, 6, (int32_t[]){-1, 2, 3, 4, 5, 6});
    gguf_put_array(&p.out, "words", KV_STRING, 2, (struct kv_string[]){{"one", 3}, {"two", 3}});
    gguf_put_f32(&p.out, "eps", 1e-5f);
    add(&p, c, "b", DTYPE_F16, TRANSFORM_ROPE_ROWS, 2);
    assert_int_equal(plan_drop(&p, ckpt_find(c, "c"), "no weight", &err), STATUS_OK);
    assert_int_equal(plan_layout(&p, &err), STATUS_OK);
    plan_print(&p, &b);
    assert_string_equal(b.data,
                        "metadata (4 keys)\n"
                        "  general.name                                 string          \"a\\x0ab\"\n"
                        "  list                                         i32[6]          -1, 2, 3, 4, ...\n"
                        "  words                                        string[2]       \"one\", \"two\"\n"
                        "  eps                                          f32             9.99999975e-06\n"
                        "tensors (1)\n"
                        "  b                                  F16   64 x 32                   4096  F32, b, "
                        "rope_rows of 2 heads (matrix)\n"
                        "left out (1)\n"
                        "  c (no weight)\n"
                        "total 4320 bytes (4.22 KiB): header 224, tensors 4096\n");
    buf_clear(&b);

    struct jwriter w = {.out = &b};
    jw_begin_object(&w, NULL);
    plan_print_json(&p, &w);
    jw_end_object(&w);
    struct json *doc;
    assert_int_equal(json_parse(&doc, b.data, b.len, "plan", &err), STATUS_OK);
    const struct jvalue *plan = json_get(json_root(doc), "plan"),
                        *meta = json_first(json_get(plan, "metadata"));
    assert_string_equal(json_string(json_get(meta, "value")), "a\nb");
    int64_t n;
    meta = json_next(meta);
    assert_int_equal(json_int(doc, json_first(json_get(meta, "value")), &n, &err), STATUS_OK);
    assert_int_equal(n, -1);
    const struct jvalue *t = json_first(json_get(plan, "tensors"));
    assert_string_equal(json_string(json_get(t, "transform")), "rope_rows");
    assert_string_equal(json_string(json_get(t, "dtype")), "F16");
    assert_string_equal(json_string(json_get(json_first(json_get(t, "sources")), "name")), "b");
    json_free(doc);
    buf_clear(&b);
    plan_clear(&p);
    ckpt_close(c);
}

/* --- GGUF to GGUF --- */

static struct checkpoint *model_576(void)
{
    static float zeros[576 * 576];
    static const uint16_t half[576];
    static const struct temp_tensor tensors[] = {
        {"token_embd.weight", DTYPE_F32, 2, {64, 576}, NULL},
        {"blk.10.attn_q.weight", DTYPE_F32, 2, {576, 576}, zeros},
        {"blk.2.attn_q.weight", DTYPE_F32, 2, {576, 576}, zeros},
        {"blk.2.attn_norm.weight", DTYPE_F16, 1, {576}, half},
        {"output_norm.weight", DTYPE_F32, 1, {576}, zeros},
    };
    return temp_model("model.gguf", tensors, sizeof tensors / sizeof tensors[0]);
}

static void test_rewrite(void **state)
{
    (void)state;
    struct checkpoint *c = model_576();
    struct plan p = {0};
    struct warnings w = {0};
    struct plan_quantize_options q = {.recipe = recipe_by_name("Q6_K"), .types = RECIPE_OPTIONS_INIT};
    struct rewrite_options opt = {.quantize = &q};
    assert_int_equal(plan_rewrite(&p, c, &opt, &w, &err), STATUS_OK);
    assert_int_equal(plan_layout(&p, &err), STATUS_OK);
    /* llama-quantize's order: outside of blocks first, then by block number, by name inside */
    static const char *const names[] = {"output_norm.weight", "token_embd.weight", "blk.2.attn_norm.weight",
                                        "blk.2.attn_q.weight", "blk.10.attn_q.weight"};
    static const enum dtype types[] = {DTYPE_F32, DTYPE_Q8_0, DTYPE_F16, DTYPE_Q8_0, DTYPE_Q8_0};
    assert_int_equal(p.n_tensors, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(p.tensors[i].name, names[i]);
        assert_int_equal(p.tensors[i].to, types[i]);
    }
    assert_int_equal(p.out.n_kvs, 3);
    assert_string_equal(p.out.kvs[0].key, "general.architecture");
    assert_string_equal(p.out.kvs[1].key, "general.quantization_version");
    assert_int_equal(p.out.kvs[1].v.u, 2);
    assert_string_equal(p.out.kvs[2].key, "general.file_type");
    assert_int_equal(p.out.kvs[2].v.u, 18);
    report_fallbacks(&p, &w);
    assert_int_equal(w.count, 1);
    assert_string_equal(w.items[0].code, "type-fallback");
    /* 2 * 576 * 576 weights at 8.5 and 6.5625 bits: 705024 and 544320 bytes. The tied table is Q8_0 by its own rule. */
    assert_string_equal(
        w.items[0].text,
        "2 of 5 tensors have rows that are no multiple of 256: Q8_0 instead of Q6_K, 157 KiB more (--dry-run tells each)");
    warnings_clear(&w);
    plan_clear(&p);

    opt.quantize = NULL; /* nothing changes, the order neither */
    assert_int_equal(plan_rewrite(&p, c, &opt, &w, &err), STATUS_OK);
    assert_int_equal(plan_layout(&p, &err), STATUS_OK);
    assert_string_equal(p.tensors[1].name, "blk.10.attn_q.weight");
    assert_int_equal(p.out.n_kvs, 1);
    assert_int_equal(p.out.size_bytes, c->files[0]->file.size_bytes);
    plan_clear(&p);
    ckpt_close(c);
}

static void test_requantize(void **state)
{
    (void)state;
    static unsigned char blocks[4 * 34];
    struct temp_tensor t = {"blk.0.attn_q.weight", DTYPE_Q8_0, 2, {4, 32}, blocks};
    struct checkpoint *c = temp_model("q.gguf", &t, 1);
    struct plan p = {0};
    struct warnings w = {0};
    struct plan_quantize_options q = {.recipe = recipe_by_name("Q4_0"), .types = RECIPE_OPTIONS_INIT};
    struct rewrite_options opt = {.quantize = &q};
    assert_int_equal(plan_rewrite(&p, c, &opt, &w, &err), STATUS_UNSUPPORTED);
    assert_string_equal(err.tensor, "blk.0.attn_q.weight");
    assert_string_equal(err.text, "is Q8_0 already; a second quantization adds its error to the first's");
    plan_clear(&p);
    q.allow_requantize = true;
    assert_int_equal(plan_rewrite(&p, c, &opt, &w, &err), STATUS_OK);
    assert_true(warnings_has(&w, "requantized"));
    warnings_clear(&w);
    assert_int_equal(p.tensors[0].to, DTYPE_Q4_0);
    plan_clear(&p);
    q = (struct plan_quantize_options){.recipe = recipe_by_name("Q8_0"), .types = RECIPE_OPTIONS_INIT}; /* the type it has: copied */
    assert_int_equal(plan_rewrite(&p, c, &opt, &w, &err), STATUS_OK);
    assert_int_equal(p.tensors[0].to, DTYPE_Q8_0);
    plan_clear(&p);
    ckpt_close(c);
}

/* A matrix with entries of the wrong size: an error, but for the token embedding, whose rows are looked up. */
static void test_imatrix_sizes(void **state)
{
    (void)state;
    static struct imatrix_entry entries[] = {{.name = "blk.0.attn_q.weight", .n_values = 32, .n_counts = 1},
                                             {.name = "blk.0.ffn_up_exps.weight", .n_values = 64, .n_counts = 2},
                                             {.name = "token_embd.weight", .n_values = 7, .n_counts = 1}};
    struct imatrix im = {.path = "im.gguf", .entries = entries, .n_entries = 3};
    for (size_t i = 0; i < 3; i++) assert_int_equal(strmap_add(&im.by_name, entries[i].name, i, NULL, &err), STATUS_OK);
    struct temp_tensor tensors[] = {{"token_embd.weight", DTYPE_F32, 2, {4, 32}, NULL},
                                    {"blk.0.attn_q.weight", DTYPE_F32, 2, {4, 32}, NULL},
                                    {"blk.0.attn_k.weight", DTYPE_F32, 2, {4, 32}, NULL},
                                    {"blk.0.ffn_up_exps.weight", DTYPE_F32, 3, {2, 4, 32}, NULL}};
    struct checkpoint *c = temp_model("im.gguf", tensors, 4);
    struct plan p = {0};
    struct warnings w = {0};
    struct plan_quantize_options q = {.recipe = recipe_by_name("Q4_0"), .types = RECIPE_OPTIONS_INIT, .imatrix = &im};
    struct rewrite_options opt = {.quantize = &q};
    assert_int_equal(plan_rewrite(&p, c, &opt, &w, &err), STATUS_OK);
    assert_string_equal(p.tensors[0].name, "token_embd.weight");
    assert_null(p.tensors[0].weights);
    assert_null(p.tensors[1].weights);
    assert_ptr_equal(p.tensors[2].weights, &entries[0]);
    assert_ptr_equal(p.tensors[3].weights, &entries[1]);
    assert_int_equal(plan_matrix_rows(&p.tensors[3]), 4);
    assert_int_equal(w.count, 1);
    assert_string_equal(w.items[0].text,
                        "1 tensors have no entry in the importance matrix and are quantized without: blk.0.attn_k.weight");
    plan_clear(&p);
    warnings_clear(&w);
    entries[0].n_values = 31;
    assert_int_equal(plan_rewrite(&p, c, &opt, &w, &err), STATUS_MISMATCH);
    assert_string_equal(err.tensor, "blk.0.attn_q.weight");
    assert_string_equal(err.text, "expected 32 importance weights, found 31");
    plan_clear(&p);
    warnings_clear(&w);
    strmap_clear(&im.by_name);
    ckpt_close(c);
}

static void test_strict(void **state)
{
    (void)state;
    struct warnings w = {0};
    warnings_note(&w, "tied-head-dropped", "stored once");
    assert_int_equal(report_strict(&w, "m", &err), STATUS_OK);
    warnings_add(&w, "config-key-unused", "key %d", 7);
    warnings_note(&w, "tied-head-dropped", "again");
    assert_int_equal(report_strict(&w, "m", &err), STATUS_UNSUPPORTED);
    assert_string_equal(err.text, "--strict: key 7 [config-key-unused]");
    struct buf b = {0};
    report_warnings(&w, "tool", &b);
    assert_string_equal(b.data, "tool: note: stored once [tied-head-dropped]\ntool: warning: key 7 [config-key-unused]\n"
                                "tool: note: again [tied-head-dropped]\n");
    buf_clear(&b);
    warnings_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),  cmocka_unit_test(test_refusals),   cmocka_unit_test(test_print),
        cmocka_unit_test(test_rewrite), cmocka_unit_test(test_requantize), cmocka_unit_test(test_imatrix_sizes), cmocka_unit_test(test_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
