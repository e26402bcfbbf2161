/* JSON: what is accepted and with which value, what is refused and where, and what is written. */
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Text, and what json_print makes of it; NULL: as it stands. */
static const struct {
    const char *text, *printed;
} good[] = {
    {"{}", NULL},
    {"[]", NULL},
    {" \t\r\n[ ] \n", "[]"},
    {"null", NULL},
    {"true", NULL},
    {"false", NULL},
    {"\"\"", NULL},
    {"0", NULL},
    {"-0", NULL},
    {"-0.0", NULL},
    {"12345678901234567890123", NULL},
    {"1.50", "1.5"},
    {"1e3", "1000.0"},
    {"1E+22", "1e+22"},
    {"1.0", NULL},
    {"0.1", NULL},
    {"1e-400", "0.0"},
    {"1e-05", NULL},
    {"2.2250738585072014e-308", NULL},
    {"5e-324", NULL},
    {"1.7976931348623157e+308", NULL},
    {"0.30000000000000004", NULL},
    {"{\"a\":[1,2,{\"b\":null}],\"c\":{\"d\":[]}}", NULL},
    {"{ \"a\" : [ 1 , 2 ] , \"b\" : \"x\" }", "{\"a\":[1,2],\"b\":\"x\"}"},
    {"{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}],\"A\":0}",
     NULL}, /* equal keys in different objects, different case */
    {"{\"\":1}", NULL},
    {"\"\\u00e9\\u4f60\\ud83d\\ude00\\/\"", "\"\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80/\""},
    {"\"\\\"\\\\\\b\\f\\n\\r\\t\"", NULL},
    {"\"\\u001b\\u007f\\u009b\\u2028\"", NULL},
    {"\"\x7f\"", "\"\\u007f\""},
    {"\"]}{[,:\\\"\"", NULL},
};

/* Text, and the message; "line 1, " is left out. */
static const struct {
    const char *text, *message;
} bad[] = {
    {"", "column 1: expected a value, found the end of the text"},
    {"  ", "column 3: expected a value, found the end of the text"},
    {"[", "column 2: expected a value, found the end of the text"},
    {"{", "column 2: expected a key in double quotes, found the end of the text"},
    {"{\"a\"", "column 5: expected ':', found the end of the text"},
    {"{\"a\":", "column 6: expected a value, found the end of the text"},
    {"{\"a\":1", "column 7: expected ',' or '}', found the end of the text"},
    {"[1", "column 3: expected ',' or ']', found the end of the text"},
    {"[1}", "column 3: expected ',' or ']', found '}'"},
    {"{\"a\":1]", "column 7: expected ',' or '}', found ']'"},
    {"[1,]", "column 4: expected a value, found ']'"},
    {"[,1]", "column 2: expected a value, found ','"},
    {"{\"a\":1,}", "column 8: expected a key in double quotes, found '}'"},
    {"{a:1}", "column 2: expected a key in double quotes, found 'a'"},
    {"{'a':1}", "column 2: expected a key in double quotes, found '''"},
    {"{1:1}", "column 2: expected a key in double quotes, found '1'"},
    {"{}x", "column 3: expected the end of the text after the value, found 'x'"},
    {"{} {}", "column 4: expected the end of the text after the value, found '{'"},
    {"// c\n1", "column 1: expected a value, found '/'"},
    {"nul", "column 1: expected a value, found 'n'"},
    {"True", "column 1: expected a value, found 'T'"},
    {"NaN", "column 1: expected a value, found 'N'"},
    {"-NaN", "column 2: expected a digit, found 'N'"},
    {"Infinity", "column 1: expected a value, found 'I'"},
    {"-", "column 2: expected a digit, found the end of the text"},
    {".5", "column 1: expected a value, found '.'"},
    {"1.", "column 3: expected a digit, found the end of the text"},
    {"1.e5", "column 3: expected a digit, found 'e'"},
    {"1e", "column 3: expected a digit, found the end of the text"},
    {"1e+", "column 4: expected a digit, found the end of the text"},
    {"0x10", "column 2: expected the end of the text after the value, found 'x'"},
    {"+1", "column 1: expected a value, found '+'"},
    {"01", "column 2: expected a number without leading zeros, found '1'"},
    {"-01", "column 3: expected a number without leading zeros, found '1'"},
    {"1e400", "column 1: the number 1e400 is too large"},
    {"[-1e400]", "column 2: the number -1e400 is too large"},
    {"1234567890123456789012345678901234567890123456789012345678901234",
     "column 1: a number of 64 characters; at most 63 are supported"},
    {"\"a", "column 3: expected '\"' at the end of a string, found the end of the text"},
    {"\"a\\", "column 4: expected one of \"\\/bfnrtu after a backslash, found the end of the text"},
    {"\"a\\\"", "column 5: expected '\"' at the end of a string, found the end of the text"},
    {"\"\\x\"", "column 3: expected one of \"\\/bfnrtu after a backslash, found 'x'"},
    {"\"\\u12\"", "column 2: expected four hexadecimal digits after \\u"},
    {"\"\\u00g0\"", "column 2: expected four hexadecimal digits after \\u"},
    {"\"\\u0000\"", "column 2: \\u0000 in a string is not supported"},
    {"\"x\\ud83d\"", "column 3: surrogate \\ud83d without its other half"},
    {"\"\\ud83d\\u0041\"", "column 2: surrogate \\ud83d without its other half"},
    {"\"\\ude00\"", "column 2: surrogate \\ude00 without its other half"},
    {"\"a\tb\"", "column 3: expected '\"' at the end of a string, found byte 0x09"},
    {"\"a\nb\"", "column 3: expected '\"' at the end of a string, found byte 0x0a"},
    {"\"\xff\"", "column 2: byte 0xff: not valid UTF-8"},
    {"\"\xc0\x80\"", "column 2: byte 0xc0: not valid UTF-8"},
    {"\"\xed\xa0\x80\"", "column 2: byte 0xed: not valid UTF-8"},
    {"\xef\xbb\xbf{}", "column 1: expected a value, found a byte order mark"},
    {"{\"w\":1,\"w\":1}", "column 8: duplicate key 'w'"},
    {"{\"w\":1,\"\\u0077\":1}", "column 8: duplicate key 'w'"},
    {"[{\"\":1 , \"\" :1}]", "column 10: duplicate key ''"},
    {"{\"x\":{\"a\":[],\"b\":\"}\",\"a\":0}}", "column 22: duplicate key 'a'"},
    {"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"i\":1}",
     "column 62: duplicate key 'i'"},
    {"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"a\":1}",
     "column 62: duplicate key 'a'"},
    {"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"h\":1}",
     "column 50: duplicate key 'h'"},
};

