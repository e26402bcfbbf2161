/* The forward pass as a whole: the embedded models against transformers in float64, a Hugging Face folder against the same weights
 * in GGUF's layout, and what must not change a bit: threads, chunks, what comes later in the window. */
#include "base/file.h"
#include "formats/npy.h"
#include "models/forward.h"
#include "tests/unit/fixtures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;

static void must(enum status st)
{
    char line[sizeof err];
    error_format(&err, "test", line, sizeof line);
    if (st != STATUS_OK) fail_msg("%s", line);
}

static struct model *open_model(const char *path)
{
    struct model *m;
    struct warnings w = {0};
    must(model_open(&m, path, &(struct model_options){0}, &w, &err));
    warnings_clear(&w);
    return m;
}

static const char *data_path(const char *name)
{
    static char path[512];
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/tests/data/%s", root ? root : ".", name);
    return path;
}

/* How a window is run */
struct how {
    enum precision precision;
    int n_threads;
    int64_t chunk; /* positions of logits at a time; 0: all */
    tap_fn *tap;
    void *ctx;
};

/* Logits (n, n_vocab) in the run's precision */
static void *run(const struct model *m, const int32_t *ids, int64_t n, const struct how *how)
{
    struct forward *f;
    struct workers *w;
    size_t size = how->precision == PRECISION_F64 ? sizeof(double) : sizeof(float);
    char *logits = calloc((size_t)(n * m->hp.n_vocab), size);
    must(workers_new(&w, how->n_threads, &err));
    must(forward_new(&f, m, w, how->precision, n, &err));
    f->tap = how->tap;
    f->tap_ctx = how->ctx;
    must(forward_begin(f, ids, n, 0, &err));
    for (int64_t i = 0; i < m->hp.n_layer; i++) must(forward_layer(f, i, &err));
    must(forward_finish(f, &err));
    int64_t chunk = how->chunk ? how->chunk : n;
    for (int64_t t = 0; t < n; t += chunk)
        must(forward_logits(f, t, n - t < chunk ? n - t : chunk, logits + (size_t)(t * m->hp.n_vocab) * size,
                            &err));
    forward_free(f);
    workers_free(w);
    return logits;
}

static double at(enum precision p, const void *a, int64_t i)
{
    return p == PRECISION_F64 ? ((const double *)a)[i] : (double)((const float *)a)[i];
}

/* --- embedded models --- */

static int32_t *read_ids(const char *path, int64_t *n)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int32_t *ids = calloc(1024, sizeof *ids);
    for (*n = 0; *n < 1024 && fscanf(f, "%d", &ids[*n]) == 1;) ++*n;
    fclose(f);
    return ids;
}

struct reference {
    const char *name;
    double rms_f32; /* of transformers in float32 against the same, from tests/data/README.md */
};

static void check_reference(const struct reference *r)
{
    char path[64];
    int64_t n;
    struct npy want;
    snprintf(path, sizeof path, "%s/tokens.txt", r->name);
    int32_t *ids = read_ids(data_path(path), &n);
    snprintf(path, sizeof path, "%s/logits_f64.npy", r->name);
    must(npy_read(&want, data_path(path), 1 << 24, &err));
    struct model *m = open_model(data_path(r->name));
    assert_int_equal(want.n_elements, n * m->hp.n_vocab);
    for (int p = PRECISION_F32; p <= PRECISION_F64; p++) {
        void *got = run(m, ids, n, &(struct how){.precision = (enum precision)p, .n_threads = 2});
        double sum = 0, max = 0;
        for (int64_t i = 0; i < want.n_elements; i++) {
            double d = fabs(at((enum precision)p, got, i) - npy_double(&want, i));
            sum += d * d;
            max = fmax(max, d);
        }
        double rms = sqrt(sum / (double)want.n_elements);
        if (p == PRECISION_F64)
            assert_true(max < 1e-12); /* logits of 20, 53 bits, some thousand operations */
        else
            assert_true(rms < r->rms_f32 && max < 20 * r->rms_f32);
        free(got);
    }
    model_close(m);
    npy_clear(&want);
    free(ids);
}

static void test_llama_reference(void **state)
{
    (void)state;
    check_reference(&(struct reference){"tiny-llama", 2.1e-6});
}
static void test_gpt2_reference(void **state)
{
    (void)state;
    check_reference(&(struct reference){"tiny-gpt2", 1.4e-6});
}

static void test_tiny_glm4(void **state)
{
    (void)state;
    check_reference(&(struct reference){"tiny-glm4", 1.5e-6});
}

/* --- what changes no bit --- */

