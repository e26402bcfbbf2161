/* Encoders of super-blocks, in plain order: these define the bytes. */
#include "dtypes/quant_k.h"

/* x with the scale as stored. */
static void requantize_affine(int n, int nmax, const float *x, float step, float min, uint8_t *q)
{
    if (step == 0) return;
    for (int i = 0; i < n; i++) q[i] = (uint8_t)i32_clamp(i32_nearest((x[i] + min) / step), 0, nmax);
}

static void requantize_symmetric(int nmax, const float x[16], float step, int8_t q[16])
{
    if (step == 0) return;
    for (int i = 0; i < 16; i++) q[i] = (int8_t)i32_clamp(i32_nearest(x[i] / step), -nmax, nmax - 1);
}

static void weigh_plain(const struct k_affine *t, const float *x, float *w)
{
    float mean = t->mean ? sqrtf(sum_of_squares(x, t->len) / (float)t->len) : 0.0f;
    for (int i = 0; i < t->len; i++) w[i] = mean + fabsf(x[i]);
}

static float sum_of(int n, const float *w)
{
    float sum = 0;
    for (int i = 0; i < n; i++) sum += w[i];
    return sum;
}

/* The first two steps: quants of the search, and scales. weights may be NULL. */
static void search_block(const struct k_affine *t, const float *x, const float *weights, uint8_t q[QK_K],
                         struct k_affine_scales *k)
{
    float scales[16], mins[16], sw[16], w[32];
    float sigma2 = weights ? t->sigma * sum_of_squares(x, QK_K) / QK_K : 0.0f;
    const struct affine_search *grid = weights ? &t->weighted : &t->plain;
    for (int j = 0; j < QK_K / t->len; j++) {
        int at = j * t->len;
        if (weights)
            importance(x + at, weights + at, sigma2, t->len, w);
        else
            weigh_plain(t, x + at, w);
        sw[j] = sum_of(t->len, w);
        scales[j] = search_affine(grid, t->len, x + at, w, q + at, &mins[j]);
    }
    if (weights)
        k_affine_weighted(t, scales, mins, sw, k);
    else
        k_affine_plain(t, scales, mins, k);
}

/* Importance of the block at element `at`. */
static const float *at_or_null(const float *weights, int64_t at)
{
    return weights ? weights + at : NULL;
}

void encode_q2_k_weighted(const float *row, const float *weights, void *dst, int64_t n)
{
    struct block_q2_k *b = dst;
    for (int64_t at = 0; at < n; at += QK_K, b++) {
        uint8_t q[QK_K];
        float step[16], min[16];
        struct k_affine_scales k;
        search_block(&k_affine_q2, row + at, at_or_null(weights, at), q, &k);
        k_pack_scales_q2(&k, b, step, min);
        for (int j = 0; j < 16; j++) requantize_affine(16, 3, row + at + 16 * j, step[j], min[j], q + 16 * j);
        k_pack_q2(q, b->qs);
    }
}

/* What Q4_K and Q5_K have in common: all but the bits of the quants. */
static void encode_k4(const struct k_affine *t, const float *x, const float *weights, struct half *d,
                      struct half *dmin, uint8_t sc[12], uint8_t q[QK_K])
{
    float step[8], min[8];
    struct k_affine_scales k;
    search_block(t, x, weights, q, &k);
    *d = k.d;
    *dmin = k.dmin;
    k_pack_scales_q4(&k, sc, step, min);
    for (int j = 0; j < 8; j++) requantize_affine(32, t->plain.nmax, x + 32 * j, step[j], min[j], q + 32 * j);
}

void encode_q4_k_weighted(const float *row, const float *weights, void *dst, int64_t n)
{
    struct block_q4_k *b = dst;
    for (int64_t at = 0; at < n; at += QK_K, b++) {
        uint8_t q[QK_K];
        encode_k4(&k_affine_q4, row + at, at_or_null(weights, at), &b->d, &b->dmin, b->scales, q);
        k_pack_q4(q, b->qs);
    }
}