static void test_good(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct json *doc;
        struct buf b = {0};
        if (json_parse(&doc, good[i].text, strlen(good[i].text), "t", &err) != STATUS_OK) {
            fail_msg("%s: %s", good[i].text, err.text);
        }
        json_print(json_root(doc), &b);
        assert_string_equal(b.data, good[i].printed ? good[i].printed : good[i].text);
        json_free(doc);
        /* and what was printed reads back to the same */
        struct buf again = {0};
        assert_int_equal(json_parse(&doc, b.data, b.len, "t", &err), STATUS_OK);
        json_print(json_root(doc), &again);
        assert_string_equal(again.data, b.data);
        json_free(doc);
        buf_clear(&again);
        buf_clear(&b);
    }
}

static void test_bad(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct json *doc = (struct json *)&err;
        if (json_parse(&doc, bad[i].text, strlen(bad[i].text), "t.json", &err) != STATUS_FORMAT) {
            fail_msg("accepted: %s", bad[i].text);
        }
        assert_null(doc);
        assert_string_equal(err.path, "t.json");
        assert_memory_equal(err.text, "line 1, ", 8);
        assert_string_equal(err.text + 8, bad[i].message);
    }
}

static enum status parse_n(const char *text, size_t n, struct error *err)
{
    struct json *doc;
    enum status st = json_parse(&doc, text, n, "t", err);
    if (st == STATUS_OK) json_free(doc);
    return st;
}

static void test_zero_bytes_and_lines(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(parse_n("{}\0{evil}", 9, &err), STATUS_FORMAT);
    assert_string_equal(err.text,
                        "line 1, column 3: expected the end of the text after the value, found byte 0x00");
    assert_int_equal(parse_n("\"a\0b\"", 5, &err), STATUS_FORMAT);
    assert_int_equal(parse_n("{}\0", 3, &err), STATUS_FORMAT);
    const char *lines = "{\n  \"\xc3\xa9\xe4\xbd\xa0\": 1,\n  \"\xe4\xbd\xa0\": oops\n}";
    assert_int_equal(parse_n(lines, strlen(lines), &err), STATUS_FORMAT);
    assert_string_equal(err.text, "line 3, column 8: expected a value, found 'o'");
}