static void check_bits(const char *name)
{
    enum { N = 70 };
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = i * 37 % 500;
    struct model *m = open_model(data_path(name));
    for (int p = PRECISION_F32; p <= PRECISION_F64; p++) {
        enum precision precision = (enum precision)p;
        size_t row = (size_t)m->hp.n_vocab * (precision == PRECISION_F64 ? sizeof(double) : sizeof(float));
        char *one = run(m, ids, N, &(struct how){.precision = precision, .n_threads = 1});
        for (int n_threads = 1; n_threads <= 3; n_threads++) {
            char *got =
                run(m, ids, N, &(struct how){.precision = precision, .n_threads = n_threads, .chunk = 9});
            assert_memory_equal(got, one, N * row);
            free(got);
        }
        /* a position does not see what follows it */
        char *part = run(m, ids, N - 21, &(struct how){.precision = precision, .n_threads = 2});
        assert_memory_equal(part, one, (N - 21) * row);
        free(part);
        free(one);
    }
    model_close(m);
}

static void test_bits(void **state)
{
    (void)state;
    check_bits("tiny-llama");
    check_bits("tiny-gpt2");
}

/* --- both layouts --- */

static char gguf_path[] = "/tmp/lathe-forward-XXXXXX";

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(gguf_path);
    return fd < 0 ? -1 : close(fd);
}
static int remove_path(void **state)
{
    (void)state;
    return unlink(gguf_path);
}

enum layout { LAYOUT_GGUF, LAYOUT_UNCHANGED };

/* The rows of a head go from (0, d/2, 1, d/2 + 1, ...) to (0, 1, 2, ...): said once more here, not with the converter's code. */
static void pair_rows(float *dst, const float *src, int64_t n_heads, int64_t head_dim, int64_t cols)
{
    for (int64_t h = 0; h < n_heads; h++)
        for (int64_t j = 0; j < head_dim; j++) {
            int64_t from = j % 2 == 0 ? j / 2 : head_dim / 2 + j / 2;
            memcpy(dst + (h * head_dim + j) * cols, src + (h * head_dim + from) * cols,
                   (size_t)cols * sizeof *dst);
        }
}

static void lay_out(float *dst, const float *src, const struct weight *w, const struct hparams *hp,
                    bool is_llama)
{
    int64_t rows = tensor_rows(w->t->t), cols = tensor_cols(w->t->t);
    enum role r = w->rule->role;
    if (is_llama && (r == ROLE_ATTN_Q || r == ROLE_ATTN_K)) {
        int64_t n_heads = r == ROLE_ATTN_Q ? hp->n_head : hp->n_head_kv;
        pair_rows(dst, src, n_heads, hp->head_dim, w->rule->part == PART_BIAS ? 1 : cols);
    } else if (!is_llama && w->layer >= 0 && w->t->t->n_dims == 2) {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) dst[j * rows + i] = src[i * cols + j];
    } else {
        memcpy(dst, src, (size_t)(rows * cols) * sizeof *dst);
    }
}

/* "blk.{i}.attn_q.weight" for a layer */
static void target_name(char dst[64], const struct weight *w)
{
    const char *brace = strstr(w->rule->target, "{i}");
    if (brace)
        snprintf(dst, 64, "%.*s%lld%s", (int)(brace - w->rule->target), w->rule->target, (long long)w->layer,
                 brace + 3);
    else
        snprintf(dst, 64, "%s", w->rule->target);
}

static void write_gguf(const struct model *m, enum layout layout)
{
    struct gguf_writer w = {0};
    struct warnings warn = {0};
    struct outfile *o;
    bool is_llama = strcmp(m->arch->family, "llama") == 0;
    gguf_put_string(&w, "general.architecture", m->arch->gguf_arch);
    must(model_put_hparams(m->arch, &m->hp, &w, &warn, &err));
    for (size_t i = 0; i < m->n_weights; i++) {
        const struct tensor *t = m->weights[i].t->t;
        bool turned = !is_llama && m->weights[i].layer >= 0 && t->n_dims == 2;
        int64_t shape[2] = {t->shape[turned ? 1 : 0], t->shape[turned ? 0 : 1]};
        char name[64];
        target_name(name, &m->weights[i]);
        must(gguf_add_tensor(&w, name, DTYPE_F32, t->n_dims, shape, &err));
    }
    must(gguf_layout(&w, &err));
    must(outfile_create(&o, gguf_path, OUTFILE_REPLACE, w.size_bytes, &err));
    must(outfile_write_at(o, 0, w.header.data, w.header.len, &err));
    for (size_t i = 0; i < m->n_weights; i++) {
        const struct weight *k = &m->weights[i];
        size_t n = (size_t)k->t->t->n_elements;
        float *src = calloc(n, sizeof *src), *dst = calloc(n + 64, sizeof *dst);
        must(ckpt_read(k->t, 0, src, n * sizeof *src, &err));
        if (layout == LAYOUT_GGUF)
            lay_out(dst, src, k, &m->hp, is_llama);
        else
            memcpy(dst, src, n * sizeof *dst);
        must(outfile_write_at(o, w.tensors[i].off_file, dst, (size_t)w.tensors[i].padded_bytes, &err));
        free(src);
        free(dst);
    }
    must(outfile_commit(o, &err));
    gguf_writer_clear(&w);
    warnings_clear(&warn);
}

