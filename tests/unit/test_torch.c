/* PyTorch files: what torch wrote (tests/vectors/make_torch_vectors.py) against what torch and safetensors say is in it. */
#include "container_support.h"

#include "formats/strided.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error err;

static struct container *must_open(const char *path)
{
    struct container *c;
    if (container_open(&c, path, &err) != STATUS_OK) fail_msg("%s: %s", path, err.text);
    return c;
}

/* The tensor of the same name, or its bytes as U8 for types that safetensors does not write. */
static const struct tensor *find_expected(struct container *c, const struct tensor *t)
{
    char name[512];
    const struct tensor *e = container_find(c, t->name);
    if (e) {
        assert_int_equal(e->dtype, t->dtype);
        assert_int_equal(e->n_dims, t->n_dims);
        for (int i = 0; i < t->n_dims; i++) assert_int_equal(e->shape[i], t->shape[i]);
        return e;
    }
    snprintf(name, sizeof name, "%s/bytes", t->name);
    e = container_find(c, name);
    if (!e) fail_msg("tensor '%s' was not expected", t->name);
    return e;
}

static void compare(const char *name)
{
    char file[128];
    static const size_t steps[] = {0, 1, 7, 64, 1000};
    snprintf(file, sizeof file, "torch/%s.pt", name);
    struct container *got = must_open(vector_path(file));
    snprintf(file, sizeof file, "torch/%s.safetensors", name);
    struct container *expected = must_open(vector_path(file));
    assert_string_equal(got->format->name, strncmp(name, "legacy_", 7) == 0 ? "torch-legacy" : "torch-zip");
    assert_string_equal(expected->format->name, "safetensors");
    if (got->n_tensors != expected->n_tensors)
        fail_msg("%s: %zu tensors, expected %zu", name, got->n_tensors, expected->n_tensors);
    for (size_t i = 0; i < got->n_tensors; i++) {
        const struct tensor *t = &got->tensors[i], *e = find_expected(expected, t);
        assert_int_equal(t->size_bytes, e->size_bytes);
        unsigned char *want = tensor_bytes(expected, e, 0);
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            unsigned char *have = tensor_bytes(got, t, steps[k]);
            if (memcmp(have, want, (size_t)t->size_bytes) != 0)
                fail_msg("%s: %s differs (step %zu)", name, t->name, steps[k]);
            free(have);
        }
        free(want);
    }
    container_close(got);
    container_close(expected);
}

static void test_dtypes(void **state)
{
    (void)state, compare("dtypes");
}
static void test_views(void **state)
{
    (void)state, compare("views");
}
static void test_views_deflated(void **state)
{
    (void)state, compare("views_deflated");
}
static void test_views_stored(void **state)
{
    (void)state, compare("views_stored");
}
static void test_tied(void **state)
{
    (void)state, compare("tied");
}
static void test_nested(void **state)
{
    (void)state, compare("nested");
}
static void test_single(void **state)
{
    (void)state, compare("single");
}
static void test_little(void **state)
{
    (void)state, compare("little");
}
static void test_big_endian(void **state)
{
    (void)state, compare("big_endian");
}

static void test_legacy(void **state)
{
    static const char *const names[] = {"dtypes", "views", "tied", "nested", "parts"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "legacy_%s", names[i]);
        compare(name);
    }
}
static void test_namespace(void **state)
{
    (void)state, compare("namespace");
}

static void test_names_and_order(void **state)
{
    static const char *const names[] = {
        "model.embed.weight", "model.proj.weight", "model.norm.weight",   "model.norm.bias",
        "parameter",          "layers.0.w",        "layers.1.w",          "list.0",
        "list.1.x",           "list.2.0",          "unicode.\xe4\xbd\xa0"};
    (void)state;
    struct container *c = must_open(vector_path("torch/nested.pt"));
    assert_int_equal(c->n_tensors, sizeof names / sizeof names[0]);
    for (size_t i = 0; i < c->n_tensors; i++) assert_string_equal(c->tensors[i].name, names[i]);
    container_close(c);
}

static void test_sharing(void **state)
{
    (void)state;
    static const char *const files[] = {"torch/tied.pt", "torch/legacy_tied.pt"};
    for (int i = 0; i < 2; i++) {
        struct container *c = must_open(vector_path(files[i]));
        const struct tensor *a = container_find(c, "embed.weight"), *b = container_find(c, "proj.weight"),
                            *n = container_find(c, "norm.weight");
        assert_true(a->storage_id != 0 && a->storage_id == b->storage_id && a->storage_id != n->storage_id);
        assert_int_equal(a->off_file, b->off_file);
        container_close(c);
    }
}

