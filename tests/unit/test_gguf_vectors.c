/* GGUF files written by gguf-py (tests/vectors/make_gguf_vectors.py): read, and written again with equal
 * bytes. */
#include "base/file.h"
#include "formats/gguf.h"

#include <float.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;

static const char *vector_path(const char *name)
{
    static char path[512];
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/tests/vectors/gguf/%s", root ? root : ".", name);
    return path;
}

static struct container *open_vector(const char *name)
{
    struct container *c;
    if (container_open(&c, vector_path(name), &err) != STATUS_OK) fail_msg("%s: %s", name, err.text);
    return c;
}

static const struct kv *want_kv(const struct container *c, const char *key, enum kv_type type)
{
    const struct kv *kv = container_kv(c, key);
    assert_non_null(kv);
    assert_int_equal(kv->type, type);
    return kv;
}

static const void *want_array(const struct container *c, const char *key, enum kv_type type, uint64_t n)
{
    const struct kv *kv = want_kv(c, key, KV_ARRAY);
    assert_int_equal(kv->v.array.type, type);
    assert_int_equal(kv->v.array.n, n);
    return kv->v.array.data;
}

static void want_string(const struct kv_string *s, const char *bytes, size_t n)
{
    assert_int_equal(s->len, n);
    assert_memory_equal(s->s, bytes, n);
    assert_int_equal(s->s[n], 0);
}

static void check_scalars(const struct container *c)
{
    assert_int_equal(want_kv(c, "t.u8", KV_U8)->v.u, 250);
    assert_int_equal(want_kv(c, "t.i8", KV_I8)->v.i, -100);
    assert_int_equal(want_kv(c, "t.u16", KV_U16)->v.u, 65000);
    assert_int_equal(want_kv(c, "t.i16", KV_I16)->v.i, -30000);
    assert_int_equal(want_kv(c, "t.u32", KV_U32)->v.u, 4000000000u);
    assert_int_equal(want_kv(c, "t.i32", KV_I32)->v.i, -2000000000);
    assert_true(want_kv(c, "t.f32", KV_F32)->v.f == (double)(1.0f / 3.0f));
    assert_int_equal(want_kv(c, "t.true", KV_BOOL)->v.u, 1);
    assert_int_equal(want_kv(c, "t.false", KV_BOOL)->v.u, 0);
    want_string(&want_kv(c, "t.string", KV_STRING)->v.str, "na\u00efve \U0001f600\n", 12);
    want_string(&want_kv(c, "t.nul", KV_STRING)->v.str, "a\0b", 3);
    assert_true(want_kv(c, "t.u64", KV_U64)->v.u == UINT64_MAX);
    assert_true(want_kv(c, "t.i64", KV_I64)->v.i == INT64_MIN);
    assert_true(want_kv(c, "t.f64", KV_F64)->v.f == -1e300);
}

/* Arrays, as the generator spells them. */
static const uint8_t a_u8[] = {1, 2, 255};
static const int8_t a_i8[] = {-1, 0, 127};
static const uint16_t a_u16[] = {1, 65535};
static const int16_t a_i16[] = {-32768, 5, 6};
static const uint32_t a_u32[] = {7, UINT32_MAX};
static const int32_t a_i32[] = {-7, INT32_MAX, 0};
static const float a_f32[] = {0.5f, -2.25f, 1e-40f};
static const uint8_t a_bool[] = {1, 0, 1};
static const struct kv_string a_string[] = {{"", 0}, {"x", 1}, {"\u6f22\u5b57", 6}, {"a\0b", 3}};
static const uint64_t a_u64[] = {UINT64_C(1) << 63, 1};
static const int64_t a_i64[] = {INT64_MIN, INT64_MAX};
static const double a_f64[] = {0.1, -0.0};
static const struct {
    const char *key;
    enum kv_type type;
    uint64_t n;
    const void *data;
    size_t size_bytes;
} arrays[] = {
#define ARRAY(key, type, a)                                                                                  \
    {                                                                                                        \
        key, type, sizeof(a) / sizeof(a)[0], a, sizeof(a)                                                    \
    }
    ARRAY("a.u8", KV_U8, a_u8),    ARRAY("a.i8", KV_I8, a_i8),       ARRAY("a.u16", KV_U16, a_u16),
    ARRAY("a.i16", KV_I16, a_i16), ARRAY("a.u32", KV_U32, a_u32),    ARRAY("a.i32", KV_I32, a_i32),
    ARRAY("a.f32", KV_F32, a_f32), ARRAY("a.bool", KV_BOOL, a_bool), ARRAY("a.string", KV_STRING, a_string),
    ARRAY("a.u64", KV_U64, a_u64), ARRAY("a.i64", KV_I64, a_i64),    ARRAY("a.f64", KV_F64, a_f64),
};
enum { N_ARRAYS = sizeof arrays / sizeof arrays[0] };

