/* config.json, key by key: what is refused with which words, what is warned about, and both spellings of RoPE. */
#include "base/file.h"
#include "models/model.h"
#include "tests/unit/fixtures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;
static struct warnings warn;

static struct model *open_good(struct fixture *f)
{
    struct model *m;
    warnings_clear(&warn);
    if (model_open(&m, fixture_write(f), NULL, &warn, &err) != STATUS_OK) {
        char line[2048];
        error_format(&err, "model_open", line, sizeof line);
        fail_msg("%s", line);
    }
    return m;
}

/* --- one changed key, one refusal --- */

struct refusal {
    const char *key, *json;
    enum status status;
    const char *text;
};

static void walk(void (*make)(struct fixture *, const struct fixture_sizes *), const struct refusal *rows,
                 size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct fixture f;
        make(&f, NULL);
        fixture_config(&f, rows[i].key, rows[i].json);
        struct model *m = NULL;
        warnings_clear(&warn);
        enum status st = model_open(&m, fixture_write(&f), NULL, &warn, &err);
        char line[2048];
        error_format(&err, "model_open", line, sizeof line);
        if (st == STATUS_OK) fail_msg("%s = %s was accepted", rows[i].key, rows[i].json);
        if (st != rows[i].status)
            fail_msg("%s: expected %s, found %s", line, status_name(rows[i].status), status_name(st));
        if (!strstr(line, rows[i].text)) fail_msg("'%s' does not say '%s'", line, rows[i].text);
        if (!strstr(line, f.dir) || !strstr(line, "config.json: "))
            fail_msg("'%s' does not name the file", line);
        assert_null(m);
        fixture_clear(&f);
    }
}

