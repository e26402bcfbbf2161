/* Encoders of the 4-bit floats (E2M1) under a shared power of two (MXFP4) or an E4M3 scale for each 16 (NVFP4). */
#include "dtypes/quant_32.h"

/* Code of the E2M1 value nearest to x / d, d >= 0; the first of equally near ones, and never -0. The reference compares with all 16 values in the
 * order of their codes; a value of the other sign is never nearer, and equally near ones come later. */
static uint8_t nearest_e2m1(float x, float d)
{
    static const float doubled[8] = {0, 1, 2, 3, 4, 6, 8, 12};
    float a = fabsf(x), least = a;
    int best = 0;
    for (int k = 1; k < 8; k++) {
        float e = fabsf(doubled[k] * d - a);
        if (e < least) {
            least = e;
            best = k;
        }
    }
    return (uint8_t)(best > 0 && x < 0 ? best + 8 : best);
}

/* floor(log2f(a)) for finite a > 0 where log2f rounds to nearest: from just below a power of two 2^r the logarithm rounds up to r. */
static int floor_log2f(float a)
{
    int r; /* a = m * 2^r with m in [0.5, 1) */
    float m = frexpf(a, &r);
    int below = (int)((1.0f - m) * 0x1p24f); /* a = (1 - below * 2^-24) * 2^r, so log2 a = r - below * 2^-24 / ln 2 - ... */
    if (below > 100 || r == 0) return r - 1; /* too far below for any r */
    /* half the distance of r to the next float towards a; it is smaller below a positive power of two */
    int e;
    float f = frexpf((float)r, &e); /* |r| = |f| * 2^e: floats near r are 2^(e - 24) apart */
    double half = ldexp(r > 0 && f == 0.5f ? 0.25 : 0.5, e);
    return below / M_LN2 < half ? r : r - 1;
}

uint8_t mxfp4_exponent(float amax)
{
    if (!(amax > 0)) return 0;
    if (isinf(amax)) return 0; /* the logarithm is no int32: 0x80000000, whose low byte is 0 */
    return (uint8_t)(floor_log2f(amax) - 2 + 127);
}

void encode_mxfp4(const float *src, void *dst, int64_t n)
{
    struct block_mxfp4 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        b->e = mxfp4_exponent(fabsf(extreme(src, QK)));
        float d = e8m0_half(b->e);
        for (int j = 0; j < 16; j++)
            b->qs[j] = (uint8_t)(nearest_e2m1(src[j], d) | nearest_e2m1(src[j + 16], d) << 4);
    }
}

/* To unsigned E4M3, ties up, at most 448. */
static uint8_t ue4m3_from_f32(float v)
{
    if (!(v > 0.0f)) return 0;
    uint32_t w = f32_bits(v < 448.0f ? v : 448.0f);
    if (w < 0x3C800000) { /* below 2^-6: subnormal */
        int q = (int)(v * 512.0f + 0.5f);
        return (uint8_t)(q < 7 ? q : 7);
    }
    uint32_t q = ((w >> 19) + 1) >> 1; /* exponent and three bits of mantissa; a carry goes into the exponent */
    q -= (127 - 7) << 3;
    return (uint8_t)(q < 0x78 ? q : 0x7E);
}

uint8_t nvfp4_scale(float amax)
{
    return ue4m3_from_f32(amax / 6.0f);
}

void encode_nvfp4(const float *src, void *dst, int64_t n)
{
    struct block_nvfp4 *b = dst;
    for (; n > 0; n -= 64, b++) {
        for (int g = 0; g < 4; g++, src += 16) {
            b->d[g] = nvfp4_scale(fabsf(extreme(src, 16)));
            float d = ue4m3_half(b->d[g]);
            for (int j = 0; j < 8; j++)
                b->qs[8 * g + j] = (uint8_t)(nearest_e2m1(src[j], d) | nearest_e2m1(src[j + 8], d) << 4);
        }
    }
}
