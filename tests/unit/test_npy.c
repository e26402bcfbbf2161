/* NumPy arrays: those that numpy.save wrote (tests/vectors/make_npy_vectors.py), headers like its own, damaged ones refused. */
#include "container_support.h"

#include "base/cursor.h"
#include "formats/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error err;

static void test_reads(void **state)
{
    static const struct {
        const char *name;
        enum dtype dtype;
        int n_dims;
        int64_t rows, cols;
    } cases[] = {
        {"int32_1d", DTYPE_I32, 1, 7, 1},   {"int32_2d", DTYPE_I32, 2, 3, 5},
        {"int64_1d", DTYPE_I64, 1, 7, 1},   {"int64_2d", DTYPE_I64, 2, 3, 5},
        {"float32_1d", DTYPE_F32, 1, 7, 1}, {"float32_2d", DTYPE_F32, 2, 3, 5},
        {"float64_1d", DTYPE_F64, 1, 7, 1}, {"float64_2d", DTYPE_F64, 2, 3, 5},
        {"scalar", DTYPE_F64, 0, 1, 1},     {"empty", DTYPE_I32, 2, 0, 4},
        {"version2", DTYPE_I64, 1, 7, 1},   {"version3", DTYPE_I64, 1, 7, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char file[64];
        struct npy a;
        snprintf(file, sizeof file, "npy/%s.npy", cases[i].name);
        if (npy_read(&a, vector_path(file), 1000, &err) != STATUS_OK) fail_msg("%s: %s", file, err.text);
        assert_int_equal(a.dtype, cases[i].dtype);
        assert_int_equal(a.n_dims, cases[i].n_dims);
        assert_int_equal(a.shape[0], cases[i].rows);
        assert_int_equal(a.shape[1], cases[i].cols);
        assert_int_equal(a.n_elements, cases[i].rows * cases[i].cols);
        bool is_float = a.dtype == DTYPE_F32 || a.dtype == DTYPE_F64;
        for (int64_t k = 0; k < a.n_elements; k++) {
            double expected = (double)(3 * k - 5) + (is_float ? 0.25 : 0);
            assert_true(npy_double(&a, k) == expected);
            assert_int_equal(npy_int(&a, k), (int64_t)expected);
        }
        npy_clear(&a);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *name, *text;
    } cases[] = {{"fortran", "Fortran"}, {"big_endian", "'>i4'"}, {"int16", "'<i2'"}, {"3d", "found 3"}};
    struct npy a;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char file[64];
        snprintf(file, sizeof file, "npy/refused_%s.npy", cases[i].name);
        enum status st = npy_read(&a, vector_path(file), 1000, &err);
        expect_error(file, st, &err, STATUS_UNSUPPORTED, cases[i].text);
    }
    enum status st = npy_read(&a, vector_path("npy/refused_struct.npy"), 1000, &err);
    expect_error("struct", st, &err, STATUS_FORMAT, NULL);
    st = npy_read(&a, vector_path("npy/int64_1d.npy"), 55, &err);
    expect_error("limit", st, &err, STATUS_RANGE, "55");
    st = npy_read(&a, scratch_path("absent"), 55, &err);
    expect_error("absent", st, &err, STATUS_NOTFOUND, "absent");
}

/* Headers are those of NumPy, byte for byte. */
static void test_headers(void **state)
{
    static const struct {
        const char *name;
        enum dtype dtype;
        int n_dims;
        int64_t shape[2];
    } cases[] = {{"float32_2d", DTYPE_F32, 2, {3, 5}}, {"float64_2d", DTYPE_F64, 2, {3, 5}},
                 {"int64_1d", DTYPE_I64, 1, {7, 1}},   {"int32_1d", DTYPE_I32, 1, {7, 1}},
                 {"scalar", DTYPE_F64, 0, {1, 1}},     {"empty", DTYPE_I32, 2, {0, 4}}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char file[64];
        size_t n;
        struct buf b = {0};
        snprintf(file, sizeof file, "npy/%s.npy", cases[i].name);
        unsigned char *expected = slurp(vector_path(file), &n);
        assert_int_equal(npy_header(&b, cases[i].dtype, cases[i].n_dims, cases[i].shape, &err), STATUS_OK);
        assert_true(b.len <= n && b.len % 64 == 0);
        assert_memory_equal(b.data, expected, b.len);
        buf_clear(&b);
        free(expected);
    }
    struct buf b = {0};
    int64_t big[2] = {INT64_MAX, INT64_MAX};
    assert_int_equal(npy_header(&b, DTYPE_F64, 2, big, &err), STATUS_OK);
    assert_int_equal(b.len, 128);
    buf_clear(&b);
    assert_int_equal(npy_header(&b, DTYPE_BF16, 2, big, &err), STATUS_UNSUPPORTED);
    assert_int_equal(npy_header(&b, DTYPE_F32, NPY_HEADER_DIMS_MAX + 1, big, &err), STATUS_UNSUPPORTED);
    buf_clear(&b);
    const int64_t four[] = {2, 3, 4, 5}; /* numpy.lib.format.write_array_header_1_0 spells it so */
    assert_int_equal(npy_header(&b, DTYPE_F32, 4, four, &err), STATUS_OK);
    assert_non_null(strstr(b.data + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4, 5), }"));
    assert_int_equal(b.len, 128);
    buf_clear(&b);
}

static void expect_text(const char *dict, size_t data_bytes, enum status status)
{
    struct buf b = {0};
    struct npy a;
    unsigned char n[2];
    le_put16(n, (uint16_t)strlen(dict));
    buf_append(&b, "\x93NUMPY\1\0", 8);
    buf_append(&b, n, 2);
    buf_puts(&b, dict);
    for (size_t i = 0; i < data_bytes; i++) buf_append(&b, "", 1);
    scratch_write("x.npy", b.data, b.len);
    buf_clear(&b);
    enum status st = npy_read(&a, scratch_path("x.npy"), 1 << 20, &err);
    if (status != STATUS_OK)
        expect_error(dict, st, &err, status, NULL);
    else if (st != STATUS_OK)
        fail_msg("%s: %s", dict, err.text);
    npy_clear(&a);
}

static void test_dicts(void **state)
{
    (void)state;
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }\n", 8, STATUS_OK);
    expect_text("{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<i4\"}", 8, STATUS_OK);
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (2), }", 8, STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", 7, STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", 9, STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (-2,), }", 8, STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (4294967296,4294967296), }", 0,
                STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (9223372036854775807,1), }", 0,
                STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (9223372036854775808,), }", 0,
                STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': False}", 0, STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", 8, STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': 0, 'shape': (1,)}", 4, STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4, STATUS_FORMAT);
    expect_text("{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}", 4, STATUS_FORMAT);
    expect_text("{'descr': '<i4', 'fortran_order': False, 'shape': (1,)} x", 4, STATUS_FORMAT);
    expect_text("", 4, STATUS_FORMAT);
    expect_text("{", 4, STATUS_FORMAT);
    expect_text("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 8, STATUS_UNSUPPORTED);
}

static void test_cut(void **state)
{
    size_t n;
    struct npy a;
    (void)state;
    unsigned char *b = slurp(vector_path("npy/float32_2d.npy"), &n);
    for (size_t k = 0; k < n; k++) {
        scratch_write("cut.npy", b, k);
        enum status st = npy_read(&a, scratch_path("cut.npy"), 1 << 20, &err);
        expect_error("prefix", st, &err, STATUS_FORMAT, NULL);
    }
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads), cmocka_unit_test(test_refused), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_dicts), cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
