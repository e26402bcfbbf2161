/* safetensors: legal files are read, every other one is refused with a reason. */
#include "container_support.h"

#include "base/cursor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct error err;

/* length, header, data_bytes bytes 0, 1, 2, ... */
static void build(struct buf *b, const char *header, size_t header_bytes, size_t data_bytes)
{
    unsigned char n[8];
    le_put64(n, header_bytes);
    buf_clear(b);
    buf_append(b, n, sizeof n);
    buf_append(b, header, header_bytes);
    for (size_t i = 0; i < data_bytes; i++) buf_append(b, &(char){(char)i}, 1);
    assert_int_equal(buf_check(b, &err), STATUS_OK);
}

static struct container *must_read(const char *what, const char *header, size_t data_bytes)
{
    struct buf b = {0};
    struct container *c;
    build(&b, header, strlen(header), data_bytes);
    scratch_write("st", b.data, b.len);
    buf_clear(&b);
    if (container_open(&c, scratch_path("st"), &err) != STATUS_OK) fail_msg("%s: %s", what, err.text);
    return c;
}

#define W "\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}"

static const struct {
    const char *name, *header;
    size_t data_bytes;
    enum status status;
    const char *text;
} refused[] = {
    /* layout of the data */
    {"trailing byte", "{" W "}", 5, STATUS_FORMAT, "1 bytes after the last tensor"},
    {"data missing", "{" W "}", 3, STATUS_FORMAT, "the file has 3 data bytes"},
    {"hole at start", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[1,5]}}", 5, STATUS_FORMAT,
     "belong to no tensor"},
    {"hole between", "{" W ",\"v\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[5,6]}}", 6,
     STATUS_FORMAT, "'v'"},
    {"overlap", "{" W ",\"v\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6, STATUS_FORMAT,
     "overlap"},
    {"tied by range", "{" W ",\"v\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "overlap"},
    {"no tensor owns the data", "{}", 1, STATUS_FORMAT, "1 bytes after"},
    /* sizes */
    {"range too long", "{\"w\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "expected 3 bytes"},
    {"range too short", "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "expected 8 bytes"},
    {"end before begin", "{\"w\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,0]}}", 4, STATUS_FORMAT,
     "end before"},
    {"product wraps to 0",
     "{\"w\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, STATUS_RANGE,
     "63 bits"},
    {"product of 2^64", "{\"w\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807,2],\"data_offsets\":[0,0]}}",
     0, STATUS_RANGE, "63 bits"},
    {"bytes wrap", "{\"w\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0,
     STATUS_RANGE, "bytes"},
    {"empty but overflowing",
     "{\"w\":{\"dtype\":\"U8\",\"shape\":[0,4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, STATUS_RANGE,
     NULL},
    {"odd F4", "{\"w\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, STATUS_FORMAT,
     "multiples of 2"},
    {"F6 of 5", "{\"w\":{\"dtype\":\"F6_E2M3\",\"shape\":[5],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "multiples of 4"},
    {"nine dimensions", "{\"w\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
     STATUS_UNSUPPORTED, NULL},
    /* duplicate keys */
    {"two w", "{" W "," W "}", 4, STATUS_FORMAT, "two tensors"},
    {"two w, other range", "{" W ",\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]}}", 5,
     STATUS_FORMAT, "two tensors"},
    {"w and \\u0077", "{" W ",\"\\u0077\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]}}", 5,
     STATUS_FORMAT, "two tensors"},
    {"two dtypes", "{\"w\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "duplicate"},
    {"two shapes", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"sh\\u0061pe\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "duplicate"},
    {"two __metadata__", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, STATUS_FORMAT, "duplicate"},
    {"two metadata keys", "{\"__metadata__\":{\"a\":\"1\",\"\\u0061\":\"2\"}}", 0, STATUS_FORMAT,
     "duplicate"},
    /* members */
    {"no dtype", "{\"w\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT, "no dtype"},
    {"no shape", "{\"w\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT, "no shape"},
    {"no offsets", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4, STATUS_FORMAT, "no data_offsets"},
    {"unknown member", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],\"x\":1}}", 4,
     STATUS_FORMAT, "another key"},
    {"unknown dtype", "{\"w\":{\"dtype\":\"Q8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "'Q8'"},
    {"lower-case dtype", "{\"w\":{\"dtype\":\"u8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "'u8'"},
    {"ggml dtype", "{\"w\":{\"dtype\":\"Q4_0\",\"shape\":[32],\"data_offsets\":[0,18]}}", 18, STATUS_FORMAT,
     "Q4_0"},
    {"C128", "{\"w\":{\"dtype\":\"C128\",\"shape\":[1],\"data_offsets\":[0,16]}}", 16, STATUS_FORMAT, "C128"},
    {"dtype with NUL", "{\"w\":{\"dtype\":\"U8\\u0000\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "dtype"},
    {"one offset", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0]}}", 4, STATUS_FORMAT,
     "two data_offsets"},
    {"three offsets", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4,4]}}", 4,
     STATUS_UNSUPPORTED, "2 numbers"},
    {"entry is null", "{\"w\":null}", 0, STATUS_FORMAT, "expected '{'"},
    {"entry is a list", "{\"w\":[]}", 0, STATUS_FORMAT, "expected '{'"},
    {"shape is nested", "{\"w\":{\"dtype\":\"U8\",\"shape\":[[4]],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "integer"},
    {"shape is a string", "{\"w\":{\"dtype\":\"U8\",\"shape\":\"4\",\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "'['"},
    {"metadata is null", "{\"__metadata__\":null}", 0, STATUS_FORMAT, "expected '{'"},
    {"metadata value is a number", "{\"__metadata__\":{\"a\":1}}", 0, STATUS_FORMAT, "expected '\"'"},
    /* numbers */
    {"negative", "{\"w\":{\"dtype\":\"U8\",\"shape\":[-4],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "plain integer"},
    {"minus zero", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[-0,4]}}", 4, STATUS_FORMAT,
     "plain integer"},
    {"1.0", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4.0],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "plain integer"},
    {"4e0", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4e0],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "plain integer"},
    {"leading zero", "{\"w\":{\"dtype\":\"U8\",\"shape\":[04],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "leading zero"},
    {"2^63", "{\"w\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775808],\"data_offsets\":[0,0]}}", 0,
     STATUS_FORMAT, "2^63"},
    {"2^64 + 4", "{\"w\":{\"dtype\":\"U8\",\"shape\":[18446744073709551620],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "2^63"},
    {"plus", "{\"w\":{\"dtype\":\"U8\",\"shape\":[+4],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "plain integer"},
    {"hex", "{\"w\":{\"dtype\":\"U8\",\"shape\":[0x4],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT, "']'"},
    {"Infinity", "{\"w\":{\"dtype\":\"U8\",\"shape\":[Infinity],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "plain integer"},
    /* JSON */
    {"trailing comma", "{" W ",}", 4, STATUS_FORMAT, "expected '\"'"},
    {"comma in list", "{\"w\":{\"dtype\":\"U8\",\"shape\":[4,],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "plain integer"},
    {"comment", "{/**/" W "}", 4, STATUS_FORMAT, NULL},
    {"single quotes", "{'w':{}}", 0, STATUS_FORMAT, NULL},
    {"unclosed", "{" W, 0, STATUS_FORMAT, NULL},
    {"two documents", "{" W "}{}", 4, STATUS_FORMAT, "white space"},
    {"unclosed string", "{\"w", 0, STATUS_FORMAT, "inside a string"},
    {"escape at the end", "{\"w\\", 0, STATUS_FORMAT, NULL},
    {"half an escape", "{\"w\\u00", 0, STATUS_FORMAT, NULL},
    {"unknown escape", "{\"\\x77\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "escape"},
    {"lone high surrogate", "{\"\\ud800\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "escape"},
    {"lone low surrogate", "{\"\\udc00\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "escape"},
    {"high high", "{\"\\ud800\\ud800\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "escape"},
    {"NUL in a name", "{\"w\\u0000x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "NUL"},
    {"NUL in a metadata key", "{\"__metadata__\":{\"a\\u0000\":\"1\"}}", 0, STATUS_FORMAT, "NUL"},
    {"raw newline in a name", "{\"w\n\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "control"},
    {"bytes that are no UTF-8", "{\"\xff\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "UTF-8"},
    {"overlong", "{\"\xc1\xb7\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, STATUS_FORMAT,
     "UTF-8"},
    {"surrogate in UTF-8", "{\"\xed\xa0\x80\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "UTF-8"},
    {"beyond U+10FFFF", "{\"\xf4\x90\x80\x80\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "UTF-8"},
    {"cut character", "{\"\xe4\xbd\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     STATUS_FORMAT, "UTF-8"},
    /* not recognised at all: something else comes first */
    {"leading space", " {" W "}", 4, STATUS_FORMAT, "not a checkpoint"},
    {"byte order mark", "\xef\xbb\xbf{" W "}", 4, STATUS_FORMAT, "not a checkpoint"},
    {"list", "[]", 0, STATUS_FORMAT, "not a checkpoint"},
};

static void test_refused(void **state)
{
    struct buf b = {0};
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        build(&b, refused[i].header, strlen(refused[i].header), refused[i].data_bytes);
        expect_refused(refused[i].name, b.data, b.len, refused[i].status, refused[i].text);
    }
    buf_clear(&b);
}

static void test_raw_nul(void **state)
{
    static const char nul_inside[] = "{\"w\0\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
    static const char nul_padded[] = "{" W "}\0\0\0";
    struct buf b = {0};
    (void)state;
    build(&b, nul_inside, sizeof nul_inside - 1, 4);
    expect_refused("NUL in a string", b.data, b.len, STATUS_FORMAT, "control");
    build(&b, nul_padded, sizeof nul_padded - 1, 4);
    expect_refused("NUL padding", b.data, b.len, STATUS_FORMAT, "white space");
    buf_clear(&b);
}

/* What the header's length claims */
static void test_lengths(void **state)
{
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63,
                                       100000001,  100000000,      60};
    struct buf b = {0};
    (void)state;
    build(&b, "{" W "}", strlen("{" W "}"), 4);
    size_t rest = b.len - 8;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        le_put64(b.data, lengths[i]);
        expect_refused("length", b.data, b.len, STATUS_FORMAT, "is announced");
    }
    for (uint64_t n = 0; n <= rest; n++) {
        le_put64(b.data, n);
        if (n != rest - 4) expect_refused("length inside", b.data, b.len, STATUS_FORMAT, NULL);
    }
    buf_clear(&b);
}

/* Headers around the limit, in a file with holes on disk */
static void test_header_limit(void **state)
{
    static const struct {
        uint64_t n;
        enum status status;
    } cases[] = {{100000000, STATUS_FORMAT}, {100000001, STATUS_RANGE}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        unsigned char head[9];
        struct container *c;
        le_put64(head, cases[i].n);
        head[8] = '{';
        scratch_write("big", head, sizeof head);
        assert_int_equal(truncate(scratch_path("big"), (off_t)(8 + cases[i].n)), 0);
        enum status st = container_open(&c, scratch_path("big"), &err);
        expect_error("limit", st, &err, cases[i].status, NULL);
    }
    scratch_clear();
}

static void test_prefixes(void **state)
{
    struct buf b = {0};
    (void)state;
    build(&b, "{" W "}   ", strlen("{" W "}   "), 4);
    for (size_t n = 0; n < b.len; n++) expect_refused("prefix", b.data, n, STATUS_FORMAT, NULL);
    buf_clear(&b);
}

static void test_reads(void **state)
{
    static const char header[] =
        "{\"b\":{\"shape\":[2,3],\"data_offsets\":[4,16],\"dtype\":\"BF16\"}, \"__metadata__\" :\t{"
        "\"format\":\"pt\",\"x\\u00e9\":\"a\\u0000b\\ud83d\\ude00\\n\"},\r\n" W "}  \n";
    unsigned char bytes[12];
    (void)state;
    struct container *c = must_read("mixed", header, 16);
    assert_string_equal(c->format->name, "safetensors");
    assert_int_equal(c->n_tensors, 2);
    const struct tensor *t = &c->tensors[1]; /* by place in the file */
    assert_string_equal(c->tensors[0].name, "w");
    assert_string_equal(t->name, "b");
    assert_int_equal(t->dtype, DTYPE_BF16);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->n_elements, 6);
    assert_int_equal(t->size_bytes, 12);
    assert_true(t->contiguous && !t->swapped && t->storage_id == 0);
    assert_int_equal(container_read(c, t, 0, bytes, 12, &err), STATUS_OK);
    for (int i = 0; i < 12; i++) assert_int_equal(bytes[i], i + 4);
    assert_int_equal(container_read(c, t, 5, bytes, 3, &err), STATUS_OK);
    assert_int_equal(bytes[0], 9);
    assert_int_equal(container_read(c, t, 5, bytes, 8, &err), STATUS_RANGE);
    assert_ptr_equal(container_find(c, "b"), t);
    assert_null(container_find(c, "c"));
    assert_int_equal(c->n_kvs, 2);
    assert_string_equal(container_kv(c, "format")->v.str.s, "pt");
    const struct kv *kv = container_kv(c, "x\xc3\xa9");
    assert_non_null(kv);
    assert_int_equal(kv->type, KV_STRING);
    assert_int_equal(kv->v.str.len, 8);
    assert_memory_equal(kv->v.str.s, "a\0b\xf0\x9f\x98\x80\n", 8);
    container_close(c);
}

/* Rank 0, zero dimensions, several empty tensors at one offset, no tensors, odd names */
static void test_legal_oddities(void **state)
{
    (void)state;
    container_close(must_read("nothing", "{}", 0));
    container_close(must_read("metadata only", "{\"__metadata__\":{}}", 0));
    struct container *c =
        must_read("odd",
                  "{\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                  "\"e1\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]},"
                  "\"e2\":{\"dtype\":\"I64\",\"shape\":[3,0,2],\"data_offsets\":[4,4]},"
                  "\"e0\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[0,0]},"
                  "\"\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[4,5]},"
                  "\"__metadata__x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[5,6]},"
                  "\"\\n\\u001b\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[6,7]}}",
                  7);
    assert_int_equal(c->n_tensors, 7);
    assert_int_equal(container_find(c, "scalar")->n_dims, 0);
    assert_int_equal(container_find(c, "scalar")->n_elements, 1);
    assert_int_equal(container_find(c, "e2")->n_elements, 0);
    assert_non_null(container_find(c, ""));
    assert_non_null(container_find(c, "\n\x1b"));
    container_close(c);
}

/* The type names and widths of the specification, in bits */
static void test_dtypes(void **state)
{
    static const struct {
        const char *name;
        unsigned bits;
    } types[] = {{"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
                 {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
                 {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
                 {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
                 {"I64", 64},        {"U64", 64}};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char header[160];
        size_t n = 4 * 3 * types[i].bits / 8;
        snprintf(header, sizeof header, "{\"w\":{\"dtype\":\"%s\",\"shape\":[4,3],\"data_offsets\":[0,%zu]}}",
                 types[i].name, n);
        struct container *c = must_read(types[i].name, header, n);
        assert_int_equal(c->tensors[0].size_bytes, n);
        assert_string_equal(dtype_info(c->tensors[0].dtype)->st_name, types[i].name);
        container_close(c);
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 100 000 tensors on one range, and 100 000 honest ones: time and memory follow the bytes */
static void test_many(void **state)
{
    struct buf header = {0}, b = {0};
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        header.len = 0;
        for (int i = 0; i < 100000; i++)
            buf_printf(&header, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                       i ? "," : "{", i, shared ? 0 : i, shared ? 1 : i + 1);
        buf_puts(&header, "}");
        build(&b, header.data, header.len, shared ? 1 : 100000);
        double start = seconds();
        if (shared) {
            expect_refused("shared", b.data, b.len, STATUS_FORMAT, "overlap");
        } else {
            struct container *c;
            scratch_write("many", b.data, b.len);
            assert_int_equal(container_open(&c, scratch_path("many"), &err), STATUS_OK);
            assert_int_equal(c->n_tensors, 100000);
            assert_int_equal(container_find(c, "t99999")->off_file, c->off_data + 99999);
            container_close(c);
        }
        assert_true(seconds() - start < 20); /* a quadratic look-up would take minutes */
    }
    buf_clear(&header);
    buf_clear(&b);
}

/* A million brackets neither recurse nor cost memory */
static void test_depth(void **state)
{
    struct buf header = {0}, b = {0};
    (void)state;
    buf_puts(&header, "{\"w\":{\"dtype\":\"U8\",\"shape\":");
    for (int i = 0; i < 1000000; i++) buf_append(&header, "[", 1);
    build(&b, header.data, header.len, 0);
    expect_refused("depth", b.data, b.len, STATUS_FORMAT, "plain integer");
    buf_clear(&header);
    buf_clear(&b);
}

/* Every byte changed in every way that matters: refused, or read within bounds. */
static void test_flips(void **state)
{
    static const char header[] = "{" W ",\"v\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[4,12]}}";
    static const int values[] = {-1,    -0x80, 0x100, 0x101, 0x17f, 0x180,
                                 0x1ff, 0x122, 0x15c, 0x130, 0x139, 0x12d};
    struct buf b = {0};
    (void)state;
    build(&b, header, sizeof header - 1, 12);
    for (size_t i = 0; i < b.len; i++) {
        for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
            struct container *c;
            char old = b.data[i];
            b.data[i] = (char)(values[k] < 0 ? old ^ -values[k] : values[k] & 0xff);
            scratch_write("flip", b.data, b.len);
            b.data[i] = old;
            if (container_open(&c, scratch_path("flip"), &err) != STATUS_OK) continue;
            uint64_t total = 0;
            for (size_t t = 0; t < c->n_tensors; t++) {
                total += c->tensors[t].size_bytes;
                free(tensor_bytes(c, &c->tensors[t], 0));
            }
            assert_int_equal(total, 12);
            container_close(c);
        }
    }
    buf_clear(&b);
}

/* What is not a regular file never hangs */
static void test_file_objects(void **state)
{
    static const char *const paths[] = {"/dev/zero", "/dev/null", "/tmp", "/nonexistent/x", ""};
    struct container *c;
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_int_not_equal(container_open(&c, paths[i], &err), STATUS_OK);
}

static void test_utf8_valid(void **state)
{
    (void)state;
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid("a\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", 14));
    assert_false(utf8_valid("a\0b", 3));
    assert_false(utf8_valid("\xc0\x80", 2));
    assert_false(utf8_valid("\xed\xbf\xbf", 3));
    assert_false(utf8_valid("\xe4\xbd", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_raw_nul),
        cmocka_unit_test(test_lengths),        cmocka_unit_test(test_header_limit),
        cmocka_unit_test(test_prefixes),       cmocka_unit_test(test_reads),
        cmocka_unit_test(test_legal_oddities), cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_many),           cmocka_unit_test(test_depth),
        cmocka_unit_test(test_flips),          cmocka_unit_test(test_file_objects),
        cmocka_unit_test(test_utf8_valid),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
