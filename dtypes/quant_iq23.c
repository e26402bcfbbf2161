/* Encoders of IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S: the shared search, then the fields of each. */
#include "dtypes/quant_iq.h"

static const struct iq_search search_iq2_xxs = {
    .codebook = CODEBOOK_IQ2_XXS, .n = 32, .sigma = 1, .eps = 1e-15f, .even_signs = true, .positive = true,
    .n_steps = 6, .step = 0.1f, .refit_all = true, .refit_always = true,
};
static const struct iq_search search_iq2_xs = {
    .codebook = CODEBOOK_IQ2_XS, .n = 16, .sigma = 1, .eps = 1e-15f, .even_signs = true, .n_steps = 9, .step = 0.1f,
};
static const struct iq_search search_iq2_s = {
    .codebook = CODEBOOK_IQ2_S, .n = 16, .sigma = 2, .base = 0.25f, .eps = 1e-8f, .n_steps = 9, .step = 0.1f,
};
static const struct iq_search search_iq3_xxs = {
    .codebook = CODEBOOK_IQ3_XXS, .n = 32, .sigma = 2, .eps = 1e-8f, .even_signs = true, .n_steps = 15, .step = 0.2f,
};
static const struct iq_search search_iq3_s = {
    .codebook = CODEBOOK_IQ3_S, .n = 32, .sigma = 2, .eps = 0x1p-149f /* only zeros count as zero */, .n_steps = 9,
    .step = 0.2f, .refit_all = true,
};

static void store32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

/* Seven sign bits for each of four vectors, and the scale above them. */
static uint32_t signs_and_scale(const uint8_t *signs, unsigned scale)
{
    uint32_t v = scale << 28;
    for (int k = 0; k < 4; k++) v |= (signs[k] & 127u) << 7 * k;
    return v;
}

/* Nibbles of the scales, the even ones low. */
static void store_scales(const struct iq_result *r, int n, uint8_t *nibbles)
{
    float id = 1 / (r->max_scale / 31);
    for (int s = 0; s < n; s += 2)
        nibbles[s / 2] = (uint8_t)(iq_digit(r->scales[s], id, 15) | iq_digit(r->scales[s + 1], id, 15) << 4);
}

static void encode_iq2_xxs_block(const struct iq_kernel *kernel, const float *x, const float *weights, struct block_iq2_xxs *b)
{
    struct iq_result r;
    memset(b, 0, sizeof *b);
    iq_search_block(kernel, &search_iq2_xxs, x, weights, &r);
    if (!(r.max_scale > 0)) return;
    float d = r.max_scale / 31, id = 1 / d;
    b->d = half_store(d);
    for (int s = 0; s < 8; s++) {
        for (int k = 0; k < 4; k++) b->qs[8 * s + k] = (uint8_t)r.points[4 * s + k];
        store32(b->qs + 8 * s + 4, signs_and_scale(r.signs + 4 * s, iq_digit(r.scales[s], id, 15)));
    }
}

static void encode_iq2_xs_block(const struct iq_kernel *kernel, const float *x, const float *weights, struct block_iq2_xs *b)
{
    struct iq_result r;
    memset(b, 0, sizeof *b);
    iq_search_block(kernel, &search_iq2_xs, x, weights, &r);
    if (!(r.max_scale > 0)) return;
    b->d = half_store(r.max_scale / 31);
    store_scales(&r, 16, b->scales);
    for (int k = 0; k < 32; k++) {
        unsigned v = r.points[k] | (r.signs[k] & 127u) << 9;
        b->qs[2 * k] = (uint8_t)v;
        b->qs[2 * k + 1] = (uint8_t)(v >> 8);
    }
}

