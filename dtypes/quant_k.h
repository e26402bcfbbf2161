/* What the encoders of super-blocks share, whatever the instruction set: parameters of the searches, integer scales, order of the bits.
 *
 * A super-block is encoded in three steps: a search per sub-block gives float scales (and minima) and quants; these scales become small
 * integers under a half; the quants are taken anew with the scales as stored, save where such a scale is zero: there those of the search stay.
 */
#ifndef LATHE_QUANT_K_H
#define LATHE_QUANT_K_H

#include "dtypes/codec.h"

/* Types with a minimum: value = d * s * q - dmin * m. */
struct k_affine {
    int len;       /* elements of a sub-block; QK_K / len of them */
    int scale_max; /* of s and m */
    bool cap_plain, cap_weighted; /* whether s and m are cut to scale_max, which only values without meaning exceed */
    bool mean;     /* without importance weights w = sqrt(mean of x^2) + |x|, else |x| */
    float sigma;   /* with them w = importance * sqrt(sigma * sum over the super-block of x^2 / 256 + x^2) */
    struct affine_search plain, weighted;
};
extern const struct k_affine k_affine_q2, k_affine_q4, k_affine_q5;

/* Integer scales and minima of a super-block, and the halves they count in. Where values without meaning went in, s and m may hold any byte. */
struct k_affine_scales {
    struct half d, dmin;
    uint8_t s[16], m[16];
};

/* From the float scales and minima of the search, by the largest of each; with importance weights (sw: sum of w of each sub-block) by
 * search_positive. */
void k_affine_plain(const struct k_affine *t, const float *scales, const float *mins, struct k_affine_scales *k);
void k_affine_weighted(const struct k_affine *t, const float *scales, const float *mins, const float *sw,
                       struct k_affine_scales *k);

/* To the bytes of a block, and back: the steps (d * s, dmin * m) that a reader will see. */
void k_pack_scales_q2(const struct k_affine_scales *k, struct block_q2_k *b, float step[16], float min[16]);
void k_pack_scales_q4(const struct k_affine_scales *k, uint8_t sc[12], float step[8], float min[8]);

/* Types without: value = d * s * q. The scale of largest magnitude is that of the block. */
void k_scales_q3(const float scales[16], struct block_q3_k *b, float step[16]);
void k_scales_q3_weighted(const float scales[16], const float sw[16], struct block_q3_k *b, float step[16]);
void k_set_scales_q3(const int8_t u[16], float d, struct block_q3_k *b, float step[16]); /* u: biased by 32 */
/* false: all count as zero and *b is complete */
bool k_scales_q6(const float scales[16], struct block_q6_k *b, float step[16]);

/* Quants of a super-block, not negative, to the bytes of the block; order of the elements: see decode_k.c. */
static inline void k_pack_q2(const uint8_t q[QK_K], uint8_t qs[64])
{
    for (int c = 0; c < 2; c++, q += 128, qs += 32)
        for (int l = 0; l < 32; l++)
            qs[l] = (uint8_t)((q[l] & 3) | (q[l + 32] & 3) << 2 | (q[l + 64] & 3) << 4 | (q[l + 96] & 3) << 6);
}

static inline void k_pack_q3(const uint8_t q[QK_K], struct block_q3_k *b)
{
    k_pack_q2(q, b->qs);
    for (int l = 0; l < 32; l++) {
        int bits = 0;
        for (int k = 0; k < 8; k++) bits |= (q[l + 32 * k] >> 2 & 1) << k;
        b->hmask[l] = (uint8_t)bits;
    }
}

static inline void k_pack_q4(const uint8_t q[QK_K], uint8_t qs[128])
{
    for (int c = 0; c < 4; c++, q += 64, qs += 32)
        for (int l = 0; l < 32; l++) qs[l] = (uint8_t)((q[l] & 15) | (q[l + 32] & 15) << 4);
}

static inline void k_pack_q5(const uint8_t q[QK_K], struct block_q5_k *b)
{
    k_pack_q4(q, b->qs);
    for (int l = 0; l < 32; l++) {
        int bits = 0;
        for (int k = 0; k < 8; k++) bits |= (q[l + 32 * k] >> 4 & 1) << k;
        b->qh[l] = (uint8_t)bits;
    }
}

static inline void k_pack_q6(const uint8_t q[QK_K], struct block_q6_k *b)
{
    for (int c = 0; c < 2; c++, q += 128) {
        uint8_t *ql = b->ql + 64 * c, *qh = b->qh + 32 * c;
        for (int l = 0; l < 32; l++) {
            ql[l] = (uint8_t)((q[l] & 15) | (q[l + 64] & 15) << 4);
            ql[l + 32] = (uint8_t)((q[l + 32] & 15) | (q[l + 96] & 15) << 4);
            qh[l] = (uint8_t)(q[l] >> 4 | q[l + 32] >> 4 << 2 | q[l + 64] >> 4 << 4 | q[l + 96] >> 4 << 6);
        }
    }
}

#endif
