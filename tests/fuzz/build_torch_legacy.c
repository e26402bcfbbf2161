/* The bytes are the third pickle of a file in the form before zip, with what follows it. */
#include "tests/fuzz/fuzz.h"

void fuzz_build_legacy(struct buf *out, const uint8_t *bytes, size_t n)
{
    static const char head[] = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    buf_append(out, head, sizeof head - 1);
    buf_append(out, bytes, n);
}