void encode_q5_k_weighted(const float *row, const float *weights, void *dst, int64_t n)
{
    struct block_q5_k *b = dst;
    for (int64_t at = 0; at < n; at += QK_K, b++) {
        uint8_t q[QK_K];
        encode_k4(&k_affine_q5, row + at, at_or_null(weights, at), &b->d, &b->dmin, b->scales, q);
        k_pack_q5(q, b);
    }
}

/* Quants biased to 0..2 * nmax - 1 */
static void bias(int nmax, const int8_t q[QK_K], uint8_t u[QK_K])
{
    for (int i = 0; i < QK_K; i++) u[i] = (uint8_t)(q[i] + nmax);
}

static void search_q3_k(const float *x, struct block_q3_k *b, float step[16], int8_t q[QK_K])
{
    float scales[16];
    for (int j = 0; j < 16; j++) scales[j] = search_descent(16, 4, x + 16 * j, q + 16 * j);
    k_scales_q3(scales, b, step);
}

static void search_q3_k_weighted(const float *x, const float *weights, struct block_q3_k *b, float step[16],
                                 int8_t q[QK_K])
{
    float scales[16], sw[16], w[16];
    float sigma2 = 2 * sum_of_squares(x, QK_K) / QK_K;
    for (int j = 0; j < 16; j++) {
        importance(x + 16 * j, weights + 16 * j, sigma2, 16, w);
        sw[j] = sum_of(16, w);
        scales[j] = search_symmetric(16, 4, x + 16 * j, w, q + 16 * j);
    }
    k_scales_q3_weighted(scales, sw, b, step);
}

void encode_q3_k_weighted(const float *row, const float *weights, void *dst, int64_t n)
{
    struct block_q3_k *b = dst;
    for (int64_t at = 0; at < n; at += QK_K, b++) {
        int8_t q[QK_K];
        uint8_t u[QK_K];
        float step[16];
        if (weights)
            search_q3_k_weighted(row + at, weights + at, b, step, q);
        else
            search_q3_k(row + at, b, step, q);
        for (int j = 0; j < 16; j++) requantize_symmetric(4, row + at + 16 * j, step[j], q + 16 * j);
        bias(4, q, u);
        k_pack_q3(u, b);
    }
}

void encode_q6_k_weighted(const float *row, const float *weights, void *dst, int64_t n)
{
    struct block_q6_k *b = dst;
    for (int64_t at = 0; at < n; at += QK_K, b++) {
        int8_t q[QK_K];
        uint8_t u[QK_K];
        float scales[16], step[16];
        for (int j = 0; j < 16; j++) {
            const float *x = row + at + 16 * j;
            float w[16];
            for (int i = 0; i < 16; i++) w[i] = weights ? weights[at + 16 * j + i] : x[i] * x[i];
            scales[j] = search_symmetric(16, 32, x, w, q + 16 * j);
        }
        if (!k_scales_q6(scales, b, step)) continue;
        for (int j = 0; j < 16; j++) requantize_symmetric(32, row + at + 16 * j, step[j], q + 16 * j);
        bias(32, q, u);
        k_pack_q6(u, b);
    }
}

void encode_q2_k(const float *src, void *dst, int64_t n)
{
    encode_q2_k_weighted(src, NULL, dst, n);
}
void encode_q3_k(const float *src, void *dst, int64_t n)
{
    encode_q3_k_weighted(src, NULL, dst, n);
}
void encode_q4_k(const float *src, void *dst, int64_t n)
{
    encode_q4_k_weighted(src, NULL, dst, n);
}
void encode_q5_k(const float *src, void *dst, int64_t n)
{
    encode_q5_k_weighted(src, NULL, dst, n);
}
void encode_q6_k(const float *src, void *dst, int64_t n)
{
    encode_q6_k_weighted(src, NULL, dst, n);
}
