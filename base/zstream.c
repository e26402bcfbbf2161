/* The zlib half of digest.h. */
#include "base/digest.h"

#define ZLIB_CONST
#include <zlib.h>

/* Level 9 takes three times as long for tokenizer files and saves 2 %. */
enum { STEP_BYTES = 64 * 1024, PACK_LEVEL = 6 };

typedef int step_fn(z_stream *z, int flush);

/* Appends what `step` makes of src until it says that the stream has ended; returns zlib's last word,
 * Z_MEM_ERROR when the buffer cannot grow, Z_BUF_ERROR when src runs out first, Z_OK when more than max_bytes
 * would come. */
static int run(struct buf *out, z_stream *z, step_fn *step, const unsigned char *src, size_t n,
               size_t max_bytes)
{
    size_t start = out->len;
    int code;
    do {
        if (z->avail_in == 0) {
            z->avail_in = n > UINT32_MAX ? UINT32_MAX : (uInt)n;
            z->next_in = src;
            if (z->avail_in > 0) src += z->avail_in; /* src may be NULL when n is 0 */
            n -= z->avail_in;
        }
        size_t before = out->len;
        char *dst = buf_extend(out, STEP_BYTES);
        if (!dst) return Z_MEM_ERROR;
        z->next_out = (unsigned char *)dst;
        z->avail_out = STEP_BYTES;
        code = step(z, n == 0 ? Z_FINISH : Z_NO_FLUSH);
        out->len = before + (STEP_BYTES - z->avail_out);
        out->data[out->len] = 0;
        if (out->len - start > max_bytes) return Z_OK;
        /* Z_BUF_ERROR under Z_FINISH only says that the output was full. */
        if (code == Z_BUF_ERROR && z->avail_out == 0) code = Z_OK;
    } while (code == Z_OK);
    if (code == Z_STREAM_END && (z->avail_in > 0 || n > 0)) return Z_DATA_ERROR;
    return code;
}

enum status zlib_pack(struct buf *out, const void *src, size_t n, struct error *err)
{
    z_stream z = {0};
    if (deflateInit(&z, PACK_LEVEL) != Z_OK) return error_nomem(err, STEP_BYTES);
    size_t start = out->len;
    int code = run(out, &z, deflate, src, n, SIZE_MAX);
    deflateEnd(&z);
    if (code == Z_STREAM_END) return STATUS_OK;
    if (!out->failed) out->len = start;
    return error_nomem(err, n);
}

enum status zlib_unpack(struct buf *out, const void *src, size_t n, size_t max_bytes, struct error *err)
{
    z_stream z = {0};
    if (inflateInit(&z) != Z_OK) return error_nomem(err, STEP_BYTES);
    size_t start = out->len;
    int code = run(out, &z, inflate, src, n, max_bytes);
    inflateEnd(&z);
    if (code == Z_STREAM_END) return STATUS_OK;
    if (out->data && out->len > start) out->data[out->len = start] = 0;
    if (code == Z_MEM_ERROR) return error_nomem(err, STEP_BYTES);
    if (code == Z_OK)
        return error_set(err, STATUS_RANGE, "unpacks to more than the %zu bytes allowed", max_bytes);
    return error_set(err, STATUS_FORMAT, "broken zlib stream: %s",
                     code == Z_BUF_ERROR ? "it ends too early"
                     : z.msg             ? z.msg
                                         : "bytes after its end");
}

uint32_t crc32_update(uint32_t crc, const void *src, size_t n)
{
    return (uint32_t)crc32_z(crc, src, n);
}

uint32_t crc32_join(uint32_t crc_a, uint32_t crc_b, uint64_t n_b)
{
    return (uint32_t)crc32_combine(crc_a, crc_b, (z_off_t)n_b);
}
