/* What lanes_avx2.h and lanes_avx512.h have alike: halves, and bytes of quants, for which 256 bits are enough. What each function does is in
 * lanes_portable.h. */
#ifndef LATHE_LANES_X86_H
#define LATHE_LANES_X86_H

#include <immintrin.h>
#include <stdint.h>

static inline float f_half(uint16_t h)
{
    return _cvtsh_ss(h);
}

static inline uint16_t f_to_half(float v)
{
    return _cvtss_sh(v, _MM_FROUND_TO_NEAREST_INT);
}

static inline void b_nibbles_16(const uint8_t p[16], int8_t q[32])
{
    __m128i both = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m256i v = _mm256_set_m128i(_mm_srli_epi16(both, 4), both);
    _mm256_storeu_si256((__m256i *)(void *)q, _mm256_and_si256(v, _mm256_set1_epi8(15)));
}

static inline void b_nibbles_8(const uint8_t p[8], int8_t q[16])
{
    __m128i both = _mm_loadl_epi64((const __m128i *)(const void *)p);
    __m128i v = _mm_unpacklo_epi64(both, _mm_srli_epi16(both, 4));
    _mm_storeu_si128((__m128i *)(void *)q, _mm_and_si128(v, _mm_set1_epi8(15)));
}

static inline void b_or_bits(uint32_t bits, int by, int8_t q[32])
{
    const __m256i own = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), spread);
    v = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, own), own), _mm256_set1_epi8((char)by));
    v = _mm256_or_si256(v, _mm256_loadu_si256((const __m256i *)(const void *)q));
    _mm256_storeu_si256((__m256i *)(void *)q, v);
}

static inline void b_pick(const int8_t table[16], int n, int8_t *p)
{
    __m128i t = _mm_loadu_si128((const __m128i *)(const void *)table);
    for (int i = 0; i < n; i += 16) {
        __m128i q = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        _mm_storeu_si128((__m128i *)(void *)(p + i), _mm_shuffle_epi8(t, q));
    }
}

#endif
