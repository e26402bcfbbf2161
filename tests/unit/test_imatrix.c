/* Importance matrices in both forms: values as llama-quantize computes them, and files that lie about themselves. */
#include "core/imatrix.h"
#include "core/name_pattern.h"
#include "temp_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;

/* --- the older form --- */

static void put_i32(struct buf *b, int32_t v)
{
    buf_append(b, &v, 4);
}
static void put_entry(struct buf *b, const char *name, int32_t n_calls, int32_t n, const float *values)
{
    put_i32(b, (int32_t)strlen(name));
    buf_puts(b, name);
    put_i32(b, n_calls);
    put_i32(b, n);
    buf_append(b, values, sizeof *values * (size_t)n);
}

static const char *write_file(const char *name, const struct buf *b)
{
    const char *path = temp_path(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->data, 1, b->len, f), b->len);
    fclose(f);
    return path;
}

static void whole_legacy(struct buf *b)
{
    put_i32(b, 2);
    put_entry(b, "blk.1.attn_q.weight", 4, 3, (const float[]){4, 8, 0});
    put_entry(b, "blk.0.attn_q.weight", 0, 2, (const float[]){1.5f, 2});
    put_i32(b, 7);
    put_i32(b, 8);
    buf_puts(b, "wiki.txt");
}

static void test_legacy(void **state)
{
    (void)state;
    struct buf b = {0};
    whole_legacy(&b);
    struct imatrix *im;
    assert_int_equal(imatrix_open(&im, write_file("old.dat", &b), &err), STATUS_OK);
    assert_true(im->legacy);
    assert_int_equal(im->n_entries, 2);
    assert_int_equal(im->n_chunks, 7);
    assert_string_equal(im->dataset, "wiki.txt");
    assert_int_equal(strlen(im->sha256), 64);
    float v[3];
    const struct imatrix_entry *e = imatrix_find(im, "blk.1.attn_q.weight");
    assert_non_null(e);
    assert_int_equal(e->n_values, 3);
    assert_int_equal(imatrix_read(im, e, v, &err), STATUS_OK);
    assert_true(v[0] == 1 && v[1] == 2 && v[2] == 0);
    e = imatrix_find(im, "blk.0.attn_q.weight"); /* no calls: as they are */
    assert_int_equal(imatrix_read(im, e, v, &err), STATUS_OK);
    assert_true(v[0] == 1.5f && v[1] == 2);
    assert_null(imatrix_find(im, "blk.0.attn_k.weight"));
    imatrix_close(im);
    buf_clear(&b);
}

static void refused(struct buf *b, enum status expected)
{
    struct imatrix *im;
    enum status st = imatrix_open(&im, write_file("bad.dat", b), &err);
    if (st != expected) fail_msg("expected %s, found %s: %s", status_name(expected), status_name(st), err.text);
    assert_true(err.path[0] != 0);
}

static void test_legacy_hostile(void **state)
{
    (void)state;
    struct buf whole = {0};
    whole_legacy(&whole);
    /* every cut, but the two places where the file may end: after the entries, and after the number of chunks */
    size_t end = whole.len - 4 - 4 - 8;
    for (size_t n = 1; n < whole.len; n++) {
        struct buf cut = {.data = whole.data, .len = n};
        struct imatrix *im;
        enum status st = imatrix_open(&im, write_file("cut.dat", &cut), &err);
        if (n == end || n == end + 4) {
            assert_int_equal(st, STATUS_OK);
            imatrix_close(im);
        } else if (st != STATUS_FORMAT && st != STATUS_RANGE) {
            fail_msg("cut at %zu: %s", n, status_name(st));
        }
    }
    struct buf more = {0};
    buf_append(&more, whole.data, whole.len);
    buf_puts(&more, "x");
    refused(&more, STATUS_FORMAT);
    buf_clear(&more);

    static const int32_t counts[] = {0, -1, INT32_MIN, INT32_MAX, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        memcpy(whole.data, &counts[i], 4);
        refused(&whole, STATUS_FORMAT);
    }
    int32_t two = 2;
    memcpy(whole.data, &two, 4);
    static const int32_t lengths[] = {-1, INT32_MIN, INT32_MAX, 5000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(whole.data + 4, &lengths[i], 4); /* of the name */
        refused(&whole, STATUS_FORMAT);
    }
    int32_t len = 19;
    memcpy(whole.data + 4, &len, 4);
    static const int32_t values[] = {0, -1, INT32_MIN, INT32_MAX, 1 << 29};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        memcpy(whole.data + 4 + 4 + 19 + 4, &values[i], 4);
        refused(&whole, STATUS_FORMAT);
    }
    buf_clear(&whole);

    struct buf b = {0};
    put_i32(&b, 2);
    put_entry(&b, "a", 1, 1, (const float[]){1});
    put_entry(&b, "a", 1, 1, (const float[]){1});
    refused(&b, STATUS_FORMAT); /* two of one name */
    assert_string_equal(err.tensor, "a");
    buf_clear(&b);
    put_i32(&b, 1);
    put_entry(&b, "a", 1, 3, (const float[]){1, 2, INFINITY});
    refused(&b, STATUS_RANGE);
    assert_string_equal(err.text, "importance of value 2 is inf; expected finite numbers");
    buf_clear(&b);
    put_i32(&b, 1);
    put_entry(&b, "\xff", 1, 1, (const float[]){1});
    refused(&b, STATUS_FORMAT);
    buf_clear(&b);
}

/* --- GGUF --- */

struct pair {
    const char *name;
    enum dtype dtype;
    int64_t rows, cols;
    const float *data;
};