static const struct refusal llama_rows[] = {
    /* family */
    {"model_type", "\"ministral9\"", STATUS_UNSUPPORTED,
     "unknown model type 'ministral9' (architecture 'LlamaForCausalLM')"},
    {"model_type", "\"gpt2\"", STATUS_MISMATCH,
     "model type 'gpt2' and architecture 'LlamaForCausalLM' are of different families"},
    {"model_type", "3", STATUS_FORMAT, "model_type: expected a string, found 3"},
    /* types */
    {"hidden_size", "\"32\"", STATUS_FORMAT, "'hidden_size': expected an integer, found \"32\""},
    {"hidden_size", "32.5", STATUS_FORMAT, "'hidden_size': expected an integer, found 32.5"},
    {"hidden_size", "true", STATUS_FORMAT, "'hidden_size': expected an integer, found true"},
    {"hidden_size", "[32]", STATUS_FORMAT, "'hidden_size': expected an integer, found [32]"},
    {"rms_norm_eps", "\"1e-5\"", STATUS_FORMAT, "'rms_norm_eps': expected a number, found \"1e-5\""},
    {"attention_bias", "1", STATUS_FORMAT, "'attention_bias': expected true or false, found 1"},
    {"attention_bias", "\"false\"", STATUS_FORMAT,
     "'attention_bias': expected true or false, found \"false\""},
    {"tie_word_embeddings", "0", STATUS_FORMAT, "'tie_word_embeddings': expected true or false, found 0"},
    {"hidden_act", "7", STATUS_FORMAT, "'hidden_act': expected an activation's name, found 7"},
    {"eos_token_id", "\"2\"", STATUS_FORMAT, "'eos_token_id': expected an integer"},
    {"eos_token_id", "[\"2\"]", STATUS_FORMAT, "expected an integer"},
    {"bos_token_id", "-7", STATUS_RANGE, "'bos_token_id': expected a token id, found -7"},
    /* bounds */
    {"num_key_value_heads", "0", STATUS_RANGE,
     "'num_key_value_heads': expected an integer from 1 to 2147483647, found 0"},
    {"num_hidden_layers", "-1", STATUS_RANGE,
     "'num_hidden_layers': expected an integer from 1 to 2147483647, found -1"},
    {"vocab_size", "4294967336", STATUS_RANGE,
     "'vocab_size': expected an integer from 1 to 2147483647, found 4294967336"},
    {"rms_norm_eps", "-1e-5", STATUS_RANGE, "'rms_norm_eps': expected a number of at least 0, found -1e-05"},
    /* what belongs together */
    {"num_key_value_heads", "3", STATUS_MISMATCH,
     "number of heads 4 is no multiple of the number of key/value heads 3"},
    {"head_dim", "7", STATUS_RANGE, "even, positive number of rotated dimensions, found 7"},
    /* words */
    {"hidden_act", "\"geglu2\"", STATUS_UNSUPPORTED, "'hidden_act': unknown activation 'geglu2'"},
    {"hidden_act", "\"gelu\"", STATUS_UNSUPPORTED, "hidden_act: expected silu, found gelu"},
    {"quantization_config", "{\"quant_method\": \"gptq\"}", STATUS_UNSUPPORTED,
     "'quantization_config.quant_method': expected fp8, fbgemm_fp8, modelopt or compressed-tensors, found \"gptq\""},
    {"rope_interleaved", "true", STATUS_UNSUPPORTED, "'rope_interleaved': expected false, found true"},
    {"partial_rotary_factor", "0.5", STATUS_UNSUPPORTED, "'partial_rotary_factor': expected 1, found 0.5"},
    /* RoPE */
    {"rope_theta", "\"10000\"", STATUS_FORMAT, "'rope_theta': expected a number, found \"10000\""},
    {"rope_theta", "0", STATUS_RANGE, "positive, finite theta, found 0"},
    {"rope_scaling", "[1]", STATUS_FORMAT, "'rope_scaling': expected an object, found [1]"},
    {"rope_scaling", "{\"type\": \"linear\"}", STATUS_NOTFOUND,
     "'rope_scaling.factor': RoPE type 'linear' needs it, not found"},
    {"rope_scaling", "{\"type\": \"linear\", \"factor\": null}", STATUS_NOTFOUND, "needs it, found null"},
    {"rope_scaling", "{\"type\": \"linear\", \"factor\": \"2\"}", STATUS_FORMAT,
     "'factor': expected a number, found \"2\""},
    {"rope_scaling", "{\"type\": \"linear\", \"factor\": 0}", STATUS_RANGE,
     "'rope_scaling.factor': expected a finite number above 0, found 0"},
    {"rope_scaling", "{\"type\": \"linear\", \"factor\": 1e400}", STATUS_FORMAT, "the number 1e400 is too large"},
    {"rope_scaling", "{\"type\": \"dynamic\", \"factor\": -2}", STATUS_RANGE,
     "'rope_scaling.factor': expected a finite number above 0, found -2"},
    {"rope_scaling", "{\"type\": \"yarn\"}", STATUS_NOTFOUND, "'rope_scaling.factor': RoPE type 'yarn' needs it"},
    {"rope_scaling", "{\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": -1}", STATUS_RANGE,
     "'rope_scaling.beta_fast': expected a finite number of at least 0, found -1"},
    {"rope_scaling", "{\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": 0}", STATUS_RANGE,
     "'rope_scaling.attention_factor': expected a finite number above 0, found 0"},
    {"rope_scaling", "{\"type\": \"yarn\", \"factor\": 4, \"truncate\": 1}", STATUS_FORMAT,
     "'rope_scaling.truncate': expected true or false, found 1"},
    {"rope_scaling", "{\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": null}",
     STATUS_NOTFOUND, "'rope_scaling.original_max_position_embeddings': RoPE type 'yarn' needs it, found null"},
    {"rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 8}", STATUS_NOTFOUND,
     "'rope_scaling.low_freq_factor': RoPE type 'llama3' needs it, not found"},
    {"rope_scaling", "{\"type\": \"su\"}", STATUS_NOTFOUND,
     "'rope_scaling.short_factor': RoPE type 'longrope' needs it, not found"},
    {"rope_parameters", "{\"rope_type\": \"longrope\", \"short_factor\": [1, 1], \"long_factor\": [1, 2, 3]}",
     STATUS_MISMATCH, "'rope_parameters.long_factor': expected 2 numbers as in the list beside it, found 3"},
    {"rope_parameters", "{\"rope_type\": \"longrope\", \"short_factor\": [1, 0, 1, 1]}", STATUS_RANGE,
     "'rope_parameters.short_factor': element 1: expected a finite number above 0, found 0"},
    {"rope_parameters", "{\"rope_type\": \"longrope\", \"short_factor\": [1, 1], \"long_factor\": [1, 2]}",
     STATUS_MISMATCH, "expected 4 short and long factors (half the rotated dimensions), found 2"},
    {"rope_parameters", "{\"rope_type\": \"longrope\", \"short_factor\": 3}", STATUS_FORMAT,
     "'rope_parameters.short_factor': expected a list of 1 to 65536 numbers, found 3"},
    {"rope_scaling", "{\"type\": \"spiral\"}", STATUS_UNSUPPORTED,
     "'rope_scaling.type': unknown RoPE type 'spiral'"},
    {"rope_scaling", "{\"type\": \"none\"}", STATUS_UNSUPPORTED, "unknown RoPE type 'none'"},
    {"rope_scaling", "{\"type\": 3}", STATUS_FORMAT,
     "'rope_scaling.type': expected a RoPE type's name, found 3"},
    {"rope_parameters", "{\"full_attention\": {\"rope_type\": \"default\"}}", STATUS_UNSUPPORTED,
     "'rope_parameters.full_attention': one RoPE block for each kind of layer"},
    {"rope_parameters", "{\"partial_rotary_factor\": 0.25}", STATUS_UNSUPPORTED, "expected 1, found 0.25"},
};

