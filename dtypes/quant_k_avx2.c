/* Encoders of super-blocks for AVX2: a lane works on a sub-block, so that the order of operations inside each sub-block, and with it every bit, is
 * that of quant_k.c. Blocks with NaN or infinity go there. */
#if defined(__AVX2__)
#include "dtypes/quant_k.h"

#include <immintrin.h>

/* Element i of eight sub-blocks of 16 in x[i], with its weight x * x and weight * x. */
struct lanes {
    __m256 x[16], w[16], wx[16];
};

/* The best candidate so far in each lane. */
struct best {
    __m256 scale, gain, iscale;
};

static bool all_finite(const float *x, int n)
{
    __m256i max = _mm256_setzero_si256();
    for (int i = 0; i < n; i += 8) {
        __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        max = _mm256_max_epi32(max, _mm256_and_si256(w, _mm256_set1_epi32(0x7FFFFFFF)));
    }
    return !_mm256_movemask_epi8(_mm256_cmpgt_epi32(max, _mm256_set1_epi32(0x7F7FFFFF)));
}

/* dst[j] lane i = src[16 * i + j], for j and i below 8 */
static void transpose8(const float *src, __m256 dst[8])
{
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(src + 16 * i);
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; i++) {
        dst[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        dst[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
}

/* Fills the lanes from 128 elements. Returns each lane's element of largest magnitude (the first of equals), 1 where nothing reaches scale_eps;
 * *active marks the other lanes. */
static inline __m256 load_lanes(struct lanes *p, const float *src, __m256 *active)
{
    transpose8(src, p->x);
    transpose8(src + 8, p->x + 8);
    __m256 amax = _mm256_setzero_ps(), extreme = _mm256_setzero_ps();
    for (int i = 0; i < 16; i++) {
        __m256 a = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), p->x[i]);
        extreme = _mm256_blendv_ps(extreme, p->x[i], _mm256_cmp_ps(a, amax, _CMP_GT_OQ));
        amax = _mm256_max_ps(amax, a);
        p->w[i] = _mm256_mul_ps(p->x[i], p->x[i]);
        p->wx[i] = _mm256_mul_ps(p->w[i], p->x[i]);
    }
    *active = _mm256_cmp_ps(amax, _mm256_set1_ps(1e-15f), _CMP_GE_OQ);
    return _mm256_blendv_ps(_mm256_set1_ps(1.0f), extreme, *active);
}

