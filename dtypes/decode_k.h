/* The integer scales of super-blocks as blocks pack them, for the decoders. */
#ifndef LATHE_DECODE_K_H
#define LATHE_DECODE_K_H

#include "dtypes/codec.h"

/* Sixteen 6-bit scales, biased by 32: low nibbles in bytes 0-7 (even half, odd half), high pairs in bytes 8-11. */
static inline void k_unpack_scales_q3(const uint8_t sc[12], int8_t s[16])
{
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? sc[j] & 15 : sc[j - 8] >> 4;
        int high = sc[8 + j % 4] >> 2 * (j / 4) & 3;
        s[j] = (int8_t)((low | high << 4) - 32);
    }
}

/* Eight pairs of 6-bit scale and min in 12 bytes, shared by Q4_K and Q5_K. */
static inline void k_unpack_scales_q4(const uint8_t sc[12], uint8_t s[8], uint8_t m[8])
{
    for (int j = 0; j < 4; j++) {
        s[j] = sc[j] & 63;
        m[j] = sc[j + 4] & 63;
        s[j + 4] = (uint8_t)((sc[j + 8] & 15) | sc[j] >> 6 << 4);
        m[j + 4] = (uint8_t)(sc[j + 8] >> 4 | sc[j + 4] >> 6 << 4);
    }
}

#endif
