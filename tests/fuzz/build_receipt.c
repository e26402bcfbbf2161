/* The bytes up to the first NUL are a receipt's list of tensors, those up to the next its digests, the rest a file. */
#include "tests/fuzz/fuzz.h"

#include "base/cursor.h"
#include "core/receipt.h"

#include <string.h>

static void put_string(struct buf *out, const char *s, size_t n)
{
    unsigned char length[8];
    le_put64(length, n);
    buf_append(out, length, sizeof length);
    buf_append(out, s, n);
}

static void put_value(struct buf *out, const char *key, const char *s, size_t n)
{
    put_string(out, key, strlen(key));
    buf_append(out, "\x8\0\0", 4);
    put_string(out, s, n);
}

static void put_packed(struct buf *out, const char *key, const char *s, size_t n)
{
    struct error err;
    struct buf text = {0};
    if (receipt_pack(&text, s, n, &err) == STATUS_OK) put_value(out, key, text.data, text.len);
    buf_clear(&text);
}

void fuzz_build_receipt(struct buf *out, const uint8_t *bytes, size_t n)
{
    const char *part[3];
    size_t len[3], at = 0;
    for (int i = 0; i < 3; i++) {
        const uint8_t *end = at < n && i < 2 ? memchr(bytes + at, 0, n - at) : NULL;
        part[i] = at < n ? (const char *)bytes + at : "";
        len[i] = end ? (size_t)(end - bytes) - at : n - at;
        at += len[i] + (end != NULL);
    }
    buf_append(out, "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0\0\0\0", 24);
    put_string(out, "lathe.receipt.version", 21);
    buf_append(out, "\4\0\0\0\1\0\0", 8);
    put_value(out, "lathe.receipt.level", "full", 4);
    put_packed(out, "lathe.receipt.tensors", part[0], len[0]);
    put_value(out, "lathe.receipt.sha256", part[1], len[1]);
    put_packed(out, "lathe.receipt.file.config.json", part[2], len[2]);
}