static void check_arrays(const struct container *c)
{
    for (size_t i = 0; i < N_ARRAYS; i++) {
        const void *data = want_array(c, arrays[i].key, arrays[i].type, arrays[i].n);
        if (arrays[i].type != KV_STRING) {
            assert_memory_equal(data, arrays[i].data, arrays[i].size_bytes);
            continue;
        }
        const struct kv_string *items = data;
        for (size_t k = 0; k < arrays[i].n; k++) want_string(&items[k], a_string[k].s, a_string[k].len);
    }
}

/* Tensors with their bytes, as numpy made them. */
static const float t_f32[] = {-2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f};
static const uint16_t t_f16[] = {0x3E00, 0xB400, 0x7BFF, 0, 0x0001};
static const uint16_t t_bf16[] = {0x3F80, 0xC000, 0x7F80, 0x0001};
static int8_t t_i8[24];
static const int16_t t_i16[] = {-3, 300};
static const int32_t t_i32[] = {1, -1};
static const int64_t t_i64[] = {-(INT64_C(1) << 40)};
static const double t_f64[] = {1e-300, 2.0};
static uint8_t t_q8[136], t_q6[210];
static const struct {
    const char *name;
    enum dtype dtype;
    int n_dims;
    int64_t shape[4];
    const void *data;
    size_t size_bytes;
} tensors[] = {
    {"f32", DTYPE_F32, 2, {2, 3}, t_f32, sizeof t_f32},
    {"f16", DTYPE_F16, 1, {5}, t_f16, sizeof t_f16},
    {"bf16", DTYPE_BF16, 2, {2, 2}, t_bf16, sizeof t_bf16},
    {"i8", DTYPE_I8, 4, {2, 3, 2, 2}, t_i8, sizeof t_i8},
    {"i16", DTYPE_I16, 2, {2, 1}, t_i16, sizeof t_i16},
    {"i32", DTYPE_I32, 1, {2}, t_i32, sizeof t_i32},
    {"i64", DTYPE_I64, 1, {1}, t_i64, sizeof t_i64},
    {"f64", DTYPE_F64, 1, {2}, t_f64, sizeof t_f64},
    {"q8_0", DTYPE_Q8_0, 2, {2, 64}, t_q8, sizeof t_q8},
    {"q6_k", DTYPE_Q6_K, 1, {256}, t_q6, sizeof t_q6},
};
enum { N_TENSORS = sizeof tensors / sizeof tensors[0] };

static int fill_tensors(void **state)
{
    (void)state;
    for (int i = 0; i < 24; i++) t_i8[i] = (int8_t)(i - 12);
    for (int i = 0; i < 136; i++) t_q8[i] = (uint8_t)i;
    for (int i = 0; i < 210; i++) t_q6[i] = (uint8_t)(i * 7);
    return 0;
}

static void check_tensors(struct container *c)
{
    assert_int_equal(c->n_tensors, N_TENSORS);
    for (size_t i = 0; i < N_TENSORS; i++) {
        const struct tensor *t = &c->tensors[i];
        uint8_t got[256];
        assert_string_equal(t->name, tensors[i].name);
        assert_ptr_equal(container_find(c, tensors[i].name), t);
        assert_int_equal(t->dtype, tensors[i].dtype);
        assert_int_equal(t->n_dims, tensors[i].n_dims);
        for (int d = 0; d < t->n_dims; d++) assert_int_equal(t->shape[d], tensors[i].shape[d]);
        assert_int_equal(t->size_bytes, tensors[i].size_bytes);
        assert_int_equal(container_read(c, t, 0, got, t->size_bytes, &err), STATUS_OK);
        assert_memory_equal(got, tensors[i].data, t->size_bytes);
    }
}

static void check_all(const char *name, uint32_t version, uint64_t alignment)
{
    struct container *c = open_vector(name);
    assert_string_equal(c->format->name, "gguf");
    assert_int_equal(c->version, version);
    assert_int_equal(c->alignment, alignment);
    assert_string_equal(kv_get_string(container_kv(c, "general.architecture")), "llama");
    check_scalars(c);
    check_arrays(c);
    check_tensors(c);
    container_close(c);
}

static void test_read_v3(void **state)
{
    (void)state;
    check_all("all_types.gguf", 3, 32);
}

static void test_read_v2(void **state)
{
    (void)state;
    check_all("version2.gguf", 2, 32);
}

static void test_read_alignment(void **state)
{
    (void)state;
    check_all("align64.gguf", 3, 64);
}

static void test_read_metadata_only(void **state)
{
    (void)state;
    struct container *c = open_vector("metadata_only.gguf");
    int64_t n;
    assert_int_equal(c->n_tensors, 0);
    assert_int_equal(c->n_kvs, 2);
    assert_true(kv_get_int(container_kv(c, "llama.block_count"), &n));
    assert_int_equal(n, 1);
    container_close(c);
}

static void test_big_endian_refused(void **state)
{
    (void)state;
    struct container *c;
    assert_int_equal(container_open(&c, vector_path("big_endian.gguf"), &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "big-endian"));
}

/* --- the same content through our writer --- */

