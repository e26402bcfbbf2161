/* GGUF files that lie: each is built here, by name, and must be refused with the expected status and a text
 * that says why; legal oddities must be read. Also the rules of the writer. */
#include "base/cursor.h"
#include "base/file.h"
#include "formats/gguf.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { F32 = 0, Q8_0 = 8, I8 = 24, I64 = 27 }; /* ggml's ids */

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

/* --- judging --- */

static enum status open_bytes(const void *data, size_t n, struct container **c)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    memset(&err, 0, sizeof err);
    return container_open(c, path, &err);
}

static void refused_at(struct buf *b, enum status want, const char *text, int line)
{
    struct container *c = NULL;
    enum status st = open_bytes(b->data, b->len, &c);
    if (st != want || !strstr(err.text, text))
        fail_msg("line %d: status %s, text '%s': expected %s, '...%s...'", line, status_name(st), err.text,
                 status_name(want), text);
    assert_int_equal(err.status, want);
    assert_string_equal(err.path, path);
    assert_null(c);
    buf_clear(b);
}
#define REFUSED(b, want, text) refused_at(b, want, text, __LINE__)

static struct container *accepted_at(struct buf *b, int line)
{
    struct container *c;
    if (open_bytes(b->data, b->len, &c) != STATUS_OK) fail_msg("line %d: %s", line, err.text);
    buf_clear(b);
    return c;
}
#define ACCEPTED(b) accepted_at(b, __LINE__)

/* --- G11 first: the peak of memory only ever grows --- */

static void g11_small_file_small_memory(void **state)
{
    (void)state;
    static const uint32_t types[] = {KV_U8, KV_F64, KV_STRING};
    struct rusage before, after;
    struct buf b = {0};
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        head(&b, 3, 0, 1);
        key(&b, "k", KV_ARRAY);
        u32(&b, types[i]);
        u64(&b, 1 << 30);
        zeros(&b, 160 - b.len);
        REFUSED(&b, STATUS_FORMAT, "left in the file");
    }
    head(&b, 3, 0, 1);
    key(&b, "k", KV_STRING);
    u64(&b, 1 << 30);
    zeros(&b, 160 - b.len);
    REFUSED(&b, STATUS_FORMAT, "string takes 1073741824 bytes");
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 16 << 10); /* KiB */
}

/* A sparse file of 3 GiB cannot make the reader hold more than its limit. */
static void g16_huge_string_in_sparse_file(void **state)
{
    (void)state;
    struct container *c;
    struct buf b = {0};
    head(&b, 3, 0, 1);
    key(&b, "k", KV_STRING);
    u64(&b, UINT64_C(1) << 31);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(b.data, 1, b.len, f);
    assert_int_equal(ftruncate(fileno(f), INT64_C(3) << 30), 0);
    fclose(f);
    assert_int_equal(container_open(&c, path, &err), STATUS_RANGE);
    assert_non_null(strstr(err.text, "limit for metadata"));
    buf_clear(&b);
}

static void g01_g02_counts(void **state)
{
    (void)state;
    static const uint64_t counts[] = {UINT64_C(1) << 63, UINT64_MAX, UINT64_C(1) << 32, 3};
    struct buf b = {0};
    for (size_t i = 0; i < 4; i++) {
        head(&b, 3, 0, counts[i]);
        zeros(&b, 2 * 14);
        REFUSED(&b, STATUS_FORMAT, "metadata entries, expected at most 2");
        head(&b, 3, counts[i], 0);
        zeros(&b, 2 * 32);
        REFUSED(&b, STATUS_FORMAT, "tensors, expected at most 2");
    }
    /* one more, one fewer than there are: the next part is read as an entry */
    for (int d = -1; d <= 1; d += 2) {
        head(&b, 3, 1, (uint64_t)(2 + d));
        kv_u32(&b, "a", 1);
        kv_u32(&b, "b", 2);
        tensor(&b, "t", F32, 4, 1, 0);
        pad(&b, 32);
        zeros(&b, 32);
        struct container *c;
        assert_int_not_equal(open_bytes(b.data, b.len, &c), STATUS_OK);
        buf_clear(&b);
    }
}