/* Sums of a candidate. |iscale * x| is at most 33 here, where rounding to even is what i32_nearest does. */
static inline void fit(const struct lanes *p, __m256 iscale, __m256 *sum_x, __m256 *sum_2)
{
    const __m256 lo = _mm256_set1_ps(-32.0f), hi = _mm256_set1_ps(31.0f);
    __m256 sx = _mm256_setzero_ps(), s2 = _mm256_setzero_ps();
    for (int i = 0; i < 16; i++) {
        __m256 l =
            _mm256_round_ps(_mm256_mul_ps(iscale, p->x[i]), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        l = _mm256_min_ps(_mm256_max_ps(l, lo), hi);
        sx = _mm256_add_ps(sx, _mm256_mul_ps(p->wx[i], l));
        s2 = _mm256_add_ps(s2, _mm256_mul_ps(_mm256_mul_ps(p->w[i], l), l));
    }
    *sum_x = sx;
    *sum_2 = s2;
}

static inline void take_first(struct best *b, __m256 iscale, __m256 sx, __m256 s2)
{
    __m256 nonzero = _mm256_cmp_ps(s2, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    b->scale = _mm256_and_ps(_mm256_div_ps(sx, s2), nonzero);
    b->gain = _mm256_mul_ps(b->scale, sx);
    b->iscale = iscale;
}

static inline void take_better(struct best *b, __m256 iscale, __m256 sx, __m256 s2)
{
    __m256 positive = _mm256_cmp_ps(s2, _mm256_setzero_ps(), _CMP_GT_OQ);
    __m256 better = _mm256_cmp_ps(_mm256_mul_ps(sx, sx), _mm256_mul_ps(b->gain, s2), _CMP_GT_OQ);
    better = _mm256_and_ps(better, positive);
    __m256 scale = _mm256_div_ps(sx, s2);
    b->scale = _mm256_blendv_ps(b->scale, scale, better);
    b->gain = _mm256_blendv_ps(b->gain, _mm256_mul_ps(scale, sx), better);
    b->iscale = _mm256_blendv_ps(b->iscale, iscale, better);
}

/* The search of quant_k.c for the 16 sub-blocks of a block: scales, and the candidate of each that won. Two vectors in flight hide latencies. */
static void search_block(const float *src, float scales[16], float iscales[16])
{
    struct lanes p[2];
    struct best best[2];
    __m256 extreme[2], active[2], sx[2], s2[2];
    for (int h = 0; h < 2; h++) extreme[h] = load_lanes(&p[h], src + 128 * h, &active[h]);
    for (int is = -10; is <= 9; is++) {
        if (is == 0) continue;
        bool first = is == -10; /* candidate 0 comes before all others */
        __m256 numerator = _mm256_set1_ps(first ? -32.0f : -(32.0f + 0.1f * (float)is));
        for (int h = 0; h < 2; h++) {
            __m256 iscale = _mm256_div_ps(numerator, extreme[h]);
            fit(&p[h], iscale, &sx[h], &s2[h]);
            if (first)
                take_first(&best[h], iscale, sx[h], s2[h]);
            else
                take_better(&best[h], iscale, sx[h], s2[h]);
        }
    }
    for (int h = 0; h < 2; h++) {
        _mm256_storeu_ps(scales + 8 * h, _mm256_and_ps(best[h].scale, active[h]));
        _mm256_storeu_ps(iscales + 8 * h, _mm256_and_ps(best[h].iscale, active[h]));
    }
}

/* i32_nearest, everywhere */
static __m256i nearest(__m256 v)
{
    __m256i w = _mm256_castps_si256(_mm256_add_ps(v, _mm256_set1_ps(12582912.0f)));
    return _mm256_sub_epi32(_mm256_and_si256(w, _mm256_set1_epi32(0x7FFFFF)), _mm256_set1_epi32(0x400000));
}

/* Quants of a sub-block, biased by 32. */
static void quantize16(const float *x, float step, float iscale, uint8_t u[16])
{
    __m256 a = _mm256_loadu_ps(x), b = _mm256_loadu_ps(x + 8);
    if (step != 0) {
        a = _mm256_div_ps(a, _mm256_set1_ps(step));
        b = _mm256_div_ps(b, _mm256_set1_ps(step));
    } else { /* the winning candidate's own quants; no candidate: -32 */
        a = iscale != 0 ? _mm256_mul_ps(_mm256_set1_ps(iscale), a) : _mm256_set1_ps(-32.0f);
        b = iscale != 0 ? _mm256_mul_ps(_mm256_set1_ps(iscale), b) : _mm256_set1_ps(-32.0f);
    }
    __m256i lo = _mm256_set1_epi32(-32), hi = _mm256_set1_epi32(31);
    __m256i qa = _mm256_min_epi32(_mm256_max_epi32(nearest(a), lo), hi);
    __m256i qb = _mm256_min_epi32(_mm256_max_epi32(nearest(b), lo), hi);
    __m256i q = _mm256_permute4x64_epi64(_mm256_packs_epi32(qa, qb), 0xD8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storeu_si128((__m128i *)(void *)u, _mm_add_epi8(bytes, _mm_set1_epi8(32)));
}

static __m256i load32(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
static void store32(uint8_t *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, v);
}

/* low nibbles of a with those of b above them */
static __m256i join_nibbles(__m256i a, __m256i b)
{
    const __m256i low = _mm256_set1_epi8(15);
    return _mm256_or_si256(_mm256_and_si256(a, low), _mm256_slli_epi16(_mm256_and_si256(b, low), 4));
}

/* Bits 4 and 5 of each byte; the values are below 64, so nothing comes over from the neighbouring byte. */
static __m256i high_pair(__m256i u)
{
    return _mm256_and_si256(_mm256_srli_epi16(u, 4), _mm256_set1_epi8(3));
}

static void pack(const uint8_t u[QK_K], struct block_q6_k *b)
{
    for (int c = 0; c < 2; c++, u += 128) {
        __m256i u0 = load32(u), u1 = load32(u + 32), u2 = load32(u + 64), u3 = load32(u + 96);
        store32(b->ql + 64 * c, join_nibbles(u0, u2));
        store32(b->ql + 64 * c + 32, join_nibbles(u1, u3));
        __m256i low = _mm256_or_si256(high_pair(u0), _mm256_slli_epi16(high_pair(u1), 2));
        __m256i high =
            _mm256_or_si256(_mm256_slli_epi16(high_pair(u2), 4), _mm256_slli_epi16(high_pair(u3), 6));
        store32(b->qh + 32 * c, _mm256_or_si256(low, high));
    }
}

void encode_q6_k_avx2(const float *src, void *dst, int64_t n)
{
    struct block_q6_k *b = dst;
    for (; n > 0; n -= QK_K, b++, src += QK_K) {
        float scales[16], iscales[16], steps[16];
        uint8_t u[QK_K];
        if (!all_finite(src, QK_K)) {
            encode_q6_k(src, b, QK_K);
            continue;
        }
        search_block(src, scales, iscales);
        if (!k_scales_q6(scales, b, steps)) continue;
        for (int s = 0; s < 16; s++) quantize16(src + 16 * s, steps[s], iscales[s], u + 16 * s);
        pack(u, b);
    }
}
#else
typedef int quant_k_avx2_is_empty; /* a file may not be empty */
#endif
