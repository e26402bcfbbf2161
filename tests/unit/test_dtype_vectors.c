/* Encoders and decoders against what ggml, gguf-py, torch and exact arithmetic gave (tests/vectors/make_quant_vectors.py). */
#include "dtypes/dtype.h"
#include "dtypes/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct blob {
    unsigned char *data;
    size_t size;
};

static char row_names[64][40];
static int n_rows;
static int64_t n_cols;
static struct blob rows;

static FILE *vector_open(const char *name, const char *suffix)
{
    char path[512];
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/tests/vectors/quant/%s%s", root ? root : ".", name, suffix);
    return fopen(path, "rb");
}

static struct blob vector_read(const char *name, const char *suffix)
{
    struct blob b = {malloc(1 << 20), 0};
    FILE *f = vector_open(name, suffix);
    if (!f) fail_msg("no vectors: %s%s", name, suffix);
    b.size = fread(b.data, 1, 1 << 20, f);
    fclose(f);
    return b;
}

static int read_rows(void **state)
{
    (void)state;
    FILE *f = vector_open("MANIFEST", "");
    char line[256];
    if (!f) return -1;
    while (n_rows < 64 && fgets(line, sizeof line, f)) {
        long long cols;
        if (sscanf(line, "row %39s", row_names[n_rows]) == 1) n_rows++;
        if (sscanf(line, "cols %lld", &cols) == 1) n_cols = cols;
    }
    fclose(f);
    rows = vector_read("rows", ".f32");
    return n_rows > 0 && rows.size == (size_t)n_rows * (size_t)n_cols * sizeof(float) ? 0 : -1;
}

static int free_rows(void **state)
{
    (void)state;
    free(rows.data);
    return 0;
}

static const float *row(int r)
{
    return (const float *)(const void *)rows.data + r * n_cols;
}

/* Encodes every row and compares it block by block. */
static void check_encoder(const struct dtype_info *t, void (*encode)(const float *, void *, int64_t),
                          const char *set)
{
    struct blob want = vector_read(t->name, ".enc");
    size_t row_bytes = (size_t)n_cols / t->block_len * t->block_bytes;
    assert_int_equal(want.size, row_bytes * (size_t)n_rows);
    unsigned char *got = malloc(row_bytes);
    for (int r = 0; r < n_rows; r++) {
        memset(got, 0x5A, row_bytes);
        encode(row(r), got, n_cols);
        for (size_t off = 0; off < row_bytes; off += t->block_bytes)
            if (memcmp(got + off, want.data + (size_t)r * row_bytes + off, t->block_bytes) != 0)
                fail_msg("%s (%s), row %s: block %zu differs from ggml's", t->name, set, row_names[r],
                         off / t->block_bytes);
    }
    free(got);
    free(want.data);
}

/* f32 and f64 are copies and widenings: no vectors. */
static bool has_vectors(const struct dtype_info *t)
{
    return t->block_bytes * 8 / t->block_len < 32;
}

/* The others have sums. */
static bool has_encoded(const struct dtype_info *t)
{
    FILE *f = vector_open(t->name, ".enc");
    if (f) fclose(f);
    return f != NULL;
}

static void test_encode_equals_ggml(void **state)
{
    (void)state;
    int n = 0;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        if (!info->encode_f32 || !has_vectors(info) || !has_encoded(info)) continue;
        check_encoder(info, info->encode_f32, "table");
        check_encoder(info, kernels_active()->encode_f32[t], kernels_active()->name);
        n++;
    }
    assert_true(n >= 5);
}

static void fnv1a(const unsigned char *p, size_t n, char hex[17])
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001B3u;
    snprintf(hex, 17, "%016llx", (unsigned long long)h);
}

/* One line of the sums: a type, a way, a sum for each row. Returns how many rows were compared. */
static int check_sums(char *line, const float *weights)
{
    static unsigned char got[1 << 14];
    char *name = strtok(line, " \n"), *way = strtok(NULL, " \n");
    assert_non_null(name);
    assert_non_null(way);
    enum dtype t = dtype_from_name(name);
    int n = 0;
    for (int r = 0; r < n_rows; r++) {
        char *want = strtok(NULL, " \n"), found[17];
        struct error err;
        uint64_t bytes;
        assert_non_null(want);
        assert_true(dtype_bytes(t, n_cols, &bytes));
        const float *w = strcmp(way, "weights") == 0 ? weights : NULL;
        assert_int_equal(dtype_encode_rows(t, row(r), w, got, 1, n_cols, &err), STATUS_OK);
        fnv1a(got, (size_t)bytes, found);
        if (strcmp(want, "-") == 0) continue; /* ggml gives up; we do not */
        if (strcmp(want, found) != 0)
            fail_msg("%s (%s, %s), row %s: bytes differ from ggml's", name, way, kernels_active()->name, row_names[r]);
        n++;
    }
    assert_null(strtok(NULL, " \n"));
    return n;
}