static void g03_string_lengths(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_C(1) << 63, 11};
    struct buf b = {0};
    for (size_t i = 0; i < 3; i++) {
        head(&b, 3, 0, 1);
        key(&b, "k", KV_STRING);
        u64(&b, lengths[i]);
        zeros(&b, 10);
        REFUSED(&b, STATUS_FORMAT, "string takes");
        head(&b, 3, 0, 1);
        u64(&b, lengths[i]);
        zeros(&b, 10);
        REFUSED(&b, STATUS_FORMAT, "key");
    }
    head(&b, 3, 0, 1);
    key(&b, "", KV_BOOL);
    zeros(&b, 8);
    REFUSED(&b, STATUS_FORMAT, "key of 0 bytes");
    static const uint64_t legal[] = {0, 10};
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

static void g04_g13_g14_arrays(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        uint64_t n;
        const char *text;
    } cases[] = {
        {KV_U64, UINT64_C(1) << 61, "array takes"}, {KV_U8, UINT64_C(1) << 63, "array takes"},
        {KV_U8, UINT64_MAX, "array takes"},         {KV_STRING, UINT64_MAX, "array of strings takes"},
        {KV_STRING, 3, "array of strings takes"},   {KV_U32, 5, "array takes 20 bytes"},
        {KV_ARRAY, 1, "array of arrays"},           {KV_ARRAY, 0, "array of arrays"},
        {13, 1, "unknown array element type"},      {UINT32_MAX, 1, "unknown array element type"},
    };
    struct buf b = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head(&b, 3, 0, 1);
        key(&b, "k", KV_ARRAY);
        u32(&b, cases[i].type);
        u64(&b, cases[i].n);
        zeros(&b, 16);
        REFUSED(&b, STATUS_FORMAT, cases[i].text);
    }
    for (uint32_t type = 13; type < 20; type++) {
        head(&b, 3, 0, 1);
        key(&b, "k", type);
        zeros(&b, 16);
        REFUSED(&b, STATUS_FORMAT, "value type");
    }
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

