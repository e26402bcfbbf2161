/* Executing plans: the right bytes whatever the threads and pieces, digests of the sources, faults told in the plan's order. */
#include "core/emit.h"
#include "core/encode.h"
#include "core/receipt.h"
#include "tests/unit/temp_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;

static void add(struct plan *p, const struct checkpoint *c, const char *source, const char *name,
                enum dtype to, enum transform transform, int64_t heads)
{
    struct plan_tensor t = {.name = name, .to = to, .transform = transform, .args = {.heads = heads}, .why = "test"};
    const struct ckpt_tensor *s = ckpt_find(c, source);
    assert_non_null(s);
    if (plan_add(p, &t, s, &err) != STATUS_OK) fail_msg("%s: %s", name, err.text);
}

/* Writes the plan to "out.gguf" and gives its content. */
static struct buf run(struct plan *p, int threads, uint64_t piece_bytes, enum status expected)
{
    struct workers *workers;
    struct outfile *o;
    struct buf content = {0};
    assert_int_equal(workers_new(&workers, threads, &err), STATUS_OK);
    assert_int_equal(plan_layout(p, &err), STATUS_OK);
    assert_int_equal(outfile_create(&o, temp_path("out.gguf"), OUTFILE_REPLACE, p->out.size_bytes, &err),
                     STATUS_OK);
    struct writer_options opt = {.workers = workers, .hash = true, .piece_bytes = piece_bytes};
    enum status st = writer_run(p, o, &opt, &err);
    if (st != expected)
        fail_msg("expected status %d, found %d: %s", (int)expected, (int)st, st ? err.text : "");
    if (st == STATUS_OK) {
        assert_int_equal(writer_header(p, o, &err), STATUS_OK);
        if (outfile_commit(o, &err) != STATUS_OK) fail_msg("%s", err.text);
        assert_int_equal(file_read_all(&content, temp_path("out.gguf"), 1u << 30, &err), STATUS_OK);
        assert_int_equal(content.len, p->out.size_bytes);
    } else {
        outfile_discard(o);
        assert_false(file_exists(temp_path("out.gguf")));
    }
    workers_free(workers);
    return content;
}

static const struct temp_tensor sources[] = {
    {"plain", DTYPE_F32, 2, {300, 500}, NULL}, {"heads", DTYPE_F32, 2, {64, 96}, NULL},
    {"conv", DTYPE_F32, 2, {700, 300}, NULL},  {"bias", DTYPE_F32, 1, {96}, NULL},
    {"empty", DTYPE_F32, 2, {0, 5}, NULL},     {"one", DTYPE_F32, 1, {1}, NULL},
};
enum { N_SOURCES = sizeof sources / sizeof sources[0] };

static void expect_floats(const struct plan *p, const struct buf *file, size_t tensor, const float *expected)
{
    const struct gguf_out_tensor *t = &p->out.tensors[tensor];
    if (memcmp(file->data + t->off_file, expected, t->size_bytes) != 0)
        fail_msg("tensor %s differs", t->name);
    for (uint64_t i = t->size_bytes; i < t->padded_bytes; i++)
        assert_int_equal(file->data[t->off_file + i], 0);
}

static void expect_digest(const struct plan_source *s, const char *hex)
{
    char found[SHA256_HEX];
    sha256_hex(s->sha256, found);
    assert_string_equal(found, hex);
}

