#include "formats/tok_unicode.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    L = UCLASS_LETTER | UCLASS_WORD,
    UP = L | UCLASS_UPPER,
    LO = L | UCLASS_LOWER,
    M = UCLASS_MARK | UCLASS_WORD,
    DIGIT = UCLASS_NUMBER | UCLASS_WORD,
    SP = UCLASS_SPACE,
};

static unsigned class_of_category(utf8proc_category_t c)
{
    static const uint16_t classes[] = {
        [UTF8PROC_CATEGORY_CN] = 0,
        [UTF8PROC_CATEGORY_LU] = UP,
        [UTF8PROC_CATEGORY_LL] = LO,
        [UTF8PROC_CATEGORY_LT] = UP,
        [UTF8PROC_CATEGORY_LM] = L,
        [UTF8PROC_CATEGORY_LO] = L,
        [UTF8PROC_CATEGORY_MN] = M | UCLASS_NONSPACING,
        [UTF8PROC_CATEGORY_MC] = M,
        [UTF8PROC_CATEGORY_ME] = M,
        [UTF8PROC_CATEGORY_ND] = DIGIT,
        [UTF8PROC_CATEGORY_NL] = UCLASS_NUMBER,
        [UTF8PROC_CATEGORY_NO] = UCLASS_NUMBER,
        [UTF8PROC_CATEGORY_PC] = UCLASS_PUNCT | UCLASS_WORD,
        [UTF8PROC_CATEGORY_PD] = UCLASS_PUNCT,
        [UTF8PROC_CATEGORY_PS] = UCLASS_PUNCT,
        [UTF8PROC_CATEGORY_PE] = UCLASS_PUNCT,
        [UTF8PROC_CATEGORY_PI] = UCLASS_PUNCT,
        [UTF8PROC_CATEGORY_PF] = UCLASS_PUNCT,
        [UTF8PROC_CATEGORY_PO] = UCLASS_PUNCT,
        [UTF8PROC_CATEGORY_SM] = UCLASS_SYMBOL,
        [UTF8PROC_CATEGORY_SC] = UCLASS_SYMBOL,
        [UTF8PROC_CATEGORY_SK] = UCLASS_SYMBOL,
        [UTF8PROC_CATEGORY_SO] = UCLASS_SYMBOL,
        [UTF8PROC_CATEGORY_ZS] = SP,
        [UTF8PROC_CATEGORY_ZL] = SP,
        [UTF8PROC_CATEGORY_ZP] = SP,
        [UTF8PROC_CATEGORY_CC] = UCLASS_OTHER,
        [UTF8PROC_CATEGORY_CF] = UCLASS_OTHER,
        [UTF8PROC_CATEGORY_CS] = UCLASS_OTHER,
        [UTF8PROC_CATEGORY_CO] = UCLASS_OTHER,
    };
    return classes[c];
}

#define X8(v) v, v, v, v, v, v, v, v
enum { C_ = UCLASS_OTHER, CS_ = UCLASS_OTHER | SP, P_ = UCLASS_PUNCT, S_ = UCLASS_SYMBOL, PC_ = UCLASS_PUNCT | UCLASS_WORD };
const uint16_t uclass_ascii[128] = {
    X8(C_), C_, CS_, CS_, CS_, CS_, CS_, C_, C_, X8(C_), X8(C_),                        /* 00-1F */
    SP, P_, P_, P_, S_, P_, P_, P_, P_, P_, P_, S_, P_, P_, P_, P_,                     /* 20-2F */
    X8(DIGIT), DIGIT, DIGIT, P_, P_, S_, S_, S_, P_,                                    /* 30-3F */
    P_, UP, UP, UP, UP, UP, UP, UP, X8(UP), X8(UP), UP, UP, UP, P_, P_, P_, S_, PC_,    /* 40-5F */
    S_, LO, LO, LO, LO, LO, LO, LO, X8(LO), X8(LO), LO, LO, LO, P_, S_, P_, S_, C_,     /* 60-7F */
};

unsigned uclass_of(uint32_t code)
{
    if (code < 128) return uclass_ascii[code];
    if (code == 0x85) return UCLASS_OTHER | UCLASS_SPACE;
    return class_of_category(utf8proc_category((utf8proc_int32_t)code));
}

enum status unicode_normalize(enum normal_form f, const char *s, size_t n, struct buf *out, struct error *err)
{
    static const int options[] = {
        [FORM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [FORM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [FORM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [FORM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    utf8proc_uint8_t *result = NULL;
    utf8proc_ssize_t got = utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &result,
                                        (utf8proc_option_t)options[f]);
    if (got < 0) {
        free(result);
        return got == UTF8PROC_ERROR_NOMEM ? error_nomem(err, n)
                                           : error_set(err, STATUS_RANGE, "normal form of %zu bytes: %s", n,
                                                       utf8proc_errmsg(got));
    }
    buf_append(out, result, (size_t)got);
    free(result);
    return buf_check(out, err);
}

void unicode_lower(uint32_t code, struct buf *out)
{
    char s[4];
    if (code == 0x130) { /* the one character whose lower case is two */
        buf_puts(out, "i\xCC\x87");
        return;
    }
    uint32_t lower = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    buf_append(out, s, utf8_encode(lower, s));
}

int unicode_columns(uint32_t code)
{
    return utf8proc_charwidth((utf8proc_int32_t)code);
}

size_t unicode_grapheme(const char *s, size_t n)
{
    uint32_t code, next;
    utf8proc_int32_t state = 0;
    size_t at = utf8_decode(s, n, &code);
    while (at > 0 && at < n) {
        size_t len = utf8_decode(s + at, n - at, &next);
        if (len == 0 ||
            utf8proc_grapheme_break_stateful((utf8proc_int32_t)code, (utf8proc_int32_t)next, &state))
            break;
        at += len;
        code = next;
    }
    return at > 0 ? at : 1;
}

/* Bytes at s that begin a character and are cut off there: what a decoder replaces as one. */
static size_t broken_part(const unsigned char *s, size_t n)
{
    unsigned char c = s[0], low = 0x80, high = 0xBF;
    size_t want = c >= 0xC2 && c <= 0xDF ? 2 : c >= 0xE0 && c <= 0xEF ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 1;
    if (c == 0xE0) low = 0xA0;
    if (c == 0xED) high = 0x9F;
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F;
    size_t k = 1;
    while (k < want && k < n && s[k] >= low && s[k] <= high) {
        low = 0x80;
        high = 0xBF;
        k++;
    }
    return k;
}

void unicode_repair(const char *s, size_t n, bool each_byte, struct buf *out)
{
    for (size_t i = 0; i < n;) {
        size_t good = utf8_check(s + i, n - i);
        buf_append(out, s + i, good);
        i += good;
        if (i == n) break;
        buf_puts(out, "\xEF\xBF\xBD");
        i += each_byte ? 1 : broken_part((const unsigned char *)s + i, n - i);
    }
}