/* Types that came later, and importance weights: for each kernel set. */
static void test_encode_has_sums_of_ggml(void **state)
{
    (void)state;
    struct blob weights = vector_read("weights", ".f32");
    struct error err;
    for (const char *const *set = kernels_names(); *set; set++) {
        FILE *f = vector_open("sums", "");
        char line[1024];
        int n_lines = 0, n = 0;
        assert_non_null(f);
        assert_int_equal(kernels_select(*set, &err), STATUS_OK);
        while (fgets(line, sizeof line, f)) {
            n += check_sums(line, (const float *)(const void *)weights.data);
            n_lines++;
        }
        fclose(f);
        assert_true(n_lines >= 20 && n >= 30 * n_lines);
    }
    assert_int_equal(kernels_select("auto", &err), STATUS_OK);
    free(weights.data);
}

/* The first block of two rows changes when the compiler fuses a multiplication with an addition. */
static void test_no_contraction(void **state)
{
    (void)state;
    int n_rows_seen = 0, n_fused = 0;
    for (int r = 0; r < n_rows; r++) {
        if (strncmp(row_names[r], "fused_", 6) != 0) continue;
        const struct dtype_info *t = dtype_info(dtype_from_name(row_names[r] + 6));
        assert_non_null(t);
        struct blob want = vector_read(t->name, ".enc");
        size_t row_bytes = (size_t)n_cols / t->block_len * t->block_bytes;
        unsigned char *got = malloc(row_bytes);
        t->encode_f32(row(r), got, n_cols);
        bool fused = memcmp(got, want.data + (size_t)r * row_bytes, row_bytes / 2) != 0;
        if (fused)
            print_error("%s: this build fuses multiply and add; it needs -ffp-contract=off\n", t->name);
        n_fused += fused;
        n_rows_seen++;
        free(got);
        free(want.data);
    }
    assert_int_equal(n_rows_seen, 2);
    assert_int_equal(n_fused, 0);
}

static bool same_floats(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

static void test_decode_equals_gguf(void **state)
{
    (void)state;
    int n = 0;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        bool f8 = t == DTYPE_F8_E4M3 || t == DTYPE_F8_E5M2;
        if (!info->decode_f32 || (info->block_len == 1 && !f8) || (info->ggml_id < 0 && !f8)) continue; /* not ggml's */
        struct blob blocks = vector_read(info->name, ".blocks"), want = vector_read(info->name, ".f32");
        size_t len = want.size / sizeof(float);
        assert_int_equal(len / info->block_len * info->block_bytes, blocks.size);
        float *got = malloc(want.size);
        info->decode_f32(blocks.data, got, (int64_t)len);
        if (!same_floats(got, (const float *)(const void *)want.data, len))
            fail_msg("%s: values differ", info->name);
        memset(got, 0x5A, want.size);
        kernels_active()->decode_f32[t](blocks.data, got, (int64_t)len);
        if (!same_floats(got, (const float *)(const void *)want.data, len))
            fail_msg("%s (%s): values differ", info->name, kernels_active()->name);
        free(got);
        free(want.data);
        free(blocks.data);
        n++;
    }
    assert_true(n >= 20);
}

static void test_cast_rounds_once(void **state)
{
    (void)state;
    static const enum dtype to[] = {DTYPE_F16, DTYPE_BF16};
    struct error err;
    struct blob v = vector_read("cast", ".f64");
    int64_t n = (int64_t)(v.size / sizeof(double));
    for (int k = 0; k < 2; k++) {
        char suffix[8];
        snprintf(suffix, sizeof suffix, ".%s", dtype_info(to[k])->name);
        struct blob want = vector_read("cast", suffix);
        uint16_t *got = malloc(want.size), *twice = malloc(want.size);
        assert_int_equal(want.size, (size_t)n * 2);
        assert_int_equal(dtype_cast(to[k], got, DTYPE_F64, v.data, n, NULL, &err), STATUS_OK);
        assert_memory_equal(got, want.data, want.size);
        /* and the vectors would show a second rounding */
        float *f = malloc((size_t)n * sizeof *f);
        assert_int_equal(dtype_decode_f32(DTYPE_F64, v.data, f, n, &err), STATUS_OK);
        assert_int_equal(dtype_encode_f32(to[k], f, twice, n, &err), STATUS_OK);
        assert_memory_not_equal(twice, want.data, want.size);
        free(f);
        free(twice);
        free(got);
        free(want.data);
    }
    free(v.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_equals_ggml),
        cmocka_unit_test(test_encode_has_sums_of_ggml),
        cmocka_unit_test(test_no_contraction),
        cmocka_unit_test(test_decode_equals_gguf),
        cmocka_unit_test(test_cast_rounds_once),
    };
    return cmocka_run_group_tests(tests, read_rows, free_rows);
}