static const char *write_gguf(const struct pair *pairs, size_t n, bool with_keys)
{
    struct gguf_writer w = {0};
    struct outfile *o;
    const char *path = temp_path("imatrix.gguf");
    gguf_put_string(&w, "general.type", "imatrix");
    struct kv_string dataset = {"/home/somebody/calibration.txt", 30};
    if (with_keys) {
        gguf_put_array(&w, "imatrix.datasets", KV_STRING, 1, &dataset);
        gguf_put_u32(&w, "imatrix.chunk_count", 5);
        gguf_put_u32(&w, "imatrix.chunk_size", 512);
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(gguf_add_tensor(&w, pairs[i].name, pairs[i].dtype, 2, (const int64_t[]){pairs[i].rows, pairs[i].cols}, &err), STATUS_OK);
    assert_int_equal(gguf_layout(&w, &err), STATUS_OK);
    assert_int_equal(outfile_create(&o, path, OUTFILE_REPLACE, 0, &err), STATUS_OK);
    outfile_write_at(o, 0, w.header.data, w.header.len, &err);
    static const char zeros[64];
    for (size_t i = 0; i < n; i++) {
        const struct gguf_out_tensor *t = &w.tensors[i];
        outfile_write_at(o, t->off_file, pairs[i].data, t->size_bytes, &err);
        outfile_write_at(o, t->off_file + t->size_bytes, zeros, t->padded_bytes - t->size_bytes, &err);
    }
    assert_int_equal(outfile_commit(o, &err), STATUS_OK);
    gguf_writer_clear(&w);
    return path;
}

static void test_gguf(void **state)
{
    (void)state;
    static const float sums[] = {2, 4, 6, 8, 10, 12}, counts[] = {2, 0, 4}, one[] = {8};
    const struct pair pairs[] = {
        {"e.weight.in_sum2", DTYPE_F32, 3, 2, sums}, {"e.weight.counts", DTYPE_F32, 3, 1, counts},
        {"d.weight.in_sum2", DTYPE_F32, 1, 6, sums}, {"d.weight.counts", DTYPE_F32, 1, 1, one},
    };
    struct imatrix *im;
    float v[6];
    assert_int_equal(imatrix_open(&im, write_gguf(pairs, 4, true), &err), STATUS_OK);
    assert_false(im->legacy);
    assert_int_equal(im->n_chunks, 5);
    assert_int_equal(im->n_entries, 2);
    const struct imatrix_entry *e = imatrix_find(im, "e.weight");
    assert_int_equal(e->n_values, 6);
    assert_int_equal(imatrix_read(im, e, v, &err), STATUS_OK);
    static const float expected[] = {1, 2, 1, 1, 2.5f, 3}; /* an expert that was never asked counts as ones */
    assert_memory_equal(v, expected, sizeof v);
    assert_int_equal(imatrix_read(im, imatrix_find(im, "d.weight"), v, &err), STATUS_OK);
    assert_true(v[0] == 0.25f && v[5] == 1.5f);
    imatrix_close(im);

    assert_int_equal(imatrix_open(&im, write_gguf(pairs, 4, false), &err), STATUS_FORMAT); /* a model, say */
    assert_int_equal(imatrix_open(&im, write_gguf(pairs, 3, true), &err), STATUS_FORMAT);  /* sums without counts */
    assert_int_equal(imatrix_open(&im, write_gguf(pairs + 3, 1, true), &err), STATUS_FORMAT);
    assert_int_equal(imatrix_open(&im, write_gguf(pairs, 0, true), &err), STATUS_FORMAT);
    const struct pair uneven[] = {{"e.weight.in_sum2", DTYPE_F32, 1, 5, sums}, {"e.weight.counts", DTYPE_F32, 3, 1, counts}};
    assert_int_equal(imatrix_open(&im, write_gguf(uneven, 2, true), &err), STATUS_FORMAT);
    assert_string_equal(err.text, "3 counts for 5 sums");
    const struct pair half[] = {{"e.weight.in_sum2", DTYPE_F16, 1, 2, sums}, {"e.weight.counts", DTYPE_F32, 1, 1, one}};
    assert_int_equal(imatrix_open(&im, write_gguf(half, 2, true), &err), STATUS_FORMAT);
    static const float bad[] = {1, NAN};
    const struct pair nan[] = {{"e.weight.in_sum2", DTYPE_F32, 1, 2, bad}, {"e.weight.counts", DTYPE_F32, 1, 1, one}};
    assert_int_equal(imatrix_open(&im, write_gguf(nan, 2, true), &err), STATUS_RANGE);
    assert_string_equal(err.tensor, "e.weight");
}

/* --- patterns --- */

static void test_patterns(void **state)
{
    (void)state;
    struct name_patterns p = {0};
    assert_int_equal(name_patterns_add(&p, "blk\\.\\d\\.ffn_(up|gate)=q5_K", &err), STATUS_OK);
    assert_int_equal(name_patterns_add(&p, "FFN_UP=f16", &err), STATUS_OK);
    assert_int_equal(name_patterns_match(&p, "blk.3.ffn_up.weight")->type, DTYPE_Q5_K);
    assert_int_equal(name_patterns_match(&p, "blk.13.ffn_up.weight")->type, DTYPE_F16); /* \d is one digit */
    assert_null(name_patterns_match(&p, "blk.3.ffn_down.weight"));
    assert_true(p.items[0].used && p.items[1].used);
    static const char *const refused[] = {"ffn_up", "=q8_0", "ffn_up=", "ffn_up=q9", "ffn_up=i32", "(=q8_0", "(?!x)a=q8_0"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (name_patterns_add(&p, refused[i], &err) != STATUS_USAGE) fail_msg("%s is taken", refused[i]);
    assert_int_equal(p.count, 2);
    name_patterns_clear(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_legacy), cmocka_unit_test(test_legacy_hostile), cmocka_unit_test(test_gguf),
                                       cmocka_unit_test(test_patterns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