static const struct refusal gpt2_rows[] = {
    {"model_type", "\"gpt_new\"", STATUS_UNSUPPORTED, "unknown model type 'gpt_new'"},
    {"activation_function", "\"gelu_9\"", STATUS_UNSUPPORTED,
     "'activation_function': unknown activation 'gelu_9'"},
    {"n_embd", "\"32\"", STATUS_FORMAT, "'n_embd': expected an integer, found \"32\""},
    {"n_head", "5", STATUS_MISMATCH, "width 32 is no multiple of the number of heads 5"},
    {"n_head", "0", STATUS_RANGE, "'n_head': expected an integer from 1 to 2147483647, found 0"},
    {"n_inner", "0", STATUS_RANGE, "'n_inner': expected an integer from 1"},
    {"scale_attn_weights", "\"true\"", STATUS_FORMAT,
     "'scale_attn_weights': expected true or false, found \"true\""},
    {"scale_attn_by_inverse_layer_idx", "1", STATUS_FORMAT,
     "'scale_attn_by_inverse_layer_idx': expected true or false, found 1"},
    {"add_cross_attention", "0", STATUS_UNSUPPORTED, "'add_cross_attention': expected false, found 0"},
    {"add_cross_attention", "true", STATUS_UNSUPPORTED, "'add_cross_attention': expected false, found true"},
    {"is_encoder_decoder", "true", STATUS_UNSUPPORTED, "'is_encoder_decoder': expected false, found true"},
    {"pruned_heads", "{\"0\": [1]}", STATUS_UNSUPPORTED, "'pruned_heads': expected {}, found {\"0\":[1]}"},
};

static void test_refusals_llama(void **state)
{
    (void)state;
    walk(fixture_llama, llama_rows, sizeof llama_rows / sizeof *llama_rows);
}

static void test_refusals_gpt2(void **state)
{
    (void)state;
    walk(fixture_gpt2, gpt2_rows, sizeof gpt2_rows / sizeof *gpt2_rows);
}

/* Damage that takes more than one key. */
static void refused(struct fixture *f, const struct model_options *opt, enum status status, const char *text)
{
    struct model *m = NULL;
    warnings_clear(&warn);
    enum status st = model_open(&m, f->dir, opt, &warn, &err);
    char line[2048];
    error_format(&err, "model_open", line, sizeof line);
    if (st != status || !strstr(line, text))
        fail_msg("expected %s '%s', found %s '%s'", status_name(status), text, status_name(st), line);
}