static void put_all(struct gguf_writer *w, bool aligned)
{
    gguf_put_string(w, "general.architecture", "llama");
    if (aligned) gguf_put_u32(w, "general.alignment", 64);
    gguf_put_u8(w, "t.u8", 250);
    gguf_put_kv(w, &(struct kv){.key = "t.i8", .type = KV_I8, .v.i = -100});
    gguf_put_u16(w, "t.u16", 65000);
    gguf_put_kv(w, &(struct kv){.key = "t.i16", .type = KV_I16, .v.i = -30000});
    gguf_put_u32(w, "t.u32", 4000000000u);
    gguf_put_i32(w, "t.i32", -2000000000);
    gguf_put_f32(w, "t.f32", 1.0f / 3.0f);
    gguf_put_bool(w, "t.true", true);
    gguf_put_bool(w, "t.false", false);
    gguf_put_string(w, "t.string", "na\u00efve \U0001f600\n");
    gguf_put_kv(w, &(struct kv){.key = "t.nul", .type = KV_STRING, .v.str = {"a\0b", 3}});
    gguf_put_u64(w, "t.u64", UINT64_MAX);
    gguf_put_kv(w, &(struct kv){.key = "t.i64", .type = KV_I64, .v.i = INT64_MIN});
    gguf_put_f64(w, "t.f64", -1e300);
    for (size_t i = 0; i < N_ARRAYS; i++)
        gguf_put_array(w, arrays[i].key, arrays[i].type, arrays[i].n, arrays[i].data);
    for (size_t i = 0; i < N_TENSORS; i++)
        assert_int_equal(
            gguf_add_tensor(w, tensors[i].name, tensors[i].dtype, tensors[i].n_dims, tensors[i].shape, &err),
            STATUS_OK);
}

/* The whole file in memory. */
static char *write_memory(struct gguf_writer *w)
{
    if (gguf_layout(w, &err) != STATUS_OK) fail_msg("%s", err.text);
    char *bytes = calloc(1, w->size_bytes);
    assert_non_null(bytes);
    memcpy(bytes, w->header.data, w->header.len);
    for (size_t i = 0; i < w->n_tensors; i++) {
        assert_int_equal(w->tensors[i].size_bytes, tensors[i].size_bytes);
        assert_true(w->tensors[i].off_file + w->tensors[i].padded_bytes <= w->size_bytes);
        memcpy(bytes + w->tensors[i].off_file, tensors[i].data, tensors[i].size_bytes);
    }
    return bytes;
}

static void check_same_bytes(struct gguf_writer *w, const char *name)
{
    struct buf want = {0};
    char *got = write_memory(w);
    if (file_read_all(&want, vector_path(name), 1 << 20, &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(w->size_bytes, want.len);
    assert_memory_equal(got, want.data, want.len);
    free(got);
    buf_clear(&want);
}

static void test_write_equals_gguf_py(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    put_all(&w, false);
    check_same_bytes(&w, "all_types.gguf");
    gguf_writer_clear(&w);
}

static void test_write_aligned_equals_gguf_py(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    put_all(&w, true);
    check_same_bytes(&w, "align64.gguf");
    gguf_writer_clear(&w);
}

/* Everything the reader found, put again, gives the bytes it came from. */
static void test_copy_equals_source(void **state)
{
    (void)state;
    struct container *c = open_vector("align64.gguf");
    struct gguf_writer w = {0};
    for (size_t i = 0; i < c->n_kvs; i++) gguf_put_kv(&w, &c->kvs[i]);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const struct tensor *t = &c->tensors[i];
        assert_int_equal(gguf_add_tensor(&w, t->name, t->dtype, t->n_dims, t->shape, &err), STATUS_OK);
    }
    container_close(c); /* the writer owns copies */
    check_same_bytes(&w, "align64.gguf");
    gguf_writer_clear(&w);
}

static void test_kv_bytes(void **state)
{
    (void)state;
    struct container *c = open_vector("metadata_only.gguf");
    uint64_t bytes = 24;
    for (size_t i = 0; i < c->n_kvs; i++) bytes += gguf_kv_bytes(&c->kvs[i]);
    assert_int_equal(bytes, c->file.size_bytes);
    container_close(c);

    c = open_vector("all_types.gguf");
    bytes = 24;
    for (size_t i = 0; i < c->n_kvs; i++) bytes += gguf_kv_bytes(&c->kvs[i]);
    for (size_t i = 0; i < N_TENSORS; i++)
        bytes += 8 + strlen(tensors[i].name) + 4 + 8 * (uint64_t)tensors[i].n_dims + 4 + 8;
    assert_int_equal((bytes + 31) / 32 * 32, c->off_data);
    container_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_v3),
        cmocka_unit_test(test_read_v2),
        cmocka_unit_test(test_read_alignment),
        cmocka_unit_test(test_read_metadata_only),
        cmocka_unit_test(test_big_endian_refused),
        cmocka_unit_test(test_write_equals_gguf_py),
        cmocka_unit_test(test_write_aligned_equals_gguf_py),
        cmocka_unit_test(test_copy_equals_source),
        cmocka_unit_test(test_kv_bytes),
    };
    return cmocka_run_group_tests(tests, fill_tensors, NULL);
}