static void encode_iq2_s_block(const struct iq_kernel *kernel, const float *x, const float *weights, struct block_iq2_s *b)
{
    struct iq_result r;
    memset(b, 0, sizeof *b);
    iq_search_block(kernel, &search_iq2_s, x, weights, &r);
    for (int k = 0; k < 32; k++) {
        b->qs[k] = (uint8_t)r.points[k];
        b->qh[k / 4] |= (uint8_t)(r.points[k] >> 8 << 2 * (k % 4));
        b->signs[k] = r.signs[k];
    }
    if (!(r.max_scale > 0)) return;
    b->d = half_store(r.max_scale / 31 * 0.9875f); /* such factors are the reference's, found by trial */
    store_scales(&r, 16, b->scales);
}

static void encode_iq3_xxs_block(const struct iq_kernel *kernel, const float *x, const float *weights, struct block_iq3_xxs *b)
{
    struct iq_result r;
    memset(b, 0, sizeof *b);
    iq_search_block(kernel, &search_iq3_xxs, x, weights, &r);
    if (!(r.max_scale > 0)) return;
    float d = r.max_scale / 31, id = 1 / d;
    b->d = half_store(d * 1.0125f);
    for (int k = 0; k < 64; k++) b->qs[k] = (uint8_t)r.points[k];
    for (int s = 0; s < 8; s++)
        store32(b->qs + 64 + 4 * s, signs_and_scale(r.signs + 4 * s, iq_digit(r.scales[s], id, 15)));
}

/* The reference forgets to leave room for a sub-block of zeros: low index bits and signs of those after it move up, their high bits, scales and
 * the readers do not. The bytes are what counts here, so it is done likewise; docs/pitfalls.md says what comes of it. */
static void encode_iq3_s_block(const struct iq_kernel *kernel, const float *x, const float *weights, struct block_iq3_s *b)
{
    struct iq_result r;
    memset(b, 0, sizeof *b);
    iq_search_block(kernel, &search_iq3_s, x, weights, &r);
    for (int s = 0, at = 0; s < 8; s++) {
        if (r.zero[s]) continue;
        for (int k = 0; k < 8; k++) {
            b->qs[8 * at + k] = (uint8_t)r.points[8 * s + k];
            b->qh[s] |= (uint8_t)(r.points[8 * s + k] >> 8 << k);
        }
        memcpy(b->signs + 4 * at++, r.signs + 4 * s, 4);
    }
    if (!(r.max_scale > 0)) return;
    b->d = half_store(r.max_scale / 31 * 1.033f);
    store_scales(&r, 8, b->scales);
}

#define ENCODE_WEIGHTED(NAME, SUFFIX, KERNEL)                                                                \
    void encode_##NAME##_weighted##SUFFIX(const float *row, const float *weights, void *dst, int64_t n)      \
    {                                                                                                        \
        struct block_##NAME *b = dst;                                                                        \
        for (int64_t at = 0; at < n; at += QK_K, b++)                                                        \
            encode_##NAME##_block(&KERNEL, row + at, weights ? weights + at : NULL, b);                      \
    }
#define ENCODE(NAME, SUFFIX, KERNEL)                                                                         \
    ENCODE_WEIGHTED(NAME, SUFFIX, KERNEL)                                                                    \
    void encode_##NAME##SUFFIX(const float *src, void *dst, int64_t n)                                       \
    {                                                                                                        \
        encode_##NAME##_weighted##SUFFIX(src, NULL, dst, n);                                                 \
    }
#define ENCODE_ALL(SUFFIX, KERNEL)                                                                           \
    ENCODE_WEIGHTED(iq2_xxs, SUFFIX, KERNEL)                                                                 \
    ENCODE_WEIGHTED(iq2_xs, SUFFIX, KERNEL)                                                                  \
    ENCODE(iq2_s, SUFFIX, KERNEL)                                                                            \
    ENCODE(iq3_xxs, SUFFIX, KERNEL)                                                                          \
    ENCODE(iq3_s, SUFFIX, KERNEL)

ENCODE_ALL(, iq_kernel_ref)
#if defined(__x86_64__)
ENCODE_ALL(_avx2, iq_kernel_avx2)
ENCODE_ALL(_avx512, iq_kernel_avx512)
#endif