static void test_bounds(void **state)
{
    unsigned char b[64];
    (void)state;
    struct container *c = must_open(vector_path("torch/single.pt"));
    const struct tensor *t = &c->tensors[0];
    assert_int_equal(container_read(c, t, 0, b, 25, &err), STATUS_RANGE);
    assert_int_equal(container_read(c, t, UINT64_MAX, b, 2, &err), STATUS_RANGE);
    assert_int_equal(container_read(c, t, 24, b, 0, &err), STATUS_OK);
    container_close(c);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name;
        enum status status;
        const char *text;
    } cases[] = {
        {"legacy_quantized", STATUS_UNSUPPORTED, "quantized"},
        {"protocol4", STATUS_UNSUPPORTED, "protocol"},
        {"sparse", STATUS_UNSUPPORTED, "sparse"},
        {"quantized", STATUS_UNSUPPORTED, "quantized"},
        {"meta", STATUS_UNSUPPORTED, "meta"},
        {"conjugated", STATUS_UNSUPPORTED, "conjugated"},
        {"module", STATUS_UNSUPPORTED, "torch.nn.modules.linear.Linear"},
        {"storage", STATUS_UNSUPPORTED, "bare storage"},
        {"nine_dims", STATUS_UNSUPPORTED, "8 dimensions"},
        {"same_name", STATUS_FORMAT, "a.b"},
        {"tuple_key", STATUS_UNSUPPORTED, "tuple"},
        {"no_tensors", STATUS_UNSUPPORTED, "int"},
        {"torchscript", STATUS_UNSUPPORTED, "TorchScript"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char file[128];
        struct container *c;
        snprintf(file, sizeof file, "torch/refused/%s.pt", cases[i].name);
        enum status st = container_open(&c, vector_path(file), &err);
        expect_error(cases[i].name, st, &err, cases[i].status, cases[i].text);
    }
}

/* Every strict prefix, and the file with bytes before or after it. */
static void test_cut(void **state)
{
    size_t n;
    (void)state;
    unsigned char *b = slurp(vector_path("torch/single.pt"), &n);
    for (size_t k = 0; k < n; k++) expect_refused("prefix", b, k, STATUS_FORMAT, NULL);
    unsigned char *longer = calloc(1, n + 4096);
    assert_non_null(longer);
    memcpy(longer, b, n);
    for (size_t k = 1; k <= 4096; k *= 2) expect_refused("suffix", longer, n + k, STATUS_FORMAT, NULL);
    memset(longer, 0, n + 4096);
    memcpy(longer, b, 64);
    memcpy(longer + 64, b, n);
    expect_refused("before", longer, n + 64, STATUS_FORMAT, NULL);
    free(longer);
    free(b);
}

/* Any damaged byte is noticed at opening or when the tensors are read, or it is one that means nothing. */
static void test_flips(void **state)
{
    size_t n, silent = 0;
    (void)state;
    unsigned char *b = slurp(vector_path("torch/single.pt"), &n), *whole;
    struct container *c = must_open(vector_path("torch/single.pt"));
    whole = tensor_bytes(c, &c->tensors[0], 0);
    container_close(c);
    for (size_t i = 0; i < n; i++) {
        static const unsigned char flips[] = {0x01, 0x80, 0xff};
        for (size_t k = 0; k < sizeof flips; k++) {
            unsigned char data[24];
            b[i] ^= flips[k];
            scratch_write("flip", b, n);
            b[i] ^= flips[k];
            if (container_open(&c, scratch_path("flip"), &err) != STATUS_OK) continue;
            assert_int_equal(c->n_tensors, 1);
            assert_int_equal(c->tensors[0].size_bytes, sizeof data);
            if (container_read(c, &c->tensors[0], 0, data, sizeof data, &err) == STATUS_OK) {
                assert_memory_equal(data, whole,
                                    sizeof data); /* the byte was padding, a time stamp, an attribute */
                silent++;
            }
            container_close(c);
        }
    }
    assert_true(silent < 3 * n / 2);
    free(whole);
    free(b);
}

/* ---- blocks of views against index arithmetic ---- */

struct memory {
    const unsigned char *bytes;
    size_t n, reads;
};

static enum status read_memory(void *ctx, uint64_t off, void *dst, size_t n, struct error *e)
{
    struct memory *m = ctx;
    (void)e;
    assert_true(off <= m->n && n <= m->n - off);
    assert_true(n <= STRIDED_SPAN_BYTES);
    memcpy(dst, m->bytes + off, n);
    m->reads++;
    return STATUS_OK;
}

static uint64_t offset_of(const struct tensor *t, uint64_t index)
{
    uint64_t off = 0;
    for (int d = t->n_dims - 1; d >= 0; d--) {
        off += index % (uint64_t)t->shape[d] * (uint64_t)t->stride[d];
        index /= (uint64_t)t->shape[d];
    }
    return off;
}

