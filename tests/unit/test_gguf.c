/* GGUF: what is read of files that are odd but legal (those that lie are lines of tests/hostile/cases_gguf.c), accessors, and the rules of the writer. */
#include "base/cursor.h"
#include "base/file.h"
#include "formats/gguf.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { F32 = 0 }; /* ggml's id */

static struct error err;
static char path[] = "/tmp/test_gguf_XXXXXX";

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    return close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

/* --- building --- */

static void u32(struct buf *b, uint32_t v)
{
    unsigned char raw[4];
    le_put32(raw, v);
    buf_append(b, raw, 4);
}

static void u64(struct buf *b, uint64_t v)
{
    unsigned char raw[8];
    le_put64(raw, v);
    buf_append(b, raw, 8);
}

static void bytes(struct buf *b, const char *s, size_t n)
{
    u64(b, n);
    buf_append(b, s, n);
}

static void head(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_kvs)
{
    buf_clear(b);
    buf_append(b, "GGUF", 4);
    u32(b, version);
    u64(b, n_tensors);
    u64(b, n_kvs);
}

static void key(struct buf *b, const char *name, uint32_t type)
{
    bytes(b, name, strlen(name));
    u32(b, type);
}

static void kv_u32(struct buf *b, const char *name, uint32_t v)
{
    key(b, name, KV_U32);
    u32(b, v);
}

static void tensor(struct buf *b, const char *name, uint32_t type, uint64_t ne0, uint64_t ne1,
                   uint64_t offset)
{
    bytes(b, name, strlen(name));
    u32(b, 2);
    u64(b, ne0);
    u64(b, ne1);
    u32(b, type);
    u64(b, offset);
}

static void zeros(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++) buf_append(b, "", 1);
}

static void pad(struct buf *b, size_t align)
{
    zeros(b, (align - b->len % align) % align);
}

/* --- reading --- */

static struct container *accepted_at(struct buf *b, int line)
{
    struct container *c = NULL;
    if (file_write_whole(path, OUTFILE_REPLACE, b->data, b->len, &err) != STATUS_OK || container_open(&c, path, &err) != STATUS_OK)
        fail_msg("line %d: %s", line, err.text);
    buf_clear(b);
    return c;
}
#define ACCEPTED(b) accepted_at(b, __LINE__)

static void strings_as_long_as_they_say(void **state)
{
    (void)state;
    static const uint64_t legal[] = {0, 10};
    struct buf b = {0};
    for (size_t i = 0; i < 2; i++) {
        head(&b, 3, 0, 1);
        key(&b, "k", KV_STRING);
        u64(&b, legal[i]);
        zeros(&b, 10);
        struct container *c = ACCEPTED(&b);
        assert_int_equal(c->kvs[0].v.str.len, legal[i]);
        container_close(c);
    }
}

static void arrays_of_nothing_and_of_flags(void **state)
{
    (void)state;
    struct buf b = {0};
    head(&b, 3, 0, 2);
    key(&b, "none", KV_ARRAY);
    u32(&b, KV_STRING);
    u64(&b, 0);
    key(&b, "flags", KV_ARRAY);
    u32(&b, KV_BOOL);
    u64(&b, 3);
    buf_append(&b, "\0\2\377", 3);
    struct container *c = ACCEPTED(&b);
    assert_int_equal(c->kvs[0].v.array.n, 0);
    assert_memory_equal(c->kvs[1].v.array.data, "\0\1\1", 3);
    container_close(c);
}

static void tensors_of_nothing(void **state)
{
    (void)state;
    struct buf b = {0};
    head(&b, 3, 2, 0);
    tensor(&b, "empty", F32, 0, 5, 0);
    tensor(&b, "also", F32, 5, 0, 0);
    pad(&b, 32);
    struct container *c = ACCEPTED(&b);
    assert_int_equal(c->tensors[0].n_elements, 0);
    assert_int_equal(c->tensors[0].shape[0], 5);
    assert_int_equal(c->tensors[0].shape[1], 0);
    container_close(c);
}