static void check_bytes(const struct plan *p, const struct buf *file)
{
    static float v[700 * 300];
    for (uint64_t i = 0; i < 150000; i++) v[i] = temp_value(i);
    expect_floats(p, file, 0, v);
    for (uint64_t r = 0; r < 64; r++) /* 4 heads of 16 rows */
        for (uint64_t c = 0; c < 96; c++)
            v[(r / 16 * 16 + (r % 8 * 2 + r % 16 / 8)) * 96 + c] = temp_value(r * 96 + c);
    expect_floats(p, file, 1, v);
    for (uint64_t r = 0; r < 700; r++)
        for (uint64_t c = 0; c < 300; c++) v[c * 700 + r] = temp_value(r * 300 + c);
    expect_floats(p, file, 2, v);
    expect_floats(p, file, 3, (float[]){1, 2, 3});
    for (uint64_t i = 0; i < 96; i++) v[i] = v[96 + i] = v[192 + i] = temp_value(i);
    expect_floats(p, file, 4, v);
    assert_memory_equal(file->data, "GGUF", 4);
    /* hashlib.sha256 of the same values, tests/unit/temp_model.h */
    expect_digest(&p->tensors[0].sources[0],
                  "29d9f7106671d25feffe95749170b605831b1c8bcaabd866949e3eebd89cf946");
    expect_digest(&p->tensors[1].sources[0],
                  "e29c3fc70182a1f1d6d932bed093e384232cb8226c42e758bae52a6aba926582");
    expect_digest(&p->tensors[2].sources[0],
                  "4709cf833b92d3f2a8ecea8a7b428e4ea4bb4ddc90e85db0e118a6e9e2814661");
    for (int i = 0; i < 3; i++)
        expect_digest(&p->tensors[4].sources[i],
                      "ac381702b322c62bbcd530a81b641af72a15f151aba81eeb1f51df946926be86");
    expect_digest(&p->tensors[5].sources[0],
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_any_threads_any_pieces(void **state)
{
    (void)state;
    static const uint64_t pieces[] = {0, 1, 1000, 4096, 100000, 1u << 20};
    struct checkpoint *c = temp_model("in.gguf", sources, N_SOURCES);
    struct buf first = {0};
    for (int threads = 1; threads <= 4; threads++)
        for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++) {
            struct plan p = {0};
            struct plan_source joined[3] = {
                {.t = ckpt_find(c, "bias")}, {.t = ckpt_find(c, "bias")}, {.t = ckpt_find(c, "bias")}};
            add(&p, c, "plain", "plain", DTYPE_F32, TRANSFORM_NONE, 0);
            add(&p, c, "heads", "heads", DTYPE_F32, TRANSFORM_ROPE_ROWS, 4);
            add(&p, c, "conv", "conv", DTYPE_F32, TRANSFORM_TRANSPOSE, 0);
            struct plan_tensor made = {.name = "made",
                                       .data = (float[]){1, 2, 3},
                                       .n_dims = 1,
                                       .shape = {3},
                                       .to = DTYPE_F32,
                                       .why = "test"};
            assert_int_equal(plan_add(&p, &made, NULL, &err), STATUS_OK);
            struct plan_tensor join = {
                .name = "joined", .sources = joined, .n_sources = 3, .to = DTYPE_F32, .why = "test"};
            assert_int_equal(plan_add(&p, &join, NULL, &err), STATUS_OK);
            add(&p, c, "empty", "empty", DTYPE_F32, TRANSFORM_NONE, 0);
            add(&p, c, "plain", "half", DTYPE_F16, TRANSFORM_NONE, 0);
            add(&p, c, "heads", "blocks", DTYPE_Q8_0, TRANSFORM_ROPE_ROWS, 4);
            add(&p, c, "one", "one", DTYPE_F32, TRANSFORM_NONE, 0);
            struct buf file = run(&p, threads, pieces[k], STATUS_OK);
            check_bytes(&p, &file);
            if (!first.data) {
                first = file;
            } else {
                assert_int_equal(first.len, file.len);
                assert_memory_equal(first.data, file.data, file.len);
                buf_clear(&file);
            }
            plan_clear(&p);
        }
    buf_clear(&first);
    ckpt_close(c);
}

/* (2000, 90) and a vector, of BF16 and F32; the first 777 rows times a number that is no power of two */
static void check_scaled(enum dtype from, enum dtype to, int n_dims, bool transposed)
{
    enum { ROWS = 2000, COLS = 90, SCALED = 777 };
    static float values[ROWS * COLS], want[ROWS * COLS];
    static uint16_t halves[ROWS * COLS];
    const double scale = 1.7320508075688772;
    int64_t n = n_dims == 2 ? ROWS * COLS : ROWS, cols = n_dims == 2 ? COLS : 1;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        values[i] = temp_value((uint64_t)i);
        memcpy(&bits, &values[i], 4);
        bits &= 0xffff0000u;
        halves[i] = (uint16_t)(bits >> 16);
        memcpy(&values[i], &bits, 4);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t row = i / cols, at = transposed ? i % cols * ROWS + row : i;
        want[i] = row < SCALED ? (float)((double)values[at] * scale) : values[at];
    }
    const void *data = from == DTYPE_BF16 ? (const void *)halves : values;
    struct temp_tensor t = {"v", from, n_dims, {transposed ? COLS : ROWS, transposed ? ROWS : COLS}, data};
    struct checkpoint *c = temp_model("in.gguf", &t, 1);
    for (uint64_t piece = 0; piece < 5000; piece += 1237) {
        struct plan p = {0};
        struct plan_tensor out = {.name = "v",
                                  .to = to,
                                  .transform = transposed ? TRANSFORM_TRANSPOSE : TRANSFORM_NONE,
                                  .scale = scale,
                                  .scaled_rows = SCALED,
                                  .why = "test"};
        assert_int_equal(plan_add(&p, &out, ckpt_find(c, "v"), &err), STATUS_OK);
        struct buf file = run(&p, 3, piece, STATUS_OK);
        assert_memory_equal(file.data + p.out.tensors[0].off_file, want, (size_t)n * sizeof *want);
        /* the digest is the source's */
        struct sha256 *sha;
        uint8_t digest[SHA256_BYTES];
        assert_int_equal(sha256_new(&sha, &err), STATUS_OK);
        sha256_update(sha, data, (size_t)n * (from == DTYPE_BF16 ? 2 : 4));
        sha256_finish(sha, digest);
        sha256_free(sha);
        assert_memory_equal(p.tensors[0].sources[0].sha256, digest, SHA256_BYTES);
        buf_clear(&file);
        plan_clear(&p);
    }
    ckpt_close(c);
}

