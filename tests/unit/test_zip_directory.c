/* PyTorch archives whose zip layer lies: an archive that can be read in two ways, or claims more than there is, is refused. */
#include "container_support.h"

#include "base/cursor.h"
#include "base/digest.h"
#include "formats/zip_directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error err;

/* A state dict with one tensor "w", 2 x 3 floats, in storage "0" */
static const char pickle[] =
    "\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
    "X\1\0\0\0"
    "0X\3\0\0\0cpuK\6tQK\0K\2K\3\x86K\3K\1\x86\x89"
    "ccollections\nOrderedDict\n)RtRs.";
static const unsigned char floats[24] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                         13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};

enum { MAX_ENTRIES = 8 };
struct entry {
    const char *name;
    const void *data;
    size_t n;
    const char *local_name; /* NULL: the same */
    unsigned flags, method;
    size_t size;       /* plain size; 0: n */
    uint32_t crc;      /* 0: that of the data */
    const char *extra; /* of both records */
    size_t extra_bytes;
    bool zeros_in_local; /* sizes and CRC only in the descriptor */
    int descriptor;      /* its bytes: 0, 12, 16, 20, 24 */
    size_t padding;      /* bytes after the record */
};
struct archive {
    struct buf b;
    size_t local[MAX_ENTRIES], central[MAX_ENTRIES], off_central, off_end;
};

/* v in `width` bytes, at most 16 */
static void put(struct buf *b, uint64_t v, int width)
{
    unsigned char raw[16] = {0};
    le_put64(raw, v);
    buf_append(b, raw, (size_t)width);
}

static void put_local(struct archive *a, const struct entry *e, uint32_t crc, size_t size)
{
    const char *name = e->local_name ? e->local_name : e->name;
    put(&a->b, 0x04034b50, 4);
    put(&a->b, 0, 2);
    put(&a->b, e->flags, 2);
    put(&a->b, e->method, 2);
    put(&a->b, 0, 4);
    put(&a->b, e->zeros_in_local ? 0 : crc, 4);
    put(&a->b, e->zeros_in_local ? 0 : e->n, 4);
    put(&a->b, e->zeros_in_local ? 0 : size, 4);
    put(&a->b, strlen(name), 2);
    put(&a->b, e->extra_bytes, 2);
    buf_puts(&a->b, name);
    buf_append(&a->b, e->extra, e->extra_bytes);
    buf_append(&a->b, e->data, e->n);
    int wide = e->descriptor >= 20 ? 8 : 4;
    if (e->descriptor == 16 || e->descriptor == 24) put(&a->b, 0x08074b50, 4);
    if (e->descriptor) {
        put(&a->b, crc, 4);
        put(&a->b, e->n, wide);
        put(&a->b, size, wide);
    }
    for (size_t i = 0; i < e->padding; i++) buf_append(&a->b, "P", 1);
}

static void put_central(struct archive *a, const struct entry *e, uint32_t crc, size_t size, size_t off)
{
    put(&a->b, 0x02014b50, 4);
    put(&a->b, 0, 4);
    put(&a->b, e->flags, 2);
    put(&a->b, e->method, 2);
    put(&a->b, 0, 4);
    put(&a->b, crc, 4);
    put(&a->b, e->n, 4);
    put(&a->b, size, 4);
    put(&a->b, strlen(e->name), 2);
    put(&a->b, e->extra_bytes, 2);
    put(&a->b, 0, 2 + 2 + 2 + 4);
    put(&a->b, off, 4);
    buf_puts(&a->b, e->name);
    buf_append(&a->b, e->extra, e->extra_bytes);
}

