/* Every family against transformers in double (tests/vectors/make_family_vectors.py): the checkpoint as it lies there, the GGUF that
 * lathe-convert makes of it, and what lathe-verify says of a GGUF in which one thing is wrong. Uses the tools of the same build. */
#include "base/file.h"
#include "formats/npy.h"
#include "models/config.h"
#include "models/forward.h"
#include "tests/unit/temp_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
enum { TOKENS_MAX = 64, PATH_BYTES = 600 };

static struct error err;

static void must(enum status st, const char *what)
{
    if (st != STATUS_OK) fail_msg("%s: %s: %s %s", what, err.path, err.tensor, err.text);
}

/* --- folders and tools --- */

static const char *folder(const char *name)
{
    static char path[PATH_BYTES];
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/tests/vectors/families/%s", root ? root : ".", name);
    return path;
}

static const char *file_of(const char *name, const char *file)
{
    static char path[PATH_BYTES + 64];
    snprintf(path, sizeof path, "%s/%s", folder(name), file);
    return path;
}

/* Exit status of a tool in the build that this program belongs to. */
static int tool(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int tool(const char *fmt, ...)
{
    char exe[PATH_BYTES], command[6 * PATH_BYTES], arguments[3 * PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    assert_true(n > 0);
    exe[n] = 0;
    for (int up = 0; up < 2; up++) *strrchr(exe, '/') = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(arguments, sizeof arguments, fmt, ap);
    va_end(ap);
    snprintf(command, sizeof command, "%s/bin/lathe-%s >%s 2>&1", exe, arguments, temp_path("said"));
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *said(void)
{
    static char text[600];
    struct buf b = {0};
    must(file_read_all(&b, temp_path("said"), 1 << 20, &err), "output of a tool");
    snprintf(text, sizeof text, "%.*s", (int)b.len, b.data ? b.data : "");
    buf_clear(&b);
    return text;
}

static const char *convert(const char *name, const char *type)
{
    const char *out = temp_path("model.gguf");
    int status = tool("convert %s -o %s --type %s --force --quiet", folder(name), out, type);
    if (status != 0) fail_msg("%s: convert: exit %d: %s", name, status, said());
    return out;
}

static int verify(const char *name, const char *gguf)
{
    char tokens[PATH_BYTES + 64];
    snprintf(tokens, sizeof tokens, "%s", file_of(name, "tokens.txt"));
    return tool("verify %s %s --tokens %s --quiet", folder(name), gguf, tokens);
}

/* Calls f for every folder. */
static void for_each(void (*f)(const char *name))
{
    struct arena a = {0};
    char **names;
    size_t n, done = 0;
    must(dir_list(folder(""), &a, &names, &n, &err), "list of families");
    for (size_t i = 0; i < n; i++)
        if (names[i][0] != '.') f(names[i]), done++;
    assert_true(done >= 9);
    arena_clear(&a);
}

/* --- logits --- */

static int64_t read_tokens(const char *name, int32_t ids[TOKENS_MAX])
{
    FILE *f = fopen(file_of(name, "tokens.txt"), "r");
    int64_t n = 0;
    assert_non_null(f);
    while (n < TOKENS_MAX && fscanf(f, "%d", &ids[n]) == 1) n++;
    fclose(f);
    return n;
}

static void run(const struct model *m, enum precision p, const int32_t *ids, int64_t n, void *logits)
{
    struct workers *w;
    struct forward *f;
    must(workers_new(&w, 2, &err), "workers");
    must(forward_new(&f, m, w, p, n, &err), m->ckpt->path);
    must(forward_begin(f, ids, n, 0, &err), m->ckpt->path);
    for (int64_t i = 0; i < m->hp.n_layer; i++) must(forward_layer(f, i, &err), m->ckpt->path);
    must(forward_finish(f, &err), m->ckpt->path);
    must(forward_logits(f, 0, n, logits, &err), m->ckpt->path);
    forward_free(f);
    workers_free(w);
}

/* Largest difference from transformers' logits, relative to the largest logit */
static double deviation(const char *name, const char *path, enum precision p)
{
    int32_t ids[TOKENS_MAX];
    int64_t n = read_tokens(name, ids);
    struct model *m;
    struct warnings w = {0};
    struct npy want;
    must(npy_read(&want, file_of(name, "logits_f64.npy"), 1 << 20, &err), name);
    must(model_open(&m, path, &(struct model_options){0}, &w, &err), name);
    assert_int_equal(want.shape[0], n);
    assert_int_equal(want.shape[1], m->hp.n_vocab);
    void *logits = calloc((size_t)want.n_elements, sizeof(double));
    run(m, p, ids, n, logits);
    double diff = 0, scale = 0;
    for (int64_t i = 0; i < want.n_elements; i++) {
        double x = p == PRECISION_F64 ? ((double *)logits)[i] : (double)((float *)logits)[i];
        diff = fmax(diff, fabs(x - npy_double(&want, i)));
        scale = fmax(scale, fabs(npy_double(&want, i)));
    }
    free(logits);
    npy_clear(&want);
    warnings_clear(&w);
    model_close(m);
    assert_true(scale > 0.5);
    return diff / scale;
}

static void check(const char *name, const char *path, enum precision p, double limit)
{
    double found = deviation(name, path, p);
    if (!(found <= limit)) fail_msg("%s: %s: %.2e, limit %.0e", name, path, found, limit);
}

/* Sums in another order: observed 1e-15, and 6e-13 where transformers writes sqrt(2/pi) with ten digits ("gelu_fast"). Single precision:
 * observed 1e-6. */
static void check_source(const char *name)
{
    check(name, folder(name), PRECISION_F64, 5e-12);
    check(name, folder(name), PRECISION_F32, 4e-6);
}

/* Keys hold epsilon and the base as a float, folded scales are rounded to one: observed 3e-8. */
static void check_gguf(const char *name)
{
    const char *path = convert(name, "f32");
    check(name, path, PRECISION_F64, 1e-7);
    check(name, path, PRECISION_F32, 4e-6);
    if (verify(name, path) != 0) fail_msg("%s: verify: %s", name, said());
    /* its own type loses nothing either */
    path = convert(name, "keep");
    check(name, path, PRECISION_F64, 1e-7);
    if (verify(name, path) != 0) fail_msg("%s: verify of its own type: %s", name, said());
}

static void test_source(void **state)
{
    (void)state;
    for_each(check_source);
}

static void test_gguf(void **state)
{
    (void)state;
    for_each(check_gguf);
}

/* --- configuration --- */

static bool reports(const char *name, const char *config)
{
    struct model *m;
    struct warnings w = {0};
    must(model_open(&m, folder(name), &(struct model_options){.config_path = config}, &w, &err), name);
    bool unused = warnings_has(&w, "config-key-unused");
    warnings_clear(&w);
    model_close(m);
    return unused;
}

static void check_made_up_key(const char *name)
{
    struct buf b = {0};
    const char *path = temp_path("config.json");
    must(file_read_all(&b, file_of(name, "config.json"), 1 << 20, &err), name);
    struct buf made = {0};
    buf_printf(&made, "{\"attn_quantum_gain\": 2.5,%.*s", (int)b.len - 1, b.data + 1);
    must(file_write_whole(path, OUTFILE_REPLACE, made.data, made.len, &err), name);
    buf_clear(&b);
    buf_clear(&made);
    if (reports(name, NULL)) fail_msg("%s: a key of its own config is not explained", name);
    if (!reports(name, path)) fail_msg("%s: a made-up key passes unseen", name);
    if (tool("convert %s --config %s --dry-run --strict", folder(name), path) != 2)
        fail_msg("%s: --strict takes a made-up key", name);
}

static void test_made_up_keys(void **state)
{
    (void)state;
    for_each(check_made_up_key);
}

/* The names and shapes of the tensors tell what the config says. */
static void check_detection(const char *name)
{
    struct checkpoint *c;
    struct model *m;
    struct warnings w = {0};
    const struct arch *arch;
    const char *why;
    must(model_open(&m, folder(name), &(struct model_options){0}, &w, &err), name);
    must(ckpt_open(&c, folder(name), &err), name);
    must(model_detect(c, NULL, &arch, &why, &err), name);
    /* Mistral's names are LLaMA's */
    if (!arch || (strcmp(arch->family, m->arch->family) != 0 && strcmp(name, "mistral") != 0))
        fail_msg("%s: its tensors look like %s", name, arch ? arch->family : "nothing known");
    ckpt_close(c);
    model_close(m);
    warnings_clear(&w);
}

static void test_detection(void **state)
{
    (void)state;
    for_each(check_detection);
}

/* One text of a config.json replaced by another. */
static const struct edit {
    const char *family, *from, *to;
    enum status status; /* of opening */
    const char *says;   /* in the error, or the code of a warning */
} edits[] = {
    {"gpt1", "\"afn\": \"gelu\"", "\"afn\": \"gelu_new\"", STATUS_UNSUPPORTED, "expected gelu, relu, silu or swish"},
    {"gpt1", "\"vocab_size\": 37", "\"vocab_size\": 33, \"n_special\": 4", STATUS_OK, NULL},
    {"gpt1", "\"vocab_size\": 37", "\"vocab_size\": 37, \"n_special\": 4", STATUS_OK, NULL},
    {"gpt1", "\"vocab_size\": 37", "\"vocab_size\": 33, \"n_special\": 5", STATUS_MISMATCH, "expected 38 x 16"},
    {"gpt1", "\"vocab_size\": 37", "\"vocab_size\": 33, \"n_special\": -1", STATUS_RANGE, "n_special"},
    {"gpt1", "\"vocab_size\": 37", "\"vocab_size\": 37, \"predict_special_tokens\": false", STATUS_UNSUPPORTED,
     "predict_special_tokens"},
    {"gpt1", "\"n_positions\": 13", "\"n_positions\": 13, \"n_ctx\": 12", STATUS_OK, "config-keys-differ"},
    {"gpt1", "\"n_positions\": 13", "\"n_positions\": 14", STATUS_MISMATCH, "expected 14 x 16"},
    {"gpt2-scales", "\"scale_attn_weights\": false", "\"scale_attn_weights\": 0", STATUS_FORMAT, "expected true or false"},
    {"gpt2-scales", "\"add_cross_attention\": false", "\"add_cross_attention\": true", STATUS_UNSUPPORTED, "cross attention"},
    {"gptneo", "\"attention_types\": [", "\"attention_types\": [[[\"global\"], 1],", STATUS_MISMATCH, "found at least 4"},
    {"gptneo", "\"attention_types\": [", "\"attention_types\": [[[\"lokal\"], 1],", STATUS_FORMAT, "expected lists of"},
    {"gptneo", "\"attention_types\": [", "\"attention_types\": [[[], 9],", STATUS_FORMAT, "expected lists of"},
    {"gptneo", "\"attention_types\": [", "\"attention_types\": [[[\"global\"], \"1\"],", STATUS_FORMAT, "expected lists of"},
    {"gptneo", "\"attention_types\": [", "\"attention_types\": [[\"global\", 1],", STATUS_FORMAT, "expected lists of"},
    {"gptneo", "\"attention_types\": [", "\"attention_types\": [[[\"local\"], 9000000000000],", STATUS_MISMATCH,
     "found at least 4"},
    {"gptneo", "\"attention_types\": [", "\"attention_type\": [", STATUS_MISMATCH, "the default"},
    {"gptneo", "\"num_layers\": 3", "\"num_layers\": 2147483647", STATUS_RANGE, "expected at most 65536 layers"},
    {"gptneo", "\"attention_layers\": [\n  \"global\"", "\"attention_layers\": [\n  \"local\"", STATUS_MISMATCH,
     "expected what attention_types says"},
    {"gptneo", "\"window_size\": 4", "\"window_size\": 0", STATUS_RANGE, "window_size"},
    {"gptj", "\"rotary_dim\": 4", "\"rotary_dim\": null", STATUS_UNSUPPORTED, "found null"},
    {"gptj", "\"rotary_dim\": 4", "\"rotary_dim\": 10", STATUS_RANGE, "at most the 8 dimensions"},
    {"gptj", "\"rotary_dim\": 4", "\"rotary_dim\": 3", STATUS_RANGE, "even"},
    {"gptj", "\"rotary_dim\": 4", "\"rotary_dim\": 4, \"rotary\": false", STATUS_UNSUPPORTED, "'rotary'"},
    {"gptj", "\"rotary_dim\": 4", "\"rotary_dim\": 4, \"rope_theta\": 500", STATUS_OK, "config-key-unused"},
    {"gptneox", "\"attention_bias\": true", "\"attention_bias\": false", STATUS_UNSUPPORTED, "expected no such tensor"},
    {"gptneox", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"gelu_9\"", STATUS_UNSUPPORTED, "gelu_9"},
    {"gptneox", "\"hidden_size\": 24", "\"hidden_size\": 24, \"rope_theta\": 500", STATUS_OK, "rope-theta-differs"},
    {"gptneox", "\"hidden_size\": 24", "\"hidden_size\": 24, \"partial_rotary_factor\": 0.5", STATUS_OK, NULL},
    {"gptneox-sequential", "\"rotary_pct\": 0.75", "\"rotary_pct\": 0.4", STATUS_RANGE, "even"}, /* 8 * 0.4, cut to 3 */
    {"gptneox-sequential", "\"rotary_pct\": 0.75", "\"rotary_pct\": 1.5", STATUS_RANGE, "at most 1"},
    {"gptneox-sequential", "\"rotary_pct\": 0.75", "\"rotary_pct\": 0", STATUS_RANGE, "above 0"},
    {"gptneox-sequential", "\"attention_bias\": false", "\"attention_bias\": true", STATUS_NOTFOUND, "not found"},
    /* defaults of the classes, null and absence */
    {"mistral", "\"num_key_value_heads\": 1,", "", STATUS_MISMATCH, "3 is no multiple of the number of key/value heads 8"},
    {"mistral", "\"num_key_value_heads\": 1", "\"num_key_value_heads\": null", STATUS_MISMATCH, "expected 48 x 30"},
    {"mistral", "\"head_dim\": 16", "\"head_dim\": null", STATUS_MISMATCH, "expected 30 x 30"},
    {"mistral", "\"head_dim\": 16,", "", STATUS_MISMATCH, "expected 30 x 30"},
    {"mistral", "\"sliding_window\": 4", "\"sliding_window\": null", STATUS_OK, NULL},
    {"mistral", "\"sliding_window\": 4", "\"sliding_window\": 0", STATUS_RANGE, "'sliding_window': expected an integer from 1"},
    {"mistral", "\"sliding_window\": 4", "\"sliding_window\": 4, \"attention_bias\": true", STATUS_UNSUPPORTED, "has no biases"},
    {"mistral", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", STATUS_UNSUPPORTED, "expected silu"},
    {"qwen2", "\"num_key_value_heads\": 1,", "", STATUS_MISMATCH, "key/value heads 32"},
    {"qwen2", "\"sliding_window\": 4", "\"sliding_window\": null", STATUS_OK, NULL},
    {"qwen2", "\"use_sliding_window\": true", "\"use_sliding_window\": 1", STATUS_FORMAT, "'use_sliding_window': expected true or false"},
    {"qwen2", "\"max_window_layers\": 1", "\"max_window_layers\": -1", STATUS_RANGE, "'max_window_layers': expected an integer from 0"},
    {"qwen3", "\"head_dim\": 16,", "", STATUS_MISMATCH, "expected 384 x 30"},
    {"qwen3", "\"use_sliding_window\": true", "\"use_sliding_window\": false", STATUS_MISMATCH, "give no window"},
    {"qwen3", "\"sliding_attention\",", "\"chunked_attention\",", STATUS_UNSUPPORTED, "layer 0: expected full_attention or sliding_attention"},
    {"qwen3", "\"sliding_attention\",", "", STATUS_MISMATCH, "a word for each of 2 layers"},
    {"qwen3-dynamic", "\"attention_bias\": true", "\"attention_bias\": false", STATUS_UNSUPPORTED, "expected no such tensor"},
    {"llama-biases", "\"mlp_bias\": true", "\"mlp_bias\": false", STATUS_UNSUPPORTED, "expected no such tensor"},
    {"llama-biases", "\"factor\": 4.0", "\"factor\": -4.0", STATUS_RANGE, "'rope_scaling.factor'"},
    {"bigcode", "\"multi_query\": true", "\"multi_query\": false", STATUS_MISMATCH, "expected 72 x 24"},
    {"bigcode", "\"model_type\": \"gpt_bigcode\"", "\"model_type\": \"gpt2\"", STATUS_MISMATCH, "different families"},
    {"bigcode-mha", "\"multi_query\": false", "\"multi_query\": true", STATUS_MISMATCH, "expected 40 x 24"},
};

static void check_edit(const struct edit *e)
{
    struct buf b = {0}, made = {0};
    const char *path = temp_path("config.json");
    must(file_read_all(&b, file_of(e->family, "config.json"), 1 << 20, &err), e->family);
    const char *at = memmem(b.data, b.len, e->from, strlen(e->from));
    if (!at) fail_msg("%s: no %s in its config", e->family, e->from);
    buf_append(&made, b.data, (size_t)(at - b.data));
    buf_puts(&made, e->to);
    buf_append(&made, at + strlen(e->from), b.len - (size_t)(at - b.data) - strlen(e->from));
    must(file_write_whole(path, OUTFILE_REPLACE, made.data, made.len, &err), path);
    buf_clear(&b);
    buf_clear(&made);
    struct model *m = NULL;
    struct warnings w = {0};
    enum status st = model_open(&m, folder(e->family), &(struct model_options){.config_path = path}, &w, &err);
    if (st != e->status)
        fail_msg("%s: %s: expected status %d, found %d: %s", e->family, e->to, (int)e->status, (int)st, st ? err.text : "");
    if (st != STATUS_OK && !strstr(err.text, e->says)) fail_msg("%s: %s: says '%s'", e->family, e->to, err.text);
    if (st == STATUS_OK && (e->says ? !warnings_has(&w, e->says) : w.count > 0))
        fail_msg("%s: %s: expected %s", e->family, e->to, e->says ? e->says : "no warning");
    model_close(m);
    warnings_clear(&w);
}

/* A head whose bias is gone is no head without one. */
static void test_lost_bias(void **state)
{
    (void)state;
    struct buf b = {0};
    struct model *m;
    struct warnings w = {0};
    must(file_read_all(&b, file_of("gptj", "model.safetensors"), 1 << 24, &err), "gptj");
    char *name = memmem(b.data, b.len, "lm_head.bias", 12);
    assert_non_null(name);
    memcpy(name, "lm_head.bier", 12);
    const char *path = temp_path("model.safetensors");
    must(file_write_whole(path, OUTFILE_REPLACE, b.data, b.len, &err), path);
    buf_clear(&b);
    const struct model_options opt = {.config_path = file_of("gptj", "config.json")};
    assert_int_equal(model_open(&m, path, &opt, &w, &err), STATUS_NOTFOUND);
    assert_string_equal(err.tensor, "lm_head.bias");
    warnings_clear(&w);
}

/* sliding_window: the class's default when absent, off when null, and for Qwen only behind its switch */
static void test_windows(void **state)
{
    (void)state;
    static const struct {
        const char *name, *key, *value; /* NULL: the key is taken away */
        int64_t window[2];              /* of the two layers */
    } rows[] = {
        {"mistral", "sliding_window", "4", {4, 4}},
        {"mistral", "sliding_window", NULL, {4096, 4096}},
        {"mistral", "sliding_window", "null", {0, 0}},
        {"qwen2", "sliding_window", "4", {0, 4}},
        {"qwen2", "sliding_window", NULL, {0, 4096}},
        {"qwen2", "sliding_window", "null", {0, 0}},
        {"qwen2", "use_sliding_window", "false", {0, 0}},
        {"qwen2", "use_sliding_window", NULL, {0, 0}},
        {"qwen2", "max_window_layers", "0", {4, 4}},
        {"qwen2", "max_window_layers", NULL, {0, 0}}, /* 28 */
        {"qwen2", "layer_types", "[\"sliding_attention\", \"full_attention\"]", {4, 0}},
        {"qwen3", "layer_types", NULL, {5, 5}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct json *doc;
        struct buf b = {0};
        must(json_load(&doc, file_of(rows[i].name, "config.json"), 1 << 20, &err), rows[i].name);
        const char *comma = "{";
        for (const struct jvalue *v = json_first(json_root(doc)); v; v = json_next(v)) {
            if (strcmp(json_key(v), rows[i].key) == 0) continue;
            buf_printf(&b, "%s\"%s\": ", comma, json_key(v));
            json_print(v, &b);
            comma = ", ";
        }
        if (rows[i].value) buf_printf(&b, "%s\"%s\": %s", comma, rows[i].key, rows[i].value);
        buf_puts(&b, "}");
        const char *path = temp_path("config.json");
        must(file_write_whole(path, OUTFILE_REPLACE, b.data, b.len, &err), path);
        struct model *m;
        struct warnings w = {0};
        must(model_open(&m, folder(rows[i].name), &(struct model_options){.config_path = path}, &w, &err), rows[i].name);
        for (int64_t l = 0; l < 2; l++)
            if (hparams_window(&m->hp, l) != rows[i].window[l])
                fail_msg("%s, %s = %s: layer %d has a window of %lld", rows[i].name, rows[i].key,
                         rows[i].value ? rows[i].value : "(absent)", (int)l, (long long)hparams_window(&m->hp, l));
        model_close(m);
        warnings_clear(&w);
        json_free(doc);
        buf_clear(&b);
    }
}

static void test_config_edits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(edits); i++) check_edit(&edits[i]);
}

/* --- damage --- */

/* A GGUF file in memory. */
struct file_image {
    struct buf bytes;
    struct checkpoint *c;
};

static float *tensor_data(const struct file_image *f, const char *name, int64_t *rows, int64_t *cols)
{
    const struct ckpt_tensor *t = ckpt_find(f->c, name);
    if (!t) fail_msg("no tensor %s", name);
    assert_int_equal(t->t->dtype, DTYPE_F32);
    *rows = t->t->n_dims > 1 ? t->t->shape[0] : t->t->n_elements;
    *cols = t->t->n_dims > 1 ? t->t->shape[1] : 1;
    return (float *)(void *)(f->bytes.data + t->t->off_file);
}

/* Bytes of a scalar's value */
static void *value_of(const struct file_image *f, const char *key)
{
    char *p = memmem(f->bytes.data, f->bytes.len, key, strlen(key));
    if (!p) fail_msg("no key %s", key);
    return p + strlen(key) + 4;
}

/* row i of the tensor becomes what row order(i) was */
static void reorder(float *data, int64_t rows, int64_t cols,
                    int64_t (*order)(int64_t i, int64_t rows, const int64_t *args), const int64_t *args)
{
    size_t row_bytes = (size_t)cols * sizeof *data;
    float *old = malloc((size_t)rows * row_bytes);
    memcpy(old, data, (size_t)rows * row_bytes);
    for (int64_t i = 0; i < rows; i++) memcpy(data + i * cols, old + order(i, rows, args) * cols, row_bytes);
    free(old);
}

/* args: heads. [q k v][heads] read as [heads][q k v], the order of the source */
static int64_t order_by_head(int64_t i, int64_t rows, const int64_t *args)
{
    int64_t d = rows / (3 * args[0]), unit = i / d;
    return (unit % 3 * args[0] + unit / 3) * d + i % d;
}

/* args: heads, rotated. Halves read as pairs: rows as the source had them */
static int64_t order_pairs(int64_t i, int64_t rows, const int64_t *args)
{
    int64_t d = rows / args[0], r = i % d, half = args[1] / 2;
    return r < args[1] ? i - r + r % 2 * half + r / 2 : i;
}

/* args: first row and number of rows of two neighbouring runs of equal length */
static int64_t order_swap(int64_t i, int64_t rows, const int64_t *args)
{
    (void)rows;
    int64_t k = i - args[0], n = args[1];
    if (k < 0 || k >= 2 * n) return i;
    return args[0] + (k + n) % (2 * n);
}

/* the row before: positions off by one */
static int64_t order_shift(int64_t i, int64_t rows, const int64_t *args)
{
    (void)args;
    return (i + rows - 1) % rows;
}

enum damage_kind {
    SET_U32,   /* key, value */
    SET_F32,   /* key, value */
    SET_BOOL,  /* key, value */
    ORDER,     /* tensor, order, args */
    SCALE,     /* tensor: first args[0] rows times value */
    INVERT,    /* tensor: one over each element */
    ONES,      /* tensor: 1 in each element */
    TRANSPOSE, /* a square tensor */
    EXCHANGE,  /* tensor and other */
    COPY,      /* tensor becomes other */
    ADD,       /* tensor: all elements plus value */
    SET_TEXT,  /* key: first letters of its string, from `other` */
    BIT,       /* element args[0] of an array of bools is turned round */
    RENAME,    /* a key is there no more: its last letter becomes args[0] */
    ELEMENT,   /* an array's element type becomes value */
};
struct damage {
    const char *family, *what;
    enum damage_kind kind;
    const char *name; /* of a tensor or key */
    double value;
    int64_t (*order)(int64_t i, int64_t rows, const int64_t *args);
    int64_t args[2];
    const char *other;
    const char *trace; /* what --trace names: tap@layer cause */
};
/* The fixtures have 3 heads of 8 elements (gpt1: 4 of 4), width 24 (gpt1: 16). */
static const struct damage damages[] = {
    {"gpt1", "output projection not transposed", TRANSPOSE, "blk.0.attn_output.weight", .value = 0, .trace = "attn_out@0 transpose"},
    {"gpt1", "norms of a block exchanged", EXCHANGE, "blk.1.attn_output_norm.weight", .other = "blk.1.layer_output_norm.weight", .trace = "attn_norm@1 unknown"},
    {"gpt1", "keys and values exchanged", ORDER, "blk.0.attn_qkv.weight", 0, order_swap, {16, 16}, NULL, .trace = "k@0 halves_swapped"},
    {"gpt1", "positions off by one", ORDER, "position_embd.weight", 0, order_shift, {0, 0}, NULL, .trace = "embd@-1 row_offset"},
    {"gpt1", "epsilon", SET_F32, "gpt1.attention.layer_norm_epsilon", 1e-3, NULL, {0, 0}, NULL, .trace = "attn_norm@0 epsilon"},
    {"gpt2-scales", "scale not folded into a matrix", SCALE, "blk.1.attn_qkv.weight", 2 / 2.8284271247461903, NULL, {24, 0}, NULL, .trace = "q@1 unknown"},
    {"gpt2-scales", "scale not folded into a bias", SCALE, "blk.0.attn_qkv.bias", 1 / 2.8284271247461903, NULL, {24, 0}, NULL, .trace = "q@0 unknown"},
    {"gpt2-scales", "layers counted from 2", SCALE, "blk.0.attn_qkv.weight", 0.5, NULL, {24, 0}, NULL, .trace = "q@0 unknown"},
    {"gpt2-scales", "keys scaled too", SCALE, "blk.0.attn_qkv.weight", 2.8284271247461903, NULL, {48, 0}, NULL, .trace = "q@0 unknown"},
    {"gpt2-cerebras", "output projection not transposed", TRANSPOSE, "blk.1.attn_output.weight", .value = 0, .trace = "attn_out@1 transpose"},
    {"gpt2-cerebras", "a missing bias", SCALE, "blk.0.ffn_up.bias", 0, NULL, {30, 0}, NULL, .trace = "ffn_up@0 missing_bias"},
    {"gptneo", "window larger by one", SET_U32, "gptneo.attention.sliding_window", 5, NULL, {0, 0}, NULL, .trace = "attn_mix@1 window"},
    {"gptneo", "window smaller by one", SET_U32, "gptneo.attention.sliding_window", 3, NULL, {0, 0}, NULL, .trace = "attn_mix@1 window"},
    {"gptneo", "a local layer taken as global", BIT, "gptneo.attention.sliding_window_pattern", 0, NULL, {1, 0}, NULL, .trace = "attn_mix@1 window"},
    {"gptneo", "a global layer taken as local", BIT, "gptneo.attention.sliding_window_pattern", 0, NULL, {0, 0}, NULL, .trace = "attn_mix@0 window"},
    {"gptneo", "the usual attention scale", SET_F32, "gptneo.attention.scale", 0.35355339, NULL, {0, 0}, NULL, .trace = "q@0 unknown"},
    {"gptj", "queries in the source's order", ORDER, "blk.0.attn_q.weight", 0, order_pairs, {3, 4}, NULL, .trace = "q@0 row_order"},
    {"gptj", "keys in the source's order", ORDER, "blk.1.attn_k.weight", 0, order_pairs, {3, 4}, NULL, .trace = "k@1 row_order"},
    {"gptj", "rotated dimensions halved", SET_U32, "phi2.rope.dimension_count", 2, NULL, {0, 0}, NULL, .trace = "q_rope@0 rope_dim"},
    {"gptj", "another base", SET_F32, "phi2.rope.freq_base", 9000, NULL, {0, 0}, NULL, .trace = "q_rope@0 rope_base"},
    {"gptj", "no bias of the output", SCALE, "output.bias", 0, NULL, {37, 0}, NULL, .trace = "logits@-1 missing_bias"},
    {"gptneox", "fused rows head by head", ORDER, "blk.0.attn_qkv.weight", 0, order_by_head, {3, 0}, NULL, .trace = "q@0 head_grouping"},
    {"gptneox", "fused bias head by head", ORDER, "blk.1.attn_qkv.bias", 0, order_by_head, {3, 0}, NULL, .trace = "q@1 unknown"},
    {"gptneox", "rotated dimensions halved", SET_U32, "gptneox.rope.dimension_count", 2, NULL, {0, 0}, NULL, .trace = "q_rope@0 rope_dim"},
    {"gptneox", "rotated dimensions doubled", SET_U32, "gptneox.rope.dimension_count", 8, NULL, {0, 0}, NULL, .trace = "q_rope@0 rope_dim"},
    {"gptneox", "rows as pairs", ORDER, "blk.0.attn_qkv.weight", 0, order_pairs, {9, 4}, NULL, .trace = "q@0 row_order"},
    {"gptneox", "sequential instead of parallel", SET_BOOL, "gptneox.use_parallel_residual", 0, NULL, {0, 0}, NULL, .trace = "ffn_norm@0 unknown"},
    {"gptneox-sequential", "parallel instead of sequential", SET_BOOL, "gptneox.use_parallel_residual", 1, NULL, {0, 0}, NULL, .trace = "ffn_norm@0 unknown"},
    {"gptneox-sequential", "another base", SET_F32, "gptneox.rope.freq_base", 10000, NULL, {0, 0}, NULL, .trace = "q_rope@0 rope_base"},
    {"gptneox-sequential", "norms of a block exchanged", EXCHANGE, "blk.0.attn_norm.bias", .other = "blk.0.ffn_norm.bias", .trace = "attn_norm@0 unknown"},
    {"bigcode", "key and value exchanged", ORDER, "blk.0.attn_qkv.weight", 0, order_swap, {24, 8}, NULL, .trace = "k@0 halves_swapped"},
    {"bigcode", "heads exchanged", ORDER, "blk.1.attn_qkv.weight", 0, order_swap, {0, 8}, NULL, .trace = "q@1 head_grouping"},
    {"bigcode-mha", "fused rows head by head", ORDER, "blk.1.attn_qkv.weight", 0, order_by_head, {3, 0}, NULL, .trace = "q@1 head_grouping"},
    {"bigcode-mha", "scale not folded", SCALE, "blk.0.attn_qkv.weight", 1 / 2.8284271247461903, NULL, {24, 0}, NULL, .trace = "q@0 unknown"},
    {"gptneox", "norm weights as what is added to 1", ADD, "blk.1.attn_norm.weight", -1, .trace = "attn_norm@1 norm_offset"},
    {"gptneox-sequential", "last norm plus 1", ADD, "output_norm.weight", 1, .trace = "norm@-1 norm_offset"},
    {"gptj", "output matrix is the embedding", COPY, "output.weight", .other = "token_embd.weight", .trace = "logits@-1 head_tying"},
    {"gptj", "embedding rows off by one", ORDER, "token_embd.weight", 0, order_shift, {0, 0}, .trace = "embd@-1 row_offset"},
    {"gptj", "output rows off by one", ORDER, "output.weight", 0, order_shift, {0, 0}, .trace = "logits@-1 row_offset"},
    {"gpt2-cerebras", "another activation", SET_TEXT, "gpt2.hidden_activation", .other = "relu", .trace = "ffn_act@0 activation"},
    {"bigcode-mha", "heads of keys exchanged", ORDER, "blk.0.attn_qkv.weight", 0, order_swap, {24, 8}, .trace = "k@0 head_grouping"},
    /* The LLaMA line: heads of 8, or 16 where the width is 30; 3 query heads to a key head. */
    {"llama-biases", "keys in the source's order", ORDER, "blk.1.attn_k.weight", 0, order_pairs, {1, 8}, NULL, "k@1 row_order"},
    {"llama-biases", "a bias of keys in the source's order", ORDER, "blk.0.attn_k.bias", 0, order_pairs, {1, 8}, NULL, "k@0 unknown"},
    {"llama-biases", "keys ordered by query heads", ORDER, "blk.0.attn_q.weight", 0, order_pairs, {1, 24}, NULL, "q@0 unknown"},
    {"llama-biases", "another base", SET_F32, "llama.rope.freq_base", 10100, NULL, {0, 0}, NULL, "q_rope@0 rope_base"},
    {"llama-biases", "another factor", SET_F32, "llama.rope.scaling.factor", 1, NULL, {0, 0}, NULL, "q_rope@0 rope_scaling"},
    {"llama-biases", "gate and up exchanged", EXCHANGE, "blk.1.ffn_gate.weight", .other = "blk.1.ffn_up.weight", .trace = "ffn_gate@1 halves_swapped"},
    {"llama-biases", "a missing bias", SCALE, "blk.1.attn_output.bias", 0, NULL, {24, 0}, NULL, "attn_out@1 missing_bias"},
    {"llama-biases", "+1 on a norm", ADD, "blk.1.ffn_norm.weight", 1, NULL, {0, 0}, NULL, "ffn_norm@1 norm_offset"},
    {"llama-llama3", "frequencies for divisors", INVERT, "rope_freqs.weight", 0, NULL, {0, 0}, NULL, "q_rope@0 rope_scaling"},
    {"llama-llama3", "no divisors", ONES, "rope_freqs.weight", 0, NULL, {0, 0}, NULL, "q_rope@0 rope_scaling"},
    {"llama-yarn", "another original context", SET_U32, "llama.rope.scaling.original_context_length", 32, NULL, {0, 0}, NULL, "q_rope@0 rope_scaling"},
    {"llama-yarn-odd", "no attention factor", SET_F32, "llama.rope.scaling.attn_factor", 1, NULL, {0, 0}, NULL, "q_rope@0 rope_scaling"},
    {"llama-longrope", "lists exchanged", EXCHANGE, "rope_factors_long.weight", .other = "rope_factors_short.weight", .trace = "q_rope@0 rope_scaling"},
    {"llama-longrope-within", "no long list", ONES, "rope_factors_long.weight", 0, NULL, {0, 0}, NULL, "q_rope@0 rope_scaling"}, /* the probe sees it */
    {"llama-dynamic-within", "another base", SET_F32, "llama.rope.freq_base", 10100, NULL, {0, 0}, NULL, "q_rope@0 rope_base"},
    {"mistral", "window larger by one", SET_U32, "llama.attention.sliding_window", 5, NULL, {0, 0}, NULL, "attn_mix@0 window"},
    {"mistral", "window smaller by one", SET_U32, "llama.attention.sliding_window", 3, NULL, {0, 0}, NULL, "attn_mix@0 window"},
    {"mistral", "epsilon", SET_F32, "llama.attention.layer_norm_rms_epsilon", 1e-3, NULL, {0, 0}, NULL, "attn_norm@0 epsilon"},
    {"qwen2", "window larger by one", SET_U32, "qwen2.attention.sliding_window", 5, NULL, {0, 0}, NULL, "attn_mix@1 window"},
    {"qwen2", "a local layer taken as global", BIT, "qwen2.attention.sliding_window_pattern", 0, NULL, {1, 0}, NULL, "attn_mix@1 window"},
    {"qwen2", "a global layer taken as local", BIT, "qwen2.attention.sliding_window_pattern", 0, NULL, {0, 0}, NULL, "attn_mix@0 window"},
    {"qwen2", "rows as pairs", ORDER, "blk.0.attn_q.weight", 0, order_pairs, {3, 8}, NULL, "q@0 row_order"},
    {"qwen2", "a missing bias", SCALE, "blk.0.attn_v.bias", 0, NULL, {8, 0}, NULL, "v@0 missing_bias"},
    {"qwen2-yarn", "no attention factor", SET_F32, "qwen2.rope.scaling.attn_factor", 1, NULL, {0, 0}, NULL, "q_rope@0 rope_scaling"},
    {"qwen2-llama3", "another base", SET_F32, "qwen2.rope.freq_base", 10100, NULL, {0, 0}, NULL, "q_rope@0 rope_base"},
    {"qwen3", "norms of queries and keys exchanged", EXCHANGE, "blk.0.attn_q_norm.weight", .other = "blk.0.attn_k_norm.weight", .trace = "q_norm@0 unknown"},
    {"qwen3", "+1 on a norm of keys", ADD, "blk.1.attn_k_norm.weight", 1, NULL, {0, 0}, NULL, "k_norm@1 norm_offset"},
    {"qwen3", "window smaller by one", SET_U32, "qwen3.attention.sliding_window", 4, NULL, {0, 0}, NULL, "attn_mix@0 window"},
};

static void transpose_square(float *data, int64_t n)
{
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < r; c++) {
            float x = data[r * n + c];
            data[r * n + c] = data[c * n + r];
            data[c * n + r] = x;
        }
}

static void hurt_tensor(const struct file_image *f, const struct damage *d)
{
    int64_t rows, cols;
    float *data = tensor_data(f, d->name, &rows, &cols);
    if (d->kind == ORDER) reorder(data, rows, cols, d->order, d->args);
    if (d->kind == SCALE)
        for (int64_t i = 0; i < d->args[0] * cols; i++) data[i] = (float)((double)data[i] * d->value);
    for (int64_t i = 0; i < rows * cols; i++) {
        if (d->kind == ADD) data[i] = (float)((double)data[i] + d->value);
        if (d->kind == INVERT) data[i] = 1 / data[i];
        if (d->kind == ONES) data[i] = 1;
    }
    if (d->kind == COPY) memcpy(data, tensor_data(f, d->other, &rows, &cols), (size_t)(rows * cols) * sizeof *data);
    if (d->kind == TRANSPOSE) {
        assert_int_equal(rows, cols);
        transpose_square(data, rows);
    }
    if (d->kind == EXCHANGE) {
        float *other = tensor_data(f, d->other, &rows, &cols);
        for (int64_t i = 0; i < rows * cols; i++) {
            float x = data[i];
            data[i] = other[i];
            other[i] = x;
        }
    }
}

static void hurt(const struct file_image *f, const struct damage *d)
{
    uint32_t u = (uint32_t)d->value;
    float x = (float)d->value;
    if (d->kind == SET_U32) memcpy(value_of(f, d->name), &u, 4);
    else if (d->kind == SET_F32) memcpy(value_of(f, d->name), &x, 4);
    else if (d->kind == SET_BOOL) *(char *)value_of(f, d->name) = d->value != 0;
    else if (d->kind == SET_TEXT) memcpy((char *)value_of(f, d->name) + 8, d->other, strlen(d->other)); /* after its length */
    else if (d->kind == BIT) ((char *)value_of(f, d->name))[4 + 8 + d->args[0]] ^= 1; /* element type, count */
    else if (d->kind == RENAME) ((char *)value_of(f, d->name))[-5] = (char)d->args[0];
    else if (d->kind == ELEMENT) memcpy(value_of(f, d->name), &u, 4);
    else hurt_tensor(f, d);
}

/* What no forward pass should be tried with */
static const struct damage refused[] = {
    {"gptneo", "no attention scale", RENAME, "gptneo.attention.scale", .args = {'x'}},
    {"gptneo", "no pattern of layers", RENAME, "gptneo.attention.sliding_window_pattern", .args = {'x'}},
    {"gptneo", "a scale of 0", SET_F32, "gptneo.attention.scale", .value = 0},
    {"gptneo", "a scale that is no number", SET_F32, "gptneo.attention.scale", .value = NAN},
    {"gptneo", "a window of 0", SET_U32, "gptneo.attention.sliding_window", .value = 0},
    {"gptneo", "a pattern of integers", ELEMENT, "gptneo.attention.sliding_window_pattern", .value = KV_U8},
    {"gptneo", "a pattern for other layers", SET_U32, "gptneo.block_count", .value = 2},
    {"gptj", "rotated beyond the head", SET_U32, "phi2.rope.dimension_count", .value = 10},
    {"gptj", "an odd number rotated", SET_U32, "phi2.rope.dimension_count", .value = 3},
    {"gptneox", "heads that do not divide", SET_U32, "gptneox.attention.head_count", .value = 5},
    {"bigcode", "key heads that do not divide", SET_U32, "starcoder.attention.head_count_kv", .value = 2},
    {"bigcode", "no number of key heads", RENAME, "starcoder.attention.head_count_kv", .args = {'x'}},
};

/* A text member of a JSON document that a tool has said */
static void member(const struct jvalue *v, const char *key, char *out, size_t size)
{
    const char *text = json_string(json_get(v, key));
    snprintf(out, size, "%s", text ? text : "none");
}

/* The first operation that is off, and the cause, as the table has them. */
static void check_trace(const struct damage *d, const char *path)
{
    struct buf b = {0};
    struct json *doc;
    char found[128], tap[32], cause[32], tokens[PATH_BYTES + 64];
    int64_t layer = -1;
    snprintf(tokens, sizeof tokens, "%s", file_of(d->family, "tokens.txt"));
    int status = tool("verify %s %s --tokens %s --trace --json --quiet", folder(d->family), path, tokens);
    if (status != 1) fail_msg("%s: %s: --trace: exit %d: %s", d->family, d->what, status, said());
    must(file_read_all(&b, temp_path("said"), 1 << 20, &err), "output of a tool");
    must(json_parse(&doc, b.data, b.len, "said", &err), d->what);
    const struct jvalue *first = json_get(json_root(doc), "first");
    if (json_is(first, JTYPE_OBJECT)) must(json_int(doc, json_get(first, "layer"), &layer, &err), "layer");
    member(first, "tap", tap, sizeof tap);
    member(json_root(doc), "cause", cause, sizeof cause);
    snprintf(found, sizeof found, "%s@%lld %s", tap, (long long)layer, cause);
    if (!d->trace || strcmp(found, d->trace) != 0)
        fail_msg("%s: %s: --trace names %s, expected %s", d->family, d->what, found, d->trace ? d->trace : "(nothing)");
    json_free(doc);
    buf_clear(&b);
}

static void check_damage(const struct damage *d, int expected)
{
    struct file_image f = {0};
    const char *path = convert(d->family, "f32"), *hurt_path = temp_path("hurt.gguf");
    must(file_read_all(&f.bytes, path, 1 << 24, &err), path);
    must(ckpt_open(&f.c, path, &err), path);
    struct buf whole = {0};
    buf_append(&whole, f.bytes.data, f.bytes.len);
    hurt(&f, d);
    assert_memory_not_equal(whole.data, f.bytes.data, whole.len);
    must(file_write_whole(hurt_path, OUTFILE_REPLACE, f.bytes.data, f.bytes.len, &err), hurt_path);
    int status = verify(d->family, hurt_path);
    if (status != expected) fail_msg("%s: %s: verify: exit %d: %s", d->family, d->what, status, said());
    if (expected == 1) check_trace(d, hurt_path);
    buf_clear(&whole);
    buf_clear(&f.bytes);
    ckpt_close(f.c);
}

static void test_damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(damages); i++) check_damage(&damages[i], 1);
    for (size_t i = 0; i < COUNT(refused); i++) check_damage(&refused[i], 2);
}

