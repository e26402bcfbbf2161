/* SentencePiece's table of replacements (precompiled_charsmap): a double-array trie of texts and what each becomes.
 *
 *   u32 size of the trie in bytes, the trie (u32 units), then replacements, each ended by a 0 byte
 *
 * A unit (darts-clone): bit 31 set: bits 0-30 are a value (offset of a replacement); else label in bits 0-7 (with bit 31), "has a value" in
 * bit 8, offset to the children in bits 10-30, shifted by 8 more if bit 9 is set. The child for byte c of the node at `pos` is at
 * pos ^ offset ^ c. Tables come from files: every position is checked against the trie's size,
 * and replacements are whole characters.
 */
#ifndef LATHE_TOK_CHARSMAP_H
#define LATHE_TOK_CHARSMAP_H

#include "base/memory.h"

struct charsmap {
    const unsigned char *units; /* little-endian, at any alignment */
    size_t n_units;
    const char *texts; /* ends with a 0 byte */
    size_t n_texts;
};
/* STATUS_FORMAT for a table that breaks its layout. The bytes must outlive *m. n = 0 gives an empty table. */
enum status charsmap_open(struct charsmap *m, const unsigned char *bytes, size_t n, struct error *err);
/* The longest (or, with shortest, the shortest) text of the table that s begins with: its length, and its replacement. 0 if there is none. */
size_t charsmap_find(const struct charsmap *m, const char *s, size_t n, bool shortest,
                     const char **replacement, size_t *replacement_len);

#endif
