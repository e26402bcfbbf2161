/* Decoders of the ternary types: value = d * (t - 1), t in 0..2. */
#include "dtypes/codec.h"

/* A byte holds a five-digit base-3 number N as ceil(N * 256 / 243), a fraction of 256: multiplying by 3 shifts the next digit out at the
 * top. digit: 0 for the most significant. */
static int trit(uint8_t byte, int digit)
{
    static const uint8_t pow3[5] = {1, 3, 9, 27, 81};
    return (uint8_t)(byte * pow3[digit]) * 3 >> 8;
}

/* n_digits runs of n_bytes elements: digit k of byte m is element n_bytes * k + m. */
static void decode_trits(const uint8_t *bytes, int n_bytes, int n_digits, float d, float *dst)
{
    for (int k = 0; k < n_digits; k++)
        for (int m = 0; m < n_bytes; m++) *dst++ = (float)(trit(bytes[m], k) - 1) * d;
}

void decode_tq1_0(const void *src, float *dst, int64_t n)
{
    const struct block_tq1_0 *b = src;
    for (; n > 0; n -= QK_K, b++, dst += QK_K) {
        float d = half_load(b->d);
        decode_trits(b->qs, 32, 5, d, dst);
        decode_trits(b->qs + 32, 16, 5, d, dst + 160);
        decode_trits(b->qh, 4, 4, d, dst + 240);
    }
}

void decode_tq2_0(const void *src, float *dst, int64_t n)
{
    const struct block_tq2_0 *b = src;
    for (; n > 0; n -= QK_K, b++) {
        float d = half_load(b->d);
        for (int c = 0; c < 2; c++)
            for (int k = 0; k < 4; k++)
                for (int l = 0; l < 32; l++) *dst++ = (float)((b->qs[32 * c + l] >> 2 * k & 3) - 1) * d;
    }
}
