/* Configurations of quantized checkpoints: which are understood, which are refused and how; and scales that do not fit. Values are compared in
 * tests/cli/shipping.sh. */
#include "models/model.h"
#include "tests/unit/fixtures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;
static struct warnings warn;

/* ---- quantization_config ---- */

#define GROUP(weights)                                                                                       \
    "{\"quant_method\": \"compressed-tensors\", \"format\": \"float-quantized\", \"config_groups\": "        \
    "{\"group_0\": {\"weights\": " weights "}}}"

static const struct {
    const char *json;
    enum status status;
    const char *text; /* the method, or what the error says */
    int64_t block_rows, block_cols;
} configs[] = {
    {"{\"quant_method\": \"fp8\"}", STATUS_OK, "fp8", 0, 0},
    {"{\"quant_method\": \"fp8\", \"weight_block_size\": null, \"activation_scheme\": \"static\"}", STATUS_OK,
     "fp8", 0, 0},
    {"{\"quant_method\": \"fp8\", \"fmt\": \"e4m3\", \"weight_block_size\": [128, 64]}", STATUS_OK, "fp8",
     128, 64},
    {"{\"quant_method\": \"fbgemm_fp8\", \"activation_scale_ub\": 1200.0}", STATUS_OK, "fbgemm_fp8", 0, 0},
    {"{\"quant_method\": \"modelopt\", \"quant_algo\": \"FP8\"}", STATUS_OK, "modelopt", 0, 0},
    {GROUP("{\"num_bits\": 8, \"type\": \"float\", \"strategy\": \"channel\", \"symmetric\": true}"),
     STATUS_OK, "compressed-tensors", 0, 0},
    {GROUP(
         "{\"num_bits\": 8, \"type\": \"float\", \"strategy\": \"block\", \"block_structure\": [128, 128]}"),
     STATUS_OK, "compressed-tensors", 128, 128},
    {GROUP("null"), STATUS_OK, "compressed-tensors", 0, 0},
    {"[]", STATUS_FORMAT, "expected an object", 0, 0},
    {"{}", STATUS_UNSUPPORTED,
     "quant_method': expected fp8, fbgemm_fp8, modelopt or compressed-tensors, found nothing", 0, 0},
    {"{\"quant_method\": \"gptq\", \"bits\": 4}", STATUS_UNSUPPORTED, "found \"gptq\"", 0, 0},
    {"{\"quant_method\": \"awq\"}", STATUS_UNSUPPORTED, "found \"awq\"", 0, 0},
    {"{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true}", STATUS_UNSUPPORTED,
     "found \"bitsandbytes\"", 0, 0},
    {"{\"quant_method\": \"mxfp4\"}", STATUS_UNSUPPORTED, "found \"mxfp4\"", 0, 0},
    {"{\"quant_method\": 8}", STATUS_UNSUPPORTED, "found 8", 0, 0},
    {"{\"quant_method\": \"fp8\", \"fmt\": \"e5m2\"}", STATUS_UNSUPPORTED,
     "fmt': expected e4m3, found \"e5m2\"", 0, 0},
    {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128]}", STATUS_UNSUPPORTED,
     "two positive integers, found [128]", 0, 0},
    {"{\"quant_method\": \"fp8\", \"weight_block_size\": [0, 128]}", STATUS_UNSUPPORTED,
     "two positive integers", 0, 0},
    {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 1e9]}", STATUS_UNSUPPORTED,
     "two positive integers", 0, 0},
    {"{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 4294967296]}", STATUS_UNSUPPORTED,
     "two positive integers", 0, 0},
    {"{\"quant_method\": \"fp8\", \"weight_block_size\": 128}", STATUS_UNSUPPORTED, "two positive integers",
     0, 0},
    {"{\"quant_method\": \"modelopt\", \"quant_algo\": \"NVFP4\"}", STATUS_UNSUPPORTED,
     "quant_algo': expected FP8, found \"NVFP4\"", 0, 0},
    {"{\"quant_method\": \"compressed-tensors\", \"format\": \"pack-quantized\"}", STATUS_UNSUPPORTED,
     "found \"pack-quantized\"", 0, 0},
    {"{\"quant_method\": \"compressed-tensors\"}", STATUS_UNSUPPORTED,
     "format': expected float-quantized, found nothing", 0, 0},
    {"{\"quant_method\": \"compressed-tensors\", \"format\": \"float-quantized\", \"sparsity_config\": "
     "{\"format\": \"sparse-24-bitmask\"}}",
     STATUS_UNSUPPORTED, "sparse-24", 0, 0},
    {"{\"quant_method\": \"compressed-tensors\", \"format\": \"float-quantized\", \"transform_config\": "
     "{\"a\": 1}}",
     STATUS_UNSUPPORTED, "transform_config", 0, 0},
    {GROUP("{\"num_bits\": 4, \"type\": \"float\"}"), STATUS_UNSUPPORTED, "num_bits': expected 8, found 4", 0,
     0},
    {GROUP("{\"num_bits\": 8, \"type\": \"int\"}"), STATUS_UNSUPPORTED,
     "type': expected float, found \"int\"", 0, 0},
    {GROUP("{\"num_bits\": 8, \"type\": \"float\", \"symmetric\": false}"), STATUS_UNSUPPORTED, "symmetric",
     0, 0},
    {GROUP("{\"num_bits\": 8, \"type\": \"float\", \"strategy\": \"group\"}"), STATUS_UNSUPPORTED,
     "found \"group\"", 0, 0},
};

