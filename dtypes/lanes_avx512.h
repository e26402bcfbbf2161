/* Vectors of lanes for AVX-512; what each file of this name offers is in lanes_portable.h. */
#ifndef LATHE_LANES_H
#define LATHE_LANES_H

#include "dtypes/lanes_x86.h"

#include <stdbool.h>

enum { LANES = 16 };
typedef __m512 vf;
typedef __mmask16 vm;
typedef __m512i vi;

static inline vf v_set(float v)
{
    return _mm512_set1_ps(v);
}
static inline vf v_load_bytes(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
static inline vf v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void v_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}
static inline void v_halve_16(const vf v[1], void *four)
{
    __m256 h = _mm512_castps512_ps256(v[0]) + _mm512_extractf32x8_ps(v[0], 1);
    _mm_storeu_ps(four, _mm256_castps256_ps128(h) + _mm256_extractf128_ps(h, 1));
}
static inline vf v_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
static inline vf v_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
static inline vf v_abs(vf v)
{
    return _mm512_abs_ps(v);
}
static inline vf v_most_abs(vf most, vf v)
{
    return _mm512_range_ps(most, v, 0x0B); /* the absolute maximum, without its sign */
}
static inline float v_most(vf v)
{
    return _mm512_reduce_max_ps(v);
}
static inline vf v_multiply_subtract(vf a, vf b, vf c)
{
    return _mm512_fmsub_ps(a, b, c);
}
static inline vf v_sqrt(vf v)
{
    return _mm512_sqrt_ps(v);
}
static inline vf v_round(vf v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf v_trunc(vf v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
}
static inline vf v_nearest(vf v)
{
    __m512i w = _mm512_castps_si512(_mm512_add_ps(v, _mm512_set1_ps(12582912.0f)));
    w = _mm512_sub_epi32(_mm512_and_si512(w, _mm512_set1_epi32(0x7FFFFF)), _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_ps(w);
}
static inline vm v_less(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vm v_equal(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
static inline vf v_select(vm m, vf yes, vf no)
{
    return _mm512_mask_blend_ps(m, no, yes);
}
static inline vm m_none(void)
{
    return 0;
}
static inline vm m_and(vm a, vm b)
{
    return _kand_mask16(a, b);
}
static inline vm m_or(vm a, vm b)
{
    return _kor_mask16(a, b);
}
static inline vm m_and_not(vm a, vm b)
{
    return _kandn_mask16(b, a);
}
static inline unsigned m_bits(vm m)
{
    return m;
}

static inline void v_store_bytes(unsigned char *p, vf v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

static inline vi v_nearest_int(vf v)
{
    return _mm512_cvtps_epi32(v);
}

static inline vf v_from_int(vi k)
{
    return _mm512_cvtepi32_ps(k);
}

static inline void v_store_int8(int8_t *p, vi k)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtsepi32_epi8(k));
}

static inline void v_transpose(vf r[LANES])
{
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int k = 0; k < 2; k++) {
            r[i + 2 * k] = _mm512_shuffle_ps(t[i + k], t[i + k + 2], 0x44);
            r[i + 2 * k + 1] = _mm512_shuffle_ps(t[i + k], t[i + k + 2], 0xEE);
        }
    /* r[4 a + k] has columns k, k + 4, k + 8, k + 12 of rows 4 a .. 4 a + 3: now a transpose of 128-bit parts */
    for (int k = 0; k < 4; k++) {
        t[k] = _mm512_shuffle_f32x4(r[k], r[k + 4], 0x44);
        t[k + 4] = _mm512_shuffle_f32x4(r[k], r[k + 4], 0xEE);
        t[k + 8] = _mm512_shuffle_f32x4(r[k + 8], r[k + 12], 0x44);
        t[k + 12] = _mm512_shuffle_f32x4(r[k + 8], r[k + 12], 0xEE);
    }
    for (int k = 0; k < 4; k++) {
        r[k] = _mm512_shuffle_f32x4(t[k], t[k + 8], 0x88);
        r[k + 4] = _mm512_shuffle_f32x4(t[k], t[k + 8], 0xDD);
        r[k + 8] = _mm512_shuffle_f32x4(t[k + 4], t[k + 12], 0x88);
        r[k + 12] = _mm512_shuffle_f32x4(t[k + 4], t[k + 12], 0xDD);
    }
}

static inline vf v_about_inverse(vf v)
{
    return _mm512_rcp14_ps(v);
}
static inline float v_least(vf v)
{
    return _mm512_reduce_min_ps(v);
}
static inline vi v_load_u16(const uint16_t *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vi v_load_int(const int32_t *p)
{
    return _mm512_loadu_si512(p);
}
static inline void v_store_int(int32_t *p, vi k)
{
    _mm512_storeu_si512(p, k);
}
static inline vi v_shift_right(vi k, int by)
{
    return _mm512_srli_epi32(k, (unsigned)by);
}
static inline vf v_repeat_4(const float t[4])
{
    return _mm512_broadcast_f32x4(_mm_loadu_ps(t));
}
static inline vf v_repeat_8(const float t[8])
{
    return _mm512_broadcast_f32x8(_mm256_loadu_ps(t));
}
static inline vf v_pick_4(vf table, vi k)
{
    return _mm512_permutevar_ps(table, k);
}
static inline vf v_pick_8(vf table, vi k)
{
    return _mm512_permutexvar_ps(k, table); /* sixteen entries, the upper eight once more the lower */
}

#endif