/* Each prefix of a document ends at a page that may not be read. */
static void test_prefixes(void **state)
{
    (void)state;
    const char *text =
        "{\"a\":[1,-2.5e+3,true,false,null],\"b\\u00e9\\n\":{\"c\":\"\xe4\xbd\xa0\"},\"d\":\"\"}";
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = strlen(text);
    struct error err;
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    for (size_t len = 0; len <= n; len++) {
        char *start = pages + page - len;
        memcpy(start, text, len);
        assert_int_equal(parse_n(start, len, &err), len == n ? STATUS_OK : STATUS_FORMAT);
    }
    munmap(pages, 2 * page);
}

static void test_depth(void **state)
{
    (void)state;
    struct error err;
    static const size_t depths[] = {1, 63, 64, 65, 1000000};
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        size_t d = depths[i];
        char *text = malloc(2 * d);
        assert_non_null(text);
        memset(text, '[', d);
        memset(text + d, ']', d);
        assert_int_equal(parse_n(text, 2 * d, &err), d <= LIMIT_JSON_DEPTH ? STATUS_OK : STATUS_FORMAT);
        if (d > LIMIT_JSON_DEPTH)
            assert_string_equal(err.text, "line 1, column 65: nested deeper than 64 levels");
        assert_int_equal(parse_n(text, d, &err), STATUS_FORMAT);
        free(text);
    }
    struct buf b = {0};
    for (int i = 0; i < 65; i++) buf_puts(&b, "{\"a\":");
    assert_int_equal(parse_n(b.data, b.len, &err), STATUS_FORMAT);
    assert_non_null(strstr(err.text, "nested deeper"));
    buf_clear(&b);
}

static void test_long_number(void **state)
{
    (void)state;
    struct error err;
    static const size_t lengths[] = {63, 64, 1000, 1000000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *text = malloc(lengths[i]);
        assert_non_null(text);
        memset(text, '7', lengths[i]);
        assert_int_equal(parse_n(text, lengths[i], &err), lengths[i] <= 63 ? STATUS_OK : STATUS_FORMAT);
        free(text);
    }
}

/* A look-up per key that was linear would take minutes here. */
static void test_many_keys(void **state)
{
    (void)state;
    struct error err;
    struct buf b = {0};
    buf_puts(&b, "{");
    for (int i = 0; i < 200000; i++) buf_printf(&b, "%s\"key%d\":%d", i ? "," : "", i, i);
    size_t len = b.len;
    buf_puts(&b, "}");
    int64_t start = clock_ns();
    assert_int_equal(parse_n(b.data, b.len, &err), STATUS_OK);
    b.len = len;
    buf_puts(&b, ",\"key77\":0}");
    assert_int_equal(parse_n(b.data, b.len, &err), STATUS_FORMAT);
    assert_non_null(strstr(err.text, "duplicate key 'key77'"));
    assert_true(clock_ns() - start < (int64_t)20 * 1000000000);
    buf_clear(&b);
}

