/* Meta's folders: what torch cut (tests/vectors/make_meta_vectors.py) against what transformers saved, what params.json leaves open, and
 * damage. Bytes of whole conversions are compared in tests/cli/shipping.sh. */
#include "container_support.h"

#include "base/file.h"
#include "formats/joined.h"
#include "formats/meta_folder.h"
#include "models/model.h"
#include "tests/unit/torch_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct error err;
static struct warnings warn;

static struct checkpoint *must_open(const char *path)
{
    struct checkpoint *c;
    if (ckpt_open(&c, path, &err) != STATUS_OK) fail_msg("%s: %s", path, err.text);
    return c;
}

static unsigned char *read_whole(const struct ckpt_tensor *t, size_t step)
{
    return tensor_bytes(t->container, t->t, step);
}

/* ---- joining ---- */

static const struct {
    const char *meta, *hf;
} same_rows[] = {
    {"tok_embeddings.weight", "model.embed_tokens.weight"},
    {"output.weight", "lm_head.weight"},
    {"norm.weight", "model.norm.weight"},
    {"layers.1.attention_norm.weight", "model.layers.1.input_layernorm.weight"},
    {"layers.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"},
    {"layers.0.attention.wv.weight", "model.layers.0.self_attn.v_proj.weight"},
    {"layers.1.attention.wo.weight", "model.layers.1.self_attn.o_proj.weight"},
    {"layers.0.feed_forward.w1.weight", "model.layers.0.mlp.gate_proj.weight"},
    {"layers.0.feed_forward.w2.weight", "model.layers.0.mlp.down_proj.weight"},
    {"layers.0.feed_forward.w3.weight", "model.layers.0.mlp.up_proj.weight"},
};

static void test_joined(void **state)
{
    static const char *const folders[] = {"meta/llama2/two", "meta/llama3"};
    static const size_t steps[] = {0, 1, 7, 64, 90, 1000};
    (void)state;
    struct checkpoint *hf = must_open(vector_path("meta/hf"));
    for (int k = 0; k < 2; k++) {
        struct checkpoint *c = must_open(vector_path(folders[k]));
        assert_string_equal(c->format, "meta");
        assert_int_equal(c->n_files, k == 0 ? 2 : 4);
        assert_int_equal(c->n_tensors, 22);
        for (size_t i = 0; i < sizeof same_rows / sizeof same_rows[0]; i++) {
            const struct ckpt_tensor *a = ckpt_find(hf, same_rows[i].hf),
                                     *b = ckpt_find(c, same_rows[i].meta);
            if (!a || !b) fail_msg("%s: no %s", folders[k], same_rows[i].meta);
            assert_int_equal(a->t->n_dims, b->t->n_dims);
            for (int d = 0; d < a->t->n_dims; d++) assert_int_equal(a->t->shape[d], b->t->shape[d]);
            unsigned char *want = read_whole(a, 0);
            for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
                unsigned char *have = read_whole(b, steps[s]);
                if (memcmp(want, have, (size_t)a->t->size_bytes) != 0)
                    fail_msg("%s: %s differs (step %zu)", folders[k], same_rows[i].meta, steps[s]);
                free(have);
            }
            free(want);
        }
        ckpt_close(c);
    }
    ckpt_close(hf);
}

static void test_names(void **state)
{
    static const char *const no[] = {"",
                                     "consolidated",
                                     "consolidated.0.pth",
                                     "consolidated.000.pth",
                                     "consolidated. 1.pth",
                                     "consolidated.+1.pth",
                                     "consolidated.1x.pth",
                                     "consolidated.00.pt",
                                     "consolidated.00.pth~",
                                     "Consolidated.00.pth"};
    unsigned n;
    (void)state;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) assert_false(meta_is_shard(no[i], &n));
    assert_true(meta_is_shard("consolidated.00.pth", &n) && n == 0);
    assert_true(meta_is_shard("consolidated.97.pth", &n) && n == 97);
}

/* A shard by its name is the whole set. */
static void test_one_shard_named(void **state)
{
    (void)state;
    struct checkpoint *c = must_open(vector_path("meta/llama3/consolidated.02.pth"));
    assert_int_equal(c->n_files, 4);
    assert_int_equal(ckpt_find(c, "layers.0.attention.wk.weight")->t->shape[0], 16);
    ckpt_close(c);
}

