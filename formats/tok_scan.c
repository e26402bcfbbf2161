/* The three patterns that most published tokenizers cut text with, by hand: ten times the speed of a regular expression. Each function
 * follows its pattern's alternatives in their order; tests compare them with PCRE2. Every character belongs to some alternative, so a word
 * always begins where the last one ended. */
#include "formats/tok_patterns.h"
#include "formats/tok_unicode.h"

#include <string.h>

struct glyph {
    unsigned class;
    size_t len;
};

/* The character at `at` < n of valid UTF-8 */
static inline struct glyph glyph_at(const char *text, size_t at)
{
    const unsigned char *s = (const unsigned char *)text + at;
    if (s[0] < 0x80) return (struct glyph){uclass_ascii[s[0]], 1};
    uint32_t c1 = s[1] & 0x3Fu;
    if (s[0] < 0xE0) return (struct glyph){uclass_of((s[0] & 0x1Fu) << 6 | c1), 2};
    uint32_t c2 = s[2] & 0x3Fu;
    if (s[0] < 0xF0) return (struct glyph){uclass_of((s[0] & 0x0Fu) << 12 | c1 << 6 | c2), 3};
    return (struct glyph){uclass_of((s[0] & 7u) << 18 | c1 << 12 | c2 << 6 | (s[3] & 0x3Fu)), 4};
}

static inline size_t run_of(const char *s, size_t n, size_t at, unsigned classes)
{
    while (at < n) {
        struct glyph g = glyph_at(s, at);
        if (!(g.class & classes)) break;
        at += g.len;
    }
    return at;
}

static inline size_t run_without(const char *s, size_t n, size_t at, unsigned classes)
{
    while (at < n) {
        struct glyph g = glyph_at(s, at);
        if (g.class & classes) break;
        at += g.len;
    }
    return at;
}

/* 's 't 're 've 'm 'll 'd: their length, 0 if none is there. Without case U+017F is an s. */
static inline size_t suffix_at(const char *s, size_t n, size_t at, bool caseless)
{
    if (s[at] != '\'' || n - at < 2) return 0;
    unsigned char bit = caseless ? 0x20 : 0;
    unsigned char a = (unsigned char)s[at + 1] | bit, b = n - at > 2 ? (unsigned char)s[at + 2] | bit : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return caseless && n - at > 2 && memcmp(s + at + 1, "\xC5\xBF", 2) == 0 ? 3 : 0;
}

/* \s+(?!\S)|\s+ where a white space begins: all of them at the end of the text, else all but the last */
static inline size_t blanks(const char *s, size_t n, size_t at, size_t end)
{
    if (end == n) return end;
    size_t last = end - 1;
    while (((unsigned char)s[last] & 0xC0) == 0x80) last--;
    return last > at ? last : end;
}

static size_t scan_gpt2(const char *s, size_t n, size_t at)
{
    static const unsigned kinds[] = {UCLASS_LETTER, UCLASS_NUMBER};
    size_t end = suffix_at(s, n, at, false);
    if (end > 0) return at + end;
    size_t body = s[at] == ' ' && at + 1 < n ? at + 1 : at;
    struct glyph g = glyph_at(s, body);
    for (size_t i = 0; i < 2; i++)
        if (g.class & kinds[i]) return run_of(s, n, body + g.len, kinds[i]);
    if (!(g.class & UCLASS_SPACE))
        return run_without(s, n, body + g.len, UCLASS_SPACE | UCLASS_LETTER | UCLASS_NUMBER);
    return blanks(s, n, at, run_of(s, n, at, UCLASS_SPACE));
}

static inline bool is_newline(char c)
{
    return c == '\r' || c == '\n';
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static inline size_t newlines_or_blanks(const char *s, size_t n, size_t at)
{
    size_t end = run_of(s, n, at, UCLASS_SPACE), last = end;
    while (last > at && !is_newline(s[last - 1])) last--;
    return last > at ? last : blanks(s, n, at, end);
}

static inline size_t scan_cl100k(const char *s, size_t n, size_t at, unsigned letters, unsigned digits_max)
{
    size_t end = suffix_at(s, n, at, true);
    if (end > 0) return at + end;
    struct glyph g = glyph_at(s, at);
    if (g.class & letters) return run_of(s, n, at + g.len, letters);
    if (!(g.class & (UCLASS_LETTER | UCLASS_NUMBER)) && !is_newline(s[at]) && at + g.len < n) {
        struct glyph next = glyph_at(s, at + g.len);
        if (next.class & letters) return run_of(s, n, at + g.len + next.len, letters);
    }
    if (g.class & UCLASS_NUMBER) {
        for (unsigned i = 0; at < n && i < digits_max; i++, at += g.len) {
            g = glyph_at(s, at);
            if (!(g.class & UCLASS_NUMBER)) break;
        }
        return at;
    }
    size_t body = s[at] == ' ' && at + 1 < n ? at + 1 : at;
    if (body > at) g = glyph_at(s, body);
    if (!(g.class & (UCLASS_SPACE | letters | UCLASS_NUMBER))) {
        end = run_without(s, n, body + g.len, UCLASS_SPACE | letters | UCLASS_NUMBER);
        while (end < n && is_newline(s[end])) end++;
        return end;
    }
    return newlines_or_blanks(s, n, at);
}

static size_t scan_digits3(const char *s, size_t n, size_t at)
{
    return scan_cl100k(s, n, at, UCLASS_LETTER, 3);
}

static size_t scan_digit1(const char *s, size_t n, size_t at)
{
    return scan_cl100k(s, n, at, UCLASS_LETTER, 1);
}

static size_t scan_marks(const char *s, size_t n, size_t at)
{
    return scan_cl100k(s, n, at, UCLASS_LETTER | UCLASS_MARK, 1);
}

tok_scan_fn *tok_scan_find(const char *pattern)
{
    static const struct {
        const char *pattern;
        tok_scan_fn *scan;
    } known[] = {
        {REGEX_GPT2, scan_gpt2},
        {REGEX_CL100K(REGEX_DIGITS3), scan_digits3},
        {REGEX_CL100K(REGEX_DIGIT), scan_digit1},
        {REGEX_QWEN35, scan_marks},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].pattern, pattern) == 0) return known[i].scan;
    return NULL;
}

void tok_pattern_spelling(const char *regex, struct buf *out)
{
    static const char spelled_out[] = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
    const size_t n = sizeof spelled_out - 1;
    for (const char *p = regex; *p;) {
        if (strncmp(p, spelled_out, n) == 0) {
            buf_puts(out, REGEX_SUFFIXES);
            p += n;
            continue;
        }
        if (*p == '\r' || *p == '\n' || *p == '\t')
            buf_puts(out, *p == '\r' ? "\\r" : *p == '\n' ? "\\n" : "\\t");
        else
            buf_append(out, p, 1);
        p++;
    }
}
