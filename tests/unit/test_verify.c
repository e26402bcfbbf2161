/* The parts of lathe-verify: token files, what may be compared, windows, the file of logits, tolerances. */
#include "base/file.h"
#include "formats/npy.h"
#include "tests/unit/fixtures.h"
#include "tests/unit/temp_model.h"
#include "verify/tolerance.h"
#include "verify/verify_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;

static void must(enum status st)
{
    if (st != STATUS_OK) fail_msg("%s: %s", err.path, err.text);
}

static struct model *open_model(const char *path)
{
    struct model *m;
    struct warnings w = {0};
    must(model_open(&m, path, &(struct model_options){0}, &w, &err));
    warnings_clear(&w);
    return m;
}

/* --- tokens --- */

static enum status read_text(struct tokens *t, const char *text, size_t n)
{
    const char *path = temp_path("ids");
    must(file_write_whole(path, OUTFILE_REPLACE, text, n, &err));
    return tokens_read(t, path, 100, &err);
}

static void test_tokens_text(void **state)
{
    (void)state;
    static const int32_t want[] = {5, 0, 99, 7};
    static const char *good[] = {"5 0 99 7", "5\n0\n99\n7\n", "\t5  0\r\n 99\f7  ", "05 000 0099 7"};
    struct tokens t;
    for (size_t i = 0; i < COUNT(good); i++) {
        must(read_text(&t, good[i], strlen(good[i])));
        assert_int_equal(t.n, COUNT(want));
        assert_memory_equal(t.ids, want, sizeof want);
        tokens_clear(&t);
    }
    static const struct {
        const char *text;
        enum status st;
        const char *says;
    } bad[] = {
        {"", STATUS_FORMAT, "found none"},      {" \n\t", STATUS_FORMAT, "found none"},
        {"1 100", STATUS_RANGE, "token 1"},     {"-1", STATUS_RANGE, "from 0 to 99, found '-1'"},
        {"1 2x 3", STATUS_RANGE, "found '2x'"}, {"3.0", STATUS_RANGE, "found '3.0'"},
        {"1,2", STATUS_RANGE, "found '1,2'"},   {"99999999999999999999999", STATUS_RANGE, "token 0"},
        {"+5", STATUS_RANGE, "found '+5'"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(read_text(&t, bad[i].text, strlen(bad[i].text)), bad[i].st);
        assert_non_null(strstr(err.text, bad[i].says));
        assert_null(t.ids);
    }
    assert_int_equal(read_text(&t, "1 \0 2", 5), STATUS_RANGE);
    assert_int_equal(tokens_read(&t, "/nowhere/ids", 100, &err), STATUS_NOTFOUND);
}

/* A NumPy file of n elements of that type and shape, as npy_header writes it */
static enum status read_array(struct tokens *t, enum dtype type, int n_dims, const int64_t *shape,
                              const void *data, size_t n)
{
    struct buf b = {0};
    must(npy_header(&b, type, n_dims, shape, &err));
    buf_append(&b, data, n);
    enum status st = read_text(t, b.data, b.len);
    buf_clear(&b);
    return st;
}

static void test_tokens_array(void **state)
{
    (void)state;
    static const int64_t wide[] = {3, 99, 0}, too_big[] = {3, INT64_C(1) << 32, 0};
    static const int32_t ids[] = {3, 99, 0}, negative[] = {3, -1, 0};
    static const float floats[] = {1, 2, 3};
    struct tokens t;
    must(read_array(&t, DTYPE_I64, 1, (int64_t[]){3}, wide, sizeof wide));
    assert_memory_equal(t.ids, ids, sizeof ids);
    tokens_clear(&t);
    must(read_array(&t, DTYPE_I32, 2, (int64_t[]){1, 3}, ids, sizeof ids));
    assert_int_equal(t.n, 3);
    assert_memory_equal(t.ids, ids, sizeof ids);
    tokens_clear(&t);
    assert_int_equal(read_array(&t, DTYPE_I64, 1, (int64_t[]){3}, too_big, sizeof too_big), STATUS_RANGE);
    assert_int_equal(read_array(&t, DTYPE_I32, 1, (int64_t[]){3}, negative, sizeof negative), STATUS_RANGE);
    assert_int_equal(read_array(&t, DTYPE_I32, 2, (int64_t[]){3, 1}, ids, sizeof ids), STATUS_FORMAT);
    assert_int_equal(read_array(&t, DTYPE_F32, 1, (int64_t[]){3}, floats, sizeof floats), STATUS_FORMAT);
    assert_int_equal(read_array(&t, DTYPE_I32, 1, (int64_t[]){0}, ids, 0), STATUS_FORMAT);
}

static void test_tokens_built_in(void **state)
{
    (void)state;
    struct tokens t;
    must(tokens_make(&t, TOKENS_BUILT_IN, 49152, &err));
    /* SplitMix64 from 20, computed with Python's integers, modulo 49152 */
    static const int32_t first[] = {396, 25733, 8695, 30844, 23455, 7154};
    assert_true(t.built_in);
    assert_int_equal(t.n, TOKENS_BUILT_IN);
    assert_memory_equal(t.ids, first, sizeof first);
    tokens_clear(&t);
    must(tokens_make(&t, 50, 1, &err));
    for (int i = 0; i < 50; i++) assert_int_equal(t.ids[i], 0);
    tokens_clear(&t);
}

/* --- what may be compared --- */

static void test_pairs(void **state)
{
    (void)state;
    struct fixture f;
    struct fixture_sizes other = fixture_sizes_default;
    fixture_llama(&f, NULL);
    struct model *a = open_model(fixture_write(&f));
    must(verify_check_pair(a, a, &err));
    struct fixture g;
    other.vocab++;
    fixture_llama(&g, &other);
    struct model *b = open_model(fixture_write(&g));
    assert_int_equal(verify_check_pair(a, b, &err), STATUS_MISMATCH);
    assert_non_null(strstr(err.text, "vocabulary: expected 40"));
    model_close(b);
    fixture_clear(&g);
    other = fixture_sizes_default;
    other.layers++;
    fixture_llama(&g, &other);
    b = open_model(fixture_write(&g));
    assert_int_equal(verify_check_pair(a, b, &err), STATUS_MISMATCH);
    assert_non_null(strstr(err.text, "layers: expected 2"));
    model_close(b);
    fixture_clear(&g);
    model_close(a);
    fixture_clear(&f);
}

static void test_context(void **state)
{
    (void)state;
    struct fixture f, g, h;
    struct fixture_sizes shorter = fixture_sizes_default, longer = fixture_sizes_default;
    shorter.ctx = 20;
    longer.ctx = 4096;
    fixture_llama(&f, NULL);
    fixture_gpt2(&g, &shorter);
    fixture_llama(&h, &longer);
    struct model *rope = open_model(fixture_write(&f)), *learned = open_model(fixture_write(&g));
    struct model *wide = open_model(fixture_write(&h));
    int64_t n;
    must(verify_context(&n, rope, NULL, 0, &err));
    assert_int_equal(n, 64);
    must(verify_context(&n, wide, NULL, 0, &err));
    assert_int_equal(n, 512);
    must(verify_context(&n, rope, wide, 0, &err));
    assert_int_equal(n, 64);
    must(verify_context(&n, rope, NULL, 1000, &err)); /* rotary positions go on */
    assert_int_equal(n, 1000);
    must(verify_context(&n, rope, learned, 0, &err));
    assert_int_equal(n, 20);
    must(verify_context(&n, learned, NULL, 20, &err));
    assert_int_equal(verify_context(&n, learned, NULL, 21, &err), STATUS_RANGE);
    assert_int_equal(verify_context(&n, rope, learned, 21, &err), STATUS_RANGE);
    model_close(rope);
    model_close(learned);
    model_close(wide);
    fixture_clear(&f);
    fixture_clear(&g);
    fixture_clear(&h);
}

/* --- a run --- */

/* Logits of windows of 7 over 16 ids are those of ids 0-6, 7-13, 14-15 run alone, one after the other in the file; 13 are scored. */
static void test_windows(void **state)
{
    (void)state;
    struct fixture f;
    struct workers *w;
    struct tokens t;
    struct progress quiet = {0};
    fixture_llama(&f, NULL);
    struct model *m = open_model(fixture_write(&f));
    must(workers_new(&w, 2, &err));
    must(tokens_make(&t, 16, m->hp.n_vocab, &err));
    for (int p = PRECISION_F32; p <= PRECISION_F64; p++) {
        struct metrics_result r;
        struct npy a;
        const char *path = temp_path("logits.npy");
        struct verify_run run = {
            .a = m,
            .b = m,
            .precision = (enum precision)p,
            .tokens = &t,
            .n_context = 7,
            .logits_path = path,
            .workers = w,
            .progress = &quiet,
        };
        must(verify_execute(&run, &r, &err));
        assert_int_equal(r.positions, 16);
        assert_int_equal(r.scored, 13);
        assert_true(r.max_abs_diff == 0 && r.perplexity_a == r.perplexity_b);
        must(npy_read(&a, path, 1 << 20, &err));
        assert_int_equal(a.dtype, p == PRECISION_F64 ? DTYPE_F64 : DTYPE_F32);
        assert_int_equal(a.shape[0], 16);
        assert_int_equal(a.shape[1], m->hp.n_vocab);
        double nll = 0;
        for (int64_t first = 0; first < 16; first += 7) {
            int64_t n = 16 - first < 7 ? 16 - first : 7;
            struct tokens part = {.ids = t.ids + first, .n = n};
            struct metrics_result alone;
            struct npy b;
            const char *part_path = temp_path("part.npy");
            run.tokens = &part;
            run.logits_path = part_path;
            run.b = NULL;
            must(verify_execute(&run, &alone, &err));
            nll += log(alone.perplexity_a) * (double)alone.scored;
            must(npy_read(&b, part_path, 1 << 20, &err));
            for (int64_t i = 0; i < b.n_elements; i++)
                assert_true(npy_double(&b, i) == npy_double(&a, first * m->hp.n_vocab + i));
            npy_clear(&b);
        }
        assert_true(fabs(log(r.perplexity_a) - nll / 13) < 1e-12);
        npy_clear(&a);
    }
    tokens_clear(&t);
    workers_free(w);
    model_close(m);
    fixture_clear(&f);
}

/* A run that fails leaves no file, and never one in the place of a source. */
static void test_logits_file(void **state)
{
    (void)state;
    struct fixture f;
    struct workers *w;
    struct tokens t;
    struct progress quiet = {0};
    struct metrics_result r;
    fixture_llama(&f, NULL);
    struct model *m = open_model(fixture_write(&f));
    must(workers_new(&w, 1, &err));
    must(tokens_make(&t, 5, m->hp.n_vocab, &err));
    t.ids[4] = (int32_t)m->hp.n_vocab;
    const char *path = temp_path("never.npy");
    struct verify_run run = {
        .a = m, .tokens = &t, .n_context = 3, .logits_path = path, .workers = w, .progress = &quiet};
    assert_int_equal(verify_execute(&run, &r, &err), STATUS_RANGE); /* in the second window */
    assert_false(file_exists(path));
    t.ids[4] = 0;
    run.logits_path = f.weights;
    assert_int_equal(verify_execute(&run, &r, &err), STATUS_EXISTS);
    model_close(m);
    m = open_model(fixture_write(&f)); /* unharmed */
    model_close(m);
    tokens_clear(&t);
    workers_free(w);
    fixture_clear(&f);
}

/* --- tolerances --- */

/* Errors of types that have an encoder, on normally distributed numbers */
static void test_type_errors(void **state)
{
    (void)state;
    enum { N = 256 * 64 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    void *bytes = malloc(N * 8);
    srand(5);
    for (int i = 0; i < N; i++) {
        double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = (double)rand() / RAND_MAX;
        x[i] = (float)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979 * v));
    }
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        bool counts = info->is_float || info->block_len > 1;
        if (!counts || t == DTYPE_F32 || dtype_encode_f32((enum dtype)t, x, bytes, N, &err) != STATUS_OK ||
            dtype_decode_f32((enum dtype)t, bytes, y, N, &err) != STATUS_OK)
            continue;
        double sum = 0, diff = 0;
        for (int i = 0; i < N; i++) {
            sum += (double)x[i] * (double)x[i];
            diff += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        }
        double found = sqrt(diff / sum), listed = tolerance_type_error((enum dtype)t);
        if (found > 1.06 * listed || found < 0.6 * listed)
            fail_msg("%s: listed %g, found %g", info->name, listed, found);
    }
    assert_true(tolerance_type_error(DTYPE_I64) == 1);
    free(x);
    free(y);
    free(bytes);
}

