/* Single values between float and the 16- and 8-bit floating-point formats. */
#include "dtypes/codec.h"

/* 1 sign, 5 exponent (bias 15), 10 mantissa bits against float's 1, 8 (bias 127), 23. */
uint16_t f16_from_f32(float v)
{
    uint32_t w = f32_bits(v);
    uint32_t sign = w >> 16 & 0x8000;
    uint32_t a = w & 0x7FFFFFFF;
    if (a > 0x7F800000) return (uint16_t)(sign | 0x7E00);
    if (a >= 0x477FF000)
        return (uint16_t)(sign | 0x7C00); /* 65520: halfway between 65504 and the next step, ties up */
    if (a >= 0x38800000)                  /* 2^-14: normal; a carry out of the mantissa raises the exponent */
        return (uint16_t)(sign | (a - (112u << 23) + 0xFFF + (a >> 13 & 1)) >> 13);
    /* Subnormal: the last bit of a float in [0.5, 1) is 2^-24, as that of a subnormal half, so the addition rounds. */
    return (uint16_t)(sign | (f32_bits(f32_from_bits(a) + 0.5f) - f32_bits(0.5f)));
}

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t a = h & 0x7FFF;
    if (a > 0x7C00) return f32_from_bits(sign | 0x7FC00000 | a << 13); /* NaN: quiet, payload kept */
    if (a == 0x7C00) return f32_from_bits(sign | 0x7F800000);
    if (a >= 0x0400) return f32_from_bits(sign | ((a << 13) + (112u << 23)));
    return f32_from_bits(sign | f32_bits((float)a * 0x1p-24f));
}

uint16_t bf16_from_f32(float v)
{
    uint32_t w = f32_bits(v);
    if ((w & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(w >> 16 | 0x40); /* NaN stays NaN when its low bits go */
    return (uint16_t)((w + 0x7FFF + (w >> 16 & 1)) >> 16);
}

float bf16_to_f32(uint16_t h)
{
    return f32_from_bits((uint32_t)h << 16);
}

/* Round to odd: toward zero, then set the last bit if anything was lost. Rounding that again to a format at least two bits narrower gives
 * what one rounding of v would have given, because no tie and no side of a tie is lost. */
static float f32_odd_from_f64(double v)
{
    float f = (float)v;
    if (v != v || (double)f == v) return f;
    uint32_t w = f32_bits(f);
    if (fabs((double)f) > fabs(v)) w--; /* also steps from infinity down to the largest float */
    return f32_from_bits(w | 1);
}

uint16_t f16_from_f64(double v)
{
    return f16_from_f32(f32_odd_from_f64(v));
}
uint16_t bf16_from_f64(double v)
{
    return bf16_from_f32(f32_odd_from_f64(v));
}

/* E4M3FN: bias 7, so its fields moved into a half stand for the value * 2^-8. No infinity; all ones is NaN. */
float f8_e4m3_to_f32(uint8_t b)
{
    uint32_t sign = (uint32_t)(b & 0x80) << 24;
    if ((b & 0x7F) == 0x7F) return f32_from_bits(sign | 0x7FC00000);
    return f16_to_f32((uint16_t)((b & 0x80) << 8 | (b & 0x7F) << 7)) * 256.0f;
}

/* E5M2 is the upper byte of a half. */
float f8_e5m2_to_f32(uint8_t b)
{
    return f16_to_f32((uint16_t)(b << 8));
}

/* E8M0: the exponent of a scale, 2^(b - 127); all ones is NaN. */
float f8_e8m0_to_f32(uint8_t b)
{
    if (b == 0xFF) return f32_from_bits(0x7FC00000);
    return f32_from_bits(b == 0 ? 0x00400000 : (uint32_t)b << 23);
}
