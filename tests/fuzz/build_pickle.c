/* The bytes are data.pkl of a sound archive that has storages 0 to 2. */
#include "tests/fuzz/fuzz.h"

#include "base/cursor.h"
#include "base/digest.h"

#include <stdio.h>
#include <string.h>

struct record {
    const char *name;
    const void *bytes;
    size_t n, local;
};

static void shared(struct buf *out, const struct record *r)
{
    unsigned char f[22] = {0};
    le_put16(f, 0x0800);
    le_put32(f + 8, crc32_update(0, r->bytes, r->n));
    le_put32(f + 12, (uint32_t)r->n);
    le_put32(f + 16, (uint32_t)r->n);
    le_put16(f + 20, (uint16_t)strlen(r->name));
    buf_append(out, f, sizeof f);
    buf_append(out, "\0", 2);
}

void fuzz_build_zip(struct buf *out, const uint8_t *bytes, size_t n)
{
    static const unsigned char zeros[64];
    struct record records[] = {
        {"archive/data.pkl", bytes, n, 0},
        {"archive/byteorder", "little", 6, 0},
        {"archive/data/0", zeros, 16, 0},
        {"archive/data/1", zeros, 48, 0},
        {"archive/data/2", zeros, 64, 0},
    };
    enum { N = sizeof records / sizeof records[0] };
    unsigned char offset[4], end[22] = "PK\5\6";
    for (size_t i = 0; i < N; i++) {
        records[i].local = out->len;
        buf_append(out, "PK\3\4\x14\0", 6);
        shared(out, &records[i]);
        buf_puts(out, records[i].name);
        buf_append(out, records[i].bytes, records[i].n);
    }
    size_t dir = out->len;
    for (size_t i = 0; i < N; i++) {
        buf_append(out, "PK\1\2\x14\0\x14\0", 8);
        shared(out, &records[i]);
        buf_extend(out, 10);
        le_put32(offset, (uint32_t)records[i].local);
        buf_append(out, offset, sizeof offset);
        buf_puts(out, records[i].name);
    }
    le_put16(end + 8, N);
    le_put16(end + 10, N);
    le_put32(end + 12, (uint32_t)(out->len - dir));
    le_put32(end + 16, (uint32_t)dir);
    buf_append(out, end, sizeof end);
}
