/* Bytes of a file written as text: so that a malformed file is one line of a table.
 *
 *     pack(&b, "'GGUF' 4:3 8:0 8:1 n('general.alignment') 4:4 4:0");
 *
 * Atoms, separated by white space:
 *   'text'           its bytes; \n \t \0 \\ \' \` and \xHH inside; ` is a double quote, which JSON is full of
 *   x00ff80          bytes in hexadecimal
 *   1:N 2:N 4:N 8:N  N in so many bytes, little-endian; N is decimal, 0x..., negative, 2^K, 2^K-M or 2^K+M
 *   v:N              N as a protobuf varint
 *   n( ... )         the length of what is inside as 8 bytes, then it; u( ... ) as 4 bytes, h( ... ) as 2, w( ... ) as a varint
 *   z( ... )         what is inside as a zlib stream in base64
 *   N*atom           the atom N times
 *   pad:N            zeros up to a multiple of N
 *   cut:N            without the last N bytes
 *   @P               from here on bytes replace those at P: end, a number, or a mark with +N: l0+8 @end goes back to appending
 *   entry('name' ... )    a zip record: stored, name first; deflate('name' ... ) compressed. Marks l0, l1, ... (local records), d0, ... (data)
 *   zipend           directory and end record of all records so far. Marks c0, c1, ... and e
 * A text that breaks these rules ends the program: it is the table that is wrong. */
#ifndef LATHE_TEST_PACK_H
#define LATHE_TEST_PACK_H

#include "base/memory.h"

void pack(struct buf *b, const char *text);

#endif