/* ---- folders made here ---- */

static char folder[600];

static const char *in_folder(const char *name)
{
    static char paths[4][700];
    static unsigned next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

static void begin_folder(const char *params)
{
    static const char *const names[] = {"consolidated.00.pth", "consolidated.01.pth", "consolidated.02.pth",
                                        "params.json", "other.json"};
    snprintf(folder, sizeof folder, "%s", scratch_path("meta"));
    mkdir(folder, 0700);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) unlink(in_folder(names[i]));
    if (params)
        assert_int_equal(
            file_write_whole(in_folder("params.json"), OUTFILE_REPLACE, params, strlen(params), &err),
            STATUS_OK);
}

/* Shard j of n of a model of width 4 with two heads and three columns in its feed-forward layer. `skip`, `extra`: names. */
static void write_shard(int j, int n, const char *skip, const char *extra, float norm)
{
    struct torch_writer w = {0};
    char name[32];
    float values[64];
    for (int i = 0; i < 64; i++) values[i] = (float)(100 * j + i);
    const struct {
        const char *name;
        int64_t rows, cols;
    } tensors[] = {
        {"tok_embeddings.weight", 6 / n, 4},           {"output.weight", 6 / n, 4},
        {"layers.0.attention.wq.weight", 4 / n, 4},    {"layers.0.attention.wk.weight", 4 / n, 4},
        {"layers.0.attention.wv.weight", 4 / n, 4},    {"layers.0.attention.wo.weight", 4, 4 / n},
        {"layers.0.feed_forward.w1.weight", 6 / n, 4}, {"layers.0.feed_forward.w2.weight", 4, 6 / n},
        {"layers.0.feed_forward.w3.weight", 6 / n, 4},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        if (!skip || strcmp(skip, tensors[i].name) != 0)
            torch_writer_tensor(&w, tensors[i].name, 2, (int64_t[]){tensors[i].rows, tensors[i].cols},
                                values + i);
    float norms[4] = {norm, 1, 1, 1};
    torch_writer_tensor(&w, "norm.weight", 1, (int64_t[]){4}, norms);
    torch_writer_tensor(&w, "layers.0.attention_norm.weight", 1, (int64_t[]){4}, norms);
    torch_writer_tensor(&w, "layers.0.ffn_norm.weight", 1, (int64_t[]){4}, norms);
    if (extra) torch_writer_tensor(&w, extra, 1, (int64_t[]){4}, norms);
    snprintf(name, sizeof name, "consolidated.%02d.pth", j);
    torch_writer_write(&w, in_folder(name));
}

static const char params[] =
    "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"vocab_size\": -1, \"norm_eps\": 1e-06}";

static void refused(const char *what, enum status status, const char *text)
{
    struct model *m;
    warnings_clear(&warn);
    expect_error(what, model_open(&m, folder, NULL, &warn, &err), &err, status, text);
}

static void test_sets(void **state)
{
    (void)state;
    begin_folder(params);
    write_shard(0, 2, NULL, NULL, 1);
    refused("the last shard is not there", STATUS_MISMATCH, "expected 4 x 4 from config, found 2 x 4");
    write_shard(1, 2, NULL, NULL, 1);
    struct model *m;
    if (model_open(&m, folder, NULL, &warn, &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_string_equal(m->detected_by, "params.json");
    assert_true(m->from_params);
    assert_int_equal(m->hp.n_vocab, 6);
    assert_int_equal(m->hp.n_ff, 6);
    assert_int_equal(m->hp.n_ctx, 2048);
    model_close(m);
    write_shard(1, 2, "layers.0.attention.wq.weight", NULL, 1);
    refused("a shard lacks a tensor", STATUS_NOTFOUND,
            "consolidated.01.pth: tensor 'layers.0.attention.wq.weight': expected a part of it");
    write_shard(1, 2, NULL, "rope.freqs", 1);
    refused("a shard has one more", STATUS_MISMATCH,
            "consolidated.01.pth: tensor 'rope.freqs': expected no such tensor");
    write_shard(1, 1, NULL, NULL, 1);
    refused("a shard of another cut", STATUS_MISMATCH, "its type or shape is another one");
    write_shard(1, 2, NULL, "lora.weight", 1);
    write_shard(0, 2, NULL, "lora.weight", 1);
    refused("an unknown tensor", STATUS_UNSUPPORTED, "'lora.weight': expected a tensor of LLaMA");
    write_shard(1, 2, NULL, NULL, 1);
    write_shard(0, 2, NULL, NULL, 1);
    assert_int_equal(rename(in_folder("consolidated.01.pth"), in_folder("consolidated.02.pth")), 0);
    refused("a gap", STATUS_NOTFOUND, "shard 'consolidated.01.pth' of this set is missing");
    unlink(in_folder("params.json"));
    assert_int_equal(rename(in_folder("consolidated.02.pth"), in_folder("consolidated.01.pth")), 0);
    refused("no params.json", STATUS_NOTFOUND, "expected a params.json beside the weights, not found");
}

/* Copies that differ are noticed when they are read. */
static void test_copies(void **state)
{
    (void)state;
    begin_folder(params);
    write_shard(0, 2, NULL, NULL, 1);
    write_shard(1, 2, NULL, NULL, 2);
    struct checkpoint *c = must_open(folder);
    float norms[4];
    expect_error("norms differ", ckpt_read(ckpt_find(c, "norm.weight"), 0, norms, sizeof norms, &err), &err,
                 STATUS_MISMATCH, "consolidated.01.pth: tensor 'norm.weight': expected the same numbers");
    assert_int_equal(ckpt_read(ckpt_find(c, "norm.weight"), 4, norms, 8, &err), STATUS_OK);
    ckpt_close(c);
}

/* LLaMA 3.2's small models are tied, and their files hold both: bytes decide, since params.json does not say. */
static void test_tied(void **state)
{
    (void)state;
    struct torch_writer w = {0};
    struct model *m;
    float values[24] = {1, 2, 3, 4, 5}, norm[4] = {1, 1, 1, 1};
    for (int equal = 0; equal < 2; equal++) {
        begin_folder(params);
        torch_writer_tensor(&w, "tok_embeddings.weight", 2, (int64_t[]){6, 4}, values);
        values[23] += equal ? 0 : 1;
        torch_writer_tensor(&w, "output.weight", 2, (int64_t[]){6, 4}, values);
        static const char *const names[] = {"attention.wq",   "attention.wk",    "attention.wv",
                                            "attention.wo",   "feed_forward.w1", "feed_forward.w2",
                                            "feed_forward.w3"};
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            char name[64];
            snprintf(name, sizeof name, "layers.0.%s.weight", names[i]);
            torch_writer_tensor(&w, name, 2, (int64_t[]){4, 4}, values);
        }
        torch_writer_tensor(&w, "norm.weight", 1, (int64_t[]){4}, norm);
        torch_writer_tensor(&w, "layers.0.attention_norm.weight", 1, (int64_t[]){4}, norm);
        torch_writer_tensor(&w, "layers.0.ffn_norm.weight", 1, (int64_t[]){4}, norm);
        torch_writer_write(&w, in_folder("consolidated.00.pth"));
        warnings_clear(&warn);
        if (model_open(&m, folder, NULL, &warn, &err) != STATUS_OK) fail_msg("%s", err.text);
        assert_int_equal(m->hp.tied, equal);
        assert_int_equal(warnings_has(&warn, "tied-head-dropped"), equal);
        assert_false(warnings_has(&warn, "tied-head-differs"));
        model_close(m);
    }
}

/* ---- params.json ---- */

static const struct {
    const char *name, *text;
    enum status status;
    const char *want; /* in the error, or the translated config */
} cases[] = {
    {"dim missing", "{\"n_layers\": 1, \"n_heads\": 2}", STATUS_NOTFOUND,
     "'dim': expected in params.json, not found"},
    {"heads missing", "{\"dim\": 4, \"n_layers\": 1}", STATUS_NOTFOUND, "'n_heads': expected in params.json"},
    {"heads 0", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 0}", STATUS_RANGE, "'n_heads'"},
    {"heads as text", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": \"2\"}", STATUS_FORMAT, "n_heads"},
    {"heads that do not divide", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 3}", STATUS_MISMATCH,
     "multiple of n_heads"},
    {"vocabulary -2", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"vocab_size\": -2}", STATUS_RANGE,
     "'vocab_size'"},
    {"vocabulary of another size", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"vocab_size\": 7}",
     STATUS_MISMATCH, "'tok_embeddings.weight': expected 7 x 4 from config, found 6 x 4"},
    {"epsilon 0", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"norm_eps\": 0}", STATUS_RANGE,
     "'norm_eps'"},
    {"factor of the width",
     "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"multiple_of\": 8, \"ffn_dim_multiplier\": 1e300}",
     STATUS_RANGE, "'ffn_dim_multiplier'"},
    {"scaled rope as number", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"use_scaled_rope\": 1}",
     STATUS_FORMAT, "'use_scaled_rope': expected true or false"},
    {"vision", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"vision_chunk_size\": 448}",
     STATUS_UNSUPPORTED, "'vision_chunk_size': a vision model"},
    {"lora", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"lora_args\": {}}", STATUS_UNSUPPORTED, "LoRA"},
    {"quantized", "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"quantization_args\": {}}",
     STATUS_UNSUPPORTED, "quantized release"},
    {"more layers", "{\"dim\": 4, \"n_layers\": 2, \"n_heads\": 2}", STATUS_NOTFOUND, "'layers.1."},
};

static void test_params(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin_folder(cases[i].text);
        write_shard(0, 1, NULL, NULL, 1);
        refused(cases[i].name, cases[i].status, cases[i].want);
    }
}

