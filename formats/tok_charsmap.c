#include "formats/tok_charsmap.h"

#include "base/cursor.h"
#include "base/utf8.h"

#include <string.h>

enum status charsmap_open(struct charsmap *m, const unsigned char *bytes, size_t n, struct error *err)
{
    *m = (struct charsmap){0};
    if (n == 0) return STATUS_OK;
    uint64_t trie = n >= 4 ? le_get32(bytes) : 0;
    if (n < 8 || trie < 4 || trie % 4 != 0 || trie > n - 4 - 1)
        return error_set(err, STATUS_FORMAT,
                         "normalization table of %zu bytes: a trie of %llu bytes, expected a multiple of 4 that leaves room for texts",
                         n, (unsigned long long)trie);
    if (bytes[n - 1] != 0)
        return error_set(err, STATUS_FORMAT, "normalization table: its last text has no end");
    size_t n_texts = n - 4 - (size_t)trie;
    if (utf8_check(bytes + 4 + trie, n_texts) != n_texts)
        return error_set(err, STATUS_FORMAT, "normalization table: its texts are not UTF-8");
    m->units = bytes + 4;
    m->n_units = (size_t)trie / 4;
    m->texts = (const char *)bytes + 4 + trie;
    m->n_texts = n_texts;
    return STATUS_OK;
}

static size_t unit_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

size_t charsmap_find(const struct charsmap *m, const char *s, size_t n, bool shortest,
                     const char **replacement, size_t *replacement_len)
{
    size_t found = 0;
    if (m->n_units == 0) return 0;
    size_t pos = unit_offset(le_get32(m->units));
    for (size_t i = 0; i < n && !(shortest && found > 0); i++) {
        unsigned char c = (unsigned char)s[i];
        pos ^= c;
        if (pos >= m->n_units) break;
        uint32_t unit = le_get32(m->units + 4 * pos);
        if ((unit & 0x800000FFu) != c) break;
        pos ^= unit_offset(unit);
        if (!(unit & (1u << 8))) continue;
        if (pos >= m->n_units) break;
        size_t value = le_get32(m->units + 4 * pos) & 0x7FFFFFFFu;
        if (value >= m->n_texts || ((unsigned char)m->texts[value] & 0xC0) == 0x80) break;
        found = i + 1;
        *replacement = m->texts + value;
    }
    if (found > 0) *replacement_len = strlen(*replacement);
    return found;
}