static double tolerance_between(struct fixture *f, enum dtype a, enum dtype b, enum precision p,
                                char reason[256])
{
    struct tolerance t;
    struct model *m[2];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < f->n_tensors; i++)
            if (f->tensors[i].n_dims == 2) f->tensors[i].dtype = side ? b : a;
        m[side] = open_model(fixture_write(f));
    }
    tolerance_default(&t, m[0], m[1], p);
    strcpy(reason, t.reason);
    model_close(m[0]);
    model_close(m[1]);
    return t.value;
}

static void test_tolerances(void **state)
{
    (void)state;
    struct fixture f;
    char reason[256];
    double depth = sqrt(2);
    fixture_llama(&f, NULL);
    double same = tolerance_between(&f, DTYPE_F32, DTYPE_F32, PRECISION_F32, reason);
    assert_true(fabs(same - 5e-6 * depth) < 1e-12);
    assert_non_null(strstr(reason, "only F32 rounding"));
    assert_true(tolerance_between(&f, DTYPE_BF16, DTYPE_F32, PRECISION_F32, reason) == same);
    assert_true(tolerance_between(&f, DTYPE_F32, DTYPE_F32, PRECISION_F64, reason) < same / 100);
    double half = tolerance_between(&f, DTYPE_F32, DTYPE_F16, PRECISION_F32, reason);
    double brain = tolerance_between(&f, DTYPE_F32, DTYPE_BF16, PRECISION_F32, reason);
    assert_non_null(strstr(reason, "f32 weights of A are bf16 in B"));
    assert_true(half > 5 * same && brain > 5 * half && brain < 0.05);
    assert_true(tolerance_between(&f, DTYPE_BF16, DTYPE_F16, PRECISION_F32, reason) < 3 * same);
    fixture_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_text),     cmocka_unit_test(test_tokens_array),
        cmocka_unit_test(test_tokens_built_in), cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_context),         cmocka_unit_test(test_windows),
        cmocka_unit_test(test_logits_file),     cmocka_unit_test(test_type_errors),
        cmocka_unit_test(test_tolerances),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