/* --- what is said --- */

static bool said_somewhere(const char *text)
{
    struct buf b = {0};
    must(file_read_all(&b, temp_path("said"), 1 << 24, &err), "output of a tool");
    bool found = b.len > 0 && memmem(b.data, b.len, text, strlen(text)) != NULL;
    buf_clear(&b);
    return found;
}

static void test_plans(void **state)
{
    (void)state;
    static const struct {
        const char *family, *says;
    } rows[] = {
        {"gpt1", "runtime-unknown-architecture"},
        {"gptneo", "runtime-unknown-architecture"},
        {"gpt2-scales", "scale-folded"},
        {"gpt2-scales", "\"scaled_rows\":24"},
        {"gpt2-scales", "\"scale\":2.82842712"},
        {"gpt2-cerebras", "runtime-ignores-activation"},
        {"gptj", "\"transform\":\"halves_rows\",\"heads\":3,\"rotated\":4"},
        {"gptj", "the runtime insists on it: zeros"},
        {"gptneox", "\"transform\":\"qkv_groups\",\"heads\":3,\"groups\":3"},
        {"gptneox-sequential", "the embedding once more"},
        {"llama-dynamic", "runtime-ignores-rope"},
        {"llama-llama3", "factors of the rotary positions"},
        {"mistral", "runtime-ignores-window"},
        {"qwen2", "runtime-ignores-window"},
        {"qwen2-llama3", "runtime-ignores-rope"},
        {"qwen3-dynamic", "runtime-refuses-bias"},
        {"bigcode-mha", "\"transform\":\"qkv_groups\",\"heads\":3,\"groups\":3"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(tool("convert %s --dry-run --json", folder(rows[i].family)), 0);
        if (!said_somewhere(rows[i].says)) fail_msg("%s: the plan does not say %s", rows[i].family, rows[i].says);
    }
    /* one key and value head: the rows stay as they are */
    assert_int_equal(tool("convert %s --dry-run --json", folder("bigcode")), 0);
    assert_false(said_somewhere("qkv_groups"));
}

/* Another family may write the same architecture: without the family's name nothing is assumed. */
static void test_borrowed_architecture(void **state)
{
    (void)state;
    struct buf b = {0};
    const char *path = temp_path("hurt.gguf");
    must(file_read_all(&b, convert("gptj", "f32"), 1 << 24, &err), "gptj");
    char *key = memmem(b.data, b.len, "lathe.family", 12);
    assert_non_null(key);
    key[11] = 'x';
    must(file_write_whole(path, OUTFILE_REPLACE, b.data, b.len, &err), path);
    buf_clear(&b);
    assert_int_equal(verify("gptj", path), 2);
    assert_true(said_somewhere("architecture 'phi2' is known only with lathe.family 'gptj'"));
}

/* The copy of the embedding that GPT-NeoX's runtime insists on is of another type after quantization, and is used then. */
static void test_quantized_copy(void **state)
{
    (void)state;
    const char *path = convert("gptneox-sequential", "f32"), *small = temp_path("hurt.gguf");
    assert_int_equal(tool("quantize %s %s Q8_0 --pure --force --quiet --tensor-type output.weight=f16", path, small), 0);
    if (verify("gptneox-sequential", small) != 0) fail_msg("%s", said());
    struct model *m;
    struct warnings w = {0};
    must(model_open(&m, small, &(struct model_options){0}, &w, &err), small);
    assert_int_equal(w.count, 0);
    model_close(m);
    must(model_open(&m, path, &(struct model_options){0}, &w, &err), path);
    assert_int_equal(w.count, 0);
    assert_true(m->hp.tied);
    assert_null(model_weight(m, ROLE_OUTPUT, -1, PART_WEIGHT));
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_made_up_keys),
        cmocka_unit_test(test_detection),
        cmocka_unit_test(test_config_edits),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_lost_bias),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_borrowed_architecture),
        cmocka_unit_test(test_quantized_copy),
    };
    return cmocka_run_group_tests_name("families", tests, NULL, NULL);
}
