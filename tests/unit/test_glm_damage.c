/* The ways in which GLM has been converted wrongly, one at a time, in files that lathe-convert made: lathe-verify says no to each. And folders
 * whose config.json is another generation's. */
#include "base/file.h"
#include "convert/convert.h"
#include "models/model.h"
#include "tests/unit/fixtures.h"
#include "verify/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;
static char dir[64], gguf[96];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/lathe-glm-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(gguf, sizeof gguf, "%s/model.gguf", dir);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    static const char *const names[] = {"model.gguf", "config.json", "model.safetensors", "added_tokens.json",
                                        "modeling_chatglm.py"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static const char *data(const char *folder, const char *file)
{
    static char path[2][512];
    static int turn;
    const char *root = getenv("LATHE_ROOT");
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/tests/data/%s%s%s", root ? root : ".", folder, file ? "/" : "",
             file ? file : "");
    return path[turn];
}

/* Exit status of a tool; its arguments end with NULL. */
static int run(int (*tool)(int, char **), ...)
{
    char copies[8][512], *argv[9];
    int n = 0;
    va_list ap;
    va_start(ap, tool);
    for (const char *a; n < 8 && (a = va_arg(ap, const char *)); n++) {
        snprintf(copies[n], sizeof copies[n], "%s", a);
        argv[n] = copies[n];
    }
    va_end(ap);
    argv[n] = NULL;
    return tool(n, argv);
}

/* --- damage --- */

struct file_bytes {
    struct buf b;
    struct container *c;
};

static void load(struct file_bytes *f)
{
    *f = (struct file_bytes){0};
    assert_int_equal(file_read_all(&f->b, gguf, 64 << 20, &err), STATUS_OK);
    assert_int_equal(container_open(&f->c, gguf, &err), STATUS_OK);
}

static void store(struct file_bytes *f)
{
    FILE *out = fopen(gguf, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(f->b.data, 1, f->b.len, out), f->b.len);
    fclose(out);
    container_close(f->c);
    buf_clear(&f->b);
}

/* Where a value of four bytes stands behind its key and type */
static char *value_of(struct file_bytes *f, const char *key)
{
    char *at = memmem(f->b.data, f->b.len, key, strlen(key));
    if (!at) fail_msg("no key %s", key);
    return at + strlen(key) + 4;
}

static void set_float(const char *key, float v)
{
    struct file_bytes f;
    load(&f);
    memcpy(value_of(&f, key), &v, sizeof v);
    store(&f);
}

static void set_u32(const char *key, uint32_t v)
{
    struct file_bytes f;
    load(&f);
    memcpy(value_of(&f, key), &v, sizeof v);
    store(&f);
}

static void set_bool(const char *key, char v)
{
    struct file_bytes f;
    load(&f);
    *value_of(&f, key) = v;
    store(&f);
}

/* Bytes of rows [a, a + n) and [b, b + n) change places. */
static void swap_rows(const char *name, int64_t a, int64_t b, int64_t n)
{
    struct file_bytes f;
    load(&f);
    const struct tensor *t = container_find(f.c, name);
    assert_non_null(t);
    size_t row = (size_t)(t->size_bytes / (uint64_t)t->shape[0]);
    for (size_t i = 0; i < (size_t)n * row; i++) {
        char *x = f.b.data + t->off_file + (size_t)a * row + i, *y = f.b.data + t->off_file + (size_t)b * row + i, keep = *x;
        *x = *y;
        *y = keep;
    }
    store(&f);
}

static void swap_tensors(const char *one, const char *other)
{
    struct file_bytes f;
    load(&f);
    const struct tensor *x = container_find(f.c, one), *y = container_find(f.c, other);
    assert_true(x && y && x->size_bytes == y->size_bytes);
    for (uint64_t i = 0; i < x->size_bytes; i++) {
        char keep = f.b.data[x->off_file + i];
        f.b.data[x->off_file + i] = f.b.data[y->off_file + i];
        f.b.data[y->off_file + i] = keep;
    }
    store(&f);
}

