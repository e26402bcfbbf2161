/* Encoders of blocks of 32 with one scale, and for some a minimum: the bytes of ggml's reference on x86-64.
 *
 * Without importance weights the scale follows from the extreme elements; with them it is searched (quant_search.c).
 */
#include "dtypes/quant_32.h"

void encode_q8_0(const float *src, void *dst, int64_t n)
{
    struct block_q8_0 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        float amax = magnitude(src, QK);
        float d = amax / 127;
        float id = d != 0 ? 1.0f / d : 0.0f;
        b->d = half_store(d);
        /* id is infinite below about 3.7e-37; what is no int32 then becomes 0x80000000, whose low byte is 0 */
        for (int j = 0; j < QK; j++) b->qs[j] = (int8_t)i32_from_f32(roundf(src[j] * id));
    }
}

/* Low nibbles of 32 quants, and their fifth bits. */
static void pack_nibbles(const uint8_t q[QK], uint8_t qs[16])
{
    for (int j = 0; j < 16; j++) qs[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

static void pack_fifth_bits(const uint8_t q[QK], uint8_t qh[4])
{
    for (int k = 0; k < 4; k++) {
        unsigned byte = 0;
        for (int j = 0; j < 8; j++) byte |= (q[8 * k + j] >> 4 & 1u) << j;
        qh[k] = (uint8_t)byte;
    }
}

/* (x - min) * id + bias truncated to int8, at most max. A negative value (only from absurd input) keeps its upper bits. */
static void quantize_up(const float *x, float min, float id, float bias, int max, uint8_t q[QK])
{
    for (int j = 0; j < QK; j++) {
        int8_t v = (int8_t)i32_from_f32((x[j] - min) * id + bias);
        q[j] = (uint8_t)(v < max ? v : max);
    }
}

/* The extreme element gets the quant 0, the only end of the range that is -2^(bits - 1) steps away. Zeros give d = -0. */
static float quantize_symmetric(const float *x, int bits, uint8_t q[QK])
{
    int half = 1 << (bits - 1);
    float d = extreme(x, QK) / (float)-half;
    float id = d != 0 ? 1.0f / d : 0.0f;
    quantize_up(x, 0.0f, id, (float)half + 0.5f, 2 * half - 1, q);
    return d;
}

void encode_q4_0(const float *src, void *dst, int64_t n)
{
    struct block_q4_0 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        uint8_t q[QK];
        b->d = half_store(quantize_symmetric(src, 4, q));
        /* not pack_nibbles: the upper bits of a quant that is out of range stay */
        for (int j = 0; j < 16; j++) b->qs[j] = (uint8_t)(q[j] | q[j + 16] << 4);
    }
}

void encode_q5_0(const float *src, void *dst, int64_t n)
{
    struct block_q5_0 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        uint8_t q[QK];
        b->d = half_store(quantize_symmetric(src, 5, q));
        pack_nibbles(q, b->qs);
        pack_fifth_bits(q, b->qh);
    }
}

/* Returns the step; *min is the least element (FLT_MAX where all are NaN). */
static float quantize_affine(const float *x, int levels, int max, uint8_t q[QK], float *min)
{
    float lo = FLT_MAX, hi = -FLT_MAX;
    for (int j = 0; j < QK; j++) {
        if (x[j] < lo) lo = x[j];
        if (x[j] > hi) hi = x[j];
    }
    float d = (hi - lo) / (float)levels;
    float id = d != 0 ? 1.0f / d : 0.0f;
    quantize_up(x, lo, id, 0.5f, max, q);
    *min = lo;
    return d;
}

void encode_q4_1(const float *src, void *dst, int64_t n)
{
    struct block_q4_1 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        uint8_t q[QK];
        float min;
        b->d = half_store(quantize_affine(src, 15, 15, q, &min));
        b->m = half_store(min);
        for (int j = 0; j < 16; j++) b->qs[j] = (uint8_t)(q[j] | q[j + 16] << 4);
    }
}

void encode_q5_1(const float *src, void *dst, int64_t n)
{
    struct block_q5_1 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        uint8_t q[QK];
        float min;
        b->d = half_store(quantize_affine(src, 31, INT8_MAX, q, &min)); /* the reference does not clamp here */
        b->m = half_store(min);
        pack_nibbles(q, b->qs);
        pack_fifth_bits(q, b->qh);
    }
}

/* Search of one block of a row; quants biased to start at 0. */
static float search_block(const float *x, const float *weights, float sigma2, int bits, uint8_t q[QK])
{
    int half = 1 << (bits - 1);
    float w[QK];
    int8_t l[QK];
    importance(x, weights, sigma2, QK, w);
    float d = search_symmetric(QK, half, x, w, l);
    for (int j = 0; j < QK; j++) q[j] = (uint8_t)(l[j] + half);
    return d;
}

const struct affine_search search_q4_1 = {.nmax = 15, .first = -0.9f, .step = 0.05f, .n_steps = 36};
const struct affine_search search_q5_1 = {.nmax = 31, .first = -0.9f, .step = 0.05f, .n_steps = 36};

static float search_block_affine(const struct affine_search *s, const float *x, const float *weights, float sigma2,
                                 uint8_t q[QK], float *minus_min)
{
    float w[QK];
    importance(x, weights, sigma2, QK, w);
    return search_affine(s, QK, x, w, q, minus_min);
}

void encode_q4_0_block(const float *x, const float *weights, float sigma2, void *dst)
{
    struct block_q4_0 *b = dst;
    uint8_t q[QK];
    b->d = half_store(search_block(x, weights, sigma2, 4, q));
    pack_nibbles(q, b->qs);
}

void encode_q5_0_block(const float *x, const float *weights, float sigma2, void *dst)
{
    struct block_q5_0 *b = dst;
    uint8_t q[QK];
    b->d = half_store(search_block(x, weights, sigma2, 5, q));
    pack_nibbles(q, b->qs);
    pack_fifth_bits(q, b->qh);
}

void encode_q4_1_block(const float *x, const float *weights, float sigma2, void *dst)
{
    struct block_q4_1 *b = dst;
    uint8_t q[QK];
    float minus_min;
    b->d = half_store(search_block_affine(&search_q4_1, x, weights, sigma2, q, &minus_min));
    b->m = half_store(-minus_min);
    pack_nibbles(q, b->qs);
}

void encode_q5_1_block(const float *x, const float *weights, float sigma2, void *dst)
{
    struct block_q5_1 *b = dst;
    uint8_t q[QK];
    float minus_min;
    b->d = half_store(search_block_affine(&search_q5_1, x, weights, sigma2, q, &minus_min));
    b->m = half_store(-minus_min);
    pack_nibbles(q, b->qs);
    pack_fifth_bits(q, b->qh);
}

#define ENCODE_ROW(NAME)                                                                                     \
    void encode_##NAME##_weighted(const float *row, const float *weights, void *dst, int64_t n)              \
    {                                                                                                        \
        struct block_##NAME *b = dst;                                                                        \
        float sigma2 = sum_of_squares(row, n) / (float)n;                                                    \
        for (int64_t at = 0; at < n; at += QK) encode_##NAME##_block(row + at, weights + at, sigma2, b++);   \
    }

ENCODE_ROW(q4_0)
ENCODE_ROW(q4_1)
ENCODE_ROW(q5_0)
ENCODE_ROW(q5_1)