/* Largest difference between the folder and its GGUF, relative to the largest logit */
static double compare_layouts(const struct model *a, enum layout layout)
{
    enum { N = 24 };
    int32_t ids[N];
    const struct how how = {.precision = PRECISION_F64, .n_threads = 2};
    for (int i = 0; i < N; i++) ids[i] = (int32_t)(i * 13 % a->hp.n_vocab);
    write_gguf(a, layout);
    struct model *b = open_model(gguf_path);
    double *x = run(a, ids, N, &how), *y = run(b, ids, N, &how), diff = 0, scale = 0;
    for (int64_t i = 0; i < N * a->hp.n_vocab; i++) {
        diff = fmax(diff, fabs(x[i] - y[i]));
        scale = fmax(scale, fabs(x[i]));
    }
    assert_true(scale > 0.01);
    free(x);
    free(y);
    model_close(b);
    return diff / scale;
}

static void check_layouts(struct fixture *f, const char *eps_key)
{
    fixture_config(f, eps_key, "0.0009765625"); /* exact as a float: GGUF keeps it as one */
    struct model *m = open_model(fixture_write(f));
    assert_true(compare_layouts(m, LAYOUT_GGUF) < 1e-13);
    assert_true(compare_layouts(m, LAYOUT_UNCHANGED) > 1e-6);
    model_close(m);
}

static void test_llama_layouts(void **state)
{
    (void)state;
    static const struct fixture_sizes many_heads = {40, 64, 3, 48, 40, 6, 6, 8},
                                      wide_heads = {50, 64, 2, 32, 48, 4, 1, 12};
    const struct fixture_sizes *sizes[] = {NULL, &many_heads, &wide_heads};
    struct fixture f;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        fixture_llama(&f, sizes[i]);
        check_layouts(&f, "rms_norm_eps");
        fixture_clear(&f);
    }
}

static void test_llama_linear_rope(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    struct model *m = open_model(fixture_write(&f));
    int32_t ids[] = {1, 5, 9, 2, 30, 31, 7};
    const struct how how = {.precision = PRECISION_F64, .n_threads = 1};
    double *plain = run(m, ids, COUNT(ids), &how);
    model_close(m);
    fixture_config(&f, "rope_scaling", "{\"type\": \"linear\", \"factor\": 4.0}");
    m = open_model(fixture_write(&f));
    double *scaled = run(m, ids, COUNT(ids), &how), diff = 0;
    for (int64_t i = 0; i < (int64_t)COUNT(ids) * m->hp.n_vocab; i++)
        diff = fmax(diff, fabs(plain[i] - scaled[i]));
    assert_true(diff > 1e-6);
    /* position 0 is not rotated */
    for (int64_t i = 0; i < m->hp.n_vocab; i++) assert_true(plain[i] == scaled[i]);
    model_close(m);
    free(plain);
    free(scaled);
    check_layouts(&f, "rms_norm_eps");
    fixture_clear(&f);
}

static void test_gpt2_layouts(void **state)
{
    (void)state;
    struct fixture f;
    fixture_gpt2(&f, NULL);
    check_layouts(&f, "layer_norm_epsilon");
    fixture_clear(&f);
}

/* --- taps and errors --- */

struct taps {
    char text[2048];
};
static enum status note_tap(void *ctx, const char *tap, int64_t layer, struct act *a, struct error *e)
{
    (void)e;
    struct taps *taps = ctx;
    size_t n = strlen(taps->text);
    assert_true(a->rows > 0 && a->cols > 0 && a->data);
    snprintf(taps->text + n, sizeof taps->text - n, "%s@%lld ", tap, (long long)layer);
    return STATUS_OK;
}

static void test_taps(void **state)
{
    (void)state;
    struct fixture f;
    struct fixture_sizes one = fixture_sizes_default;
    struct taps taps = {0};
    one.layers = 1;
    fixture_llama(&f, &one);
    struct model *m = open_model(fixture_write(&f));
    int32_t ids[] = {3, 4};
    const struct how how = {.n_threads = 1, .tap = note_tap, .ctx = &taps};
    free(run(m, ids, 2, &how));
    assert_string_equal(
        taps.text, "embd@-1 attn_norm@0 q@0 k@0 v@0 q_rope@0 k_rope@0 attn_mix@0 attn_out@0 attn_residual@0 ffn_norm@0 "
                   "ffn_gate@0 ffn_up@0 ffn_act@0 ffn_out@0 residual@0 norm@-1 ");
    model_close(m);
    fixture_clear(&f);
    taps.text[0] = 0;
    fixture_gpt2(&f, &one);
    m = open_model(fixture_write(&f));
    free(run(m, ids, 2, &how));
    assert_string_equal(taps.text,
                        "embd@-1 attn_norm@0 q@0 k@0 v@0 attn_mix@0 attn_out@0 attn_residual@0 ffn_norm@0 ffn_up@0 ffn_act@0 "
                        "ffn_out@0 residual@0 norm@-1 ");
    model_close(m);
    fixture_clear(&f);
}

