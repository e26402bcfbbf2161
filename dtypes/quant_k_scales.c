/* From the float scales of sub-blocks to the scales of a super-block. */
#include "dtypes/quant_k.h"

const struct k_affine k_affine_q2 = {
    .len = 16,
    .scale_max = 15,
    .sigma = 1,
    .plain = {.nmax = 3, .first = -0.5f, .step = 0.1f, .n_steps = 15, .absolute = true},
    .weighted = {.nmax = 3, .first = -0.9f, .step = 0.05f, .n_steps = 36},
};
const struct k_affine k_affine_q4 = {
    .len = 32,
    .scale_max = 63,
    .cap_plain = true,
    .mean = true,
    .sigma = 2,
    .plain = {.nmax = 15, .first = -1.0f, .step = 0.1f, .n_steps = 20},
    .weighted = {.nmax = 15, .first = -0.9f, .step = 0.05f, .n_steps = 36},
};
const struct k_affine k_affine_q5 = {
    .len = 32,
    .scale_max = 63,
    .cap_plain = true,
    .cap_weighted = true,
    .mean = true,
    .sigma = 2,
    .plain = {.nmax = 31, .first = -0.5f, .step = 0.1f, .n_steps = 15},
    .weighted = {.nmax = 31, .first = -0.9f, .step = 0.05f, .n_steps = 36},
};

static void cap(int n, int limit, uint8_t *u)
{
    for (int j = 0; j < n; j++)
        if (u[j] > limit) u[j] = (uint8_t)limit;
}

/* v as multiples of their maximum / limit; returns that step. The integers of values without meaning are the low bytes of what comes out. */
static struct half by_largest(const struct k_affine *t, const float *v, uint8_t *u)
{
    int n = QK_K / t->len, limit = t->scale_max;
    float max = 0;
    for (int j = 0; j < n; j++)
        if (v[j] > max) max = v[j];
    float inverse = max > 0 ? (float)limit / max : 0.0f;
    for (int j = 0; j < n; j++) u[j] = (uint8_t)i32_nearest(inverse * v[j]);
    if (t->cap_plain) cap(n, limit, u);
    return half_store(max / (float)limit);
}

void k_affine_plain(const struct k_affine *t, const float *scales, const float *mins, struct k_affine_scales *k)
{
    k->d = by_largest(t, scales, k->s);
    k->dmin = by_largest(t, mins, k->m);
}

void k_affine_weighted(const struct k_affine *t, const float *scales, const float *mins, const float *sw,
                       struct k_affine_scales *k)
{
    int n = QK_K / t->len;
    k->d = half_store(search_positive(n, t->scale_max, scales, sw, k->s));
    k->dmin = half_store(search_positive(n, t->scale_max, mins, sw, k->m));
    if (!t->cap_weighted) return;
    cap(n, t->scale_max, k->s);
    cap(n, t->scale_max, k->m);
}

void k_pack_scales_q2(const struct k_affine_scales *k, struct block_q2_k *b, float step[16], float min[16])
{
    float d = half_load(k->d), dmin = half_load(k->dmin);
    b->d = k->d;
    b->dmin = k->dmin;
    for (int j = 0; j < 16; j++) {
        uint8_t both = (uint8_t)(k->s[j] | k->m[j] << 4);
        b->scales[j] = both;
        step[j] = d * (float)(both & 15);
        min[j] = dmin * (float)(both >> 4);
    }
}

void k_pack_scales_q4(const struct k_affine_scales *k, uint8_t sc[12], float step[8], float min[8])
{
    for (int j = 0; j < 4; j++) {
        const uint8_t *s = k->s + j, *m = k->m + j;
        sc[j] = (uint8_t)(s[0] | s[4] >> 4 << 6);
        sc[j + 4] = (uint8_t)(m[0] | m[4] >> 4 << 6);
        sc[j + 8] = (uint8_t)((s[4] & 15) | (m[4] & 15) << 4);
    }
    float d = half_load(k->d), dmin = half_load(k->dmin);
    for (int j = 0; j < 4; j++) {
        step[j] = d * (float)(sc[j] & 63);
        min[j] = dmin * (float)(sc[j + 4] & 63);
        step[j + 4] = d * (float)((sc[j + 8] & 15) | sc[j] >> 6 << 4);
        min[j + 4] = dmin * (float)(sc[j + 8] >> 4 | sc[j + 4] >> 6 << 4);
    }
}

void k_set_scales_q3(const int8_t u[16], float scale, struct block_q3_k *b, float step[16])
{
    b->d = half_store(scale);
    float d = half_load(b->d);
    memset(b->scales, 0, sizeof b->scales);
    for (int j = 0; j < 16; j++) {
        b->scales[j % 8] |= (uint8_t)((u[j] & 15) << 4 * (j / 8));
        b->scales[8 + j % 4] |= (uint8_t)(u[j] >> 4 << 2 * (j / 4));
        step[j] = d * (float)(u[j] - 32);
    }
}

void k_scales_q3(const float scales[16], struct block_q3_k *b, float step[16])
{
    int8_t u[16] = {0};
    float largest = extreme(scales, 16), d = 0;
    if (largest != 0) {
        float iscale = -32.0f / largest;
        for (int j = 0; j < 16; j++)
            u[j] = (int8_t)(i32_clamp((int8_t)i32_nearest(iscale * scales[j]), -32, 31) + 32);
        d = 1 / iscale;
    }
    k_set_scales_q3(u, d, b, step);
}

void k_scales_q3_weighted(const float scales[16], const float sw[16], struct block_q3_k *b, float step[16])
{
    int8_t u[16];
    float d = search_symmetric(16, 32, scales, sw, u);
    for (int j = 0; j < 16; j++) u[j] = (int8_t)(u[j] + 32);
    k_set_scales_q3(u, d, b, step);
}

bool k_scales_q6(const float scales[16], struct block_q6_k *b, float step[16])
{
    float largest = extreme(scales, 16); /* never NaN: a block whose sums overflow counts as zero */
    if (fabsf(largest) < 1e-15f) {
        memset(b, 0, sizeof *b);
        return false;
    }
    float iscale = -128.0f / largest;
    b->d = half_store(1 / iscale);
    float d = half_load(b->d);
    for (int j = 0; j < 16; j++) {
        int32_t v = i32_nearest(iscale * scales[j]);
        b->scales[j] = (int8_t)(v < 127 ? v : 127);
        step[j] = d * (float)b->scales[j];
    }
    return true;
}