/* Rows as the source has them: [heads][q, k, v] of d rows */
static void back_to_heads(const char *name, int64_t heads, int64_t d)
{
    struct file_bytes f;
    load(&f);
    const struct tensor *t = container_find(f.c, name);
    size_t head = (size_t)(t->size_bytes / (uint64_t)t->shape[0] * (uint64_t)d);
    char *at = f.b.data + t->off_file, *copy = malloc((size_t)t->size_bytes);
    memcpy(copy, at, (size_t)t->size_bytes);
    for (int64_t h = 0; h < heads; h++)
        for (int64_t part = 0; part < 3; part++)
            memcpy(at + (size_t)(3 * h + part) * head, copy + (size_t)(part * heads + h) * head, head);
    free(copy);
    store(&f);
}

static void qkv_swapped(void) { swap_rows("blk.0.attn_qkv.weight", 0, 64, 64); }
static void qkv_by_heads(void) { back_to_heads("blk.0.attn_qkv.weight", 4, 16); }
static void qkv_k_and_v(void) { swap_rows("blk.1.attn_qkv.weight", 64, 96, 32); }
static void gate_and_up(void) { swap_rows("blk.0.ffn_up.weight", 0, 96, 96); }
static void rotary_whole(void) { set_u32("chatglm.rope.dimension_count", 16); }
static void ratio_dropped(void) { set_float("chatglm.rope.freq_base", 10000); }
static void epsilon_lost(void) { set_float("chatglm.attention.layer_norm_rms_epsilon", 1e-5f); }
static void division_dropped(void) { set_float("chatglm.rope.scaling.factor", 1); }
static void alpha_dropped(void) { set_float("chatglm1.residual_alpha", 1); }
static void alpha_of_layers(void) { set_float("chatglm1.residual_alpha", 2.4494898f); }
static void one_position(void) { set_bool("chatglm1.rope.position_2d", 0); }
static void sop_unknown(void) { set_u32("glm2021.sop_token_id", 127); }
static void tables_swapped(void) { swap_tensors("position_embd.weight", "block_position_embd.weight"); }
static void norms_swapped(void) { swap_tensors("blk.0.ffn_norm.weight", "blk.0.post_attention_norm.weight"); }

static const struct {
    const char *folder, *ids;
    void (*damage)(void);
} damages[] = {
    {"glm/chatglm1_gmask_prompt", "input_ids.npy", qkv_swapped},
    {"glm/chatglm1_gmask_prompt", "input_ids.npy", qkv_by_heads},
    {"glm/chatglm1_gmask_prompt", "input_ids.npy", alpha_dropped},
    {"glm/chatglm1_mask_middle", "input_ids.npy", alpha_of_layers},
    {"glm/chatglm2_mqa", "input_ids.npy", qkv_k_and_v},
    {"glm/chatglm2_mqa", "input_ids.npy", gate_and_up},
    {"glm/chatglm2_mqa", "input_ids.npy", rotary_whole},
    {"glm/chatglm_glm4_ropebase500", "input_ids.npy", ratio_dropped},
    {"glm/chatglm_glm4_ropebase500", "input_ids.npy", epsilon_lost},
    {"glm/chatglm2_32k_interp4", "input_ids.npy", division_dropped},
    {"glm/chatglm1_mask_middle", "input_ids.npy", one_position},
    {"glm/glm2021_fill", "input_ids.npy", sop_unknown},
    {"glm/glm2021_fill", "input_ids.npy", tables_swapped},
    {"tiny-glm4", "tokens.txt", norms_swapped},
};