static void test_access(void **state)
{
    (void)state;
    struct error err;
    const char *text =
        "{\"s\":\"x\",\"n\":2.5,\"t\":true,\"f\":false,\"z\":null,\"a\":[10,20,30],\"o\":{\"k\":1}}";
    struct json *doc;
    assert_int_equal(json_parse(&doc, text, strlen(text), "c.json", &err), STATUS_OK);
    const struct jvalue *root = json_root(doc);
    assert_string_equal(json_path(doc), "c.json");
    static const struct {
        const char *key;
        enum jtype type;
    } types[] = {{"s", JTYPE_STRING}, {"n", JTYPE_NUMBER}, {"t", JTYPE_BOOL},  {"f", JTYPE_BOOL},
                 {"z", JTYPE_NULL},   {"a", JTYPE_ARRAY},  {"o", JTYPE_OBJECT}};
    const struct jvalue *m = json_first(root);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++, m = json_next(m)) {
        assert_string_equal(json_key(m), types[i].key);
        assert_ptr_equal(json_get(root, types[i].key), m);
        assert_int_equal(json_type(m), types[i].type);
        assert_int_equal(json_is_true(m), i == 2);
        if (i == 0)
            assert_string_equal(json_string(m), "x");
        else
            assert_null(json_string(m));
    }
    assert_null(m);
    assert_int_equal(json_count(root), 7);
    assert_null(json_get(root, "S"));
    assert_null(json_get(json_get(root, "a"), "k"));
    assert_null(json_get(NULL, "k"));
    assert_null(json_first(json_get(root, "s")));
    assert_null(json_first(json_get(root, "n")));
    assert_null(json_next(NULL));
    assert_false(json_is(NULL, JTYPE_NULL));
    assert_null(json_string(NULL));
    int64_t sum = 0, v;
    for (m = json_first(json_get(root, "a")); m; m = json_next(m)) {
        assert_null(json_key(m));
        assert_int_equal(json_int(doc, m, &v, &err), STATUS_OK);
        sum += v;
    }
    assert_int_equal(sum, 60);
    double d;
    assert_int_equal(json_double(doc, json_get(root, "n"), &d, &err), STATUS_OK);
    assert_true(d == 2.5);
    assert_int_equal(json_double(doc, json_get(root, "s"), &d, &err), STATUS_FORMAT);
    assert_string_equal(err.text, "'s': expected a number, found \"x\"");
    assert_string_equal(err.path, "c.json");
    json_free(doc);
    json_free(NULL);
}

static void test_int(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value; /* -1: refused */
        const char *message;
    } cases[] = {
        {"0", 0, NULL},
        {"7", 7, NULL},
        {"9007199254740992", (int64_t)1 << 53, NULL},
        {"-9007199254740992", -((int64_t)1 << 53), NULL},
        {"9007199254740993", -1, "'k': expected an integer of at most 2^53, found 9007199254740993"},
        {"-9007199254740993", -1, "'k': expected an integer of at most 2^53, found -9007199254740993"},
        {"18446744073709551617", -1, "'k': expected an integer of at most 2^53, found 18446744073709551617"},
        {"1.0", -1, "'k': expected an integer, found 1.0"},
        {"1.5", -1, "'k': expected an integer, found 1.5"},
        {"1e3", -1, "'k': expected an integer, found 1000.0"},
        {"1E3", -1, "'k': expected an integer, found 1000.0"},
        {"-0", -1, "'k': expected an integer, found -0"},
        {"true", -1, "'k': expected an integer, found true"},
        {"null", -1, "'k': expected an integer, found null"},
        {"\"8\"", -1, "'k': expected an integer, found \"8\""},
        {"[1]", -1, "'k': expected an integer, found [1]"},
    };
    struct error err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        struct json *doc;
        int64_t v = 99;
        int n = snprintf(text, sizeof text, "{\"k\": %s}", cases[i].text);
        assert_int_equal(json_parse(&doc, text, (size_t)n, "t", &err), STATUS_OK);
        enum status st = json_int(doc, json_get(json_root(doc), "k"), &v, &err);
        assert_int_equal(st, cases[i].message ? STATUS_FORMAT : STATUS_OK);
        assert_int_equal(v, cases[i].message ? 99 : cases[i].value);
        if (cases[i].message) assert_string_equal(err.text, cases[i].message);
        json_free(doc);
    }
    struct json *doc;
    int64_t v;
    assert_int_equal(json_parse(&doc, "{}", 2, "t", &err), STATUS_OK);
    assert_int_equal(json_int(doc, json_get(json_root(doc), "none"), &v, &err), STATUS_FORMAT);
    assert_string_equal(err.text, "expected an integer, found nothing");
    json_free(doc);
}

static void test_raw_member(void **state)
{
    (void)state;
    struct error err;
    const char *text = " { \"a\\u0062\" : \"x\\\"}\" ,\"n\":-1.50,\n\"rope\" : { \"t\": [1, 2.0],\"u\":\"]\" "
                       "} , \"l\":true}";
    static const char *const spans[][2] = {
        {"ab", "\"x\\\"}\""}, {"n", "-1.50"}, {"rope", "{ \"t\": [1, 2.0],\"u\":\"]\" }"},
        {"l", "true"},        {"t", NULL},    {"", NULL}};
    struct json *doc;
    const char *start;
    size_t n;
    assert_int_equal(json_parse(&doc, text, strlen(text), "t", &err), STATUS_OK);
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        assert_int_equal(json_raw_member(doc, spans[i][0], &start, &n), spans[i][1] != NULL);
        if (!spans[i][1]) continue;
        assert_int_equal(n, strlen(spans[i][1]));
        assert_memory_equal(start, spans[i][1], n);
    }
    json_free(doc);
    assert_int_equal(json_parse(&doc, "[{\"a\":1}]", 9, "t", &err), STATUS_OK);
    assert_false(json_raw_member(doc, "a", &start, &n));
    json_free(doc);
}

