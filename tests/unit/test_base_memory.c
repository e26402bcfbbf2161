/* Checked sizes, buffers, arenas, the string map, the bounded reader, UTF-8, and error lines. */
#include "base/cursor.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t a, b;
        bool fits;
        uint64_t product;
    } products[] = {
        {0, UINT64_MAX, true, 0},
        {1, UINT64_MAX, true, UINT64_MAX},
        {(uint64_t)1 << 32, (uint64_t)1 << 31, true, (uint64_t)1 << 63},
        {(uint64_t)1 << 32, (uint64_t)1 << 32, false, 0},
        {(uint64_t)1 << 61, 8, false, 0},
        {3, 0x5555555555555555U, true, UINT64_MAX},
        {3, 0x5555555555555556U, false, 0},
    };
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        uint64_t v = 77;
        assert_int_equal(size_mul(products[i].a, products[i].b, &v), products[i].fits);
        assert_int_equal(v, products[i].fits ? products[i].product : 77);
    }
    uint64_t v = 77;
    assert_false(size_add(UINT64_MAX, 1, &v));
    assert_int_equal(v, 77);
    assert_true(size_add(UINT64_MAX - 1, 1, &v));
    assert_int_equal(v, UINT64_MAX);
    assert_true(size_align(33, 32, &v));
    assert_int_equal(v, 64);
    assert_true(size_align(64, 32, &v));
    assert_int_equal(v, 64);
    assert_true(size_align(0, 32, &v));
    assert_int_equal(v, 0);
    assert_false(size_align(UINT64_MAX - 30, 32, &v));
    assert_false(size_align(5, 0, &v));
    assert_false(size_align(5, 24, &v));
}

static void test_mem_alloc(void **state)
{
    (void)state;
    struct error err;
    void *p;
    assert_int_equal(mem_alloc(&p, (uint64_t)1 << 61, 8, &err), STATUS_NOMEM);
    assert_null(p);
    assert_int_equal(mem_alloc(&p, (uint64_t)1 << 62, 2, &err), STATUS_NOMEM);
    assert_int_equal(mem_alloc(&p, 0, 8, &err), STATUS_OK);
    assert_non_null(p);
    free(p);
    assert_int_equal(mem_alloc(&p, 5, 3, &err), STATUS_OK);
    for (int i = 0; i < 15; i++) assert_int_equal(((unsigned char *)p)[i], 0);
    free(p);
}

static void test_buf(void **state)
{
    (void)state;
    struct error err;
    struct buf b = {0};
    assert_int_equal(buf_check(&b, &err), STATUS_OK);
    buf_append(&b, NULL, 0);
    assert_string_equal(b.data, "");
    for (int i = 0; i < 1000; i++) buf_printf(&b, "%d,", i);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_memory_equal(b.data, "0,1,2,", 6);
    assert_memory_equal(b.data + b.len - 4, "999,", 5);
    /* the text fills the room to the last byte, and one more */
    for (size_t left = 0; left < 3; left++) {
        struct buf c = {0};
        buf_extend(&c, 1);
        char text[200];
        size_t room = c.cap - c.len;
        memset(text, 'x', room);
        text[room - left] = 0;
        buf_printf(&c, "%s", text);
        assert_int_equal(c.len, 1 + room - left);
        assert_string_equal(c.data + 1, text);
        buf_clear(&c);
    }
    char *p = buf_extend(&b, 3);
    assert_memory_equal(p, "\0\0\0", 4);
    size_t len = b.len;
    assert_null(buf_extend(&b, PTRDIFF_MAX));
    assert_true(b.failed);
    buf_puts(&b, "more");
    buf_printf(&b, "%d", 5);
    assert_int_equal(b.len, len);
    assert_int_equal(buf_check(&b, &err), STATUS_NOMEM);
    buf_clear(&b);
    assert_null(b.data);
    assert_false(b.failed);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena a = {0};
    unsigned char *pieces[2000];
    size_t sizes[2000];
    for (size_t i = 0; i < 2000; i++) { /* small ones, and now and then a large one */
        sizes[i] = i % 100 == 50 ? 100000 + i : i % 37;
        pieces[i] = arena_alloc(&a, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(pieces[i][j], 0);
        memset(pieces[i], (int)(i % 251), sizes[i]);
    }
    for (size_t i = 0; i < 2000; i++) {
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(pieces[i][j], i % 251);
    }
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, PTRDIFF_MAX));
    assert_null(arena_array(&a, (uint64_t)1 << 62, 8));
    assert_null(arena_strndup(&a, "x", SIZE_MAX));
    assert_string_equal(arena_strndup(&a, "hello", 4), "hell");
    assert_string_equal(arena_strndup(&a, "", 0), "");
    assert_string_equal(arena_printf(&a, "%s-%d", "blk", 7), "blk-7");
    arena_clear(&a);
    assert_null(a.last);
    arena_clear(&a);
}