static void build(struct archive *a, const struct entry *entries, size_t n)
{
    uint32_t crc[MAX_ENTRIES];
    size_t size[MAX_ENTRIES];
    buf_clear(&a->b);
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = &entries[i];
        crc[i] = e->crc ? e->crc : crc32_update(0, e->data, e->n);
        size[i] = e->size ? e->size : e->n;
        a->local[i] = a->b.len;
        put_local(a, e, crc[i], size[i]);
    }
    a->off_central = a->b.len;
    for (size_t i = 0; i < n; i++) {
        a->central[i] = a->b.len;
        put_central(a, &entries[i], crc[i], size[i], a->local[i]);
    }
    a->off_end = a->b.len;
    put(&a->b, 0x06054b50, 4);
    put(&a->b, 0, 4);
    put(&a->b, n, 2);
    put(&a->b, n, 2);
    put(&a->b, a->off_end - a->off_central, 4);
    put(&a->b, a->off_central, 4);
    put(&a->b, 0, 2);
    assert_int_equal(buf_check(&a->b, &err), STATUS_OK);
}

#define PICKLE .name = "top/data.pkl", .data = pickle, .n = sizeof pickle - 1
#define FLOATS .name = "top/data/0", .data = floats, .n = sizeof floats
#define LITTLE .name = "top/byteorder", .data = "little", .n = 6

/* Opens the archive; on success the tensor must be read as it is. */
static enum status try_open(const struct buf *b)
{
    struct container *c;
    unsigned char got[24];
    scratch_write("x.pt", b->data, b->len);
    enum status st = container_open(&c, scratch_path("x.pt"), &err);
    if (st != STATUS_OK) return st;
    assert_int_equal(c->n_tensors, 1);
    assert_int_equal(c->tensors[0].size_bytes, sizeof got);
    st = container_read(c, &c->tensors[0], 0, got, sizeof got, &err);
    if (st == STATUS_OK) assert_memory_equal(got, floats, sizeof got);
    container_close(c);
    return st;
}

static void must_accept(const char *what, const struct entry *entries, size_t n)
{
    struct archive a = {0};
    build(&a, entries, n);
    if (try_open(&a.b) != STATUS_OK) fail_msg("%s: %s", what, err.text);
    buf_clear(&a.b);
}

static void refuse(const char *what, const struct entry *entries, size_t n, enum status status,
                   const char *text)
{
    struct archive a = {0};
    build(&a, entries, n);
    enum status st = try_open(&a.b);
    expect_error(what, st, &err, status, text);
    buf_clear(&a.b);
}

static void test_honest(void **state)
{
    (void)state;
    must_accept("plain", (struct entry[]){{PICKLE}, {FLOATS}, {LITTLE}}, 3);
    must_accept("no byteorder, other order", (struct entry[]){{FLOATS}, {PICKLE}}, 2);
    for (int n = 12; n <= 24; n += 4) {
        must_accept("descriptors",
                    (struct entry[]){{PICKLE, .flags = 8, .zeros_in_local = true, .descriptor = n},
                                     {FLOATS, .flags = 8 | 1 << 11, .zeros_in_local = true, .descriptor = n}},
                    2);
        must_accept("descriptors and sizes",
                    (struct entry[]){{PICKLE, .flags = 8, .descriptor = n}, {FLOATS}}, 2);
    }
    must_accept("padding in the extra field",
                (struct entry[]){{PICKLE, .extra = "FB\3\0ZZZ", .extra_bytes = 7},
                                 {FLOATS, .extra = "FB\1\0Z", .extra_bytes = 5}},
                2);
    must_accept("odd bytes at the end of the extra field",
                (struct entry[]){{PICKLE, .extra = "\0\0\0", .extra_bytes = 3}, {FLOATS}}, 2);
    must_accept("unneeded 64-bit sizes",
                (struct entry[]){{PICKLE,
                                  .extra = "\1\0\x08\0"
                                           "12345678",
                                  .extra_bytes = 12},
                                 {FLOATS}},
                2);
    must_accept("records that are not used",
                (struct entry[]){{PICKLE},
                                 {FLOATS},
                                 {.name = "top/version", .data = "3\n", .n = 2},
                                 {.name = "top/data/99", .data = "?", .n = 1},
                                 {.name = "top/extra/", .data = "", .n = 0}},
                5);
}