static void test_scaled_rows(void **state)
{
    (void)state;
    check_scaled(DTYPE_F32, DTYPE_F32, 2, false);
    check_scaled(DTYPE_F32, DTYPE_F32, 2, true);
    check_scaled(DTYPE_BF16, DTYPE_F32, 2, true);
    check_scaled(DTYPE_F32, DTYPE_F32, 1, false);
}

static void test_casts_are_counted(void **state)
{
    (void)state;
    /* F32 → F16: 65504 is the largest half, 65520 rounds up to infinity; 2^-25 is half of the smallest subnormal */
    static const float v[8] = {65504, 65519.996f, 1e-8f, 6e-8f, 0, -1, 0x1p-14f, 0x1p-25f};
    struct temp_tensor t = {"v", DTYPE_F32, 1, {8}, v};
    struct checkpoint *c = temp_model("in.gguf", &t, 1);
    struct plan p = {0};
    add(&p, c, "v", "v", DTYPE_F16, TRANSFORM_NONE, 0);
    struct buf file = run(&p, 2, 0, STATUS_OK);
    assert_int_equal(p.tensors[0].audit.n, 8);
    assert_int_equal(p.tensors[0].audit.n_flushed, 2);
    assert_int_equal(p.tensors[0].audit.n_subnormal, 1);
    assert_int_equal(p.tensors[0].audit.n_overflow, 0);
    assert_int_equal(p.tensors[0].audit.first_overflow, -1);
    static const uint16_t halves[8] = {0x7bff, 0x7bff, 0, 1, 0, 0xbc00, 0x0400, 0};
    assert_memory_equal(file.data + p.out.tensors[0].off_file, halves, sizeof halves);
    buf_clear(&file);
    plan_clear(&p);
    ckpt_close(c);
}

/* Two tensors of 1000 x 64 with single bad elements; whichever thread meets one first, the first of the plan is told. */
static struct checkpoint *bad_model(float a, uint64_t at_a, float b, uint64_t at_b)
{
    static float x[64000], y[64000];
    for (uint64_t i = 0; i < 64000; i++) x[i] = y[i] = temp_value(i) / 1024;
    if (at_a < 64000) x[at_a] = a;
    if (at_b < 64000) y[at_b] = b;
    struct temp_tensor t[2] = {{"x", DTYPE_F32, 2, {1000, 64}, x}, {"y", DTYPE_F32, 2, {1000, 64}, y}};
    return temp_model("in.gguf", t, 2);
}

static void test_faults_in_order(void **state)
{
    (void)state;
    struct checkpoint *c = bad_model(70000, 63999, -1e6f, 5);
    for (int threads = 1; threads <= 4; threads++) {
        struct plan p = {0};
        remove(temp_path("out.gguf"));
        add(&p, c, "x", "x", DTYPE_F16, TRANSFORM_NONE, 0);
        add(&p, c, "y", "y", DTYPE_F16, TRANSFORM_NONE, 0);
        run(&p, threads, 1024, STATUS_RANGE);
        assert_string_equal(err.tensor, "x");
        assert_string_equal(err.text, "row 999, column 63 is 70000, which F16 cannot hold");
        plan_clear(&p);
        add(&p, c, "y", "y", DTYPE_F16, TRANSFORM_TRANSPOSE, 0);
        add(&p, c, "x", "x", DTYPE_F16, TRANSFORM_NONE, 0);
        run(&p, threads, 1024, STATUS_RANGE);
        assert_string_equal(err.tensor, "y");
        assert_string_equal(
            err.text, "row 0, column 5 is -1000000, which F16 cannot hold"); /* the source's row and column */
        plan_clear(&p);
    }
    ckpt_close(c);
}

