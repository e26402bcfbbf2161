/* SHA-256 against the examples of FIPS 180; zlib streams against bytes that other programs made. */
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void assert_digest(struct sha256 *h, const char *expected)
{
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX];
    sha256_finish(h, digest);
    sha256_hex(digest, hex);
    assert_string_equal(hex, expected);
}

static void test_sha256(void **state)
{
    (void)state;
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static const char million[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    struct error err;
    struct sha256 *h;
    assert_int_equal(sha256_new(&h, &err), STATUS_OK);
    sha256_update(h, "abc", 3);
    assert_digest(h, abc);
    assert_digest(h,
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"); /* anew, and empty */
    sha256_update(h, "a", 1);
    sha256_update(h, NULL, 0);
    sha256_update(h, "bc", 2);
    assert_digest(h, abc);
    char *bytes = malloc(1000000);
    assert_non_null(bytes);
    memset(bytes, 'a', 1000000);
    for (size_t off = 0, n = 1; off < 1000000; off += n, n = n * 3 + 1) { /* pieces of growing size */
        if (n > 1000000 - off) n = 1000000 - off;
        sha256_update(h, bytes + off, n);
    }
    assert_digest(h, million);
    free(bytes);
    sha256_free(h);
    sha256_free(NULL);
}

/* A million times 'a', and a failure where asked for */
static enum status read_a(const void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    const uint64_t *bad = ctx;
    assert_true(n > 0 && off + n <= 1000000);
    if (*bad >= off && *bad < off + n) return error_set(err, STATUS_IO, "bad at %d", (int)*bad);
    memset(dst, 'a', n);
    return STATUS_OK;
}

/* Digests are those of FIPS 180-2, and of nothing. */
static void test_sha256_of(void **state)
{
    (void)state;
    struct error err;
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX];
    assert_int_equal(sha256_of(read_a, &(uint64_t){UINT64_MAX}, 1000000, digest, &err), STATUS_OK);
    sha256_hex(digest, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_int_equal(sha256_of(read_a, &(uint64_t){0}, 0, digest, &err), STATUS_OK);
    sha256_hex(digest, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(sha256_of(read_a, &(uint64_t){999999}, 1000000, digest, &err), STATUS_IO);
    assert_string_equal(err.text, "bad at 999999");
}

/* Streams as Python's zlib module writes them at level 9, 0 and with a preset dictionary. */
static const unsigned char hello9[] = {0x78, 0xda, 0xcb, 0x48, 0xcd, 0xc9, 0xc9,
                                       0x07, 0x00, 0x06, 0x2c, 0x02, 0x15};
static const unsigned char hello0[] = {0x78, 0x01, 0x01, 0x05, 0x00, 0xfa, 0xff, 'h',
                                       'e',  'l',  'l',  'o',  0x06, 0x2c, 0x02, 0x15};
static const unsigned char empty9[] = {0x78, 0xda, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01};
static const unsigned char preset[] = {0x78, 0xf9, 0x06, 0x2c, 0x02, 0x15, 0xcb,
                                       0x00, 0x11, 0x00, 0x06, 0x2c, 0x02, 0x15};

static void assert_unpacks(const unsigned char *src, size_t n, const char *text)
{
    struct error err;
    struct buf b = {0};
    buf_puts(&b, "before ");
    size_t len = strlen(text);
    assert_int_equal(zlib_unpack(&b, src, n, len, &err), STATUS_OK); /* just as much as is allowed */
    assert_int_equal(b.len, 7 + len);
    assert_string_equal(b.data + 7, text);
    buf_clear(&b);
}

static void test_unpack(void **state)
{
    (void)state;
    assert_unpacks(hello9, sizeof hello9, "hello");
    assert_unpacks(hello0, sizeof hello0, "hello");
    assert_unpacks(empty9, sizeof empty9, "");
}

static void test_unpack_refused(void **state)
{
    (void)state;
    struct error err;
    struct buf b = {0};
    unsigned char bytes[64];
    buf_puts(&b, "before");
    for (size_t n = 0; n < sizeof hello9; n++) {
        assert_int_equal(zlib_unpack(&b, hello9, n, 100, &err), STATUS_FORMAT);
        assert_string_equal(err.text, "broken zlib stream: it ends too early");
    }
    memcpy(bytes, hello9, sizeof hello9);
    bytes[sizeof hello9] = 0;
    assert_int_equal(zlib_unpack(&b, bytes, sizeof hello9 + 1, 100, &err), STATUS_FORMAT);
    assert_string_equal(err.text, "broken zlib stream: bytes after its end");
    for (size_t i = 0; i < sizeof hello9;
         i++) { /* any bit: the check sum or the structure is broken, but for padding */
        for (int bit = 0; bit < 8; bit++) {
            if (i == 8 && bit >= 2) continue; /* after the end-of-block code */
            memcpy(bytes, hello9, sizeof hello9);
            bytes[i] ^= (unsigned char)(1 << bit);
            assert_int_equal(zlib_unpack(&b, bytes, sizeof hello9, 100, &err), STATUS_FORMAT);
        }
    }
    assert_int_equal(zlib_unpack(&b, preset, sizeof preset, 100, &err), STATUS_FORMAT);
    assert_int_equal(zlib_unpack(&b, hello9, sizeof hello9, 4, &err), STATUS_RANGE);
    assert_string_equal(err.text, "unpacks to more than the 4 bytes allowed");
    assert_string_equal(b.data, "before"); /* a failure leaves nothing behind */
    assert_int_equal(b.len, 6);
    buf_clear(&b);
}

static void test_round_trip(void **state)
{
    (void)state;
    enum { SIZE = 3000000 };
    struct error err;
    struct buf packed = {0}, back = {0}, again = {0};
    char *bytes = malloc(SIZE);
    assert_non_null(bytes);
    uint64_t v = 88172645463325252U;
    for (size_t i = 0; i < SIZE; i++) { /* noise, then zeros */
        v ^= v << 13, v ^= v >> 7, v ^= v << 17;
        bytes[i] = i < SIZE / 2 ? (char)(v & 0x7f) : 0;
    }
    assert_int_equal(zlib_pack(&packed, bytes, SIZE, &err), STATUS_OK);
    assert_int_equal((unsigned char)packed.data[1], 0x9c); /* level 6 */
    assert_int_equal(zlib_unpack(&back, packed.data, packed.len, SIZE, &err), STATUS_OK);
    assert_int_equal(back.len, SIZE);
    assert_memory_equal(back.data, bytes, SIZE);
    buf_puts(&again, "x"); /* appended, and the same bytes each time */
    assert_int_equal(zlib_pack(&again, bytes, SIZE, &err), STATUS_OK);
    assert_int_equal(again.len, packed.len + 1);
    assert_memory_equal(again.data + 1, packed.data, packed.len);
    /* a bomb stops at the limit, not at its end */
    memset(bytes, 0, SIZE);
    buf_clear(&packed);
    buf_clear(&back);
    assert_int_equal(zlib_pack(&packed, bytes, SIZE, &err), STATUS_OK);
    assert_true(packed.len < 5000);
    assert_int_equal(zlib_unpack(&back, packed.data, packed.len, 1000, &err), STATUS_RANGE);
    assert_true(back.cap < 300000);
    buf_clear(&packed);
    buf_clear(&back);
    buf_clear(&again);
    assert_int_equal(zlib_pack(&packed, "", 0, &err), STATUS_OK);
    static const unsigned char empty6[] = {0x78, 0x9c, 0x03, 0x00,
                                           0x00, 0x00, 0x00, 0x01}; /* zlib.compress(b"", 6) */
    assert_int_equal(packed.len, sizeof empty6);
    assert_memory_equal(packed.data, empty6, sizeof empty6);
    buf_clear(&packed);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_sha256_of),
        cmocka_unit_test(test_unpack),
        cmocka_unit_test(test_unpack_refused),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
