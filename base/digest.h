/* SHA-256 (libcrypto), CRC-32, and zlib streams in memory. */
#ifndef LATHE_DIGEST_H
#define LATHE_DIGEST_H

#include "base/memory.h"
#include "base/status.h"

#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_HEX = 65 };

struct sha256;
enum status sha256_new(struct sha256 **out, struct error *err);
void sha256_update(struct sha256 *h, const void *src, size_t n);
void sha256_finish(struct sha256 *h, uint8_t digest[SHA256_BYTES]); /* and starts anew */
void sha256_free(struct sha256 *h);
void sha256_hex(const uint8_t digest[SHA256_BYTES], char hex[SHA256_HEX]);
/* Bytes [off, off + n) of something that is read in pieces */
typedef enum status sha256_reader(const void *ctx, uint64_t off, void *dst, size_t n, struct error *err);
/* Of the n_bytes that `read` gives, in ascending pieces of at most 256 KiB. Errors are the reader's, or of memory. */
enum status sha256_of(sha256_reader *read, const void *ctx, uint64_t n_bytes, uint8_t digest[SHA256_BYTES], struct error *err);

/* zlib stream (RFC 1950), level 6, appended to *out. Bytes depend on src and the zlib version only. */
enum status zlib_pack(struct buf *out, const void *src, size_t n, struct error *err);
/* Appends the unpacked bytes; STATUS_FORMAT for a broken stream or trailing bytes, STATUS_RANGE beyond
 * max_bytes. */
enum status zlib_unpack(struct buf *out, const void *src, size_t n, size_t max_bytes, struct error *err);

/* CRC-32 as in zip. Start with 0; crc32_join gives that of a followed by b from their separate ones. */
uint32_t crc32_update(uint32_t crc, const void *src, size_t n);
uint32_t crc32_join(uint32_t crc_a, uint32_t crc_b, uint64_t n_b);
#endif