static void test_entries(void **state)
{
    (void)state;
    /* layout */
    refuse("gap", (struct entry[]){{PICKLE, .padding = 1}, {FLOATS}}, 2, STATUS_FORMAT,
           "belong to no record");
    refuse("gap at the end", (struct entry[]){{PICKLE}, {FLOATS, .padding = 3}}, 2, STATUS_FORMAT,
           "belong to no record");
    refuse("descriptor without flag", (struct entry[]){{PICKLE, .descriptor = 16}, {FLOATS}}, 2,
           STATUS_FORMAT, "belong to no record");
    refuse("flag without descriptor", (struct entry[]){{PICKLE, .flags = 8}, {FLOATS}}, 2, STATUS_FORMAT,
           "belong to no record");
    refuse("descriptor of 13",
           (struct entry[]){{PICKLE, .flags = 8, .descriptor = 12, .padding = 1}, {FLOATS}}, 2, STATUS_FORMAT,
           "belong to no record");
    /* names */
    static const char *const names[] = {
        "top/../data/0", "/top/data/0", "top\\data\\0", "top//data/0", "top/./0", "..",
        "../top/data/0", "c:/x",        "top/\xff",     "top/..",      ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        refuse(names[i], (struct entry[]){{PICKLE}, {FLOATS}, {.name = names[i], .data = "x", .n = 1}}, 3,
               STATUS_FORMAT, "an entry has the name");
    refuse("local name", (struct entry[]){{PICKLE, .local_name = "top/other.pk"}, {FLOATS}}, 2, STATUS_FORMAT,
           "differ in name");
    refuse("shorter local name", (struct entry[]){{PICKLE, .local_name = "top/data.pk"}, {FLOATS}}, 2,
           STATUS_FORMAT, "differ in name");
    refuse("two data.pkl", (struct entry[]){{PICKLE}, {PICKLE}, {FLOATS}}, 3, STATUS_FORMAT, "two entries");
    refuse(
        "data.pkl in two folders",
        (struct entry[]){{PICKLE}, {FLOATS}, {.name = "b/data.pkl", .data = pickle, .n = sizeof pickle - 1}},
        3, STATUS_FORMAT, "in one folder");
    refuse("folder with a longer name",
           (struct entry[]){{PICKLE}, {FLOATS}, {.name = "top2/x", .data = "x", .n = 1}}, 3, STATUS_FORMAT,
           "in one folder");
    refuse("no folder", (struct entry[]){{.name = "data.pkl", .data = pickle, .n = sizeof pickle - 1}}, 1,
           STATUS_FORMAT, "in one folder");
    refuse("case",
           (struct entry[]){{.name = "top/DATA.PKL", .data = pickle, .n = sizeof pickle - 1}, {FLOATS}}, 2,
           STATUS_FORMAT, "no data.pkl");
    refuse("TorchScript",
           (struct entry[]){{PICKLE}, {FLOATS}, {.name = "top/constants.pkl", .data = "x", .n = 1}}, 3,
           STATUS_UNSUPPORTED, "TorchScript");
    refuse("TorchScript code",
           (struct entry[]){{PICKLE}, {FLOATS}, {.name = "top/code/a.py", .data = "x", .n = 1}}, 3,
           STATUS_UNSUPPORTED, "TorchScript");
    refuse("no storage", (struct entry[]){{PICKLE}}, 1, STATUS_FORMAT, "'top/data/0' is missing");
    /* flags and methods */
    for (int bit = 0; bit < 16; bit++)
        if (bit != 3 && bit != 11)
            refuse("flag", (struct entry[]){{PICKLE}, {FLOATS, .flags = 1u << bit}}, 2, STATUS_FORMAT,
                   "has the flags");
    static const unsigned methods[] = {1, 6, 9, 12, 14, 93, 95, 98, 99, 65535};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        refuse("method", (struct entry[]){{PICKLE}, {FLOATS, .method = methods[i]}}, 2, STATUS_UNSUPPORTED,
               "compression method");
        refuse("method of the pickle", (struct entry[]){{PICKLE, .method = methods[i]}, {FLOATS}}, 2,
               STATUS_UNSUPPORTED, "compression method");
    }
    refuse("deflate of what is not", (struct entry[]){{PICKLE, .method = 8}, {FLOATS}}, 2, STATUS_FORMAT,
           "data.pkl");
    refuse("deflated storage of what is not", (struct entry[]){{PICKLE}, {FLOATS, .method = 8}}, 2,
           STATUS_FORMAT, "data/0");
    /* sizes and sums */
    refuse("stored with two sizes", (struct entry[]){{PICKLE}, {FLOATS, .size = 23}}, 2, STATUS_FORMAT,
           "two sizes");
    refuse("stored with two sizes", (struct entry[]){{PICKLE}, {FLOATS, .size = 0x7fffffff}}, 2,
           STATUS_FORMAT, "two sizes");
    refuse("CRC of the pickle", (struct entry[]){{PICKLE, .crc = 1}, {FLOATS}}, 2, STATUS_FORMAT, "data.pkl");
    refuse("CRC of a storage", (struct entry[]){{PICKLE}, {FLOATS, .crc = 1}}, 2, STATUS_FORMAT, "CRC");
    refuse("CRC of byteorder", (struct entry[]){{PICKLE}, {FLOATS}, {LITTLE, .crc = 1}}, 3, STATUS_FORMAT,
           "byteorder");
    refuse("short storage", (struct entry[]){{PICKLE}, {.name = "top/data/0", .data = floats, .n = 23}}, 2,
           STATUS_FORMAT, "23 bytes");
    refuse("long storage",
           (struct entry[]){{PICKLE}, {.name = "top/data/0", .data = "0123456789012345678901234", .n = 25}},
           2, STATUS_FORMAT, "25 bytes");
    /* extra fields */
    refuse("64-bit extra twice",
           (struct entry[]){{PICKLE, .extra = "\1\0\0\0\1\0\0\0", .extra_bytes = 8}, {FLOATS}}, 2,
           STATUS_FORMAT, "extra");
    refuse("extra beyond its end",
           (struct entry[]){{PICKLE, .extra = "FB\x09\0Z", .extra_bytes = 5}, {FLOATS}}, 2, STATUS_FORMAT,
           "extra");
    refuse("64-bit size is missing", (struct entry[]){{PICKLE}, {FLOATS, .size = UINT32_MAX, .method = 8}}, 2,
           STATUS_FORMAT, "extra");
    refuse("64-bit size of 2^62",
           (struct entry[]){{PICKLE},
                            {FLOATS, .size = UINT32_MAX, .method = 8, .extra = "\1\0\x08\0\0\0\0\0\0\0\0\x40",
                             .extra_bytes = 12}},
           2, STATUS_FORMAT, "bytes");
}

