/* Squares of floats turned in registers, for files that are compiled for AVX2 or AVX-512. */
#ifndef LATHE_TRANSPOSE_X86_H
#define LATHE_TRANSPOSE_X86_H

#include <immintrin.h>
#include <stdint.h>

#if defined(__AVX512F__)
/* dst (16, 16), rows ld_dst apart = the square whose rows are r, turned */
static inline void transpose_16(float *dst, int64_t ld_dst, __m512 r[16])
{
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) { /* pairs of rows */
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) /* fours: r[i + j] holds column 4 q + j of rows i .. i + 3 in its quarter q */
        for (int j = 0; j < 2; j++) {
            __m512d x = _mm512_castps_pd(t[i + j]), y = _mm512_castps_pd(t[i + 2 + j]);
            r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
            r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
        }
    for (int j = 0; j < 4; j++) {
        __m512 low = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88), high = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88);
        __m512 low_odd = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xdd), high_odd = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xdd);
        _mm512_storeu_ps(dst + j * ld_dst, _mm512_shuffle_f32x4(low, high, 0x88));
        _mm512_storeu_ps(dst + (4 + j) * ld_dst, _mm512_shuffle_f32x4(low_odd, high_odd, 0x88));
        _mm512_storeu_ps(dst + (8 + j) * ld_dst, _mm512_shuffle_f32x4(low, high, 0xdd));
        _mm512_storeu_ps(dst + (12 + j) * ld_dst, _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd));
    }
}
#endif

/* The same of 8 x 8 */
static inline void transpose_8(float *dst, int64_t ld_dst, __m256 r[8])
{
    __m256 t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            __m256d x = _mm256_castps_pd(t[i + j]), y = _mm256_castps_pd(t[i + 2 + j]);
            r[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(x, y));
            r[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x, y));
        }
    for (int j = 0; j < 4; j++) {
        _mm256_storeu_ps(dst + j * ld_dst, _mm256_permute2f128_ps(r[j], r[4 + j], 0x20));
        _mm256_storeu_ps(dst + (4 + j) * ld_dst, _mm256_permute2f128_ps(r[j], r[4 + j], 0x31));
    }
}

#endif
