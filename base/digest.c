#include "base/digest.h"

#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

struct sha256 {
    EVP_MD_CTX *ctx;
    bool failed;
};

enum status sha256_new(struct sha256 **out, struct error *err)
{
    *out = NULL;
    struct sha256 *h = calloc(1, sizeof *h);
    if (!h) return error_nomem(err, sizeof *h);
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        sha256_free(h);
        return error_set(err, STATUS_NOMEM, "libcrypto gives no SHA-256");
    }
    *out = h;
    return STATUS_OK;
}

void sha256_update(struct sha256 *h, const void *src, size_t n)
{
    if (n > 0 && EVP_DigestUpdate(h->ctx, src, n) != 1) h->failed = true;
}

void sha256_finish(struct sha256 *h, uint8_t digest[SHA256_BYTES])
{
    unsigned len = 0;
    if (EVP_DigestFinal_ex(h->ctx, digest, &len) != 1 || len != SHA256_BYTES) h->failed = true;
    if (h->failed) memset(digest, 0, SHA256_BYTES); /* equal to no digest that anybody recorded */
    h->failed = EVP_DigestInit_ex(h->ctx, NULL, NULL) != 1;
}

void sha256_free(struct sha256 *h)
{
    if (!h) return;
    EVP_MD_CTX_free(h->ctx);
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
