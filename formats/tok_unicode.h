/* What tokenizers need to know of Unicode: classes of characters, normal forms, lower case, grapheme clusters. The data is utf8proc's, so
 * its version of Unicode decides about characters newer than that.
 */
#ifndef LATHE_TOK_UNICODE_H
#define LATHE_TOK_UNICODE_H

#include "base/memory.h"

enum uclass {
    UCLASS_LETTER = 1 << 0,
    UCLASS_MARK = 1 << 1,
    UCLASS_NUMBER = 1 << 2,
    UCLASS_PUNCT = 1 << 3,
    UCLASS_SYMBOL = 1 << 4,
    UCLASS_SPACE = 1 << 5,      /* White_Space, control characters among it included */
    UCLASS_UPPER = 1 << 6,      /* Lu, Lt */
    UCLASS_LOWER = 1 << 7,      /* Ll */
    UCLASS_NONSPACING = 1 << 8, /* Mn */
    UCLASS_OTHER = 1 << 9,      /* Cc, Cf, Co; an unassigned character has no class */
    UCLASS_WORD = 1 << 10,      /* \w: letters, marks, decimal digits, connectors */
};
/* Bits of enum uclass */
unsigned uclass_of(uint32_t code);
extern const uint16_t uclass_ascii[128];

enum normal_form { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD };
/* Appends the normal form of n bytes of valid UTF-8. STATUS_NOMEM; STATUS_RANGE beyond what utf8proc can count. */
enum status unicode_normalize(enum normal_form f, const char *s, size_t n, struct buf *out,
                              struct error *err);
/* Appends the lower case of a character (full mapping, without context). */
void unicode_lower(uint32_t code, struct buf *out);
/* Columns of a terminal that a character takes: 0, 1, or 2 (East Asian wide) */
int unicode_columns(uint32_t code);
/* Length of the extended grapheme cluster at the start of n > 0 bytes of valid UTF-8. */
size_t unicode_grapheme(const char *s, size_t n);

/* Appends valid UTF-8: each longest part of a character that is not completed (or, with each_byte, each byte that belongs to no character)
 * becomes U+FFFD. */
void unicode_repair(const char *s, size_t n, bool each_byte, struct buf *out);

#endif