static void test_damage(void **state)
{
    (void)state;
    const char *made = "";
    for (size_t i = 0; i < COUNT(damages); i++) {
        char folder[512], ids[512];
        snprintf(folder, sizeof folder, "%s", data(damages[i].folder, NULL));
        snprintf(ids, sizeof ids, "%s", data(damages[i].folder, damages[i].ids));
        assert_int_equal(run(convert_main, "lathe-convert", folder, "-o", gguf, "--force", "--quiet", NULL), 0);
        if (strcmp(made, damages[i].folder) != 0)
            assert_int_equal(run(verify_main, "lathe-verify", folder, gguf, "--tokens", ids, "--quiet", NULL), 0);
        made = damages[i].folder;
        damages[i].damage();
        int code = run(verify_main, "lathe-verify", folder, gguf, "--tokens", ids, "--quiet", NULL);
        if (code != 1) fail_msg("damage %zu of %s: exit status %d, expected 1", i, damages[i].folder, code);
    }
}

/* --- configs of another generation --- */

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void link_file(const char *folder, const char *file)
{
    char target[1024], path[256];
    assert_non_null(realpath(data(folder, file), target));
    snprintf(path, sizeof path, "%s/%s", dir, file);
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
}

/* The folder's model, or NULL with err filled */
static struct model *open_folder(struct warnings *w)
{
    struct model *m = NULL;
    return model_open(&m, dir, &(struct model_options){0}, w, &err) == STATUS_OK ? m : NULL;
}

/* The folder computes what the original does. */
static void same_as(const char *folder)
{
    char original[512], ids[512];
    snprintf(original, sizeof original, "%s", data(folder, NULL));
    snprintf(ids, sizeof ids, "%s", data(folder, strcmp(folder, "tiny-glm4") == 0 ? "tokens.txt" : "input_ids.npy"));
    assert_int_equal(run(verify_main, "lathe-verify", original, dir, "--tokens", ids, "--tolerance", "0", "--quiet", NULL), 0);
}

static const struct {
    const char *folder, *family, *config, *extra;
} mixed[] = {
    {"glm/chatglm2_mqa", "chatglm2",
     "{\"model_type\": \"chatglm\", \"num_layers\": 3, \"hidden_size\": 64, \"inner_hidden_size\": 1, \"num_attention_heads\": 4, "
     "\"layernorm_epsilon\": 1e-05, \"max_sequence_length\": 256, \"position_encoding_2d\": true, \"bos_token_id\": 3, "
     "\"vocab_size\": 160}", NULL},
    {"glm/chatglm1_gmask_prompt", "chatglm1",
     "{\"model_type\": \"chatglm\", \"num_layers\": 28, \"hidden_size\": 64, \"ffn_hidden_size\": 128, \"kv_channels\": 16, "
     "\"num_attention_heads\": 4, \"layernorm_epsilon\": 1e-05, \"seq_length\": 128, \"multi_query_attention\": true, "
     "\"padded_vocab_size\": 128, \"bos_token_id\": 124, \"mask_token_id\": 120, \"gmask_token_id\": 121}", NULL},
    {"glm/glm2021_gmask", "glm2021",
     "{\"model_type\": \"glm\", \"architectures\": [\"GlmForCausalLM\"], \"num_hidden_layers\": 3, \"hidden_size\": 32, "
     "\"num_attention_heads\": 4, \"num_key_value_heads\": 4, \"max_position_embeddings\": 48, \"rms_norm_eps\": 1e-05}",
     "added_tokens.json"},
    {"tiny-glm4", "glm4",
     "{\"model_type\": \"glm\", \"num_hidden_layers\": 2, \"hidden_size\": 256, \"num_attention_heads\": 4, "
     "\"rms_norm_eps\": 1e-05, \"max_position_embeddings\": 256, \"tie_word_embeddings\": true}", NULL},
};

static void test_mixed_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mixed); i++) {
        struct warnings w = {0};
        link_file(mixed[i].folder, "model.safetensors");
        if (mixed[i].extra) link_file(mixed[i].folder, mixed[i].extra);
        put("config.json", mixed[i].config);
        struct model *m = open_folder(&w);
        if (!m) fail_msg("%s: %s", mixed[i].folder, err.text);
        assert_string_equal(m->arch->family, mixed[i].family);
        if (i < 3) assert_true(warnings_has(&w, "config-of-another-family"));
        model_close(m);
        warnings_clear(&w);
        same_as(mixed[i].folder);
    }
}

