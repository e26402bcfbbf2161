/* One UTF-8 character at a time, by the strict definition (RFC 3629: shortest form, no surrogates, at most
 * U+10FFFF). */
#ifndef LATHE_UTF8_H
#define LATHE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1..4) of the character at s, of which n bytes may be read; *code gets its number (code may
 * be NULL). 0 when n is 0 or the bytes there are no character. */
size_t utf8_decode(const void *s, size_t n, uint32_t *code);
/* Writes the UTF-8 form of a code point up to 0x10FFFF; returns its length. */
size_t utf8_encode(uint32_t code, char dst[4]);
/* Offset of the first byte that is not valid UTF-8, n if there is none. */
size_t utf8_check(const void *s, size_t n);

#endif