/* In order, in another order, with gaps, with bytes after the last */
static void offsets_as_they_are(void **state)
{
    (void)state;
    static const struct {
        uint64_t off[3];
        size_t data_bytes;
    } cases[] = {{{0, 64, 128}, 192}, {{128, 64, 0}, 192}, {{0, 96, 192}, 256}, {{0, 64, 128}, 4096}};
    struct buf b = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head(&b, 3, 3, 0);
        tensor(&b, "a", F32, 16, 1, cases[i].off[0]);
        tensor(&b, "b", F32, 4, 4, cases[i].off[1]);
        tensor(&b, "c", F32, 16, 1, cases[i].off[2]);
        pad(&b, 32);
        zeros(&b, cases[i].data_bytes);
        struct container *c = ACCEPTED(&b);
        for (size_t t = 0; t < 3; t++) assert_int_equal(c->tensors[t].off_file, c->off_data + cases[i].off[t]);
        container_close(c);
    }
}

static void alignment_of_one(void **state)
{
    (void)state;
    struct buf b = {0};
    head(&b, 3, 1, 1);
    kv_u32(&b, "general.alignment", 1);
    tensor(&b, "t", F32, 4, 1, 0);
    zeros(&b, 16);
    struct container *c = ACCEPTED(&b);
    assert_int_equal(c->off_data + 16, c->file.size_bytes);
    container_close(c);
}

static void versions(void **state)
{
    (void)state;
    struct buf b = {0};
    for (uint32_t version = 2; version <= 3; version++) {
        head(&b, version, 0, 0);
        struct container *c = ACCEPTED(&b);
        assert_int_equal(c->version, version);
        container_close(c);
    }
}

/* Linear in their number */
static void many_names(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct buf b = {0};
    head(&b, 3, N, N);
    for (unsigned i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "key.%u", i);
        kv_u32(&b, name, i);
    }
    for (unsigned i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "t.%u", i);
        tensor(&b, name, F32, 8, 1, 32 * (uint64_t)i);
    }
    pad(&b, 32);
    zeros(&b, 32 * (size_t)N);
    struct container *c = ACCEPTED(&b);
    assert_int_equal(c->n_tensors, N);
    assert_int_equal(c->kvs[N - 1].v.u, N - 1);
    assert_string_equal(c->tensors[N - 1].name, "t.99999");
    container_close(c);
}

/* --- accessors --- */

static void kv_accessors(void **state)
{
    (void)state;
    int64_t i;
    double d;
    bool flag;
    struct kv kv = {.key = "k", .type = KV_U64, .v.u = UINT64_MAX};
    assert_false(kv_get_int(&kv, &i));
    assert_true(kv_get_double(&kv, &d) && d == 18446744073709551616.0);
    kv.v.u = INT64_MAX;
    assert_true(kv_get_int(&kv, &i) && i == INT64_MAX);
    assert_false(kv_get_bool(&kv, &flag));
    kv = (struct kv){.key = "k", .type = KV_I8, .v.i = -3};
    assert_true(kv_get_int(&kv, &i) && i == -3);
    assert_true(kv_get_double(&kv, &d) && d == -3.0);
    kv = (struct kv){.key = "k", .type = KV_BOOL, .v.u = 1};
    assert_false(kv_get_int(&kv, &i));
    assert_true(kv_get_bool(&kv, &flag) && flag);
    kv = (struct kv){.key = "k", .type = KV_F32, .v.f = 0.5};
    assert_false(kv_get_int(&kv, &i));
    assert_true(kv_get_double(&kv, &d) && d == 0.5);
    assert_null(kv_get_string(&kv));
    kv = (struct kv){.key = "k", .type = KV_STRING, .v.str = {"ab", 2}};
    assert_string_equal(kv_get_string(&kv), "ab");
    assert_false(kv_get_double(&kv, &d));
    kv.v.str = (struct kv_string){"a\0b", 3};
    assert_null(kv_get_string(&kv));
    assert_false(kv_get_int(NULL, &i) || kv_get_double(NULL, &d) || kv_get_bool(NULL, &flag) ||
                 kv_get_string(NULL));
    assert_string_equal(kv_type_name(KV_U64), "u64");
    assert_string_equal(kv_type_name(KV_TYPE_COUNT), "unknown");
}

/* --- writer --- */