static void test_not_finite(void **state)
{
    (void)state;
    struct checkpoint *c = bad_model(NAN, 130, INFINITY, 69);
    struct plan p = {0};
    remove(temp_path("out.gguf"));
    add(&p, c, "x", "x", DTYPE_Q8_0, TRANSFORM_NONE, 0);
    run(&p, 2, 1024, STATUS_RANGE);
    assert_string_equal(err.text, "row 2, column 2 is nan; expected finite weights");
    plan_clear(&p);
    add(&p, c, "y", "y", DTYPE_Q8_0, TRANSFORM_NONE, 0);
    run(&p, 2, 1024, STATUS_RANGE); /* its neighbours in the block come back infinite, too */
    assert_string_equal(err.text, "row 1, column 5 is inf; expected finite weights");
    plan_clear(&p);
    /* where a float type goes to a float type they pass, and are counted */
    add(&p, c, "x", "x", DTYPE_BF16, TRANSFORM_NONE, 0);
    add(&p, c, "y", "y", DTYPE_F32, TRANSFORM_NONE, 0);
    struct buf file = run(&p, 2, 1024, STATUS_OK);
    assert_int_equal(p.tensors[0].audit.n_nan, 1);
    assert_int_equal(p.tensors[1].audit.n_inf, 1);
    assert_int_equal(p.tensors[1].audit.n, 64000);
    buf_clear(&file);
    plan_clear(&p);
    ckpt_close(c);
}

static void test_scan(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64};
    static const uint64_t nan_bits[] = {0x7fc00000u, 0x7e00u, 0x7fc0u, 0x7ff8000000000000u};
    static const uint64_t inf_bits[] = {0xff800000u, 0xfc00u, 0xff80u, 0xfff0000000000000u};
    static const uint64_t max_bits[] = {0x7f7fffffu, 0x7bffu, 0x7f7fu, 0x7fefffffffffffffu};
    enum { N = 1037 };
    static unsigned char v[N * 8];
    for (size_t k = 0; k < 4; k++) {
        size_t size = dtype_info(types[k])->block_bytes;
        for (size_t i = 0; i < N; i++)
            memcpy(v + i * size, &max_bits[k], size); /* the largest finite value is no fault */
        uint64_t n_nan = 0, n_inf = 0;
        assert_int_equal(encode_scan(types[k], v, N, &n_nan, &n_inf), N);
        for (size_t at = 0; at < N; at += at < 20 || at > N - 20 ? 1 : 37) {
            memcpy(v + at * size, &nan_bits[k], size);
            n_nan = n_inf = 0;
            assert_int_equal(encode_scan(types[k], v, N, &n_nan, &n_inf), at);
            assert_int_equal(n_nan, 1);
            memcpy(v + at * size, &inf_bits[k], size);
            assert_int_equal(encode_scan(types[k], v, N, &n_nan, &n_inf), at);
            assert_int_equal(n_inf, 1);
            memcpy(v + at * size, &max_bits[k], size);
        }
    }
}

static void test_source_shrinks(void **state)
{
    (void)state;
    struct checkpoint *c = temp_model("in.gguf", sources, N_SOURCES);
    struct plan p = {0};
    remove(temp_path("out.gguf"));
    add(&p, c, "plain", "plain", DTYPE_F32, TRANSFORM_NONE, 0);
    add(&p, c, "conv", "conv", DTYPE_F32, TRANSFORM_TRANSPOSE, 0);
    assert_int_equal(truncate(temp_path("in.gguf"), 100000), 0);
    for (int threads = 1; threads <= 4; threads++) run(&p, threads, 1000, STATUS_IO);
    plan_clear(&p);
    ckpt_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_threads_any_pieces),
        cmocka_unit_test(test_scaled_rows),
        cmocka_unit_test(test_casts_are_counted),
        cmocka_unit_test(test_faults_in_order),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_source_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
