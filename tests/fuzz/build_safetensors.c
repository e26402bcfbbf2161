/* The bytes are the header's text. Its length is put before it, and as many zeros as its offsets could mean after it. */
#include "tests/fuzz/fuzz.h"

#include "base/cursor.h"

#include <ctype.h>
#include <string.h>

/* The number behind the last comma before a ']': where the last tensor ends, most likely. */
static size_t data_bytes(const uint8_t *s, size_t n)
{
    size_t most = 0, v = 0;
    for (size_t i = 0; i < n; i++) {
        v = isdigit(s[i]) && v < 1 << 20 ? 10 * v + (size_t)(s[i] - '0') : s[i] == ']' ? v : 0;
        if (s[i] == ']' && v > most && v <= 1 << 16) most = v;
    }
    return most;
}

void fuzz_build_safetensors(struct buf *out, const uint8_t *bytes, size_t n)
{
    unsigned char length[8];
    le_put64(length, n);
    buf_append(out, length, sizeof length);
    buf_append(out, bytes, n);
    buf_extend(out, data_bytes(bytes, n));
}