/* Windows that go through the layers together give the bits that each gives alone. */
static void check_windows(const char *name, enum precision precision)
{
    static const int64_t lengths[] = {17, 1, 40, 33};
    enum { N = 17 + 1 + 40 + 33 };
    int64_t n;
    char path[64];
    snprintf(path, sizeof path, "%s/tokens.txt", name);
    int32_t *ids = read_ids(data_path(path), &n);
    assert_true(n >= N);
    struct model *m = open_model(data_path(name));
    struct forward *f;
    struct workers *w;
    size_t line = (size_t)m->hp.n_vocab * (precision == PRECISION_F64 ? sizeof(double) : sizeof(float));
    char *together = malloc(N * line);
    must(workers_new(&w, 2, &err));
    must(forward_new(&f, m, w, precision, N, &err));
    must(forward_begin_windows(f, ids, lengths, 4, 0, &err));
    for (int64_t i = 0; i < m->hp.n_layer; i++) must(forward_layer(f, i, &err));
    must(forward_finish(f, &err));
    must(forward_logits(f, 0, N, together, &err));
    for (int64_t i = 0, first = 0; i < 4; first += lengths[i++]) {
        void *alone = run(m, ids + first, lengths[i], &(struct how){.precision = precision, .n_threads = 1});
        assert_memory_equal(together + (size_t)first * line, alone, (size_t)lengths[i] * line);
        free(alone);
    }
    assert_int_equal(forward_begin_windows(f, ids, (const int64_t[]){N - 1, 2}, 2, 0, &err), STATUS_RANGE);
    assert_int_equal(forward_begin_windows(f, ids, (const int64_t[]){3, 0}, 2, 0, &err), STATUS_RANGE);
    assert_int_equal(forward_begin_windows(f, ids, (const int64_t[]){3, INT64_MAX}, 2, 0, &err), STATUS_RANGE);
    forward_free(f);
    workers_free(w);
    model_close(m);
    free(together);
    free(ids);
}

static void test_windows(void **state)
{
    (void)state;
    check_windows("tiny-llama", PRECISION_F32);
    check_windows("tiny-llama", PRECISION_F64);
    check_windows("tiny-gpt2", PRECISION_F32);
}

static void test_errors(void **state)
{
    (void)state;
    struct fixture f;
    struct forward *fw;
    struct workers *w;
    fixture_gpt2(&f, NULL);
    struct model *m = open_model(fixture_write(&f));
    must(workers_new(&w, 1, &err));
    must(forward_new(&fw, m, w, PRECISION_F32, 100, &err));
    int32_t ids[100] = {0};
    must(forward_begin(fw, ids, m->hp.n_ctx, 0, &err));
    assert_int_equal(forward_begin(fw, ids, m->hp.n_ctx + 1, 0, &err), STATUS_RANGE);
    assert_int_equal(forward_begin(fw, ids, 1, m->hp.n_ctx, &err), STATUS_RANGE);
    assert_int_equal(forward_begin(fw, ids, 101, 0, &err), STATUS_RANGE);
    assert_int_equal(forward_begin(fw, ids, 0, 0, &err), STATUS_RANGE);
    ids[3] = (int32_t)m->hp.n_vocab;
    assert_int_equal(forward_begin(fw, ids, 4, 0, &err), STATUS_RANGE);
    ids[3] = -1;
    assert_int_equal(forward_begin(fw, ids, 4, 0, &err), STATUS_RANGE);
    must(forward_begin(fw, ids, 3, 0, &err));
    assert_int_equal(forward_layer(fw, m->hp.n_layer, &err), STATUS_RANGE);
    assert_int_equal(forward_layer(fw, -1, &err), STATUS_RANGE);
    float logits[200];
    assert_int_equal(forward_logits(fw, 2, 2, logits, &err), STATUS_RANGE);
    assert_int_equal(forward_logits(fw, -1, 1, logits, &err), STATUS_RANGE);
    forward_free(fw);
    workers_free(w);
    model_close(m);
    fixture_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_reference),
        cmocka_unit_test(test_gpt2_reference),
        cmocka_unit_test(test_tiny_glm4),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_llama_layouts),
        cmocka_unit_test(test_llama_linear_rope),
        cmocka_unit_test(test_gpt2_layouts),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("forward", tests, make_path, remove_path);
}