static void test_whole_file(void **state)
{
    (void)state;
    struct fixture f;
    char path[96];
    fixture_llama(&f, NULL);
    fixture_config(&f, "head_dim", NULL);
    fixture_config(&f, "hidden_size", "30");
    fixture_write(&f);
    refused(&f, NULL, STATUS_MISMATCH, "width 30 is no multiple of the number of heads 4");
    fixture_file(&f, "config.json", "[]");
    refused(&f, NULL, STATUS_FORMAT, "config.json: expected an object of configuration keys");
    fixture_file(&f, "config.json", "{\"model_type\": \"llama\", \"model_type\": \"gpt2\"}");
    refused(&f, NULL, STATUS_FORMAT, "config.json: ");
    fixture_file(&f, "config.json", "");
    refused(&f, NULL, STATUS_FORMAT, "config.json: ");
    /* no config at all; one elsewhere */
    fixture_config(&f, "head_dim", "8");
    fixture_config(&f, "hidden_size", "32");
    fixture_write(&f);
    char moved[96];
    snprintf(path, sizeof path, "%s/config.json", f.dir);
    snprintf(moved, sizeof moved, "%s/other.json", f.dir);
    assert_int_equal(rename(path, moved), 0);
    refused(&f, NULL, STATUS_NOTFOUND, "expected a config.json beside the weights, not found");
    assert_non_null(strstr(err.hint, "--config"));
    struct model *m;
    assert_int_equal(model_open(&m, f.dir, &(struct model_options){.config_path = moved}, &warn, &err),
                     STATUS_OK);
    assert_int_equal(warn.count, 0);
    model_close(m);
    refused(&f, &(struct model_options){.config_path = "/nonexistent/config.json"}, STATUS_NOTFOUND,
            "/nonexistent/config.json");
    /* names of tensors tell only when the config names nothing at all */
    fixture_file(&f, "config.json", "{\"architectures\": [\"Phi3ForCausalLM\"]}");
    refused(&f, NULL, STATUS_UNSUPPORTED, "unknown architecture 'Phi3ForCausalLM'");
    fixture_reprefix(&f, "model.", "unknown.");
    fixture_write(&f);
    fixture_file(&f, "config.json", "{}");
    refused(&f, NULL, STATUS_UNSUPPORTED, "no known family");
    fixture_clear(&f);
}

/* --- families --- */

static void test_detection(void **state)
{
    (void)state;
    struct fixture f;
    fixture_gpt2(&f, NULL);
    fixture_config(&f, "model_type", NULL);
    struct model *m = open_good(&f);
    assert_string_equal(m->detected_by, "config.json: architectures");
    model_close(m);
    fixture_config(&f, "model_type", "\"gpt2\"");
    fixture_config(&f, "architectures", "[\"GPT2WithATwist\"]");
    m = open_good(&f);
    assert_string_equal(m->detected_by, "config.json: model_type");
    model_close(m);
    /* without binding: for a folder whose config is missing, and for one that is no known family */
    const struct arch *arch;
    const char *why;
    struct checkpoint *c;
    assert_int_equal(ckpt_open(&c, f.dir, &err), STATUS_OK);
    assert_int_equal(model_detect(c, NULL, &arch, &why, &err), STATUS_OK);
    assert_string_equal(arch->family, "gpt2");
    assert_string_equal(why, "names of tensors");
    struct json *doc;
    static const char other[] = "{\"model_type\": \"bert\"}";
    assert_int_equal(json_parse(&doc, other, sizeof other - 1, "config.json", &err), STATUS_OK);
    assert_int_equal(model_detect(c, doc, &arch, &why, &err), STATUS_OK);
    assert_null(arch);
    json_free(doc);
    ckpt_close(c);
    fixture_clear(&f);
}

static void test_name(void **state)
{
    (void)state;
    static const struct {
        const char *json, *name;
    } rows[] = {{"\"HuggingFaceTB/SmolLM2-135M\"", "SmolLM2-135M"},
                {"\"/home/someone/runs/checkpoint-500/\"", "checkpoint-500"},
                {"\"plain\"", "plain"},
                {"\"./\"", NULL},
                {"\"\"", NULL},
                {"\"..\"", NULL},
                {"7", NULL}};
    struct fixture f;
    fixture_llama(&f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fixture_config(&f, "_name_or_path", rows[i].json);
        struct model *m = open_good(&f);
        assert_string_equal(m->name, rows[i].name ? rows[i].name : strrchr(f.dir, '/') + 1);
        model_close(m);
    }
    fixture_clear(&f);
}

