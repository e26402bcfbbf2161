/* The bytes are lines; the last eight characters of each become its CRC. */
#include "tests/fuzz/fuzz.h"

#include "base/digest.h"

#include <stdio.h>
#include <string.h>

void fuzz_build_journal(struct buf *out, const uint8_t *bytes, size_t n)
{
    buf_append(out, bytes, n);
    for (size_t at = 0; at < n;) {
        char *line = out->data + at, *end = memchr(line, '\n', n - at), crc[9];
        size_t len = end ? (size_t)(end - line) : n - at;
        if (len >= 9) {
            snprintf(crc, sizeof crc, "%08x", (unsigned)crc32_update(0, line, len - 9));
            memcpy(line + len - 8, crc, 8);
        }
        at += len + 1;
    }
}