static void test_strmap(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct error err;
    struct strmap m = {0};
    char(*keys)[24] = calloc(COUNT, sizeof *keys);
    size_t v = 0;
    assert_non_null(keys);
    assert_false(strmap_find(&m, "anything", &v));
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "%.*s%zu", (int)(i % 17), "aaaaaaaaaaaaaaaaaaaa", i);
        assert_int_equal(strmap_add(&m, keys[i], i, NULL, &err), STATUS_OK);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(strmap_find(&m, keys[i], &v));
        assert_int_equal(v, i);
    }
    assert_false(strmap_find(&m, "not there", &v));
    assert_int_equal(strmap_add(&m, "aaaa4", 99, &v, &err), STATUS_EXISTS);
    assert_int_equal(v, 4);
    assert_string_equal(err.text, "duplicate name 'aaaa4'");
    assert_int_equal(m.count, COUNT);
    /* by length: a longer key that begins with it, a shorter one, one with a 0 byte inside */
    assert_true(strmap_find_n(&m, "aaaa4zzz", 5, &v));
    assert_false(strmap_find_n(&m, "aaaa4zzz", 6, &v));
    assert_false(strmap_find_n(&m, "aaaa4\0", 6, &v));
    assert_false(strmap_find_n(&m, "", 0, &v));
    assert_int_equal(strmap_add(&m, "", 5, NULL, &err), STATUS_OK);
    assert_true(strmap_find_n(&m, "", 0, &v));
    assert_int_equal(v, 5);
    strmap_clear(&m);
    assert_false(strmap_find(&m, "0", &v));
    free(keys);
}

static void test_cursor(void **state)
{
    (void)state;
    static const unsigned char bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88, 0x00, 0x00, 0xc0,
                                          0x3f, 0,    0,    0,    0,    0,    0,    0xf8, 0xbf, 0xff, 0xfe};
    struct cursor c = {.data = bytes, .size = sizeof bytes};
    assert_int_equal(cursor_u64(&c), 0x8807060504030201U);
    assert_true(cursor_f32(&c) == 1.5f);
    assert_true(cursor_f64(&c) == -1.5);
    assert_int_equal(cursor_left(&c), 2);
    assert_int_equal(cursor_u32(&c), 0);
    assert_true(c.failed);
    assert_int_equal(c.pos, 20);
    assert_int_equal(cursor_left(&c), 0);
    assert_int_equal(cursor_u8(&c), 0); /* stays failed although a byte is left */
    assert_null(cursor_take(&c, 0));

    c = (struct cursor){.data = bytes, .size = 3};
    assert_int_equal(cursor_u8(&c), 1);
    assert_int_equal(cursor_u16(&c), 0x0302);
    assert_false(c.failed);
    assert_ptr_equal(cursor_take(&c, 0), bytes + 3);
    assert_false(c.failed);
    static const uint64_t too_many[] = {1, 3, 4, UINT32_MAX, UINT64_MAX, UINT64_MAX - 2};
    for (size_t i = 0; i < sizeof too_many / sizeof too_many[0]; i++) {
        struct cursor d = {.data = bytes, .size = 3, .pos = 3};
        assert_null(cursor_take(&d, too_many[i]));
        assert_true(d.failed);
        assert_int_equal(d.pos, 3);
    }
    unsigned char out[15];
    le_put64(out + 1, 0x8807060504030201U);
    le_put32(out + 9, 0x3fc00000);
    le_put16(out + 13, 0xfeff);
    assert_memory_equal(out + 1, bytes, 12);
    assert_memory_equal(out + 13, bytes + 20, 2);
    assert_int_equal(le_get64(out + 1), 0x8807060504030201U);
    assert_int_equal(le_get32(out + 9), 0x3fc00000);
    assert_int_equal(le_get16(out + 13), 0xfeff);
}