static void test_byteorder(void **state)
{
    static const char *const orders[] = {"", "BIG", "Little", "little\n", "littl", "big ", "middle"};
    (void)state;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
        refuse(orders[i],
               (struct entry[]){
                   {PICKLE}, {FLOATS}, {.name = "top/byteorder", .data = orders[i], .n = strlen(orders[i])}},
               3, STATUS_FORMAT, "'little' or 'big'");
    refuse("long", (struct entry[]){{PICKLE}, {FLOATS}, {.name = "top/byteorder", .data = pickle, .n = 100}},
           3, STATUS_RANGE, "byteorder");
}

/* Every field of every record: 0, 1, all ones, one more, one less. Refused, or read as before. */
static void test_fields(void **state)
{
    static const struct {
        unsigned char off, width;
    } local[] = {{0, 4},  {4, 2},  {6, 2},  {8, 2},  {10, 2}, {12, 2},
                 {14, 4}, {18, 4}, {22, 4}, {26, 2}, {28, 2}},
      central[] = {{0, 4},  {4, 2},  {6, 2},  {8, 2},  {10, 2}, {12, 2}, {14, 2}, {16, 4}, {20, 4},
                   {24, 4}, {28, 2}, {30, 2}, {32, 2}, {34, 2}, {36, 2}, {38, 4}, {42, 4}},
      end[] = {{0, 4}, {4, 2}, {6, 2}, {8, 2}, {10, 2}, {12, 4}, {16, 4}, {20, 2}};
    struct archive a = {0};
    (void)state;
    build(
        &a,
        (struct entry[]){{PICKLE}, {FLOATS, .flags = 8, .zeros_in_local = true, .descriptor = 16}, {LITTLE}},
        3);
    size_t n_accepted = 0;
    for (int what = 0; what < 7; what++) {
        size_t base = what < 3 ? a.local[what] : what < 6 ? a.central[what - 3] : a.off_end;
        size_t n = what < 3 ? sizeof local / 2 : what < 6 ? sizeof central / 2 : sizeof end / 2;
        for (size_t f = 0; f < n; f++) {
            int off = what < 3 ? local[f].off : what < 6 ? central[f].off : end[f].off;
            int width = what < 3 ? local[f].width : what < 6 ? central[f].width : end[f].width;
            unsigned char *p = (unsigned char *)a.b.data + base + off, saved[4];
            memcpy(saved, p, (size_t)width);
            uint32_t real = width == 2 ? le_get16(p) : le_get32(p);
            const uint32_t values[] = {
                0, 1, UINT32_MAX, real + 1, real - 1, real + 0x100, UINT32_MAX - 1, 0x7fffffff, 0x80000000};
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
                if (width == 2)
                    le_put16(p, (uint16_t)values[v]);
                else
                    le_put32(p, values[v]);
                bool changed = memcmp(p, saved, (size_t)width) != 0;
                enum status st = try_open(&a.b);
                /* versions, times and attributes mean nothing; everything else is said twice or checked */
                bool idle = what < 3 ? off == 4 || off == 10 || off == 12
                            : what < 6
                                ? off == 4 || off == 6 || off == 12 || off == 14 || off == 36 || off == 38
                                : false;
                if (changed && !idle && st == STATUS_OK)
                    fail_msg("record %d, field %d: %u accepted instead of %u", what, off, values[v], real);
                n_accepted += st == STATUS_OK;
            }
            memcpy(p, saved, (size_t)width);
        }
    }
    assert_true(n_accepted > 50);
    buf_clear(&a.b);
}

