#include "formats/tok_bytes.h"

#include "base/utf8.h"

#include <string.h>

/* Printable characters stand for themselves, the other 68 bytes, in order, for U+0100 and up. */
static bool is_plain(uint32_t code)
{
    return (code >= 33 && code <= 126) || (code >= 161 && code <= 172) || (code >= 174 && code <= 255);
}

static int alphabet_byte(uint32_t code)
{
    if (is_plain(code)) return (int)code;
    if (code < 256 || code >= 256 + 68) return -1;
    uint32_t n = code - 256;
    return n < 33 ? (int)n : n < 67 ? (int)(n - 33 + 127) : 173;
}

bool bytes_from_alphabet(const char *s, size_t n, struct buf *out)
{
    size_t before = out->len;
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t code;
        len = utf8_decode(s + i, n - i, &code);
        int byte = len > 0 ? alphabet_byte(code) : -1;
        if (byte < 0) {
            out->len = before;
            return false;
        }
        buf_append(out, &(char){(char)byte}, 1);
    }
    return true;
}

void bytes_to_alphabet(const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        uint32_t code = is_plain(c) ? c : c < 33 ? 256u + c : c < 173 ? 256u + 33 + (c - 127u) : 256u + 67;
        char text[4];
        buf_append(out, text, utf8_encode(code, text));
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int byte_token_value(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    int hi = hex_digit(s[3]), lo = hex_digit(s[4]);
    return hi < 0 || lo < 0 ? -1 : 16 * hi + lo;
}

void text_replace(const char *s, size_t n, const char *from, const char *to, struct buf *out)
{
    size_t len = strlen(from);
    while (n > 0) {
        const char *hit = memmem(s, n, from, len);
        size_t before = hit ? (size_t)(hit - s) : n;
        buf_append(out, s, before);
        if (!hit) return;
        buf_puts(out, to);
        s += before + len;
        n -= before + len;
    }
}