/* What neither the config nor a shape gives is asked for by name. */
static void test_missing_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *config, *message;
    } cases[] = {
        {"glm/chatglm1_gmask_prompt", "{\"model_type\": \"chatglm\", \"num_layers\": 28, \"num_attention_heads\": 4, "
                                      "\"seq_length\": 128, \"padded_vocab_size\": 128}",
         "'bos_token_id': expected in the config, not found: the tensors are those of ChatGLM-6B (chatglm1), the config is one of "
         "ChatGLM2, 3 or GLM-4"},
        {"glm/chatglm2_mqa", "{\"model_type\": \"chatglm\", \"inner_hidden_size\": 96, \"max_sequence_length\": 256}",
         "'num_attention_heads': expected in the config"},
        {"glm/chatglm2_mqa", "{\"model_type\": \"chatglm\", \"num_attention_heads\": 4}", "'seq_length': expected in the config"},
        {"glm/chatglm2_mqa", "{\"model_type\": \"chatglm\", \"num_attention_heads\": 4, \"seq_length\": 8, \"pre_seq_len\": 128}",
         "P-tuning"},
        {"glm/chatglm2_mqa", "{\"model_type\": \"chatglm\", \"num_attention_heads\": 4, \"seq_length\": 8, "
                             "\"quantization_bit\": 3}",
         "'quantization_bit': expected 0, 4 or 8"},
        {"tiny-glm4", "{\"model_type\": \"glm4\", \"num_attention_heads\": 4, \"max_position_embeddings\": 256, "
                      "\"rope_parameters\": {\"mrope_section\": [8, 12, 12]}}",
         "mrope_section"},
        {"tiny-glm4", "{\"model_type\": \"glm4\", \"num_attention_heads\": 4, \"max_position_embeddings\": 256}",
         "'rms_norm_eps': expected in the config"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct warnings w = {0};
        link_file(cases[i].folder, "model.safetensors");
        put("config.json", cases[i].config);
        assert_null(open_folder(&w));
        if (!strstr(err.text, cases[i].message)) fail_msg("'%s', expected '%s'", err.text, cases[i].message);
        warnings_clear(&w);
    }
}

/* rope_ratio divides where the code beside the weights does, or else where the name says 32K of ChatGLM2. */
static void test_rope_ratio(void **state)
{
    (void)state;
    static const char head[] = "{\"model_type\": \"chatglm\", \"num_attention_heads\": 4, \"seq_length\": 256, \"rope_ratio\": 4, "
                               "\"multi_query_attention\": true, \"multi_query_group_num\": 2";
    static const struct {
        const char *rest, *code;
        bool divides;
    } cases[] = {
        {"}", NULL, false},
        {", \"_name_or_path\": \"THUDM/chatglm2-6b-32k\"}", NULL, true},
        {", \"_name_or_path\": \"THUDM/chatglm3-6b-32k\"}", NULL, false},
        {"}", "seq_idx = torch.arange(seq_len, device=device) / self.rope_ratio\n", true},
        {", \"_name_or_path\": \"THUDM/chatglm2-6b-32k\"}", "base = base * self.rope_ratio\n", false},
    };
    link_file("glm/chatglm2_32k_interp4", "model.safetensors");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct warnings w = {0};
        char config[512];
        snprintf(config, sizeof config, "%s%s", head, cases[i].rest);
        put("config.json", config);
        if (cases[i].code) put("modeling_chatglm.py", cases[i].code);
        struct model *m = open_folder(&w);
        if (!m) fail_msg("%zu: %s", i, err.text);
        assert_int_equal(m->hp.rope.type, cases[i].divides ? ROPE_LINEAR : ROPE_DEFAULT);
        assert_true(m->hp.rope.theta == (cases[i].divides ? 10000 : 40000));
        model_close(m);
        warnings_clear(&w);
    }
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)
    const struct CMUnitTest tests[] = {IN_DIR(test_damage), IN_DIR(test_mixed_up), IN_DIR(test_missing_numbers),
                                       IN_DIR(test_rope_ratio)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