static void g05_g09_g20_shapes(void **state)
{
    (void)state;
    static const uint32_t n_dims[] = {0, 5, 8, 9, 1000000, UINT32_MAX};
    struct buf b = {0};
    for (size_t i = 0; i < sizeof n_dims / sizeof n_dims[0]; i++) {
        head(&b, 3, 1, 0);
        bytes(&b, "t", 1);
        u32(&b, n_dims[i]);
        zeros(&b, 160);
        REFUSED(&b, STATUS_FORMAT, "dimensions, expected 1 to 4");
    }
    static const struct {
        uint32_t type;
        uint64_t ne0, ne1;
        enum status want;
        const char *text;
    } cases[] = {
        {F32, UINT64_MAX, 1, STATUS_FORMAT, "dimension 0"},
        {F32, 1, UINT64_C(1) << 63, STATUS_FORMAT, "dimension 1"},
        {F32, INT64_MAX, INT64_MAX, STATUS_RANGE, ""},
        {F32, INT64_MAX, 1, STATUS_RANGE, ""},
        {F32, UINT64_C(1) << 32, UINT64_C(1) << 32, STATUS_RANGE, ""},
        {F32, (UINT64_C(1) << 32) + 32, 1, STATUS_FORMAT, "expected to end"},
        {I64, (UINT64_C(1) << 61) + 1, 1, STATUS_RANGE, ""},
        {I64, UINT64_C(1) << 60, 1, STATUS_FORMAT, "expected to end"},
        {I8, INT64_MAX, 1, STATUS_FORMAT, "expected to end"},
        {Q8_0, 48, 2, STATUS_FORMAT, "multiple of 32"},
        {Q8_0, 1, 32, STATUS_FORMAT, "multiple of 32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head(&b, 3, 1, 0);
        tensor(&b, "t", cases[i].type, cases[i].ne0, cases[i].ne1, 0);
        pad(&b, 32);
        zeros(&b, 4096);
        REFUSED(&b, cases[i].want, cases[i].text);
    }
    head(&b, 3, 2, 0); /* no elements: legal */
    tensor(&b, "empty", F32, 0, 5, 0);
    tensor(&b, "also", F32, 5, 0, 0);
    pad(&b, 32);
    struct container *c = ACCEPTED(&b);
    assert_int_equal(c->tensors[0].n_elements, 0);
    assert_int_equal(c->tensors[0].shape[0], 5);
    assert_int_equal(c->tensors[0].shape[1], 0);
    container_close(c);
}

static void g07_g19_g23_g24_extents(void **state)
{
    (void)state;
    struct buf b = {0};
    head(&b, 3, 2, 0);
    tensor(&b, "a", I8, UINT64_C(0x7FFFFFFFFFFFFFC0), 1, 0);
    tensor(&b, "b", I8, UINT64_C(0x7FFFFFFFFFFFFFC0), 1, UINT64_C(0x7FFFFFFFFFFFFFC0));
    pad(&b, 32);
    zeros(&b, 64);
    REFUSED(&b, STATUS_FORMAT, "expected to end");

    static const struct {
        uint64_t off[3];
        size_t data_bytes;
        const char *text; /* NULL: accepted */
    } cases[] = {
        {{0, 64, 128}, 192, NULL},
        {{0, 64, 128}, 191, "expected to end"},
        {{0, 64, 128}, 128, "expected to end"},
        {{0, 64, 128}, 0, "expected to end"},
        {{0, 64, 4096}, 192, "expected to end"},
        {{0, 64, UINT64_MAX - 7}, 192, "multiple of the alignment"},
        {{0, 64, UINT64_MAX - 31}, 192, "expected to end"},
        {{0, 64, 96}, 192, "overlaps"},
        {{0, 0, 64}, 192, "overlaps"},
        {{0, 64, 129}, 256, "multiple of the alignment"},
        {{0, 64, 136}, 256, "multiple of the alignment"},
        {{0, 32, 64}, 192, "overlaps"}, /* every region shorter than its type needs */
        {{128, 64, 0}, 192, NULL},      /* another order */
        {{0, 96, 192}, 256, NULL},      /* gaps */
        {{0, 64, 128}, 4096, NULL},     /* bytes after the last */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head(&b, 3, 3, 0);
        tensor(&b, "a", F32, 16, 1, cases[i].off[0]);
        tensor(&b, "b", F32, 4, 4, cases[i].off[1]);
        tensor(&b, "c", F32, 16, 1, cases[i].off[2]);
        pad(&b, 32);
        zeros(&b, cases[i].data_bytes);
        if (cases[i].text) {
            REFUSED(&b, STATUS_FORMAT, cases[i].text);
            continue;
        }
        struct container *c = ACCEPTED(&b);
        for (size_t t = 0; t < 3; t++)
            assert_int_equal(c->tensors[t].off_file, c->off_data + cases[i].off[t]);
        container_close(c);
    }
}

static void g10_alignment(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 3, 13, UINT32_MAX};
    static const enum kv_type types[] = {KV_I32, KV_STRING, KV_ARRAY, KV_BOOL, KV_U64, KV_U8};
    struct buf b = {0};
    for (size_t i = 0; i < 4; i++) {
        head(&b, 3, 0, 1);
        kv_u32(&b, "general.alignment", bad[i]);
        REFUSED(&b, STATUS_FORMAT, "expected a power of two");
    }
    for (size_t i = 0; i < 6; i++) {
        head(&b, 3, 0, 1);
        key(&b, "general.alignment", types[i]);
        zeros(&b, types[i] == KV_ARRAY ? 12 : types[i] == KV_STRING ? 8 : kv_type_size(types[i]));
        REFUSED(&b, STATUS_FORMAT, "expected u32");
    }
    for (uint32_t shift = 30; shift < 32; shift++) {
        head(&b, 3, 1, 1);
        kv_u32(&b, "general.alignment", UINT32_C(1) << shift);
        tensor(&b, "t", F32, 4, 1, 0);
        zeros(&b, 4096);
        REFUSED(&b, STATUS_FORMAT, "before their data begins");
    }
    head(&b, 3, 1, 1);
    kv_u32(&b, "general.alignment", 1);
    tensor(&b, "t", F32, 4, 1, 0);
    zeros(&b, 16);
    struct container *c = ACCEPTED(&b);
    assert_int_equal(c->off_data + 16, c->file.size_bytes);
    container_close(c);
}