/* Two ways to find the directory */
static void test_ends(void **state)
{
    struct archive a = {0};
    struct buf b = {0};
    (void)state;
    build(&a, (struct entry[]){{PICKLE}, {FLOATS}}, 2);
    size_t n = a.b.len;
    /* a comment, which may hide an end record */
    buf_append(&b, a.b.data, n);
    le_put16(b.data + n - 2, 4);
    buf_puts(&b, "note");
    expect_error("comment", try_open(&b), &err, STATUS_FORMAT, "end record");
    b.len = n;
    le_put16(b.data + n - 2, 22);
    buf_append(&b, a.b.data + a.off_end, 22);
    expect_error("two end records", try_open(&b), &err, STATUS_FORMAT, NULL);
    /* something before */
    buf_clear(&b);
    buf_append(&b, "PK\3\4 a polyglot", 15);
    buf_append(&b, a.b.data, n);
    expect_error("prefix", try_open(&b), &err, STATUS_FORMAT, NULL);
    /* entries that overlap: both directory entries name one record */
    buf_clear(&b);
    buf_append(&b, a.b.data, n);
    le_put32(b.data + a.central[1] + 42, (uint32_t)a.local[0]);
    expect_error("quoted overlap", try_open(&b), &err, STATUS_FORMAT, NULL);
    /* a record inside another one's data */
    buf_clear(&b);
    buf_clear(&a.b);
    unsigned char inner[200];
    build(&a, (struct entry[]){{PICKLE}, {.name = "top/data/0", .data = floats, .n = 24}}, 2);
    size_t record = a.off_central - a.local[1];
    assert_true(record <= sizeof inner);
    memcpy(inner, a.b.data + a.local[1], record);
    build(&a, (struct entry[]){{PICKLE}, {.name = "top/carrier", .data = inner, .n = record}, {FLOATS}}, 3);
    buf_append(&b, a.b.data, a.b.len);
    le_put32(b.data + a.central[2] + 42, (uint32_t)(a.local[1] + 30 + strlen("top/carrier")));
    expect_error("record inside another", try_open(&b), &err, STATUS_FORMAT, NULL);
    buf_clear(&b);
    buf_clear(&a.b);
}