/* Table 3-7 of the Unicode standard: the first and last of each form, and what lies just outside. */
static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        uint32_t code;
    } cases[] = {
        {"A", 1, 'A'},
        {"\x7f", 1, 0x7f},
        {"\xc2\x80", 2, 0x80},
        {"\xdf\xbf", 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xed\x9f\xbf", 3, 0xd7ff},
        {"\xee\x80\x80", 3, 0xe000},
        {"\xef\xbf\xbf", 3, 0xffff},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
        {"\x80", 0, 0},
        {"\xbf", 0, 0},
        {"\xc0\x80", 0, 0},
        {"\xc1\xbf", 0, 0},
        {"\xe0\x9f\xbf", 0, 0},
        {"\xed\xa0\x80", 0, 0},
        {"\xed\xbf\xbf", 0, 0},
        {"\xf0\x8f\xbf\xbf", 0, 0},
        {"\xf4\x90\x80\x80", 0, 0},
        {"\xf8\x88\x80\x80\x80", 0, 0},
        {"\xff", 0, 0},
        {"\xc2", 0, 0},
        {"\xc2\x41", 0, 0},
        {"\xe2\x82", 0, 0},
        {"\xf0\x9f\x98", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t code = 0;
        size_t n = strlen(cases[i].bytes);
        assert_int_equal(utf8_decode(cases[i].bytes, n, &code), cases[i].len);
        assert_int_equal(code, cases[i].code);
        assert_int_equal(utf8_check(cases[i].bytes, n), cases[i].len ? n : 0);
        char back[4];
        if (cases[i].len) {
            assert_int_equal(utf8_encode(code, back), n);
            assert_memory_equal(back, cases[i].bytes, n);
            assert_int_equal(utf8_decode(cases[i].bytes, n - 1, NULL), 0);
        }
    }
    assert_int_equal(utf8_check("0123456789abcdefgh\xc3\xa4\xff", 21), 20);
    assert_int_equal(utf8_check("", 0), 0);
}

static void test_error_line(void **state)
{
    (void)state;
    struct error err;
    char line[2000], small[12];
    assert_int_equal(error_at(&err, STATUS_MISMATCH, "m.gguf", "blk.0.attn_k.weight",
                              "expected %d x %d, found %d", 4, 8, 5),
                     STATUS_MISMATCH);
    error_format(&err, "lathe-verify", line, sizeof line);
    assert_string_equal(line, "lathe-verify: m.gguf: tensor 'blk.0.attn_k.weight': expected 4 x 8, found 5");
    error_format(&err, "lathe-verify", small, sizeof small);
    assert_string_equal(small, "lathe-verif");
    assert_string_equal(err.hint, "");
    assert_int_equal(error_hint(&err, "try %s", "--force"), STATUS_MISMATCH);
    assert_string_equal(err.hint, "try --force");

    /* wrapping an error in itself */
    error_at(&err, STATUS_FORMAT, err.path, err.tensor, "while reading: %s", err.text);
    assert_string_equal(err.text, "while reading: expected 4 x 8, found 5");
    assert_string_equal(err.path, "m.gguf");
    assert_string_equal(err.hint, "");

    error_set(&err, STATUS_FORMAT, "name 'a\nb\x1b[31m\x7f\xff\xc2\x9b\xe4\xbd\xa0\xe2\x80\xae'");
    error_format(&err, "t", line, sizeof line);
    assert_string_equal(line, "t: name 'a\\x0ab\\x1b[31m\\x7f\\xff\\xc2\\x9b\xe4\xbd\xa0\\xe2\\x80\\xae'");
    for (size_t n = 1; n < 60;
         n++) { /* cut anywhere: terminated, within bounds, no piece of an escape or a character */
        char *cut = malloc(n);
        assert_non_null(cut);
        error_format(&err, "t", cut, n);
        assert_true(strlen(cut) < n);
        assert_memory_equal(cut, line, strlen(cut));
        assert_int_equal(utf8_check(cut, strlen(cut)), strlen(cut));
        free(cut);
    }

    errno = ENOENT;
    assert_int_equal(error_errno(&err, "a/b", "cannot open"), STATUS_NOTFOUND);
    assert_string_equal(err.text, "cannot open: No such file or directory");
    errno = EACCES;
    assert_int_equal(error_errno(&err, "a/b", "cannot open"), STATUS_IO);
    assert_int_equal(errno, EACCES);
    char *big = malloc(5000);
    assert_non_null(big);
    memset(big, 'y', 4999);
    big[4999] = 0;
    error_at(&err, STATUS_FORMAT, big, big, "%s", big);
    error_format(&err, "t", line, sizeof line);
    assert_int_equal(strlen(line), strlen("t: : tensor '': ") + 511 + 159 + 767);
    free(big);

    for (int s = 0; s < STATUS_COUNT; s++) {
        const char *name = status_name((enum status)s);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz"), strlen(name));
        for (int t = 0; t < s; t++) assert_string_not_equal(name, status_name((enum status)t));
    }
    assert_string_equal(status_name(STATUS_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes), cmocka_unit_test(test_mem_alloc),  cmocka_unit_test(test_buf),
        cmocka_unit_test(test_arena), cmocka_unit_test(test_strmap),     cmocka_unit_test(test_cursor),
        cmocka_unit_test(test_utf8),  cmocka_unit_test(test_error_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