/* --- keys without effect --- */

static void test_unused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    /* SmolLM2's and other published files' extra keys */
    static const char *const silent[][2] = {
        {"_name_or_path", "\"x/y\""},
        {"attention_dropout", "0.0"},
        {"initializer_range", "0.041666666666666664"},
        {"is_llama_config", "true"},
        {"mlp_bias", "false"},
        {"pretraining_tp", "1"},
        {"rope_interleaved", "false"},
        {"transformers.js_config", "{\"kv_cache_dtype\": {\"q4f16\": \"float16\"}}"},
        {"transformers_version", "\"4.42.3\""},
        {"use_cache", "true"},
        {"pad_token_id", "2"},
        {"partial_rotary_factor", "1.0"},
        {"auto_map", "{\"AutoConfig\": \"evil.EvilConfig\"}"},
        {"made_up_and_null", "null"}};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        fixture_config(&f, silent[i][0], silent[i][1]);
    struct model *m = open_good(&f);
    if (warn.count) fail_msg("%s", warn.items[0].text);
    model_close(m);
    fixture_config(&f, "made_up", "{\"a\": [1, 2]}");
    fixture_config(&f, "sliding_window", "4096");
    m = open_good(&f);
    assert_int_equal(warn.count, 2);
    assert_string_equal(warn.items[0].code, "config-key-unused");
    assert_string_equal(warn.items[0].text, "config key 'made_up' = {\"a\":[1,2]} is not used");
    assert_string_equal(warn.items[1].text, "config key 'sliding_window' = 4096 is not used");
    model_close(m);
    fixture_clear(&f);
    /* a value of any length is cut */
    fixture_gpt2(&f, NULL);
    fixture_config(
        &f, "made_up",
        "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\"");
    fixture_config(&f, "rope_theta", "10000.0"); /* GPT-2 has none */
    m = open_good(&f);
    assert_int_equal(warn.count, 2);
    assert_true(strlen(warn.items[0].text) < 130);
    assert_string_equal(warn.items[1].text, "config key 'rope_theta' = 10000.0 is not used");
    model_close(m);
    fixture_clear(&f);
}

/* --- both spellings of RoPE, in transformers' precedence --- */