/* The 64-bit end record, as torch always writes it */
static void put_end64(struct archive *a, struct buf *b, uint64_t n, uint64_t off_end64, bool ones)
{
    buf_clear(b);
    buf_append(b, a->b.data, a->off_end);
    put(b, 0x06064b50, 4);
    put(b, 44, 8);
    put(b, 0, 4 + 4 + 4);
    put(b, n, 8);
    put(b, n, 8);
    put(b, a->off_end - a->off_central, 8);
    put(b, a->off_central, 8);
    put(b, 0x07064b50, 4);
    put(b, 0, 4);
    put(b, off_end64, 8);
    put(b, 1, 4);
    if (ones) {
        put(b, 0x06054b50, 4);
        put(b, 0, 4);
        put(b, UINT32_MAX, 4);
        put(b, UINT64_MAX, 8);
        put(b, 0, 2);
    } else {
        buf_append(b, a->b.data + a->off_end, 22);
    }
}

static void test_end64(void **state)
{
    struct archive a = {0};
    struct buf b = {0};
    (void)state;
    build(&a, (struct entry[]){{PICKLE}, {FLOATS}}, 2);
    for (int ones = 0; ones < 2; ones++) {
        put_end64(&a, &b, 2, a.off_end, ones);
        if (try_open(&b) != STATUS_OK) fail_msg("64-bit end: %s", err.text);
        static const uint64_t counts[] = {0, 1, 3, (uint64_t)1 << 62, UINT64_MAX};
        for (size_t i = 0; i < 5; i++) {
            put_end64(&a, &b, counts[i], a.off_end, ones);
            expect_error("count", try_open(&b), &err, STATUS_FORMAT, NULL);
        }
        static const uint64_t offsets[] = {0, 1, UINT64_MAX, UINT64_MAX - 55};
        for (size_t i = 0; i < 4; i++) {
            put_end64(&a, &b, 2, offsets[i], ones);
            expect_error("offset", try_open(&b), &err, STATUS_FORMAT, NULL);
        }
    }
    put_end64(&a, &b, 2, a.off_end, false);
    for (size_t off = a.off_end; off < a.off_end + 76;
         off++) { /* any byte but the versions and the locator's magic */
        b.data[off] ^= 1;
        enum status st = try_open(&b);
        bool version = off >= a.off_end + 12 && off < a.off_end + 16;
        if ((st == STATUS_OK) != version)
            fail_msg("byte %zu of the 64-bit end record: %s", off - a.off_end, status_name(st));
        b.data[off] ^= 1;
    }
    buf_clear(&b);
    buf_clear(&a.b);
}

/* A name, an extra field and a comment of 65535 bytes each: read, not overrun */
static void test_long_fields(void **state)
{
    static char name[65536], extra[65536];
    (void)state;
    memset(name, 'n', 65535);
    memcpy(name, "top/", 4);
    refuse("long name", (struct entry[]){{PICKLE}, {FLOATS}, {.name = name, .data = "x", .n = 1}}, 3,
           STATUS_FORMAT, "an entry has the name");
    extra[0] = 'F', extra[1] = 'B';
    le_put16(extra + 2, 65531);
    must_accept("long extra field",
                (struct entry[]){{PICKLE, .extra = extra, .extra_bytes = 65535}, {FLOATS}}, 2);
}

