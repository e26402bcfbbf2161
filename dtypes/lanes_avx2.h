/* Vectors of lanes for AVX2; what each file of this name offers is in lanes_portable.h. */
#ifndef LATHE_LANES_H
#define LATHE_LANES_H

#include "dtypes/lanes_x86.h"

#include <stdbool.h>

enum { LANES = 8 };
typedef __m256 vf;
typedef __m256 vm;
typedef __m256i vi;

static inline vf v_set(float v)
{
    return _mm256_set1_ps(v);
}
static inline vf v_load_bytes(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
static inline vf v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void v_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}
static inline void v_halve_16(const vf v[2], void *four)
{
    vf h = v[0] + v[1];
    _mm_storeu_ps(four, _mm256_castps256_ps128(h) + _mm256_extractf128_ps(h, 1));
}
static inline vf v_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
static inline vf v_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
static inline vf v_abs(vf v)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}
static inline vf v_most_abs(vf most, vf v)
{
    return _mm256_max_ps(v_abs(v), most);
}
static inline float v_most(vf v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
static inline vf v_multiply_subtract(vf a, vf b, vf c)
{
    return _mm256_fmsub_ps(a, b, c);
}
static inline vf v_sqrt(vf v)
{
    return _mm256_sqrt_ps(v);
}
static inline vf v_round(vf v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf v_trunc(vf v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
}
static inline vf v_nearest(vf v)
{
    __m256i w = _mm256_castps_si256(_mm256_add_ps(v, _mm256_set1_ps(12582912.0f)));
    w = _mm256_sub_epi32(_mm256_and_si256(w, _mm256_set1_epi32(0x7FFFFF)), _mm256_set1_epi32(0x400000));
    return _mm256_cvtepi32_ps(w);
}
static inline vm v_less(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vm v_equal(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
static inline vf v_select(vm m, vf yes, vf no)
{
    return _mm256_blendv_ps(no, yes, m);
}
static inline vm m_none(void)
{
    return _mm256_setzero_ps();
}
static inline vm m_and(vm a, vm b)
{
    return _mm256_and_ps(a, b);
}
static inline vm m_or(vm a, vm b)
{
    return _mm256_or_ps(a, b);
}
static inline vm m_and_not(vm a, vm b)
{
    return _mm256_andnot_ps(b, a);
}
static inline unsigned m_bits(vm m)
{
    return (unsigned)_mm256_movemask_ps(m);
}

static inline void v_store_bytes(unsigned char *p, vf v)
{
    __m256i i = _mm256_cvtps_epi32(v);
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(words, words));
}

static inline vi v_nearest_int(vf v)
{
    return _mm256_cvtps_epi32(v);
}

static inline vf v_from_int(vi k)
{
    return _mm256_cvtepi32_ps(k);
}

static inline void v_store_int8(int8_t *p, vi k)
{
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(k), _mm256_extracti128_si256(k, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packs_epi16(words, words));
}

static inline void v_transpose(vf r[LANES])
{
    __m256 t[8];
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
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; i++) r[i] = t[i];
}

static inline vf v_about_inverse(vf v)
{
    return _mm256_rcp_ps(v);
}
static inline float v_least(vf v)
{
    __m128 m = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_min_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_min_ss(m, _mm_movehdup_ps(m)));
}
static inline vi v_load_u16(const uint16_t *p)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline vi v_load_int(const int32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
static inline void v_store_int(int32_t *p, vi k)
{
    _mm256_storeu_si256((__m256i *)(void *)p, k);
}
static inline vi v_shift_right(vi k, int by)
{
    return _mm256_srli_epi32(k, by);
}
static inline vf v_repeat_4(const float t[4])
{
    return _mm256_broadcast_ps((const __m128 *)(const void *)t);
}
static inline vf v_repeat_8(const float t[8])
{
    return v_load(t);
}
static inline vf v_pick_4(vf table, vi k)
{
    return _mm256_permutevar_ps(table, k);
}
static inline vf v_pick_8(vf table, vi k)
{
    return _mm256_permutevar8x32_ps(table, k);
}

#endif
