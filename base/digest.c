#include "base/digest.h"

/* The plain functions of libcrypto: the newer interface makes five thousand allocations before its first digest, crashes where one of them fails, and
 * reads the system's configuration of OpenSSL, which has no say here. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <stdlib.h>

struct sha256 {
    SHA256_CTX state;
};

enum status sha256_new(struct sha256 **out, struct error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return error_nomem(err, sizeof **out);
    SHA256_Init(&(*out)->state);
    return STATUS_OK;
}

void sha256_update(struct sha256 *h, const void *src, size_t n)
{
    SHA256_Update(&h->state, src, n);
}

void sha256_finish(struct sha256 *h, uint8_t digest[SHA256_BYTES])
{
    SHA256_Final(digest, &h->state);
    SHA256_Init(&h->state);
}

void sha256_free(struct sha256 *h)
{
    free(h);
}

void sha256_hex(const uint8_t digest[SHA256_BYTES], char hex[SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * SHA256_BYTES] = 0;
}

enum status sha256_of(sha256_reader *read, const void *ctx, uint64_t n_bytes, uint8_t digest[SHA256_BYTES], struct error *err)
{
    enum { PIECE = 1 << 18 };
    struct sha256 *h = NULL;
    void *piece;
    TRY(mem_alloc(&piece, n_bytes < PIECE ? n_bytes : PIECE, 1, err));
    enum status st = sha256_new(&h, err);
    for (uint64_t off = 0; st == STATUS_OK && off < n_bytes; off += PIECE) {
        size_t n = n_bytes - off < PIECE ? (size_t)(n_bytes - off) : PIECE;
        st = read(ctx, off, piece, n, err);
        if (st == STATUS_OK) sha256_update(h, piece, n);
    }
    if (st == STATUS_OK) sha256_finish(h, digest);
    sha256_free(h);
    free(piece);
    return st;
}