/* Damage in a large storage is found by whoever reads all of it, in any order. */
static void test_crc_by_pieces(void **state)
{
    enum { N = 3 << 20 };
    static const char big_pickle[] =
        "\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nByteStorage\n"
        "X\1\0\0\0"
        "0X\3\0\0\0cpuJ\0\0\x30\0tQK\0J\0\0\x30\0\x85K\1\x85\x89"
        "ccollections\nOrderedDict\n)RtRs.";
    struct archive a = {0};
    struct container *c;
    unsigned char *data = malloc(N), *got = malloc(N);
    (void)state;
    assert_true(data && got);
    for (size_t i = 0; i < N; i++) data[i] = (unsigned char)(i * 40503u >> 7);
    build(&a,
          (struct entry[]){{.name = "top/data.pkl", .data = big_pickle, .n = sizeof big_pickle - 1},
                           {.name = "top/data/0", .data = data, .n = N}},
          2);
    for (int damaged = 0; damaged < 2; damaged++) {
        for (int order = 0; order < 4; order++) {
            enum status st = STATUS_OK, last = STATUS_OK;
            scratch_write("big.pt", a.b.data, a.b.len);
            if (container_open(&c, scratch_path("big.pt"), &err) != STATUS_OK) fail_msg("%s", err.text);
            const struct tensor *t = &c->tensors[0];
            size_t chunk = order == 3 ? 20000 : 1 << 18,
                   n = (N + chunk - 1) / chunk; /* order 3: more pieces than are kept */
            for (size_t i = 0; i < n && last == STATUS_OK; i++) {
                size_t k = order == 0   ? i
                           : order == 1 ? n - 1 - i
                           : order == 2 ? (i * 5) % n
                                        : (i < (n + 1) / 2 ? 2 * i : 2 * (i - (n + 1) / 2) + 1);
                size_t len = N - k * chunk < chunk ? N - k * chunk : chunk;
                last = container_read(c, t, k * chunk, got + k * chunk, len, &err);
                if (last != STATUS_OK) st = last;
            }
            if (damaged) {
                expect_error("damaged", st, &err, STATUS_FORMAT, "CRC");
                assert_int_equal(container_read(c, t, 0, got, 1, &err), STATUS_FORMAT); /* and from then on */
            } else {
                if (st != STATUS_OK) fail_msg("order %d: %s", order, err.text);
                assert_memory_equal(got, data, N);
            }
            container_close(c);
        }
        a.b.data[a.local[1] + 30 + 10 + N / 2] ^= 4;
    }
    buf_clear(&a.b);
    free(data);
    free(got);
}

/* ---- views against the storage of six floats ---- */

static void put_int(struct buf *b, int64_t v)
{
    buf_append(b, "\x8a\x08", 2);
    put(b, (uint64_t)v, 8);
}

static void put_tuple(struct buf *b, const int64_t *v, int n)
{
    buf_puts(b, "(");
    for (int i = 0; i < n; i++) put_int(b, v[i]);
    buf_puts(b, "t");
}

static enum status open_view(int64_t offset, int n, const int64_t *shape, const int64_t *stride,
                             struct container **c)
{
    static const char head[] =
        "\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
        "X\1\0\0\0"
        "0X\3\0\0\0cpuK\6tQ";
    static const char tail[] = "\x89"
                               "ccollections\nOrderedDict\n)RtRs.";
    struct buf b = {0};
    struct archive a = {0};
    buf_append(&b, head, sizeof head - 1);
    put_int(&b, offset);
    put_tuple(&b, shape, n);
    put_tuple(&b, stride, n);
    buf_append(&b, tail, sizeof tail - 1);
    build(&a, (struct entry[]){{.name = "top/data.pkl", .data = b.data, .n = b.len}, {FLOATS}}, 2);
    scratch_write("view.pt", a.b.data, a.b.len);
    buf_clear(&b);
    buf_clear(&a.b);
    return container_open(c, scratch_path("view.pt"), &err);
}

