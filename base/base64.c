#include "base/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_append(struct buf *out, const unsigned char *src, size_t n)
{
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)src[i] << 16;
        if (left > 1) v |= (uint32_t)src[i + 1] << 8;
        if (left > 2) v |= src[i + 2];
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
                        left > 2 ? digits[v & 63] : '='};
        buf_append(out, four, sizeof four);
    }
}

/* 0..63; 64 for '='; 65 for anything else */
static uint32_t digit_value(char c)
{
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (uint32_t)(p - digits) : c == '=' ? 64 : 65;
}

bool base64_decode(struct buf *out, const char *text, size_t n)
{
    if (n % 4 != 0) return false;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t d[4], pad = 0;
        for (int k = 0; k < 4; k++) d[k] = digit_value(text[i + (size_t)k]);
        while (pad < 2 && d[3 - pad] == 64) d[3 - pad++] = 0;
        if (d[0] > 63 || d[1] > 63 || d[2] > 63 || d[3] > 63 || (pad > 0 && i + 4 != n)) return false;
        uint32_t v = d[0] << 18 | d[1] << 12 | d[2] << 6 | d[3];
        if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0)) return false;
        unsigned char three[3] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};
        buf_append(out, three, 3 - pad);
    }
    return true;
}