static void writer_refusals(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    char name[65] = {0};
    memset(name, 'n', 64);
    assert_int_equal(gguf_add_tensor(&w, name, DTYPE_F32, 1, (int64_t[]){4}, &err), STATUS_RANGE);
    assert_int_equal(gguf_add_tensor(&w, "t", DTYPE_F32, 5, (int64_t[]){2, 2, 2, 2, 2}, &err), STATUS_RANGE);
    assert_int_equal(gguf_add_tensor(&w, "t", DTYPE_Q8_0, 2, (int64_t[]){32, 48}, &err), STATUS_RANGE);
    assert_int_equal(gguf_add_tensor(&w, "t", DTYPE_U8, 1, (int64_t[]){4}, &err), STATUS_UNSUPPORTED);
    assert_int_equal(gguf_add_tensor(&w, "t", DTYPE_F32, 2, (int64_t[]){INT64_MAX, 2}, &err), STATUS_RANGE);
    assert_int_equal(w.n_tensors, 0);
    assert_int_equal(gguf_add_tensor(&w, "t", DTYPE_F32, 1, (int64_t[]){4}, &err), STATUS_OK);
    assert_int_equal(gguf_add_tensor(&w, "t", DTYPE_F32, 1, (int64_t[]){4}, &err), STATUS_OK);
    assert_int_equal(gguf_layout(&w, &err), STATUS_RANGE);
    assert_non_null(strstr(err.text, "twice"));
    gguf_writer_clear(&w);
    w.alignment = 48;
    assert_int_equal(gguf_layout(&w, &err), STATUS_RANGE);
    gguf_writer_clear(&w);
}

static void writer_drops_leading_ones(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    assert_int_equal(gguf_add_tensor(&w, "a", DTYPE_F32, 6, (int64_t[]){1, 1, 1, 2, 1, 3}, &err), STATUS_OK);
    assert_int_equal(gguf_add_tensor(&w, "b", DTYPE_F32, 2, (int64_t[]){1, 1}, &err), STATUS_OK);
    assert_int_equal(gguf_add_tensor(&w, "c", DTYPE_F32, 0, NULL, &err), STATUS_OK);
    assert_int_equal(w.tensors[0].n_dims, 3);
    assert_int_equal(w.tensors[0].shape[0], 2);
    assert_int_equal(w.tensors[1].n_dims, 1);
    assert_int_equal(w.tensors[2].n_dims, 1);
    assert_int_equal(w.tensors[2].shape[0], 1);
    assert_int_equal(w.tensors[2].size_bytes, 4);
    gguf_writer_clear(&w);
}

static void writer_replaces_to_the_end(void **state)
{
    (void)state;
    struct gguf_writer w = {0};
    struct buf first = {0};
    gguf_put_u32(&w, "a", 1);
    gguf_put_u32(&w, "b", 2);
    gguf_put_u32(&w, "c", 3);
    gguf_put_string(&w, "a", "new");
    gguf_remove(&w, "c");
    gguf_remove(&w, "absent");
    w.alignment = 64;
    assert_int_equal(gguf_layout(&w, &err), STATUS_OK);
    assert_int_equal(w.n_kvs, 3);
    assert_string_equal(w.kvs[0].key, "b");
    assert_string_equal(w.kvs[1].key, "a");
    assert_string_equal(w.kvs[1].v.str.s, "new");
    assert_string_equal(w.kvs[2].key, "general.alignment");
    assert_int_equal(w.size_bytes % 64, 0);
    assert_int_equal(w.size_bytes, w.header.len);
    buf_append(&first, w.header.data, w.header.len);
    assert_int_equal(gguf_layout(&w, &err), STATUS_OK); /* again: the same */
    assert_int_equal(w.header.len, first.len);
    assert_memory_equal(w.header.data, first.data, first.len);
    buf_clear(&first);
    gguf_writer_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_as_long_as_they_say),
        cmocka_unit_test(arrays_of_nothing_and_of_flags),
        cmocka_unit_test(tensors_of_nothing),
        cmocka_unit_test(offsets_as_they_are),
        cmocka_unit_test(alignment_of_one),
        cmocka_unit_test(versions),
        cmocka_unit_test(many_names),
        cmocka_unit_test(kv_accessors),
        cmocka_unit_test(writer_refusals),
        cmocka_unit_test(writer_drops_leading_ones),
        cmocka_unit_test(writer_replaces_to_the_end),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