static void g12_types(void **state)
{
    (void)state;
    static const uint32_t ids[] = {UINT32_MAX, 4, 5, 31, 36, 43, 44, 1000, UINT32_C(1) << 31};
    struct buf b = {0};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        head(&b, 3, 1, 0);
        tensor(&b, "t", ids[i], 32, 1, 0);
        pad(&b, 32);
        zeros(&b, 4096);
        REFUSED(&b, STATUS_UNSUPPORTED, "type id");
        assert_string_equal(err.tensor, "t");
    }
}

/* A file with a little of everything. */
static void small_file(struct buf *b)
{
    head(b, 3, 2, 3);
    kv_u32(b, "llama.block_count", 1);
    key(b, "general.name", KV_STRING);
    bytes(b, "x", 1);
    key(b, "tokens", KV_ARRAY);
    u32(b, KV_STRING);
    u64(b, 2);
    bytes(b, "a", 1);
    bytes(b, "bc", 2);
    tensor(b, "t", F32, 3, 1, 0);
    tensor(b, "u", Q8_0, 32, 2, 32);
    pad(b, 32);
    zeros(b, 32 + 68);
    pad(b, 32);
}

static void g18_every_prefix(void **state)
{
    (void)state;
    struct buf b = {0};
    small_file(&b);
    for (size_t n = 0; n < b.len; n++) {
        struct container *c;
        enum status st = open_bytes(b.data, n, &c);
        if (st != STATUS_FORMAT) fail_msg("%zu of %zu bytes: status %s", n, b.len, status_name(st));
    }
    container_close(ACCEPTED(&b));
}

/* Any byte may be anything: no crash, and what is accepted keeps the container's promises. */
static void every_byte_changed(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 1, 0x7F, 0x80, 0xFF};
    struct buf b = {0};
    small_file(&b);
    size_t n_accepted = 0;
    for (size_t i = 0; i < b.len; i++) {
        char old = b.data[i];
        for (size_t v = 0; v < 5; v++) {
            struct container *c;
            b.data[i] = (char)values[v];
            if (open_bytes(b.data, b.len, &c) != STATUS_OK) continue;
            n_accepted++;
            for (size_t t = 0; t < c->n_tensors; t++)
                assert_true(c->tensors[t].off_file + c->tensors[t].size_bytes <= c->file.size_bytes);
            container_close(c);
        }
        b.data[i] = old;
    }
    assert_true(n_accepted > 0 && n_accepted < 5 * b.len);
    buf_clear(&b);
}

static void g21_versions(void **state)
{
    (void)state;
    static const struct {
        uint32_t version;
        enum status want;
        const char *text;
    } cases[] = {
        {0, STATUS_FORMAT, "version 0"},
        {1, STATUS_UNSUPPORTED, "version 1"},
        {4, STATUS_UNSUPPORTED, "version 4"},
        {UINT32_C(0x03000000), STATUS_UNSUPPORTED, "big-endian"},
        {UINT32_C(0x02000000), STATUS_UNSUPPORTED, "big-endian"},
        {UINT32_MAX, STATUS_UNSUPPORTED, "version 4294967295"},
    };
    struct buf b = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head(&b, cases[i].version, 0, 0);
        REFUSED(&b, cases[i].want, cases[i].text);
    }
    for (uint32_t version = 2; version <= 3; version++) {
        head(&b, version, 0, 0);
        struct container *c = ACCEPTED(&b);
        assert_int_equal(c->version, version);
        container_close(c);
    }
}