/* What the file leaves open, for the sizes of the releases. No tensors of that size are needed for it. */
static void test_releases(void **state)
{
    static const struct {
        const char *params;
        int64_t n_ctx, n_ff;
        const char *rope; /* in the config, or NULL for none */
    } known[] = {
        {"\"dim\": 4096, \"n_layers\": 32, \"n_heads\": 32, \"vocab_size\": 32000, \"multiple_of\": 256, "
         "\"norm_eps\": 1e-06",
         2048, 11008, NULL},
        {"\"dim\": 8192, \"n_layers\": 80, \"n_heads\": 64, \"vocab_size\": 32000, \"multiple_of\": 256, "
         "\"norm_eps\": 1e-05",
         2048, 22016, NULL},
        {"\"dim\": 4096, \"n_layers\": 32, \"n_heads\": 32, \"vocab_size\": 32000, \"multiple_of\": 256, "
         "\"norm_eps\": 1e-05",
         4096, 11008, NULL},
        {"\"dim\": 8192, \"n_layers\": 80, \"n_heads\": 64, \"n_kv_heads\": 8, \"vocab_size\": 32000, "
         "\"multiple_of\": 4096, \"ffn_dim_multiplier\": 1.3, \"norm_eps\": 1e-05",
         4096, 28672, NULL},
        {"\"dim\": 4096, \"n_layers\": 32, \"n_heads\": 32, \"vocab_size\": 32016, \"multiple_of\": 256, "
         "\"norm_eps\": 1e-05, \"rope_theta\": 1000000.0",
         16384, 11008, NULL},
        {"\"dim\": 4096, \"n_layers\": 32, \"n_heads\": 32, \"n_kv_heads\": 8, \"vocab_size\": 128256, "
         "\"multiple_of\": 1024, \"ffn_dim_multiplier\": 1.3, \"norm_eps\": 1e-05, \"rope_theta\": 500000.0",
         8192, 14336, NULL},
        {"\"dim\": 4096, \"n_layers\": 32, \"n_heads\": 32, \"n_kv_heads\": 8, \"vocab_size\": 128256, "
         "\"multiple_of\": 1024, \"ffn_dim_multiplier\": 1.3, \"norm_eps\": 1e-05, \"rope_theta\": 500000.0, "
         "\"use_scaled_rope\": true",
         131072, 14336, "\"factor\":8"},
        {"\"dim\": 2048, \"n_layers\": 16, \"n_heads\": 32, \"n_kv_heads\": 8, \"vocab_size\": 128256, "
         "\"multiple_of\": 256, \"ffn_dim_multiplier\": 1.5, \"norm_eps\": 1e-05, \"rope_theta\": 500000.0, "
         "\"use_scaled_rope\": true",
         131072, 8192, "\"factor\":32"},
        {"\"dim\": 3072, \"n_layers\": 28, \"n_heads\": 24, \"n_kv_heads\": 8, \"vocab_size\": 128256, "
         "\"multiple_of\": 256, \"ffn_dim_multiplier\": 1.0, \"norm_eps\": 1e-05, \"rope_theta\": 500000.0, "
         "\"use_scaled_rope\": true",
         131072, 8192, "\"factor\":32"},
        {"\"dim\": 16384, \"n_layers\": 126, \"n_heads\": 128, \"n_kv_heads\": 8, \"vocab_size\": 128256, "
         "\"multiple_of\": 4096, \"ffn_dim_multiplier\": 1.2, \"norm_eps\": 1e-05, \"rope_theta\": 500000.0, "
         "\"use_scaled_rope\": true",
         131072, 53248, "\"factor\":8"},
        /* said by the file */
        {"\"dim\": 2048, \"n_layers\": 16, \"n_heads\": 32, \"vocab_size\": 128256, \"multiple_of\": 256, "
         "\"use_scaled_rope\": true, \"rope_scaling_factor\": 16, \"max_position_embeddings\": 65536",
         65536, 5632, "\"factor\":16"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct checkpoint none = {.format = "meta", .dir = folder, .path = folder};
        struct json *doc;
        struct arena mem = {0};
        const char *path;
        bool from_params;
        char text[512];
        int64_t n;
        struct buf b = {0};
        snprintf(text, sizeof text, "{%s}", known[i].params);
        begin_folder(text);
        warnings_clear(&warn);
        if (model_load_config(&doc, &path, &from_params, &none, NULL, &mem, &warn, &err) != STATUS_OK)
            fail_msg("%zu: %s", i, err.text);
        assert_true(from_params);
        const struct jvalue *root = json_root(doc);
        assert_int_equal(json_int(doc, json_get(root, "max_position_embeddings"), &n, &err), STATUS_OK);
        assert_int_equal(n, known[i].n_ctx);
        assert_int_equal(json_int(doc, json_get(root, "intermediate_size"), &n, &err), STATUS_OK);
        assert_int_equal(n, known[i].n_ff);
        assert_int_equal(json_get(root, "rope_scaling") != NULL, known[i].rope != NULL);
        if (known[i].rope) {
            json_print(json_get(root, "rope_scaling"), &b);
            if (!strstr(b.data, known[i].rope)) fail_msg("%zu: %s", i, b.data);
            if (!strstr(b.data, "\"original_max_position_embeddings\":8192")) fail_msg("%zu: %s", i, b.data);
        }
        for (size_t k = 0; k < warn.count; k++) assert_true(warn.items[k].note);
        buf_clear(&b);
        json_free(doc);
        arena_clear(&mem);
    }
}

/* Unknown keys are reported; another file may be given, and what it says is used. */
static void test_config_option(void **state)
{
    (void)state;
    struct model *m;
    static const char other[] =
        "{\"dim\": 4, \"n_layers\": 1, \"n_heads\": 2, \"max_position_embeddings\": 99, \"made_up\": [1]}";
    begin_folder(params);
    write_shard(0, 1, NULL, NULL, 1);
    assert_int_equal(
        file_write_whole(in_folder("other.json"), OUTFILE_REPLACE, other, sizeof other - 1, &err), STATUS_OK);
    warnings_clear(&warn);
    const struct model_options opt = {.config_path = in_folder("other.json")};
    if (model_open(&m, folder, &opt, &warn, &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(m->hp.n_ctx, 99);
    assert_int_equal(warn.count, 1);
    assert_string_equal(warn.items[0].code, "config-key-unused");
    assert_non_null(strstr(warn.items[0].text, "'made_up' = [1]"));
    model_close(m);
}

static int remove_all(void **state)
{
    begin_folder(NULL);
    rmdir(folder);
    warnings_clear(&warn);
    return scratch_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined), cmocka_unit_test(test_names),   cmocka_unit_test(test_one_shard_named),
        cmocka_unit_test(test_sets),     cmocka_unit_test(test_copies),
        cmocka_unit_test(test_tied),     cmocka_unit_test(test_params),
        cmocka_unit_test(test_releases), cmocka_unit_test(test_config_option),
    };
    return cmocka_run_group_tests(tests, scratch_make, remove_all);
}