static void test_configs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        char text[1024];
        struct json *doc;
        struct quant q;
        snprintf(text, sizeof text, "{\"quantization_config\": %s}", configs[i].json);
        assert_int_equal(json_parse(&doc, text, strlen(text), "config.json", &err), STATUS_OK);
        enum status st = quant_read(&q, doc, &err);
        if (st != configs[i].status) fail_msg("%s: %s %s", text, status_name(st), st ? err.text : "");
        const char *have = st == STATUS_OK ? q.method : err.text;
        if (!strstr(have, configs[i].text)) fail_msg("%s: '%s'", text, have);
        if (st == STATUS_OK) {
            assert_int_equal(q.block_rows, configs[i].block_rows);
            assert_int_equal(q.block_cols, configs[i].block_cols);
        }
        json_free(doc);
    }
}

static void test_no_config(void **state)
{
    static const char *const none[] = {"{}", "{\"quantization_config\": null}"};
    static const char old[] =
        "{\"compression_config\": {\"format\": \"float-quantized\", \"config_groups\": {}}}";
    struct json *doc;
    struct quant q;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(json_parse(&doc, none[i], strlen(none[i]), "config.json", &err), STATUS_OK);
        assert_int_equal(quant_read(&q, doc, &err), STATUS_OK);
        assert_null(q.method);
        json_free(doc);
    }
    assert_int_equal(json_parse(&doc, old, sizeof old - 1, "config.json", &err), STATUS_OK);
    assert_int_equal(quant_read(&q, doc, &err), STATUS_OK);
    assert_string_equal(q.method, "compressed-tensors");
    json_free(doc);
}

/* ---- scales ---- */

static const char weight[] = "model.layers.0.self_attn.k_proj.weight"; /* 16 x 32 */

/* A folder whose k_proj of layer 0 is FP8, with a scale of that shape (rank -1: without). */
static void make(struct fixture *f, const char *quantization, const char *suffix, int n_dims,
                 const int64_t *shape)
{
    char name[96];
    fixture_llama(f, NULL);
    fixture_config(f, "quantization_config", quantization);
    fixture_find(f, weight)->dtype = DTYPE_F8_E4M3;
    snprintf(name, sizeof name, "%s%s", weight, suffix);
    if (n_dims >= 0) fixture_add(f, name, n_dims, shape);
}

static const struct {
    const char *name, *quantization, *suffix;
    int n_dims;
    int64_t shape[3];
    const char *refused; /* NULL: good, with these */
    int64_t block_rows, block_cols, grid_cols;
} scales[] = {
#define FP8          "{\"quant_method\": \"fp8\"}"
#define BLOCKS(a, b) "{\"quant_method\": \"fp8\", \"weight_block_size\": [" #a ", " #b "]}"
    {"a scalar", FP8, "_scale", 0, {0}, NULL, 16, 32, 1},
    {"one", FP8, "_scale", 1, {1}, NULL, 16, 32, 1},
    {"one as matrix", FP8, "_scale_inv", 2, {1, 1}, NULL, 16, 32, 1},
    {"rows", FP8, "_scale", 1, {16}, NULL, 1, 32, 1},
    {"rows as column", FP8, "_scale", 2, {16, 1}, NULL, 1, 32, 1},
    {"blocks", BLOCKS(8, 16), "_scale_inv", 2, {2, 2}, NULL, 8, 16, 2},
    {"blocks cut short", BLOCKS(10, 20), "_scale_inv", 2, {2, 2}, NULL, 10, 20, 2},
    {"blocks wider than the matrix", BLOCKS(8, 128), "_scale_inv", 2, {2, 1}, NULL, 8, 128, 1},
    {"one block", BLOCKS(128, 128), "_scale_inv", 2, {1, 1}, NULL, 16, 32, 1},
    {"blocks without a word", FP8, "_scale_inv", 2, {4, 8}, NULL, 4, 4, 8},
    {"no config at all", "null", "_scale", 1, {16}, NULL, 1, 32, 1},
    {"one too few",
     FP8,
     "_scale",
     1,
     {15},
     "expected one scale, 16 (one for each row), or for each of equal blocks, found 15",
     0,
     0,
     0},
    {"a row of columns", FP8, "_scale", 1, {32}, "found 32", 0, 0, 0},
    {"blocks that come out uneven", FP8, "_scale", 2, {3, 2}, "found 3 x 2", 0, 0, 0},
    {"blocks turned",
     BLOCKS(8, 32),
     "_scale_inv",
     2,
     {1, 2},
     "or 2 x 1 for blocks of 8 x 32, found 1 x 2",
     0,
     0,
     0},
    {"three dimensions", FP8, "_scale", 3, {2, 2, 1}, "found 3 dimensions", 0, 0, 0},
    {"none",
     FP8,
     "_scale",
     -1,
     {0},
     "is FP8 in a checkpoint that config.json calls quantized (fp8): expected",
     0,
     0,
     0},
};