static void g22_g25_names(void **state)
{
    (void)state;
    struct buf b = {0};
    head(&b, 3, 0, 2);
    kv_u32(&b, "same", 1);
    kv_u32(&b, "same", 2);
    REFUSED(&b, STATUS_FORMAT, "duplicate key 'same'");

    head(&b, 3, 2, 0);
    tensor(&b, "same", F32, 8, 1, 0);
    tensor(&b, "same", F32, 8, 1, 32);
    pad(&b, 32);
    zeros(&b, 64);
    REFUSED(&b, STATUS_FORMAT, "");
    assert_string_equal(err.tensor, "same");

    static const struct {
        const char *name;
        size_t n;
    } bad[] = {{"a\0b", 3}, {"\xff", 1}, {"\xc0\x80", 2}, {"\xed\xa0\x80", 3}};
    for (size_t i = 0; i < 4; i++) {
        head(&b, 3, 0, 1);
        bytes(&b, bad[i].name, bad[i].n);
        u32(&b, KV_U32);
        u32(&b, 1);
        REFUSED(&b, STATUS_FORMAT, "UTF-8");
        head(&b, 3, 1, 0);
        bytes(&b, bad[i].name, bad[i].n);
        u32(&b, 1);
        u64(&b, 8);
        u32(&b, F32);
        u64(&b, 0);
        pad(&b, 32);
        zeros(&b, 32);
        REFUSED(&b, STATUS_FORMAT, "UTF-8");
    }

    char name[65];
    memset(name, 'n', sizeof name);
    for (size_t n = 63; n <= 64; n++) {
        name[n] = 0;
        head(&b, 3, 1, 0);
        tensor(&b, name, F32, 8, 1, 0);
        pad(&b, 32);
        zeros(&b, 32);
        if (n == 63)
            container_close(ACCEPTED(&b));
        else
            REFUSED(&b, STATUS_FORMAT, "tensor name of 64 bytes");
        name[n] = 'n';
    }

    /* control bytes are legal in a name, and leave the error line escaped */
    head(&b, 3, 1, 0);
    tensor(&b, "a\n\033[2J", F32, 8, 1, 5);
    pad(&b, 32);
    zeros(&b, 64);
    REFUSED(&b, STATUS_FORMAT, "alignment");
    char line[2048];
    error_format(&err, "lathe-inspect", line, sizeof line);
    assert_null(strpbrk(line, "\n\033"));
}

static void g22_many_names(void **state)
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
        cmocka_unit_test(g11_small_file_small_memory),
        cmocka_unit_test(g16_huge_string_in_sparse_file),
        cmocka_unit_test(g01_g02_counts),
        cmocka_unit_test(g03_string_lengths),
        cmocka_unit_test(g04_g13_g14_arrays),
        cmocka_unit_test(g05_g09_g20_shapes),
        cmocka_unit_test(g07_g19_g23_g24_extents),
        cmocka_unit_test(g10_alignment),
        cmocka_unit_test(g12_types),
        cmocka_unit_test(g18_every_prefix),
        cmocka_unit_test(every_byte_changed),
        cmocka_unit_test(g21_versions),
        cmocka_unit_test(g22_g25_names),
        cmocka_unit_test(g22_many_names),
        cmocka_unit_test(kv_accessors),
        cmocka_unit_test(writer_refusals),
        cmocka_unit_test(writer_drops_leading_ones),
        cmocka_unit_test(writer_replaces_to_the_end),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