static void check_view(const struct tensor *t, uint64_t elem, uint64_t max_bytes)
{
    uint64_t end;
    assert_true(strided_extent(t, &end));
    struct memory m = {.n = (size_t)(end * elem)};
    unsigned char *bytes = malloc(m.n + 1), *block = malloc((size_t)(max_bytes > elem ? max_bytes : elem));
    assert_non_null(bytes);
    assert_non_null(block);
    for (size_t i = 0; i < m.n; i++) bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    m.bytes = bytes;
    for (uint64_t i = 0; i < (uint64_t)t->n_elements;) {
        struct strided_block b = strided_block(t, elem, i, max_bytes);
        assert_int_equal(b.first, i);
        assert_true(b.n_elements > 0 && (b.n_elements * elem <= max_bytes || b.n_elements == 1));
        struct strided_block inner = strided_block(t, elem, i + b.n_elements - 1, max_bytes);
        assert_int_equal(inner.first, b.first);
        assert_int_equal(strided_gather(t, elem, &b, block, read_memory, &m, &err), STATUS_OK);
        for (uint64_t k = 0; k < b.n_elements; k++)
            assert_memory_equal(block + k * elem, bytes + offset_of(t, i + k) * elem, elem);
        i += b.n_elements;
    }
    free(bytes);
    free(block);
}

static uint32_t seed = 12345;
static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static void test_blocks(void **state)
{
    static const uint64_t elems[] = {1, 2, 4, 8, 16}, maxima[] = {1, 16, 100, 4096};
    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct tensor t = {.name = "view", .dtype = DTYPE_U8, .n_dims = (int)draw(6)};
        int64_t step = 1;
        int order[8] = {0, 1, 2, 3, 4, 5, 6, 7};
        for (int d = 0; d < t.n_dims; d++) t.shape[d] = 1 + draw(6);
        for (int d = t.n_dims - 1; d > 0; d--) {
            int k = (int)draw((uint32_t)d + 1), swap = order[d];
            order[d] = order[k];
            order[k] = swap;
        }
        for (int k = 0; k < t.n_dims; k++) {
            int d = order[k];
            t.stride[d] = draw(5) == 0 ? 0 : step + draw(3) * (draw(4) == 0);
            if (t.stride[d] > 0) step = t.stride[d] * t.shape[d];
        }
        assert_int_equal(tensor_set_size(&t, "", &err), STATUS_OK);
        check_view(&t, elems[draw(5)], maxima[draw(4)]);
    }
}

/* Spans that do not fit one read, dense and sparse ones. */
static void test_large_blocks(void **state)
{
    static const struct tensor views[] = {
        {.n_dims = 2, .shape = {1500, 700}, .stride = {1, 1500}},
        {.n_dims = 2, .shape = {700, 1500}, .stride = {1500, 1}},
        {.n_dims = 2, .shape = {3, 5}, .stride = {1, 900000}},
        {.n_dims = 3, .shape = {40, 30, 500}, .stride = {500, 20000, 1}},
        {.n_dims = 1, .shape = {1300000}, .stride = {2}},
        {.n_dims = 1, .shape = {2000}, .stride = {1000}},
        {.n_dims = 2, .shape = {4, 300000}, .stride = {0, 4}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        struct tensor t = views[i];
        t.name = "view";
        t.dtype = DTYPE_U16;
        assert_int_equal(tensor_set_size(&t, "", &err), STATUS_OK);
        check_view(&t, 2, 4 << 20);
        check_view(&t, 2, 100000);
    }
}

/* Reads of a transposed matrix stay few: not one per element. */
static void test_reads_are_few(void **state)
{
    struct tensor t = {
        .name = "t", .dtype = DTYPE_U16, .n_dims = 2, .shape = {2048, 1024}, .stride = {1, 2048}};
    (void)state;
    assert_int_equal(tensor_set_size(&t, "", &err), STATUS_OK);
    struct memory m = {.n = 2048 * 1024 * 2};
    m.bytes = calloc(1, m.n);
    unsigned char *dst = malloc(4 << 20);
    size_t blocks = 0;
    for (uint64_t i = 0; i < (uint64_t)t.n_elements; blocks++) {
        struct strided_block b = strided_block(&t, 2, i, 4 << 20);
        assert_int_equal(strided_gather(&t, 2, &b, dst, read_memory, &m, &err), STATUS_OK);
        i += b.n_elements;
    }
    assert_int_equal(blocks, 1);
    assert_true(m.reads <= 8);
    free(dst);
    free((void *)(uintptr_t)m.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dtypes),         cmocka_unit_test(test_views),
        cmocka_unit_test(test_views_deflated), cmocka_unit_test(test_views_stored),
        cmocka_unit_test(test_tied),           cmocka_unit_test(test_nested),
        cmocka_unit_test(test_single),         cmocka_unit_test(test_little),
        cmocka_unit_test(test_big_endian),     cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_namespace),      cmocka_unit_test(test_names_and_order),
        cmocka_unit_test(test_sharing),        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_flips),          cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_large_blocks),   cmocka_unit_test(test_reads_are_few),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
