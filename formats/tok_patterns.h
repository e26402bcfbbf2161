/* The patterns that published tokenizers cut text with, in the one spelling that tok_pattern_spelling gives. */
#ifndef LATHE_TOK_PATTERNS_H
#define LATHE_TOK_PATTERNS_H

#include "base/memory.h"

#define REGEX_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define REGEX_SUFFIXES "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REGEX_CL100K(digits) REGEX_CL100K_OF("\\p{L}", "\\p{L}", digits)
/* letters: what a word is made of; others: what a run of other characters is not made of, beside numbers */
#define REGEX_CL100K_OF(letters, others, digits)                                                             \
    REGEX_SUFFIXES "|[^\\r\\n\\p{L}\\p{N}]?" letters "+|" digits "| ?[^\\s" others                           \
                   "\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define REGEX_QWEN35 REGEX_CL100K_OF("[\\p{L}\\p{M}]", "\\p{L}\\p{M}", REGEX_DIGIT)
#define REGEX_CASED(suffixes, digits)                                                                        \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" suffixes     \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" suffixes    \
    "|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define REGEX_DIGIT   "\\p{N}"
#define REGEX_DIGITS3 "\\p{N}{1,3}"

/* Appends a pattern with control characters as escapes and the English suffixes as a caseless group. */
void tok_pattern_spelling(const char *regex, struct buf *out);

/* Words by hand-written rules: the end of the word that begins at `at` < n, in valid UTF-8. */
typedef size_t tok_scan_fn(const char *s, size_t n, size_t at);
/* The rules that say the same as a pattern; NULL where only a regular expression does. */
tok_scan_fn *tok_scan_find(const char *pattern);

#endif
