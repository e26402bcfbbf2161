/* Kernels for AVX2 with F16C. Each gives the bits of the table's own function; what a vector cannot do exactly that way (NaN, values at the ends
 * of the range) goes to that function block by block. */
#if defined(__AVX2__) && defined(__F16C__)
#include "base/cpu.h"
#include "dtypes/codec.h"

#include <float.h>
#include <immintrin.h>

static void decode_f16_avx2(const void *src, float *dst, int64_t n)
{
    const unsigned char *p = src;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i,
                         _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p + 2 * i))));
    decode_f16(p + 2 * i, dst + i, n - i);
}

static void encode_f16_avx2(const float *src, void *dst, int64_t n)
{
    unsigned char *p = dst;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 x = _mm256_loadu_ps(src + i);
        if (_mm256_movemask_ps(
                _mm256_cmp_ps(x, x, _CMP_UNORD_Q))) /* the instruction would keep the NaN's payload */
            encode_f16(src + i, p + 2 * i, 8);
        else
            _mm_storeu_si128((__m128i *)(void *)(p + 2 * i), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    }
    encode_f16(src + i, p + 2 * i, n - i);
}

static void decode_bf16_avx2(const void *src, float *dst, int64_t n)
{
    const unsigned char *p = src;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i h = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p + 2 * i)));
        _mm256_storeu_ps(dst + i, _mm256_castsi256_ps(_mm256_slli_epi32(h, 16)));
    }
    decode_bf16(p + 2 * i, dst + i, n - i);
}

static void encode_bf16_avx2(const float *src, void *dst, int64_t n)
{
    unsigned char *p = dst;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 x = _mm256_loadu_ps(src + i);
        __m256i w = _mm256_castps_si256(x), high = _mm256_srli_epi32(w, 16);
        __m256i even =
            _mm256_add_epi32(_mm256_and_si256(high, _mm256_set1_epi32(1)), _mm256_set1_epi32(0x7FFF));
        __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(w, even), 16);
        __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
        __m256i h =
            _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
        h = _mm256_permute4x64_epi64(_mm256_packus_epi32(h, h), 0x08);
        _mm_storeu_si128((__m128i *)(void *)(p + 2 * i), _mm256_castsi256_si128(h));
    }
    encode_bf16(src + i, p + 2 * i, n - i);
}

static __m256 abs_ps(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

static float max_of(__m256 a)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_movehdup_ps(m));
    return _mm_cvtss_f32(m);
}

/* Loads a block of 32 and its largest magnitude. false: the block holds NaN or infinity, or is so small that scales or their inverses leave the
 * range of normal floats; then nothing else is said. */
static bool load_block(const float *src, __m256 x[4], float *amax)
{
    __m256 max = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
    for (int k = 0; k < 4; k++) {
        x[k] = _mm256_loadu_ps(src + 8 * k);
        max = _mm256_max_ps(max, abs_ps(x[k]));
        odd = _mm256_or_ps(odd, _mm256_cmp_ps(x[k], x[k], _CMP_UNORD_Q));
    }
    *amax = max_of(max);
    return !_mm256_movemask_ps(odd) && *amax >= 1e-30f && *amax <= FLT_MAX;
}

/* Four times eight int32 in int8 range to 32 bytes, in order. */
static __m256i pack_bytes(const __m256i q[4])
{
    __m256i a = _mm256_packs_epi32(q[0], q[1]), b = _mm256_packs_epi32(q[2], q[3]);
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Half away from zero, for |y| < 2^22: adding the float below 0.5 reaches the next integer exactly from .5 on (0.5 itself would
 * lift 0.49999997 to 1). */
static __m256i round_away(__m256 y)
{
    __m256 half = _mm256_or_ps(_mm256_and_ps(y, _mm256_set1_ps(-0.0f)), _mm256_set1_ps(0x1.FFFFFEp-2f));
    return _mm256_cvttps_epi32(_mm256_add_ps(y, half));
}

static void encode_q8_0_avx2(const float *src, void *dst, int64_t n)
{
    struct block_q8_0 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        __m256 x[4];
        float amax;
        if (!load_block(src, x, &amax)) {
            encode_q8_0(src, b, QK);
            continue;
        }
        float d = amax / 127;
        __m256 id = _mm256_set1_ps(1.0f / d);
        __m256i q[4];
        for (int k = 0; k < 4; k++) q[k] = round_away(_mm256_mul_ps(x[k], id));
        b->d = half_store(d);
        _mm256_storeu_si256((__m256i *)(void *)b->qs, pack_bytes(q));
    }
}

/* Index of the first element of magnitude amax. */
static int first_of(const __m256 x[4], float amax)
{
    unsigned mask = 0;
    for (int k = 0; k < 4; k++) {
        __m256 hit = _mm256_cmp_ps(abs_ps(x[k]), _mm256_set1_ps(amax), _CMP_EQ_OQ);
        mask |= (unsigned)_mm256_movemask_ps(hit) << 8 * k;
    }
    return __builtin_ctz(mask);
}

static void encode_q4_0_avx2(const float *src, void *dst, int64_t n)
{
    struct block_q4_0 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        __m256 x[4];
        float amax;
        if (!load_block(src, x, &amax)) {
            encode_q4_0(src, b, QK);
            continue;
        }
        float d = src[first_of(x, amax)] / -8;
        __m256 id = _mm256_set1_ps(1.0f / d);
        __m256i q[4];
        for (int k = 0; k < 4; k++) {
            __m256 y = _mm256_add_ps(_mm256_mul_ps(x[k], id), _mm256_set1_ps(8.5f));
            q[k] = _mm256_min_epi32(_mm256_cvttps_epi32(y), _mm256_set1_epi32(15));
        }
        __m256i bytes = pack_bytes(q);
        __m128i hi =
            _mm_slli_epi16(_mm256_extracti128_si256(bytes, 1), 4); /* at most 15: nothing crosses a byte */
        b->d = half_store(d);
        _mm_storeu_si128((__m128i *)(void *)b->qs, _mm_or_si128(_mm256_castsi256_si128(bytes), hi));
    }
}

const struct kernels kernels_avx2 = {
    .name = "avx2",
    .supported = cpu_has_avx2,
    .decode_f32 = {[DTYPE_F16] = decode_f16_avx2, [DTYPE_BF16] = decode_bf16_avx2, DECODE_BLOCKS(avx2)},
    .encode_f32 = {[DTYPE_F16] = encode_f16_avx2,
                   [DTYPE_BF16] = encode_bf16_avx2,
                   [DTYPE_Q8_0] = encode_q8_0_avx2,
                   [DTYPE_Q4_0] = encode_q4_0_avx2,
                   ENCODE_K(avx2), ENCODE_32(avx2), ENCODE_IQ(avx2)},
    .encode_row_weighted = {ENCODE_K_WEIGHTED(avx2), ENCODE_32_WEIGHTED(avx2), ENCODE_IQ_WEIGHTED(avx2)},
};
#else
typedef int kernels_avx2_is_empty; /* a file may not be empty */
#endif