static void test_load(void **state)
{
    (void)state;
    struct error err;
    struct json *doc;
    char path[] = "/tmp/lathe-json-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"a\":1}\n", 8), 8);
    assert_int_equal(json_load(&doc, path, 100, &err), STATUS_OK);
    assert_string_equal(json_path(doc), path);
    json_free(doc);
    assert_int_equal(json_load(&doc, path, 7, &err), STATUS_RANGE);
    assert_null(doc);
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0); /* sparse: refused by its size, not read */
    assert_int_equal(json_load(&doc, path, 1 << 20, &err), STATUS_RANGE);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(json_load(&doc, path, 100, &err), STATUS_FORMAT);
    assert_string_equal(err.path, path);
    close(fd);
    unlink(path);
    assert_int_equal(json_load(&doc, path, 100, &err), STATUS_NOTFOUND);
}

static void write_sample(struct jwriter *w)
{
    jw_begin_object(w, NULL);
    jw_string(w, "s", "a\"\\\n\x01\x1b\x7f\xc2\x85\xe4\xbd\xa0\xff");
    jw_string(w, "none", NULL);
    jw_int(w, "i", INT64_MIN);
    jw_uint(w, "u", UINT64_MAX);
    jw_begin_array(w, "list");
    jw_double(w, NULL, 0.1);
    jw_double(w, NULL, (double)NAN);
    jw_double(w, NULL, (double)-INFINITY);
    jw_bool(w, NULL, true);
    jw_begin_object(w, NULL);
    jw_end_object(w);
    jw_begin_array(w, NULL);
    jw_end_array(w);
    jw_end_array(w);
    jw_null(w, "z");
    jw_end_object(w);
}

static void test_writer(void **state)
{
    (void)state;
    struct error err;
    struct buf b = {0};
    struct jwriter w = {.out = &b};
    write_sample(&w);
    assert_string_equal(
        b.data, "{\"s\":\"a\\\"\\\\\\n\\u0001\\u001b\\u007f\\u0085\xe4\xbd\xa0\xef\xbf\xbd\",\"none\":null,"
                "\"i\":-9223372036854775808,\"u\":18446744073709551615,\"list\":[0.1,null,null,true,{},[]],"
                "\"z\":null}");
    assert_int_equal(parse_n(b.data, b.len, &err), STATUS_OK);
    buf_clear(&b);
    w = (struct jwriter){.out = &b, .pretty = true};
    write_sample(&w);
    assert_string_equal(b.data,
                        "{\n  \"s\": \"a\\\"\\\\\\n\\u0001\\u001b\\u007f\\u0085\xe4\xbd\xa0\xef\xbf\xbd\",\n"
                        "  \"none\": null,\n  \"i\": -9223372036854775808,\n  \"u\": 18446744073709551615,\n"
                        "  \"list\": [\n    0.1,\n    null,\n    null,\n    true,\n    {},\n    []\n  ],\n"
                        "  \"z\": null\n}");
    assert_int_equal(parse_n(b.data, b.len, &err), STATUS_OK);
    buf_clear(&b);
}

/* Any double comes back to the bit, in at most 17 digits. */
static void test_double_text(void **state)
{
    (void)state;
    uint64_t bits = 0x243f6a8885a308d3U; /* digits of pi: any start will do */
    for (int i = 0; i < 20000; i++) {
        double v, back;
        bits = bits * 6364136223846793005U + 1442695040888963407U;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v)) continue;
        struct buf b = {0};
        struct jwriter w = {.out = &b};
        jw_double(&w, NULL, v);
        back = strtod(b.data, NULL);
        assert_memory_equal(&back, &v, sizeof v);
        buf_clear(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_zero_bytes_and_lines),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_long_number),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_int),
        cmocka_unit_test(test_raw_member),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_double_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