static void test_scales(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        struct fixture f;
        struct model *m;
        make(&f, scales[i].quantization, scales[i].suffix, scales[i].n_dims, scales[i].shape);
        warnings_clear(&warn);
        enum status st = model_open(&m, fixture_write(&f), NULL, &warn, &err);
        if ((st == STATUS_OK) == (scales[i].refused != NULL))
            fail_msg("%s: %s", scales[i].name, st ? err.text : "accepted");
        if (st != STATUS_OK) {
            if (!strstr(err.text, scales[i].refused)) fail_msg("%s: '%s'", scales[i].name, err.text);
        } else {
            const struct model_scale *s = model_scale(m, model_weight(m, ROLE_ATTN_K, 0, PART_WEIGHT)->t);
            assert_non_null(s);
            assert_null(model_scale(m, model_weight(m, ROLE_ATTN_K, 1, PART_WEIGHT)->t));
            if (s->block_rows != scales[i].block_rows || s->block_cols != scales[i].block_cols ||
                s->grid_cols != scales[i].grid_cols)
                fail_msg("%s: blocks of %d x %d, %d columns", scales[i].name, (int)s->block_rows,
                         (int)s->block_cols, (int)s->grid_cols);
            model_close(m);
        }
        fixture_clear(&f);
    }
}

static void refused(struct fixture *f, const char *text)
{
    struct model *m;
    warnings_clear(&warn);
    assert_int_not_equal(model_open(&m, fixture_write(f), NULL, &warn, &err), STATUS_OK);
    char line[2048];
    error_format(&err, "t", line, sizeof line);
    if (!strstr(line, text)) fail_msg("'%s' does not say '%s'", line, text);
    fixture_clear(f);
}

static void test_strays(void **state)
{
    (void)state;
    struct fixture f;
    struct model *m;
    /* numbers for activations and caches: passed over, when they are single numbers of a quantized checkpoint */
    make(&f, FP8, "_scale", 0, NULL);
    fixture_add(&f, "model.layers.0.self_attn.k_proj.input_scale", 1, (int64_t[]){1});
    fixture_add(&f, "model.layers.0.self_attn.k_scale", 0, NULL);
    if (model_open(&m, fixture_write(&f), NULL, &warn, &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(m->n_dropped, 2);
    model_close(m);
    fixture_add(&f, "model.layers.0.self_attn.v_proj.input_scale", 1, (int64_t[]){2});
    refused(&f, "'model.layers.0.self_attn.v_proj.input_scale': expected no such tensor");
    fixture_llama(&f, NULL);
    fixture_add(&f, "model.layers.0.self_attn.k_scale", 0, NULL);
    refused(&f, "'model.layers.0.self_attn.k_scale': expected no such tensor");
    /* a scale of a weight that is no FP8 */
    make(&f, FP8, "_scale", 0, NULL);
    fixture_add(&f, "model.layers.1.self_attn.k_proj.weight_scale", 0, NULL);
    refused(&f, "'model.layers.1.self_attn.k_proj.weight_scale': expected no such tensor");
    /* scales that are no floats; a vector in FP8 with one */
    make(&f, FP8, "_scale", 0, NULL);
    fixture_find(&f, "model.layers.0.self_attn.k_proj.weight_scale")->dtype = DTYPE_U8;
    refused(&f, "expected scales of a floating-point type, found u8");
    make(&f, FP8, "_scale", 0, NULL);
    fixture_find(&f, "model.norm.weight")->dtype = DTYPE_F8_E4M3;
    fixture_add(&f, "model.norm.weight_scale", 0, NULL);
    refused(&f, "scales of a tensor that is no matrix");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_no_config),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_strays),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    warnings_clear(&warn);
    return failed;
}
