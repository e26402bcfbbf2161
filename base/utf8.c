#include "base/utf8.h"

#include <string.h>

/* By first byte: length, the value bits it holds, and the smallest code that needs this length. */
static const struct {
    unsigned char mask, lead, bits;
    uint32_t least;
} forms[5] = {
    {0, 0, 0, 0},
    {0x80, 0x00, 0x7f, 0},
    {0xe0, 0xc0, 0x1f, 0x80},
    {0xf0, 0xe0, 0x0f, 0x800},
    {0xf8, 0xf0, 0x07, 0x10000},
};

size_t utf8_decode(const void *src, size_t n, uint32_t *code)
{
    const unsigned char *s = src;
    if (n == 0) return 0;
    size_t len = 1;
    while (len <= 4 && (s[0] & forms[len].mask) != forms[len].lead) len++;
    if (len > 4 || len > n) return 0;
    uint32_t c = s[0] & forms[len].bits;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3fU);
    }
    if (c < forms[len].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return 0;
    if (code) *code = c;
    return len;
}

size_t utf8_encode(uint32_t code, char dst[4])
{
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1;) {
        dst[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    dst[0] = (char)(forms[len].lead | code);
    return len;
}

size_t utf8_check(const void *src, size_t n)
{
    const unsigned char *s = src;
    size_t i = 0;
    while (i < n) {
        uint64_t word;
        if (n - i >= sizeof word && (memcpy(&word, s + i, sizeof word), (word & 0x8080808080808080U) == 0)) {
            i += sizeof word;
            continue;
        }
        size_t len = utf8_decode(s + i, n - i, NULL);
        if (len == 0) return i;
        i += len;
    }
    return n;
}