static void test_rope_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *theta, *scaling, *parameters; /* NULL: absent */
        enum rope_type type;
        double want_theta, want_factor;
        const char *source, *warning;
    } rows[] = {
        {NULL, NULL, NULL, ROPE_DEFAULT, 10000, 1, NULL, NULL},
        {"500000.0", NULL, NULL, ROPE_DEFAULT, 500000, 1, "{\"rope_theta\": 500000.0}", NULL},
        {"5e5", "null", NULL, ROPE_DEFAULT, 500000, 1, "{\"rope_theta\": 5e5}", NULL},
        {"5e5", "{}", NULL, ROPE_DEFAULT, 500000, 1, "{\"rope_theta\": 5e5}", NULL},
        {NULL, "{\"type\": \"linear\", \"factor\": 2}", NULL, ROPE_LINEAR, 10000, 2,
         "{\"type\": \"linear\", \"factor\": 2}", NULL},
        {"5e5", "{ \"factor\":4.0,\"rope_type\" : \"linear\" }", NULL, ROPE_LINEAR, 500000, 4,
         "{ \"factor\":4.0,\"rope_type\" : \"linear\" }", NULL},
        {NULL, NULL, "{\"rope_type\": \"default\", \"rope_theta\": 1e6}", ROPE_DEFAULT, 1e6, 1,
         "{\"rope_type\": \"default\", \"rope_theta\": 1e6}", NULL},
        {NULL, NULL, "{\"rope_type\": \"linear\", \"rope_theta\": 1e6, \"factor\": 3}", ROPE_LINEAR, 1e6, 3,
         "{\"rope_type\": \"linear\", \"rope_theta\": 1e6, \"factor\": 3}", NULL},
        /* rope_scaling before rope_parameters, unless it is empty */
        {NULL, "{}", "{\"rope_theta\": 1e6}", ROPE_DEFAULT, 1e6, 1, "{\"rope_theta\": 1e6}", NULL},
        {NULL, "{\"type\": \"linear\", \"factor\": 2}", "{\"rope_theta\": 1e6}", ROPE_LINEAR, 10000, 2,
         "{\"type\": \"linear\", \"factor\": 2}", "rope-blocks-differ"},
        {NULL, "{\"type\": \"linear\", \"factor\": 2}", "{\"factor\": 2.0, \"type\": \"linear\"}",
         ROPE_LINEAR, 10000, 2, "{\"type\": \"linear\", \"factor\": 2}", NULL},
        /* a theta inside the block beats the one outside; rope_type beats type */
        {"5e5", NULL, "{\"rope_theta\": 1e6}", ROPE_DEFAULT, 1e6, 1, "{\"rope_theta\": 1e6}",
         "rope-theta-differs"},
        {"1000000", NULL, "{\"rope_theta\": 1e6}", ROPE_DEFAULT, 1e6, 1, "{\"rope_theta\": 1e6}", NULL},
        {NULL, "{\"type\": \"yarn\", \"rope_type\": \"linear\", \"factor\": 2}", NULL, ROPE_LINEAR, 10000, 2,
         "{\"type\": \"yarn\", \"rope_type\": \"linear\", \"factor\": 2}", "rope-types-differ"},
        {NULL, "{\"type\": \"linear\", \"rope_type\": \"linear\", \"factor\": 2}", NULL, ROPE_LINEAR, 10000,
         2, "{\"type\": \"linear\", \"rope_type\": \"linear\", \"factor\": 2}", NULL},
        /* a factor says nothing without a type */
        {NULL, "{\"factor\": 8}", NULL, ROPE_DEFAULT, 10000, 1, "{\"factor\": 8}", "config-key-unused"},
        {NULL, "{\"type\": \"su\", \"short_factor\": [1,1,1,1], \"long_factor\": [1,2,3,4], \"factor\": 3}", NULL,
         ROPE_LONGROPE, 10000, 3,
         "{\"type\": \"su\", \"short_factor\": [1,1,1,1], \"long_factor\": [1,2,3,4], \"factor\": 3}", NULL},
        {NULL, "{\"rope_type\": \"linear\", \"factor\": 2, \"beta_fast\": 32}", NULL, ROPE_LINEAR, 10000, 2,
         "{\"rope_type\": \"linear\", \"factor\": 2, \"beta_fast\": 32}", "config-key-unused"},
    };
    struct fixture f;
    fixture_llama(&f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fixture_config(&f, "rope_theta", rows[i].theta);
        fixture_config(&f, "rope_scaling", rows[i].scaling);
        fixture_config(&f, "rope_parameters", rows[i].parameters);
        struct model *m = open_good(&f);
        const struct rope *r = &m->hp.rope;
        if (r->type != rows[i].type || r->theta != rows[i].want_theta || r->factor != rows[i].want_factor ||
            r->dim != 8)
            fail_msg("row %zu: found %s, theta %g, factor %g, dim %lld", i, rope_type_name(r->type), r->theta,
                     r->factor, (long long)r->dim);
        if (rows[i].source)
            assert_string_equal(r->source, rows[i].source);
        else
            assert_null(r->source);
        if (warn.count != (rows[i].warning ? 1 : 0) ||
            (rows[i].warning && !warnings_has(&warn, rows[i].warning)))
            fail_msg("row %zu: %zu warnings, first: %s", i, warn.count, warn.count ? warn.items[0].text : "");
        model_close(m);
    }
    fixture_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_llama), cmocka_unit_test(test_refusals_gpt2),
        cmocka_unit_test(test_whole_file),     cmocka_unit_test(test_detection),
        cmocka_unit_test(test_name),           cmocka_unit_test(test_unused),
        cmocka_unit_test(test_rope_spellings),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    warnings_clear(&warn);
    return failed;
}