static void test_views(void **state)
{
    enum { MANY = 1 << 20 };
    static const struct {
        int64_t offset;
        int n;
        int64_t shape[3], stride[3];
        enum status status;
        const char *text;
    } views[] = {
        {0, 1, {6}, {1}, STATUS_OK, NULL},
        {1, 1, {5}, {1}, STATUS_OK, NULL},
        {5, 0, {0}, {0}, STATUS_OK, NULL},
        {1, 1, {6}, {1}, STATUS_FORMAT, "beyond its storage of 6"},
        {6, 0, {0}, {0}, STATUS_FORMAT, "beyond"},
        {0, 1, {7}, {1}, STATUS_FORMAT, "beyond"},
        {0, 1, {4}, {2}, STATUS_FORMAT, "beyond"},
        {0, 1, {3}, {2}, STATUS_OK, NULL},
        {0, 2, {2, 3}, {3, 1}, STATUS_OK, NULL},
        {0, 2, {2, 3}, {3, 2}, STATUS_FORMAT, "beyond"},
        {0, 2, {MANY, 6}, {0, 1}, STATUS_OK, NULL}, /* expanded: large, but only of what is there */
        {0, 2, {MANY, 7}, {0, 1}, STATUS_FORMAT, "beyond"},
        {INT64_MAX, 1, {1}, {1}, STATUS_FORMAT, "beyond"},
        {0, 1, {2}, {INT64_MAX}, STATUS_FORMAT, "beyond"},
        {0, 2, {3, 3}, {INT64_MAX, INT64_MAX}, STATUS_FORMAT, "beyond"},
        {2, 2, {3, 3}, {INT64_MAX, 1}, STATUS_FORMAT, "beyond"},
        {0, 3, {2, 2, 2}, {INT64_MAX, INT64_MAX, 2}, STATUS_FORMAT, "beyond"},
        {0, 1, {(int64_t)1 << 50}, {0}, STATUS_UNSUPPORTED, "repeats"}, /* or reading would never end */
        {0, 1, {INT64_MAX}, {0}, STATUS_RANGE, "bytes"},
        {0, 2, {INT64_MAX, 2}, {0, 0}, STATUS_RANGE, "63 bits"},
        {INT64_MAX, 1, {0}, {INT64_MAX}, STATUS_OK, NULL}, /* empty: nothing is read */
        {INT64_MAX, 2, {0, 5}, {INT64_MAX, INT64_MAX}, STATUS_OK, NULL},
        {0, 1, {1}, {INT64_MAX}, STATUS_OK, NULL},
        {-1, 1, {1}, {1}, STATUS_FORMAT, "offset"},
        {0, 1, {-1}, {1}, STATUS_FORMAT, "negative"},
        {0, 1, {1}, {-1}, STATUS_FORMAT, "negative"},
        {5, 1, {3}, {-2}, STATUS_FORMAT, "negative"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        struct container *c;
        char what[16];
        snprintf(what, sizeof what, "view %zu", i);
        enum status st = open_view(views[i].offset, views[i].n, views[i].shape, views[i].stride, &c);
        if (views[i].status != STATUS_OK) {
            expect_error(what, st, &err, views[i].status, views[i].text);
            continue;
        }
        if (st != STATUS_OK) fail_msg("%s: %s", what, err.text);
        const struct tensor *t = &c->tensors[0];
        unsigned char *got = tensor_bytes(c, t, 0);
        for (int64_t k = 0; k < t->n_elements; k++) {
            int64_t rest = k, from = views[i].offset;
            for (int d = views[i].n - 1; d >= 0; d--) {
                from += rest % views[i].shape[d] * views[i].stride[d];
                rest /= views[i].shape[d];
            }
            assert_memory_equal(got + 4 * k, floats + 4 * from, 4);
        }
        free(got);
        container_close(c);
    }
}

static void test_foreign(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *text;
    } cases[] = {{"PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22, "empty zip"},
                 {"7z\xbc\xaf\x27\x1c..............", 20, "7z"},
                 {"\x1f\x8b\x08.............", 16, "gzip"},
                 {"\x80\x02}.", 4, "pickle"},
                 {"", 0, "empty"},
                 {"version https://git-lfs.github.com/spec/v1\n", 43, "LFS"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refused(cases[i].text, cases[i].bytes, cases[i].n, STATUS_FORMAT, cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),      cmocka_unit_test(test_entries),
        cmocka_unit_test(test_byteorder),   cmocka_unit_test(test_fields),
        cmocka_unit_test(test_ends),        cmocka_unit_test(test_end64),
        cmocka_unit_test(test_long_fields), cmocka_unit_test(test_crc_by_pieces),
        cmocka_unit_test(test_views),       cmocka_unit_test(test_foreign),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
